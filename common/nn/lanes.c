/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "nn/gemm.h"
#include "nn/lanes.h"

/* Rows of a piece. What a layer of width 128 makes of them lies in a cache of 2 MB, and products of so many rows are
 * as fast as any. */
enum { PIECE = 288, PARS = sizeof(struct dc_block) / sizeof(struct dc_par) };

/* Sequences that are a pack of their own; r0, w0: its first row and its first wanted row in the whole pack. */
struct dc_piece { struct dc_pack pack; int r0, w0; };

/* --- lanes --- */

static void
par_sizes(size_t size[PARS], const struct dc_blocks *t)
{
	const size_t W = t->W, F = t->F;
	const size_t s[PARS] = { W, W, 3 * W * W, 3 * W, W * W, W, W, W, F * W, F, W * F, W };

	memcpy(size, s, sizeof(s));
}

static void
own_blocks(struct dc_lane *lane, const struct dc_blocks *t, const size_t size[PARS])
{
	struct dc_block *block = dc_xcalloc((size_t)t->layers, sizeof(*block));
	dc_real *g = lane->g;

	memcpy(block, t->block, (size_t)t->layers * sizeof(*block));
	for (int b = 0; g && b < t->layers; b++) {
		struct dc_par *par = (struct dc_par *)(block + b);

		for (int p = 0; p < PARS; g += size[p], p++)
			par[p].g = par[p].g ? g : NULL;
	}
	lane->blocks = *t;
	lane->blocks.block = block;
	lane->blocks.laps = NULL;
}

static void
clear(struct dc_lane *lane)
{
	if (lane->g)
		memset(lane->g, 0, lane->n_g * sizeof(*lane->g));
	lane->dirty = 0;
}

void
dc_lanes_init(struct dc_lanes *l, const struct dc_blocks *t, int threads)
{
	size_t size[PARS], n = 0;

	memset(l, 0, sizeof(*l));
	par_sizes(size, t);
	for (int p = 0; p < PARS; p++)
		n += size[p];
	n *= (size_t)t->layers;
	if (threads < 2 || n > DC_LANES_REALS)
		return;
	l->n = threads;
	l->lane = dc_xcalloc((size_t)threads, sizeof(*l->lane));
	for (int i = 0; i < threads; i++) {
		l->lane[i].n_g = i && t->block->in_w.g ? n : 0;
		l->lane[i].g = l->lane[i].n_g ? dc_xaligned(n, sizeof(dc_real)) : NULL;
		clear(l->lane + i);
		own_blocks(l->lane + i, t, size);
	}
}

void
dc_lanes_free(struct dc_lanes *l)
{
	for (int i = 0; i < l->n; i++) {
		dc_arena_free(&l->lane[i].arena);
		free(l->lane[i].blocks.block);
		free(l->lane[i].g);
	}
	free(l->lane);
	memset(l, 0, sizeof(*l));
}

void
dc_lanes_reset(struct dc_lanes *l)
{
	for (int i = 0; i < l->n; i++) {
		dc_arena_reset(&l->lane[i].arena);
		if (l->lane[i].dirty)   /* nobody collected it */
			clear(l->lane + i);
	}
}

size_t
dc_lanes_laid(const struct dc_lanes *l)
{
	size_t bytes = 0;

	for (int i = 0; i < l->n; i++)
		bytes += dc_arena_laid(&l->lane[i].arena);
	return bytes;
}

/* to += from, and from is zero again; each thread of the team its part, the same one of `to` every time */
static void
move(dc_real *restrict to, dc_real *restrict from, size_t n)
{
#pragma omp for schedule(static) nowait
	for (size_t i = 0; i < n; i++) {
		to[i] += from[i];
		from[i] = 0;
	}
}

static void
collect_lane(const struct dc_lane *lane, const struct dc_blocks *t)
{
	size_t size[PARS];

	par_sizes(size, t);
	for (int b = 0; b < t->layers; b++) {
		struct dc_par *to = (struct dc_par *)(t->block + b), *from = (struct dc_par *)(lane->blocks.block + b);

		for (int p = 0; p < PARS; p++)
			if (to[p].g)
				move(to[p].g, from[p].g, size[p]);
	}
}

void
dc_lanes_collect(struct dc_lanes *l, const struct dc_blocks *t)
{
	if (l->n < 2)
		return;
#pragma omp parallel num_threads(l->n)
	for (int i = 1; i < l->n; i++)
		if (l->lane[i].dirty)
			collect_lane(l->lane + i, t);
	for (int i = 1; i < l->n; i++)
		l->lane[i].dirty = 0;
}

/* --- pieces --- */

/* Sequences [s0, s1) of a pack as a pack of their own. */
static struct dc_piece
cut(const struct dc_pack *p, int s0, int s1, struct dc_arena *arena)
{
	const int n = s1 - s0, r0 = p->off[s0], w0 = p->want ? p->want_off[s0] : r0;
	int32_t *off = dc_arena_ints(arena, (size_t)n + 1), *want_off = NULL, *want = NULL;

	for (int s = 0; s <= n; s++)
		off[s] = p->off[s0 + s] - r0;
	if (p->want) {
		want_off = dc_arena_ints(arena, (size_t)n + 1);
		want = dc_arena_ints(arena, (size_t)(p->want_off[s1] - w0));
		for (int s = 0; s <= n; s++)
			want_off[s] = p->want_off[s0 + s] - w0;
		for (int i = 0; i < want_off[n]; i++)
			want[i] = p->want[w0 + i] - r0;
	}
	return (struct dc_piece){ { .n = n, .R = off[n], .wanted = want ? want_off[n] : off[n], .causal = p->causal,
		.off = off, .want_off = want_off, .want = want }, r0, w0 };
}

