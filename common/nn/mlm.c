/* SPDX-License-Identifier: MIT */
#include "nn/mlm.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/wide.h"
#include "nn/gemm.h"
#include "nn/linear.h"
#include "nn/threads.h"
#include "nn/vmath.h"

enum { TILE_M = 512, TILE_V = 512 };   /* a thread's tile of logits: 1 MB in float, for its own cache */
enum { KEPT = 16 << 20 };              /* reals kept at most */

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

/* l <- l + bias;  its maximum */
DC_WIDE static dc_real
add_bias(dc_real *restrict l, const dc_real *restrict bias, int n_v)
{
	dc_real max = -INFINITY;

#pragma omp simd reduction(max:max)
	for (int v = 0; v < n_v; v++) {
		l[v] += bias[v];
		max = l[v] > max ? l[v] : max;
	}
	return max;
}

/* l <- exp(l - max) */
DC_WIDE static void
exp_of(dc_real *l, dc_real max, int n_v)
{
#pragma omp simd
	for (int v = 0; v < n_v; v++)
		l[v] = dc_vexp(l[v] - max);
}

static double
sum_of(const dc_real *x, int n)
{
	double sum = 0;

#pragma omp simd reduction(+:sum)
	for (int i = 0; i < n; i++)
		sum += (double)x[i];
	return sum;
}

/* max = max_v l_v,  l <- e = exp(l - max),  sum = sum_v e_v */
static struct lse
lse_of(dc_real *l, const dc_real *bias, int n_v, int64_t target)
{
	struct lse s = { .max = add_bias(l, bias, n_v) };

	s.at_target = target >= 0 && target < n_v ? l[target] : 0;
	exp_of(l, s.max, n_v);
	s.sum = sum_of(l, n_v);
	return s;
}

/* l: the tile's logits become e = exp(l - max) */
static void
forward_tile(struct lse *s, dc_real *l, const struct tile *t, const struct head *k)
{
	tile_logits(l, t, k);
	for (int m = 0; m < t->n_m; m++)
		s[m] = lse_of(l + (size_t)m * t->n_v, k->bias + t->v0, t->n_v, (int64_t)k->target[t->m0 + m] - t->v0);
}

/* What is kept: e [M,V] tile by tile, then the tiles' maxima, max [tiles,M]. */

size_t
dc_mlm_kept(int64_t M, int V)
{
	const double n = (double)M * (V + tiles(V));

	return n > KEPT ? 0 : (size_t)n;
}

static dc_real *
kept_tile(dc_real *kept, const struct tile *t, int V)
{
	return kept + (size_t)t->m0 * V + (size_t)t->n_m * t->v0;
}

static dc_real *
kept_max(dc_real *kept, const struct tile *t, int64_t M, int V)
{
	return kept + (size_t)M * V + (size_t)(t->v0 / TILE_V) * M + t->m0;
}

/* lse = ln sum over the tiles of sum_i exp(max_i - max) + max;  s: the row's in the first tile, the next `rows` on */
static void
join(dc_real *nll, dc_real *lse, const struct lse *s, size_t rows, int n, int target)
{
	dc_real max = s->max;
	double sum;

	for (int i = 1; i < n; i++)
		max = s[i * rows].max > max ? s[i * rows].max : max;
	sum = s->sum * exp((double)s->max - (double)max);
	for (int i = 1; i < n; i++)
		sum += s[i * rows].sum * exp((double)s[i * rows].max - (double)max);
	*lse = (dc_real)((double)max + log(sum));
	*nll = (dc_real)((double)max - (double)s[target / TILE_V * rows].at_target + log(sum));
}

void
dc_mlm_forward(dc_real *nll, dc_real *lse, dc_real *kept, const dc_real *h, const dc_real *weight, const dc_real *bias,
    const int32_t *target, int64_t M, int W, int V)
{
	const struct head k = { h, weight, bias, target, W, V };
	const int n = tiles(V), threads = kept ? 0 : dc_threads();
	dc_real *l = dc_xaligned((size_t)threads * TILE_M * TILE_V, sizeof *l);
	const size_t rows = (size_t)min_int(M, TILE_M);
	struct lse *s = dc_xcalloc(n * rows, sizeof *s);

	for (int64_t m0 = 0; m0 < M; m0 += TILE_M) {
		#pragma omp parallel for schedule(static) if (worth(M, W, V))
		for (int i = 0; i < n; i++) {
			const struct tile t = tile_at(m0, M, i, V);
			struct lse *s_i = s + (size_t)i * rows;

			forward_tile(s_i, kept ? kept_tile(kept, &t, V) : l + (size_t)dc_thread() * TILE_M * TILE_V, &t, &k);
			for (int m = 0; kept && m < t.n_m; m++)
				kept_max(kept, &t, M, V)[m] = s_i[m].max;
		}
		for (int m = 0; m < min_int(M - m0, TILE_M); m++)
			join(nll + m0 + m, lse + m0 + m, s + m, rows, n, target[m0 + m]);
	}
	free(s);
	free(l);
}

