/* SPDX-License-Identifier: MIT */
/* The nearest-neighbour queue: a ring of unit rows, first in, first out. */
#ifndef DC_LOSS_QUEUE_H
#define DC_LOSS_QUEUE_H

#include "loss/loss.h"

/* Write the n rows [n,D] one after the other at the head, going round; n may exceed the length (then the last `length`
 * rows stay). This is what a holder of a copy does with nn_enqueue. */
void dc_nn_queue_push(struct dc_nn_queue *q, const dc_real *rows, int64_t n);

/* How many of n rows the released code keeps: a push that reaches the end of the queue stops there, drops the rest, and
 * the head goes to 0. */
int64_t dc_nn_queue_kept_released(const struct dc_nn_queue *q, int64_t n);

/* index_n = the valid row with the largest <unit_n, row>, the oldest of equal ones; q->valid >= 1. unit [N,D], index [N].
 * l: room for rows x cols products. Those within rounding of the largest are taken again in double, so that equal rows
 * are equal and the answer does not depend on the matrix product's order of summation. A product that is NaN loses. */
void dc_nn_queue_nearest(int64_t *index, const dc_real *unit, int N, const struct dc_nn_queue *q, dc_real *l, int rows,
    int cols);

#endif
