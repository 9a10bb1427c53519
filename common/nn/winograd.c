/* SPDX-License-Identifier: MIT */
#include "nn/winograd.h"

#include <string.h>

#include "nn/gemm.h"
#include "nn/threads.h"

enum { K = 16,                          /* products a tile */
	SMALL = 1000000, NEAR = 122, THIN = 61, /* OpenBLAS multiplies matrices as they lie up to so many multiplications */
	WIDE = 256, WIDER = 400, FILTERS = 64 };
static const size_t SUMS = (size_t)1 << 26; /* reals for the threads' sums of the filters' gradients */

/* Maps as tiles: image s, tile (p, q) has its outputs at pixels 2p, 2q on. */
struct tiles { int H, W, C; size_t h, w, n; };

static struct tiles
tiles_of(int n, int H, int W, int C)
{
	const size_t h = (size_t)(H + 1) / 2, w = (size_t)(W + 1) / 2;

	return (struct tiles){ H, W, C, h, w, (size_t)n * h * w };
}

int
dc_winograd_pays(int H, int W, int I, int O)
{
	const struct tiles t = tiles_of(1, H, W, 1);

	return I >= 16 && O >= 16 && K * t.n * 4 < (size_t)H * (size_t)W * 9 * 3;
}

/* The 4x4 pixels around a tile, those outside being `zeros`. */
static void
inputs(const dc_real *d[K], const dc_real *x, const struct tiles *t, size_t tile, const dc_real *zeros)
{
	const size_t s = tile / (t->h * t->w);
	const int p = (int)(tile / t->w % t->h) * 2 - 1, q = (int)(tile % t->w) * 2 - 1;

	for (int a = 0; a < 4; a++)
		for (int b = 0; b < 4; b++) {
			const int in = p + a >= 0 && p + a < t->H && q + b >= 0 && q + b < t->W;

			d[4 * a + b] = in ? x + ((s * (size_t)t->H + (size_t)(p + a)) * (size_t)t->W + (size_t)(q + b)) * (size_t)t->C : zeros;
		}
}

/* The 2x2 pixels of a tile, those outside being `dump`. */
static void
outputs(dc_real *y[4], dc_real *base, const struct tiles *t, size_t tile, dc_real *dump)
{
	const size_t s = tile / (t->h * t->w), p = tile / t->w % t->h * 2, q = tile % t->w * 2;

	for (size_t a = 0; a < 2; a++)
		for (size_t b = 0; b < 2; b++) {
			const int in = p + a < (size_t)t->H && q + b < (size_t)t->W;

			y[2 * a + b] = in ? base + ((s * (size_t)t->H + p + a) * (size_t)t->W + q + b) * (size_t)t->C : dump;
		}
}

/* v [16, stride] <- B^T d B of one tile, C channels */
static void
transform_input(dc_real *restrict v, size_t stride, const dc_real *const d[K], int C)
{
	const dc_real *restrict d0 = d[0], *restrict d1 = d[1], *restrict d2 = d[2], *restrict d3 = d[3];
	const dc_real *restrict d4 = d[4], *restrict d5 = d[5], *restrict d6 = d[6], *restrict d7 = d[7];
	const dc_real *restrict d8 = d[8], *restrict d9 = d[9], *restrict d10 = d[10], *restrict d11 = d[11];
	const dc_real *restrict d12 = d[12], *restrict d13 = d[13], *restrict d14 = d[14], *restrict d15 = d[15];

#pragma omp simd
	for (int c = 0; c < C; c++) {
		const dc_real a0 = d0[c] - d8[c], a1 = d1[c] - d9[c], a2 = d2[c] - d10[c], a3 = d3[c] - d11[c];
		const dc_real b0 = d4[c] + d8[c], b1 = d5[c] + d9[c], b2 = d6[c] + d10[c], b3 = d7[c] + d11[c];
		const dc_real e0 = d8[c] - d4[c], e1 = d9[c] - d5[c], e2 = d10[c] - d6[c], e3 = d11[c] - d7[c];
		const dc_real f0 = d4[c] - d12[c], f1 = d5[c] - d13[c], f2 = d6[c] - d14[c], f3 = d7[c] - d15[c];

		v[0 * stride + c] = a0 - a2;
		v[1 * stride + c] = a1 + a2;
		v[2 * stride + c] = a2 - a1;
		v[3 * stride + c] = a1 - a3;
		v[4 * stride + c] = b0 - b2;
		v[5 * stride + c] = b1 + b2;
		v[6 * stride + c] = b2 - b1;
		v[7 * stride + c] = b1 - b3;
		v[8 * stride + c] = e0 - e2;
		v[9 * stride + c] = e1 + e2;
		v[10 * stride + c] = e2 - e1;
		v[11 * stride + c] = e1 - e3;
		v[12 * stride + c] = f0 - f2;
		v[13 * stride + c] = f1 + f2;
		v[14 * stride + c] = f2 - f1;
		v[15 * stride + c] = f1 - f3;
	}
}

