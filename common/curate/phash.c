/* SPDX-License-Identifier: MIT */
#include "curate/phash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/resample.h"

enum { SIDE = 32, LOW = 8, BITS = LOW * LOW };

static void
make_cosines(int64_t t[LOW][SIDE])
{
	for (int u = 0; u < LOW; u++)
		for (int x = 0; x < SIDE; x++)
			t[u][x] = lround(16384 * cos(3.14159265358979323846 * (2 * x + 1) * u / (2 * SIDE)));
}

/* The 8 x 8 lowest coefficients: along the rows, then along the columns. */
static void
transform(int64_t c[BITS], const uint8_t *rgb)
{
	int64_t t[LOW][SIDE], rows[SIDE][LOW] = { { 0 } };

	make_cosines(t);
	memset(c, 0, BITS * sizeof *c);
	for (int y = 0; y < SIDE; y++)
		for (int x = 0; x < SIDE; x++) {
			const uint8_t *p = rgb + 3 * (y * SIDE + x);
			const int64_t grey = (19595 * p[0] + 38470 * p[1] + 7471 * p[2] + 32768) >> 16;

			for (int u = 0; u < LOW; u++)
				rows[y][u] += t[u][x] * grey;
		}
	for (int v = 0; v < LOW; v++)
		for (int y = 0; y < SIDE; y++)
			for (int u = 0; u < LOW; u++)
				c[LOW * v + u] += t[v][y] * rows[y][u];
}

static int
ascending(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int
dc_phash(struct dc_raster image, uint64_t *hash)
{
	uint8_t rgb[SIDE * SIDE * 3];
	int64_t c[BITS], sorted[BITS], middle;

	DC_TRY(dc_resample(rgb, SIDE, SIDE, image, NULL, NULL, DC_BILINEAR));
	transform(c, rgb);
	memcpy(sorted, c, sizeof c);
	qsort(sorted, BITS, sizeof *sorted, ascending);
	middle = sorted[BITS / 2 - 1] + sorted[BITS / 2];
	*hash = 0;
	for (int i = 0; i < BITS; i++)
		*hash |= (uint64_t)(2 * c[i] > middle) << i;
	return 0;
}
