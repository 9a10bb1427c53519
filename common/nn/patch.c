/* SPDX-License-Identifier: MIT */
#include "nn/gemm.h"
#include "nn/patch.h"

enum { TILE = 512 };   /* rows of patches at a time: enough for the product, and those of a small model stay in the cache */

void
dc_patch_init(struct dc_patch *t, int S, int P, int W, const double mean[3], const double std[3])
{
	t->S = S;
	t->P = P;
	t->W = W;
	for (int c = 0; c < 3; c++)
		for (int u = 0; u < 256; u++)
			t->level[c][u] = (dc_real)((u / 255.0 - mean[c]) / std[c]);
}

static void
patch_row(dc_real *restrict a, const struct dc_patch *t, const uint8_t *restrict rgb)
{
	const int P = t->P;

	for (int y = 0; y < P; y++, a += P) {
		const uint8_t *line = rgb + (size_t)y * t->S * 3;

		for (int x = 0; x < P; x++, line += 3) {
			a[x] = t->level[0][line[0]];
			a[P * P + x] = t->level[1][line[1]];
			a[2 * P * P + x] = t->level[2][line[2]];
		}
	}
}

void
dc_patch_rows(dc_real *a, const struct dc_patch *t, const uint8_t *rgb, int n)
{
	const int G = t->S / t->P, K = 3 * t->P * t->P;

#pragma omp parallel for schedule(static) if ((size_t)n * t->S * t->S > DC_PARALLEL)
	for (int i = 0; i < n * G * G; i++) {
		int s = i / (G * G), gy = i / G % G, gx = i % G;
		size_t at = (((size_t)s * t->S + (size_t)gy * t->P) * t->S + (size_t)gx * t->P) * 3;

		patch_row(a + (size_t)i * K, t, rgb + at);
	}
}

static int
tile(const struct dc_patch *t)
{
	const int G = t->S / t->P;

	return G * G < TILE ? TILE / (G * G) : 1;
}

void
dc_patch_forward(dc_real *y, const struct dc_patch *t, const uint8_t *rgb, int n, const dc_real *conv1,
	struct dc_arena *arena)
{
	const int G = t->S / t->P, K = 3 * t->P * t->P, step = tile(t);
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *a = dc_arena_reals(arena, (size_t)step * G * G * K);

	for (int s = 0; s < n; s += step) {
		int m = n - s < step ? n - s : step;

		dc_patch_rows(a, t, rgb + (size_t)s * t->S * t->S * 3, m);
		/* Y = A conv1^T */
		dc_gemm_rows(1, m * G * G, t->W, K, a, K, conv1, K, 0, y + (size_t)s * G * G * t->W, t->W);
	}
	dc_arena_release(arena, mark);
}

void
dc_patch_backward(dc_real *dconv1, const struct dc_patch *t, const dc_real *dy, const uint8_t *rgb, int n,
	struct dc_arena *arena)
{
	const int G = t->S / t->P, K = 3 * t->P * t->P, step = tile(t);
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *a = dc_arena_reals(arena, (size_t)step * G * G * K);

	for (int s = 0; s < n; s += step) {
		int m = n - s < step ? n - s : step;

		dc_patch_rows(a, t, rgb + (size_t)s * t->S * t->S * 3, m);
		/* dconv1 += dY^T A */
		dc_gemm(1, 0, t->W, K, m * G * G, 1, dy + (size_t)s * G * G * t->W, t->W, a, K, 1, dconv1, K);
	}
	dc_arena_release(arena, mark);
}
