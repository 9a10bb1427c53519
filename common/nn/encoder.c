/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/encoder.h"
#include "nn/layernorm.h"
#include "nn/mlm.h"
#include "nn/mlp.h"
#include "nn/resnet.h"
#include "nn/simsiam.h"
#include "nn/text.h"
#include "nn/threads.h"
#include "nn/vit.h"

enum kind { IMAGE, TEXT, MLM };

/* The words of a part's captions on their way to FILIP's projection. */
struct words {
	int n; int64_t at;                 /* how many; their first row among the batch's */
	int32_t *row;                      /* [n] in the packed rows */
	dc_real *mean, *rstd, *h;          /* [n], [n,W] ln_final of them */
};

/* One tower's pass over one part, kept for its backward pass. Parts lie on the arena in the order of their forward
 * passes and are taken off in reverse. Where there is no room for more, what a part laid down is dropped at once, and its
 * forward pass is made again right before its backward pass, from the caller's pixels or tokens. */
struct part {
	enum kind kind;
	int view, row, n;
	const uint8_t *rgb;                /* of an image part */
	const int32_t *token, *target;     /* of a text part; targets for MLM alone */
	struct dc_arena_mark mark;         /* where the part begins */
	size_t below;                      /* bytes that lay there before it, the lanes' too */
	int dropped;
	struct dc_vit_kept vit;
	struct dc_resnet_kept resnet;
	struct dc_text_kept text;
	struct dc_text_pool pool;
	dc_real *tokens;                   /* [n G, W] the image's, for FILIP */
	struct words words;
	int64_t m0, m;                     /* its masked positions, in the batch's */
};

/* The masked positions of the batch. */
struct masked {
	int64_t cap;
	int32_t *target, *row;             /* [M]; row: within its part's packed rows */
	dc_real *x, *h, *dx;               /* [M,W] blocks' output; ln_final of it; gradient by x */
	dc_real *mean, *rstd, *lse;        /* [M] */
	struct dc_par weight, bias;        /* [V,W], [V] */
	dc_real *kept;                     /* on the arena, from `mark` on, between the heads' two passes; may be NULL */
	struct dc_arena_mark mark;
};

/* With --as released, the last text pass over view 0: its hidden states serve the masked positions too. */
struct fused { int on, row, n, part; dc_real *y; size_t y_cap; int32_t *off; int off_cap; };

/* FILIP's projections of image and text tokens: [F,W], [F]. */
struct filip { int F, G, W; struct dc_par image_w, image_b, text_w, text_b; int64_t cap; };

struct dc_enc_private {
	struct dc_weight *weights;   /* a copy of the caller's list: the SimSiam heads point into it */
	struct dc_vit vit;           /* one of these two; n_blocks 0: not a ResNet */
	struct dc_resnet resnet;
	struct dc_text_tower text;
	struct dc_lanes image_lanes, text_lanes;
	struct dc_simsiam *simsiam;
	const struct dc_sync *sync;  /* of the heads' batch norms; NULL: this process is alone */
	struct dc_mlp *simclr;
	dc_real *pooled[DC_VIEWS_MAX], *d_pooled[DC_VIEWS_MAX]; /* [N, image width] what SLIP's head takes */
	struct filip filip;
	struct masked mlm;
	struct fused fused;
	struct dc_arena arena;
	struct part *part; int n_parts, parts_cap;
	int train, keep, image_trains, text_trains;
	size_t limit, largest;       /* bytes of activations that may lie there; of the largest part so far */
	int N_cap;
};

/* --- the weights --- */

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

static int
has(const struct dc_config *c, enum dc_term term)
{
	return dc_config_on(c, term);
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

	if (has(&e->c, DC_TERM_MLM) || dc_config_masked_text(&e->c))
		p->text.mask = need(f, (size_t)p->text.W, "", "mask_embedding");
	if (has(&e->c, DC_TERM_FILIP))
		find_filip(&p->filip, &e->c, f);
	if (has(&e->c, DC_TERM_MLM)) {
		p->mlm.weight = need(f, (size_t)p->text.V * p->text.W, "", "mlm.weight");
		p->mlm.bias = need(f, (size_t)p->text.V, "", "mlm.bias");
	}
	if (!f->failed && has(&e->c, DC_TERM_SIMCLR) && find_simclr(e, f) < 0)
		return -1;
	if (f->failed || !has(&e->c, DC_TERM_SIMSIAM))
		return f->failed;
	if (!(p->simsiam = dc_simsiam_new(&e->c, find, f)))
		return -1;
	add_statistics(e, p->simsiam->bn, DC_SIMSIAM_BN);
	return p->train ? 0 : dc_simsiam_use_running(p->simsiam, find, f);
}

