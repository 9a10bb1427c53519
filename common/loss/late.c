/* SPDX-License-Identifier: MIT */
#include "loss/late.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/wide.h"
#include "nn/gemm.h"
#include "nn/threads.h"

/* What one thread takes at a time, about; its products stay in its cache. PIECES: a tile's words are in so many, or a
 * multiple: threads end together. */
enum { PIECE_WORDS = 256, PIECE_PATCHES = 512, PIECES = 4 };
/* Backward a thread gives so many samples the rows of the other side, about so many at a time, which stay in its cache. */
enum { GROUP = 8, BLOCK_ROWS = 256 };

/* What the backward pass needs of all tiles is kept where it takes no more than this, in bytes for each product of a tile;
 * then none is computed twice. */
enum { KEEP = 4 };

/* The words of samples i0 .. i1 against the patches of samples j0 .. j1. */
struct tile {
	int i0, i1, j0, j1;
	int w0, n_words, n_patches;
	int n_i, n_j;                   /* samples in a piece */
	double *x, *y;                  /* [j1 - j0, i1 - i0], [i1 - i0, j1 - j0]: x_ji and y_ij; then the gradients by them */
	int32_t *best_word;             /* [i1 - i0, n_patches] of each patch in each sample, from 0; -1: there is none */
	int32_t *best_patch;            /* [n_words, j1 - j0] of each word in each sample, from 0 */
};

/* A part of it, in samples from the tile's first; its words from the tile's first. */
struct piece { int i0, i1, j0, j1, w0, n_words, n_patches; };

void
dc_late_work_free(struct dc_late_work *w)
{
	free(w->word);
	free(w->patch);
	free(w->l);
	free(w->logit);
	free(w->place);
	free(w->row);
}

static void *
room(void *p, size_t *cap, size_t n, size_t size)
{
	if (n <= *cap)
		return p;
	*cap = n;
	free(p);
	return dc_xaligned(n, size);
}

/* --- tiles and pieces --- */

static int
keeps(const struct dc_late_work *w, const struct dc_late *p)
{
	const double N = p->N, places = N * p->off[p->N] + N * N * p->G;

	return places * sizeof(int32_t) + 2 * N * N * sizeof(double) <= KEEP * (double)w->rows * w->cols;
}

/* Samples of so many rows in a block. */
static int
block_of(int rows)
{
	return rows < BLOCK_ROWS ? BLOCK_ROWS / (rows ? rows : 1) : 1;
}

/* Samples from `from` on whose words are at most `most` together, or one. */
static int
span(const int32_t *off, int from, int N, int most)
{
	int to = from + 1;

	while (to < N && off[to + 1] - off[from] <= most)
		to++;
	return to;
}

static int
min_int(int a, int b)
{
	return a < b ? a : b;
}

static int
up(int a, int b)
{
	return (a + b - 1) / b;
}

/* Of n samples with `rows` rows together, how many a piece has. */
static int
share(int n, int rows, int most, int pieces)
{
	return rows ? up(n, up(rows, most * pieces) * pieces) : n;
}

/* Where the logits and places of this tile begin: behind those of the tiles before, if these are kept. */
static void
tile_begin(struct tile *x, const struct dc_late_work *w, const struct dc_late *p, size_t logit, size_t place)
{
	const size_t n_i = x->i1 - x->i0, n_j = x->j1 - x->j0;

	x->w0 = p->off[x->i0];
	x->n_words = p->off[x->i1] - x->w0;
	x->n_patches = (x->j1 - x->j0) * p->G;
	x->n_i = share((int)n_i, x->n_words, PIECE_WORDS, PIECES);
	x->n_j = share((int)n_j, x->n_patches, PIECE_PATCHES, 1);
	x->x = w->logit + logit;
	x->y = x->x + n_i * n_j;
	x->best_word = w->place + place;
	x->best_patch = x->best_word + n_i * (size_t)x->n_patches;
}

static struct piece
piece_at(const struct tile *x, const struct dc_late *p, int n)
{
	const int across = up(x->j1 - x->j0, x->n_j), i0 = n / across * x->n_i, j0 = n % across * x->n_j;
	struct piece s = { .i0 = i0, .i1 = min_int(i0 + x->n_i, x->i1 - x->i0), .j0 = j0, .j1 = min_int(j0 + x->n_j, x->j1 - x->j0) };

	s.w0 = p->off[x->i0 + s.i0] - x->w0;
	s.n_words = p->off[x->i0 + s.i1] - x->w0 - s.w0;
	s.n_patches = (s.j1 - s.j0) * p->G;
	return s;
}

