/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <string.h>

#include "base/wide.h"
#include "nn/gemm.h"
#include "nn/layernorm.h"

enum { COLUMNS = 128, RUN = 8 };
static const double eps = 1e-5;

static void
apply_row(dc_real *restrict y, dc_real mean, dc_real rstd, const dc_real *restrict x, const dc_real *restrict w,
	const dc_real *restrict b, int C)
{
	for (int c = 0; c < C; c++)
		y[c] = (x[c] - mean) * rstd * w[c] + b[c];
}

static void
row_stats(dc_real *mean, dc_real *rstd, const dc_real *x, int C)
{
	double s = 0, ss = 0, mu;

#pragma omp simd reduction(+:s)
	for (int c = 0; c < C; c++)
		s += (double)x[c];
	mu = s / C;
#pragma omp simd reduction(+:ss)
	for (int c = 0; c < C; c++)
		ss += ((double)x[c] - mu) * ((double)x[c] - mu);
	*mean = (dc_real)mu;
	*rstd = (dc_real)(1 / sqrt(ss / C + eps));
}

void
dc_ln_forward(dc_real *y, dc_real *mean, dc_real *rstd, const dc_real *x, const dc_real *w, const dc_real *b,
	int M, int C)
{
#pragma omp parallel for schedule(static) if ((size_t)M * C > DC_PARALLEL)
	for (int m = 0; m < M; m++) {
		row_stats(mean + m, rstd + m, x + (size_t)m * C, C);
		apply_row(y + (size_t)m * C, mean[m], rstd[m], x + (size_t)m * C, w, b, C);
	}
}

void
dc_ln_apply(dc_real *y, const dc_real *mean, const dc_real *rstd, const dc_real *x, const dc_real *w,
	const dc_real *b, int M, int C)
{
#pragma omp parallel for schedule(static) if ((size_t)M * C > DC_PARALLEL)
	for (int m = 0; m < M; m++)
		apply_row(y + (size_t)m * C, mean[m], rstd[m], x + (size_t)m * C, w, b, C);
}

/* dx += rstd (d - mean(d) - xhat mean(d xhat)),  d = dy w */
static void
backward_row(dc_real *restrict dx, const dc_real *restrict dy, const dc_real *restrict x, dc_real mean, dc_real rstd,
	const dc_real *restrict w, int C)
{
	double s = 0, sx = 0;
	dc_real a, k;

#pragma omp simd reduction(+:s, sx)
	for (int c = 0; c < C; c++) {
		dc_real d = dy[c] * w[c];

		s += (double)d;
		sx += (double)(d * ((x[c] - mean) * rstd));
	}
	a = (dc_real)(s / C);
	k = (dc_real)(sx / C);
	for (int c = 0; c < C; c++)
		dx[c] += rstd * (dy[c] * w[c] - a - (x[c] - mean) * rstd * k);
}

/* dw += sum dy xhat, db += sum dy, for n columns from c0: runs of RUN rows in dc_real, the runs in double */
DC_WIDE static void
backward_columns(dc_real *dw, dc_real *db, const dc_real *dy, const dc_real *x, const dc_real *mean,
	const dc_real *rstd, int M, int C, int c0, int n)
{
	double tw[COLUMNS] = { 0 }, tb[COLUMNS] = { 0 };

	for (int m0 = 0; m0 < M; m0 += RUN) {
		int end = m0 + RUN < M ? m0 + RUN : M;
		dc_real rw[COLUMNS] = { 0 }, rb[COLUMNS] = { 0 };

		for (int m = m0; m < end; m++) {
			const dc_real *dy_m = dy + (size_t)m * C + c0, *x_m = x + (size_t)m * C + c0;

			for (int c = 0; c < n; c++) {
				rw[c] += dy_m[c] * ((x_m[c] - mean[m]) * rstd[m]);
				rb[c] += dy_m[c];
			}
		}
		for (int c = 0; c < n; c++) {
			tw[c] += (double)rw[c];
			tb[c] += (double)rb[c];
		}
	}
	for (int c = 0; c < n; c++) {
		if (dw)
			dw[c0 + c] = (dc_real)((double)dw[c0 + c] + tw[c]);
		if (db)
			db[c0 + c] = (dc_real)((double)db[c0 + c] + tb[c]);
	}
}

void
dc_ln_backward(dc_real *dx, dc_real *dw, dc_real *db, const dc_real *dy, const dc_real *x, const dc_real *mean,
	const dc_real *rstd, const dc_real *w, int M, int C)
{
#pragma omp parallel for schedule(static) if ((size_t)M * C > DC_PARALLEL)
	for (int m = 0; m < M; m++)
		backward_row(dx + (size_t)m * C, dy + (size_t)m * C, x + (size_t)m * C, mean[m], rstd[m], w, C);
	if (!dw && !db)
		return;
#pragma omp parallel for schedule(static) if ((size_t)M * C > DC_PARALLEL)
	for (int c0 = 0; c0 < C; c0 += COLUMNS)
		backward_columns(dw, db, dy, x, mean, rstd, M, C, c0, C - c0 < COLUMNS ? C - c0 : COLUMNS);
}
