/* SPDX-License-Identifier: MIT */
#include "score/tokenwise.h"

#include <stdlib.h>

#include "base/util.h"
#include "nn/gemm.h"

void
dc_tokenwise_free(struct dc_tokenwise *w)
{
	free(w->l);
}

static int64_t
first_row(const struct dc_side *s, int64_t i)
{
	return s->off ? s->off[i] : i;
}

int64_t
dc_side_span(const struct dc_side *s, int64_t from, int64_t samples, int64_t rows)
{
	int64_t to = from + 1;

	while (to < s->n && to < from + samples && first_row(s, to + 1) - first_row(s, from) <= rows)
		to++;
	return to;
}

static dc_real
largest(const dc_real *l, int64_t n)
{
	dc_real max = l[0];

	for (int64_t r = 1; r < n; r++)
		max = l[r] > max ? l[r] : max;
	return max;
}

/* x of one image and one caption: l [n_k,n_r] are their products, rows `stride` apart. */
static double
to_caption(const dc_real *l, int64_t n_k, int64_t n_r, int64_t stride)
{
	double sum = 0;

	for (int64_t k = 0; k < n_k && n_r; k++)
		sum += largest(l + k * stride, n_r);
	return n_k ? sum / (double)n_k : 0;
}

/* The largest of each column of l [n_k,m] into its first row. */
static void
fold_columns(dc_real *restrict l, int64_t n_k, int64_t m)
{
	for (int64_t k = 1; k < n_k; k++) {
		const dc_real *row = l + k * m;
		for (int64_t c = 0; c < m; c++)
			l[c] = row[c] > l[c] ? row[c] : l[c];
	}
}

static double
mean(const dc_real *l, int64_t n)
{
	double sum = 0;

	for (int64_t r = 0; r < n; r++)
		sum += l[r];
	return n ? sum / (double)n : 0;
}

/* A row of x and y: l [n_k,n_c] are the products of one image's tokens with those of m captions from c0 on. Overwrites l. */
static void
score_image(dc_real *x, dc_real *y, dc_real *l, int64_t n_k, int64_t n_c, const struct dc_side *text, int64_t c0, int m)
{
	const int64_t begin = first_row(text, c0);

	for (int j = 0; j < m; j++) {
		const int64_t at = first_row(text, c0 + j) - begin, n_r = first_row(text, c0 + j + 1) - begin - at;
		x[j] = (dc_real)to_caption(l + at, n_k, n_r, n_c);
	}
	if (y)
		fold_columns(l, n_k, n_c);
	for (int j = 0; y && j < m; j++) {
		const int64_t at = first_row(text, c0 + j) - begin, n_r = first_row(text, c0 + j + 1) - begin - at;
		y[j] = n_k ? (dc_real)mean(l + at, n_r) : 0;
	}
}

void
dc_tokenwise(struct dc_tokenwise *w, dc_real *x, dc_real *y, const struct dc_side *image, int64_t n0, int n,
    const struct dc_side *text, int64_t c0, int m, int D)
{
	const int64_t a = first_row(image, n0), b = first_row(text, c0);
	const int n_a = (int)(first_row(image, n0 + n) - a), n_b = (int)(first_row(text, c0 + m) - b);
	const size_t need = (size_t)n_a * (size_t)n_b;

	if (need > w->cap) {
		free(w->l);
		w->l = dc_xaligned(w->cap = need, sizeof *w->l);
	}
	if (need) /* l_kr = <a_k, b_r> */
		dc_gemm(0, 1, n_a, n_b, D, 1, image->row + a * D, D, text->row + b * D, D, 0, w->l, n_b);
	#pragma omp parallel for if (need > DC_PARALLEL)
	for (int i = 0; i < n; i++) {
		const int64_t k = first_row(image, n0 + i) - a, n_k = first_row(image, n0 + i + 1) - a - k;
		score_image(x + (size_t)i * m, y ? y + (size_t)i * m : NULL, w->l + (size_t)k * n_b, n_k, n_b, text, c0, m);
	}
}

/* 1/|i| sum_{k in i} max_{r in j} <a_k,b_r> */
static double
one_way(const struct dc_side *a, int64_t i, const struct dc_side *b, int64_t j, int D)
{
	const int64_t k0 = first_row(a, i), k1 = first_row(a, i + 1), r0 = first_row(b, j), r1 = first_row(b, j + 1);
	double sum = 0;

	for (int64_t k = k0; k < k1 && r0 < r1; k++) {
		double max = dc_dot(a->row + k * D, b->row + r0 * D, D);
		for (int64_t r = r0 + 1; r < r1; r++)
			max = fmax(max, dc_dot(a->row + k * D, b->row + r * D, D));
		sum += max;
	}
	return k0 < k1 ? sum / (double)(k1 - k0) : 0;
}

struct dc_tokenwise_pair
dc_tokenwise_pair(const struct dc_side *image, int64_t n, const struct dc_side *text, int64_t c, int D)
{
	return (struct dc_tokenwise_pair){ one_way(image, n, text, c, D), one_way(text, c, image, n, D) };
}
