/* SPDX-License-Identifier: MIT */
/* Shards to samples in the order of an epoch: reading, refusing, shuffling. Decodes nothing.
 *
 *	struct dc_reader r = { .shards = &shards, .sources = &sources, .seed = 1, .shuffle = 1000, .watch = -1, ... };
 *	for (epoch = 0; epoch < epochs; epoch++) {
 *		dc_reader_begin(&r, epoch);
 *		while ((ret = dc_reader_next(&r, &sample)) == DC_READER_SAMPLE) ...      // sample is the caller's now
 *	}
 *	dc_reader_free(&r);
 *
 * Every group read is counted once: r.in goes up, and it is either refused (r.refuse is called), handed out, or still
 * in the shuffle buffer (dc_reader_left). */
#ifndef DC_DATA_READER_H
#define DC_DATA_READER_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"
#include "data/plan.h"
#include "data/sample.h"
#include "data/shards.h"
#include "data/tar.h"

enum { DC_READER_SAMPLE = 1, DC_READER_END = 0, DC_READER_FAIL = -1, DC_READER_GONE = -2 };
enum { DC_EXTENSIONS_MAX = 32 };

struct dc_reader {
	/* set by the caller */
	const struct dc_shards *shards;
	const struct dc_sources *sources;
	uint64_t seed;
	size_t shuffle;        /* samples in the buffer; 0: no shuffling at all */
	int strict;            /* damage is DC_READER_FAIL */
	int images;            /* keep the image bytes */
	int watch;             /* see dc_tar_opts */
	uint64_t *place;       /* of an epoch (dc_plan_places), or NULL; images placed below `before` are passed over */
	uint64_t n_place, before; int64_t place_epoch; /* set by dc_reader_pass_over */
	void (*refuse)(void *arg, const struct dc_sample *s, enum dc_reject why, const char *text);
	void (*damage)(void *arg, const char *text); /* "train-000.tar: damaged at byte ...", "train-001.tar: No
	                                                * such file or directory": once for each shard */
	void *arg;
	/* results */
	uint64_t in;           /* groups read */
	uint64_t usable;       /* in this epoch */
	uint64_t bad_labels;
	uint64_t apart;        /* refused for want of an image or caption, their key having come before in the shard */
	char *extension[DC_EXTENSIONS_MAX]; size_t n_extensions; /* seen, in order */
	/* its own */
	uint32_t *order;
	size_t at;
	int64_t epoch;
	unsigned char *told;   /* a shard's damage was told */
	struct dc_tar *tar;
	struct dc_group group;
	struct dc_shuffle buffer;
};

void dc_reader_begin(struct dc_reader *r, int64_t epoch);
/* The epoch's next sample (free with dc_sample_free and free), in order of place. DC_READER_*. */
int dc_reader_next(struct dc_reader *r, struct dc_sample **s) DC_MUST_USE;
/* The usable samples of an epoch, from the tars alone: a pass of its own by a reader of the same settings, which leaves r
 * as it is and tells nobody of refusals and damage. DC_READER_END, _FAIL (also if there is none) or _GONE. */
int dc_reader_count(const struct dc_reader *r, int64_t *n) DC_MUST_USE;
/* The same with r itself: what is refused and damaged is told. */
int dc_reader_count_aloud(struct dc_reader *r, int64_t *n) DC_MUST_USE;
/* The images of this epoch's first `before` places, of n, will not be asked for: they need not be read. */
void dc_reader_pass_over(struct dc_reader *r, int64_t epoch, int64_t n, int64_t before);
/* Say why an epoch has no usable sample; always DC_READER_FAIL. `name`: of the shards, as they were asked for. */
int dc_reader_none(const struct dc_reader *r, const char *name);
/* Samples in the buffer. */
size_t dc_reader_left(const struct dc_reader *r);
void dc_reader_free(struct dc_reader *r);

#endif
