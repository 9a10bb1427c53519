/* SPDX-License-Identifier: MIT */
/* The repair of broken text against golden data of ftfy (tests/reference/repair_golden.py), and against bytes that
 * mean nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "tests/golden/repair.h"
#include "tests/tap.h"
#include "text/bpe.h"
#include "text/clean.h"
#include "text/split.h"

enum { N_REPAIRS = sizeof repairs / sizeof *repairs, N_RANDOM = 20000, LONGEST = 48 };

static void
test_golden(struct dc_clean *c)
{
	int changed = 0;

	for (size_t i = 0; i < N_REPAIRS; i++) {
		dc_clean_repair(c, repairs[i].s, repairs[i].n);
		if (!ok(c->n == strlen(repairs[i].want) && !strcmp(c->text, repairs[i].want), "text %zu is repaired", i))
			printf("#   of   \"%s\"\n#   got  \"%s\"\n#   want \"%s\"\n", repairs[i].s, c->text, repairs[i].want);
		changed += strlen(repairs[i].want) != repairs[i].n;
	}
	ok(changed > N_REPAIRS / 2, "most of them are broken");
}

/* --- UTF-8 --- */

static void
is_read_as(const char *s, size_t n, const char *want)
{
	struct dc_points p = { 0 };
	char got[64], one[4];
	size_t k = 0;

	dc_points_from_utf8(&p, s, n);
	for (size_t i = 0; i < p.n && k + 4 < sizeof got; i++) {
		int bytes = p.p[i] == DC_REPLACEMENT ? 1 : dc_utf8_put(one, p.p[i]);

		memcpy(got + k, p.p[i] == DC_REPLACEMENT ? "#" : one, (size_t)bytes);
		k += (size_t)bytes;
	}
	got[k] = 0;
	ok(!strcmp(got, want), "bytes that are not UTF-8: \"%s\", wanted \"%s\"", got, want);
	free(p.p);
}

/* One U+FFFD, "#" here, for the longest beginning of a character, as Python decodes with errors="replace". */
static void
test_utf8(void)
{
	is_read_as("a\xff\xc3(b\xe2\x82", 7, "a##(b#");
	is_read_as("\xe2\x82\xe2\x82\xac", 5, "#\xe2\x82\xac");
	is_read_as("\xf0\x9f\x90 \xf0\x9f\x90\xb6", 8, "# \xf0\x9f\x90\xb6");
	is_read_as("\xf0\x9f x\xf0", 5, "# x#");
	is_read_as("\xed\xa0\xbd\xc0\x80\xf5\x80", 7, "#######");
	is_read_as("\xe0\x80\x80 \xf0\x80\x80\x80", 8, "### ####");
	is_read_as("\xf4\x90\x80\x80 \xf4\x8f", 7, "#### #");
	is_read_as("\x80\xbf", 2, "##");
}

/* --- splitting --- */

/* want: the words with "|" between. */
static void
splits_as(const char *s, const char *want)
{
	char got[256] = "";
	const char *word;
	size_t at = 0, len;

	while ((word = dc_split_next(s, strlen(s), &at, &len))) {
		strcat(got, got[0] ? "|" : "");
		strncat(got, word, len);
	}
	ok(!strcmp(got, want), "'%s' splits as '%s', wanted '%s'", s, got, want);
}

static void
test_split(void)
{
	splits_as("it's we're they've i'm we'll he'd don't", "it|'s|we|'re|they|'ve|i|'m|we|'ll|he|'d|don|'t");
	splits_as("a'x '' ' 'r 'l 'lx 'v", "a|'|x|''|'|'|r|'|l|'|lx|'|v");
	splits_as("!'s 'S '\305\277 's", "!'|s|'S|'\305\277|'s");
	splits_as("12a3 x\302\262", "1|2|a|3|x|\302\262");
	splits_as("snake_case, \xf0\x9f\x90\xb6!", "snake|_|case|,|\xf0\x9f\x90\xb6!");
	splits_as("a\314\201b e\315\205.", "a|\314\201|b|e|.");
	splits_as("", "");
	splits_as("   ", "");
	splits_as(" \326\261\326\262 \324\261", "\326\261\326\262|\324\261");
}

