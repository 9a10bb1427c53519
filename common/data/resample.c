/* SPDX-License-Identifier: MIT */
#include "data/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_BITS = 32 - 8 - 2 }; /* 8 bits of pixel and 2 of headroom (weights overshoot 1) leave these in 32 */

/* One axis: output i is the sum of w[i][k] * in[lo + first[i] + k], k < taps[i]. All inputs lie in [lo, lo + span). */
struct axis {
	int n;             /* outputs */
	int lo, span;
	int *first, *taps;
	int32_t *w;
	size_t width;      /* of a row of w */
	int identity;      /* output i is input lo + i */
};

static double
triangle(double x)
{
	x = fabs(x);
	return x < 1.0 ? 1.0 - x : 0.0;
}

static double
cubic(double x)
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
weigh(double *k, int *first, double center, double scale, int n_in, enum dc_interpolation f)
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

		k[i] = f == DC_BICUBIC ? cubic(x) : triangle(x);
		sum += k[i];
	}
	for (int i = 0; i < hi - lo; i++)
		if (sum != 0.0)
			k[i] /= sum;
	*first = lo;
	return hi - lo;
}

static int32_t
fixed(double w)
{
	return (int32_t)(w < 0 ? w * (1 << WEIGHT_BITS) - 0.5 : w * (1 << WEIGHT_BITS) + 0.5);
}

/* Outputs [at, at + n) of n_out, over the inputs [b0, b1) of n_in. */
static void
axis_init(struct axis *a, int at, int n, int n_out, float b0, float b1, int n_in, enum dc_interpolation f)
{
	const double scale = (double)(b1 - b0) / n_out, stretched = scale < 1.0 ? 1.0 : scale;
	double *k;

	*a = (struct axis){ .n = n, .lo = at, .span = n, .identity = n_out == n_in && b0 == 0 && b1 == (float)n_in };
	if (a->identity)
		return;
	a->width = (size_t)ceil((f == DC_BICUBIC ? 2.0 : 1.0) * stretched) * 2 + 1;
	a->first = dc_xcalloc((size_t)n, sizeof *a->first);
	a->taps = dc_xcalloc((size_t)n, sizeof *a->taps);
	a->w = dc_xcalloc((size_t)n * a->width, sizeof *a->w);
	k = dc_xcalloc(a->width, sizeof *k);
	for (int i = 0; i < n; i++) {
		int32_t *w_i = a->w + (size_t)i * a->width;

		a->taps[i] = weigh(k, &a->first[i], (double)b0 + (at + i + 0.5) * scale, stretched, n_in, f);
		for (int j = 0; j < a->taps[i]; j++)
			w_i[j] = fixed(k[j]);
	}
	free(k);
	a->lo = a->first[0];   /* the centres ascend, and so do first and first + taps */
	a->span = a->first[n - 1] + a->taps[n - 1] - a->lo;
	for (int i = 0; i < n; i++)
		a->first[i] -= a->lo;
}

static void
axis_free(struct axis *a)
{
	free(a->first);
	free(a->taps);
	free(a->w);
}

static inline uint8_t
round8(int32_t sum)
{
	sum >>= WEIGHT_BITS;
	sum = sum < 0 ? 0 : sum;
	sum = sum > 255 ? 255 : sum;
	return (uint8_t)sum;
}

/* Both passes work on LANES sums side by side, in loops over the lanes that the compiler makes vectors of. */
enum { LANES = 32, ROWS = LANES / 4 };

/* out[i] <- sum_k w[k] * in[k * step + i], i < LANES */
static inline void
weighted(uint8_t *out, const uint8_t *in, size_t step, const int32_t *w, int taps)
{
	int32_t sum[LANES];

	for (int i = 0; i < LANES; i++)
		sum[i] = 1 << (WEIGHT_BITS - 1);
	for (int k = 0; k < taps; k++) {
		const uint8_t *in_k = in + (size_t)k * step;
		const int32_t w_k = w[k];

#pragma omp simd
		for (int i = 0; i < LANES; i++)
			sum[i] += w_k * in_k[i];
	}
#pragma omp simd
	for (int i = 0; i < LANES; i++)
		out[i] = round8(sum[i]);
}

/* ROWS rows side by side: pixel x of row y to to[x][4 y ...], the fourth byte idle. Rows from n on are not there. */
static void
interleave(uint8_t (*to)[LANES], struct dc_raster in, int top, int n)
{
	for (int y = 0; y < n; y++) {
		const uint8_t *row = in.p + (size_t)(top + y) * in.stride;

		for (int x = 0; x < in.width - 1; x++)
			memcpy(to[x] + 4 * y, row + 3 * x, 4);
		memcpy(to[in.width - 1] + 4 * y, row + 3 * (in.width - 1), 3);
	}
}

/* The pixels of n rows from where they lie side by side. But at a row's end the idle byte goes along: the next pixel's
 * first byte will be there. */
static inline void
deal(uint8_t *out, size_t stride, const uint8_t *pixel, int n, int end)
{
	for (int y = 0; y < n; y++)
		if (end)
			memcpy(out + (size_t)y * stride, pixel + 4 * y, 3);
		else
			memcpy(out + (size_t)y * stride, pixel + 4 * y, 4);
}

