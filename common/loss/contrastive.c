/* SPDX-License-Identifier: MIT */
#include "loss/contrastive.h"

#include <stdlib.h>

#include "base/util.h"
#include "nn/gemm.h"
#include "nn/vmath.h"

enum { COLUMNS = 32 };   /* columns that one thread takes at a time */

/* A tile in place: rows i0 .. i0 + n_i, columns j0 .. j0 + n_j. */
struct tile { int i0, n_i, j0, n_j; };

static int
min_int(int a, int b)
{
	return a < b ? a : b;
}

void
dc_tiles_init(struct dc_tiles *t, int rows, int cols)
{
	*t = (struct dc_tiles){ .rows = rows, .cols = cols };
	t->l = dc_xaligned((size_t)rows * cols, sizeof *t->l);
}

static void
room_d(struct dc_tiles *t, size_t D)
{
	if (D <= t->cap_d)
		return;
	free(t->ta);
	free(t->tb);
	t->cap_d = D;
	t->ta = dc_xaligned(t->rows * D, sizeof *t->ta);
	t->tb = dc_xaligned(t->cols * D, sizeof *t->tb);
}

static void
free_rows(struct dc_tiles *t)
{
	free(t->a);
	free(t->b);
	free(t->ra);
	free(t->rb);
	free(t->own);
	free(t->ds);
}

void
dc_tiles_room(struct dc_tiles *t, int N, int D)
{
	room_d(t, D);
	if ((size_t)N <= t->cap)
		return;
	free_rows(t);
	t->cap = N;
	t->a = dc_xaligned(N, sizeof *t->a);
	t->b = dc_xaligned(N, sizeof *t->b);
	t->ra = dc_xaligned(N, sizeof *t->ra);
	t->rb = dc_xaligned(N, sizeof *t->rb);
	t->own = dc_xaligned(N, sizeof *t->own);
	t->ds = dc_xaligned(N, sizeof *t->ds);
}

void
dc_tiles_free(struct dc_tiles *t)
{
	free_rows(t);
	free(t->ta);
	free(t->tb);
	free(t->l);
}

void
dc_rows_make(double *u, const struct dc_rows *s, int first, int n, int D)
{
	#pragma omp parallel for if ((size_t)n * D > DC_PARALLEL)
	for (int i = 0; i < n; i++) {
		const int64_t at = s->at ? s->at[first + i] : first + i;
		const double r = s->r ? s->r[at] : 1;
		const dc_real *x = s->x + at * D;
		for (int d = 0; d < D; d++)
			u[(size_t)i * D + d] = r * x[d];
	}
}

/* l_ij = s <a_i, b_j>; the rows of b, and at the first column those of a, are made first */
static void
tile_logits(struct dc_tiles *t, const struct dc_contrast *p, const struct tile *x)
{
	if (x->j0 == 0)
		dc_rows_make(t->ta, &p->a, x->i0, x->n_i, p->D);
	dc_rows_make(t->tb, &p->b, x->j0, x->n_j, p->D);
	dc_gemm64(0, 1, x->n_i, x->n_j, p->D, p->scale, t->ta, p->D, t->tb, p->D, 0, t->l, x->n_j);
}

/* max' = max(max, l);  sum' = sum exp(max - max') + sum_j exp(l_j - max') */
void
dc_lse_add(struct dc_lse *s, const double *l, int n, int64_t first)
{
	const dc_real was = s->max;
	double sum = 0;

	for (int j = 0; j < n; j++) {
		if ((dc_real)l[j] > s->max) {
			s->max = (dc_real)l[j];
			s->arg = first + j;
		}
	}
	for (int j = 0; j < n; j++)
		sum += dc_exp_far(l[j] - (double)s->max);
	s->sum = (s->sum > 0 ? s->sum * exp((double)was - s->max) : s->sum) + sum;   /* NaN stays */
}

/* The same down n_c columns at once; l points to the first column's first row. */
static void
columns_add(struct dc_lse *s, const double *l, int n_c, const struct tile *x)
{
	dc_real was[COLUMNS];
	double sum[COLUMNS] = { 0 };

	for (int c = 0; c < n_c; c++)
		was[c] = s[c].max;
	for (int i = 0; i < x->n_i; i++) {
		const double *l_i = l + (size_t)i * x->n_j;
		for (int c = 0; c < n_c; c++) {
			if ((dc_real)l_i[c] > s[c].max) {
				s[c].max = (dc_real)l_i[c];
				s[c].arg = x->i0 + i;
			}
		}
	}
	for (int i = 0; i < x->n_i; i++)
		for (int c = 0; c < n_c; c++)
			sum[c] += dc_exp_far(l[(size_t)i * x->n_j + c] - (double)s[c].max);
	for (int c = 0; c < n_c; c++)
		s[c].sum = (s[c].sum > 0 ? s[c].sum * exp((double)was[c] - s[c].max) : s[c].sum) + sum[c];
}

