/* SPDX-License-Identifier: MIT */
/* A part of a JPEG file has the pixels of the whole, whatever the file's kind and its damage, and is refused with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "data/image.h"
#include "tests/tap.h"

struct file { uint8_t *p; unsigned long n; };

static uint64_t state = 1;

static uint32_t
draw(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((state >> 33) % below);
}

/* How a file is made. */
struct make { int w, h, gray, across, down, quality, progressive, restart, noise; };

static void
open_file(struct jpeg_compress_struct *c, struct jpeg_error_mgr *err, struct file *f, const struct make *m)
{
	c->err = jpeg_std_error(err);
	jpeg_create_compress(c);
	*f = (struct file){ 0 };
	jpeg_mem_dest(c, &f->p, &f->n);
	c->image_width = (JDIMENSION)m->w;
	c->image_height = (JDIMENSION)m->h;
	c->input_components = m->gray ? 1 : 3;
	c->in_color_space = m->gray ? JCS_GRAYSCALE : JCS_RGB;
	jpeg_set_defaults(c);
	jpeg_set_quality(c, m->quality, TRUE);
	c->comp_info[0].h_samp_factor = m->across;
	c->comp_info[0].v_samp_factor = m->down;
	c->restart_interval = (unsigned)m->restart;
	c->optimize_coding = m->quality & 1;
}

