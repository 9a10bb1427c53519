/* SPDX-License-Identifier: MIT */
/* The limit: GFLOP/s of sgemm on this machine as the tools use it, the best of ROUNDS products of SIZE x SIZE. Prints
 * one number. */
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "nn/blas.h"
#include "nn/gemm.h"

enum { SIZE = 2048, ROUNDS = 12 };

int
main(int argc, char **argv)
{
	const size_t n = (size_t)SIZE * SIZE;
	dc_real *a = dc_xaligned(n, sizeof *a), *b = dc_xaligned(n, sizeof *b), *c = dc_xaligned(n, sizeof *c);
	double best = 0;

	(void)argc;
	dc_blas_start(argv);
	for (size_t i = 0; i < n; i++)
		a[i] = (dc_real)(i % 7) - 3, b[i] = (dc_real)(i % 5) - 2;
	for (int r = 0; r < ROUNDS; r++) {
		double start = dc_seconds(), rate;

		dc_gemm(0, 1, SIZE, SIZE, SIZE, 1, a, SIZE, b, SIZE, 0, c, SIZE);
		rate = 2e-9 * SIZE * (double)n / (dc_seconds() - start);
		best = rate > best ? rate : best;
	}
	printf("%.1f\n", best);
	free(a);
	free(b);
	free(c);
	return 0;
}
