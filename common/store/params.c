/* SPDX-License-Identifier: MIT */
/* The tensors that follow from a config: names, shapes, and how OpenAI's CLIP (or the released DeCLIP) starts them. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "store/config.h"

struct list { struct dc_param *p; int n, cap; const struct dc_config *c; };

/* Add a tensor called by the format; its shape ends with 0. Weights (2 dimensions and more) decay, vectors do not. */
static struct dc_param *
add(struct list *l, enum dc_param_init init, double scale, const int64_t *shape, const char *fmt, ...)
{
	struct dc_param *p;
	va_list ap;

	if (l->n == l->cap)
		l->p = dc_xrealloc(l->p, (size_t)(l->cap = l->cap ? 2 * l->cap : 256), sizeof *l->p);
	p = &l->p[l->n++];
	memset(p, 0, sizeof *p);
	va_start(ap, fmt);
	vsnprintf(p->name, sizeof p->name, fmt, ap);
	va_end(ap);
	p->n = 1;
	for (; shape && shape[p->ndim]; p->ndim++)
		p->n *= (size_t)(p->shape[p->ndim] = shape[p->ndim]);
	p->decay = p->ndim >= 2;
	p->init = init;
	p->init_scale = scale;
	return p;
}

#define SHAPE(...) (const int64_t[]){ __VA_ARGS__, 0 }

static void
add_norm(struct list *l, const char *prefix, int width)
{
	add(l, DC_INIT_ONE, 0, SHAPE(width), "%s.weight", prefix);
	add(l, DC_INIT_ZERO, 0, SHAPE(width), "%s.bias", prefix);
}

struct init { enum dc_param_init kind; double in_proj, out_proj, c_fc, c_proj; };

/* CLIP's text tower: normal, in_proj W^-1/2, out_proj and c_proj W^-1/2 (2 L)^-1/2, c_fc (2 W)^-1/2. */
static struct init
normal_init(int width, int layers)
{
	double attn = pow(width, -0.5), proj = attn * pow(2.0 * layers, -0.5);

	return (struct init){ DC_INIT_NORMAL, attn, proj, pow(2.0 * width, -0.5), proj };
}

/* CLIP's image tower: what torch gives a MultiheadAttention (Xavier, W + 3 W) and its linear layers. */
static struct init
torch_init(int width, int mlp)
{
	double linear = pow(width, -0.5);

	return (struct init){ DC_INIT_UNIFORM, sqrt(6.0 / (4.0 * width)), linear, linear, pow(mlp, -0.5) };
}

static void
add_block(struct list *l, const char *prefix, int i, int width, int mlp, const struct init *s)
{
	char b[64], name[80];

	snprintf(b, sizeof b, "%sresblocks.%d", prefix, i);
	snprintf(name, sizeof name, "%s.ln_1", b);
	add_norm(l, name, width);
	add(l, s->kind, s->in_proj, SHAPE(3 * width, width), "%s.attn.in_proj_weight", b);
	add(l, DC_INIT_ZERO, 0, SHAPE(3 * width), "%s.attn.in_proj_bias", b)->decay = l->c->released;
	add(l, s->kind, s->out_proj, SHAPE(width, width), "%s.attn.out_proj.weight", b);
	add(l, DC_INIT_ZERO, 0, SHAPE(width), "%s.attn.out_proj.bias", b);
	snprintf(name, sizeof name, "%s.ln_2", b);
	add_norm(l, name, width);
	add(l, s->kind, s->c_fc, SHAPE(mlp, width), "%s.mlp.c_fc.weight", b);
	add(l, DC_INIT_UNIFORM, pow(width, -0.5), SHAPE(mlp), "%s.mlp.c_fc.bias", b);
	add(l, s->kind, s->c_proj, SHAPE(width, mlp), "%s.mlp.c_proj.weight", b);
	add(l, DC_INIT_UNIFORM, pow(mlp, -0.5), SHAPE(width), "%s.mlp.c_proj.bias", b);
}

/* --- a ResNet --- */

static struct dc_param *
add_stat(struct list *l, enum dc_param_init init, const int64_t *shape, const char *prefix, const char *name)
{
	struct dc_param *p = add(l, init, 0, shape, "%s.%s", prefix, name);

	p->stat = 1;
	return p;
}

static void
add_batch_norm(struct list *l, const char *prefix, int width, int zero)
{
	add(l, zero ? DC_INIT_ZERO : DC_INIT_ONE, 0, SHAPE(width), "%s.weight", prefix);
	add(l, DC_INIT_ZERO, 0, SHAPE(width), "%s.bias", prefix);
	add_stat(l, DC_INIT_ZERO, SHAPE(width), prefix, "running_mean");
	add_stat(l, DC_INIT_ONE, SHAPE(width), prefix, "running_var");
	add_stat(l, DC_INIT_ZERO, NULL, prefix, "num_batches_tracked")->whole = 1;
}

