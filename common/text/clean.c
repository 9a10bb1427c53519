/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/util.h"
#include "text/clean.h"

enum { REPLACEMENT = 0xFFFD, REPAIRS_MAX = 32, NAME_MAX_POINTS = 32 };

/* --- points --- */

static void
points_reserve(struct dc_points *o, size_t more)
{
	if (o->n + more <= o->cap)
		return;
	o->cap = (o->n + more) * 2 + 64;
	o->p = dc_xrealloc(o->p, o->cap, sizeof *o->p);
}

static void
points_add(struct dc_points *o, int32_t cp)
{
	points_reserve(o, 1);
	o->p[o->n++] = cp;
}

static void
points_append(struct dc_points *o, const int32_t *p, size_t n)
{
	points_reserve(o, n);
	if (n > 0)
		memcpy(o->p + o->n, p, n * sizeof *p);
	o->n += n;
}

static void
points_swap(struct dc_points *a, struct dc_points *b)
{
	struct dc_points t = *a;

	*a = *b;
	*b = t;
}

int
dc_utf8_put(char *out, int32_t cp)
{
	return (int)utf8proc_encode_char(cp, (utf8proc_uint8_t *)out);
}

int
dc_utf8_get(const char *s, size_t n, int32_t *cp)
{
	utf8proc_int32_t c;
	utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)s, n > 4 ? 4 : (utf8proc_ssize_t)n, &c);

	*cp = k > 0 ? c : REPLACEMENT;
	return k > 0 ? (int)k : 1;
}

static void
points_add_utf8(struct dc_points *out, const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		int32_t cp;

		i += (size_t)dc_utf8_get(s + i, n - i, &cp);
		points_add(out, cp);
	}
}

void
dc_points_from_utf8(struct dc_points *out, const char *s, size_t n)
{
	out->n = 0;
	points_add_utf8(out, s, n);
}

/* --- HTML entities --- */

static const struct entity { char name[40]; char value[8]; } entities[] = {
#include "text/entities.inc"
};

static int
entity_cmp(const void *key, const void *item)
{
	return strcmp(key, ((const struct entity *)item)->name);
}

/* The value of the entity with this name (n ASCII code points), NULL if there is none. */
static const char *
entity_find(const int32_t *name, size_t n)
{
	char key[40];
	const struct entity *e;

	if (n >= sizeof key)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (name[i] <= 0 || name[i] >= 0x80)
			return NULL;
		key[i] = (char)name[i];
	}
	key[n] = 0;
	e = bsearch(key, entities, sizeof entities / sizeof *entities, sizeof *entities, entity_cmp);
	return e ? e->value : NULL;
}

/* What windows-1252 has at 0x80..0x9F; its five holes stay what they are. */
static int32_t
windows_1252(int32_t c)
{
	static const uint16_t at80[32] = {
		0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x008D, 0x017D, 0x008F,
		0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178,
	};
	return c >= 0x80 && c < 0xA0 ? at80[c - 0x80] : c;
}

