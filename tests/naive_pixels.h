/* SPDX-License-Identifier: MIT */
/* Pillow's pixel arithmetic as its definition reads, one value after the other: what the kernels of common/data must be,
 * byte for byte (tests/test_pixels.c). */
#ifndef DC_TESTS_NAIVE_PIXELS_H
#define DC_TESTS_NAIVE_PIXELS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "data/resample.h"

static uint8_t
naive_luma(const uint8_t *p)
{
	return (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16);
}

static uint8_t
naive_clamp8(int x)
{
	return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

/* d + f (x - d), clamped and truncated. */
static uint8_t
naive_blend(uint8_t d, uint8_t x, float f)
{
	const float y = (float)d + f * (float)((int)x - (int)d);

	return y <= 0.0f ? 0 : y >= 255.0f ? 255 : (uint8_t)y;
}

static void
naive_adjust_brightness(uint8_t *rgb, size_t n, double f)
{
	for (size_t i = 0; i < 3 * n; i++)
		rgb[i] = naive_blend(0, rgb[i], (float)f);
}

static void
naive_adjust_contrast(uint8_t *rgb, size_t n, double f)
{
	uint64_t sum = 0;
	uint8_t mean;

	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		sum += naive_luma(rgb + 3 * i);
	mean = (uint8_t)((double)sum / (double)n + 0.5);
	for (size_t i = 0; i < 3 * n; i++)
		rgb[i] = naive_blend(mean, rgb[i], (float)f);
}

static void
naive_adjust_saturation(uint8_t *rgb, size_t n, double f)
{
	for (uint8_t *p = rgb; p < rgb + 3 * n; p += 3) {
		const uint8_t gray = naive_luma(p);

		for (int c = 0; c < 3; c++)
			p[c] = naive_blend(gray, p[c], (float)f);
	}
}

static void
naive_grayscale(uint8_t *rgb, size_t n)
{
	for (uint8_t *p = rgb; p < rgb + 3 * n; p += 3)
		p[0] = p[1] = p[2] = naive_luma(p);
}

/* The places where Pillow rounds to single precision are the assignments to float below; all else is double. */
static void
naive_rgb_to_hsv(uint8_t hsv[3], const uint8_t rgb[3])
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
	hsv[0] = naive_clamp8((int)((double)h * 255.0));
	hsv[1] = naive_clamp8((int)((double)s * 255.0));
}

static void
naive_hsv_to_rgb(uint8_t rgb[3], const uint8_t hsv[3])
{
	const double turn = hsv[0] * 6.0 / 255.0, v = hsv[2];  /* 0 to 6 */
	const int sector = (int)turn;
	const float f = (float)(turn - sector), s = (float)(hsv[1] / 255.0);
	const uint8_t top = hsv[2];
	const uint8_t low = naive_clamp8((int)round(v * (1.0 - (double)s)));
	const uint8_t fall = naive_clamp8((int)round(v * (1.0 - (double)(s * f))));
	const uint8_t rise = naive_clamp8((int)round(v * (1.0 - (double)s * (1.0 - (double)f))));
	const uint8_t *wheel[6][3] = {
		{ &top, &rise, &low }, { &fall, &top, &low }, { &low, &top, &rise },
		{ &low, &fall, &top }, { &rise, &low, &top }, { &top, &low, &fall }
	};

	for (int c = 0; c < 3; c++)
		rgb[c] = hsv[1] ? *wheel[sector % 6][c] : top;
}

static void
naive_adjust_hue(uint8_t *rgb, size_t n, double f)
{
	const uint8_t turn = (uint8_t)(int)(f * 255);

	for (uint8_t *p = rgb; p < rgb + 3 * n; p += 3) {
		uint8_t hsv[3];

		naive_rgb_to_hsv(hsv, p);
		hsv[0] = (uint8_t)(hsv[0] + turn);
		naive_hsv_to_rgb(p, hsv);
	}
}

enum { NAIVE_PASSES = 3, NAIVE_FRACTION_BITS = 24 };

/* A box of 2 reach + 1 pixels of weight `inner` each, with two more of weight `outer` at its ends; in 24-bit fixed
 * point, (2 reach + 1) inner + 2 outer = 1 up to rounding. */
