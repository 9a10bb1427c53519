/* SPDX-License-Identifier: MIT */
#include "curate/words.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/util.h"

static int
in_word(int32_t c)
{
	utf8proc_category_t k;

	if (c < 0x80)
		return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
	k = utf8proc_category(c);
	return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO);   /* L*, M*, N* follow each other */
}

static void
add_piece(struct dc_words *w, size_t at, size_t end)
{
	if (w->n == w->cap) {
		w->cap = 2 * w->cap + 32;
		w->piece = dc_xrealloc(w->piece, w->cap, sizeof *w->piece);
		w->word = dc_xrealloc(w->word, w->cap + 1, sizeof *w->word);
	}
	const struct dc_piece *last = w->n ? &w->piece[w->n - 1] : NULL;
	if (!last || at != (size_t)last->at + last->n + 1 || w->clean.text[at - 1] != '\'')
		w->word[w->n_words++] = (uint32_t)w->n;
	w->piece[w->n++] = (struct dc_piece){ (uint32_t)at, (uint32_t)(end - at) };
}

void
dc_words_take(struct dc_words *w, const char *s, size_t n)
{
	size_t at = 0, from = SIZE_MAX;
	int32_t c;

	dc_clean_text(&w->clean, s, n < UINT32_MAX / 8 ? n : UINT32_MAX / 8);
	w->n = w->n_words = 0;
	for (int k; at < w->clean.n; at += (size_t)k) {
		k = dc_utf8_get(w->clean.text + at, w->clean.n - at, &c);
		if (in_word(c) && from == SIZE_MAX)
			from = at;
		else if (!in_word(c) && from != SIZE_MAX) {
			add_piece(w, from, at);
			from = SIZE_MAX;
		}
	}
	if (from != SIZE_MAX)
		add_piece(w, from, at);
	if (w->word)
		w->word[w->n_words] = (uint32_t)w->n;
}

const char *
dc_words_get(const struct dc_words *w, size_t k, size_t *n)
{
	const struct dc_piece *first = &w->piece[w->word[k]], *last = &w->piece[w->word[k + 1] - 1];

	*n = last->at + last->n - first->at;
	return w->clean.text + first->at;
}

void
dc_words_free(struct dc_words *w)
{
	dc_clean_free(&w->clean);
	free(w->piece);
	free(w->word);
	memset(w, 0, sizeof *w);
}
