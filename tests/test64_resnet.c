/* SPDX-License-Identifier: MIT */
/* The ResNet in double: every layer against a naive one, every gradient against central differences. */
#include "nn/conv.h"
#include "nn/resnet.h"
#include "nn/winograd.h"
#include "tests/nn_checks.h"

static struct dc_arena arena;
static uint32_t salt = 2000;

static dc_real *
reals(size_t n, double centre, double scale)
{
	dc_real *x = dc_xaligned(n, sizeof(*x));

	tiny_fill(x, n, salt++, centre, scale);
	return x;
}

static double
weighted(const dc_real *y, const dc_real *dy, size_t n)
{
	double s = 0;

	for (size_t i = 0; i < n; i++)
		s += y[i] * dy[i];
	return s;
}

static double
difference(dc_real *x, double h, double (*f)(void *), void *arg)
{
	const dc_real was = *x;
	double up, down;

	*x = was + h;
	up = f(arg);
	*x = was - h;
	down = f(arg);
	*x = was;
	return (up - down) / (2 * h);
}

/* At most `some` elements of x [n], evenly spread. A ReLU that turns within the step is not differentiable there: a
 * smaller step must agree then. `zero`: the gradient is known to vanish. */
static void
check_gradient(const char *name, dc_real *x, const dc_real *dg, size_t n, size_t some, int zero, double (*f)(void *), void *arg)
{
	const size_t step = n > some ? (n + some - 1) / some : 1;
	double norm = 0, scale;

	for (size_t i = 0; i < n; i++)
		norm += dg[i] * dg[i];
	scale = fmax(1, sqrt(norm / (double)n));
	for (size_t i = 0; i < n; i += step) {
		double d = 0;
		int good = 0;

		for (double h = 1e-5; !good && h > 1e-8; h /= 10) {
			d = difference(x + i, h, f, arg);
			good = fabs(dg[i] - d) <= 1e-6 * fabs(dg[i]) + 1e-13 * scale / h + 1e-8 * scale;
		}
		if (!good) {
			ok(0, "gradient by %s [%zu of %zu]: %.12g, difference %.12g", name, i, n, dg[i], d);
			return;
		}
	}
	ok(zero ? norm < 1e-20 * scale : norm > 0, "gradient by %s, %zu elements", name, n);
}

/* --- convolutions --- */

enum { N = 2, H = 5, W = 6, I = 3, O = 4, S = 7, G = 4 };

struct conv { dc_real *x, *w, *y, *dy; int n, H, W, I, O; };

static dc_real
at(const struct conv *t, int s, int p, int q, int c)
{
	return p < 0 || p >= t->H || q < 0 || q >= t->W ? 0 : t->x[((s * t->H + p) * t->W + q) * t->I + c];
}

static void
naive_conv3(dc_real *y, const struct conv *t)
{
	for (int i = 0; i < t->n * t->H * t->W * t->O; i++) {
		const int o = i % t->O, q = i / t->O % t->W, p = i / (t->O * t->W) % t->H, s = i / (t->O * t->W * t->H);

		y[i] = 0;
		for (int c = 0; c < t->I; c++)
			for (int a = 0; a < 3; a++)
				for (int b = 0; b < 3; b++)
					y[i] += t->w[((o * t->I + c) * 3 + a) * 3 + b] * at(t, s, p + a - 1, q + b - 1, c);
	}
}

static double
conv_loss(void *arg)
{
	struct conv *t = arg;

	dc_conv3_forward(t->y, t->x, t->w, t->n, t->H, t->W, t->I, t->O, &arena);
	return weighted(t->y, t->dy, (size_t)(t->n * t->H * t->W * t->O));
}

