/* SPDX-License-Identifier: MIT */
#include <assert.h>

#include "nn/encoder_private.h"
#include "nn/linear.h"
#include "nn/threads.h"

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
	DC_CHECK(!dc_config_on(c, DC_TERM_SIMCLR) || (!dc_config_on(c, DC_TERM_SIMSIAM) && c->image_views > 2),
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

	if (check(c) < 0)
		return NULL;
	e = dc_xcalloc(1, sizeof(*e));
	e->p = dc_xcalloc(1, sizeof(*e->p));
	e->p->weights = dc_xcalloc((size_t)n_weights, sizeof(*weights));
	memcpy(e->p->weights, weights, (size_t)n_weights * sizeof(*weights));
	e->c = *c;
	e->T = c->text.context_length;
	e->p->train = train;
	e->p->limit = SIZE_MAX;
	if (dc_enc_find(e, n_weights) < 0) {
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

/* Also before a first batch without rows: of several ranks one may have none. */
static void
room_for(struct dc_enc *e, int N)
{
	const size_t n = N > 0 ? N : 1, D = e->c.embed_dim, Z = e->p->simsiam ? e->p->simsiam->Z : 0;

	if (N <= e->p->N_cap && e->p->N_cap)
		return;
	e->p->N_cap = (int)n;
	for (int v = 0; v < dc_enc_image_views(e); v++) {
		if (for_simclr(e, v)) {
			dc_enc_remake(&e->p->pooled[v], n * (size_t)dc_config_image_width(&e->c));
			dc_enc_remake(&e->p->d_pooled[v], n * (size_t)dc_config_image_width(&e->c));
			dc_enc_remake(&e->d_simclr_z[v], n * (size_t)e->c.simclr_width);
			continue;
		}
		dc_enc_remake(&e->image_features[v], n * D);
		dc_enc_remake(&e->d_image_features[v], n * D);
		if (Z)
			dc_enc_remake(&e->d_simsiam_p[v], n * Z);
	}
	if (e->p->filip.F) {
		dc_enc_remake(&e->filip_image, n * (size_t)e->p->filip.G * (size_t)e->p->filip.F);
		dc_enc_remake(&e->d_filip_image, n * (size_t)e->p->filip.G * (size_t)e->p->filip.F);
		e->filip_off = dc_xrealloc(e->filip_off, n + 1, sizeof(*e->filip_off));
	}
	for (int v = 0; v < caption_views(e); v++) {
		dc_enc_remake(&e->text_features[v], n * D);
		dc_enc_remake(&e->d_text_features[v], n * D);
	}
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
		dc_enc_zero(e->d_image_features[v], ND);
		dc_enc_zero(e->d_text_features[v], ND);
		dc_enc_zero(e->d_simsiam_p[v], p->simsiam ? (size_t)N * p->simsiam->Z : 0);
		dc_enc_zero(e->d_simclr_z[v], (size_t)N * (size_t)e->c.simclr_width);
		dc_enc_zero(p->d_pooled[v], (size_t)N * (size_t)dc_config_image_width(&e->c));
	}
	dc_enc_zero(e->d_filip_image, (size_t)N * (size_t)p->filip.G * (size_t)p->filip.F);
	dc_enc_zero(e->d_filip_text, (size_t)p->filip.cap * (size_t)p->filip.F);
	for (int n = 0; e->filip_off && n <= N; n++)
		e->filip_off[n] = 0;
	dc_enc_zero(e->d_mlm_nll, (size_t)p->mlm.cap);
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
		dc_enc_words_forward(e, &k->words, c, y, k->row);
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
	if (is_masked(e, view) && dc_config_on(&e->c, DC_TERM_MLM))
		dc_enc_fuse(p, &k->text, row, keep ? p->n_parts - 1 : -1);
	if (keep)
		settle(e, k);
	else
		dc_arena_release(&p->arena, here.mark);
	return 0;
}

static int
pack_mlm(struct dc_captions *c, struct dc_enc *e, const struct part *k)
{
	struct dc_enc_private *p = e->p;

	DC_TRY(dc_captions_pack(c, &p->text, k->token, 0, k->row, k->n, &p->arena));
	if (dc_enc_want_masked(&c->pack, c->pack.off, k->row, k->n, k->target, e->T, p->text.V, &p->arena) == 0)
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
		return dc_enc_fused(e, row, n, target);
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
		dc_enc_add_masked(e, &c.pack, target, k->text.y, 1);
	}
	if (keep)
		settle(e, k);
	else
		dc_arena_release(&p->arena, here.mark);
	return 0;
}

/* --- heads --- */

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
	double simsiam = 2.0 * e->N * dc_enc_image_views(e) * (D * Z + 2 * Z * Z + 2 * Z * H);

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
		dc_simsiam_forward(s, dc_enc_image_views(e), e->N, e->image_features);
	for (int v = 0; s && rows && v < dc_enc_image_views(e); v++) {
		e->simsiam_z[v] = s->z[v];
		e->simsiam_p[v] = s->p[v];
	}
	if (e->p->simclr && rows)
		dc_mlp_forward(e->p->simclr, 2, e->N, e->p->pooled + 1);
	for (int v = 1; e->p->simclr && rows && v <= 2; v++)
		e->simclr_z[v] = dc_mlp_output(e->p->simclr, v - 1, 2);
	if (e->M > 0)
		dc_enc_mlm_forward(e);
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
		dc_enc_mlm_backward(e);
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
	dc_enc_zero(dy, (size_t)pack->R * W);
	for (int s = 0; s < pack->n; s++)
		memcpy(dy + (size_t)k->text.c.end[s] * W, dends + s * W, W * sizeof(*dy));
	if (k->m)
		dc_rows_scatter_add(dy, p->mlm.dx + (size_t)k->m0 * W, p->mlm.row + k->m0, (int)k->m, (int)W);
	if (k->words.row)
		dc_enc_words_backward(e, &k->words, k->text.y, dy);
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
