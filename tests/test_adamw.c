/* SPDX-License-Identifier: MIT */
/* AdamW, schedule and clipping against torch (tests/golden/adamw.h); sums and updates for any number of threads. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "optim/adamw.h"
#include "optim/schedule.h"
#include "tap.h"
#include "tests/golden/adamw.h"

static const struct dc_schedule schedule = { .lr = 1e-2, .lr_start = 1e-3, .warmup = 3, .steps = 10 };

static void
one_case(int k)
{
	const struct dc_adamw o = { .beta1 = 0.9, .beta2 = 0.98, .eps = golden_adamw[k].eps, .weight_decay = 0.1 };
	float w[2][golden_n], m[2][golden_n] = { 0 }, v[2][golden_n] = { 0 }, g[2][golden_n];
	char what[80];

	for (int i = 0; i < 2 * golden_n; i++)
		(&w[0][0])[i] = (float)(sin(i + 1) * 0.7);
	for (int s = 0; s < golden_steps; s++) {
		double norm, lr = dc_schedule_lr(&schedule, (uint64_t)s), scale;
		float n32;

		for (int j = 0; j < 2; j++)
			for (int i = 0; i < golden_n; i++)
				g[j][i] = (float)(cos(1 + 3 * s + 5 * j + 7 * i) * pow(10, i % 5 - 3));
		norm = sqrt(dc_sum_squares(g[0], golden_n) + dc_sum_squares(g[1], golden_n));
		scale = dc_clip_scale(norm, golden_adamw[k].clip);
		n32 = (float)norm;
		for (int j = 0; j < 2; j++)
			dc_adamw(w[j], m[j], v[j], g[j], golden_n, &o, lr, (uint64_t)s + 1, j == 0, scale);
		snprintf(what, sizeof(what), "%s, update %d", golden_adamw[k].name, s + 1);
		close_f32(what, &w[0][0], &golden_adamw[k].w[s][0][0], 2 * golden_n, 1e-6, 1e-8);
		close_f32("norm", &n32, &golden_adamw[k].norm[s], 1, 1e-6, 0);
	}
}

static void
threads(void)
{
	enum { n = 300001 };
	const struct dc_adamw o = { .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8, .weight_decay = 0.1 };
	float *a = dc_xcalloc(8 * (size_t)n, sizeof(*a)), *g = a + 3 * (size_t)n, *b = g + n;
	double sum[2];

	for (int i = 0; i < n; i++) {
		a[i] = b[i] = (float)sin(i);
		g[i] = (float)cos(3 * i);
	}
	for (int k = 0; k < 2; k++) {
		float *x = k ? b : a;

		omp_set_num_threads(k ? 3 : 1);
		sum[k] = dc_sum_squares(g, n);
		dc_adamw(x, x + n, x + 2 * (size_t)n, g, n, &o, 1e-3, 1, 1, 1);
	}
	ok(sum[0] == sum[1], "the sum is the same with 1 and 3 threads");
	ok(!memcmp(a, b, 3 * (size_t)n * sizeof(*a)), "so is the update");
	free(a);
}

static void
not_finite(void)
{
	float *x = dc_xcalloc(100000, sizeof(*x));

	ok(dc_sum_squares(x, 100000) == 0, "a sum of zeros");
	x[99999] = 3e38f;
	ok(isfinite(dc_sum_squares(x, 100000)), "the square of a large float is finite in double");
	x[5] = NAN;
	ok(!isfinite(dc_sum_squares(x, 100000)), "one NaN makes the sum not finite");
	x[5] = -INFINITY;
	ok(!isfinite(dc_sum_squares(x, 100000)), "so does an infinity");
	ok(dc_sum_squares(x, 0) == 0, "an empty sum");
	free(x);
}

static void
rates(void)
{
	struct dc_schedule s = schedule;

	ok(dc_schedule_lr(&s, 0) == 1e-3, "starts at lr_start");
	ok(dc_schedule_lr(&s, 3) == 1e-2, "reaches lr after the warm-up");
	ok(dc_schedule_lr(&s, 10) == 0 && dc_schedule_lr(&s, 11) == 0, "ends at 0 and stays there");
	s.steps = 2;
	ok(dc_schedule_lr(&s, 2) > 0 && dc_schedule_lr(&s, 3) == 0, "a schedule shorter than its warm-up");
	s.steps = 0;
	ok(dc_schedule_lr(&s, 1000000) == 1e-2, "no end: constant");
	s.warmup = 0;
	ok(dc_schedule_lr(&s, 0) == 1e-2, "no warm-up");
}

int
main(void)
{
	for (size_t k = 0; k < sizeof(golden_adamw) / sizeof(*golden_adamw); k++)
		one_case((int)k);
	threads();
	not_finite();
	rates();
	return done_testing();
}
