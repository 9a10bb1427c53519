/* SPDX-License-Identifier: MIT */
/* The kernels of resampling, blur and colour against naive_pixels.h: the same bytes, at sizes around the kernels' blocks. */
#include "data/blur.h"
#include "data/photometric.h"
#include "data/views.h"
#include "tests/naive_pixels.h"
#include "tests/tap.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Noise, or where `flat`, few and extreme values: grays, blacks, whites, equal channels. */
static uint8_t *
pixels(size_t n, uint64_t seed, int flat)
{
	uint8_t *p = dc_xmalloc(n * 3);

	for (size_t i = 0; i < 3 * n; i++) {
		uint64_t x = (i + 1) * 0x9e3779b97f4a7c15 + seed;

		x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
		x = (x ^ x >> 27) * 0x94d049bb133111eb;
		p[i] = flat ? (uint8_t[]){ 0, 0, 255, 255, 1, 254, 128, 127 }[x >> 61] : (uint8_t)(x >> 56);
	}
	return p;
}

static uint8_t *
copy(const uint8_t *p, size_t n)
{
	return memcpy(dc_xmalloc(n * 3), p, n * 3);
}

/* Every colour, and every turn of the hue on some. */
static void
test_hue(void)
{
	uint8_t *p = dc_xmalloc(3 << 16), *q = dc_xmalloc(3 << 16);
	int same = 1;

	for (int r = 0; r < 256; r++) {
		for (int i = 0; i < 1 << 16; i++)
			p[3 * i] = q[3 * i] = (uint8_t)r, p[3 * i + 1] = q[3 * i + 1] = (uint8_t)(i >> 8),
			p[3 * i + 2] = q[3 * i + 2] = (uint8_t)i;
		dc_adjust_hue(p, 1 << 16, r / 255.0 - 0.5);
		naive_adjust_hue(q, 1 << 16, r / 255.0 - 0.5);
		same &= !memcmp(p, q, 3 << 16);
	}
	ok(same, "hue: all colours, turned by -0.5 to 0.5");
	free(p);
	free(q);
}

static void
test_colours(void)
{
	static void (*const op[][2])(uint8_t *, size_t, double) = {
		{ dc_adjust_brightness, naive_adjust_brightness }, { dc_adjust_contrast, naive_adjust_contrast },
		{ dc_adjust_saturation, naive_adjust_saturation }, { dc_adjust_hue, naive_adjust_hue }
	};
	static const double by[] = { 0, 0.1, 0.3, 0.6123, 0.999, 1, 1.0001, 1.3, 1.4, 2.5, 10 };

	for (size_t k = 0; k < COUNT(op); k++) {
		int same = 1;

		for (size_t i = 0; i < COUNT(by); i++)
			for (size_t n = 0; n < 5000; n = n * 5 / 4 + 1) {
				uint8_t *p = pixels(n, n + i, i & 1), *q = copy(p, n);

				op[k][0](p, n, k == 3 ? by[i] / 20 : by[i]);
				op[k][1](q, n, k == 3 ? by[i] / 20 : by[i]);
				same &= !memcmp(p, q, 3 * n);
				free(p);
				free(q);
			}
		ok(same, "colour operation %d: any number of pixels", (int)k);
	}
}

static void
test_gray(void)
{
	int same = 1;

	for (size_t n = 0; n < 5000; n = n * 5 / 4 + 1) {
		uint8_t *p = pixels(n, n, 0), *q = copy(p, n);

		dc_grayscale(p, n);
		naive_grayscale(q, n);
		same &= !memcmp(p, q, 3 * n);
		free(p);
		free(q);
	}
	ok(same, "grayscale: any number of pixels");
}

