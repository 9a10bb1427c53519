/* SPDX-License-Identifier: MIT */
/* Several sources of samples, each with its shards and its epochs, in one order, in exact proportions.
 *
 *	struct dc_mix m = { .sources = &sources, .seed = 1, .shuffle = 1000, .watch = -1, .refuse = ..., .damage = ..., .arg = ... };
 *	if (dc_mix_add(&m, "cc3m=2:cc3m-{0000..0331}.tar") < 0 || dc_mix_add(&m, "yfcc=1:...") < 0 || dc_mix_begin(&m) < 0) ...
 *	if (dc_mix_count(&m) != DC_READER_END || ...) ...            // for m.samples, and where samples are to be skipped
 *	dc_mix_skip(&m, 6400);                                       // go on behind the first 6400
 *	while ((r = dc_mix_next(&m, &sample)) == DC_READER_SAMPLE) ... // without end
 *	dc_mix_free(&m);
 *
 * The k-th sample (k = 0, 1 ...) of a source of weight w has the time (k + 1/2) / w; all samples come in order of their
 * times, of equal ones that of the first source first. So of the first s samples a source of share p = w / W, W the sum of
 * the weights, has p s within 1/2 + p S/2 for S sources, and of each W (whole numbers without a common divisor) exactly w.
 * Which source comes when follows from the weights alone, so a place in the order is found without reading. */
#ifndef DC_DATA_MIX_H
#define DC_DATA_MIX_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"
#include "data/reader.h"

enum { DC_MIX_MAX = 1024 /* sources */ };

struct dc_mix_source {
	char *name;
	int64_t weight;          /* whole, without a common divisor of all */
	int64_t n;               /* usable samples in an epoch; 0: not known yet */
	int64_t epoch;           /* the one being read */
	/* its own */
	struct dc_shards shards; /* a part of the mixture's */
	struct dc_reader reader;
	size_t first;            /* shard */
	int64_t place, before;   /* places of this epoch gone by; those that belong to what is skipped */
	int open;
	struct dc_mix *mix;
};

struct dc_mix {
	/* set by the caller, as in struct dc_reader */
	const struct dc_sources *sources;
	uint64_t seed;
	size_t shuffle;          /* a buffer for each source */
	int strict, watch;
	void (*refuse)(void *arg, const struct dc_sample *s, enum dc_reject why, const char *text);
	void (*damage)(void *arg, const char *text);
	void *arg;
	/* results */
	struct dc_shards shards; /* of all sources */
	struct dc_mix_source *source; size_t n;
	int64_t *taken;          /* of each source, since the run began; [n] */
	int64_t samples;         /* of one epoch of each; 0 before dc_mix_count */
	int64_t skipped, passed; /* samples so far that are not wanted; those of them in whole epochs, never read */
};

/* "NAME=WEIGHT:SHARDS": a name without = and :, a number of at most six decimals above 0, shards as dc_shards_expand takes
 * them (not standard input). 0, or -1 with a message. */
int dc_mix_add(struct dc_mix *m, const char *text) DC_MUST_USE;
/* After the last: check the shards, reduce the weights. 0, or -1 with a message. */
int dc_mix_begin(struct dc_mix *m) DC_MUST_USE;
/* Count each source's samples, from the tars alone. DC_READER_END, _FAIL or _GONE. */
int dc_mix_count(struct dc_mix *m) DC_MUST_USE;
/* The first n are not wanted. After dc_mix_count, before dc_mix_next. */
void dc_mix_skip(struct dc_mix *m, int64_t n);
/* The next sample, the caller's (dc_sample_free, free); its epoch is its source's, its shard a number in m->shards.
 * DC_READER_SAMPLE, _FAIL or _GONE. */
int dc_mix_next(struct dc_mix *m, struct dc_sample **s) DC_MUST_USE;
/* How many of the first n samples are each source's: count[m->n]. */
void dc_mix_shares(const struct dc_mix *m, int64_t n, int64_t *count);
void dc_mix_free(struct dc_mix *m);

#endif
