/* SPDX-License-Identifier: MIT */
/* Synonyms from the database files of WordNet 3 (wndb(5WN)): index.POS, data.POS and POS.exc for noun, verb, adj, adv.
 * The files are mapped and read only; nothing in them is believed before it is checked, so a damaged database has fewer
 * synonyms and no worse. Lookups may run in many threads at once. */
#ifndef DC_DATA_WORDNET_H
#define DC_DATA_WORDNET_H

#include <stddef.h>
#include "base/util.h"

#define DC_WORDNET_DIR "/usr/share/wordnet" /* Debian's wordnet-base */

struct dc_wordnet;

/* Open the database in `dir`; the exception lists may be missing. Return 0, or -1 with a message. */
int dc_wordnet_open(struct dc_wordnet **wn, const char *dir) DC_MUST_USE;
void dc_wordnet_close(struct dc_wordnet *wn);

/* All other words of all senses of `word` (n bytes, lower case, ASCII) and of its base forms ("dogs" is looked up as
 * "dog" too), in lower case, underscores and hyphens as spaces, other characters than letters left out, without `word`
 * itself, each once, in byte order.
 * Return how many; *out is an array of that many strings in one block that free() releases, NULL for none. */
size_t dc_wordnet_synonyms(const struct dc_wordnet *wn, const char *word, size_t n, char ***out);

#endif
