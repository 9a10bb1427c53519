/* SPDX-License-Identifier: MIT */
/* Images made here with libjpeg, libpng and libwebp come back as their pixels; broken and huge ones do not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>
#include <webp/encode.h>

#include "data/image.h"
#include "tests/tap.h"

enum { W = 21, H = 13 };

struct file { unsigned char *p; size_t n; };

static void
jpeg_make(struct file *f, int comps, int space, int progressive, int arithmetic, const unsigned char *pixels)
{
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr err;
	unsigned long n = 0;

	c.err = jpeg_std_error(&err);
	jpeg_create_compress(&c);
	f->p = NULL;
	jpeg_mem_dest(&c, &f->p, &n);
	c.image_width = W;
	c.image_height = H;
	c.input_components = comps;
	c.in_color_space = space;
	jpeg_set_defaults(&c);
	jpeg_set_quality(&c, 100, TRUE);
	if (progressive)
		jpeg_simple_progression(&c);
	c.arith_code = arithmetic;
	jpeg_start_compress(&c, TRUE);
	while (c.next_scanline < c.image_height) {
		JSAMPROW row = (JSAMPROW)pixels + c.next_scanline * W * comps;
		jpeg_write_scanlines(&c, &row, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	f->n = n;
}

static void
png_grow(png_structp p, png_bytep b, png_size_t n)
{
	struct file *f = png_get_io_ptr(p);

	f->p = realloc(f->p, f->n + n);
	memcpy(f->p + f->n, b, n);
	f->n += n;
}

static void png_no_flush(png_structp p) { (void)p; }

static void
png_make(struct file *f, int bits, int type, int interlace, const unsigned char *rows, size_t row_bytes)
{
	png_structp p = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png_create_info_struct(p);
	png_color palette[4] = { { 1, 2, 3 }, { 250, 0, 7 }, { 9, 200, 30 }, { 255, 255, 255 } };
	png_byte clear[2] = { 0, 128 };
	png_bytep row[H];

	*f = (struct file){ 0 };
	png_set_write_fn(p, f, png_grow, png_no_flush);
	png_set_IHDR(p, info, W, H, bits, type, interlace, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	if (type == PNG_COLOR_TYPE_PALETTE) {
		png_set_PLTE(p, info, palette, 4);
		png_set_tRNS(p, info, clear, 2, NULL);
	}
	png_write_info(p, info);
	for (int y = 0; y < H; y++)
		row[y] = (png_bytep)rows + y * row_bytes;
	png_write_image(p, row);
	png_write_end(p, info);
	png_destroy_write_struct(&p, &info);
}

/* The largest difference between the image and want [H,W,3]; 1000 for another size. */
static int
worst(const struct dc_image *im, const unsigned char *want)
{
	int w = 0;

	if (im->width != W || im->height != H)
		return 1000;
	for (int i = 0; i < W * H * 3; i++)
		if (abs(im->rgb[i] - want[i]) > w)
			w = abs(im->rgb[i] - want[i]);
	return w;
}

static void
same(const char *what, struct file *f, const unsigned char *want, int within)
{
	struct dc_image im = { 0 };
	int w = 0, h = 0;

	ok(dc_image_decode(f->p, f->n, W * H, &im) == 0, "%s is decoded (%s)", what, dc_err());
	if (im.rgb)
		ok(worst(&im, want) <= within, "%s has its pixels within %d: %d", what, within, worst(&im, want));
	ok(dc_image_header(f->p, f->n, 0, &w, &h) == 0 && w == W && h == H, "%s tells its size", what);
	ok(dc_image_decode(f->p, f->n, W * H - 1, &im) < 0 && strstr(dc_err(), "more than 272"),
	    "%s is refused above the limit: %s", what, dc_err());
	dc_image_free(&im);
}

/* Every cut is refused without a crash, save those that only miss what follows the last pixel. */
static void
cuts(const char *what, struct file *f, size_t harmless)
{
	struct dc_image im = { 0 };
	size_t taken = 0;

	for (size_t n = 0; n + harmless < f->n; n++) {
		unsigned char *p = malloc(n + 1); /* of its own, so that a sanitizer sees reads beyond */
		memcpy(p, f->p, n);
		taken += dc_image_decode(p, n, 0, &im) == 0;
		free(p);
	}
	ok(taken == 0, "%s cut anywhere is refused (%zu taken)", what, taken);
	dc_image_free(&im);
}

