/* SPDX-License-Identifier: MIT */
#include "nn/simsiam.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/batchnorm.h"
#include "nn/gemm.h"

/* The five layers in a row; the last has no batch norm, the third no ReLU. */
enum { LAYERS = 5, LAST = 4, PROJECTED = 2 };

static const char *const layer_name[LAYERS] = {
	"simsiam.projector.0", "simsiam.projector.1", "simsiam.projector.2", "simsiam.predictor.0", "simsiam.predictor.1"
};
static const char *const bn_name[DC_SIMSIAM_BN] = {
	"simsiam.projector.0.bn", "simsiam.projector.1.bn", "simsiam.projector.2.bn", "simsiam.predictor.0.bn"
};

struct layer {
	int in, out;
	const struct dc_weight *w, *b;         /* [out,in], [out] */
	const struct dc_weight *bn_w, *bn_b;   /* [out]; NULL in the last */
	const dc_real *run_mean, *run_var;     /* [out]; only while encoding */
};

/* What one view's forward pass leaves for its backward pass. */
struct view {
	int N, cap;
	const dc_real *x;                      /* [N,D], the caller's */
	dc_real *y[LAYERS];                    /* [N,out] a layer's output */
	dc_real *xhat[DC_SIMSIAM_BN];          /* [N,out] */
	dc_real *rstd[DC_SIMSIAM_BN];          /* [out] */
};

struct dc_simsiam_private {
	struct layer l[LAYERS];
	struct view v[DC_VIEWS_MAX];
	dc_real *da, *db; int cap;             /* [cap, max(Z,H)] gradients on their way down */
	int running;
};

typedef const struct dc_weight *(*find_fn)(void *arg, const char *name);

static int
relu_after(int l)
{
	return l != PROJECTED && l != LAST;
}

static const struct dc_weight *
need(find_fn find, void *arg, const char *layer, const char *what, size_t n)
{
	char name[96];
	const struct dc_weight *w;

	snprintf(name, sizeof name, "%s.%s", layer, what);
	if (!(w = find(arg, name)))
		dc_err_set("tensor %s is missing", name);
	else if (w->n != n)
		dc_err_set("tensor %s has %zu elements, not %zu", name, w->n, n);
	return w && w->n == n ? w : NULL;
}

static int
find_layer(struct layer *l, int i, find_fn find, void *arg)
{
	if (!(l->w = need(find, arg, layer_name[i], "weight", (size_t)l->in * l->out)) ||
	    !(l->b = need(find, arg, layer_name[i], "bias", l->out)))
		return -1;
	if (i == LAST)
		return 0;
	if (!(l->bn_w = need(find, arg, bn_name[i], "weight", l->out)) ||
	    !(l->bn_b = need(find, arg, bn_name[i], "bias", l->out)))
		return -1;
	return 0;
}

struct dc_simsiam *
dc_simsiam_new(const struct dc_config *c, find_fn find, void *arg)
{
	struct dc_simsiam *s = dc_xcalloc(1, sizeof *s);
	struct dc_simsiam_private *o = s->own = dc_xcalloc(1, sizeof *o);
	const int D = s->D = c->embed_dim, Z = s->Z = c->simsiam_width, H = s->H = c->simsiam_hidden;
	const int size[LAYERS + 1] = { D, Z, Z, Z, H, Z };

	for (int i = 0; i < LAYERS; i++) {
		o->l[i].in = size[i];
		o->l[i].out = size[i + 1];
		if (find_layer(&o->l[i], i, find, arg) < 0) {
			dc_simsiam_free(s);
			return NULL;
		}
	}
	for (int i = 0; i < DC_SIMSIAM_BN; i++) {
		const size_t n = o->l[i].out;
		s->bn[i] = (struct dc_bn_stats){ .name = bn_name[i], .width = (int)n,
			.mean = dc_xcalloc(DC_VIEWS_MAX * n, sizeof(dc_real)),
			.var = dc_xcalloc(DC_VIEWS_MAX * n, sizeof(dc_real)) };
		for (int v = 0; v < DC_VIEWS_MAX; v++)
			o->v[v].rstd[i] = dc_xaligned(n, sizeof(dc_real));
	}
	return s;
}

static void
view_free(struct view *v)
{
	for (int i = 0; i < LAYERS; i++)
		free(v->y[i]);
	for (int i = 0; i < DC_SIMSIAM_BN; i++) {
		free(v->xhat[i]);
		free(v->rstd[i]);
	}
}

void
dc_simsiam_free(struct dc_simsiam *s)
{
	if (!s)
		return;
	for (int v = 0; v < DC_VIEWS_MAX; v++)
		view_free(&s->own->v[v]);
	for (int i = 0; i < DC_SIMSIAM_BN; i++) {
		free(s->bn[i].mean);
		free(s->bn[i].var);
	}
	free(s->own->da);
	free(s->own->db);
	free(s->own);
	free(s);
}

int
dc_simsiam_use_running(struct dc_simsiam *s, find_fn find, void *arg)
{
	for (int i = 0; i < DC_SIMSIAM_BN; i++) {
		struct layer *l = &s->own->l[i];
		const struct dc_weight *mean = need(find, arg, bn_name[i], "running_mean", l->out);
		const struct dc_weight *var = mean ? need(find, arg, bn_name[i], "running_var", l->out) : NULL;
		if (!var)
			return -1;
		l->run_mean = mean->w;
		l->run_var = var->w;
	}
	s->own->running = 1;
	return 0;
}

