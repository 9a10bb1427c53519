/* SPDX-License-Identifier: MIT */
#include "loss/queue.h"

#include <stdlib.h>
#include <string.h>

#include "nn/gemm.h"

#ifdef DC_DOUBLE
static const double rounding = 1e-13;   /* of a product of unit rows */
#else
static const double rounding = 1e-6;
#endif

void
dc_nn_queue_push(struct dc_nn_queue *q, const dc_real *rows, int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		memcpy(q->rows + q->head * q->D, rows + i * q->D, q->D * sizeof *rows);
		q->head = q->head + 1 < q->length ? q->head + 1 : 0;
		q->valid += q->valid < q->length;
	}
}

int64_t
dc_nn_queue_kept_released(const struct dc_nn_queue *q, int64_t n)
{
	return n < q->length - q->head ? n : q->length - q->head;
}

static double
dot(const dc_real *a, const dc_real *b, int D)
{
	double s[4] = { 0 };
	int d = 0;

	for (; d + 4 <= D; d += 4)
		for (int k = 0; k < 4; k++)
			s[k] += (double)a[d + k] * b[d + k];
	for (; d < D; d++)
		s[0] += (double)a[d] * b[d];
	return (s[0] + s[1]) + (s[2] + s[3]);
}

struct best { double dot; int64_t row; };

/* The queue's rows row0 .. row0 + n, which are in order of age, against one query. */
static void
best_of(struct best *b, const dc_real *l, const dc_real *unit, const struct dc_nn_queue *q, int64_t row0, int n)
{
	for (int j = 0; j < n; j++) {
		if (l[j] < b->dot - rounding)
			continue;
		double s = dot(unit, q->rows + (row0 + j) * q->D, q->D);
		if (s > b->dot || b->row < 0)
			*b = (struct best){ s > -2 ? s : -INFINITY, row0 + j };   /* NaN loses to whatever comes */
	}
}

/* Queries [n,D] against the queue's rows first .. last. */
static void
search_rows(struct best *b, const dc_real *unit, int n, const struct dc_nn_queue *q, int64_t first, int64_t last,
    dc_real *l, int cols)
{
	for (int64_t row = first; row < last; row += cols) {
		const int n_j = last - row < cols ? (int)(last - row) : cols;
		/* l_ij = <unit_i, row_j> */
		dc_gemm(0, 1, n, n_j, q->D, 1, unit, q->D, q->rows + row * q->D, q->D, 0, l, n_j);
		#pragma omp parallel for if (n * n_j > DC_PARALLEL)
		for (int i = 0; i < n; i++)
			best_of(&b[i], l + (size_t)i * n_j, unit + (size_t)i * q->D, q, row, n_j);
	}
}

void
dc_nn_queue_nearest(int64_t *index, const dc_real *unit, int N, const struct dc_nn_queue *q, dc_real *l, int rows,
    int cols)
{
	const int64_t oldest = (q->head - q->valid + q->length) % q->length, end = oldest + q->valid;
	struct best *b = dc_xcalloc(rows, sizeof *b);

	for (int i0 = 0; i0 < N; i0 += rows) {
		const int n = N - i0 < rows ? N - i0 : rows;
		const dc_real *u = unit + (size_t)i0 * q->D;
		for (int i = 0; i < n; i++)
			b[i] = (struct best){ -INFINITY, -1 };
		search_rows(b, u, n, q, oldest, end < q->length ? end : q->length, l, cols);
		search_rows(b, u, n, q, 0, end - q->length, l, cols);
		for (int i = 0; i < n; i++)
			index[i0 + i] = b[i].row;
	}
	free(b);
}
