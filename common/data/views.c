/* SPDX-License-Identifier: MIT */
#include "data/views.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "data/blur.h"
#include "data/photometric.h"

/* e^x and ln x for the crop's ratio. Made of +, -, *, / alone: libm's differ in the last bit between processors (it
 * picks a body with or without fused multiply-add at run time), and a view must not. Good to about 1e-15, relative. */
static double
exp_same(double x)
{
	double term = 1, sum = 1;
	int halvings = 0;

	for (; fabs(x) > 0.5; halvings++)
		x /= 2;
	for (int k = 1; k <= 18; k++)
		sum += term *= x / k;
	while (halvings--)
		sum *= sum;
	return sum;
}

/* ln x = e ln 2 + 2 artanh((m - 1) / (m + 1)), x = m 2^e, m in [1/2, 1) */
static double
log_same(double x)
{
	int e;
	const double m = frexp(x, &e), s = (m - 1) / (m + 1), s2 = s * s;
	double sum = 0;

	for (int k = 39; k >= 1; k -= 2)
		sum = sum * s2 + 1.0 / k;
	return e * 0.69314718055994530942 + 2 * s * sum;
}

/* Python's int(round(x)): halves go to the even number. */
static int
round_even(double x)
{
	return (int)nearbyint(x);
}

static int
at_least_1(int x)
{
	return x < 1 ? 1 : x;
}

/* The largest central box whose ratio is allowed. */
static void
crop_fallback(int box[4], const double ratio[2], int width, int height)
{
	const double in = (double)width / height;

	box[2] = width;
	box[3] = height;
	if (in < ratio[0])
		box[3] = at_least_1(round_even(width / ratio[0]));
	else if (in > ratio[1])
		box[2] = at_least_1(round_even(height * ratio[1]));
	box[0] = (width - box[2]) / 2;
	box[1] = (height - box[3]) / 2;
}

/* torchvision's RandomResizedCrop.get_params: ten tries at an area and a ratio that fit, then the fallback. */
static void
draw_crop(int box[4], const struct dc_view_recipe *r, int width, int height, struct dc_rng *rng)
{
	const double area = (double)width * height, lo = log_same(r->ratio[0]), hi = log_same(r->ratio[1]);

	for (int i = 0; i < 10; i++) {
		const double target = area * dc_rng_uniform(rng, r->scale[0], r->scale[1]);
		const double ratio = exp_same(dc_rng_uniform(rng, lo, hi));
		const double w = sqrt(target * ratio), h = sqrt(target / ratio);

		if (w > width + 0.5 || h > height + 0.5)
			continue;
		box[2] = round_even(w);
		box[3] = round_even(h);
		if (box[2] < 1 || box[2] > width || box[3] < 1 || box[3] > height)
			continue;
		box[1] = (int)dc_rng_below(rng, (uint64_t)(height - box[3]) + 1);
		box[0] = (int)dc_rng_below(rng, (uint64_t)(width - box[2]) + 1);
		return;
	}
	crop_fallback(box, r->ratio, width, height);
}

/* torchvision's Resize(size): the shorter side becomes size. */
static void
resize_shortest(int to[2], int size, int width, int height)
{
	const int shorter = width < height ? width : height, longer = width < height ? height : width;
	const int64_t n = (int64_t)((double)((int64_t)size * longer) / shorter);

	to[0] = width <= height ? size : (int)n;
	to[1] = width <= height ? (int)n : size;
}

/* open_clip's ResizeKeepRatio(size, longest=1): the longer side becomes size. */
static void
resize_longest(int to[2], int size, int width, int height)
{
	const double scale = (double)(width > height ? width : height) / size;

	to[0] = at_least_1(round_even(width / scale));
	to[1] = at_least_1(round_even(height / scale));
}

/* The left of a window of `size` in the middle of n pixels: torchvision's CenterCrop rounds what is cut off to even,
 * open_clip's CenterCropOrPad what is added down. */
static int
middle(int n, int size)
{
	return n < size ? -((size - n) / 2) : round_even((n - size) / 2.0);
}

static void
centre(struct dc_view *v, const struct dc_view_recipe *r, int width, int height)
{
	const int size = r->size;

	if (r->resize == DC_SHORTEST)
		resize_shortest(v->resized, size, width, height);
	else if (r->resize == DC_LONGEST)
		resize_longest(v->resized, size, width, height);
	v->box[0] = middle(v->resized[0], size);
	v->box[1] = middle(v->resized[1], size);
	v->box[2] = v->box[3] = size;
}

/* Pass with probability p. */
static int
chance(struct dc_rng *rng, double p)
{
	return dc_rng_uniform(rng, 0, 1) < p;
}