static int
pieces(const struct tile *x)
{
	return up(x->i1 - x->i0, x->n_i) * up(x->j1 - x->j0, x->n_j);
}

/* --- products, and the largest among them --- */

/* Sample j's patch g. A piece's patches lie in the order of their number in a sample, then of samples: what is compared with
 * one another is then as far apart as the piece has samples, and as many comparisons lie side by side. */
static int
samples_beside(const struct tile *x, int j)
{
	return min_int(x->n_j, x->j1 - x->j0 - j / x->n_j * x->n_j);
}

static double *
patch_at(double *u, const struct dc_late *p, const struct tile *x, int j, int g)
{
	const int first = j / x->n_j * x->n_j;

	return u + ((size_t)first * p->G + (size_t)g * samples_beside(x, j) + (j - first)) * p->D;
}

static void
make_patches(double *u, const struct dc_late *p, const struct tile *x)
{
	#pragma omp parallel for if ((size_t)x->n_patches * p->D > DC_PARALLEL)
	for (int j = 0; j < x->j1 - x->j0; j++)
		for (int g = 0; g < p->G; g++)
			dc_rows_make(patch_at(u, p, x, j, g), &p->patch, (x->j0 + j) * p->G + g, 1, p->D);
}

/* For each of n columns the largest of m rows of l, ld apart, the first of equal ones, NaN being the largest of all. */
DC_WIDE static void
largest(double *restrict max, int64_t *restrict at, const double *restrict l, int ld, int m, int n)
{
	for (int c = 0; c < n; c++) {
		max[c] = m ? l[c] : 0;
		at[c] = m ? 0 : -1;
	}
	for (int r = 1; r < m; r++) {
		const double *l_r = l + (size_t)r * ld;

		for (int c = 0; c < n; c++) {
			const int more = !(l_r[c] <= max[c]) & (max[c] == max[c]);
			max[c] = more ? l_r[c] : max[c];
			at[c] = more ? r : at[c];
		}
	}
}

/* x_ji of one sample i: of each patch the largest of its words */
static void
words_of(const struct dc_late *p, const struct tile *x, const struct piece *s, int i, const double *l, double *max, int64_t *at)
{
	const int n_j = s->j1 - s->j0, n_i = x->i1 - x->i0, n = x->i0 + i, words = p->off[n + 1] - p->off[n];
	int32_t *best = x->best_word + (size_t)i * x->n_patches + s->j0 * p->G;

	largest(max, at, l, s->n_patches, p->word_top ? p->word_top[n] : words, s->n_patches);
	for (int c = 0; c < s->n_patches; c++)
		best[c] = (int32_t)at[c];
	for (int g = 1; g < p->G; g++)
		for (int j = 0; j < n_j; j++)
			max[j] += max[g * n_j + j];
	for (int j = 0; j < n_j; j++)
		x->x[(size_t)(s->j0 + j) * n_i + i] = p->scale * max[j] / p->G;
}

/* y_ij of one sample i: of each of its words the largest of j's patches */
static void
patches_of(const struct dc_late *p, const struct tile *x, const struct piece *s, int i, const double *l, double *max, int64_t *at)
{
	const int n_j = s->j1 - s->j0, all = x->j1 - x->j0, n = x->i0 + i, words = p->off[n + 1] - p->off[n];
	int32_t *best = x->best_patch + (size_t)(p->off[n] - x->w0) * all + s->j0;
	double *y = x->y + (size_t)i * all + s->j0;

	memset(y, 0, n_j * sizeof *y);
	for (int k = 0; k < words; k++) {
		largest(max, at, l + (size_t)k * s->n_patches, n_j, p->patch_top, n_j);
		for (int j = 0; j < n_j; j++) {
			best[(size_t)k * all + j] = (int32_t)at[j];
			y[j] += max[j];
		}
	}
	for (int j = 0; j < n_j && words; j++)
		y[j] *= p->scale / words;
}

