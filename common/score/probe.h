/* SPDX-License-Identifier: MIT */
/* A linear probe: L2-regularised multinomial logistic regression on features that stay as they are (CLIP,
 * arXiv 2103.00020, app. A.3). No I/O.
 *
 *	struct dc_probe *p = dc_probe_new(x, y, N, D, K);
 *	dc_probe_fit(p, 10, &how, &r);                 // each fit begins where the one before ended
 *	dc_probe_fit(p, 5, &how, &r);
 *	dc_probe_place(p, place, best, &loss, test_x, test_y, n);
 *	dc_probe_free(p);
 *
 * W [K,D] and b [K] minimise
 *
 *	F = sum_n -log p_n[y_n] + lambda/2 |W|^2,     p_n = softmax(W x_n + b)
 *
 * b is not penalised. F is convex, and for lambda > 0 the minimum is one point but for a constant added to all of b;
 * all sums are in double precision. */
#ifndef DC_SCORE_PROBE_H
#define DC_SCORE_PROBE_H

#include "base/real.h"
#include "base/util.h"
#include "score/rank.h"

struct dc_probe;

/* When a fit ends: where the largest element of F's gradient, in the scaled variables of the minimisation, is at most
 * tolerance times F; or after max_iter iterations. */
struct dc_probe_how { double tolerance; int max_iter; };

struct dc_probe_result {
	double lambda, objective; /* F */
	int iterations, converged;
};

/* x [N,D] finite, y [N] in [0,K), both the caller's, unchanged until dc_probe_free. N, D >= 1, K >= 2. */
struct dc_probe *dc_probe_new(const dc_real *x, const int64_t *y, int64_t N, int D, int K);
/* Minimise F. 0, or -1 with a message. */
int dc_probe_fit(struct dc_probe *p, double lambda, const struct dc_probe_how *how, struct dc_probe_result *r) DC_MUST_USE;
/* place[n]: where class y[n] stands among the K by W x_n + b (own = 0 for a y outside [0,K)); best[n]: the class with the
 * largest. *loss (may be NULL): the mean of -log p_n[y_n] over the n with y inside; NaN if there is none. */
void dc_probe_place(const struct dc_probe *p, struct dc_place *place, int64_t *best, double *loss, const dc_real *x,
    const int64_t *y, int64_t N);
/* W [K,D] and b [K] for features as they are. */
void dc_probe_weights(const struct dc_probe *p, double *W, double *b);
void dc_probe_free(struct dc_probe *p);

#endif