/* y <- A^T m A of one tile, m [16, stride] */
static void
transform_output(dc_real *const y[4], const dc_real *restrict m, size_t stride, int C)
{
	dc_real *y0 = y[0], *y1 = y[1], *y2 = y[2], *y3 = y[3];

#pragma omp simd
	for (int c = 0; c < C; c++) {
		const dc_real *x = m + c;
		const dc_real a0 = x[0] + x[4 * stride] + x[8 * stride], b0 = x[4 * stride] - x[8 * stride] - x[12 * stride];
		const dc_real a1 = x[stride] + x[5 * stride] + x[9 * stride], b1 = x[5 * stride] - x[9 * stride] - x[13 * stride];
		const dc_real a2 = x[2 * stride] + x[6 * stride] + x[10 * stride], b2 = x[6 * stride] - x[10 * stride] - x[14 * stride];
		const dc_real a3 = x[3 * stride] + x[7 * stride] + x[11 * stride], b3 = x[7 * stride] - x[11 * stride] - x[15 * stride];

		y0[c] = a0 + a1 + a2;
		y1[c] = a1 - a2 - a3;
		y2[c] = b0 + b1 + b2;
		y3[c] = b1 - b2 - b3;
	}
}

/* v [16, stride] <- A dy A^T of one tile, the gradient by m */
static void
transform_gradient(dc_real *restrict v, size_t stride, dc_real *const dy[4], int C)
{
	const dc_real *y0 = dy[0], *y1 = dy[1], *y2 = dy[2], *y3 = dy[3];

#pragma omp simd
	for (int c = 0; c < C; c++) {
		const dc_real b0 = y0[c] + y2[c], b1 = y1[c] + y3[c], e0 = y0[c] - y2[c], e1 = y1[c] - y3[c];

		v[0 * stride + c] = y0[c];
		v[1 * stride + c] = y0[c] + y1[c];
		v[2 * stride + c] = y0[c] - y1[c];
		v[3 * stride + c] = -y1[c];
		v[4 * stride + c] = b0;
		v[5 * stride + c] = b0 + b1;
		v[6 * stride + c] = b0 - b1;
		v[7 * stride + c] = -b1;
		v[8 * stride + c] = e0;
		v[9 * stride + c] = e0 + e1;
		v[10 * stride + c] = e0 - e1;
		v[11 * stride + c] = -e1;
		v[12 * stride + c] = -y2[c];
		v[13 * stride + c] = -y2[c] - y3[c];
		v[14 * stride + c] = y3[c] - y2[c];
		v[15 * stride + c] = y3[c];
	}
}

/* u [16, stride] <- G g G^T of n filters [9], `from` floats between two of them, side by side */
static void
transform_filters(dc_real *u, size_t stride, const dc_real *w, size_t from, int n)
{
	dc_real g[9][FILTERS];

	for (int i = 0; i < n; i++)
		for (int k = 0; k < 9; k++)
			g[k][i] = w[(size_t)i * from + (size_t)k];
#pragma omp simd
	for (int i = 0; i < n; i++) {
		dc_real *to = u + i;

		for (int a = 0; a < 4; a++) {
			dc_real t[3];

			for (int b = 0; b < 3; b++) {
				const dc_real ends = (g[b][i] + g[6 + b][i]) / 2, middle = g[3 + b][i] / 2;

				t[b] = a == 0 ? g[b][i] : a == 1 ? ends + middle : a == 2 ? ends - middle : g[6 + b][i];
			}
			to[(size_t)(4 * a) * stride] = t[0];
			to[(size_t)(4 * a + 1) * stride] = (t[0] + t[2]) / 2 + t[1] / 2;
			to[(size_t)(4 * a + 2) * stride] = (t[0] + t[2]) / 2 - t[1] / 2;
			to[(size_t)(4 * a + 3) * stride] = t[2];
		}
	}
}

