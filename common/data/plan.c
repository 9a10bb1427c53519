/* SPDX-License-Identifier: MIT */
#include "data/plan.h"

#include <stdlib.h>

#include "base/util.h"

void
dc_plan_shards(uint64_t seed, uint64_t epoch, int shuffle, size_t n, uint32_t *order)
{
	struct dc_rng r;

	for (size_t i = 0; i < n; i++)
		order[i] = i;
	if (!shuffle)
		return;
	dc_rng_init(&r, seed, epoch, 0, 0, DC_RNG_SHARDS);
	dc_rng_shuffle(&r, order, n, sizeof *order);
}

int
dc_plan_start(enum dc_tail tail, int64_t n, int64_t batch, int64_t skip, int64_t *epoch, int64_t *before)
{
	int64_t whole = n / batch, per_epoch = tail == DC_TAIL_SHORT ? whole + (n % batch > 0) : whole;

	if (n <= 0 || (tail == DC_TAIL_DROP && !whole))
		return -1;
	if (tail == DC_TAIL_CARRY) {
		*epoch = skip * batch / n;
		*before = skip * batch % n;
	} else {
		*epoch = skip / per_epoch;
		*before = skip % per_epoch * batch;
	}
	return 0;
}

int64_t
dc_plan_batches(enum dc_tail tail, int64_t n, int64_t batch, int64_t epochs)
{
	if (tail == DC_TAIL_DROP)
		return n / batch * epochs;
	if (tail == DC_TAIL_SHORT)
		return (n + batch - 1) / batch * epochs;
	return (n * epochs + batch - 1) / batch;
}

void
dc_shuffle_init(struct dc_shuffle *s, size_t cap)
{
	*s = (struct dc_shuffle){ .cap = cap > 1 ? cap : 0 };
	s->item = dc_xcalloc(s->cap + 1, sizeof *s->item);
}

void
dc_shuffle_epoch(struct dc_shuffle *s, uint64_t seed, uint64_t epoch)
{
	dc_rng_init(&s->rng, seed, epoch, 0, 0, DC_RNG_SHUFFLE);
}

void *
dc_shuffle_push(struct dc_shuffle *s, void *item)
{
	void **at, *out;

	if (s->n < s->cap) {
		s->item[s->n++] = item;
		return NULL;
	}
	if (!s->cap)
		return item;
	at = &s->item[dc_rng_below(&s->rng, s->cap)];
	out = *at;
	*at = item;
	return out;
}

void *
dc_shuffle_drain(struct dc_shuffle *s)
{
	void **at, *out;

	if (!s->n)
		return NULL;
	at = &s->item[dc_rng_below(&s->rng, s->n)];
	out = *at;
	*at = s->item[--s->n];
	return out;
}

void
dc_shuffle_free(struct dc_shuffle *s)
{
	free(s->item);
	*s = (struct dc_shuffle){ 0 };
}

void
dc_plan_places(uint64_t seed, uint64_t epoch, size_t n, size_t cap, uint64_t *place)
{
	struct dc_shuffle s;
	uint64_t next = 0, *p;

	dc_shuffle_init(&s, cap);
	dc_shuffle_epoch(&s, seed, epoch);
	for (size_t i = 0; i < n; i++)
		if ((p = dc_shuffle_push(&s, place + i)))
			*p = next++;
	while ((p = dc_shuffle_drain(&s)))
		*p = next++;
	dc_shuffle_free(&s);
}
