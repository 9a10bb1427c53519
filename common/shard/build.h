/* SPDX-License-Identifier: MIT */
/* Samples, in order, into the shards of their splits: cut by number or bytes, finished one by one, gone on with after an
 * interruption.
 *
 *	struct dc_build b = { .dir = "out", .samples = 1000, .n_splits = 1, .split = { { .prefix = "data" } } };
 *	if (dc_build_open(&b, options, data) < 0) ...
 *	for each item in order {
 *		if (dc_build_wants(&b, split))              // else an earlier run has dealt with it
 *			... make it ..., then, in the same order,
 *			dc_build_add(&b, &place, key, name, &made)  // place was filled by dc_build_wants
 *	}
 *	if (dc_build_close(&b, "rejects.tsv") < 0) ...
 *
 * What comes out, byte for byte, follows from the items alone. */
#ifndef DC_SHARD_BUILD_H
#define DC_SHARD_BUILD_H

#include <stdint.h>
#include "base/util.h"
#include "data/tarout.h"
#include "shard/journal.h"
#include "shard/make.h"

enum { DC_SPLITS = 3 };

struct dc_build {
	/* set by the caller */
	const char *dir;
	uint64_t samples, bytes;   /* of a shard, at most; 0: no limit */
	int n_splits;
	struct dc_split {
		const char *prefix;
		double share;          /* of the keys; they add up to 1 */
		/* its own */
		uint64_t at, done;     /* items gone by; those that finished shards account for */
		uint64_t number;       /* of the next shard */
		struct dc_tarout *tar; char *name; /* the one being filled */
		uint64_t n, bytes;     /* in it */
		struct dc_shard_rejects rejected;
	} split[DC_SPLITS];
	/* results */
	uint64_t in, out, rejected, shards;
	int whole;                 /* an earlier run finished it all */
	/* its own */
	struct dc_journal journal;
	struct dc_shard_rejects all;
};

/* An item's place: its number among all, and among those of its split. */
struct dc_place { int split; uint64_t number, at; };

/* `options`, `data`: what an earlier run in that directory must have been begun with. 0, or -1 with a message. */
int dc_build_open(struct dc_build *b, const char *options, const char *data) DC_MUST_USE;
/* The split that a key's hash belongs to. */
int dc_build_split(const struct dc_build *b, uint64_t hash);
/* Count the next item; 1 if it has to be made and added, 0 if an earlier run dealt with it. */
int dc_build_wants(struct dc_build *b, int split, struct dc_place *p);
/* Write it, or note why it is refused (`name`). 0, or -1 with a message. */
int dc_build_add(struct dc_build *b, const struct dc_place *p, const char *key, const char *name, const struct dc_made *m)
    DC_MUST_USE;
/* Finish: the last shards, the list of rejects (NULL: none), the journal's end. 0, or -1 with a message. */
int dc_build_close(struct dc_build *b, const char *rejects) DC_MUST_USE;
/* Give up what is unfinished and free. After dc_build_close too. */
void dc_build_free(struct dc_build *b);

#endif
