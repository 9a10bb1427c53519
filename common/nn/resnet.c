/* SPDX-License-Identifier: MIT */
#include "nn/resnet.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/conv.h"
#include "nn/gemm.h"

enum { STEM = 3, EXPANSION = 4, ENCODE_AT_ONCE = 8 };   /* images at a time, where each is encoded on its own */

/* --- shapes --- */

/* A convolution from I to O channels, and its norm, whose name follows as for printf. */
static struct dc_res_conv DC_PRINTF(4, 5)
shape(struct dc_resnet *t, int I, int O, const char *fmt, ...)
{
	struct dc_bn_stats *s = t->stats + t->n_stats;
	char name[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	*s = (struct dc_bn_stats){ .name = dc_xstrdup(name), .width = O };
	return (struct dc_res_conv){ .I = I, .O = O, .at = t->n_stats++, .bn = { .C = O } };
}

static void
shape_block(struct dc_resnet *t, struct dc_res_block *b, int I, int P, int side, int stride, int layer, int i)
{
	*b = (struct dc_res_block){ .side = side, .pool = stride > 1 };
	b->conv[0] = shape(t, I, P, "visual.layer%d.%d.bn%d", layer, i, 1);
	b->conv[1] = shape(t, P, P, "visual.layer%d.%d.bn%d", layer, i, 2);
	b->conv[2] = shape(t, P, EXPANSION * P, "visual.layer%d.%d.bn%d", layer, i, 3);
	if (stride > 1 || I != EXPANSION * P)
		b->down = shape(t, I, EXPANSION * P, "visual.layer%d.%d.downsample.%d", layer, i, 1);
}

static void
shape_layers(struct dc_resnet *t, const struct dc_vision *v)
{
	struct dc_res_block *b = t->block;
	int I = v->width, side = t->S / 4;

	for (int l = 0; l < 4; l++)
		for (int i = 0; i < v->stages[l]; i++, b++) {
			const int stride = l > 0 && i == 0 ? 2 : 1;

			shape_block(t, b, I, v->width << l, side, stride, l + 1, i);
			I = EXPANSION * (v->width << l);
			side /= stride;
		}
}

void
dc_resnet_init(struct dc_resnet *t, const struct dc_config *c)
{
	const struct dc_vision *v = &c->vision;
	const int W = v->width, G = v->image_size / 32;

	*t = (struct dc_resnet){ .S = v->image_size, .W = W, .D = c->embed_dim };
	for (int l = 0; l < 4; l++)
		t->n_blocks += v->stages[l];
	t->block = dc_xcalloc((size_t)t->n_blocks, sizeof(*t->block));
	t->stats = dc_xcalloc((size_t)(STEM + 4 * t->n_blocks), sizeof(*t->stats));
	for (int i = 0; i < STEM; i++)
		t->stem[i] = shape(t, i ? W / 2 : 3, i < 2 ? W / 2 : W, "visual.bn%d", i + 1);
	shape_layers(t, v);
	t->pool = (struct dc_attnpool){ .P = G * G, .E = 32 * W, .heads = v->heads, .D = c->embed_dim };
	for (int k = 0; k < 3; k++)
		for (int u = 0; u < 256; u++)
			t->level[k][u] = (dc_real)((u / 255.0 - c->mean[k]) / c->std[k]);
}

void
dc_resnet_free(struct dc_resnet *t)
{
	for (int i = 0; i < t->n_stats; i++) {
		free((char *)(uintptr_t)t->stats[i].name);
		free(t->stats[i].mean);
		free(t->stats[i].var);
	}
	free(t->stats);
	free(t->block);
	memset(t, 0, sizeof(*t));
}

/* Rows of a map of n images, side x side. */
static size_t
rows(int n, int side)
{
	return (size_t)n * side * side;
}

/* --- a convolution and the statistics of what it gives --- */

static void
room(struct dc_res_conv_kept *k, const struct dc_res_conv *c, size_t R, struct dc_arena *arena)
{
	k->x = dc_arena_reals(arena, R * (size_t)c->O);
	k->mean = dc_arena_reals(arena, (size_t)c->O);
	k->rstd = dc_arena_reals(arena, (size_t)c->O);
}

/* The next row of statistics: to be filled in. */
static dc_real *
next_row(struct dc_bn_stats *s, dc_real **mean)
{
	if (s->views == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 4;
		s->mean = dc_xrealloc(s->mean, (size_t)s->cap * s->width, sizeof(*s->mean));
		s->var = dc_xrealloc(s->var, (size_t)s->cap * s->width, sizeof(*s->var));
	}
	*mean = s->mean + (size_t)s->views * s->width;
	return s->var + (size_t)s->views++ * s->width;
}

static void
statistics(struct dc_res_conv_kept *k, const struct dc_resnet *t, const struct dc_res_conv *c, size_t R,
	struct dc_arena *arena)
{
	dc_real *mean, *var = c->bn.fixed ? NULL : next_row(t->stats + c->at, &mean);

	dc_lap(t->laps, DC_LAP_CONV);
	dc_mapnorm_statistics(k->mean, k->rstd, var, k->x, &c->bn, R, arena);
	if (var)
		memcpy(mean, k->mean, (size_t)c->O * sizeof(*mean));
	dc_lap(t->laps, DC_LAP_MAPNORM);
}

static void
forward_1x1(struct dc_res_conv_kept *k, const struct dc_resnet *t, const struct dc_res_conv *c, const dc_real *x, size_t R,
	struct dc_arena *arena)
{
	dc_gemm(0, 1, (int)R, c->O, c->I, 1, x, c->I, c->w.w, c->I, 0, k->x, c->O);   /* X = In W^T */
	statistics(k, t, c, R, arena);
}

static void
forward_3x3(struct dc_res_conv_kept *k, const struct dc_resnet *t, const struct dc_res_conv *c, const dc_real *x, int n,
	int side, struct dc_arena *arena)
{
	dc_conv3_forward(k->x, x, c->w.w, n, side, side, c->I, c->O, arena);
	statistics(k, t, c, rows(n, side), arena);
}

/* y = relu(bn x) */
static void
activate(dc_real *y, const struct dc_resnet *t, const struct dc_res_conv *c, const struct dc_res_conv_kept *k, size_t R)
{
	dc_mapnorm_apply(y, k->x, NULL, k->mean, k->rstd, &c->bn, 1, R);
	dc_lap(t->laps, DC_LAP_MAPNORM);
}

/* dx [R,I] = dy W, dW += dy^T x */
static void
backward_1x1(dc_real *dx, const struct dc_resnet *t, const struct dc_res_conv *c, const dc_real *dy, const dc_real *x, size_t R)
{
	dc_linear_backward(dx, c->I, 0, c->w.g, NULL, dy, c->O, x, c->I, c->w.w, (int)R, c->I, c->O);
	dc_lap(t->laps, DC_LAP_CONV);
}

static void
backward_3x3(dc_real *dx, const struct dc_resnet *t, const struct dc_res_conv *c, const dc_real *dy, const dc_real *x, int n,
	int side, struct dc_arena *arena)
{
	dc_conv3_backward(dx, c->w.g, dy, x, c->w.w, n, side, side, c->I, c->O, arena);
	dc_lap(t->laps, DC_LAP_CONV);
}

/* dx by the convolution's output, from dy by what activate gave (relu), or by its norm alone; dx may be dy */
static void
backward_norm(dc_real *dx, const dc_real *dy, const struct dc_resnet *t, const struct dc_res_conv *c,
	const struct dc_res_conv_kept *k, int relu, size_t R, struct dc_arena *arena)
{
	dc_mapnorm_backward(dx, dy, k->x, k->mean, k->rstd, &c->bn, relu, R, arena);
	dc_lap(t->laps, DC_LAP_MAPNORM);
}

/* --- the stem --- */

static void
stem_forward(dc_real *out, struct dc_res_conv_kept *k, const struct dc_resnet *t, const uint8_t *rgb, int n,
	struct dc_arena *arena)
{
	const int G = t->S / 2;
	const size_t R = rows(n, G);
	struct dc_arena_mark mark;
	dc_real *a;

	for (int i = 0; i < STEM; i++)
		room(k + i, t->stem + i, R, arena);
	mark = dc_arena_mark(arena);
	a = dc_arena_reals(arena, R * (size_t)t->W);
	dc_conv3_pixels_forward(k[0].x, t->level, rgb, t->stem[0].w.w, n, t->S, t->stem[0].O, arena);
	statistics(k, t, t->stem, R, arena);
	activate(a, t, t->stem, k, R);
	for (int i = 1; i < STEM; i++) {
		forward_3x3(k + i, t, t->stem + i, a, n, G, arena);
		activate(a, t, t->stem + i, k + i, R);
	}
	dc_pool2_forward(out, a, n, G, G, t->W);
	dc_lap(t->laps, DC_LAP_MAPNORM);
	dc_arena_release(arena, mark);
}

static void
stem_backward(const struct dc_resnet_kept *k, const struct dc_resnet *t, const dc_real *dout, struct dc_arena *arena)
{
	const int G = t->S / 2;
	const size_t R = rows(k->n, G);
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *a = dc_arena_reals(arena, R * (size_t)t->W), *d = dc_arena_reals(arena, R * (size_t)t->W);
	dc_real *da = dc_arena_reals(arena, R * (size_t)t->W), *swap;

	dc_pool2_backward(d, 0, dout, k->n, G, G, t->W);
	for (int i = STEM - 1; i > 0; i--) {
		backward_norm(d, d, t, t->stem + i, k->stem + i, 1, R, arena);
		activate(a, t, t->stem + i - 1, k->stem + i - 1, R);
		backward_3x3(da, t, t->stem + i, d, a, k->n, G, arena);
		swap = d;
		d = da;
		da = swap;
	}
	backward_norm(d, d, t, t->stem, k->stem, 1, R, arena);
	if (t->stem[0].w.g)
		dc_conv3_pixels_backward(t->stem[0].w.g, d, t->level, k->rgb, k->n, t->S, t->stem[0].O, arena);
	dc_lap(t->laps, DC_LAP_CONV);
	dc_arena_release(arena, mark);
}

/* --- a bottleneck --- */

static int
side_out(const struct dc_res_block *b)
{
	return b->pool ? b->side / 2 : b->side;
}

static dc_real *
pooled(const dc_real *x, int n, const struct dc_res_block *b, int C, struct dc_arena *arena)
{
	dc_real *y = dc_arena_reals(arena, rows(n, side_out(b)) * (size_t)C);

	dc_pool2_forward(y, x, n, b->side, b->side, C);
	return y;
}

/* out = relu(bn3 x3 + shortcut) */
static void
block_forward(dc_real *out, struct dc_res_block_kept *k, const struct dc_resnet *t, const struct dc_res_block *b,
	const dc_real *in, int n, struct dc_arena *arena)
{
	const size_t R = rows(n, b->side), R2 = rows(n, side_out(b));
	const int P = b->conv[0].O;
	const dc_real *shortcut = in;
	struct dc_arena_mark mark;
	dc_real *a;

	for (int i = 0; i < 3; i++)
		room(k->conv + i, b->conv + i, i < 2 ? R : R2, arena);
	if (b->down.O)
		room(&k->down, &b->down, R2, arena);
	mark = dc_arena_mark(arena);
	a = dc_arena_reals(arena, R * (size_t)P);
	forward_1x1(k->conv, t, b->conv, in, R, arena);
	activate(a, t, b->conv, k->conv, R);
	forward_3x3(k->conv + 1, t, b->conv + 1, a, n, b->side, arena);
	activate(a, t, b->conv + 1, k->conv + 1, R);
	forward_1x1(k->conv + 2, t, b->conv + 2, b->pool ? pooled(a, n, b, P, arena) : a, R2, arena);
	if (b->down.O) {
		forward_1x1(&k->down, t, &b->down, b->pool ? pooled(in, n, b, b->down.I, arena) : in, R2, arena);
		dc_mapnorm_apply(out, k->down.x, NULL, k->down.mean, k->down.rstd, &b->down.bn, 0, R2);
		shortcut = out;
	}
	dc_mapnorm_apply(out, k->conv[2].x, shortcut, k->conv[2].mean, k->conv[2].rstd, &b->conv[2].bn, 1, R2);
	dc_lap(t->laps, DC_LAP_MAPNORM);
	dc_arena_release(arena, mark);
	k->in = in;
	k->out = out;
}

/* The main branch: din from dz, the gradient by bn3's output. */
static void
branch_backward(dc_real *din, const dc_real *dz, const struct dc_res_block_kept *k, const struct dc_resnet *t,
	const struct dc_res_block *b, int n, struct dc_arena *arena)
{
	const size_t R = rows(n, b->side), R2 = rows(n, side_out(b));
	const int P = b->conv[0].O;
	dc_real *a = dc_arena_reals(arena, R * (size_t)P), *d = dc_arena_reals(arena, R * (size_t)P);
	dc_real *d3 = dc_arena_reals(arena, R2 * (size_t)b->conv[2].O);
	dc_real *d2 = b->pool ? dc_arena_reals(arena, R2 * (size_t)P) : d;

	backward_norm(d3, dz, t, b->conv + 2, k->conv + 2, 0, R2, arena);
	activate(a, t, b->conv + 1, k->conv + 1, R);
	backward_1x1(d2, t, b->conv + 2, d3, b->pool ? pooled(a, n, b, P, arena) : a, R2);
	if (b->pool)
		dc_pool2_backward(d, 0, d2, n, b->side, b->side, P);
	backward_norm(d, d, t, b->conv + 1, k->conv + 1, 1, R, arena);
	activate(a, t, b->conv, k->conv, R);
	d2 = dc_arena_reals(arena, R * (size_t)P);
	backward_3x3(d2, t, b->conv + 1, d, a, n, b->side, arena);
	backward_norm(d2, d2, t, b->conv, k->conv, 1, R, arena);
	backward_1x1(din, t, b->conv, d2, k->in, R);
}

/* din += by the shortcut */
static void
shortcut_backward(dc_real *din, const dc_real *dz, const struct dc_res_block_kept *k, const struct dc_resnet *t,
	const struct dc_res_block *b, int n, struct dc_arena *arena)
{
	const size_t R = rows(n, b->side), R2 = rows(n, side_out(b));
	const int I = b->conv[0].I;
	dc_real *d;

	if (!b->down.O) {
#pragma omp parallel for simd schedule(static)
		for (size_t i = 0; i < R * (size_t)I; i++)
			din[i] += dz[i];
		return;
	}
	d = dc_arena_reals(arena, R2 * (size_t)b->down.O);
	backward_norm(d, dz, t, &b->down, &k->down, 0, R2, arena);
	if (b->pool) {
		dc_real *dp = dc_arena_reals(arena, R2 * (size_t)I);

		backward_1x1(dp, t, &b->down, d, pooled(k->in, n, b, I, arena), R2);
		dc_pool2_backward(din, 1, dp, n, b->side, b->side, I);
	} else {
		dc_linear_backward(din, I, 1, b->down.w.g, NULL, d, b->down.O, k->in, I, b->down.w.w, (int)R, I, b->down.O);
		dc_lap(t->laps, DC_LAP_CONV);
	}
}

/* din is overwritten; dout is used as scratch. */
static void
block_backward(dc_real *din, dc_real *dout, const struct dc_res_block_kept *k, const struct dc_resnet *t,
	const struct dc_res_block *b, int n, struct dc_arena *arena)
{
	struct dc_arena_mark mark = dc_arena_mark(arena);

	dc_relu_backward(dout, k->out, rows(n, side_out(b)) * (size_t)b->conv[2].O);
	branch_backward(din, dout, k, t, b, n, arena);
	dc_arena_release(arena, mark);
	shortcut_backward(din, dout, k, t, b, n, arena);
	dc_arena_release(arena, mark);
	dc_lap(t->laps, DC_LAP_MAPNORM);
}

/* --- the tower --- */

/* The largest map between two blocks, per image. */
static size_t
largest(const struct dc_resnet *t)
{
	size_t most = rows(1, t->S / 4) * (size_t)t->W;

	for (int i = 0; i < t->n_blocks; i++) {
		const struct dc_res_block *b = t->block + i;
		const size_t out = rows(1, side_out(b)) * (size_t)b->conv[2].O;

		most = out > most ? out : most;
	}
	return most;
}

static double
conv_flop(const struct dc_res_conv *c, int K, double R)
{
	return 2.0 * R * c->I * c->O * K * K;
}

/* Of a pass; by pixels no gradient is needed. */
static double
flop(const struct dc_resnet *t, int n, int kept)
{
	const double R = (double)rows(n, t->S / 2);
	double sum = conv_flop(t->stem + 1, 3, R) + conv_flop(t->stem + 2, 3, R) + dc_attnpool_flop(&t->pool, n);

	for (int i = 0; i < t->n_blocks; i++) {
		const struct dc_res_block *b = t->block + i;
		const double in = (double)rows(n, b->side), out = (double)rows(n, side_out(b));

		sum += conv_flop(b->conv, 1, in) + conv_flop(b->conv + 1, 3, in) + conv_flop(b->conv + 2, 1, out) +
			conv_flop(&b->down, 1, out);
	}
	return sum * (kept ? 3 : 1) + conv_flop(t->stem, 3, R) * (kept && t->stem[0].w.g ? 2 : 1);
}

/* Of images from i on. */
static struct dc_vit_out
from(const struct dc_vit_out *out, const struct dc_resnet *t, int i)
{
	const size_t s = (size_t)i, E = (size_t)t->pool.E;

	return (struct dc_vit_out){ out->features ? out->features + s * (size_t)t->D : NULL, out->pooled ? out->pooled + s * E : NULL,
		out->tokens ? out->tokens + s * (size_t)t->pool.P * E : NULL };
}

/* What the last layer's map [n,P,E] gives. */
static void
pool_forward(const struct dc_vit_out *out, struct dc_attnpool_kept *k, const struct dc_resnet *t, const dc_real *x, int n,
	struct dc_arena *arena)
{
	const size_t row = (size_t)n * (size_t)t->pool.E * sizeof(*x);

	if (out->tokens)
		memcpy(out->tokens, x, row * (size_t)t->pool.P);
	dc_attnpool_forward(out->features, k, &t->pool, x, n, arena);
	if (out->pooled)
		memcpy(out->pooled, k->o, row);
	dc_lap(t->laps, DC_LAP_ATTENTION);
}

static void
encode(const struct dc_vit_out *to, const struct dc_resnet *t, const uint8_t *rgb, int n, struct dc_arena *arena)
{
	struct dc_arena_mark mark = dc_arena_mark(arena), here;
	dc_real *in = dc_arena_reals(arena, (size_t)n * largest(t)), *out = dc_arena_reals(arena, (size_t)n * largest(t)), *swap;
	struct dc_res_conv_kept stem[STEM];
	struct dc_res_block_kept block = { 0 };
	struct dc_attnpool_kept pool;

	here = dc_arena_mark(arena);
	stem_forward(in, stem, t, rgb, n, arena);
	dc_arena_release(arena, here);
	for (int i = 0; i < t->n_blocks; i++) {
		block_forward(out, &block, t, t->block + i, in, n, arena);
		dc_arena_release(arena, here);
		swap = in;
		in = out;
		out = swap;
	}
	pool_forward(to, &pool, t, in, n, arena);
	dc_arena_release(arena, mark);
}

static const uint8_t *
keep_pixels(const struct dc_resnet *t, const uint8_t *rgb, int n, struct dc_arena *arena)
{
	size_t bytes = rows(n, t->S) * 3;
	uint8_t *copy = dc_arena_alloc(arena, bytes, 1);

	memcpy(copy, rgb, bytes);
	return copy;
}

static void
forward_kept(const struct dc_vit_out *to, struct dc_resnet_kept *k, const struct dc_resnet *t, const uint8_t *rgb, int n,
	struct dc_arena *arena)
{
	const dc_real *in;

	k->n = n;
	k->rgb = t->stem[0].w.g ? keep_pixels(t, rgb, n, arena) : NULL;
	k->block = dc_arena_alloc(arena, (size_t)t->n_blocks, sizeof(*k->block));
	in = k->in = dc_arena_reals(arena, rows(n, t->S / 4) * (size_t)t->W);
	stem_forward(k->in, k->stem, t, rgb, n, arena);
	for (int i = 0; i < t->n_blocks; i++) {
		const struct dc_res_block *b = t->block + i;
		dc_real *out = dc_arena_reals(arena, rows(n, side_out(b)) * (size_t)b->conv[2].O);

		block_forward(out, k->block + i, t, b, in, n, arena);
		in = out;
	}
	pool_forward(to, &k->pool, t, in, n, arena);
}

void
dc_resnet_forward(const struct dc_vit_out *out, struct dc_resnet_kept *kept, const struct dc_resnet *t, const uint8_t *rgb,
	int n, struct dc_arena *arena)
{
	/* by given statistics each image is on its own: few at a time stay nearer to the processor */
	const int step = t->stem[0].bn.fixed ? ENCODE_AT_ONCE : n;

	if (t->laps)
		t->laps->flop += flop(t, n, kept != NULL);
	if (kept) {
		forward_kept(out, kept, t, rgb, n, arena);
		return;
	}
	for (int i = 0; i < n; i += step) {
		const struct dc_vit_out here = from(out, t, i);

		encode(&here, t, rgb + rows(i, t->S) * 3, n - i < step ? n - i : step, arena);
	}
}

void
dc_resnet_backward(const struct dc_resnet_kept *k, const struct dc_resnet *t, const struct dc_vit_out *dout,
	struct dc_arena *arena)
{
	struct dc_arena_mark mark = dc_arena_mark(arena), here;
	dc_real *d = dc_arena_reals(arena, (size_t)k->n * largest(t)), *din = dc_arena_reals(arena, (size_t)k->n * largest(t));
	dc_real *swap;

	here = dc_arena_mark(arena);
	dc_attnpool_backward(d, &k->pool, &t->pool, dout->features, dout->pooled, arena);
	for (size_t i = 0; dout->tokens && i < (size_t)k->n * (size_t)t->pool.P * (size_t)t->pool.E; i++)
		d[i] += dout->tokens[i];
	dc_lap(t->laps, DC_LAP_ATTENTION);
	dc_arena_release(arena, here);
	for (int i = t->n_blocks - 1; i >= 0; i--) {
		block_backward(din, d, k->block + i, t, t->block + i, k->n, arena);
		swap = d;
		d = din;
		din = swap;
	}
	stem_backward(k, t, d, arena);
	dc_arena_release(arena, mark);
}

double
dc_resnet_kept_reals(const struct dc_resnet *t, double *scratch)
{
	const double stem = (double)rows(1, t->S / 2), E = t->pool.E, L = 1 + t->pool.P;
	double sum = stem * 2 * t->W + (double)rows(1, t->S / 4) * t->W + L * E + 2 * E + (2 * E + L) * t->pool.heads;

	for (int i = 0; i < t->n_blocks; i++) {
		const struct dc_res_block *b = t->block + i;
		const double in = (double)rows(1, b->side), out = (double)rows(1, side_out(b));

		sum += in * 2 * b->conv[0].O + out * (2 * b->conv[2].O + b->down.O);
	}
	*scratch = 3 * stem * t->W + 2 * (double)largest(t);
	return sum;
}
