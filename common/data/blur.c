/* SPDX-License-Identifier: MIT */
#include "data/blur.h"

#include <math.h>
#include <stdlib.h>

#include "base/util.h"

enum { PASSES = 3, FRACTION_BITS = 24 };

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

/* out(x) <- inner * (in(x - reach) + ... + in(x + reach)) + outer * (in(x - reach - 1) + in(x + reach + 1)) of n pixels
 * of 3 channels; the sum slides along. */
static void
pass(uint8_t *restrict out, const uint8_t *restrict in, int n, struct box b)
{
	const uint32_t half = 1u << (FRACTION_BITS - 1);
	uint32_t sum[3] = { 0, 0, 0 };

	for (int x = -1 - b.reach; x < b.reach; x++)
		for (int c = 0; c < 3; c++)
			sum[c] += in[3 * clamp(x, n) + c];
	for (int x = 0; x < n; x++) {
		const uint8_t *left = in + 3 * clamp(x - b.reach - 1, n), *right = in + 3 * clamp(x + b.reach, n);
		const uint8_t *beyond = in + 3 * clamp(x + b.reach + 1, n);

		for (int c = 0; c < 3; c++) {
			sum[c] += (uint32_t)right[c] - left[c];
			out[3 * x + c] = (uint8_t)((sum[c] * b.inner + ((uint32_t)left[c] + beyond[c]) * b.outer + half)
			    >> FRACTION_BITS);
		}
	}
}

/* All passes over one line whose pixels are `step` bytes apart; a and t hold a line each. */
static void
line(uint8_t *p, size_t step, int n, struct box b, uint8_t *a, uint8_t *t)
{
	for (int x = 0; x < n; x++)
		for (int c = 0; c < 3; c++)
			a[3 * x + c] = p[(size_t)x * step + c];
	for (int i = 0; i < PASSES; i++) {
		uint8_t *swap = a;

		pass(t, a, n, b);
		a = t;
		t = swap;
	}
	for (int x = 0; x < n; x++)
		for (int c = 0; c < 3; c++)
			p[(size_t)x * step + c] = a[3 * x + c];
}

void
dc_gaussian_blur(uint8_t *image, int width, int height, double radius)
{
	const size_t row = (size_t)width * 3, longest = (size_t)(width > height ? width : height) * 3;
	const float r = box_radius((float)radius);
	uint8_t *scratch;

	if (r == 0)
		return;
	scratch = dc_xcalloc(2, longest);
	for (int y = 0; y < height; y++)
		line(image + (size_t)y * row, 3, width, box_init(r), scratch, scratch + longest);
	for (int x = 0; x < width; x++)
		line(image + (size_t)x * 3, row, height, box_init(r), scratch, scratch + longest);
	free(scratch);
}