/* The products of a piece, <w_k, p_r>, and from them its logits. */
static void
piece_logits(const struct dc_late_work *w, const struct dc_late *p, const struct tile *x, int n, double *l)
{
	const struct piece s = piece_at(x, p, n);
	double *max = l;
	int64_t *at = (int64_t *)(void *)(max + s.n_patches);

	l += 2 * s.n_patches;
	dc_gemm64(0, 1, s.n_words, s.n_patches, p->D, 1, w->word + (size_t)s.w0 * p->D, p->D,
	    w->patch + (size_t)s.j0 * p->G * p->D, p->D, 0, l, s.n_patches);
	for (int i = s.i0; i < s.i1; i++) {
		const double *l_i = l + (size_t)(p->off[x->i0 + i] - x->w0 - s.w0) * s.n_patches;
		words_of(p, x, &s, i, l_i, max, at);
		patches_of(p, x, &s, i, l_i, max, at);
	}
}

/* Numbers in the largest piece: its products, and for each of its patches the largest and its place. */
static size_t
largest_piece(const struct dc_late *p, const struct tile *x)
{
	size_t most = 0;

	for (int n = 0; n < pieces(x); n++) {
		const struct piece s = piece_at(x, p, n);
		const size_t size = ((size_t)s.n_words + 2) * s.n_patches;
		most = size > most ? size : most;
	}
	return most;
}

static void
tile_rows(struct dc_late_work *w, const struct dc_late *p, const struct tile *x)
{
	w->word = room(w->word, &w->cap_word, (size_t)x->n_words * p->D, sizeof *w->word);
	w->patch = room(w->patch, &w->cap_patch, (size_t)x->n_patches * p->D, sizeof *w->patch);
	dc_rows_make(w->word, &p->word, x->w0, x->n_words, p->D);
	make_patches(w->patch, p, x);
}

/* The pieces' sizes do not depend on the threads, so that neither do the products' bits. */
static void
tile_logits(struct dc_late_work *w, const struct dc_late *p, const struct tile *x)
{
	const size_t size = largest_piece(p, x);

	tile_rows(w, p, x);
	w->l = room(w->l, &w->cap_l, size * dc_threads(), sizeof *w->l);
	#pragma omp parallel for schedule(dynamic, 1) if ((double)x->n_words * x->n_patches * p->D > DC_PARALLEL_PRODUCT)
	for (int n = 0; n < pieces(x); n++)
		piece_logits(w, p, x, n, w->l + size * dc_thread());
}

/* n rows of m logits, entries `at` and on of the rows that begin with number `first` */
static void
add_logits(struct dc_late_row *row, const double *l, int n, int m, int first, int at)
{
	#pragma omp parallel for if (n * m > DC_PARALLEL)
	for (int i = 0; i < n; i++) {
		const double *l_i = l + (size_t)i * m;
		dc_lse_add(&row[first + i].lse, l_i, m, at);
		if (first + i >= at && first + i < at + m)
			row[first + i].own = l_i[first + i - at];
	}
}

static void
forward_tile(struct dc_late_work *w, const struct dc_late *p, const struct tile *x)
{
	const int n_i = x->i1 - x->i0, n_j = x->j1 - x->j0;

	tile_logits(w, p, x);
	add_logits(w->row, x->x, n_j, n_i, x->j0, x->i0);
	add_logits(w->row + p->N, x->y, n_i, n_j, x->i0, x->j0);
}

/* --- gradients --- */

/* Of n rows of m logits l_ij, from row `first` and entry `at` on, with p_ij = exp(l_ij) / sum_j exp(l_ij):
 *	g_ij = dL/dl_ij = v (p_ij - [i = j]),   dL/ds = sum_ij v p_ij (l_ij - l_ii) / s
 * s g_ij takes the place of the logit. */
static void
gradient(const struct dc_late *p, struct dc_late_row *row, double *l, int n, int m, int first, int at, double v)
{
	#pragma omp parallel for if (n * m > DC_PARALLEL)
	for (int i = 0; i < n; i++) {
		struct dc_late_row *r = &row[first + i];
		double *l_i = l + (size_t)i * m;

		for (int j = 0; j < m; j++) {
			const double e = v * exp(l_i[j] - r->lse.max) / r->lse.sum;

			r->ds += e * (l_i[j] - r->own) / p->scale;
			l_i[j] = p->scale * (e - (at + j == first + i ? v : 0));
		}
	}
}

