/* SPDX-License-Identifier: MIT */
#include "nn/encoder_private.h"
#include "nn/layernorm.h"
#include "nn/linear.h"

static void
words_room(struct dc_enc *e, int64_t rows)
{
	struct filip *t = &e->p->filip;
	const size_t row = (size_t)t->F * sizeof(dc_real);
	int64_t cap = 2 * t->cap > rows ? 2 * t->cap : rows;

	if (rows <= t->cap)
		return;
	e->filip_text = dc_xrealloc(e->filip_text, (size_t)cap, row);
	e->d_filip_text = dc_xrealloc(e->d_filip_text, (size_t)cap, row);
	dc_enc_zero(e->d_filip_text + t->cap * t->F, (size_t)((cap - t->cap) * t->F));
	t->cap = cap;
}

/* The rows of a part's words: what lies between start and end token; as released those too. Sets the offsets. */
static void
choose_words(struct words *w, struct dc_enc *e, const struct dc_captions *c, int row)
{
	const int both = e->c.released ? 0 : 1;

	w->row = dc_arena_ints(&e->p->arena, (size_t)c->pack.R);
	w->n = 0;
	w->at = e->filip_off[row];
	for (int s = 0; s < c->pack.n; s++) {
		const int end = both ? c->end[s] : c->pack.off[s + 1];

		for (int r = c->pack.off[s] + both; r < end; r++)
			w->row[w->n++] = r;
		e->filip_off[row + s + 1] = (int32_t)(w->at + w->n);
	}
	words_room(e, w->at + w->n);
}

/* filip_text = h text_w^T + text_b,  h = ln_final y of the words' rows; y [R,W] */
void
dc_enc_words_forward(struct dc_enc *e, struct words *w, const struct dc_captions *c, const dc_real *y, int row)
{
	struct dc_enc_private *p = e->p;
	const struct filip *t = &p->filip;
	const int W = p->text.W;
	struct dc_arena_mark mark;
	dc_real *x;

	choose_words(w, e, c, row);
	w->mean = dc_arena_reals(&p->arena, (size_t)w->n);
	w->rstd = dc_arena_reals(&p->arena, (size_t)w->n);
	w->h = dc_arena_reals(&p->arena, (size_t)w->n * (size_t)W);
	mark = dc_arena_mark(&p->arena);
	x = dc_arena_reals(&p->arena, (size_t)w->n * (size_t)W);
	dc_rows_gather(x, y, w->row, w->n, W);
	dc_ln_forward(w->h, w->mean, w->rstd, x, p->text.ln_final_w.w, p->text.ln_final_b.w, w->n, W);
	dc_linear_forward(e->filip_text + w->at * t->F, t->F, w->h, W, t->text_w.w, t->text_b.w, NULL, w->n, W, t->F);
	dc_arena_release(&p->arena, mark);
}

/* Adds to dy [R,W] what the words' gradient is there. */
void
dc_enc_words_backward(struct dc_enc *e, const struct words *w, const dc_real *y, dc_real *dy)
{
	struct dc_enc_private *p = e->p;
	const struct filip *t = &p->filip;
	const int W = p->text.W;
	const size_t n = (size_t)w->n * (size_t)W;
	dc_real *dh = dc_arena_reals(&p->arena, n), *dx = dc_arena_reals(&p->arena, n), *x = dc_arena_reals(&p->arena, n);

	dc_linear_backward(dh, W, 0, t->text_w.g, t->text_b.g, e->d_filip_text + w->at * t->F, t->F, w->h, W, t->text_w.w,
		w->n, W, t->F);
	dc_enc_zero(dx, n);
	dc_rows_gather(x, y, w->row, w->n, W);
	dc_ln_backward(dx, p->text.ln_final_w.g, p->text.ln_final_b.g, dh, x, w->mean, w->rstd, p->text.ln_final_w.w, w->n, W);
	dc_rows_scatter_add(dy, dx, w->row, w->n, W);
}
