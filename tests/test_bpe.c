/* SPDX-License-Identifier: MIT */
/* Cleaning, splitting, encoding, decoding and training against golden data of an independent tokenizer
 * (tests/reference/captions_golden.py), and against a naive encoder here. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "tests/golden/captions.h"
#include "tests/tap.h"
#include "text/bpe.h"
#include "text/clean.h"
#include "text/train.h"

enum { N_CAPTIONS = sizeof captions / sizeof *captions };

static void
test_clean(void)
{
	struct dc_clean c = { 0 };

	for (size_t i = 0; i < N_CAPTIONS; i++) {
		dc_clean_text(&c, captions[i].s, captions[i].n);
		if (!ok(c.n == strlen(captions[i].clean) && !strcmp(c.text, captions[i].clean), "caption %zu is cleaned", i))
			printf("#   got  \"%s\"\n#   want \"%s\"\n", c.text, captions[i].clean);
	}
	dc_clean_text(&c, "a\xff\xc3(b\xe2\x82", 7);
	ok(!strcmp(c.text, "a\357\277\275\357\277\275(b\357\277\275"), "bytes that are not UTF-8 become U+FFFD");
	dc_clean_text(&c, "", 0);
	ok(c.n == 0 && !*c.text, "an empty caption stays empty");
	dc_clean_free(&c);
}

static int
same_ids(const int32_t *got, size_t n, const int32_t *want, int n_want)
{
	return n == (size_t)n_want && !memcmp(got, want, n * sizeof *got);
}

static void
check_ids(struct dc_bpe_coder *k, size_t i, const int32_t *want, int n_want, const char *what)
{
	int32_t ids[512];
	size_t n = dc_bpe_encode(k, captions[i].s, captions[i].n, ids, 512);

	if (!ok(same_ids(ids, n, want, n_want), "caption %zu: its ids in the %s vocabulary", i, what))
		for (size_t t = 0; t < n; t++)
			printf("#   %zu: %d, wanted %d\n", t, ids[t], t < (size_t)n_want ? want[t] : -1);
}

/* decode(encode(x)) is the cleaned text but for the spaces. U+0345 would be lost (text/split.c); no caption has it. */
static void
check_decode(const struct dc_bpe *b, struct dc_bpe_coder *k, size_t i)
{
	int32_t ids[512];
	size_t n = dc_bpe_encode(k, captions[i].s, captions[i].n, ids, 512);
	char *text = dc_bpe_decode(b, ids, n, NULL), *p = text;
	const char *q = captions[i].clean;

	for (; *p || *q; p++, q++) {
		while (*p == ' ')
			p++;
		while (*q == ' ')
			q++;
		if (*p != *q || !*p)
			break;
	}
	ok(!*p && !*q, "caption %zu comes back from its ids", i);
	free(text);
}

/* --- training: the small vocabulary of these captions --- */

static void
test_train(struct dc_bpe *b)
{
	struct dc_train *t = dc_train_new();
	size_t n;
	char *text;

	for (size_t i = N_CAPTIONS; i-- > 0;)   /* the order is of no account */
		dc_train_text(t, captions[i].s, captions[i].n);
	ok(dc_train_run(t, SMALL_MERGES) == SMALL_MERGES, "%d merges are trained", SMALL_MERGES);
	text = dc_train_file(t, &n);
	/* no line feed after the last */
	ok(n + 1 == strlen(small_vocab) && !strncmp(text, small_vocab, n) && !text[n], "they are the naive trainer's");
	ok(dc_train_write(t, "/dev/full") < 0, "a full disk is an error");
	ok(dc_bpe_parse(b, text, n, "small") == 0 && b->size == 514 + SMALL_MERGES, "and a vocabulary of %d ids", b->size);
	free(text);
	dc_train_free(t);
}

static void
test_train_ends(void)
{
	struct dc_train *t = dc_train_new();
	struct dc_bpe b;
	size_t n;
	char *text;

	for (int i = 0; i < 3; i++)
		dc_train_text(t, "x</w>y</w>z aaaaaaa aaaaaaa once", 32);
	ok(dc_train_run(t, 1000) < 40, "training ends when no pair occurs twice");
	text = dc_train_file(t, &n);
	ok(dc_bpe_parse(&b, text, n, "small") == 0, "what it learns of a literal </w> can be read again: %s", dc_err());
	dc_bpe_close(&b);
	free(text);
	dc_train_free(t);
}

/* --- encoding against the rule itself --- */

