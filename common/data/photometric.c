/* SPDX-License-Identifier: MIT */
#include "data/photometric.h"

#include <math.h>

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
static uint8_t
blend(uint8_t d, uint8_t x, float f)
{
	const float y = (float)d + f * (float)((int)x - (int)d);

	return y <= 0.0f ? 0 : y >= 255.0f ? 255 : (uint8_t)y;
}

void
dc_adjust_brightness(uint8_t *rgb, size_t n, double f)
{
	for (size_t i = 0; i < 3 * n; i++)
		rgb[i] = blend(0, rgb[i], (float)f);
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
		rgb[i] = blend(mean, rgb[i], (float)f);
}

void
dc_adjust_saturation(uint8_t *rgb, size_t n, double f)
{
	for (uint8_t *p = rgb; p < rgb + 3 * n; p += 3) {
		const uint8_t gray = luma(p);

		for (int c = 0; c < 3; c++)
			p[c] = blend(gray, p[c], (float)f);
	}
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

void
dc_adjust_hue(uint8_t *rgb, size_t n, double f)
{
	const uint8_t turn = (uint8_t)(int)(f * 255);

	for (uint8_t *p = rgb; p < rgb + 3 * n; p += 3) {
		uint8_t hsv[3];

		dc_rgb_to_hsv(hsv, p);
		hsv[0] = (uint8_t)(hsv[0] + turn);
		dc_hsv_to_rgb(p, hsv);
	}
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
