/* SPDX-License-Identifier: MIT */
#include "nn/mlp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/batchnorm.h"
#include "nn/gemm.h"
#include "nn/linear.h"

struct layer {
	struct dc_mlp_layer is;
	char bn_name[96];
	const struct dc_weight *w, *b;         /* [out,in], [out] */
	const struct dc_weight *bn_w, *bn_b;   /* [out]; NULL without batch norm */
	const dc_real *run_mean, *run_var;     /* [out]; only while encoding */
	struct dc_bn_stats *bn;                /* in dc_mlp.bn */
};

/* What the forward pass leaves for the backward pass. The views' rows lie one after the other, R = views N of them. */
struct kept {
	int N, views, cap;                     /* cap: rows there is room for */
	dc_real *x;                            /* [R,in] */
	dc_real *y[DC_MLP_LAYERS];             /* [R,out] a layer's output */
	dc_real *xhat[DC_MLP_LAYERS];          /* [R,out] */
	dc_real *rstd[DC_MLP_LAYERS];          /* [views,out] */
	dc_real *da, *db;                      /* [R,widest] gradients on their way down */
};

struct dc_mlp_private {
	struct layer l[DC_MLP_LAYERS];
	struct kept k;
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
	o->k.rstd[i] = dc_xaligned(DC_VIEWS_MAX * n, sizeof(dc_real));
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
		o->widest = (size_t)layer[i].in > o->widest ? (size_t)layer[i].in : o->widest;
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
	for (int i = 0; i < m->n; i++) {
		free(m->own->k.y[i]);
		free(m->own->k.xhat[i]);
		free(m->own->k.rstd[i]);
	}
	for (int i = 0; i < m->n_bn; i++) {
		free(m->bn[i].mean);
		free(m->bn[i].var);
	}
	free(m->own->k.x);
	free(m->own->k.da);
	free(m->own->k.db);
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
remake(dc_real **p, size_t rows, size_t columns)
{
	free(*p);
	*p = dc_xaligned(rows * columns, sizeof **p);
}

static void
room_for(struct dc_mlp *m, int views, int N)
{
	struct dc_mlp_private *o = m->own;
	struct kept *k = &o->k;
	const int R = views * N > 0 ? views * N : 1;

	k->N = N;
	k->views = views;
	if (R <= k->cap)
		return;
	k->cap = R;
	remake(&k->x, R, o->l[0].is.in);
	remake(&k->da, R, o->widest);
	remake(&k->db, R, o->widest);
	for (int i = 0; i < m->n; i++) {
		remake(&k->y[i], R, o->l[i].is.out);
		if (o->l[i].is.bn)
			remake(&k->xhat[i], R, o->l[i].is.out);
	}
}

/* y [R,out] <- x weight^T + bias */
static void
linear_forward(dc_real *y, const dc_real *x, const struct layer *l, int R)
{
	const int out = l->is.out, in = l->is.in;

	#pragma omp parallel for if ((size_t)R * out > DC_PARALLEL)
	for (int r = 0; r < R; r++)
		memcpy(y + (size_t)r * out, l->b->w, (size_t)out * sizeof *y);
	dc_gemm(0, 1, R, out, in, 1, x, in, l->w->w, in, 1, y, out);
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

/* Where a view's rows of layer i begin in the layer's output, and its statistics. */
struct place { dc_real *y, *xhat, *mean, *rstd, *var; };

static struct place
place_of(struct dc_mlp *m, int view, int i)
{
	struct kept *k = &m->own->k;
	const struct layer *l = &m->own->l[i];
	const size_t rows = (size_t)view * k->N * l->is.out, row = (size_t)view * l->is.out;

	return (struct place){ k->y[i] + rows, k->xhat[i] + rows, l->bn->mean + row, k->rstd[i] + row, l->bn->var + row };
}

static void
bn_forward_all(struct dc_mlp *m, int view, int i)
{
	const struct place p = place_of(m, view, i);
	const struct layer *l = &m->own->l[i];
	const int C = l->is.out, N = m->own->k.N;
	double *s = dc_xcalloc(2 * (size_t)C + 1, sizeof *s);

	dc_bn_sums(s, p.y, N, C);
	sums_of_all(m, s, N, C);
	dc_bn_forward_sums(p.y, p.xhat, p.mean, p.rstd, p.var, p.y, l->bn_w->w, l->bn_b->w, N, C, s, s[2 * C]);
	l->bn->synced = 1;
	free(s);
}

static void
bn_forward(struct dc_mlp *m, int view, int i)
{
	const struct place p = place_of(m, view, i);
	const struct layer *l = &m->own->l[i];
	const int N = m->own->k.N;

	if (m->own->running)
		dc_bn_apply(p.y, p.y, l->run_mean, l->run_var, l->bn_w->w, l->bn_b->w, N, l->is.out);
	else if (m->sync)
		bn_forward_all(m, view, i);
	else
		dc_bn_forward(p.y, p.xhat, p.mean, p.rstd, p.var, p.y, l->bn_w->w, l->bn_b->w, N, l->is.out);
}

static void
layer_forward(struct dc_mlp *m, int i)
{
	struct kept *k = &m->own->k;
	const struct layer *l = &m->own->l[i];
	const int R = k->views * k->N;

	linear_forward(k->y[i], i ? k->y[i - 1] : k->x, l, R);
	for (int v = 0; l->is.bn && v < k->views; v++)
		bn_forward(m, v, i);
	if (l->is.bn)
		l->bn->views = k->views;
	if (l->is.relu)
		relu_forward(k->y[i], (size_t)R * l->is.out);
}

void
dc_mlp_forward(struct dc_mlp *m, int views, int N, dc_real *const *x)
{
	const size_t in = m->own->l[0].is.in;

	room_for(m, views, N);
	for (int v = 0; v < views && N; v++)
		memcpy(m->own->k.x + (size_t)v * N * in, x[v], (size_t)N * in * sizeof **x);
	for (int i = 0; i < m->n; i++)
		layer_forward(m, i);
}

dc_real *
dc_mlp_output(const struct dc_mlp *m, int view, int layer)
{
	return m->own->k.y[layer] + (size_t)view * m->own->k.N * m->own->l[layer].is.out;
}

/* y = x weight^T + bias:  dweight += dy^T x,  dbias += sum_r dy_r,  dx <- dy weight */
static void
linear_backward(dc_real *dx, const dc_real *dy, const dc_real *x, const struct layer *l, int R)
{
	const int out = l->is.out, in = l->is.in;

	if (l->w->g)
		dc_gemm(1, 0, out, in, R, 1, dy, out, x, in, 1, l->w->g, in);
	if (l->b->g)
		dc_sum_rows(l->b->g, dy, out, R, out);
	dc_gemm(0, 0, R, in, out, 1, dy, out, l->w->w, in, 0, dx, in);
}

/* y = max(u, 0):  du = [y > 0] dy */
static void
relu_backward(dc_real *dy, const dc_real *y, size_t n)
{
	#pragma omp parallel for if (n > DC_PARALLEL)
	for (size_t i = 0; i < n; i++)
		dy[i] = y[i] > 0 ? dy[i] : 0;
}

/* dw += sum_n dy_n xhat_n,  db += sum_n dy_n: this process's share; dy [N,out] down through the batch norm */
static void
bn_backward_all(struct dc_mlp *m, int view, int i, dc_real *dy)
{
	const struct place p = place_of(m, view, i);
	const struct layer *l = &m->own->l[i];
	const int C = l->is.out, N = m->own->k.N;
	double *s = dc_xcalloc(2 * (size_t)C + 1, sizeof *s);

	dc_bn_backward_sums(s, dy, p.xhat, N, C);
	for (int c = 0; c < C; c++) {
		if (l->bn_b->g)
			l->bn_b->g[c] += (dc_real)s[c];
		if (l->bn_w->g)
			l->bn_w->g[c] += (dc_real)s[C + c];
	}
	sums_of_all(m, s, N, C);
	dc_bn_backward_all(dy, dy, p.xhat, p.rstd, l->bn_w->w, N, C, s, s[2 * C]);
	free(s);
}

static void
bn_backward(struct dc_mlp *m, int view, int i, dc_real *dy)
{
	const struct place p = place_of(m, view, i);
	const struct layer *l = &m->own->l[i];
	const int N = m->own->k.N;

	if (m->sync)
		bn_backward_all(m, view, i, dy);
	else
		dc_bn_backward(dy, l->bn_w->g, l->bn_b->g, dy, p.xhat, p.rstd, l->bn_w->w, N, l->is.out);
}

/* dy [R,out] of layer i, which is overwritten, down to dx [R,in] */
static void
layer_backward(struct dc_mlp *m, int i, dc_real *dx, dc_real *dy)
{
	struct kept *k = &m->own->k;
	const struct layer *l = &m->own->l[i];
	const int R = k->views * k->N;

	if (l->is.relu)
		relu_backward(dy, k->y[i], (size_t)R * l->is.out);
	for (int v = 0; l->is.bn && v < k->views; v++)
		bn_backward(m, v, i, dy + (size_t)v * k->N * l->is.out);
	linear_backward(dx, dy, i ? k->y[i - 1] : k->x, l, R);
}

void
dc_mlp_backward(struct dc_mlp *m, dc_real *const *dy, dc_real *const *dx)
{
	struct kept *k = &m->own->k;
	const size_t in = (size_t)k->N * m->own->l[0].is.in, out = (size_t)k->N * m->own->l[m->n - 1].is.out;

	for (int v = 0; v < k->views && k->N; v++)
		memcpy(k->da + v * out, dy[v], out * sizeof **dy);
	for (int i = m->n - 1; i >= 0; i--) {
		layer_backward(m, i, k->db, k->da);
		dc_real *t = k->da; k->da = k->db; k->db = t;
	}
	for (int v = 0; v < k->views; v++)
		for (size_t i = 0; i < in; i++)
			dx[v][i] += k->da[v * in + i];
}