static void
test_conv(int n, int h, int w, int i, int o, int winograd)
{
	const size_t in = (size_t)(n * h * w * i), out = (size_t)(n * h * w * o), weights = (size_t)(o * i * 9);
	struct conv t = { reals(in, 0, 2), reals(weights, 0, 2), reals(out, 0, 1), reals(out, 0, 1), n, h, w, i, o };
	dc_real *dx = reals(in, 0, 1), *dw = dc_xcalloc(weights, sizeof(*dw)), *want = reals(out, 0, 1);
	double far = 0;

	conv_loss(&t);
	naive_conv3(want, &t);
	for (size_t k = 0; k < out; k++)
		far = fmax(far, fabs(want[k] - t.y[k]));
	ok(dc_winograd_pays(h, w, i, o) == winograd, "%d x %d, %d to %d: %s", h, w, i, o, winograd ? "with 16 products for 36" : "as it is written");
	ok(far < 1e-13, "3x3 convolution is the naive one: %.2g", far);
	dc_conv3_backward(dx, dw, t.dy, t.x, t.w, n, h, w, i, o, &arena);
	check_gradient("convolution x", t.x, dx, in, 300, 0, conv_loss, &t);
	check_gradient("convolution weight", t.w, dw, weights, 300, 0, conv_loss, &t);
	memset(dw, 0, weights * sizeof(*dw));
	dc_conv3_backward(NULL, dw, t.dy, t.x, t.w, n, h, w, i, o, &arena);
	dc_conv3_backward(dx, NULL, t.dy, t.x, t.w, n, h, w, i, o, &arena);
	check_gradient("convolution x alone", t.x, dx, in, 20, 0, conv_loss, &t);
	check_gradient("convolution weight alone", t.w, dw, weights, 20, 0, conv_loss, &t);
}

static dc_real level[3][256];

static double
pixels_loss(void *arg)
{
	struct conv *t = arg;

	dc_conv3_pixels_forward(t->y, (const dc_real (*)[256])level, (const uint8_t *)t->x, t->w, N, S, O, &arena);
	return weighted(t->y, t->dy, N * G * G * O);
}

/* One output, by hand: image 1, place (0, 3), the corner where the border is on two sides of an odd image. */
static void
test_pixels(void)
{
	static uint8_t rgb[N * S * S * 3];
	struct conv t = { .x = (dc_real *)(void *)rgb, .w = reals(O * 27, 0, 2), .y = reals(N * G * G * O, 0, 1), .dy = reals(N * G * G * O, 0, 1) };
	dc_real *dw = dc_xcalloc(O * 27, sizeof(*dw)), want = 0;

	tiny_fill(level[0], 3 * 256, salt++, 0, 2);
	for (int i = 0; i < N * S * S * 3; i++)
		rgb[i] = (uint8_t)(i * 37 + i / 11);
	pixels_loss(&t);
	for (int c = 0; c < 3; c++)
		for (int a = 1; a < 3; a++)
			for (int b = 0; b < 2; b++)
				want += t.w[(2 * 3 + c) * 9 + a * 3 + b] * level[c][rgb[((S + a - 1) * S + 5 + b) * 3 + c]];
	ok(fabs(want - t.y[(G * G + 3) * O + 2]) < 1e-14, "a place in a corner of the convolution over pixels");
	dc_conv3_pixels_backward(dw, t.dy, (const dc_real (*)[256])level, rgb, N, S, O, &arena);
	check_gradient("pixels' convolution weight", t.w, dw, O * 27, 1000, 0, pixels_loss, &t);
}

static double
pool_loss(void *arg)
{
	struct conv *t = arg;

	dc_pool2_forward(t->y, t->x, N, H, W, I);
	return weighted(t->y, t->dy, N * (H / 2) * (W / 2) * I);
}

static void
test_pool(void)
{
	struct conv t = { .x = reals(N * H * W * I, 0, 2), .y = reals(N * 6 * I, 0, 1), .dy = reals(N * 6 * I, 0, 1) };
	dc_real *dx = reals(N * H * W * I, 0, 1), *twice = reals(N * H * W * I, 0, 1);
	double far = 0;

	dc_pool2_backward(dx, 0, t.dy, N, H, W, I);
	check_gradient("pooling x (an odd row is not seen)", t.x, dx, N * H * W * I, 1000, 0, pool_loss, &t);
	memcpy(twice, dx, N * H * W * I * sizeof(*dx));
	dc_pool2_backward(twice, 1, t.dy, N, H, W, I);
	for (int i = 0; i < N * H * W * I; i++)
		far = fmax(far, fabs(twice[i] - 2 * dx[i]));
	ok(far < 1e-15, "or is added");
}

/* --- batch norm of maps --- */

enum { R = 83, C = 300 };   /* several runs and strips, the last of each not full */
struct norm { struct dc_mapnorm t; dc_real *x, *y, *dy, *mean, *rstd, *var; int relu; };

