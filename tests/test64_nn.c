/* SPDX-License-Identifier: MIT */
/* Every gradient of the towers against central differences in double, element by element. */
#include "nn/attention.h"
#include "nn/block.h"
#include "nn/embed.h"
#include "nn/gelu.h"
#include "nn/layernorm.h"
#include "nn/patch.h"
#include "nn/text.h"
#include "nn/vit.h"
#include "tests/nn_checks.h"

static struct dc_arena arena;

static double
moved(dc_real *x, double by, double (*f)(void *), void *arg)
{
	const dc_real was = *x;
	double y;

	*x = was + by;
	y = f(arg);
	*x = was;
	return y;
}

/* The central difference by x; with fine = 1 the one of fourth order, for where the curvature is large. */
static double
difference(dc_real *x, int fine, double (*f)(void *), void *arg)
{
	const double h = fine ? 2e-5 : 1e-5, d = (moved(x, h, f, arg) - moved(x, -h, f, arg)) / (2 * h);

	return fine ? (4 * d - (moved(x, 2 * h, f, arg) - moved(x, -2 * h, f, arg)) / (4 * h)) / 3 : d;
}

/* dg must be the gradient of f(arg) by x [n]: |dg - difference| <= 1e-6 |dg| + 1e-8 scale, NaN fails */
static void
check_gradient(const char *name, dc_real *x, const dc_real *dg, size_t n, double (*f)(void *), void *arg)
{
	double scale = 0, norm = 0;

	for (size_t i = 0; i < n; i++)
		norm += (double)(dg[i] * dg[i]);
	scale = fmax(1, sqrt(norm / (n ? n : 1)));
	for (size_t i = 0; i < n; i++) {
		const double tolerance = 1e-6 * fabs(dg[i]) + 1e-8 * scale;
		double d = difference(x + i, 0, f, arg);

		if (!(fabs(dg[i] - d) <= tolerance))
			d = difference(x + i, 1, f, arg);
		if (!(fabs(dg[i] - d) <= tolerance)) {
			ok(0, "gradient by %s [%zu of %zu]: %.12g, difference %.12g", name, i, n, dg[i], d);
			return;
		}
	}
	ok(norm > 0, "gradient by %s, %zu elements", name, n);
}

static dc_real *
random_reals(size_t n, uint32_t salt, double scale)
{
	dc_real *x = dc_xaligned(n, sizeof(*x));

	tiny_fill(x, n, salt, 0, scale);
	return x;
}

static double
weighted(const dc_real *y, size_t n, uint32_t salt)
{
	double s = 0;

	for (size_t i = 0; i < n; i++)
		s += y[i] * tiny_hash(salt, (uint32_t)i);
	return s;
}

/* --- linear, layer norm, gelu --- */

enum { M = 5, I = 7, O = 6 };
static dc_real x_mi[M * I], w_oi[O * I], b_o[O], y_mo[M * O], r_mo[M * O], dy_mo[M * O];

static double
linear_loss(void *arg)
{
	(void)arg;
	dc_linear_forward(y_mo, O, x_mi, I, w_oi, b_o, r_mo, M, I, O);
	return weighted(y_mo, M * O, 5);
}

static void
test_linear(void)
{
	dc_real dx[M * I], dw[O * I] = { 0 }, db[O] = { 0 };

	tiny_fill(x_mi, M * I, 1, 0, 2);
	tiny_fill(w_oi, O * I, 2, 0, 2);
	tiny_fill(b_o, O, 3, 0, 2);
	tiny_fill(r_mo, M * O, 4, 0, 2);
	tiny_fill(dy_mo, M * O, 5, 0, 1);
	dc_linear_backward(dx, I, 0, dw, db, dy_mo, O, x_mi, I, w_oi, M, I, O);
	check_gradient("linear x", x_mi, dx, M * I, linear_loss, NULL);
	check_gradient("linear weight", w_oi, dw, O * I, linear_loss, NULL);
	check_gradient("linear bias", b_o, db, O, linear_loss, NULL);
	check_gradient("linear residual", r_mo, dy_mo, M * O, linear_loss, NULL);
}

