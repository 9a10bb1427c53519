/* SPDX-License-Identifier: MIT */
/* Orientations in files made here byte by byte, whole and broken; images turned upright. */
#include <stdlib.h>
#include <string.h>

#include "data/exif.h"
#include "tests/tap.h"

struct file { unsigned char b[4096]; size_t n; };

static void
put(struct file *f, const void *p, size_t n)
{
	memcpy(f->b + f->n, p, n);
	f->n += n;
}

static void
put_number(struct file *f, uint32_t x, int n, int big)
{
	for (int i = 0; i < n; i++)
		f->b[f->n++] = (unsigned char)(x >> 8 * (big ? n - 1 - i : i));
}

/* --- EXIF --- */

struct entry { uint32_t tag, type, count, value; };

/* A TIFF header and one directory; `cut` entries fewer than it says. */
static void
tiff(struct file *f, int big, const struct entry *e, int n, int cut)
{
	put(f, big ? "MM\0*" : "II*\0", 4);
	put_number(f, 8, 4, big);
	put_number(f, (uint32_t)n, 2, big);
	for (int i = 0; i < n - cut; i++) {
		const int one_short = e[i].type == 3 && e[i].count <= 2;

		put_number(f, e[i].tag, 2, big);
		put_number(f, e[i].type, 2, big);
		put_number(f, e[i].count, 4, big);
		put_number(f, e[i].value, one_short ? 2 : 4, big);
		put_number(f, 0, one_short ? 2 : 0, big);
	}
	if (!cut)
		put_number(f, 0, 4, big);
}

static void
segment(struct file *f, int marker, const char *head, size_t n_head, const struct file *body)
{
	put_number(f, 0xff00 | (uint32_t)marker, 2, 1);
	put_number(f, (uint32_t)(2 + n_head + body->n), 2, 1);
	put(f, head, n_head);
	put(f, body->b, body->n);
}

enum container { JPEG, PNG, PNG_LATE, WEBP, WEBP_NO_FLAG, CONTAINERS };

static const char *const container_name[] = { "JPEG", "PNG", "PNG behind the pixels", "WebP", "WebP whose flags deny it" };

static void
png_chunk(struct file *f, const char *type, const void *p, size_t n)
{
	put_number(f, (uint32_t)n, 4, 1);
	put(f, type, 4);
	put(f, p, n);
	put_number(f, 0, 4, 1);
}

static void
webp_chunk(struct file *f, const char *type, const void *p, size_t n)
{
	put(f, type, 4);
	put_number(f, (uint32_t)n, 4, 0);
	put(f, p, n);
	put_number(f, 0, (int)(n % 2), 0);
}

static const char xmp_head[] = "http://ns.adobe.com/xap/1.0/", itxt_head[] = "XML:com.adobe.xmp\0\0\0en\0x";

/* A file without pixels that carries EXIF and XMP (NULL: none). */
static struct file
wrap(enum container c, const struct file *exif, const struct file *xmp)
{
	struct file f = { .n = 0 }, none = { .n = 0 };
	const unsigned char flags[10] = { (unsigned char)(c == WEBP ? (exif ? 8 : 0) | (xmp ? 4 : 0) : 0) };

	if (c == JPEG) {
		put(&f, "\xff\xd8", 2);
		segment(&f, 0xe0, "JFIF\0\1\1\0\0\1\0\1\0", 14, &none);
		if (xmp)
			segment(&f, 0xe1, xmp_head, sizeof xmp_head, xmp);
		put(&f, "\xff", 1); /* a fill byte */
		if (exif)
			segment(&f, 0xe1, "Exif\0", 6, exif);
		put(&f, "\xff\xda\0\2", 4);
	} else if (c == PNG || c == PNG_LATE) {
		put(&f, "\x89PNG\r\n\x1a\n", 8);
		if (c == PNG_LATE)
			png_chunk(&f, "IDAT", "pixels", 6);
		if (exif)
			png_chunk(&f, "eXIf", exif->b, exif->n);
		if (xmp) {
			put(&none, itxt_head, sizeof itxt_head);
			put(&none, xmp->b, xmp->n);
			png_chunk(&f, "iTXt", none.b, none.n);
		}
		png_chunk(&f, "IEND", "", 0);
	} else {
		put(&f, "RIFF\0\0\0\0WEBP", 12);
		webp_chunk(&f, "VP8X", flags, 10);
		webp_chunk(&f, "ALPH", "odd", 3);
		if (exif)
			webp_chunk(&f, "EXIF", exif->b, exif->n);
		if (xmp)
			webp_chunk(&f, "XMP ", xmp->b, xmp->n);
	}
	return f;
}

