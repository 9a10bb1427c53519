/* SPDX-License-Identifier: MIT */
#include "curate/near.h"

#include <math.h>
#include <stdlib.h>

#include "base/util.h"

enum { BANDS_MAX = 8, BITS_MAX = 22, IN_CHUNK = 6 };

/* A bucket is a list of chunks, the newest first. */
struct chunk { uint32_t next, n, number[IN_CHUNK]; uint64_t hash[IN_CHUNK]; };

struct band { int shift, bits, radius; uint32_t *head; /* (2^bits): chunk, 0 for none */ };

struct dc_near {
	int distance, forced, m;
	struct band band[BANDS_MAX];
	struct chunk *chunk; uint32_t n_chunks, cap;   /* chunk 0 is none */
	uint64_t n;
};

/* --- which bands --- */

/* m bands, the first ones a bit wider; one band is no table: its bits are 0. */
static void
lay_out(struct band *band, int m, int distance)
{
	int shift = 0;

	for (int i = 0; i < m; i++) {
		band[i].bits = m == 1 ? 0 : 64 / m + (i < 64 % m);
		band[i].shift = shift;
		band[i].radius = m == 1 ? 0 : distance / m - (i > distance % m);
		shift += band[i].bits;
	}
}

/* About the nanoseconds of a query among n: a miss of the cache for each bucket and each chunk; one bucket of all is
 * read in order. */
static double
cost(int m, int distance, double n)
{
	struct band band[BANDS_MAX];
	double sum = 0;

	lay_out(band, m, distance);
	for (int i = 0; i < m; i++) {
		double buckets = 0, choose = 1, full = n / (1 << band[i].bits);

		for (int k = 0; k <= band[i].radius; k++) {
			buckets += choose;
			choose = choose * (band[i].bits - k) / (k + 1);
		}
		sum += m == 1 ? 3 * n : buckets * (40 + 100 * fmin(full, 1) + 100 * full / IN_CHUNK);
	}
	return sum;
}

/* Whether m bands are worth their memory: few and wide ones leave most chunks with one hash, many are many tables. Two
 * would be wider than BITS_MAX. */
static int
allowed(int m, double n)
{
	return m == 3 ? n >= 1 << 22 : m == 4 || (m > 4 && n < 1 << 20);
}

static int
best(int distance, double n)
{
	int m = 1;

	for (int k = 3; k <= BANDS_MAX; k++)
		if (allowed(k, n) && cost(k, distance, n) < cost(m, distance, n))
			m = k;
	return m;
}

/* --- tables --- */

static uint32_t
value(const struct band *b, uint64_t hash)
{
	return (uint32_t)(hash >> b->shift) & ((1u << b->bits) - 1);
}

static void
put(struct dc_near *n, struct band *b, uint64_t hash, uint32_t number)
{
	uint32_t *head = &b->head[value(b, hash)];
	struct chunk *c = &n->chunk[*head];

	if (!*head || c->n == IN_CHUNK) {
		if (n->n_chunks == n->cap) {
			n->cap += n->cap / 4 + 64;
			n->chunk = dc_xrealloc(n->chunk, n->cap, sizeof *n->chunk);
		}
		c = &n->chunk[n->n_chunks];
		c->next = *head;
		c->n = 0;
		*head = n->n_chunks++;
	}
	c->hash[c->n] = hash;
	c->number[c->n++] = number;
}

static void
make_tables(struct dc_near *n, int m)
{
	n->m = m;
	lay_out(n->band, m, n->distance);
	for (int i = 0; i < m; i++)
		n->band[i].head = dc_xcalloc((size_t)1 << n->band[i].bits, sizeof *n->band[i].head);
	n->cap = 64;
	n->chunk = dc_xcalloc(n->cap, sizeof *n->chunk);
	n->n_chunks = 1;
}

static void
free_tables(struct dc_near *n)
{
	for (int i = 0; i < n->m; i++)
		free(n->band[i].head);
	free(n->chunk);
}

/* The same hashes in m bands: each stands once in every band, the first among them. */
static void
rebuild(struct dc_near *n, int m)
{
	struct dc_near old = *n;

	make_tables(n, m);
	for (uint32_t v = 0; v < 1u << old.band[0].bits; v++)
		for (uint32_t at = old.band[0].head[v]; at; at = old.chunk[at].next)
			for (uint32_t k = 0; k < old.chunk[at].n; k++)
				for (int i = 0; i < m; i++)
					put(n, &n->band[i], old.chunk[at].hash[k], old.chunk[at].number[k]);
	free_tables(&old);
}

/* --- queries --- */

struct found { uint64_t hash; int distance; uint32_t number; };

static void
look(const struct dc_near *n, uint32_t at, struct found *f)
{
	for (; at; at = n->chunk[at].next) {
		const struct chunk *c = &n->chunk[at];

		for (uint32_t k = 0; k < c->n; k++) {
			int d = __builtin_popcountll(c->hash[k] ^ f->hash);

			if (d < f->distance || (d == f->distance && c->number[k] < f->number)) {
				f->distance = d;
				f->number = c->number[k];
			}
		}
	}
}

/* The next larger number with as many bits set. */
static uint32_t
next_mask(uint32_t v)
{
	uint32_t low = v & -v, up = v + low;

	return up | (((v ^ up) / low) >> 2);
}

static void
look_band(const struct dc_near *n, const struct band *b, struct found *f)
{
	const uint32_t v = value(b, f->hash);

	if (b->radius >= 0)
		look(n, b->head[v], f);
	for (int k = 1; k <= b->radius && k <= b->bits; k++)
		for (uint32_t mask = (1u << k) - 1; mask < 1u << b->bits; mask = next_mask(mask))
			look(n, b->head[v ^ mask], f);
}

int
dc_near_find(const struct dc_near *n, uint64_t hash, uint32_t *number)
{
	struct found f = { hash, n->distance, UINT32_MAX };

	for (int i = 0; i < n->m; i++)
		look_band(n, &n->band[i], &f);
	if (f.number == UINT32_MAX)
		return -1;
	*number = f.number;
	return f.distance;
}

void
dc_near_add(struct dc_near *n, uint64_t hash, uint32_t number)
{
	int m;

	n->n++;
	if (!n->forced && (n->n & (n->n - 1)) == 0 && (m = best(n->distance, 1.5 * (double)n->n)) != n->m)
		rebuild(n, m);
	for (int i = 0; i < n->m; i++)
		put(n, &n->band[i], hash, number);
}

struct dc_near *
dc_near_new(int distance)
{
	struct dc_near *n = dc_xcalloc(1, sizeof *n);

	n->distance = distance;
	make_tables(n, 1);
	return n;
}

uint64_t dc_near_count(const struct dc_near *n) { return n->n; }
int dc_near_bands(const struct dc_near *n) { return n->m; }

uint64_t
dc_near_bytes(const struct dc_near *n)
{
	uint64_t bytes = (uint64_t)n->cap * sizeof *n->chunk;

	for (int i = 0; i < n->m; i++)
		bytes += ((uint64_t)1 << n->band[i].bits) * sizeof *n->band[i].head;
	return bytes;
}

void
dc_near_force(struct dc_near *n, int m)
{
	n->forced = m > 0;
	rebuild(n, m > 0 ? m : best(n->distance, 1.5 * (double)n->n));
}

void
dc_near_free(struct dc_near *n)
{
	if (!n)
		return;
	free_tables(n);
	free(n);
}
