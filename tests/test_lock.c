/* SPDX-License-Identifier: MIT */
/* Two rings on one run: who does not get the lock leaves the run as it is. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ring/step.h"
#include "tests/tap.h"

static char run[] = "/tmp/test_lock.XXXXXX";

int
main(void)
{
	const struct dc_step_opts o = { .run = run };
	struct dc_step first, second;
	char pid[64];

	if (!mkdtemp(run))
		return 1;
	snprintf(pid, sizeof pid, "%s/.pid", run);
	dc_step_init(&first, &o, -1, -1);
	dc_step_init(&second, &o, -1, -1);
	ok(dc_step_lock(&first) == 0 && access(pid, F_OK) == 0, "a ring takes the lock, and says so");
	ok(dc_step_lock(&second) < 0 && strstr(dc_err(), "another ring is running there: dc-step is process"), "another does not: %s", dc_err());
	dc_step_unlock(&second);
	ok(access(pid, F_OK) == 0, "and takes nothing away when it goes");
	dc_step_unlock(&first);
	ok(access(pid, F_OK) < 0, "as the first does");
	close(first.run_fd);
	ok(dc_step_lock(&second) == 0, "then the lock can be had");
	dc_step_unlock(&second);
	close(second.run_fd);
	ok(rmdir(run) == 0, "nothing is left there");
	return done_testing();
}
