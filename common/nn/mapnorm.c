/* SPDX-License-Identifier: MIT */
#include "nn/mapnorm.h"

#include <string.h>

#include "nn/batchnorm.h"
#include "nn/gemm.h"

/* Rows are taken in runs, whose sums are put together in their order: what a run adds up stays in the cache, and the
 * number of threads changes nothing. */
enum { RUN = 1 << 15, RUN_MIN = 32, RUN_MAX = 1024 };

static size_t
run_rows(int C)
{
	size_t n = RUN / (size_t)C;

	return n < RUN_MIN ? RUN_MIN : n > RUN_MAX ? RUN_MAX : n;
}

static double *
doubles(struct dc_arena *arena, size_t n)
{
	return dc_arena_alloc(arena, n, sizeof(double));
}

/* mean and sum of squares about it of `rows` rows */
static void
run_moments(double *restrict mean, double *restrict square, const dc_real *restrict x, size_t rows, int C)
{
	memset(mean, 0, (size_t)C * sizeof(*mean));
	memset(square, 0, (size_t)C * sizeof(*square));
	for (size_t r = 0; r < rows; r++)
		for (int c = 0; c < C; c++)
			mean[c] += (double)x[r * C + c];
	for (int c = 0; c < C; c++)
		mean[c] /= (double)rows;
	for (size_t r = 0; r < rows; r++)
		for (int c = 0; c < C; c++) {
			const double d = (double)x[r * C + c] - mean[c];

			square[c] += d * d;
		}
}

/* The whole's from the runs': mean = sum n_k mean_k / R,  var = sum (square_k + n_k (mean_k - mean)^2) / R */
static void
join_moments(double *mean, double *var, const double *part, size_t runs, size_t run, size_t R, int C)
{
	memset(mean, 0, (size_t)C * sizeof(*mean));
	memset(var, 0, (size_t)C * sizeof(*var));
	for (size_t k = 0; k < runs; k++) {
		const double rows = (double)(R - k * run < run ? R - k * run : run);

		for (int c = 0; c < C; c++)
			mean[c] += part[2 * k * C + c] * (rows / (double)R);
	}
	for (size_t k = 0; k < runs; k++) {
		const double rows = (double)(R - k * run < run ? R - k * run : run);

		for (int c = 0; c < C; c++) {
			const double d = part[2 * k * C + c] - mean[c];

			var[c] += (part[(2 * k + 1) * C + c] + rows * d * d) / (double)R;
		}
	}
}

static void
running(dc_real *mean, dc_real *rstd, const struct dc_mapnorm *t)
{
	for (int c = 0; c < t->C; c++) {
		mean[c] = t->run_mean[c];
		rstd[c] = (dc_real)(1 / sqrt((double)t->run_var[c] + DC_BN_EPS));
	}
}

void
dc_mapnorm_statistics(dc_real *mean, dc_real *rstd, dc_real *var_unbiased, const dc_real *x, const struct dc_mapnorm *t,
	size_t R, struct dc_arena *arena)
{
	const int C = t->C;
	const size_t run = run_rows(C), runs = (R + run - 1) / run;
	struct dc_arena_mark mark = dc_arena_mark(arena);
	double *part, *m, *v;

	if (t->fixed) {
		running(mean, rstd, t);
		return;
	}
	part = doubles(arena, 2 * runs * (size_t)C);
	m = doubles(arena, (size_t)C);
	v = doubles(arena, (size_t)C);
#pragma omp parallel for schedule(static) if (R * C > DC_PARALLEL)
	for (size_t k = 0; k < runs; k++)
		run_moments(part + 2 * k * C, part + (2 * k + 1) * C, x + k * run * C, R - k * run < run ? R - k * run : run, C);
	join_moments(m, v, part, runs, run, R, C);
	for (int c = 0; c < C; c++) {
		mean[c] = (dc_real)m[c];
		rstd[c] = (dc_real)(1 / sqrt(v[c] + DC_BN_EPS));
		if (var_unbiased)
			var_unbiased[c] = (dc_real)(R > 1 ? v[c] * (double)R / (double)(R - 1) : v[c]);
	}
	dc_arena_release(arena, mark);
}

enum { STRIP = 256 };   /* columns at a time: their factors stay in the first cache */

/* a = w rstd */
static int
factors(dc_real *a, const dc_real *rstd, const struct dc_mapnorm *t, int c0)
{
	const int n = t->C - c0 < STRIP ? t->C - c0 : STRIP;

	for (int c = 0; c < n; c++)
		a[c] = t->w.w[c0 + c] * rstd[c0 + c];
	return n;
}

/* y = a (x - mean) + b (+ residual), then max(y, 0); n columns of rows [from, to). NaN stays. */
static void
apply_strip(dc_real *y, const dc_real *x, const dc_real *residual, const dc_real *mean, const dc_real *a, const dc_real *b,
	int relu, size_t from, size_t to, size_t C, int n)
{
	const dc_real floor = relu ? 0 : -(dc_real)INFINITY;

	for (size_t r = from; r < to; r++) {
		const size_t at = r * C;

		if (residual) {
#pragma omp simd
			for (int c = 0; c < n; c++) {
				const dc_real v = (x[at + c] - mean[c]) * a[c] + b[c] + residual[at + c];

				y[at + c] = v < floor ? floor : v;
			}
		} else {
#pragma omp simd
			for (int c = 0; c < n; c++) {
				const dc_real v = (x[at + c] - mean[c]) * a[c] + b[c];

				y[at + c] = v < floor ? floor : v;
			}
		}
	}
}

