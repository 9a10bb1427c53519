/* SPDX-License-Identifier: MIT */
/* Rows of features streams, picked and put in any order.
 *
 *	struct dc_pick p = { 0 };
 *	dc_pick_take(&p, &f);                    // for each features frame, of one stream or of several
 *	dc_pick_check(&p);                       // after the last: p.n_rows rows
 *	dc_pick_put(&p, row, n, &body);          // rows row[0] .. row[n - 1] as the body of a features frame
 *	dc_pick_free(&p);
 *
 * A row is an image, or in a stream of captions alone a caption. */
#ifndef DC_SCORE_PICK_H
#define DC_SCORE_PICK_H

#include "stream/stream.h"

struct dc_pick {
	struct dc_frame *frame; size_t n_frames, cap;
	struct dc_pick_row { size_t frame, at; } *row; size_t n_rows;
	int captions;        /* rows are captions */
	struct dc_tensor *cell;        /* [n_frames, columns], found once by dc_pick_check */
	const struct dc_str **key;     /* [n_frames] */
};

/* Take f over (it becomes empty). 0, or -1 with a message. */
int dc_pick_take(struct dc_pick *p, struct dc_frame *f) DC_MUST_USE;
/* That all frames have the same features of equal width, and columns as long as they. */
int dc_pick_check(struct dc_pick *p) DC_MUST_USE;
/* Features, and those of id, slot, epoch, key, label and line that all frames have (label: -1 where a frame has none). */
void dc_pick_put(struct dc_pick *p, const size_t *row, size_t n, struct dc_body *b);
void dc_pick_free(struct dc_pick *p);

#endif