static int
check(const struct dc_config *c)
{
	const struct dc_vision *v = &c->vision;
	const struct dc_text *t = &c->text;

	DC_CHECK(dc_config_resnet(c) || (v->patch_size >= 1 && v->image_size >= v->patch_size), "image_size %d holds no patch of %d",
		v->image_size, v->patch_size);
	DC_CHECK(!dc_config_resnet(c) || (v->image_size >= 32 && v->image_size % 32 == 0), "image_size %d is not a multiple of 32",
		v->image_size);
	DC_CHECK(v->layers >= 1 && t->layers >= 1, "a tower needs a layer");
	DC_CHECK(v->heads >= 1 && (dc_config_resnet(c) ? 32 : 1) * v->width % v->heads == 0, "vision width %d is not a multiple of %d heads", v->width,
		v->heads);
	DC_CHECK(t->heads >= 1 && t->width % t->heads == 0, "text width %d is not a multiple of %d heads", t->width, t->heads);
	DC_CHECK(t->context_length >= 1 && t->vocab_size >= 2, "text context_length %d, vocab_size %d", t->context_length,
		t->vocab_size);
	DC_CHECK(!has(c, DC_TERM_SIMCLR) || (!has(c, DC_TERM_SIMSIAM) && c->image_views > 2),
		"simclr goes with three image views, and without simsiam");
	DC_CHECK(c->image_views <= DC_VIEWS_MAX && c->caption_views <= DC_VIEWS_MAX, "more than %d views", DC_VIEWS_MAX);
	return 0;
}

static void
make_lanes(struct dc_enc_private *p)
{
	p->vit.lanes = &p->image_lanes;
	p->text.lanes = &p->text_lanes;
	if (!p->resnet.n_blocks)
		dc_lanes_init(&p->image_lanes, &p->vit.blocks, dc_threads());
	dc_lanes_init(&p->text_lanes, &p->text.blocks, dc_threads());
}

struct dc_enc *
dc_enc_new(const struct dc_config *c, const struct dc_weight *weights, int n_weights, int train)
{
	struct dc_enc *e;
	struct finder f = { .n = n_weights };

	if (check(c) < 0)
		return NULL;
	e = dc_xcalloc(1, sizeof(*e));
	e->p = dc_xcalloc(1, sizeof(*e->p));
	f.w = e->p->weights = dc_xcalloc((size_t)n_weights, sizeof(*weights));
	memcpy(e->p->weights, weights, (size_t)n_weights * sizeof(*weights));
	e->c = *c;
	e->T = c->text.context_length;
	e->p->train = train;
	e->p->limit = SIZE_MAX;
	e->p->image_trains = dc_config_resnet(c) ? find_resnet(&e->p->resnet, c, &f, train) : find_image(&e->p->vit, c, &f);
	add_statistics(e, e->p->resnet.stats, e->p->resnet.n_stats);
	e->p->text_trains = find_text(&e->p->text, c, &f);
	if (find_heads(e, &f) < 0) {
		dc_enc_free(e);
		return NULL;
	}
	make_lanes(e->p);
	return e;
}

void
dc_enc_watch(struct dc_enc *e, struct dc_laps *laps)
{
	e->p->vit.blocks.laps = e->p->text.blocks.laps = e->p->resnet.laps = laps;
}

void
dc_enc_keep(struct dc_enc *e, size_t bytes, int lean)
{
	e->p->limit = bytes;
	e->p->largest = 0;
	e->p->vit.blocks.lean = e->p->text.blocks.lean = lean;
}

void
dc_enc_free(struct dc_enc *e)
{
	struct dc_enc_private *p = e ? e->p : NULL;

	if (!e)
		return;
	for (int v = 0; v < DC_VIEWS_MAX; v++) {
		free(e->image_features[v]);
		free(e->text_features[v]);
		free(e->d_image_features[v]);
		free(e->d_text_features[v]);
		free(e->d_simsiam_p[v]);
		free(e->d_simclr_z[v]);
		free(p->pooled[v]);
		free(p->d_pooled[v]);
	}
	free(e->filip_image);
	free(e->d_filip_image);
	free(e->filip_text);
	free(e->d_filip_text);
	free(e->filip_off);
	dc_mlp_free(p->simclr);
	free(e->mlm_nll);
	free(e->d_mlm_nll);
	dc_simsiam_free(p->simsiam);
	dc_resnet_free(&p->resnet);
	free(e->bn);
	free(p->weights);
	dc_lanes_free(&p->image_lanes);
	dc_lanes_free(&p->text_lanes);
	free(p->vit.blocks.block);
	free(p->text.blocks.block);
	free(p->mlm.target);
	free(p->mlm.row);
	free(p->mlm.x);
	free(p->mlm.h);
	free(p->mlm.dx);
	free(p->mlm.mean);
	free(p->mlm.rstd);
	free(p->mlm.lse);
	free(p->fused.y);
	free(p->fused.off);
	free(p->part);
	dc_arena_free(&p->arena);
	free(p);
	free(e);
}

