/* SPDX-License-Identifier: MIT */
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "text/bpe.h"
#include "text/clean.h"
#include "text/split.h"
#include "text/train.h"

enum { MIN_COUNT = 2 };

/* A different word: its bytes, then, while training, its symbols in place (n of them at symbol + at). */
struct word { size_t at; uint32_t n; uint64_t count; };

/* Two adjacent symbols: how often, and the words that hold them (and perhaps some that no longer do). */
struct pair { uint32_t left, right; uint64_t count; uint32_t *word, n_words, cap; };

struct candidate { uint64_t count; uint32_t left, right, pair; };

struct token { char *p; size_t n; int ends; };   /* a symbol's bytes */

struct dc_train {
	struct dc_clean clean;
	/* words: bytes in one block, found by hash */
	char *bytes; size_t n_bytes, bytes_cap;
	struct word *word; size_t n_words, words_cap;
	uint32_t *word_slot; size_t n_word_slots;      /* index + 1 */
	uint64_t seen;
	/* training */
	uint32_t *symbol;                              /* [n_bytes] */
	struct pair *pair; size_t n_pairs, pairs_cap;
	uint32_t *pair_slot; size_t n_pair_slots;      /* index + 1 */
	struct candidate *heap; size_t n_heap, heap_cap;
	/* the result */
	struct token *token; int n_merges;             /* [512 + n] */
	uint32_t (*merge)[2];
};

/* Room for one more in an array of `cap`. */
static void *
grow(void *p, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return p;
	*cap = *cap * 2 + 64;
	return dc_xrealloc(p, *cap, size);
}

struct dc_train *
dc_train_new(void)
{
	struct dc_train *t = dc_xcalloc(1, sizeof *t);

	t->n_word_slots = 1 << 12;
	t->word_slot = dc_xcalloc(t->n_word_slots, sizeof *t->word_slot);
	return t;
}

void
dc_train_free(struct dc_train *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_pairs; i++)
		free(t->pair[i].word);
	for (int i = 0; t->token && i < DC_BPE_BYTES + t->n_merges; i++)
		free(t->token[i].p);
	dc_clean_free(&t->clean);
	free(t->bytes);
	free(t->word);
	free(t->word_slot);
	free(t->symbol);
	free(t->pair);
	free(t->pair_slot);
	free(t->heap);
	free(t->token);
	free(t->merge);
	free(t);
}

/* --- counting words --- */

static size_t
word_slot(const struct dc_train *t, const char *s, size_t n)
{
	size_t i = XXH3_64bits(s, n) & (t->n_word_slots - 1);

	for (; t->word_slot[i]; i = (i + 1) & (t->n_word_slots - 1)) {
		const struct word *w = &t->word[t->word_slot[i] - 1];

		if (w->n == n && !memcmp(t->bytes + w->at, s, n))
			break;
	}
	return i;
}

static void
words_rehash(struct dc_train *t)
{
	free(t->word_slot);
	t->n_word_slots *= 2;
	t->word_slot = dc_xcalloc(t->n_word_slots, sizeof *t->word_slot);
	for (size_t i = 0; i < t->n_words; i++)
		t->word_slot[word_slot(t, t->bytes + t->word[i].at, t->word[i].n)] = (uint32_t)i + 1;
}

static void
add_word(struct dc_train *t, const char *s, size_t n)
{
	size_t i = word_slot(t, s, n);

	t->seen++;
	if (t->word_slot[i]) {
		t->word[t->word_slot[i] - 1].count++;
		return;
	}
	if (t->n_bytes + n > t->bytes_cap) {
		t->bytes_cap = (t->n_bytes + n) * 2 + 4096;
		t->bytes = dc_xrealloc(t->bytes, t->bytes_cap, 1);
	}
	memcpy(t->bytes + t->n_bytes, s, n);
	t->word = grow(t->word, t->n_words, &t->words_cap, sizeof *t->word);
	t->word[t->n_words++] = (struct word){ t->n_bytes, (uint32_t)n, 1 };
	t->n_bytes += n;
	t->word_slot[i] = (uint32_t)t->n_words;
	if (t->n_words * 2 > t->n_word_slots)
		words_rehash(t);
}