/* The character of a numeric reference by HTML5's rules, -1 where it stands for nothing. */
static int32_t
numeric_value(int64_t c)
{
	if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		return REPLACEMENT;
	if (c >= 0x80 && c < 0xA0)
		return windows_1252((int32_t)c);
	if (c < 9 || c == 0xB || (c >= 0xE && c < 0x20) || c == 0x7F)
		return -1;
	if ((c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE)
		return -1;
	return (int32_t)c;
}

static int
digit_value(int32_t c, int base)
{
	int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;

	return v < base ? v : -1;
}

/* "#123", "#x1F" with or without ";" at p: add its character; return the points read, 0 if it is no reference. */
static size_t
unescape_numeric(struct dc_points *out, const int32_t *p, size_t n)
{
	int base = n > 1 && (p[1] == 'x' || p[1] == 'X') ? 16 : 10;
	size_t first = base == 16 ? 2 : 1, i = first;
	int64_t value = 0;
	int32_t c;

	for (int d; i < n && (d = digit_value(p[i], base)) >= 0; i++)
		value = value > 0x10FFFF ? value : value * base + d;
	if (i == first)
		return 0;
	c = numeric_value(value);
	if (c >= 0)
		points_add(out, c);
	return i < n && p[i] == ';' ? i + 1 : i;
}

static int
in_name(int32_t c)
{
	return c != '\t' && c != '\n' && c != '\f' && c != ' ' && c != '<' && c != '&' && c != '#' && c != ';';
}

/* A named reference at p (after "&"): the whole name, else its longest beginning that is a name without ";".
 * Return the points read, 0 if nothing there could be a name. */
static size_t
unescape_named(struct dc_points *out, const int32_t *p, size_t n)
{
	size_t k = 0;
	const char *v;

	while (k < n && k < NAME_MAX_POINTS && in_name(p[k]))
		k++;
	if (k == 0)
		return 0;
	if (k < n && p[k] == ';')
		k++;
	v = entity_find(p, k);
	for (size_t m = k; v || m > 1; v = entity_find(p, --m)) {
		if (!v)
			continue;
		points_add_utf8(out, v, strlen(v));
		points_append(out, p + m, k - m);
		return k;
	}
	points_add(out, '&');
	points_append(out, p, k);
	return k;
}

void
dc_html_unescape(struct dc_points *out, const struct dc_points *in)
{
	out->n = 0;
	for (size_t i = 0; i < in->n;) {
		const int32_t *p = in->p + i + 1;
		size_t left = in->n - i - 1, k = 0;

		if (in->p[i] == '&' && left > 0)
			k = *p == '#' ? unescape_numeric(out, p, left) : unescape_named(out, p, left);
		if (k == 0)
			points_add(out, in->p[i]);
		i += 1 + k;
	}
}

/* --- the repair's entities: only those that end in ";", and names in capitals --- */

static int
is_alnum(int32_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Whether HTML5 reads p (a name with its ";") as anything. */
static int
entity_known(const int32_t *p, size_t n)
{
	for (size_t m = n; m > 1; m--)
		if (entity_find(p, m))
			return 1;
	return 0;
}

/* "EACUTE;": the capital of "eacute;" where HTML5 itself has no such name. */
static int
repair_capitals(struct dc_points *out, const int32_t *p, size_t n)
{
	int32_t low[NAME_MAX_POINTS];
	const char *v;
	size_t first = out->n;

	for (size_t i = 0; i < n; i++) {
		if (p[i] >= 'a' && p[i] <= 'z')
			return 0;
		low[i] = p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i];
	}
	v = entity_find(low, n);
	if (!v || entity_known(p, n))
		return 0;
	points_add_utf8(out, v, strlen(v));
	for (size_t i = first; i < out->n; i++)
		if (out->p[i] != 0xDF)
			out->p[i] = utf8proc_toupper(out->p[i]);
	if (out->n == first + 1 && out->p[first] == 0xDF) {  /* sharp s: SS */
		out->p[first] = 'S';
		points_add(out, 'S');
	}
	return 1;
}

/* An entity of 1..24 letters and digits and ";" at p (after "&"). Return the points read, 0: leave it as it is. */
static size_t
repair_entity(struct dc_points *out, const int32_t *p, size_t n)
{
	size_t hash = n > 0 && *p == '#', k = hash, first = out->n;
	const char *v;

	while (k < n && k - hash < 24 && is_alnum(p[k]))
		k++;
	if (k == hash || k == n || p[k] != ';')
		return 0;
	k++;
	if (hash) {
		size_t read = unescape_numeric(out, p, k);
		int semicolon = out->n > first && out->p[first] == ';';

		if (read == k && !semicolon)
			return k;
		out->n = first;
		return 0;
	}
	if ((v = entity_find(p, k))) {
		points_add_utf8(out, v, strlen(v));
		return k;
	}
	return repair_capitals(out, p, k) ? k : 0;
}

static void
repair_entities(struct dc_points *out, const struct dc_points *in)
{
	out->n = 0;
	for (size_t i = 0; i < in->n;) {
		size_t k = in->p[i] == '&' ? repair_entity(out, in->p + i + 1, in->n - i - 1) : 0;

		if (k == 0)
			points_add(out, in->p[i]);
		i += 1 + k;
	}
}

/* --- the repair's single characters --- */

static const struct { int32_t cp; const char *value; } ligatures[] = {
	{ 0x132, "IJ" }, { 0x133, "ij" }, { 0x149, "\312\274n" }, { 0x1C4, "D\305\275" }, { 0x1C5, "D\305\276" },
	{ 0x1C6, "d\305\276" }, { 0x1C7, "LJ" }, { 0x1C8, "Lj" }, { 0x1C9, "lj" }, { 0x1CA, "NJ" }, { 0x1CB, "Nj" },
	{ 0x1CC, "nj" }, { 0x1F1, "DZ" }, { 0x1F2, "Dz" }, { 0x1F3, "dz" }, { 0xFB00, "ff" }, { 0xFB01, "fi" },
	{ 0xFB02, "fl" }, { 0xFB03, "ffi" }, { 0xFB04, "ffl" }, { 0xFB05, "\305\277t" }, { 0xFB06, "st" },
};

static int
is_ligature(int32_t c)
{
	return c == 0x132 || c == 0x133 || c == 0x149 || (c >= 0x1C4 && c <= 0x1CC) || (c >= 0x1F1 && c <= 0x1F3) ||
	    (c >= 0xFB00 && c <= 0xFB06);
}

static void
repair_ligature(struct dc_points *out, int32_t c)
{
	for (size_t i = 0; i < sizeof ligatures / sizeof *ligatures; i++)
		if (ligatures[i].cp == c)
			points_add_utf8(out, ligatures[i].value, strlen(ligatures[i].value));
}

/* Full- and half-width forms: their compatibility decomposition, composed. */
static void
repair_width(struct dc_points *out, int32_t c)
{
	char s[4];
	utf8proc_uint8_t *d = NULL;
	utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)s, dc_utf8_put(s, c), &d,
	    UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT);

	if (n >= 0)
		points_add_utf8(out, (const char *)d, (size_t)n);
	else
		points_add(out, c);
	free(d);
}

