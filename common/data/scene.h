/* SPDX-License-Identifier: MIT */
/* Synthetic scenes: one to three coloured shapes on a background, and sentences that describe them.
 *
 *	struct dc_scene s; struct dc_rng r;
 *	dc_rng_init(&r, seed, 0, index, split, DC_RNG_SCENES);
 *	dc_scene_compose(&s, &r, 96, 0, DC_SCENE_SEEN);
 *	dc_scene_render(&s, rgb);                           // [96,96,3]
 *	n = dc_scene_captions(&s, &r, captions, 5);
 *
 * Integers throughout: the same draws give the same pixels on every machine. */
#ifndef DC_DATA_SCENE_H
#define DC_DATA_SCENE_H

#include <stdint.h>
#include "base/rng.h"

enum { DC_SHAPES = 8, DC_COLOURS = 9, DC_SCENE_OBJECTS = 3, DC_CAPTION_BYTES = 192 };

extern const char *const dc_shape_names[DC_SHAPES];
extern const char *const dc_colour_names[DC_COLOURS];

enum dc_scene_size { DC_SMALL, DC_MEDIUM, DC_LARGE };
enum dc_scene_texture { DC_PLAIN, DC_STRIPED, DC_DOTTED, DC_CHECKED, DC_TEXTURES };
enum dc_scene_background { DC_BG_PLAIN, DC_BG_GRADIENT, DC_BG_CLOUDS, DC_BACKGROUNDS };
extern const char *const dc_size_names[3], *const dc_texture_names[DC_TEXTURES];

struct dc_scene_object {
	int shape, colour;
	enum dc_scene_size size;
	enum dc_scene_texture texture;
	int x, y, r;            /* centre and radius, 1/8 pixel */
	int tilt;               /* rotation: tan(angle/2) = tilt/64 */
	int rgb[3];             /* its own shade of the colour */
};

struct dc_scene {
	int side;               /* the image's width and height, pixels */
	int n; struct dc_scene_object object[DC_SCENE_OBJECTS];
	enum dc_scene_background background;
	int ground[2][3];       /* from this RGB to that */
	int gx, gy;             /* gradient's direction, -2..2, not both 0 */
	int grain;              /* amplitude of the noise, levels */
	int shadow;
	uint64_t noise;         /* seeds clouds and grain */
};

/* Which (shape, colour) pairs may appear: those of the training split, all, or only those held out of training. */
enum dc_scene_pick { DC_SCENE_SEEN, DC_SCENE_ALL, DC_SCENE_NOVEL };

/* Two colours of each shape, 16 pairs of 72, are never seen in training. */
int dc_scene_held_out(int shape, int colour);

/* Draw a scene of n objects (0: one to three) for an image of side^2 pixels, side >= 16. */
void dc_scene_compose(struct dc_scene *s, struct dc_rng *r, int side, int n, enum dc_scene_pick pick);
/* rgb [side,side,3] out. */
void dc_scene_render(const struct dc_scene *s, uint8_t *rgb);
/* Up to n different sentences; the first always names each object's colour and shape. Returns how many (>= 1). */
int dc_scene_captions(const struct dc_scene *s, struct dc_rng *r, char (*out)[DC_CAPTION_BYTES], int n);

#endif
