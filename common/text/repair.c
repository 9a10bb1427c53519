/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/util.h"
#include "text/entity.h"
#include "text/repair.h"

enum { ROUNDS_MAX = 32, SEGMENT_MAX = 1000000 };

static int
points_have(const struct dc_points *p, int32_t c)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->p[i] == c)
			return 1;
	return 0;
}

/* --- single characters --- */

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
			dc_points_add_utf8(out, ligatures[i].value, strlen(ligatures[i].value));
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
		dc_points_add_utf8(out, (const char *)d, (size_t)n);
	else
		dc_points_add(out, c);
	free(d);
}

/* C1 controls, ligatures, widths; r->room is overwritten. */
static void
repair_letters(struct dc_repair *r)
{
	struct dc_points *in = &r->line, *out = &r->room;

	out->n = 0;
	for (size_t i = 0; i < in->n; i++) {
		int32_t c = dc_windows_1252(in->p[i]);

		if (is_ligature(c))
			repair_ligature(out, c);
		else if (c > 0xFF00 && c < 0xFFF0)
			repair_width(out, c);
		else
			dc_points_add(out, c == 0x3000 ? ' ' : c);
	}
	dc_points_swap(in, out);
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

/* In place: quotes, and one "\n" for each end of a line, of which "\r", U+2028 and U+2029 are some too. */
static void
repair_quotes_and_lines(struct dc_points *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		int32_t c = p->p[i];

		if (c == '\r' && i + 1 < p->n && p->p[i + 1] == '\n')
			continue;
		p->p[n++] = c == '\r' || c == 0x2028 || c == 0x2029 ? '\n' : repair_quote(c);
	}
	p->n = n;
}

/* ESC [ digits and ";" letter: its length, 0 if there is none at p. Digits are those of any script. */
static size_t
terminal_escape(const int32_t *p, size_t n)
{
	size_t k = 2;

	if (n < 3 || p[0] != 0x1B || p[1] != '[')
		return 0;
	while (k < n && (p[k] == ';' || utf8proc_category(p[k]) == UTF8PROC_CATEGORY_ND))
		k++;
	return k < n && ((p[k] >= 'A' && p[k] <= 'Z') || (p[k] >= 'a' && p[k] <= 'z')) ? k + 1 : 0;
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

/* --- all of it --- */

/* Characters of which no step after the entities changes any, but for mojibake among them. */
static int
is_quiet(int32_t c)
{
	return (c >= ' ' && c < 0x7F) || c == '\n' || (c >= 0xA0 && c < 0x2BC && !is_ligature(c));
}

static int
all_quiet(const struct dc_points *p)
{
	size_t i = 0;

	while (i < p->n && is_quiet(p->p[i]))
		i++;
	return i == p->n;
}

static void
repair_once(struct dc_repair *r, int unescape)
{
	if (unescape && points_have(&r->line, '&')) {
		dc_entities_repair(&r->room, &r->line);
		dc_points_swap(&r->room, &r->line);
	}
	dc_mojibake_repair(&r->mojibake, &r->line);
	if (all_quiet(&r->line))
		return;
	repair_letters(r);
	repair_quotes_and_lines(&r->line);
	remove_controls(&r->line);
	normalise(&r->line);
}

/* r->line, in place. What a repair brings forth may need repair: until nothing changes. */
static void
repair_line(struct dc_repair *r, int unescape)
{
	for (int i = 0; i < ROUNDS_MAX; i++) {
		r->before.n = 0;
		dc_points_append(&r->before, r->line.p, r->line.n);
		repair_once(r, unescape);
		if (r->before.n == r->line.n && (r->line.n == 0 || !memcmp(r->before.p, r->line.p, r->line.n * sizeof *r->line.p)))
			break;
	}
}

void
dc_repair_text(struct dc_repair *r, struct dc_points *text)
{
	int unescape = 1;

	r->whole.n = 0;
	for (size_t i = 0, end; i < text->n; i = end) {
		for (end = i; end < text->n && end - i < SEGMENT_MAX - 1 && text->p[end] != '\n'; end++)
			;
		end += end < text->n;
		r->line.n = 0;
		dc_points_append(&r->line, text->p + i, end - i);
		unescape = unescape && !points_have(&r->line, '<');
		repair_line(r, unescape);
		dc_points_append(&r->whole, r->line.p, r->line.n);
	}
	dc_points_swap(&r->whole, text);
}

void
dc_repair_free(struct dc_repair *r)
{
	free(r->line.p);
	free(r->room.p);
	free(r->before.p);
	free(r->whole.p);
	dc_mojibake_free(&r->mojibake);
	*r = (struct dc_repair){ 0 };
}
