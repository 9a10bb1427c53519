/* SPDX-License-Identifier: MIT */
/* Zero-shot classification: an image belongs to the class whose prompts are nearest (CLIP, arXiv 2103.00020, sec. 3.1). */
#ifndef DC_SCORE_ZEROSHOT_H
#define DC_SCORE_ZEROSHOT_H

#include "score/rank.h"
#include "score/rows.h"

/* cls [K,D] <- the mean of the P unit rows of each class in prompt [K*P,D], divided by its norm. */
void dc_zeroshot_classes(dc_real *cls, const dc_real *prompt, int64_t K, int64_t P, int D);
/* place[n]: where the class label[n] in [0,K) stands for the unit row image_n, by cosine; own = 0 for a label outside.
 * best[n] (may be NULL): the class with the largest cosine, the first of equal ones. */
void dc_zeroshot(struct dc_place *place, int64_t *best, const dc_real *image, const int64_t *label, const dc_real *cls,
    int64_t N, int64_t K, int D);

/* The same token by token: the similarity of an image and a class is the mean of x (tokenwise.h) over the P prompts of the
 * class, consecutive among the K P of `prompt` (FILIP, arXiv 2111.07783, sec. 3.3: tokens of different prompts do not
 * correspond and cannot be averaged). Images and prompts are taken a tile at a time. */
void dc_zeroshot_tokens(struct dc_place *place, int64_t *best, const struct dc_side *image, const int64_t *label,
    const struct dc_side *prompt, int64_t K, int64_t P, int D);

#endif
