/* SPDX-License-Identifier: MIT */
#include "data/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef __AVX2__
#include <immintrin.h>
#endif

enum { WEIGHT_BITS = 32 - 8 - 2 }; /* 8 bits of pixel and 2 of headroom (weights overshoot 1) leave these in 32 */

/* One axis: output i is the sum of w[i][k] * in[lo + first[i] + k], k < taps[i]. All inputs lie in [lo, lo + span). */
struct axis {
	int n;             /* outputs */
	int lo, span;
	int *first, *taps;
	int32_t *w;        /* of an output, from i * width on: its weights, in pairs (struct pair); the last may be 0 */
	size_t width;      /* of a row of w, even */
	int identity;      /* output i is input lo + i */
};

static double
triangle(double x)
{
	x = fabs(x);
	return x < 1.0 ? 1.0 - x : 0.0;
}

static double
cubic(double x)
{
	const double a = -0.5;

	x = fabs(x);
	if (x < 1.0)
		return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
	if (x < 2.0)
		return (((x - 5) * x + 8) * x - 4) * a;
	return 0.0;
}

/* Weights of one output pixel, centred on `center`; return how many. */
static int
weigh(double *k, int *first, double center, double scale, int n_in, enum dc_interpolation f)
{
	const double support = (f == DC_BICUBIC ? 2.0 : 1.0) * scale, inverse = 1.0 / scale;
	int lo = (int)(center - support + 0.5), hi = (int)(center + support + 0.5);
	double sum = 0.0;

	if (lo < 0)
		lo = 0;
	if (hi > n_in)
		hi = n_in;
	for (int i = 0; i < hi - lo; i++) {
		const double x = (i + lo - center + 0.5) * inverse;

		k[i] = f == DC_BICUBIC ? cubic(x) : triangle(x);
		sum += k[i];
	}
	for (int i = 0; i < hi - lo; i++)
		if (sum != 0.0)
			k[i] /= sum;
	*first = lo;
	return hi - lo;
}

static int32_t
fixed(double w)
{
	return (int32_t)(w < 0 ? w * (1 << WEIGHT_BITS) - 0.5 : w * (1 << WEIGHT_BITS) + 0.5);
}

/* Products of 16 bits are summed in pairs: two weights a, b lie as their lower SPLIT bits, then as what is above these, a in the
 * lower half of each word. */
enum { SPLIT = 11 };

static void
pair_up(int32_t *w, int taps)
{
	const int32_t mask = (1 << SPLIT) - 1;

	for (int j = 0; j < taps; j += 2) {
		const int32_t a = w[j], b = j + 1 < taps ? w[j + 1] : 0;

		w[j] = (int32_t)((uint32_t)(a & mask) | (uint32_t)(b & mask) << 16);
		w[j + 1] = (int32_t)((uint32_t)((a >> SPLIT) & 0xffff) | (uint32_t)(b >> SPLIT) << 16);
	}
}

/* Outputs [at, at + n) of n_out, over the inputs [b0, b1) of n_in. */
static void
axis_init(struct axis *a, int at, int n, int n_out, float b0, float b1, int n_in, enum dc_interpolation f)
{
	const double scale = (double)(b1 - b0) / n_out, stretched = scale < 1.0 ? 1.0 : scale;
	double *k;

	*a = (struct axis){ .n = n, .lo = at, .span = n, .identity = n_out == n_in && b0 == 0 && b1 == (float)n_in };
	if (a->identity)
		return;
	a->width = (size_t)ceil((f == DC_BICUBIC ? 2.0 : 1.0) * stretched) * 2 + 2;
	a->first = dc_xcalloc((size_t)n, sizeof *a->first);
	a->taps = dc_xcalloc((size_t)n, sizeof *a->taps);
	a->w = dc_xcalloc((size_t)n * a->width, sizeof *a->w);
	k = dc_xcalloc(a->width, sizeof *k);
	for (int i = 0; i < n; i++) {
		int32_t *w_i = a->w + (size_t)i * a->width;

		a->taps[i] = weigh(k, &a->first[i], (double)b0 + (at + i + 0.5) * scale, stretched, n_in, f);
		for (int j = 0; j < a->taps[i]; j++)
			w_i[j] = fixed(k[j]);
		pair_up(w_i, a->taps[i]);
	}
	free(k);
	a->lo = a->first[0];   /* the centres ascend, and so do first and first + taps */
	a->span = a->first[n - 1] + a->taps[n - 1] - a->lo;
	for (int i = 0; i < n; i++)
		a->first[i] -= a->lo;
}

