/* SPDX-License-Identifier: MIT */
/* JPEG pixels, a part of an image alone where no more is needed, for the files that are most common: 8 bits, Huffman codes,
 * baseline in one scan or progressive; gray, or Y'CbCr sampled 4:4:4, 4:2:2 or 4:2:0; no defect anywhere that is looked at.
 * The pixels are libjpeg-turbo's (slow integer DCT, smooth upsampling), byte for byte. Whatever else comes is declined, for
 * libjpeg to decode or refuse.
 *
 *	jpeg_read_header(c, TRUE);                      // libjpeg reads the header and has a source in memory
 *	if (dc_jpeg_decode(c, part, rgb) != DC_JPEG_DONE)
 *		... libjpeg decodes: c is as it was ...
 *
 * Why it is faster: rows and columns outside the part are not transformed, rows below not even decoded; a symbol and the value
 * behind it come from one look into a table; a scan that refines goes from one known coefficient to the next.
 *
 * What decides whether a file is taken or refused stays libjpeg's: a file is only declined, or decoded without looking at
 * the rest of its data where libjpeg could not fail on that rest: its next marker (restarts aside) must be the end of the
 * image, or in a progressive file that of a further scan, and so on to the end. */
#ifndef DC_DATA_JPEG_H
#define DC_DATA_JPEG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>

enum dc_jpeg { DC_JPEG_DECLINED, DC_JPEG_DONE };

/* c: after jpeg_read_header, its source at the first scan's data with the rest of the file in memory.
 * part: left, top, width, height in pixels of the image; only these are written to rgb (image height, image width, 3). */
enum dc_jpeg dc_jpeg_decode(const struct jpeg_decompress_struct *c, const int part[4], uint8_t *rgb);

#endif
