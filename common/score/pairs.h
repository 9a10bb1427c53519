/* SPDX-License-Identifier: MIT */
/* Images and their captions, gathered from the frames of a features stream. */
#ifndef DC_SCORE_PAIRS_H
#define DC_SCORE_PAIRS_H

#include "score/rows.h"

struct dc_pairs {
	int tokens;                          /* set before the first frame: the samples' tokens, not their features */
	struct dc_rows image, text;          /* unit rows of all images, of all captions */
	struct dc_ints image_off, text_off;  /* [N + 1], [C + 1] with tokens: the first row of each; else empty, one row each */
	int64_t N, C;
	struct dc_ints owner;                /* [C] the image of each caption, in [0,N) */
	struct dc_ints id;                   /* [N], or empty */
	uint64_t frames;
};

/* Append image_features.0 and text_features.0, or filip_image, filip_text and filip_off; caption_image and id of a features
 * frame. 0, or -1 with a message. */
int dc_pairs_take(struct dc_pairs *p, struct dc_frame *f) DC_MUST_USE;

/* Captions into the order of their images, those of one image staying in theirs, and at most `most` of each image kept
 * (0: all). -1 with a message: nothing there, an image that comes twice. */
int dc_pairs_arrange(struct dc_pairs *p, int64_t most) DC_MUST_USE;

/* Images from n on, N of them, and captions from c on, C of them. */
struct dc_side dc_pairs_images(const struct dc_pairs *p, int64_t n, int64_t N);
struct dc_side dc_pairs_captions(const struct dc_pairs *p, int64_t c, int64_t C);

void dc_pairs_free(struct dc_pairs *p);

#endif
