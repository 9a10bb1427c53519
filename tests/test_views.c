/* SPDX-License-Identifier: MIT */
/* The draws of views: ranges, distributions, probabilities within five standard errors, crops that fit whatever the
 * image. The seeds are fixed: what passes once passes always. */
#include <stdlib.h>
#include <string.h>

#include "data/views.h"
#include "tests/tap.h"

enum { DRAWS = 20000 };

static const struct dc_view_recipe declip = {
	.size = 224, .interpolation = DC_BILINEAR, .scale = { 0.2, 1 }, .ratio = { 3. / 4, 4. / 3 },
	.jitter = { 0.4, 0.4, 0.4, 0.1 }, .jitter_p = 0.8, .gray_p = 0.2, .blur = { 0.1, 2 }, .blur_p = 0.5, .flip_p = 0.5
};

static void
draw(struct dc_view *v, const struct dc_view_recipe *r, int w, int h, uint64_t id)
{
	dc_view_draw(v, r, w, h, 7, 3, id * 0x9e3779b97f4a7c15u, 1);
}

/* |count - n p| <= 5 sqrt(n p (1 - p)) */
static void
frequency(const char *what, int count, int n, double p)
{
	ok(fabs(count - n * p) <= 5 * sqrt(n * p * (1 - p)), "%s: %d of %d, wanted %g", what, count, n, p);
}

/* Uniform in [lo, hi): inside, and the mean within five standard errors. */
static void
uniform(const char *what, double sum, double least, double most, int n, double lo, double hi)
{
	const double mean = sum / n, se = (hi - lo) / sqrt(12.0 * n);

	ok(least >= lo && most < hi && fabs(mean - (lo + hi) / 2) <= 5 * se && least < lo + (hi - lo) / 100 &&
	    most > hi - (hi - lo) / 100, "%s: [%g, %g] mean %g", what, least, most, mean);
}

static int
ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Kolmogorov and Smirnov: the draws x[0..n) of a variable that F maps to the uniform in [0, 1], after F. Sorts them.
 * For p = 1e-4 the critical distance is sqrt(-ln(p/2) / 2n). */
static void
distributed(const char *what, double *x, int n)
{
	const double most = sqrt(-log(0.5e-4) / (2.0 * n));
	double d = 0;

	qsort(x, (size_t)n, sizeof *x, ascending);
	for (int i = 0; i < n; i++)
		d = fmax(d, fmax((i + 1.0) / n - x[i], x[i] - (double)i / n));
	ok(n > DRAWS / 3 && d < most, "%s: %d draws, distance %g, critical %g", what, n, d, most);
}

static void
test_probabilities(void)
{
	int jitter = 0, gray = 0, blur = 0, flip = 0, first[DC_JITTERS] = { 0 }, order[256] = { 0 };
	struct dc_view v;

	for (uint64_t i = 0; i < DRAWS; i++) {
		draw(&v, &declip, 500, 375, i);
		jitter += v.order[0] >= 0;
		if (v.order[0] >= 0)
			first[v.order[0]]++;
		if (v.order[0] >= 0)
			order[v.order[0] << 6 | v.order[1] << 4 | v.order[2] << 2 | v.order[3]]++;
		gray += v.gray;
		blur += !isnan(v.blur);
		flip += v.flip;
	}
	frequency("jitter", jitter, DRAWS, 0.8);
	frequency("gray", gray, DRAWS, 0.2);
	frequency("blur", blur, DRAWS, 0.5);
	frequency("flip", flip, DRAWS, 0.5);
	for (int i = 0; i < DC_JITTERS; i++)
		frequency("each adjustment comes first equally often", first[i], jitter, 0.25);
	int orders = 0, worst = jitter / 24;
	for (int i = 0; i < 256; i++) {
		orders += order[i] > 0;
		if (order[i] && abs(24 * order[i] - jitter) > abs(24 * worst - jitter))
			worst = order[i];
	}
	ok(orders == 24, "all orders of four adjustments are drawn: %d", orders);
	frequency("the least likely order", worst, jitter, 1 / 24.0);
}

