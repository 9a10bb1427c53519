/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <utf8proc.h>

#include "base/util.h"
#include "text/points.h"

void
dc_points_reserve(struct dc_points *o, size_t more)
{
	if (o->n + more <= o->cap)
		return;
	o->cap = (o->n + more) * 2 + 64;
	o->p = dc_xrealloc(o->p, o->cap, sizeof *o->p);
}

void
dc_points_append(struct dc_points *o, const int32_t *p, size_t n)
{
	dc_points_reserve(o, n);
	if (n > 0)
		memcpy(o->p + o->n, p, n * sizeof *p);
	o->n += n;
}

void
dc_points_swap(struct dc_points *a, struct dc_points *b)
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

/* Bytes of the longest beginning of a character at u, which is no whole character; at least 1. */
static int
broken_bytes(const unsigned char *u, size_t n)
{
	unsigned char lo = u[0] == 0xE0 ? 0xA0 : u[0] == 0xF0 ? 0x90 : 0x80;
	unsigned char hi = u[0] == 0xED ? 0x9F : u[0] == 0xF4 ? 0x8F : 0xBF;

	if (u[0] < 0xE0 || u[0] > 0xF4 || n < 2 || u[1] < lo || u[1] > hi)
		return 1;
	return u[0] >= 0xF0 && n > 2 && u[2] >= 0x80 && u[2] <= 0xBF ? 3 : 2;
}

int
dc_utf8_get(const char *s, size_t n, int32_t *cp)
{
	const unsigned char *u = (const unsigned char *)s;
	utf8proc_int32_t c;
	utf8proc_ssize_t k;

	if (u[0] < 0x80) {
		*cp = u[0];
		return 1;
	}
	k = utf8proc_iterate(u, n > 4 ? 4 : (utf8proc_ssize_t)n, &c);
	*cp = k > 0 ? c : DC_REPLACEMENT;
	return k > 0 ? (int)k : broken_bytes(u, n);
}

void
dc_points_add_utf8(struct dc_points *o, const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		int32_t cp;

		i += (size_t)dc_utf8_get(s + i, n - i, &cp);
		dc_points_add(o, cp);
	}
}

void
dc_points_from_utf8(struct dc_points *o, const char *s, size_t n)
{
	o->n = 0;
	dc_points_add_utf8(o, s, n);
}

int
dc_is_space(int32_t c)
{
	return (c >= 9 && c <= 0xD) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
	    c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}
