/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>
#include <png.h>
#include <webp/decode.h>

#include "data/image.h"

enum dc_image_format
dc_image_format(const unsigned char *b, size_t n)
{
	if (n >= 3 && !memcmp(b, "\xff\xd8\xff", 3))
		return DC_IMAGE_JPEG;
	if (n >= 8 && !memcmp(b, "\x89PNG\r\n\x1a\n", 8))
		return DC_IMAGE_PNG;
	if (n >= 12 && !memcmp(b, "RIFF", 4) && !memcmp(b + 8, "WEBP", 4))
		return DC_IMAGE_WEBP;
	return DC_IMAGE_UNKNOWN;
}

const char *
dc_image_format_name(enum dc_image_format f)
{
	static const char *const name[] = { "unknown", "JPEG", "PNG", "WebP" };

	return name[f];
}

void
dc_image_free(struct dc_image *im)
{
	if (!im)
		return;
	free(im->rgb);
	memset(im, 0, sizeof *im);
}

/* What is wrong with these bytes, in a few words: for files that are no image at all. */
static int
not_an_image(const unsigned char *b, size_t n)
{
	if (n == 0)
		return dc_err_set("empty");
	if (n < 4)
		return dc_err_set("not a JPEG, PNG or WebP image (%zu bytes)", n);
	return dc_err_set("not a JPEG, PNG or WebP image (begins %02x %02x %02x %02x)", b[0], b[1], b[2], b[3]);
}

static int
size_check(uint64_t w, uint64_t h, uint64_t max_pixels)
{
	DC_CHECK(w > 0 && h > 0, "no pixels (%llu x %llu)", (unsigned long long)w, (unsigned long long)h);
	DC_CHECK(w <= DC_IMAGE_SIDE_MAX && h <= DC_IMAGE_SIDE_MAX, "%llu x %llu pixels: a side above %d",
	    (unsigned long long)w, (unsigned long long)h, DC_IMAGE_SIDE_MAX);
	DC_CHECK(!max_pixels || w * h <= max_pixels, "%llu x %llu pixels, more than %llu",
	    (unsigned long long)w, (unsigned long long)h, (unsigned long long)max_pixels);
	return 0;
}

/* Set out's size and make room for w*h*3 bytes. */
static void
reserve(struct dc_image *out, int w, int h)
{
	size_t need = (size_t)w * h * 3;

	if (need > out->cap) {
		free(out->rgb);
		out->rgb = dc_xmalloc(need);
		out->cap = need;
	}
	out->width = w;
	out->height = h;
}

/* --- JPEG --- */

enum { JPEG_SCANS_MAX = 500, JPEG_MARGIN = 4 /* pixels */ };

/* All of a decode: what longjmp comes back to must not lie in registers. */
struct jpeg {
	struct jpeg_decompress_struct c;
	struct jpeg_error_mgr err;
	struct jpeg_source_mgr src;
	struct jpeg_progress_mgr progress;
	jmp_buf jump;
	unsigned char *row;  /* one row of CMYK */
	int ended;           /* the bytes have been asked for more than there are */
};

static void
jpeg_fail(j_common_ptr c)
{
	struct jpeg *j = c->client_data;
	char text[JMSG_LENGTH_MAX];

	c->err->format_message(c, text);
	dc_err_set("JPEG: %s", text);
	longjmp(j->jump, 1);
}

/* A scan may be a few bytes long and costs a pass over all pixels: a small file could keep us for hours. */
static void
jpeg_progress(j_common_ptr c)
{
	struct jpeg *j = c->client_data;

	if (j->c.input_scan_number <= JPEG_SCANS_MAX)
		return;
	dc_err_set("JPEG: more than %d scans", JPEG_SCANS_MAX);
	longjmp(j->jump, 1);
}

static void jpeg_quiet(j_common_ptr c) { (void)c; }
static void jpeg_source_quiet(j_decompress_ptr c) { (void)c; }

/* All bytes are there from the start, so asking for more means that they end too early. Saying "not yet" makes
 * libjpeg stop, where its own memory source would make up an end-of-image marker and gray pixels. */
static boolean
jpeg_no_more(j_decompress_ptr c)
{
	((struct jpeg *)c->client_data)->ended = 1;
	return FALSE;
}

