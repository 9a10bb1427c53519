/* SPDX-License-Identifier: MIT */
/* Scores of a ranking in which several candidates may be equal: what a random order of the equal ones gives on average,
 * computed, not drawn. So equal captions cost nobody the place that only their order in memory would decide, and a model
 * that makes everything equal scores chance. */
#ifndef DC_SCORE_RANK_H
#define DC_SCORE_RANK_H

#include <stdint.h>

/* Cosines closer than this are equal: what single precision leaves of the difference between equal rows. */
#define DC_SCORE_EQUAL 2e-6

/* Where the best of the right candidates stands: `greater` wrong ones are before it, `ties` wrong ones and `own` >= 1
 * right ones (itself among them) are equal to it. */
struct dc_place { int64_t greater, ties, own; };

/* P(rank <= k) = 1 - prod_{i<j} (ties - i) / (ties + own - i),  j = k - greater; 0 if j <= 0 */
double dc_place_hit(const struct dc_place *p, int64_t k);
/* E(rank) = greater + (ties + own + 1) / (own + 1) */
double dc_place_rank(const struct dc_place *p);

/* A share over n independent cases: value, its standard error (sample standard deviation / sqrt n), what guessing gives,
 * and how many standard errors of guessing the value is above that. */
struct dc_share { double value, se, chance, z, guess; /* guess: the standard error of guessing */ int64_t n; };
void dc_share_of(struct dc_share *s, const double *score, int64_t n, double chance);

/* The same where case i is a group of count_i > 0 scores with this sum, which are not independent:
 * value v = sum_i s_i / sum_i m_i,  se = sqrt(n / (n-1) sum_i (s_i - v m_i)^2) / sum_i m_i  (the ratio estimator's). */
void dc_share_of_groups(struct dc_share *s, const double *sum, const int64_t *count, int64_t n, double chance);

/* The mean of shares over folds: sum = 0, add each, divide by their number. n becomes that of all folds together. */
void dc_share_add(struct dc_share *sum, const struct dc_share *s);
void dc_share_divide(struct dc_share *sum, int64_t folds);

/* The median of n numbers, which are sorted in place; NaN for none. */
double dc_median(double *x, int64_t n);

#endif
