/* SPDX-License-Identifier: MIT */
/* The terms and heads of SLIP, FILIP and SigLIP in double: every gradient against central differences. */
#include "tests/tap.h"

#include "loss/late.h"
#include "loss/loss.h"
#include "tests/nn_model.h"

/* f's central difference by *x; the fourth-order one, for where the curvature is large */
static double
difference(dc_real *x, double (*f)(void *), void *arg, double h)
{
	const dc_real was = *x;
	double d[2];

	for (int i = 0; i < 2; i++) {
		double up;
		*x = was + (1 + i) * h;
		up = f(arg);
		*x = was - (1 + i) * h;
		d[i] = (up - f(arg)) / (2 * (1 + i) * h);
		*x = was;
	}
	return (4 * d[0] - d[1]) / 3;
}

/* got [n] is the gradient of f by x [n], looked at in every step-th element */
static void
check(const char *what, dc_real *x, const dc_real *got, size_t n, size_t step, double (*f)(void *), void *arg)
{
	double worst = 0, norm = 0;

	for (size_t i = 0; i < n; i += step) {
		const double want = difference(x + i, f, arg, 1e-5), err = fabs(got[i] - want) / (1e-2 + fabs(want));
		worst = err <= worst ? worst : err;
		norm += fabs(got[i]);
	}
	ok(worst <= 1e-6 && norm > 0, "gradient of %s, %zu elements, worst %.1e", what, (n + step - 1) / step, worst);
}

/* --- the terms --- */

enum { N = 7, D = 5, S = 6, G = 4, F = 3, WORDS = 5 };

struct problem {
	struct dc_config c;
	struct dc_loss_in in;
	struct dc_loss_out out;
	struct dc_loss_work *w;
	dc_real I[N * D], T[N * D], z[2][N * S], image[N * G * F], text[N * WORDS * F];
	dc_real dI[N * D], dT[N * D], dz[2][N * S], dimage[N * G * F], dtext[N * WORDS * F];
	int32_t off[N + 1];
};

static double
total(void *arg)
{
	struct problem *t = arg;

	return dc_loss_compute(&t->c, &t->in, NULL, &t->out, t->w) < 0 ? NAN : t->out.total;
}

static double
of_log_scale(double *x, struct problem *t)
{
	const double was = *x, h = 1e-5;
	double up, down;

	*x = was + h;
	up = total(t);
	*x = was - h;
	down = total(t);
	*x = was;
	return (up - down) / (2 * h);
}

static void
begin(struct problem *t, const char *method, int released, int rows, int cols)
{
	memset(t, 0, sizeof *t);
	if (dc_config_method(&t->c, method, released) < 0)
		abort();
	tiny_fill(t->I, N * D, 1, 0, 2);
	tiny_fill(t->T, N * D, 2, 0, 2);
	tiny_fill(t->z[0], N * S, 3, 0, 2);
	tiny_fill(t->z[1], N * S, 4, 0, 2);
	tiny_fill(t->image, N * G * F, 5, 0, 2);
	tiny_fill(t->text, N * WORDS * F, 6, 0, 2);
	for (int n = 0; n < N; n++)   /* a caption without words among them */
		t->off[n + 1] = t->off[n] + (n == 2 ? 0 : 1 + n % WORDS);
	t->in = (struct dc_loss_in){ .N = N, .D = D, .image_features = { t->I }, .text_features = { t->T }, .logit_scale = 1.3,
		.S = S, .simclr_z = { t->z[0], t->z[1] }, .G = G, .F = F, .filip_image = t->image, .filip_text = t->text,
		.filip_off = t->off, .filip_logit_scale = 1.1, .logit_bias = -0.7 };
	t->out = (struct dc_loss_out){ .d_image_features = { t->dI }, .d_text_features = { t->dT },
		.d_simclr_z = { t->dz[0], t->dz[1] }, .d_filip_image = t->dimage, .d_filip_text = t->dtext };
	t->w = dc_loss_work_new(rows, cols);
}