static void
test_factors(void)
{
	static const char *const name[] = { "brightness", "contrast", "saturation", "hue", "blur radius" };
	static const double lo[] = { 0.6, 0.6, 0.6, -0.1, 0.1 }, hi[] = { 1.4, 1.4, 1.4, 0.1, 2 };
	double sum[5] = { 0 }, least[5], most[5];
	static double all[5][DRAWS];
	int n[5] = { 0 }, permutations = 1;
	struct dc_view v;

	for (int k = 0; k < 5; k++) {
		least[k] = INFINITY;
		most[k] = -INFINITY;
	}
	for (uint64_t i = 0; i < DRAWS; i++) {
		draw(&v, &declip, 500, 375, i);
		for (int k = 0; k < 5; k++) {
			const double x = k < 4 ? v.jitter[k] : v.blur;

			if (isnan(x))
				continue;
			sum[k] += x;
			all[k][n[k]++] = (x - lo[k]) / (hi[k] - lo[k]);
			least[k] = fmin(least[k], x);
			most[k] = fmax(most[k], x);
		}
		permutations &= v.order[0] < 0 || (1 << v.order[0] | 1 << v.order[1] | 1 << v.order[2] | 1 << v.order[3]) == 15;
	}
	for (int k = 0; k < 5; k++)
		uniform(name[k], sum[k], least[k], most[k], n[k], lo[k], hi[k]);
	for (int k = 0; k < 5; k++)
		distributed(name[k], all[k], n[k]);
	ok(permutations, "the order is a permutation");
}

static void
test_crop(void)
{
	double area = 0, least = 1, most = 0, log_ratio = 0, ratio_lo = 9, ratio_hi = 0, left = 0, top = 0;
	struct dc_view v;
	int inside = 1;

	for (uint64_t i = 0; i < DRAWS; i++) {
		draw(&v, &declip, 1000, 1000, i);
		const double a = v.box[2] * (double)v.box[3] / 1e6, r = (double)v.box[2] / v.box[3];

		inside &= v.box[0] >= 0 && v.box[1] >= 0 && v.box[0] + v.box[2] <= 1000 && v.box[1] + v.box[3] <= 1000;
		area += a;
		least = fmin(least, a);
		most = fmax(most, a);
		log_ratio += log(r);
		ratio_lo = fmin(ratio_lo, r);
		ratio_hi = fmax(ratio_hi, r);
		left += v.box[2] < 1000 ? v.box[0] / (1000.0 - v.box[2]) : 0.5;
		top += v.box[3] < 1000 ? v.box[1] / (1000.0 - v.box[3]) : 0.5;
	}
	ok(inside, "every crop lies inside the image");
	ok(least > 0.199 && least < 0.21 && most > 0.98 && most <= 1, "area [%g, %g], mean %g", least, most, area / DRAWS);
	ok(ratio_lo > 0.748 && ratio_lo < 0.76 && ratio_hi < 1.337 && ratio_hi > 1.32, "ratio [%g, %g]", ratio_lo, ratio_hi);
	ok(fabs(log_ratio / DRAWS) < 5 * 0.17 / sqrt(DRAWS), "the ratio's logarithm is centred: %g", log_ratio / DRAWS);
	ok(fabs(left / DRAWS - 0.5) < 5 * 0.29 / sqrt(DRAWS) && fabs(top / DRAWS - 0.5) < 5 * 0.29 / sqrt(DRAWS),
	    "the place is uniform: %g, %g", left / DRAWS, top / DRAWS);
}

