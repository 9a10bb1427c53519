/* SPDX-License-Identifier: MIT */
/* Resizing with antialiasing, byte for byte as Pillow's Image.resize(size, BILINEAR | BICUBIC, box) does it.
 *
 * Output pixel x of a row looks at the input around its centre c = box_left + (x + 1/2) s, s = box width / output width,
 * through the filter f stretched to the scale when it shrinks, r = max(s, 1):
 *
 *	out(x) = sum_i in(i) f((i + 1/2 - c) / r) / sum_i f((i + 1/2 - c) / r)
 *
 * along the rows, then along the columns; or the columns first where the height loses more than twice as many pixels as
 * the width (so does Pillow from version 13 on; older ones always begin with the rows, which changes some pixels of tall
 * images by one). The weights are rounded to 22 fractional bits and each pass rounds to 8 bits, so the result is integer
 * arithmetic and the same everywhere.
 *
 *	struct dc_raster in = dc_raster(image, w, h);
 *	dc_resample(out, 224, 224, in, NULL, NULL, DC_BILINEAR); */
#ifndef DC_DATA_RESAMPLE_H
#define DC_DATA_RESAMPLE_H

#include "base/util.h"
#include "data/raster.h"

/* f: the triangle of support 1; the cubic convolution of support 2 with a = -1/2 (Keys 1981). */
enum dc_interpolation { DC_BILINEAR, DC_BICUBIC };

/* Resize `in` to width x height pixels. box: the part of `in` to look at, {left, top, right, bottom} in (fractional)
 * pixels; NULL = all of it. window: {left, top, width, height} of the output that is wanted, written to
 * out (window height, window width, 3); NULL = all of it. What is outside the window is not computed.
 * Return 0, or -1 with a message when a size, the box or the window makes no sense. */
int dc_resample(uint8_t *out, int width, int height, struct dc_raster in, const float box[4], const int window[4],
    enum dc_interpolation f) DC_MUST_USE;

#endif
