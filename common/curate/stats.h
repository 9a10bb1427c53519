/* SPDX-License-Identifier: MIT */
/* What a data set holds. Samples are looked at in batches by many threads, then added up in order:
 *
 *	struct dc_stats s = { .max_distinct = 50000000, .bpe = &bpe, .context = 77 };
 *	dc_stats_begin(&s, pool, threads);
 *	dc_stats_batch(&s, sample, n);            // struct dc_stats_sample, as often as there are batches
 *	dc_stats_page(&s, stdout); dc_stats_tsv(&s, stdout); ...      // curate/page.h
 *	dc_stats_free(&s);
 *
 * Memory: 25 to 32 bytes for each different image and as much for each different caption, up to max_distinct of either;
 * the texts of captions that occur more than once and of the words, up to DC_STATS_TEXTS different ones of each. */
#ifndef DC_CURATE_STATS_H
#define DC_CURATE_STATS_H

#include <stdint.h>

#include "base/pool.h"
#include "curate/counts.h"
#include "curate/hist.h"
#include "curate/script.h"
#include "curate/seen.h"
#include "data/image.h"
#include "data/sample.h"
#include "stream/stream.h"
#include "text/bpe.h"

enum { DC_STATS_TEXTS = 1000000 };

/* A sample that can be used as far as the tar tells. Nothing of it is kept. */
struct dc_stats_sample {
	const unsigned char *image; size_t bytes;   /* encoded; or NULL, and */
	int width, height;                          /* the size of pixels that came decoded */
	const struct dc_str *caption; size_t n_captions;
	int32_t label; int has_label;
	char *why;                                  /* set by dc_stats_batch where the image is broken; to be freed */
};

enum dc_stats_hist { DC_HIST_WIDTH, DC_HIST_HEIGHT, DC_HIST_SIDE, DC_HIST_ASPECT /* in hundredths */, DC_HIST_SIZE,
	DC_HIST_CAPTIONS, DC_HIST_CHARS, DC_HIST_WORDS, DC_HIST_TOKENS, DC_HISTS };

struct dc_stats {
	/* set by the caller */
	size_t max_distinct;
	const struct dc_bpe *bpe;      /* NULL: no tokens */
	int context;                   /* T: captions of more than T - 2 tokens are cut */
	int decode;                    /* decode every image */
	uint64_t max_pixels;
	uint64_t shards, shard_bytes;  /* 0: a stream */
	uint64_t damaged;              /* shards */
	uint64_t bad_labels;
	uint64_t broken[DC_REJECTS];   /* those that the tar shows are the caller's to count */
	/* results */
	uint64_t usable;
	uint64_t formats[DC_IMAGE_WEBP + 1]; /* UNKNOWN: decoded ones */
	struct dc_hist hist[DC_HISTS];
	uint64_t captions, same_images, same_captions;
	uint64_t unknown_images, unknown_captions; /* not compared: the tables were full */
	uint64_t scripts[DC_SCRIPTS_MAX];    /* captions most of whose letters are of it; 0: no letters */
	uint64_t tokens, cut, byte_tokens;   /* byte_tokens: single bytes inside words */
	uint64_t *used;                      /* (V): how often each id occurs */
	struct dc_counts words, texts, labels;
	uint64_t labelled;
	/* its own */
	struct dc_seen images, all_captions;
	struct dc_pool *pool;
	struct dc_stats_worker *worker; int workers;
};

void dc_stats_begin(struct dc_stats *s, struct dc_pool *pool, int threads);
void dc_stats_batch(struct dc_stats *s, struct dc_stats_sample *sample, size_t n);
uint64_t dc_stats_broken(const struct dc_stats *s);
uint64_t dc_stats_bytes(const struct dc_stats *s);   /* memory of the tables of hashes */
void dc_stats_free(struct dc_stats *s);

#endif
