/* SPDX-License-Identifier: MIT */
#include "score/retrieval.h"

#include <stdlib.h>

#include "base/util.h"
#include "nn/gemm.h"

enum { TILE_N = 512, TILE_C = 1024, COLUMNS = 64 };

struct tile { int64_t n0, c0; int n_n, n_c; };

struct best { double *image, *text; };  /* [N], [C] the cosine to the best of one's own */

static double
dot(const dc_real *a, const dc_real *b, int D)
{
	double s = 0;

	for (int d = 0; d < D; d++)
		s += (double)a[d] * b[d];
	return s;
}

static void
find_own(struct best *b, const dc_real *image, const dc_real *text, const int64_t *owner, int64_t N, int64_t C, int D)
{
	for (int64_t n = 0; n < N; n++)
		b->image[n] = -INFINITY;
	for (int64_t c = 0; c < C; c++) {
		double s = b->text[c] = dot(image + owner[c] * D, text + c * D, D);
		if (s > b->image[owner[c]])
			b->image[owner[c]] = s;
	}
}

static void
count(struct dc_place *p, double cosine, double own, int right)
{
	const int equal = fabs(cosine - own) <= DC_SCORE_EQUAL;

	p->greater += !right && !equal && cosine > own;
	p->ties += !right && equal;
	p->own += right && equal;
}

/* All texts of the tile against each of its images, then all images against each of its texts. */
static void
count_tile(struct dc_place *i2t, struct dc_place *t2i, const dc_real *l, const struct best *b, const int64_t *owner,
    const struct tile *x)
{
	#pragma omp parallel for if (x->n_n * x->n_c > DC_PARALLEL)
	for (int i = 0; i < x->n_n; i++) {
		const int64_t n = x->n0 + i;
		for (int j = 0; j < x->n_c; j++)
			count(&i2t[n], l[(size_t)i * x->n_c + j], b->image[n], owner[x->c0 + j] == n);
	}
	#pragma omp parallel for if (x->n_n * x->n_c > DC_PARALLEL)
	for (int j0 = 0; j0 < x->n_c; j0 += COLUMNS) {
		for (int i = 0; i < x->n_n; i++) {
			for (int j = j0; j < x->n_c && j < j0 + COLUMNS; j++) {
				const int64_t c = x->c0 + j;
				count(&t2i[c], l[(size_t)i * x->n_c + j], b->text[c], owner[c] == x->n0 + i);
			}
		}
	}
}

void
dc_retrieval(struct dc_place *i2t, struct dc_place *t2i, const dc_real *image, const dc_real *text,
    const int64_t *owner, int64_t N, int64_t C, int D)
{
	dc_real *l = dc_xaligned((size_t)TILE_N * TILE_C, sizeof *l);
	struct best b = { dc_xaligned(N + 1, sizeof(double)), dc_xaligned(C + 1, sizeof(double)) };
	struct tile x;

	find_own(&b, image, text, owner, N, C, D);
	for (int64_t n = 0; n < N; n++)
		i2t[n] = (struct dc_place){ 0 };
	for (int64_t c = 0; c < C; c++)
		t2i[c] = (struct dc_place){ 0 };
	for (x.n0 = 0; x.n0 < N; x.n0 += TILE_N) {
		x.n_n = N - x.n0 < TILE_N ? (int)(N - x.n0) : TILE_N;
		for (x.c0 = 0; x.c0 < C; x.c0 += TILE_C) {
			x.n_c = C - x.c0 < TILE_C ? (int)(C - x.c0) : TILE_C;
			/* l_nc = <image_n, text_c> */
			dc_gemm(0, 1, x.n_n, x.n_c, D, 1, image + x.n0 * D, D, text + x.c0 * D, D, 0, l, x.n_c);
			count_tile(i2t, t2i, l, &b, owner, &x);
		}
	}
	for (int64_t c = 0; c < C; c++) {   /* one is its own equal, whatever rounding says */
		t2i[c].own = 1;
		i2t[owner[c]].own += i2t[owner[c]].own == 0;
	}
	free(b.image);
	free(b.text);
	free(l);
}

double
dc_retrieval_chance(int64_t n, int64_t m, int64_t k)
{
	const struct dc_place p = { .greater = 0, .ties = n - m, .own = m };

	return m > 0 ? dc_place_hit(&p, k) : 0;
}
