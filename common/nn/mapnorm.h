/* SPDX-License-Identifier: MIT */
/* Batch normalisation of maps, with what follows it in a ResNet: y = relu(w (x - mean) rstd + b + residual). A map
 * [n,H,W,C] is R = n H W rows of C channels. Nothing of the size of a map is kept but x: the backward pass takes the sign
 * before the ReLU from the same expression again. */
#ifndef DC_NN_MAPNORM_H
#define DC_NN_MAPNORM_H

#include <stddef.h>
#include "base/real.h"
#include "nn/arena.h"
#include "nn/linear.h"

/* One layer. run_mean, run_var [C]: the running statistics; with `fixed` they are what it normalises by, and no gradient
 * goes through them. */
struct dc_mapnorm { struct dc_par w, b; const dc_real *run_mean, *run_var; int C, fixed; };

/* mean and rstd = 1 / sqrt(var + 1e-5) [C] that x [R,C] is normalised by; var_unbiased [C] = var R/(R-1) for the running
 * statistics (R = 1: var; NULL: not wanted). Sums in double, the same for any number of threads. */
void dc_mapnorm_statistics(dc_real *mean, dc_real *rstd, dc_real *var_unbiased, const dc_real *x, const struct dc_mapnorm *t,
	size_t R, struct dc_arena *arena);

/* y [R,C], which may be x or residual; residual NULL: none; relu 0: without it. */
void dc_mapnorm_apply(dc_real *y, const dc_real *x, const dc_real *residual, const dc_real *mean, const dc_real *rstd,
	const struct dc_mapnorm *t, int relu, size_t R);

/* From dy [R,C], the gradient by y: dx [R,C] is overwritten, and may be dy; the gradients of w and b are added to. With
 * relu dy counts where w (x - mean) rstd + b > 0 (a layer with a residual has its ReLU taken back before). */
void dc_mapnorm_backward(dc_real *dx, const dc_real *dy, const dc_real *x, const dc_real *mean, const dc_real *rstd,
	const struct dc_mapnorm *t, int relu, size_t R, struct dc_arena *arena);

/* dy <- dy where y > 0, else 0 */
void dc_relu_backward(dc_real *dy, const dc_real *y, size_t n);

#endif
