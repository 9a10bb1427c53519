/* SPDX-License-Identifier: MIT */
#include "data/imgwrite.h"

#include <jpeglib.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct jpeg_fault { struct jpeg_error_mgr mgr; jmp_buf back; };

static void
jpeg_fault(j_common_ptr c)
{
	char msg[JMSG_LENGTH_MAX];

	c->err->format_message(c, msg);
	dc_err_set("JPEG: %s", msg);
	longjmp(((struct jpeg_fault *)c->err)->back, 1);
}

static void
jpeg_setup(struct jpeg_compress_struct *c, int quality, int width, int height, int half)
{
	c->image_width = (JDIMENSION)width;
	c->image_height = (JDIMENSION)height;
	c->input_components = 3;
	c->in_color_space = JCS_RGB;
	jpeg_set_defaults(c);
	jpeg_set_quality(c, quality, TRUE);
	c->dct_method = JDCT_ISLOW;
	c->comp_info[0].h_samp_factor = c->comp_info[0].v_samp_factor = half ? 2 : 1;
}

static int
encode_jpeg(int half, int quality, const uint8_t *rgb, int width, int height, unsigned char **out, size_t *bytes)
{
	struct jpeg_compress_struct c;
	struct jpeg_fault fault;
	unsigned long n = 0;

	c.err = jpeg_std_error(&fault.mgr);
	fault.mgr.error_exit = jpeg_fault;
	if (setjmp(fault.back)) {
		jpeg_destroy_compress(&c);
		return -1;
	}
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, out, &n);
	jpeg_setup(&c, quality, width, height, half);
	jpeg_start_compress(&c, TRUE);
	while (c.next_scanline < c.image_height) {
		JSAMPROW row = (JSAMPROW)(uintptr_t)(rgb + (size_t)c.next_scanline * (size_t)width * 3);
		jpeg_write_scanlines(&c, &row, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	*bytes = n;
	return 0;
}

static int
encode_png(const uint8_t *rgb, int width, int height, unsigned char **out, size_t *bytes)
{
	png_image im = { .version = PNG_IMAGE_VERSION, .width = (png_uint_32)width, .height = (png_uint_32)height,
		.format = PNG_FORMAT_RGB };
	png_alloc_size_t n = PNG_IMAGE_PNG_SIZE_MAX(im);

	*out = dc_xmalloc(n);
	if (!png_image_write_to_memory(&im, *out, &n, 0, rgb, 0, NULL)) {
		free(*out);
		*out = NULL;
		return dc_err_set("PNG: %s", im.message);
	}
	*bytes = n;
	return 0;
}

int
dc_image_encode(enum dc_imgformat f, int quality, const uint8_t *rgb, int width, int height,
    unsigned char **out, size_t *bytes)
{
	*out = NULL;
	*bytes = 0;
	DC_CHECK(width > 0 && height > 0 && width <= 65500 && height <= 65500, "an image of %d by %d pixels cannot be written",
	    width, height);
	return f == DC_PNG ? encode_png(rgb, width, height, out, bytes)
	    : encode_jpeg(f == DC_JPEG_420, quality, rgb, width, height, out, bytes);
}

int
dc_image_format_of_name(const char *path, enum dc_imgformat *f)
{
	const char *dot = strrchr(path, '.');

	if (dot && !strcasecmp(dot, ".png"))
		*f = DC_PNG;
	else if (dot && (!strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg")))
		*f = DC_JPEG;
	else
		return dc_err_set("%s: the name must end in .png or .jpg", path);
	return 0;
}

static int
save_bytes(const char *path, const void *p, size_t n)
{
	char *part = dc_xasprintf("%s.part", path);
	FILE *fp = fopen(part, "wb");
	int r = 0;

	if (!fp) {
		r = dc_err_errno("%s", part);
		free(part);
		return r;
	}
	if (fwrite(p, 1, n, fp) != n)
		r = dc_err_errno("%s", part);
	if (dc_fshut(fp, part) < 0)
		r = -1;
	if (!r && rename(part, path) < 0)
		r = dc_err_errno("%s", path);
	if (r)
		remove(part);
	free(part);
	return r;
}

int
dc_image_save(const char *path, const uint8_t *rgb, int width, int height)
{
	enum dc_imgformat f;
	unsigned char *p;
	size_t n;
	int r;

	DC_TRY(dc_image_format_of_name(path, &f));
	if (dc_image_encode(f, 92, rgb, width, height, &p, &n) < 0)
		return dc_err_prefix("%s", path);
	r = save_bytes(path, p, n);
	free(p);
	return r;
}
