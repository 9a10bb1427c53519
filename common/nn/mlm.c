/* SPDX-License-Identifier: MIT */
#include "nn/mlm.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "nn/gemm.h"
#include "nn/threads.h"
#include "nn/vmath.h"

enum { TILE_M = 512, TILE_V = 512 };   /* a thread's tile of logits: 1 MB in float, for its own cache */

/* A tile of the logits: rows m0 .. m0 + n_m, columns v0 .. v0 + n_v. */
struct tile { int64_t m0; int n_m, v0, n_v; };

/* Log-sum-exp of a row of a tile: sum exp(l - max). */
struct lse { double sum; dc_real max, at_target; };

struct head { const dc_real *h, *weight, *bias; const int32_t *target; int W, V; };

static int
min_int(int64_t a, int b)
{
	return a < b ? (int)a : b;
}

static int
tiles(int V)
{
	return (V + TILE_V - 1) / TILE_V;
}

static int
worth(int64_t M, int W, int V)
{
	return (double)M * W * V > DC_PARALLEL_PRODUCT;
}

static struct tile
tile_at(int64_t m0, int64_t M, int i, int V)
{
	return (struct tile){ m0, min_int(M - m0, TILE_M), i * TILE_V, min_int(V - i * TILE_V, TILE_V) };
}

/* l [n_m,n_v] <- h weight^T (the bias is added by the row passes) */
static void
tile_logits(dc_real *l, const struct tile *t, const struct head *k)
{
	dc_gemm(0, 1, t->n_m, t->n_v, k->W, 1, k->h + t->m0 * k->W, k->W, k->weight + (size_t)t->v0 * k->W, k->W, 0, l, t->n_v);
}

/* max = max_v l_v,  sum = sum_v exp(l_v - max),  l <- l + bias */
static struct lse
lse_of(dc_real *restrict l, const dc_real *restrict bias, int n_v, int64_t target)
{
	dc_real max = -INFINITY;
	double sum = 0;

#pragma omp simd reduction(max:max)
	for (int v = 0; v < n_v; v++) {
		l[v] += bias[v];
		max = l[v] > max ? l[v] : max;
	}
#pragma omp simd reduction(+:sum)
	for (int v = 0; v < n_v; v++)
		sum += (double)dc_vexp(l[v] - max);
	return (struct lse){ sum, max, target >= 0 && target < n_v ? l[target] : 0 };
}

static void
forward_tile(struct lse *s, dc_real *l, const struct tile *t, const struct head *k)
{
	tile_logits(l, t, k);
	for (int m = 0; m < t->n_m; m++)
		s[m] = lse_of(l + (size_t)m * t->n_v, k->bias + t->v0, t->n_v, (int64_t)k->target[t->m0 + m] - t->v0);
}

/* lse = ln sum over the tiles of sum_i exp(max_i - max) + max;  s: the row's in the first tile, the next TILE_M on */
static void
join(dc_real *nll, dc_real *lse, const struct lse *s, int n, int target)
{
	dc_real max = s->max;
	double sum;

	for (int i = 1; i < n; i++)
		max = s[(size_t)i * TILE_M].max > max ? s[(size_t)i * TILE_M].max : max;
	sum = s->sum * exp((double)s->max - (double)max);
	for (int i = 1; i < n; i++)
		sum += s[(size_t)i * TILE_M].sum * exp((double)s[(size_t)i * TILE_M].max - (double)max);
	*lse = (dc_real)((double)max + log(sum));
	*nll = (dc_real)((double)max - (double)s[(size_t)(target / TILE_V) * TILE_M].at_target + log(sum));
}

void
dc_mlm_forward(dc_real *nll, dc_real *lse, const dc_real *h, const dc_real *weight, const dc_real *bias,
    const int32_t *target, int64_t M, int W, int V)
{
	const struct head k = { h, weight, bias, target, W, V };
	const int n = tiles(V), threads = dc_threads();
	dc_real *l = dc_xaligned((size_t)threads * TILE_M * TILE_V, sizeof *l);
	struct lse *s = dc_xcalloc((size_t)n * TILE_M, sizeof *s);

	for (int64_t m0 = 0; m0 < M; m0 += TILE_M) {
		#pragma omp parallel for schedule(static) if (worth(M, W, V))
		for (int i = 0; i < n; i++) {
			const struct tile t = tile_at(m0, M, i, V);

			forward_tile(s + (size_t)i * TILE_M, l + (size_t)dc_thread() * TILE_M * TILE_V, &t, &k);
		}
		for (int m = 0; m < min_int(M - m0, TILE_M); m++)
			join(nll + m0 + m, lse + m0 + m, s + m, n, target[m0 + m]);
	}
	free(s);
	free(l);
}

