/* SPDX-License-Identifier: MIT */
#include "nn/mlp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/batchnorm.h"
#include "nn/gemm.h"

struct layer {
	struct dc_mlp_layer is;
	char bn_name[96];
	const struct dc_weight *w, *b;         /* [out,in], [out] */
	const struct dc_weight *bn_w, *bn_b;   /* [out]; NULL without batch norm */
	const dc_real *run_mean, *run_var;     /* [out]; only while encoding */
	struct dc_bn_stats *bn;                /* in dc_mlp.bn */
};

/* What one view's forward pass leaves for its backward pass. */
struct view {
	int N, cap;
	const dc_real *x;                      /* [N,in], the caller's */
	dc_real *y[DC_MLP_LAYERS];             /* [N,out] a layer's output */
	dc_real *xhat[DC_MLP_LAYERS];          /* [N,out] */
	dc_real *rstd[DC_MLP_LAYERS];          /* [out] */
};

struct dc_mlp_private {
	struct layer l[DC_MLP_LAYERS];
	struct view v[DC_VIEWS_MAX];
	dc_real *da, *db; int cap;             /* [cap, widest] gradients on their way down */
	size_t widest;
	int running;
};

static const struct dc_weight *
need(dc_mlp_find find, void *arg, const char *layer, const char *what, size_t n)
{
	char name[112];
	const struct dc_weight *w;

	snprintf(name, sizeof name, "%s.%s", layer, what);
	if (!(w = find(arg, name)))
		dc_err_set("tensor %s is missing", name);
	else if (w->n != n)
		dc_err_set("tensor %s has %zu elements, not %zu", name, w->n, n);
	return w && w->n == n ? w : NULL;
}

static int
find_layer(struct layer *l, dc_mlp_find find, void *arg)
{
	const size_t out = l->is.out;

	if (!(l->w = need(find, arg, l->is.name, "weight", out * l->is.in)) ||
	    !(l->b = need(find, arg, l->is.name, "bias", out)))
		return -1;
	if (!l->is.bn)
		return 0;
	if (!(l->bn_w = need(find, arg, l->bn_name, "weight", out)) || !(l->bn_b = need(find, arg, l->bn_name, "bias", out)))
		return -1;
	return 0;
}

static void
make_bn(struct dc_mlp *m, int i)
{
	struct dc_mlp_private *o = m->own;
	const size_t n = o->l[i].is.out;

	o->l[i].bn = &m->bn[m->n_bn++];
	*o->l[i].bn = (struct dc_bn_stats){ .name = o->l[i].bn_name, .width = (int)n,
		.mean = dc_xcalloc(DC_VIEWS_MAX * n, sizeof(dc_real)), .var = dc_xcalloc(DC_VIEWS_MAX * n, sizeof(dc_real)) };
	for (int v = 0; v < DC_VIEWS_MAX; v++)
		o->v[v].rstd[i] = dc_xaligned(n, sizeof(dc_real));
}

struct dc_mlp *
dc_mlp_new(const struct dc_mlp_layer *layer, int n, dc_mlp_find find, void *arg)
{
	struct dc_mlp *m = dc_xcalloc(1, sizeof *m);
	struct dc_mlp_private *o = m->own = dc_xcalloc(1, sizeof *o);

	m->n = n;
	for (int i = 0; i < n; i++) {
		o->l[i].is = layer[i];
		snprintf(o->l[i].bn_name, sizeof o->l[i].bn_name, "%s.bn", layer[i].name);
		o->widest = (size_t)layer[i].out > o->widest ? (size_t)layer[i].out : o->widest;
		if (find_layer(&o->l[i], find, arg) < 0) {
			dc_mlp_free(m);
			return NULL;
		}
		if (layer[i].bn)
			make_bn(m, i);
	}
	return m;
}

void
dc_mlp_free(struct dc_mlp *m)
{
	if (!m)
		return;
	for (int v = 0; v < DC_VIEWS_MAX; v++)
		for (int i = 0; i < m->n; i++) {
			free(m->own->v[v].y[i]);
			free(m->own->v[v].xhat[i]);
			free(m->own->v[v].rstd[i]);
		}
	for (int i = 0; i < m->n_bn; i++) {
		free(m->bn[i].mean);
		free(m->bn[i].var);
	}
	free(m->own->da);
	free(m->own->db);
	free(m->own);
	free(m);
}

