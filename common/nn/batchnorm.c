/* SPDX-License-Identifier: MIT */
#include "nn/batchnorm.h"

#include <stddef.h>

#include "base/wide.h"
#include "nn/gemm.h"
#include "nn/threads.h"

/* Columns go in blocks: a block's sums stay in the nearest cache while its rows stream by, and belong to one thread, so
 * that the thread count changes nothing. A block is no narrower than it must be: the rows of few columns of a wide x lie
 * where they push one another out of that cache. */
enum { LEAST = 16, BLOCK = 512 };

static int
min_int(int a, int b)
{
	return a < b ? a : b;
}

/* Columns of a block: as wide as leaves every thread one */
static int
block_of(int C)
{
	const int each = (C + dc_threads() - 1) / dc_threads();

	return min_int((each + LEAST - 1) / LEAST * LEAST, BLOCK);
}

/* mean and biased variance of n_c columns, in two passes */
static inline void
column_stats(double *mean, double *var, const dc_real *x, int N, int C, int n_c)
{
	for (int c = 0; c < n_c; c++)
		mean[c] = var[c] = 0;
	for (int n = 0; n < N; n++)
		for (int c = 0; c < n_c; c++)
			mean[c] += x[(size_t)n * C + c];
	for (int c = 0; c < n_c; c++)
		mean[c] /= N;
	for (int n = 0; n < N; n++) {
		for (int c = 0; c < n_c; c++) {
			double d = x[(size_t)n * C + c] - mean[c];
			var[c] += d * d;
		}
	}
	for (int c = 0; c < n_c; c++)
		var[c] /= N;
}

DC_WIDE static void
forward_block(dc_real *y, dc_real *xhat, dc_real *mean, dc_real *rstd, dc_real *var_unbiased,
    const dc_real *x, const dc_real *w, const dc_real *b, int N, int C, int n_c)
{
	double m[BLOCK], v[BLOCK], r[BLOCK];

	column_stats(m, v, x, N, C, n_c);
	for (int c = 0; c < n_c; c++) {
		r[c] = 1 / sqrt(v[c] + DC_BN_EPS);
		mean[c] = (dc_real)m[c];
		rstd[c] = (dc_real)r[c];
		var_unbiased[c] = (dc_real)(N > 1 ? v[c] * N / (N - 1) : v[c]);
	}
	/* xhat = (x - mean) rstd;  y = w xhat + b */
	for (int n = 0; n < N; n++) {
		const size_t at = (size_t)n * C;
		for (int c = 0; c < n_c; c++) {
			dc_real h = (dc_real)((x[at + c] - m[c]) * r[c]);
			xhat[at + c] = h;
			y[at + c] = w[c] * h + b[c];
		}
	}
}

void
dc_bn_forward(dc_real *y, dc_real *xhat, dc_real *mean, dc_real *rstd, dc_real *var_unbiased,
    const dc_real *x, const dc_real *w, const dc_real *b, int N, int C)
{
	const int block = block_of(C);

	#pragma omp parallel for if ((size_t)N * C > DC_PARALLEL)
	for (int c = 0; c < C; c += block)
		forward_block(y + c, xhat + c, mean + c, rstd + c, var_unbiased + c, x + c, w + c, b + c,
		    N, C, min_int(block, C - c));
}

void
dc_bn_apply(dc_real *y, const dc_real *x, const dc_real *mean, const dc_real *var,
    const dc_real *w, const dc_real *b, int N, int C)
{
	#pragma omp parallel for if ((size_t)N * C > DC_PARALLEL)
	for (int n = 0; n < N; n++) {
		const size_t at = (size_t)n * C;
		for (int c = 0; c < C; c++) {
			double rstd = 1 / sqrt((double)var[c] + DC_BN_EPS);
			y[at + c] = (dc_real)(w[c] * ((x[at + c] - mean[c]) * rstd) + b[c]);
		}
	}
}

/* y = w (x - mean(x)) rstd(x) + b, with g_n = dy_n w:
 *	dw = sum_n dy_n xhat_n,  db = sum_n dy_n
 *	dx_n = rstd (g_n - 1/N sum g - xhat_n 1/N sum g xhat) = w rstd (dy_n - db/N - xhat_n dw/N) */
