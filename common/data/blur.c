/* SPDX-License-Identifier: MIT */
#include "data/blur.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

enum { PASSES = 3 /* see passes() */, FRACTION_BITS = 24 };

/* A box of 2 reach + 1 pixels of weight `inner` each, with two more of weight `outer` at its ends; in 24-bit fixed
 * point, (2 reach + 1) inner + 2 outer = 1 up to rounding. */
struct box { int reach; uint32_t inner, outer; };

/* The (fractional) box radius whose PASSES-fold convolution has the Gaussian's variance; equations [7], [11], [14] of
 * the paper, in single precision as in Pillow:
 *	L = sqrt(12 s2 / n + 1), l = floor((L - 1) / 2), a = (2l + 1)(l(l + 1) - 3 s2/n) / (6 (s2/n - (l + 1)^2)). */
static float
box_radius(float radius)
{
	const float s2 = radius * radius / PASSES;
	const float len = (float)sqrt(12.0 * (double)s2 + 1.0);
	const float l = (float)floor(((double)len - 1.0) / 2.0);
	float a = (2 * l + 1) * (l * (l + 1) - 3 * s2);

	a /= 6 * (s2 - (l + 1) * (l + 1));
	return l + a;
}

static struct box
box_init(float radius)
{
	struct box b = { .reach = (int)radius };

	b.inner = (uint32_t)((float)(1u << FRACTION_BITS) / (radius * 2 + 1));
	b.outer = ((1u << FRACTION_BITS) - (uint32_t)(b.reach * 2 + 1) * b.inner) / 2;
	return b;
}

static int
clamp(int x, int n)
{
	return x < 0 ? 0 : x >= n ? n - 1 : x;
}

/* Lines are blurred LANES bytes side by side: position x of all of them is one row of a strip, (n, LANES) bytes, and every
 * step a loop over the lanes, which the compiler makes vectors of. */
enum { LANES = 64 };

/* out(x) <- inner * (in(x - reach) + ... + in(x + reach)) + outer * (in(x - reach - 1) + in(x + reach + 1)) of n rows; the
 * sum slides along. */
static void
pass(uint8_t (*out)[LANES], uint8_t (*in)[LANES], int n, struct box b)
{
	const uint32_t half = 1u << (FRACTION_BITS - 1);
	uint32_t sum[LANES] = { 0 };

	for (int x = -1 - b.reach; x < b.reach; x++) {
		const uint8_t *next = in[clamp(x, n)];

#pragma omp simd
		for (int i = 0; i < LANES; i++)
			sum[i] += next[i];
	}
	for (int x = 0; x < n; x++) {
		const uint8_t *left = in[clamp(x - b.reach - 1, n)], *right = in[clamp(x + b.reach, n)];
		const uint8_t *beyond = in[clamp(x + b.reach + 1, n)];
		uint8_t *to = out[x];

#pragma omp simd
		for (int i = 0; i < LANES; i++) {
			sum[i] += (uint32_t)right[i] - left[i];
			to[i] = (uint8_t)((sum[i] * b.inner + ((uint32_t)left[i] + beyond[i]) * b.outer + half)
			    >> FRACTION_BITS);
		}
	}
}

/* strip holds two strips: what is in the first ends up in the second. */
static void
passes(uint8_t (*strip)[LANES], int n, struct box b)
{
	pass(strip + n, strip, n, b);
	pass(strip, strip + n, n, b);
	pass(strip + n, strip, n, b);
}

/* Down the columns: a strip is LANES bytes wide in the image too. */
static void
blur_columns(uint8_t *image, size_t row, int height, struct box b, uint8_t (*strip)[LANES])
{
	for (size_t at = 0; at < row; at += LANES) {
		const size_t bytes = row - at < LANES ? row - at : LANES;

		for (int y = 0; y < height; y++)
			memcpy(strip[y], image + (size_t)y * row + at, bytes);
		passes(strip, height, b);
		for (int y = 0; y < height; y++)
			memcpy(image + (size_t)y * row + at, strip[height + y], bytes);
	}
}

/* Along the rows: LANES / 4 rows make a strip, a pixel's three bytes and an idle one beside the next row's. */
static void
blur_rows(uint8_t *image, int width, int height, struct box b, uint8_t (*strip)[LANES])
{
	const size_t row = (size_t)width * 3;

	for (int top = 0; top < height; top += LANES / 4) {
		const int rows = height - top < LANES / 4 ? height - top : LANES / 4;

		for (int y = 0; y < rows; y++)
			for (int x = 0; x < width; x++)
				memcpy(strip[x] + 4 * y, image + (size_t)(top + y) * row + 3 * x, 3);
		passes(strip, width, b);
		for (int y = 0; y < rows; y++)
			for (int x = 0; x < width; x++)
				memcpy(image + (size_t)(top + y) * row + 3 * x, strip[width + x] + 4 * y, 3);
	}
}

/* --- boxes of one or three whole pixels: radii below 2.4, all that training draws. No sum slides: each pixel looks at its
 * neighbours on either side, `step` values away, in lines of 16-bit values that are continued beyond their ends. --- */

enum { BESIDE = 2 /* pixels that are looked at on each side, at most */, STRIP = 32, VECTOR = 16 /* values */ };

