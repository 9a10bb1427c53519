/* SPDX-License-Identifier: MIT */
#include "score/retrieval.h"

#include <stdlib.h>

#include "base/util.h"
#include "nn/gemm.h"
#include "score/tokenwise.h"

enum { TILE_N = 512, TILE_C = 1024, COLUMNS = 128, TOKENS_N = 1024, TOKENS_C = 2048 };

/* x, y [n_n,n_c]: the similarities from image to text and from text to image; the same array where they are the cosine. */
struct tile { int64_t n0, c0; int n_n, n_c; dc_real *x, *y; };

/* Both sides, and whether they have tokens. */
struct both { const struct dc_side *image, *text; const int64_t *owner; int D, tokens; struct dc_tokenwise work; };

/* The similarity to the best of one's own, less and plus what counts as equal. */
struct bounds { dc_real *lo, *hi; };

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
find_own(struct bounds *bi, struct bounds *bt, const struct both *p)
{
	const int64_t N = p->image->n, C = p->text->n, *owner = p->owner;
	double *best = dc_xaligned(N + 1, sizeof *best);

	for (int64_t n = 0; n < N; n++)
		best[n] = -INFINITY;
	for (int64_t c = 0; c < C; c++) {
		const struct dc_tokenwise_pair s = dc_tokenwise_pair(p->image, owner[c], p->text, c, p->D);
		best[owner[c]] = s.x > best[owner[c]] ? s.x : best[owner[c]];
		widen(bt, c, s.y);
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
		const dc_real *l = x->x + (size_t)i * x->n_c, lo = b->lo[x->n0 + i], hi = b->hi[x->n0 + i];
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
			const dc_real *l = x->y + (size_t)i * x->n_c + j0;
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
own_up(struct dc_place *p, dc_real l, dc_real lo, dc_real hi)
{
	p->greater -= l > hi;
	p->ties -= l >= lo && !(l > hi);
	p->own += l >= lo;
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
		const size_t at = (size_t)(n - x->n0) * (size_t)x->n_c + (size_t)j;
		own_up(&i2t[n], x->x[at], bi->lo[n], bi->hi[n]);
		own_up(&t2i[c], x->y[at], bt->lo[c], bt->hi[c]);
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

static void
compute_tile(struct both *p, const struct tile *x)
{
	if (p->tokens)
		dc_tokenwise(&p->work, x->x, x->y, p->image, x->n0, x->n_n, p->text, x->c0, x->n_c, p->D);
	else /* x_nc = <image_n, text_c> */
		dc_gemm(0, 1, x->n_n, x->n_c, p->D, 1, p->image->row + x->n0 * p->D, p->D, p->text->row + x->c0 * p->D, p->D, 0, x->x,
		    x->n_c);
}

/* Without tokens only the samples of a tile are bounded. */
static int64_t
span(const struct both *p, const struct dc_side *s, int64_t from, int64_t samples, int64_t rows)
{
	return dc_side_span(s, from, samples, p->tokens ? rows : INT64_MAX);
}

void
dc_retrieval(struct dc_place *i2t, struct dc_place *t2i, const struct dc_side *image, const struct dc_side *text,
    const int64_t *owner, int D)
{
	struct both p = { .image = image, .text = text, .owner = owner, .D = D, .tokens = image->off || text->off };
	dc_real *l = dc_xaligned((size_t)TILE_N * TILE_C * (p.tokens ? 2 : 1), sizeof *l);
	const int64_t N = image->n, C = text->n;
	struct bounds bi = new_bounds(N), bt = new_bounds(C);
	struct tile x = { .x = l, .y = p.tokens ? l + (size_t)TILE_N * TILE_C : l };

	find_own(&bi, &bt, &p);
	for (int64_t n = 0; n < N; n++)
		i2t[n] = (struct dc_place){ 0 };
	for (int64_t c = 0; c < C; c++)
		t2i[c] = (struct dc_place){ 0 };
	for (x.n0 = 0; x.n0 < N; x.n0 += x.n_n) {
		x.n_n = (int)(span(&p, image, x.n0, TILE_N, TOKENS_N) - x.n0);
		for (x.c0 = 0; x.c0 < C; x.c0 += x.n_c) {
			x.n_c = (int)(span(&p, text, x.c0, TILE_C, TOKENS_C) - x.c0);
			compute_tile(&p, &x);
			count_tile(i2t, t2i, &bi, &bt, owner, &x);
		}
	}
	settle(i2t, t2i, &bi, owner, N, C);
	dc_tokenwise_free(&p.work);
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
