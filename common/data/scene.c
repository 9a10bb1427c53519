/* SPDX-License-Identifier: MIT */
#include "data/scene.h"

#include <stdlib.h>
#include <string.h>

const char *const dc_shape_names[DC_SHAPES] = { "circle", "square", "triangle", "star", "heart", "cross", "ring", "moon" };
/* Hues at least 37 degrees apart, so that a hue jitter of 0.1 (36 degrees) leaves each its own ground. */
const char *const dc_colour_names[DC_COLOURS] = { "red", "yellow", "green", "cyan", "blue", "purple", "pink", "white", "black" };
const char *const dc_size_names[3] = { "small", "medium", "large" };
const char *const dc_texture_names[DC_TEXTURES] = { "plain", "striped", "dotted", "checked" };

enum { WHITE = 7, BLACK = 8 };
static const int colour_rgb[DC_COLOURS][3] = {
	{ 216, 34, 38 }, { 246, 206, 28 }, { 38, 160, 56 }, { 34, 200, 214 }, { 42, 86, 222 }, { 122, 46, 188 },
	{ 246, 104, 178 }, { 248, 248, 248 }, { 20, 20, 24 },
};

/* --- composing --- */

static int
between(struct dc_rng *r, int lo, int hi)
{
	return lo + (int)dc_rng_below(r, (uint64_t)(hi - lo + 1));
}

static int
clamp(int x, int lo, int hi)
{
	return x < lo ? lo : x > hi ? hi : x;
}

int
dc_scene_held_out(int shape, int colour)
{
	return colour == shape % DC_COLOURS || colour == (shape + 4) % DC_COLOURS;
}

static void
pick_object(struct dc_scene_object *o, struct dc_rng *r, enum dc_scene_pick pick)
{
	do {
		o->shape = between(r, 0, DC_SHAPES - 1);
		o->colour = between(r, 0, DC_COLOURS - 1);
	} while (pick != DC_SCENE_ALL && dc_scene_held_out(o->shape, o->colour) != (pick == DC_SCENE_NOVEL));
	o->size = (enum dc_scene_size)between(r, DC_SMALL, DC_LARGE);
	/* no texture where it would be too fine to see */
	o->texture = between(r, 0, 9) < 7 ? DC_PLAIN : (enum dc_scene_texture)between(r, DC_STRIPED, DC_CHECKED);
	if (o->size == DC_SMALL)
		o->texture = DC_PLAIN;
	o->tilt = between(r, -8, 8);
	for (int c = 0; c < 3; c++)
		o->rgb[c] = clamp(colour_rgb[o->colour][c] + between(r, -9, 9), 0, 255);
}

/* Radii in thousandths of the side, by number of objects and size. */
static const int radius[DC_SCENE_OBJECTS][3] = { { 280, 345, 410 }, { 160, 190, 220 }, { 125, 143, 162 } };

/* Centres in thousandths of the side, by number of objects and layout. */
static const struct { int n, at[DC_SCENE_OBJECTS][2]; } layout[] = {
	{ 1, { { 500, 500 } } },
	{ 2, { { 260, 500 }, { 740, 500 } } },
	{ 2, { { 500, 260 }, { 500, 740 } } },
	{ 2, { { 280, 280 }, { 720, 720 } } },
	{ 2, { { 720, 280 }, { 280, 720 } } },
	{ 3, { { 190, 500 }, { 500, 500 }, { 810, 500 } } },
	{ 3, { { 500, 190 }, { 500, 500 }, { 500, 810 } } },
	{ 3, { { 500, 250 }, { 250, 730 }, { 750, 730 } } },
	{ 3, { { 250, 270 }, { 750, 270 }, { 500, 750 } } },
};
static const int layout_first[DC_SCENE_OBJECTS] = { 0, 1, 5 }, layout_count[DC_SCENE_OBJECTS] = { 1, 4, 4 };

