/* SPDX-License-Identifier: MIT */
#include "loss/loss.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "loss/term.h"
#include "loss/unit.h"

enum { TILE_ROWS = 512, TILE_COLS = 1024, KEEP_BYTES = 32 << 20, TOKEN_ROWS = 2048, TOKEN_COLS = 4096 };

struct dc_loss_work *
dc_loss_work_new(int tile_rows, int tile_cols)
{
	struct dc_loss_work *w = dc_xcalloc(1, sizeof *w);

	dc_tiles_init(&w->tiles, tile_rows ? tile_rows : TILE_ROWS, tile_cols ? tile_cols : TILE_COLS);
	w->late.rows = tile_rows ? tile_rows : TOKEN_ROWS;
	w->late.cols = tile_cols ? tile_cols : TOKEN_COLS;
	return w;
}

static void
free_gradients(struct dc_loss_work *w)
{
	for (int i = 0; i < 4; i++) {
		free(w->d_unit[i]);
		w->d_unit[i] = NULL;
	}
}

static void
free_room(struct dc_loss_work *w)
{
	free_gradients(w);
	for (int i = 0; i < 4; i++)
		free(w->norm[i]);
	free(w->enqueue);
	free(w->index);
}

void
dc_loss_work_free(struct dc_loss_work *w)
{
	if (!w)
		return;
	free_room(w);
	for (int i = 0; i < DC_ROOMS; i++)
		free(w->room[i]);
	for (int i = 0; i < DC_INTS; i++)
		free(w->ints[i]);
	dc_late_work_free(&w->late);
	dc_tiles_free(&w->tiles);
	free(w);
}

double *
dc_loss_room(struct dc_loss_work *w, int use, size_t n)
{
	if (n >= w->cap_room[use]) {
		free(w->room[use]);
		w->room[use] = dc_xaligned(w->cap_room[use] = n + 1, sizeof(double));
	}
	return w->room[use];
}

int32_t *
dc_loss_ints(struct dc_loss_work *w, int use, size_t n)
{
	if (n >= w->cap_ints[use]) {
		free(w->ints[use]);
		w->ints[use] = dc_xaligned(w->cap_ints[use] = n + 1, sizeof(int32_t));
	}
	return w->ints[use];
}

static void
grow(struct dc_loss_work *w, size_t N, size_t D)
{
	if (N <= w->cap_n && N * D <= w->cap_nd)
		return;
	free_room(w);
	w->cap_n = N > w->cap_n ? N : w->cap_n;
	w->cap_nd = N * D > w->cap_nd ? N * D : w->cap_nd;
	for (int i = 0; i < 4; i++)
		w->norm[i] = dc_xaligned(w->cap_n, sizeof(double));
	w->enqueue = dc_xaligned(w->cap_nd, 2 * sizeof(dc_real));
	w->index = dc_xaligned(w->cap_n, sizeof *w->index);
}

static void
room(struct dc_loss_work *w, size_t N, size_t D)
{
	grow(w, N, D);
	for (int i = 0; i < 4 && !w->d_unit[i]; i++)   /* memory of views that are not there is never touched */
		w->d_unit[i] = dc_xaligned(w->cap_nd, sizeof(double));
}

double
dc_logit_scale(double logit_scale, double *grad)
{
	const double scale = exp(logit_scale) > 100 ? 100 : exp(logit_scale);   /* NaN stays */

	if (grad)
		*grad = logit_scale > (double)(float)log(100) ? 0 : scale;
	return scale;
}

/* As released, slip and filip do not cap it. */
static double
scale_of(const struct dc_config *c, double logit_scale)
{
	const int free_scale = c->released && (!strcmp(c->method, "slip") || !strcmp(c->method, "filip"));

	return free_scale ? exp(logit_scale) : dc_logit_scale(logit_scale, NULL);
}

double
dc_step_pair(struct dc_loss_step *s, int i, int t, double weight, struct dc_contrast_result *r)
{
	struct dc_contrast p = {
		.a = s->image[i], .b = s->text[t], .da = s->d_image[i], .db = s->d_text[t],
		.N = s->in->N, .D = s->in->D, .scale = s->scale, .both = 1
	};

	dc_contrastive(&s->w->tiles, &p, weight, r);
	s->d_scale += r->d_scale;
	return r->value;
}

/* --- checks --- */

static int
check_term(const struct dc_loss_term *t, const struct dc_config *c, const struct dc_loss_in *in,
    const struct dc_nn_queue *q)
{
	for (int v = 0; v < t->image_views; v++)
		DC_CHECK(in->image_features[v], "%s needs image_features.%d", dc_term_names[t->term], v);
	for (int v = 0; v < t->caption_views; v++)
		DC_CHECK(in->text_features[v], "%s needs text_features.%d", dc_term_names[t->term], v);
	return t->check ? t->check(c, in, q) : 0;
}

