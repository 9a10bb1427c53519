/* SPDX-License-Identifier: MIT */
/* The limits of control groups, of both kinds and at every height. */
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/tap.h"

static char root[] = "/tmp/test_memory.XXXXXX";

/* Write `text` to root/path, with the directories above it. */
static void
put(const char *path, const char *text)
{
	char name[512];
	FILE *f;

	snprintf(name, sizeof name, "%s/%s", root, path);
	for (char *at = name + strlen(root) + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = '\0';
		mkdir(name, 0700);
	}
	if (!(f = fopen(name, "w")) || fputs(text, f) < 0 || fclose(f))
		ok(0, "%s", name);
}

static size_t
left(const char *groups)
{
	char file[512];

	put("groups", groups);
	snprintf(file, sizeof file, "%s/groups", root);
	return dc_memory_left(file, root);
}

int
main(void)
{
	char command[64];

	if (!mkdtemp(root))
		return 1;
	ok(left("0::/\n") == SIZE_MAX, "no group, no limit");
	put("memory.max", "max\n");
	put("memory.current", "5000\n");
	put("job/memory.max", "9000\n");
	put("job/memory.current", "4000\n");
	put("job/memory.stat", "anon 3000\ninactive_file 1000\n");
	put("job/step/memory.max", "8000\n");
	put("job/step/memory.current", "500\n");
	ok(left("0::/\n") == SIZE_MAX, "\"max\" is no limit");
	ok(left("0::/job/step\n") == 6000, "the group above is nearer to its limit, files that are idle not counted: %zu", left("0::/job/step\n"));
	ok(left("0::/job/other/deeper\n") == 6000, "a group that cannot be seen is in one that can");
	put("memory/memory.limit_in_bytes", "100000\n");
	put("memory/memory.usage_in_bytes", "1000\n");
	put("memory/uid_0/job_7/memory.limit_in_bytes", "3000\n");
	put("memory/uid_0/job_7/memory.usage_in_bytes", "2900\n");
	put("memory/uid_0/job_7/memory.stat", "inactive_file 0\ntotal_inactive_file 200\n");
	ok(left("9:pids:/x\n4:cpu,memory:/uid_0/job_7/step_1\n0::/\n") == 300, "the older kind: %zu", left("4:cpu,memory:/uid_0/job_7\n"));
	ok(left("4:cpu,memory_of_another:/uid_0/job_7\n") == 99000, "the root's, where the group is of something else");
	ok(left("nonsense\n:\n4:memory\n") == 99000, "nonsense");
	ok(dc_memory_left("/nonexistent", "/nonexistent") == SIZE_MAX, "nothing there");
	ok(dc_memory_available() > 1 << 20, "here: %zu", dc_memory_available());
	snprintf(command, sizeof command, "rm -r %s", root);
	ok(system(command) == 0, "tidy");
	return done_testing();
}
