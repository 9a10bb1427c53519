/* SPDX-License-Identifier: MIT */
#include "nn/conv.h"

#include <string.h>

#include "nn/gemm.h"
#include "nn/threads.h"
#include "nn/winograd.h"

/* A tile of gathered rows: about so many elements, so that it stays in the cache, but rows enough that the product does
 * not spend its time on packing the weights. */
enum { TILE = 1 << 18, ROWS_MIN = 512, ROWS_MAX = 4096 };

static size_t
tile_rows(int K, size_t rows)
{
	size_t n = TILE / (size_t)K;

	n = n < ROWS_MIN ? ROWS_MIN : n > ROWS_MAX ? ROWS_MAX : n;
	return n < rows ? n : rows;
}

/* Where the gathered rows come from: a map, or pixels. */
struct source {
	const dc_real *x; int H, W, C;                       /* [n,H,W,C] */
	const dc_real (*level)[256]; const uint8_t *rgb; int S, G; /* rgb [n,S,S,3], G x G places with stride 2 */
};

static int
columns(const struct source *f)
{
	return f->x ? 9 * f->C : 27;
}

/* One row: the 3x3 pixels around (p, q) of image s, in the order (a, b, channel), zeros where there are none. */
static void
map_row(dc_real *restrict row, const struct source *f, size_t s, int p, int q)
{
	const size_t C = (size_t)f->C;
	const int b0 = q == 0, b1 = q == f->W - 1 ? 2 : 3;

	for (int a = 0; a < 3; a++, row += 3 * C) {
		const dc_real *line = f->x + ((s * f->H + (size_t)(p + a - 1)) * f->W + (size_t)(q - 1)) * C;

		if (p + a < 1 || p + a > f->H) {
			memset(row, 0, 3 * C * sizeof(*row));
			continue;
		}
		if (b0)
			memset(row, 0, C * sizeof(*row));
		memcpy(row + b0 * C, line + b0 * C, (size_t)(b1 - b0) * C * sizeof(*row));
		if (b1 < 3)
			memset(row + 2 * C, 0, C * sizeof(*row));
	}
}

/* The same of pixels, stride 2, in the order (channel, a, b), which is the weights' own. */
static void
pixel_row(dc_real *restrict row, const struct source *f, size_t s, int p, int q)
{
	for (int c = 0; c < 3; c++)
		for (int a = 0; a < 3; a++)
			for (int b = 0; b < 3; b++) {
				const int y = 2 * p + a - 1, x = 2 * q + b - 1;
				const int in = y >= 0 && y < f->S && x >= 0 && x < f->S;

				*row++ = in ? f->level[c][f->rgb[((s * f->S + (size_t)y) * f->S + (size_t)x) * 3 + (size_t)c]] : 0;
			}
}

/* Rows [from, to) of the gathered matrix. */
static void
gather(dc_real *a, const struct source *f, size_t from, size_t to)
{
	const size_t W = (size_t)(f->x ? f->W : f->G), HW = W * (size_t)(f->x ? f->H : f->G), K = (size_t)columns(f);

	for (size_t i = from; i < to; i++, a += K) {
		const size_t s = i / HW;
		const int p = (int)(i % HW / W), q = (int)(i % W);

		if (f->x)
			map_row(a, f, s, p, q);
		else
			pixel_row(a, f, s, p, q);
	}
}

/* y [rows,O] = A w^T, w [O,K]: every tile by one thread */
static void
convolve(dc_real *y, const struct source *f, const dc_real *w, size_t rows, int O, struct dc_arena *arena)
{
	const int K = columns(f);
	const size_t step = tile_rows(K, rows), room = (step * (size_t)K + 15) / 16 * 16;
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *scratch = dc_arena_reals(arena, room * (size_t)dc_threads());

#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < rows; i += step) {
		const size_t end = rows - i < step ? rows : i + step;
		dc_real *a = scratch + room * (size_t)dc_thread();

		gather(a, f, i, end);
		dc_gemm(0, 1, (int)(end - i), O, K, 1, a, K, w, K, 0, y + i * (size_t)O, O);   /* Y = A W^T */
	}
	dc_arena_release(arena, mark);
}

/* dw [O,K] += dy^T A: tiles one after the other, each with all threads */
static void
correlate(dc_real *dw, const struct source *f, const dc_real *dy, size_t rows, int O, struct dc_arena *arena)
{
	enum { SLICE = 64 };
	const int K = columns(f);
	const size_t step = tile_rows(K, rows);
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *a = dc_arena_reals(arena, step * (size_t)K);

	for (size_t i = 0; i < rows; i += step) {
		const size_t end = rows - i < step ? rows : i + step;

#pragma omp parallel for schedule(static)
		for (size_t k = i; k < end; k += SLICE)
			gather(a + (k - i) * (size_t)K, f, k, end - k < SLICE ? end : k + SLICE);
		dc_gemm(1, 0, O, K, (int)(end - i), 1, dy + i * (size_t)O, O, a, K, 1, dw, K);  /* dW += dY^T A */
	}
	dc_arena_release(arena, mark);
}

/* v [O,3,3,I] = w [O,I,3,3] */
static void
by_pixel(dc_real *v, const dc_real *w, int I, int O)
{
#pragma omp parallel for schedule(static) if ((size_t)O * I * 9 > DC_PARALLEL)
	for (int o = 0; o < O; o++)
		for (int i = 0; i < I; i++)
			for (int k = 0; k < 9; k++)
				v[((size_t)o * 9 + k) * I + i] = w[((size_t)o * I + i) * 9 + k];
}

