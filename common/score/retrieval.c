/* SPDX-License-Identifier: MIT */
#include "score/retrieval.h"

#include <stdlib.h>

#include "base/util.h"
#include "nn/gemm.h"

enum { TILE_N = 512, TILE_C = 1024, COLUMNS = 128 };

struct tile { int64_t n0, c0; int n_n, n_c; const dc_real *l; /* [n_n,n_c] cosines */ };

/* The cosine to the best of one's own, less and plus what counts as equal. */
struct bounds { dc_real *lo, *hi; };

static double
dot(const dc_real *a, const dc_real *b, int D)
{
	double s = 0;

	for (int d = 0; d < D; d++)
		s += (double)a[d] * b[d];
	return s;
}

static struct bounds
new_bounds(int64_t n)
{
	return (struct bounds){ dc_xaligned(n + 1, sizeof(dc_real)), dc_xaligned(n + 1, sizeof(dc_real)) };
}

static void
free_bounds(struct bounds *b)
{
	free(b->lo);
	free(b->hi);
}

static void
widen(struct bounds *b, int64_t i, double own)
{
	b->lo[i] = (dc_real)(own - DC_SCORE_EQUAL);
	b->hi[i] = (dc_real)(own + DC_SCORE_EQUAL);
}

static void
find_own(struct bounds *bi, struct bounds *bt, const dc_real *image, const dc_real *text, const int64_t *owner,
    int64_t N, int64_t C, int D)
{
	double *best = dc_xaligned(N + 1, sizeof *best);

	for (int64_t n = 0; n < N; n++)
		best[n] = -INFINITY;
	for (int64_t c = 0; c < C; c++) {
		const double s = dot(image + owner[c] * D, text + c * D, D);
		best[owner[c]] = s > best[owner[c]] ? s : best[owner[c]];
		widen(bt, c, s);
	}
	for (int64_t n = 0; n < N; n++)
		widen(bi, n, best[n]);
	free(best);
}

/* All texts of the tile against each of its images. */
static void
count_rows(struct dc_place *i2t, const struct bounds *b, const struct tile *x)
{
	#pragma omp parallel for if (x->n_n * x->n_c > DC_PARALLEL)
	for (int i = 0; i < x->n_n; i++) {
		const dc_real *l = x->l + (size_t)i * x->n_c, lo = b->lo[x->n0 + i], hi = b->hi[x->n0 + i];
		int above = 0, reach = 0;
		for (int j = 0; j < x->n_c; j++) {
			above += l[j] > hi;
			reach += l[j] >= lo;
		}
		i2t[x->n0 + i].greater += above;
		i2t[x->n0 + i].ties += reach - above;
	}
}

/* All images of the tile against each of its texts. */
static void
count_columns(struct dc_place *t2i, const struct bounds *b, const struct tile *x)
{
	#pragma omp parallel for if (x->n_n * x->n_c > DC_PARALLEL)
	for (int j0 = 0; j0 < x->n_c; j0 += COLUMNS) {
		const int n_j = x->n_c - j0 < COLUMNS ? x->n_c - j0 : COLUMNS;
		const dc_real *lo = b->lo + x->c0 + j0, *hi = b->hi + x->c0 + j0;
		int above[COLUMNS] = { 0 }, reach[COLUMNS] = { 0 };
		for (int i = 0; i < x->n_n; i++) {
			const dc_real *l = x->l + (size_t)i * x->n_c + j0;
			for (int j = 0; j < n_j; j++) {
				above[j] += l[j] > hi[j];
				reach[j] += l[j] >= lo[j];
			}
		}
		for (int j = 0; j < n_j; j++) {
			t2i[x->c0 + j0 + j].greater += above[j];
			t2i[x->c0 + j0 + j].ties += reach[j] - above[j];
		}
	}
}

/* A right candidate was counted like any other: it is nobody's rival. */
static void
own_up(struct dc_place *p, dc_real cosine, dc_real lo, dc_real hi)
{
	p->greater -= cosine > hi;
	p->ties -= cosine >= lo && !(cosine > hi);
	p->own += cosine >= lo;
}

static void
count_tile(struct dc_place *i2t, struct dc_place *t2i, const struct bounds *bi, const struct bounds *bt,
    const int64_t *owner, const struct tile *x)
{
	count_rows(i2t, bi, x);
	count_columns(t2i, bt, x);
	for (int j = 0; j < x->n_c; j++) {
		const int64_t c = x->c0 + j, n = owner[c];
		if (n < x->n0 || n >= x->n0 + x->n_n)
			continue;
		const dc_real l = x->l[(size_t)(n - x->n0) * x->n_c + j];
		own_up(&i2t[n], l, bi->lo[n], bi->hi[n]);
		own_up(&t2i[c], l, bt->lo[c], bt->hi[c]);
	}
}

/* Even where rounding says otherwise, one is one's own equal; whoever has none has no place. */
static void
settle(struct dc_place *i2t, struct dc_place *t2i, const struct bounds *bi, const int64_t *owner, int64_t N, int64_t C)
{
	for (int64_t c = 0; c < C; c++) {
		t2i[c].own = 1;
		i2t[owner[c]].own += i2t[owner[c]].own == 0;
	}
	for (int64_t n = 0; n < N; n++)
		if (isinf(bi->hi[n]))
			i2t[n] = (struct dc_place){ 0 };
}

void
dc_retrieval(struct dc_place *i2t, struct dc_place *t2i, const dc_real *image, const dc_real *text,
    const int64_t *owner, int64_t N, int64_t C, int D)
{
	dc_real *l = dc_xaligned((size_t)TILE_N * TILE_C, sizeof *l);
	struct bounds bi = new_bounds(N), bt = new_bounds(C);
	struct tile x = { .l = l };

	find_own(&bi, &bt, image, text, owner, N, C, D);
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
			count_tile(i2t, t2i, &bi, &bt, owner, &x);
		}
	}
	settle(i2t, t2i, &bi, owner, N, C);
	free_bounds(&bi);
	free_bounds(&bt);
	free(l);
}

double
dc_retrieval_chance(int64_t n, int64_t m, int64_t k)
{
	const struct dc_place p = { .greater = 0, .ties = n - m, .own = m };

	return m > 0 ? dc_place_hit(&p, k) : 0;
}
