/* SPDX-License-Identifier: MIT */
#include "optim/adamw.h"

#include <stdlib.h>

#include "base/util.h"

enum { BLOCK = 1 << 14, LANES = 8, PARALLEL_MIN = 1 << 16 };   /* elements */

void
dc_adamw(dc_real *restrict w, dc_real *restrict m, dc_real *restrict v, const dc_real *restrict g, size_t n,
    const struct dc_adamw *o, double lr, uint64_t t, int decay, double scale)
{
	const dc_real keep = (dc_real)(decay ? 1 - lr * o->weight_decay : 1), s = (dc_real)scale, eps = (dc_real)o->eps;
	const dc_real one_b1 = (dc_real)(1 - o->beta1), b2 = (dc_real)o->beta2, one_b2 = (dc_real)(1 - o->beta2);
	const dc_real rate = (dc_real)(lr / (1 - pow(o->beta1, (double)t)));
	const dc_real root = (dc_real)sqrt(1 - pow(o->beta2, (double)t));

#pragma omp parallel for schedule(static) if (n >= PARALLEL_MIN)
	for (size_t i = 0; i < n; i++) {
		dc_real gi = s * g[i];

		m[i] += one_b1 * (gi - m[i]);
		v[i] = b2 * v[i] + one_b2 * (gi * gi);
		w[i] = keep * w[i] - rate * (m[i] / (dc_rsqrt(v[i]) / root + eps));
	}
}

static double
sum_block(const dc_real *x, size_t n)
{
	double lane[LANES] = { 0 }, sum = 0;
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (int k = 0; k < LANES; k++)
			lane[k] += (double)x[i + (size_t)k] * (double)x[i + (size_t)k];
	for (; i < n; i++)
		sum += (double)x[i] * (double)x[i];
	for (int k = 0; k < LANES; k++)
		sum += lane[k];
	return sum;
}

double
dc_sum_squares(const dc_real *x, size_t n)
{
	size_t blocks = (n + BLOCK - 1) / BLOCK;
	double *part = dc_xcalloc(blocks + 1, sizeof(*part)), sum = 0;

#pragma omp parallel for schedule(static) if (n >= PARALLEL_MIN)
	for (size_t b = 0; b < blocks; b++)
		part[b] = sum_block(x + b * BLOCK, b + 1 < blocks ? BLOCK : n - b * BLOCK);
	for (size_t b = 0; b < blocks; b++)
		sum += part[b];
	free(part);
	return sum;
}

double
dc_clip_scale(double norm, double max)
{
	double scale = max / (norm + 1e-6);

	return max > 0 && scale < 1 ? scale : 1;
}

void
dc_ema(dc_real *restrict e, const dc_real *restrict w, size_t n, double decay)
{
	const dc_real rest = (dc_real)(1 - decay);

#pragma omp parallel for schedule(static) if (n >= PARALLEL_MIN)
	for (size_t i = 0; i < n; i++)
		e[i] += rest * (w[i] - e[i]);
}
