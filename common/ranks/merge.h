/* SPDX-License-Identifier: MIT */
/* The features of several ranks as one batch, in the order of slots: what one rank with the whole batch would have sent.
 *
 *	struct dc_merge m;
 *	if (dc_merge_begin(&m, frame, R) < 0) ...          // frame[r]: the features of rank r, each in one frame
 *	dc_merge_put(&m, &body, rank, 0, m.N);             // all rows, and which of them are this rank's
 *	dc_merge_end(&m);
 *
 * A key whose value has as many rows (elements, of an array) as its frame has slots, in every frame, is joined row by row.
 * `mlm_nll` is joined rank by rank; `filip_text` goes with its offsets. Of every other key the rank's own value is taken. */
#ifndef DC_RANKS_MERGE_H
#define DC_RANKS_MERGE_H

#include "stream/stream.h"

struct dc_merge_row { int rank; int64_t row; };

struct dc_merge {
	int R;
	struct dc_frame *f;           /* [R], the caller's */
	int64_t N;                    /* rows in all */
	int64_t *n;                   /* [R] rows of each */
	struct dc_merge_row *order;   /* [N] where the rows of the batch are */
	struct dc_tensor *t;          /* [R] one key's values */
};

/* -1 with a message, where a frame has no `slot`, or slots are not in order. */
int dc_merge_begin(struct dc_merge *m, struct dc_frame *f, int R) DC_MUST_USE;
void dc_merge_end(struct dc_merge *m);

/* Put rows [from, to) of the batch. With row 0 also what is not cut into ranges: masked positions, what is not floats, and
 *	local      i64[n]    the rows of the batch that are those of frame `rank`, ascending
 *	local_mlm  i64[2]    the first of its masked positions, and how many there are, if there is mlm_nll
 *	rank, ranks          `rank` and R
 * -1 with a message, where the frames do not fit together. */
int dc_merge_put(struct dc_merge *m, struct dc_body *b, int rank, int64_t from, int64_t to) DC_MUST_USE;

/* The frames of one rank's batch (features with `part`) as one body, ended. -1 with a message. */
struct dc_gather;
int dc_merge_parts(struct dc_body *b, struct dc_gather *g) DC_MUST_USE;

#endif
