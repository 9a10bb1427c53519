/* SPDX-License-Identifier: MIT */
/* The other image tower: CLIP's modified ResNet (Radford et al. 2021, 2.4; He et al. 2015). A stem of three 3x3
 * convolutions, the first with stride 2, and an average pool; four layers of bottlenecks
 *	y = relu(bn3(conv3(pool(relu(bn2(conv2(relu(bn1(conv1 x)))))))) + shortcut x)
 * in which a stride is an average pool before a convolution; attention pooling (attnpool.h). Maps are [n,H,W,C].
 *
 * In training a pass is normalised over its own n images, its statistics go to `stats`. Kept for the backward pass are the
 * convolutions' outputs and the blocks'; what lies between is computed again. */
#ifndef DC_NN_RESNET_H
#define DC_NN_RESNET_H

#include <stdint.h>
#include "nn/arena.h"
#include "nn/attnpool.h"
#include "nn/encoder.h"
#include "nn/mapnorm.h"
#include "nn/vit.h"

/* A convolution without bias [O,I,K,K], and its batch norm; `at`: which of the statistics is its. */
struct dc_res_conv { struct dc_par w; int I, O, at; struct dc_mapnorm bn; };
struct dc_res_block { struct dc_res_conv conv[3], down; int side, pool; }; /* side of its input; pool: stride 2; down.O 0: none */

struct dc_resnet {
	int S, W, D, n_blocks;             /* image side; width; features */
	dc_real level[3][256];             /* channel, u8 -> (u8 / 255 - mean) / std */
	struct dc_res_conv stem[3];
	struct dc_res_block *block;        /* [n_blocks] */
	struct dc_attnpool pool;
	struct dc_bn_stats *stats; int n_stats; /* of each batch norm, named "visual.bn1" ...; a pass adds a row */
	struct dc_laps *laps;              /* or NULL */
};

/* A convolution's output [R,O] and what it is normalised by [O]. */
struct dc_res_conv_kept { dc_real *x, *mean, *rstd; };
struct dc_res_block_kept { const dc_real *in; dc_real *out; struct dc_res_conv_kept conv[3], down; };
struct dc_resnet_kept {
	int n;
	const uint8_t *rgb;                /* a copy [n,S,S,3], only where the first convolution has a gradient */
	struct dc_res_conv_kept stem[3];
	dc_real *in;                       /* the stem's output */
	struct dc_res_block_kept *block;
	struct dc_attnpool_kept pool;
};

/* Everything but the weights, from the config; t->stats begin empty. */
void dc_resnet_init(struct dc_resnet *t, const struct dc_config *c);
void dc_resnet_free(struct dc_resnet *t);

/* As dc_vit_forward, from rgb u8 [n,S,S,3]. pooled [n, 32 W] is what the attention pooling has before its last projection,
 * tokens [n, (S/32)^2, 32 W] the last layer's map. kept NULL: nothing is kept on the arena. */
void dc_resnet_forward(const struct dc_vit_out *out, struct dc_resnet_kept *kept, const struct dc_resnet *t,
	const uint8_t *rgb, int n, struct dc_arena *arena);
/* Parameters' gradients += those by the gradients of what the pass gave (NULL: zero). */
void dc_resnet_backward(const struct dc_resnet_kept *kept, const struct dc_resnet *t, const struct dc_vit_out *d,
	struct dc_arena *arena);

/* Reals that a pass over an image keeps; *scratch: what its backward pass takes on top. */
double dc_resnet_kept_reals(const struct dc_resnet *t, double *scratch);

#endif
