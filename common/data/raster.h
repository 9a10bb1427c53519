/* SPDX-License-Identifier: MIT */
/* Pixels in memory that belong to somebody else: u8 RGB, rows `stride` bytes apart. A crop is the same pixels seen
 * through another raster:
 *
 *	struct dc_raster whole = dc_raster(image, width, height);
 *	struct dc_raster part = dc_raster_crop(whole, left, top, w, h); */
#ifndef DC_DATA_RASTER_H
#define DC_DATA_RASTER_H

#include <stddef.h>
#include <stdint.h>

struct dc_raster {
	const uint8_t *p;   /* (height, width, 3) */
	size_t stride;      /* bytes from row to row */
	int width, height;  /* pixels, >= 1 */
};

static inline struct dc_raster
dc_raster(const uint8_t *p, int width, int height)
{
	return (struct dc_raster){ p, (size_t)width * 3, width, height };
}

/* The box must lie in r. */
static inline struct dc_raster
dc_raster_crop(struct dc_raster r, int left, int top, int width, int height)
{
	return (struct dc_raster){ r.p + (size_t)top * r.stride + (size_t)left * 3, r.stride, width, height };
}

#endif