void
dc_winograd_filters(dc_real *u, const dc_real *w, int I, int O, int back)
{
	const size_t stride = (size_t)O * (size_t)I, rows = (size_t)(back ? O : I), columns = (size_t)(back ? I : O);
	const size_t row = back ? 9 * (size_t)I : 9, column = back ? 9 : 9 * (size_t)I;   /* from one to the next in w */

#pragma omp parallel for schedule(static) if (stride * K > DC_PARALLEL)
	for (size_t r = 0; r < rows; r++)
		for (size_t c = 0; c < columns; c += FILTERS)
			transform_filters(u + r * columns + c, stride, w + r * row + c * column, column,
				columns - c < FILTERS ? (int)(columns - c) : FILTERS);
}

/* dw += G^T du G */
static void
add_filters(dc_real *dw, const dc_real *du, int I, int O)
{
	const size_t stride = (size_t)O * (size_t)I;

#pragma omp parallel for schedule(static) if (stride * K > DC_PARALLEL)
	for (size_t i = 0; i < stride; i++) {
		dc_real t[3][4];

		for (int b = 0; b < 4; b++) {
			const dc_real *d = du + (size_t)b * stride + i;
			const dc_real sum = (d[4 * stride] + d[8 * stride]) / 2;

			t[0][b] = d[0] + sum;
			t[1][b] = (d[4 * stride] - d[8 * stride]) / 2;
			t[2][b] = sum + d[12 * stride];
		}
		for (int a = 0; a < 3; a++) {
			const dc_real sum = (t[a][1] + t[a][2]) / 2;

			dw[9 * i + 3 * a] += t[a][0] + sum;
			dw[9 * i + 3 * a + 1] += (t[a][1] - t[a][2]) / 2;
			dw[9 * i + 3 * a + 2] += sum + t[a][3];
		}
	}
}

static size_t
clamp(size_t n, size_t lo, size_t hi)
{
	return n < lo ? lo : n > hi ? hi : n;
}

/* Tiles at a time: few enough for the cache, and for products without packing where the filters are few; and every thread
 * has as many. */
static size_t
step_of(size_t tiles, size_t filters)
{
	const size_t threads = (size_t)dc_threads(), n = filters <= SMALL / THIN ? clamp(SMALL / filters, 1, NEAR) :
		filters <= 1 << 16 ? WIDE : WIDER, turns = (tiles + n * threads - 1) / (n * threads);

	return turns ? (tiles + turns * threads - 1) / (turns * threads) : 1;
}

/* The filter turned by half a circle has the products in this order. */
static int
turned(int k)
{
	static const int to[] = { 3, 1, 2, 0 };

	return 4 * to[k / 4] + to[k % 4];
}