/* g times a row x of the other side: one of the many that a row is given. */
struct given { const double *x; double g; };

enum { LANES = 8, STRIP = 64 };
typedef double lanes __attribute__((vector_size(LANES * sizeof(double))));

/* y += sum_t g_t x_t, one strip of y after the other: it stays in registers */
DC_WIDE static void
add_given(double *restrict y, const struct given *s, int n, int D)
{
	int d = 0;

	for (; d + STRIP <= D; d += STRIP) {
		lanes sum[STRIP / LANES];

		memcpy(sum, y + d, sizeof sum);
		for (int t = 0; t < n; t++)
			for (int l = 0; l < STRIP / LANES; l++) {
				lanes x;
				memcpy(&x, s[t].x + d + l * LANES, sizeof x);
				sum[l] += s[t].g * x;
			}
		memcpy(y + d, sum, sizeof sum);
	}
	for (int t = 0; t < n; t++)
		for (int e = d; e < D; e++)
			y[e] += s[t].g * s[t].x[e];
}

/* Of the products of samples i and j those of a word or a patch with its best have a gradient: for each the word and the
 * patch, from the samples' first, and the gradient. Returns how many there are. */
struct best { int32_t word, patch; double g; };

static int
pairs(struct best *b, const struct dc_late *p, const struct tile *x, int i, int j)
{
	const int n_j = x->j1 - x->j0, first = j / x->n_j * x->n_j, apart = samples_beside(x, j);
	const int words = p->off[x->i0 + i + 1] - p->off[x->i0 + i], w0 = p->off[x->i0 + i] - x->w0;
	const int32_t *word = x->best_word + (size_t)i * x->n_patches + first * p->G + (j - first);
	const int32_t *patch = x->best_patch + (size_t)w0 * n_j + j;
	const double gx = x->x[(size_t)j * (x->i1 - x->i0) + i] / p->G, gy = words ? x->y[(size_t)i * n_j + j] / words : 0;
	int n = 0;

	for (int k = 0; k < words; k++) {
		const int r = patch[(size_t)k * n_j];
		b[n++] = (struct best){ k, r, word[r * apart] == k ? gx + gy : gy };   /* each the other's best */
	}
	for (int r = 0; r < p->G; r++) {
		const int k = word[r * apart];
		if (k >= 0 && patch[(size_t)k * n_j] != r)
			b[n++] = (struct best){ k, r, gx };
	}
	return n;
}

static int64_t
place_in(const struct dc_rows *rows, int64_t n)
{
	return rows->at ? rows->at[n] : n;
}

/* What a thread has of one sample: pairs; gifts with the numbers of the rows they are for; the same in the order of these
 * rows, and where each one's begin. */
struct heap { struct best *best; struct given *given, *sorted; int32_t *to, *from; int n; };

static void
give(struct heap *h, int to, const double *x, double g)
{
	h->to[h->n] = to;
	h->given[h->n++] = (struct given){ x, g };
}

/* To the rows first .. first + n of d what there is for each. */
static void
hand_out(struct heap *h, const struct dc_rows *rows, double *d, int first, int n, int D)
{
	int32_t *from = h->from;

	memset(from, 0, ((size_t)n + 1) * sizeof *from);
	for (int t = 0; t < h->n; t++)
		from[h->to[t] + 1]++;
	for (int k = 0; k < n; k++)
		from[k + 1] += from[k];
	for (int t = 0; t < h->n; t++)
		h->sorted[from[h->to[t]]++] = h->given[t];
	for (int k = 0, at = 0; k < n; at = from[k++])   /* where k's began, k - 1's end now */
		add_given(d + place_in(rows, first + k) * D, h->sorted + at, from[k] - at, D);
	h->n = 0;
}

/* dL/dw_k += g_kr p_r for the words of sample i and the patches of the samples [j0, j1) */
static void
add_to_words(struct heap *h, const struct dc_late_work *w, const struct dc_late *p, const struct tile *x, int i, int j0, int j1)
{
	const int first = p->off[x->i0 + i];

	for (int j = j0; j < j1; j++) {
		const double *patch = patch_at(w->patch, p, x, j, 0);
		const size_t apart = (size_t)samples_beside(x, j) * p->D;

		for (int n = pairs(h->best, p, x, i, j), t = 0; t < n; t++)
			give(h, h->best[t].word, patch + apart * h->best[t].patch, h->best[t].g);
	}
	hand_out(h, &p->word, p->d_word, first, p->off[x->i0 + i + 1] - first, p->D);
}