static double
norm_loss(void *arg)
{
	struct norm *k = arg;

	dc_mapnorm_statistics(k->mean, k->rstd, k->var, k->x, &k->t, R, &arena);
	dc_mapnorm_apply(k->y, k->x, NULL, k->mean, k->rstd, &k->t, k->relu, R);
	return weighted(k->y, k->dy, R * C);
}

static void
check_moments(const struct norm *k)
{
	double far = 0;

	for (int c = 0; c < C; c++) {
		double m = 0, v = 0;

		for (int r = 0; r < R; r++)
			m += k->x[r * C + c] / R;
		for (int r = 0; r < R; r++)
			v += (k->x[r * C + c] - m) * (k->x[r * C + c] - m);
		far = fmax(far, fabs(k->mean[c] - m) + fabs(k->var[c] - v / (R - 1)) + fabs(k->rstd[c] * sqrt(v / R + 1e-5) - 1));
	}
	ok(far < 1e-13, "mean, unbiased variance, rstd: %.2g", far);
}

static void
test_norm(int relu, int fixed)
{
	dc_real *dx = reals(R * C, 0, 1);
	struct norm k = { .x = reals(R * C, 1, 3), .y = reals(R * C, 0, 1), .dy = reals(R * C, 0, 1), .mean = reals(C, 0, 1),
		.rstd = reals(C, 0, 1), .var = reals(C, 0, 1), .relu = relu };

	k.t = (struct dc_mapnorm){ { reals(C, 1, 0.5), dc_xcalloc(C, sizeof(dc_real)) }, { reals(C, 0, 1), dc_xcalloc(C, sizeof(dc_real)) },
		reals(C, 0, 1), reals(C, 1, 0.5), C, fixed };
	norm_loss(&k);
	if (!fixed)
		check_moments(&k);
	dc_mapnorm_backward(dx, k.dy, k.x, k.mean, k.rstd, &k.t, relu, R, &arena);
	check_gradient(fixed ? "norm x, by given statistics" : "norm x", k.x, dx, R * C, 80, 0, norm_loss, &k);
	check_gradient(relu ? "norm weight, before a ReLU" : "norm weight", (dc_real *)k.t.w.w, k.t.w.g, C, 40, 0, norm_loss, &k);
	check_gradient("norm bias", (dc_real *)k.t.b.w, k.t.b.g, C, 40, 0, norm_loss, &k);
}

/* --- attention pooling --- */

enum { P = 6, E = 12, HEADS = 3, D = 5, L = 1 + P };
struct pool { struct dc_attnpool t; dc_real *x, *y, *dy, *d_o; };

static struct dc_par
par(size_t n, double centre, double scale)
{
	return (struct dc_par){ reals(n, centre, scale), dc_xcalloc(n, sizeof(dc_real)) };
}

static void
fill_pool(struct dc_attnpool *t, int p, int e, int heads, int d)
{
	const size_t ee = (size_t)e * e, ue = (size_t)e;

	*t = (struct dc_attnpool){ p, e, heads, d, par((size_t)(1 + p) * ue, 0, 1), par(ee, 0, 2), par(ue, 0, 1), par(ee, 0, 2), par(ue, 0, 1),
		par(ee, 0, 1), par(ue, 0, 1), par((size_t)d * ue, 0, 1), par((size_t)d, 0, 1) };
}

static double
attn_loss(void *arg)
{
	struct pool *k = arg;
	struct dc_arena_mark mark = dc_arena_mark(&arena);
	struct dc_attnpool_kept kept;
	double s;

	dc_attnpool_forward(k->y, &kept, &k->t, k->x, N, &arena);
	s = weighted(k->y, k->dy, N * D) + weighted(kept.o, k->d_o, N * E);
	dc_arena_release(&arena, mark);
	return s;
}

/* out_e = W_e . t + b_e */
static double
row(struct dc_par w, struct dc_par b, int e, const double *t)
{
	double s = b.w[e];

	for (int i = 0; i < E; i++)
		s += w.w[e * E + i] * t[i];
	return s;
}

