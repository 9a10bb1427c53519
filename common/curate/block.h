/* SPDX-License-Identifier: MIT */
/* Lists of words and phrases that captions must not hold. A phrase is looked for as a sequence of whole pieces
 * (curate/words.h), so case, punctuation and the space between do not matter: "New York" is in "new-york's", and "cat"
 * is not in "cathedral".
 *
 *	struct dc_block b = { 0 };
 *	if (dc_block_load(&b, "list.txt") < 0) ...
 *	if ((phrase = dc_block_find(&b, &words))) ...
 *	dc_block_free(&b); */
#ifndef DC_CURATE_BLOCK_H
#define DC_CURATE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "curate/words.h"

struct dc_block {
	char **phrase;              /* (slots): pieces with a space between, NULL for an empty slot; open addressing */
	size_t n, slots;
	size_t longest;             /* pieces of the longest phrase */
};

/* Add the phrases of a file, one a line; blank lines and those that begin with # are passed over. Return 0, or -1 with a
 * message, also for a line without a word. */
int dc_block_load(struct dc_block *b, const char *path) DC_MUST_USE;
/* Add one phrase. Return 0, or -1 if there is no word in it. */
int dc_block_add(struct dc_block *b, struct dc_words *w, const char *s, size_t n) DC_MUST_USE;
/* The first phrase that is in the words, of several that begin there the shortest; NULL if none is. Thread-safe. */
const char *dc_block_find(const struct dc_block *b, const struct dc_words *w);
void dc_block_free(struct dc_block *b);

#endif
