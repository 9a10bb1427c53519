/* SPDX-License-Identifier: MIT */
/* A parallel loop over independent items for the data tools: results do not depend on the number of threads.
 *
 *	struct dc_pool *pool = dc_pool_new(4);
 *	dc_pool_for(pool, n, decode_one, batch);   // decode_one(batch, i) for i in [0, n), any order, then returns
 *	dc_pool_free(pool); */
#ifndef DC_BASE_POOL_H
#define DC_BASE_POOL_H

#include <stddef.h>

struct dc_pool;

/* threads >= 1; with 1 everything runs in the caller. */
struct dc_pool *dc_pool_new(int threads);
/* Call fn(arg, i) once for each i in [0, n); the caller works too; returns when all are done.
 * fn must not call dc_err_set for others to read: keep per-item results in arg. */
void dc_pool_for(struct dc_pool *p, size_t n, void (*fn)(void *arg, size_t i), void *arg);
void dc_pool_free(struct dc_pool *p);

/* Processors this process may run on. */
int dc_cpus(void);

#endif
