/* SPDX-License-Identifier: MIT */
#include "score/zeroshot.h"

#include <stdlib.h>

#include "base/util.h"
#include "loss/unit.h"
#include "nn/gemm.h"
#include "score/tokenwise.h"

enum { TILE = 512, TOKENS_N = 1024, TOKENS_C = 2048 };

void
dc_zeroshot_classes(dc_real *cls, const dc_real *prompt, int64_t K, int64_t P, int D)
{
	dc_real *norm = dc_xaligned(K, sizeof *norm);

	for (int64_t k = 0; k < K; k++) {
		for (int d = 0; d < D; d++) {
			double sum = 0;
			for (int64_t p = 0; p < P; p++)
				sum += prompt[(k * P + p) * D + d];
			cls[k * D + d] = (dc_real)(sum / (double)P);
		}
	}
	dc_unit_forward(cls, norm, cls, (int)K, D);
	free(norm);
}

static void
place_of(struct dc_place *p, int64_t *best, const dc_real *l, int64_t label, int64_t K)
{
	int64_t top = 0;

	*p = (struct dc_place){ 0 };
	for (int64_t k = 1; k < K; k++)
		top = l[k] > l[top] ? k : top;
	if (best)
		*best = top;
	if (label < 0 || label >= K)
		return;
	p->own = 1;
	for (int64_t k = 0; k < K; k++) {
		const double over = (double)l[k] - l[label];
		p->greater += over > DC_SCORE_EQUAL;
		p->ties += k != label && fabs(over) <= DC_SCORE_EQUAL;
	}
}

void
dc_zeroshot(struct dc_place *place, int64_t *best, const dc_real *image, const int64_t *label, const dc_real *cls,
    int64_t N, int64_t K, int D)
{
	dc_real *l = dc_xaligned((size_t)TILE * K, sizeof *l);

	for (int64_t n0 = 0; n0 < N; n0 += TILE) {
		const int n = N - n0 < TILE ? (int)(N - n0) : TILE;
		/* l_nk = <image_n, cls_k> */
		dc_gemm(0, 1, n, (int)K, D, 1, image + n0 * D, D, cls, D, 0, l, (int)K);
		#pragma omp parallel for if (n * K > DC_PARALLEL)
		for (int i = 0; i < n; i++)
			place_of(&place[n0 + i], best ? &best[n0 + i] : NULL, l + (size_t)i * K, label[n0 + i], K);
	}
	free(l);
}

/* l_nk = 1/P sum_p x_n,kP+p of images n0 .. n0 + n, through x [n, TILE] */
static void
token_scores(struct dc_tokenwise *w, dc_real *l, double *sum, dc_real *x, const struct dc_side *image, int64_t n0, int n,
    const struct dc_side *prompt, int64_t K, int64_t P, int D)
{
	for (int64_t i = 0; i < n * K; i++)
		sum[i] = 0;
	for (int64_t c0 = 0, c1; c0 < K * P; c0 = c1) {
		c1 = dc_side_span(prompt, c0, TILE, TOKENS_C);
		dc_tokenwise(w, x, NULL, image, n0, n, prompt, c0, (int)(c1 - c0), D);
		for (int64_t i = 0; i < n; i++)
			for (int64_t c = c0; c < c1; c++)
				sum[i * K + c / P] += x[i * (c1 - c0) + c - c0];
	}
	for (int64_t i = 0; i < n * K; i++)
		l[i] = (dc_real)(sum[i] / (double)P);
}

void
dc_zeroshot_tokens(struct dc_place *place, int64_t *best, const struct dc_side *image, const int64_t *label,
    const struct dc_side *prompt, int64_t K, int64_t P, int D)
{
	dc_real *l = dc_xaligned((size_t)TILE * K, sizeof *l), *x = dc_xaligned((size_t)TILE * TILE, sizeof *x);
	double *sum = dc_xaligned((size_t)TILE * K, sizeof *sum);
	struct dc_tokenwise w = { 0 };

	for (int64_t n0 = 0, n1; n0 < image->n; n0 = n1) {
		n1 = dc_side_span(image, n0, TILE, TOKENS_N);
		token_scores(&w, l, sum, x, image, n0, (int)(n1 - n0), prompt, K, P, D);
		for (int64_t n = n0; n < n1; n++)
			place_of(&place[n], best ? &best[n] : NULL, l + (n - n0) * K, label[n], K);
	}
	dc_tokenwise_free(&w);
	free(sum);
	free(l);
	free(x);
}
