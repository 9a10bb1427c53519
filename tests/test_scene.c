/* SPDX-License-Identifier: MIT */
/* Scenes: the pixels are the same everywhere, shapes cover what they should and stay inside, captions are true. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/scene.h"
#include "tap.h"

enum { SIDE = 96, N = 300 };

static void
compose(struct dc_scene *s, struct dc_rng *r, uint64_t i, enum dc_scene_pick pick)
{
	dc_rng_init(r, 1, 0, i, 0, DC_RNG_SCENES);
	dc_scene_compose(s, r, SIDE, 0, pick);
}

/* A change of this number changes every data set made by dc-scenes: say so in NEWS. */
static void
test_pixels(void)
{
	static uint8_t rgb[SIDE * SIDE * 3];
	uint64_t sum = 0;

	for (uint64_t i = 0; i < N; i++) {
		struct dc_scene s;
		struct dc_rng r;

		compose(&s, &r, i, DC_SCENE_ALL);
		dc_scene_render(&s, rgb);
		sum = XXH3_64bits_withSeed(rgb, sizeof rgb, sum);
	}
	ok(sum == 0x00dc47862a2739ebu, "pixels of %d scenes: %016llx", N, (unsigned long long)sum);
}

/* A white shape on black: how much of its circumscribed disc it fills, in percent: from the areas
 * of the outlines, e.g. of the triangle 1720 * 1006 / (pi 1024^2), of the heart 3.66 (16/19)^2 / pi. */
static void
test_area(void)
{
	static const int want[DC_SHAPES] = { 88, 86, 52, 35, 83, 61, 60, 41 };
	static uint8_t rgb[SIDE * SIDE * 3];

	for (int shape = 0; shape < DC_SHAPES; shape++) {
		struct dc_scene s = { .side = SIDE, .n = 1, .gx = 1 };
		long sum = 0, edge = 0;
		int percent;

		s.object[0] = (struct dc_scene_object){ .shape = shape, .x = SIDE * 4, .y = SIDE * 4, .r = SIDE * 3,
			.tilt = 5, .rgb = { 255, 255, 255 } };
		dc_scene_render(&s, rgb);
		for (int i = 0; i < SIDE * SIDE; i++) {
			sum += rgb[3 * i] > 110;
			edge += rgb[3 * i] > 110 && (i % SIDE == 0 || i / SIDE == 0 || i % SIDE == SIDE - 1 || i / SIDE == SIDE - 1);
		}
		percent = (int)(sum * 10000 / 314 / (36 * 36));
		ok(abs(percent - want[shape]) <= 3, "a %s fills %d %% of its disc, wanted %d", dc_shape_names[shape], percent,
		    want[shape]);
		ok(edge == 0, "and stays inside the image");
	}
}

static void
test_pairs(void)
{
	int bad = 0, held = 0, apart = 0;

	for (int a = 0; a < DC_SHAPES; a++)
		for (int c = 0; c < DC_COLOURS; c++)
			held += dc_scene_held_out(a, c);
	ok(held == 16, "16 pairs are held out, got %d", held);
	for (uint64_t i = 0; i < 2000; i++) {
		struct dc_scene s;
		struct dc_rng r;

		compose(&s, &r, i, i & 1 ? DC_SCENE_SEEN : DC_SCENE_NOVEL);
		for (int k = 0; k < s.n; k++) {
			bad += dc_scene_held_out(s.object[k].shape, s.object[k].colour) != !(i & 1);
			apart += s.object[k].x - s.object[k].r * 9 / 10 < 0 || s.object[k].y + s.object[k].r * 9 / 10 > SIDE * 8;
		}
	}
	ok(bad == 0, "no scene of seen pairs shows a held-out one, nor the reverse (%d)", bad);
	ok(apart == 0, "objects stay inside (%d)", apart);
}

static void
test_captions(void)
{
	int unnamed = 0, twice = 0, too_long = 0, few = 0;

	for (uint64_t i = 0; i < 2000; i++) {
		char c[16][DC_CAPTION_BYTES];
		struct dc_scene s;
		struct dc_rng r;
		int n;

		compose(&s, &r, i, DC_SCENE_ALL);
		n = dc_scene_captions(&s, &r, c, 5);
		few += n < 2;
		for (int k = 0; k < s.n; k++)
			unnamed += !strstr(c[0], dc_shape_names[s.object[k].shape]) || !strstr(c[0], dc_colour_names[s.object[k].colour]);
		for (int a = 0; a < n; a++) {
			too_long += strlen(c[a]) >= DC_CAPTION_BYTES - 1;
			for (int b = 0; b < a; b++)
				twice += !strcmp(c[a], c[b]);
		}
	}
	ok(unnamed == 0, "the first caption names every colour and shape (%d)", unnamed);
	ok(twice == 0, "no caption stands twice (%d)", twice);
	ok(too_long == 0, "none is cut (%d)", too_long);
	ok(few == 0, "there are several (%d)", few);
}

int
main(void)
{
	test_pixels();
	test_area();
	test_pairs();
	test_captions();
	return done_testing();
}
