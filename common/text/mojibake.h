/* SPDX-License-Identifier: MIT */
/* Text whose UTF-8 was read in a one-byte encoding ("cafÃ©" for "café"), made right again.
 *
 *	struct dc_mojibake m = { 0 };
 *	dc_mojibake_repair(&m, &points);   // in place
 *	dc_mojibake_free(&m);
 *
 * The rules are ftfy 6.3.1's (R. Speer, fix_encoding), whose results these are:
 *
 *	1. Text is suspicious where characters stand together that hardly do so in any language but come of mojibake: a
 *	   C1 control; an odd character such as "¨" or "ƒ" beside an accented letter, a currency sign or a number sign; a
 *	   small accented letter before a capital one; about forty such sequences of character classes, in mojibake.c. Text
 *	   that is not suspicious is left alone.
 *	2. The first of Latin-1, windows-1252, -1251, -1250, -1253, -1254, -1257, ISO 8859-2, Mac Roman and code page 437
 *	   that has all its characters, and whose bytes are UTF-8, gives the text. Before they are read as UTF-8, a space
 *	   where the byte A0 would make a character becomes A0 again ("Ã la" is "à la"), and a character of which a byte is
 *	   lost (U+FFFD or "?" stands there) becomes U+FFFD. CESU-8 and the two-byte zero are read too.
 *	3. Where none does, each run of characters that looks like UTF-8 inside other text is repaired for itself, if it is
 *	   suspicious.
 *	4. Where there is none, C1 controls are read as windows-1252.
 *	5. From 1 again until nothing changes, so text that went wrong twice comes back. */
#ifndef DC_TEXT_MOJIBAKE_H
#define DC_TEXT_MOJIBAKE_H

#include "text/points.h"

/* Room for the work, to be kept between calls. All zero at first; one thread. */
struct dc_mojibake {
	uint64_t *class;              /* of each character */
	uint16_t *entry;              /* its place in the table */
	size_t cap;
	unsigned char *a, *b;         /* bytes */
	size_t bytes_cap;
	struct dc_points out;
};

void dc_mojibake_repair(struct dc_mojibake *m, struct dc_points *text);
void dc_mojibake_free(struct dc_mojibake *m);

/* What windows-1252 has at 0x80..0x9F; its five holes, and all other points, stay what they are. */
int32_t dc_windows_1252(int32_t c);

#endif
