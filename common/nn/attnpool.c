/* SPDX-License-Identifier: MIT */
#include "nn/attnpool.h"

#include <string.h>

#include "nn/gemm.h"
#include "nn/vmath.h"

/* t_0 = mean_j x_j + pos_0,  t_j = x_j + pos_j */
static void
tokens_forward(dc_real *t, const dc_real *x, const dc_real *pos, int n, int P, int E)
{
#pragma omp parallel for schedule(static) if ((size_t)n * P * E > DC_PARALLEL)
	for (int s = 0; s < n; s++) {
		dc_real *t_s = t + (size_t)s * (1 + P) * E;
		const dc_real *x_s = x + (size_t)s * P * E;

		memset(t_s, 0, (size_t)E * sizeof(*t_s));
		for (int j = 0; j < P; j++)
			for (int e = 0; e < E; e++) {
				t_s[e] += x_s[(size_t)j * E + e];
				t_s[(size_t)(1 + j) * E + e] = x_s[(size_t)j * E + e] + pos[(size_t)(1 + j) * E + e];
			}
		for (int e = 0; e < E; e++)
			t_s[e] = t_s[e] / (dc_real)P + pos[e];
	}
}

/* dx_j = dt_j + dt_0 / P */
static void
tokens_backward(dc_real *dx, const dc_real *dt, int n, int P, int E)
{
#pragma omp parallel for schedule(static) if ((size_t)n * P * E > DC_PARALLEL)
	for (int s = 0; s < n; s++) {
		const dc_real *dt_s = dt + (size_t)s * (1 + P) * E;
		dc_real *dx_s = dx + (size_t)s * P * E;

		for (int j = 0; j < P; j++)
			for (int e = 0; e < E; e++)
				dx_s[(size_t)j * E + e] = dt_s[(size_t)(1 + j) * E + e] + dt_s[e] / (dc_real)P;
	}
}

/* p <- softmax_j p */
static void
softmax(dc_real *p, int L)
{
	dc_real max = p[0];
	double sum = 0;

	for (int j = 1; j < L; j++)
		max = p[j] > max ? p[j] : max;
	for (int j = 0; j < L; j++) {
		p[j] = dc_vexp(p[j] - max);
		sum += (double)p[j];
	}
	for (int j = 0; j < L; j++)
		p[j] = (dc_real)((double)p[j] / sum);
}

/* ds_j = p_j (dp_j - sum_i p_i dp_i), in place of dp */
static void
softmax_backward(dc_real *dp, const dc_real *p, int L)
{
	double sum = 0;

	for (int j = 0; j < L; j++)
		sum += (double)p[j] * (double)dp[j];
	for (int j = 0; j < L; j++)
		dp[j] = (dc_real)((double)p[j] * ((double)dp[j] - sum));
}

void
dc_attnpool_forward(dc_real *features, struct dc_attnpool_kept *k, const struct dc_attnpool *t, const dc_real *x, int n,
	struct dc_arena *arena)
{
	const int L = 1 + t->P, E = t->E, H = t->heads, hd = E / H;
	const size_t N = (size_t)n, LE = (size_t)L * E, HE = (size_t)H * E, HL = (size_t)H * L;
	const dc_real scale = (dc_real)(1 / sqrt(hd));

	*k = (struct dc_attnpool_kept){ .n = n, .t = dc_arena_reals(arena, N * LE), .q = dc_arena_reals(arena, N * E),
		.u = dc_arena_reals(arena, N * HE), .p = dc_arena_reals(arena, N * HL), .z = dc_arena_reals(arena, N * HE),
		.o = dc_arena_reals(arena, N * E) };
	tokens_forward(k->t, x, t->pos.w, n, t->P, E);
	dc_linear_forward(k->q, E, k->t, (int)LE, t->q_w.w, t->q_b.w, NULL, n, E, E);
	for (int h = 0; h < H; h++)       /* U_h = Q_h Wk_h */
		dc_gemm(0, 0, n, E, hd, 1, k->q + h * hd, E, t->k_w.w + (size_t)h * hd * E, E, 0, k->u + (size_t)h * E, (int)HE);
#pragma omp parallel for schedule(static) if (N * LE > DC_PARALLEL)
	for (int s = 0; s < n; s++) {
		dc_real *p = k->p + s * HL;

		dc_gemm(0, 1, H, L, E, scale, k->u + s * HE, E, k->t + s * LE, E, 0, p, L);   /* S = U T^T / sqrt(hd) */
		for (int h = 0; h < H; h++)
			softmax(p + (size_t)h * L, L);
		dc_gemm(0, 0, H, E, L, 1, p, L, k->t + s * LE, E, 0, k->z + s * HE, E);       /* Z = P T */
	}
	for (int h = 0; h < H; h++)       /* O_h = Z_h Wv_h^T + bv_h */
		dc_linear_forward(k->o + h * hd, E, k->z + (size_t)h * E, (int)HE, t->v_w.w + (size_t)h * hd * E, t->v_b.w + h * hd,
			NULL, n, E, hd);
	if (features)
		dc_linear_forward(features, t->D, k->o, E, t->c_w.w, t->c_b.w, NULL, n, E, t->D);
}