static dc_real norm_w[I], norm_b[I], norm_y[M * I], norm_mean[M], norm_rstd[M];

static double
norm_loss(void *arg)
{
	(void)arg;
	dc_ln_forward(norm_y, norm_mean, norm_rstd, x_mi, norm_w, norm_b, M, I);
	return weighted(norm_y, M * I, 8);
}

static void
test_layernorm(void)
{
	dc_real dx[M * I] = { 0 }, dw[I] = { 0 }, db[I] = { 0 }, dy[M * I], again[M * I];

	tiny_fill(norm_w, I, 6, 1, 1);
	tiny_fill(norm_b, I, 7, 0, 1);
	tiny_fill(dy, M * I, 8, 0, 1);
	norm_loss(NULL);
	dc_ln_apply(again, norm_mean, norm_rstd, x_mi, norm_w, norm_b, M, I);
	ok(!memcmp(again, norm_y, sizeof(again)), "layer norm again gives the same bytes");
	dc_ln_backward(dx, dw, db, dy, x_mi, norm_mean, norm_rstd, norm_w, M, I);
	check_gradient("layer norm x", x_mi, dx, M * I, norm_loss, NULL);
	check_gradient("layer norm weight", norm_w, dw, I, norm_loss, NULL);
	check_gradient("layer norm bias", norm_b, db, I, norm_loss, NULL);
}

static dc_real gelu_x[64], gelu_b[16];   /* four rows */

static double
gelu_loss(void *arg)
{
	dc_real y[64];

	dc_gelu_forward(y, gelu_x, gelu_b, 4, 16, *(int *)arg);
	return weighted(y, 64, 10);
}

static void
test_gelu(void)
{
	dc_real dy[64], dx[64], y[64], want[64];

	tiny_fill(gelu_x, 64, 9, 0, 8);
	tiny_fill(gelu_b, 16, 11, 0, 1);
	tiny_fill(dy, 64, 10, 0, 1);
	for (int quick = 0; quick < 2; quick++) {
		dc_gelu_forward(want, gelu_x, gelu_b, 4, 16, quick);
		dc_gelu_backward(dx, y, dy, gelu_x, gelu_b, 4, 16, quick);
		ok(!memcmp(y, want, sizeof(y)), "%s: the value again in the backward pass", quick ? "QuickGELU" : "GELU");
		check_gradient(quick ? "QuickGELU" : "GELU", gelu_x, dx, 64, gelu_loss, &quick);
	}
}

/* --- attention --- */

enum { HD = 3, HEADS = 2, AW = HD * HEADS };

struct attention_case {
	const char *name;
	struct dc_attn a;
	int Rq, Rk, sep;            /* sep: queries apart from keys and values */
	dc_real *q, *kv, *prob, *out;
	int ldq, ldk;
};

static double
attention_loss(void *arg)
{
	struct attention_case *c = arg;
	dc_real *k = c->sep ? c->kv : c->q + AW;

	dc_attn_forward(c->out, c->prob, c->q, c->ldq, k, k + AW, c->ldk, &c->a);
	return weighted(c->out, (size_t)c->Rq * AW, 11);
}

