/* SPDX-License-Identifier: MIT */
/* Convolutions and average pooling over maps [n,H,W,C]: a pixel's channels lie side by side, so that a 1x1 convolution is
 * a product with the rows as they lie, and a 3x3 one a product with rows of nine pixels, gathered a tile at a time, or where
 * that pays Winograd's (winograd.h). */
#ifndef DC_NN_CONV_H
#define DC_NN_CONV_H

#include <stdint.h>
#include "base/real.h"
#include "nn/arena.h"

/* Stride 1, one pixel of zeros around: y [n,H,W,O], x [n,H,W,I], w [O,I,3,3];
 *	y[s,p,q,o] = sum_{i,a,b} w[o,i,a,b] x[s, p+a-1, q+b-1, i].  y is overwritten. */
void dc_conv3_forward(dc_real *y, const dc_real *x, const dc_real *w, int n, int H, int W, int I, int O,
	struct dc_arena *arena);
/* dx [n,H,W,I] is overwritten (NULL: not wanted); dw [O,I,3,3] is added to (NULL: not wanted). */
void dc_conv3_backward(dc_real *dx, dc_real *dw, const dc_real *dy, const dc_real *x, const dc_real *w, int n, int H, int W,
	int I, int O, struct dc_arena *arena);

/* The same over pixels and with stride 2, as the stem begins: y [n,G,G,O], G = (S + 1) / 2, rgb u8 [n,S,S,3], w [O,3,3,3];
 * level: channel, u8 -> (u8 / 255 - mean) / std; the border is 0 after that. */
void dc_conv3_pixels_forward(dc_real *y, const dc_real level[3][256], const uint8_t *rgb, const dc_real *w, int n, int S,
	int O, struct dc_arena *arena);
/* dw += ... ; pixels have no gradient. */
void dc_conv3_pixels_backward(dc_real *dw, const dc_real *dy, const dc_real level[3][256], const uint8_t *rgb, int n, int S,
	int O, struct dc_arena *arena);

/* y [n,H/2,W/2,C]: the mean of each 2x2; an odd last row or column is not seen. */
void dc_pool2_forward(dc_real *y, const dc_real *x, int n, int H, int W, int C);
/* dx [n,H,W,C] <- beta dx + what its quarter of dy is; beta is 0 or 1. */
void dc_pool2_backward(dc_real *dx, dc_real beta, const dc_real *dy, int n, int H, int W, int C);

#endif
