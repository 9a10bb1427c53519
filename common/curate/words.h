/* SPDX-License-Identifier: MIT */
/* A caption's words, for counting and for looking them up: what CLIP's cleaning (text/clean.h) leaves, cut up.
 *
 * A piece is a run of letters, marks and numbers as long as can be; all else is between pieces. Pieces with nothing but
 * one apostrophe between them are one word ("don't", "dog's"), all others are words of their own.
 *
 *	struct dc_words w = { 0 };
 *	dc_words_take(&w, caption, n);
 *	... w.clean.text[w.piece[i].at .. + w.piece[i].n), i < w.n; word k is the pieces w.word[k] .. w.word[k + 1] - 1 ...
 *	dc_words_free(&w); */
#ifndef DC_CURATE_WORDS_H
#define DC_CURATE_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "text/clean.h"

struct dc_piece { uint32_t at, n; };   /* bytes of clean.text */

struct dc_words {
	struct dc_clean clean;
	struct dc_piece *piece; size_t n, cap;
	uint32_t *word;                /* (n_words + 1): the first piece of each, then n */
	size_t n_words;
};

/* Of more than 512 MiB only the beginning is taken. */
void dc_words_take(struct dc_words *w, const char *s, size_t n);
/* The bytes of word k. */
const char *dc_words_get(const struct dc_words *w, size_t k, size_t *n);
void dc_words_free(struct dc_words *w);

#endif
