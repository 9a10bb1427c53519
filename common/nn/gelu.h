/* SPDX-License-Identifier: MIT */
/* The two activations of CLIP's towers:
 *	QuickGELU (OpenAI CLIP)             y = x sigmoid(1.702 x)
 *	GELU (Hendrycks, Gimpel 2016)       y = x Phi(x),  Phi(x) = (1 + erf(x / sqrt 2)) / 2 */
#ifndef DC_NN_GELU_H
#define DC_NN_GELU_H

#include <stddef.h>
#include "base/real.h"

void dc_gelu_forward(dc_real *y, const dc_real *x, size_t n, int quick);

/* dx = dy y'(x); y is computed once more on the way (so it need not be kept). dx may be dy. */
void dc_gelu_backward(dc_real *dx, dc_real *y, const dc_real *dy, const dc_real *x, size_t n, int quick);

#endif