/* A convolution without bias, as torch begins it, U(+- fan_in^-1/2), and its batch norm. */
static void
add_conv(struct list *l, const char *prefix, const char *conv, const char *bn, int in, int out, int side, int zero)
{
	char name[80];

	add(l, DC_INIT_UNIFORM, pow((double)in * side * side, -0.5), SHAPE(out, in, side, side), "%s%s.weight", prefix, conv);
	snprintf(name, sizeof name, "%s%s", prefix, bn);
	add_batch_norm(l, name, out, zero);
}

/* The last norm of a bottleneck begins as zero: the block as the identity. */
static void
add_bottleneck(struct list *l, int layer, int i, int in, int planes)
{
	char p[64];

	snprintf(p, sizeof p, "visual.layer%d.%d.", layer, i);
	add_conv(l, p, "conv1", "bn1", in, planes, 1, 0);
	add_conv(l, p, "conv2", "bn2", planes, planes, 3, 0);
	add_conv(l, p, "conv3", "bn3", planes, 4 * planes, 1, 1);
	if (i == 0)
		add_conv(l, p, "downsample.0", "downsample.1", in, 4 * planes, 1, 0);
}

static void
add_attnpool(struct list *l, int E, int grid)
{
	static const char *const names[] = { "q_proj", "k_proj", "v_proj", "c_proj" };
	const double s = pow(E, -0.5);

	add(l, DC_INIT_NORMAL, s, SHAPE(grid * grid + 1, E), "visual.attnpool.positional_embedding")->decay = l->c->released;
	for (int i = 0; i < 4; i++) {
		const int out = i < 3 ? E : l->c->embed_dim;

		add(l, DC_INIT_NORMAL, s, SHAPE(out, E), "visual.attnpool.%s.weight", names[i]);
		add(l, DC_INIT_UNIFORM, s, SHAPE(out), "visual.attnpool.%s.bias", names[i]);
	}
}

static void
add_resnet(struct list *l)
{
	const struct dc_vision *v = &l->c->vision;
	int from = l->n, in = v->width;

	add_conv(l, "visual.", "conv1", "bn1", 3, v->width / 2, 3, 0);
	add_conv(l, "visual.", "conv2", "bn2", v->width / 2, v->width / 2, 3, 0);
	add_conv(l, "visual.", "conv3", "bn3", v->width / 2, v->width, 3, 0);
	for (int k = 0; k < 4; k++)
		for (int i = 0; i < v->stages[k]; i++) {
			add_bottleneck(l, k + 1, i, in, v->width << k);
			in = 4 * (v->width << k);
		}
	add_attnpool(l, 32 * v->width, v->image_size / 32);
	for (; from < l->n; from++)
		l->p[from].image = 1;
}

/* --- the transformers --- */

static void
add_vision(struct list *l)
{
	const struct dc_vision *v = &l->c->vision;
	struct init s = l->c->released ? normal_init(v->width, v->layers) : torch_init(v->width, v->mlp);
	int grid = v->image_size / v->patch_size, from = l->n;
	double scale = pow(v->width, -0.5), pos = l->c->released ? 0.01 : scale;

	add(l, DC_INIT_NORMAL, scale, SHAPE(v->width), "visual.class_embedding")->decay = l->c->released;
	add(l, DC_INIT_NORMAL, pos, SHAPE(grid * grid + 1, v->width), "visual.positional_embedding")->decay = l->c->released;
	add(l, DC_INIT_NORMAL, scale, SHAPE(v->width, l->c->embed_dim), "visual.proj");
	add(l, DC_INIT_UNIFORM, 1 / sqrt(3.0 * v->patch_size * v->patch_size), SHAPE(v->width, 3, v->patch_size, v->patch_size),
	    "visual.conv1.weight");
	add_norm(l, "visual.ln_pre", v->width);
	for (int i = 0; i < v->layers; i++)
		add_block(l, "visual.transformer.", i, v->width, v->mlp, &s);
	add_norm(l, "visual.ln_post", v->width);
	for (; from < l->n; from++)
		l->p[from].image = 1;
}

static void
add_text(struct list *l)
{
	const struct dc_text *t = &l->c->text;
	struct init s = normal_init(t->width, t->layers);
	int from = l->n;

	add(l, DC_INIT_NORMAL, 0.01, SHAPE(t->context_length, t->width), "positional_embedding")->decay = l->c->released;
	if (t->proj_bias) {
		add(l, DC_INIT_NORMAL, pow(t->width, -0.5), SHAPE(l->c->embed_dim, t->width), "text_projection.weight");
		add(l, l->c->released ? DC_INIT_UNIFORM : DC_INIT_ZERO, pow(t->width, -0.5), SHAPE(l->c->embed_dim), "text_projection.bias");
	} else {
		add(l, DC_INIT_NORMAL, pow(t->width, -0.5), SHAPE(t->width, l->c->embed_dim), "text_projection");
	}
	add(l, DC_INIT_NORMAL, 0.02, SHAPE(t->vocab_size, t->width), "token_embedding.weight");
	for (int i = 0; i < t->layers; i++)
		add_block(l, "transformer.", i, t->width, t->mlp, &s);
	add_norm(l, "ln_final", t->width);
	for (; from < l->n; from++)
		l->p[from].text = 1;
}

