/* SPDX-License-Identifier: MIT */
/* InfoNCE between the rows of two matrices, tiled: never more than a tile of the N x N logits in memory. */
#ifndef DC_LOSS_CONTRASTIVE_H
#define DC_LOSS_CONTRASTIVE_H

#include <stddef.h>
#include <stdint.h>
#include "base/real.h"
#include "nn/vmath.h"

/* e^x for x up to a rounding error above 0; e^-60 stands for less: it changes no sum, and products with it are no denormal
 * numbers */
static inline double dc_exp_far(double x) { return dc_vexp_near((dc_real)(x < -60 ? -60 : x)); /* NaN stays */ }

/* Unit rows that are made where they are needed: row n is r_n x_m, m = at_n; r NULL: 1, at NULL: n. x [.,D] */
struct dc_rows { const dc_real *x; const double *r; const int64_t *at; };
/* u [n,D] <- rows first .. first + n */
void dc_rows_make(double *u, const struct dc_rows *s, int first, int n, int D);

/* Log-sum-exp of a row (or column) as it grows, and its largest entry's place (the first of equal ones; entries are
 * equal if they are so as dc_real). */
struct dc_lse { dc_real max; int64_t arg; double sum; };
/* n more entries, which are number `first` and on; begin with max -INFINITY and the rest 0. */
void dc_lse_add(struct dc_lse *s, const double *l, int n, int64_t first);

/* A tile of logits, and per row and column what a pass needs. All in double: at s = 100 a logit in float is off by 1e-5,
 * and the gradient sums rows that are nearly the same. Zero-initialise rows and cols to what dc_tiles_init sets. */
struct dc_tiles {
	int rows, cols;                 /* of a tile */
	double *l;                      /* [rows,cols] */
	double *ta, *tb;                /* [rows,D], [cols,D] unit rows of the tile */
	struct dc_lse *a, *b;           /* [N] over the row, over the column */
	double *ra, *rb;                /* [N] 1 / sum */
	double *own, *ds;               /* [N] the logit of (n,n); the row's part of the gradient of s */
	size_t cap, cap_d;
};

void dc_tiles_init(struct dc_tiles *t, int rows, int cols);
void dc_tiles_room(struct dc_tiles *t, int N, int D);
void dc_tiles_free(struct dc_tiles *t);

struct dc_contrast {
	struct dc_rows a, b;            /* [N,D] unit rows */
	double *da, *db;                /* [N,D] gradients by those, added to; db may be NULL: b is constant */
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
