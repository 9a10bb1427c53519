/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "nn/embed.h"
#include "nn/gemm.h"
#include "nn/layernorm.h"
#include "nn/vit.h"

/* n sequences of 1 + G rows, of which the first, the class token, is wanted, or all */
static void
pack_images(struct dc_pack *p, int n, int L, int all, struct dc_arena *arena)
{
	int32_t *off = dc_arena_ints(arena, (size_t)n + 1), *want_off = dc_arena_ints(arena, (size_t)n + 1);

	for (int s = 0; s <= n; s++) {
		off[s] = s * L;
		want_off[s] = s;
	}
	*p = (struct dc_pack){ .n = n, .R = n * L, .wanted = n, .off = off, .want_off = want_off, .want = off };
	if (all) {
		p->wanted = p->R;
		p->want_off = p->want = NULL;
	}
}

/* Of every image's rows x [n (1 + G), W] the class token's into first [n,W] and the others into rest [n G, W]. */
static void
part_rows(dc_real *first, dc_real *rest, const dc_real *x, int n, size_t G, size_t W)
{
	for (size_t i = 0; i < (size_t)n; i++) {
		memcpy(first + i * W, x + i * (1 + G) * W, W * sizeof(*x));
		memcpy(rest + i * G * W, x + (i * (1 + G) + 1) * W, G * W * sizeof(*x));
	}
}

/* The other way round; rest NULL is zero. */
static void
join_rows(dc_real *x, const dc_real *first, const dc_real *rest, int n, size_t G, size_t W)
{
	for (size_t i = 0; i < (size_t)n; i++) {
		memcpy(x + i * (1 + G) * W, first + i * W, W * sizeof(*x));
		if (rest)
			memcpy(x + (i * (1 + G) + 1) * W, rest + i * G * W, G * W * sizeof(*x));
		else
			memset(x + (i * (1 + G) + 1) * W, 0, G * W * sizeof(*x));
	}
}

static void
embed(struct dc_vit_kept *k, const struct dc_vit *t, const uint8_t *rgb, struct dc_arena *arena)
{
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *patch = dc_arena_reals(arena, (size_t)k->n * t->G * t->W);

	dc_patch_forward(patch, &t->patch, rgb, k->n, t->conv1.w, arena);
	dc_embed_image_forward(k->x, patch, t->cls.w, t->pos.w, k->n, t->G, t->W);
	dc_arena_release(arena, mark);
}

static const uint8_t *
keep_pixels(const struct dc_vit *t, const uint8_t *rgb, int n, struct dc_arena *arena)
{
	size_t bytes = (size_t)n * t->S * t->S * 3;
	uint8_t *copy = dc_arena_alloc(arena, bytes, 1);

	memcpy(copy, rgb, bytes);
	return copy;
}

static double
patch_flop(const struct dc_vit *t, int n, int trains)
{
	return 2.0 * n * t->G * 3 * t->P * t->P * t->W * (trains ? 2 : 1);
}

/* y = the blocks' output: of the class token into k->y, and of the patches into tokens where they are wanted */
static void
run_blocks(struct dc_vit_kept *k, const struct dc_vit *t, const dc_real *x0, dc_real *tokens, int keep, struct dc_arena *arena)
{
	dc_real *y = tokens ? dc_arena_reals(arena, (size_t)k->pack.R * t->W) : k->y;

	dc_lanes_forward(y, keep ? &k->blocks : NULL, x0, &k->pack, &t->blocks, t->lanes, arena);
	if (tokens)
		part_rows(k->y, tokens, y, k->n, t->G, t->W);
}

void
dc_vit_forward(const struct dc_vit_out *out, struct dc_vit_kept *kept, const struct dc_vit *t, const uint8_t *rgb, int n,
	struct dc_arena *arena)
{
	const size_t R = (size_t)n * (1 + t->G), W = t->W;
	struct dc_arena_mark mark = dc_arena_mark(arena);
	struct dc_vit_kept here = { 0 }, *k = kept ? kept : &here;
	dc_real *x0;

	memset(k, 0, sizeof(*k));
	k->n = n;
	k->tokens = out->tokens != NULL;
	k->rgb = kept && t->conv1.g ? keep_pixels(t, rgb, n, arena) : NULL;
	k->x = dc_arena_reals(arena, R * W);
	k->mean_pre = dc_arena_reals(arena, R);
	k->rstd_pre = dc_arena_reals(arena, R);
	x0 = dc_arena_reals(arena, R * W);
	k->y = dc_arena_reals(arena, n * W);
	k->mean_post = dc_arena_reals(arena, n);
	k->rstd_post = dc_arena_reals(arena, n);
	k->z = dc_arena_reals(arena, n * W);
	pack_images(&k->pack, n, 1 + t->G, k->tokens, arena);