/* The first of `shares` equal shares, by rows, of sequences [s0, n) ends before the sequence returned. */
static int
share_end(const struct dc_pack *p, int s0, int shares)
{
	const int goal = p->off[s0] + (p->R - p->off[s0]) / shares;
	int s = s0;

	while (s < p->n && p->off[s] < goal)
		s++;
	return shares == 1 ? p->n : s;
}

/* Pieces of about equal size, a multiple of the lanes: lane i has pieces i, i + lanes, ... */
static int
cut_all(struct dc_piece **piece, const struct dc_pack *p, int lanes, struct dc_arena *arena)
{
	const int n = lanes * ((p->R + lanes * PIECE - 1) / (lanes * PIECE));
	int s = 0;

	*piece = dc_arena_alloc(arena, (size_t)n, sizeof(**piece));
	for (int i = 0; i < n; i++) {
		int end = share_end(p, s, n - i);

		(*piece)[i] = cut(p, s, end, arena);
		s = end;
	}
	return n;
}

static int
worth(const struct dc_pack *p, const struct dc_blocks *t)
{
	return (double)p->R * t->W * t->F > DC_PARALLEL_PRODUCT;
}

static struct dc_blocks
with_laps(const struct dc_lane *lane, const struct dc_blocks *t, int first)
{
	struct dc_blocks b = lane->blocks;

	b.laps = first ? t->laps : NULL;   /* one lane stands for all: they do the same */
	b.lean = t->lean;
	return b;
}

static void
forward_lane(dc_real *y, const struct dc_lanes_kept *kept, const dc_real *x, const struct dc_blocks *t, struct dc_lanes *l,
	int i, int keep)
{
	const struct dc_blocks b = with_laps(l->lane + i, t, i == 0);

	for (int p = i; p < kept->n; p += l->n) {
		const struct dc_piece *k = kept->piece + p;

		if (k->pack.n)
			dc_blocks_forward(y + (size_t)k->w0 * t->W, keep ? kept->block + (size_t)p * t->layers : NULL,
				x + (size_t)k->r0 * t->W, &k->pack, &b, &l->lane[i].arena);
	}
}

void
dc_lanes_forward(dc_real *y, struct dc_lanes_kept *kept, const dc_real *x, const struct dc_pack *pack,
	const struct dc_blocks *t, struct dc_lanes *l, struct dc_arena *arena)
{
	struct dc_arena_mark mark = dc_arena_mark(arena);
	struct dc_lanes_kept here = { 0 }, *k = kept ? kept : &here;
	const size_t layers = t->layers;

	*k = (struct dc_lanes_kept){ .n = 1 };
	if (!l->n) {
		k->block = kept ? dc_arena_alloc(arena, layers, sizeof(*k->block)) : NULL;
		dc_blocks_forward(y, k->block, x, pack, t, arena);
		return;
	}
	k->n = cut_all(&k->piece, pack, l->n, arena);
	k->block = kept ? dc_arena_alloc(arena, (size_t)k->n * layers, sizeof(*k->block)) : NULL;
	k->mark = dc_arena_alloc(arena, (size_t)l->n, sizeof(*k->mark));
	for (int i = 0; i < l->n; i++)
		k->mark[i] = dc_arena_mark(&l->lane[i].arena);
#pragma omp parallel for schedule(static, 1) num_threads(l->n) if (worth(pack, t))
	for (int i = 0; i < l->n; i++)
		forward_lane(y, k, x, t, l, i, kept != NULL);
	dc_lap(t->laps, DC_LAP_OTHER);
	if (!kept)
		dc_arena_release(arena, mark);
}

void
dc_lanes_drop(const struct dc_lanes_kept *kept, struct dc_lanes *l)
{
	for (int i = 0; i < l->n; i++)
		dc_arena_release(&l->lane[i].arena, kept->mark[i]);
}

static void
backward_lane(dc_real *dx, dc_real *dy, const struct dc_lanes_kept *kept, const struct dc_blocks *t, struct dc_lanes *l, int i)
{
	const struct dc_blocks b = with_laps(l->lane + i, t, i == 0);
	struct dc_lane *lane = l->lane + i;

	lane->dirty = lane->g != NULL;
	for (int p = kept->n - l->n + i; p >= 0; p -= l->n) {
		const struct dc_piece *k = kept->piece + p;

		if (k->pack.n)
			dc_blocks_backward(dx + (size_t)k->r0 * t->W, dy + (size_t)k->w0 * t->W, kept->block + (size_t)p * t->layers,
				&k->pack, &b, &lane->arena);
	}
	dc_arena_release(&lane->arena, kept->mark[i]);
}

void
dc_lanes_backward(dc_real *dx, dc_real *dy, const struct dc_lanes_kept *kept, const struct dc_pack *pack,
	const struct dc_blocks *t, struct dc_lanes *l, struct dc_arena *arena)
{
	if (!l->n) {
		dc_blocks_backward(dx, dy, kept->block, pack, t, arena);
		return;
	}
#pragma omp parallel for schedule(static, 1) num_threads(l->n) if (worth(pack, t))
	for (int i = 0; i < l->n; i++)
		backward_lane(dx, dy, kept, t, l, i);
	dc_lap(t->laps, DC_LAP_OTHER);
}
