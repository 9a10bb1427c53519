/* SPDX-License-Identifier: MIT */
/* Synonyms from a small database written here, damaged ones too; and the three operations on captions. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/eda.h"
#include "data/stopwords.h"
#include "tests/tap.h"

enum { DRAWS = 5000 };

static char dir[] = "/tmp/dc-wordnet-XXXXXX";
static const char *const pos_name[] = { "noun", "verb", "adj", "adv" };

static FILE *
create(const char *kind, const char *pos)
{
	char *path = dc_xasprintf("%s/%s%s%s", dir, kind, kind[0] ? "." : "", pos);
	FILE *fp = fopen(path, "w");

	if (!fp)
		dc_die_errno("%s", path);
	free(path);
	return fp;
}

static void
finish(FILE *fp)
{
	if (dc_fshut(fp, dir) < 0)
		dc_die("%s", dc_err());
}

/* A database as wndb(5WN) describes it: licence, synsets, sorted index. */
static void
write_database(void)
{
	static const char *const synset[] = {
		"%08ld 05 n 03 dog 0 domestic_dog 0 Hound 0 001 @ 00000000 n 0000 | a beast  \n",
		"%08ld 05 n 02 dog 1 frump 0 000 | a person  \n",
		"%08ld 05 n 01 man 0 000 | one  \n",
		"%08ld 05 n 02 man 0 adult_male 0 000 | a person  \n",
		"%08ld 00 s 05 abounding 0 galore(ip) 0 all-round 0 24/7 0 O'Clock 0 000 | much  \n",
	};
	long at[5];
	FILE *fp = create("data", "noun"), *adj = create("data", "adj");

	for (int i = 0; i < 5; i++) {
		FILE *to = i < 4 ? fp : adj;

		fputs(i == 0 || i == 4 ? "  1 This is the licence.  \n" : "", to);
		at[i] = ftell(to);
		fprintf(to, synset[i], at[i]);
	}
	finish(fp);
	finish(adj);
	fp = create("index", "noun");
	fprintf(fp, "  1 This is the licence.  \nbad n 2 0 2 0 99999999 00000003  \ncat n 1 0 1 0 %08ld  \n"
	    "dog n 2 3 @ ~ #m 2 1 %08ld %08ld  \nman n 2 0 2 0 %08ld %08ld  \nzebra n 999999 99999999 1 0  \n", at[2] + 1,
	    at[0], at[1], at[2], at[3]);
	finish(fp);
	fp = create("index", "adj");
	fprintf(fp, "abounding a 1 0 1 0 %08ld  \nabound a 0 0 0 0\n", at[4]);
	finish(fp);
	for (int i = 1; i < 4; i += 2) {
		finish(create("data", pos_name[i]));
		finish(create("index", pos_name[i]));
	}
	fp = create("", "noun.exc");
	fputs("men man\n", fp);
	finish(fp);
}

static void
remove_database(void)
{
	static const char *const name[] = { "data.noun", "data.verb", "data.adj", "data.adv", "index.noun", "index.verb",
		"index.adj", "index.adv", "noun.exc" };

	for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
		char *path = dc_xasprintf("%s/%s", dir, name[i]);

		unlink(path);
		free(path);
	}
	rmdir(dir);
}

/* want: the synonyms with commas between. */
static void
synonyms_are(const struct dc_wordnet *wn, const char *word, const char *want)
{
	char got[256] = "", **list;
	size_t n = dc_wordnet_synonyms(wn, word, strlen(word), &list);

	for (size_t i = 0; i < n; i++) {
		strcat(got, i ? "," : "");
		strcat(got, list[i]);
	}
	ok(!strcmp(got, want), "synonyms of '%s': '%s', wanted '%s'", word, got, want);
	free(list);
}