static struct file
text(const char *s)
{
	struct file f = { .n = 0 };

	put(&f, s, strlen(s));
	return f;
}

/* From memory of its own, so that a sanitizer sees reads beyond. */
static int
orientation(const struct file *f, size_t n)
{
	unsigned char *p = malloc(n + !n);
	int o;

	memcpy(p, f->b, n);
	o = dc_exif_orientation(p, n);
	free(p);
	return o;
}

static void
test_containers(void)
{
	for (enum container c = 0; c < CONTAINERS; c++) {
		int right = 1, right_xmp = 1, both = 1;

		for (int o = 1; o <= 8; o++)
			for (int big = 0; big < 2; big++) {
				const struct entry e[] = { { 271, 2, 3, 0x414243 }, { 274, 3, 1, (uint32_t)o } };
				struct file exif = { .n = 0 }, xmp = text("<rdf tiff:Orientation=\"?\"/>"), f;
				const int want = c == WEBP_NO_FLAG ? 1 : o;

				xmp.b[23] = (unsigned char)('0' + o);
				tiff(&exif, big, e, 2, 0);
				f = wrap(c, &exif, NULL);
				right &= orientation(&f, f.n) == want;
				f = wrap(c, NULL, &xmp);
				right_xmp &= orientation(&f, f.n) == want;
				xmp.b[23] = '3';
				f = wrap(c, &exif, &xmp);
				both &= orientation(&f, f.n) == want;
			}
		ok(right, "%s: the eight orientations in either byte order", container_name[c]);
		ok(right_xmp, "%s: and in XMP", container_name[c]);
		ok(both, "%s: EXIF comes first", container_name[c]);
	}
}

