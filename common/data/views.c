/* SPDX-License-Identifier: MIT */
#include "data/views.h"

#include <math.h>

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

/* torchvision's Resize(size) and CenterCrop(size): the longer side is cut off, the margin rounded to even. */
static void
centre(struct dc_view *v, int size, int width, int height)
{
	const int shorter = width < height ? width : height, longer = width < height ? height : width;
	const int64_t n = (int64_t)((double)((int64_t)size * longer) / shorter);

	v->resized[0] = width <= height ? size : (int)n;
	v->resized[1] = width <= height ? (int)n : size;
	v->box[0] = round_even((v->resized[0] - size) / 2.0);
	v->box[1] = round_even((v->resized[1] - size) / 2.0);
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
		centre(v, r->size, width, height);
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

static void
apply_jitter(uint8_t *rgb, size_t n, const struct dc_view *v)
{
	static void (*const adjust[DC_JITTERS])(uint8_t *, size_t, double) = {
		dc_adjust_brightness, dc_adjust_contrast, dc_adjust_saturation, dc_adjust_hue
	};

	for (int i = 0; i < DC_JITTERS; i++) {
		const int op = v->order[i];

		if (op >= 0 && !isnan(v->jitter[op]))
			adjust[op](rgb, n, v->jitter[op]);
	}
}

int
dc_view_apply(uint8_t *out, struct dc_raster image, const struct dc_view_recipe *r, const struct dc_view *v)
{
	const int *b = v->box;

	if (r->centre) {
		DC_TRY(dc_resample(out, v->resized[0], v->resized[1], image, NULL, b, r->interpolation));
	} else {
		DC_CHECK(b[0] >= 0 && b[1] >= 0 && b[2] >= 1 && b[3] >= 1 && b[2] <= image.width - b[0] &&
		    b[3] <= image.height - b[1], "the crop is not inside the image");
		DC_TRY(dc_resample(out, r->size, r->size, dc_raster_crop(image, b[0], b[1], b[2], b[3]), NULL, NULL,
		    r->interpolation));
	}
	apply_jitter(out, (size_t)r->size * (size_t)r->size, v);
	if (v->gray)
		dc_grayscale(out, (size_t)r->size * (size_t)r->size);
	if (!isnan(v->blur))
		dc_gaussian_blur(out, r->size, r->size, v->blur);
	if (v->flip)
		dc_flip(out, r->size, r->size);
	return 0;
}
