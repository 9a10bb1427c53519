/* SPDX-License-Identifier: MIT */
#include "curate/seen.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Open addressing: the high half chooses the piece, the low half the first place in it; 0 marks an empty one. */
static uint32_t
place(const struct dc_seen_piece *p, XXH128_hash_t h)
{
	uint32_t i = (uint32_t)((h.low64 >> 32) * p->cap >> 32);

	while (p->value[i] && (p->hash[i].low64 != h.low64 || p->hash[i].high64 != h.high64))
		i = i + 1 < p->cap ? i + 1 : 0;
	return i;
}

static void
grow(struct dc_seen_piece *p)
{
	struct dc_seen_piece old = *p;

	p->cap = old.cap + old.cap / 4 + 16;
	p->hash = dc_xmalloc(p->cap * sizeof *p->hash);
	p->value = dc_xcalloc(p->cap, sizeof *p->value);
	for (uint32_t i = 0; i < old.cap; i++)
		if (old.value[i]) {
			uint32_t to = place(p, old.hash[i]);
			p->hash[to] = old.hash[i];
			p->value[to] = old.value[i];
		}
	free(old.hash);
	free(old.value);
}

const uint32_t *
dc_seen_find(const struct dc_seen *s, XXH128_hash_t h)
{
	const struct dc_seen_piece *p = &s->piece[h.high64 >> 56];
	uint32_t i;

	if (!p->cap)
		return NULL;
	i = place(p, h);
	return p->value[i] ? &p->value[i] : NULL;
}

uint32_t *
dc_seen_add(struct dc_seen *s, XXH128_hash_t h)
{
	struct dc_seen_piece *p = &s->piece[h.high64 >> 56];
	uint32_t i;

	if (p->n + 1 > p->cap - p->cap / 5)
		grow(p);
	i = place(p, h);
	if (!p->value[i]) {
		p->hash[i] = h;
		p->n++;
		s->n++;
	}
	return &p->value[i];
}

uint64_t
dc_seen_bytes(const struct dc_seen *s)
{
	uint64_t n = 0;

	for (int i = 0; i < DC_SEEN_PIECES; i++)
		n += s->piece[i].cap * (sizeof *s->piece[i].hash + sizeof *s->piece[i].value);
	return n;
}

void
dc_seen_free(struct dc_seen *s)
{
	for (int i = 0; i < DC_SEEN_PIECES; i++) {
		free(s->piece[i].hash);
		free(s->piece[i].value);
	}
	memset(s, 0, sizeof *s);
}