/* Put the objects where they do not overlap and stay inside. */
static void
place(struct dc_scene *s, struct dc_rng *r)
{
	int which = layout_first[s->n - 1] + between(r, 0, layout_count[s->n - 1] - 1);
	int side8 = s->side * 8;

	for (int i = 0; i < s->n; i++) {
		struct dc_scene_object *o = &s->object[i];
		int rad = radius[s->n - 1][o->size] + between(r, -12, 12);
		int free_mil = s->n == 1 ? (rad < 380 ? 100 : 480 - rad) : s->n == 2 ? 30 : 12;
		int x = layout[which].at[i][0] + between(r, -free_mil, free_mil);
		int y = layout[which].at[i][1] + between(r, -free_mil, free_mil);

		o->x = x * side8 / 1000;
		o->y = y * side8 / 1000;
		o->r = rad * side8 / 1000;
	}
}

static int
has_colour(const struct dc_scene *s, int colour)
{
	for (int i = 0; i < s->n; i++)
		if (s->object[i].colour == colour)
			return 1;
	return 0;
}

/* A light ground, pale in colour; a dark one below white objects. (A small encoder learns shapes in a few hundred steps
 * where they are nearly always darker than the ground, and in thousands where they may be either.) */
static void
pick_background(struct dc_scene *s, struct dc_rng *r)
{
	int white = has_colour(s, WHITE), black = has_colour(s, BLACK);
	int lo = !white ? 186 : black ? 104 : 64, hi = !white ? 240 : black ? 144 : 128;
	int light = between(r, lo, hi), other = clamp(light + between(r, -56, 56), lo, hi);

	s->background = (enum dc_scene_background)between(r, 0, DC_BACKGROUNDS - 1);
	for (int c = 0; c < 3; c++) {
		s->ground[0][c] = clamp(light + between(r, -18, 18), 0, 255);
		s->ground[1][c] = clamp(other + between(r, -18, 18), 0, 255);
	}
	do {
		s->gx = between(r, -2, 2);
		s->gy = between(r, -2, 2);
	} while (!s->gx && !s->gy);
	s->grain = between(r, 0, 2) ? 0 : between(r, 4, 14);
	s->shadow = between(r, 0, 1);
	s->noise = dc_rng_u64(r);
}

void
dc_scene_compose(struct dc_scene *s, struct dc_rng *r, int side, int n, enum dc_scene_pick pick)
{
	int draw = between(r, 0, 99);

	memset(s, 0, sizeof *s);
	s->side = side;
	s->n = n ? n : draw < 70 ? 1 : draw < 90 ? 2 : 3;
	for (int i = 0; i < s->n; i++)
		pick_object(&s->object[i], r, pick);
	place(s, r);
	pick_background(s, r);
}

/* --- the background --- */

/* A mix of place and seed (the finaliser of SplitMix64). */
static uint32_t
hash(uint64_t seed, int x, int y)
{
	uint64_t z = seed + ((uint64_t)(uint32_t)x << 32 | (uint32_t)y) * 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)(z >> 32);
}

/* 3t^2 - 2t^3 for t in 0..256. */
static int
smooth(int t)
{
	return t * t * (768 - 2 * t) >> 16;
}

/* Value noise in 0..256 at (x, y): random values on a lattice of `cell` pixels, smoothly joined. */
static int
clouds(uint64_t seed, int x, int y, int cell)
{
	int i = x / cell, j = y / cell, tx = smooth(x % cell * 256 / cell), ty = smooth(y % cell * 256 / cell);
	int a = hash(seed, i, j) & 255, b = hash(seed, i + 1, j) & 255;
	int c = hash(seed, i, j + 1) & 255, d = hash(seed, i + 1, j + 1) & 255;

	return ((a * (256 - tx) + b * tx) * (256 - ty) + (c * (256 - tx) + d * tx) * ty) >> 16;
}

/* How far from ground[0] to ground[1] pixel (x, y) is, 0..256. */
static int
ground_at(const struct dc_scene *s, int x, int y)
{
	int last = s->side - 1, ax = abs(s->gx), ay = abs(s->gy);

	if (s->background == DC_BG_PLAIN)
		return 0;
	if (s->background == DC_BG_CLOUDS)
		return (clouds(s->noise, x, y, s->side / 4 + 1) * 2 + clouds(s->noise + 1, x, y, s->side / 11 + 1)) / 3;
	return (ax * (s->gx > 0 ? x : last - x) + ay * (s->gy > 0 ? y : last - y)) * 256 / ((ax + ay) * last);
}