void
dc_train_text(struct dc_train *t, const char *s, size_t n)
{
	size_t at = 0, len;
	const char *word;

	dc_clean_text(&t->clean, s, n);
	while ((word = dc_split_next(t->clean.text, t->clean.n, &at, &len)))
		add_word(t, word, len);
}

uint64_t
dc_train_words(const struct dc_train *t, size_t *different)
{
	if (different)
		*different = t->n_words;
	return t->seen;
}

/* --- pairs --- */

static size_t
pair_slot(const struct dc_train *t, uint32_t left, uint32_t right)
{
	uint64_t h = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
	size_t i = (size_t)(h >> 32) & (t->n_pair_slots - 1);

	for (; t->pair_slot[i]; i = (i + 1) & (t->n_pair_slots - 1)) {
		const struct pair *p = &t->pair[t->pair_slot[i] - 1];

		if (p->left == left && p->right == right)
			break;
	}
	return i;
}

static void
pairs_rehash(struct dc_train *t)
{
	free(t->pair_slot);
	t->n_pair_slots = t->n_pair_slots ? t->n_pair_slots * 2 : 1 << 12;
	t->pair_slot = dc_xcalloc(t->n_pair_slots, sizeof *t->pair_slot);
	for (size_t i = 0; i < t->n_pairs; i++)
		t->pair_slot[pair_slot(t, t->pair[i].left, t->pair[i].right)] = (uint32_t)i + 1;
}

static struct pair *
pair_get(struct dc_train *t, uint32_t left, uint32_t right)
{
	size_t i;

	if (t->n_pairs * 2 >= t->n_pair_slots)
		pairs_rehash(t);
	i = pair_slot(t, left, right);
	if (!t->pair_slot[i]) {
		t->pair = grow(t->pair, t->n_pairs, &t->pairs_cap, sizeof *t->pair);
		t->pair[t->n_pairs++] = (struct pair){ .left = left, .right = right };
		t->pair_slot[i] = (uint32_t)t->n_pairs;
	}
	return &t->pair[t->pair_slot[i] - 1];
}

static void
pair_note(struct pair *p, uint32_t word)
{
	size_t cap = p->cap;

	if (p->n_words > 0 && p->word[p->n_words - 1] == word)
		return;
	p->word = grow(p->word, p->n_words, &cap, sizeof *p->word);
	p->cap = (uint32_t)cap;
	p->word[p->n_words++] = word;
}

/* Count a word's pairs in; note the word at those that hold symbol `made` (all where it is -1: the first time). */
static void
count_in(struct dc_train *t, uint32_t w, int64_t made)
{
	const struct word *word = &t->word[w];
	const uint32_t *s = t->symbol + word->at;

	for (uint32_t i = 0; i + 1 < word->n; i++) {
		struct pair *p = pair_get(t, s[i], s[i + 1]);

		p->count += word->count;
		if (made < 0 || s[i] == made || s[i + 1] == made)
			pair_note(p, w);
	}
}

static void
count_out(struct dc_train *t, uint32_t w)
{
	const struct word *word = &t->word[w];
	const uint32_t *s = t->symbol + word->at;

	for (uint32_t i = 0; i + 1 < word->n; i++)
		pair_get(t, s[i], s[i + 1])->count -= word->count;
}

/* --- the most frequent pair --- */

static int
better(const struct candidate *a, const struct candidate *b)
{
	if (a->count != b->count)
		return a->count > b->count;
	return a->left != b->left ? a->left < b->left : a->right < b->right;
}

