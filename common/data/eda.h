/* SPDX-License-Identifier: MIT */
/* Easy data augmentation of captions (Wei and Zou 2019, arXiv 1901.11196), one operation per caption, drawn with equal
 * chances from those allowed, each as the package textaugment (3.0.0), which DeCLIP's authors used, defines it:
 *
 *	synonym   a random one of the different words that are no stop words and have synonyms in WordNet becomes a random
 *	          one of these, wherever it stands in the caption
 *	swap      two random words change places; the second is drawn up to three times until it is not the first
 *	delete    each word goes with probability 0.1; if all are gone, a random one stays
 *
 * Words are what stands between white space, punctuation included. What textaugment can draw and this does not: a stop
 * word with a capital ("A" is an angstrom in WordNet), a word's own small letters as its synonym ("dog" for "Dog"), an
 * empty synonym. A caption in which nothing can be done is unchanged to the byte; else the words are joined by single
 * spaces. */
#ifndef DC_DATA_EDA_H
#define DC_DATA_EDA_H

#include <stddef.h>

#include "base/rng.h"
#include "data/wordnet.h"

enum { DC_EDA_SYNONYM = 1, DC_EDA_SWAP = 2, DC_EDA_DELETE = 4, DC_EDA_ALL = 7 };
#define DC_EDA_DELETE_P 0.1

/* Both owned by the caller after dc_eda_caption: free() each. */
struct dc_eda_result {
	char *caption; size_t n;  /* bytes; may hold NUL if the caption did */
	/* What was done, words counted from 0: "none"; "synonym 3 hound" or "synonym 3,7 hound" (words 3 and 7, the same
	 * word, became "hound", which may be of several words); "swap 1 4"; "delete 0 5" ("delete" alone: none went). */
	char *trace;
};

/* caption (n bytes, UTF-8). ops: one or more of the above. wn may be NULL without DC_EDA_SYNONYM. */
struct dc_eda_result dc_eda_caption(const char *caption, size_t n, unsigned ops, const struct dc_wordnet *wn,
    struct dc_rng *rng);

#endif