static void
test_wordnet(const struct dc_wordnet *wn)
{
	struct dc_wordnet *none;
	char **list;

	synonyms_are(wn, "dog", "domestic dog,frump,hound");
	synonyms_are(wn, "dogs", "dog,domestic dog,frump,hound");
	synonyms_are(wn, "men", "adult male,man");
	synonyms_are(wn, "abounding", "all round,galore,oclock");
	synonyms_are(wn, "galore", "");
	synonyms_are(wn, "do", "");
	synonyms_are(wn, "dogg", "");
	synonyms_are(wn, "", "");
	synonyms_are(wn, "bad", "");     /* offsets beyond the file, and inside the licence */
	synonyms_are(wn, "cat", "");     /* an offset that is no line's beginning */
	synonyms_are(wn, "zebra", "");   /* counts that the line does not hold */
	synonyms_are(wn, "\xc3\xbc" "ber", "");
	ok(dc_wordnet_synonyms(wn, "  1 This", 8, &list) == 0, "the licence is no entry");
	ok(dc_wordnet_open(&none, "/nonexistent") < 0 && strstr(dc_err(), "/nonexistent/index.noun"),
	    "a missing database: %s", dc_err());
}

static void
test_stopwords(void)
{
	ok(dc_is_stopword("a", 1) && dc_is_stopword("the", 3) && dc_is_stopword("yourselves", 10), "function words");
	ok(!dc_is_stopword("th", 2) && !dc_is_stopword("them all", 8) && !dc_is_stopword("dog", 3) && !dc_is_stopword("", 0) &&
	    !dc_is_stopword("zoo", 3) && !dc_is_stopword("0", 1), "other words");
}

static struct dc_eda_result
eda(const char *s, unsigned ops, const struct dc_wordnet *wn, uint64_t i)
{
	struct dc_rng rng;

	dc_rng_init(&rng, 1, 0, i, 1, DC_RNG_EDA);
	return dc_eda_caption(s, strlen(s), ops, wn, &rng);
}

/* Whether `ops` on `s` gives `want` with the trace `trace` (both "|"-separated alternatives) in each of some draws. */
static void
always(const char *s, unsigned ops, const struct dc_wordnet *wn, const char *want, const char *trace)
{
	char got[256] = "";
	int fine = 1;

	for (uint64_t i = 0; i < 300 && fine; i++) {
		struct dc_eda_result r = eda(s, ops, wn, i);
		char *a = dc_xasprintf("|%s|", r.caption), *b = dc_xasprintf("|%s|", r.trace);
		char *x = dc_xasprintf("|%s|", want), *y = dc_xasprintf("|%s|", trace);

		fine = strstr(x, a) && strstr(y, b) && r.n == strlen(r.caption);
		snprintf(got, sizeof got, "%s (%s)", r.caption, r.trace);
		free(r.caption);
		free(r.trace);
		free(a);
		free(b);
		free(x);
		free(y);
	}
	ok(fine, "'%s' becomes one of '%s': %s", s, want, got);
}

