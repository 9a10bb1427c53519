/* SPDX-License-Identifier: MIT */
/* Samples frames without the samples that rules refuse.
 *
 *	struct dc_curate c = { .rules = ..., .same_bytes = 1, .near = 4, .max_pixels = 25000000, .pool = pool };
 *	dc_curate_begin(&c);
 *	for each frame: dc_curate_part(&c, &frame, &body)     // 1: the body is the frame's; 0: nothing dropped, pass it on
 *	dc_curate_end(&c, &frame, &body);                     // the `end` frame's body with the counts
 *	dc_curate_free(&c);
 *
 * Each sample meets the rules in the order of enum dc_drop, and the first that refuses it is the reason. Captions are
 * judged one by one; a sample goes when all its captions do, by the reason of the first. The rules that compare look only
 * at samples that were kept before, so what is dropped leaves no trace, and the result depends on the order of the samples
 * but not on the number of threads.
 *
 * Memory for each sample kept, with the room that tables keep free: 25 to 32 bytes for same_bytes, as much for
 * same_pixels, 50 to 100 for near (50 where there are many), and 25 to 32 for each different caption with max_repeats. */
#ifndef DC_CURATE_FILTER_H
#define DC_CURATE_FILTER_H

#include <stdint.h>

#include "base/pool.h"
#include "curate/list.h"
#include "curate/near.h"
#include "curate/rules.h"
#include "curate/seen.h"
#include "stream/stream.h"

struct dc_curate {
	/* set by the caller */
	struct dc_rules rules;
	int same_bytes, same_pixels;
	int near, near_on;            /* D; whether it is asked */
	int64_t max_repeats;          /* of equal captions so many are kept; 0: all */
	int decode;                   /* every image must decode, asked or not */
	uint64_t max_pixels;          /* larger images are refused */
	struct dc_pool *pool;
	struct dc_list rejects, kept; /* open, or all zero */
	/* results */
	uint64_t in, out, captions_in, captions_out;
	uint64_t dropped[DC_DROPS], captions_dropped[DC_DROPS];
	uint64_t known;               /* samples from dc_curate_know */
	/* its own */
	struct dc_seen bytes, pixels, captions;
	struct dc_near *phashes;
};

void dc_curate_begin(struct dc_curate *c);
/* Return 1 with the frame's new body in b, 0 if nothing was dropped, or -1 with a message. */
int dc_curate_part(struct dc_curate *c, struct dc_frame *f, struct dc_body *b) DC_MUST_USE;
/* Samples that are taken as kept before, whatever the other rules say of them: others that are the same or near are
 * dropped. Their captions count for max_repeats. Return 0, or -1 with a message. */
int dc_curate_know(struct dc_curate *c, struct dc_frame *f) DC_MUST_USE;
/* What was dropped goes from the counts' `out` to `rejected`, by reason in `rejected_by`. */
void dc_curate_end(const struct dc_curate *c, struct dc_frame *f, struct dc_body *b);
/* Samples dropped, for all reasons. */
uint64_t dc_curate_dropped(const struct dc_curate *c);
/* Memory of the tables in bytes. */
uint64_t dc_curate_bytes(const struct dc_curate *c);
void dc_curate_free(struct dc_curate *c);

#endif
