/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The number after `key` in a file of lines "key number"; without a key, the number that the file is. SIZE_MAX if it has
 * none: "max" is not a number. */
static size_t
number_in(const char *path, const char *key)
{
	const size_t n = key ? strlen(key) : 0;
	FILE *f = fopen(path, "r");
	size_t value = SIZE_MAX;
	char line[256];

	while (f && fgets(line, sizeof line, f)) {
		unsigned long long x;

		if ((!n || !strncmp(line, key, n)) && sscanf(line + n, " %llu", &x) == 1) {
			value = (size_t)x;
			break;
		}
	}
	if (f)
		fclose(f);
	return value;
}

/* What is left of a limit; the pages of files that nobody reads any more do not count as used. */
static size_t
left_of(const char *limit, const char *used, const char *stat, const char *files)
{
	const size_t most = number_in(limit, NULL), now = number_in(used, NULL), idle = number_in(stat, files);

	if (most == SIZE_MAX || now == SIZE_MAX)
		return SIZE_MAX;
	if (idle != SIZE_MAX && idle < now)
		return now - idle < most ? most - (now - idle) : 0;
	return now < most ? most - now : 0;
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t
dc_memory_available(void)
{
	const size_t kb = number_in("/proc/meminfo", "MemAvailable:");
	const size_t v2 = left_of("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat",
	    "inactive_file ");
	const size_t v1 = left_of("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes",
	    "/sys/fs/cgroup/memory/memory.stat", "total_inactive_file ");

	return least(kb < SIZE_MAX / 1024 ? kb * 1024 : SIZE_MAX, least(v1, v2));
}
