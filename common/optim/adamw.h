/* SPDX-License-Identifier: MIT */
/* AdamW (Loshchilov and Hutter, arXiv 1711.05101), the global norm of the gradient, and a moving average of the weights.
 *
 *	double sum = 0;
 *	for each tensor: sum += dc_sum_squares(g, n);        // not finite: some element of g is not
 *	double scale = dc_clip_scale(sqrt(sum), max_norm);
 *	for each tensor: dc_adamw(w, m, v, g, n, &o, lr, t, decay, scale);
 *
 * Results do not depend on the number of threads. */
#ifndef DC_OPTIM_ADAMW_H
#define DC_OPTIM_ADAMW_H

#include <stddef.h>
#include <stdint.h>
#include "base/real.h"

struct dc_adamw { double beta1, beta2, eps, weight_decay; };

/* One tensor's update, its t-th (from 1), in one sweep; with g' = scale g:
 *	w <- w - lr weight_decay w                     (only with `decay`)
 *	m <- m + (1 - beta1) (g' - m)
 *	v <- beta2 v + (1 - beta2) g'^2
 *	w <- w - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 * as torch.optim.AdamW orders it. */
void dc_adamw(dc_real *w, dc_real *m, dc_real *v, const dc_real *g, size_t n, const struct dc_adamw *o, double lr,
    uint64_t t, int decay, double scale);

/* The sum of x_i^2 in double, added up in a fixed order. */
double dc_sum_squares(const dc_real *x, size_t n);

/* What to multiply the gradient with so that its norm is at most max: min(1, max / (norm + 1e-6)); 1 where max is 0. */
double dc_clip_scale(double norm, double max);

/* e <- decay e + (1 - decay) w */
void dc_ema(dc_real *e, const dc_real *w, size_t n, double decay);

#endif
