/* SPDX-License-Identifier: MIT */
/* Which way up an image is: what its file says, and turning it so. An image is first decoded, then:
 *
 *	dc_image_turn(&im, dc_exif_orientation(bytes, n));
 *
 * is what Pillow's ImageOps.exif_transpose does. */
#ifndef DC_DATA_EXIF_H
#define DC_DATA_EXIF_H

#include "data/image.h"

/* The orientation, 1 to 8, that a JPEG (APP1), PNG (eXIf, iTXt) or WebP (EXIF, XMP) file tells: EXIF's tag 274 in the
 * first directory, or else tiff:Orientation in XMP. 1, upright, where there is none or none that makes sense. Of broken
 * EXIF as much is read as Pillow reads: the entries before the first whose value lies outside; with a bad TIFF header
 * nothing, not even XMP. Not read: BigTIFF, values of a type that is no integer, compressed XMP in PNG.
 * Looks at nothing outside [file, file + n). Thread-safe. */
int dc_exif_orientation(const unsigned char *file, size_t n);

/* Turn an image of this orientation upright (EXIF 2.32, section 4.6.4 A; W, H of the image that comes):
 *	2  out(x, y) = in(W-1-x, y)         6  out(x, y) = in(y, H-1-x)
 *	3  out(x, y) = in(W-1-x, H-1-y)     7  out(x, y) = in(W-1-y, H-1-x)
 *	4  out(x, y) = in(x, H-1-y)         8  out(x, y) = in(W-1-y, x)
 *	5  out(x, y) = in(y, x)             all else: nothing */
void dc_image_turn(struct dc_image *im, int orientation);

#endif
