/* SPDX-License-Identifier: MIT */
/* The text tower of CLIP (Radford et al. 2021) over packed captions: each goes from its start token to its first end
 * token and no further, for nothing after the end token can change what is pooled there. (A masked caption of the
 * released reading, in which a random id may be an end token, goes to its last: words after the first are asked for.)
 *	x = token[id] + positional,  x = blocks(x),  feature = ln_final(x_end) text_projection,
 * or, with proj_bias, feature = text_projection.weight ln_final(x_end) + text_projection.bias.
 * The same weights without the causal mask serve the masked-language-model pass; its rows are the masked positions. */
#ifndef DC_NN_TEXT_H
#define DC_NN_TEXT_H

#include "base/util.h"
#include "nn/lanes.h"

struct dc_text_tower {
	int T, V, W, D;                    /* context length, vocabulary, width, features */
	struct dc_par token, mask, pos;    /* [V,W], [W] (w NULL: none), [T,W] */
	struct dc_par ln_final_w, ln_final_b; /* [W] */
	struct dc_par proj, proj_b;        /* [W,D], w NULL; or as a linear layer's [D,W], [D] */
	struct dc_blocks blocks;
	struct dc_lanes *lanes;
};

/* Packed captions, on the arena. */
struct dc_captions {
	struct dc_pack pack;               /* want: unset */
	int32_t *id, *p;                   /* [R] token and position */
	const int32_t *end;                /* [n] row of the first end token */
	int masks;                         /* how many are the mask token */
};

/* Pack token [n,T], rows `row` on of the batch, each up to its first end token (id V-1), or up to its last (`whole`).
 * Return 0, or -1 with a message naming row and position: an id outside the vocabulary, the mask token where the model has
 * none, no end token. Nothing is kept on the arena then. */
int dc_captions_pack(struct dc_captions *c, const struct dc_text_tower *t, const int32_t *token, int whole, int row,
	int n, struct dc_arena *arena) DC_MUST_USE;

/* What one pass keeps for its backward pass. */
struct dc_text_kept {
	struct dc_captions c;              /* with the rows wanted of the last block */
	struct dc_lanes_kept blocks;
	dc_real *y;                        /* [wanted,W] what the blocks gave */
};

/* y [c->pack.wanted, W] on the arena: the last block's rows that c->pack wants. With keep = 0 all else is released. */
void dc_text_forward(struct dc_text_kept *k, const struct dc_text_tower *t, const struct dc_captions *c, int keep,
	struct dc_arena *arena);
/* Parameters' gradients of embeddings and blocks += those by dy [wanted,W], which is used as scratch. */
void dc_text_backward(const struct dc_text_kept *k, const struct dc_text_tower *t, dc_real *dy, struct dc_arena *arena);

/* The pooled rows' way to the features and back: feature [n,D] = z proj (or z proj^T + proj_b), z = ln_final y [n,W]. */
struct dc_text_pool { int n; const dc_real *y; dc_real *mean, *rstd, *z; };
void dc_text_pool_forward(dc_real *features, struct dc_text_pool *k, const struct dc_text_tower *t, const dc_real *y, int n,
	struct dc_arena *arena);
/* dy [n,W] is overwritten. */
void dc_text_pool_backward(dc_real *dy, const struct dc_text_pool *k, const struct dc_text_tower *t,
	const dc_real *dfeatures, struct dc_arena *arena);

#endif
