/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "nn/block.h"
#include "nn/gelu.h"
#include "nn/layernorm.h"

/* `some`: this is the last block, and only the rows pack->want get a query. */

/* --- forward --- */

static int
queries(const struct dc_pack *p, int some)
{
	return some ? p->wanted : p->R;
}

static void
attention_shape(struct dc_block_kept *k, const struct dc_pack *p, int some, int heads, int W, struct dc_arena *arena)
{
	size_t *off = dc_arena_alloc(arena, (size_t)p->n + 1, sizeof(*off));
	const int32_t *q_off = some ? p->want_off : p->off;
	size_t n = dc_attn_prob(off, q_off, p->off, p->n, heads);

	k->attn = (struct dc_attn){ .n = p->n, .heads = heads, .hd = W / heads, .causal = p->causal,
		.q_off = q_off, .k_off = p->off, .prob_off = off };
	k->prob = dc_arena_reals(arena, n);
}

/* Queries, keys, values of the normalised rows y: one product where every row has a query, else two. */
static void
project_in(struct dc_block_kept *k, const dc_real *y, const struct dc_pack *p, int some, const struct dc_block *b, int W,
	struct dc_arena *arena)
{
	const size_t WW = (size_t)W * W;
	struct dc_arena_mark mark;
	dc_real *y_q;

	if (!some) {
		k->q = dc_arena_reals(arena, (size_t)p->R * 3 * W);
		k->k = k->q + W;
		k->v = k->q + 2 * W;
		k->ldq = k->ldk = 3 * W;
		dc_linear_forward(k->q, 3 * W, y, W, b->in_w.w, b->in_b.w, NULL, p->R, W, 3 * W);
		return;
	}
	k->q = dc_arena_reals(arena, (size_t)p->wanted * W);
	k->k = dc_arena_reals(arena, (size_t)p->R * 2 * W);
	k->v = k->k + W;
	k->ldq = W;
	k->ldk = 2 * W;
	mark = dc_arena_mark(arena);
	y_q = dc_arena_reals(arena, (size_t)p->wanted * W);
	dc_rows_gather(y_q, y, p->want, p->wanted, W);
	dc_linear_forward(k->q, W, y_q, W, b->in_w.w, b->in_b.w, NULL, p->wanted, W, W);
	dc_linear_forward(k->k, 2 * W, y, W, b->in_w.w + WW, b->in_b.w + W, NULL, p->R, W, 2 * W);
	dc_arena_release(arena, mark);
}

/* x1 = x + out_proj(attention(in_proj(ln_1 x))), for the rows with a query */
static void
attention_forward(struct dc_block_kept *k, const struct dc_pack *p, int some, const struct dc_block *b,
	const struct dc_blocks *t, dc_real *y, struct dc_arena *arena)
{
	const int W = t->W, Rq = queries(p, some);

	dc_ln_forward(y, k->mean_1, k->rstd_1, k->x, b->ln_1_w.w, b->ln_1_b.w, p->R, W);
	dc_lap(t->laps, DC_LAP_NORM);
	project_in(k, y, p, some, b, W, arena);
	dc_lap(t->laps, DC_LAP_GEMM);
	attention_shape(k, p, some, t->heads, W, arena);
	dc_attn_forward(k->att, k->prob, k->q, k->ldq, k->k, k->v, k->ldk, &k->attn);
	dc_lap(t->laps, DC_LAP_ATTENTION);
	if (some)
		dc_rows_gather(k->x1, k->x, p->want, Rq, W);
	dc_linear_forward(k->x1, W, k->att, W, b->out_w.w, b->out_b.w, some ? k->x1 : k->x, Rq, W, W);
	dc_lap(t->laps, DC_LAP_GEMM);
}

/* h = c_fc(ln_2 x1), but for the bias, which gelu adds */
static void
mlp_in(struct dc_block_kept *k, int Rq, const struct dc_block *b, const struct dc_blocks *t, dc_real *y)
{
	const int W = t->W, F = t->F;

	dc_ln_forward(y, k->mean_2, k->rstd_2, k->x1, b->ln_2_w.w, b->ln_2_b.w, Rq, W);
	dc_lap(t->laps, DC_LAP_NORM);
	dc_linear_forward(k->h, F, y, W, b->fc_w.w, NULL, NULL, Rq, W, F);
	dc_lap(t->laps, DC_LAP_GEMM);
}

/* x2 = x1 + c_proj(gelu(h + bias)) */
static void
mlp_out(dc_real *x2, const struct dc_block_kept *k, int Rq, const struct dc_block *b, const struct dc_blocks *t,
	struct dc_arena *arena)
{
	const int W = t->W, F = t->F;
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *g = dc_arena_reals(arena, (size_t)Rq * F);

	dc_gelu_forward(g, k->h, b->fc_b.w, Rq, F, t->quick);
	dc_lap(t->laps, DC_LAP_ACTIVATION);
	dc_linear_forward(x2, W, g, F, b->proj_w.w, b->proj_b.w, k->x1, Rq, F, W);
	dc_lap(t->laps, DC_LAP_GEMM);
	dc_arena_release(arena, mark);
}

