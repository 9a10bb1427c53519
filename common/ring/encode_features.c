/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "ring/encode_part.h"
#include "ring/encode_private.h"

enum { FEATURES_FRAME = 64 << 20 };

/* Such parameters and their names in the frames. */
static const struct { const char *key, *name; } scalars[] = {
	{ "logit_scale", "logit_scale" }, { "filip_logit_scale", "filip.logit_scale" }, { "logit_bias", "logit_bias" },
};
enum { N_SCALARS = sizeof scalars / sizeof *scalars };

/* A parameter that is one number, or its gradient; NULL if it is not there. */
static float *
scalar(struct dc_encode *t, const char *name, int gradient)
{
	for (int i = 0; i < t->n_t; i++)
		if (!strcmp(t->t[i].p.name, name))
			return gradient ? t->t[i].g : t->t[i].w;
	return NULL;
}

static void
put_scalars(struct dc_encode *t)
{
	for (int i = 0; i < N_SCALARS; i++)
		if (scalar(t, scalars[i].name, 0))
			dc_put_double(&t->body, scalars[i].key, *scalar(t, scalars[i].name, 0));
}

static int
take_scalars(struct dc_encode *t)
{
	for (int i = 0; i < N_SCALARS; i++) {
		float *g = scalar(t, scalars[i].name, 1);
		double d = 0;

		if (dc_frame_get(&t->lf, scalars[i].key))
			DC_TRY(dc_frame_double(&t->lf, scalars[i].key, &d));
		if (g)
			*g += (float)d;
	}
	return 0;
}

/* Put rows of [N,width] under name.view. */
static void
put_rows(struct dc_encode *t, const char *name, int view, const float *x, int from, int n, int width)
{
	char key[40];

	dc_encode_key(key, sizeof key, name, view);
	dc_put_data(&t->body, key, DC_F32, 2, (int64_t[]){ n, width }, x + (size_t)from * (size_t)width);
}

static void
put_feature_rows(struct dc_encode *t, int from, int n)
{
	const struct dc_enc *e = t->enc;

	for (int v = 0; v < dc_config_feature_views(&t->c); v++)
		put_rows(t, "image_features", v, e->image_features[v], from, n, t->c.embed_dim);
	for (int v = 0; v < t->c.caption_views; v++)
		put_rows(t, "text_features", v, e->text_features[v], from, n, t->c.embed_dim);
	for (int v = 0; v < 2 && t->c.weight[DC_TERM_SIMSIAM] > 0 && dc_encode_heads(t); v++) {
		put_rows(t, "simsiam_z", v, e->simsiam_z[v], from, n, t->c.simsiam_width);
		put_rows(t, "simsiam_p", v, e->simsiam_p[v], from, n, t->c.simsiam_width);
	}
	for (int v = 1; v <= 2 && t->c.weight[DC_TERM_SIMCLR] > 0 && dc_encode_heads(t); v++)
		put_rows(t, "simclr_z", v, e->simclr_z[v], from, n, t->c.simclr_width);
	if (t->c.weight[DC_TERM_FILIP] > 0) {
		dc_encode_put_image_tokens(&t->body, e, from, n);
		dc_encode_put_words(&t->body, e, from, n);
	}
}

static size_t
row_bytes(const struct dc_config *c)
{
	size_t floats = (size_t)(c->image_views + c->caption_views) * (size_t)c->embed_dim;

	floats += c->weight[DC_TERM_SIMSIAM] > 0 ? 4 * (size_t)c->simsiam_width : 0;
	floats += c->weight[DC_TERM_SIMCLR] > 0 ? 2 * (size_t)c->simclr_width : 0;
	if (c->weight[DC_TERM_FILIP] > 0)
		floats += (size_t)(dc_config_tokens(c) + c->text.context_length) * (size_t)c->filip_width;
	return sizeof(float) * floats;
}

int
dc_encode_send_features(struct dc_encode *t)
{
	struct dc_frame *last = &t->now.part[t->now.n - 1];
	int N = t->enc->N, rows = (int)(FEATURES_FRAME / row_bytes(&t->c)), parts = N ? (N + rows - 1) / rows : 1, r = DC_FRAME;

	dc_body_room(&t->body, row_bytes(&t->c) * (size_t)(rows < N ? rows : N));
	for (int i = 0, from = 0; i < parts && r == DC_FRAME; i++, from += rows) {
		put_feature_rows(t, from, N - from < rows ? N - from : rows);
		if (!i && t->c.weight[DC_TERM_MLM] > 0)
			dc_put_data(&t->body, "mlm_nll", DC_F32, 1, &t->enc->M, t->enc->mlm_nll);
		put_scalars(t);
		for (int k = 0; !i && k < DC_ENCODE_CARRIED; k++)
			DC_TRY(dc_gather_put(&t->body, &t->now, dc_encode_carried[k]));
		dc_put_copy(&t->body, last, "position");
		if (t->hash && !i)
			dc_put_int(&t->body, "parameter_hash", t->hash);
		dc_put_part(&t->body, i, parts);
		r = dc_frame_write(&t->out, "features", t->step, &t->body);
	}
	return r;
}

