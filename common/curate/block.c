/* SPDX-License-Identifier: MIT */
#include "curate/block.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { FILE_MAX = 64 << 20 };

/* Where the phrase p[0..n) stands, or would stand. */
static size_t
slot_of(const struct dc_block *b, const char *p, size_t n)
{
	size_t i = XXH3_64bits(p, n) & (b->slots - 1);

	while (b->phrase[i] && (strncmp(b->phrase[i], p, n) || b->phrase[i][n]))
		i = (i + 1) & (b->slots - 1);
	return i;
}

static void
grow(struct dc_block *b)
{
	struct dc_block old = *b;

	b->slots = old.slots ? 2 * old.slots : 64;
	b->phrase = dc_xcalloc(b->slots, sizeof *b->phrase);
	for (size_t i = 0; i < old.slots; i++)
		if (old.phrase[i])
			b->phrase[slot_of(b, old.phrase[i], strlen(old.phrase[i]))] = old.phrase[i];
	free(old.phrase);
}

/* Append piece i to the n bytes at out; their new number. */
static size_t
append(char *out, size_t n, const struct dc_words *w, size_t i)
{
	if (n)
		out[n++] = ' ';
	memcpy(out + n, w->clean.text + w->piece[i].at, w->piece[i].n);
	return n + w->piece[i].n;
}

int
dc_block_add(struct dc_block *b, struct dc_words *w, const char *s, size_t n)
{
	char *phrase;
	size_t len = 0, i;

	dc_words_take(w, s, n);
	DC_CHECK(w->n, "no word in it");
	phrase = dc_xmalloc(w->clean.n + w->n + 1);
	for (i = 0; i < w->n; i++)
		len = append(phrase, len, w, i);
	phrase[len] = 0;
	if (2 * (b->n + 1) > b->slots)
		grow(b);
	i = slot_of(b, phrase, len);
	if (b->phrase[i])
		free(phrase);
	else {
		b->phrase[i] = phrase;
		b->n++;
	}
	b->longest = w->n > b->longest ? w->n : b->longest;
	return 0;
}

int
dc_block_load(struct dc_block *b, const char *path)
{
	struct dc_words w = { 0 };
	char *text, *rest, *line;
	size_t bytes;
	int r = 0, number = 0;

	DC_TRY(dc_slurp(path, FILE_MAX, &text, &bytes));
	rest = text;
	while (r == 0 && (line = strsep(&rest, "\n"))) {
		number++;
		if (line[strspn(line, " \t\r")] && *line != '#' && dc_block_add(b, &w, line, strlen(line)) < 0)
			r = dc_err_set("%s: line %d: %s", path, number, dc_err());
	}
	dc_words_free(&w);
	free(text);
	return r;
}

const char *
dc_block_find(const struct dc_block *b, const struct dc_words *w)
{
	char *sequence = b->n ? dc_xmalloc(w->clean.n + w->n + 1) : NULL;
	const char *found = NULL;

	for (size_t i = 0; b->n && i < w->n && !found; i++)
		for (size_t k = i, n = 0; k < w->n && k < i + b->longest && !found; k++) {
			n = append(sequence, n, w, k);
			sequence[n] = 0;
			found = b->phrase[slot_of(b, sequence, n)];
		}
	free(sequence);
	return found;
}

void
dc_block_free(struct dc_block *b)
{
	for (size_t i = 0; i < b->slots; i++)
		free(b->phrase[i]);
	free(b->phrase);
	memset(b, 0, sizeof *b);
}
