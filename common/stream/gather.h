/* SPDX-License-Identifier: MIT */
/* The parts of one batch, gathered: frames of one kind and step with part = [0, n], [1, n] ... [n - 1, n]. */
#ifndef DC_STREAM_GATHER_H
#define DC_STREAM_GATHER_H

#include "stream/stream.h"

struct dc_gather {
	struct dc_frame *part;   /* the frames so far */
	int n, cap;
	int64_t want;            /* how many make it whole; 0 before the first */
	size_t bytes;            /* of their bodies */
};

static inline int dc_gather_whole(const struct dc_gather *g) { return g->n > 0 && g->n == g->want; }
/* Take f over (it becomes empty). 0, or -1 with a message where it does not follow the parts before it. */
int dc_gather_add(struct dc_gather *g, struct dc_frame *f) DC_MUST_USE;
/* Forget the frames; keep the array. */
void dc_gather_clear(struct dc_gather *g);
void dc_gather_free(struct dc_gather *g);

/* Write these keys of all parts as one: tensors joined along their first dimension, arrays appended. A key that the
 * first part lacks is left out; one that a later part lacks, or that does not fit, is an error. */
int dc_gather_put(struct dc_body *b, struct dc_gather *g, const char *key) DC_MUST_USE;

#endif