static void
axis_free(struct axis *a)
{
	free(a->first);
	free(a->taps);
	free(a->w);
}

/* Weight k of a row of pairs. */
static inline int32_t
weight(const int32_t *w, int k)
{
	const int32_t *pair = w + (k & ~1);
	const int shift = k & 1 ? 16 : 0;

	return (int16_t)((uint32_t)pair[0] >> shift) + (int16_t)((uint32_t)pair[1] >> shift) * (1 << SPLIT);
}

static inline uint8_t
round8(int32_t sum)
{
	sum >>= WEIGHT_BITS;
	sum = sum < 0 ? 0 : sum;
	sum = sum > 255 ? 255 : sum;
	return (uint8_t)sum;
}

/* Both passes work on LANES sums side by side. */
enum { LANES = 32, ROWS = LANES / 4 };

/* out[i] <- sum_k w[k] * in[k * step + i], i < LANES, rounded to 8 bits. in is not looked at beyond the last weight. */
#ifdef __AVX2__

struct sums { __m256i lower[4], upper[4]; };

/* sum += a weights[even] + b weights[odd] of LANES bytes a, b */
static inline void
add_pair(struct sums *s, __m256i a, __m256i b, const int32_t w[2])
{
	const __m256i zero = _mm256_setzero_si256(), lower = _mm256_set1_epi32(w[0]), upper = _mm256_set1_epi32(w[1]);
	const __m256i lo = _mm256_unpacklo_epi8(a, b), hi = _mm256_unpackhi_epi8(a, b);
	const __m256i x[4] = { _mm256_unpacklo_epi8(lo, zero), _mm256_unpackhi_epi8(lo, zero), _mm256_unpacklo_epi8(hi, zero),
		_mm256_unpackhi_epi8(hi, zero) };

	for (int i = 0; i < 4; i++) {
		s->lower[i] = _mm256_add_epi32(s->lower[i], _mm256_madd_epi16(x[i], lower));
		s->upper[i] = _mm256_add_epi32(s->upper[i], _mm256_madd_epi16(x[i], upper));
	}
}

static inline void
weighted(uint8_t *out, const uint8_t *in, size_t step, const int32_t *w, int taps)
{
#define LINE(k) _mm256_loadu_si256((const __m256i *)(in + (size_t)(k) * step))
	struct sums s;
	int k = 0;

	for (int i = 0; i < 4; i++) {
		s.lower[i] = _mm256_set1_epi32(1 << (WEIGHT_BITS - 1));
		s.upper[i] = _mm256_setzero_si256();
	}
	for (; k + 1 < taps; k += 2)
		add_pair(&s, LINE(k), LINE(k + 1), w + k);
	if (k < taps)
		add_pair(&s, LINE(k), _mm256_setzero_si256(), w + k);
	for (int i = 0; i < 4; i++)
		s.lower[i] = _mm256_srai_epi32(_mm256_add_epi32(s.lower[i], _mm256_slli_epi32(s.upper[i], SPLIT)), WEIGHT_BITS);
	_mm256_storeu_si256((__m256i *)out, _mm256_packus_epi16(_mm256_packs_epi32(s.lower[0], s.lower[1]),
	    _mm256_packs_epi32(s.lower[2], s.lower[3])));
#undef LINE
}

#else