/* An entry's type, count and place; each line: what Pillow makes of it. */
static void
test_entries(void)
{
	static const struct { const char *what; int n, cut; struct entry e[4]; int want; } t[] = {
		{ "a short", 1, 0, { { 274, 3, 1, 6 } }, 6 },
		{ "a long", 1, 0, { { 274, 4, 1, 6 } }, 6 },
		{ "a signed long", 1, 0, { { 274, 9, 1, 6 } }, 6 },
		{ "a byte", 1, 0, { { 274, 1, 1, 6 } }, 1 },
		{ "text", 1, 0, { { 274, 2, 2, '6' } }, 1 },
		{ "of an unknown type", 1, 0, { { 274, 99, 1, 6 } }, 1 },
		{ "two shorts: the first counts", 1, 0, { { 274, 3, 2, 6 } }, 6 },
		{ "no value at all", 1, 0, { { 274, 3, 0, 6 } }, 1 },
		{ "no value, then one", 2, 0, { { 274, 3, 0, 6 }, { 274, 3, 1, 7 } }, 7 },
		{ "two of them: the first counts", 2, 0, { { 274, 3, 1, 5 }, { 274, 3, 1, 7 } }, 5 },
		{ "0", 1, 0, { { 274, 3, 1, 0 } }, 1 },
		{ "9", 1, 0, { { 274, 3, 1, 9 } }, 1 },
		{ "65542", 1, 0, { { 274, 4, 1, 65542 } }, 1 },
		{ "longs elsewhere", 2, 0, { { 271, 2, 1, 'A' }, { 274, 4, 2, 10 } }, 1 },
		{ "a value outside before it", 2, 0, { { 271, 2, 5, 1000 }, { 274, 3, 1, 6 } }, 1 },
		{ "a value outside behind it", 2, 0, { { 274, 3, 1, 6 }, { 305, 2, 5, 1000 } }, 6 },
		{ "a tag again, now outside", 3, 0, { { 271, 2, 1, 'A' }, { 271, 2, 5, 1000 }, { 274, 3, 1, 6 } }, 6 },
		{ "a value larger than all before it", 2, 0, { { 271, 2, 0xfffffff0, 8 }, { 274, 3, 1, 6 } }, 6 },
		{ "a cut directory before it", 3, 1, { { 271, 2, 1, 'A' }, { 272, 2, 1, 'B' }, { 274, 3, 1, 6 } }, 1 },
		{ "a cut directory behind it", 3, 1, { { 271, 2, 1, 'A' }, { 274, 3, 1, 6 }, { 305, 2, 1, 'B' } }, 6 },
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct file exif = { .n = 0 }, f;

		tiff(&exif, 0, t[i].e, t[i].n, t[i].cut);
		f = wrap(JPEG, &exif, NULL);
		ok(orientation(&f, f.n) == t[i].want, "%s: %d, wanted %d", t[i].what, orientation(&f, f.n), t[i].want);
	}
}

static void
is(const char *what, const void *exif, size_t n, const char *xmp, int want)
{
	struct file e = { .n = 0 }, x = text(xmp ? xmp : ""), f;

	put(&e, exif, n);
	f = wrap(JPEG, n ? &e : NULL, xmp ? &x : NULL);
	ok(orientation(&f, f.n) == want, "%s: %d, wanted %d", what, orientation(&f, f.n), want);
}

static void
test_odd(void)
{
#define DIRECTORY "\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"
	static const char sane[] = "II*\0\x8\0\0\0" DIRECTORY "\0\0\0", late[] = "II*\0\xc\0\0\0abcd" DIRECTORY "\0\0\0";
	static const char swapped[] = "II\0*\x8\0\0\0" DIRECTORY "\0\0\0", twice[] = "Exif\0\0II*\0\x8\0\0\0" DIRECTORY "\0\0\0";
	static const char xmp[] = "tiff:Orientation=\"8\"";
	const struct entry e[] = { { 274, 3, 1, 8 } };
	struct file exif = { .n = 0 }, a, b, f = { .n = 0 };

	is("a directory right behind the header", sane, sizeof sane, NULL, 6);
	is("a directory further on", late, sizeof late, NULL, 6);
	is("a header with the 42 the wrong way round", swapped, sizeof swapped, NULL, 6);
	is("Exif twice", twice, sizeof twice, NULL, 6);
	is("no TIFF header", "XX*\0\x8\0\0\0" DIRECTORY, 22, xmp, 1);
	is("half a TIFF header", "II*\0\x8", 5, xmp, 1);
	is("a directory that is not there", "II*\0\xff\xff\0\0", 8, NULL, 1);
	is("then XMP counts", "II*\0\xff\xff\0\0", 8, xmp, 8);
	is("EXIF without an orientation, and XMP", "II*\0\x8\0\0\0\0\0\0\0\0\0", 14, xmp, 8);
	is("XMP as an element", "", 0, "a<tiff:Orientation>5</tiff:Orientation>", 5);
	is("the first that has a digit", "", 0, "tiff:Orientation= tiff:Orientation=\"x\" tiff:Orientation>: tiff:Orientation>3 tiff:Orientation>4", 3);
	is("XMP that says 9", "", 0, "tiff:Orientation>9", 1);
	is("XMP that ends too early", "", 0, "tiff:Orientation=\"", 1);
	tiff(&exif, 1, e, 1, 0);
	a = b = (struct file){ .n = 0 };
	put(&a, exif.b, 15);
	put(&b, exif.b + 15, exif.n - 15);
	put(&f, "\xff\xd8", 2);
	segment(&f, 0xe1, "Exif\0", 6, &a);
	segment(&f, 0xe1, "Exif\0", 6, &(struct file){ .n = 0 });
	segment(&f, 0xe1, "Exif\0", 6, &b);
	put(&f, "\xff\xda\0\2", 4);
	ok(orientation(&f, f.n) == 8, "EXIF in three pieces: %d", orientation(&f, f.n));
	f.n = 2;
	put(&f, "\xff\xda\0\2", 4);
	segment(&f, 0xe1, "Exif\0", 6, &exif);
	ok(orientation(&f, f.n) == 1, "EXIF behind the first scan is not looked at");
	ok(dc_exif_orientation((const unsigned char *)"GIF89a", 6) == 1 && dc_exif_orientation(NULL, 0) == 1,
	    "what is no image is upright");
}

