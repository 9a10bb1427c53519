/* SPDX-License-Identifier: MIT */
/* The linear layer y = x W^T + b over rows, and the sums over rows that bias gradients are. */
#ifndef DC_NN_LINEAR_H
#define DC_NN_LINEAR_H

#include <stdint.h>
#include "base/real.h"

/* A parameter: its value, and its gradient to accumulate into (NULL: frozen, no work is done for it). */
struct dc_par { const dc_real *w; dc_real *g; };

/* y [M,O] = x [M,I] W^T + b (+ residual [M,O]); W [O,I], b [O] or NULL, residual NULL or any array but y's overlap
 * (y itself is allowed). ldy, ldx: elements from row to row. */
void dc_linear_forward(dc_real *y, int ldy, const dc_real *x, int ldx, const dc_real *w, const dc_real *b,
	const dc_real *residual, int M, int I, int O);

/* dx [M,I] = dy [M,O] W + beta dx (NULL: not wanted); dW += dy^T x; db += the sum of dy over rows (NULL: not wanted). */
void dc_linear_backward(dc_real *dx, int lddx, dc_real beta, dc_real *dw, dc_real *db, const dc_real *dy, int lddy,
	const dc_real *x, int ldx, const dc_real *w, int M, int I, int O);

/* sum [C] += sum over rows of x [M,C] (row stride ldx), runs of eight rows added up in double; the same for any number of threads. */
void dc_sum_rows(dc_real *sum, const dc_real *x, int ldx, int M, int C);

/* y [n,C] = x[row[i]], the rows named; and back: dx[row[i]] += dy [n,C] (no row twice). */
void dc_rows_gather(dc_real *y, const dc_real *x, const int32_t *row, int n, int C);
void dc_rows_scatter_add(dc_real *dx, const dc_real *dy, const int32_t *row, int n, int C);

#endif