void
dc_mapnorm_apply(dc_real *y, const dc_real *x, const dc_real *residual, const dc_real *mean, const dc_real *rstd,
	const struct dc_mapnorm *t, int relu, size_t R)
{
	const size_t run = run_rows(t->C);

#pragma omp parallel for schedule(static) if (R * t->C > DC_PARALLEL)
	for (size_t r = 0; r < R; r += run)
		for (int c = 0; c < t->C; c += STRIP) {
			dc_real a[STRIP];
			const int n = factors(a, rstd, t, c);

			apply_strip(y + c, x + c, residual ? residual + c : NULL, mean + c, a, t->b.w + c, relu, r,
				R - r < run ? R : r + run, (size_t)t->C, n);
		}
}

/* What passes the ReLU of dy: all, or where (x - mean) a + b > 0 */
static inline dc_real
passed(dc_real dy, dc_real x, dc_real mean, dc_real a, dc_real b, int relu)
{
	return !relu || (x - mean) * a + b > 0 ? dy : 0;
}

/* sb += sum dz, sw += sum dz xhat over `rows` rows, dz = what passes of dy */
static void
run_sums(double *restrict sb, double *restrict sw, const dc_real *restrict dy, const dc_real *restrict x, const dc_real *mean,
	const dc_real *rstd, const struct dc_mapnorm *t, int relu, size_t rows)
{
	const size_t C = (size_t)t->C;

	for (int c0 = 0; c0 < t->C; c0 += STRIP) {
		dc_real a[STRIP];
		double b[STRIP] = { 0 }, w[STRIP] = { 0 };
		const int n = factors(a, rstd, t, c0);

		for (size_t r = 0; r < rows; r++)
			for (int c = 0; c < n; c++) {
				const dc_real xr = x[r * C + c0 + c], m = mean[c0 + c];
				const double dz = (double)passed(dy[r * C + c0 + c], xr, m, a[c], t->b.w[c0 + c], relu);

				b[c] += dz;
				w[c] += dz * (double)(xr - m);
			}
		for (int c = 0; c < n; c++) {
			sb[c0 + c] = b[c];
			sw[c0 + c] = w[c] * (double)rstd[c0 + c];
		}
	}
}

/* dx = a (dz - sb/R - xhat sw/R), or with given statistics a dz; rows [from, to) */
static void
run_backward(dc_real *dx, const dc_real *dy, const dc_real *x, const dc_real *mean, const dc_real *rstd, const dc_real *sb,
	const dc_real *sw, const struct dc_mapnorm *t, int relu, size_t from, size_t to)
{
	const size_t C = (size_t)t->C;

	for (int c0 = 0; c0 < t->C; c0 += STRIP) {
		dc_real a[STRIP];
		const int n = factors(a, rstd, t, c0);

		for (size_t r = from; r < to; r++)
#pragma omp simd
			for (int c = 0; c < n; c++) {
				const size_t at = r * C + (size_t)(c0 + c);
				const dc_real m = mean[c0 + c], dz = passed(dy[at], x[at], m, a[c], t->b.w[c0 + c], relu);

				dx[at] = a[c] * (dz - sb[c0 + c] - (x[at] - m) * sw[c0 + c]);
			}
	}
}

/* y = w (x - mean(x)) rstd(x) + b:
 *	db = sum dz,  dw = sum dz xhat,  dx = w rstd (dz - db/R - xhat dw/R) */
void
dc_mapnorm_backward(dc_real *dx, const dc_real *dy, const dc_real *x, const dc_real *mean, const dc_real *rstd,
	const struct dc_mapnorm *t, int relu, size_t R, struct dc_arena *arena)
{
	const int C = t->C;
	const size_t run = run_rows(C), runs = (R + run - 1) / run;
	struct dc_arena_mark mark = dc_arena_mark(arena);
	double *part = doubles(arena, 2 * runs * (size_t)C), *sum = doubles(arena, 2 * (size_t)C);
	dc_real *sb = dc_arena_reals(arena, (size_t)C), *sw = dc_arena_reals(arena, (size_t)C);

#pragma omp parallel for schedule(static) if (R * C > DC_PARALLEL)
	for (size_t k = 0; k < runs; k++)
		run_sums(part + 2 * k * C, part + (2 * k + 1) * C, dy + k * run * C, x + k * run * C, mean, rstd, t, relu,
			R - k * run < run ? R - k * run : run);
	memset(sum, 0, 2 * (size_t)C * sizeof(*sum));
	for (size_t k = 0; k < runs; k++)
		for (int c = 0; c < 2 * C; c++)
			sum[c] += part[2 * k * C + c];
	for (int c = 0; c < C; c++) {
		sb[c] = t->fixed ? 0 : (dc_real)(sum[c] / (double)R);
		sw[c] = t->fixed ? 0 : (dc_real)(sum[C + c] / (double)R * (double)rstd[c]);   /* times x - mean: rstd is in it */
	}
#pragma omp parallel for schedule(static) if (R * C > DC_PARALLEL)
	for (size_t r = 0; r < R; r += run)
		run_backward(dx, dy, x, mean, rstd, sb, sw, t, relu, r, R - r < run ? R : r + run);
	for (int c = 0; c < C; c++) {
		if (t->b.g)
			t->b.g[c] += (dc_real)sum[c];
		if (t->w.g)
			t->w.g[c] += (dc_real)sum[C + c];
	}
	dc_arena_release(arena, mark);
}

void
dc_relu_backward(dc_real *dy, const dc_real *y, size_t n)
{
#pragma omp parallel for schedule(static) if (n > DC_PARALLEL)
	for (size_t i = 0; i < n; i++)
		dy[i] = y[i] > 0 ? dy[i] : 0;
}