struct naive_box { int reach; uint32_t inner, outer; };

/* The (fractional) box radius whose NAIVE_PASSES-fold convolution has the Gaussian's variance; equations [7], [11], [14] of
 * the paper, in single precision as in Pillow:
 *	L = sqrt(12 s2 / n + 1), l = floor((L - 1) / 2), a = (2l + 1)(l(l + 1) - 3 s2/n) / (6 (s2/n - (l + 1)^2)). */
static float
naive_box_radius(float radius)
{
	const float s2 = radius * radius / NAIVE_PASSES;
	const float len = (float)sqrt(12.0 * (double)s2 + 1.0);
	const float l = (float)floor(((double)len - 1.0) / 2.0);
	float a = (2 * l + 1) * (l * (l + 1) - 3 * s2);

	a /= 6 * (s2 - (l + 1) * (l + 1));
	return l + a;
}

static struct naive_box
naive_box_init(float radius)
{
	struct naive_box b = { .reach = (int)radius };

	b.inner = (uint32_t)((float)(1u << NAIVE_FRACTION_BITS) / (radius * 2 + 1));
	b.outer = ((1u << NAIVE_FRACTION_BITS) - (uint32_t)(b.reach * 2 + 1) * b.inner) / 2;
	return b;
}

static int
naive_clamp(int x, int n)
{
	return x < 0 ? 0 : x >= n ? n - 1 : x;
}

/* out(x) <- inner * (in(x - reach) + ... + in(x + reach)) + outer * (in(x - reach - 1) + in(x + reach + 1)) of n pixels
 * of 3 channels; the sum slides along. */
static void
naive_pass(uint8_t *restrict out, const uint8_t *restrict in, int n, struct naive_box b)
{
	const uint32_t half = 1u << (NAIVE_FRACTION_BITS - 1);
	uint32_t sum[3] = { 0, 0, 0 };

	for (int x = -1 - b.reach; x < b.reach; x++)
		for (int c = 0; c < 3; c++)
			sum[c] += in[3 * naive_clamp(x, n) + c];
	for (int x = 0; x < n; x++) {
		const uint8_t *left = in + 3 * naive_clamp(x - b.reach - 1, n), *right = in + 3 * naive_clamp(x + b.reach, n);
		const uint8_t *beyond = in + 3 * naive_clamp(x + b.reach + 1, n);

		for (int c = 0; c < 3; c++) {
			sum[c] += (uint32_t)right[c] - left[c];
			out[3 * x + c] = (uint8_t)((sum[c] * b.inner + ((uint32_t)left[c] + beyond[c]) * b.outer + half)
			    >> NAIVE_FRACTION_BITS);
		}
	}
}

/* All passes over one line whose pixels are `step` bytes apart; a and t hold a line each. */
static void
naive_line(uint8_t *p, size_t step, int n, struct naive_box b, uint8_t *a, uint8_t *t)
{
	for (int x = 0; x < n; x++)
		for (int c = 0; c < 3; c++)
			a[3 * x + c] = p[(size_t)x * step + c];
	for (int i = 0; i < NAIVE_PASSES; i++) {
		uint8_t *swap = a;

		naive_pass(t, a, n, b);
		a = t;
		t = swap;
	}
	for (int x = 0; x < n; x++)
		for (int c = 0; c < 3; c++)
			p[(size_t)x * step + c] = a[3 * x + c];
}

static void
naive_gaussian_blur(uint8_t *image, int width, int height, double radius)
{
	const size_t row = (size_t)width * 3, longest = (size_t)(width > height ? width : height) * 3;
	const float r = naive_box_radius((float)radius);
	uint8_t *scratch;

	if (r == 0)
		return;
	scratch = dc_xcalloc(2, longest);
	for (int y = 0; y < height; y++)
		naive_line(image + (size_t)y * row, 3, width, naive_box_init(r), scratch, scratch + longest);
	for (int x = 0; x < width; x++)
		naive_line(image + (size_t)x * 3, row, height, naive_box_init(r), scratch, scratch + longest);
	free(scratch);
}

enum { NAIVE_WEIGHT_BITS = 32 - 8 - 2 }; /* 8 bits of pixel and 2 of headroom (weights overshoot 1) leave these in 32 */