static void
flips(const char *what, struct file *f)
{
	struct dc_image im = { 0 };
	unsigned char *p = malloc(f->n);
	unsigned x = 12345;
	int taken = 0;

	for (int i = 0; i < 400; i++) {
		memcpy(p, f->p, f->n);
		for (int k = 0; k < 3; k++) {
			x = x * 1664525 + 1013904223;
			p[(x >> 8) % f->n] ^= 1 << (x >> 29);
		}
		taken += dc_image_decode(p, f->n, 100000, &im) == 0;
	}
	ok(taken < 400, "%s with flipped bits ends without a crash (%d of 400 taken)", what, taken);
	free(p);
	dc_image_free(&im);
}

/* The last of a progressive JPEG's scans, n times over. */
static void
scans(struct file *f, int n)
{
	struct dc_image im = { 0 };
	unsigned char *b, *scan = NULL;
	size_t one, at;

	for (size_t i = 0; i + 1 < f->n; i++)
		scan = f->p[i] == 0xff && f->p[i + 1] == 0xda ? f->p + i : scan;
	one = f->n - 2 - (size_t)(scan - f->p);
	at = f->n - 2;
	b = malloc(at + (size_t)n * one + 2);
	memcpy(b, f->p, at);
	for (int i = 0; i < n; i++, at += one)
		memcpy(b + at, scan, one);
	memcpy(b + at, "\xff\xd9", 2);
	ok((dc_image_decode(b, at + 2, 0, &im) < 0) == (n > 500) && (n <= 500 || strstr(dc_err(), "scans")),
	    "a progressive JPEG with %d more scans is %s", n, n > 500 ? "refused" : "taken");
	dc_image_free(&im);
	free(b);
}

static void
jpegs(const unsigned char *rgb)
{
	unsigned char cmyk[W * H * 4], gray[W * H], want[W * H * 3];
	struct dc_image im = { 0 };
	struct file f;

	jpeg_make(&f, 3, JCS_RGB, 0, 0, rgb);
	same("baseline JPEG", &f, rgb, 6);
	cuts("baseline JPEG", &f, 4);
	flips("baseline JPEG", &f);
	f.p[f.n - 1] = 0xd7;
	ok(dc_image_decode(f.p, f.n, 0, &im) == 0, "a baseline JPEG with all its pixels needs no end-of-image marker");
	dc_image_free(&im);
	free(f.p);
	jpeg_make(&f, 3, JCS_RGB, 1, 0, rgb);
	same("progressive JPEG", &f, rgb, 6);
	cuts("progressive JPEG", &f, 0);
	flips("progressive JPEG", &f);
	scans(&f, 400);
	scans(&f, 600);
	free(f.p);
	jpeg_make(&f, 3, JCS_RGB, 0, 1, rgb);
	same("arithmetic JPEG", &f, rgb, 6);
	free(f.p);
	for (int i = 0; i < W * H; i++)
		gray[i] = want[3 * i] = want[3 * i + 1] = want[3 * i + 2] = rgb[3 * i];
	jpeg_make(&f, 1, JCS_GRAYSCALE, 0, 0, gray);
	same("gray JPEG", &f, want, 3);
	free(f.p);
	/* stored: 255 - C, 255 - M, 255 - Y, 255 - K = c, m, y, k; R = c k / 255 */
	for (int i = 0; i < W * H; i++)
		for (int k = 0; k < 4; k++) {
			cmyk[4 * i + k] = k < 3 ? rgb[3 * i + k] : 200;
			if (k < 3)
				want[3 * i + k] = (rgb[3 * i + k] * 200 + 127) / 255;
		}
	jpeg_make(&f, 4, JCS_CMYK, 0, 0, cmyk);
	same("CMYK JPEG", &f, want, 4);
	free(f.p);
}