static void
paint_background(const struct dc_scene *s, uint8_t *rgb)
{
	for (int y = 0; y < s->side; y++)
		for (int x = 0; x < s->side; x++, rgb += 3) {
			int t = ground_at(s, x, y);
			int g = s->grain ? (int)(hash(s->noise + 2, x, y) % (unsigned)(2 * s->grain + 1)) - s->grain : 0;

			for (int c = 0; c < 3; c++)
				rgb[c] = (uint8_t)clamp((s->ground[0][c] * (256 - t) + s->ground[1][c] * t) / 256 + g, 0, 255);
		}
}

/* --- the shapes: whether (u, v) is inside; the radius is 1024, v points down --- */

static int64_t
sq(int64_t x)
{
	return x * x;
}

static int
in_star(int64_t u, int64_t v)
{
	/* outward normals of the five lines of a pentagram, x1024; a point of it is beyond at most one of them */
	static const int normal[5][2] = { { 0, 1024 }, { 974, 316 }, { 602, -828 }, { -602, -828 }, { -974, 316 } };
	int beyond = 0;

	for (int i = 0; i < 5; i++)
		beyond += u * normal[i][0] + v * normal[i][1] > 314 * 1024; /* their distance from the centre */
	return beyond <= 1;
}

/* (x^2 + y^2 - 1)^3 <= x^2 y^3 */
static int
in_heart(int64_t u, int64_t v)
{
	int64_t x = u * 19 / 16, y = -(v - 90) * 19 / 16;
	int64_t a = (x * x + y * y - 1024 * 1024) / 1024;

	return a * a * a <= x * x / 1024 * y / 1024 * y * y;
}

static int
inside(int shape, int64_t u, int64_t v)
{
	switch (shape) {
	case 0: return sq(u) + sq(v) <= sq(960);
	case 1: return llabs(u) <= 840 && llabs(v) <= 840;
	case 2: return v <= 760 && llabs(u) * 1000 <= (v + 960) * 585;
	case 3: return in_star(u, v);
	case 4: return in_heart(u, v);
	case 5: return (llabs(u) <= 310 && llabs(v) <= 960) || (llabs(v) <= 310 && llabs(u) <= 960);
	case 6: return sq(u) + sq(v) <= sq(960) && sq(u) + sq(v) >= sq(540);
	default: return sq(u) + sq(v) <= sq(980) && sq(u - 420) + sq(v + 120) > sq(800);
	}
}

/* --- painting an object --- */

struct frame { int x, y; int64_t kc, ks; int px; }; /* centre (1/8 px); rotation and scale x2^14; units of u in a pixel */

static struct frame
frame_of(const struct dc_scene_object *o, int shift)
{
	/* cos = (1 - t^2)/(1 + t^2), sin = 2t/(1 + t^2), t = tilt/64; u = 1024/r (x cos + y sin) */
	int64_t t = o->tilt, den = (4096 + t * t) * o->r;

	return (struct frame){ o->x + shift, o->y + shift, (4096 - t * t) * 1024 * 16384 / den, 128 * t * 1024 * 16384 / den,
		8 * 1024 / o->r };
}

static int64_t
u_of(const struct frame *f, int x8, int y8)
{
	return (f->kc * (x8 - f->x) + f->ks * (y8 - f->y)) / 16384;
}

static int64_t
v_of(const struct frame *f, int x8, int y8)
{
	return (f->kc * (y8 - f->y) - f->ks * (x8 - f->x)) / 16384;
}

static int
hit(const struct frame *f, int shape, int x8, int y8)
{
	return inside(shape, u_of(f, x8, y8), v_of(f, x8, y8));
}

/* Sixteenths of pixel (x, y) inside the shape. Where the corners and the centre agree, all of it does. */
static int
coverage(const struct frame *f, int shape, int x, int y)
{
	int n = hit(f, shape, 8 * x, 8 * y) + hit(f, shape, 8 * x + 8, 8 * y) + hit(f, shape, 8 * x, 8 * y + 8)
	    + hit(f, shape, 8 * x + 8, 8 * y + 8) + hit(f, shape, 8 * x + 4, 8 * y + 4);

	if (n == 0 || n == 5)
		return n ? 16 : 0;
	n = 0;
	for (int j = 1; j < 8; j += 2)
		for (int i = 1; i < 8; i += 2)
			n += hit(f, shape, 8 * x + i, 8 * y + j);
	return n;
}