/* One axis: output i is the sum of w[i][k] * in[lo + first[i] + k], k < taps[i]. All inputs lie in [lo, lo + span). */
struct naive_axis {
	int n;             /* outputs */
	int lo, span;
	int *first, *taps;
	int32_t *w;
	size_t width;      /* of a row of w */
	int identity;      /* output i is input lo + i */
};

static double
naive_triangle(double x)
{
	x = fabs(x);
	return x < 1.0 ? 1.0 - x : 0.0;
}

static double
naive_cubic(double x)
{
	const double a = -0.5;

	x = fabs(x);
	if (x < 1.0)
		return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
	if (x < 2.0)
		return (((x - 5) * x + 8) * x - 4) * a;
	return 0.0;
}

/* Weights of one output pixel, centred on `center`; return how many. */
static int
naive_weigh(double *k, int *first, double center, double scale, int n_in, enum dc_interpolation f)
{
	const double support = (f == DC_BICUBIC ? 2.0 : 1.0) * scale, inverse = 1.0 / scale;
	int lo = (int)(center - support + 0.5), hi = (int)(center + support + 0.5);
	double sum = 0.0;

	if (lo < 0)
		lo = 0;
	if (hi > n_in)
		hi = n_in;
	for (int i = 0; i < hi - lo; i++) {
		const double x = (i + lo - center + 0.5) * inverse;

		k[i] = f == DC_BICUBIC ? naive_cubic(x) : naive_triangle(x);
		sum += k[i];
	}
	for (int i = 0; i < hi - lo; i++)
		if (sum != 0.0)
			k[i] /= sum;
	*first = lo;
	return hi - lo;
}

static int32_t
naive_fixed(double w)
{
	return (int32_t)(w < 0 ? w * (1 << NAIVE_WEIGHT_BITS) - 0.5 : w * (1 << NAIVE_WEIGHT_BITS) + 0.5);
}

/* Outputs [at, at + n) of n_out, over the inputs [b0, b1) of n_in. */
static void
naive_axis_init(struct naive_axis *a, int at, int n, int n_out, float b0, float b1, int n_in, enum dc_interpolation f)
{
	const double scale = (double)(b1 - b0) / n_out, stretched = scale < 1.0 ? 1.0 : scale;
	double *k;

	*a = (struct naive_axis){ .n = n, .lo = at, .span = n, .identity = n_out == n_in && b0 == 0 && b1 == (float)n_in };
	if (a->identity)
		return;
	a->width = (size_t)ceil((f == DC_BICUBIC ? 2.0 : 1.0) * stretched) * 2 + 1;
	a->first = dc_xcalloc((size_t)n, sizeof *a->first);
	a->taps = dc_xcalloc((size_t)n, sizeof *a->taps);
	a->w = dc_xcalloc((size_t)n * a->width, sizeof *a->w);
	k = dc_xcalloc(a->width, sizeof *k);
	for (int i = 0; i < n; i++) {
		int32_t *w_i = a->w + (size_t)i * a->width;

		a->taps[i] = naive_weigh(k, &a->first[i], (double)b0 + (at + i + 0.5) * scale, stretched, n_in, f);
		for (int j = 0; j < a->taps[i]; j++)
			w_i[j] = naive_fixed(k[j]);
	}
	free(k);
	a->lo = a->first[0];   /* the centres ascend, and so do first and first + taps */
	a->span = a->first[n - 1] + a->taps[n - 1] - a->lo;
	for (int i = 0; i < n; i++)
		a->first[i] -= a->lo;
}

static void
naive_axis_free(struct naive_axis *a)
{
	free(a->first);
	free(a->taps);
	free(a->w);
}