static void
check_attention(const char *name, int causal, const int32_t *q_off, const int32_t *k_off, int n)
{
	struct attention_case c = { .name = name, .Rq = q_off[n], .Rk = k_off[n], .sep = q_off != k_off };
	size_t prob_off[8], probs = dc_attn_prob(prob_off, q_off, k_off, n, HEADS), nq, nkv;
	dc_real *dq, *dkv, *dout = random_reals((size_t)c.Rq * AW, 11, 1);
	char label[96];

	c.a = (struct dc_attn){ n, HEADS, HD, causal, q_off, k_off, prob_off };
	c.ldq = c.sep ? AW : 3 * AW;
	c.ldk = c.sep ? 2 * AW : 3 * AW;
	nq = (size_t)c.Rq * c.ldq;
	nkv = (size_t)c.Rk * c.ldk;
	c.q = random_reals(nq, 12, 3);
	c.kv = random_reals(nkv, 13, 3);
	c.prob = dc_xaligned(probs + 1, sizeof(dc_real));
	c.out = dc_xaligned((size_t)c.Rq * AW, sizeof(dc_real));
	dq = dc_xcalloc(nq, sizeof(*dq));
	dkv = dc_xcalloc(nkv, sizeof(*dkv));
	attention_loss(&c);
	if (c.sep)
		dc_attn_backward(dq, dkv, dkv + AW, dout, c.prob, c.q, c.ldq, c.kv, c.kv + AW, c.ldk, &c.a, &arena);
	else
		dc_attn_backward(dq, dq + AW, dq + 2 * AW, dout, c.prob, c.q, c.ldq, c.q + AW, c.q + 2 * AW, c.ldk, &c.a, &arena);
	snprintf(label, sizeof(label), "attention (%s) %s", name, c.sep ? "queries" : "queries, keys, values");
	check_gradient(label, c.q, dq, nq, attention_loss, &c);
	if (c.sep) {
		snprintf(label, sizeof(label), "attention (%s) keys, values", name);
		check_gradient(label, c.kv, dkv, nkv, attention_loss, &c);
	}
	free(c.q);
	free(c.kv);
	free(c.prob);
	free(c.out);
	free(dq);
	free(dkv);
	free(dout);
}

static void
test_attention(void)
{
	const int32_t off[] = { 0, 1, 6, 9, 17 }, ends[] = { 0, 1, 2, 3, 4 }, some[] = { 0, 0, 2, 5, 7 };

	check_attention("lengths 1 5 3 8", 0, off, off, 4);
	check_attention("causal", 1, off, off, 4);
	check_attention("one query, causal", 1, ends, off, 4);
	check_attention("0 to 3 queries", 0, some, off, 4);
}

/* --- embeddings --- */

static struct tiny model;

struct patch_case { struct dc_patch t; dc_real *conv1, *cls, *pos, *x; };

static double
patch_loss(void *arg)
{
	struct patch_case *c = arg;
	struct dc_arena_mark mark = dc_arena_mark(&arena);
	dc_real *patch = dc_arena_reals(&arena, 2 * 4 * 5);

	dc_patch_forward(patch, &c->t, model.rgb[0], 2, c->conv1, &arena);
	dc_embed_image_forward(c->x, patch, c->cls, c->pos, 2, 4, 5);
	dc_arena_release(&arena, mark);
	return weighted(c->x, 2 * 5 * 5, 14);
}

static void
test_patch(void)
{
	struct patch_case c = { .conv1 = random_reals(5 * 48, 15, 1), .cls = random_reals(5, 16, 1),
		.pos = random_reals(25, 17, 1), .x = dc_xaligned(50, sizeof(dc_real)) };
	dc_real dconv1[5 * 48] = { 0 }, dcls[5] = { 0 }, dpos[25] = { 0 }, dpatch[40], dx[50];

	dc_patch_init(&c.t, 8, 4, 5, model.c.mean, model.c.std);
	tiny_fill(dx, 50, 14, 0, 1);
	dc_embed_image_backward(dpatch, dcls, dpos, dx, 2, 4, 5);
	dc_patch_backward(dconv1, &c.t, dpatch, model.rgb[0], 2, &arena);
	check_gradient("conv1", c.conv1, dconv1, 5 * 48, patch_loss, &c);
	check_gradient("class embedding", c.cls, dcls, 5, patch_loss, &c);
	check_gradient("image positions", c.pos, dpos, 25, patch_loss, &c);
	free(c.conv1);
	free(c.cls);
	free(c.pos);
	free(c.x);
}

static const int32_t some_id[9] = { 6, 2, 7, 8, 6, 2, 2, 8, 7 }, some_p[9] = { 0, 1, 2, 3, 0, 1, 2, 3, 4 };
static dc_real token_w[8 * 3], mask_w[3], pos_w[5 * 3], text_x[27];

