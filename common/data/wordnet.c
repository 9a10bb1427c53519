/* SPDX-License-Identifier: MIT */
#include "data/wordnet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOUN, VERB, ADJ, ADV, N_POS };
enum { WORD_MAX = 100, OFFSET_DIGITS = 8 };

struct span { const char *p; size_t n; }; /* bytes in a mapped file, or a word */

struct dc_wordnet { struct span index[N_POS], data[N_POS], exc[N_POS]; };

/* Words found so far: offsets of NUL-terminated strings in one buffer. */
struct words { char *text; size_t n_text, cap_text; size_t *at; size_t n, cap; };

static int
map_file(struct span *f, const char *dir, const char *name, int optional)
{
	char *path = dc_xasprintf("%s/%s", dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;
	struct stat st;
	void *p = NULL;

	*f = (struct span){ NULL, 0 };
	if (fd < 0 && optional && errno == ENOENT)
		goto done;
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = dc_err_errno("%s", path);
		goto done;
	}
	if (st.st_size > 0 && (p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
		r = dc_err_errno("%s", path);
	else
		*f = (struct span){ p, (size_t)st.st_size };
done:
	if (fd >= 0)
		close(fd);
	free(path);
	return r;
}

int
dc_wordnet_open(struct dc_wordnet **out, const char *dir)
{
	static const char *const pos[N_POS] = { "noun", "verb", "adj", "adv" };
	struct dc_wordnet *wn = dc_xcalloc(1, sizeof *wn);
	char name[16];
	int r = 0;

	for (int i = 0; i < N_POS && r == 0; i++) {
		snprintf(name, sizeof name, "index.%s", pos[i]);
		r = map_file(&wn->index[i], dir, name, 0);
		snprintf(name, sizeof name, "data.%s", pos[i]);
		r = r < 0 ? r : map_file(&wn->data[i], dir, name, 0);
		snprintf(name, sizeof name, "%s.exc", pos[i]);
		r = r < 0 ? r : map_file(&wn->exc[i], dir, name, 1);
	}
	*out = wn;
	if (r < 0) {
		dc_wordnet_close(wn);
		*out = NULL;
	}
	return r;
}

void
dc_wordnet_close(struct dc_wordnet *wn)
{
	if (!wn)
		return;
	for (int i = 0; i < N_POS; i++) {
		struct span f[3] = { wn->index[i], wn->data[i], wn->exc[i] };

		for (int k = 0; k < 3; k++)
			if (f[k].p)
				munmap((void *)f[k].p, f[k].n);
	}
	free(wn);
}

/* The line that begins at p, without its newline. */
static struct span
line_at(struct span f, size_t p)
{
	const char *end = memchr(f.p + p, '\n', f.n - p);

	return (struct span){ f.p + p, end ? (size_t)(end - f.p) - p : f.n - p };
}

/* The next word of a line; empty at its end. */
static struct span
next_word(struct span *line)
{
	size_t i = 0, n = 0;

	while (i < line->n && line->p[i] == ' ')
		i++;
	while (i + n < line->n && line->p[i + n] != ' ')
		n++;
	const struct span w = { line->p + i, n };
	*line = (struct span){ line->p + i + n, line->n - i - n };
	return w;
}

/* A number in a base; -1 where there is none or it has more than OFFSET_DIGITS digits. */
static int64_t
next_number(struct span *line, int base)
{
	const struct span w = next_word(line);
	char digits[OFFSET_DIGITS + 1] = { 0 }, *end;
	int64_t x;

	if (w.n == 0 || w.n > OFFSET_DIGITS)
		return -1;
	memcpy(digits, w.p, w.n);
	x = strtoll(digits, &end, base);
	return *end || x < 0 ? -1 : x;
}

/* The bytes up to the first space decide; the licence in front of the entries begins with spaces and so sorts first. */
static int
compare(struct span key, struct span line)
{
	const char *space = line.n ? memchr(line.p, ' ', line.n) : NULL;
	const size_t n = space ? (size_t)(space - line.p) : line.n, least = n < key.n ? n : key.n;
	const int c = least ? memcmp(key.p, line.p, least) : 0;

	return c ? c : (key.n > n) - (key.n < n);
}

/* Binary search in a file of sorted lines for the one whose first word is `key`. Return whether it is there. */
static int
find_line(struct span f, struct span key, struct span *line)
{
	size_t lo = 0, hi = f.n;  /* line beginnings; hi may be the end */

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c;

		while (mid > lo && f.p[mid - 1] != '\n')
			mid--;
		*line = line_at(f, mid);
		c = compare(key, *line);
		if (c == 0)
			return 1;
		if (c < 0)
			hi = mid;
		else
			lo = mid + line->n + 1;
	}
	return 0;
}

static void
add_word(struct words *w, struct span s)
{
	if (w->n == w->cap)
		w->at = dc_xrealloc(w->at, w->cap = w->cap ? 2 * w->cap : 16, sizeof *w->at);
	if (w->n_text + s.n + 1 > w->cap_text)
		w->text = dc_xrealloc(w->text, w->cap_text = 2 * (w->n_text + s.n + 1), 1);
	w->at[w->n++] = w->n_text;
	for (size_t i = 0; i < s.n; i++) {
		const char c = (char)(s.p[i] == '_' || s.p[i] == '-' ? ' ' : s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);

		if (c == ' ' || (c >= 'a' && c <= 'z'))
			w->text[w->n_text++] = c;
	}
	w->text[w->n_text++] = 0;
}

/* Take the last word back where it has no letter or is `self`. */
static void
drop_useless(struct words *w, struct span self)
{
	const char *last = w->text + w->at[w->n - 1];

	if (!last[strspn(last, " ")] || (strlen(last) == self.n && !memcmp(last, self.p, self.n)))
		w->n_text = w->at[--w->n];
}

/* The words of the synset at `offset`: offset lexfile type count(hex) (word lexid)* ... An adjective's word may have
 * its place marked, as in galore(ip). */
static void
add_synset(struct words *out, struct span data, int64_t offset, struct span self)
{
	struct span line;
	int64_t n;

	if (offset < 0 || (uint64_t)offset >= data.n || (offset > 0 && data.p[offset - 1] != '\n'))
		return;
	line = line_at(data, (size_t)offset);
	if (next_number(&line, 10) != offset)
		return;
	next_word(&line);
	next_word(&line);
	n = next_number(&line, 16);
	for (int64_t i = 0; i < n; i++) {
		struct span w = next_word(&line);
		const char *mark = w.n ? memchr(w.p, '(', w.n) : NULL;

		if (mark)
			w.n = (size_t)(mark - w.p);
		if (w.n == 0)
			return;
		add_word(out, w);
		drop_useless(out, self);
		next_word(&line);
	}
}

/* All senses of a form: lemma pos synset_cnt p_cnt symbol* sense_cnt tagsense_cnt offset*.
 * Return whether the index has it. */
static int
add_senses(struct words *out, const struct dc_wordnet *wn, int pos, struct span form, struct span self)
{
	struct span line;
	int64_t senses, symbols;

	if (!find_line(wn->index[pos], form, &line))
		return 0;
	next_word(&line);
	next_word(&line);
	senses = next_number(&line, 10);
	symbols = next_number(&line, 10);
	for (int64_t i = 0; i < symbols + 2 && line.n; i++)
		next_word(&line);
	for (int64_t i = 0; i < senses && line.n; i++)
		add_synset(out, wn->data[pos], next_number(&line, 10), self);
	return 1;
}

/* Base forms by WordNet's rules of detachment (morphy(7WN)): ending -> ending. */
static const struct { int pos; const char *from, *to; } detach[] = {
	{ NOUN, "s", "" }, { NOUN, "ses", "s" }, { NOUN, "ves", "f" }, { NOUN, "xes", "x" }, { NOUN, "zes", "z" },
	{ NOUN, "ches", "ch" }, { NOUN, "shes", "sh" }, { NOUN, "men", "man" }, { NOUN, "ies", "y" },
	{ VERB, "s", "" }, { VERB, "ies", "y" }, { VERB, "es", "e" }, { VERB, "es", "" }, { VERB, "ed", "e" },
	{ VERB, "ed", "" }, { VERB, "ing", "e" }, { VERB, "ing", "" },
	{ ADJ, "er", "" }, { ADJ, "est", "" }, { ADJ, "er", "e" }, { ADJ, "est", "e" }
};

static void
add_detached(struct words *out, const struct dc_wordnet *wn, int pos, struct span word)
{
	for (size_t i = 0; i < sizeof detach / sizeof *detach; i++) {
		const size_t from = strlen(detach[i].from), to = strlen(detach[i].to);
		char form[WORD_MAX];

		if (detach[i].pos != pos || word.n <= from || memcmp(word.p + word.n - from, detach[i].from, from))
			continue;
		memcpy(form, word.p, word.n - from);   /* word.n < WORD_MAX, and no ending grows */
		memcpy(form + word.n - from, detach[i].to, to);
		add_senses(out, wn, pos, (struct span){ form, word.n - from + to }, word);
	}
}

/* The word itself, and its base forms: those of the exception list if it is there, else those of the rules. */
static void
add_forms(struct words *out, const struct dc_wordnet *wn, int pos, struct span word)
{
	struct span line, form;

	add_senses(out, wn, pos, word, word);
	if (!find_line(wn->exc[pos], word, &line)) {
		add_detached(out, wn, pos, word);
		return;
	}
	next_word(&line);
	while ((form = next_word(&line)).n)
		add_senses(out, wn, pos, form, word);
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The words as pointers and text in one block, sorted, each once. */
static size_t
finish(struct words *w, char ***out)
{
	const size_t n = w->n, room = n * sizeof(char *);
	char **list = dc_xmalloc(room + w->n_text), *text = (char *)list + room;
	size_t unique = 0;

	memcpy(text, w->text, w->n_text);
	for (size_t i = 0; i < n; i++)
		list[i] = text + w->at[i];
	qsort(list, n, sizeof *list, by_bytes);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(list[i], list[i - 1]))
			list[unique++] = list[i];
	*out = list;
	return unique;
}

size_t
dc_wordnet_synonyms(const struct dc_wordnet *wn, const char *word, size_t n, char ***out)
{
	struct words w = { 0 };
	size_t found = 0;

	*out = NULL;
	if (n == 0 || n >= WORD_MAX || memchr(word, ' ', n))
		return 0;
	for (int pos = 0; pos < N_POS; pos++)
		add_forms(&w, wn, pos, (struct span){ word, n });
	if (w.n)
		found = finish(&w, out);
	free(w.text);
	free(w.at);
	return found;
}