static inline void
weighted(uint8_t *out, const uint8_t *in, size_t step, const int32_t *w, int taps)
{
	int32_t sum[LANES];

	for (int i = 0; i < LANES; i++)
		sum[i] = 1 << (WEIGHT_BITS - 1);
	for (int k = 0; k < taps; k++) {
		const uint8_t *in_k = in + (size_t)k * step;
		const int32_t w_k = weight(w, k);

#pragma omp simd
		for (int i = 0; i < LANES; i++)
			sum[i] += w_k * in_k[i];
	}
#pragma omp simd
	for (int i = 0; i < LANES; i++)
		out[i] = round8(sum[i]);
}

#endif

/* ROWS rows side by side: pixel x of row y to to[x][4 y ...], the fourth byte idle. Rows from n on are the last one again. */
static void
interleave(uint8_t (*to)[LANES], struct dc_raster in, int top, int n)
{
	const uint8_t *row[ROWS];
	int x = 0;

	for (int y = 0; y < ROWS; y++)
		row[y] = in.p + (size_t)(top + (y < n ? y : n - 1)) * in.stride;
#ifdef __AVX2__
	/* four pixels of four rows: 4 x 4 words change places; 16 bytes are read for 12 */
	const __m128i spread = _mm_set_epi8(-1, 11, 10, 9, -1, 8, 7, 6, -1, 5, 4, 3, -1, 2, 1, 0);

	for (; 3 * x + 16 <= 3 * in.width; x += 4)
		for (int y = 0; y < ROWS; y += 4) {
			__m128i p[4], ab, cd;

			for (int i = 0; i < 4; i++)
				p[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(row[y + i] + 3 * x)), spread);
			ab = _mm_unpacklo_epi32(p[0], p[1]);
			cd = _mm_unpacklo_epi32(p[2], p[3]);
			_mm_storeu_si128((__m128i *)(to[x] + 4 * y), _mm_unpacklo_epi64(ab, cd));
			_mm_storeu_si128((__m128i *)(to[x + 1] + 4 * y), _mm_unpackhi_epi64(ab, cd));
			ab = _mm_unpackhi_epi32(p[0], p[1]);
			cd = _mm_unpackhi_epi32(p[2], p[3]);
			_mm_storeu_si128((__m128i *)(to[x + 2] + 4 * y), _mm_unpacklo_epi64(ab, cd));
			_mm_storeu_si128((__m128i *)(to[x + 3] + 4 * y), _mm_unpackhi_epi64(ab, cd));
		}
#endif
	for (; x < in.width; x++)
		for (int y = 0; y < ROWS; y++)
			memcpy(to[x] + 4 * y, row[y] + 3 * x, 3);
}

/* The pixels of n rows from where they lie side by side. But at a row's end the idle byte goes along: the next pixel's
 * first byte will be there. */
static inline void
deal(uint8_t *out, size_t stride, const uint8_t *pixel, int n, int end)
{
	for (int y = 0; y < n; y++)
		if (end)
			memcpy(out + (size_t)y * stride, pixel + 4 * y, 3);
		else
			memcpy(out + (size_t)y * stride, pixel + 4 * y, 4);
}

/* in (H, h->span, 3) -> out (H, h->n, 3) */
static void
pass_rows(uint8_t *out, const struct axis *h, struct dc_raster in)
{
	const size_t bytes = (size_t)h->n * 3;
	uint8_t (*rows)[LANES] = h->identity ? NULL : dc_xcalloc((size_t)in.width, sizeof *rows), pixel[LANES];

	for (int y = 0; h->identity && y < in.height; y++)
		memcpy(out + (size_t)y * bytes, in.p + (size_t)y * in.stride, bytes);
	for (int top = 0; !h->identity && top < in.height; top += ROWS) {
		const int n = in.height - top < ROWS ? in.height - top : ROWS;

		interleave(rows, in, top, n);
		for (int x = 0; x < h->n; x++) {
			weighted(pixel, rows[h->first[x]], LANES, h->w + (size_t)x * h->width, h->taps[x]);
			if (n == ROWS && x + 1 < h->n)
				deal(out + (size_t)top * bytes + 3 * (size_t)x, bytes, pixel, ROWS, 0);
			else
				deal(out + (size_t)top * bytes + 3 * (size_t)x, bytes, pixel, n, x + 1 == h->n);
		}
	}
	free(rows);
}