static double
token_loss(void *arg)
{
	(void)arg;
	dc_embed_text_forward(text_x, token_w, mask_w, pos_w, some_id, some_p, 9, 8, 3);
	return weighted(text_x, 27, 18);
}

static void
test_token(void)
{
	dc_real dt[24] = { 0 }, dm[3] = { 0 }, dp[15] = { 0 }, dx[27];

	tiny_fill(token_w, 24, 19, 0, 1);
	tiny_fill(mask_w, 3, 20, 0, 1);
	tiny_fill(pos_w, 15, 21, 0, 1);
	tiny_fill(dx, 27, 18, 0, 1);
	dc_embed_text_backward(dt, dm, dp, dx, some_id, some_p, 9, 8, 5, 3, &arena);
	check_gradient("token embedding", token_w, dt, 24, token_loss, NULL);
	check_gradient("mask embedding", mask_w, dm, 3, token_loss, NULL);
	check_gradient("text positions", pos_w, dp, 15, token_loss, NULL);
}

/* --- one block, its input too: every row, and only some rows wanted --- */

struct block_case { struct dc_blocks t; struct dc_pack pack; dc_real *x; };

static double
block_loss(void *arg)
{
	struct block_case *c = arg;
	struct dc_arena_mark mark = dc_arena_mark(&arena);
	dc_real *y = dc_arena_reals(&arena, (size_t)c->pack.wanted * c->t.W);
	double loss;

	dc_blocks_forward(y, NULL, c->x, &c->pack, &c->t, &arena);
	loss = weighted(y, (size_t)c->pack.wanted * c->t.W, 22);
	dc_arena_release(&arena, mark);
	return loss;
}

static void
check_block(const char *name, const struct dc_pack *pack, int quick)
{
	struct block_case c = { .pack = *pack };
	struct dc_block b;
	struct dc_block_kept kept;
	const size_t size[12] = { 6, 6, 108, 18, 36, 6, 6, 6, 60, 10, 60, 6 };
	struct dc_par *par = (struct dc_par *)&b;
	dc_real *y, *dx;
	char label[96];

	c.t = (struct dc_blocks){ 1, 6, 2, 10, quick, &b, NULL, 0 };
	c.x = random_reals((size_t)pack->R * 6, 23, 2);
	for (int i = 0; i < 12; i++)
		par[i] = (struct dc_par){ random_reals(size[i], 24 + i, 2), dc_xcalloc(size[i], sizeof(dc_real)) };
	y = dc_arena_reals(&arena, (size_t)pack->wanted * 6);
	dx = dc_arena_reals(&arena, (size_t)pack->R * 6);
	dc_blocks_forward(y, &kept, c.x, pack, &c.t, &arena);
	tiny_fill(y, (size_t)pack->wanted * 6, 22, 0, 1);
	dc_blocks_backward(dx, y, &kept, pack, &c.t, &arena);
	snprintf(label, sizeof(label), "block (%s) input", name);
	check_gradient(label, c.x, dx, (size_t)pack->R * 6, block_loss, &c);
	for (int i = 0; i < 12; i++) {
		snprintf(label, sizeof(label), "block (%s) parameter %d", name, i);
		check_gradient(label, (dc_real *)par[i].w, par[i].g, size[i], block_loss, &c);
	}
	for (int i = 0; i < 12; i++) {
		free((void *)par[i].w);
		free(par[i].g);
	}
	free(c.x);
	dc_arena_release(&arena, (struct dc_arena_mark){ 0, 0 });
}

static void
test_block(void)
{
	const int32_t off[] = { 0, 4, 5, 8 }, ends[] = { 3, 4, 7 }, one[] = { 0, 1, 2, 3 };
	const int32_t some[] = { 0, 2, 5, 6 }, some_off[] = { 0, 2, 2, 4 };
	struct dc_pack all = { .n = 3, .R = 8, .wanted = 8, .off = off };
	struct dc_pack pooled = { .n = 3, .R = 8, .wanted = 3, .causal = 1, .off = off, .want = ends, .want_off = one };
	struct dc_pack masked = { .n = 3, .R = 8, .wanted = 4, .off = off, .want = some, .want_off = some_off };

	check_block("all rows", &all, 1);
	all.causal = 1;
	check_block("all rows, causal", &all, 0);
	check_block("end tokens, causal", &pooled, 0);
	check_block("some rows", &masked, 1);
}

