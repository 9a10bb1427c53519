/* SPDX-License-Identifier: MIT */
/* CLIP's cleaning of a caption, the same text that OpenAI's SimpleTokenizer sees before it splits:
 *
 *	1. broken text repaired as ftfy does (text/repair.h);
 *	2. HTML entities unescaped twice, by the rules of HTML5 as Python's html.unescape applies them;
 *	3. white space (Unicode's property) collapsed to one space, none at either end;
 *	4. lower case as Python's str.lower: the full mapping of U+0130, and the final sigma.
 *
 *	struct dc_clean c = { 0 };
 *	dc_clean_text(&c, s, n);   // c.text, c.n
 *	dc_clean_free(&c);
 *
 * Bytes that are not UTF-8 become U+FFFD (dc_utf8_get). The cost is linear in n, with a bound on how often a text is
 * gone over. */
#ifndef DC_TEXT_CLEAN_H
#define DC_TEXT_CLEAN_H

#include <stddef.h>
#include <stdint.h>
#include "text/points.h"
#include "text/repair.h"

struct dc_clean {
	char *text; size_t n, cap;      /* the result: valid UTF-8, NUL after the last byte; lives until the next call */
	struct dc_points a, b;
	struct dc_repair repair;
};

void dc_clean_text(struct dc_clean *c, const char *s, size_t n);
void dc_clean_repair(struct dc_clean *c, const char *s, size_t n);         /* step 1 only */
void dc_clean_free(struct dc_clean *c);

void dc_lower(struct dc_points *out, const struct dc_points *in);          /* Python's str.lower; out is emptied first */

#endif