/* dL/dp_r += g_kr w_k for the patches of sample j and the words of the samples [i0, i1) */
static void
add_to_patches(struct heap *h, const struct dc_late_work *w, const struct dc_late *p, const struct tile *x, int j, int i0, int i1)
{
	for (int i = i0; i < i1; i++) {
		const double *word = w->word + (size_t)(p->off[x->i0 + i] - x->w0) * p->D;

		for (int n = pairs(h->best, p, x, i, j), t = 0; t < n; t++)
			give(h, h->best[t].patch, word + (size_t)h->best[t].word * p->D, h->best[t].g);
	}
	hand_out(h, &p->patch, p->d_patch, (x->j0 + j) * p->G, p->G, p->D);
}

/* What the words of the samples [i0, end) are given by all patches of the tile. */
static void
gradient_of_words(struct heap *h, const struct dc_late_work *w, const struct dc_late *p, const struct tile *x, int i0, int end)
{
	const int n_j = x->j1 - x->j0, block = block_of(p->G);

	for (int j0 = 0; j0 < n_j; j0 += block)
		for (int i = i0; i < end; i++)
			add_to_words(h, w, p, x, i, j0, min_int(j0 + block, n_j));
}

/* What the patches of the samples [j0, end) are given by all words of the tile. */
static void
gradient_of_patches(struct heap *h, const struct dc_late_work *w, const struct dc_late *p, const struct tile *x, int j0, int end)
{
	const int n_i = x->i1 - x->i0, block = block_of(x->n_words / n_i);

	for (int i0 = 0; i0 < n_i; i0 += block)
		for (int j = j0; j < end; j++)
			add_to_patches(h, w, p, x, j, i0, min_int(i0 + block, n_i));
}

static int
most_words(const struct dc_late *p, const struct tile *x)
{
	int most = 0;

	for (int i = x->i0; i < x->i1; i++)
		most = p->off[i + 1] - p->off[i] > most ? p->off[i + 1] - p->off[i] : most;
	return most;
}

/* For each thread: of a sample with one other as many pairs as both have rows; gifts of as many others as are in a block. */
static struct heap *
heaps_new(size_t rows, size_t others)
{
	struct heap *h = dc_xcalloc((size_t)dc_threads(), sizeof *h);

	for (int t = 0; t < dc_threads(); t++) {
		h[t].best = dc_xmalloc(rows * sizeof *h->best);
		h[t].given = dc_xmalloc(2 * rows * others * sizeof *h->given);
		h[t].sorted = h[t].given + rows * others;
		h[t].to = dc_xmalloc((rows * others + rows + 1) * sizeof *h->to);
		h[t].from = h[t].to + rows * others;
	}
	return h;
}

static void
heaps_free(struct heap *h)
{
	for (int t = 0; t < dc_threads(); t++) {
		free(h[t].best);
		free(h[t].given);
		free(h[t].to);
	}
	free(h);
}

/* Of the products of a word with a sample's patches one alone has a gradient, and of a patch with a sample's words: sums of
 * rows are a tenth of the work of products. */
static void
backward_tile(struct dc_late_work *w, const struct dc_late *p, const struct tile *x, double v)
{
	const int n_i = x->i1 - x->i0, n_j = x->j1 - x->j0, groups = up(n_i, GROUP);
	struct heap *heap = heaps_new((size_t)most_words(p, x) + p->G, (size_t)min_int(BLOCK_ROWS, n_i > n_j ? n_i : n_j));

	gradient(p, w->row, x->x, n_j, n_i, x->j0, x->i0, v);
	gradient(p, w->row + p->N, x->y, n_i, n_j, x->i0, x->j0, v);
	#pragma omp parallel for schedule(dynamic, 1) if ((double)x->n_words * x->n_patches > DC_PARALLEL)
	for (int n = 0; n < groups + up(n_j, GROUP); n++) {
		const int first = (n < groups ? n : n - groups) * GROUP;

		if (n < groups)
			gradient_of_words(heap + dc_thread(), w, p, x, first, min_int(first + GROUP, n_i));
		else
			gradient_of_patches(heap + dc_thread(), w, p, x, first, min_int(first + GROUP, n_j));
	}
	heaps_free(heap);
}

