/* SPDX-License-Identifier: MIT */
/* Code points being worked on: a growing array of them, and UTF-8.
 *
 *	struct dc_points p = { 0 };
 *	dc_points_from_utf8(&p, s, n);
 *	free(p.p); */
#ifndef DC_TEXT_POINTS_H
#define DC_TEXT_POINTS_H

#include <stddef.h>
#include <stdint.h>

enum { DC_REPLACEMENT = 0xFFFD };

struct dc_points { int32_t *p; size_t n, cap; };

/* Room for `more` points behind the n. */
void dc_points_reserve(struct dc_points *o, size_t more);
/* p may be NULL where n is 0. */
void dc_points_append(struct dc_points *o, const int32_t *p, size_t n);
void dc_points_add_utf8(struct dc_points *o, const char *s, size_t n);
void dc_points_from_utf8(struct dc_points *o, const char *s, size_t n);  /* emptied first */
void dc_points_swap(struct dc_points *a, struct dc_points *b);

static inline void
dc_points_add(struct dc_points *o, int32_t cp)
{
	if (o->n == o->cap)
		dc_points_reserve(o, 1);
	o->p[o->n++] = cp;
}

/* One code point of valid UTF-8 as at most 4 bytes; return how many. */
int dc_utf8_put(char *out, int32_t cp);
/* The code point at s and the bytes it takes (n >= 1 given). What is not UTF-8 is U+FFFD, one for the longest beginning
 * of a character that stands there (1 to 3 bytes), as the Unicode standard recommends and Python decodes. */
int dc_utf8_get(const char *s, size_t n, int32_t *cp);

/* Python's str.isspace for what is left of the control characters: Unicode's White_Space. */
int dc_is_space(int32_t c);

#endif
