/* SPDX-License-Identifier: MIT */
/* Compressed images to RGB: JPEG, PNG and WebP, told apart by their first bytes, never by a name.
 *
 *	struct dc_image im = { 0 };
 *	if (dc_image_decode(bytes, n, 25000000, &im) < 0)
 *		... dc_err() says why, in one line without tabs ...
 *	use(im.rgb, im.width, im.height);     // u8 [height, width, 3]
 *	dc_image_free(&im);
 *
 * The pixels are those of Pillow's Image.open(file).convert("RGB"), byte for byte where the codecs agree:
 *   JPEG  8 bits, baseline, extended, progressive or arithmetic; 1, 3 or 4 components; slow integer DCT, smooth
 *         upsampling. Four components are taken as inverted CMYK (Adobe's habit) and come out as
 *         R = k - C k / 255 rounded, k = 255 - K, likewise G and B.
 *   PNG   palette and gray are expanded, 16 bits keep their high byte, alpha is dropped.
 *   WebP  alpha is dropped; an animation is refused.
 * An orientation in EXIF is not applied: see data/exif.h.
 *
 * Which JPEG files are refused: those that do not begin with FF D8 FF; whose precision is not 8 bits or process is
 * not one of the above; that have a reserved or temporary marker (FF 01 .. FF BF) before the first scan; that
 * libjpeg calls an error, also in what stands between the last pixel and the end-of-image marker; and those whose
 * data end before the last pixel has been decoded (a progressive file therefore needs its end-of-image marker).
 * What libjpeg only warns of is accepted. */
#ifndef DC_DATA_IMAGE_H
#define DC_DATA_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"

enum { DC_IMAGE_SIDE_MAX = 65535 };

struct dc_image {
	int width, height;      /* pixels, each 1 .. DC_IMAGE_SIDE_MAX */
	unsigned char *rgb;     /* u8 [height, width, 3], owned; grows and is used again by the next decode */
	size_t cap;             /* bytes at rgb */
};

enum dc_image_format { DC_IMAGE_UNKNOWN, DC_IMAGE_JPEG, DC_IMAGE_PNG, DC_IMAGE_WEBP };

/* By the first bytes alone. */
enum dc_image_format dc_image_format(const unsigned char *bytes, size_t n);
const char *dc_image_format_name(enum dc_image_format f); /* "JPEG" ... */

/* Read only the header: the size in pixels, refused above max_pixels (0: no limit). Decodes nothing.
 * Return 0, or -1 with a message. */
int dc_image_header(const unsigned char *bytes, size_t n, uint64_t max_pixels, int *width, int *height) DC_MUST_USE;

/* Decode into *out (zero-initialised, or of an earlier decode). The header is checked against max_pixels (0: no limit)
 * before any pixel is decoded or room for it taken. Prints nothing; safe in many threads, each with its own *out.
 * Return 0, or -1 with a message; then *out holds nothing of use, but may be used again. */
int dc_image_decode(const unsigned char *bytes, size_t n, uint64_t max_pixels, struct dc_image *out) DC_MUST_USE;

/* The same, but only the pixels of part = left, top, width, height (inside the image) need be there afterwards: what lies
 * outside is of no use. *out has the size and layout of the whole image. Files that dc_image_decode refuses are refused. */
int dc_image_decode_part(const unsigned char *bytes, size_t n, uint64_t max_pixels, const int part[4], struct dc_image *out)
    DC_MUST_USE;

void dc_image_free(struct dc_image *im);

#endif