/* --- a batch --- */

static int
image_views(const struct dc_enc *e)
{
	return e->c.image_views > 0 ? e->c.image_views : 1;
}

/* SLIP's head takes image view 1 and 2. */
static int
for_simclr(const struct dc_enc *e, int view)
{
	return e->p->simclr && (view == 1 || view == 2);
}

static int
caption_views(const struct dc_enc *e)
{
	return e->c.caption_views > 0 ? e->c.caption_views : 1;
}

static void
remake(dc_real **p, size_t n)
{
	free(*p);
	*p = dc_xaligned(n, sizeof(**p));
}

/* Also before a first batch without rows: of several ranks one may have none. */
static void
room_for(struct dc_enc *e, int N)
{
	const size_t n = N > 0 ? N : 1, D = e->c.embed_dim, Z = e->p->simsiam ? e->p->simsiam->Z : 0;

	if (N <= e->p->N_cap && e->p->N_cap)
		return;
	e->p->N_cap = (int)n;
	for (int v = 0; v < image_views(e); v++) {
		if (for_simclr(e, v)) {
			remake(&e->p->pooled[v], n * (size_t)dc_config_image_width(&e->c));
			remake(&e->p->d_pooled[v], n * (size_t)dc_config_image_width(&e->c));
			remake(&e->d_simclr_z[v], n * (size_t)e->c.simclr_width);
			continue;
		}
		remake(&e->image_features[v], n * D);
		remake(&e->d_image_features[v], n * D);
		if (Z)
			remake(&e->d_simsiam_p[v], n * Z);
	}
	if (e->p->filip.F) {
		remake(&e->filip_image, n * (size_t)e->p->filip.G * (size_t)e->p->filip.F);
		remake(&e->d_filip_image, n * (size_t)e->p->filip.G * (size_t)e->p->filip.F);
		e->filip_off = dc_xrealloc(e->filip_off, n + 1, sizeof(*e->filip_off));
	}
	for (int v = 0; v < caption_views(e); v++) {
		remake(&e->text_features[v], n * D);
		remake(&e->d_text_features[v], n * D);
	}
}

static void
zero(dc_real *x, size_t n)
{
	if (x && n)
		memset(x, 0, n * sizeof(*x));
}

void
dc_enc_begin(struct dc_enc *e, int N, int keep)
{
	struct dc_enc_private *p = e->p;
	const size_t ND = (size_t)N * e->c.embed_dim;

	room_for(e, N);
	e->N = N;
	e->M = 0;
	e->parts = e->again = 0;
	e->kept = 0;
	p->keep = keep && p->train;
	p->n_parts = 0;
	p->fused.on = 0;
	dc_arena_reset(&p->arena);
	dc_lanes_reset(&p->image_lanes);
	dc_lanes_reset(&p->text_lanes);
	for (int v = 0; v < DC_VIEWS_MAX; v++) {
		zero(e->d_image_features[v], ND);
		zero(e->d_text_features[v], ND);
		zero(e->d_simsiam_p[v], p->simsiam ? (size_t)N * p->simsiam->Z : 0);
		zero(e->d_simclr_z[v], (size_t)N * (size_t)e->c.simclr_width);
		zero(p->d_pooled[v], (size_t)N * (size_t)dc_config_image_width(&e->c));
	}
	zero(e->d_filip_image, (size_t)N * (size_t)p->filip.G * (size_t)p->filip.F);
	zero(e->d_filip_text, (size_t)p->filip.cap * (size_t)p->filip.F);
	for (int n = 0; e->filip_off && n <= N; n++)
		e->filip_off[n] = 0;
	zero(e->d_mlm_nll, (size_t)p->mlm.cap);
	for (int i = 0; i < e->n_bn; i++)
		e->bn[i]->views = 0;
}

/* --- what is kept --- */

static size_t
laid(const struct dc_enc_private *p)
{
	return dc_arena_laid(&p->arena) + dc_lanes_laid(&p->image_lanes) + dc_lanes_laid(&p->text_lanes);
}

static struct part
part_of(struct dc_enc *e, enum kind kind, int view, int row, int n)
{
	return (struct part){ .kind = kind, .view = view, .row = row, .n = n, .mark = dc_arena_mark(&e->p->arena),
		.below = laid(e->p) };
}

/* Everything on top of the arenas that this part laid there. */
static void
drop(struct dc_enc_private *p, struct part *k)
{
	if (k->kind != IMAGE)
		dc_lanes_drop(&k->text.blocks, &p->text_lanes);
	else if (!p->resnet.n_blocks)
		dc_lanes_drop(&k->vit.blocks, &p->image_lanes);
	dc_arena_release(&p->arena, k->mark);
	dc_arena_tidy(&p->arena);
	k->dropped = 1;
}