/* torchvision's ColorJitter.get_params under RandomApply(p). */
static void
draw_jitter(struct dc_view *v, const struct dc_view_recipe *r, struct dc_rng *rng)
{
	const int apply = chance(rng, r->jitter_p);

	for (int i = 0; i < DC_JITTERS; i++)
		v->order[i] = i;
	dc_rng_shuffle(rng, v->order, DC_JITTERS, sizeof *v->order);
	for (int i = 0; i < DC_JITTERS; i++) {
		const double j = r->jitter[i], middle = i == DC_HUE ? 0 : 1;
		const double lo = i != DC_HUE && j > 1 ? 0 : middle - j;
		const double f = dc_rng_uniform(rng, lo, middle + j);

		v->jitter[i] = apply && j > 0 ? f : NAN;
		if (!apply)
			v->order[i] = -1;
	}
}

void
dc_view_draw(struct dc_view *v, const struct dc_view_recipe *r, int width, int height, uint64_t seed, uint64_t epoch,
    uint64_t id, uint64_t view)
{
	struct dc_rng rng;

	*v = (struct dc_view){ .resized = { r->size, r->size } };
	dc_rng_init(&rng, seed, epoch, id, view, DC_RNG_CROP);
	if (r->centre)
		centre(v, r, width, height);
	else
		draw_crop(v->box, r, width, height, &rng);
	dc_rng_init(&rng, seed, epoch, id, view, DC_RNG_JITTER);
	draw_jitter(v, r, &rng);
	dc_rng_init(&rng, seed, epoch, id, view, DC_RNG_GRAY);
	v->gray = chance(&rng, r->gray_p);
	dc_rng_init(&rng, seed, epoch, id, view, DC_RNG_BLUR);
	v->blur = chance(&rng, r->blur_p) ? dc_rng_uniform(&rng, r->blur[0], r->blur[1]) : NAN;
	dc_rng_init(&rng, seed, epoch, id, view, DC_RNG_FLIP);
	v->flip = chance(&rng, r->flip_p);
}

/* Colour jitter and grayscale. */
static void
apply_colours(uint8_t *rgb, size_t n, const struct dc_view *v)
{
	static const enum dc_change_kind kind[DC_JITTERS] = {
		DC_CHANGE_BRIGHTNESS, DC_CHANGE_CONTRAST, DC_CHANGE_SATURATION, DC_CHANGE_HUE
	};
	struct dc_change change[DC_JITTERS + 1];
	int k = 0;

	for (int i = 0; i < DC_JITTERS; i++) {
		const int op = v->order[i];

		if (op >= 0 && !isnan(v->jitter[op]))
			change[k++] = (struct dc_change){ kind[op], v->jitter[op] };
	}
	if (v->gray)
		change[k++] = (struct dc_change){ DC_CHANGE_GRAY, 0 };
	dc_change_colours(rgb, n, change, k);
}

/* The box of the image resized as a whole; beyond its border, black. */
static int
apply_centre(uint8_t *out, struct dc_raster image, const struct dc_view_recipe *r, const struct dc_view *v)
{
	const int *b = v->box, *to = v->resized;
	const int left = b[0] < 0 ? 0 : b[0], right = b[0] + b[2] < to[0] ? b[0] + b[2] : to[0];
	const int top = b[1] < 0 ? 0 : b[1], bottom = b[1] + b[3] < to[1] ? b[1] + b[3] : to[1];
	const int seen[4] = { left, top, right - left, bottom - top };
	const size_t row = (size_t)r->size * 3, seen_row = (size_t)seen[2] * 3;
	uint8_t *part;
	int ret;

	if (!memcmp(seen, b, sizeof seen))
		return dc_resample(out, to[0], to[1], image, NULL, b, r->interpolation);
	part = dc_xcalloc(seen_row, (size_t)seen[3]);
	ret = dc_resample(part, to[0], to[1], image, NULL, seen, r->interpolation);
	memset(out, 0, row * (size_t)r->size);
	for (int y = 0; ret == 0 && y < seen[3]; y++)
		memcpy(out + (size_t)(top - b[1] + y) * row + (size_t)(left - b[0]) * 3, part + (size_t)y * seen_row, seen_row);
	free(part);
	return ret;
}

int
dc_view_apply(uint8_t *out, struct dc_raster image, const struct dc_view_recipe *r, const struct dc_view *v)
{
	const int *b = v->box;

	if (r->centre) {
		DC_TRY(apply_centre(out, image, r, v));
	} else {
		DC_CHECK(b[0] >= 0 && b[1] >= 0 && b[2] >= 1 && b[3] >= 1 && b[2] <= image.width - b[0] &&
		    b[3] <= image.height - b[1], "the crop is not inside the image");
		DC_TRY(dc_resample(out, r->size, r->size, dc_raster_crop(image, b[0], b[1], b[2], b[3]), NULL, NULL,
		    r->interpolation));
	}
	apply_colours(out, (size_t)r->size * (size_t)r->size, v);
	if (!isnan(v->blur))
		dc_gaussian_blur(out, r->size, r->size, v->blur);
	if (v->flip)
		dc_flip(out, r->size, r->size);
	return 0;
}
