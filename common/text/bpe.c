/* SPDX-License-Identifier: MIT */
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "text/bpe.h"
#include "text/clean.h"
#include "text/split.h"

enum { FILE_MAX = 64 << 20 };

/* --- bytes as visible characters --- */

static int
printable(int byte)
{
	return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/* byte -> code point, and byte -> id: the printable ones first. */
static void
byte_tables(uint16_t point[256], uint16_t id[256])
{
	int n = 0;

	for (int b = 0; b < 256; b++)
		if (printable(b)) {
			point[b] = (uint16_t)b;
			id[b] = (uint16_t)n++;
		}
	for (int b = 0, extra = 0; b < 256; b++)
		if (!printable(b)) {
			point[b] = (uint16_t)(256 + extra++);
			id[b] = (uint16_t)n++;
		}
}

int
dc_bpe_byte_put(char *out, unsigned char byte)
{
	uint16_t point[256], id[256];

	byte_tables(point, id);
	return dc_utf8_put(out, point[byte]);
}

void
dc_bpe_byte_ids(uint16_t id[256])
{
	uint16_t point[256];

	byte_tables(point, id);
}

/* --- the file --- */

/* Read a's one entry to its end. The bytes so far are in *out, to be freed, in any case. */
static int
read_entry(struct archive *a, char **out, size_t *n)
{
	struct archive_entry *e;
	size_t cap = 1 << 20;
	la_ssize_t got;
	int r = archive_read_next_header(a, &e);

	DC_CHECK(r != ARCHIVE_EOF, "empty");
	DC_CHECK(r == ARCHIVE_OK, "%s", archive_error_string(a));
	*out = dc_xmalloc(cap);
	while ((got = archive_read_data(a, *out + *n, cap - *n)) > 0) {
		*n += (size_t)got;
		DC_CHECK(*n < FILE_MAX, "more than %d MB", FILE_MAX >> 20);
		if (*n == cap)
			*out = dc_xrealloc(*out, cap *= 2, 1);
	}
	DC_CHECK(got == 0, "%s", archive_error_string(a));
	return 0;
}

/* All of a file's bytes, unpacked where it is packed; *out is to be freed in any case. */
static int
read_packed(const char *path, char **out, size_t *n)
{
	struct archive *a = archive_read_new();
	FILE *fp = fopen(path, "rb");   /* libarchive's own message for a missing file has the name in it, others not */
	int r;

	if (!fp) {
		archive_read_free(a);
		return dc_err_errno("%s", path);
	}
	/* what libarchive unpacks itself; for other kinds it would start a program */
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_format_raw(a);
	r = archive_read_open_FILE(a, fp) == ARCHIVE_OK ? read_entry(a, out, n) : dc_err_set("%s", archive_error_string(a));
	if (r < 0)
		dc_err_prefix("%s", path);
	archive_read_free(a);
	fclose(fp);
	return r;
}

/* --- a table of strings, for loading only: token -> id --- */

struct strings { uint32_t *slot; size_t n_slots; };

static size_t
string_slot(const struct strings *t, const struct dc_bpe *b, const char *p, size_t n, int ends)
{
	size_t i = XXH3_64bits_withSeed(p, n, (uint64_t)ends) & (t->n_slots - 1);

	for (; t->slot[i]; i = (i + 1) & (t->n_slots - 1)) {
		const struct dc_bpe_token *k = &b->token[t->slot[i] - 1];

		if (k->n == n && k->ends == ends && !memcmp(k->p, p, n))
			break;
	}
	return i;
}

/* The last id with these bytes (as Python's dict of the same list would have it), -1 if there is none. */
static int
string_find(const struct strings *t, const struct dc_bpe *b, const char *p, size_t n, int ends)
{
	return (int)t->slot[string_slot(t, b, p, n, ends)] - 1;
}

static void
string_add(struct strings *t, const struct dc_bpe *b, int id)
{
	const struct dc_bpe_token *k = &b->token[id];

	t->slot[string_slot(t, b, k->p, k->n, k->ends)] = (uint32_t)id + 1;
}

/* --- merges by their parts --- */

static size_t
pair_slot(const struct dc_bpe *b, uint32_t left, uint32_t right)
{
	uint64_t h = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
	size_t i = (size_t)(h >> 32) & (b->n_slots - 1);

	while (b->pair[i].id && (b->pair[i].left != left || b->pair[i].right != right))
		i = (i + 1) & (b->n_slots - 1);
	return i;
}

static const struct dc_bpe_pair *
pair_find(const struct dc_bpe *b, uint32_t left, uint32_t right)
{
	const struct dc_bpe_pair *p = &b->pair[pair_slot(b, left, right)];

	return p->id ? p : NULL;
}

/* --- parsing --- */

/* One part of a merge: n bytes of visible characters at s -> its bytes at out. Return their count, -1: not a part. */
static int
part_bytes(const char *s, size_t n, const int16_t byte_of[512], char *out, int *ends)
{
	int k = 0;

	*ends = n > 4 && !memcmp(s + n - 4, "</w>", 4);
	n -= *ends ? 4 : 0;
	for (size_t i = 0; i < n;) {
		int32_t cp;

		i += (size_t)dc_utf8_get(s + i, n - i, &cp);
		if (cp >= 512 || byte_of[cp] < 0)
			return -1;
		out[k++] = (char)byte_of[cp];
	}
	return k > 0 ? k : -1;
}

struct loading {
	struct dc_bpe *b;
	struct strings strings;
	uint32_t (*parts)[2];        /* of each merge: the ids of the first token with that string */
	int16_t byte_of[512];        /* visible character -> byte */
	size_t used;                 /* of b->bytes */
	const char *what;
};

static void
add_token(struct loading *l, int id, size_t n, int ends)
{
	struct dc_bpe *b = l->b;

	b->token[id] = (struct dc_bpe_token){ b->bytes + l->used, (uint32_t)n, ends };
	l->used += n;
	string_add(&l->strings, b, id);
}

static void
add_bytes(struct loading *l)
{
	uint16_t point[256];
	struct dc_bpe *b = l->b;

	byte_tables(point, b->byte_id);
	memset(l->byte_of, -1, sizeof l->byte_of);
	for (int c = 0; c < 256; c++) {
		l->byte_of[point[c]] = (int16_t)c;
		for (int ends = 0; ends < 2; ends++) {
			b->bytes[l->used] = (char)c;
			add_token(l, b->byte_id[c] + 256 * ends, 1, ends);
		}
	}
}

/* Line `number` (from 1), "a b" without its line end. */
static int
add_merge(struct loading *l, const char *line, size_t n, int number)
{
	struct dc_bpe *b = l->b;
	const char *space = memchr(line, ' ', n);
	size_t n_left = space ? (size_t)(space - line) : 0;
	char *left = b->bytes + l->used;
	int ends = 0, last = 0, k, m, id[2];

	DC_CHECK(space && !memchr(space + 1, ' ', n - n_left - 1), "%s: line %d: not a merge \"a b\"", l->what, number);
	k = part_bytes(line, n_left, l->byte_of, left, &ends);
	DC_CHECK(k > 0 && !ends, "%s: line %d: the first part is no part of a word", l->what, number);
	m = part_bytes(space + 1, n - n_left - 1, l->byte_of, left + k, &last);
	DC_CHECK(m > 0, "%s: line %d: the second part is no part of a word", l->what, number);
	id[0] = string_find(&l->strings, b, left, (size_t)k, 0);
	id[1] = string_find(&l->strings, b, left + k, (size_t)m, last);
	DC_CHECK(id[0] >= 0 && id[1] >= 0, "%s: line %d: \"%.*s\" is not made by an earlier merge", l->what, number,
	    (int)(id[0] < 0 ? n_left : n - n_left - 1), id[0] < 0 ? line : space + 1);
	l->parts[b->merges][0] = (uint32_t)id[0];
	l->parts[b->merges][1] = (uint32_t)id[1];
	add_token(l, DC_BPE_BYTES + b->merges++, (size_t)(k + m), last);
	return 0;
}

/* Two merges may make the same string; its id is then the last one's, everywhere. */
static uint32_t
last_id(const struct loading *l, uint32_t id)
{
	const struct dc_bpe_token *k = &l->b->token[id];

	return (uint32_t)string_find(&l->strings, l->b, k->p, k->n, k->ends);
}

static void
add_pairs(struct loading *l)
{
	struct dc_bpe *b = l->b;

	for (int r = 0; r < b->merges; r++) {
		uint32_t left = last_id(l, l->parts[r][0]), right = last_id(l, l->parts[r][1]);
		uint32_t id = last_id(l, (uint32_t)(DC_BPE_BYTES + r));

		b->pair[pair_slot(b, left, right)] = (struct dc_bpe_pair){ left, right, (uint32_t)r, id };
	}
}

static int
add_lines(struct loading *l, const char *text, size_t n)
{
	const char *end = text + n, *eol = memchr(text, '\n', n);
	int number = 1;

	eol = eol ? eol : end;
	DC_CHECK(memmem(text, (size_t)(eol - text), "#version", 8), "%s: not a vocabulary: no \"#version\" in its first line", l->what);
	while (eol < end && ++number && l->b->merges < DC_BPE_MERGES_MAX) {
		const char *line = eol + 1;

		eol = memchr(line, '\n', (size_t)(end - line));
		eol = eol ? eol : end;
		if (eol > line)
			DC_TRY(add_merge(l, line, (size_t)(eol - line), number));
		else
			DC_CHECK(eol == end, "%s: line %d: empty", l->what, number);
	}
	return 0;
}

/* The merges' bytes together: no more than the file has characters. */
int
dc_bpe_parse(struct dc_bpe *b, const char *text, size_t n, const char *what)
{
	struct loading l = { .b = b, .strings.n_slots = 1 << 17, .what = what };
	int r;

	*b = (struct dc_bpe){ .n_slots = 1 << 17 };
	b->bytes = dc_xmalloc(DC_BPE_BYTES + n);
	b->token = dc_xcalloc(DC_BPE_BYTES + DC_BPE_MERGES_MAX, sizeof *b->token);
	b->pair = dc_xcalloc(b->n_slots, sizeof *b->pair);
	l.strings.slot = dc_xcalloc(l.strings.n_slots, sizeof *l.strings.slot);
	l.parts = dc_xcalloc(DC_BPE_MERGES_MAX, sizeof *l.parts);
	add_bytes(&l);
	r = add_lines(&l, text, n);
	if (r == 0)
		add_pairs(&l);
	free(l.strings.slot);
	free(l.parts);
	b->start = DC_BPE_BYTES + b->merges;
	b->end = b->start + 1;
	b->mask = b->size = b->start + 2;
	if (r < 0)
		dc_bpe_close(b);
	return r;
}

int
dc_bpe_open(struct dc_bpe *b, const char *path)
{
	char *text = NULL;
	size_t n = 0;
	int r;

	*b = (struct dc_bpe){ 0 };
	r = read_packed(path, &text, &n);
	if (r == 0)
		r = dc_bpe_parse(b, text, n, path);
	free(text);
	return r;
}

void
dc_bpe_close(struct dc_bpe *b)
{
	free(b->token);
	free(b->bytes);
	free(b->pair);
	*b = (struct dc_bpe){ 0 };
}

/* --- encoding --- */

enum { CACHE_SLOTS = 1 << 15, CACHE_WORDS = 1 << 14, CACHE_WORD_MAX = 64, CACHE_IDS_MAX = 64 };

struct cached { uint64_t hash; uint32_t ids; uint8_t n_word, n_ids; char word[CACHE_WORD_MAX]; };

struct dc_bpe_coder {
	const struct dc_bpe *b;
	struct dc_clean clean;
	/* a word being merged: a list of symbols; next = n at the end, symbol -1 where one was merged away */
	int32_t *symbol;
	uint32_t *next, *prev, *changed;
	size_t cap;
	/* candidates: rank << 32 | position, a min-heap */
	uint64_t *heap; size_t n_heap, heap_cap;
	/* words seen before */
	struct cached *cache;
	int32_t *cache_ids;
	size_t n_cached, n_cache_ids;
};

struct dc_bpe_coder *
dc_bpe_coder_new(const struct dc_bpe *b)
{
	struct dc_bpe_coder *c = dc_xcalloc(1, sizeof *c);

	c->b = b;
	c->cache = dc_xcalloc(CACHE_SLOTS, sizeof *c->cache);
	c->cache_ids = dc_xmalloc((size_t)CACHE_WORDS * CACHE_IDS_MAX * sizeof *c->cache_ids);
	return c;
}

void
dc_bpe_coder_free(struct dc_bpe_coder *c)
{
	if (!c)
		return;
	dc_clean_free(&c->clean);
	free(c->symbol);
	free(c->next);
	free(c->prev);
	free(c->changed);
	free(c->heap);
	free(c->cache);
	free(c->cache_ids);
	free(c);
}

static void
heap_push(struct dc_bpe_coder *c, uint64_t v)
{
	size_t i = c->n_heap++;

	if (c->n_heap > c->heap_cap) {
		c->heap_cap = c->n_heap * 2 + 64;
		c->heap = dc_xrealloc(c->heap, c->heap_cap, sizeof *c->heap);
	}
	for (; i > 0 && c->heap[(i - 1) / 2] > v; i = (i - 1) / 2)
		c->heap[i] = c->heap[(i - 1) / 2];
	c->heap[i] = v;
}

static uint64_t
heap_pop(struct dc_bpe_coder *c)
{
	uint64_t top = c->heap[0], v = c->heap[--c->n_heap];
	size_t i = 0, k;

	while ((k = 2 * i + 1) < c->n_heap) {
		k += k + 1 < c->n_heap && c->heap[k + 1] < c->heap[k];
		if (c->heap[k] >= v)
			break;
		c->heap[i] = c->heap[k];
		i = k;
	}
	if (c->n_heap > 0)
		c->heap[i] = v;
	return top;
}

static const struct dc_bpe_pair *
pair_at(const struct dc_bpe_coder *c, size_t i, size_t n)
{
	if (c->symbol[i] < 0 || c->next[i] >= n)
		return NULL;
	return pair_find(c->b, (uint32_t)c->symbol[i], (uint32_t)c->symbol[c->next[i]]);
}

static void
push_pair(struct dc_bpe_coder *c, size_t i, size_t n)
{
	const struct dc_bpe_pair *p = pair_at(c, i, n);

	if (p)
		heap_push(c, (uint64_t)p->rank << 32 | i);
}

static void
word_start(struct dc_bpe_coder *c, const char *s, size_t n)
{
	if (n > c->cap) {
		c->cap = n * 2 + 64;
		c->symbol = dc_xrealloc(c->symbol, c->cap, sizeof *c->symbol);
		c->next = dc_xrealloc(c->next, c->cap, sizeof *c->next);
		c->prev = dc_xrealloc(c->prev, c->cap, sizeof *c->prev);
		c->changed = dc_xrealloc(c->changed, c->cap, 2 * sizeof *c->changed);
	}
	for (size_t i = 0; i < n; i++) {
		c->symbol[i] = c->b->byte_id[(unsigned char)s[i]] + (i + 1 == n ? 256 : 0);
		c->next[i] = (uint32_t)i + 1;
		c->prev[i] = (uint32_t)(i > 0 ? i - 1 : n);
	}
	c->n_heap = 0;
	for (size_t i = 0; i + 1 < n; i++)
		push_pair(c, i, n);
}

/* Merge symbol i with the next one; note the two pairs that are new. */
static void
merge_at(struct dc_bpe_coder *c, size_t i, size_t n, uint32_t id, size_t *n_changed)
{
	size_t j = c->next[i];

	c->symbol[i] = (int32_t)id;
	c->symbol[j] = -1;
	c->next[i] = c->next[j];
	if (c->next[i] < n)
		c->prev[c->next[i]] = (uint32_t)i;
	if (c->prev[i] < n)
		c->changed[(*n_changed)++] = c->prev[i];
	c->changed[(*n_changed)++] = (uint32_t)i;
}

/* The pair of the lowest rank is merged, everywhere in the word from left to right, before any new pair counts. */
static void
word_merge(struct dc_bpe_coder *c, size_t n)
{
	while (c->n_heap > 0) {
		uint32_t rank = (uint32_t)(c->heap[0] >> 32);
		size_t n_changed = 0;

		while (c->n_heap > 0 && (uint32_t)(c->heap[0] >> 32) == rank) {
			size_t i = (uint32_t)heap_pop(c);
			const struct dc_bpe_pair *p = pair_at(c, i, n);

			if (p && p->rank == rank)
				merge_at(c, i, n, p->id, &n_changed);
		}
		for (size_t k = 0; k < n_changed; k++)
			push_pair(c, c->changed[k], n);
	}
}

size_t
dc_bpe_encode_word(struct dc_bpe_coder *c, const char *s, size_t n, int32_t *ids, size_t max)
{
	size_t k = 0;

	if (n == 0)
		return 0;
	word_start(c, s, n);
	word_merge(c, n);
	for (size_t i = 0; i < n && k < max; i = c->next[i])
		ids[k++] = c->symbol[i];
	return k;
}

static void
cache_clear(struct dc_bpe_coder *c)
{
	memset(c->cache, 0, CACHE_SLOTS * sizeof *c->cache);
	c->n_cached = c->n_cache_ids = 0;
}

/* The word's entry, made if it is not there. n <= CACHE_WORD_MAX. */
static const struct cached *
cache_word(struct dc_bpe_coder *c, const char *s, size_t n)
{
	uint64_t h = XXH3_64bits(s, n);
	size_t i = h & (CACHE_SLOTS - 1);
	struct cached *e = &c->cache[i];

	for (; e->n_word; e = &c->cache[i = (i + 1) & (CACHE_SLOTS - 1)])
		if (e->hash == h && e->n_word == n && !memcmp(e->word, s, n))
			return e;
	if (c->n_cached == CACHE_WORDS) {
		cache_clear(c);
		e = &c->cache[h & (CACHE_SLOTS - 1)];
	}
	e->hash = h;
	e->n_word = (uint8_t)n;
	memcpy(e->word, s, n);
	e->ids = (uint32_t)c->n_cache_ids;
	e->n_ids = (uint8_t)dc_bpe_encode_word(c, s, n, c->cache_ids + e->ids, CACHE_IDS_MAX);
	c->n_cache_ids += e->n_ids;
	c->n_cached++;
	return e;
}

static size_t
encode_cached(struct dc_bpe_coder *c, const char *s, size_t n, int32_t *ids, size_t max)
{
	const struct cached *e;
	size_t k;

	if (n > CACHE_WORD_MAX)
		return dc_bpe_encode_word(c, s, n, ids, max);
	e = cache_word(c, s, n);
	k = e->n_ids < max ? e->n_ids : max;
	memcpy(ids, c->cache_ids + e->ids, k * sizeof *ids);
	return k;
}

size_t
dc_bpe_encode(struct dc_bpe_coder *c, const char *s, size_t n, int32_t *ids, size_t max)
{
	size_t at = 0, len, k = 0;
	const char *word;

	dc_clean_text(&c->clean, s, n);
	while (k < max && (word = dc_split_next(c->clean.text, c->clean.n, &at, &len)))
		k += encode_cached(c, word, len, ids + k, max - k);
	return k;
}

int
dc_bpe_row(struct dc_bpe_coder *c, const char *s, size_t n, int32_t *row, int T)
{
	int k = 1 + (int)dc_bpe_encode(c, s, n, row + 1, (size_t)T - 1), cut = k == T;

	k -= cut;
	row[0] = c->b->start;
	row[k] = c->b->end;
	memset(row + k + 1, 0, (size_t)(T - k - 1) * sizeof *row);
	return k + 1 + cut;
}

/* --- decoding --- */

struct bytes { char *p; size_t n, cap; };

static void
bytes_add(struct bytes *o, const char *p, size_t n)
{
	if (o->n + n + 1 > o->cap) {
		o->cap = (o->n + n) * 2 + 64;
		o->p = dc_xrealloc(o->p, o->cap, 1);
	}
	memcpy(o->p + o->n, p, n);
	o->n += n;
	o->p[o->n] = 0;
}

/* What is not UTF-8 becomes U+FFFD. */
static void
bytes_repair(struct bytes *o)
{
	struct bytes out = { 0 };
	char s[4];
	int32_t cp;

	bytes_add(&out, "", 0);
	for (size_t i = 0; i < o->n;) {
		i += (size_t)dc_utf8_get(o->p + i, o->n - i, &cp);
		bytes_add(&out, s, (size_t)dc_utf8_put(s, cp));
	}
	free(o->p);
	*o = out;
}

char *
dc_bpe_decode(const struct dc_bpe *b, const int32_t *ids, size_t n, size_t *bytes)
{
	struct bytes out = { 0 };

	bytes_add(&out, "", 0);
	for (size_t i = 0; i < n && ids[i] != b->end; i++) {
		if (ids[i] == b->start)
			continue;
		if (ids[i] < 0 || ids[i] > b->mask) {
			bytes_add(&out, "<|?|> ", 6);
		} else if (ids[i] == b->mask) {
			bytes_add(&out, "<|mask|> ", 9);
		} else {
			const struct dc_bpe_token *t = &b->token[ids[i]];

			bytes_add(&out, t->p, t->n);
			if (t->ends)
				bytes_add(&out, " ", 1);
		}
	}
	bytes_repair(&out);
	if (bytes)
		*bytes = out.n;
	return out.p;
}
