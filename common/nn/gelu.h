/* SPDX-License-Identifier: MIT */
/* The two activations of CLIP's towers:
 *	QuickGELU (OpenAI CLIP)             y = z sigmoid(1.702 z)
 *	GELU (Hendrycks, Gimpel 2016)       y = z Phi(z),  Phi(z) = (1 + erf(z / sqrt 2)) / 2
 * of z = x + b, rows x [M,C] and a bias b [C]: the product before them leaves its bias to them, which saves a pass over z. */
#ifndef DC_NN_GELU_H
#define DC_NN_GELU_H

#include "base/real.h"

void dc_gelu_forward(dc_real *y, const dc_real *x, const dc_real *b, int M, int C, int quick);

/* dx = dy y'(z), which is the gradient by x as well; y is computed once more on the way (so it need not be kept). dx may be dy. */
void dc_gelu_backward(dc_real *dx, dc_real *y, const dc_real *dy, const dc_real *x, const dc_real *b, int M, int C, int quick);

#endif
