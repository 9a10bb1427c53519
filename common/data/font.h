/* SPDX-License-Identifier: MIT */
/* A small fixed-width bitmap font for contact sheets. */
#ifndef DC_DATA_FONT_H
#define DC_DATA_FONT_H

enum { DC_FONT_WIDTH = 6, DC_FONT_HEIGHT = 11, DC_GLYPH_ROWS = 9 /* 7 above the base line, 2 below */ };

/* The rows of a code point's glyph, top to bottom; bit 4 is the leftmost of its five columns. Printable ASCII has its
 * own; accented Latin letters are shown without the accent, other characters as a box. */
const unsigned char *dc_glyph(unsigned code);

#endif