/* As the paper has it: keys and values of every token. */
static void
naive_attnpool(double *y, const struct dc_attnpool *t, const dc_real *x)
{
	double token[L][E], o[E] = { 0 };

	for (int e = 0; e < E; e++) {
		token[0][e] = t->pos.w[e];
		for (int j = 0; j < P; j++) {
			token[0][e] += x[j * E + e] / P;
			token[1 + j][e] = x[j * E + e] + t->pos.w[(1 + j) * E + e];
		}
	}
	for (int h = 0; h < HEADS; h++) {
		double p[L], sum = 0;

		for (int j = 0; j < L; j++) {
			double score = 0;

			for (int e = h * E / HEADS; e < (h + 1) * E / HEADS; e++)
				score += row(t->q_w, t->q_b, e, token[0]) * row(t->k_w, t->k_b, e, token[j]);
			sum += p[j] = exp(score / sqrt(E / HEADS));
		}
		for (int j = 0; j < L; j++)
			for (int e = h * E / HEADS; e < (h + 1) * E / HEADS; e++)
				o[e] += p[j] / sum * row(t->v_w, t->v_b, e, token[j]);
	}
	for (int d = 0; d < D; d++)
		y[d] = row(t->c_w, t->c_b, d, o);
}

static void
test_attnpool(void)
{
	struct pool k = { .x = reals(N * P * E, 0, 2), .y = reals(N * D, 0, 1), .dy = reals(N * D, 0, 1), .d_o = reals(N * E, 0, 1) };
	struct dc_attnpool_kept kept;
	dc_real *dx = reals(N * P * E, 0, 1);
	double want[D], far = 0;

	fill_pool(&k.t, P, E, HEADS, D);
	attn_loss(&k);
	for (int s = 0; s < N; s++) {
		naive_attnpool(want, &k.t, k.x + s * P * E);
		for (int d = 0; d < D; d++)
			far = fmax(far, fabs(want[d] - k.y[s * D + d]));
	}
	ok(far < 1e-13, "attention pooling without keys and values is the one with them: %.2g", far);
	dc_attnpool_forward(k.y, &kept, &k.t, k.x, N, &arena);
	dc_attnpool_backward(dx, &kept, &k.t, k.dy, k.d_o, &arena);
	check_gradient("attention pooling x", k.x, dx, N * P * E, 1000, 0, attn_loss, &k);
	check_gradient("its positions", (dc_real *)k.t.pos.w, k.t.pos.g, L * E, 1000, 0, attn_loss, &k);
	check_gradient("q_proj", (dc_real *)k.t.q_w.w, k.t.q_w.g, E * E, 1000, 0, attn_loss, &k);
	check_gradient("q_proj.bias", (dc_real *)k.t.q_b.w, k.t.q_b.g, E, 1000, 0, attn_loss, &k);
	check_gradient("k_proj", (dc_real *)k.t.k_w.w, k.t.k_w.g, E * E, 1000, 0, attn_loss, &k);
	check_gradient("k_proj.bias, which is 0", (dc_real *)k.t.k_b.w, k.t.k_b.g, E, 1000, 1, attn_loss, &k);
	check_gradient("v_proj", (dc_real *)k.t.v_w.w, k.t.v_w.g, E * E, 1000, 0, attn_loss, &k);
	check_gradient("v_proj.bias", (dc_real *)k.t.v_b.w, k.t.v_b.g, E, 1000, 0, attn_loss, &k);
	check_gradient("c_proj", (dc_real *)k.t.c_w.w, k.t.c_w.g, D * E, 1000, 0, attn_loss, &k);
	check_gradient("c_proj.bias", (dc_real *)k.t.c_b.w, k.t.c_b.g, D, 1000, 0, attn_loss, &k);
}

/* --- the whole tower --- */

struct tower { struct dc_resnet t; struct dc_vit_out out, d; uint8_t *rgb; int n; struct dc_par *list[128]; size_t size[128]; int n_list; };

static void
fill_conv(struct tower *k, struct dc_res_conv *c, int K, int fixed)
{
	const size_t n = (size_t)c->O * c->I * K * K, width = (size_t)c->O;

	c->w = par(n, 0, 2 / sqrt((double)c->I * K * K));
	c->bn = (struct dc_mapnorm){ par(width, 1, 0.5), par(width, 0.2, 0.5), reals(width, 0, 0.5), reals(width, 1, 0.5), c->O, fixed };
	k->list[k->n_list] = &c->w;
	k->size[k->n_list++] = n;
	k->list[k->n_list] = &c->bn.w;
	k->size[k->n_list++] = width;
	k->list[k->n_list] = &c->bn.b;
	k->size[k->n_list++] = width;
}

