/* SPDX-License-Identifier: MIT */
#include "mpi/ring.h"

#include <stdlib.h>

#include "ranks/merge.h"

enum { FRAME_BYTES = 1 << 26 };

/* All ranks say the same, those that say anything. */
static int
check_hashes(struct dc_mpi *g)
{
	int first = -1;

	for (int k = 0; k < g->l->ranks; k++) {
		const struct dc_word *w = &g->l->word[k];

		if (!w->hash)
			continue;
		if (first >= 0 && w->hash != g->l->word[first].hash) {
			char *name = dc_xstrdup(dc_link_name(g->l, first));
			dc_err_set("step %llu: the parameters of %s are not those of %s", (unsigned long long)w->step, dc_link_name(g->l, k), name);
			free(name);
			return DC_FAIL;
		}
		first = first < 0 ? k : first;
	}
	return DC_FRAME;
}

/* All ranks have a share of the same batch: one that began elsewhere has other samples, of the same shape. */
static int
check_positions(struct dc_mpi *g)
{
	const struct dc_word *own = &g->l->word[g->l->rank];

	for (int k = 0; k < g->l->ranks; k++)
		DC_CHECK(g->l->word[k].position == own->position, "step %llu: %s has a batch that ends at position %lld, this rank one that ends "
		    "at %lld", (unsigned long long)own->step, dc_link_name(g->l, k), (long long)g->l->word[k].position, (long long)own->position);
	return DC_FRAME;
}

static int
position_in(struct dc_frame *f, int64_t *position)
{
	*position = 0;
	return dc_frame_get(f, "position") ? dc_frame_int(f, "position", position) : 0;
}

static int
hash_in(struct dc_frame *f, uint64_t *hash)
{
	int64_t h = 0;

	if (dc_frame_get(f, "parameter_hash"))
		DC_TRY(dc_frame_int(f, "parameter_hash", &h));
	*hash = (uint64_t)h;
	return 0;
}

static int
write_merged(struct dc_mpi *g, uint64_t step, size_t bytes)
{
	struct dc_merge m;
	int64_t parts, per;
	int r = DC_FRAME;

	DC_TRY(dc_merge_begin(&m, g->theirs, g->l->ranks));
	parts = (int64_t)(bytes / FRAME_BYTES) + 1;
	per = (m.N + parts - 1) / parts;
	parts = m.N ? (m.N + per - 1) / per : 1;
	for (int64_t i = 0; i < parts && r == DC_FRAME; i++) {
		int64_t end = (i + 1) * per < m.N ? (i + 1) * per : m.N;

		if ((r = dc_merge_put(&m, &g->b, g->l->rank, i * per, end)) < 0)
			break;
		if (parts > 1)
			dc_put_part(&g->b, i, parts);
		r = dc_frame_write(&g->out, "features", step, &g->b);
	}
	dc_merge_end(&m);
	return r < 0 ? r : DC_FRAME;
}

static int
note_step(struct dc_mpi *g, uint64_t step)
{
	double *waited = dc_xcalloc((size_t)g->l->ranks, sizeof *waited);
	int r;

	for (int k = 0; k < g->l->ranks; k++)
		waited[k] = g->l->word[k].waited;
	r = dc_slow_step(&g->slow, waited, step, g->l->sent, g->l->received, g->shared, g->summed);
	free(waited);
	return r;
}

static int
share_features(struct dc_mpi *g)
{
	uint64_t step = g->batch.part[0].step, hash;
	double since = dc_seconds();
	size_t bytes = 0;
	int64_t position;
	int r;

	DC_TRY(hash_in(&g->batch.part[0], &hash));
	DC_TRY(position_in(&g->batch.part[0], &position));
	if (g->batch.n == 1) {   /* the body as it came */
		g->own = (struct dc_body){ .p = g->batch.part[0].body, .n = g->batch.part[0].bytes };
		g->batch.part[0].body = NULL;
	} else {
		dc_body_clear(&g->own);
		DC_TRY(dc_merge_parts(&g->own, &g->batch));
	}
	r = dc_link_meet(g->l, &(struct dc_word){ .kind = DC_WORD_FEATURES, .step = step, .check = g->run, .bytes = g->own.n, .hash = hash,
		.position = position, .waited = g->slow.waited });
	if (r != DC_FRAME || (r = check_positions(g)) != DC_FRAME || (r = check_hashes(g)) != DC_FRAME)
		return r;
	for (int k = 0; k < g->l->ranks; k++)
		bytes += (size_t)g->l->word[k].bytes;
	DC_TRY(note_step(g, step));
	dc_slow_add(&g->slow, dc_seconds() - since);
	dc_gather_clear(&g->batch);
	if ((r = dc_mpi_exchange(g, "features", step, dc_mpi_take_body(&g->own), (size_t)g->l->word[g->l->rank].bytes)) == DC_FRAME)
		r = write_merged(g, step, bytes);
	return r;
}

int
dc_mpi_features(struct dc_mpi *g)
{
	DC_TRY(dc_gather_add(&g->batch, &g->f));
	return dc_gather_whole(&g->batch) ? share_features(g) : DC_FRAME;
}
