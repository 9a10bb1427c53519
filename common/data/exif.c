/* SPDX-License-Identifier: MIT */
#include "data/exif.h"

#include <stdlib.h>
#include <string.h>

enum { ORIENTATION = 274, ABSENT = -1, UNREADABLE = -2 };

struct span { const unsigned char *p; size_t n; };

/* What the files carry, wherever it lies in them. */
struct metadata {
	struct span exif, xmp;
	unsigned char *joined; /* EXIF in several pieces, put together */
};

/* n bytes at `at` hold what s says. */
static int
starts(struct span s, const char *with, size_t n)
{
	return s.n >= n && !memcmp(s.p, with, n);
}

static struct span
after(struct span s, size_t n)
{
	return (struct span){ s.p + n, s.n - n };
}

/* n bytes, big-endian or little-endian */
static uint64_t
number(const unsigned char *p, int n, int big)
{
	uint64_t x = 0;

	for (int i = 0; i < n; i++)
		x = x << 8 | p[big ? i : n - 1 - i];
	return x;
}

/* --- TIFF --- */

/* Bytes of a value of a TIFF type; 0: unknown. */
static unsigned
unit(unsigned type)
{
	static const unsigned char bytes[] = { 0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8 };

	return type < sizeof bytes ? bytes[type] : 0;
}

/* The first of an entry's values, of a type that is an integer; else 0. */
static int64_t
value(const unsigned char *p, unsigned type, int big)
{
	switch (type) {
	case 3:           return number(p, 2, big);
	case 4: case 13:  return number(p, 4, big);
	case 6:           return (int8_t)*p;
	case 8:           return (int16_t)number(p, 2, big);
	case 9:           return (int32_t)number(p, 4, big);
	case 16:          return (int64_t)number(p, 8, big);
	}
	return 0;
}

/* The orientation in a directory at `at`, or ABSENT. The entries are { tag u16, type u16, count u32, value or its offset
 * u32 }. The first of a tag counts; what lies outside ends the search. */
static int64_t
directory(struct span t, size_t at, int big)
{
	unsigned char seen[65536 / 8] = { 0 };
	uint64_t outside = 0;
	unsigned n;

	if (at > t.n || t.n - at < 2)
		return ABSENT;
	n = (unsigned)number(t.p + at, 2, big);
	for (at += 2; n > 0 && t.n - at >= 12; n--, at += 12) {
		const unsigned char *entry = t.p + at, *v = entry + 8;
		const unsigned tag = (unsigned)number(entry, 2, big), type = (unsigned)number(entry + 2, 2, big);
		const uint64_t bytes = number(entry + 4, 4, big) * unit(type);

		if (seen[tag / 8] >> tag % 8 & 1 || bytes == 0)
			continue;
		if (bytes > 4) {
			const uint64_t offset = number(v, 4, big);

			if ((outside += bytes) > t.n) /* more than there is in all: passed over */
				continue;
			if (offset > t.n || bytes > t.n - offset)
				return ABSENT;
			v = t.p + offset;
		}
		if (tag == ORIENTATION)
			return value(v, type, big);
		seen[tag / 8] |= 1 << tag % 8;
	}
	return ABSENT;
}

/* EXIF is a TIFF file, behind "Exif\0\0" once or twice or not. */
static int64_t
from_exif(struct span t)
{
	static const char header[][4] = { "MM\0*", "MM*\0", "II*\0", "II\0*" };

	for (int i = 0; i < 2 && starts(t, "Exif\0\0", 6); i++)
		t = after(t, 6);
	if (t.n == 0)
		return ABSENT;
	for (int i = 0; i < 4; i++)
		if (t.n >= 8 && starts(t, header[i], 4))
			return directory(t, number(t.p + 4, 4, i < 2), i < 2);
	return UNREADABLE;
}

/* The first tiff:Orientation="N or tiff:Orientation>N. */
static int64_t
from_xmp(struct span s)
{
	static const char name[] = "tiff:Orientation";
	const size_t len = sizeof name - 1;

	for (const unsigned char *p; (p = memmem(s.p, s.n, name, len));) {
		s = after(s, (size_t)(p - s.p) + len);
		if (starts(s, "=\"", 2) && s.n > 2 && s.p[2] >= '0' && s.p[2] <= '9')
			return s.p[2] - '0';
		if (starts(s, ">", 1) && s.n > 1 && s.p[1] >= '0' && s.p[1] <= '9')
			return s.p[1] - '0';
	}
	return ABSENT;
}

/* --- the containers --- */

/* The pieces of a long EXIF follow each other, each with its own "Exif\0\0". */
static void
add_exif(struct metadata *m, struct span s)
{
	int in_file;

	if (!m->exif.p) {
		m->exif = s;
		return;
	}
	s = after(s, 6);
	in_file = !m->joined;
	m->joined = dc_xrealloc(m->joined, m->exif.n + s.n, 1);
	if (in_file)
		memcpy(m->joined, m->exif.p, m->exif.n);
	memcpy(m->joined + m->exif.n, s.p, s.n);
	m->exif = (struct span){ m->joined, m->exif.n + s.n };
}