static int32_t
repair_quote(int32_t c)
{
	if (c == 0x2BC || (c >= 0x2018 && c <= 0x201B))
		return '\'';
	return c >= 0x201C && c <= 0x201F ? '"' : c;
}

static int
is_control(int32_t c)
{
	return c < 9 || c == 0xB || (c >= 0xE && c < 0x20) || c == 0x7F || (c >= 0x206A && c < 0x2070) || c == 0xFEFF ||
	    (c >= 0xFFF9 && c < 0xFFFD);
}

/* ESC [ digits and ";" letter: its length, 0 if there is none at p. */
static size_t
terminal_escape(const int32_t *p, size_t n)
{
	size_t k = 2;

	if (n < 3 || p[0] != 0x1B || p[1] != '[')
		return 0;
	while (k < n && ((p[k] >= '0' && p[k] <= '9') || p[k] == ';'))
		k++;
	return k < n && is_alnum(p[k]) && p[k] > '9' ? k + 1 : 0;
}

/* A carriage return and the separators of lines and paragraphs are a line's end. */
static void
repair_characters(struct dc_points *out, const struct dc_points *in)
{
	out->n = 0;
	for (size_t i = 0; i < in->n; i++) {
		int32_t c = windows_1252(in->p[i]);

		if (is_ligature(c))
			repair_ligature(out, c);
		else if (c > 0xFF00 && c < 0xFFF0)
			repair_width(out, c);
		else if (c == 0x3000)
			points_add(out, ' ');
		else if (c == '\r' || c == 0x2028 || c == 0x2029)
			points_add(out, '\n');
		else
			points_add(out, repair_quote(c));
	}
}

/* In place. */
static void
remove_controls(struct dc_points *p)
{
	size_t n = 0, k;

	for (size_t i = 0; i < p->n; i++) {
		if ((k = terminal_escape(p->p + i, p->n - i)) > 0)
			i += k - 1;
		else if (!is_control(p->p[i]))
			p->p[n++] = p->p[i];
	}
	p->n = n;
}

/* --- NFC --- */

static size_t
points_utf8(const struct dc_points *in, char **s)
{
	size_t n = 0;

	*s = dc_xmalloc(in->n * 4 + 1);
	for (size_t i = 0; i < in->n; i++)
		n += (size_t)dc_utf8_put(*s + n, in->p[i]);
	(*s)[n] = 0;
	return n;
}

/* Nothing below U+0300 composes or is composed. */
static int
needs_nfc(const struct dc_points *in)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->p[i] >= 0x300)
			return 1;
	return 0;
}

static void
normalise(struct dc_points *p)
{
	char *s;
	size_t n;
	utf8proc_uint8_t *d = NULL;
	utf8proc_ssize_t k;

	if (!needs_nfc(p))
		return;
	n = points_utf8(p, &s);
	k = utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &d, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
	if (k >= 0)
		dc_points_from_utf8(p, (const char *)d, (size_t)k);
	free(d);
	free(s);
}

static int
points_have(const struct dc_points *p, int32_t c)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->p[i] == c)
			return 1;
	return 0;
}

/* One line, in c->line, in place. c->b is room. An entity's own characters may need repair: until nothing changes. */
static void
repair_line(struct dc_clean *c, int unescape)
{
	struct dc_points before = { 0 };

	for (int i = 0; i < REPAIRS_MAX; i++) {
		before.n = 0;
		points_append(&before, c->line.p, c->line.n);
		if (unescape) {
			repair_entities(&c->b, &c->line);
			points_swap(&c->b, &c->line);
		}
		repair_characters(&c->b, &c->line);
		points_swap(&c->b, &c->line);
		remove_controls(&c->line);
		normalise(&c->line);
		if (before.n == c->line.n && (before.n == 0 || !memcmp(before.p, c->line.p, before.n * sizeof *before.p)))
			break;
	}
	free(before.p);
}

