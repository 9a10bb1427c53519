/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "nn/encoder_private.h"

struct finder { const struct dc_weight *w; int n, failed, trains, fixed; };

static const struct dc_weight *
find(void *arg, const char *name)
{
	const struct finder *f = arg;

	for (int i = 0; i < f->n; i++)
		if (!strcmp(f->w[i].name, name))
			return f->w + i;
	return NULL;
}

/* The tensor named prefix + name, of n elements. The first that is missing or has the wrong size sets f->failed and the
 * message; f->trains becomes 1 when one has a gradient. */
static struct dc_par
need(struct finder *f, size_t n, const char *prefix, const char *name)
{
	char full[128];
	const struct dc_weight *w;

	snprintf(full, sizeof(full), "%s%s", prefix, name);
	w = f->failed ? NULL : find(f, full);
	if (!f->failed && !w)
		f->failed = dc_err_set("tensor %s is missing", full);
	else if (w && w->n != n)
		f->failed = dc_err_set("tensor %s has %zu elements, not %zu", full, w->n, n);
	if (f->failed)
		return (struct dc_par){ NULL, NULL };
	f->trains |= w->g != NULL;
	return (struct dc_par){ w->w, w->g };
}

static void
find_blocks(struct dc_blocks *t, struct finder *f, const char *prefix)
{
	const size_t W = t->W, F = t->F;

	t->block = dc_xcalloc((size_t)t->layers, sizeof(*t->block));
	for (int l = 0; l < t->layers; l++) {
		struct dc_block *b = t->block + l;
		char p[96];

		snprintf(p, sizeof(p), "%stransformer.resblocks.%d.", prefix, l);
		b->ln_1_w = need(f, W, p, "ln_1.weight");
		b->ln_1_b = need(f, W, p, "ln_1.bias");
		b->in_w = need(f, 3 * W * W, p, "attn.in_proj_weight");
		b->in_b = need(f, 3 * W, p, "attn.in_proj_bias");
		b->out_w = need(f, W * W, p, "attn.out_proj.weight");
		b->out_b = need(f, W, p, "attn.out_proj.bias");
		b->ln_2_w = need(f, W, p, "ln_2.weight");
		b->ln_2_b = need(f, W, p, "ln_2.bias");
		b->fc_w = need(f, F * W, p, "mlp.c_fc.weight");
		b->fc_b = need(f, F, p, "mlp.c_fc.bias");
		b->proj_w = need(f, W * F, p, "mlp.c_proj.weight");
		b->proj_b = need(f, W, p, "mlp.c_proj.bias");
	}
}

static int
find_image(struct dc_vit *t, const struct dc_config *c, struct finder *f)
{
	const struct dc_vision *v = &c->vision;
	const size_t W = v->width, P = v->patch_size;

	f->trains = 0;
	*t = (struct dc_vit){ .S = v->image_size, .P = v->patch_size, .W = v->width, .D = c->embed_dim };
	t->G = (t->S / t->P) * (t->S / t->P);
	t->blocks = (struct dc_blocks){ v->layers, v->width, v->heads, v->mlp, c->quick_gelu, NULL, NULL, 0 };
	dc_patch_init(&t->patch, t->S, t->P, t->W, c->mean, c->std);
	t->conv1 = need(f, W * 3 * P * P, "visual.", "conv1.weight");
	t->cls = need(f, W, "visual.", "class_embedding");
	t->pos = need(f, (size_t)(1 + t->G) * W, "visual.", "positional_embedding");
	t->ln_pre_w = need(f, W, "visual.", "ln_pre.weight");
	t->ln_pre_b = need(f, W, "visual.", "ln_pre.bias");
	t->ln_post_w = need(f, W, "visual.", "ln_post.weight");
	t->ln_post_b = need(f, W, "visual.", "ln_post.bias");
	t->proj = need(f, W * (size_t)t->D, "visual.", "proj");
	find_blocks(&t->blocks, f, "visual.");
	return f->trains;
}

/* The weights of a convolution K x K and of its batch norm. */
static void
find_conv(struct dc_res_conv *c, struct finder *f, const char *prefix, const char *conv, const char *bn, int K)
{
	const size_t O = (size_t)c->O;
	char p[96];

	snprintf(p, sizeof(p), "%s%s.", prefix, conv);
	c->w = need(f, O * (size_t)c->I * (size_t)(K * K), p, "weight");
	snprintf(p, sizeof(p), "%s%s.", prefix, bn);
	c->bn.w = need(f, O, p, "weight");
	c->bn.b = need(f, O, p, "bias");
	c->bn.run_mean = need(f, O, p, "running_mean").w;
	c->bn.run_var = need(f, O, p, "running_var").w;
	c->bn.fixed = f->fixed;
}

static void
find_bottleneck(struct dc_res_block *b, struct finder *f, int layer, int i)
{
	char p[64];

	snprintf(p, sizeof(p), "visual.layer%d.%d.", layer, i);
	find_conv(b->conv, f, p, "conv1", "bn1", 1);
	find_conv(b->conv + 1, f, p, "conv2", "bn2", 3);
	find_conv(b->conv + 2, f, p, "conv3", "bn3", 1);
	if (b->down.O)
		find_conv(&b->down, f, p, "downsample.0", "downsample.1", 1);
}

static void
find_attnpool(struct dc_attnpool *t, struct finder *f)
{
	static const char p[] = "visual.attnpool.";
	const size_t E = (size_t)t->E, D = (size_t)t->D;

	t->pos = need(f, (size_t)(1 + t->P) * E, p, "positional_embedding");
	t->q_w = need(f, E * E, p, "q_proj.weight");
	t->q_b = need(f, E, p, "q_proj.bias");
	t->k_w = need(f, E * E, p, "k_proj.weight");
	t->k_b = need(f, E, p, "k_proj.bias");
	t->v_w = need(f, E * E, p, "v_proj.weight");
	t->v_b = need(f, E, p, "v_proj.bias");
	t->c_w = need(f, D * E, p, "c_proj.weight");
	t->c_b = need(f, D, p, "c_proj.bias");
}