/* As far as the backward pass goes back: all but x2. y is scratch [R,W]: the normalised rows are computed once more in the
 * backward pass, not kept */
static void
block_in(struct dc_block_kept *k, const dc_real *x, const struct dc_pack *p, int some, const struct dc_block *b,
	const struct dc_blocks *t, dc_real *y, struct dc_arena *arena)
{
	const size_t R = p->R, Rq = queries(p, some), W = t->W;

	k->x = x;
	k->mean_1 = dc_arena_reals(arena, R);
	k->rstd_1 = dc_arena_reals(arena, R);
	k->att = dc_arena_reals(arena, Rq * W);
	k->x1 = dc_arena_reals(arena, Rq * W);
	k->mean_2 = dc_arena_reals(arena, Rq);
	k->rstd_2 = dc_arena_reals(arena, Rq);
	k->h = dc_arena_reals(arena, Rq * t->F);
	attention_forward(k, p, some, b, t, y, arena);
	mlp_in(k, (int)Rq, b, t, y);
}

static int
is_lean(const struct dc_pack *p, const struct dc_blocks *t, int l)
{
	return t->lean && !(l == t->layers - 1 && p->want);
}

void
dc_blocks_forward(dc_real *y, struct dc_block_kept *kept, const dc_real *x, const struct dc_pack *pack,
	const struct dc_blocks *t, struct dc_arena *arena)
{
	const size_t RW = (size_t)pack->R * t->W;
	const int last = t->layers - 1;
	struct dc_arena_mark all = dc_arena_mark(arena);
	dc_real *turn[2], *scratch = dc_arena_reals(arena, RW);
	struct dc_block_kept k = { 0 };

	turn[0] = kept ? NULL : dc_arena_reals(arena, RW);
	turn[1] = kept ? NULL : dc_arena_reals(arena, RW);
	for (int l = 0; l <= last; l++) {
		dc_real *out = l == last ? y : kept ? dc_arena_reals(arena, RW) : turn[l & 1];
		struct dc_arena_mark mark = dc_arena_mark(arena);
		const int some = l == last && pack->want;
		struct dc_block_kept *here = kept ? kept + l : &k;

		block_in(here, x, pack, some, t->block + l, t, scratch, arena);
		mlp_out(out, here, queries(pack, some), t->block + l, t, arena);
		if (!kept || is_lean(pack, t, l))
			dc_arena_release(arena, mark);
		x = out;
	}
	if (!kept)
		dc_arena_release(arena, all);
}

/* a row times a matrix of a columns and b rows is 2ab operations */
static double
block_flop(const struct dc_pack *p, int some, const struct dc_blocks *t)
{
	const double W = t->W, F = t->F, R = p->R, Rq = queries(p, some);
	double seen = 0;

	for (int s = 0; s < p->n; s++) {
		double Lk = p->off[s + 1] - p->off[s], Lq = some ? p->want_off[s + 1] - p->want_off[s] : Lk;

		seen += p->causal && !some ? Lk * (Lk + 1) / 2 : Lq * Lk;
	}
	return 2 * W * W * (2 * R + 2 * Rq) + 4 * W * F * Rq + 4 * W * seen;
}

double
dc_blocks_flop(const struct dc_pack *pack, const struct dc_blocks *t)
{
	return (t->layers - 1) * block_flop(pack, 0, t) + block_flop(pack, pack->want != NULL, t);
}

/* --- backward --- */

/* dx [Rq,W], the gradient by x2, becomes the one by x1:
 *	x2 = x1 + c_proj(g),  g = gelu(h + bias),  h = y c_fc^T,  y = ln_2 x1 */
static void
mlp_backward(dc_real *dx, const struct dc_block_kept *k, int Rq, const struct dc_block *b, const struct dc_blocks *t,
	struct dc_arena *arena)
{
	const int W = t->W, F = t->F;
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *dh = dc_arena_reals(arena, (size_t)Rq * F), *g = dc_arena_reals(arena, (size_t)Rq * F);
	dc_real *y = dc_arena_reals(arena, (size_t)Rq * W), *dy = dc_arena_reals(arena, (size_t)Rq * W);

	dc_linear_backward(dh, F, 0, NULL, NULL, dx, W, NULL, 0, b->proj_w.w, Rq, F, W);
	dc_lap(t->laps, DC_LAP_GEMM);
	dc_gelu_backward(dh, g, dh, k->h, b->fc_b.w, Rq, F, t->quick);
	dc_lap(t->laps, DC_LAP_ACTIVATION);
	dc_linear_backward(NULL, 0, 0, b->proj_w.g, b->proj_b.g, dx, W, g, F, b->proj_w.w, Rq, F, W);
	dc_lap(t->laps, DC_LAP_GEMM);
	if (b->fc_w.g)
		dc_ln_apply(y, k->mean_2, k->rstd_2, k->x1, b->ln_2_w.w, b->ln_2_b.w, Rq, W);
	dc_lap(t->laps, DC_LAP_NORM);
	dc_linear_backward(dy, W, 0, b->fc_w.g, b->fc_b.g, dh, F, y, W, b->fc_w.w, Rq, W, F);
	dc_lap(t->laps, DC_LAP_GEMM);
	dc_ln_backward(dx, b->ln_2_w.g, b->ln_2_b.g, dy, k->x1, k->mean_2, k->rstd_2, b->ln_2_w.w, Rq, W);
	dc_lap(t->laps, DC_LAP_NORM);
	dc_arena_release(arena, mark);
}

