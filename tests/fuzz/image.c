/* SPDX-License-Identifier: MIT */
/* An image: its header, its pixels, which way up it is. The header must tell what the decoder gives; a part must be that
 * part of the whole, refused where that is. */
#include <xxhash.h>

#include "data/exif.h"
#include "data/image.h"
#include "tests/fuzz/fuzz.h"

#ifdef DC_LIBFUZZER
#include <zlib.h>
#endif

enum { PIXELS_MAX = 1 << 16 };

/* A part of w x h that follows from the bytes. */
static void
some_part(int part[4], const uint8_t *p, size_t n, int w, int h)
{
	const uint64_t x = XXH3_64bits(p, n);

	part[2] = 1 + (int)(x % (uint64_t)w);
	part[3] = 1 + (int)(x / 97 % (uint64_t)h);
	part[0] = (int)(x / 9973 % (uint64_t)(w - part[2] + 1));
	part[1] = (int)(x / 999983 % (uint64_t)(h - part[3] + 1));
}

static void
same_part(const uint8_t *a, const uint8_t *b, int w, const int part[4])
{
	for (int y = part[1]; y < part[1] + part[3]; y++) {
		const size_t at = ((size_t)y * (size_t)w + (size_t)part[0]) * 3;

		FUZZ_CHECK(!memcmp(a + at, b + at, (size_t)part[2] * 3));
	}
}

static void
parts(const uint8_t *p, size_t n, const struct dc_image *whole)
{
	struct dc_image im = { 0 };
	int part[4];

	some_part(part, p, n, whole->width, whole->height);
	FUZZ_CHECK(dc_image_decode_part(p, n, PIXELS_MAX, part, &im) == 0);
	FUZZ_CHECK(im.width == whole->width && im.height == whole->height);
	same_part(im.rgb, whole->rgb, im.width, part);
	dc_image_free(&im);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct dc_image im = { 0 };
	int w = 0, h = 0, o, header;

	header = dc_image_header(p, n, PIXELS_MAX, &w, &h);
	o = dc_exif_orientation(p, n);
	FUZZ_CHECK(o >= 1 && o <= 8);
	if (dc_image_decode(p, n, PIXELS_MAX, &im) == 0) {
		FUZZ_CHECK(header == 0 && im.width == w && im.height == h && (int64_t)w * h <= PIXELS_MAX);
		fuzz_touch(im.rgb, (size_t)w * h * 3);
		parts(p, n, &im);
		dc_image_turn(&im, o);
		FUZZ_CHECK((int64_t)im.width * im.height == (int64_t)w * h);
		fuzz_touch(im.rgb, (size_t)w * h * 3);
	} else if (header == 0) {
		int part[4];

		some_part(part, p, n, w, h);
		FUZZ_CHECK(dc_image_decode_part(p, n, PIXELS_MAX, part, &im) < 0);
	}
	dc_image_free(&im);
	return 0;
}

#ifdef DC_LIBFUZZER
static uint32_t big(const uint8_t *p) { return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }

/* The checksum of every chunk of a PNG. */
static void
fix_png(uint8_t *p, size_t n)
{
	for (size_t at = 8, len; at + 12 <= n && (len = big(p + at)) <= n - at - 12; at += 12 + len) {
		uint32_t c = (uint32_t)crc32(0, p + at + 4, (uInt)len + 4);

		for (int i = 0; i < 4; i++)
			p[at + 8 + len + i] = (uint8_t)(c >> 8 * (3 - i));
	}
}

size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t n, size_t max, unsigned seed)
{
	n = LLVMFuzzerMutate(p, n, max);
	if (seed % 8 && dc_image_format(p, n) == DC_IMAGE_PNG)
		fix_png(p, n);
	return n;
}
#endif