static void
jpeg_skip(j_decompress_ptr c, long n)
{
	size_t k = n <= 0 ? 0 : (size_t)n;

	if (k > c->src->bytes_in_buffer)
		k = c->src->bytes_in_buffer;
	c->src->next_input_byte += k;
	c->src->bytes_in_buffer -= k;
}

static void
jpeg_setup(struct jpeg *j, const unsigned char *b, size_t n)
{
	j->c.err = jpeg_std_error(&j->err);
	j->err.error_exit = jpeg_fail;
	j->err.output_message = jpeg_quiet;
	j->c.client_data = j;
	j->src = (struct jpeg_source_mgr){ .next_input_byte = b, .bytes_in_buffer = n,
		.init_source = jpeg_source_quiet, .fill_input_buffer = jpeg_no_more, .skip_input_data = jpeg_skip,
		.resync_to_restart = jpeg_resync_to_restart, .term_source = jpeg_source_quiet };
}

static int
jpeg_short(void)
{
	return dc_err_set("JPEG: truncated: the data end before the last pixel");
}

/* A reserved or temporary marker before the first scan means that lengths before it lie; libjpeg skips some of those. */
static int
jpeg_markers(const unsigned char *b, size_t n)
{
	size_t i = 2;

	while (i + 1 < n) {
		int m = b[i + 1];

		if (b[i] != 0xff || m == 0xff || m == 0) {
			i += b[i] == 0xff && m == 0 ? 2 : 1;
			continue;
		}
		DC_CHECK(m >= 0xc0, "JPEG: marker FF %02X in the header", m);
		if (m == 0xda)
			return 0;
		i += 2;
		if ((m >= 0xd0 && m <= 0xd9) || i + 1 >= n) /* restart, start and end of image: no length */
			continue;
		m = b[i] << 8 | b[i + 1];
		i += m < 2 ? 2 : m;
	}
	return jpeg_short();
}

static int
jpeg_head(struct jpeg *j, const unsigned char *b, size_t n, uint64_t max_pixels)
{
	DC_TRY(jpeg_markers(b, n));
	jpeg_create_decompress(&j->c);
	j->c.src = &j->src;
	j->progress.progress_monitor = jpeg_progress;
	j->c.progress = &j->progress;
	if (jpeg_read_header(&j->c, TRUE) != JPEG_HEADER_OK)
		return jpeg_short();
	DC_CHECK(j->c.data_precision == 8, "JPEG: %d bits a sample, not 8", j->c.data_precision);
	DC_CHECK(j->c.num_components == 1 || j->c.num_components == 3 || j->c.num_components == 4,
	    "JPEG: %d components", j->c.num_components);
	return size_check(j->c.image_width, j->c.image_height, max_pixels);
}

/* round(a b / 255) for bytes */
static int
mul255(int a, int b)
{
	int t = a * b + 128;

	return ((t >> 8) + t) >> 8;
}

/* R = k - C k / 255, k = 255 - K, where 255 - C, 255 - M, 255 - Y, 255 - K are stored. */
static void
cmyk_to_rgb(unsigned char *rgb, const unsigned char *cmyk, int w)
{
	for (int x = 0; x < w; x++, cmyk += 4)
		for (int i = 0; i < 3; i++)
			*rgb++ = cmyk[3] - mul255(255 - cmyk[i], cmyk[3]);
}

/* Whether a part of this file comes out as it does in the whole. Without its last scans a progressive file is smoothed over
 * blocks; CMYK and arithmetic coding are too rare to be looked at. */
static int
jpeg_has_parts(const struct jpeg_decompress_struct *c)
{
	if (c->arith_code || c->num_components == 4)
		return 0;
	for (int i = 0; c->coef_bits && i < c->num_components; i++)
		for (int k = 0; k < DCTSIZE2; k++)
			if (c->coef_bits[i][k])
				return 0;
	return 1;
}

/* Widen what is wanted by what upsampling looks at, and leave out the columns outside. Return the first column that comes. */
static int
jpeg_columns(struct jpeg_decompress_struct *c, const int part[4])
{
	const int right = part[0] + part[2] + JPEG_MARGIN, width = (int)c->output_width;
	JDIMENSION from = part[0] < JPEG_MARGIN ? 0 : (JDIMENSION)(part[0] - JPEG_MARGIN);
	JDIMENSION n = (JDIMENSION)(right < width ? right : width) - from;

	jpeg_crop_scanline(c, &from, &n);
	return (int)from;
}