/* Join the best pair wherever it stands, from left to right, until none is known. */
static size_t
naive_encode(const struct dc_bpe *b, const char *s, size_t n, int32_t *ids)
{
	for (size_t i = 0; i < n; i++)
		ids[i] = b->byte_id[(unsigned char)s[i]] + (i + 1 == n ? 256 : 0);
	for (;;) {
		const struct dc_bpe_pair *best = NULL;
		size_t k = 0;

		for (size_t i = 0; i + 1 < n; i++)
			for (size_t p = 0; p < b->n_slots; p++)
				if (b->pair[p].id && b->pair[p].left == (uint32_t)ids[i] && b->pair[p].right == (uint32_t)ids[i + 1] &&
				    (!best || b->pair[p].rank < best->rank))
					best = &b->pair[p];
		if (!best)
			return n;
		for (size_t i = 0; i < n; k++) {
			int here = i + 1 < n && (uint32_t)ids[i] == best->left && (uint32_t)ids[i + 1] == best->right;

			ids[k] = here ? (int32_t)best->id : ids[i];
			i += here ? 2 : 1;
		}
		n = k;
	}
}

/* Random words in a vocabulary where the order of the merges matters. */
static void
check_naive(const char *vocab, int merges, const char *what)
{
	struct dc_bpe b;
	struct dc_bpe_coder *k;
	struct dc_rng r;
	int same = dc_bpe_parse(&b, vocab, strlen(vocab), what) == 0 && b.merges == merges;

	ok(same, "%d merges are read%s%s", merges, same ? "" : ": ", same ? "" : dc_err());
	k = dc_bpe_coder_new(&b);
	dc_rng_init(&r, 1, 0, 0, 0, DC_RNG_MLM);
	for (int i = 0; i < 60 && same; i++) {
		char s[24];
		int32_t want[24], got[24];
		size_t n = 1 + dc_rng_below(&r, 23), n_want, n_got;

		for (size_t j = 0; j < n; j++)
			s[j] = "aaabbc"[dc_rng_below(&r, 6)];
		n_want = naive_encode(&b, s, n, want);
		n_got = dc_bpe_encode_word(k, s, n, got, 24);
		same = same_ids(got, n_got, want, (int)n_want);
		if (!same)
			printf("#   %.*s\n", (int)n, s);
	}
	ok(same, "60 random words are encoded as the naive encoder does: %s", what);
	dc_bpe_coder_free(k);
	dc_bpe_close(&b);
}

/* In the second vocabulary two merges make "aba", and what the first made it for comes before the second. */
static void
test_naive(void)
{
	check_naive("#version\na a\nb a\na b\nab ab\naa a\nb b\naa b\nc a\nb c\nab c</w>\nba ba\naa aa\n", 12, "overlaps");
	check_naive("#version\nb a\na b\nab a\naba a\na ba\n", 5, "two merges that make one token");
}

static void
test_bytes(const struct dc_bpe *b, struct dc_bpe_coder *k)
{
	char all[256], back[256];
	int32_t ids[256];
	size_t n, at = 0;
	int single = 1;

	for (int c = 0; c < 256; c++) {
		int32_t id;

		all[c] = (char)c;
		n = dc_bpe_encode_word(k, all + c, 1, &id, 1);
		single = single && n == 1 && id >= 256 && id < 512 && b->token[id].n == 1 && b->token[id].p[0] == (char)c;
	}
	ok(single, "each of the 256 bytes has its id");
	ok(b->byte_id['!'] == 0 && b->byte_id['~'] == 93 && b->byte_id[0xA1] == 94 && b->byte_id[0] == 188 &&
	    b->byte_id[' '] == 220 && b->byte_id[0xAD] == 255, "in OpenAI's order");
	n = dc_bpe_encode_word(k, all, 256, ids, 256);
	for (size_t i = 0; i < n && at + b->token[ids[i]].n <= 256; i++) {
		memcpy(back + at, b->token[ids[i]].p, b->token[ids[i]].n);
		at += b->token[ids[i]].n;
	}
	ok(at == 256 && !memcmp(all, back, 256), "a word of all 256 bytes comes back");
}

/* --- rows and specials --- */

static void
test_rows(const struct dc_bpe *b, struct dc_bpe_coder *k)
{
	int32_t row[8], five[8];
	int n;

	n = dc_bpe_row(k, "! ! !", 5, row, 8);
	ok(n == 5 && row[0] == b->size - 2 && row[1] == 256 && row[3] == 256 && row[4] == b->size - 1 && row[5] == 0 && row[7] == 0,
	    "a row is start, ids, end, padding");
	n = dc_bpe_row(k, "! ! !", 5, five, 5);
	ok(n == 5 && five[4] == b->size - 1 && five[3] == 256, "a caption that just fits is whole");
	n = dc_bpe_row(k, "! ! ! a", 7, five, 5);
	ok(n == 6 && five[4] == b->size - 1 && five[3] == 256, "one that does not is cut, ends with the end token, and says so");
	n = dc_bpe_row(k, "", 0, row, 8);
	ok(n == 2 && row[0] == b->start && row[1] == b->end && row[2] == 0, "an empty caption is start and end");
	dc_bpe_row(k, "<|endoftext|>", 13, row, 8);
	ok(row[1] != b->end && row[1] < 512 + b->merges, "a literal <|endoftext|> is text");
}

