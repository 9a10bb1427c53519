/* SPDX-License-Identifier: MIT */
#include "score/knn.h"

#include <stdlib.h>

#include "base/util.h"
#include "nn/gemm.h"
#include "score/rows.h"

enum { TILE_Q = 256, TILE_N = 2048 };
#define EQUAL 1e-9 /* votes that differ by less, as a share, are equal */

/* The best so far of one query, the best first. */
struct list { struct dc_near *near; int64_t n, k; };

static int
before(const struct dc_near *a, const struct dc_near *b)
{
	return a->cosine > b->cosine || (a->cosine == b->cosine && a->row < b->row);
}

static void
insert(struct list *l, struct dc_near x)
{
	int64_t i;

	if (l->n == l->k && !before(&x, &l->near[l->n - 1]))
		return;
	i = l->n < l->k ? l->n++ : l->n - 1;
	for (; i > 0 && before(&x, &l->near[i - 1]); i--)
		l->near[i] = l->near[i - 1];
	l->near[i] = x;
}

/* The same rows by their exact cosines. */
static void
refine(struct dc_near *near, int64_t k, const dc_real *query, const dc_real *base, int D)
{
	struct list l = { near, 0, k };

	for (int64_t i = 0; i < k; i++)
		insert(&l, (struct dc_near){ dc_dot(query, base + near[i].row * D, D), near[i].row });
}

static void
search(struct dc_near *near, const dc_real *query, int Q, const dc_real *base, int64_t N, int D, int64_t k,
    const int64_t *not, dc_real *s)
{
	int64_t had[TILE_Q] = { 0 };

	for (int64_t n0 = 0; n0 < N; n0 += TILE_N) {
		const int n = N - n0 < TILE_N ? (int)(N - n0) : TILE_N;
		/* s_qn = <query_q, base_n> */
		dc_gemm(0, 1, Q, n, D, 1, query, D, base + n0 * D, D, 0, s, n);
		#pragma omp parallel for if (Q * n > DC_PARALLEL)
		for (int q = 0; q < Q; q++) {
			struct list l = { near + q * k, had[q], k };
			for (int i = 0; i < n; i++)
				if (!not || not[q] != n0 + i)
					insert(&l, (struct dc_near){ s[(size_t)q * n + i], n0 + i });
			had[q] = l.n;
		}
	}
}

void
dc_knn(struct dc_near *near, const dc_real *query, int64_t Q, const dc_real *base, int64_t N, int D, int64_t k,
    const int64_t *not)
{
	dc_real *s = dc_xaligned((size_t)TILE_Q * TILE_N, sizeof *s);

	for (int64_t q0 = 0; q0 < Q; q0 += TILE_Q)
		search(near + q0 * k, query + q0 * D, Q - q0 < TILE_Q ? (int)(Q - q0) : TILE_Q, base, N, D, k, not ? not + q0 : NULL, s);
	#pragma omp parallel for if (Q * k * D > DC_PARALLEL)
	for (int64_t q = 0; q < Q; q++)
		refine(near + q * k, k, query + q * D, base, D);
	free(s);
}

double
dc_knn_vote(double *vote, const struct dc_near *near, int64_t k, const int64_t *label, int64_t y, int64_t K,
    double temperature)
{
	double most = 0;
	int64_t equal = 0;

	for (int64_t c = 0; c < K; c++)
		vote[c] = 0;
	for (int64_t i = 0; i < k; i++) /* all divided by the first one's votes, which changes no order */
		vote[label[near[i].row]] += temperature > 0 ? exp((near[i].cosine - near[0].cosine) / temperature) : 1;
	for (int64_t c = 0; c < K; c++)
		most = vote[c] > most ? vote[c] : most;
	for (int64_t c = 0; c < K; c++)
		equal += vote[c] >= most * (1 - EQUAL);
	return vote[y] >= most * (1 - EQUAL) ? 1 / (double)equal : 0;
}