/* --- bytes that mean nothing --- */

static const char *const pieces[] = { "\303\203", "\303\202", "\302\251", " ", "\302\240", "\342\202\254", "\342\204\242",
	"\303\242", "\357\277\275", "?", "\032", "\302\223", "\303\260", "\305\270", "\303\255", "\302\255", "&amp;", "&#x80;", "&", ";",
	"\r\n", "\033[3", "m", "\357\274\206", "\314\201", "e", "\320\222", "\320\202", "\342\210\232", "<" };

static size_t
random_text(struct dc_rng *r, char *s)
{
	size_t n = 0;
	int bytes = dc_rng_below(r, 4) == 0;

	for (size_t k = dc_rng_below(r, 12); k > 0; k--) {
		const char *p = pieces[dc_rng_below(r, sizeof pieces / sizeof *pieces)];
		size_t len = strlen(p);

		if (bytes)
			s[n++] = (char)dc_rng_below(r, 256);
		else if (n + len <= LONGEST) {
			memcpy(s + n, p, len);
			n += len;
		}
	}
	return n;
}

static int
is_utf8(const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		int32_t cp;
		int k = dc_utf8_get(s + i, n - i, &cp);

		if (cp == DC_REPLACEMENT && (n - i < 3 || memcmp(s + i, "\357\277\275", 3) != 0))
			return 0;
		i += (size_t)k;
	}
	return 1;
}

/* The result is UTF-8, and repaired it stays as it is. Each text lies in memory of its own size, for the sanitizer. */
static void
test_random(struct dc_clean *c)
{
	struct dc_clean again = { 0 };
	struct dc_rng r;
	int fine = 1;

	dc_rng_init(&r, 2, 0, 0, 0, DC_RNG_MLM);
	for (int i = 0; i < N_RANDOM && fine; i++) {
		char s[LONGEST + 16], *exact;
		size_t n = random_text(&r, s), at = 0, len, seen = 0;

		exact = dc_xmalloc(n ? n : 1);
		memcpy(exact, s, n);
		dc_clean_repair(c, exact, n);
		fine = is_utf8(c->text, c->n);
		dc_clean_repair(&again, c->text, c->n);
		if (!memchr(c->text, '<', c->n) && !memchr(c->text, '\n', c->n))
			fine = fine && again.n == c->n && !memcmp(again.text, c->text, c->n);
		dc_clean_text(c, exact, n);
		fine = fine && is_utf8(c->text, c->n);
		while (dc_split_next(c->text, c->n, &at, &len))
			seen += len;
		fine = fine && seen <= c->n;
		free(exact);
		if (!fine)
			printf("#   text %d: \"%s\"\n", i, c->text);
	}
	ok(fine, "%d random texts are repaired and cleaned to UTF-8 that is not repaired again", N_RANDOM);
	dc_clean_free(&again);
}

/* What could cost more than it is long: everything mojibake, and nested. */
static void
test_long(struct dc_clean *c)
{
	enum { N = 300000 };
	char *s = dc_xmalloc(N);

	for (size_t i = 0; i < N; i++)
		s[i] = "\303\203\302\251"[i % 4];
	dc_clean_repair(c, s, N);
	ok(c->n == N / 2, "a long text of mojibake is repaired");
	for (size_t i = 0; i < N; i++)
		s[i] = i < 3 ? "\344\270\200"[i] : "\303\203\302\203"[(i - 3) % 4];
	dc_clean_repair(c, s, N);
	ok(c->n > 0, "one that cannot be as a whole, too");
	free(s);
}

int
main(void)
{
	struct dc_clean c = { 0 };

	test_golden(&c);
	test_utf8();
	test_split();
	test_random(&c);
	test_long(&c);
	dc_clean_free(&c);
	return done_testing();
}
