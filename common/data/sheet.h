/* SPDX-License-Identifier: MIT */
/* Contact sheets: a grid of cells, each with one or more pictures side by side and lines of text below.
 *
 *	struct dc_sheet s;
 *	dc_sheet_init(&s, 4, 4, 2, 1);                     // 4 x 4 cells, 2 pictures in each, 1 line for both
 *	dc_sheet_image(&s, 0, 0, rgb, 64, 64);             // cell 0, picture 0
 *	dc_sheet_text(&s, 0, 0, "a red circle", 12);       // below it
 *	dc_sheet_text(&s, 0, DC_SHEET_WIDE, text, n);      // below all of the cell's pictures
 *	if (dc_sheet_save(&s, "sheet.png") < 0) ...
 *	dc_sheet_free(&s);
 *
 * The sheet is DC_SHEET_GAP + columns * (views * (DC_SHEET_PICTURE + DC_SHEET_GAP) + DC_SHEET_GAP) pixels wide, and
 * rows * (DC_SHEET_PICTURE + (DC_SHEET_LINES + wide) * DC_FONT_HEIGHT + 3 * DC_SHEET_GAP) + DC_SHEET_GAP high. */
#ifndef DC_DATA_SHEET_H
#define DC_DATA_SHEET_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"

enum { DC_SHEET_PICTURE = 128 /* pixels */, DC_SHEET_LINES = 4, DC_SHEET_GAP = 6, DC_SHEET_VIEWS_MAX = 8, DC_SHEET_WIDE = -1 };

struct dc_sheet {
	int rows, columns, views, wide;
	int width, height; uint8_t *rgb; /* [height,width,3] */
	int used;                        /* cells up to the last with anything in it */
};

/* wide: lines of text below all of a cell's pictures. Sizes: rows, columns >= 1, 1 <= views <= DC_SHEET_VIEWS_MAX. */
void dc_sheet_init(struct dc_sheet *s, int rows, int columns, int views, int wide);
/* Show rgb [height,width,3] as large as it fits, proportions kept; pixels are averaged down or repeated up.
 * Cells are numbered row by row from 0; what lies outside the sheet is ignored, and so is an empty picture. */
void dc_sheet_image(struct dc_sheet *s, int cell, int view, const uint8_t *rgb, int64_t height, int64_t width);
/* UTF-8, broken into lines at spaces; what does not fit ends in dots. */
void dc_sheet_text(struct dc_sheet *s, int cell, int view, const char *text, size_t n);
/* Write what is used, whole rows of cells, as PNG or JPEG by the name's extension, complete or not at all. */
int dc_sheet_save(const struct dc_sheet *s, const char *path) DC_MUST_USE;
void dc_sheet_free(struct dc_sheet *s);

#endif