DC_WIDE static void
backward_block(dc_real *dx, dc_real *dw, dc_real *db, const dc_real *dy, const dc_real *xhat,
    const dc_real *rstd, const dc_real *w, int N, int C, int n_c)
{
	double sw[BLOCK] = { 0 }, sb[BLOCK] = { 0 }, mw[BLOCK], mb[BLOCK];

	for (int n = 0; n < N; n++) {
		const size_t at = (size_t)n * C;
		for (int c = 0; c < n_c; c++) {
			sw[c] += (double)dy[at + c] * xhat[at + c];
			sb[c] += dy[at + c];
		}
	}
	for (int c = 0; c < n_c; c++) {
		mb[c] = sb[c] / N;
		mw[c] = sw[c] / N;
	}
	for (int n = 0; n < N; n++) {
		const size_t at = (size_t)n * C;
		for (int c = 0; c < n_c; c++)
			dx[at + c] = (dc_real)(w[c] * rstd[c] * (dy[at + c] - mb[c] - xhat[at + c] * mw[c]));
	}
	for (int c = 0; dw && c < n_c; c++)
		dw[c] += (dc_real)sw[c];
	for (int c = 0; db && c < n_c; c++)
		db[c] += (dc_real)sb[c];
}

void
dc_bn_backward(dc_real *dx, dc_real *dw, dc_real *db, const dc_real *dy, const dc_real *xhat,
    const dc_real *rstd, const dc_real *w, int N, int C)
{
	const int block = block_of(C);

	#pragma omp parallel for if ((size_t)N * C > DC_PARALLEL)
	for (int c = 0; c < C; c += block)
		backward_block(dx + c, dw ? dw + c : NULL, db ? db + c : NULL, dy + c, xhat + c, rstd + c, w + c,
		    N, C, min_int(block, C - c));
}

void
dc_bn_sums(double *s, const dc_real *x, int N, int C)
{
	const int block = block_of(C);

	for (int c = 0; c < 2 * C; c++)
		s[c] = 0;
	#pragma omp parallel for if ((size_t)N * C > DC_PARALLEL)
	for (int from = 0; from < C; from += block)
		for (int n = 0; n < N; n++)
			for (int c = from; c < min_int(from + block, C); c++) {
				const double v = x[(size_t)n * C + c];
				s[c] += v;
				s[C + c] += v * v;
			}
}

/* mean = s/all,  var = s2/all - mean^2 */
void
dc_bn_forward_sums(dc_real *y, dc_real *xhat, dc_real *mean, dc_real *rstd, dc_real *var_unbiased,
    const dc_real *x, const dc_real *w, const dc_real *b, int N, int C, const double *s, double all)
{
	#pragma omp parallel for if ((size_t)N * C > DC_PARALLEL)
	for (int c = 0; c < C; c++) {
		const double m = all > 0 ? s[c] / all : 0, v = all > 0 ? fmax(s[C + c] / all - m * m, 0) : 0, r = 1 / sqrt(v + DC_BN_EPS);

		mean[c] = (dc_real)m;
		rstd[c] = (dc_real)r;
		var_unbiased[c] = (dc_real)(all > 1 ? v * all / (all - 1) : v);
		for (size_t n = 0; n < (size_t)N; n++) {
			const dc_real h = (dc_real)((x[n * (size_t)C + (size_t)c] - m) * r);
			xhat[n * (size_t)C + (size_t)c] = h;
			y[n * (size_t)C + (size_t)c] = w[c] * h + b[c];
		}
	}
}

void
dc_bn_backward_sums(double *s, const dc_real *dy, const dc_real *xhat, int N, int C)
{
	const int block = block_of(C);

	for (int c = 0; c < 2 * C; c++)
		s[c] = 0;
	#pragma omp parallel for if ((size_t)N * C > DC_PARALLEL)
	for (int from = 0; from < C; from += block)
		for (int n = 0; n < N; n++)
			for (int c = from; c < min_int(from + block, C); c++) {
				s[c] += dy[(size_t)n * C + c];
				s[C + c] += (double)dy[(size_t)n * C + c] * xhat[(size_t)n * C + c];
			}
}

/* dx_n = w rstd (dy_n - db/N - xhat_n dw/N), with the sums and the N of all processes */
void
dc_bn_backward_all(dc_real *dx, const dc_real *dy, const dc_real *xhat, const dc_real *rstd, const dc_real *w, int N, int C,
    const double *s, double all)
{
	#pragma omp parallel for if ((size_t)N * C > DC_PARALLEL)
	for (int n = 0; n < N; n++) {
		const size_t at = (size_t)n * C;
		for (int c = 0; c < C; c++)
			dx[at + c] = (dc_real)(w[c] * rstd[c] * (dy[at + c] - s[c] / all - xhat[at + c] * (s[C + c] / all)));
	}
}
