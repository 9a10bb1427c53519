/* SPDX-License-Identifier: MIT */
/* AdamW, schedule and clipping against torch (tests/golden/adamw.h); the sweep against a plain loop, for any number of threads. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "optim/adamw.h"
#include "optim/schedule.h"
#include "tap.h"
#include "tests/golden/adamw.h"

static const struct dc_schedule schedule = { .lr = 1e-2, .lr_start = 1e-3, .warmup = 3, .steps = 10 };

/* One tensor for the sweep; its cells go with the next call. */
static struct dc_adamw_tensor
tensor(float *w, float *m, float *v, float *g, size_t n, uint64_t t, int decay)
{
	static unsigned char cell[2][3000];
	static int turn;

	turn = !turn;
	memset(cell[turn], 0, sizeof(*cell));
	return (struct dc_adamw_tensor){ w, m, v, g, cell[turn], n, t, decay };
}

static double
sum_squares(float *g, size_t n)
{
	const struct dc_adamw_tensor x = tensor(NULL, NULL, NULL, g, n, 1, 1);
	double sum;

	dc_squares(&x, 1, &sum);
	return sum;
}

static void
one_case(int k)
{
	const struct dc_adamw o = { .beta1 = 0.9, .beta2 = 0.98, .eps = golden_adamw[k].eps, .weight_decay = 0.1 };
	float w[2][golden_n], m[2][golden_n] = { 0 }, v[2][golden_n] = { 0 }, g[2][golden_n];
	char what[80];

	for (int i = 0; i < 2 * golden_n; i++)
		(&w[0][0])[i] = (float)(sin(i + 1) * 0.7);
	for (int s = 0; s < golden_steps; s++) {
		double norm, sum[2], lr = dc_schedule_lr(&schedule, (uint64_t)s), scale;
		struct dc_adamw_tensor x[2];
		float n32;

		for (int j = 0; j < 2; j++) {
			for (int i = 0; i < golden_n; i++)
				g[j][i] = (float)(cos(1 + 3 * s + 5 * j + 7 * i) * pow(10, i % 5 - 3));
			x[j] = tensor(w[j], m[j], v[j], g[j], golden_n, (uint64_t)s + 1, j == 0);
		}
		dc_squares(x, 2, sum);
		norm = sqrt(sum[0] + sum[1]);
		scale = dc_clip_scale(norm, golden_adamw[k].clip);
		n32 = (float)norm;
		dc_adamw_sweep(x, 2, &o, lr, scale, 0);
		snprintf(what, sizeof(what), "%s, update %d", golden_adamw[k].name, s + 1);
		close_f32(what, &w[0][0], &golden_adamw[k].w[s][0][0], 2 * golden_n, 1e-6, 1e-8);
		close_f32("norm", &n32, &golden_adamw[k].norm[s], 1, 1e-6, 0);
	}
}

/* The update as it is written down, every element of every tensor, and the sum of squares likewise. */
static void
naive_update(float *w, float *m, float *v, const float *g, size_t n, const struct dc_adamw *o, double lr, int t, int decay,
    double scale)
{
	const float keep = (float)(decay ? 1 - lr * o->weight_decay : 1), rate = (float)(lr / (1 - pow(o->beta1, t)));
	const float root = (float)sqrt(1 - pow(o->beta2, t));

	for (size_t i = 0; i < n; i++) {
		float gi = (float)scale * g[i];

		m[i] += (float)(1 - o->beta1) * (gi - m[i]);
		v[i] = (float)o->beta2 * v[i] + (float)(1 - o->beta2) * (gi * gi);
		w[i] = keep * w[i] - rate * (m[i] / (sqrtf(v[i]) / root + (float)o->eps));
	}
}

/* In the same order: 32 running sums of a block of 16384, then the rest. */
static double
naive_squares(const float *g, size_t n)
{
	double sum = 0;

	for (size_t at = 0; at < n; at += 1 << 14) {
		size_t k = n - at < 1 << 14 ? n - at : 1 << 14;
		double lane[32] = { 0 }, block = 0;

		for (size_t i = 0; i < k; i++)
			*(i < k / 32 * 32 ? &lane[i % 32] : &block) += (double)g[at + i] * (double)g[at + i];
		for (int j = 0; j < 32; j++)
			block += lane[j];
		sum += block;
	}
	return sum;
}

