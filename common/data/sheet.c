/* SPDX-License-Identifier: MIT */
#include "data/sheet.h"

#include <stdlib.h>
#include <string.h>

#include "data/font.h"
#include "data/imgwrite.h"

enum { PAPER = 250, INK = 30, TEXT_MAX = 1024 };

struct place { int x, y; };

static int
cell_width(const struct dc_sheet *s)
{
	return s->views * (DC_SHEET_PICTURE + DC_SHEET_GAP) + DC_SHEET_GAP;
}

static int
cell_height(const struct dc_sheet *s)
{
	return DC_SHEET_PICTURE + (DC_SHEET_LINES + s->wide) * DC_FONT_HEIGHT + 3 * DC_SHEET_GAP;
}

void
dc_sheet_init(struct dc_sheet *s, int rows, int columns, int views, int wide)
{
	*s = (struct dc_sheet){ .rows = rows, .columns = columns, .views = views, .wide = wide };
	s->width = DC_SHEET_GAP + columns * cell_width(s);
	s->height = DC_SHEET_GAP + rows * cell_height(s);
	s->rgb = dc_xcalloc((size_t)s->width * (size_t)s->height, 3);
	memset(s->rgb, PAPER, (size_t)s->width * (size_t)s->height * 3);
}

void
dc_sheet_free(struct dc_sheet *s)
{
	free(s->rgb);
	memset(s, 0, sizeof *s);
}

/* The cell's place, and note that it is used; 0 if there is no such cell or picture. */
static int
find(struct dc_sheet *s, int cell, int view, struct place *p)
{
	if (cell < 0 || cell >= s->rows * s->columns || view >= s->views)
		return 0;
	if (s->used <= cell)
		s->used = cell + 1;
	p->x = DC_SHEET_GAP + cell % s->columns * cell_width(s) + (view > 0 ? view : 0) * (DC_SHEET_PICTURE + DC_SHEET_GAP);
	p->y = DC_SHEET_GAP + cell / s->columns * cell_height(s);
	return 1;
}

/* --- pictures --- */

/* The mean of the source pixels that one pixel of the target, of `size` from `source`, stands for. */
struct span { int64_t from, to; };

static struct span
span(int at, int size, int64_t source)
{
	struct span r = { at * source / size, (at + 1) * source / size };

	if (r.to == r.from)
		r.to++;
	return r;
}

static void
average(uint8_t *out, const uint8_t *rgb, int64_t width, struct span x, struct span y)
{
	uint64_t sum[3] = { 0 }, n = (uint64_t)((x.to - x.from) * (y.to - y.from));

	for (int64_t j = y.from; j < y.to; j++)
		for (int64_t i = x.from; i < x.to; i++)
			for (int c = 0; c < 3; c++)
				sum[c] += rgb[(j * width + i) * 3 + c];
	for (int c = 0; c < 3; c++)
		out[c] = (uint8_t)((sum[c] + n / 2) / n);
}

void
dc_sheet_image(struct dc_sheet *s, int cell, int view, const uint8_t *rgb, int64_t height, int64_t width)
{
	int64_t longer = height > width ? height : width;
	struct place at;
	int w, h;

	if (view < 0 || width < 1 || height < 1 || longer > 1 << 20 || !find(s, cell, view, &at))
		return;
	w = (int)(width * DC_SHEET_PICTURE / longer);
	h = (int)(height * DC_SHEET_PICTURE / longer);
	w += !w;
	h += !h;
	at.x += (DC_SHEET_PICTURE - w) / 2;
	at.y += DC_SHEET_PICTURE - h; /* stands on its text */
	for (int y = 0; y < h; y++)
		for (int x = 0; x < w; x++)
			average(s->rgb + ((size_t)(at.y + y) * (size_t)s->width + (size_t)(at.x + x)) * 3, rgb, width,
			    span(x, w, width), span(y, h, height));
}

/* --- text --- */

/* The next code point of valid UTF-8. */
static unsigned
next(const char **p, const char *end)
{
	unsigned char c = (unsigned char)*(*p)++;
	int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
	unsigned code = more ? c & (0x3fu >> more) : c;

	for (; more && *p < end; more--)
		code = code << 6 | ((unsigned char)*(*p)++ & 0x3f);
	return code;
}

/* Code points, white space and control characters as single spaces; at most TEXT_MAX. */
static int
spread(const char *p, size_t n, unsigned *code)
{
	const char *end = p + n;
	int k = 0;

	while (p < end && k < TEXT_MAX) {
		unsigned c = next(&p, end);

		if (c > ' ' && c != 0x7f && c != 0xa0)
			code[k++] = c;
		else if (k && code[k - 1] != ' ')
			code[k++] = ' ';
	}
	return k;
}

static void
draw_glyph(struct dc_sheet *s, int x, int y, unsigned code)
{
	const unsigned char *row = dc_glyph(code);

	for (int j = 0; j < DC_GLYPH_ROWS; j++)
		for (int i = 0; i < 5; i++)
			if (row[j] >> (4 - i) & 1)
				memset(s->rgb + ((size_t)(y + j) * (size_t)s->width + (size_t)(x + i)) * 3, INK, 3);
}

/* How many of n code points go on a line of `room`: up to the last space that fits, else all that fit. */
static int
break_line(const unsigned *code, int n, int room)
{
	int k = room;

	if (n <= room)
		return n;
	while (k > 0 && code[k] != ' ')
		k--;
	return k > room / 3 ? k : room;
}

void
dc_sheet_text(struct dc_sheet *s, int cell, int view, const char *text, size_t n)
{
	unsigned code[TEXT_MAX + 1];
	int k = spread(text, n, code), at = 0, wide = view < 0;
	int lines = wide ? s->wide : DC_SHEET_LINES;
	int room = (wide ? cell_width(s) - 2 * DC_SHEET_GAP : DC_SHEET_PICTURE) / DC_FONT_WIDTH;
	struct place p;

	if (!find(s, cell, view, &p))
		return;
	p.y += DC_SHEET_PICTURE + DC_SHEET_GAP + (wide ? DC_SHEET_LINES * DC_FONT_HEIGHT : 0);
	for (int line = 0; line < lines && at < k; line++, p.y += DC_FONT_HEIGHT) {
		int m = break_line(code + at, k - at, room), cut = line == lines - 1 && at + m < k;

		for (int i = 0; i < m; i++)
			draw_glyph(s, p.x + i * DC_FONT_WIDTH, p.y, cut && i >= room - 2 ? '.' : code[at + i]);
		for (int i = m; cut && i < m + 2 && i < room; i++)
			draw_glyph(s, p.x + i * DC_FONT_WIDTH, p.y, '.');
		at += m;
		at += at < k && code[at] == ' ';
	}
}

int
dc_sheet_save(const struct dc_sheet *s, const char *path)
{
	int rows = (s->used + s->columns - 1) / s->columns;

	return dc_image_save(path, s->rgb, s->width, DC_SHEET_GAP + (rows ? rows : 1) * cell_height(s));
}
