/* SPDX-License-Identifier: MIT */
#include "data/eda.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "data/stopwords.h"

enum { WORD_MAX = 100 };

struct word { const char *p; size_t n; };

struct sentence { struct word *word; size_t n; };

struct text { char *p; size_t n, cap; };

static void
put(struct text *t, const char *s, size_t n)
{
	if (t->n + n + 1 > t->cap)
		t->p = dc_xrealloc(t->p, t->cap = 2 * (t->n + n + 1), 1);
	if (n)
		memcpy(t->p + t->n, s, n);
	t->n += n;
	t->p[t->n] = 0;
}

static void DC_PRINTF(2, 3)
putf(struct text *t, const char *fmt, ...)
{
	char s[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s, sizeof s, fmt, ap);
	va_end(ap);
	put(t, s, strlen(s));
}

/* Bytes of the white space at p, 0 if there is none: what Python's str.split() splits at. */
static size_t
space(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;

	if (n >= 1 && ((u[0] >= 0x09 && u[0] <= 0x0d) || (u[0] >= 0x1c && u[0] <= 0x20)))
		return 1;
	if (n >= 2 && u[0] == 0xc2 && (u[1] == 0x85 || u[1] == 0xa0))                        /* U+0085, U+00A0 */
		return 2;
	if (n < 3 || u[0] < 0xe1 || u[0] > 0xe3)
		return 0;
	if (u[0] == 0xe1)
		return u[1] == 0x9a && u[2] == 0x80 ? 3 : 0;                                     /* U+1680 */
	if (u[0] == 0xe3)
		return u[1] == 0x80 && u[2] == 0x80 ? 3 : 0;                                     /* U+3000 */
	if (u[1] == 0x80)                                                                    /* U+2000-200A, 2028, 2029, 202F */
		return u[2] <= 0x8a || u[2] == 0xa8 || u[2] == 0xa9 || u[2] == 0xaf ? 3 : 0;
	return u[1] == 0x81 && u[2] == 0x9f ? 3 : 0;                                         /* U+205F */
}

static struct sentence
split(const char *s, size_t n)
{
	struct sentence out = { dc_xcalloc(n / 2 + 1, sizeof *out.word), 0 };
	size_t i = 0, skip;

	while (i < n) {
		if ((skip = space(s + i, n - i))) {
			i += skip;
			continue;
		}
		const size_t start = i;
		while (i < n && !space(s + i, n - i))
			i++;
		out.word[out.n++] = (struct word){ s + start, i - start };
	}
	return out;
}

static void
join(struct text *t, const struct word *word, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i)
			put(t, " ", 1);
		put(t, word[i].p, word[i].n);
	}
}

static int
same_word(struct word a, struct word b)
{
	return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

/* Synonyms of word i, as dc_wordnet_synonyms; none for stop words, and for a word that stood before. */
static size_t
synonyms(const struct sentence *s, size_t i, const struct dc_wordnet *wn, char ***out)
{
	const struct word w = s->word[i];
	char low[WORD_MAX];

	*out = NULL;
	if (w.n >= WORD_MAX)
		return 0;
	for (size_t k = 0; k < i; k++)
		if (same_word(s->word[k], w))
			return 0;
	for (size_t k = 0; k < w.n; k++)
		low[k] = (char)(w.p[k] >= 'A' && w.p[k] <= 'Z' ? w.p[k] + 32 : w.p[k]);
	return dc_is_stopword(low, w.n) ? 0 : dc_wordnet_synonyms(wn, low, w.n, out);
}

/* Put the sentence with every `old` as `new`; note the places. */
static void
put_replaced(struct text *t, struct text *trace, const struct sentence *s, struct word old, const char *new)
{
	int places = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct word w = s->word[i];

		if (i)
			put(t, " ", 1);
		if (!same_word(w, old)) {
			put(t, w.p, w.n);
			continue;
		}
		put(t, new, strlen(new));
		putf(trace, "%s%zu", places++ ? "," : "synonym ", i);
	}
	putf(trace, " ");
	put(trace, new, strlen(new));
}

/* Return whether there was a word to replace. */
static int
replace_synonym(struct text *t, struct text *trace, const struct sentence *s, const struct dc_wordnet *wn,
    struct dc_rng *rng)
{
	size_t *order = dc_xcalloc(s->n, sizeof *order), found = 0;
	char **list = NULL;

	for (size_t i = 0; i < s->n; i++)
		order[i] = i;
	dc_rng_shuffle(rng, order, s->n, sizeof *order);
	for (size_t i = 0; i < s->n && !found; i++)
		if ((found = synonyms(s, order[i], wn, &list)))
			put_replaced(t, trace, s, s->word[order[i]], list[dc_rng_below(rng, found)]);
	free(list);
	free(order);
	return found > 0;
}

/* Return whether there is another word than the first drawn, in three draws. */
static int
swap(struct text *t, struct text *trace, struct sentence *s, struct dc_rng *rng)
{
	const size_t i = dc_rng_below(rng, s->n);
	size_t j = i;
	struct word w;

	for (int k = 0; k < 3 && j == i; k++)
		j = dc_rng_below(rng, s->n);
	if (j == i)
		return 0;
	w = s->word[i];
	s->word[i] = s->word[j];
	s->word[j] = w;
	join(t, s->word, s->n);
	putf(trace, "swap %zu %zu", i < j ? i : j, i < j ? j : i);
	return 1;
}

static void
delete(struct text *t, struct text *trace, struct sentence *s, struct dc_rng *rng)
{
	char *gone = dc_xcalloc(s->n, 1);
	size_t n_gone = 0, n = 0;

	for (size_t i = 0; i < s->n; i++)
		n_gone += (size_t)(gone[i] = dc_rng_uniform(rng, 0, 1) < DC_EDA_DELETE_P);
	if (n_gone == s->n)
		gone[dc_rng_below(rng, s->n)] = 0;
	putf(trace, "delete");
	for (size_t i = 0; i < s->n; i++) {
		if (gone[i])
			putf(trace, " %zu", i);
		else
			s->word[n++] = s->word[i];
	}
	join(t, s->word, n);
	free(gone);
}

/* One of the operations in the set, with equal chances. */
static unsigned
draw_operation(unsigned ops, struct dc_rng *rng)
{
	uint64_t k = dc_rng_below(rng, (uint64_t)__builtin_popcount(ops));

	while (k--)
		ops &= ops - 1;
	return ops & -ops;
}

struct dc_eda_result
dc_eda_caption(const char *caption, size_t n, unsigned ops, const struct dc_wordnet *wn, struct dc_rng *rng)
{
	struct sentence s = split(caption, n);
	struct text t = { 0 }, trace = { 0 };
	const unsigned op = draw_operation(ops, rng);
	int done = 0;

	if (op == DC_EDA_SYNONYM) {
		done = replace_synonym(&t, &trace, &s, wn, rng);
	} else if (op == DC_EDA_SWAP && s.n > 1) {
		done = swap(&t, &trace, &s, rng);
	} else if (op == DC_EDA_DELETE && s.n > 1) {
		delete(&t, &trace, &s, rng);
		done = 1;
	}
	if (!done) {
		put(&t, caption, n);
		putf(&trace, "none");
	}
	free(s.word);
	return (struct dc_eda_result){ t.p, t.n, trace.p };
}
