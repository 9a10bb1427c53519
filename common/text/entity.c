/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/entity.h"
#include "text/mojibake.h"

enum { NAME_MAX_POINTS = 32 };

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

/* The character of a numeric reference by HTML5's rules, -1 where it stands for nothing. */
static int32_t
numeric_value(int64_t c)
{
	if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		return DC_REPLACEMENT;
	if (c >= 0x80 && c < 0xA0)
		return dc_windows_1252((int32_t)c);
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
		dc_points_add(out, c);
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
		dc_points_add_utf8(out, v, strlen(v));
		dc_points_append(out, p + m, k - m);
		return k;
	}
	dc_points_add(out, '&');
	dc_points_append(out, p, k);
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
			dc_points_add(out, in->p[i]);
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

/* The text of n bytes in capitals. Of Unicode's one-to-many mappings, those of characters that have an entity. */
static void
add_capitals(struct dc_points *out, const char *s, size_t n)
{
	static const struct { int32_t cp; const char *upper; } many[] = { { 0xDF, "SS" }, { 0x149, "\312\274N" }, { 0xFB00, "FF" },
		{ 0xFB01, "FI" }, { 0xFB02, "FL" }, { 0xFB03, "FFI" }, { 0xFB04, "FFL" } };
	int32_t cp;

	for (size_t i = 0, k; i < n;) {
		i += (size_t)dc_utf8_get(s + i, n - i, &cp);
		for (k = 0; k < sizeof many / sizeof *many && many[k].cp != cp; k++)
			;
		if (k < sizeof many / sizeof *many)
			dc_points_add_utf8(out, many[k].upper, strlen(many[k].upper));
		else
			dc_points_add(out, utf8proc_toupper(cp));
	}
}

/* "EACUTE;": the capital of "eacute;" where HTML5 itself has no such name. */
static int
repair_capitals(struct dc_points *out, const int32_t *p, size_t n)
{
	int32_t low[NAME_MAX_POINTS];
	const char *v;

	for (size_t i = 0; i < n; i++) {
		if (p[i] >= 'a' && p[i] <= 'z')
			return 0;
		low[i] = p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i];
	}
	v = entity_find(low, n);
	if (!v || entity_known(p, n))
		return 0;
	add_capitals(out, v, strlen(v));
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
		dc_points_add_utf8(out, v, strlen(v));
		return k;
	}
	return repair_capitals(out, p, k) ? k : 0;
}

void
dc_entities_repair(struct dc_points *out, const struct dc_points *in)
{
	out->n = 0;
	for (size_t i = 0; i < in->n;) {
		size_t k = in->p[i] == '&' ? repair_entity(out, in->p + i + 1, in->n - i - 1) : 0;

		if (k == 0)
			dc_points_add(out, in->p[i]);
		i += 1 + k;
	}
}
