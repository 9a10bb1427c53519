/* SPDX-License-Identifier: MIT */
#include "data/photometric.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/wide.h"
#include "data/planes.h"

/* BLOCK pixels, a plane for each colour: the work on them is loops over a plane, which the compiler makes vectors of. All
 * values are whole; in single precision no sum or product of theirs that matters is rounded where Pillow's is not. */
enum { BLOCK = 64 };
struct colours { float r[BLOCK], g[BLOCK], b[BLOCK]; };

/* A change, ready to be applied to a block. */
struct step {
	enum dc_change_kind kind;
	float f;               /* factor; of the hue: what is added, 0 .. 255 */
	float d;               /* brightness and contrast: the gray that f leads away from */
};

/* --- one change to a block --- */

/* Y <- (19595 R + 38470 G + 7471 B + 2^15) / 2^16; all below 2^24, so nothing is rounded. */
static inline float
luma(float r, float g, float b)
{
	return __builtin_truncf((r * 19595.0f + g * 38470.0f + b * 7471.0f + 32768.0f) * (1 / 65536.0f));
}

/* d + f (x - d), clamped and truncated. */
static inline float
blend(float d, float x, float f)
{
	float y = d + f * (x - d);

	y = y > 0.0f ? y : 0.0f;
	y = y < 255.0f ? y : 255.0f;
	return __builtin_truncf(y);
}

static inline void
towards(float *restrict x, float d, float f)
{
	for (int i = 0; i < BLOCK; i++)
		x[i] = blend(d, x[i], f);
}

static inline void
saturate(struct colours *c, float f)
{
	for (int i = 0; i < BLOCK; i++) {
		const float gray = luma(c->r[i], c->g[i], c->b[i]);

		c->r[i] = blend(gray, c->r[i], f);
		c->g[i] = blend(gray, c->g[i], f);
		c->b[i] = blend(gray, c->b[i], f);
	}
}

static inline void
make_gray(struct colours *c)
{
	for (int i = 0; i < BLOCK; i++)
		c->r[i] = c->g[i] = c->b[i] = luma(c->r[i], c->g[i], c->b[i]);
}

/* Hue and saturation as Pillow has them: of the two channels below the largest one, the smallest is 1 away from it in units of
 * the range, the other m; so the hue in sixths of the circle is a whole number + 1 - m or - 1 + m. Pillow goes on in double
 * precision; with a true quotient for the sixth, single precision gives the same byte for all of its few values
 * (tests/test_pixels.c goes through all colours). turn: added to the hue, 0 .. 255. */
static inline void
to_hsv(struct colours *restrict hsv, const struct colours *restrict c, float turn)
{
	for (int i = 0; i < BLOCK; i++) {
		const float r = c->r[i], g = c->g[i], b = c->b[i];
		const float rg_max = r > g ? r : g, rg_min = r < g ? r : g;
		const float max = rg_max > b ? rg_max : b, min = rg_min < b ? rg_min : b;
		const float range = max - min;
		const float base = r == max ? 0.0f : g == max ? 2.0f : 4.0f;
		const float up = r == max ? b : g == max ? r : g, down = r == max ? g : g == max ? b : r;
		const float m = (max - (up == min ? down : up)) / (range == 0.0f ? 1.0f : range);
		const float h = up == min ? (base + 1.0f) - m : (base - 1.0f) + m;   /* -1 .. 5 */
		const float of_255 = h / 6.0f * 255.0f;
		const float hue = __builtin_truncf(of_255 < 0.0f ? of_255 + 255.0f : of_255);
		const float turned = (range == 0.0f ? 0.0f : hue) + turn;

		hsv->r[i] = turned >= 256.0f ? turned - 256.0f : turned;
		hsv->g[i] = __builtin_truncf(range / (max == 0.0f ? 1.0f : max) * 255.0f);
		hsv->b[i] = max;
	}
}

/* Sector of the circle, and how far in it; the channels are v, v less its whole share of saturation, and the one under way. */
static inline void
from_hsv(struct colours *restrict c, const struct colours *restrict hsv)
{
	for (int i = 0; i < BLOCK; i++) {
		const float h6 = hsv->r[i] * 6.0f, v = hsv->b[i], s = hsv->g[i] * (1 / 255.0f);
		const float at = __builtin_truncf(h6 * (1 / 255.0f) + 1e-4f);
		const float f = (h6 - at * 255.0f) * (1 / 255.0f);
		const float half = at * 0.5f, odd = half - __builtin_truncf(half);            /* 0 or 1/2 */
		const float way = odd != 0.0f ? f : 1.0f - f;
		const float low = __builtin_truncf(v * (1.0f - s) + 0.5f), moving = __builtin_truncf(v * (1.0f - s * way) + 0.5f);

		c->r[i] = at == 0.0f || at >= 5.0f ? v : at == 1.0f || at == 4.0f ? moving : low;
		c->g[i] = at == 1.0f || at == 2.0f ? v : at == 0.0f || at == 3.0f || at == 6.0f ? moving : low;
		c->b[i] = at == 3.0f || at == 4.0f ? v : at == 2.0f || at == 5.0f ? moving : low;
	}
}

static inline void
turn_hue(struct colours *c, float turn)
{
	struct colours hsv;

	to_hsv(&hsv, c, turn);
	from_hsv(c, &hsv);
}