static void
test_operations(const struct dc_wordnet *wn)
{
	always("A dog, the  dog and dog !", DC_EDA_SYNONYM, wn,
	    "A dog, the hound and hound !|A dog, the frump and frump !|A dog, the domestic dog and domestic dog !",
	    "synonym 3,5 hound|synonym 3,5 frump|synonym 3,5 domestic dog");
	always("Dog The DOG", DC_EDA_SYNONYM, wn, "hound The DOG|frump The DOG|domestic dog The DOG|Dog The hound|Dog The frump|"
	    "Dog The domestic dog", "synonym 0 hound|synonym 0 frump|synonym 0 domestic dog|synonym 2 hound|synonym 2 frump|"
	    "synonym 2 domestic dog");
	always("the two men", DC_EDA_SYNONYM, wn, "the two adult male|the two man", "synonym 2 adult male|synonym 2 man");
	always("  a \t thing  ", DC_EDA_SYNONYM, wn, "  a \t thing  ", "none");
	always("dog", DC_EDA_SYNONYM, wn, "hound|frump|domestic dog", "synonym 0 hound|synonym 0 frump|synonym 0 domestic dog");
	always(" dog ", DC_EDA_SWAP | DC_EDA_DELETE, wn, " dog ", "none");
	always("", DC_EDA_ALL, wn, "", "none");
	always(" ", DC_EDA_ALL, wn, " ", "none");
	always("one  two", DC_EDA_SWAP, NULL, "two one|one  two", "swap 0 1|none");
	always("a b c", DC_EDA_SWAP, NULL, "b a c|c b a|a c b|a b c", "swap 0 1|swap 0 2|swap 1 2|none");
	always("a b", DC_EDA_DELETE, NULL, "a b|a|b", "delete|delete 0|delete 1");
	/* no-break, en, ideographic space; Chinese without spaces is one word; an emoji with its modifiers is kept whole */
	always("\xe7\x8b\x97\xc2\xa0\xe7\x8c\xab", DC_EDA_SWAP, NULL, "\xe7\x8c\xab \xe7\x8b\x97|\xe7\x8b\x97\xc2\xa0\xe7\x8c\xab",
	    "swap 0 1|none");
	always("x\xe3\x80\x80y", DC_EDA_SWAP, NULL, "y x|x\xe3\x80\x80y", "swap 0 1|none");
	always("x\xe2\x80\x82y", DC_EDA_SWAP, NULL, "y x|x\xe2\x80\x82y", "swap 0 1|none");
	always("\xe7\x8b\x97\xe7\x8c\xab", DC_EDA_ALL, wn, "\xe7\x8b\x97\xe7\x8c\xab", "none");
	always("\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd ok", DC_EDA_SWAP, NULL, "ok \xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd|"
	    "\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd ok", "swap 0 1|none");
}

/* |count - n p| <= 5 standard errors */
static void
frequency(const char *what, int count, int n, double p)
{
	ok(fabs(count - n * p) <= 5 * sqrt(n * p * (1 - p)), "%s: %d of %d, wanted %g", what, count, n, p);
}

static void
test_frequencies(const struct dc_wordnet *wn)
{
	int op[4] = { 0 }, word[3] = { 0 }, deleted = 0, empty = 0, still = 0;
	const char *s = "dog a b c d e f g h i";

	for (uint64_t i = 0; i < DRAWS; i++) {
		struct dc_eda_result r = eda(s, DC_EDA_ALL, wn, i);

		op[r.trace[0] == 'n' ? 3 : r.trace[0] == 'd' ? 2 : r.trace[1] == 'w']++;
		free(r.caption);
		free(r.trace);
		r = eda("dog dog", DC_EDA_SYNONYM, wn, i);
		word[r.trace[12] == 'd' ? 0 : r.trace[12] == 'f' ? 1 : 2]++;
		free(r.caption);
		free(r.trace);
		r = eda(s, DC_EDA_DELETE, NULL, i);
		for (const char *p = r.trace; *p; p++)
			deleted += *p == ' ';
		empty += r.n == 0;
		free(r.caption);
		free(r.trace);
		r = eda("a b", DC_EDA_SWAP, NULL, i);
		still += r.trace[0] == 'n';
		free(r.caption);
		free(r.trace);
	}
	frequency("synonym as often as the others", op[0], DRAWS, 1. / 3);
	frequency("swap too, less the times when it finds no second word", op[1], DRAWS, 1. / 3 * (1 - 1e-3));
	frequency("delete too", op[2], DRAWS, 1. / 3);
	frequency("of two words, three draws find no second in an eighth", still, DRAWS, 1. / 8);
	for (int k = 0; k < 3; k++)
		frequency("each synonym equally often", word[k], DRAWS, 1. / 3);
	frequency("a word is deleted", deleted, 10 * DRAWS, DC_EDA_DELETE_P);
	ok(!empty, "no caption is deleted whole");
}

int
main(void)
{
	struct dc_wordnet *wn;

	if (!mkdtemp(dir))
		dc_die_errno("%s", dir);
	write_database();
	if (!ok(dc_wordnet_open(&wn, dir) == 0, "a database opens"))
		return done_testing();
	test_wordnet(wn);
	test_stopwords();
	test_operations(wn);
	test_frequencies(wn);
	dc_wordnet_close(wn);
	remove_database();
	return done_testing();
}