static void
add_linear(struct list *l, const char *name, int out, int in)
{
	add(l, DC_INIT_UNIFORM, pow(in, -0.5), SHAPE(out, in), "%s.weight", name);
	add(l, DC_INIT_UNIFORM, pow(in, -0.5), SHAPE(out), "%s.bias", name);
}

/* SLIP's head: what torch gives its linear layers. */
static void
add_simclr(struct list *l, int in, int hidden, int out)
{
	add_linear(l, "simclr.0", hidden, in);
	add_norm(l, "simclr.0.bn", hidden);
	add_linear(l, "simclr.1", hidden, hidden);
	add_norm(l, "simclr.1.bn", hidden);
	add_linear(l, "simclr.2", out, hidden);
}

static void
add_heads(struct list *l)
{
	const struct dc_config *c = l->c;
	int Z = c->simsiam_width, from = l->n;

	if (c->weight[DC_TERM_SIMSIAM] > 0) {
		add_linear(l, "simsiam.projector.0", Z, c->embed_dim);
		add_norm(l, "simsiam.projector.0.bn", Z);
		add_linear(l, "simsiam.projector.1", Z, Z);
		add_norm(l, "simsiam.projector.1.bn", Z);
		add_linear(l, "simsiam.projector.2", Z, Z);
		add_norm(l, "simsiam.projector.2.bn", Z);
		add_linear(l, "simsiam.predictor.0", c->simsiam_hidden, Z);
		add_norm(l, "simsiam.predictor.0.bn", c->simsiam_hidden);
		add_linear(l, "simsiam.predictor.1", Z, c->simsiam_hidden);
	}
	if (c->weight[DC_TERM_MLM] > 0)
		add_linear(l, "mlm", c->text.vocab_size, c->text.width);
	if (c->weight[DC_TERM_MLM] > 0 || dc_config_masked_text(c))
		add(l, DC_INIT_NORMAL, 0.02, SHAPE(1, c->text.width), "mask_embedding");
	if (c->weight[DC_TERM_SIMCLR] > 0)
		add_simclr(l, dc_config_image_width(c), c->simclr_hidden, c->simclr_width);
	if (c->weight[DC_TERM_FILIP] > 0) {
		add_linear(l, "filip.image", c->filip_width, dc_config_token_width(c));
		add_linear(l, "filip.text", c->filip_width, c->text.width);
		add(l, DC_INIT_VALUE, log(1 / 0.07), NULL, "filip.logit_scale");
	}
	for (; from < l->n; from++)
		l->p[from].head = 1;
}

int
dc_params_list(const struct dc_config *c, struct dc_param **out)
{
	struct list l = { .c = c };

	add(&l, DC_INIT_VALUE, c->logit_bias ? log(10) : log(1 / 0.07), NULL, "logit_scale");
	if (c->logit_bias)
		add(&l, DC_INIT_VALUE, -10, NULL, "logit_bias");
	if (dc_config_resnet(c))
		add_resnet(&l);
	else
		add_vision(&l);
	add_text(&l);
	add_heads(&l);
	*out = l.p;
	return l.n;
}

int
dc_stats_list(const struct dc_config *c, struct dc_param **out)
{
	static const char *const layers[] = { "projector.0", "projector.1", "projector.2", "predictor.0" };
	struct list l = { .c = c };

	for (int i = 0; c->weight[DC_TERM_SIMSIAM] > 0 && i < 4; i++) {
		int width = i < 3 ? c->simsiam_width : c->simsiam_hidden;
		add(&l, DC_INIT_ZERO, 0, SHAPE(width), "simsiam.%s.bn.running_mean", layers[i])->head = 1;
		add(&l, DC_INIT_ONE, 0, SHAPE(width), "simsiam.%s.bn.running_var", layers[i])->head = 1;
	}
	for (int i = 0; c->weight[DC_TERM_SIMCLR] > 0 && i < 2; i++) {
		add(&l, DC_INIT_ZERO, 0, SHAPE(c->simclr_hidden), "simclr.%d.bn.running_mean", i)->head = 1;
		add(&l, DC_INIT_ONE, 0, SHAPE(c->simclr_hidden), "simclr.%d.bn.running_var", i)->head = 1;
	}
	*out = l.p;
	return l.n;
}
