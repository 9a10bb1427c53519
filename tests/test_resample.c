/* SPDX-License-Identifier: MIT */
/* Resampling, blur, colour changes and whole views against what Pillow, torchvision and open_clip made of the same
 * images (tests/golden/augment.h). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/blur.h"
#include "data/photometric.h"
#include "data/resample.h"
#include "data/views.h"
#include "tests/golden/augment.h"
#include "tests/tap.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* The image of tests/reference/augment_golden.py. */
static uint8_t *
noise(int w, int h)
{
	const size_t n = (size_t)w * (size_t)h * 3;
	uint8_t *p = dc_xmalloc(n);

	for (size_t i = 0; i < n; i++) {
		uint64_t x = i + 1000000 * (uint64_t)w + 1000 * (uint64_t)h;

		x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
		x = (x ^ x >> 27) * 0x94d049bb133111eb;
		p[i] = (uint8_t)(x >> 56);
	}
	return p;
}

static uint64_t
fnv(const uint8_t *p, size_t n)
{
	uint64_t x = 0xcbf29ce484222325;

	for (size_t i = 0; i < n; i++)
		x = (x ^ p[i]) * 0x100000001b3;
	return x;
}

static void
test_resample(void)
{
	for (size_t i = 0; i < COUNT(golden_resample); i++) {
		const int w = golden_resample[i].w, h = golden_resample[i].h;
		const int ow = golden_resample[i].ow, oh = golden_resample[i].oh;
		uint8_t *in = noise(w, h), *out = dc_xcalloc((size_t)ow * 3, (size_t)oh);
		int r = dc_resample(out, ow, oh, dc_raster(in, w, h), golden_resample[i].box, NULL,
		    golden_resample[i].filter ? DC_BICUBIC : DC_BILINEAR);

		ok(r == 0 && fnv(out, (size_t)ow * (size_t)oh * 3) == golden_resample[i].want,
		    "resample %d: %dx%d from (%g, %g, %g, %g) to %dx%d, %s", (int)i, w, h, (double)golden_resample[i].box[0],
		    (double)golden_resample[i].box[1], (double)golden_resample[i].box[2], (double)golden_resample[i].box[3],
		    ow, oh, golden_resample[i].filter ? "bicubic" : "bilinear");
		free(in);
		free(out);
	}
}

/* A window of the output is that part of the whole output, also when the image is a crop of a larger one. */
static void
test_window(void)
{
	uint8_t *in = noise(120, 90), whole[40 * 50 * 3], part[11 * 7 * 3];
	const struct dc_raster crop = dc_raster_crop(dc_raster(in, 120, 90), 13, 5, 101, 80);
	const int window[4] = { 29, 20, 11, 7 };
	int same = 1;

	for (int f = 0; f < 2; f++) {
		const enum dc_interpolation filter = f ? DC_BICUBIC : DC_BILINEAR;

		same &= dc_resample(whole, 40, 50, crop, NULL, NULL, filter) == 0;
		same &= dc_resample(part, 40, 50, crop, NULL, window, filter) == 0;
		for (int y = 0; y < 7; y++)
			same &= !memcmp(part + y * 33, whole + ((20 + y) * 40 + 29) * 3, 33);
	}
	ok(same, "a window is a part of the whole output");
	free(in);
}

/* A crop through the raster is a copied crop: nothing outside it is looked at. */
static void
test_crop(void)
{
	uint8_t *in = noise(60, 40), *copy = dc_xmalloc(31 * 17 * 3), a[24 * 24 * 3], b[24 * 24 * 3];

	for (int y = 0; y < 17; y++)
		memcpy(copy + y * 31 * 3, in + ((y + 9) * 60 + 20) * 3, 31 * 3);
	ok(dc_resample(a, 24, 24, dc_raster_crop(dc_raster(in, 60, 40), 20, 9, 31, 17), NULL, NULL, DC_BICUBIC) == 0 &&
	    dc_resample(b, 24, 24, dc_raster(copy, 31, 17), NULL, NULL, DC_BICUBIC) == 0 && !memcmp(a, b, sizeof a),
	    "a crop seen through a raster is a crop copied");
	free(in);
	free(copy);
}

static void
test_refusals(void)
{
	uint8_t in[4 * 4 * 3] = { 0 }, out[4 * 4 * 3];
	const struct dc_raster r = dc_raster(in, 4, 4);
	const float outside[4] = { 0, 0, 4.5f, 4 }, empty[4] = { 2, 0, 2, 4 }, nan[4] = { NAN, 0, 4, 4 };
	const int window[4] = { 2, 0, 3, 4 };

	ok(dc_resample(out, 0, 4, r, NULL, NULL, DC_BILINEAR) < 0, "an empty output is refused");
	ok(dc_resample(out, 4, 4, dc_raster(in, 0, 4), NULL, NULL, DC_BILINEAR) < 0, "an empty image is refused");
	ok(dc_resample(out, 4, 4, r, outside, NULL, DC_BILINEAR) < 0, "a box outside the image is refused");
	ok(dc_resample(out, 4, 4, r, empty, NULL, DC_BILINEAR) < 0, "an empty box is refused");
	ok(dc_resample(out, 4, 4, r, nan, NULL, DC_BILINEAR) < 0, "a box that is no number is refused");
	ok(dc_resample(out, 4, 4, r, NULL, window, DC_BILINEAR) < 0, "a window outside the output is refused");
}

