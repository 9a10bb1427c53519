/* SPDX-License-Identifier: MIT */
/* Randomness as a function of its place: (seed, epoch, id, view, purpose) give the same stream of numbers on every
 * machine, for any thread count, order or restart.
 *
 *	struct dc_rng r;
 *	dc_rng_init(&r, seed, epoch, id, view, DC_RNG_CROP);
 *	double area = dc_rng_uniform(&r, 0.2, 1.0);
 *
 * Key: XXH3-64 of the five values as little-endian u64; generator: SplitMix64 (Steele, Lea, Flood 2014). */
#ifndef DC_BASE_RNG_H
#define DC_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

enum dc_rng_purpose {
	DC_RNG_SHARDS = 1, /* order of the shards in an epoch */
	DC_RNG_SHUFFLE,    /* the sample buffer */
	DC_RNG_CAPTION,    /* which caption of a sample */
	DC_RNG_CROP, DC_RNG_JITTER, DC_RNG_GRAY, DC_RNG_BLUR, DC_RNG_FLIP, DC_RNG_EDA,
	DC_RNG_MLM,
	DC_RNG_INIT,       /* parameters */
	DC_RNG_SCENES,
	DC_RNG_QUEUE,      /* the released nn queue's random start */
	DC_RNG_SPLIT       /* rows that are left out for validation */
};

struct dc_rng { uint64_t state; };

void dc_rng_init(struct dc_rng *r, uint64_t seed, uint64_t epoch, uint64_t id, uint64_t view, enum dc_rng_purpose purpose);
uint64_t dc_rng_u64(struct dc_rng *r);
/* Pass over n numbers of dc_rng_u64; a uniform number is one of them, a normal one two. */
void dc_rng_skip(struct dc_rng *r, uint64_t n);
/* An integer in [0, n), unbiased (Lemire's rejection); n > 0. */
uint64_t dc_rng_below(struct dc_rng *r, uint64_t n);
/* A double in [lo, hi), 53 bits. */
double dc_rng_uniform(struct dc_rng *r, double lo, double hi);
/* Standard normal (Box-Muller; two draws for one number, so that the count of draws is fixed). */
double dc_rng_normal(struct dc_rng *r);
/* Fisher-Yates over n items of `size` bytes. */
void dc_rng_shuffle(struct dc_rng *r, void *items, size_t n, size_t size);

/* The id of a sample: XXH3-64 of "shard base name \0 key \0 occurrence" (keys alone repeat between shards). */
uint64_t dc_sample_id(const char *shard, const char *key, uint32_t occurrence);

#endif
