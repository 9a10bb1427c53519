/* SPDX-License-Identifier: MIT */
#include "loss/unit.h"

#include <stddef.h>

#include "nn/gemm.h"

void
dc_unit_forward(dc_real *u, dc_real *r, const dc_real *x, int N, int D)
{
	#pragma omp parallel for if ((size_t)N * D > DC_PARALLEL)
	for (int n = 0; n < N; n++) {
		const dc_real *x_n = x + (size_t)n * D;
		double sum = 0, rn;
		for (int d = 0; d < D; d++)
			sum += (double)x_n[d] * x_n[d];
		rn = sum == 0 ? 0 : 1 / sqrt(sum);   /* NaN stays */
		for (int d = 0; d < D; d++)
			u[(size_t)n * D + d] = (dc_real)(x_n[d] * rn);
		r[n] = (dc_real)rn;
	}
}

void
dc_unit_backward(dc_real *dx, const dc_real *du, const dc_real *u, const dc_real *r, int N, int D)
{
	#pragma omp parallel for if ((size_t)N * D > DC_PARALLEL)
	for (int n = 0; n < N; n++) {
		const size_t at = (size_t)n * D;
		double dot = 0;
		for (int d = 0; d < D; d++)
			dot += (double)u[at + d] * du[at + d];
		for (int d = 0; d < D; d++)
			dx[at + d] = (dc_real)(r[n] * (du[at + d] - u[at + d] * dot));
	}
}