static void
test_blur(void)
{
	for (size_t i = 0; i < COUNT(golden_blur); i++) {
		const int w = golden_blur[i].w, h = golden_blur[i].h;
		uint8_t *p = noise(w, h);

		dc_gaussian_blur(p, w, h, golden_blur[i].radius);
		ok(fnv(p, (size_t)w * (size_t)h * 3) == golden_blur[i].want, "blur %dx%d radius %g", w, h,
		    golden_blur[i].radius);
		free(p);
	}
}

static void
change(uint8_t *p, size_t n, int op, double f)
{
	switch (op) {
	case BRIGHTNESS: dc_adjust_brightness(p, n, f); break;
	case CONTRAST:   dc_adjust_contrast(p, n, f); break;
	case SATURATION: dc_adjust_saturation(p, n, f); break;
	case HUE:        dc_adjust_hue(p, n, f); break;
	default:         dc_grayscale(p, n);
	}
}

static void
test_colour(void)
{
	static const char *const name[] = { "brightness", "contrast", "saturation", "hue", "gray" };

	for (size_t i = 0; i < COUNT(golden_colour); i++) {
		const int w = golden_colour[i].w, h = golden_colour[i].h;
		uint8_t *p = noise(w, h);

		change(p, (size_t)w * (size_t)h, golden_colour[i].op, golden_colour[i].f);
		ok(fnv(p, (size_t)w * (size_t)h * 3) == golden_colour[i].want, "%s %g of %dx%d", name[golden_colour[i].op],
		    golden_colour[i].f, w, h);
		free(p);
	}
}

static void
test_flip(void)
{
	uint8_t odd[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19 }, one[] = { 1, 2, 3 };
	const uint8_t want[] = { 7, 8, 9, 4, 5, 6, 1, 2, 3, 17, 18, 19, 14, 15, 16, 11, 12, 13 };
	uint8_t *p = noise(10, 6), *q = noise(10, 6);

	dc_flip(odd, 3, 2);
	dc_flip(one, 1, 1);
	ok(!memcmp(odd, want, sizeof odd) && one[0] == 1 && one[2] == 3, "flip mirrors left to right");
	dc_flip(p, 10, 6);
	ok(memcmp(p, q, 180) != 0, "a flip changes an image");
	dc_flip(p, 10, 6);
	ok(!memcmp(p, q, 180), "two flips are none");
	free(p);
	free(q);
}

/* Whole views from given parameters: the order of the operations, and what each hands to the next. */
static void
test_view(void)
{
	for (size_t i = 0; i < COUNT(golden_view); i++) {
		const int w = golden_view[i].w, h = golden_view[i].h, size = golden_view[i].size;
		const struct dc_view_recipe r = { .size = size, .interpolation = golden_view[i].filter ? DC_BICUBIC : DC_BILINEAR };
		struct dc_view v = { .resized = { size, size }, .gray = golden_view[i].gray, .flip = golden_view[i].flip };
		uint8_t *in = noise(w, h), *out = dc_xcalloc((size_t)size * 3, (size_t)size);

		memcpy(v.box, golden_view[i].box, sizeof v.box);
		memcpy(v.order, golden_view[i].order, sizeof v.order);
		for (int k = 0; k < DC_JITTERS; k++)
			v.jitter[k] = golden_view[i].jitter[k] < -1 ? NAN : golden_view[i].jitter[k];
		v.blur = golden_view[i].blur < 0 ? NAN : golden_view[i].blur;
		ok(dc_view_apply(out, dc_raster(in, w, h), &r, &v) == 0 &&
		    fnv(out, (size_t)size * (size_t)size * 3) == golden_view[i].want, "view %d: %dx%d to %d", (int)i, w, h, size);
		free(in);
		free(out);
	}
}

/* The evaluation's view: where it is cut depends on the size alone. */
static void
test_evaluation(void)
{
	static const char *const resize[] = { "shortest", "longest", "squash" };

	for (size_t i = 0; i < COUNT(golden_eval); i++) {
		const int w = golden_eval[i].w, h = golden_eval[i].h, size = golden_eval[i].size;
		const struct dc_view_recipe r = { .size = size, .centre = 1, .resize = (enum dc_resize)golden_eval[i].resize,
			.interpolation = golden_eval[i].filter ? DC_BICUBIC : DC_BILINEAR };
		uint8_t *in = noise(w, h), *out = dc_xcalloc((size_t)size * 3, (size_t)size);
		struct dc_view v;

		dc_view_draw(&v, &r, w, h, 1, 2, 3, 0);
		ok(dc_view_apply(out, dc_raster(in, w, h), &r, &v) == 0 &&
		    fnv(out, (size_t)size * (size_t)size * 3) == golden_eval[i].want, "evaluation: %dx%d to %d, %s, %s", w, h, size,
		    golden_eval[i].filter ? "bicubic" : "bilinear", resize[golden_eval[i].resize]);
		free(in);
		free(out);
	}
}

int
main(void)
{
	test_resample();
	test_window();
	test_crop();
	test_refusals();
	test_blur();
	test_colour();
	test_flip();
	test_view();
	test_evaluation();
	return done_testing();
}
