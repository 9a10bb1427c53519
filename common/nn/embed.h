/* SPDX-License-Identifier: MIT */
/* What enters a tower: class token, patches and positions for images; tokens and positions for packed captions. */
#ifndef DC_NN_EMBED_H
#define DC_NN_EMBED_H

#include <stdint.h>
#include "base/real.h"
#include "nn/arena.h"

/* x [n, 1 + G, W]: x_0 = cls + pos_0, x_1+g = patch_g + pos_1+g; patch [n,G,W], cls [W], pos [1 + G, W]. */
void dc_embed_image_forward(dc_real *x, const dc_real *patch, const dc_real *cls, const dc_real *pos, int n, int G, int W);
/* dcls and dpos accumulate, dpatch [n,G,W] is overwritten; each may be NULL. */
void dc_embed_image_backward(dc_real *dpatch, dc_real *dcls, dc_real *dpos, const dc_real *dx, int n, int G, int W);

/* x [R,W] = token[id] + pos[p]; token [V,W], id V is mask [W] (NULL where the model has none); id, p [R]. */
void dc_embed_text_forward(dc_real *x, const dc_real *token, const dc_real *mask, const dc_real *pos, const int32_t *id,
	const int32_t *p, int R, int V, int W);
/* dtoken [V,W], dmask [W], dpos [T,W] accumulate; each may be NULL. Rows of one id are added in their order, in double:
 * the result does not depend on the number of threads. */
void dc_embed_text_backward(dc_real *dtoken, dc_real *dmask, dc_real *dpos, const dc_real *dx, const int32_t *id,
	const int32_t *p, int R, int V, int T, int W, struct dc_arena *arena);

#endif
