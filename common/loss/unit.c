/* SPDX-License-Identifier: MIT */
#include "loss/unit.h"

#include <stddef.h>

#include "nn/gemm.h"

static double
inverse_norm(const dc_real *x, int D)
{
	double sum = 0;

	for (int d = 0; d < D; d++)
		sum += (double)x[d] * x[d];
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
		double dot = 0;
		for (int d = 0; d < D; d++)
			dot += x[at + d] * du[at + d];
		dot *= r[n] * r[n];
		for (int d = 0; d < D; d++)
			dx[at + d] = (dc_real)(r[n] * (du[at + d] - x[at + d] * dot));
	}
}
