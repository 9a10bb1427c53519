/* SPDX-License-Identifier: MIT */
#include "mpi/ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const double farewell_s = 2;   /* for a last word to be on its way */

int
dc_mpi_meet(struct dc_mpi *g, enum dc_word_kind kind, uint64_t step, uint64_t check, uint64_t bytes)
{
	return dc_link_meet(g->l, &(struct dc_word){ .kind = kind, .step = step, .check = check, .bytes = bytes });
}

int
dc_mpi_exchange(struct dc_mpi *g, const char *kind, uint64_t step, unsigned char *own, size_t bytes)
{
	double since = dc_seconds();
	int r;

	for (int k = 0; k < g->l->ranks; k++)
		g->bytes[k] = k == g->l->rank ? own : dc_xaligned((size_t)g->l->word[k].bytes + 1, 1);
	if ((r = dc_link_share(g->l, own, g->bytes)) != DC_FRAME)
		return r;
	for (int k = 0; k < g->l->ranks; k++) {
		dc_frame_free(&g->theirs[k]);
		if (!g->l->word[k].bytes)
			free(k == g->l->rank ? NULL : g->bytes[k]);
		else if (r == DC_FRAME && dc_frame_make(&g->theirs[k], kind, step, g->bytes[k], k == g->l->rank ? bytes :
		    (size_t)g->l->word[k].bytes, k == g->l->rank ? "<stdin>" : g->l->host[k]) < 0)
			r = DC_FAIL;
	}
	g->shared += dc_seconds() - since;
	return r;
}

unsigned char *
dc_mpi_take_body(struct dc_body *b)
{
	unsigned char *p = b->p;

	*b = (struct dc_body){ 0 };
	return p;
}

char *
dc_mpi_name_of(const msgpack_object *key)
{
	return key->type == MSGPACK_OBJECT_STR ? dc_xstrndup(key->via.str.ptr, key->via.str.size) : NULL;
}

/* All ranks start from the same run: what `state` says is part of every meeting's check. */
static int
on_state(struct dc_mpi *g)
{
	struct dc_str config;
	int64_t step = 0, position = 0;

	DC_TRY(dc_frame_str(&g->f, "config", &config));
	DC_TRY(dc_frame_int(&g->f, "step", &step));
	DC_TRY(dc_frame_int(&g->f, "position", &position));
	g->run = XXH3_64bits_withSeed(config.p, config.n, (uint64_t)step * 1000003 + (uint64_t)position);
	return dc_frame_pass(&g->out, &g->f);
}

void
dc_mpi_tell(struct dc_mpi *g, enum dc_word_kind kind, const char *why)
{
	struct dc_word w = { .kind = kind, .step = g->in.last_step };

	snprintf(w.why, sizeof w.why, "%s", why);
	dc_link_tell(g->l, &w, farewell_s);
}

static int
on_end(struct dc_mpi *g)
{
	int stopped = 0;

	if (dc_frame_get(&g->f, "stopped"))
		DC_TRY(dc_frame_bool(&g->f, "stopped", &stopped));
	dc_mpi_tell(g, stopped ? DC_WORD_STOP : DC_WORD_END, "");
	return dc_frame_pass(&g->out, &g->f);
}

int
dc_mpi_frame(struct dc_mpi *g)
{
	static const struct { const char *kind; int (*frame)(struct dc_mpi *); } handler[] = {
		{ "features", dc_mpi_features }, { "gradients", dc_mpi_gradients }, { "reduce", dc_mpi_reduce }, { "state", on_state },
	};

	if (!strcmp(g->f.kind, "end"))
		return on_end(g);
	for (size_t i = 0; i < sizeof handler / sizeof *handler; i++)
		if (!strcmp(g->f.kind, handler[i].kind))
			return g->leaving && i < 3 ? DC_FRAME : handler[i].frame(g);
	return dc_frame_pass(&g->out, &g->f);
}

int
dc_mpi_leave(struct dc_mpi *g)
{
	const struct dc_word *w = &g->l->word[g->l->left];

	if (g->leaving && w->kind != DC_WORD_FAIL)
		return DC_FRAME;
	if (w->kind == DC_WORD_FAIL) {
		dc_warn("rank %d: %s failed at step %llu%s%s", g->l->rank, dc_link_name(g->l, g->l->left), (unsigned long long)w->step,
		    *w->why ? ": " : "", w->why);
		return DC_GONE;
	}
	if (g->l->rank == 0 || g->l->left == 0)
		dc_warn("rank %d: %s %s at step %llu: stopping", g->l->rank, dc_link_name(g->l, g->l->left),
		    w->kind == DC_WORD_STOP ? "was stopped" : "has no more samples", (unsigned long long)w->step);
	g->leaving = 1;
	dc_put_bool(&g->b, "drop", 1);
	return dc_frame_write(&g->out, "stop", g->f.step, &g->b);
}