int
dc_mlp_use_running(struct dc_mlp *m, dc_mlp_find find, void *arg)
{
	for (int i = 0; i < m->n; i++) {
		struct layer *l = &m->own->l[i];
		const struct dc_weight *mean, *var;

		if (!l->is.bn)
			continue;
		if (!(mean = need(find, arg, l->bn_name, "running_mean", l->is.out)) ||
		    !(var = need(find, arg, l->bn_name, "running_var", l->is.out)))
			return -1;
		l->run_mean = mean->w;
		l->run_var = var->w;
	}
	m->own->running = 1;
	return 0;
}

static void
view_room(struct view *v, const struct dc_mlp *m, int N)
{
	v->N = N;
	if (N <= v->cap && v->cap)
		return;
	v->cap = N > 0 ? N : 1;
	for (int i = 0; i < m->n; i++) {
		const size_t n = (size_t)v->cap * m->own->l[i].is.out;
		free(v->y[i]);
		v->y[i] = dc_xaligned(n, sizeof(dc_real));
		if (!m->own->l[i].is.bn)
			continue;
		free(v->xhat[i]);
		v->xhat[i] = dc_xaligned(n, sizeof(dc_real));
	}
}

/* y [N,out] <- x weight^T + bias */
static void
linear_forward(dc_real *y, const dc_real *x, const struct layer *l, int N)
{
	const int out = l->is.out, in = l->is.in;

	#pragma omp parallel for if ((size_t)N * out > DC_PARALLEL)
	for (int n = 0; n < N; n++)
		memcpy(y + (size_t)n * out, l->b->w, (size_t)out * sizeof *y);
	dc_gemm(0, 1, N, out, in, 1, x, in, l->w->w, in, 1, y, out);
}

/* y <- max(y, 0) */
static void
relu_forward(dc_real *y, size_t n)
{
	#pragma omp parallel for if (n > DC_PARALLEL)
	for (size_t i = 0; i < n; i++)
		y[i] = y[i] < 0 ? 0 : y[i];   /* NaN stays */
}

/* s [2C], sums over the rows, is added up over all processes, and the number of rows behind it. */
static void
sums_of_all(struct dc_mlp *m, double *s, int N, int C)
{
	s[2 * C] = N;
	if (m->sync->sum(m->sync->arg, s, 2 * (size_t)C + 1) < 0)
		s[2 * C] = 1;   /* it failed: anything, but no division by zero */
}

static void
bn_forward_all(struct dc_mlp *m, int view, int i)
{
	struct view *v = &m->own->v[view];
	const struct layer *l = &m->own->l[i];
	const int C = l->is.out;
	double *s = dc_xcalloc(2 * (size_t)C + 1, sizeof *s);

	dc_bn_sums(s, v->y[i], v->N, C);
	sums_of_all(m, s, v->N, C);
	dc_bn_forward_sums(v->y[i], v->xhat[i], l->bn->mean + (size_t)view * (size_t)C, v->rstd[i], l->bn->var + (size_t)view * (size_t)C,
	    v->y[i], l->bn_w->w, l->bn_b->w, v->N, C, s, s[2 * C]);
	l->bn->synced = 1;
	free(s);
}

static void
layer_forward(struct dc_mlp *m, int view, int i, const dc_real *x)
{
	struct view *v = &m->own->v[view];
	const struct layer *l = &m->own->l[i];
	const size_t out = l->is.out;

	linear_forward(v->y[i], x, l, v->N);
	if (l->is.bn && m->own->running)
		dc_bn_apply(v->y[i], v->y[i], l->run_mean, l->run_var, l->bn_w->w, l->bn_b->w, v->N, (int)out);
	else if (l->is.bn && m->sync)
		bn_forward_all(m, view, i);
	else if (l->is.bn)
		dc_bn_forward(v->y[i], v->xhat[i], l->bn->mean + (size_t)view * out, v->rstd[i], l->bn->var + (size_t)view * out,
		    v->y[i], l->bn_w->w, l->bn_b->w, v->N, (int)out);
	if (l->is.bn)
		l->bn->views = view + 1;
	if (l->is.relu)
		relu_forward(v->y[i], (size_t)v->N * out);
}

