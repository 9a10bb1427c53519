/* SPDX-License-Identifier: MIT */
/* The patch embedding of a vision transformer: a convolution with stride = kernel = P and no bias, which is a product
 * of the image's patches with conv1. Pixels stay u8 until here. */
#ifndef DC_NN_PATCH_H
#define DC_NN_PATCH_H

#include <stdint.h>
#include "base/real.h"
#include "nn/arena.h"

struct dc_patch {
	int S, P, W;               /* image side, patch side, width; (S / P)^2 patches; a border that fills none is not seen */
	dc_real level[3][256];     /* channel, u8 -> (u8 / 255 - mean) / std */
};

void dc_patch_init(struct dc_patch *t, int S, int P, int W, const double mean[3], const double std[3]);

/* The pixels of n images as rows: a [n G G, 3 P P] from rgb u8 [n,S,S,3], G = S / P; columns in conv1's order
 * (channel, y, x). */
void dc_patch_rows(dc_real *a, const struct dc_patch *t, const uint8_t *rgb, int n);

/* y [n, G G, W] = patches conv1^T; conv1 [W,3,P,P]. */
void dc_patch_forward(dc_real *y, const struct dc_patch *t, const uint8_t *rgb, int n, const dc_real *conv1,
	struct dc_arena *arena);
/* dconv1 += dy^T patches. Images have no gradient. */
void dc_patch_backward(dc_real *dconv1, const struct dc_patch *t, const dc_real *dy, const uint8_t *rgb, int n,
	struct dc_arena *arena);

#endif