static int
check_all(const struct dc_loss_method *m, const struct dc_config *c, const struct dc_loss_in *in,
    const struct dc_nn_queue *q)
{
	DC_CHECK(in->N >= 2, "a loss needs at least 2 samples, got %d", in->N);
	for (int t = 0; t < DC_TERMS; t++)
		DC_CHECK(c->weight[t] == 0 || dc_loss_has(m->name, t), "method %s has no term %s", m->name, dc_term_names[t]);
	for (int i = 0; m->terms[i]; i++)
		if (i == 0 || c->weight[m->terms[i]->term] != 0)
			DC_TRY(check_term(m->terms[i], c, in, q));
	return 0;
}

/* --- one step --- */

/* One view's norms, and zeros for the gradient by its unit rows. */
static void
begin_view(struct dc_rows *rows, double **d, struct dc_loss_work *w, int i, const dc_real *x, int N, int D)
{
	*rows = (struct dc_rows){ .x = x, .r = w->norm[i] };
	*d = x ? w->d_unit[i] : NULL;
	if (!x)
		return;
	dc_unit_norms(w->norm[i], x, N, D);
	memset(*d, 0, (size_t)N * D * sizeof **d);
}

static void
begin(struct dc_loss_step *s)
{
	struct dc_loss_work *w = s->w;
	const struct dc_loss_in *in = s->in;

	room(w, in->N, in->D);
	for (int v = 0; v < 2; v++) {
		begin_view(&s->image[v], &s->d_image[v], w, v, in->image_features[v], in->N, in->D);
		begin_view(&s->text[v], &s->d_text[v], w, 2 + v, in->text_features[v], in->N, in->D);
		if (s->out->d_simsiam_p[v] && s->c->weight[DC_TERM_SIMSIAM] == 0)
			memset(s->out->d_simsiam_p[v], 0, (size_t)in->N * in->Z * sizeof(dc_real));
	}
	if (s->out->d_mlm_nll && s->c->weight[DC_TERM_MLM] == 0)
		memset(s->out->d_mlm_nll, 0, (size_t)in->M * sizeof(dc_real));
	s->scale = scale_of(s->c, in->logit_scale);
	s->out->d_filip_logit_scale = s->out->d_logit_bias = 0;
	s->out->total = 0;
	s->out->nn_enqueue = NULL;
	s->out->n_enqueue = 0;
}

/* From unit rows to the features as they came; from s to its log. */
static void
finish(struct dc_loss_step *s)
{
	const struct dc_loss_in *in = s->in;
	double ds;

	for (int v = 0; v < 2; v++) {
		if (in->image_features[v])
			dc_unit_backward(s->out->d_image_features[v], s->d_image[v], s->image[v].x, s->image[v].r, in->N, in->D);
		if (in->text_features[v])
			dc_unit_backward(s->out->d_text_features[v], s->d_text[v], s->text[v].x, s->text[v].r, in->N, in->D);
	}
	dc_logit_scale(in->logit_scale, &ds);
	if (s->c->released)
		ds = exp(in->logit_scale);   /* that code caps the number s, and autograd goes round the cap */
	s->out->d_logit_scale = s->d_scale * ds;
}

/* The first term of every method is CLIP's: with weight 0 it still gives the accuracies. */
static void
compute_term(struct dc_loss_step *s, const struct dc_loss_term *t)
{
	const double weight = s->c->weight[t->term];
	double value;

	if (weight == 0 && t != &dc_term_clip)
		return;
	s->out->active[t->term] = weight != 0;
	value = t->compute(s, weight);
	if (!s->out->active[t->term])
		return;
	s->out->value[t->term] = value;
	s->out->total += weight * value;
}

int
dc_loss_compute(const struct dc_config *c, const struct dc_loss_in *in, struct dc_nn_queue *q,
    struct dc_loss_out *out, struct dc_loss_work *w)
{
	const struct dc_loss_method *m = dc_loss_method(c->method);
	struct dc_loss_step s = { .c = c, .in = in, .q = q, .out = out, .w = w };

	DC_CHECK(m, "unknown method '%s'", c->method);
	DC_TRY(check_all(m, c, in, q));
	begin(&s);
	for (int t = 0; t < DC_TERMS; t++) {
		out->value[t] = 0;
		out->active[t] = 0;
	}
	for (int i = 0; m->terms[i]; i++)
		compute_term(&s, m->terms[i]);
	finish(&s);
	if (w->cap_nd * sizeof(double) > KEEP_BYTES)   /* the answer has to be written yet: that much room less is taken */
		free_gradients(w);
	return 0;
}