static inline void
change_block(struct colours *c, const struct step *s, int n)
{
	for (; n > 0; n--, s++)
		switch (s->kind) {
		case DC_CHANGE_BRIGHTNESS:
		case DC_CHANGE_CONTRAST:
			towards(c->r, s->d, s->f);
			towards(c->g, s->d, s->f);
			towards(c->b, s->d, s->f);
			break;
		case DC_CHANGE_SATURATION:
			saturate(c, s->f);
			break;
		case DC_CHANGE_HUE:
			turn_hue(c, s->f);
			break;
		case DC_CHANGE_GRAY:
			make_gray(c);
			break;
		}
}

static inline void
block_load(struct colours *c, const uint8_t *rgb)
{
	uint8_t r[BLOCK], g[BLOCK], b[BLOCK];

	for (int i = 0; i < BLOCK; i += 16)
		dc_planes_from(r + i, g + i, b + i, rgb + 3 * i);
	for (int i = 0; i < BLOCK; i++) {
		c->r[i] = r[i];
		c->g[i] = g[i];
		c->b[i] = b[i];
	}
}

static inline void
block_store(uint8_t *rgb, const struct colours *c)
{
	uint8_t r[BLOCK], g[BLOCK], b[BLOCK];

	for (int i = 0; i < BLOCK; i++) {
		r[i] = (uint8_t)(int)c->r[i];
		g[i] = (uint8_t)(int)c->g[i];
		b[i] = (uint8_t)(int)c->b[i];
	}
	for (int i = 0; i < BLOCK; i += 16)
		dc_planes_to(rgb + 3 * i, r + i, g + i, b + i);
}

static inline int
block_sum(const struct colours *c, int n)
{
	int sum = 0;

	for (int i = 0; i < n; i++)
		sum += (int)luma(c->r[i], c->g[i], c->b[i]);
	return sum;
}

/* All pixels through n_steps; return the sum of Y of what comes out, if that is asked for. */
DC_WIDE static uint64_t
run(uint8_t *rgb, size_t n, const struct step *s, int n_steps, int sum_up)
{
	uint8_t rest[3 * BLOCK] = { 0 };
	struct colours c;
	uint64_t sum = 0;

	for (; n >= BLOCK; n -= BLOCK, rgb += 3 * BLOCK) {
		block_load(&c, rgb);
		change_block(&c, s, n_steps);
		sum += sum_up ? (uint64_t)block_sum(&c, BLOCK) : 0;
		if (n_steps)
			block_store(rgb, &c);
	}
	if (n == 0)
		return sum;
	memcpy(rest, rgb, 3 * n);
	block_load(&c, rest);
	change_block(&c, s, n_steps);
	sum += sum_up ? (uint64_t)block_sum(&c, (int)n) : 0;
	block_store(rest, &c);
	memcpy(rgb, rest, 3 * n);
	return sum;
}

/* --- several --- */

enum { STEPS_MAX = 8 };

void
dc_change_colours(uint8_t *rgb, size_t n, const struct dc_change *change, int n_changes)
{
	struct step s[STEPS_MAX];
	int k = 0;

	for (int i = 0; i < n_changes && n > 0; i++) {
		float d = 0, f = (float)change[i].f;

		if (change[i].kind == DC_CHANGE_CONTRAST) { /* what comes before it decides its gray */
			const uint64_t sum = run(rgb, n, s, k, 1);

			d = (uint8_t)((double)sum / (double)n + 0.5);
			k = 0;
		} else if (change[i].kind == DC_CHANGE_HUE) {
			f = (uint8_t)(int)(change[i].f * 255);
		}
		s[k++] = (struct step){ change[i].kind, f, d };
		if (k == STEPS_MAX || i + 1 == n_changes) {
			run(rgb, n, s, k, 0);
			k = 0;
		}
	}
}

static void
change_one(uint8_t *rgb, size_t n, enum dc_change_kind kind, double f)
{
	const struct dc_change c = { kind, f };

	dc_change_colours(rgb, n, &c, 1);
}

void dc_adjust_brightness(uint8_t *rgb, size_t n, double f) { change_one(rgb, n, DC_CHANGE_BRIGHTNESS, f); }
void dc_adjust_contrast(uint8_t *rgb, size_t n, double f) { change_one(rgb, n, DC_CHANGE_CONTRAST, f); }
void dc_adjust_saturation(uint8_t *rgb, size_t n, double f) { change_one(rgb, n, DC_CHANGE_SATURATION, f); }
void dc_adjust_hue(uint8_t *rgb, size_t n, double f) { change_one(rgb, n, DC_CHANGE_HUE, f); }
void dc_grayscale(uint8_t *rgb, size_t n) { change_one(rgb, n, DC_CHANGE_GRAY, 0); }

/* row (width, 3) -> to, mirrored; to has room for a byte more. */
static void
mirror(uint8_t *to, const uint8_t *row, int width)
{
	int x = 0;

#ifdef __AVX2__
	/* five pixels at a time; the byte behind them is overwritten by the next ones */
	const __m128i back = _mm_set_epi8(-1, 3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10, 15, 14, 13);

	for (; x + 6 <= width; x += 5)
		_mm_storeu_si128((__m128i *)(to + 3 * x),
		    _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(row + 3 * (width - 5 - x) - 1)), back));
#endif
	for (; x < width; x++)
		memcpy(to + 3 * x, row + 3 * (width - 1 - x), 3);
}

void
dc_flip(uint8_t *rgb, int width, int height)
{
	const size_t bytes = (size_t)width * 3;
	uint8_t *line = dc_xmalloc(bytes + 1);

	for (int y = 0; y < height; y++) {
		mirror(line, rgb + (size_t)y * bytes, width);
		memcpy(rgb + (size_t)y * bytes, line, bytes);
	}
	free(line);
}
