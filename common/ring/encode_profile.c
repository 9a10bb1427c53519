/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "nn/blas.h"
#include "nn/gemm.h"
#include "ring/encode_private.h"

static const char *const wait_names[DC_WAITS] = { "waiting for batches", "waiting for dc-loss", "waiting for dc-step",
	"waiting for batch norms of other ranks" };

static void
profile_row(FILE *f, const char *what, double seconds, double steps, double all)
{
	fprintf(f, "%s\t%.6f\t%.4f\n", what, seconds / steps, all > 0 ? seconds / all : 0);
}

static double
waited(const struct dc_encode *t)
{
	return t->waited[DC_FOR_DATA] + t->waited[DC_FOR_LOSS] + t->waited[DC_FOR_STEP] + t->waited[DC_FOR_RANKS];
}

int
dc_encode_profile(const struct dc_encode *t, const char *path)
{
	FILE *f = path && t->steps > 1 ? fopen(path, "w") : NULL;
	double steps = (double)t->steps - 1, all = t->last - t->first, rest = all - waited(t);

	if (!path || t->steps < 2)
		return 0;
	if (!f)
		return dc_err_errno("%s", path);
	fputs("what\tseconds_a_step\tshare\n", f);
	for (int i = 0; i < DC_LAPS; i++) {
		profile_row(f, dc_lap_names[i], t->laps.s[i], steps, all);
		rest -= t->laps.s[i];
	}
	profile_row(f, "stream, gradients cleared", rest, steps, all);
	for (int i = 0; i < (t->o.sync_bn ? DC_WAITS : DC_FOR_RANKS); i++)
		profile_row(f, wait_names[i], t->waited[i], steps, all);
	profile_row(f, "the whole step", all, steps, all);
	fprintf(f, "GFLOP of useful work a step\t%.3f\t\n", t->laps.flop / steps * 1e-9);
	return dc_fshut(f, path);
}

void
dc_encode_say(const struct dc_encode *t, FILE *f)
{
	double busy = t->last - t->first - waited(t);

	if (t->enc && t->enc->again)
		fprintf(f, "%s: %d of the last batch's %d parts computed twice\n", dc_progname, t->enc->again, t->enc->parts);
	if (t->steps > 1)
		fprintf(f, "%s: %.4g GFLOP of useful work a step, %.4g GFLOP/s\n", dc_progname,
		    t->laps.flop * 1e-9 / ((double)t->steps - 1), t->laps.flop * 1e-9 / busy);
	if (t->enc)
		fprintf(f, "%s: OpenBLAS's kernels are those of %s%s: a ViT's features %s on the parts of a batch\n", dc_progname, dc_blas_core(),
		    dc_blas_onednn() ? ", and oneDNN's are used" : "", dc_gemm_rows_same() ? "do not depend" : "depend in their last bits");
}