enum { SIZES = 6, ROOM = 300001 };
static const size_t size[SIZES] = { ROOM, 1, 70000, 127, 128, 40000 };

/* A gradient like an embedding's: rows of 100, of which few have any; some are -0, some of the numbers tiny. */
static void
sparse_gradient(float *g, size_t n, int step)
{
	for (size_t i = 0; i < n; i++) {
		size_t row = i / 100;

		g[i] = (row * 2654435761u + (size_t)step * 40503u) % 97 < 4 ? (float)(cos((double)i + step) * (row % 3 ? 1 : 1e-30)) : 0;
		if (row % 41 == 7)
			g[i] = -0.0f;
	}
}

static int
all_clear(const float *g, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (g[i] != 0 || signbit(g[i]))
			return 0;
	return 1;
}

/* Cells that are passed over, for any number of threads, over some steps and a reload in between: the naive sweep's bytes. */
static void
same_as_naive(int threads)
{
	const struct dc_adamw o = { .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8, .weight_decay = 0.1 };
	struct dc_adamw_tensor x[SIZES];
	float *plain[SIZES], *fast[SIZES];
	double sum[SIZES];
	int sums = 1, same = 1, clear = 1, cold = 0;

	omp_set_num_threads(threads);
	for (int j = 0; j < SIZES; j++) {
		size_t n = size[j];

		plain[j] = dc_xcalloc(4 * n, sizeof(float));
		fast[j] = dc_xcalloc(4 * n, sizeof(float));
		for (size_t i = 0; i < n; i++)
			plain[j][i] = fast[j][i] = i % 50 ? (float)sin((double)i) : -0.0f;
		x[j] = (struct dc_adamw_tensor){ fast[j], fast[j] + n, fast[j] + 2 * n, fast[j] + 3 * n, dc_xcalloc(dc_cells(n), 1), n, 0, j % 2 == 0 };
		memset(x[j].cell, DC_CELL_COLD, dc_cells(n));
	}
	for (int s = 1; s <= 5; s++) {
		for (int j = 0; j < SIZES; j++) {
			sparse_gradient(x[j].g, size[j], s + j);
			memcpy(plain[j] + 3 * size[j], x[j].g, size[j] * sizeof(float));
			x[j].t = (uint64_t)s;
			if (s == 3)
				dc_adamw_cold(&x[j]);
		}
		dc_squares(x, SIZES, sum);
		dc_adamw_sweep(x, SIZES, &o, 1e-3, 0.7, s != 4);
		for (int j = 0; j < SIZES; j++) {
			float *p = plain[j];
			size_t n = size[j];

			sums &= sum[j] == naive_squares(p + 3 * n, n);
			naive_update(p, p + n, p + 2 * n, p + 3 * n, n, &o, 1e-3, s, x[j].decay, 0.7);
			same &= !memcmp(p, fast[j], 3 * n * sizeof(float));
			clear &= s == 4 || all_clear(x[j].g, n);
		}
	}
	for (size_t i = 0; i < dc_cells(size[0]); i++)
		cold += x[0].cell[i] & DC_CELL_COLD ? 1 : 0;
	ok(sums, "%d threads: the sums of squares are those of a plain loop", threads);
	ok(same, "so are the updates, bit by bit, where cells are passed over");
	ok(clear, "and the gradients are zero after them");
	ok(cold > 100 && cold < (int)dc_cells(size[0]) - 100, "%d of %d cells are cold still", cold, (int)dc_cells(size[0]));
	for (int j = 0; j < SIZES; j++) {
		free(plain[j]);
		free(fast[j]);
		free(x[j].cell);
	}
}

static void
not_finite(void)
{
	float *x = dc_xcalloc(100000, sizeof(*x));

	ok(sum_squares(x, 100000) == 0, "a sum of zeros");
	x[99999] = 3e38f;
	ok(isfinite(sum_squares(x, 100000)), "the square of a large float is finite in double");
	x[5] = NAN;
	ok(!isfinite(sum_squares(x, 100000)), "one NaN makes the sum not finite");
	x[5] = -INFINITY;
	ok(!isfinite(sum_squares(x, 100000)), "so does an infinity");
	ok(sum_squares(x, 0) == 0, "an empty sum");
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
	same_as_naive(1);
	same_as_naive(3);
	not_finite();
	rates();
	return done_testing();
}
