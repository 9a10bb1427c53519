/* SPDX-License-Identifier: MIT */
#include "nn/encoder_private.h"
#include "nn/layernorm.h"
#include "nn/mlm.h"

/* want, want_off: the rows with a target, by sequence; targets checked. */
int
dc_enc_want_masked(struct dc_pack *pack, const int32_t *off, int row, int n, const int32_t *target, int T, int V,
	struct dc_arena *arena)
{
	int32_t *want = dc_arena_ints(arena, (size_t)off[n]), *want_off = dc_arena_ints(arena, (size_t)n + 1);
	int m = 0;

	for (int s = 0; s < n; s++) {
		want_off[s] = m;
		for (int i = 0; i < T; i++) {
			int32_t want_i = target[(size_t)s * T + i];

			if (want_i == -1)
				continue;
			DC_CHECK(want_i >= 0 && want_i < V, "row %d, position %d: target %d is outside the vocabulary of %d",
				row + s, i, want_i, V);
			DC_CHECK(i < off[s + 1] - off[s], "row %d, position %d: a target after the end token", row + s, i);
			want[m++] = off[s] + i;
		}
	}
	want_off[n] = m;
	pack->want = want;
	pack->want_off = want_off;
	pack->wanted = m;
	return 0;
}

static void
mlm_room(struct dc_enc *e, int64_t M)
{
	struct masked *k = &e->p->mlm;
	const size_t row = (size_t)e->p->text.W * sizeof(dc_real);
	int64_t cap = 2 * k->cap > M ? 2 * k->cap : M;

	if (M <= k->cap)
		return;
	k->target = dc_xrealloc(k->target, (size_t)cap, sizeof(*k->target));
	k->row = dc_xrealloc(k->row, (size_t)cap, sizeof(*k->row));
	k->x = dc_xrealloc(k->x, (size_t)cap, row);
	k->h = dc_xrealloc(k->h, (size_t)cap, row);
	k->dx = dc_xrealloc(k->dx, (size_t)cap, row);
	k->mean = dc_xrealloc(k->mean, (size_t)cap, sizeof(*k->mean));
	k->rstd = dc_xrealloc(k->rstd, (size_t)cap, sizeof(*k->rstd));
	k->lse = dc_xrealloc(k->lse, (size_t)cap, sizeof(*k->lse));
	e->mlm_nll = dc_xrealloc(e->mlm_nll, (size_t)cap, sizeof(*e->mlm_nll));
	e->d_mlm_nll = dc_xrealloc(e->d_mlm_nll, (size_t)cap, sizeof(*e->d_mlm_nll));
	dc_enc_zero(e->d_mlm_nll + k->cap, (size_t)(cap - k->cap));
	k->cap = cap;
}

/* Add the wanted rows of y, which has only those (some) or all rows of the pack, to the batch's masked positions. */
void
dc_enc_add_masked(struct dc_enc *e, const struct dc_pack *pack, const int32_t *target, const dc_real *y, int some)
{
	struct masked *k = &e->p->mlm;
	const size_t W = e->p->text.W;
	int64_t at = e->M;

	mlm_room(e, e->M + pack->wanted);
	for (int s = 0; s < pack->n; s++)
		for (int i = pack->want_off[s]; i < pack->want_off[s + 1]; i++, at++) {
			k->row[at] = pack->want[i];
			k->target[at] = target[(size_t)s * e->T + (pack->want[i] - pack->off[s])];
			memcpy(k->x + (size_t)at * W, y + (size_t)(some ? i : pack->want[i]) * W, W * sizeof(*y));
		}
	e->M = at;
}

/* Remember all hidden states of view 0, for the masked positions. */
void
dc_enc_fuse(struct dc_enc_private *p, const struct dc_text_kept *k, int row, int part)
{
	struct fused *f = &p->fused;
	const struct dc_pack *pack = &k->c.pack;
	const size_t W = p->text.W;

	if (f->y_cap < pack->R * W) {
		f->y_cap = pack->R * W;
		dc_enc_remake(&f->y, f->y_cap);
	}
	f->off = dc_xrealloc(f->off, (size_t)pack->n + 1, sizeof(*f->off));
	memcpy(f->y, k->y, pack->R * W * sizeof(*f->y));
	memcpy(f->off, pack->off, ((size_t)pack->n + 1) * sizeof(*f->off));
	f->on = 1;
	f->row = row;
	f->n = pack->n;
	f->part = part;
}

int
dc_enc_fused(struct dc_enc *e, int row, int n, const int32_t *target)
{
	struct dc_enc_private *p = e->p;
	struct fused *f = &p->fused;
	struct dc_arena_mark mark = dc_arena_mark(&p->arena);
	struct dc_pack pack = { .n = n, .off = f->off };

	DC_CHECK(f->on && f->row == row && f->n == n, "rows %d to %d: their text pass did not come before", row, row + n - 1);
	if (dc_enc_want_masked(&pack, f->off, row, n, target, e->T, p->text.V, &p->arena) < 0) {
		dc_arena_release(&p->arena, mark);
		return -1;
	}
	if (f->part >= 0) {
		p->part[f->part].m0 = e->M;
		p->part[f->part].m = pack.wanted;
	}
	dc_enc_add_masked(e, &pack, target, f->y, 0);
	f->on = 0;
	dc_arena_release(&p->arena, mark);
	return 0;
}

/* h = ln_final x, then the linear head and its cross-entropy */
void
dc_enc_mlm_forward(struct dc_enc *e)
{
	struct masked *k = &e->p->mlm;
	const struct dc_text_tower *t = &e->p->text;
	const size_t kept = e->p->keep ? dc_mlm_kept(e->M, t->V) : 0;

	k->mark = dc_arena_mark(&e->p->arena);
	k->kept = kept ? dc_arena_reals(&e->p->arena, kept) : NULL;
	dc_ln_forward(k->h, k->mean, k->rstd, k->x, t->ln_final_w.w, t->ln_final_b.w, (int)e->M, t->W);
	dc_mlm_forward(e->mlm_nll, k->lse, k->kept, k->h, k->weight.w, k->bias.w, k->target, e->M, t->W, t->V);
}

void
dc_enc_mlm_backward(struct dc_enc *e)
{
	struct masked *k = &e->p->mlm;
	const struct dc_text_tower *t = &e->p->text;
	dc_real *dh = dc_arena_reals(&e->p->arena, (size_t)e->M * t->W);

	dc_mlm_backward(dh, k->weight.g, k->bias.g, k->kept, k->h, k->weight.w, k->bias.w, k->target, k->lse, e->d_mlm_nll, e->M, t->W,
		t->V);
	dc_enc_zero(k->dx, (size_t)e->M * t->W);
	dc_ln_backward(k->dx, t->ln_final_w.g, t->ln_final_b.g, dh, k->x, k->mean, k->rstd, t->ln_final_w.w, (int)e->M, t->W);
	dc_arena_release(&e->p->arena, k->mark);
}