/* dl_v = (exp(l_v - lse) - [v = target]) dnll, in place of the logits */
static void
backward_row(dc_real *restrict l, const dc_real *restrict bias, dc_real lse, dc_real dnll, int n_v, int64_t target)
{
#pragma omp simd
	for (int v = 0; v < n_v; v++)
		l[v] = dc_vexp(l[v] + bias[v] - lse) * dnll;
	if (target >= 0 && target < n_v)
		l[target] -= dnll;
}

struct gradients { dc_real *dweight, *dbias; const dc_real *lse, *dnll; };

/* dh [n_m,W] is set by the first tile, and added to by the others */
static void
backward_tile(dc_real *dh, int first, const struct gradients *g, dc_real *l, const struct tile *t, const struct head *k)
{
	const int W = k->W;

	tile_logits(l, t, k);
	for (int m = 0; m < t->n_m; m++)
		backward_row(l + (size_t)m * t->n_v, k->bias + t->v0, g->lse[t->m0 + m], g->dnll[t->m0 + m], t->n_v,
		    (int64_t)k->target[t->m0 + m] - t->v0);
	/* dh += dl weight */
	dc_gemm(0, 0, t->n_m, W, t->n_v, 1, l, t->n_v, k->weight + (size_t)t->v0 * W, W, !first, dh, W);
	/* dweight += dl^T h */
	if (g->dweight)
		dc_gemm(1, 0, t->n_v, W, t->n_m, 1, l, t->n_v, k->h + t->m0 * W, W, 1, g->dweight + (size_t)t->v0 * W, W);
	/* dbias_v += sum_m dl_mv */
	if (g->dbias)
		dc_add_columns(g->dbias + t->v0, l, t->n_m, t->n_v);
}

/* A thread's share of the vocabulary: tiles [share n / shares, (share + 1) n / shares). */
static void
backward_share(dc_real *dh, const struct gradients *g, dc_real *l, int64_t m0, int64_t M, int share, int shares,
    const struct head *k)
{
	const int n = tiles(k->V), begin = (int)((int64_t)share * n / shares), end = (int)((int64_t)(share + 1) * n / shares);

	if (begin == end)
		memset(dh, 0, (size_t)min_int(M - m0, TILE_M) * k->W * sizeof *dh);
	for (int i = begin; i < end; i++) {
		const struct tile t = tile_at(m0, M, i, k->V);

		backward_tile(dh, i == begin, g, l, &t, k);
	}
}

/* to [n] <- the sum of the shares' */
static void
add_shares(dc_real *restrict to, const dc_real *restrict from, size_t share, int shares, size_t n)
{
	memcpy(to, from, n * sizeof *to);
	for (int s = 1; s < shares; s++)
		for (size_t i = 0; i < n; i++)
			to[i] += from[s * share + i];
}

void
dc_mlm_backward(dc_real *dh, dc_real *dweight, dc_real *dbias, const dc_real *h, const dc_real *weight,
    const dc_real *bias, const int32_t *target, const dc_real *lse, const dc_real *dnll, int64_t M, int W, int V)
{
	const struct head k = { h, weight, bias, target, W, V };
	const struct gradients g = { dweight, dbias, lse, dnll };
	const int shares = dc_threads();
	const size_t tile = (size_t)TILE_M * TILE_V, rows = (size_t)TILE_M * W;
	dc_real *l = dc_xaligned(shares * tile, sizeof *l), *dhs = dc_xaligned(shares * rows, sizeof *dhs);

	for (int64_t m0 = 0; m0 < M; m0 += TILE_M) {
		#pragma omp parallel for schedule(static, 1) if (worth(M, W, V))
		for (int s = 0; s < shares; s++)
			backward_share(dhs + s * rows, &g, l + s * tile, m0, M, s, shares, &k);
		add_shares(dh + m0 * W, dhs, rows, shares, (size_t)min_int(M - m0, TILE_M) * W);
	}
	free(dhs);
	free(l);
}
