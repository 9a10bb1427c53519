/* SPDX-License-Identifier: MIT */
/* A stack of aligned memory for activations: what the forward pass lays down, the backward pass takes up in reverse.
 * Memory is kept for the next step, so that a step in steady state allocates nothing.
 *
 *	struct dc_arena a = { 0 };
 *	struct dc_arena_mark m = dc_arena_mark(&a);
 *	dc_real *x = dc_arena_reals(&a, n);
 *	dc_arena_release(&a, m);              // x and everything after it is gone
 *	dc_arena_free(&a); */
#ifndef DC_NN_ARENA_H
#define DC_NN_ARENA_H

#include <stddef.h>
#include <stdint.h>
#include "base/real.h"

struct dc_arena_chunk { char *mem; size_t size; };
struct dc_arena { struct dc_arena_chunk *chunk; int n_chunks, at; size_t used; };
struct dc_arena_mark { int at; size_t used; };

/* n items of `size` bytes, 64-byte aligned, not zeroed; valid until the release of an older mark. */
void *dc_arena_alloc(struct dc_arena *a, size_t n, size_t size);
struct dc_arena_mark dc_arena_mark(const struct dc_arena *a);
void dc_arena_release(struct dc_arena *a, struct dc_arena_mark mark);
/* Bytes below the top. */
size_t dc_arena_laid(const struct dc_arena *a);
/* Put the memory above the top, in several chunks, into one: whatever comes next fits there, and no second lot is touched. */
void dc_arena_tidy(struct dc_arena *a);
/* Release everything, and put the memory of several chunks into one: what one step needed, the next has in one piece. */
void dc_arena_reset(struct dc_arena *a);
void dc_arena_free(struct dc_arena *a);

static inline dc_real *dc_arena_reals(struct dc_arena *a, size_t n) { return dc_arena_alloc(a, n, sizeof(dc_real)); }
static inline int32_t *dc_arena_ints(struct dc_arena *a, size_t n) { return dc_arena_alloc(a, n, sizeof(int32_t)); }

#endif