/* Small crops of a large image always fit at the first try: there area and ratio have the distributions asked for. */
static void
test_crop_distribution(void)
{
	struct dc_view_recipe r = declip;
	double area = 0, log_ratio = 0, log2_ratio = 0;
	const double l = log(4. / 3);
	static double all[4][DRAWS];
	struct dc_view v;

	r.scale[0] = 0.1;
	r.scale[1] = 0.5;
	for (uint64_t i = 0; i < DRAWS; i++) {
		draw(&v, &r, 4000, 4000, i);
		area += v.box[2] * (double)v.box[3] / 16e6;
		log_ratio += log((double)v.box[2] / v.box[3]);
		log2_ratio += pow(log((double)v.box[2] / v.box[3]), 2);
		all[0][i] = (v.box[2] * (double)v.box[3] / 16e6 - 0.1) / 0.4;
		all[1][i] = (log((double)v.box[2] / v.box[3]) + l) / (2 * l);
		all[2][i] = (v.box[0] + 0.5) / (4001.0 - v.box[2]);
		all[3][i] = (v.box[1] + 0.5) / (4001.0 - v.box[3]);
	}
	distributed("the crop's area", all[0], DRAWS);
	distributed("its ratio's logarithm", all[1], DRAWS);
	distributed("its left", all[2], DRAWS);
	distributed("its top", all[3], DRAWS);
	ok(fabs(area / DRAWS - 0.3) < 5 * 0.4 / sqrt(12. * DRAWS), "mean area %g, wanted 0.3", area / DRAWS);
	ok(fabs(log_ratio / DRAWS) < 5 * l / sqrt(3. * DRAWS), "mean log ratio %g, wanted 0", log_ratio / DRAWS);
	ok(fabs(log2_ratio / DRAWS / (l * l / 3) - 1) < 0.05, "its variance %g, wanted %g", log2_ratio / DRAWS, l * l / 3);
}

static void
box_is(const struct dc_view_recipe *r, int w, int h, int left, int top, int width, int height)
{
	struct dc_view v;

	draw(&v, r, w, h, 1);
	ok(v.box[0] == left && v.box[1] == top && v.box[2] == width && v.box[3] == height,
	    "%d x %d: (%d, %d) %d x %d, wanted (%d, %d) %d x %d", w, h, v.box[0], v.box[1], v.box[2], v.box[3], left, top,
	    width, height);
}

/* The probability that one try at a crop fits: area and log ratio uniform, the sides rounded. */
static double
fits(const struct dc_view_recipe *r, int width, int height)
{
	const double lo = log(r->ratio[0]), hi = log(r->ratio[1]);
	const int grid = 2000;
	int n = 0;

	for (int i = 0; i < grid; i++)
		for (int k = 0; k < grid; k++) {
			const double area = (double)width * height * (r->scale[0] + (r->scale[1] - r->scale[0]) * (i + 0.5) / grid);
			const double ratio = exp(lo + (hi - lo) * (k + 0.5) / grid);

			n += nearbyint(sqrt(area * ratio)) <= width && nearbyint(sqrt(area / ratio)) <= height;
		}
	return (double)n / ((double)grid * grid);
}

/* Ten tries, then the fallback: its share is that of ten misses, which nine or eleven would change by a fifth. The
 * fallback's crop is of the full height, which a try that fits gives too, but seldom with just its width and place. */
static void
test_tries(void)
{
	const int width = 3000, height = 900;
	struct dc_view_recipe r = declip;
	double misses;
	struct dc_view v;
	int fell = 0;

	r.scale[0] = 0.2;
	misses = pow(1 - fits(&r, width, height), 10);
	for (uint64_t i = 0; i < DRAWS; i++) {
		draw(&v, &r, width, height, i);
		fell += v.box[0] == 900 && v.box[1] == 0 && v.box[2] == 1200 && v.box[3] == 900;
	}
	ok(misses > 0.05 && misses < 0.8, "ten misses are neither rare nor the rule: %g", misses);
	frequency("the fallback after ten tries", fell, DRAWS, misses);
}

/* Where no try fits: torchvision's central crop. */
static void
test_fallback(void)
{
	struct dc_view_recipe r = declip;

	r.scale[0] = 0.9;
	box_is(&r, 1000, 10, 493, 0, 13, 10);   /* round(10 * 4/3) */
	box_is(&r, 10, 1000, 0, 493, 10, 13);   /* round(10 / (3/4)) */
	box_is(&r, 1, 1, 0, 0, 1, 1);
	box_is(&r, 1, 65535, 0, 32767, 1, 1);
	box_is(&r, 65535, 1, 32767, 0, 1, 1);
	r.ratio[0] = r.ratio[1] = 50;           /* rounds to nothing: one row is kept */
	box_is(&r, 10, 1000, 0, 499, 10, 1);
}

