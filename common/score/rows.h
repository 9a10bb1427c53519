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

#endif