static void
view_room(struct view *v, const struct layer *l, int N)
{
	v->N = N;
	if (N <= v->cap)
		return;
	v->cap = N;
	for (int i = 0; i < LAYERS; i++) {
		free(v->y[i]);
		v->y[i] = dc_xaligned((size_t)N * l[i].out, sizeof(dc_real));
		if (i == LAST)
			break;
		free(v->xhat[i]);
		v->xhat[i] = dc_xaligned((size_t)N * l[i].out, sizeof(dc_real));
	}
}

/* y [N,out] <- x weight^T + bias */
static void
linear_forward(dc_real *y, const dc_real *x, const struct layer *l, int N)
{
	#pragma omp parallel for if ((size_t)N * l->out > DC_PARALLEL)
	for (int n = 0; n < N; n++)
		memcpy(y + (size_t)n * l->out, l->b->w, (size_t)l->out * sizeof *y);
	dc_gemm(0, 1, N, l->out, l->in, 1, x, l->in, l->w->w, l->in, 1, y, l->out);
}

/* y <- max(y, 0) */
static void
relu_forward(dc_real *y, size_t n)
{
	#pragma omp parallel for if (n > DC_PARALLEL)
	for (size_t i = 0; i < n; i++)
		y[i] = y[i] < 0 ? 0 : y[i];   /* NaN stays */
}

static void
layer_forward(struct dc_simsiam *s, int view, int i, const dc_real *x)
{
	struct dc_simsiam_private *o = s->own;
	struct view *v = &o->v[view];
	const struct layer *l = &o->l[i];
	struct dc_bn_stats *bn = &s->bn[i];

	linear_forward(v->y[i], x, l, v->N);
	if (i == LAST)
		return;
	if (o->running)
		dc_bn_apply(v->y[i], v->y[i], l->run_mean, l->run_var, l->bn_w->w, l->bn_b->w, v->N, l->out);
	else
		dc_bn_forward(v->y[i], v->xhat[i], bn->mean + (size_t)view * l->out, v->rstd[i],
		    bn->var + (size_t)view * l->out, v->y[i], l->bn_w->w, l->bn_b->w, v->N, l->out);
	bn->views = view + 1;
	if (relu_after(i))
		relu_forward(v->y[i], (size_t)v->N * l->out);
}

void
dc_simsiam_forward(struct dc_simsiam *s, int view, int N, const dc_real *x)
{
	struct view *v = &s->own->v[view];

	view_room(v, s->own->l, N);
	v->x = x;
	for (int i = 0; i < LAYERS; i++)
		layer_forward(s, view, i, i ? v->y[i - 1] : x);
	s->z[view] = v->y[PROJECTED];
	s->p[view] = v->y[LAST];
}

/* y = x weight^T + bias:  dweight += dy^T x,  dbias += sum_n dy_n,  dx <- dy weight (+ dx where beta is 1) */
static void
linear_backward(dc_real *dx, dc_real beta, const dc_real *dy, const dc_real *x, const struct layer *l, int N)
{
	if (l->w->g)
		dc_gemm(1, 0, l->out, l->in, N, 1, dy, l->out, x, l->in, 1, l->w->g, l->in);
	if (l->b->g)
		dc_add_columns(l->b->g, dy, N, l->out);
	dc_gemm(0, 0, N, l->in, l->out, 1, dy, l->out, l->w->w, l->in, beta, dx, l->in);
}

/* y = max(u, 0):  du = [y > 0] dy */
static void
relu_backward(dc_real *dy, const dc_real *y, size_t n)
{
	#pragma omp parallel for if (n > DC_PARALLEL)
	for (size_t i = 0; i < n; i++)
		dy[i] = y[i] > 0 ? dy[i] : 0;
}

/* dy [N,out] of layer i, which is overwritten, down to dx [N,in] */
static void
layer_backward(struct dc_simsiam_private *o, struct view *v, int i, dc_real *dx, dc_real beta, dc_real *dy)
{
	const struct layer *l = &o->l[i];

	if (relu_after(i))
		relu_backward(dy, v->y[i], (size_t)v->N * l->out);
	if (i != LAST)
		dc_bn_backward(dy, l->bn_w->g, l->bn_b->g, dy, v->xhat[i], v->rstd[i], l->bn_w->w, v->N, l->out);
	linear_backward(dx, beta, dy, i ? v->y[i - 1] : v->x, l, v->N);
}

void
dc_simsiam_backward(struct dc_simsiam *s, int view, const dc_real *dp, dc_real *dx)
{
	struct dc_simsiam_private *o = s->own;
	struct view *v = &o->v[view];
	const size_t width = s->Z > s->H ? s->Z : s->H;

	if (v->N > o->cap) {
		free(o->da);
		free(o->db);
		o->cap = v->N;
		o->da = dc_xaligned(o->cap * width, sizeof(dc_real));
		o->db = dc_xaligned(o->cap * width, sizeof(dc_real));
	}
	memcpy(o->da, dp, (size_t)v->N * s->Z * sizeof *dp);
	for (int i = LAST; i > 0; i--) {
		layer_backward(o, v, i, o->db, 0, o->da);
		dc_real *t = o->da; o->da = o->db; o->db = t;
	}
	layer_backward(o, v, 0, dx, 1, o->da);
}
