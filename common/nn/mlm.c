/* SPDX-License-Identifier: MIT */
#include "nn/mlm.h"

#include <stdlib.h>

#include "base/util.h"
#include "nn/gemm.h"
#include "nn/vmath.h"

enum { TILE_M = 512, TILE_V = 1024 };   /* 2 MB of logits in float */

/* A tile of the logits: rows m0 .. m0 + n_m, columns v0 .. v0 + n_v. */
struct tile { int64_t m0; int n_m, v0, n_v; };

/* Running log-sum-exp of a row: sum exp(l - max) over what has been seen. */
struct lse { dc_real max; double sum, at_target; };

static int
min_int(int64_t a, int b)
{
	return a < b ? (int)a : b;
}

/* l [n_m,n_v] <- h weight^T (the bias is added by the row passes) */
static void
tile_logits(dc_real *l, const struct tile *t, const dc_real *h, const dc_real *weight, int W)
{
	dc_gemm(0, 1, t->n_m, t->n_v, W, 1, h + t->m0 * W, W, weight + (size_t)t->v0 * W, W, 0, l, t->n_v);
}

/* max' = max(max, max_v l_v);  sum' = sum exp(max - max') + sum_v exp(l_v - max') */
static void
lse_add(struct lse *s, dc_real *l, const dc_real *bias, int n_v, int64_t target)
{
	dc_real max = s->max;
	double sum = 0;

	for (int v = 0; v < n_v; v++) {
		l[v] += bias[v];
		max = l[v] > max ? l[v] : max;
	}
	for (int v = 0; v < n_v; v++)
		sum += dc_vexp(l[v] - max);
	s->sum = s->sum * (s->sum > 0 ? exp((double)s->max - max) : 0) + sum;
	s->max = max;
	if (target >= 0 && target < n_v)
		s->at_target = l[target];
}

static void
forward_rows(struct lse *s, dc_real *l, const struct tile *t, const dc_real *h, const dc_real *weight,
    const dc_real *bias, const int32_t *target, int W)
{
	tile_logits(l, t, h, weight, W);
	#pragma omp parallel for if (t->n_m * t->n_v > DC_PARALLEL)
	for (int m = 0; m < t->n_m; m++)
		lse_add(&s[m], l + (size_t)m * t->n_v, bias + t->v0, t->n_v, (int64_t)target[t->m0 + m] - t->v0);
}

void
dc_mlm_forward(dc_real *nll, dc_real *lse, const dc_real *h, const dc_real *weight, const dc_real *bias,
    const int32_t *target, int64_t M, int W, int V)
{
	dc_real *l = dc_xaligned((size_t)TILE_M * TILE_V, sizeof *l);
	struct lse *s = dc_xcalloc(TILE_M, sizeof *s);

	for (int64_t m0 = 0; m0 < M; m0 += TILE_M) {
		struct tile t = { .m0 = m0, .n_m = min_int(M - m0, TILE_M) };
		for (int m = 0; m < t.n_m; m++)
			s[m] = (struct lse){ .max = -INFINITY };
		for (t.v0 = 0; t.v0 < V; t.v0 += TILE_V) {
			t.n_v = min_int(V - t.v0, TILE_V);
			forward_rows(s, l, &t, h, weight, bias, target, W);
		}
		for (int m = 0; m < t.n_m; m++) {
			lse[m0 + m] = (dc_real)(s[m].max + log(s[m].sum));
			nll[m0 + m] = (dc_real)(s[m].max - s[m].at_target + log(s[m].sum));
		}
	}
	free(s);
	free(l);
}

/* dl_v = (exp(l_v - lse) - [v = target]) dnll, in place of the logits */
static void
backward_row(dc_real *l, const dc_real *bias, dc_real lse, dc_real dnll, int n_v, int64_t target)
{
	for (int v = 0; v < n_v; v++)
		l[v] = dc_vexp(l[v] + bias[v] - lse) * dnll;
	if (target >= 0 && target < n_v)
		l[target] -= dnll;
}

static void
backward_tile(dc_real *dh, dc_real *dweight, dc_real *dbias, dc_real *l, const struct tile *t, const dc_real *h,
    const dc_real *weight, const dc_real *bias, const int32_t *target, const dc_real *lse, const dc_real *dnll, int W)
{
	tile_logits(l, t, h, weight, W);
	#pragma omp parallel for if (t->n_m * t->n_v > DC_PARALLEL)
	for (int m = 0; m < t->n_m; m++)
		backward_row(l + (size_t)m * t->n_v, bias + t->v0, lse[t->m0 + m], dnll[t->m0 + m], t->n_v,
		    (int64_t)target[t->m0 + m] - t->v0);
	/* dh += dl weight (the first tile sets it) */
	dc_gemm(0, 0, t->n_m, W, t->n_v, 1, l, t->n_v, weight + (size_t)t->v0 * W, W, t->v0 > 0, dh + t->m0 * W, W);
	/* dweight += dl^T h */
	if (dweight)
		dc_gemm(1, 0, t->n_v, W, t->n_m, 1, l, t->n_v, h + t->m0 * W, W, 1, dweight + (size_t)t->v0 * W, W);
	/* dbias_v += sum_m dl_mv */
	if (dbias)
		dc_add_columns(dbias + t->v0, l, t->n_m, t->n_v);
}

void
dc_mlm_backward(dc_real *dh, dc_real *dweight, dc_real *dbias, const dc_real *h, const dc_real *weight,
    const dc_real *bias, const int32_t *target, const dc_real *lse, const dc_real *dnll, int64_t M, int W, int V)
{
	dc_real *l = dc_xaligned((size_t)TILE_M * TILE_V, sizeof *l);

	for (int64_t m0 = 0; m0 < M; m0 += TILE_M) {
		struct tile t = { .m0 = m0, .n_m = min_int(M - m0, TILE_M) };
		for (t.v0 = 0; t.v0 < V; t.v0 += TILE_V) {
			t.n_v = min_int(V - t.v0, TILE_V);
			backward_tile(dh, dweight, dbias, l, &t, h, weight, bias, target, lse, dnll, W);
		}
	}
	free(l);
}