/* in (H, h->span, 3) -> out (H, h->n, 3) */
static void
pass_rows(uint8_t *out, const struct axis *h, struct dc_raster in)
{
	const size_t bytes = (size_t)h->n * 3;
	uint8_t (*rows)[LANES] = h->identity ? NULL : dc_xcalloc((size_t)in.width, sizeof *rows), pixel[LANES];

	for (int y = 0; h->identity && y < in.height; y++)
		memcpy(out + (size_t)y * bytes, in.p + (size_t)y * in.stride, bytes);
	for (int top = 0; !h->identity && top < in.height; top += ROWS) {
		const int n = in.height - top < ROWS ? in.height - top : ROWS;

		interleave(rows, in, top, n);
		for (int x = 0; x < h->n; x++) {
			weighted(pixel, rows[h->first[x]], LANES, h->w + (size_t)x * h->width, h->taps[x]);
			deal(out + (size_t)top * bytes + 3 * (size_t)x, bytes, pixel, n, x + 1 == h->n);
		}
	}
	free(rows);
}

/* Row y of the output, at which v looks from row v->first[y] on. */
static void
columns(uint8_t *out, const struct axis *v, int y, struct dc_raster in)
{
	const size_t bytes = (size_t)in.width * 3;
	const uint8_t *from = in.p + (size_t)v->first[y] * in.stride;
	const int32_t *w = v->w + (size_t)y * v->width;
	size_t i = 0;

	for (; i + LANES <= bytes; i += LANES)
		weighted(out + i, from + i, in.stride, w, v->taps[y]);
	for (; i < bytes; i++) {
		int32_t sum = 1 << (WEIGHT_BITS - 1);

		for (int k = 0; k < v->taps[y]; k++)
			sum += w[k] * from[(size_t)k * in.stride + i];
		out[i] = round8(sum);
	}
}

/* in (v->span, W, 3) -> out (v->n, W, 3) */
static void
pass_columns(uint8_t *out, const struct axis *v, struct dc_raster in)
{
	const size_t bytes = (size_t)in.width * 3;

	for (int y = 0; y < v->n; y++)
		if (v->identity)
			memcpy(out + (size_t)y * bytes, in.p + (size_t)y * in.stride, bytes);
		else
			columns(out + (size_t)y * bytes, v, y, in);
}

static void
both_passes(uint8_t *out, const struct axis *h, const struct axis *v, struct dc_raster in, int columns_first)
{
	uint8_t *mid;

	in = dc_raster_crop(in, h->lo, v->lo, h->span, v->span);
	if (columns_first) {
		mid = dc_xmalloc((size_t)v->n * 3 * (size_t)h->span);
		pass_columns(mid, v, in);
		pass_rows(out, h, dc_raster(mid, h->span, v->n));
	} else {
		mid = dc_xmalloc((size_t)v->span * 3 * (size_t)h->n);
		pass_rows(mid, h, in);
		pass_columns(out, v, dc_raster(mid, h->n, v->span));
	}
	free(mid);
}

static int
check(int width, int height, struct dc_raster in, const float b[4], const int w[4])
{
	DC_CHECK(width >= 1 && height >= 1, "resample: the output is %d x %d pixels", width, height);
	DC_CHECK(in.width >= 1 && in.height >= 1, "resample: the image is %d x %d pixels", in.width, in.height);
	DC_CHECK(b[0] >= 0 && b[1] >= 0 && b[2] <= (float)in.width && b[3] <= (float)in.height && b[0] < b[2] && b[1] < b[3],
	    "resample: box (%g, %g, %g, %g) is not inside %d x %d pixels", (double)b[0], (double)b[1], (double)b[2],
	    (double)b[3], in.width, in.height);
	DC_CHECK(w[0] >= 0 && w[1] >= 0 && w[2] >= 1 && w[3] >= 1 && w[2] <= width - w[0] && w[3] <= height - w[1],
	    "resample: window %d x %d at (%d, %d) is not inside %d x %d pixels", w[2], w[3], w[0], w[1], width, height);
	return 0;
}

int
dc_resample(uint8_t *out, int width, int height, struct dc_raster in, const float box[4], const int window[4],
    enum dc_interpolation f)
{
	const float all[4] = { 0, 0, (float)in.width, (float)in.height };
	const int every[4] = { 0, 0, width, height };
	const float *b = box ? box : all;
	const int *win = window ? window : every;
	/* Pillow 13's choice: the columns first where the height loses more than twice the pixels of the width */
	const int columns_first = height < in.height &&
	    (int64_t)in.height - height > 2 * ((int64_t)in.width - width);
	struct axis h, v;

	DC_TRY(check(width, height, in, b, win));
	axis_init(&h, win[0], win[2], width, b[0], b[2], in.width, f);
	axis_init(&v, win[1], win[3], height, b[1], b[3], in.height, f);
	both_passes(out, &h, &v, in, columns_first);
	axis_free(&h);
	axis_free(&v);
	return 0;
}
