/* SPDX-License-Identifier: MIT */
#include "loss/late.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/wide.h"
#include "nn/gemm.h"

/* Of a sample's row of logits. */
struct dc_late_row { struct dc_lse lse; double own, ds; };

/* Samples i0 .. i1 against j0 .. j1: rows q0 .. q0 + n_q by columns c0 .. c0 + n_c. */
struct tile { int i0, i1, j0, j1, q0, n_q, c0, n_c; };

void
dc_late_work_free(struct dc_late_work *w)
{
	free(w->l);
	free(w->logit);
	free(w->arg);
	free(w->row);
	free(w->tq);
	free(w->tc);
}

static void *
room(void *p, size_t *cap, size_t n, size_t size)
{
	if (n <= *cap)
		return p;
	*cap = n;
	free(p);
	return dc_xaligned(n, size);
}

/* What the backward pass needs of all tiles is kept where it takes no more than the products of some tiles; then none is
 * computed twice. */
enum { KEEP_TILES = 8 };

static int
keeps(const struct dc_late_work *w, const struct dc_late *p)
{
	const double N = p->N, rows = p->q.off[p->N];

	return rows * N * sizeof(int32_t) + N * N * sizeof(double) <= KEEP_TILES * sizeof(double) * w->rows * w->cols;
}

/* l_ij of sample i with the tile's, and the places that row k of the tile found with them. */
static double *
logits_at(const struct dc_late_work *w, const struct dc_late *p, const struct tile *x, int i)
{
	return w->logit + (w->kept ? (size_t)i * p->N + x->j0 : (size_t)(i - x->i0) * (x->j1 - x->j0));
}

static int32_t *
places_at(const struct dc_late_work *w, const struct dc_late *p, const struct tile *x, int k)
{
	return w->arg + (w->kept ? (size_t)(x->q0 + k) * p->N + x->j0 : (size_t)k * (x->j1 - x->j0));
}

/* Samples from `from` on whose rows are at most `most` together, or one. */
static int
span(const int32_t *off, int from, int N, int most)
{
	int to = from + 1;

	while (to < N && off[to + 1] - off[from] <= most)
		to++;
	return to;
}

static void
tile_room(struct dc_late_work *w, const struct dc_late *p, const struct tile *x)
{
	const size_t n_q = x->n_q, n_j = x->j1 - x->j0, D = p->D, N = p->N;

	w->l = room(w->l, &w->cap_l, n_q * (size_t)x->n_c, sizeof *w->l);
	w->arg = room(w->arg, &w->cap_arg, w->kept ? p->q.off[p->N] * N : n_q * n_j, sizeof *w->arg);
	w->tq = room(w->tq, &w->cap_tq, n_q * D, sizeof *w->tq);
	w->tc = room(w->tc, &w->cap_tc, (size_t)x->n_c * D, sizeof *w->tc);
	w->logit = room(w->logit, &w->cap_logit, w->kept ? N * N : (size_t)(x->i1 - x->i0) * n_j, sizeof *w->logit);
}

/* The largest of n, the first of equal ones; NaN is the largest of all. Its place, -1 where n is 0. */
static int
largest(const double *l, int n)
{
	int at = n ? 0 : -1;

	for (int r = 1; r < n; r++)
		if (l[r] > l[at] || (isnan(l[r]) && !isnan(l[at])))
			at = r;
	return at;
}

/* l_ij of one sample i with the tile's, and where its rows found their largest. */
static void
logits_of(struct dc_late_work *w, const struct dc_late *p, const struct tile *x, int i)
{
	const int32_t *q = p->q.off, *c = p->c.off;
	const int n_j = x->j1 - x->j0;

	for (int j = 0; j < n_j; j++) {
		const int c0 = c[x->j0 + j] - x->c0, n = c[x->j0 + j + 1] - c[x->j0 + j];
		double sum = 0;

		for (int k = q[i] - x->q0; k < q[i + 1] - x->q0; k++) {
			const double *l = w->l + (size_t)k * x->n_c + c0;
			const int at = largest(l, n);
			places_at(w, p, x, k)[j] = at < 0 ? -1 : c0 + at;
			sum += at < 0 ? 0 : l[at];
		}
		logits_at(w, p, x, i)[j] = q[i + 1] > q[i] ? p->scale * sum / (q[i + 1] - q[i]) : 0;
	}
}

