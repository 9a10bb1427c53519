/* SPDX-License-Identifier: MIT */
#include "nn/attention.h"
#include "nn/gemm.h"
#include "nn/threads.h"
#include "nn/vmath.h"

/* One sequence and head: sizes, and where its first query, first key and probabilities lie. */
struct one { int Lq, Lk; size_t q, k, out, prob; };

static struct one
at(const struct dc_attn *a, int i, int ldq, int ldk)
{
	int s = i / a->heads, h = i % a->heads;
	struct one o = { .Lq = a->q_off[s + 1] - a->q_off[s], .Lk = a->k_off[s + 1] - a->k_off[s] };

	o.q = (size_t)a->q_off[s] * ldq + (size_t)h * a->hd;
	o.k = (size_t)a->k_off[s] * ldk + (size_t)h * a->hd;
	o.out = ((size_t)a->q_off[s] * a->heads + h) * a->hd;
	o.prob = a->prob_off[s] * a->heads + (size_t)h * o.Lq * o.Lk;
	return o;
}

static int
visible(const struct dc_attn *a, const struct one *o, int i)
{
	return a->causal ? o->Lk - o->Lq + i + 1 : o->Lk;
}

size_t
dc_attn_prob(size_t *prob_off, const int32_t *q_off, const int32_t *k_off, int n, int heads)
{
	prob_off[0] = 0;
	for (int s = 0; s < n; s++)
		prob_off[s + 1] = prob_off[s] + (size_t)(q_off[s + 1] - q_off[s]) * (k_off[s + 1] - k_off[s]);
	return prob_off[n] * heads;
}

/* p <- softmax of its first `see` elements, 0 beyond */
static void
softmax_row(dc_real *p, int see, int L)
{
	dc_real max = p[0], scale;
	double sum = 0;

#pragma omp simd reduction(max:max)
	for (int j = 1; j < see; j++)
		max = p[j] > max ? p[j] : max;
#pragma omp simd reduction(+:sum)
	for (int j = 0; j < see; j++) {
		p[j] = dc_vexp(p[j] - max);
		sum += (double)p[j];
	}
	scale = (dc_real)(1 / sum);
	for (int j = 0; j < see; j++)
		p[j] *= scale;
	for (int j = see; j < L; j++)
		p[j] = 0;
}

void
dc_attn_forward(dc_real *out, dc_real *prob, const dc_real *q, int ldq, const dc_real *k, const dc_real *v, int ldk,
	const struct dc_attn *a)
{
	const dc_real scale = (dc_real)(1 / sqrt(a->hd));
	const int ldo = a->heads * a->hd;

#pragma omp parallel for schedule(static) if (a->prob_off[a->n] * ldo > DC_PARALLEL)
	for (int i = 0; i < a->n * a->heads; i++) {
		struct one o = at(a, i, ldq, ldk);
		dc_real *p = prob + o.prob;

		dc_gemm(0, 1, o.Lq, o.Lk, a->hd, scale, q + o.q, ldq, k + o.k, ldk, 0, p, o.Lk);  /* S = Q K^T / sqrt(hd) */
		for (int r = 0; r < o.Lq; r++)
			softmax_row(p + (size_t)r * o.Lk, visible(a, &o, r), o.Lk);
		dc_gemm(0, 0, o.Lq, a->hd, o.Lk, 1, p, o.Lk, v + o.k, ldk, 0, out + o.out, ldo);   /* O = P V */
	}
}

/* dS = P (dP - sum_j P dP), in place of dP; P is 0 where a key is not seen */
static void
softmax_row_backward(dc_real *restrict dp, const dc_real *restrict p, int L)
{
	double sum = 0;

#pragma omp simd reduction(+:sum)
	for (int j = 0; j < L; j++)
		sum += (double)p[j] * (double)dp[j];
	for (int j = 0; j < L; j++)
		dp[j] = p[j] * (dp[j] - (dc_real)sum);
}

static size_t
largest(const struct dc_attn *a)
{
	size_t n = 0;

	for (int s = 0; s < a->n; s++)
		if (a->prob_off[s + 1] - a->prob_off[s] > n)
			n = a->prob_off[s + 1] - a->prob_off[s];
	return (n + 15) / 16 * 16;
}

void
dc_attn_backward(dc_real *dq, dc_real *dk, dc_real *dv, const dc_real *dout, const dc_real *prob, const dc_real *q,
	int ldq, const dc_real *k, const dc_real *v, int ldk, const struct dc_attn *a, struct dc_arena *arena)
{
	const dc_real scale = (dc_real)(1 / sqrt(a->hd));
	const int ldo = a->heads * a->hd, hd = a->hd;
	const size_t room = largest(a);
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *scratch = dc_arena_reals(arena, room * (size_t)dc_threads());

#pragma omp parallel for schedule(static) if (a->prob_off[a->n] * ldo > DC_PARALLEL)
	for (int i = 0; i < a->n * a->heads; i++) {
		struct one o = at(a, i, ldq, ldk);
		const dc_real *p = prob + o.prob, *dO = dout + o.out;
		dc_real *ds = scratch + room * (size_t)dc_thread();

		dc_gemm(1, 0, o.Lk, hd, o.Lq, 1, p, o.Lk, dO, ldo, 0, dv + o.k, ldk);          /* dV = P^T dO */
		dc_gemm(0, 1, o.Lq, o.Lk, hd, 1, dO, ldo, v + o.k, ldk, 0, ds, o.Lk);          /* dP = dO V^T */
		for (int r = 0; r < o.Lq; r++)
			softmax_row_backward(ds + (size_t)r * o.Lk, p + (size_t)r * o.Lk, o.Lk);
		dc_gemm(0, 0, o.Lq, hd, o.Lk, scale, ds, o.Lk, k + o.k, ldk, 0, dq + o.q, ldq); /* dQ = dS K / sqrt(hd) */
		dc_gemm(1, 0, o.Lk, hd, o.Lq, scale, ds, o.Lk, q + o.q, ldq, 0, dk + o.k, ldk); /* dK = dS^T Q / sqrt(hd) */
	}
	dc_arena_release(arena, mark);
}