/* --- all of it --- */

static void
logit_room(struct dc_late_work *w, const struct dc_late *p, const struct tile *x)
{
	const size_t N = p->N, n_i = x->i1 - x->i0, n_j = x->j1 - x->j0, G = p->G, words = p->off[x->i1] - p->off[x->i0];

	w->logit = room(w->logit, &w->cap_logit, 2 * (w->kept ? N * N : n_i * n_j), sizeof *w->logit);
	w->place = room(w->place, &w->cap_place, w->kept ? N * (p->off[p->N] + N * G) : n_j * (words + n_i * G), sizeof *w->place);
}

/* Every tile once; how many there were. */
static int
over_tiles(struct dc_late_work *w, const struct dc_late *p, int backward, int recompute, double v)
{
	const int n_j = p->G < w->cols ? w->cols / p->G : 1;
	size_t logit = 0, place = 0;
	struct tile x;
	int n = 0;

	for (x.i0 = 0; x.i0 < p->N; x.i0 = x.i1) {
		x.i1 = span(p->off, x.i0, p->N, w->rows);
		for (x.j0 = 0; x.j0 < p->N; x.j0 = x.j1, n++) {
			x.j1 = min_int(x.j0 + n_j, p->N);
			logit_room(w, p, &x);
			tile_begin(&x, w, p, logit, place);
			if (!backward)
				forward_tile(w, p, &x);
			else if (recompute)
				(w->kept ? tile_rows : tile_logits)(w, p, &x);
			if (backward)
				backward_tile(w, p, &x, v);
			logit += w->kept ? 2 * (size_t)(x.i1 - x.i0) * (x.j1 - x.j0) : 0;
			place += w->kept ? (size_t)(x.i1 - x.i0) * x.n_patches + (size_t)x.n_words * (x.j1 - x.j0) : 0;
		}
	}
	return n;
}

void
dc_late_loss(struct dc_late_work *w, const struct dc_late *p, double weight, struct dc_late_result *r)
{
	int tiles;

	w->row = room(w->row, &w->cap_row, 2 * (size_t)p->N, sizeof *w->row);
	w->kept = keeps(w, p);
	for (int n = 0; n < 2 * p->N; n++)
		w->row[n] = (struct dc_late_row){ .lse = { .max = -INFINITY, .arg = -1 } };
	tiles = over_tiles(w, p, 0, 0, 0);
	*r = (struct dc_late_result){ 0 };
	for (int n = 0; n < 2 * p->N; n++) {
		r->value += (w->row[n].lse.max - w->row[n].own + log(w->row[n].lse.sum)) / (2.0 * p->N);
		*(n < p->N ? &r->right_patch : &r->right_word) += (w->row[n].lse.arg == n % p->N) / (double)p->N;
	}
	if (weight == 0)
		return;
	over_tiles(w, p, 1, tiles > 1, weight / (2.0 * p->N));
	for (int n = 0; n < 2 * p->N; n++)
		r->d_scale += w->row[n].ds;
}

int
dc_late_top(int64_t *row, const dc_real *x, const double *rx, int n, const dc_real *y, const double *ry, int m, int D,
    int top)
{
	double *sum = dc_xcalloc((size_t)D + (size_t)n, sizeof *sum), *score = sum + D;
	char *taken = dc_xcalloc((size_t)n + 1, 1);
	int k = 0, last;

	for (int r = 0; r < m; r++)
		for (int d = 0; d < D; d++)
			sum[d] += ry[r] * y[(size_t)r * D + d];
	for (int i = 0; i < n; i++)
		for (int d = 0; d < D; d++)
			score[i] += rx[i] * x[(size_t)i * D + d] * sum[d];
	for (; k < n && k < top; k++) {
		int best = -1;
		for (int i = 0; i < n; i++)
			if (!taken[i] && (best < 0 || score[i] > score[best]))
				best = i;
		taken[best] = 1;
		row[k] = best;
	}
	last = k;
	for (int i = 0; i < n; i++)
		if (!taken[i])
			row[last++] = i;
	free(sum);
	free(taken);
	return k;
}
