/* SPDX-License-Identifier: MIT */
/* The heads' gradients against central differences, element by element, in double. */
#include "tests/tap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "nn/batchnorm.h"
#include "nn/gemm.h"
#include "nn/linear.h"
#include "nn/mlm.h"
#include "nn/simsiam.h"

static uint64_t seed = 1;

/* a number in (-1, 1) */
static double
draw(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(int64_t)(seed ^ (seed >> 31)) / 9.3e18;
}

static dc_real *
drawn(size_t n)
{
	dc_real *x = dc_xmalloc(n * sizeof *x);
	for (size_t i = 0; i < n; i++)
		x[i] = draw();
	return x;
}

/* Compare grad [n] with (f(x + e) - f(x - e)) / 2e for every element of x. */
static void
check_gradient(const char *name, double (*f)(void *), void *arg, dc_real *x, const dc_real *grad, size_t n)
{
	const double e = 1e-5;
	double worst = 0;
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		const dc_real was = x[i];
		x[i] = was + e;
		double up = f(arg);
		x[i] = was - e;
		double want = (up - f(arg)) / (2 * e), err;
		x[i] = was;
		err = fabs(grad[i] - want) / (1e-3 + fabs(want));
		if (!(err <= worst)) {
			worst = err;
			at = i;
			if (isnan(err))
				break;
		}
	}
	if (!ok(worst <= 2e-6, "gradient of %s, %zu elements, worst relative error %.1e", name, n, worst))
		printf("#   [%zu]: got %.12g\n", at, (double)grad[at]);
}

static double
dot(const dc_real *a, const dc_real *b, size_t n)
{
	double s = 0;
	for (size_t i = 0; i < n; i++)
		s += a[i] * b[i];
	return s;
}

/* --- batch norm: f = <y, r> --- */

struct bn { int N, C; dc_real *x, *w, *b, *r, *y, *xhat, *mean, *rstd, *var; };

static double
bn_value(void *arg)
{
	struct bn *t = arg;
	dc_bn_forward(t->y, t->xhat, t->mean, t->rstd, t->var, t->x, t->w, t->b, t->N, t->C);
	return dot(t->y, t->r, (size_t)t->N * t->C);
}

static void
bn_statistics(const struct bn *t)
{
	double worst = 0;

	for (int c = 0; c < t->C; c++) {
		double m = 0, v = 0;
		for (int n = 0; n < t->N; n++)
			m += t->x[n * t->C + c] / t->N;
		for (int n = 0; n < t->N; n++)
			v += (t->x[n * t->C + c] - m) * (t->x[n * t->C + c] - m) / (t->N - 1);
		worst = fmax(worst, fmax(fabs(m - t->mean[c]), fabs(v - t->var[c])));
	}
	ok(worst < 1e-14, "batch norm N=%d: mean and unbiased variance", t->N);
}

static void
test_bn(int N, int C)
{
	const size_t n = (size_t)N * C;
	struct bn t = { N, C, drawn(n), drawn(C), drawn(C), drawn(n), drawn(n), drawn(n), drawn(C), drawn(C), drawn(C) };
	dc_real *dx = drawn(n), *dw = drawn(C), *db = drawn(C), *dw0 = drawn(C), *db0 = drawn(C);

	memcpy(dw0, dw, C * sizeof *dw);
	memcpy(db0, db, C * sizeof *db);
	bn_value(&t);
	bn_statistics(&t);
	dc_bn_backward(dx, dw, db, t.r, t.xhat, t.rstd, t.w, N, C);
	for (int c = 0; c < C; c++) {   /* what they were before must still be in there */
		dw[c] -= dw0[c];
		db[c] -= db0[c];
	}
	check_gradient("batch norm x", bn_value, &t, t.x, dx, n);
	check_gradient("batch norm weight", bn_value, &t, t.w, dw, C);
	check_gradient("batch norm bias", bn_value, &t, t.b, db, C);
	memcpy(t.y, t.r, n * sizeof *t.y);
	dc_bn_backward(t.y, NULL, NULL, t.y, t.xhat, t.rstd, t.w, N, C);
	ok(!memcmp(t.y, dx, n * sizeof *dx), "batch norm backward in place, without weight gradients");
	dc_real *all[] = { t.x, t.w, t.b, t.r, t.y, t.xhat, t.mean, t.rstd, t.var, dx, dw, db, dw0, db0 };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}

/* --- MLM head: f = <nll, r> --- */

struct mlm { int64_t M; int W, V; dc_real *h, *w, *b, *r, *nll, *lse, *kept; int32_t *target; };