static void
forward_tile(struct dc_tiles *t, const struct dc_contrast *p, const struct tile *x)
{
	tile_logits(t, p, x);
	#pragma omp parallel for if (x->n_i * x->n_j > DC_PARALLEL)
	for (int i = 0; i < x->n_i; i++) {
		const double *l = t->l + (size_t)i * x->n_j;
		const int own = x->i0 + i - x->j0;
		dc_lse_add(&t->a[x->i0 + i], l, x->n_j, x->j0);
		if (own >= 0 && own < x->n_j)
			t->own[x->i0 + i] = l[own];
	}
	#pragma omp parallel for if (x->n_i * x->n_j > DC_PARALLEL)
	for (int j = 0; j < (p->both ? x->n_j : 0); j += COLUMNS)
		columns_add(&t->b[x->j0 + j], t->l + j, min_int(COLUMNS, x->n_j - j), x);
}

/* Value and accuracy from what the tiles left. */
static void
finish_forward(struct dc_tiles *t, const struct dc_contrast *p, struct dc_contrast_result *r)
{
	double a = 0, b = 0;

	for (int n = 0; n < p->N; n++) {
		a += t->a[n].max - t->own[n] + log(t->a[n].sum);
		r->right_a += t->a[n].arg == n;
		t->ra[n] = 1 / t->a[n].sum;
		if (!p->both)
			continue;
		b += t->b[n].max - t->own[n] + log(t->b[n].sum);
		r->right_b += t->b[n].arg == n;
		t->rb[n] = 1 / t->b[n].sum;
	}
	r->value = (p->both ? (a + b) / 2 : a) / p->N;
	r->right_a /= p->N;
	r->right_b /= p->N;
}

/* With p_ij = exp(l_ij) / sum_j exp(l_ij), q_ij = exp(l_ij) / sum_i exp(l_ij), w = weight/N (weight/2N for both):
 *	g_ij = dL/dl_ij = w (p_ij - [i = j]) + w (q_ij - [i = j])
 *	dL/ds = sum_ij g_ij l_ij / s,  summed as p_ij (l_ij - l_ii) and q_ij (l_ij - l_jj): nothing large cancels
 * g takes the place of l; returns the row's part of s dL/ds. */
static double
gradient_row(const struct dc_tiles *t, const struct dc_contrast *p, double *l, int i, const struct tile *x, double w)
{
	const double max = t->a[i].max, r = t->ra[i], own = t->own[i];
	const int at = i - x->j0;
	double ds = 0;

	for (int j = 0; j < x->n_j; j++) {
		double g = w * r * dc_exp_far(l[j] - max);
		ds += g * (l[j] - own);
		if (p->both) {
			double q = w * t->rb[x->j0 + j] * dc_exp_far(l[j] - (double)t->b[x->j0 + j].max);
			ds += q * (l[j] - t->own[x->j0 + j]);
			g += q;
		}
		l[j] = g;
	}
	if (at >= 0 && at < x->n_j)
		l[at] -= p->both ? 2 * w : w;
	return ds;
}

static void
backward_tile(struct dc_tiles *t, const struct dc_contrast *p, const struct tile *x, double w)
{
	const size_t D = p->D;

	#pragma omp parallel for if (x->n_i * x->n_j > DC_PARALLEL)
	for (int i = 0; i < x->n_i; i++)
		t->ds[x->i0 + i] += gradient_row(t, p, t->l + (size_t)i * x->n_j, x->i0 + i, x, w);
	/* da += s g b,  db += s g^T a */
	dc_gemm64(0, 0, x->n_i, p->D, x->n_j, p->scale, t->l, x->n_j, t->tb, p->D, 1, p->da + x->i0 * D, p->D);
	if (p->db)
		dc_gemm64(1, 0, x->n_j, p->D, x->n_i, p->scale, t->l, x->n_j, t->ta, p->D, 1, p->db + x->j0 * D, p->D);
}

void
dc_contrastive(struct dc_tiles *t, const struct dc_contrast *p, double weight, struct dc_contrast_result *r)
{
	const int one = p->N <= t->rows && p->N <= t->cols;   /* the logits are still there for the backward pass */
	const double w = weight / (p->both ? 2.0 * p->N : p->N);
	struct tile x;

	*r = (struct dc_contrast_result){ 0 };
	dc_tiles_room(t, p->N, p->D);
	for (int n = 0; n < p->N; n++) {
		t->a[n] = t->b[n] = (struct dc_lse){ .max = -INFINITY, .arg = -1 };
		t->ds[n] = 0;
	}
	for (x.i0 = 0; x.i0 < p->N; x.i0 += t->rows) {
		x.n_i = min_int(t->rows, p->N - x.i0);
		for (x.j0 = 0; x.j0 < p->N; x.j0 += t->cols) {
			x.n_j = min_int(t->cols, p->N - x.j0);
			forward_tile(t, p, &x);
		}
	}
	finish_forward(t, p, r);
	if (weight == 0)
		return;
	for (x.i0 = 0; x.i0 < p->N; x.i0 += t->rows) {
		x.n_i = min_int(t->rows, p->N - x.i0);
		for (x.j0 = 0; x.j0 < p->N; x.j0 += t->cols) {
			x.n_j = min_int(t->cols, p->N - x.j0);
			if (!one)
				tile_logits(t, p, &x);
			backward_tile(t, p, &x, w);
		}
	}
	for (int n = 0; n < p->N; n++)
		r->d_scale += t->ds[n] / p->scale;
}
