/* SPDX-License-Identifier: MIT */
#include "ring/loss_private.h"

#include <string.h>

enum { FRAME_BYTES = 64 << 20 }; /* of an answer: as much memory again as the largest frame has */

int
dc_loss_write_skip(struct dc_loss_ring *s, struct dc_out *out)
{
	dc_put_bool(&s->b, "skip", 1);
	if (s->has_position)
		dc_put_int(&s->b, "position", s->position);
	return dc_frame_write(out, "dfeatures", s->step, &s->b);
}

static void
put_rows(struct dc_body *b, const char *name, const dc_real *p, int64_t from, int64_t to, int64_t cols)
{
	dc_put_data(b, name, DC_REAL_TYPE, 2, (int64_t[]){ to - from, cols }, p + from * cols);
}

static void
put_values(const struct dc_loss_ring *s, struct dc_body *b, const struct dc_loss_out *r)
{
	const double once = s->n_local >= 0 && s->rank > 0 ? 0 : 1;   /* the ranks' gradients are summed */
	size_t n = 1;

	for (int t = 0; t < DC_TERMS; t++)
		n += r->active[t] != 0;
	dc_put_double(b, "logit_scale", once * r->d_logit_scale);
	if (s->wanted[FT])
		dc_put_double(b, "filip_logit_scale", once * r->d_filip_logit_scale);
	if (s->c.weight[DC_TERM_SIGLIP] > 0)
		dc_put_double(b, "logit_bias", once * r->d_logit_bias);
	if (s->n_local >= 0)
		dc_put_int(b, "batch_size", s->batch);
	if (s->c.weight[DC_TERM_SIMSIAM] > 0)
		dc_put_double(b, "simsiam_std", r->simsiam_std);
	dc_put_map(b, "loss", n);
	for (int t = 0; t < DC_TERMS; t++)
		if (r->active[t])
			dc_put_double(b, dc_term_names[t], r->value[t]);
	dc_put_double(b, "total", r->total);
	dc_put_map(b, "accuracy", 2);
	dc_put_double(b, "i2t", r->accuracy_i2t);
	dc_put_double(b, "t2i", r->accuracy_t2i);
}

/* FILIP's tokens of the samples [from, to). */
static void
put_tokens(struct dc_loss_ring *s, int64_t from, int64_t to)
{
	const int64_t image = s->tokens * s->filip_width, word = s->filip_off[from], words = s->filip_off[to] - word;

	dc_put_data(&s->b, dc_loss_key[FI], DC_REAL_TYPE, 3, (int64_t[]){ to - from, s->tokens, s->filip_width },
	    s->in[FI].p + from * image);
	dc_put_data(&s->b, dc_loss_key[FT], DC_REAL_TYPE, 2, (int64_t[]){ words, s->filip_width }, s->in[FT].p + word * s->filip_width);
}

/* Part i of n: its share of the rows of every gradient and of nn_enqueue; with the first, what is not per sample. */
static int
write_part(struct dc_loss_ring *s, const struct dc_loss_out *r, int64_t i, int64_t n, struct dc_out *out)
{
	const int64_t N = s->in[I1].rows;

	for (int k = 0; k < FI; k++) {
		const struct dc_loss_matrix *m = &s->in[k];
		if (s->wanted[k] && k != Z1 && k != Z2)
			put_rows(&s->b, dc_loss_key[k], m->p, m->rows * i / n, m->rows * (i + 1) / n, m->cols);
	}
	if (s->wanted[FI])
		put_tokens(s, N * i / n, N * (i + 1) / n);
	if (r->nn_enqueue)
		put_rows(&s->b, "nn_enqueue", r->nn_enqueue, r->n_enqueue * i / n, r->n_enqueue * (i + 1) / n, s->q.D);
	if (i == 0 && s->wanted[NLL])
		dc_put_data(&s->b, dc_loss_key[NLL], DC_REAL_TYPE, 1, &s->in[NLL].rows, s->in[NLL].p);
	if (i == 0)
		put_values(s, &s->b, r);
	if (s->has_position)
		dc_put_int(&s->b, "position", s->position);
	if (n > 1)
		dc_put_part(&s->b, i, n);
	return dc_frame_write(out, "dfeatures", s->step, &s->b);
}

/* FILIP's words of the samples that are ours. */
static void
keep_words(struct dc_loss_ring *s)
{
	const int64_t F = s->filip_width;
	int32_t at = 0;

	for (int64_t i = 0; i < s->n_local; i++) {
		const int32_t from = s->filip_off[s->local[i]], n = s->filip_off[s->local[i] + 1] - from;

		memmove(s->in[FT].p + at * F, s->in[FT].p + from * F, (size_t)(n * F) * sizeof(dc_real));
		s->filip_off[i] = at;   /* i <= local[i]: what is read next still stands */
		at += n;
	}
	s->filip_off[s->n_local] = at;
	s->in[FT].rows = at;
}

void
dc_loss_keep_local(struct dc_loss_ring *s)
{
	if (s->n_local < 0)
		return;
	if (s->wanted[FT])
		keep_words(s);
	for (int k = 0; k < NLL; k++) {
		struct dc_loss_matrix *m = &s->in[k];

		for (int64_t i = 0; s->wanted[k] && i < s->n_local; i++)
			memmove(m->p + i * m->cols, m->p + s->local[i] * m->cols, (size_t)m->cols * sizeof(dc_real));
		m->rows = s->wanted[k] ? s->n_local : m->rows;
	}
	if (s->wanted[NLL]) {
		memmove(s->in[NLL].p, s->in[NLL].p + s->local_mlm[0], (size_t)s->local_mlm[1] * sizeof(dc_real));
		s->in[NLL].rows = s->local_mlm[1];
	}
}

/* A bound: what a sample has in an answer. */
static int64_t
row_bytes(const struct dc_loss_ring *s)
{
	int64_t bytes = 0, N = s->in[I1].rows > 0 ? s->in[I1].rows : 1;

	for (int k = 0; k < NLL; k++)
		bytes += s->wanted[k] ? s->in[k].rows * s->in[k].cols * (int64_t)sizeof(dc_real) : 0;
	bytes += s->wanted[FT] ? s->in[FT].rows * s->in[FT].cols * (int64_t)sizeof(dc_real) : 0;
	return (bytes + 2 * N * s->q.D * (int64_t)sizeof(dc_real)) / N + 1;
}

static int64_t
rows_per_frame(const struct dc_loss_ring *s)
{
	const int64_t bytes = row_bytes(s);

	return s->o.rows ? s->o.rows : bytes < FRAME_BYTES ? FRAME_BYTES / bytes : 1;
}

int
dc_loss_write_answer(struct dc_loss_ring *s, const struct dc_loss_out *r, struct dc_out *out)
{
	const int64_t N = s->in[I1].rows, per = rows_per_frame(s), n = N ? (N + per - 1) / per : 1;
	int ret = DC_FRAME;

	dc_body_room(&s->b, (size_t)(row_bytes(s) * (per < N ? per : N)));
	for (int64_t i = 0; i < n && ret == DC_FRAME; i++)
		ret = write_part(s, r, i, n, out);
	if (n > 1)
		dc_body_free(&s->b);
	return ret;
}