static void
heap_push(struct dc_train *t, size_t pair)
{
	const struct pair *p = &t->pair[pair];
	struct candidate v = { p->count, p->left, p->right, (uint32_t)pair };
	size_t i = t->n_heap;

	if (p->count < MIN_COUNT)
		return;
	t->heap = grow(t->heap, t->n_heap++, &t->heap_cap, sizeof *t->heap);
	for (; i > 0 && better(&v, &t->heap[(i - 1) / 2]); i = (i - 1) / 2)
		t->heap[i] = t->heap[(i - 1) / 2];
	t->heap[i] = v;
}

static struct candidate
heap_pop(struct dc_train *t)
{
	struct candidate top = t->heap[0], v = t->heap[--t->n_heap];
	size_t i = 0, k;

	while ((k = 2 * i + 1) < t->n_heap) {
		k += k + 1 < t->n_heap && better(&t->heap[k + 1], &t->heap[k]);
		if (!better(&t->heap[k], &v))
			break;
		t->heap[i] = t->heap[k];
		i = k;
	}
	if (t->n_heap > 0)
		t->heap[i] = v;
	return top;
}

/* The file could not tell a token that ends in these four characters from the end of a word. */
static int
unwritable(const struct dc_train *t, const struct pair *p)
{
	const struct token *a = &t->token[p->left], *b = &t->token[p->right];
	char last[4];

	if (b->ends || a->n + b->n < 4)
		return 0;
	for (size_t i = 0; i < 4; i++) {
		size_t at = a->n + b->n - 4 + i;

		last[i] = at < a->n ? a->p[at] : b->p[at - a->n];
	}
	return !memcmp(last, "</w>", 4);
}

/* Counts only fall, but for pairs with the symbol just made: a candidate whose count is out of date goes back lower. */
static int
best_pair(struct dc_train *t, size_t *pair)
{
	while (t->n_heap > 0) {
		struct candidate c = heap_pop(t);

		*pair = c.pair;
		if (c.count != t->pair[c.pair].count)
			heap_push(t, c.pair);
		else if (!unwritable(t, &t->pair[c.pair]))
			return 1;
	}
	return 0;
}

/* --- training --- */

static void
make_symbols(struct dc_train *t, const uint16_t byte_id[256])
{
	t->symbol = dc_xmalloc((t->n_bytes + 1) * sizeof *t->symbol);
	for (size_t w = 0; w < t->n_words; w++) {
		const struct word *word = &t->word[w];

		for (size_t i = 0; i < word->n; i++)
			t->symbol[word->at + i] = byte_id[(unsigned char)t->bytes[word->at + i]] + (i + 1 == word->n ? 256u : 0);
	}
}

/* Replace the pair by the symbol `made` in word w, from left to right. */
static void
merge_word(struct dc_train *t, uint32_t w, uint32_t left, uint32_t right, uint32_t made)
{
	struct word *word = &t->word[w];
	uint32_t *s = t->symbol + word->at, n = 0, i = 0;

	for (i = 0; i + 1 < word->n && (s[i] != left || s[i + 1] != right); i++)
		;
	if (i + 1 >= word->n)
		return;
	count_out(t, w);
	for (i = 0; i < word->n; n++) {
		int here = i + 1 < word->n && s[i] == left && s[i + 1] == right;

		s[n] = here ? made : s[i];
		i += here ? 2 : 1;
	}
	word->n = n;
	count_in(t, w, made);
}

static void
make_token(struct dc_train *t, uint32_t left, uint32_t right, uint32_t made)
{
	const struct token *a = &t->token[left], *b = &t->token[right];
	char *p = dc_xmalloc(a->n + b->n);

	memcpy(p, a->p, a->n);
	memcpy(p + a->n, b->p, b->n);
	t->token[made] = (struct token){ p, a->n + b->n, b->ends };
}

static void
merge_pair(struct dc_train *t, size_t pair)
{
	struct pair p = t->pair[pair];
	uint32_t made = (uint32_t)(DC_BPE_BYTES + t->n_merges);
	size_t first = t->n_pairs;

	t->merge[t->n_merges][0] = p.left;
	t->merge[t->n_merges][1] = p.right;
	make_token(t, p.left, p.right, made);
	t->n_merges++;
	for (uint32_t i = 0; i < p.n_words; i++)
		merge_word(t, p.word[i], p.left, p.right, made);
	free(p.word);
	t->pair[pair].word = NULL;
	t->pair[pair].n_words = t->pair[pair].cap = 0;
	for (size_t i = first; i < t->n_pairs; i++)
		heap_push(t, i);
}

