/* SPDX-License-Identifier: MIT */
/* Image <-> text retrieval: where each image's own captions stand among all, and each caption's image. */
#ifndef DC_SCORE_RETRIEVAL_H
#define DC_SCORE_RETRIEVAL_H

#include "score/rank.h"
#include "score/rows.h"

/* image [N] and text [C] are samples of unit rows, finite; owner[c] in [0,N) is the image of text c. Candidates are ordered
 * by the cosine, or, where the samples have tokens, by x for each image and by y for each text (tokenwise.h).
 * i2t [N]: the best of the image's own texts among all C (own = 0 where it has none); t2i [C]: the image of the
 * text among all N. The N x C similarities, and the products of tokens behind them, exist a tile at a time. */
void dc_retrieval(struct dc_place *i2t, struct dc_place *t2i, const struct dc_side *image, const struct dc_side *text,
    const int64_t *owner, int D);

/* What guessing gives: P(one of m right ones is among the first k of n) = 1 - prod_{i<k} (n-m-i) / (n-i). */
double dc_retrieval_chance(int64_t n, int64_t m, int64_t k);

#endif