static void
tile_rows(struct dc_late_work *w, const struct dc_late *p, const struct tile *x)
{
	tile_room(w, p, x);
	dc_rows_make(w->tq, &p->q.rows, x->q0, x->n_q, p->D);
	dc_rows_make(w->tc, &p->c.rows, x->c0, x->n_c, p->D);
}

/* The products of the tile, <q_k, c_r>, and from them the logits. */
static void
tile_logits(struct dc_late_work *w, const struct dc_late *p, const struct tile *x)
{
	tile_rows(w, p, x);
	dc_gemm64(0, 1, x->n_q, x->n_c, p->D, 1, w->tq, p->D, w->tc, p->D, 0, w->l, x->n_c);
	#pragma omp parallel for if (x->n_q * x->n_c > DC_PARALLEL)
	for (int i = x->i0; i < x->i1; i++)
		logits_of(w, p, x, i);
}

static void
forward_tile(struct dc_late_work *w, const struct dc_late *p, const struct tile *x)
{
	const int n_j = x->j1 - x->j0;

	tile_logits(w, p, x);
	for (int i = x->i0; i < x->i1; i++) {
		const double *l = logits_at(w, p, x, i);
		dc_lse_add(&w->row[i].lse, l, n_j, x->j0);
		if (i >= x->j0 && i < x->j1)
			w->row[i].own = l[i - x->j0];
	}
}

/* With p_ij = exp(l_ij) / sum_j exp(l_ij), v = weight / N:
 *	g_ij = dL/dl_ij = v (p_ij - [i = j]),   dL/ds = sum_ij v p_ij (l_ij - l_ii) / s
 * s / |q_i| g_ij, the gradient by <q_k, c_r> where r is the largest's place, takes the place of the logit. */
static void
gradient_of(struct dc_late_work *w, const struct dc_late *p, const struct tile *x, int i, double v)
{
	const int n_j = x->j1 - x->j0, n_q = p->q.off[i + 1] - p->q.off[i];
	double *l = logits_at(w, p, x, i);
	struct dc_late_row *row = &w->row[i];

	for (int j = 0; j < n_j; j++) {
		const double e = v * exp(l[j] - row->lse.max) / row->lse.sum, g = e - (x->j0 + j == i ? v : 0);

		row->ds += e * (l[j] - row->own) / p->scale;
		l[j] = n_q ? p->scale * g / n_q : 0;
	}
}

/* y += a x */
static inline void
add_scaled(double *restrict y, double a, const double *restrict x, int D)
{
#pragma omp simd
	for (int d = 0; d < D; d++)
		y[d] += a * x[d];
}

/* dq_k += sum_j g_ij c_arg(k,j) for the rows k of sample i */
DC_WIDE static void
rows_of(struct dc_late_work *w, const struct dc_late *p, const struct tile *x, int i)
{
	const int n_j = x->j1 - x->j0;
	const double *g = logits_at(w, p, x, i);

	for (int k = p->q.off[i] - x->q0; k < p->q.off[i + 1] - x->q0; k++) {
		const int32_t *arg = places_at(w, p, x, k);

		for (int j = 0; j < n_j; j++)
			if (arg[j] >= 0)
				add_scaled(p->dq + (size_t)(x->q0 + k) * p->D, g[j], w->tc + (size_t)arg[j] * p->D, p->D);
	}
}

