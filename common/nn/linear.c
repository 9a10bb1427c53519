/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "nn/gemm.h"
#include "nn/linear.h"

enum { COLUMNS = 128, RUN = 8 };

/* y <- b + residual: the product is then added on top, which saves a pass */
static void
preset(dc_real *y, int ldy, const dc_real *b, const dc_real *residual, int M, int O)
{
#pragma omp parallel for schedule(static) if ((size_t)M * O > DC_PARALLEL)
	for (int m = 0; m < M; m++) {
		dc_real *y_m = y + (size_t)m * ldy;
		const dc_real *r_m = residual ? residual + (size_t)m * O : NULL;

		if (b && r_m)
			for (int o = 0; o < O; o++)
				y_m[o] = b[o] + r_m[o];
		else
			memmove(y_m, b ? b : r_m, (size_t)O * sizeof(*y_m));
	}
}

void
dc_linear_forward(dc_real *y, int ldy, const dc_real *x, int ldx, const dc_real *w, const dc_real *b,
	const dc_real *residual, int M, int I, int O)
{
	if (b || residual)
		preset(y, ldy, b, residual, M, O);
	dc_gemm_rows(1, M, O, I, x, ldx, w, I, b || residual ? 1 : 0, y, ldy);    /* Y = X W^T (+ Y) */
}

void
dc_linear_backward(dc_real *dx, int lddx, dc_real beta, dc_real *dw, dc_real *db, const dc_real *dy, int lddy,
	const dc_real *x, int ldx, const dc_real *w, int M, int I, int O)
{
	if (dx)
		dc_gemm_rows(0, M, I, O, dy, lddy, w, I, beta, dx, lddx);         /* dX = dY W */
	if (dw)
		dc_gemm(1, 0, O, I, M, 1, dy, lddy, x, ldx, 1, dw, I);            /* dW += dY^T X */
	if (db)
		dc_sum_rows(db, dy, lddy, M, O);
}

void
dc_sum_rows(dc_real *sum, const dc_real *x, int ldx, int M, int C)
{
	/* a strip of columns each; runs of RUN rows in dc_real, the runs in double */
#pragma omp parallel for schedule(static) if ((size_t)M * C > DC_PARALLEL)
	for (int c0 = 0; c0 < C; c0 += COLUMNS) {
		int n = C - c0 < COLUMNS ? C - c0 : COLUMNS;
		double total[COLUMNS] = { 0 };
		dc_real run[COLUMNS];

		for (int m0 = 0; m0 < M; m0 += RUN) {
			int end = m0 + RUN < M ? m0 + RUN : M;

			memset(run, 0, sizeof(run));
			for (int m = m0; m < end; m++)
				for (int c = 0; c < n; c++)
					run[c] += x[(size_t)m * ldx + c0 + c];
			for (int c = 0; c < n; c++)
				total[c] += (double)run[c];
		}
		for (int c = 0; c < n; c++)
			sum[c0 + c] = (dc_real)((double)sum[c0 + c] + total[c]);
	}
}

void
dc_rows_gather(dc_real *y, const dc_real *x, const int32_t *row, int n, int C)
{
	for (int i = 0; i < n; i++)
		memcpy(y + (size_t)i * C, x + (size_t)row[i] * C, (size_t)C * sizeof(*y));
}

void
dc_rows_scatter_add(dc_real *dx, const dc_real *dy, const int32_t *row, int n, int C)
{
	for (int i = 0; i < n; i++)
		for (int c = 0; c < C; c++)
			dx[(size_t)row[i] * C + c] += dy[(size_t)i * C + c];
}