/* The signed distance of x from the nearest edge of stripes `period` units apart, half of each filled. */
static int
stripe(int64_t x, int period)
{
	int64_t m = ((x % period) + period) % period;

	return (int)(period / 4 - llabs(m - period / 2));
}

/* How much of the texture's second shade is at (u, v), 0..256, smoothed over a pixel. */
static int
texture_at(enum dc_scene_texture t, const struct frame *f, int64_t u, int64_t v)
{
	int a, b, d;

	switch (t) {
	case DC_STRIPED:
		d = stripe(u + v, 620);
		break;
	case DC_DOTTED:
		a = (int)(((u % 420) + 420) % 420 - 210);
		b = (int)(((v % 420) + 420) % 420 - 210);
		d = (130 * 130 - a * a - b * b) / 260;
		break;
	case DC_CHECKED:
		a = stripe(u, 680);
		b = stripe(v, 680);
		d = (a < 0) == (b < 0) ? (abs(a) < abs(b) ? abs(a) : abs(b)) : -(abs(a) < abs(b) ? abs(a) : abs(b));
		break;
	default:
		return 0;
	}
	return clamp(128 + d * 256 / (f->px + 1), 0, 256);
}

/* The second shade: towards white for dark colours, towards black for light ones, the hue kept. */
static int
second_shade(const struct dc_scene_object *o, int c)
{
	int light = (o->rgb[0] * 77 + o->rgb[1] * 150 + o->rgb[2] * 29) / 256;

	return light < 110 ? o->rgb[c] + (255 - o->rgb[c]) * 2 / 5 : o->rgb[c] * 5 / 8;
}

static void
blend(uint8_t *p, int value, int alpha16)
{
	*p = (uint8_t)((*p * (16 - alpha16) + clamp(value, 0, 255) * alpha16 + 8) / 16);
}

static void
paint_pixel(uint8_t *p, const struct dc_scene_object *o, const struct frame *f, int x, int y, int cover)
{
	int64_t u = u_of(f, 8 * x + 4, 8 * y + 4), v = v_of(f, 8 * x + 4, 8 * y + 4);
	int t = texture_at(o->texture, f, u, v), shade = 256 - (int)(v + u / 2) * 24 / 1024; /* lit from the upper left */

	for (int c = 0; c < 3; c++)
		blend(p + c, (o->rgb[c] * (256 - t) + second_shade(o, c) * t) / 256 * shade / 256, cover);
}

/* The pixels from lo to hi (not included) that a disc of the object's circumscribed radius can touch. */
static void
extent(int centre, int r, int side, int *lo, int *hi)
{
	int reach = r + r / 4 + 8;

	*lo = clamp((centre - reach) / 8, 0, side);
	*hi = clamp((centre + reach) / 8 + 1, 0, side);
}

static void
paint(const struct dc_scene *s, const struct dc_scene_object *o, int shadow, uint8_t *rgb)
{
	struct frame f = frame_of(o, shadow ? o->r / 9 + 4 : 0);
	int x0, x1, y0, y1;

	extent(f.x, o->r, s->side, &x0, &x1);
	extent(f.y, o->r, s->side, &y0, &y1);
	for (int y = y0; y < y1; y++)
		for (int x = x0; x < x1; x++) {
			uint8_t *p = rgb + ((size_t)y * (size_t)s->side + (size_t)x) * 3;
			int cover = coverage(&f, o->shape, x, y);

			if (cover && !shadow)
				paint_pixel(p, o, &f, x, y, cover);
			else if (cover)
				for (int c = 0; c < 3; c++)
					p[c] = (uint8_t)(p[c] * (64 - cover) / 64); /* a quarter darker */
		}
}

void
dc_scene_render(const struct dc_scene *s, uint8_t *rgb)
{
	paint_background(s, rgb);
	for (int i = 0; i < s->n && s->shadow; i++)
		paint(s, &s->object[i], 1, rgb);
	for (int i = 0; i < s->n; i++)
		paint(s, &s->object[i], 0, rgb);
}