/* dy [R,W], the gradient by ln_1's output, from those by queries, keys and values (laid out as they are) */
static void
project_in_backward(dc_real *dy, const dc_real *dq, const dc_real *dk, const struct dc_block_kept *k,
	const struct dc_pack *p, int some, const struct dc_block *b, const struct dc_blocks *t, struct dc_arena *arena)
{
	const int W = t->W;
	const size_t WW = (size_t)W * W;
	dc_real *y = dc_arena_reals(arena, (size_t)p->R * W), *y_q, *dy_q;

	if (b->in_w.g)
		dc_ln_apply(y, k->mean_1, k->rstd_1, k->x, b->ln_1_w.w, b->ln_1_b.w, p->R, W);
	dc_lap(t->laps, DC_LAP_NORM);
	if (!some) {
		dc_linear_backward(dy, W, 0, b->in_w.g, b->in_b.g, dq, 3 * W, y, W, b->in_w.w, p->R, W, 3 * W);
		return;
	}
	y_q = dc_arena_reals(arena, (size_t)p->wanted * W);
	dy_q = dc_arena_reals(arena, (size_t)p->wanted * W);
	dc_linear_backward(dy, W, 0, b->in_w.g ? b->in_w.g + WW : NULL, b->in_b.g ? b->in_b.g + W : NULL, dk, 2 * W, y, W,
		b->in_w.w + WW, p->R, W, 2 * W);
	if (b->in_w.g)
		dc_rows_gather(y_q, y, p->want, p->wanted, W);
	dc_linear_backward(dy_q, W, 0, b->in_w.g, b->in_b.g, dq, W, y_q, W, b->in_w.w, p->wanted, W, W);
	dc_rows_scatter_add(dy, dy_q, p->want, p->wanted, W);
}

/* dx [R,W] += the gradient by x through the attention, from dx1 [Rq,W] */
static void
attention_backward(dc_real *dx, const dc_real *dx1, const struct dc_block_kept *k, const struct dc_pack *p, int some,
	const struct dc_block *b, const struct dc_blocks *t, struct dc_arena *arena)
{
	const int W = t->W, Rq = queries(p, some);
	const size_t R = p->R;
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *datt = dc_arena_reals(arena, (size_t)Rq * W), *dy = dc_arena_reals(arena, R * W), *dq, *dk;

	dq = dc_arena_reals(arena, (size_t)Rq * k->ldq);
	dk = some ? dc_arena_reals(arena, R * k->ldk) : dq + W;
	dc_linear_backward(datt, W, 0, b->out_w.g, b->out_b.g, dx1, W, k->att, W, b->out_w.w, Rq, W, W);
	dc_lap(t->laps, DC_LAP_GEMM);
	dc_attn_backward(dq, dk, dk + W, datt, k->prob, k->q, k->ldq, k->k, k->v, k->ldk, &k->attn, arena);
	dc_lap(t->laps, DC_LAP_ATTENTION);
	project_in_backward(dy, dq, dk, k, p, some, b, t, arena);
	dc_lap(t->laps, DC_LAP_GEMM);
	dc_ln_backward(dx, b->ln_1_w.g, b->ln_1_b.g, dy, k->x, k->mean_1, k->rstd_1, b->ln_1_w.w, p->R, W);
	dc_lap(t->laps, DC_LAP_NORM);
	dc_arena_release(arena, mark);
}

void
dc_blocks_backward(dc_real *dx, dc_real *dy, const struct dc_block_kept *kept, const struct dc_pack *pack,
	const struct dc_blocks *t, struct dc_arena *arena)
{
	const size_t RW = (size_t)pack->R * t->W;

	for (int l = t->layers - 1; l >= 0; l--) {
		const int last = l == t->layers - 1, some = last && pack->want;
		struct dc_arena_mark mark = dc_arena_mark(arena);
		const struct dc_block_kept *k = kept + l;
		struct dc_block_kept again = { 0 };

		if (is_lean(pack, t, l)) {
			block_in(&again, k->x, pack, some, t->block + l, t, dc_arena_reals(arena, RW), arena);
			k = &again;
		}
		mlp_backward(last ? dy : dx, k, queries(pack, some), t->block + l, t, arena);
		if (some) {
			memset(dx, 0, RW * sizeof(*dx));
			dc_rows_scatter_add(dx, dy, pack->want, pack->wanted, t->W);
		} else if (last) {
			memcpy(dx, dy, RW * sizeof(*dx));
		}
		attention_backward(dx, last ? dy : dx, k, pack, some, t->block + l, t, arena);
		dc_arena_release(arena, mark);
	}
}