/* Segments FF marker, length u16 with itself, up to the first scan. */
static void
search_jpeg(struct metadata *m, struct span f)
{
	static const char xmp[] = "http://ns.adobe.com/xap/1.0/";

	f = after(f, 2);
	while (f.n >= 4) {
		const int marker = f.p[1];
		size_t n = number(f.p + 2, 2, 1);
		struct span s;

		if (f.p[0] != 0xff || marker == 0xff || marker == 0 || (marker >= 0xd0 && marker <= 0xd9)) {
			f = after(f, f.p[0] != 0xff || marker == 0xff ? 1 : 2);
			continue;
		}
		n = n < 2 ? 2 : n;
		if (marker == 0xda || f.n - 2 < n)
			return;
		s = (struct span){ f.p + 4, n - 2 };
		if (marker == 0xe1 && starts(s, "Exif\0\0", 6))
			add_exif(m, s);
		else if (marker == 0xe1 && starts(s, xmp, sizeof xmp))
			m->xmp = after(s, sizeof xmp);
		f = after(f, 2 + n);
	}
}

/* iTXt: "XML:com.adobe.xmp" NUL, compressed (0), method, language NUL, translated keyword NUL, text */
static struct span
png_xmp(struct span s)
{
	static const char key[] = "XML:com.adobe.xmp";
	const unsigned char *end;

	if (!starts(s, key, sizeof key) || s.n < sizeof key + 2 || s.p[sizeof key] != 0)
		return (struct span){ 0 };
	s = after(s, sizeof key + 2);
	for (int i = 0; i < 2; i++) {
		if (!(end = memchr(s.p, 0, s.n)))
			return (struct span){ 0 };
		s = after(s, (size_t)(end - s.p) + 1);
	}
	return s;
}

/* Chunks: length u32, type, data, CRC u32. */
static void
search_png(struct metadata *m, struct span f)
{
	f = after(f, 8);
	while (f.n >= 12) {
		const size_t n = number(f.p, 4, 1);
		const struct span s = { f.p + 8, n };

		if (n > f.n - 12)
			return;
		if (!memcmp(f.p + 4, "eXIf", 4))
			m->exif = s;
		else if (!memcmp(f.p + 4, "iTXt", 4) && png_xmp(s).p)
			m->xmp = png_xmp(s);
		f = after(f, 12 + n);
	}
}

/* RIFF chunks: type, length u32, data, padded to an even length. Metadata only stand behind VP8X, whose flags say which. */
static void
search_webp(struct metadata *m, struct span f)
{
	int flags;

	f = after(f, 12);
	if (!starts(f, "VP8X", 4) || f.n < 18)
		return;
	flags = f.p[8];
	while (f.n >= 8) {
		const size_t n = number(f.p + 4, 4, 0);
		const struct span s = { f.p + 8, n };

		if (n > f.n - 8)
			return;
		if (flags & 8 && !memcmp(f.p, "EXIF", 4) && !m->exif.p)
			m->exif = s;
		if (flags & 4 && !memcmp(f.p, "XMP ", 4) && !m->xmp.p)
			m->xmp = s;
		if (n + n % 2 > f.n - 8)
			return;
		f = after(f, 8 + n + n % 2);
	}
}

int
dc_exif_orientation(const unsigned char *file, size_t n)
{
	static void (*const search[])(struct metadata *, struct span) = {
		[DC_IMAGE_JPEG] = search_jpeg, [DC_IMAGE_PNG] = search_png, [DC_IMAGE_WEBP] = search_webp };
	const enum dc_image_format format = dc_image_format(file, n);
	struct metadata m = { 0 };
	int64_t found = ABSENT;

	if (format == DC_IMAGE_UNKNOWN)
		return 1;
	search[format](&m, (struct span){ file, n });
	if (m.exif.p)
		found = from_exif(m.exif);
	if (m.xmp.p && found == ABSENT)
		found = from_xmp(m.xmp);
	free(m.joined);
	return found >= 1 && found <= 8 ? (int)found : 1;
}

/* --- turning --- */

void
dc_image_turn(struct dc_image *im, int orientation)
{
	/* which way the source is read: x backwards, y backwards, along its columns */
	static const unsigned char way[9][3] = { { 0 }, { 0 }, { 1, 0, 0 }, { 1, 1, 0 }, { 0, 1, 0 }, { 0, 0, 1 }, { 0, 1, 1 },
		{ 1, 1, 1 }, { 1, 0, 1 } };
	const unsigned char *w = way[orientation >= 2 && orientation <= 8 ? orientation : 0];
	const ptrdiff_t row = (ptrdiff_t)im->width * 3, step_x = w[0] ? -3 : 3, step_y = w[1] ? -row : row;
	const unsigned char *first = im->rgb + (w[0] ? row - 3 : 0) + (w[1] ? row * (im->height - 1) : 0);
	const int width = w[2] ? im->height : im->width, height = w[2] ? im->width : im->height;
	unsigned char *out, *to;

	if (!w[0] && !w[1] && !w[2])
		return;
	to = out = dc_xmalloc((size_t)width * (size_t)height * 3);
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++, to += 3)
			memcpy(to, first + (w[2] ? y * step_x + x * step_y : y * step_y + x * step_x), 3);
	free(im->rgb);
	*im = (struct dc_image){ width, height, out, (size_t)width * (size_t)height * 3 };
}
