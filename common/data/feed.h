/* SPDX-License-Identifier: MIT */
/* Samples, in order, to samples frames: slots, ranks, batches and their parts, decoding, what is refused, the counts.
 *
 *	struct dc_feed f = { .batch = 64, .world = 1, .captions = "draw", .max_pixels = 25000000, .shards = &shards };
 *	if (dc_feed_open(&f, jobs) < 0) ...            // standard output is a terminal
 *	f.at = skip;                                   // the first batch to send
 *	while (... a sample s that is in its place ...)
 *		if ((r = dc_feed_take(&f, s)) != DC_FRAME) ...
 *	r = dc_feed_flush(&f);                         // the last, short batch
 *	r = dc_feed_end(&f, NULL, NULL);               // the end frame with the counts
 *	status = dc_feed_close(&f, r);
 *
 * Batch k is the slots kN .. kN+N-1; rank r of R sends the slots i with i mod R = r. An image that cannot be decoded leaves
 * its slot empty. The bytes do not depend on the threads. */
#ifndef DC_DATA_FEED_H
#define DC_DATA_FEED_H

#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/progress.h"
#include "base/util.h"
#include "data/image.h"
#include "data/rejects.h"
#include "data/sample.h"
#include "data/shards.h"
#include "stream/sender.h"
#include "stream/stream.h"

/* They close: in = out + rejected + skipped + dropped + unused + others. All but out and rejected are the caller's. */
struct dc_feed_counts { int64_t in, out, rejected[DC_REJECTS], skipped, dropped, unused, others; };

struct dc_feed {
	/* set by the caller */
	int64_t batch, world, rank;     /* slots in a batch, over all ranks */
	uint64_t seed, max_pixels;
	const char *captions;           /* "draw", "first" or "all" */
	int exif, keep_encoded;
	int name_shards;                /* send the base names of the shards too */
	const struct dc_shards *shards; /* sample.shard is a number in it */
	struct dc_rejects rejects;      /* opened by the caller, or not */
	/* results */
	struct dc_feed_counts n;
	int64_t at;                     /* number of the batch being filled */
	int64_t filled;                 /* its slots so far, of all ranks */
	struct dc_progress progress;    /* begun by the caller */
	struct dc_out out;
	/* its own */
	struct dc_pool *pool;
	struct dc_sender *sender;
	struct dc_body body;
	struct dc_feed_item *item; size_t n_items; /* this rank's samples of the batch */
	int labelled;                   /* one of them has a label */
	char **damaged; size_t n_damaged;
};

/* -1 with a message if standard output is a terminal. */
int dc_feed_open(struct dc_feed *f, int jobs) DC_MUST_USE;
/* Count a refused sample, and list it. */
void dc_feed_reject(struct dc_feed *f, const struct dc_sample *s, enum dc_reject why, const char *text);
/* Note a damaged shard, for the end frame. */
void dc_feed_damaged(struct dc_feed *f, const char *text);
/* Give the next sample its slot, and send the batch if it is full. Takes s (freed with dc_sample_free and free).
 * DC_FRAME, DC_FAIL or DC_GONE. */
int dc_feed_take(struct dc_feed *f, struct dc_sample *s) DC_MUST_USE;
/* Send the batch being filled, if it has a slot. */
int dc_feed_flush(struct dc_feed *f) DC_MUST_USE;
/* Drop what the batch being filled holds, and count it. */
void dc_feed_discard(struct dc_feed *f, int64_t *count);
/* Images there were, but none could be decoded: DC_FAIL with a message; else DC_FRAME. */
int dc_feed_check(const struct dc_feed *f) DC_MUST_USE;
/* The end frame; `more` adds keys of its own. */
int dc_feed_end(struct dc_feed *f, void (*more)(void *arg, struct dc_body *b), void *arg) DC_MUST_USE;
/* Wait until all is written and close standard output. r: what the last call came to. The exit status; says what is wrong. */
int dc_feed_close(struct dc_feed *f, int r);
int64_t dc_feed_rejected(const struct dc_feed *f);
/* The counts on stderr, if anything was rejected or `all`. */
void dc_feed_report(const struct dc_feed *f, int all);

#endif