void
dc_mlp_forward(struct dc_mlp *m, int view, int N, const dc_real *x)
{
	struct view *v = &m->own->v[view];

	view_room(v, m, N);
	v->x = x;
	for (int i = 0; i < m->n; i++)
		layer_forward(m, view, i, i ? v->y[i - 1] : x);
}

dc_real *
dc_mlp_output(const struct dc_mlp *m, int view, int layer)
{
	return m->own->v[view].y[layer];
}

/* y = x weight^T + bias:  dweight += dy^T x,  dbias += sum_n dy_n,  dx <- dy weight (+ dx where beta is 1) */
static void
linear_backward(dc_real *dx, dc_real beta, const dc_real *dy, const dc_real *x, const struct layer *l, int N)
{
	const int out = l->is.out, in = l->is.in;

	if (l->w->g)
		dc_gemm(1, 0, out, in, N, 1, dy, out, x, in, 1, l->w->g, in);
	if (l->b->g)
		dc_add_columns(l->b->g, dy, N, out);
	dc_gemm(0, 0, N, in, out, 1, dy, out, l->w->w, in, beta, dx, in);
}

/* y = max(u, 0):  du = [y > 0] dy */
static void
relu_backward(dc_real *dy, const dc_real *y, size_t n)
{
	#pragma omp parallel for if (n > DC_PARALLEL)
	for (size_t i = 0; i < n; i++)
		dy[i] = y[i] > 0 ? dy[i] : 0;
}

/* dw += sum_n dy_n xhat_n,  db += sum_n dy_n: this process's share; dy down through the batch norm */
static void
bn_backward_all(struct dc_mlp *m, struct view *v, int i, dc_real *dy)
{
	const struct layer *l = &m->own->l[i];
	const int C = l->is.out;
	double *s = dc_xcalloc(2 * (size_t)C + 1, sizeof *s);

	dc_bn_backward_sums(s, dy, v->xhat[i], v->N, C);
	for (int c = 0; c < C; c++) {
		if (l->bn_b->g)
			l->bn_b->g[c] += (dc_real)s[c];
		if (l->bn_w->g)
			l->bn_w->g[c] += (dc_real)s[C + c];
	}
	sums_of_all(m, s, v->N, C);
	dc_bn_backward_all(dy, dy, v->xhat[i], v->rstd[i], l->bn_w->w, v->N, C, s, s[2 * C]);
	free(s);
}

/* dy [N,out] of layer i, which is overwritten, down to dx [N,in] */
static void
layer_backward(struct dc_mlp *m, struct view *v, int i, dc_real *dx, dc_real beta, dc_real *dy)
{
	const struct layer *l = &m->own->l[i];

	if (l->is.relu)
		relu_backward(dy, v->y[i], (size_t)v->N * l->is.out);
	if (l->is.bn && m->sync)
		bn_backward_all(m, v, i, dy);
	else if (l->is.bn)
		dc_bn_backward(dy, l->bn_w->g, l->bn_b->g, dy, v->xhat[i], v->rstd[i], l->bn_w->w, v->N, l->is.out);
	linear_backward(dx, beta, dy, i ? v->y[i - 1] : v->x, l, v->N);
}

void
dc_mlp_backward(struct dc_mlp *m, int view, const dc_real *dy, dc_real *dx)
{
	struct dc_mlp_private *o = m->own;
	struct view *v = &o->v[view];
	const int last = m->n - 1;

	if (v->cap > o->cap) {
		free(o->da);
		free(o->db);
		o->cap = v->cap;
		o->da = dc_xaligned(o->cap * o->widest, sizeof(dc_real));
		o->db = dc_xaligned(o->cap * o->widest, sizeof(dc_real));
	}
	if (v->N)
		memcpy(o->da, dy, (size_t)v->N * o->l[last].is.out * sizeof *dy);
	for (int i = last; i > 0; i--) {
		layer_backward(m, v, i, o->db, 0, o->da);
		dc_real *t = o->da; o->da = o->db; o->db = t;
	}
	layer_backward(m, v, 0, dx, 1, o->da);
}