	embed(k, t, rgb, arena);
	dc_lap(t->blocks.laps, DC_LAP_EMBED);
	dc_ln_forward(x0, k->mean_pre, k->rstd_pre, k->x, t->ln_pre_w.w, t->ln_pre_b.w, (int)R, t->W);
	dc_lap(t->blocks.laps, DC_LAP_NORM);
	run_blocks(k, t, x0, out->tokens, kept != NULL, arena);
	dc_ln_forward(k->z, k->mean_post, k->rstd_post, k->y, t->ln_post_w.w, t->ln_post_b.w, n, t->W);
	if (out->pooled)
		memcpy(out->pooled, k->z, n * W * sizeof(*k->z));
	if (out->features)   /* feature = z proj */
		dc_gemm_rows(0, n, t->D, t->W, k->z, t->W, t->proj.w, t->D, 0, out->features, t->D);
	dc_lap(t->blocks.laps, DC_LAP_HEADS);
	if (t->blocks.laps)
		t->blocks.laps->flop += dc_blocks_flop(&k->pack, &t->blocks) * (kept ? 3 : 1) + patch_flop(t, n, kept && t->conv1.g) +
			(out->features ? 2.0 * n * t->W * t->D * (kept ? 3 : 1) : 0);
	if (!kept)
		dc_arena_release(arena, mark);
}

/* x = [class; patches conv1^T] + positional */
static void
embed_backward(const struct dc_vit_kept *k, const struct dc_vit *t, const dc_real *dx, struct dc_arena *arena)
{
	dc_real *dpatch = t->conv1.g ? dc_arena_reals(arena, (size_t)k->n * t->G * t->W) : NULL;

	dc_embed_image_backward(dpatch, t->cls.g, t->pos.g, dx, k->n, t->G, t->W);
	if (dpatch)
		dc_patch_backward(t->conv1.g, &t->patch, dpatch, k->rgb, k->n, arena);
}

/* dz [n,W] from the gradients of feature = z proj and of z itself */
static void
project_backward(dc_real *dz, const struct dc_vit_kept *k, const struct dc_vit *t, const struct dc_vit_out *d)
{
	const int W = t->W, D = t->D, n = k->n;

	if (d->features && t->proj.g)
		dc_gemm(1, 0, W, D, n, 1, k->z, W, d->features, D, 1, t->proj.g, D);   /* dproj += z^T dfeature */
	if (d->features)
		dc_gemm_rows(1, n, W, D, d->features, D, t->proj.w, D, 0, dz, W);     /* dz = dfeature proj^T */
	else
		memset(dz, 0, (size_t)n * W * sizeof(*dz));
	for (size_t i = 0; d->pooled && i < (size_t)n * W; i++)
		dz[i] += d->pooled[i];
}

void
dc_vit_backward(const struct dc_vit_kept *k, const struct dc_vit *t, const struct dc_vit_out *d, struct dc_arena *arena)
{
	const int W = t->W, n = k->n, R = k->pack.R;
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *dz = dc_arena_reals(arena, (size_t)n * W), *dy = dc_arena_reals(arena, (size_t)n * W), *dall = dy;
	dc_real *dx0 = dc_arena_reals(arena, (size_t)R * W), *dx = dc_arena_reals(arena, (size_t)R * W);

	project_backward(dz, k, t, d);
	memset(dy, 0, (size_t)n * W * sizeof(*dy));
	dc_ln_backward(dy, t->ln_post_w.g, t->ln_post_b.g, dz, k->y, k->mean_post, k->rstd_post, t->ln_post_w.w, n, W);
	if (k->tokens) {
		dall = dc_arena_reals(arena, (size_t)R * W);
		join_rows(dall, dy, d->tokens, n, t->G, W);
	}
	dc_lap(t->blocks.laps, DC_LAP_HEADS);
	dc_lanes_backward(dx0, dall, &k->blocks, &k->pack, &t->blocks, t->lanes, arena);
	memset(dx, 0, (size_t)R * W * sizeof(*dx));
	dc_ln_backward(dx, t->ln_pre_w.g, t->ln_pre_b.g, dx0, k->x, k->mean_pre, k->rstd_pre, t->ln_pre_w.w, R, W);
	dc_lap(t->blocks.laps, DC_LAP_NORM);
	embed_backward(k, t, dx, arena);
	dc_lap(t->blocks.laps, DC_LAP_EMBED);
	dc_arena_release(arena, mark);
}
