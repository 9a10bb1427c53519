/* SPDX-License-Identifier: MIT */
#include "data/photometric.h"

#include <math.h>
#include <string.h>

static uint8_t
luma(const uint8_t *p)
{
	return (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16);
}

static uint8_t
clamp8(int x)
{
	return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

/* d + f (x - d), clamped and truncated. */
static inline int
blend(int d, int x, float f)
{
	float y = (float)d + f * (float)(x - d);

	y = y > 0.0f ? y : 0.0f;
	y = y < 255.0f ? y : 255.0f;
	return (int)y;
}

/* BLOCK pixels, a plane for each colour: the work on them is loops over a plane, which the compiler makes vectors of. */
enum { BLOCK = 64 };
struct colours { int32_t r[BLOCK], g[BLOCK], b[BLOCK]; };

static void
block_load(struct colours *c, const uint8_t *rgb)
{
	for (int i = 0; i < BLOCK; i++) {
		c->r[i] = rgb[3 * i];
		c->g[i] = rgb[3 * i + 1];
		c->b[i] = rgb[3 * i + 2];
	}
}

static void
block_store(uint8_t *rgb, const struct colours *c)
{
	for (int i = 0; i < BLOCK; i++) {
		rgb[3 * i] = (uint8_t)c->r[i];
		rgb[3 * i + 1] = (uint8_t)c->g[i];
		rgb[3 * i + 2] = (uint8_t)c->b[i];
	}
}

static inline int
block_luma(const struct colours *c, int i)
{
	return (int)((uint32_t)(c->r[i] * 19595 + c->g[i] * 38470 + c->b[i] * 7471 + 0x8000) >> 16);
}

/* Call change(block, arg) for all blocks of n pixels; the last is filled up. */
static inline void
blocks(uint8_t *rgb, size_t n, void (*change)(struct colours *, float), float arg)
{
	uint8_t rest[3 * BLOCK] = { 0 };
	struct colours c;

	for (; n >= BLOCK; n -= BLOCK, rgb += 3 * BLOCK) {
		block_load(&c, rgb);
		change(&c, arg);
		block_store(rgb, &c);
	}
	if (n == 0)
		return;
	memcpy(rest, rgb, 3 * n);
	block_load(&c, rest);
	change(&c, arg);
	block_store(rest, &c);
	memcpy(rgb, rest, 3 * n);
}

void
dc_adjust_brightness(uint8_t *rgb, size_t n, double f)
{
	for (size_t i = 0; i < 3 * n; i++)
		rgb[i] = (uint8_t)blend(0, rgb[i], (float)f);
}

void
dc_adjust_contrast(uint8_t *rgb, size_t n, double f)
{
	uint64_t sum = 0;
	uint8_t mean;

	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		sum += luma(rgb + 3 * i);
	mean = (uint8_t)((double)sum / (double)n + 0.5);
	for (size_t i = 0; i < 3 * n; i++)
		rgb[i] = (uint8_t)blend(mean, rgb[i], (float)f);
}

static void
block_saturate(struct colours *c, float f)
{
	for (int i = 0; i < BLOCK; i++) {
		const int gray = block_luma(c, i);

		c->r[i] = blend(gray, c->r[i], f);
		c->g[i] = blend(gray, c->g[i], f);
		c->b[i] = blend(gray, c->b[i], f);
	}
}

void
dc_adjust_saturation(uint8_t *rgb, size_t n, double f)
{
	blocks(rgb, n, block_saturate, (float)f);
}

void
dc_grayscale(uint8_t *rgb, size_t n)
{
	for (uint8_t *p = rgb; p < rgb + 3 * n; p += 3)
		p[0] = p[1] = p[2] = luma(p);
}

/* The places where Pillow rounds to single precision are the assignments to float below; all else is double. */
void
dc_rgb_to_hsv(uint8_t hsv[3], const uint8_t rgb[3])
{
	const int r = rgb[0], g = rgb[1], b = rgb[2];
	const int max = r > g ? (r > b ? r : b) : (g > b ? g : b), min = r < g ? (r < b ? r : b) : (g < b ? g : b);
	const float range = (float)(max - min);
	float h, s, to_r, to_g, to_b;

	hsv[0] = hsv[1] = 0;
	hsv[2] = (uint8_t)max;
	if (max == min)
		return;
	s = range / (float)max;
	to_r = (float)(max - r) / range;
	to_g = (float)(max - g) / range;
	to_b = (float)(max - b) / range;
	if (r == max)
		h = to_b - to_g;
	else if (g == max)
		h = (float)(2.0 + (double)to_r - (double)to_b);
	else
		h = (float)(4.0 + (double)to_g - (double)to_r);
	h = (float)fmod((double)h / 6.0 + 1.0, 1.0);
	hsv[0] = clamp8((int)((double)h * 255.0));
	hsv[1] = clamp8((int)((double)s * 255.0));
}

void
dc_hsv_to_rgb(uint8_t rgb[3], const uint8_t hsv[3])
{
	const double turn = hsv[0] * 6.0 / 255.0, v = hsv[2];  /* 0 to 6 */
	const int sector = (int)turn;
	const float f = (float)(turn - sector), s = (float)(hsv[1] / 255.0);
	const uint8_t top = hsv[2];
	const uint8_t low = clamp8((int)round(v * (1.0 - (double)s)));
	const uint8_t fall = clamp8((int)round(v * (1.0 - (double)(s * f))));
	const uint8_t rise = clamp8((int)round(v * (1.0 - (double)s * (1.0 - (double)f))));
	const uint8_t *wheel[6][3] = {
		{ &top, &rise, &low }, { &fall, &top, &low }, { &low, &top, &rise },
		{ &low, &fall, &top }, { &rise, &low, &top }, { &top, &low, &fall }
	};

	for (int c = 0; c < 3; c++)
		rgb[c] = hsv[1] ? *wheel[sector % 6][c] : top;
}

/* The same for BLOCK pixels at a time, a loop for each step, so that the compiler makes vectors of them: no branch, no
 * call, and single precision and products in place of quotients where trying all values showed the same bytes (there are
 * few: 3 x 255 x 256 hues, 2^24 colours; tests/test_pixels.c goes through all colours). */
struct hues { int32_t h[BLOCK], s[BLOCK], v[BLOCK]; };

static void
block_to_hsv(struct hues *restrict to, const struct colours *restrict c)
{
	for (int i = 0; i < BLOCK; i++) {
		const int r = c->r[i], g = c->g[i], b = c->b[i];
		const int rg_max = r > g ? r : g, rg_min = r < g ? r : g;
		const int max = rg_max > b ? rg_max : b, min = rg_min < b ? rg_min : b;
		const int gray = max == min;
		const float range = (float)(max - min + gray), to_r = (float)(max - r) / range, to_g = (float)(max - g) / range;
		const float to_b = (float)(max - b) / range, s = range / (float)(max + (max == 0));
		/* the difference of two singles of this size is exact in double */
		const double from = r == max ? 0 : g == max ? 2 : 4;
		const float up = r == max ? to_b : g == max ? to_r : to_g, down = r == max ? to_g : g == max ? to_b : to_r;
		const float h = (float)(from + (double)up - (double)down);
		const double turn = (double)h * (1 / 6.0) + 1.0;             /* in [5/6, 11/6] */
		const float h1 = (float)(turn - (turn >= 1.0 ? 1.0 : 0.0));

		to->h[i] = gray ? 0 : (int)((double)h1 * 255.0);
		to->s[i] = gray ? 0 : (int)(s * 255.0f);
		to->v[i] = max;
	}
}

/* yes ? a : b, yes 0 or 1, where the compiler would make a jump of it */
static inline int
choose(int yes, int a, int b)
{
	return (-yes & a) | ((yes - 1) & b);
}

static void
block_to_rgb(struct colours *restrict to, const struct hues *restrict c)
{
	for (int i = 0; i < BLOCK; i++) {
		const int top = c->v[i];
		const int at = c->h[i] * 6 / 255, sector = at == 6 ? 0 : at;
		const float f = (float)(c->h[i] * 6 - at * 255) / 255.0f, s = (float)c->s[i] / 255.0f, v = (float)top;
		const int low = (int)(v * (1.0f - s) + 0.5f), fall = (int)(v * (1.0f - s * f) + 0.5f);
		const int rise = (int)(v * (1.0f - s * (1.0f - f)) + 0.5f);
		const int odd = choose(sector & 1, fall, rise); /* the channel under way */

		to->r[i] = choose((sector == 0) | (sector == 5), top, choose((sector == 1) | (sector == 4), odd, low));
		to->g[i] = choose((sector == 1) | (sector == 2), top, choose((sector == 0) | (sector == 3), odd, low));
		to->b[i] = choose((sector == 3) | (sector == 4), top, choose((sector == 2) | (sector == 5), odd, low));
	}
}

static void
block_turn(struct colours *c, float turn)
{
	struct hues h;

	block_to_hsv(&h, c);
	for (int i = 0; i < BLOCK; i++)
		h.h[i] = (h.h[i] + (int)turn) & 255;
	block_to_rgb(c, &h);
}

void
dc_adjust_hue(uint8_t *rgb, size_t n, double f)
{
	blocks(rgb, n, block_turn, (float)(uint8_t)(int)(f * 255));
}

void
dc_flip(uint8_t *rgb, int width, int height)
{
	for (int y = 0; y < height; y++) {
		uint8_t *a = rgb + (size_t)y * (size_t)width * 3, *b = a + ((size_t)width - 1) * 3;

		for (; a < b; a += 3, b -= 3)
			for (int c = 0; c < 3; c++) {
				const uint8_t t = a[c];

				a[c] = b[c];
				b[c] = t;
			}
	}
}
