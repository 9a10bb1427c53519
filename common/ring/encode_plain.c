/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "ring/encode_part.h"
#include "ring/encode_plain.h"

static int
encode_images(struct dc_encode_plain *e, struct dc_frame *f)
{
	char key[32];
	struct dc_tensor t;

	for (int v = 0; dc_encode_key(key, sizeof key, "image", v), dc_frame_get(f, key); v++) {
		DC_TRY(dc_encode_image_view(f, &e->m.c, v, &t));
		dc_enc_begin(e->enc, (int)t.shape[0], 0);
		dc_enc_image(e->enc, 0, 0, (int)t.shape[0], t.data);
		dc_encode_key(key, sizeof key, "image_features", v);
		dc_put_data(&e->body, key, DC_F32, 2, (int64_t[]){ t.shape[0], e->m.c.embed_dim }, e->enc->image_features[0]);
		if (e->o.tokens && !v)
			dc_encode_put_image_tokens(&e->body, e->enc, 0, (int)t.shape[0]);
		e->n += v ? 0 : (uint64_t)t.shape[0];
	}
	return 0;
}

static int
encode_texts(struct dc_encode_plain *e, struct dc_frame *f, int counted)
{
	char key[32];
	struct dc_tensor t;

	if (e->untrained && !e->o.tokens)
		dc_warn("%s: nothing trained its features of whole images and captions (clip has no weight); --tokens adds what FILIP "
		    "compares", e->o.model);
	e->untrained = 0;
	for (int v = 0; dc_encode_key(key, sizeof key, "token", v), dc_frame_get(f, key); v++) {
		DC_TRY(dc_encode_token_view(f, &e->m.c, v, &t));
		dc_enc_begin(e->enc, (int)t.shape[0], 0);
		if (dc_enc_text(e->enc, 0, 0, (int)t.shape[0], t.data) < 0)
			return dc_frame_err(f, "%s: %s", key, dc_err());
		dc_encode_key(key, sizeof key, "text_features", v);
		dc_put_data(&e->body, key, DC_F32, 2, (int64_t[]){ t.shape[0], e->m.c.embed_dim }, e->enc->text_features[0]);
		if (e->o.tokens && !v)
			dc_encode_put_words(&e->body, e->enc, 0, (int)t.shape[0]);
		e->n += v || counted ? 0 : (uint64_t)t.shape[0];
	}
	return 0;
}

/* Does the frame have what is asked for, and is it asked for? The captions of views are no tokens yet. */
static int
wanted(const struct dc_encode_plain *e, struct dc_frame *f, const char *key, const char *what, const char *maker)
{
	if (e->o.only && strcmp(e->o.only, what) != 0)
		return 0;
	if (e->o.only && !dc_frame_get(f, key))
		return dc_frame_err(f, "has no %s: %s makes it (--only %s)", key, maker, what);
	return dc_frame_get(f, key) != NULL;
}

int
dc_encode_plain_frame(void *arg, struct dc_frame *f, struct dc_out *out)
{
	static const char *const more[] = { "position", "part" }, *const of_captions[] = { "caption_image", "line" };
	const struct dc_st_tensor *scale;
	struct dc_encode_plain *e = arg;
	int images, captions;

	DC_TRY(images = wanted(e, f, "image.0", "images", "dc-augment"));
	DC_TRY(captions = wanted(e, f, "token.0", "captions", "dc-tokenize"));
	if (!images && !captions)
		return dc_frame_err(f, "has neither image.0 nor token.0: nothing to encode");
	if (images)
		DC_TRY(encode_images(e, f));
	if (captions)
		DC_TRY(encode_texts(e, f, images));
	for (int i = 0; i < DC_ENCODE_CARRIED; i++)
		dc_put_copy(&e->body, f, dc_encode_carried[i]);
	for (int i = 0; i < 2; i++)
		dc_put_copy(&e->body, f, more[i]);
	for (int i = 0; captions && i < 2; i++)
		dc_put_copy(&e->body, f, of_captions[i]);
	scale = dc_st_find(&e->m.st, "logit_scale");
	dc_put_double(&e->body, "logit_scale", *(const float *)scale->data);
	if (e->o.tokens)
		dc_put_double(&e->body, "filip_logit_scale", *(const float *)dc_st_find(&e->heads.st, "filip.logit_scale")->data);
	e->frames++;
	dc_progress_to(&e->progress, e->n);
	return dc_frame_write(out, "features", f->step, &e->body);
}

