/* SPDX-License-Identifier: MIT */
/* The transformer of both towers: pre-normalised residual blocks over packed sequences,
 *	x1 = x + out_proj(attention(in_proj(ln_1 x))),   x2 = x1 + c_proj(gelu(c_fc(ln_2 x1))).
 *
 * Of the last block only some rows may be wanted (the pooled token, the masked positions): then only those get a query,
 * an output projection and an MLP. This changes no result. */
#ifndef DC_NN_BLOCK_H
#define DC_NN_BLOCK_H

#include <stdint.h>
#include "base/real.h"
#include "nn/arena.h"
#include "nn/attention.h"
#include "nn/laps.h"
#include "nn/linear.h"

struct dc_block {
	struct dc_par ln_1_w, ln_1_b;      /* [W] */
	struct dc_par in_w, in_b;          /* [3W,W], [3W]: query, key, value */
	struct dc_par out_w, out_b;        /* [W,W], [W] */
	struct dc_par ln_2_w, ln_2_b;      /* [W] */
	struct dc_par fc_w, fc_b;          /* [F,W], [F] */
	struct dc_par proj_w, proj_b;      /* [W,F], [W] */
};

struct dc_blocks {
	int layers, W, heads, F, quick;    /* F: width of the MLP; quick: QuickGELU */
	struct dc_block *block;            /* [layers] */
	struct dc_laps *laps;              /* or NULL */
	int lean;                          /* keep each block's input alone, and compute the rest again in the backward pass */
};

/* The rows of one pass. */
struct dc_pack {
	int n, R, wanted;                  /* sequences; rows; rows that leave the last block */
	int causal;
	const int32_t *off;                /* [n+1] first row of each sequence */
	const int32_t *want_off, *want;    /* [n+1] and row numbers [wanted], by sequence; NULL: every row, wanted = R */
};

/* What one block keeps for its backward pass; all but x is gone meanwhile where it is lean (the last block never is, where
 * only some rows are wanted: it is small). Rq: rows with a query, R but in the last block. */
struct dc_block_kept {
	const dc_real *x;                  /* [R,W] */
	dc_real *mean_1, *rstd_1;          /* [R] */
	dc_real *q, *k, *v; int ldq, ldk;  /* in one [R,3W], or [Rq,W] and [R,2W] */
	struct dc_attn attn; dc_real *prob;
	dc_real *att;                      /* [Rq,W] attention before out_proj */
	dc_real *x1;                       /* [Rq,W] */
	dc_real *mean_2, *rstd_2;          /* [Rq] */
	dc_real *h;                        /* [Rq,F] before its bias and the gelu */
};

/* y [wanted,W] is overwritten with the last block's output for x [R,W]. With kept [layers] everything the backward pass
 * needs, or can compute again, is laid on the arena, where x and the pack's arrays must stay too; with kept NULL nothing is left there. */
void dc_blocks_forward(dc_real *y, struct dc_block_kept *kept, const dc_real *x, const struct dc_pack *pack,
	const struct dc_blocks *t, struct dc_arena *arena);

/* dx [R,W] is overwritten with the gradient by x, from dy [wanted,W] (which is used as scratch). Parameters' gradients
 * accumulate. */
void dc_blocks_backward(dc_real *dx, dc_real *dy, const struct dc_block_kept *kept, const struct dc_pack *pack,
	const struct dc_blocks *t, struct dc_arena *arena);

/* Floating-point operations of the products of one forward pass; a backward pass has twice as many. Of a causal
 * attention only what is seen counts. */
double dc_blocks_flop(const struct dc_pack *pack, const struct dc_blocks *t);

#endif