/* --- the useful work, counted by hand --- */

static void
test_flop(void)
{
	const int32_t off[] = { 0, 4, 5, 8 }, ends[] = { 3, 4, 7 }, one[] = { 0, 1, 2, 3 };
	struct dc_pack all = { .n = 3, .R = 8, .wanted = 8, .off = off };
	struct dc_pack pooled = { .n = 3, .R = 8, .wanted = 3, .causal = 1, .off = off, .want = ends, .want_off = one };
	struct dc_blocks t = { .layers = 2, .W = 6, .heads = 2, .F = 10 };
	/* a row of a block: query, key, value and output 2 (4 36), the MLP 2 (2 60); a seen key 2 (2 6) */
	const double row = 288 + 240, pooled_row = 144 + 240, key = 24;

	ok(dc_blocks_flop(&all, &t) == 2 * (8 * row + (16 + 1 + 9) * key), "useful work: every row sees every row");
	ok(dc_blocks_flop(&pooled, &t) == 8 * row + (10 + 1 + 6) * key + 8 * 144 + 3 * pooled_row + (4 + 1 + 3) * key,
		"useful work: causal, and of the last block only keys and values of every row");
}

/* --- the whole encoder: towers and heads, every parameter --- */

struct encoder_case { struct dc_enc *e; const struct tiny *m; };

static double
encoder_loss(void *arg)
{
	struct encoder_case *c = arg;

	if (tiny_forward(c->e, c->m, 3, 0) < 0)
		return NAN;
	return tiny_loss(c->e);
}

static void
test_encoder(int quick, int released, int proj_bias)
{
	struct tiny m;
	struct encoder_case c = { .m = &m };
	char label[128];

	tiny_new_as(&m, quick, released, proj_bias);
	c.e = dc_enc_new(&m.c, m.w, m.n, 1);
	if (!ok(c.e && tiny_forward(c.e, &m, 3, 1) == 0, "encoder, %s, %s%s", quick ? "QuickGELU" : "GELU",
	    released ? "released" : "paper", proj_bias ? ", a bias on the text projection" : ""))
		return;
	tiny_backward(c.e);
	for (int i = 0; i < m.n; i++) {
		if (proj_bias && !strstr(m.name[i], "text_projection") && strcmp(m.name[i], "ln_final.weight"))
			continue;
		snprintf(label, sizeof(label), "%s%s%s", m.name[i], quick ? "" : " (exact)", released ? " (released)" : "");
		if (before_batch_norm(m.name[i])) {
			double worst = 0;

			for (size_t j = 0; j < m.w[i].n; j++)
				worst = fmax(worst, fabs(m.w[i].g[j]));
			ok(worst < 1e-12, "%s: no gradient before a batch norm", label);
			continue;
		}
		check_gradient(label, (dc_real *)m.w[i].w, m.w[i].g, m.w[i].n, encoder_loss, &c);
	}
	dc_enc_free(c.e);
	tiny_free(&m);
}

int
main(int argc, char **argv)
{
	(void)argc;
	tiny_new(&model, 1, 0);
	test_linear();
	test_layernorm();
	test_gelu();
	test_attention();
	test_patch();
	test_token();
	test_block();
	test_flop();
	for (int i = 0; i < 4; i++)
		check_naive(i & 1, i >> 1, 1e-11);
	check_golden(argv[0], "towers-quick.f8", 1, 0, 1e-11);
	check_golden(argv[0], "towers-exact-released.f8", 0, 1, 1e-11);
	check_parts(0, 1e-12);
	check_parts(1, 1e-12);
	test_encoder(1, 0, 0);
	test_encoder(0, 1, 0);
	test_encoder(1, 0, 1);
	test_encoder(1, 1, 1);
	tiny_free(&model);
	dc_arena_free(&arena);
	return done_testing();
}