/* Row y of the output, at which v looks from row v->first[y] on. */
static void
columns(uint8_t *out, const struct axis *v, int y, struct dc_raster in)
{
	const size_t bytes = (size_t)in.width * 3;
	const uint8_t *from = in.p + (size_t)v->first[y] * in.stride;
	const int32_t *w = v->w + (size_t)y * v->width;
	size_t i = 0;

	for (; i + LANES <= bytes; i += LANES)
		weighted(out + i, from + i, in.stride, w, v->taps[y]);
	for (; i < bytes; i++) {
		int32_t sum = 1 << (WEIGHT_BITS - 1);

		for (int k = 0; k < v->taps[y]; k++)
			sum += weight(w, k) * from[(size_t)k * in.stride + i];
		out[i] = round8(sum);
	}
}

/* in (v->span, W, 3) -> out (v->n, W, 3) */
static void
pass_columns(uint8_t *out, const struct axis *v, struct dc_raster in)
{
	const size_t bytes = (size_t)in.width * 3;

	for (int y = 0; y < v->n; y++)
		if (v->identity)
			memcpy(out + (size_t)y * bytes, in.p + (size_t)y * in.stride, bytes);
		else
			columns(out + (size_t)y * bytes, v, y, in);
}

static void
both_passes(uint8_t *out, const struct axis *h, const struct axis *v, struct dc_raster in, int columns_first)
{
	uint8_t *mid;

	in = dc_raster_crop(in, h->lo, v->lo, h->span, v->span);
	if (columns_first) {
		mid = dc_xmalloc((size_t)v->n * 3 * (size_t)h->span);
		pass_columns(mid, v, in);
		pass_rows(out, h, dc_raster(mid, h->span, v->n));
	} else {
		mid = dc_xmalloc((size_t)v->span * 3 * (size_t)h->n);
		pass_rows(mid, h, in);
		pass_columns(out, v, dc_raster(mid, h->n, v->span));
	}
	free(mid);
}

static int
check(int width, int height, struct dc_raster in, const float b[4], const int w[4])
{
	DC_CHECK(width >= 1 && height >= 1, "resample: the output is %d x %d pixels", width, height);
	DC_CHECK(in.width >= 1 && in.height >= 1, "resample: the image is %d x %d pixels", in.width, in.height);
	DC_CHECK(b[0] >= 0 && b[1] >= 0 && b[2] <= (float)in.width && b[3] <= (float)in.height && b[0] < b[2] && b[1] < b[3],
	    "resample: box (%g, %g, %g, %g) is not inside %d x %d pixels", (double)b[0], (double)b[1], (double)b[2],
	    (double)b[3], in.width, in.height);
	DC_CHECK(w[0] >= 0 && w[1] >= 0 && w[2] >= 1 && w[3] >= 1 && w[2] <= width - w[0] && w[3] <= height - w[1],
	    "resample: window %d x %d at (%d, %d) is not inside %d x %d pixels", w[2], w[3], w[0], w[1], width, height);
	return 0;
}

int
dc_resample(uint8_t *out, int width, int height, struct dc_raster in, const float box[4], const int window[4],
    enum dc_interpolation f)
{
	const float all[4] = { 0, 0, (float)in.width, (float)in.height };
	const int every[4] = { 0, 0, width, height };
	const float *b = box ? box : all;
	const int *win = window ? window : every;
	/* Pillow 13's choice: the columns first where the height loses more than twice the pixels of the width */
	const int columns_first = height < in.height &&
	    (int64_t)in.height - height > 2 * ((int64_t)in.width - width);
	struct axis h, v;

	DC_TRY(check(width, height, in, b, win));
	axis_init(&h, win[0], win[2], width, b[0], b[2], in.width, f);
	axis_init(&v, win[1], win[3], height, b[1], b[3], in.height, f);
	both_passes(out, &h, &v, in, columns_first);
	axis_free(&h);
	axis_free(&v);
	return 0;
}
