/* SPDX-License-Identifier: MIT */
#include "ring/step_private.h"

#include <stdio.h>
#include <stdlib.h>

/* One row of --verify. */
static int
verify_row(const char *run, const char *name, const char *latest)
{
	char *dir = dc_xasprintf("%s/%s", run, name);
	struct dc_verified v;
	int bad = dc_run_verify(dir, &v) < 0;

	printf("%s\t%llu\t%lld\t%d\t%llu\t%s\t%s\n", name, (unsigned long long)v.step, (long long)v.position, v.files,
	    (unsigned long long)v.bytes, !strcmp(name, latest) ? "latest" : "-",
	    bad ? dc_err() : v.with_sums ? "whole" : "can be loaded, but has no checksums");
	free(dir);
	return bad;
}

int
dc_step_verify(const char *run)
{
	char *latest = dc_run_latest(run), **name;
	int n, bad = 0;

	if (!latest || (n = dc_run_list(run, &name)) < 0)
		return -1;
	printf("checkpoint\tstep\tposition\tfiles\tbytes\tlink\tverdict\n");
	for (int i = n - 1; i >= 0; i--)
		bad += verify_row(run, name[i], dc_step_base_name(latest));
	DC_TRY(dc_fshut(stdout, "<stdout>"));
	DC_CHECK(!bad, "%s: %d of %d checkpoints damaged", run, bad, n);
	return 0;
}
