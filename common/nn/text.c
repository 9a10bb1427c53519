/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "nn/embed.h"
#include "nn/gemm.h"
#include "nn/layernorm.h"
#include "nn/text.h"

/* The length of a caption: up to and with its first end token, or with its last (`whole`); -1 with a message. *end: the
 * place of the first. */
static int
length_of(const struct dc_text_tower *t, const int32_t *token, int whole, int row, int32_t *end)
{
	int last = -1;

	for (int i = 0; i < t->T && (last < 0 || whole); i++) {
		if (token[i] == t->V && !t->mask.w)
			return dc_err_set("row %d, position %d: the mask token, and the model has none", row, i);
		if (token[i] < 0 || token[i] > t->V)
			return dc_err_set("row %d, position %d: token %d is outside the vocabulary of %d", row, i, token[i],
				t->V);
		if (token[i] != t->V - 1)
			continue;
		*end = last < 0 ? i : *end;
		last = i;
	}
	return last >= 0 ? last + 1 : dc_err_set("row %d: no end token (%d) in %d positions", row, t->V - 1, t->T);
}

int
dc_captions_pack(struct dc_captions *c, const struct dc_text_tower *t, const int32_t *token, int whole, int row, int n,
	struct dc_arena *arena)
{
	struct dc_arena_mark mark = dc_arena_mark(arena);
	int32_t *off = dc_arena_ints(arena, (size_t)n + 1), *end = dc_arena_ints(arena, (size_t)n);

	memset(c, 0, sizeof(*c));
	off[0] = 0;
	for (int s = 0; s < n; s++) {
		int L = length_of(t, token + (size_t)s * t->T, whole, row + s, end + s);

		if (L < 0) {
			dc_arena_release(arena, mark);
			return -1;
		}
		off[s + 1] = off[s] + L;
		end[s] += off[s];
	}
	c->pack = (struct dc_pack){ .n = n, .R = off[n], .wanted = off[n], .off = off };
	c->end = end;
	c->id = dc_arena_ints(arena, (size_t)off[n]);
	c->p = dc_arena_ints(arena, (size_t)off[n]);
	for (int s = 0; s < n; s++)
		for (int r = off[s]; r < off[s + 1]; r++) {
			c->p[r] = r - off[s];
			c->id[r] = token[(size_t)s * t->T + c->p[r]];
			c->masks += c->id[r] == t->V;
		}
	return 0;
}

void
dc_text_forward(struct dc_text_kept *k, const struct dc_text_tower *t, const struct dc_captions *c, int keep,
	struct dc_arena *arena)
{
	dc_real *y = dc_arena_reals(arena, (size_t)c->pack.wanted * t->W), *x;
	struct dc_arena_mark mark = dc_arena_mark(arena);

	k->c = *c;
	k->y = y;
	x = dc_arena_reals(arena, (size_t)c->pack.R * t->W);
	dc_embed_text_forward(x, t->token.w, t->mask.w, t->pos.w, c->id, c->p, c->pack.R, t->V, t->W);
	dc_lap(t->blocks.laps, DC_LAP_EMBED);
	dc_lanes_forward(y, keep ? &k->blocks : NULL, x, &k->c.pack, &t->blocks, t->lanes, arena);
	if (t->blocks.laps)
		t->blocks.laps->flop += dc_blocks_flop(&k->c.pack, &t->blocks) * (keep ? 3 : 1);
	if (!keep)
		dc_arena_release(arena, mark);
}

void
dc_text_backward(const struct dc_text_kept *k, const struct dc_text_tower *t, dc_real *dy, struct dc_arena *arena)
{
	struct dc_arena_mark mark = dc_arena_mark(arena);
	const struct dc_captions *c = &k->c;
	dc_real *dx = dc_arena_reals(arena, (size_t)c->pack.R * t->W);

	dc_lanes_backward(dx, dy, &k->blocks, &c->pack, &t->blocks, t->lanes, arena);
	if (t->token.g || t->mask.g || t->pos.g)
		dc_embed_text_backward(t->token.g, t->mask.g, t->pos.g, dx, c->id, c->p, c->pack.R, t->V, t->T, t->W, arena);
	dc_lap(t->blocks.laps, DC_LAP_EMBED);
	dc_arena_release(arena, mark);
}

void
dc_text_pool_forward(dc_real *features, struct dc_text_pool *k, const struct dc_text_tower *t, const dc_real *y, int n,
	struct dc_arena *arena)
{
	const size_t W = t->W;

	*k = (struct dc_text_pool){ n, y, dc_arena_reals(arena, n), dc_arena_reals(arena, n), dc_arena_reals(arena, n * W) };
	dc_ln_forward(k->z, k->mean, k->rstd, y, t->ln_final_w.w, t->ln_final_b.w, n, t->W);
	if (t->proj_b.w)
		dc_linear_forward(features, t->D, k->z, t->W, t->proj.w, t->proj_b.w, NULL, n, t->W, t->D);
	else
		dc_gemm_rows(0, n, t->D, t->W, k->z, t->W, t->proj.w, t->D, 0, features, t->D);   /* feature = z proj */
	dc_lap(t->blocks.laps, DC_LAP_HEADS);
	if (t->blocks.laps)
		t->blocks.laps->flop += 2.0 * n * t->W * t->D * (t->proj.g ? 3 : 1);
}

/* dz [n,W] from dfeature [n,D], and the projection's gradient */
static void
project_backward(dc_real *dz, const struct dc_text_pool *k, const struct dc_text_tower *t, const dc_real *dfeatures)
{
	const int W = t->W, D = t->D, n = k->n;

	if (t->proj_b.w) {
		dc_linear_backward(dz, W, 0, t->proj.g, t->proj_b.g, dfeatures, D, k->z, W, t->proj.w, n, W, D);
		return;
	}
	if (t->proj.g)
		dc_gemm(1, 0, W, D, n, 1, k->z, W, dfeatures, D, 1, t->proj.g, D);   /* dproj += z^T dfeature */
	dc_gemm_rows(1, n, W, D, dfeatures, D, t->proj.w, D, 0, dz, W);              /* dz = dfeature proj^T */
}

void
dc_text_pool_backward(dc_real *dy, const struct dc_text_pool *k, const struct dc_text_tower *t, const dc_real *dfeatures,
	struct dc_arena *arena)
{
	const int W = t->W, n = k->n;
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *dz = dc_arena_reals(arena, (size_t)n * W);

	project_backward(dz, k, t, dfeatures);
	memset(dy, 0, (size_t)n * W * sizeof(*dy));
	dc_ln_backward(dy, t->ln_final_w.g, t->ln_final_b.g, dz, k->y, k->mean, k->rstd, t->ln_final_w.w, n, W);
	dc_lap(t->blocks.laps, DC_LAP_HEADS);
	dc_arena_release(arena, mark);
}