static struct file
make(const struct make *m)
{
	/* all planes down to bit 3, then bit by bit: long runs of blocks without a value, and many passes that refine */
	static const jpeg_scan_info fine[] = { { 3, { 0, 1, 2 }, 0, 0, 0, 2 }, { 1, { 0 }, 1, 63, 0, 3 }, { 1, { 1 }, 1, 20, 0, 3 },
		{ 1, { 1 }, 21, 63, 0, 3 }, { 1, { 2 }, 1, 63, 0, 3 }, { 1, { 0 }, 1, 63, 3, 2 }, { 1, { 1 }, 1, 20, 3, 2 },
		{ 1, { 1 }, 21, 63, 3, 2 }, { 1, { 2 }, 1, 63, 3, 2 }, { 1, { 2 }, 0, 0, 2, 1 }, { 2, { 0, 1 }, 0, 0, 2, 1 },
		{ 1, { 0 }, 1, 63, 2, 1 }, { 1, { 1 }, 1, 63, 2, 1 }, { 1, { 2 }, 1, 63, 2, 1 }, { 3, { 0, 1, 2 }, 0, 0, 1, 0 },
		{ 1, { 0 }, 1, 63, 1, 0 }, { 1, { 1 }, 1, 63, 1, 0 }, { 1, { 2 }, 1, 63, 1, 0 } };
	/* ends before all is known: libjpeg smooths what it has */
	static const jpeg_scan_info coarse[] = { { 3, { 0, 1, 2 }, 0, 0, 0, 1 }, { 1, { 0 }, 1, 63, 0, 2 }, { 1, { 1 }, 1, 63, 0, 2 } };
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr err;
	struct file f;
	uint8_t *row = dc_xmalloc((size_t)m->w * 3);

	open_file(&c, &err, &f, m);
	if (m->progressive == 1)
		jpeg_simple_progression(&c);
	if (m->progressive == 3) {
		c.scan_info = coarse;
		c.num_scans = sizeof coarse / sizeof *coarse;
	}
	if (m->progressive == 2 && !m->gray) {
		c.scan_info = fine;
		c.num_scans = sizeof fine / sizeof *fine;
	}
	jpeg_start_compress(&c, TRUE);
	for (int y = 0; y < m->h; y++) {
		for (int x = 0; x < m->w * (m->gray ? 1 : 3); x++)
			row[x] = (uint8_t)(m->noise == 2 ? (int)draw(256) : m->noise == 1 ? (x * 3 + y * 2 + (int)draw(40)) : (x / 37 + y / 29) % 2 * 200);
		jpeg_write_scanlines(&c, &row, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	free(row);
	return f;
}

static void
random_part(int part[4], int w, int h)
{
	part[2] = 1 + (int)draw((uint32_t)w);
	part[3] = 1 + (int)draw((uint32_t)h);
	part[0] = (int)draw((uint32_t)(w - part[2] + 1));
	part[1] = (int)draw((uint32_t)(h - part[3] + 1));
}

static int
same_part(const uint8_t *a, const uint8_t *b, int w, const int part[4])
{
	for (int y = part[1]; y < part[1] + part[3]; y++) {
		const size_t at = ((size_t)y * (size_t)w + (size_t)part[0]) * 3;

		if (memcmp(a + at, b + at, (size_t)part[2] * 3))
			return 0;
	}
	return 1;
}

/* Parts of the file against the whole. A part's memory is fresh, so that the sanitizers see what was not written. */
static int
agrees(const uint8_t *p, size_t n, int parts, int *taken)
{
	struct dc_image whole = { 0 }, im = { 0 };
	int w = 0, h = 0, part[4], fine = dc_image_header(p, n, 0, &w, &h) == 0;
	const int good = dc_image_decode(p, n, 0, &whole) == 0;

	for (int i = 0; fine && i < parts; i++) {
		random_part(part, w, h);
		fine = (dc_image_decode_part(p, n, 0, part, &im) == 0) == good && (!good || same_part(im.rgb, whole.rgb, w, part));
		if (!fine)
			printf("# part %d %d %d %d of %d x %d, whole %d\n", part[0], part[1], part[2], part[3], w, h, good);
		dc_image_free(&im);
	}
	*taken += good;
	dc_image_free(&whole);
	return fine;
}

static const struct { const char *name; int gray, across, down; } kind[] = {
	{ "4:4:4", 0, 1, 1 }, { "4:2:2", 0, 2, 1 }, { "4:2:0", 0, 2, 2 }, { "4:4:0", 0, 1, 2 }, { "4:1:1", 0, 4, 1 }, { "gray", 1, 1, 1 }, { "gray, 2 x 2 sampling", 1, 2, 2 } };

static const char *const process[] = { "baseline", "progressive", "progressive, many scans", "progressive, last scans missing" };

static void
test_kinds(void)
{
	static const int side[] = { 1, 3, 8, 9, 16, 17, 18, 23, 24, 25, 31, 32, 33, 47, 64, 65, 100, 129 };
	enum { SIDES = sizeof side / sizeof *side };

	for (size_t k = 0; k < sizeof kind / sizeof *kind; k++)
		for (int progressive = 0; progressive < 4 - kind[k].gray; progressive++) {
			int fine = 1, taken = 0;

			for (int i = 0; i < 3 * SIDES; i++) {
				const struct make m = { side[i % SIDES], side[draw(SIDES)], kind[k].gray, kind[k].across, kind[k].down,
					i % 3 == 0 ? 1 + (int)draw(100) : i % 3 == 1 ? 97 + (int)draw(4) : 60 + (int)draw(40), progressive,
					i % 4 == 3 ? 1 + (int)draw(9) : 0, i % 3 };
				struct file f = make(&m);

				if (!agrees(f.p, f.n, 12, &taken))
					fine = 0, printf("# %s: %d x %d, quality %d, restart %d, noise %d\n", kind[k].name, m.w, m.h, m.quality, m.restart, m.noise);
				free(f.p);
			}
			ok(fine && taken == 3 * SIDES, "%s, %s: parts have the pixels of the whole", kind[k].name, process[progressive]);
		}
}

/* Where the first scan's data begin. */
static size_t
data_of(const struct file *f)
{
	for (size_t i = 2; i + 4 < f->n; i += 2 + (size_t)(f->p[i + 2] << 8 | f->p[i + 3]))
		if (f->p[i + 1] == 0xda)
			return i + 2 + (size_t)(f->p[i + 2] << 8 | f->p[i + 3]);
	return f->n;
}

static void
test_damage(void)
{
	for (int progressive = 0; progressive < 3; progressive++) {
		int fine = 1, taken = 0, n = 0;

		for (int i = 0; i < 20; i++) {
			const struct make m = { 40 + (int)draw(40), 40 + (int)draw(40), i % 7 == 6, 1 + i % 2, 1 + i % 4 / 3, 80, progressive,
				i % 3 == 2 ? 3 : 0, 1 };
			struct file f = make(&m);
			const size_t from = data_of(&f);

			for (int k = 0; k < 60; k++, n++) {
				size_t size = k % 4 ? f.n : from + draw((uint32_t)(f.n - from) + 1);
				uint8_t *p = dc_xmalloc(size + 1);

				memcpy(p, f.p, size);
				for (int c = k % 3; size > from && c >= 0; c--)
					p[from + draw((uint32_t)(size - from))] = (uint8_t)(draw(4) ? draw(256) : 0xff);
				if (!agrees(p, size, 2, &taken))
					fine = 0, printf("# file %d, damage %d\n", i, k);
				free(p);
			}
			free(f.p);
		}
		ok(fine && taken > n / 10 && taken < n, "damage, %s: parts of %d of %d files are taken, where the whole is", process[progressive], taken, n);
	}
}

int
main(void)
{
	test_kinds();
	test_damage();
	return done_testing();
}
