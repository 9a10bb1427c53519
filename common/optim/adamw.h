/* SPDX-License-Identifier: MIT */
/* AdamW (Loshchilov and Hutter, arXiv 1711.05101), the global norm of the gradient, and a moving average of the weights.
 *
 *	for each tensor: x[i] = (struct dc_adamw_tensor){ ... };
 *	dc_squares(x, n, sum);                               // not finite: some element of x[i].g is not
 *	double scale = dc_clip_scale(sqrt(sum[0] + ...), max_norm);
 *	dc_adamw_sweep(x, n, &o, lr, scale, 1);              // the gradients are zero now
 *
 * Results do not depend on the number of threads. */
#ifndef DC_OPTIM_ADAMW_H
#define DC_OPTIM_ADAMW_H

#include <stddef.h>
#include <stdint.h>
#include "base/real.h"

struct dc_adamw { double beta1, beta2, eps, weight_decay; };

/* Elements of a cell. Of most rows of an embedding a batch says nothing: what of a tensor is zero is known by the cell, and
 * is not read again. */
enum { DC_CELL = 128 };
/* In a cell's byte: its gradient is zero (dc_squares says so of this step); its moments are too (dc_adamw_cold says so where
 * a run begins, and dc_adamw_sweep keeps it true). */
enum { DC_CELL_ZERO = 1, DC_CELL_COLD = 2 };
static inline size_t dc_cells(size_t n) { return (n + DC_CELL - 1) / DC_CELL; }

/* A tensor's arrays [n], its cells [dc_cells(n)], which of its updates this is (from 1), and whether it decays. */
struct dc_adamw_tensor { dc_real *w, *m, *v, *g; unsigned char *cell; size_t n; uint64_t t; int decay; };

/* sum[i] = the sum of squares of x[i].g in double, added up in a fixed order; and the cells' DC_CELL_ZERO. */
void dc_squares(const struct dc_adamw_tensor *x, int n, double *sum);

/* DC_CELL_COLD as the moments are. */
void dc_adamw_cold(const struct dc_adamw_tensor *x);

/* The update of n tensors in one sweep; with g' = scale g:
 *	w <- w - lr weight_decay w                     (only with `decay`)
 *	m <- m + (1 - beta1) (g' - m)
 *	v <- beta2 v + (1 - beta2) g'^2
 *	w <- w - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 * as torch.optim.AdamW orders it. A cell that is zero and cold has nothing but the first line, to the bit. `clear`: set
 * g to zero behind it. */
void dc_adamw_sweep(const struct dc_adamw_tensor *x, int n, const struct dc_adamw *o, double lr, double scale, int clear);

/* What to multiply the gradient with so that its norm is at most max: min(1, max / (norm + 1e-6)); 1 where max is 0. */
double dc_clip_scale(double norm, double max);

/* e <- decay e + (1 - decay) w */
void dc_ema(dc_real *e, const dc_real *w, size_t n, double decay);

#endif