/* l <- exp(l + bias - lse) dnll */
DC_WIDE static void
softmax_of(dc_real *restrict l, const dc_real *restrict bias, dc_real lse, dc_real dnll, int n_v)
{
#pragma omp simd
	for (int v = 0; v < n_v; v++)
		l[v] = dc_vexp(l[v] + bias[v] - lse) * dnll;
}

static void
scale(dc_real *x, dc_real by, int n)
{
	for (int i = 0; i < n; i++)
		x[i] *= by;
}

struct gradients { dc_real *dweight, *dbias, *kept; const dc_real *lse, *dnll; int64_t M; };

/* dl_v = (exp(l_v - lse) - [v = target]) dnll, in place of the kept e, or of the logits computed once more:
 *	exp(l_v - lse) = e_v exp(max - lse) */
static void
tile_dlogits(dc_real *l, const struct gradients *g, const struct tile *t, const struct head *k)
{
	const dc_real *max = g->kept ? kept_max(g->kept, t, g->M, k->V) : NULL;

	if (!g->kept)
		tile_logits(l, t, k);
	for (int m = 0; m < t->n_m; m++) {
		const int64_t row = t->m0 + m, target = (int64_t)k->target[row] - t->v0;
		dc_real *l_m = l + (size_t)m * t->n_v;

		if (max)
			scale(l_m, (dc_real)exp((double)max[m] - (double)g->lse[row]) * g->dnll[row], t->n_v);
		else
			softmax_of(l_m, k->bias + t->v0, g->lse[row], g->dnll[row], t->n_v);
		if (target >= 0 && target < t->n_v)
			l_m[target] -= g->dnll[row];
	}
}

/* dh [n_m,W] is set by the first tile, and added to by the others */
static void
backward_tile(dc_real *dh, int first, const struct gradients *g, dc_real *l, const struct tile *t, const struct head *k)
{
	const int W = k->W;

	if (g->kept)
		l = kept_tile(g->kept, t, k->V);
	tile_dlogits(l, g, t, k);
	/* dh += dl weight */
	dc_gemm(0, 0, t->n_m, W, t->n_v, 1, l, t->n_v, k->weight + (size_t)t->v0 * W, W, !first, dh, W);
	/* dweight += dl^T h */
	if (g->dweight)
		dc_gemm(1, 0, t->n_v, W, t->n_m, 1, l, t->n_v, k->h + t->m0 * W, W, 1, g->dweight + (size_t)t->v0 * W, W);
	/* dbias_v += sum_m dl_mv */
	if (g->dbias)
		dc_sum_rows(g->dbias + t->v0, l, t->n_v, t->n_m, t->n_v);
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
dc_mlm_backward(dc_real *dh, dc_real *dweight, dc_real *dbias, dc_real *kept, const dc_real *h, const dc_real *weight,
    const dc_real *bias, const int32_t *target, const dc_real *lse, const dc_real *dnll, int64_t M, int W, int V)
{
	const struct head k = { h, weight, bias, target, W, V };
	const struct gradients g = { dweight, dbias, kept, lse, dnll, M };
	const int shares = dc_threads();
	const size_t tile = (size_t)TILE_M * TILE_V, rows = (size_t)TILE_M * W;
	dc_real *l = dc_xaligned(kept ? 0 : shares * tile, sizeof *l), *dhs = dc_xaligned(shares * rows, sizeof *dhs);

	for (int64_t m0 = 0; m0 < M; m0 += TILE_M) {
		#pragma omp parallel for schedule(static, 1) if (worth(M, W, V))
		for (int s = 0; s < shares; s++)
			backward_share(dhs + s * rows, &g, kept ? NULL : l + s * tile, m0, M, s, shares, &k);
		add_shares(dh + m0 * W, dhs, rows, shares, (size_t)min_int(M - m0, TILE_M) * W);
	}
	free(dhs);
	free(l);
}