/* With tiles of rows x cols: gradients, and the same total as with one tile. */
static void
terms(const char *method, int released, int top, int rows, int cols)
{
	const int filip = !strcmp(method, "filip"), slip = !strcmp(method, "slip"), siglip = !strcmp(method, "siglip");
	struct problem *t = dc_xcalloc(1, sizeof *t), *whole = dc_xcalloc(1, sizeof *whole);
	char what[96];

	printf("# %s, %s, top %d, tiles of %d x %d\n", method, released ? "as released" : "paper", top, rows, cols);
	begin(t, method, released, rows, cols);
	begin(whole, method, released, 0, 0);
	t->c.filip_top = whole->c.filip_top = top;
	if (filip || siglip)   /* both terms, to see them add up */
		t->c.weight[DC_TERM_CLIP] = whole->c.weight[DC_TERM_CLIP] = .4;
	ok(fabs(total(t) - total(whole)) <= 1e-12 * fabs(total(whole)), "%s: %.6g, as in one tile", method, t->out.total);
	ok(fabs(t->out.total - .4 * (filip || siglip) * t->out.value[DC_TERM_CLIP] - slip * t->out.value[DC_TERM_CLIP] -
	    t->c.weight[DC_TERM_SIMCLR] * t->out.value[DC_TERM_SIMCLR] - t->c.weight[DC_TERM_FILIP] * t->out.value[DC_TERM_FILIP] -
	    t->c.weight[DC_TERM_SIGLIP] * t->out.value[DC_TERM_SIGLIP]) < 1e-12, "the total is the weighted sum");
	struct { const char *name; dc_real *x, *d; size_t n; int on; } in[] = {
		{ "image features", t->I, t->dI, N * D, 1 }, { "text features", t->T, t->dT, N * D, 1 },
		{ "simclr_z.1", t->z[0], t->dz[0], N * S, slip }, { "simclr_z.2", t->z[1], t->dz[1], N * S, slip },
		{ "filip_image", t->image, t->dimage, N * G * F, filip }, { "filip_text", t->text, t->dtext, (size_t)t->off[N] * F, filip },
	};
	for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
		dc_real *got = dc_xmalloc(in[i].n * sizeof *got);
		total(t);
		memcpy(got, in[i].d, in[i].n * sizeof *got);
		snprintf(what, sizeof what, "%s by %s", method, in[i].name);
		if (in[i].on)
			check(what, in[i].x, got, in[i].n, 1, total, t);
		free(got);
	}
	total(t);
	const double got[] = { t->out.d_logit_scale, t->out.d_filip_logit_scale, t->out.d_logit_bias };
	double *x[] = { &t->in.logit_scale, &t->in.filip_logit_scale, &t->in.logit_bias };
	const int on[] = { 1, filip, siglip };
	for (int i = 0; i < 3; i++) {
		const double want = of_log_scale(x[i], t);
		ok(fabs(got[i] - want) <= 1e-7 * (1 + fabs(want)) && (want != 0) == on[i], "%s: gradient of scalar %d, %.6g", method, i, got[i]);
	}
	dc_loss_work_free(t->w);
	dc_loss_work_free(whole->w);
	free(t);
	free(whole);
}

/* NT-Xent by its definition: u the unit rows of both views */
static void
test_ntxent(void)
{
	struct problem *t = dc_xcalloc(1, sizeof *t);
	double u[2 * N][S], want = 0;

	begin(t, "slip", 0, 3, 4);
	for (int i = 0; i < 2 * N; i++) {
		const dc_real *z = t->z[i / N] + i % N * S;
		double norm = 0;
		for (int d = 0; d < S; d++)
			norm += z[d] * z[d];
		for (int d = 0; d < S; d++)
			u[i][d] = z[d] / sqrt(norm);
	}
	for (int i = 0; i < 2 * N; i++) {
		double sum = 0, own = 0;
		for (int j = 0; j < 2 * N; j++) {
			double l = 0;
			for (int d = 0; d < S; d++)
				l += u[i][d] * u[j][d] / .1;
			sum += j == i ? 0 : exp(l);
			own = j == (i + N) % (2 * N) ? l : own;
		}
		want += (log(sum) - own) / (2 * N);
	}
	total(t);
	ok(fabs(t->out.value[DC_TERM_SIMCLR] - want) < 1e-12, "NT-Xent is its definition: %.12g", want);
	dc_loss_work_free(t->w);
	free(t);
}