/* dc_arg(k,j) += g_ij q_k: what all rows give to the rows of one sample j */
DC_WIDE static void
columns_of(struct dc_late_work *w, const struct dc_late *p, const struct tile *x, int j)
{
	for (int i = x->i0; i < x->i1; i++) {
		const double g = logits_at(w, p, x, i)[j];

		for (int k = p->q.off[i] - x->q0; k < p->q.off[i + 1] - x->q0; k++) {
			const int at = places_at(w, p, x, k)[j];

			if (at >= 0)
				add_scaled(p->dc + (size_t)(x->c0 + at) * p->D, g, w->tq + (size_t)k * p->D, p->D);
		}
	}
}

/* Of the products of a row with a sample one alone has a gradient, so that sums are a tenth of the work of products. */
static void
backward_tile(struct dc_late_work *w, const struct dc_late *p, const struct tile *x, double v)
{
	#pragma omp parallel for if (x->n_q * x->n_c > DC_PARALLEL)
	for (int i = x->i0; i < x->i1; i++) {
		gradient_of(w, p, x, i, v);
		rows_of(w, p, x, i);
	}
	#pragma omp parallel for if (x->n_q * x->n_c > DC_PARALLEL)
	for (int j = 0; j < x->j1 - x->j0; j++)
		columns_of(w, p, x, j);
}

/* Every tile once; how many there were. */
static int
over_tiles(struct dc_late_work *w, const struct dc_late *p, int backward, int recompute, double v)
{
	const int32_t *q = p->q.off, *c = p->c.off;
	int n = 0;

	for (int i0 = 0, i1; i0 < p->N; i0 = i1) {
		i1 = span(q, i0, p->N, w->rows);
		for (int j0 = 0, j1; j0 < p->N; j0 = j1, n++) {
			j1 = span(c, j0, p->N, w->cols);
			const struct tile x = { i0, i1, j0, j1, q[i0], q[i1] - q[i0], c[j0], c[j1] - c[j0] };
			if (!backward)
				forward_tile(w, p, &x);
			else if (recompute)
				(w->kept ? tile_rows : tile_logits)(w, p, &x);
			if (backward)
				backward_tile(w, p, &x, v);
		}
	}
	return n;
}

void
dc_late_loss(struct dc_late_work *w, const struct dc_late *p, double weight, struct dc_late_result *r)
{
	int tiles;

	w->row = room(w->row, &w->cap_row, p->N, sizeof *w->row);
	w->kept = keeps(w, p);
	for (int n = 0; n < p->N; n++)
		w->row[n] = (struct dc_late_row){ .lse = { .max = -INFINITY, .arg = -1 } };
	tiles = over_tiles(w, p, 0, 0, 0);
	*r = (struct dc_late_result){ 0 };
	for (int n = 0; n < p->N; n++) {
		r->value += (w->row[n].lse.max - w->row[n].own + log(w->row[n].lse.sum)) / p->N;
		r->right += (w->row[n].lse.arg == n) / (double)p->N;
	}
	if (weight == 0)
		return;
	over_tiles(w, p, 1, tiles > 1, weight / p->N);
	for (int n = 0; n < p->N; n++)
		r->d_scale += w->row[n].ds;
}

int
dc_late_top(int64_t *row, const dc_real *x, const double *rx, int n, const dc_real *y, const double *ry, int m, int D,
    int top)
{
	double *sum = dc_xcalloc((size_t)D + (size_t)n, sizeof *sum), *score = sum + D;
	char *taken = dc_xcalloc((size_t)n + 1, 1);
	int k = 0;

	for (int r = 0; r < m; r++)
		for (int d = 0; d < D; d++)
			sum[d] += ry[r] * y[(size_t)r * D + d];
	for (int i = 0; i < n; i++)
		for (int d = 0; d < D; d++)
			score[i] += rx[i] * x[(size_t)i * D + d] * sum[d];
	for (; k < n && k < top; k++) {
		int best = -1;
		for (int i = 0; i < n; i++)
			if (!taken[i] && (best < 0 || score[i] > score[best]))
				best = i;
		taken[best] = 1;
		row[k] = best;
	}
	free(sum);
	free(taken);
	return k;
}