/* From x [n,H,W,C] y [n,H,W,D]; u [16,C,D] */
static void
convolve(dc_real *y, const dc_real *x, const dc_real *u, int n, int H, int W, int C, int D, int back, struct dc_arena *arena)
{
	const struct tiles in = tiles_of(n, H, W, C), out = tiles_of(n, H, W, D);
	const size_t uk = (size_t)C * (size_t)D, step = step_of(in.n, uk);
	struct dc_arena_mark mark = dc_arena_mark(arena);
	const size_t room = step * (size_t)(K * (C + D)) + 2 * 16;
	dc_real *scratch = dc_arena_reals(arena, (room + (size_t)(C + D)) * (size_t)dc_threads());

#pragma omp parallel for schedule(static)
	for (size_t i = 0; i < in.n; i += step) {
		const size_t rows = in.n - i < step ? in.n - i : step;
		dc_real *v = scratch + (room + (size_t)(C + D)) * (size_t)dc_thread(), *m = v + step * (size_t)(K * C);
		dc_real *zeros = v + room, *dump = zeros + C, *to[4];
		const dc_real *d[K];

		memset(zeros, 0, (size_t)C * sizeof(*zeros));
		for (size_t r = 0; r < rows; r++) {
			inputs(d, x, &in, i + r, zeros);
			transform_input(v + r * (size_t)C, rows * (size_t)C, d, C);
		}
		for (int k = 0; k < K; k++)      /* M = V U */
			dc_gemm(0, 0, (int)rows, D, C, 1, v + (size_t)k * rows * (size_t)C, C, u + (size_t)(back ? turned(k) : k) * uk, D, 0,
				m + (size_t)k * rows * (size_t)D, D);
		for (size_t r = 0; r < rows; r++) {
			outputs(to, y, &out, i + r, dump);
			transform_output(to, m + r * (size_t)D, rows * (size_t)D, D);
		}
	}
	dc_arena_release(arena, mark);
}

void
dc_winograd_forward(dc_real *y, const dc_real *x, const dc_real *u, int n, int H, int W, int I, int O, struct dc_arena *arena)
{
	convolve(y, x, u, n, H, W, I, O, 0, arena);
}

void
dc_winograd_backward_input(dc_real *dx, const dc_real *dy, const dc_real *u, int n, int H, int W, int I, int O,
	struct dc_arena *arena)
{
	convolve(dx, dy, u, n, H, W, O, I, 1, arena);
}

/* du [16,O,I] <- the sum over tiles [from, to) of M[k]^T V[k], V of x and M of dy */
static void
correlate(dc_real *du, const dc_real *dy, const dc_real *x, const struct tiles *in, const struct tiles *out, size_t from,
	size_t to, dc_real *scratch)
{
	const size_t I = (size_t)in->C, O = (size_t)out->C, uk = I * O, step = clamp(SMALL / uk, THIN, NEAR);
	dc_real *v = scratch, *m = v + K * step * I, *zeros = m + K * step * O, *e[4];
	const dc_real *d[K];

	memset(zeros, 0, (I + O) * sizeof(*zeros));
	for (size_t i = from; i < to; i += step) {
		const size_t rows = to - i < step ? to - i : step;

		for (size_t r = 0; r < rows; r++) {
			inputs(d, x, in, i + r, zeros);
			transform_input(v + r * I, rows * I, d, in->C);
			outputs(e, (dc_real *)(uintptr_t)dy, out, i + r, zeros);
			transform_gradient(m + r * O, rows * O, e, out->C);
		}
		for (size_t k = 0; k < K; k++)
			dc_gemm(1, 0, (int)O, (int)I, (int)rows, 1, m + k * rows * O, (int)O, v + k * rows * I, (int)I, i > from,
				du + k * uk, (int)I);
	}
}

/* Each thread sums its own run of tiles. */
void
dc_winograd_backward_filters(dc_real *dw, const dc_real *dy, const dc_real *x, int n, int H, int W, int I, int O,
	struct dc_arena *arena)
{
	const struct tiles in = tiles_of(n, H, W, I), out = tiles_of(n, H, W, O);
	const size_t uk = K * (size_t)I * (size_t)O, room = (size_t)(I + O) * (K * NEAR + 1);
	const size_t sums = clamp(clamp((size_t)dc_threads(), 1, SUMS / uk), 1, in.n), run = (in.n + sums - 1) / sums;
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *du = dc_arena_reals(arena, uk * sums), *scratch = dc_arena_reals(arena, room * sums);

#pragma omp parallel for schedule(static)
	for (size_t s = 0; s < sums; s++)
		correlate(du + s * uk, dy, x, &in, &out, s * run < in.n ? s * run : in.n, (s + 1) * run < in.n ? (s + 1) * run : in.n,
			scratch + s * room);
	for (size_t s = 1; s * run < in.n && s < sums; s++)
#pragma omp parallel for simd schedule(static) if (uk > DC_PARALLEL)
		for (size_t i = 0; i < uk; i++)
			du[i] += du[s * uk + i];
	add_filters(dw, du, I, O);
	dc_arena_release(arena, mark);
}