/* Whatever happens to a file, the answer is an orientation and no byte outside it is read. */
static void
test_damage(void)
{
	const struct entry e[] = { { 271, 2, 6, 10 }, { 282, 5, 1, 12 }, { 274, 3, 1, 6 }, { 305, 2, 9, 8 } };
	struct file exif = { .n = 0 }, xmp = text("<tiff:Orientation>7</tiff:Orientation>");
	unsigned x = 1;
	int fine = 1, kept = 0;

	tiff(&exif, 1, e, 4, 0);
	for (enum container c = 0; c < CONTAINERS; c++) {
		const struct file f = wrap(c, &exif, &xmp);

		for (size_t n = 0; n <= f.n; n++) {
			const int o = orientation(&f, n);
			fine &= o == 1 || o == 6 || o == 7;
		}
		for (int i = 0; i < 2000; i++) {
			struct file g = f;
			for (int k = 0; k < 3; k++) {
				x = x * 1664525 + 1013904223;
				g.b[(x >> 8) % g.n] ^= (unsigned char)(1 + (x >> 24) % 255);
			}
			const int o = orientation(&g, g.n);
			fine &= o >= 1 && o <= 8;
			kept += o == 6;
		}
	}
	ok(fine && kept > 1000, "cut and flipped files: an orientation each, %d times the right one", kept);
}

/* --- turning --- */

static void
test_turn(void)
{
	/* 3 x 2 pixels a b c / d e f, as Pillow's ImageOps.exif_transpose turns them */
	static const struct { int o, w, h; char want[7]; } t[] = {
		{ 0, 3, 2, "abcdef" }, { 1, 3, 2, "abcdef" }, { 2, 3, 2, "cbafed" }, { 3, 3, 2, "fedcba" }, { 4, 3, 2, "defabc" },
		{ 5, 2, 3, "adbecf" }, { 6, 2, 3, "daebfc" }, { 7, 2, 3, "fcebda" }, { 8, 2, 3, "cfbead" }, { 9, 3, 2, "abcdef" }
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct dc_image im = { 3, 2, dc_xmalloc(18), 18 };
		int same = 1;

		for (int k = 0; k < 18; k++)
			im.rgb[k] = (unsigned char)("abcdef"[k / 3] + 100 * (k % 3));
		dc_image_turn(&im, t[i].o);
		for (int k = 0; k < 18; k++)
			same &= im.rgb[k] == (unsigned char)(t[i].want[k / 3] + 100 * (k % 3));
		ok(same && im.width == t[i].w && im.height == t[i].h && im.cap == 18, "orientation %d", t[i].o);
		dc_image_free(&im);
	}
}

int
main(void)
{
	test_containers();
	test_entries();
	test_odd();
	test_damage();
	test_turn();
	return done_testing();
}