static void
test_decode(const struct dc_bpe *b)
{
	const int32_t ids[] = { b->start, 65 - 33 + 256, b->mask, -1, b->mask + 1, 0, 256, b->end, 256 };
	const int32_t half[] = { b->byte_id[0xE2], b->byte_id[0x82], b->byte_id['a'] + 256 };
	char *s = dc_bpe_decode(b, ids, 9, NULL);

	ok(!strcmp(s, "A <|mask|> <|?|> <|?|> !! "), "specials and ids out of range are written out: %s", s);
	free(s);
	s = dc_bpe_decode(b, half, 3, NULL);
	ok(!strcmp(s, "\357\277\275a "), "half a character becomes U+FFFD");
	free(s);
}

/* More different words than the cache holds, each of them twice. */
static void
test_cache(struct dc_bpe_coder *k)
{
	int same = 1;

	for (int i = 0; i < 40000; i++) {
		char s[16];
		int32_t got[16], want[16];
		int word = i % 20000, n = 0;

		for (int w = word + 676; w; w /= 26)
			s[n++] = (char)('a' + w % 26);
		same = same && same_ids(got, dc_bpe_encode(k, s, (size_t)n, got, 16), want,
		    (int)dc_bpe_encode_word(k, s, (size_t)n, want, 16));
	}
	ok(same, "words from the cache, and after it was emptied, are the same");
}

static void
test_long(struct dc_bpe_coder *k)
{
	enum { N = 1 << 20 };
	char *s = dc_xmalloc(N);
	int32_t row[77], last;

	memset(s, 'a', N);
	last = dc_bpe_row(k, s, N, row, 77);
	ok(last == 78 && row[76] == 514 + SMALL_MERGES - 1, "a word of a million letters is cut in good time");
	for (int i = 0; i < N; i++)
		s[i] = "&amp;"[i % 5];
	ok(dc_bpe_row(k, s, N, row, 77) == 78, "a million entities too");
	free(s);
}

/* --- files --- */

static void
test_bad_file(const char *text, const char *message)
{
	struct dc_bpe b;
	int r = dc_bpe_parse(&b, text, strlen(text), "F");

	ok(r == -1 && !strcmp(dc_err(), message), "refused: %s", dc_err());
}

static void
test_files(void)
{
	struct dc_bpe b;

	test_bad_file("a b\nc d\n", "F: not a vocabulary: no \"#version\" in its first line");
	test_bad_file("#version\na b\nab\n", "F: line 3: not a merge \"a b\"");
	test_bad_file("#version\na b c\n", "F: line 2: not a merge \"a b\"");
	test_bad_file("#version\na b\n\na c\n", "F: line 3: empty");
	test_bad_file("#version\nab c\n", "F: line 2: \"ab\" is not made by an earlier merge");
	test_bad_file("#version\na</w> c\n", "F: line 2: the first part is no part of a word");
	test_bad_file("#version\na \342\202\254\n", "F: line 2: the second part is no part of a word");
	ok(dc_bpe_parse(&b, "#version", 8, "F") == 0 && b.size == 514, "no merges at all are a vocabulary of bytes");
	dc_bpe_close(&b);
	ok(dc_bpe_open(&b, "/nonexistent") < 0 && strstr(dc_err(), "/nonexistent: No such file"), "no such file: %s", dc_err());
	ok(dc_bpe_open(&b, "/dev/null") < 0, "an empty file: %s", dc_err());
}

static void
test_openai(void)
{
	const char *data = getenv("DC_DATA");
	char *path = dc_xasprintf("%s/clip/bpe_simple_vocab_16e6.txt.gz", data ? data : "../shared/data");
	struct dc_bpe b;
	struct dc_bpe_coder *k;

	if (access(path, R_OK) != 0) {
		ok(1, "ids in OpenAI's vocabulary # SKIP no %s", path);
		free(path);
		return;
	}
	ok(dc_bpe_open(&b, path) == 0 && b.size == 49408 && b.start == 49406, "OpenAI's vocabulary has 49408 ids %s", dc_err());
	k = dc_bpe_coder_new(&b);
	for (size_t i = 0; i < N_CAPTIONS; i++) {
		check_ids(k, i, captions[i].big, captions[i].n_big, "OpenAI");
		check_decode(&b, k, i);
	}
	dc_bpe_coder_free(k);
	dc_bpe_close(&b);
	free(path);
}

int
main(void)
{
	struct dc_bpe small;
	struct dc_bpe_coder *k;

	test_clean();
	test_train(&small);
	test_train_ends();
	k = dc_bpe_coder_new(&small);
	for (size_t i = 0; i < N_CAPTIONS; i++) {
		check_ids(k, i, captions[i].small, captions[i].n_small, "small");
		check_decode(&small, k, i);
	}
	test_naive();
	test_bytes(&small, k);
	test_rows(&small, k);
	test_decode(&small);
	test_cache(k);
	test_long(k);
	test_files();
	test_openai();
	dc_bpe_coder_free(k);
	dc_bpe_close(&small);
	return done_testing();
}