/* From du, dz [n, heads, E] and the probabilities the gradients by scores and tokens: dz stays, du and dt are set. */
static void
scores_backward(dc_real *du, dc_real *dt, const dc_real *dz, const struct dc_attnpool_kept *k, const struct dc_attnpool *t,
	struct dc_arena *arena)
{
	const int L = 1 + t->P, E = t->E, H = t->heads;
	const size_t LE = (size_t)L * E, HE = (size_t)H * E, HL = (size_t)H * L;
	const dc_real scale = (dc_real)(1 / sqrt(E / H));
	dc_real *ds = dc_arena_reals(arena, (size_t)k->n * HL);

#pragma omp parallel for schedule(static) if (k->n * LE > DC_PARALLEL)
	for (int s = 0; s < k->n; s++) {
		dc_real *ds_s = ds + s * HL, *dt_s = dt + s * LE;
		const dc_real *p = k->p + s * HL, *t_s = k->t + s * LE;

		dc_gemm(0, 1, H, L, E, 1, dz + s * HE, E, t_s, E, 0, ds_s, L);                 /* dP = dZ T^T */
		dc_gemm(1, 0, L, E, H, 1, p, L, dz + s * HE, E, 0, dt_s, E);                   /* dT = P^T dZ */
		for (int h = 0; h < H; h++)
			softmax_backward(ds_s + (size_t)h * L, p + (size_t)h * L, L);
		dc_gemm(0, 0, H, E, L, scale, ds_s, L, t_s, E, 0, du + s * HE, E);             /* dU = dS T / sqrt(hd) */
		dc_gemm(1, 0, L, E, H, scale, ds_s, L, k->u + s * HE, E, 1, dt_s, E);          /* dT += dS^T U / sqrt(hd) */
	}
}

void
dc_attnpool_backward(dc_real *dx, const struct dc_attnpool_kept *k, const struct dc_attnpool *t, const dc_real *dfeatures,
	const dc_real *d_o, struct dc_arena *arena)
{
	const int n = k->n, L = 1 + t->P, E = t->E, H = t->heads, hd = E / H;
	const size_t N = (size_t)n, LE = (size_t)L * E, HE = (size_t)H * E;
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *do_ = dc_arena_reals(arena, N * E), *dz = dc_arena_reals(arena, N * HE), *du = dc_arena_reals(arena, N * HE);
	dc_real *dq = dc_arena_reals(arena, N * E), *dt = dc_arena_reals(arena, N * LE);

	if (d_o)
		memcpy(do_, d_o, N * (size_t)E * sizeof(*do_));
	else
		memset(do_, 0, N * (size_t)E * sizeof(*do_));
	if (dfeatures)
		dc_linear_backward(do_, E, 1, t->c_w.g, t->c_b.g, dfeatures, t->D, k->o, E, t->c_w.w, n, E, t->D);
	for (int h = 0; h < H; h++) {     /* O_h = Z_h Wv_h^T + bv_h */
		const size_t at = (size_t)h * hd * E;

		dc_linear_backward(dz + (size_t)h * E, (int)HE, 0, t->v_w.g ? t->v_w.g + at : NULL, t->v_b.g ? t->v_b.g + h * hd : NULL,
			do_ + h * hd, E, k->z + (size_t)h * E, (int)HE, t->v_w.w + at, n, E, hd);
	}
	scores_backward(du, dt, dz, k, t, arena);
	for (int h = 0; h < H; h++) {     /* U_h = Q_h Wk_h: dQ_h = dU_h Wk_h^T, dWk_h += Q_h^T dU_h */
		const size_t at = (size_t)h * hd * E;

		dc_gemm(0, 1, n, hd, E, 1, du + (size_t)h * E, (int)HE, t->k_w.w + at, E, 0, dq + h * hd, E);
		if (t->k_w.g)
			dc_gemm(1, 0, hd, E, n, 1, k->q + h * hd, E, du + (size_t)h * E, (int)HE, 1, t->k_w.g + at, E);
	}
	dc_linear_backward(dt, (int)LE, 1, t->q_w.g, t->q_b.g, dq, E, k->t, (int)LE, t->q_w.w, n, E, E);
	if (t->pos.g)
		dc_sum_rows(t->pos.g, dt, (int)LE, n, (int)LE);
	tokens_backward(dx, dt, n, t->P, E);
	dc_arena_release(arena, mark);
}

double
dc_attnpool_flop(const struct dc_attnpool *t, int n)
{
	const double E = t->E, L = 1 + t->P;

	return 2.0 * n * (3 * E * E + 2 * t->heads * L * E + E * t->D);
}
