/* SPDX-License-Identifier: MIT */
/* InfoNCE between the rows of two matrices, tiled: never more than a tile of the N x N logits in memory. */
#ifndef DC_LOSS_CONTRASTIVE_H
#define DC_LOSS_CONTRASTIVE_H

#include <stddef.h>
#include <stdint.h>
#include "base/real.h"

/* Log-sum-exp of a row (or column) as it grows, and its largest entry's place (the first of equal ones). */
struct dc_lse { dc_real max; int64_t arg; double sum; };

/* A tile of logits, and per row and column what a pass needs. Zero-initialise rows and cols to what dc_tiles_init sets. */
struct dc_tiles {
	int rows, cols;                 /* of a tile */
	dc_real *l;                     /* [rows,cols] */
	struct dc_lse *a, *b;           /* [N] over the row, over the column */
	dc_real *ra, *rb;               /* [N] 1 / sum */
	double *own, *ds;               /* [N] the logit of (n,n); the row's part of the gradient of s */
	size_t cap;
};

void dc_tiles_init(struct dc_tiles *t, int rows, int cols);
void dc_tiles_room(struct dc_tiles *t, int N);
void dc_tiles_free(struct dc_tiles *t);

struct dc_contrast {
	const dc_real *a, *b;           /* [N,D] unit rows */
	dc_real *da, *db;               /* [N,D] added to; db may be NULL: b is constant */
	int N, D;
	double scale;                   /* s */
	int both;                       /* 1: the mean of a -> b and b -> a; 0: only a -> b */
};
struct dc_contrast_result { double value, d_scale, right_a, right_b; };

/* With l_ij = s <a_i, b_j>:
 *	a -> b:  1/N sum_i [ log sum_j exp l_ij - l_ii ],   b -> a:  1/N sum_j [ log sum_i exp l_ij - l_jj ]
 * Sets r->value, r->right_a (share of rows whose largest entry is their own; the first of equal ones is the largest), and
 * r->right_b (0 unless both). With weight != 0 adds weight times the gradient to da and db and sets r->d_scale to weight
 * times the gradient with respect to s; with 0 d_scale is 0. */
void dc_contrastive(struct dc_tiles *t, const struct dc_contrast *p, double weight, struct dc_contrast_result *r);

#endif
