/* SPDX-License-Identifier: MIT */
/* Training a BPE vocabulary (Sennrich, Haddow, Birch 2016, algorithm 1) for text/bpe.h to read.
 *
 *	struct dc_train *t = dc_train_new();
 *	dc_train_text(t, caption, n);                  // cleaned and split as dc_bpe_encode does; any number of them
 *	int merges = dc_train_run(t, 8000);            // fewer where the text has no more
 *	if (dc_train_write(t, "bpe.txt.gz") < 0) ...
 *	dc_train_free(t);
 *
 * Each step merges the pair of adjacent symbols that occurs most often, counted over all words with their
 * frequencies. Of pairs that occur equally often the one whose left symbol has the lowest id is taken, then the one
 * whose right symbol has (ids as in text/bpe.h). A pair that occurs once is never merged. The result depends on the
 * words' counts only, not on the order of the captions. */
#ifndef DC_TEXT_TRAIN_H
#define DC_TEXT_TRAIN_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"

struct dc_train;

struct dc_train *dc_train_new(void);
void dc_train_free(struct dc_train *t);
void dc_train_text(struct dc_train *t, const char *s, size_t n);
/* Words seen, and different ones. */
uint64_t dc_train_words(const struct dc_train *t, size_t *different);
/* At most n <= DC_BPE_MERGES_MAX merges. Once; then only dc_train_file, _write and _free. Return how many. */
int dc_train_run(struct dc_train *t, int n);
/* The vocabulary file's text, to be freed; *bytes: its length. */
char *dc_train_file(const struct dc_train *t, size_t *bytes);
/* The same, gzipped without time or name, so that equal vocabularies are equal files. Return 0, or -1. */
int dc_train_write(const struct dc_train *t, const char *path) DC_MUST_USE;

#endif