static void
test_top(void)
{
	/* unit rows at 0, 90, 180 and 0 degrees; the other side's sum points to 0 */
	const dc_real x[] = { 2, 0, 0, 1, -3, 0, 1, 0 }, y[] = { 5, 0 };
	const double rx[] = { .5, 1, 1. / 3, 1 }, ry[] = { .2 };
	int64_t row[4];

	ok(dc_late_top(row, x, rx, 4, y, ry, 1, 2, 2) == 2 && row[0] == 0 && row[1] == 3, "the two nearest, the first of equals first");
	ok(dc_late_top(row, x, rx, 4, y, ry, 1, 2, 9) == 4 && row[2] == 1 && row[3] == 2, "fewer than asked for: all");
	ok(dc_late_top(row, x, rx, 0, y, ry, 1, 2, 2) == 0, "none of none");
}

/* --- the heads, through the towers --- */

enum { TENSORS = 160 };
struct model { struct dc_config c; struct dc_weight w[TENSORS]; struct dc_param *p; int n, part; struct dc_enc *e; struct tiny data; uint8_t *third; };

static void
model_new(struct model *m, const char *method, int released)
{
	const size_t bytes = (size_t)TINY_N * 8 * 8 * 3;

	memset(m, 0, sizeof *m);
	tiny_new(&m->data, 1, released);
	m->c = m->data.c;
	if (dc_config_method(&m->c, method, released) < 0)
		abort();
	m->c.simsiam_width = 8;
	m->c.simsiam_hidden = 4;
	m->c.simclr_hidden = 6;
	m->c.simclr_width = 5;
	m->c.filip_width = 3;
	m->n = dc_params_list(&m->c, &m->p);
	for (int i = 0; i < m->n; i++) {
		const int norm = strstr(m->p[i].name, "ln_") || strstr(m->p[i].name, ".bn.");
		dc_real *w = dc_xaligned(m->p[i].n, sizeof *w);
		tiny_fill(w, m->p[i].n, (uint32_t)i, norm && strstr(m->p[i].name, "weight"), norm ? .5 : 1);
		m->w[i] = (struct dc_weight){ m->p[i].name, m->p[i].n, w, dc_xcalloc(m->p[i].n, sizeof *w) };
	}
	m->third = dc_xmalloc(bytes);
	for (size_t i = 0; i < bytes; i++)
		m->third[i] = (uint8_t)((tiny_hash(977, (uint32_t)i) + .5) * 256);
	m->part = 4;
	m->e = dc_enc_new(&m->c, m->w, m->n, 1);
}

static int
run(struct model *m, int keep)
{
	const int masked = dc_config_masked_text(&m->c), mlm = dc_config_on(&m->c, DC_TERM_MLM);
	int status = 0;

	dc_enc_begin(m->e, TINY_N, keep);
	for (int row = 0; row < TINY_N; row += m->part) {
		const int n = TINY_N - row < m->part ? TINY_N - row : m->part;
		const size_t at = (size_t)row * TINY_T;
		for (int v = 0; v < m->c.image_views; v++)
			dc_enc_image(m->e, v, row, n, (v == 2 ? m->third : m->data.rgb[v]) + (size_t)row * 8 * 8 * 3);
		for (int v = 0; v < m->c.caption_views; v++)
			status |= dc_enc_text(m->e, v, row, n, (masked && v == 0 ? m->data.mlm_token : m->data.token[v]) + at);
		if (mlm)
			status |= dc_enc_mlm(m->e, row, n, m->data.mlm_token + at, m->data.mlm_target + at);
	}
	dc_enc_heads(m->e);
	return status;
}

/* What a loss may ask of: fixed random numbers times every output. */
static int
outputs(struct model *m, struct tiny_out out[12])
{
	struct dc_enc *e = m->e;
	const size_t ND = (size_t)TINY_N * e->c.embed_dim;
	int n = 0;

	for (int v = 0; v < dc_config_feature_views(&m->c); v++)
		out[n++] = (struct tiny_out){ "image_features", e->image_features[v], e->d_image_features[v], ND };
	for (int v = 0; v < m->c.caption_views; v++)
		out[n++] = (struct tiny_out){ "text_features", e->text_features[v], e->d_text_features[v], ND };
	for (int v = 1; v <= 2 && dc_config_on(&m->c, DC_TERM_SIMCLR); v++)
		out[n++] = (struct tiny_out){ "simclr_z", e->simclr_z[v], e->d_simclr_z[v], (size_t)TINY_N * 5 };
	for (int v = 0; v < 2 && dc_config_on(&m->c, DC_TERM_SIMSIAM); v++)
		out[n++] = (struct tiny_out){ "simsiam_p", e->simsiam_p[v], e->d_simsiam_p[v], (size_t)TINY_N * 8 };
	if (dc_config_on(&m->c, DC_TERM_FILIP)) {
		out[n++] = (struct tiny_out){ "filip_image", e->filip_image, e->d_filip_image, (size_t)TINY_N * 4 * 3 };
		out[n++] = (struct tiny_out){ "filip_text", e->filip_text, e->d_filip_text, (size_t)e->filip_off[TINY_N] * 3 };
	}
	if (dc_config_on(&m->c, DC_TERM_MLM))
		out[n++] = (struct tiny_out){ "mlm_nll", e->mlm_nll, e->d_mlm_nll, (size_t)e->M };
	return n;
}

