/* SPDX-License-Identifier: MIT */
/* Of batch norms that see the rows of one rank: the statistics of all, rank by rank. Of those that see all rows: the sums. */
#include "mpi/ring.h"

#include <stdlib.h>
#include <string.h>

/* One of them, of all ranks from `first` on, which is the first that has it. */
static int
put_statistic(struct dc_mpi *g, const char *key, int first)
{
	int64_t shape[2] = { 0, 0 };
	struct dc_tensor t;
	float *p;

	for (int pass = 0; pass < 2; pass++) {
		p = pass ? dc_put_space(&g->b, key, DC_F32, 2, shape) : NULL;
		for (int k = first; k < g->l->ranks; k++) {
			if (!dc_frame_get(&g->theirs[k], key))
				continue;
			DC_TRY(dc_frame_tensor(&g->theirs[k], key, DC_F32, 2, &t));
			if (!t.data || (shape[0] && t.shape[1] != shape[1]))
				return dc_frame_err(&g->theirs[k], "%s has another width than that of another rank", key);
			if (pass) {
				memcpy(p, t.data, t.bytes);
				p += t.n;
				continue;
			}
			shape[0] += t.shape[0];
			shape[1] = t.shape[1];
		}
	}
	return 0;
}

static int
had_by(struct dc_mpi *g, const char *key, int ranks)
{
	for (int k = 0; k < ranks; k++)
		if (dc_frame_get(&g->theirs[k], key))
			return 1;
	return 0;
}

int
dc_mpi_put_statistics(struct dc_mpi *g)
{
	for (int k = 0; k < g->l->ranks; k++) {
		const msgpack_object *map = &g->theirs[k].root;

		for (uint32_t i = 0; g->theirs[k].parsed && i < map->via.map.size; i++) {
			char *key = dc_mpi_name_of(&map->via.map.ptr[i].key);
			int r = key && !had_by(g, key, k) ? put_statistic(g, key, k) : 0;

			free(key);
			DC_TRY(r);
		}
	}
	return 0;
}

/* --- sums --- */

static int
add_sums(struct dc_mpi *g, double *sum, size_t n)
{
	struct dc_tensor t;

	memset(sum, 0, n * sizeof *sum);
	for (int k = 0; k < g->l->ranks; k++) {
		DC_TRY(dc_frame_tensor(&g->theirs[k], "sums", DC_F64, 1, &t));
		if (t.n != n || !t.data)
			return dc_frame_err(&g->theirs[k], "sums has %zu numbers, another rank's %zu", t.n, n);
		for (size_t i = 0; i < n; i++)
			sum[i] += ((const double *)t.data)[i];
	}
	return 0;
}

int
dc_mpi_reduce(struct dc_mpi *g)
{
	uint64_t step = g->f.step;
	struct dc_frame mine = { 0 };
	double since = dc_seconds();
	struct dc_tensor t;
	int64_t n;
	int r;

	DC_TRY(dc_frame_tensor(&g->f, "sums", DC_F64, 1, &t));
	n = t.shape[0];
	if ((r = dc_mpi_meet(g, DC_WORD_REDUCE, step, (uint64_t)n, g->f.bytes)) != DC_FRAME)
		return r;
	dc_slow_add(&g->slow, dc_seconds() - since);
	dc_frame_move(&mine, &g->f);
	r = dc_mpi_exchange(g, "reduce", step, mine.body, mine.bytes);
	mine.body = NULL;   /* it is in g->theirs, or is being sent */
	dc_frame_free(&mine);
	if (r != DC_FRAME)
		return r;
	DC_TRY(add_sums(g, dc_put_space(&g->b, "sums", DC_F64, 1, &n), (size_t)n));
	return dc_frame_write(&g->out, "reduce", step, &g->b);
}
