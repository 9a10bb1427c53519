/* SPDX-License-Identifier: MIT */
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/util.h"

__extension__ typedef unsigned __int128 uint128;

static void
put_le64(unsigned char *p, uint64_t x)
{
	for (int i = 0; i < 8; i++)
		p[i] = (unsigned char)(x >> 8 * i);
}

void
dc_rng_init(struct dc_rng *r, uint64_t seed, uint64_t epoch, uint64_t id, uint64_t view, enum dc_rng_purpose purpose)
{
	unsigned char key[40];

	put_le64(key, seed);
	put_le64(key + 8, epoch);
	put_le64(key + 16, id);
	put_le64(key + 24, view);
	put_le64(key + 32, (uint64_t)purpose);
	r->state = XXH3_64bits(key, sizeof key);
}

uint64_t
dc_rng_u64(struct dc_rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void
dc_rng_skip(struct dc_rng *r, uint64_t n)
{
	r->state += n * 0x9e3779b97f4a7c15u;
}

uint64_t
dc_rng_below(struct dc_rng *r, uint64_t n)
{
	uint128 m;

	do
		m = (uint128)dc_rng_u64(r) * n;
	while ((uint64_t)m < -n % n);
	return (uint64_t)(m >> 64);
}

double
dc_rng_uniform(struct dc_rng *r, double lo, double hi)
{
	return lo + (hi - lo) * ((double)(dc_rng_u64(r) >> 11) * 0x1p-53);
}

double
dc_rng_normal(struct dc_rng *r)
{
	double u = 1 - dc_rng_uniform(r, 0, 1), v = dc_rng_uniform(r, 0, 1); /* u in (0, 1] */

	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

void
dc_rng_shuffle(struct dc_rng *r, void *items, size_t n, size_t size)
{
	unsigned char *a = items;

	for (size_t i = n; i > 1; i--) {
		unsigned char *x = a + (i - 1) * size, *y = a + dc_rng_below(r, i) * size;
		for (size_t k = 0; k < size; k++) {
			unsigned char t = x[k];
			x[k] = y[k];
			y[k] = t;
		}
	}
}

uint64_t
dc_sample_id(const char *shard, const char *key, uint32_t occurrence)
{
	size_t ns = strlen(shard) + 1, nk = strlen(key) + 1;
	unsigned char *p = dc_xmalloc(ns + nk + 8);
	uint64_t id;

	memcpy(p, shard, ns);
	memcpy(p + ns, key, nk);
	put_le64(p + ns + nk, occurrence);
	id = XXH3_64bits(p, ns + nk + 8);
	free(p);
	return id;
}
