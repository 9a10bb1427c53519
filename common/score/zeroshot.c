/* SPDX-License-Identifier: MIT */
#include "score/zeroshot.h"

#include <stdlib.h>

#include "base/util.h"
#include "loss/unit.h"
#include "nn/gemm.h"

enum { TILE = 512 };

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
