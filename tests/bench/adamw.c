/* SPDX-License-Identifier: MIT */
/* The optimizer's sweep against a copy of memory, taken in turns by the same threads: two rates in GB/s, the best of the
 * rounds. A sweep reads w, m, v, g and writes w, m, v; a copy reads one and writes one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "optim/adamw.h"

enum { N = 1 << 25, BLOCK = 1 << 16, ROUNDS = 6 };

static void
copy(dc_real *to, const dc_real *from)
{
#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < N; i += BLOCK)
		memcpy(to + i, from + i, BLOCK * sizeof *to);
}

int
main(void)
{
	static const struct dc_adamw o = { 0.9, 0.98, 1e-8, 0.1 };
	static unsigned char cell[N / DC_CELL];
	struct dc_adamw_tensor t = { .cell = cell, .n = N, .decay = 1 };
	dc_real *x[4];
	double sweep = 0, plain = 0, start, rate;

	for (int k = 0; k < 4; k++) {
		x[k] = dc_xaligned(N, sizeof *x[k]);
		for (size_t i = 0; i < N; i++)
			x[k][i] = (dc_real)(i % 13 + 1) * (dc_real)1e-3;
	}
	t.w = x[0], t.m = x[1], t.v = x[2], t.g = x[3];
	for (int r = 0; r < ROUNDS; r++) {
		t.t = (uint64_t)r + 1;
		start = dc_seconds();
		dc_adamw_sweep(&t, 1, &o, 1e-4, 1, 0);
		rate = 7e-9 * N * sizeof **x / (dc_seconds() - start);
		sweep = rate > sweep ? rate : sweep;
		start = dc_seconds();
		copy(x[r & 1], x[2]);
		rate = 2e-9 * N * sizeof **x / (dc_seconds() - start);
		plain = rate > plain ? rate : plain;
	}
	printf("%.2f %.2f\n", sweep, plain);
	for (int k = 0; k < 4; k++)
		free(x[k]);
	return 0;
}
