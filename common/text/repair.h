/* SPDX-License-Identifier: MIT */
/* The repair of broken text, step by step what ftfy 6.3.1's fix_text does by default (R. Speer), which CLIP's tokenizer
 * begins with. Line by line (at most a million characters at once), until nothing changes (at most 32 times):
 *
 *	1. HTML entities that end in ";" (text/entity.h), up to the first line of the text that has a "<": from there on it is
 *	   taken for HTML, whose entities stay;
 *	2. text decoded in a wrong encoding (text/mojibake.h);
 *	3. C1 controls read as windows-1252; Latin ligatures taken apart; full- and half-width forms made normal;
 *	4. curly quotes straight; one "\n" for each end of a line;
 *	5. terminal escapes (ESC [ ... letter) and characters without a look removed: controls, U+206A..F, U+FEFF,
 *	   U+FFF9..C;
 *	6. NFC.
 *
 *	struct dc_repair r = { 0 };
 *	dc_repair_text(&r, &points);
 *	dc_repair_free(&r); */
#ifndef DC_TEXT_REPAIR_H
#define DC_TEXT_REPAIR_H

#include "text/mojibake.h"
#include "text/points.h"

/* Room for the work, to be kept between calls. All zero at first; one thread. */
struct dc_repair { struct dc_points line, room, before, whole; struct dc_mojibake mojibake; };

void dc_repair_text(struct dc_repair *r, struct dc_points *text);   /* in place */
void dc_repair_free(struct dc_repair *r);

#endif
