/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "nn/arena.h"

enum { CHUNK = 4 << 20, ALIGN = 64 };   /* bytes */

static size_t
total(const struct dc_arena *a)
{
	size_t bytes = 0;

	for (int i = 0; i < a->n_chunks; i++)
		bytes += a->chunk[i].size;
	return bytes;
}

static struct dc_arena_chunk
fresh_chunk(size_t bytes)
{
	return (struct dc_arena_chunk){ dc_xaligned(bytes, 1), bytes };
}

/* Make a->at a chunk with room for `bytes`: the next free one that is large enough, else a new one put there. */
static void
next_chunk(struct dc_arena *a, size_t bytes)
{
	int at = a->n_chunks ? a->at + 1 : 0;
	size_t least = total(a) / 8 > CHUNK ? total(a) / 8 : CHUNK;

	a->at = at;
	a->used = 0;
	if (at < a->n_chunks && a->chunk[at].size >= bytes)
		return;
	if (at < a->n_chunks) {          /* too small and unused: it gives way to a larger one */
		free(a->chunk[at].mem);
	} else {
		a->chunk = dc_xrealloc(a->chunk, (size_t)at + 1, sizeof(*a->chunk));
		a->n_chunks++;
	}
	a->chunk[at] = fresh_chunk(bytes > least ? bytes : least);
}

void *
dc_arena_alloc(struct dc_arena *a, size_t n, size_t size)
{
	size_t bytes;
	char *p;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 2)
		return dc_xaligned(n, size);   /* ends the program with the message for it */
	bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
	if (a->n_chunks == 0 || a->chunk[a->at].size - a->used < bytes)
		next_chunk(a, bytes);
	p = a->chunk[a->at].mem + a->used;
	a->used += bytes;
	return p;
}

struct dc_arena_mark
dc_arena_mark(const struct dc_arena *a)
{
	struct dc_arena_mark m = { a->at, a->used };

	return m;
}

void
dc_arena_release(struct dc_arena *a, struct dc_arena_mark mark)
{
	a->at = mark.at;
	a->used = mark.used;
}

size_t
dc_arena_laid(const struct dc_arena *a)
{
	size_t bytes = a->used;

	for (int i = 0; i < a->at; i++)
		bytes += a->chunk[i].size;
	return bytes;
}

void
dc_arena_tidy(struct dc_arena *a)
{
	const int first = a->used ? a->at + 1 : a->at;
	size_t bytes = 0;

	if (a->n_chunks < first + 2)
		return;
	for (int i = first; i < a->n_chunks; i++) {
		bytes += a->chunk[i].size;
		free(a->chunk[i].mem);
	}
	a->chunk[first] = fresh_chunk(bytes);
	a->n_chunks = first + 1;
}

void
dc_arena_reset(struct dc_arena *a)
{
	dc_arena_release(a, (struct dc_arena_mark){ 0, 0 });
	dc_arena_tidy(a);
}

void
dc_arena_free(struct dc_arena *a)
{
	for (int i = 0; i < a->n_chunks; i++)
		free(a->chunk[i].mem);
	free(a->chunk);
	memset(a, 0, sizeof(*a));
}
