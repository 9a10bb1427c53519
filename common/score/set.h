/* SPDX-License-Identifier: MIT */
/* A set of features with what is known of each row, read from a stored stream.
 *
 *	struct dc_set s = { .x.raw = 1 };
 *	status = dc_set_read(&s, "train.dcs", "image_features.0");   // DC_EXIT_OK, or said what was wrong
 *	... s.x.p [s.x.n, s.x.D], s.label.p[i], s.key[i] ...
 *	dc_set_free(&s); */
#ifndef DC_SCORE_SET_H
#define DC_SCORE_SET_H

#include "score/rows.h"

struct dc_set {
	const char *name;       /* the file, for messages */
	struct dc_rows x;       /* [n,D]; set x.raw before reading to keep the rows as they are */
	struct dc_ints label;   /* [n]; -1 where there is none */
	int64_t labelled;       /* how many have one */
	struct dc_ints id;      /* [n], or none */
	struct dc_ints nth;     /* [n]: which of its image's captions a row is, from 0; rows of images: 0 */
	char **key;             /* [n], or NULL */
	size_t keys;
	double logit_scale;     /* of the first frame that has it, the log; NaN: none has */
};

/* A row of text features has the label, id and key of the image that the frame's caption_image says, if it says any. */

/* Read the `features` frames of the stream in `path` ("-": standard input) to its end; other frames are ignored.
 * Return an exit status, with its message printed if there is one to print. */
int dc_set_read(struct dc_set *s, const char *path, const char *features);
/* Keep the rows [i] with keep[i], in their order. */
void dc_set_keep(struct dc_set *s, const char *keep);
/* Keep the rows with a label. Returns how many were left out. */
int64_t dc_set_keep_labelled(struct dc_set *s);
/* Labels may be any numbers. The different ones, rising, in *label, to be freed; returns their number K. */
int64_t dc_set_classes(const struct dc_set *s, int64_t **label);
/* The class in [0,K) of a label; -1 if it is none of them. */
int64_t dc_class_of(const int64_t *label, int64_t K, int64_t x);
void dc_set_free(struct dc_set *s);

#endif
