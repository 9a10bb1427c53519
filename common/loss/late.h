/* SPDX-License-Identifier: MIT */
/* Token-wise late interaction (FILIP: Yao et al., arXiv 2111.07783, eq. 4 to 6), one direction, tiled: never more than a
 * tile of the products of all tokens with all tokens in memory. */
#ifndef DC_LOSS_LATE_H
#define DC_LOSS_LATE_H

#include <stddef.h>
#include <stdint.h>
#include "base/real.h"
#include "loss/contrastive.h"

/* N samples, each with rows off[n] .. off[n+1] of the unit rows [off[N],D]. */
struct dc_tokens { struct dc_rows rows; const int32_t *off; };

struct dc_late {
	struct dc_tokens q, c;          /* queries; candidates for the largest product */
	double *dq, *dc;                /* gradients by those rows, added to */
	int N, D;
	double scale;                   /* s */
};
struct dc_late_result { double value, d_scale, right; };

/* Memory kept from call to call: tiles of about rows x cols products (more where one sample has more rows). */
struct dc_late_work {
	int rows, cols;
	double *l, *logit; int32_t *arg;             /* the products; l_ij; places of the largest: of the tile, or of all where kept */
	int kept;
	double *tq, *tc;                             /* its unit rows */
	size_t cap_l, cap_logit, cap_arg, cap_tq, cap_tc;
	struct dc_late_row *row; size_t cap_row;     /* [N] */
};
void dc_late_work_free(struct dc_late_work *w);

/* With l_ij = s / |q_i| sum_{k in q_i} max_{r in c_j} <q_k, c_r> (0 where q_i or c_j has no rows):
 *	L = 1/N sum_i [ log sum_j exp l_ij - l_ii ]
 * Sets r->value and r->right, the share of rows whose own logit is the largest, the first of equal ones. With weight != 0
 * adds weight times the gradient to dq and dc, and sets d_scale to weight times the gradient by s. Of equal products the
 * first is the largest, and takes the gradient. */
void dc_late_loss(struct dc_late_work *w, const struct dc_late *p, double weight, struct dc_late_result *r);

/* Of n rows x [n,D] with 1 / norm rx [n] those `top` (all, if fewer) whose unit rows have the largest product with the sum
 * of the m unit rows of y [m,D], the first of equal ones; by falling product. Returns how many; row[] gets their numbers. */
int dc_late_top(int64_t *row, const dc_real *x, const double *rx, int n, const dc_real *y, const double *ry, int m, int D,
    int top);

#endif
