/* SPDX-License-Identifier: MIT */
/* Zero-shot classification: an image belongs to the class whose prompts are nearest (CLIP, arXiv 2103.00020, sec. 3.1). */
#ifndef DC_SCORE_ZEROSHOT_H
#define DC_SCORE_ZEROSHOT_H

#include "base/real.h"
#include "score/rank.h"

/* cls [K,D] <- the mean of the P unit rows of each class in prompt [K*P,D], divided by its norm. */
void dc_zeroshot_classes(dc_real *cls, const dc_real *prompt, int64_t K, int64_t P, int D);
/* place[n]: where the class label[n] in [0,K) stands for the unit row image_n, by cosine; own = 0 for a label outside.
 * best[n] (may be NULL): the class with the largest cosine, the first of equal ones. */
void dc_zeroshot(struct dc_place *place, int64_t *best, const dc_real *image, const int64_t *label, const dc_real *cls,
    int64_t N, int64_t K, int D);

#endif