static double
mlm_value(void *arg)
{
	struct mlm *t = arg;
	dc_mlm_forward(t->nll, t->lse, t->kept, t->h, t->w, t->b, t->target, t->M, t->W, t->V);
	return dot(t->nll, t->r, t->M);
}

/* the definition, with all logits in memory */
static void
mlm_naive(dc_real *nll, dc_real *dl, const struct mlm *t)
{
	for (int64_t m = 0; m < t->M; m++) {
		dc_real *l = dl + m * t->V;
		double sum = 0;
		for (int v = 0; v < t->V; v++)
			sum += exp(l[v] = t->b[v] + dot(t->h + m * t->W, t->w + (size_t)v * t->W, t->W));
		nll[m] = log(sum) - l[t->target[m]];
		for (int v = 0; v < t->V; v++)
			l[v] = t->r[m] * (exp(l[v]) / sum - (v == t->target[m]));
	}
}

static struct mlm
mlm_new(int64_t M, int W, int V, int keep)
{
	struct mlm t = { M, W, V, drawn(M * W), drawn((size_t)V * W), drawn(V), drawn(M), drawn(M), drawn(M),
		keep ? drawn(dc_mlm_kept(M, V)) : NULL, dc_xmalloc(M * sizeof(int32_t)) };

	for (int64_t m = 0; m < M; m++)   /* first and last column, the others anywhere, one id twice */
		t.target[m] = m == 0 ? 0 : m == 1 ? V - 1 : m == 2 ? t.target[1] : (int)((draw() + 1) / 2 * V) % V;
	return t;
}

static void
mlm_free(struct mlm *t)
{
	free(t->h); free(t->w); free(t->b); free(t->r); free(t->nll); free(t->lse); free(t->kept); free(t->target);
}

static void
test_mlm(int64_t M, int W, int V, int keep)
{
	struct mlm t = mlm_new(M, W, V, keep);
	dc_real *dh = drawn(M * W), *dw = dc_xcalloc((size_t)V * W, sizeof *dw), *db = dc_xcalloc(V, sizeof *db);

	mlm_value(&t);
	dc_mlm_backward(dh, dw, db, t.kept, t.h, t.w, t.b, t.target, t.lse, t.r, M, W, V);
	check_gradient("mlm hidden states", mlm_value, &t, t.h, dh, M * W);
	check_gradient("mlm weight", mlm_value, &t, t.w, dw, (size_t)V * W);
	check_gradient("mlm bias", mlm_value, &t, t.b, db, V);
	mlm_free(&t);
	free(dh); free(dw); free(db);
}

static double
worst_of(const dc_real *a, const dc_real *b, size_t n)
{
	double worst = 0;
	for (size_t i = 0; i < n; i++) {
		double e = fabs(a[i] - b[i]);
		worst = e <= worst ? worst : e;   /* NaN takes over ... */
		if (isnan(worst))                 /* ... and stays */
			break;
	}
	return worst;
}

/* several tiles both ways, against the definition */
static void
test_mlm_tiles(int64_t M, int W, int V, int keep)
{
	struct mlm t = mlm_new(M, W, V, keep);
	dc_real *dl = drawn(M * V), *nll = drawn(M), *dh = drawn(M * W), *dh0 = drawn(M * W);
	dc_real *dw = drawn((size_t)V * W), *db = drawn(V), *dw0 = drawn((size_t)V * W), *db0 = drawn(V);

	memcpy(dw0, dw, (size_t)V * W * sizeof *dw);
	memcpy(db0, db, V * sizeof *db);
	mlm_value(&t);
	mlm_naive(nll, dl, &t);
	ok(worst_of(nll, t.nll, M) < 1e-12, "mlm M=%d V=%d%s: nll as defined", (int)M, V, keep ? ", kept" : "");
	dc_mlm_backward(dh, dw, db, t.kept, t.h, t.w, t.b, t.target, t.lse, t.r, M, W, V);
	dc_gemm(0, 0, (int)M, W, V, 1, dl, V, t.w, W, 0, dh0, W);
	dc_gemm(1, 0, V, W, (int)M, 1, dl, V, t.h, W, 1, dw0, W);
	dc_sum_rows(db0, dl, V, (int)M, V);
	ok(worst_of(dh, dh0, M * W) < 1e-12, "  dh");
	ok(worst_of(dw, dw0, (size_t)V * W) < 1e-12, "  dweight, added to what was there");
	ok(worst_of(db, db0, V) < 1e-12, "  dbias, added to what was there");
	memcpy(dw, dh, M * W * sizeof *dh);
	mlm_value(&t);                     /* what was kept is written over */
	dc_mlm_backward(dh, NULL, NULL, t.kept, t.h, t.w, t.b, t.target, t.lse, t.r, M, W, V);
	ok(!memcmp(dw, dh, M * W * sizeof *dh), "  again without weight gradients: the same bits");
	mlm_free(&t);
	free(dl); free(nll); free(dh); free(dh0); free(dw); free(dw0); free(db); free(db0);
}