/* Lists of changes are the changes one by one. */
static void
test_lists(void)
{
	static void (*const naive[])(uint8_t *, size_t, double) = { naive_adjust_brightness, naive_adjust_contrast,
		naive_adjust_saturation, naive_adjust_hue };
	int same = 1;

	for (size_t i = 0; i < 400; i++) {
		const size_t n = i * i % 700;
		const int k = (int)(i % 12);
		uint8_t *p = pixels(n, i, i % 3 == 0), *q = copy(p, n);
		struct dc_change list[12];

		for (int c = 0; c < k; c++) {
			const size_t x = (i + 1) * (size_t)(c + 7) * 2654435761u >> 7;

			list[c] = (struct dc_change){ (enum dc_change_kind)(x % 5), (double)(x / 5 % 1000) / (x % 5 == 3 ? 1500 : 600) };
			if (x % 5 == 4)
				naive_grayscale(q, n);
			else
				naive[x % 5](q, n, list[c].f);
		}
		dc_change_colours(p, n, list, k);
		same &= !memcmp(p, q, 3 * n);
		free(p);
		free(q);
	}
	ok(same, "lists of up to eleven changes");
}

static void
test_flip(void)
{
	int same = 1;

	for (int w = 1; w < 90; w++) {
		const size_t n = (size_t)w * 3;
		uint8_t *p = pixels(n, (uint64_t)w, 0), *q = copy(p, n);

		dc_flip(p, w, 3);
		for (int i = 0; i < 3 * w; i++)
			same &= !memcmp(p + 3 * i, q + 3 * (i / w * w + w - 1 - i % w), 3);
		free(p);
		free(q);
	}
	ok(same, "mirror images 1 to 89 wide");
}

static const int side[] = { 1, 2, 3, 5, 15, 16, 17, 21, 22, 43, 64, 65, 100, 224, 225 };

static void
test_blur(void)
{
	static const double radius[] = { 0.01, 0.1, 0.5, 1, 1.3, 1.99, 2, 3.7, 20 };

	for (size_t r = 0; r < COUNT(radius); r++) {
		int same = 1;

		for (size_t i = 0; i < COUNT(side) * COUNT(side); i += 1 + i % 3) {
			const int w = side[i % COUNT(side)], h = side[i / COUNT(side)];
			const size_t n = (size_t)w * (size_t)h;
			uint8_t *p = pixels(n, i, i & 1), *q = copy(p, n);

			dc_gaussian_blur(p, w, h, radius[r]);
			naive_gaussian_blur(q, w, h, radius[r]);
			same &= !memcmp(p, q, 3 * n);
			free(p);
			free(q);
		}
		ok(same, "blur by %g: sides of 1 to 225", radius[r]);
	}
}

/* One size to another, a crop of a larger image; `in` ends where the image does, for the sanitizers. */
static int
resampled(int w, int h, int ow, int oh, enum dc_interpolation f)
{
	uint8_t *in = pixels((size_t)w * (size_t)h, (uint64_t)(w + 1000 * h), w & 1);
	uint8_t *p = dc_xmalloc((size_t)ow * (size_t)oh * 3), *q = dc_xmalloc((size_t)ow * (size_t)oh * 3);
	const struct dc_raster crop = dc_raster_crop(dc_raster(in, w, h), w / 5, h / 7, w - w / 5, h - h / 7);
	const int same = dc_resample(p, ow, oh, crop, NULL, NULL, f) == 0 && naive_resample(q, ow, oh, crop, NULL, NULL, f) == 0 &&
	    !memcmp(p, q, (size_t)ow * (size_t)oh * 3);

	free(in);
	free(p);
	free(q);
	return same;
}

static void
test_resample(void)
{
	static const int to[] = { 1, 2, 7, 16, 31, 64, 224 };

	for (int f = 0; f < 2; f++)
		for (size_t t = 0; t < COUNT(to); t++) {
			int same = 1;

			for (size_t i = 0; i < COUNT(side) * COUNT(side); i += 1 + i % 5)
				same &= resampled(side[i % COUNT(side)], side[i / COUNT(side)], to[t], to[(t + i) % COUNT(to)],
				    f ? DC_BICUBIC : DC_BILINEAR);
			same &= resampled(501, 377, to[t], to[t], f ? DC_BICUBIC : DC_BILINEAR);
			ok(same, "%s from sides of 1 to 501 to %d and others", f ? "bicubic" : "bilinear", to[t]);
		}
}

int
main(void)
{
	test_hue();
	test_colours();
	test_gray();
	test_lists();
	test_flip();
	test_blur();
	test_resample();
	return done_testing();
}