/* There must be room for one part more, the one that is made again. */
static int
too_much(struct dc_enc_private *p, const struct part *k)
{
	const size_t all = laid(p), mine = all - k->below;

	p->largest = mine > p->largest ? mine : p->largest;
	return p->limit < p->largest || all > p->limit - p->largest;
}

/* After a forward pass: does what it laid down stay? */
static void
settle(struct dc_enc *e, struct part *k)
{
	e->parts++;
	if (too_much(e->p, k)) {
		drop(e->p, k);
		e->again++;
	}
	e->kept = laid(e->p);
}

static struct part *
new_part(struct dc_enc *e, const struct part *part)
{
	struct dc_enc_private *p = e->p;

	if (p->n_parts == p->parts_cap) {
		p->parts_cap = p->parts_cap ? 2 * p->parts_cap : 16;
		p->part = dc_xrealloc(p->part, (size_t)p->parts_cap, sizeof(*p->part));
	}
	p->part[p->n_parts] = *part;
	return p->part + p->n_parts++;
}

/* FILIP's tokens: filip_image = tokens image_w^T + image_b */
static void
project_image_tokens(struct dc_enc *e, int row, int n, const dc_real *tokens)
{
	const struct filip *t = &e->p->filip;

	dc_linear_forward(e->filip_image + (size_t)row * (size_t)t->G * (size_t)t->F, t->F, tokens, t->W, t->image_w.w,
		t->image_b.w, NULL, n * t->G, t->W, t->F);
}

static void
image_forward(struct dc_enc *e, struct part *k, int keep)
{
	struct dc_enc_private *p = e->p;
	const int tokens = p->filip.F && k->view == 0;
	struct dc_vit_out out = { NULL, NULL, NULL };

	if (tokens)
		out.tokens = k->tokens = dc_arena_reals(&p->arena, (size_t)k->n * (size_t)p->filip.G * (size_t)p->filip.W);
	if (for_simclr(e, k->view))
		out.pooled = p->pooled[k->view] + (size_t)k->row * (size_t)dc_config_image_width(&e->c);
	else
		out.features = e->image_features[k->view] + (size_t)k->row * e->c.embed_dim;
	if (p->resnet.n_blocks)
		dc_resnet_forward(&out, keep ? &k->resnet : NULL, &p->resnet, k->rgb, k->n, &p->arena);
	else
		dc_vit_forward(&out, keep ? &k->vit : NULL, &p->vit, k->rgb, k->n, &p->arena);
	if (tokens)
		project_image_tokens(e, k->row, k->n, k->tokens);
}

void
dc_enc_image(struct dc_enc *e, int view, int row, int n, const uint8_t *rgb)
{
	struct dc_enc_private *p = e->p;
	const int keep = p->keep && (p->image_trains || (p->filip.F && view == 0));
	struct part here = part_of(e, IMAGE, view, row, n), *k = &here;

	if (n <= 0)
		return;
	here.rgb = rgb;
	dc_laps_start(p->vit.blocks.laps);
	if (keep)
		k = new_part(e, &here);
	image_forward(e, k, keep);
	if (keep)
		settle(e, k);
	else
		dc_arena_release(&p->arena, here.mark);
}

/* Of every caption its end token. */
static void
want_ends(struct dc_captions *c, struct dc_arena *arena)
{
	struct dc_pack *p = &c->pack;
	int32_t *off = dc_arena_ints(arena, (size_t)p->n + 1);

	for (int s = 0; s <= p->n; s++)
		off[s] = s;
	p->want = c->end;
	p->want_off = off;
	p->wanted = p->n;
}

/* Remember all hidden states of view 0, for the masked positions. */
static void
fuse(struct dc_enc_private *p, const struct dc_text_kept *k, int row, int part)
{
	struct fused *f = &p->fused;
	const struct dc_pack *pack = &k->c.pack;
	const size_t W = p->text.W;

	if (f->y_cap < pack->R * W) {
		f->y_cap = pack->R * W;
		remake(&f->y, f->y_cap);
	}
	f->off = dc_xrealloc(f->off, (size_t)pack->n + 1, sizeof(*f->off));
	memcpy(f->y, k->y, pack->R * W * sizeof(*f->y));
	memcpy(f->off, pack->off, ((size_t)pack->n + 1) * sizeof(*f->off));
	f->on = 1;
	f->row = row;
	f->n = pack->n;
	f->part = part;
}

static void *
grown(void *p, int64_t n, size_t size)
{
	return dc_xrealloc(p, (size_t)n, size);
}

/* --- the words that FILIP compares --- */

