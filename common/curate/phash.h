/* SPDX-License-Identifier: MIT */
/* A perceptual hash: images that look alike have hashes a few bits apart. Integers throughout, so that it is the same
 * on every machine:
 *
 *	1. the image, whatever its aspect, becomes 32 x 32 pixels: data/resample.h, bilinear with antialiasing, box = all
 *	2. grey     g(y, x) = (19595 R + 38470 G + 7471 B + 32768) >> 16
 *	3. cosines  t(u, x) = round(16384 cos(pi (2x + 1) u / 64)),  u = 0 .. 7,  x = 0 .. 31
 *	4. DCT      c(v, u) = sum_y sum_x t(v, y) t(u, x) g(y, x)
 *	5. bit 8v + u is set where c(v, u) is above the median of the 64, the mean of the two in the middle
 *
 * That is the pHash of Zauner (2010) as it is commonly made, with integers. Bit 0, the mean brightness, is nearly always
 * set, so 63 tell something. An image of one colour has the hash 1, or 0 if it is black. */
#ifndef DC_CURATE_PHASH_H
#define DC_CURATE_PHASH_H

#include <stdint.h>

#include "base/util.h"
#include "data/raster.h"

/* Return 0, or -1 with a message when the image has no pixels. */
int dc_phash(struct dc_raster image, uint64_t *hash) DC_MUST_USE;

#endif
