/* SPDX-License-Identifier: MIT */
#include "stream/check.h"

#include <utf8proc.h>

#include <stdint.h>

struct walk { const unsigned char *p; size_t n, at; uint32_t objects; };

/* The second byte's range follows from the first (Unicode 15, table 3-7). */
int
dc_check_utf8(const unsigned char *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		unsigned char c = p[i++];
		unsigned lo = 0x80, hi = 0xbf;
		int more = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : -1;

		if (c == 0xe0)
			lo = 0xa0;
		else if (c == 0xed)
			hi = 0x9f;
		else if (c == 0xf0)
			lo = 0x90;
		else if (c == 0xf4)
			hi = 0x8f;
		if (more < 0 || n - i < (size_t)more)
			return 0;
		for (; more; more--, lo = 0x80, hi = 0xbf, i++)
			if (p[i] < lo || p[i] > hi)
				return 0;
	}
	return 1;
}

static int
take_length(struct walk *w, int bytes, uint64_t *len)
{
	DC_CHECK(w->n - w->at >= (size_t)bytes, "body cut off at its byte %zu", w->at);
	for (*len = 0; bytes; bytes--)
		*len = *len << 8 | w->p[w->at++];
	return 0;
}

static int
take_bytes(struct walk *w, uint64_t len, int utf8)
{
	DC_CHECK(len <= w->n - w->at, "a value of %llu bytes at byte %zu of the body, where %zu are left",
	    (unsigned long long)len, w->at, w->n - w->at);
	DC_CHECK(!utf8 || dc_check_utf8(w->p + w->at, (size_t)len), "a string at byte %zu of the body is not UTF-8", w->at);
	w->at += (size_t)len;
	return 0;
}

static int walk(struct walk *w, int depth, int key);

static int
walk_items(struct walk *w, int depth, uint64_t items, int map)
{
	DC_CHECK(items * (map ? 2 : 1) <= w->n - w->at, "%llu items announced at byte %zu of the body, where %zu bytes are left",
	    (unsigned long long)items, w->at, w->n - w->at);
	DC_CHECK(depth < DC_CHECK_DEPTH, "nested deeper than %d levels at byte %zu of the body", DC_CHECK_DEPTH, w->at);
	for (uint64_t i = 0; i < items; i++) {
		if (map)
			DC_TRY(walk(w, depth + 1, depth ? 1 : 2));
		DC_TRY(walk(w, depth + 1, 0));
	}
	return 0;
}

/* One value. key: 0 no key, 1 a key (string or bytes), 2 a key of the body itself (string). */
static int
walk(struct walk *w, int depth, int key)
{
	uint64_t len;
	size_t at = w->at;
	unsigned c;
	int str, bin;

	DC_CHECK(w->at < w->n, "body cut off at its byte %zu", w->at);
	DC_CHECK(++w->objects <= DC_CHECK_OBJECTS, "more than %d values in one body", DC_CHECK_OBJECTS);
	c = w->p[w->at++];
	str = (c & 0xe0) == 0xa0 || (c >= 0xd9 && c <= 0xdb);
	bin = c >= 0xc4 && c <= 0xc6;
	DC_CHECK(!key || str || (key == 1 && bin), "the key at byte %zu of the body is not a string", at);
	DC_CHECK(depth || (c & 0xf0) == 0x80 || c == 0xde || c == 0xdf, "the body is not a map");
	if (c < 0x80 || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3)
		return 0;
	if (c < 0x90)
		return walk_items(w, depth, c & 15, 1);
	if (c < 0xa0)
		return walk_items(w, depth, c & 15, 0);
	if (c < 0xc0)
		return take_bytes(w, c & 31, 1);
	switch (c) {
	case 0xc4: case 0xc5: case 0xc6:
		DC_TRY(take_length(w, 1 << (c - 0xc4), &len));
		return take_bytes(w, len, 0);
	case 0xd9: case 0xda: case 0xdb:
		DC_TRY(take_length(w, 1 << (c - 0xd9), &len));
		return take_bytes(w, len, 1);
	case 0xca: case 0xce: case 0xd2:
		return take_bytes(w, 4, 0);
	case 0xcb: case 0xcf: case 0xd3:
		return take_bytes(w, 8, 0);
	case 0xcc: case 0xd0:
		return take_bytes(w, 1, 0);
	case 0xcd: case 0xd1:
		return take_bytes(w, 2, 0);
	case 0xdc: case 0xdd:
		DC_TRY(take_length(w, c == 0xdc ? 2 : 4, &len));
		return walk_items(w, depth, len, 0);
	case 0xde: case 0xdf:
		DC_TRY(take_length(w, c == 0xde ? 2 : 4, &len));
		return walk_items(w, depth, len, 1);
	}
	return dc_err_set("a value of type 0x%02x at byte %zu of the body: extension types are refused", c, at);
}

int
dc_check_body(const unsigned char *p, size_t n)
{
	struct walk w = { .p = p, .n = n };

	DC_TRY(walk(&w, 0, 0));
	DC_CHECK(w.at == n, "%zu bytes too many after the body's map", n - w.at);
	return 0;
}

char *
dc_utf8(const char *s)
{
	char *copy = dc_xstrdup(s), *p = copy;
	utf8proc_int32_t c;

	while (*p) {
		utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)p, -1, &c);
		if (n <= 0)
			*p = '?';
		p += n > 0 ? n : 1;
	}
	return copy;
}