/* out(i) <- (inner * sum + outer * ends + 2^23) / 2^24 for n values, and up to VECTOR - 1 behind them. */
static void
near_pass(uint16_t *restrict out, const uint16_t *restrict in, size_t n, size_t step, struct box b)
{
	const uint16_t *l1 = in - step, *r1 = in + step, *l2 = l1 - step, *r2 = r1 + step;

#ifdef __AVX2__
	/* the weights in two parts of 12 bits, so that a product of pairs in 16 bits takes both sums at once */
	const __m256i upper = _mm256_set1_epi32((int)(b.inner >> 12 | b.outer >> 12 << 16));
	const __m256i lower = _mm256_set1_epi32((int)((b.inner & 4095) | (b.outer & 4095) << 16));
	const __m256i half = _mm256_set1_epi32(1 << (FRACTION_BITS - 1));
#define AT(p) _mm256_loadu_si256((const __m256i *)((p) + i))
#define WEIGH(x) _mm256_srli_epi32(_mm256_add_epi32(_mm256_slli_epi32(_mm256_madd_epi16(x, upper), 12), \
	    _mm256_add_epi32(_mm256_madd_epi16(x, lower), half)), FRACTION_BITS)

	for (size_t i = 0; i < n; i += VECTOR) {
		__m256i sum = AT(in), ends = _mm256_add_epi16(AT(l1), AT(r1));

		if (b.reach) {
			sum = _mm256_add_epi16(sum, ends);
			ends = _mm256_add_epi16(AT(l2), AT(r2));
		}
		_mm256_storeu_si256((__m256i *)(out + i), _mm256_packus_epi32(WEIGH(_mm256_unpacklo_epi16(sum, ends)),
		    WEIGH(_mm256_unpackhi_epi16(sum, ends))));
	}
#undef AT
#undef WEIGH
#else
	for (size_t i = 0; i < n; i++) {
		const uint32_t beside = (uint32_t)l1[i] + r1[i], sum = b.reach ? in[i] + beside : in[i];
		const uint32_t ends = b.reach ? (uint32_t)l2[i] + r2[i] : beside;

		out[i] = (uint16_t)((sum * b.inner + ends * b.outer + (1u << (FRACTION_BITS - 1))) >> FRACTION_BITS);
	}
#endif
}

/* What stands at either end of n pixels of `step` values goes on beyond. */
static void
continue_ends(uint16_t *line, size_t n, size_t step)
{
	uint16_t *last = line + (n - 1) * step;

	for (size_t k = 1; k <= BESIDE; k++) {
		memcpy(line - k * step, line, step * sizeof *line);
		memcpy(last + k * step, last, step * sizeof *line);
	}
}

/* n pixels of `step` values; they end up in b. */
static void
near_passes(uint16_t *a, uint16_t *b, size_t n, size_t step, struct box box)
{
	continue_ends(a, n, step);
	near_pass(b, a, n * step, step, box);
	continue_ends(b, n, step);
	near_pass(a, b, n * step, step, box);
	continue_ends(a, n, step);
	near_pass(b, a, n * step, step, box);
}

static void
widen(uint16_t *restrict to, const uint8_t *restrict from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = from[i];
}

static void
narrow(uint8_t *restrict to, const uint16_t *restrict from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)from[i];
}

static void
near_rows(uint8_t *image, size_t width, size_t height, struct box box, uint16_t *a, uint16_t *b)
{
	for (size_t y = 0; y < height; y++) {
		widen(a, image + y * width * 3, width * 3);
		near_passes(a, b, width, 3, box);
		narrow(image + y * width * 3, b, width * 3);
	}
}

static void
near_columns(uint8_t *image, size_t row, size_t height, struct box box, uint16_t *a, uint16_t *b)
{
	for (size_t at = 0; at < row; at += STRIP) {
		const size_t n = row - at < STRIP ? row - at : STRIP;

		for (size_t y = 0; y < height; y++)
			widen(a + y * STRIP, image + y * row + at, n);
		near_passes(a, b, height, STRIP, box);
		for (size_t y = 0; y < height; y++)
			narrow(image + y * row + at, b + y * STRIP, n);
	}
}

static void
near_blur(uint8_t *image, size_t width, size_t height, struct box box)
{
	const size_t rows = (width + 2 * BESIDE) * 3 + VECTOR, columns = (height + 2 * BESIDE) * STRIP;
	const size_t room = (rows > columns ? rows : columns) + 2 * BESIDE * STRIP;
	uint16_t *memory = dc_xcalloc(2 * room, sizeof *memory), *a = memory + BESIDE * STRIP;

	near_rows(image, width, height, box, a, a + room);
	near_columns(image, width * 3, height, box, a, a + room);
	free(memory);
}

void
dc_gaussian_blur(uint8_t *image, int width, int height, double radius)
{
	const size_t longest = (size_t)(width > height ? width : height);
	const float r = box_radius((float)radius);
	uint8_t (*strip)[LANES];

	if (r == 0)
		return;
	if (box_init(r).reach <= 1) {
		near_blur(image, (size_t)width, (size_t)height, box_init(r));
		return;
	}
	strip = dc_xcalloc(2 * longest, sizeof *strip);
	blur_rows(image, width, height, box_init(r), strip);
	blur_columns(image, (size_t)width * 3, height, box_init(r), strip);
	free(strip);
}
