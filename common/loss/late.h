/* SPDX-License-Identifier: MIT */
/* Token-wise late interaction (FILIP: Yao et al., arXiv 2111.07783, eq. 4 to 6), both directions, tiled: never more than
 * tiles of the products of all words with all patches in memory. */
#ifndef DC_LOSS_LATE_H
#define DC_LOSS_LATE_H

#include <stddef.h>
#include <stdint.h>
#include "base/real.h"
#include "loss/contrastive.h"

/* N samples. Sample n has the words off[n] .. off[n+1] of the unit rows `word` and the patches n G .. (n+1) G of the unit
 * rows `patch`; candidates for the other side's largest product are the first word_top[n] of its words (NULL: all) and the
 * first patch_top of its patches. */
struct dc_late {
	struct dc_rows word, patch;
	const int32_t *off, *word_top;
	int G, patch_top;
	double *d_word, *d_patch;       /* [.,D] gradients by the unit rows, each in its row's place in x; added to */
	int N, D;
	double scale;                   /* s */
};
struct dc_late_result { double value, d_scale, right_patch, right_word; };

/* Of a sample's row of logits. */
struct dc_late_row { struct dc_lse lse; double own, ds; };

/* Memory kept from call to call: tiles of about rows words x cols patches (more where one sample has more). */
struct dc_late_work {
	int rows, cols, kept;
	double *word, *patch;                        /* a tile's unit rows */
	double *l, *logit; int32_t *place;           /* products of what a thread has; of a tile, or of all where kept */
	struct dc_late_row *row;                     /* [2N]: patches', then words' */
	size_t cap_word, cap_patch, cap_l, cap_logit, cap_place, cap_row;
};
void dc_late_work_free(struct dc_late_work *w);

/* With the words w_k and patches p_r of a sample, and s as in `scale`:
 *	x_ij = s / G     sum_{r in patches of i} max_{k in words of j}   <p_r, w_k>
 *	y_ij = s / |w_i| sum_{k in words of i}   max_{r in patches of j} <p_r, w_k>   (both 0 where a sample has no words)
 *	L = 1/2N sum_i [ log sum_j exp x_ij - x_ii ] + 1/2N sum_i [ log sum_j exp y_ij - y_ii ]
 * Sets r->value and r->right_*, the share of rows of x (patch) and y (word) whose own logit is the largest, the first of
 * equal ones. With weight != 0 adds weight times the gradient to d_patch and d_word, and sets d_scale to weight times the
 * gradient by s. Of equal products the first is the largest, and takes the gradient; NaN is larger than any number. */
void dc_late_loss(struct dc_late_work *w, const struct dc_late *p, double weight, struct dc_late_result *r);

/* Of n rows x [n,D] with 1 / norm rx [n] those `top` (all, if fewer) whose unit rows have the largest product with the sum
 * of the m unit rows of y [m,D], the first of equal ones; by falling product. Returns how many; row [n] gets their numbers,
 * and behind them the others'. */
int dc_late_top(int64_t *row, const dc_real *x, const double *rx, int n, const dc_real *y, const double *ry, int m, int D,
    int top);

#endif
