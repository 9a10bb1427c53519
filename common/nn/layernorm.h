/* SPDX-License-Identifier: MIT */
/* Layer normalisation (Ba, Kiros, Hinton 2016) of rows, eps 1e-5:
 *	y = xhat w + b,  xhat = (x - mean) rstd,  rstd = 1 / sqrt(var + eps),  mean and var over the C elements of a row.
 * Sums in double. */
#ifndef DC_NN_LAYERNORM_H
#define DC_NN_LAYERNORM_H

#include "base/real.h"

/* y, x [M,C]; mean, rstd [M] saved for the backward pass; w, b [C]. */
void dc_ln_forward(dc_real *y, dc_real *mean, dc_real *rstd, const dc_real *x, const dc_real *w, const dc_real *b,
	int M, int C);
/* The same y again from the saved mean and rstd. */
void dc_ln_apply(dc_real *y, const dc_real *mean, const dc_real *rstd, const dc_real *x, const dc_real *w,
	const dc_real *b, int M, int C);
/* dx [M,C] += the gradient by x; dw, db [C] accumulate (NULL: frozen). dy and dx must not overlap. */
void dc_ln_backward(dc_real *dx, dc_real *dw, dc_real *db, const dc_real *dy, const dc_real *x, const dc_real *mean,
	const dc_real *rstd, const dc_real *w, int M, int C);

#endif
