/* SPDX-License-Identifier: MIT */
/* Recall at k and ranks of retrieval in both directions, whole or as the mean over folds. */
#ifndef DC_SCORE_RECALL_H
#define DC_SCORE_RECALL_H

#include "score/pairs.h"
#include "score/rank.h"

enum { DC_I2T, DC_T2I };
enum { DC_RECALLS = 3 };
extern const int64_t dc_recall_at[DC_RECALLS];   /* 1, 5, 10 */

struct dc_recall {
	struct dc_share at[DC_RECALLS];  /* n: images that have captions */
	struct dc_share rank;            /* the mean rank; z is not set */
	double median;
};

/* r[DC_I2T], r[DC_T2I] of arranged pairs. An image's rank is that of the best of its captions among all captions; a
 * caption's is that of its image among all images. Shares and means from text to image are over captions; those of one
 * image are not independent, so standard errors are between images.
 * With folds > 1 the images are cut into so many consecutive folds (whose sizes differ by at most one), each is scored
 * alone, and every number is the mean over the folds. -1 with a message: a fold without captions. */
int dc_recall_score(struct dc_recall r[2], const struct dc_pairs *p, int64_t folds) DC_MUST_USE;

#endif
