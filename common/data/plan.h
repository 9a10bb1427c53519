/* SPDX-License-Identifier: MIT */
/* The order of samples, fixed before anything is decoded: pure functions of the seed, the epoch and the number of
 * usable samples.
 *
 * An epoch's usable samples come in reading order (shards in a seeded order), pass a seeded shuffle buffer, which is
 * drained at the epoch's end, and so have places 0 .. n-1 in it. Batch k is slots kN .. kN+N-1 of the run; rank r of R
 * takes the slots i with i mod R = r. What becomes of an epoch's last, short batch is the tail's rule:
 *	carry  the next epoch fills it up; after the last epoch the rest is a short batch
 *	short  it is sent as it is; the next epoch begins the next batch
 *	drop   it is left out; the next epoch begins that batch again */
#ifndef DC_DATA_PLAN_H
#define DC_DATA_PLAN_H

#include <stddef.h>
#include <stdint.h>
#include "base/rng.h"

enum dc_tail { DC_TAIL_CARRY, DC_TAIL_SHORT, DC_TAIL_DROP };

/* The order of n shards in an epoch; shuffle = 0: as listed. */
void dc_plan_shards(uint64_t seed, uint64_t epoch, int shuffle, size_t n, uint32_t *order);

/* Where batch `skip` begins: in which epoch, and how many of that epoch's n places stand before it. -1 if an epoch has
 * no batch (n = 0, or n < batch where the tail is dropped). */
int dc_plan_start(enum dc_tail tail, int64_t n, int64_t batch, int64_t skip, int64_t *epoch, int64_t *before);

/* Batches in `epochs` epochs of n samples. */
int64_t dc_plan_batches(enum dc_tail tail, int64_t n, int64_t batch, int64_t epochs);

/* A shuffle buffer of items. Once it is full, each new item puts out one at random and takes its place.
 * cap <= 1: items pass straight through. */
struct dc_shuffle { void **item; size_t n, cap; struct dc_rng rng; };

void dc_shuffle_init(struct dc_shuffle *s, size_t cap);
void dc_shuffle_epoch(struct dc_shuffle *s, uint64_t seed, uint64_t epoch);
void *dc_shuffle_push(struct dc_shuffle *s, void *item); /* NULL while it fills up */
void *dc_shuffle_drain(struct dc_shuffle *s);            /* one at random; NULL when it is empty */
void dc_shuffle_free(struct dc_shuffle *s);              /* not the items */

/* place[i] = the place in the epoch of the i-th usable sample read, of n, under a buffer of cap. */
void dc_plan_places(uint64_t seed, uint64_t epoch, size_t n, size_t cap, uint64_t *place);

#endif