static int
find_resnet(struct dc_resnet *t, const struct dc_config *c, struct finder *f, int train)
{
	struct dc_res_block *b;

	dc_resnet_init(t, c);
	f->trains = 0;
	f->fixed = !train || c->freeze & (DC_FREEZE_BN | DC_FREEZE_IMAGE);
	find_conv(t->stem, f, "visual.", "conv1", "bn1", 3);
	find_conv(t->stem + 1, f, "visual.", "conv2", "bn2", 3);
	find_conv(t->stem + 2, f, "visual.", "conv3", "bn3", 3);
	b = t->block;
	for (int l = 0; l < 4; l++)
		for (int i = 0; i < c->vision.stages[l]; i++)
			find_bottleneck(b++, f, l + 1, i);
	find_attnpool(&t->pool, f);
	return f->trains;
}

static int
find_text(struct dc_text_tower *t, const struct dc_config *c, struct finder *f)
{
	const struct dc_text *x = &c->text;
	const size_t W = x->width;

	f->trains = 0;
	*t = (struct dc_text_tower){ .T = x->context_length, .V = x->vocab_size, .W = x->width, .D = c->embed_dim };
	t->blocks = (struct dc_blocks){ x->layers, x->width, x->heads, x->mlp, c->quick_gelu, NULL, NULL, 0 };
	t->token = need(f, (size_t)t->V * W, "", "token_embedding.weight");
	t->pos = need(f, (size_t)t->T * W, "", "positional_embedding");
	t->ln_final_w = need(f, W, "", "ln_final.weight");
	t->ln_final_b = need(f, W, "", "ln_final.bias");
	t->proj = need(f, W * (size_t)t->D, "", x->proj_bias ? "text_projection.weight" : "text_projection");
	if (x->proj_bias)
		t->proj_b = need(f, (size_t)t->D, "", "text_projection.bias");
	find_blocks(&t->blocks, f, "");
	return f->trains;
}

static void
add_statistics(struct dc_enc *e, struct dc_bn_stats *s, int n)
{
	e->bn = dc_xrealloc(e->bn, (size_t)(e->n_bn + n), sizeof(*e->bn));
	for (int i = 0; i < n; i++)
		e->bn[e->n_bn++] = s + i;
}

static void
find_filip(struct filip *t, const struct dc_config *c, struct finder *f)
{
	const size_t F = c->filip_width, W = dc_config_token_width(c), T = c->text.width;

	t->F = (int)F;
	t->W = (int)W;
	t->G = dc_config_tokens(c);
	t->image_w = need(f, F * W, "filip.", "image.weight");
	t->image_b = need(f, F, "filip.", "image.bias");
	t->text_w = need(f, F * T, "filip.", "text.weight");
	t->text_b = need(f, F, "filip.", "text.bias");
}

/* SLIP's head: W - H - H - Z, batch norm and ReLU between */
static int
find_simclr(struct dc_enc *e, struct finder *f)
{
	const int W = dc_config_image_width(&e->c), H = e->c.simclr_hidden, Z = e->c.simclr_width;
	const struct dc_mlp_layer layer[] = { { "simclr.0", W, H, 1, 1 }, { "simclr.1", H, H, 1, 1 }, { "simclr.2", H, Z, 0, 0 } };

	if (!(e->p->simclr = dc_mlp_new(layer, 3, find, f)))
		return -1;
	add_statistics(e, e->p->simclr->bn, e->p->simclr->n_bn);
	return e->p->train ? 0 : dc_mlp_use_running(e->p->simclr, find, f);
}

static int
find_heads(struct dc_enc *e, struct finder *f)
{
	struct dc_enc_private *p = e->p;

	if (dc_config_on(&e->c, DC_TERM_MLM) || dc_config_masked_text(&e->c))
		p->text.mask = need(f, (size_t)p->text.W, "", "mask_embedding");
	if (dc_config_on(&e->c, DC_TERM_FILIP))
		find_filip(&p->filip, &e->c, f);
	if (dc_config_on(&e->c, DC_TERM_MLM)) {
		p->mlm.weight = need(f, (size_t)p->text.V * p->text.W, "", "mlm.weight");
		p->mlm.bias = need(f, (size_t)p->text.V, "", "mlm.bias");
	}
	if (!f->failed && dc_config_on(&e->c, DC_TERM_SIMCLR) && find_simclr(e, f) < 0)
		return -1;
	if (f->failed || !dc_config_on(&e->c, DC_TERM_SIMSIAM))
		return f->failed;
	if (!(p->simsiam = dc_simsiam_new(&e->c, find, f)))
		return -1;
	add_statistics(e, p->simsiam->bn, DC_SIMSIAM_BN);
	return p->train ? 0 : dc_simsiam_use_running(p->simsiam, find, f);
}

int
dc_enc_find(struct dc_enc *e, int n)
{
	struct dc_enc_private *p = e->p;
	const struct dc_config *c = &e->c;
	struct finder f = { .w = p->weights, .n = n };

	p->image_trains = dc_config_resnet(c) ? find_resnet(&p->resnet, c, &f, p->train) : find_image(&p->vit, c, &f);
	add_statistics(e, p->resnet.stats, p->resnet.n_stats);
	p->text_trains = find_text(&p->text, c, &f);
	return find_heads(e, &f);
}