/* Rows that nobody wants: entropy decoding alone. libjpeg does not say if the data end meanwhile. Not to the very last row:
 * then libjpeg would not look at the data. */
static int
jpeg_pass(struct jpeg *j, int rows)
{
	(void)jpeg_skip_scanlines(&j->c, (JDIMENSION)rows);
	return j->ended ? jpeg_short() : 0;
}

static int
jpeg_read(struct jpeg *j, int left, int rows, struct dc_image *out)
{
	for (; rows > 0; rows--) {
		unsigned char *rgb = out->rgb + ((size_t)j->c.output_scanline * out->width + left) * 3;
		JSAMPROW row = j->row ? j->row : rgb;

		if (jpeg_read_scanlines(&j->c, &row, 1) != 1)
			return jpeg_short();
		if (j->row)
			cmyk_to_rgb(rgb, j->row, out->width);
	}
	return 0;
}

/* The rows from top to bottom, and of a file of one scan what comes below, which may be damaged. */
static int
jpeg_box(struct jpeg *j, const int part[4], struct dc_image *out)
{
	const int left = jpeg_columns(&j->c, part), below = (int)j->c.output_height - part[1] - part[3];

	DC_TRY(jpeg_pass(j, part[1]));
	DC_TRY(jpeg_read(j, left, part[3], out));
	if (below == 0 || jpeg_has_multiple_scans(&j->c))
		return 0;
	DC_TRY(jpeg_pass(j, below - 1));
	return jpeg_read(j, left, 1, out);
}

/* part: what is wanted, NULL for all. */
static int
jpeg_rows(struct jpeg *j, const int part[4], struct dc_image *out)
{
	struct jpeg_decompress_struct *c = &j->c;
	const int w = (int)c->image_width, h = (int)c->image_height, cmyk = c->num_components == 4;

	if (part)
		DC_CHECK(part[0] >= 0 && part[1] >= 0 && part[2] >= 1 && part[3] >= 1 && part[2] <= w - part[0] &&
		    part[3] <= h - part[1], "JPEG: a part that is not inside the image");
	c->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
	if (!jpeg_start_decompress(c))
		return jpeg_short();
	reserve(out, w, h);
	if (cmyk)
		j->row = dc_xmalloc((size_t)w * 4);
	DC_TRY(part && jpeg_has_parts(c) ? jpeg_box(j, part, out) : jpeg_read(j, 0, h, out));
	if (c->output_scanline == c->output_height)
		(void)jpeg_finish_decompress(c); /* FALSE (no end-of-image marker) does no harm now; broken markers are errors */
	return 0;
}

/* With out NULL only the header is read. */
static int
jpeg_decode(const unsigned char *b, size_t n, uint64_t max_pixels, const int part[4], struct dc_image *out, int *w, int *h)
{
	struct jpeg *j = dc_xcalloc(1, sizeof *j);
	int ret = -1;

	jpeg_setup(j, b, n);
	if (!setjmp(j->jump) && jpeg_head(j, b, n, max_pixels) == 0 && (!out || jpeg_rows(j, part, out) == 0)) {
		*w = j->c.image_width;
		*h = j->c.image_height;
		ret = 0;
	}
	jpeg_destroy_decompress(&j->c);
	free(j->row);
	free(j);
	return ret;
}

/* --- PNG --- */

struct png {
	png_structp p;
	png_infop info;
	const unsigned char *b; size_t n;
	png_bytep *rows;
};

static void
png_fail(png_structp p, png_const_charp text)
{
	dc_err_set("PNG: %s", text);
	png_longjmp(p, 1);
}

static void png_quiet(png_structp p, png_const_charp text) { (void)p; (void)text; }

static void
png_take(png_structp p, png_bytep to, size_t n)
{
	struct png *g = png_get_io_ptr(p);

	if (n > g->n)
		png_error(p, "truncated");
	memcpy(to, g->b, n);
	g->b += n;
	g->n -= n;
}

