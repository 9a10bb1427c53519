/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The number after `key` in a file of lines "key number"; with "", the number that the file is. SIZE_MAX if it has
 * none: "max" is not a number. */
static size_t
number_in(const char *path, const char *key)
{
	const size_t n = strlen(key);
	FILE *f = fopen(path, "r");
	size_t value = SIZE_MAX;
	char line[256];

	while (f && fgets(line, sizeof line, f)) {
		unsigned long long x;

		if (!strncmp(line, key, n) && sscanf(line + n, " %llu", &x) == 1) {
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
	const size_t most = number_in(limit, ""), now = number_in(used, ""), idle = number_in(stat, files);

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

/* What is left of the limits of one group and of all above it, up to the root, where a container sees its own; v1: the older
 * names. */
static size_t
left_of_groups(const char *root, char *group, int v1)
{
	static const char *const name[2][3] = { { "memory.max", "memory.current", "memory.stat" },
		{ "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat" } };
	char path[3][1024];
	size_t left = SIZE_MAX;
	char *end;

	for (;; *end = '\0') {
		for (size_t n = strlen(group); n && group[n - 1] == '/'; )
			group[--n] = '\0';
		for (int i = 0; i < 3; i++)
			snprintf(path[i], sizeof path[i], "%s%s/%s", root, group, name[v1][i]);
		left = least(left, left_of(path[0], path[1], path[2], v1 ? "total_inactive_file " : "inactive_file "));
		if (!(end = strrchr(group, '/')))
			return left;
	}
}

/* The group that a line of /proc/self/cgroup names, "0::/path" or "4:cpu,memory:/path"; 0 if it is not about memory. */
static int
group_of(char *line, char **group, int *v1)
{
	char *what = strchr(line, ':'), *path = what ? strchr(what + 1, ':') : NULL;

	if (!path || path[1] != '/')
		return 0;
	path[strcspn(path, "\n")] = '\0';
	*what = *path = '\0';
	*group = path + 1;
	*v1 = what[1] != '\0';
	for (char *at = what + 1, *next; *v1 && at; at = next) {
		if ((next = strchr(at, ',')))
			*next++ = '\0';
		if (!strcmp(at, "memory"))
			return 1;
	}
	return !*v1;
}

size_t
dc_memory_left(const char *groups, const char *sys)
{
	char line[768], root[512], above[] = "", *group;
	FILE *f = fopen(groups, "r");
	size_t left;
	int v1;

	snprintf(root, sizeof root, "%s/memory", sys);
	left = least(left_of_groups(sys, above, 0), left_of_groups(root, above, 1));
	while (f && fgets(line, sizeof line, f))
		if (group_of(line, &group, &v1))
			left = least(left, left_of_groups(v1 ? root : sys, group, v1));
	if (f)
		fclose(f);
	return left;
}

size_t
dc_memory_available(void)
{
	const size_t kb = number_in("/proc/meminfo", "MemAvailable:");

	return least(kb < SIZE_MAX / 1024 ? kb * 1024 : SIZE_MAX, dc_memory_left("/proc/self/cgroup", "/sys/fs/cgroup"));
}