static void
words_room(struct dc_enc *e, int64_t rows)
{
	struct filip *t = &e->p->filip;
	const size_t row = (size_t)t->F * sizeof(dc_real);
	int64_t cap = 2 * t->cap > rows ? 2 * t->cap : rows;

	if (rows <= t->cap)
		return;
	e->filip_text = grown(e->filip_text, cap, row);
	e->d_filip_text = grown(e->d_filip_text, cap, row);
	zero(e->d_filip_text + t->cap * t->F, (size_t)((cap - t->cap) * t->F));
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
static void
project_words(struct dc_enc *e, struct words *w, const struct dc_captions *c, const dc_real *y, int row)
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
static void
words_backward(struct dc_enc *e, const struct words *w, const dc_real *y, dc_real *dy)
{
	struct dc_enc_private *p = e->p;
	const struct filip *t = &p->filip;
	const int W = p->text.W;
	const size_t n = (size_t)w->n * (size_t)W;
	dc_real *dh = dc_arena_reals(&p->arena, n), *dx = dc_arena_reals(&p->arena, n), *x = dc_arena_reals(&p->arena, n);

	dc_linear_backward(dh, W, 0, t->text_w.g, t->text_b.g, e->d_filip_text + w->at * t->F, t->F, w->h, W, t->text_w.w,
		w->n, W, t->F);
	zero(dx, n);
	dc_rows_gather(x, y, w->row, w->n, W);
	dc_ln_backward(dx, p->text.ln_final_w.g, p->text.ln_final_b.g, dh, x, w->mean, w->rstd, p->text.ln_final_w.w, w->n, W);
	dc_rows_scatter_add(dy, dx, w->row, w->n, W);
}

/* Of view 0 every hidden state may be wanted: the captions are then the masked ones, or FILIP compares words. */
static int
is_masked(const struct dc_enc *e, int view)
{
	return dc_config_masked_text(&e->c) && view == 0;
}

static void
text_forward(struct dc_enc *e, struct part *k, struct dc_captions *c, int keep)
{
	struct dc_enc_private *p = e->p;
	const int words = p->filip.F && k->view == 0, all = words || is_masked(e, k->view);
	dc_real *y;

	if (!all)
		want_ends(c, &p->arena);
	dc_text_forward(&k->text, &p->text, c, keep, &p->arena);
	y = k->text.y;
	if (words)
		project_words(e, &k->words, c, y, k->row);
	if (all) {
		y = dc_arena_reals(&p->arena, (size_t)k->n * (size_t)p->text.W);
		dc_rows_gather(y, k->text.y, c->end, k->n, p->text.W);
	}
	dc_text_pool_forward(e->text_features[k->view] + (size_t)k->row * e->c.embed_dim, &k->pool, &p->text, y, k->n, &p->arena);
}

static int
pack_text(struct dc_captions *c, struct dc_enc *e, const struct part *k)
{
	DC_TRY(dc_captions_pack(c, &e->p->text, k->token, is_masked(e, k->view), k->row, k->n, &e->p->arena));
	c->pack.causal = 1;
	return 0;
}

int
dc_enc_text(struct dc_enc *e, int view, int row, int n, const int32_t *token)
{
	struct dc_enc_private *p = e->p;
	struct part here = part_of(e, TEXT, view, row, n), *k = &here;
	struct dc_captions c;
	int keep;

	if (n <= 0)
		return 0;
	here.token = token;
	dc_laps_start(p->text.blocks.laps);
	DC_TRY(pack_text(&c, e, k));
	keep = p->keep && (p->text_trains || (p->text.mask.g && c.masks) || (p->filip.F && view == 0));
	if (keep)
		k = new_part(e, &here);
	text_forward(e, k, &c, keep);
	if (is_masked(e, view) && has(&e->c, DC_TERM_MLM))
		fuse(p, &k->text, row, keep ? p->n_parts - 1 : -1);
	if (keep)
		settle(e, k);
	else
		dc_arena_release(&p->arena, here.mark);
	return 0;
}

/* --- masked positions --- */

/* want, want_off: the rows with a target, by sequence; targets checked. */
static int
want_masked(struct dc_pack *pack, const int32_t *off, int row, int n, const int32_t *target, int T, int V,
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
	k->target = grown(k->target, cap, sizeof(*k->target));
	k->row = grown(k->row, cap, sizeof(*k->row));
	k->x = grown(k->x, cap, row);
	k->h = grown(k->h, cap, row);
	k->dx = grown(k->dx, cap, row);
	k->mean = grown(k->mean, cap, sizeof(*k->mean));
	k->rstd = grown(k->rstd, cap, sizeof(*k->rstd));
	k->lse = grown(k->lse, cap, sizeof(*k->lse));
	e->mlm_nll = grown(e->mlm_nll, cap, sizeof(*e->mlm_nll));
	e->d_mlm_nll = grown(e->d_mlm_nll, cap, sizeof(*e->d_mlm_nll));
	zero(e->d_mlm_nll + k->cap, (size_t)(cap - k->cap));
	k->cap = cap;
}

/* Add the wanted rows of y, which has only those (some) or all rows of the pack, to the batch's masked positions. */
static void
mlm_add(struct dc_enc *e, const struct dc_pack *pack, const int32_t *target, const dc_real *y, int some)
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

static int
mlm_fused(struct dc_enc *e, int row, int n, const int32_t *target)
{
	struct dc_enc_private *p = e->p;
	struct fused *f = &p->fused;
	struct dc_arena_mark mark = dc_arena_mark(&p->arena);
	struct dc_pack pack = { .n = n, .off = f->off };

	DC_CHECK(f->on && f->row == row && f->n == n, "rows %d to %d: their text pass did not come before", row, row + n - 1);
	if (want_masked(&pack, f->off, row, n, target, e->T, p->text.V, &p->arena) < 0) {
		dc_arena_release(&p->arena, mark);
		return -1;
	}
	if (f->part >= 0) {
		p->part[f->part].m0 = e->M;
		p->part[f->part].m = pack.wanted;
	}
	mlm_add(e, &pack, target, f->y, 0);
	f->on = 0;
	dc_arena_release(&p->arena, mark);
	return 0;
}

static int
pack_mlm(struct dc_captions *c, struct dc_enc *e, const struct part *k)
{
	struct dc_enc_private *p = e->p;

	DC_TRY(dc_captions_pack(c, &p->text, k->token, 0, k->row, k->n, &p->arena));
	if (want_masked(&c->pack, c->pack.off, k->row, k->n, k->target, e->T, p->text.V, &p->arena) == 0)
		return 0;
	dc_arena_release(&p->arena, k->mark);
	return -1;
}

int
dc_enc_mlm(struct dc_enc *e, int row, int n, const int32_t *token, const int32_t *target)
{
	struct dc_enc_private *p = e->p;
	struct part here = part_of(e, MLM, 0, row, n), *k = &here;
	struct dc_captions c;
	int keep;

	if (n <= 0)
		return 0;
	DC_CHECK(p->mlm.weight.w, "the model has no MLM head");
	dc_laps_start(p->text.blocks.laps);
	if (e->c.released)
		return mlm_fused(e, row, n, target);
	here.token = token;
	here.target = target;
	DC_TRY(pack_mlm(&c, e, k));
	keep = p->keep && c.pack.wanted && (p->text_trains || (p->text.mask.g && c.masks));
	here.m0 = e->M;
	here.m = c.pack.wanted;
	if (keep)
		k = new_part(e, &here);
	if (c.pack.wanted) {
		dc_text_forward(&k->text, &p->text, &c, keep, &p->arena);
		mlm_add(e, &c.pack, target, k->text.y, 1);
	}
	if (keep)
		settle(e, k);
	else
		dc_arena_release(&p->arena, here.mark);
	return 0;
}

/* --- heads --- */

/* h = ln_final x, then the linear head and its cross-entropy */
static void
mlm_forward(struct dc_enc *e)
{
	struct masked *k = &e->p->mlm;
	const struct dc_text_tower *t = &e->p->text;
	const size_t kept = e->p->keep ? dc_mlm_kept(e->M, t->V) : 0;

	k->mark = dc_arena_mark(&e->p->arena);
	k->kept = kept ? dc_arena_reals(&e->p->arena, kept) : NULL;
	dc_ln_forward(k->h, k->mean, k->rstd, k->x, t->ln_final_w.w, t->ln_final_b.w, (int)e->M, t->W);
	dc_mlm_forward(e->mlm_nll, k->lse, k->kept, k->h, k->weight.w, k->bias.w, k->target, e->M, t->W, t->V);
}

static void
mlm_backward(struct dc_enc *e)
{
	struct masked *k = &e->p->mlm;
	const struct dc_text_tower *t = &e->p->text;
	dc_real *dh = dc_arena_reals(&e->p->arena, (size_t)e->M * t->W);

	dc_mlm_backward(dh, k->weight.g, k->bias.g, k->kept, k->h, k->weight.w, k->bias.w, k->target, k->lse, e->d_mlm_nll, e->M, t->W,
		t->V);
	zero(k->dx, (size_t)e->M * t->W);
	dc_ln_backward(k->dx, t->ln_final_w.g, t->ln_final_b.g, dh, k->x, k->mean, k->rstd, t->ln_final_w.w, (int)e->M, t->W);
	dc_arena_release(&e->p->arena, k->mark);
}

static double
simclr_flop(const struct dc_enc *e)
{
	const double W = dc_config_image_width(&e->c), H = e->c.simclr_hidden, Z = e->c.simclr_width;

	return e->p->simclr ? 2.0 * 2 * e->N * (W * H + H * H + H * Z) : 0;
}

static double
filip_flop(const struct dc_enc *e)
{
	const struct filip *t = &e->p->filip;

	return t->F ? 2.0 * t->F * ((double)e->N * t->G * t->W + (double)e->filip_off[e->N] * e->p->text.W) : 0;
}

static double
heads_flop(const struct dc_enc *e)
{
	const double D = e->c.embed_dim, Z = e->c.simsiam_width, H = e->c.simsiam_hidden;
	double simsiam = 2.0 * e->N * image_views(e) * (D * Z + 2 * Z * Z + 2 * Z * H);

	return 3 * ((e->p->simsiam ? simsiam : 0) + simclr_flop(e) + filip_flop(e) + 2.0 * (double)e->M * e->p->text.W * e->p->text.V);
}

void
dc_enc_sync(struct dc_enc *e, const struct dc_sync *sync)
{
	e->p->sync = sync;
	if (e->p->simsiam)
		e->p->simsiam->mlp->sync = sync;
	if (e->p->simclr)
		e->p->simclr->sync = sync;
}

void
dc_enc_heads(struct dc_enc *e)
{
	struct dc_simsiam *s = e->p->simsiam;
	const int rows = e->N > 0 || e->p->sync;   /* the others may have some */

	dc_laps_start(e->p->vit.blocks.laps);
	if (s && rows)
		dc_simsiam_forward(s, image_views(e), e->N, e->image_features);
	for (int v = 0; s && rows && v < image_views(e); v++) {
		e->simsiam_z[v] = s->z[v];
		e->simsiam_p[v] = s->p[v];
	}
	if (e->p->simclr && rows)
		dc_mlp_forward(e->p->simclr, 2, e->N, e->p->pooled + 1);
	for (int v = 1; e->p->simclr && rows && v <= 2; v++)
		e->simclr_z[v] = dc_mlp_output(e->p->simclr, v - 1, 2);
	if (e->M > 0)
		mlm_forward(e);
	dc_lap(e->p->vit.blocks.laps, DC_LAP_HEADS);
	if (e->p->vit.blocks.laps)
		e->p->vit.blocks.laps->flop += heads_flop(e);
}

void
dc_enc_backward_heads(struct dc_enc *e)
{
	const int rows = e->N > 0 || e->p->sync;

	dc_laps_start(e->p->vit.blocks.laps);
	if (e->p->simsiam && rows)
		dc_simsiam_backward(e->p->simsiam, e->d_simsiam_p, e->d_image_features);
	if (e->p->simclr && rows)
		dc_mlp_backward(e->p->simclr, e->d_simclr_z + 1, e->p->d_pooled + 1);
	if (e->M > 0)
		mlm_backward(e);
	dc_lap(e->p->vit.blocks.laps, DC_LAP_HEADS);
}

/* --- backward, part by part --- */

static void
image_backward(struct dc_enc *e, const struct part *k)
{
	struct dc_enc_private *p = e->p;
	const struct filip *t = &p->filip;
	struct dc_vit_out d = { NULL, NULL, NULL };

	if (for_simclr(e, k->view))
		d.pooled = p->d_pooled[k->view] + (size_t)k->row * (size_t)dc_config_image_width(&e->c);
	else
		d.features = e->d_image_features[k->view] + (size_t)k->row * e->c.embed_dim;
	if (k->tokens) {
		d.tokens = dc_arena_reals(&p->arena, (size_t)k->n * (size_t)t->G * (size_t)t->W);
		dc_linear_backward(d.tokens, t->W, 0, t->image_w.g, t->image_b.g, e->d_filip_image +
			(size_t)k->row * (size_t)t->G * (size_t)t->F, t->F, k->tokens, t->W, t->image_w.w, k->n * t->G, t->W, t->F);
	}
	if (p->resnet.n_blocks)
		dc_resnet_backward(&k->resnet, &p->resnet, &d, &p->arena);
	else
		dc_vit_backward(&k->vit, &p->vit, &d, &p->arena);
}

static void
text_backward(struct dc_enc *e, const struct part *k)
{
	struct dc_enc_private *p = e->p;
	const struct dc_pack *pack = &k->text.c.pack;
	const size_t W = p->text.W;
	dc_real *dends = dc_arena_reals(&p->arena, (size_t)k->n * W), *dy;

	dc_text_pool_backward(dends, &k->pool, &p->text, e->d_text_features[k->view] + (size_t)k->row * e->c.embed_dim,
		&p->arena);
	if (pack->want) {
		dc_text_backward(&k->text, &p->text, dends, &p->arena);
		return;
	}
	/* every hidden state went on: end tokens to the features, masked positions to the head, words to FILIP */
	dy = dc_arena_reals(&p->arena, (size_t)pack->R * W);
	zero(dy, (size_t)pack->R * W);
	for (int s = 0; s < pack->n; s++)
		memcpy(dy + (size_t)k->text.c.end[s] * W, dends + s * W, W * sizeof(*dy));
	if (k->m)
		dc_rows_scatter_add(dy, p->mlm.dx + (size_t)k->m0 * W, p->mlm.row + k->m0, (int)k->m, (int)W);
	if (k->words.row)
		words_backward(e, &k->words, k->text.y, dy);
	dc_text_backward(&k->text, &p->text, dy, &p->arena);
}

/* The forward pass of a part that was dropped, as it was: what it gives lands where it is already, and what it counted, the
 * work and a ResNet's statistics, is not counted again. */
static void
forward_again(struct dc_enc *e, struct part *k)
{
	struct dc_enc_private *p = e->p;
	struct dc_laps *laps = p->vit.blocks.laps;
	const double flop = laps ? laps->flop : 0;
	struct dc_captions c;
	int r = 0;

	k->mark = dc_arena_mark(&p->arena);
	if (k->kind == IMAGE)
		image_forward(e, k, 1);
	else if (k->kind == TEXT && (r = pack_text(&c, e, k)) == 0)
		text_forward(e, k, &c, 1);
	else if (k->kind == MLM && (r = pack_mlm(&c, e, k)) == 0)
		dc_text_forward(&k->text, &p->text, &c, 1, &p->arena);
	assert(r == 0);   /* it went well before */
	(void)r;
	for (int i = 0; k->kind == IMAGE && i < p->resnet.n_stats; i++)
		p->resnet.stats[i].views -= p->resnet.stats[i].views > 0;
	if (laps)
		laps->flop = flop;
}

int
dc_enc_backward_next(struct dc_enc *e)
{
	struct dc_enc_private *p = e->p;
	struct part *k;

	if (p->n_parts == 0)
		return 0;
	k = p->part + p->n_parts - 1;
	dc_laps_start(p->vit.blocks.laps);
	if (k->dropped)
		forward_again(e, k);
	if (k->kind == IMAGE)
		image_backward(e, k);
	else if (k->kind == TEXT)
		text_backward(e, k);
	else
		dc_text_backward(&k->text, &p->text, p->mlm.dx + (size_t)k->m0 * p->text.W, &p->arena);
	dc_arena_release(&p->arena, k->mark);
	if (--p->n_parts == 0) {
		dc_lanes_collect(&p->image_lanes, &p->vit.blocks);
		dc_lanes_collect(&p->text_lanes, &p->text.blocks);
	}
	dc_lap(p->vit.blocks.laps, DC_LAP_OTHER);
	return p->n_parts > 0;
}

/* --- an estimate --- */

/* Reals kept by a pass over n sequences of L rows each. */
static double
kept_by(double n, double L, int layers, int W, int F, int heads, int lean)
{
	double all = n * L * (6.0 * W + F) + n * L * L * heads, last = n * L * 3.0 * W + n * (3.0 * W + F + L * heads);

	return (layers - 1) * (lean ? n * L * W : all) + last + 3 * n * L * W;
}

/* On top, for the part that goes back: a block's scratch, with what is in it where that is computed again. */
static double
scratch_of(double n, double L, int W, int F, int heads, int lean)
{
	return n * L * (2.0 * F + 6.0 * W) + (lean ? n * L * (6.0 * W + F) + n * L * L * heads : 0);
}

static double
kept_by_resnet(const struct dc_config *c, double *scratch)
{
	struct dc_resnet t;
	double reals;

	dc_resnet_init(&t, c);
	reals = dc_resnet_kept_reals(&t, scratch);
	dc_resnet_free(&t);
	return reals;
}

size_t
dc_enc_bytes(const struct dc_config *c, int N, double tokens, int lean)
{
	const struct dc_vision *v = &c->vision;
	const struct dc_text *t = &c->text;
	const int grid = dc_config_resnet(c) ? 0 : v->image_size / v->patch_size;
	const double most = c->part ? c->part : 64, part = N && N < most ? N : most;
	const double L = 1 + (double)grid * grid, n = N ? N : part;
	const int image = N && c->image_views > 0 ? c->image_views : 1, text = c->caption_views > 0 ? c->caption_views : 1;
	const int mlm = has(c, DC_TERM_MLM) && !c->released;
	double scratch = 0, reals = image * (grid ? kept_by(n, L, v->layers, v->width, v->mlp, v->heads, lean) :
		n * kept_by_resnet(c, &scratch));

	if (N)
		reals += (text + mlm) * kept_by(n, tokens, t->layers, t->width, t->mlp, t->heads, lean);
	if (N && has(c, DC_TERM_SIMCLR))
		reals += 2.0 * n * (4.0 * c->simclr_hidden + 2 * dc_config_image_width(c));
	if (has(c, DC_TERM_FILIP))
		reals += n * (L * (2.0 * c->filip_width + v->width) + tokens * (2.0 * c->filip_width + t->width));
	reals += grid ? scratch_of(part, L, v->width, v->mlp, v->heads, lean) : part * scratch;
	return (size_t)(reals * sizeof(dc_real));
}