static void
pngs(const unsigned char *rgb)
{
	unsigned char wide[W * H * 6], rgba[W * H * 4], want[W * H * 3], index[H][8], gray[H][W * 2];
	static const unsigned char palette[4][3] = { { 1, 2, 3 }, { 250, 0, 7 }, { 9, 200, 30 }, { 255, 255, 255 } };
	struct file f;

	png_make(&f, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, rgb, W * 3);
	same("PNG", &f, rgb, 0);
	cuts("PNG", &f, 16);
	flips("PNG", &f);
	free(f.p);
	png_make(&f, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_ADAM7, rgb, W * 3);
	same("interlaced PNG", &f, rgb, 0);
	free(f.p);
	for (int i = 0; i < W * H * 3; i++) {
		wide[2 * i] = rgb[i];
		wide[2 * i + 1] = 255 - rgb[i];
	}
	png_make(&f, 16, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, wide, W * 6);
	same("16-bit PNG", &f, rgb, 0);
	free(f.p);
	for (int i = 0; i < W * H; i++) {
		memcpy(rgba + 4 * i, rgb + 3 * i, 3);
		rgba[4 * i + 3] = i;
	}
	png_make(&f, 8, PNG_COLOR_TYPE_RGBA, PNG_INTERLACE_NONE, rgba, W * 4);
	same("PNG with alpha", &f, rgb, 0);
	free(f.p);
	memset(index, 0, sizeof index);
	for (int y = 0; y < H; y++)
		for (int x = 0; x < W; x++) {
			index[y][x / 4] |= (x + y) % 4 << (6 - 2 * (x % 4));
			memcpy(want + 3 * (y * W + x), palette[(x + y) % 4], 3);
		}
	png_make(&f, 2, PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE, index[0], 8);
	same("palette PNG with transparency", &f, want, 0);
	free(f.p);
	for (int i = 0; i < W * H; i++) {
		gray[i / W][i % W * 2] = i;
		gray[i / W][i % W * 2 + 1] = 77;
		memset(want + 3 * i, i, 3);
	}
	png_make(&f, 16, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, gray[0], W * 2);
	same("16-bit gray PNG", &f, want, 0);
	free(f.p);
}

static void
webps(const unsigned char *rgb)
{
	struct file f;

	f.n = WebPEncodeLosslessRGB(rgb, W, H, W * 3, &f.p);
	same("WebP", &f, rgb, 0);
	cuts("WebP", &f, 2);
	flips("WebP", &f);
	WebPFree(f.p);
}

static void
refused(const char *what, const void *p, size_t n, const char *says)
{
	struct dc_image im = { 0 };

	ok(dc_image_decode(p, n, 0, &im) < 0 && strstr(dc_err(), says), "%s: %s", what, dc_err());
	dc_image_free(&im);
}

int
main(void)
{
	unsigned char rgb[W * H * 3];
	unsigned char huge[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xc3\x50\0\0\xc3\x50\x08\2\0\0\0\xc4\xcd\xaa\x9d\0\0\1\0" "IDAT";
	unsigned char twelve[] = "\xff\xd8\xff\xc0\0\x0b\x0c\0\x10\0\x10\1\1\x11\0\xff\xda\0\x08\1\1\0\0\x3f\0";
	int w, h;

	for (int i = 0; i < W * H * 3; i++)
		rgb[i] = i / (3 * W) * 8 + i / 3 % W * 6 + i % 3 * 15;
	jpegs(rgb);
	pngs(rgb);
	webps(rgb);
	refused("nothing", "", 0, "empty");
	refused("text", "a dog", 5, "begins 61 20 64 6f");
	refused("two bytes", "\xff\xd8", 2, "2 bytes");
	refused("a JPEG of 12 bits", twelve, sizeof twelve - 1, "12");
	refused("a reserved marker", "\xff\xd8\xff\xe0\0\2\xff\1\xff\xda", 10, "marker FF 01");
	refused("an animated or broken WebP", "RIFF\x10\0\0\0WEBPVP8X", 16, "WebP");
	ok(dc_image_header(huge, sizeof huge - 1, 25000000, &w, &h) < 0 && strstr(dc_err(), "50000 x 50000"),
	    "a huge PNG is refused by its header: %s", dc_err());
	dc_image_free(NULL);
	return done_testing();
}
