/* SPDX-License-Identifier: MIT */
#include "data/blur.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

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

void
dc_gaussian_blur(uint8_t *image, int width, int height, double radius)
{
	const size_t longest = (size_t)(width > height ? width : height);
	const float r = box_radius((float)radius);
	uint8_t (*strip)[LANES];

	if (r == 0)
		return;
	strip = dc_xcalloc(2 * longest, sizeof *strip);
	blur_rows(image, width, height, box_init(r), strip);
	blur_columns(image, (size_t)width * 3, height, box_init(r), strip);
	free(strip);
}
