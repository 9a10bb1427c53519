/* SPDX-License-Identifier: MIT */
#ifndef DC_DATA_STOPWORDS_H
#define DC_DATA_STOPWORDS_H

#include <stddef.h>

/* Whether the word (n bytes, lower case) is an English function word, which no synonym replaces. */
int dc_is_stopword(const char *word, size_t n);

#endif
