/* SPDX-License-Identifier: MIT */
/* CLIP's attention pooling (AttentionPool2d): of a map's P pixels with their mean before them, and positions added,
 *	t_0 = mean_j x_j + pos_0,  t_j = x_j + pos_j,
 * the mean attends to all 1 + P, in heads of E / heads:
 *	q = Wq t_0 + bq,  p_h = softmax_j(q_h . (Wk t_j + bk)_h / sqrt(hd)),  o_h = sum_j p_hj (Wv t_j + bv)_h,
 *	feature = Wc o + bc.
 *
 * One query asks, so keys and values of every pixel are never made: with u_h = Wk_h^T q_h and z_h = sum_j p_hj t_j the
 * same is p_h = softmax_j(u_h . t_j / sqrt(hd)) and o_h = Wv_h z_h + bv_h, which is about P times less work. bk adds the
 * same to all of a head's scores, so it changes nothing and its gradient is 0. */
#ifndef DC_NN_ATTNPOOL_H
#define DC_NN_ATTNPOOL_H

#include "base/real.h"
#include "nn/arena.h"
#include "nn/linear.h"

struct dc_attnpool {
	int P, E, heads, D;                /* pixels; channels; heads of E / heads; features */
	struct dc_par pos;                 /* [1 + P, E] */
	struct dc_par q_w, q_b, k_w, k_b, v_w, v_b; /* [E,E], [E] */
	struct dc_par c_w, c_b;            /* [D,E], [D] */
};

/* What one pass keeps for its backward pass. */
struct dc_attnpool_kept {
	int n;
	dc_real *t;                        /* [n, 1 + P, E] */
	dc_real *q, *u;                    /* [n,E], [n, heads, E] */
	dc_real *p;                        /* [n, heads, 1 + P] */
	dc_real *z, *o;                    /* [n, heads, E], [n,E] */
};

/* From x [n,P,E] the features [n,D], or NULL where only kept->o is wanted. *kept is laid on the arena and stays there. */
void dc_attnpool_forward(dc_real *features, struct dc_attnpool_kept *kept, const struct dc_attnpool *t, const dc_real *x,
	int n, struct dc_arena *arena);
/* dx [n,P,E] is overwritten; parameters' gradients += those by dfeatures [n,D] and by d_o [n,E] (NULL: zero). */
void dc_attnpool_backward(dc_real *dx, const struct dc_attnpool_kept *kept, const struct dc_attnpool *t,
	const dc_real *dfeatures, const dc_real *d_o, struct dc_arena *arena);

/* Floating-point operations of the products of one forward pass over n maps; a backward pass has twice as many. */
double dc_attnpool_flop(const struct dc_attnpool *t, int n);

#endif