static void
fill_tower(struct tower *k, int fixed)
{
	struct dc_config c = { .vision = { .image_size = 64, .width = 2, .heads = 4, .layers = 5, .stages = { 1, 2, 1, 1 } },
		.embed_dim = 5, .mean = { .4, .5, .6 }, .std = { .2, .3, .25 } };

	dc_resnet_init(&k->t, &c);
	for (int i = 0; i < 3; i++)
		fill_conv(k, k->t.stem + i, 3, fixed);
	for (int i = 0; i < k->t.n_blocks; i++)
		for (int j = 0; j < 4; j++)
			if (j < 3 || k->t.block[i].down.O)
				fill_conv(k, j < 3 ? k->t.block[i].conv + j : &k->t.block[i].down, j == 1 ? 3 : 1, fixed);
	fill_pool(&k->t.pool, 4, 64, 4, 5);
	k->n = 2;
	k->rgb = dc_xmalloc((size_t)k->n * 64 * 64 * 3);
	for (int i = 0; i < k->n * 64 * 64 * 3; i++)
		k->rgb[i] = (uint8_t)(256 * (tiny_hash(salt, (uint32_t)i) + 0.5));
	k->out = (struct dc_vit_out){ reals(10, 0, 1), reals(2 * 64, 0, 1), reals(2 * 4 * 64, 0, 1) };
	k->d = (struct dc_vit_out){ reals(10, 0, 1), reals(2 * 64, 0, 0.1), reals(2 * 4 * 64, 0, 0.1) };
}

static double
tower_value(const struct tower *k)
{
	return weighted(k->out.features, k->d.features, 10) + weighted(k->out.pooled, k->d.pooled, 2 * 64) +
		weighted(k->out.tokens, k->d.tokens, 2 * 4 * 64);
}

static double
tower_loss(void *arg)
{
	struct tower *k = arg;

	for (int i = 0; i < k->t.n_stats; i++)
		k->t.stats[i].views = 0;
	dc_resnet_forward(&k->out, NULL, &k->t, k->rgb, k->n, &arena);
	return tower_value(k);
}

static void
test_tower(int fixed)
{
	struct tower k = { .n = 0 };
	struct dc_resnet_kept kept = { 0 };
	struct dc_arena_mark mark = dc_arena_mark(&arena);
	double alone;
	char what[96];

	fill_tower(&k, fixed);
	alone = tower_loss(&k);
	dc_resnet_forward(&k.out, &kept, &k.t, k.rgb, k.n, &arena);
	ok(fabs(tower_value(&k) - alone) < 1e-12, "a pass that keeps nothing gives the same");
	ok(k.t.n_stats == 3 + 5 * 3 + 4 && k.t.stats[21].views == (fixed ? 0 : 2) && !strcmp(k.t.stats[21].name, "visual.layer4.0.downsample.1") &&
	    !strcmp(k.t.stats[2].name, "visual.bn3"), "%d batch norms, %d rows of statistics", k.t.n_stats, k.t.stats[0].views);
	dc_resnet_backward(&kept, &k.t, &k.d, &arena);
	dc_arena_release(&arena, mark);
	for (int i = 0; i < k.n_list; i++) {
		snprintf(what, sizeof(what), "the tower's tensor %d%s", i, fixed ? ", by running statistics" : "");
		check_gradient(what, (dc_real *)k.list[i]->w, k.list[i]->g, k.size[i], 2, 0, tower_loss, &k);
	}
	check_gradient("the tower's positions", (dc_real *)k.t.pool.pos.w, k.t.pool.pos.g, 5 * 64, 4, 0, tower_loss, &k);
	dc_resnet_free(&k.t);
}

int
main(void)
{
	test_conv(N, H, W, I, O, 0);
	test_conv(2, 6, 4, 16, 18, 1);
	test_conv(3, 7, 5, 19, 16, 1);
	test_conv(9, 9, 12, 17, 16, 1);   /* more tiles than are taken at a time */
	test_pixels();
	test_pool();
	test_norm(0, 0);
	test_norm(1, 0);
	test_norm(1, 1);
	test_attnpool();
	test_tower(0);
	test_tower(1);
	dc_arena_free(&arena);
	return done_testing();
}
