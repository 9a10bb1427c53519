/* SPDX-License-Identifier: MIT */
/* Between jpeg.c (Huffman codes to coefficients) and jpeg_pixels.c (coefficients to pixels). */
#ifndef DC_DATA_JPEG_PARTS_H
#define DC_DATA_JPEG_PARTS_H

#include <stddef.h>
#include <stdint.h>

enum { DC_JPEG_MARGIN = 64 /* bytes before and behind a plane's row that may be touched */ };

struct dc_jpeg_plane {
	int h, v;               /* blocks of an MCU */
	int columns, rows;      /* blocks, in whole MCUs */
	int width, height;      /* samples that are the image's */
	int real_columns, real_rows; /* blocks that hold those */
	uint16_t quant[64];     /* in rows of 8, as all coefficients here */
	int16_t *coef;          /* (rows, columns, 64) in a progressive file; else (v, columns, 64): one row of MCUs */
	uint64_t *known;        /* progressive: (rows, columns), bit k: the k-th coefficient in zigzag order is not 0 */
	uint8_t *samples;       /* (rows * 8, stride), from the first sample on */
	size_t stride;
};

/* Samples of the blocks [from, to) of one row of blocks: samples 8 x 8 (to - from) at `out`, rows `stride` bytes apart.
 *	dequantise, 8 x 8 inverse DCT, + 128, clamp */
void dc_jpeg_idct(uint8_t *out, size_t stride, const int16_t *coef, int n, const uint16_t quant[64]);

/* Upsample and turn into RGB the part of the image (left, top, width, height); rgb has `width` pixels a row. The planes are
 * there around the part as far as upsampling looks, or up to the image's border. */
void dc_jpeg_colours(uint8_t *rgb, int width, const int part[4], struct dc_jpeg_plane *plane, int n_planes);

#endif
