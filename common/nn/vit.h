/* SPDX-License-Identifier: MIT */
/* The image tower: a vision transformer as CLIP has it (Radford et al. 2021; Dosovitskiy et al. 2020):
 *	x = [class; patches conv1^T] + positional,  x = blocks(ln_pre x),  feature = ln_post(x_class) proj. */
#ifndef DC_NN_VIT_H
#define DC_NN_VIT_H

#include "nn/lanes.h"
#include "nn/patch.h"

struct dc_vit {
	int S, P, G, W, D;                 /* image, patch; G = (S / P)^2 patches; width; features */
	struct dc_patch patch;
	struct dc_par conv1;               /* [W,3,P,P] */
	struct dc_par cls, pos;            /* [W], [1 + G, W] */
	struct dc_par ln_pre_w, ln_pre_b, ln_post_w, ln_post_b; /* [W] */
	struct dc_par proj;                /* [W,D] */
	struct dc_blocks blocks;
	struct dc_lanes *lanes;
};

/* What one pass keeps for its backward pass. */
struct dc_vit_kept {
	int n;
	const uint8_t *rgb;                /* a copy [n,S,S,3], only where conv1 has a gradient */
	struct dc_pack pack;
	dc_real *x;                        /* [n (1 + G), W] before ln_pre */
	dc_real *mean_pre, *rstd_pre;
	struct dc_lanes_kept blocks;
	dc_real *y;                        /* [n,W] the class token after the blocks */
	int tokens;                        /* the patches' rows went out too */
	dc_real *mean_post, *rstd_post, *z; /* z [n,W] = ln_post y */
};

/* What a pass gives. NULL: not wanted. */
struct dc_vit_out {
	dc_real *features;                 /* [n,D] */
	dc_real *pooled;                   /* [n,W] ln_post(x_class): the features before the projection */
	dc_real *tokens;                   /* [n,G,W] the patches' rows as the blocks leave them, without ln_post */
};

/* From rgb u8 [n,S,S,3]. kept NULL: nothing is kept on the arena. */
void dc_vit_forward(const struct dc_vit_out *out, struct dc_vit_kept *kept, const struct dc_vit *t, const uint8_t *rgb,
	int n, struct dc_arena *arena);
/* Parameters' gradients += those by the gradients of what the pass gave (NULL: zero). */
void dc_vit_backward(const struct dc_vit_kept *kept, const struct dc_vit *t, const struct dc_vit_out *d,
	struct dc_arena *arena);

#endif