static void
test_centre(void)
{
	struct dc_view_recipe r = { .size = 224, .centre = 1, .interpolation = DC_BICUBIC };
	struct dc_view v;

	box_is(&r, 500, 375, 37, 0, 224, 224);      /* 298 wide: (298 - 224) / 2 */
	box_is(&r, 224, 224, 0, 0, 224, 224);
	box_is(&r, 375, 500, 0, 37, 224, 224);
	box_is(&r, 229, 224, 2, 0, 224, 224);       /* 2.5 rounds to the even 2 */
	box_is(&r, 231, 224, 4, 0, 224, 224);       /* 3.5 rounds to the even 4 */
	r.resize = DC_LONGEST;
	box_is(&r, 500, 375, 0, -28, 224, 224);     /* 168 high */
	box_is(&r, 10, 15, -37, 0, 224, 224);       /* 149 wide: 75 - 1 to the left and 75 more to the right */
	draw(&v, &r, 1, 65535, 1);
	ok(v.resized[0] == 1 && v.resized[1] == 224, "what would vanish keeps a pixel");
	r.resize = DC_SQUASH;
	box_is(&r, 500, 375, 0, 0, 224, 224);
	r.resize = DC_SHORTEST;
	draw(&v, &r, 1, 65535, 1);
	ok(v.resized[0] == 224 && v.resized[1] == 224 * 65535, "1 x 65535 is resized to 224 x %d", v.resized[1]);
	ok(v.order[0] == -1 && !v.gray && isnan(v.blur) && !v.flip, "a recipe without chances draws nothing");
}

/* Draws depend on each of seed, epoch, id and view, and on nothing else. */
static void
test_keys(void)
{
	struct dc_view a, b;
	int differ = 0, same;

	dc_view_draw(&a, &declip, 500, 375, 1, 2, 3, 4);
	dc_view_draw(&b, &declip, 500, 375, 1, 2, 3, 4);
	same = !memcmp(a.box, b.box, sizeof a.box) && !memcmp(a.order, b.order, sizeof a.order) && a.flip == b.flip;
	ok(same, "the same key draws the same");
	for (int i = 0; i < 4; i++) {
		dc_view_draw(&b, &declip, 500, 375, 1 + (i == 0), 2 + (i == 1), 3 + (i == 2), 4 + (i == 3));
		differ += memcmp(a.box, b.box, sizeof a.box) != 0;
	}
	ok(differ == 4, "another seed, epoch, id or view draws another crop");
}

/* Every image of every shape goes through every recipe without a word. */
static void
test_shapes(void)
{
	static const int shape[][2] = { { 1, 1 }, { 1, 100 }, { 100, 1 }, { 3, 999 }, { 999, 3 }, { 16, 16 }, { 1, 65535 } };
	static uint8_t image[65535 * 3], out[32 * 32 * 3];
	struct dc_view_recipe r = declip;
	struct dc_view v;
	int fine = 1;

	for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
		for (uint64_t id = 0; id < 12; id++) {
			r.centre = id >= 9;
			r.resize = (enum dc_resize)(id % 3);
			r.size = id < 6 ? 32 : 7;
			draw(&v, &r, shape[i][0], shape[i][1], id);
			fine &= dc_view_apply(out, dc_raster(image, shape[i][0], shape[i][1]), &r, &v) == 0;
		}
	ok(fine, "images from 1 x 1 to 1 x 65535 give views");
	draw(&v, &declip, 500, 375, 1);
	r.centre = 0;
	ok(dc_view_apply(out, dc_raster(image, 16, 16), &r, &v) < 0, "a crop outside the image is refused");
}

int
main(void)
{
	test_probabilities();
	test_factors();
	test_crop();
	test_crop_distribution();
	test_tries();
	test_fallback();
	test_centre();
	test_keys();
	test_shapes();
	return done_testing();
}