static int
png_head(struct png *g, uint64_t max_pixels)
{
	png_set_user_limits(g->p, DC_IMAGE_SIDE_MAX, DC_IMAGE_SIDE_MAX);
	png_set_read_fn(g->p, g, png_take);
	png_read_info(g->p, g->info);
	return size_check(png_get_image_width(g->p, g->info), png_get_image_height(g->p, g->info), max_pixels);
}

static void
png_rows(struct png *g, struct dc_image *out)
{
	int w = png_get_image_width(g->p, g->info), h = png_get_image_height(g->p, g->info);

	png_set_palette_to_rgb(g->p);
	png_set_expand_gray_1_2_4_to_8(g->p);
	png_set_strip_16(g->p);
	png_set_gray_to_rgb(g->p);
	png_set_strip_alpha(g->p);
	png_set_interlace_handling(g->p);
	png_read_update_info(g->p, g->info);
	if (png_get_rowbytes(g->p, g->info) != (size_t)w * 3)
		png_error(g->p, "rows are not RGB");
	reserve(out, w, h);
	g->rows = dc_xmalloc(h * sizeof *g->rows);
	for (int y = 0; y < h; y++)
		g->rows[y] = out->rgb + (size_t)y * w * 3;
	png_read_image(g->p, g->rows);
}

static int
png_decode(const unsigned char *b, size_t n, uint64_t max_pixels, struct dc_image *out, int *w, int *h)
{
	struct png *g = dc_xcalloc(1, sizeof *g);
	int ret = -1;

	g->b = b;
	g->n = n;
	g->p = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, png_fail, png_quiet);
	g->info = g->p ? png_create_info_struct(g->p) : NULL;
	if (!g->info) {
		dc_err_set("PNG: libpng cannot be used");
	} else if (!setjmp(png_jmpbuf(g->p)) && png_head(g, max_pixels) == 0) {
		if (out)
			png_rows(g, out);
		*w = png_get_image_width(g->p, g->info);
		*h = png_get_image_height(g->p, g->info);
		ret = 0;
	}
	png_destroy_read_struct(&g->p, &g->info, NULL);
	free(g->rows);
	free(g);
	return ret;
}

/* --- WebP --- */

static int
webp_decode(const unsigned char *b, size_t n, uint64_t max_pixels, struct dc_image *out, int *w, int *h)
{
	WebPBitstreamFeatures f;

	DC_CHECK(WebPGetFeatures(b, n, &f) == VP8_STATUS_OK, "WebP: broken or truncated header");
	DC_CHECK(!f.has_animation, "WebP: an animation");
	DC_TRY(size_check(f.width, f.height, max_pixels));
	*w = f.width;
	*h = f.height;
	if (!out)
		return 0;
	reserve(out, f.width, f.height);
	DC_CHECK(WebPDecodeRGBInto(b, n, out->rgb, (size_t)f.width * f.height * 3, f.width * 3),
	    "WebP: broken or truncated data");
	return 0;
}

static int
decode(const unsigned char *b, size_t n, uint64_t max_pixels, const int part[4], struct dc_image *out, int *w, int *h)
{
	switch (dc_image_format(b, n)) {
	case DC_IMAGE_JPEG:
		return jpeg_decode(b, n, max_pixels, part, out, w, h);
	case DC_IMAGE_PNG:
		return png_decode(b, n, max_pixels, out, w, h);
	case DC_IMAGE_WEBP:
		return webp_decode(b, n, max_pixels, out, w, h);
	case DC_IMAGE_UNKNOWN:
		break;
	}
	return not_an_image(b, n);
}

int
dc_image_header(const unsigned char *bytes, size_t n, uint64_t max_pixels, int *width, int *height)
{
	return decode(bytes, n, max_pixels, NULL, NULL, width, height);
}

int
dc_image_decode(const unsigned char *bytes, size_t n, uint64_t max_pixels, struct dc_image *out)
{
	int w, h;

	return decode(bytes, n, max_pixels, NULL, out, &w, &h);
}

int
dc_image_decode_part(const unsigned char *bytes, size_t n, uint64_t max_pixels, const int part[4], struct dc_image *out)
{
	int w, h;

	return decode(bytes, n, max_pixels, part, out, &w, &h);
}