static void
test_mlm_large_logits(dc_real *kept)
{
	dc_real h = 1, w[3] = { 5000, -5000, 4999 }, b[3] = { 0, 0, 0 }, nll, lse, dh, dnll = 1;
	int32_t target = 2;

	dc_mlm_forward(&nll, &lse, kept, &h, w, b, &target, 1, 1, 3);
	ok(fabs(nll - log(1 + exp(1))) < 1e-10, "mlm: logits of 5000 do not overflow");
	dc_mlm_backward(&dh, NULL, NULL, kept, &h, w, b, &target, &lse, &dnll, 1, 1, 3);
	ok(fabs(dh - (5000 * exp(0) + 4999 * exp(-1)) / (1 + exp(-1)) + 4999) < 1e-9, "  nor do their gradients");
}

/* --- SimSiam: f = <p0, r0> + <p1, r1> --- */

enum { S_D = 5, S_Z = 7, S_H = 3, S_N = 6, S_T = 18 };

struct ss { struct dc_simsiam *s; struct dc_weight w[S_T + 8]; int n; dc_real *x[2], *r[2]; };

static double
ss_value(void *arg)
{
	struct ss *t = arg;
	double f = 0;

	dc_simsiam_forward(t->s, 2, S_N, t->x);
	for (int v = 0; v < 2; v++)
		f += dot(t->s->p[v], t->r[v], S_N * S_Z);
	return f;
}

static const struct dc_weight *
ss_find(void *arg, const char *name)
{
	struct ss *t = arg;
	for (int i = 0; i < t->n; i++)
		if (!strcmp(t->w[i].name, name))
			return &t->w[i];
	return NULL;
}

static void
ss_add(struct ss *t, const char *name, size_t n)
{
	t->w[t->n++] = (struct dc_weight){ name, n, drawn(n), dc_xcalloc(n, sizeof(dc_real)) };
}

static void
ss_weights(struct ss *t)
{
	static const struct { const char *name; size_t n; } w[S_T] = {
		{ "simsiam.projector.0.weight", S_Z * S_D }, { "simsiam.projector.0.bias", S_Z },
		{ "simsiam.projector.0.bn.weight", S_Z }, { "simsiam.projector.0.bn.bias", S_Z },
		{ "simsiam.projector.1.weight", S_Z * S_Z }, { "simsiam.projector.1.bias", S_Z },
		{ "simsiam.projector.1.bn.weight", S_Z }, { "simsiam.projector.1.bn.bias", S_Z },
		{ "simsiam.projector.2.weight", S_Z * S_Z }, { "simsiam.projector.2.bias", S_Z },
		{ "simsiam.projector.2.bn.weight", S_Z }, { "simsiam.projector.2.bn.bias", S_Z },
		{ "simsiam.predictor.0.weight", S_H * S_Z }, { "simsiam.predictor.0.bias", S_H },
		{ "simsiam.predictor.0.bn.weight", S_H }, { "simsiam.predictor.0.bn.bias", S_H },
		{ "simsiam.predictor.1.weight", S_Z * S_H }, { "simsiam.predictor.1.bias", S_Z },
	};
	for (int i = 0; i < S_T; i++)
		ss_add(t, w[i].name, w[i].n);
}

/* the third layer: batch norm and no ReLU; so z has columns of mean 0 and standard deviation |weight| around its bias */
static void
ss_shape(struct ss *t)
{
	const dc_real *b = ss_find(t, "simsiam.projector.2.bn.bias")->w, *z = t->s->z[1];
	double worst = 0;
	int negative = 0;

	for (int c = 0; c < S_Z; c++) {
		double mean = 0;
		for (int n = 0; n < S_N; n++) {
			mean += z[n * S_Z + c] / S_N;
			negative += z[n * S_Z + c] < b[c];
		}
		worst = fmax(worst, fabs(mean - b[c]));
	}
	ok(worst < 1e-12 && negative > 0, "simsiam: z leaves a batch norm, not a ReLU");
	ok(t->s->bn[3].width == S_H && t->s->bn[0].views == 2 && !strcmp(t->s->bn[2].name, "simsiam.projector.2.bn"),
	    "simsiam: statistics of four layers, two views each");
}

