/* SPDX-License-Identifier: MIT */
#include "loss/ntxent.h"

#include "nn/gemm.h"

/* Rows i0 .. i0 + n_i, columns j0 .. j0 + n_j of the 2N x 2N logits. */
struct tile { int i0, n_i, j0, n_j; };
struct problem { const double *u; double *du; int N, D; double tau; };

static int
partner(const struct problem *p, int i)
{
	return i < p->N ? i + p->N : i - p->N;
}

/* l_ij = <u_i, u_j> / tau */
static void
tile_logits(struct dc_tiles *t, const struct problem *p, const struct tile *x)
{
	const size_t D = p->D;

	dc_gemm64(0, 1, x->n_i, x->n_j, p->D, 1 / p->tau, p->u + x->i0 * D, p->D, p->u + x->j0 * D, p->D, 0, t->l,
	    x->n_j);
}

/* The row's log-sum-exp without its own column. */
static void
forward_row(struct dc_tiles *t, const struct problem *p, const struct tile *x, int i)
{
	const double *l = t->l + (size_t)(i - x->i0) * x->n_j;
	const int self = i - x->j0, own = partner(p, i) - x->j0;
	const int before = self < 0 ? 0 : self < x->n_j ? self : x->n_j, after = self < 0 ? 0 : before + 1;

	dc_lse_add(&t->a[i], l, before, x->j0);
	if (after < x->n_j)
		dc_lse_add(&t->a[i], l + after, x->n_j - after, x->j0 + after);
	if (own >= 0 && own < x->n_j)
		t->own[i] = l[own];
}

/* With p_ij = exp(l_ij) / sum_{k != i} exp(l_ik) and w = weight / 2N, both anchors i and j of the one product:
 *	g_ij = w (p_ij + p_ji - 2 [j = p(i)]), g_ii = 0
 * in the place of l. */
static void
gradient_row(const struct dc_tiles *t, const struct problem *p, const struct tile *x, int i, double w)
{
	double *l = t->l + (size_t)(i - x->i0) * x->n_j;
	const double max = t->a[i].max, r = t->ra[i];
	const int self = i - x->j0, own = partner(p, i) - x->j0;

	for (int j = 0; j < x->n_j; j++)
		l[j] = w * (r * dc_exp_far(l[j] - max) + t->ra[x->j0 + j] * dc_exp_far(l[j] - t->a[x->j0 + j].max));
	if (self >= 0 && self < x->n_j)
		l[self] = 0;
	if (own >= 0 && own < x->n_j)
		l[own] -= 2 * w;
}

static void
forward_tile(struct dc_tiles *t, const struct problem *p, const struct tile *x)
{
	tile_logits(t, p, x);
	#pragma omp parallel for if (x->n_i * x->n_j > DC_PARALLEL)
	for (int i = x->i0; i < x->i0 + x->n_i; i++)
		forward_row(t, p, x, i);
}

static void
backward_tile(struct dc_tiles *t, const struct problem *p, const struct tile *x, double w)
{
	const size_t D = p->D;

	#pragma omp parallel for if (x->n_i * x->n_j > DC_PARALLEL)
	for (int i = x->i0; i < x->i0 + x->n_i; i++)
		gradient_row(t, p, x, i, w);
	/* du_i += 1/tau sum_j g_ij u_j */
	dc_gemm64(0, 0, x->n_i, p->D, x->n_j, 1 / p->tau, t->l, x->n_j, p->u + x->j0 * D, p->D, 1, p->du + x->i0 * D,
	    p->D);
}

/* Every tile once: forward, or backward with w. */
static void
over_tiles(struct dc_tiles *t, const struct problem *p, int backward, int recompute, double w)
{
	const int M = 2 * p->N;

	for (int i0 = 0; i0 < M; i0 += t->rows)
		for (int j0 = 0; j0 < M; j0 += t->cols) {
			const struct tile x = { i0, M - i0 < t->rows ? M - i0 : t->rows, j0, M - j0 < t->cols ? M - j0 : t->cols };
			if (!backward)
				forward_tile(t, p, &x);
			else if (recompute)
				tile_logits(t, p, &x);
			if (backward)
				backward_tile(t, p, &x, w);
		}
}

double
dc_ntxent(struct dc_tiles *t, const double *u, double *du, int N, int D, double tau, double weight)
{
	const struct problem p = { u, du, N, D, tau };
	const int one = 2 * N <= t->rows && 2 * N <= t->cols;
	double sum = 0;

	dc_tiles_room(t, 2 * N, D);
	for (int n = 0; n < 2 * N; n++)
		t->a[n] = (struct dc_lse){ .max = -INFINITY, .arg = -1 };
	over_tiles(t, &p, 0, 0, 0);
	for (int n = 0; n < 2 * N; n++) {
		sum += t->a[n].max - t->own[n] + log(t->a[n].sum);
		t->ra[n] = 1 / t->a[n].sum;
	}
	if (weight != 0)
		over_tiles(t, &p, 1, !one, weight / (2.0 * N));
	return sum / (2.0 * N);
}
