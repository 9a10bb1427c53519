/* SPDX-License-Identifier: MIT */
/* Multi-head self-attention (Vaswani et al. 2017, sec. 3.2) over sequences of different lengths, packed one after the
 * other: sequence s has the rows off[s] .. off[s+1] - 1. Nothing is computed for padding, since there is none.
 *
 * For each sequence and head (width hd): S = Q K^T / sqrt(hd), P = softmax of S's rows, O = P V.
 * The queries may be fewer than the keys: the rows of a sequence that are wanted of the last layer. */
#ifndef DC_NN_ATTENTION_H
#define DC_NN_ATTENTION_H

#include <stddef.h>
#include <stdint.h>
#include "base/real.h"
#include "nn/arena.h"

struct dc_attn {
	int n, heads, hd;
	int causal;                        /* query i of Lq sees keys 0 .. Lk - Lq + i, else all Lk */
	const int32_t *q_off, *k_off;      /* [n+1] first row of each sequence, among the queries and among the keys */
	const size_t *prob_off;            /* [n+1] sum of Lq Lk before each sequence: where P lies, by heads */
};

/* prob_off [n+1] from the offsets; returns the elements of P over all heads. */
size_t dc_attn_prob(size_t *prob_off, const int32_t *q_off, const int32_t *k_off, int n, int heads);

/* out [rows of queries, heads hd] and prob (saved) are overwritten; q, k, v with the heads side by side in a row,
 * ldq and ldk elements from row to row (k and v alike). */
void dc_attn_forward(dc_real *out, dc_real *prob, const dc_real *q, int ldq, const dc_real *k, const dc_real *v, int ldk,
	const struct dc_attn *a);

/* dq, dk, dv, strides as q, k, v, are overwritten; dout [rows of queries, heads hd]; scratch comes from the arena. */
void dc_attn_backward(dc_real *dq, dc_real *dk, dc_real *dv, const dc_real *dout, const dc_real *prob, const dc_real *q,
	int ldq, const dc_real *k, const dc_real *v, int ldk, const struct dc_attn *a, struct dc_arena *arena);

#endif