/* name.view of this frame into rows from *from on of x [N,width]; absent: zero. *rows = how many came. */
static int
take_rows(struct dc_encode *t, const char *name, int view, float *x, int64_t width, int from, int *rows)
{
	struct dc_tensor d;
	char key[40];

	dc_encode_key(key, sizeof key, name, view);
	if (!dc_frame_get(&t->lf, key))
		return 0;
	DC_TRY(dc_frame_tensor(&t->lf, key, DC_F32, 2, &d));
	if (!d.data || d.shape[1] != width || d.shape[0] > t->enc->N - from || !x)
		return dc_frame_err(&t->lf, "%s does not have the features' shape", key);
	memcpy(x + (size_t)from * (size_t)width, d.data, d.bytes);
	*rows = (int)d.shape[0];
	return 0;
}

static int
take_mlm(struct dc_encode *t)
{
	struct dc_tensor d;

	if (!dc_frame_get(&t->lf, "mlm_nll"))
		return 0;
	DC_TRY(dc_frame_tensor(&t->lf, "mlm_nll", DC_F32, 1, &d));
	if (!d.data || d.shape[0] != t->enc->M)
		return dc_frame_err(&t->lf, "mlm_nll has %lld values, wanted %lld", (long long)d.shape[0], (long long)t->enc->M);
	if (d.bytes) /* a batch in which nothing is masked may be the first: then there is no room for a gradient yet */
		memcpy(t->enc->d_mlm_nll, d.data, d.bytes);
	return 0;
}

/* The gradients of FILIP's tokens, of the samples from `from` on. */
static int
take_tokens(struct dc_encode *t, int from, int *rows)
{
	const int64_t F = t->c.filip_width, G = dc_config_tokens(&t->c);
	struct dc_enc *e = t->enc;
	struct dc_tensor d;
	int64_t word, n;

	if (!e->filip_off || !dc_frame_get(&t->lf, "filip_image"))
		return 0;
	DC_TRY(dc_frame_tensor(&t->lf, "filip_image", DC_F32, 3, &d));
	n = d.shape[0];
	if (n > e->N - from || d.shape[1] != G || d.shape[2] != F || (d.n && !d.data))
		return dc_frame_err(&t->lf, "filip_image does not have the features' shape");
	if (d.n)
		memcpy(e->d_filip_image + from * G * F, d.data, d.bytes);
	word = e->filip_off[from];
	DC_TRY(dc_frame_tensor(&t->lf, "filip_text", DC_F32, 2, &d));
	if (d.shape[0] != e->filip_off[from + n] - word || (d.n && (d.shape[1] != F || !d.data)))
		return dc_frame_err(&t->lf, "filip_text does not have the features' shape");
	if (d.n)
		memcpy(e->d_filip_text + word * F, d.data, d.bytes);
	*rows = (int)n;
	return 0;
}

/* One dfeatures frame into the encoder's d_ arrays; *from advances by its rows. */
static int
take_dfeatures(struct dc_encode *t, int *from)
{
	struct dc_enc *e = t->enc;
	int rows = 0;

	for (int v = 0; v < 2; v++) {
		DC_TRY(take_rows(t, "image_features", v, e->d_image_features[v], t->c.embed_dim, *from, &rows));
		DC_TRY(take_rows(t, "text_features", v, e->d_text_features[v], t->c.embed_dim, *from, &rows));
		DC_TRY(take_rows(t, "simsiam_p", v, e->d_simsiam_p[v], t->c.simsiam_width, *from, &rows));
	}
	for (int v = 1; v <= 2; v++)
		DC_TRY(take_rows(t, "simclr_z", v, e->d_simclr_z[v], t->c.simclr_width, *from, &rows));
	DC_TRY(take_tokens(t, *from, &rows));
	DC_TRY(take_mlm(t));
	DC_TRY(take_scalars(t));
	*from += rows;
	return 0;
}

int
dc_encode_receive_dfeatures(struct dc_encode *t, int *skip)
{
	int from = 0, r;
	int64_t i, n;

	*skip = 0;
	do {
		if ((r = dc_encode_read_loop(t, DC_FOR_LOSS)) != DC_FRAME)
			return r;
		i = n = 0;
		if (strcmp(t->lf.kind, "dfeatures")) {
			r = dc_frame_pass(&t->out, &t->lf);
			continue;
		}
		DC_TRY(dc_frame_part(&t->lf, &i, &n));
		if (dc_frame_get(&t->lf, "skip"))
			DC_TRY(dc_frame_bool(&t->lf, "skip", skip));
		if (!*skip)
			DC_TRY(take_dfeatures(t, &from));
		i++;
	} while (r == DC_FRAME && (!n || i < n));
	return r;
}
