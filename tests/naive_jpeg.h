/* SPDX-License-Identifier: MIT */
/* A JPEG file through libjpeg alone, from one end to the other: what common/data/jpeg.c must give, byte for byte, or decline. */
#ifndef DC_TESTS_NAIVE_JPEG_H
#define DC_TESTS_NAIVE_JPEG_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include "base/util.h"

struct naive_jpeg {
	struct jpeg_decompress_struct c;
	struct jpeg_error_mgr err;
	struct jpeg_source_mgr src;
	jmp_buf jump;
};

static void naive_jpeg_fail(j_common_ptr c) { longjmp(((struct naive_jpeg *)c)->jump, 1); }
static void naive_jpeg_say(j_common_ptr c) { (void)c; }
static void naive_jpeg_nothing(j_decompress_ptr c) { (void)c; }
static boolean naive_jpeg_end(j_decompress_ptr c) { (void)c; return FALSE; }

static void
naive_jpeg_skip(j_decompress_ptr c, long n)
{
	const size_t k = n < 0 ? 0 : (size_t)n < c->src->bytes_in_buffer ? (size_t)n : c->src->bytes_in_buffer;

	c->src->next_input_byte += k;
	c->src->bytes_in_buffer -= k;
}

static void
naive_jpeg_open(struct naive_jpeg *j, const uint8_t *p, size_t n)
{
	j->c.err = jpeg_std_error(&j->err);
	j->err.error_exit = naive_jpeg_fail;
	j->err.output_message = naive_jpeg_say;
	jpeg_create_decompress(&j->c);
	j->src = (struct jpeg_source_mgr){ .next_input_byte = p, .bytes_in_buffer = n, .init_source = naive_jpeg_nothing,
		.fill_input_buffer = naive_jpeg_end, .skip_input_data = naive_jpeg_skip,
		.resync_to_restart = jpeg_resync_to_restart, .term_source = naive_jpeg_nothing };
	j->c.src = &j->src;
}

/* RGB (height, width, 3), or NULL where libjpeg refuses the file. */
static uint8_t *
naive_jpeg(const uint8_t *p, size_t n, int *width, int *height)
{
	struct naive_jpeg *j = dc_xcalloc(1, sizeof *j);
	uint8_t *volatile rgb = NULL;
	volatile int whole = 0;

	naive_jpeg_open(j, p, n);
	if (!setjmp(j->jump) && jpeg_read_header(&j->c, TRUE) == JPEG_HEADER_OK) {
		*width = (int)j->c.image_width;
		*height = (int)j->c.image_height;
		rgb = dc_xmalloc((size_t)*width * (size_t)*height * 3);
		j->c.out_color_space = JCS_RGB;
		if (jpeg_start_decompress(&j->c)) {
			JSAMPROW row = rgb;

			for (whole = 1; whole && j->c.output_scanline < j->c.output_height; row += (size_t)*width * 3)
				whole = jpeg_read_scanlines(&j->c, &row, 1) == 1;
			if (whole) {
				whole = 0;
				(void)jpeg_finish_decompress(&j->c);
				whole = 1;
			}
		}
	}
	jpeg_destroy_decompress(&j->c);
	free(j);
	if (whole)
		return rgb;
	free(rgb);
	return NULL;
}

#endif