/* --hidden: a model with the projection I, whose features are then as wide as the tower; no captions, which have none. */
static const float *
unprojected(const struct dc_param *p)
{
	float *w = dc_xcalloc(p->n, sizeof *w);

	for (int64_t i = 0; p->image && p->ndim == 2 && i < p->shape[0]; i++)
		w[i * p->shape[1] + i] = 1;
	return w;
}

static int
is_projection(const char *name)
{
	return !strcmp(name, "visual.proj") || !strncmp(name, "visual.attnpool.c_proj.", 23) || !strncmp(name, "text_projection", strlen("text_projection"));
}

/* A head that is not there has no values: the encoder names it. */
static struct dc_weight *
weights_of(const struct dc_param *p, int *n, const struct dc_encode_plain *e)
{
	struct dc_weight *out = dc_xcalloc((size_t)*n, sizeof *out);
	int k = 0;

	for (int i = 0; i < *n; i++) {
		const struct dc_st_tensor *t = dc_st_find(p[i].head ? &e->heads.st : &e->m.st, p[i].name);

		if (t)
			out[k++] = (struct dc_weight){ .name = p[i].name, .n = p[i].n,
				.w = e->o.hidden && is_projection(p[i].name) ? unprojected(&p[i]) : t->data };
	}
	*n = k;
	return out;
}

/* --tokens: of the model's heads FILIP's, and of the methods that one. */
static int
with_tokens(struct dc_encode_plain *e)
{
	struct dc_config *c = &e->m.c;

	DC_TRY(dc_model_heads(&e->m, &e->heads));
	DC_CHECK(e->heads.c.weight[DC_TERM_FILIP] > 0, "%s: has no heads of FILIP, which --tokens needs: a model that was trained "
	    "with the term filip", e->o.model);
	c->filip_width = e->heads.c.filip_width;
	c->released = e->heads.c.released;
	snprintf(c->method, sizeof c->method, "filip");
	c->weight[DC_TERM_FILIP] = 1;
	return 0;
}

static void
free_weights(struct dc_encode_plain *e)
{
	for (int i = 0; e->o.hidden && i < e->n_weights; i++)
		if (is_projection(e->weight[i].name))
			free((float *)e->weight[i].w);
	free(e->weight);
}

/* Is it a checkpoint of a run that trained FILIP's tokens alone? 1, 0, or -1 with a message. */
static int
untrained(const struct dc_model *m)
{
	struct dc_config c;
	int run = dc_model_run(m, &c);

	DC_TRY(run);
	return run && c.weight[DC_TERM_FILIP] > 0 && c.weight[DC_TERM_CLIP] + c.weight[DC_TERM_MVS] + c.weight[DC_TERM_NNS] == 0;
}

int
dc_encode_plain_open(struct dc_encode_plain *e, const struct dc_encode_plain_opts *o)
{
	*e = (struct dc_encode_plain){ .o = *o };
	DC_TRY(dc_model_open(&e->m, o->model));
	DC_TRY(e->untrained = untrained(&e->m));
	if (o->tokens)
		DC_TRY(with_tokens(e));
	if (o->hidden)
		e->m.c.embed_dim = dc_config_image_width(&e->m.c);
	e->n_weights = dc_params_list(&e->m.c, &e->param);
	e->weight = weights_of(e->param, &e->n_weights, e);
	e->enc = dc_enc_new(&e->m.c, e->weight, e->n_weights, 0);
	return e->enc ? 0 : dc_err_prefix("%s", o->model);
}

void
dc_encode_plain_close(struct dc_encode_plain *e)
{
	dc_enc_free(e->enc);
	dc_heads_close(&e->heads);
	dc_model_close(&e->m);
	dc_body_free(&e->body);
	free_weights(e);
	free(e->param);
}