/* v [I,3,3,O] = w [O,I,3,3] turned by half a circle: what carries dy back to dx */
static void
turned(dc_real *v, const dc_real *w, int I, int O)
{
#pragma omp parallel for schedule(static) if ((size_t)O * I * 9 > DC_PARALLEL)
	for (int i = 0; i < I; i++)
		for (int k = 0; k < 9; k++)
			for (int o = 0; o < O; o++)
				v[((size_t)i * 9 + k) * O + o] = w[((size_t)o * I + i) * 9 + 8 - k];
}

/* dw [O,I,3,3] += dv [O,3,3,I] */
static void
add_by_channel(dc_real *dw, const dc_real *dv, int I, int O)
{
#pragma omp parallel for schedule(static) if ((size_t)O * I * 9 > DC_PARALLEL)
	for (int o = 0; o < O; o++)
		for (int i = 0; i < I; i++)
			for (int k = 0; k < 9; k++)
				dw[((size_t)o * I + i) * 9 + k] += dv[((size_t)o * 9 + k) * I + i];
}

void
dc_conv3_forward(dc_real *y, const dc_real *x, const dc_real *w, int n, int H, int W, int I, int O, struct dc_arena *arena)
{
	const struct source f = { .x = x, .H = H, .W = W, .C = I };
	struct dc_arena_mark mark = dc_arena_mark(arena);
	const int fast = dc_winograd_pays(H, W, I, O);
	dc_real *v = dc_arena_reals(arena, (size_t)O * I * (fast ? 16 : 9));

	if (fast) {
		dc_winograd_filters(v, w, I, O, 0);
		dc_winograd_forward(y, x, v, n, H, W, I, O, arena);
	} else {
		by_pixel(v, w, I, O);
		convolve(y, &f, v, (size_t)n * H * W, O, arena);
	}
	dc_arena_release(arena, mark);
}

void
dc_conv3_backward(dc_real *dx, dc_real *dw, const dc_real *dy, const dc_real *x, const dc_real *w, int n, int H, int W,
	int I, int O, struct dc_arena *arena)
{
	const struct source of_x = { .x = x, .H = H, .W = W, .C = I }, of_dy = { .x = dy, .H = H, .W = W, .C = O };
	const size_t rows = (size_t)n * H * W, weights = (size_t)O * I * 9;
	const int fast = dc_winograd_pays(H, W, I, O);
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *v = dc_arena_reals(arena, fast ? 16 * (size_t)O * I : weights);

	if (fast) {
		if (dw)
			dc_winograd_backward_filters(dw, dy, x, n, H, W, I, O, arena);
		if (dx) {
			dc_winograd_filters(v, w, I, O, 1);
			dc_winograd_backward_input(dx, dy, v, n, H, W, I, O, arena);
		}
		dc_arena_release(arena, mark);
		return;
	}
	if (dw) {
		memset(v, 0, weights * sizeof(*v));
		correlate(v, &of_x, dy, rows, O, arena);
		add_by_channel(dw, v, I, O);
	}
	if (dx) {
		turned(v, w, I, O);
		convolve(dx, &of_dy, v, rows, I, arena);   /* dx[p,q] = sum over a, b of dy[p+1-a, q+1-b] w[a,b] */
	}
	dc_arena_release(arena, mark);
}

void
dc_conv3_pixels_forward(dc_real *y, const dc_real level[3][256], const uint8_t *rgb, const dc_real *w, int n, int S, int O,
	struct dc_arena *arena)
{
	const struct source f = { .level = level, .rgb = rgb, .S = S, .G = (S + 1) / 2 };

	convolve(y, &f, w, (size_t)n * f.G * f.G, O, arena);
}

void
dc_conv3_pixels_backward(dc_real *dw, const dc_real *dy, const dc_real level[3][256], const uint8_t *rgb, int n, int S,
	int O, struct dc_arena *arena)
{
	const struct source f = { .level = level, .rgb = rgb, .S = S, .G = (S + 1) / 2 };

	correlate(dw, &f, dy, (size_t)n * f.G * f.G, O, arena);
}

void
dc_pool2_forward(dc_real *y, const dc_real *x, int n, int H, int W, int C)
{
	const size_t h = (size_t)H / 2, w = (size_t)W / 2, line = (size_t)W * C;

#pragma omp parallel for schedule(static) if ((size_t)n * H * W * C > DC_PARALLEL)
	for (size_t r = 0; r < n * h; r++)
		for (size_t q = 0; q < w; q++) {
			const dc_real *restrict in = x + ((r / h * H + r % h * 2) * W + 2 * q) * C;
			dc_real *restrict out = y + (r * w + q) * C;

			for (int c = 0; c < C; c++)
				out[c] = (in[c] + in[C + c] + in[line + c] + in[line + C + c]) * (dc_real)0.25;
		}
}

/* y = (x00 + x01 + x10 + x11) / 4 */
void
dc_pool2_backward(dc_real *dx, dc_real beta, const dc_real *dy, int n, int H, int W, int C)
{
	const size_t h = (size_t)H / 2, w = (size_t)W / 2;

#pragma omp parallel for schedule(static) if ((size_t)n * H * W * C > DC_PARALLEL)
	for (size_t r = 0; r < (size_t)n * H; r++)
		for (size_t q = 0; q < (size_t)W; q++) {
			const size_t p = r % H / 2;
			const dc_real *in = dy + ((r / H * h + p) * w + q / 2) * C;
			dc_real *out = dx + (r * W + q) * C;
			const int seen = p < h && q / 2 < w;

			for (int c = 0; c < C; c++)
				out[c] = (beta != 0 ? out[c] : 0) + (seen ? (dc_real)0.25 * in[c] : 0);
		}
}