static void
ss_backward_checks(struct ss *t, dc_real *dx[2])
{
	char what[120];

	dc_simsiam_backward(t->s, t->r, dx);
	for (int v = 0; v < 2; v++) {
		for (int i = 0; i < S_N * S_D; i++)
			dx[v][i] -= 1;     /* it was 1 before */
		check_gradient(v ? "simsiam x of view 1" : "simsiam x of view 0", ss_value, t, t->x[v], dx[v], S_N * S_D);
	}
	for (int i = 0; i < t->n; i++) {
		snprintf(what, sizeof what, "%s, both views", t->w[i].name);
		check_gradient(what, ss_value, t, (dc_real *)(uintptr_t)t->w[i].w, t->w[i].g, t->w[i].n);
	}
}

/* with running statistics equal to a batch's, p is that batch's p */
static void
ss_running_checks(struct ss *t)
{
	dc_real *want = dc_xmalloc(S_N * S_Z * sizeof *want);
	char name[DC_SIMSIAM_BN][2][64];

	ss_value(t);
	memcpy(want, t->s->p[1], S_N * S_Z * sizeof *want);
	ok(dc_simsiam_use_running(t->s, ss_find, t) < 0 && strstr(dc_err(), "simsiam.projector.0.bn.running_mean"),
	    "simsiam: a missing running mean is named: %s", dc_err());
	for (int i = 0; i < DC_SIMSIAM_BN; i++) {
		const struct dc_bn_stats *b = &t->s->bn[i];
		snprintf(name[i][0], 64, "%s.running_mean", b->name);
		snprintf(name[i][1], 64, "%s.running_var", b->name);
		for (int k = 0; k < 2; k++) {
			ss_add(t, name[i][k], b->width);
			for (int c = 0; c < b->width; c++)
				((dc_real *)(uintptr_t)t->w[t->n - 1].w)[c] = k ? b->var[b->width + c] * (S_N - 1) / S_N
				                                    : b->mean[b->width + c];
		}
	}
	ok(dc_simsiam_use_running(t->s, ss_find, t) == 0, "simsiam: running statistics found");
	dc_simsiam_forward(t->s, 1, S_N, t->x + 1);
	ok(worst_of(want, t->s->p[0], S_N * S_Z) < 1e-10, "  and used");
	free(want);
}

static void
test_simsiam(void)
{
	struct ss t = { 0 };
	struct dc_config c = { .embed_dim = S_D, .simsiam_width = S_Z, .simsiam_hidden = S_H };
	dc_real *dx[2];

	ss_weights(&t);
	t.n = S_T - 1;
	ok(!dc_simsiam_new(&c, ss_find, &t) && strstr(dc_err(), "simsiam.predictor.1.bias"), "a missing tensor is named: %s",
	    dc_err());
	t.n = S_T;
	t.w[4].n--;
	ok(!dc_simsiam_new(&c, ss_find, &t) && strstr(dc_err(), "simsiam.projector.1.weight"), "so is one of a wrong size: %s",
	    dc_err());
	t.w[4].n++;
	t.s = dc_simsiam_new(&c, ss_find, &t);
	for (int v = 0; v < 2; v++) {
		t.x[v] = drawn(S_N * S_D);
		t.r[v] = drawn(S_N * S_Z);
		dx[v] = drawn(S_N * S_D);
		for (int i = 0; i < S_N * S_D; i++)
			dx[v][i] = 1;
	}
	ss_value(&t);
	ss_shape(&t);
	ss_backward_checks(&t, dx);
	ss_running_checks(&t);
	dc_simsiam_free(t.s);
	for (int v = 0; v < 2; v++) {
		free(t.x[v]); free(t.r[v]); free(dx[v]);
	}
	for (int i = 0; i < t.n; i++) {
		free((void *)(uintptr_t)t.w[i].w);
		free(t.w[i].g);
	}
}

int
main(void)
{
	test_bn(2, 3);
	test_bn(7, 19);
	test_bn(33, 5);
	for (int keep = 0; keep < 2; keep++) {
		test_mlm(4, 3, 7, keep);
		test_mlm(1, 5, 2, keep);
		test_mlm_tiles(515, 6, 1030, keep);
		test_mlm_tiles(3, 6, 2049, keep);
		test_mlm_large_logits(keep ? (dc_real[4]){ 0 } : NULL);
	}
	ok(dc_mlm_kept(3, 1030) == 3 * (1030 + 3) && dc_mlm_kept(1 << 12, 1 << 16) == 0, "mlm: little is kept, much is not");
	test_simsiam();
	return done_testing();
}
