/* SPDX-License-Identifier: MIT */
/* Nearest neighbours by cosine, exact, and what they vote for. No I/O. */
#ifndef DC_SCORE_KNN_H
#define DC_SCORE_KNN_H

#include <stdint.h>

#include "base/real.h"

struct dc_near { double cosine; int64_t row; };

/* near [Q,k]: for each unit row of query [Q,D] the k unit rows of base [N,D] with the largest cosines, the largest first,
 * of equal ones the first. not (may be NULL) [Q]: a row of base that is none of them, or -1; k <= N, or N - 1 with `not`.
 * The Q x N cosines exist a tile at a time; the k are computed again in double precision. */
void dc_knn(struct dc_near *near, const dc_real *query, int64_t Q, const dc_real *base, int64_t N, int D, int64_t k,
    const int64_t *not);

/* Each of the k neighbours gives its class label[row] in [0,K) one vote (temperature 0), or exp(cosine / temperature) votes
 * (Wu et al., arXiv 1805.01978, sec. 3.4; DINO). vote [K] is overwritten. Returns how right the class y is, the one with
 * most votes being right: 1, or 1/m where it is one of m with equally many; else 0. */
double dc_knn_vote(double *vote, const struct dc_near *near, int64_t k, const int64_t *label, int64_t y, int64_t K,
    double temperature);

#endif
