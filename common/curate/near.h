/* SPDX-License-Identifier: MIT */
/* Near neighbours among 64-bit hashes: exactly those within a Hamming distance D, without looking at all of them.
 *
 * Multi-index hashing (Norouzi, Punjani, Fleet 2012): the 64 bits are cut into m bands; with D = m r + a, 0 <= a < m, a
 * hash within D differs by at most r bits in one of the first a + 1 bands, or by at most r - 1 in one of the others. So
 * the hashes stand in m tables by the value of a band, and a query looks only into the buckets of the values that near.
 * How many bands there are follows from D and from how many hashes there are; few hashes are one bucket.
 *
 *	struct dc_near *n = dc_near_new(4);
 *	if (dc_near_find(n, hash, &number) < 0)     // the distance of the nearest, or -1
 *		dc_near_add(n, hash, 17);
 *	dc_near_free(n);
 *
 * A hash takes 13 bytes in each table, of which there are three or four for many hashes, and chunks stay half empty where
 * buckets are small: 50 to 100 bytes for ten million, about 50 for a hundred million. */
#ifndef DC_CURATE_NEAR_H
#define DC_CURATE_NEAR_H

#include <stdint.h>

enum { DC_NEAR_MAX = 32 };   /* of D */

struct dc_near;

struct dc_near *dc_near_new(int distance);
/* The distance of the nearest hash within D, of several the one with the lowest number, or -1. Any number of threads may
 * ask at once. */
int dc_near_find(const struct dc_near *n, uint64_t hash, uint32_t *number);
void dc_near_add(struct dc_near *n, uint64_t hash, uint32_t number);
/* Hashes; memory in bytes. */
uint64_t dc_near_count(const struct dc_near *n);
uint64_t dc_near_bytes(const struct dc_near *n);
/* How many bands there are now: 1 with no tables. */
int dc_near_bands(const struct dc_near *n);
/* Make m bands whatever would be best; 0: as it is best again. For tests. */
void dc_near_force(struct dc_near *n, int m);
void dc_near_free(struct dc_near *n);

#endif
