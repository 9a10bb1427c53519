/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "nn/embed.h"
#include "nn/gemm.h"

enum { STRIP = 64 };   /* columns summed in double at a time */

static void
add_rows(dc_real *restrict x, const dc_real *restrict a, const dc_real *restrict b, int W)
{
	for (int w = 0; w < W; w++)
		x[w] = a[w] + b[w];
}

void
dc_embed_image_forward(dc_real *x, const dc_real *patch, const dc_real *cls, const dc_real *pos, int n, int G, int W)
{
#pragma omp parallel for schedule(static) if ((size_t)n * G * W > DC_PARALLEL)
	for (int i = 0; i < n * (G + 1); i++) {
		int s = i / (G + 1), g = i % (G + 1);
		const dc_real *from = g ? patch + ((size_t)s * G + g - 1) * W : cls;

		add_rows(x + (size_t)i * W, from, pos + (size_t)g * W, W);
	}
}

/* sum [W] += the sum of the n rows dx[row[i]] (row NULL: rows first + i step), in double */
static void
sum_rows_at(dc_real *sum, const dc_real *dx, const int32_t *row, int first, int step, int n, int W)
{
	for (int w0 = 0; w0 < W; w0 += STRIP) {
		int m = W - w0 < STRIP ? W - w0 : STRIP;
		double total[STRIP] = { 0 };

		for (int i = 0; i < n; i++) {
			const dc_real *d = dx + (size_t)(row ? row[i] : first + i * step) * W + w0;

			for (int w = 0; w < m; w++)
				total[w] += (double)d[w];
		}
		for (int w = 0; w < m; w++)
			sum[w0 + w] = (dc_real)((double)sum[w0 + w] + total[w]);
	}
}

void
dc_embed_image_backward(dc_real *dpatch, dc_real *dcls, dc_real *dpos, const dc_real *dx, int n, int G, int W)
{
	if (dcls)
		sum_rows_at(dcls, dx, NULL, 0, G + 1, n, W);
	if (dpos) {
#pragma omp parallel for schedule(static) if ((size_t)n * G * W > DC_PARALLEL)
		for (int g = 0; g <= G; g++)
			sum_rows_at(dpos + (size_t)g * W, dx, NULL, g, G + 1, n, W);
	}
	for (int s = 0; dpatch && s < n; s++)
		memcpy(dpatch + (size_t)s * G * W, dx + ((size_t)s * (G + 1) + 1) * W, (size_t)G * W * sizeof(*dx));
}

void
dc_embed_text_forward(dc_real *x, const dc_real *token, const dc_real *mask, const dc_real *pos, const int32_t *id,
	const int32_t *p, int R, int V, int W)
{
#pragma omp parallel for schedule(static) if ((size_t)R * W > DC_PARALLEL)
	for (int r = 0; r < R; r++)
		add_rows(x + (size_t)r * W, id[r] == V ? mask : token + (size_t)id[r] * W, pos + (size_t)p[r] * W, W);
}

/* Rows ordered by key (counting sort, stable): order [R], and start [K+1]: where each key's rows begin. */
static void
order_by(int32_t *order, int32_t *start, const int32_t *key, int R, int K)
{
	memset(start, 0, ((size_t)K + 1) * sizeof(*start));
	for (int r = 0; r < R; r++)
		start[key[r] + 1]++;
	for (int k = 0; k < K; k++)
		start[k + 1] += start[k];
	for (int r = 0; r < R; r++)
		order[start[key[r]]++] = r;
	memmove(start + 1, start, (size_t)K * sizeof(*start));   /* each start has moved on to the next key's */
	start[0] = 0;
}

void
dc_embed_text_backward(dc_real *dtoken, dc_real *dmask, dc_real *dpos, const dc_real *dx, const int32_t *id,
	const int32_t *p, int R, int V, int T, int W, struct dc_arena *arena)
{
	struct dc_arena_mark mark = dc_arena_mark(arena);
	int32_t *order = dc_arena_ints(arena, (size_t)R), *start = dc_arena_ints(arena, (size_t)(V > T ? V : T) + 2);

	order_by(order, start, id, R, V + 1);
#pragma omp parallel for schedule(dynamic, 256) if ((size_t)R * W > DC_PARALLEL)
	for (int v = 0; v <= V; v++) {
		dc_real *d = v == V ? dmask : dtoken ? dtoken + (size_t)v * W : NULL;

		if (d && start[v + 1] > start[v])
			sum_rows_at(d, dx, order + start[v], 0, 0, start[v + 1] - start[v], W);
	}
	if (dpos) {
		order_by(order, start, p, R, T);
#pragma omp parallel for schedule(static) if ((size_t)R * W > DC_PARALLEL)
		for (int t = 0; t < T; t++)
			sum_rows_at(dpos + (size_t)t * W, dx, order + start[t], 0, 0, start[t + 1] - start[t], W);
	}
	dc_arena_release(arena, mark);
}