static uint8_t
naive_round8(int32_t sum)
{
	sum >>= NAIVE_WEIGHT_BITS;
	return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* One row: out[x] <- sum_k w[x][k] * in[first[x] + k], per channel. */
static void
naive_along_row(uint8_t *restrict out, const uint8_t *restrict in, const struct naive_axis *a)
{
	for (int x = 0; x < a->n; x++) {
		const int32_t *w = a->w + (size_t)x * a->width;
		const uint8_t *p = in + (size_t)a->first[x] * 3;
		int32_t r = 1 << (NAIVE_WEIGHT_BITS - 1), g = r, b = r;

		for (int k = 0; k < a->taps[x]; k++) {
			r += w[k] * p[3 * k];
			g += w[k] * p[3 * k + 1];
			b += w[k] * p[3 * k + 2];
		}
		out[3 * x] = naive_round8(r);
		out[3 * x + 1] = naive_round8(g);
		out[3 * x + 2] = naive_round8(b);
	}
}

/* One output row from the `taps` rows at `in`; sum holds a row. */
static void
naive_down_columns(uint8_t *restrict out, int32_t *restrict sum, const uint8_t *in, size_t stride, const int32_t *w, int taps,
    size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		sum[i] = 1 << (NAIVE_WEIGHT_BITS - 1);
	for (int k = 0; k < taps; k++) {
		const uint8_t *restrict row = in + (size_t)k * stride;
		const int32_t w_k = w[k];

		for (size_t i = 0; i < bytes; i++)
			sum[i] += w_k * row[i];
	}
	for (size_t i = 0; i < bytes; i++)
		out[i] = naive_round8(sum[i]);
}

/* in (H, h->span, 3) -> out (H, h->n, 3) */
static void
naive_pass_rows(uint8_t *out, const struct naive_axis *h, struct dc_raster in)
{
	const size_t bytes = (size_t)h->n * 3;

	for (int y = 0; y < in.height; y++) {
		const uint8_t *row = in.p + (size_t)y * in.stride;

		if (h->identity)
			memcpy(out + (size_t)y * bytes, row, bytes);
		else
			naive_along_row(out + (size_t)y * bytes, row, h);
	}
}

/* in (v->span, W, 3) -> out (v->n, W, 3) */
static void
naive_pass_columns(uint8_t *out, const struct naive_axis *v, struct dc_raster in)
{
	const size_t bytes = (size_t)in.width * 3;
	int32_t *sum = dc_xcalloc(bytes, sizeof *sum);

	for (int y = 0; y < v->n; y++) {
		uint8_t *out_y = out + (size_t)y * bytes;

		if (v->identity)
			memcpy(out_y, in.p + (size_t)y * in.stride, bytes);
		else
			naive_down_columns(out_y, sum, in.p + (size_t)v->first[y] * in.stride, in.stride,
			    v->w + (size_t)y * v->width, v->taps[y], bytes);
	}
	free(sum);
}

static void
naive_both_passes(uint8_t *out, const struct naive_axis *h, const struct naive_axis *v, struct dc_raster in, int columns_first)
{
	uint8_t *mid;

	in = dc_raster_crop(in, h->lo, v->lo, h->span, v->span);
	if (columns_first) {
		mid = dc_xcalloc((size_t)v->n * 3, (size_t)h->span);
		naive_pass_columns(mid, v, in);
		naive_pass_rows(out, h, dc_raster(mid, h->span, v->n));
	} else {
		mid = dc_xcalloc((size_t)v->span * 3, (size_t)h->n);
		naive_pass_rows(mid, h, in);
		naive_pass_columns(out, v, dc_raster(mid, h->n, v->span));
	}
	free(mid);
}

static int
naive_resample(uint8_t *out, int width, int height, struct dc_raster in, const float box[4], const int window[4],
    enum dc_interpolation f)
{
	const float all[4] = { 0, 0, (float)in.width, (float)in.height };
	const int every[4] = { 0, 0, width, height };
	const float *b = box ? box : all;
	const int *win = window ? window : every;
	/* Pillow 13's choice: the columns first where the height loses more than twice the pixels of the width */
	const int columns_first = height < in.height &&
	    (int64_t)in.height - height > 2 * ((int64_t)in.width - width);
	struct naive_axis h, v;

	naive_axis_init(&h, win[0], win[2], width, b[0], b[2], in.width, f);
	naive_axis_init(&v, win[1], win[3], height, b[1], b[3], in.height, f);
	naive_both_passes(out, &h, &v, in, columns_first);
	naive_axis_free(&h);
	naive_axis_free(&v);
	return 0;
}

#endif
