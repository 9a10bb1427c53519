/* SPDX-License-Identifier: MIT */
#include "loss/unit.h"

#include <stddef.h>

#include "nn/gemm.h"

enum { SUMS = 8 };

/* Sums side by side, which a compiler may take for lanes of a vector: as many on any processor. */
static double
total(double sum[SUMS])
{
	for (int n = SUMS / 2; n > 0; n /= 2)
		for (int l = 0; l < n; l++)
			sum[l] += sum[l + n];
	return sum[0];
}

static double
squares(const dc_real *x, int D)
{
	double sum[SUMS] = { 0 };
	int d = 0;

	for (; d + SUMS <= D; d += SUMS)
		for (int l = 0; l < SUMS; l++)
			sum[l] += (double)x[d + l] * x[d + l];
	for (; d < D; d++)
		sum[0] += (double)x[d] * x[d];
	return total(sum);
}

static double
product(const dc_real *x, const double *y, int D)
{
	double sum[SUMS] = { 0 };
	int d = 0;

	for (; d + SUMS <= D; d += SUMS)
		for (int l = 0; l < SUMS; l++)
			sum[l] += x[d + l] * y[d + l];
	for (; d < D; d++)
		sum[0] += x[d] * y[d];
	return total(sum);
}

static double
inverse_norm(const dc_real *x, int D)
{
	const double sum = squares(x, D);

	return sum == 0 ? 0 : 1 / sqrt(sum);   /* NaN stays */
}

void
dc_unit_forward(dc_real *u, dc_real *r, const dc_real *x, int N, int D)
{
	#pragma omp parallel for if ((size_t)N * D > DC_PARALLEL)
	for (int n = 0; n < N; n++) {
		const size_t at = (size_t)n * D;
		const double rn = inverse_norm(x + at, D);
		for (int d = 0; d < D; d++)
			u[at + d] = (dc_real)(x[at + d] * rn);
		r[n] = (dc_real)rn;
	}
}

void
dc_unit_norms(double *r, const dc_real *x, int N, int D)
{
	#pragma omp parallel for if ((size_t)N * D > DC_PARALLEL)
	for (int n = 0; n < N; n++)
		r[n] = inverse_norm(x + (size_t)n * D, D);
}

void
dc_unit_rows(dc_real *u, const dc_real *x, const double *r, int N, int D)
{
	#pragma omp parallel for if ((size_t)N * D > DC_PARALLEL)
	for (int n = 0; n < N; n++)
		for (int d = 0; d < D; d++)
			u[(size_t)n * D + d] = (dc_real)(x[(size_t)n * D + d] * r[n]);
}

void
dc_unit_backward(dc_real *dx, const double *du, const dc_real *x, const double *r, int N, int D)
{
	#pragma omp parallel for if ((size_t)N * D > DC_PARALLEL)
	for (int n = 0; n < N; n++) {
		const size_t at = (size_t)n * D;
		const double dot = r[n] * r[n] * product(x + at, du + at, D);
		for (int d = 0; d < D; d++)
			dx[at + d] = (dc_real)(r[n] * (du[at + d] - x[at + d] * dot));
	}
}
