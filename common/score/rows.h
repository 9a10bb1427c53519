/* SPDX-License-Identifier: MIT */
/* Unit rows and other columns gathered from the frames of a features stream. */
#ifndef DC_SCORE_ROWS_H
#define DC_SCORE_ROWS_H

#include "base/real.h"
#include "stream/stream.h"

struct dc_rows { dc_real *p; int64_t n, cap; int D, raw; };   /* [n,D]; raw: not made unit rows */
struct dc_ints { int64_t *p; int64_t n, cap; };

/* Append the rows of the f4 tensor `key` [n,D], each divided by its norm unless r->raw. Return their number,
 * or -1 with a message: no such tensor, another D than before, a value that is not finite, a row of zeros (unless raw). */
int64_t dc_rows_take(struct dc_rows *r, struct dc_frame *f, const char *key) DC_MUST_USE;
/* Append the numbers of the tensor `key` [n] (i32, i64 or u64). Return their number, or -1 with a message. */
int64_t dc_ints_take(struct dc_ints *v, struct dc_frame *f, const char *key) DC_MUST_USE;
void dc_ints_add(struct dc_ints *v, int64_t x);

/* Samples of unit rows [off[n],D]: sample i has the rows off[i] .. off[i + 1]; off NULL: row i alone. */
struct dc_side { const dc_real *row; const int64_t *off; int64_t n; };

/* Append the tokens of a frame's samples as unit rows: of the f4 tensor `key` [n,G,D], G of each; or, with off_key, of `key`
 * [R,D], where sample i has the rows off_key[i] .. off_key[i + 1], i32 [n + 1]. *off, [n + 1] of all samples so far, grows by
 * n. Return n, or -1 with a message, as dc_rows_take, or offsets that do not fit. */
int64_t dc_tokens_take(struct dc_rows *r, struct dc_ints *off, struct dc_frame *f, const char *key, const char *off_key)
    DC_MUST_USE;
/* Keep n samples, the i-th of them the one that was from[i], each with its rows; *off empty: one row each. */
void dc_rows_keep(struct dc_rows *r, struct dc_ints *off, const int64_t *from, int64_t n);

/* <a, b> of [D], summed in double. */
static inline double
dc_dot(const dc_real *a, const dc_real *b, int D)
{
	double s = 0;

	for (int d = 0; d < D; d++)
		s += (double)a[d] * b[d];
	return s;
}

#endif