static double
value(void *arg)
{
	struct model *m = arg;
	struct tiny_out out[12];
	double sum = 0;

	if (run(m, 0) < 0)
		return NAN;
	for (int i = 0, n = outputs(m, out); i < n; i++)
		for (size_t j = 0; j < out[i].n; j++)
			sum += out[i].value[j] * tiny_hash(800 + i, (uint32_t)j);
	return sum;
}

static void
gradients(struct model *m)
{
	struct tiny_out out[12];

	for (int i = 0; i < m->n; i++)
		memset(m->w[i].g, 0, m->w[i].n * sizeof(dc_real));
	ok(run(m, 1) == 0, "a forward pass of %s", m->c.method);
	for (int i = 0, n = outputs(m, out); i < n; i++)
		for (size_t j = 0; j < out[i].n; j++)
			out[i].gradient[j] = tiny_hash(800 + i, (uint32_t)j);
	dc_enc_backward_heads(m->e);
	while (dc_enc_backward_next(m->e) > 0)
		;
}

/* Some elements of every tensor; parts of other sizes give the same. */
static void
test_heads(const char *method, int released)
{
	struct model m;
	double worst = 0, all = 0;
	int bad = 0;

	model_new(&m, method, released);
	ok(m.e != NULL, "%s%s: an encoder %s", method, released ? " as released" : "", m.e ? "" : dc_err());
	gradients(&m);
	for (int i = 0; i < m.n; i++) {
		const size_t step = m.w[i].n / 7 + 1;
		for (size_t k = 0; k < m.w[i].n; k += step) {
			const double want = difference((dc_real *)(uintptr_t)m.w[i].w + k, value, &m, 2e-5);
			const double err = fabs(m.w[i].g[k] - want) / (1e-1 + fabs(want));
			all += fabs(want);
			worst = err <= worst ? worst : err;
			if (!(err <= 1e-6) && bad++ < 5)
				printf("# %s [%zu]: got %.12g, difference %.12g\n", m.w[i].name, k, m.w[i].g[k], want);
		}
	}
	ok(!bad && all > 0, "%s: %d tensors against central differences, worst %.1e", method, m.n, worst);
	double *was = dc_xcalloc(TENSORS, sizeof *was), change = 0;
	for (int i = 0; i < m.n; i++)
		for (size_t k = 0; k < m.w[i].n; k++)
			was[i] += m.w[i].g[k] * tiny_hash(55, (uint32_t)k);
	m.part = TINY_N;
	gradients(&m);
	for (int i = 0; i < m.n; i++) {
		double now = 0;
		for (size_t k = 0; k < m.w[i].n; k++)
			now += m.w[i].g[k] * tiny_hash(55, (uint32_t)k);
		change = fmax(change, fabs(now - was[i]));
	}
	ok(change < 1e-10, "in one part the gradients are the same, %.1e", change);
	free(was);
	dc_enc_free(m.e);
	for (int i = 0; i < m.n; i++) {
		free((void *)(uintptr_t)m.w[i].w);
		free(m.w[i].g);
	}
	free(m.p);
	free(m.third);
	tiny_free(&m.data);
}

int
main(void)
{
	terms("slip", 0, 0, 3, 4);
	terms("slip", 1, 0, 64, 64);
	terms("filip", 0, 0, 9, 7);
	terms("filip", 0, 0, 1, 1);    /* nothing is kept: products are computed again */
	terms("filip", 0, 2, 9, 7);
	terms("filip", 1, 3, 64, 64);
	terms("siglip", 0, 0, 3, 4);
	test_ntxent();
	test_top();
	test_heads("slip", 0);
	test_heads("filip", 0);
	test_heads("filip", 1);
	test_heads("defilip", 0);
	test_heads("defilip", 1);
	return done_testing();
}