/* c->a repaired, in place. From the first line with a "<" on, the text is taken for HTML and its entities are left. */
static void
repair(struct dc_clean *c)
{
	struct dc_points whole = { 0 };
	int unescape = 1;

	for (size_t i = 0, end; i < c->a.n; i = end) {
		for (end = i; end < c->a.n && c->a.p[end] != '\n'; end++)
			;
		end += end < c->a.n;
		c->line.n = 0;
		points_append(&c->line, c->a.p + i, end - i);
		unescape = unescape && !points_have(&c->line, '<');
		repair_line(c, unescape);
		points_append(&whole, c->line.p, c->line.n);
	}
	points_swap(&whole, &c->a);
	free(whole.p);
}

/* --- white space --- */

static int
is_space(int32_t c)
{
	return (c >= 9 && c <= 0xD) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
	    c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* In place. */
static void
collapse(struct dc_points *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (!is_space(p->p[i]))
			p->p[n++] = p->p[i];
		else if (n > 0 && p->p[n - 1] != ' ')
			p->p[n++] = ' ';
	}
	p->n = n > 0 && p->p[n - 1] == ' ' ? n - 1 : n;
}

/* --- lower case --- */

/* Unicode's Cased: the categories Lu, Ll, Lt and what Other_Uppercase and Other_Lowercase add outside Case_Ignorable. */
static int
is_cased(int32_t c)
{
	utf8proc_category_t k = utf8proc_category(c);

	return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT || c == 0xAA || c == 0xBA ||
	    (c >= 0x2160 && c <= 0x217F) || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
	    (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

/* Unicode's Case_Ignorable: Mn Me Cf Lm Sk, and the punctuation that stands inside words. */
static int
is_case_ignorable(int32_t c)
{
	static const int32_t inside[] = { '\'', '.', ':', 0xB7, 0x387, 0x55F, 0x5F4, 0x2018, 0x2019, 0x2024, 0x2027,
		0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A };
	utf8proc_category_t k = utf8proc_category(c);

	for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
		if (inside[i] == c)
			return 1;
	return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
	    k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK;
}

/* Unicode's Final_Sigma: a cased letter before, none after, case-ignorable ones not counted. `before` says the first;
 * look for the second. */
static int
cased_after(const struct dc_points *in, size_t i)
{
	for (i++; i < in->n && is_case_ignorable(in->p[i]); i++)
		;
	return i < in->n && is_cased(in->p[i]);
}

void
dc_lower(struct dc_points *out, const struct dc_points *in)
{
	int cased = 0;  /* the last character that is not case-ignorable was cased */

	out->n = 0;
	for (size_t i = 0; i < in->n; i++) {
		int32_t c = in->p[i];

		if (c < 0x80) {
			points_add(out, c >= 'A' && c <= 'Z' ? c + 32 : c);
		} else if (c == 0x130) {
			points_add(out, 'i');
			points_add(out, 0x307);
		} else if (c == 0x3A3) {
			points_add(out, cased && !cased_after(in, i) ? 0x3C2 : 0x3C3);
		} else {
			points_add(out, utf8proc_tolower(c));
		}
		if (!is_case_ignorable(c))
			cased = is_cased(c);
	}
}

/* --- all of it --- */

static void
text_from_points(struct dc_clean *c)
{
	if (c->cap < c->a.n * 4 + 1) {
		c->cap = c->a.n * 8 + 64;
		c->text = dc_xrealloc(c->text, c->cap, 1);
	}
	c->n = 0;
	for (size_t i = 0; i < c->a.n; i++)
		c->n += (size_t)dc_utf8_put(c->text + c->n, c->a.p[i]);
	c->text[c->n] = 0;
}

/* Printable ASCII without "&", which is most captions: spaces and lower case are all there is to do. */
static int
plain(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] < ' ' || s[i] > '~' || s[i] == '&')
			return 0;
	return 1;
}

static void
clean_plain(struct dc_clean *c, const char *s, size_t n)
{
	if (c->cap < n + 1) {
		c->cap = n * 2 + 64;
		c->text = dc_xrealloc(c->text, c->cap, 1);
	}
	c->n = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] != ' ')
			c->text[c->n++] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
		else if (c->n > 0 && c->text[c->n - 1] != ' ')
			c->text[c->n++] = ' ';
	}
	c->n -= c->n > 0 && c->text[c->n - 1] == ' ';
	c->text[c->n] = 0;
}

void
dc_clean_text(struct dc_clean *c, const char *s, size_t n)
{
	if (plain(s, n)) {
		clean_plain(c, s, n);
		return;
	}
	dc_points_from_utf8(&c->a, s, n);
	repair(c);
	dc_html_unescape(&c->b, &c->a);
	dc_html_unescape(&c->a, &c->b);
	collapse(&c->a);
	dc_lower(&c->b, &c->a);
	points_swap(&c->a, &c->b);
	text_from_points(c);
}

void
dc_clean_free(struct dc_clean *c)
{
	free(c->text);
	free(c->a.p);
	free(c->b.p);
	free(c->line.p);
	*c = (struct dc_clean){ 0 };
}