static void
make_bytes(struct dc_train *t, const uint16_t byte_id[256])
{
	for (int c = 0; c < 256; c++)
		for (int ends = 0; ends < 2; ends++) {
			char byte = (char)c;

			t->token[byte_id[c] + 256 * ends] = (struct token){ dc_xstrndup(&byte, 1), 1, ends };
		}
}

int
dc_train_run(struct dc_train *t, int n)
{
	uint16_t byte_id[256];
	size_t pair;

	dc_bpe_byte_ids(byte_id);
	t->token = dc_xcalloc(DC_BPE_BYTES + (size_t)n, sizeof *t->token);
	t->merge = dc_xcalloc((size_t)n + 1, sizeof *t->merge);
	make_bytes(t, byte_id);
	make_symbols(t, byte_id);
	for (size_t w = 0; w < t->n_words; w++)
		count_in(t, (uint32_t)w, -1);
	for (size_t i = 0; i < t->n_pairs; i++)
		heap_push(t, i);
	while (t->n_merges < n && best_pair(t, &pair))
		merge_pair(t, pair);
	return t->n_merges;
}

/* --- the file --- */

static size_t
put_token(char *out, const struct token *k)
{
	size_t n = 0;

	for (size_t i = 0; i < k->n; i++)
		n += (size_t)dc_bpe_byte_put(out + n, (unsigned char)k->p[i]);
	if (k->ends)
		memcpy(out + n, "</w>", 4);
	return n + (k->ends ? 4 : 0);
}

/* No line feed ends the file: open_clip's tokenizer takes what follows it for a merge, and its ids shift by one. */
char *
dc_train_file(const struct dc_train *t, size_t *bytes)
{
	static const char version[] = "#version: 0.2";
	size_t n = sizeof version - 1, cap = n + 1;
	char *p;

	for (int i = 0; i < t->n_merges; i++)
		cap += 2 * t->token[DC_BPE_BYTES + i].n + 10;
	p = dc_xmalloc(cap);
	memcpy(p, version, n);
	for (int i = 0; i < t->n_merges; i++) {
		p[n++] = '\n';
		n += put_token(p + n, &t->token[t->merge[i][0]]);
		p[n++] = ' ';
		n += put_token(p + n, &t->token[t->merge[i][1]]);
	}
	p[n] = 0;
	*bytes = n;
	return p;
}

static int
write_gzip(struct archive *a, const char *path, const char *text, size_t n)
{
	struct archive_entry *e = archive_entry_new();
	int r;

	archive_write_set_format_raw(a);
	archive_write_add_filter_gzip(a);
	archive_write_set_options(a, "gzip:!timestamp,gzip:compression-level=9");
	archive_entry_set_pathname(e, "bpe.txt");
	archive_entry_set_filetype(e, S_IFREG);
	archive_entry_set_size(e, (la_int64_t)n);
	r = archive_write_open_filename(a, path);
	if (r == ARCHIVE_OK)
		r = archive_write_header(a, e);
	if (r == ARCHIVE_OK && archive_write_data(a, text, n) != (la_ssize_t)n)
		r = ARCHIVE_FATAL;
	archive_entry_free(e);
	if (r == ARCHIVE_OK)
		r = archive_write_close(a);
	return r == ARCHIVE_OK ? 0 : dc_err_set("%s: %s", path, archive_error_string(a));
}

int
dc_train_write(const struct dc_train *t, const char *path)
{
	struct archive *a = archive_write_new();
	size_t n;
	char *text = dc_train_file(t, &n);
	int r = write_gzip(a, path, text, n);

	archive_write_free(a);
	free(text);
	return r;
}
