/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "text/points.h"
#include "text/split.h"

static const struct range { int32_t first, last; char kind; } ranges[] = {
#include "text/letters.inc"
};

/* 'L' letter, 'N' number, 'S' space or nothing, 'O' any other. */
static char
kind_of(int32_t c)
{
	size_t lo = 0, hi = sizeof ranges / sizeof *ranges;

	if (c < 0x80)
		return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? 'L' : c >= '0' && c <= '9' ? 'N' :
		    c == ' ' || (c >= 9 && c <= 0xD) ? 'S' : 'O';
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (ranges[mid].last < c)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < sizeof ranges / sizeof *ranges && ranges[lo].first <= c ? ranges[lo].kind : 'O';
}

/* The kind of the character at s, its bytes in *k. */
static char
next_kind(const char *s, size_t n, size_t *k)
{
	int32_t c;

	*k = (size_t)dc_utf8_get(s, n, &c);
	return kind_of(c);
}

/* The length of 's 't 're 've 'm 'll 'd at s, 0 if there is none. U+017F is an s too. */
static size_t
ending(const char *s, size_t n)
{
	char a = n > 1 ? s[1] | 0x20 : 0, b = n > 2 ? s[2] | 0x20 : 0;

	if (n < 2 || s[0] != '\'')
		return 0;
	if (a == 's' || a == 't' || a == 'm' || a == 'd')
		return 2;
	if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l'))
		return 3;
	return n > 2 && !memcmp(s + 1, "\305\277", 2) ? 3 : 0;
}

const char *
dc_split_next(const char *text, size_t n, size_t *at, size_t *len)
{
	size_t i = *at, k, end;
	char kind = 'S';

	while (i < n && (kind = next_kind(text + i, n - i, &k)) == 'S')
		i += k;
	if (i >= n)
		return NULL;
	end = i + k;
	if (ending(text + i, n - i))
		end = i + ending(text + i, n - i);
	else if (kind != 'N')
		while (end < n && next_kind(text + end, n - end, &k) == kind)
			end += k;
	*at = end;
	*len = end - i;
	return text + i;
}
