/* SPDX-License-Identifier: MIT */
/* CLIP's cleaning of a caption, the same text that OpenAI's SimpleTokenizer sees before it splits:
 *
 *	1. light repair, line by line: named and numeric HTML entities that end in ";" (only where the line has no "<"),
 *	   C1 controls read as windows-1252, Latin ligatures taken apart, full- and half-width forms made normal, curly
 *	   quotes made straight, line ends made "\n", terminal escapes and control characters removed, NFC; again until
 *	   nothing changes (at most 32 times). These are ftfy.fix_text's steps but for one: it also guesses at text decoded
 *	   with the wrong encoding ("mojibake"); that is not done here.
 *	2. HTML entities unescaped twice, by the rules of HTML5 as Python's html.unescape applies them;
 *	3. white space (Unicode's property) collapsed to one space, none at either end;
 *	4. lower case as Python's str.lower: the full mapping of U+0130, and the final sigma.
 *
 *	struct dc_clean c = { 0 };
 *	dc_clean_text(&c, s, n);   // c.text, c.n
 *	dc_clean_free(&c);
 *
 * Bytes that are not UTF-8 become U+FFFD. The cost is linear in n. */
#ifndef DC_TEXT_CLEAN_H
#define DC_TEXT_CLEAN_H

#include <stddef.h>
#include <stdint.h>

/* Code points being worked on. */
struct dc_points { int32_t *p; size_t n, cap; };

struct dc_clean {
	char *text; size_t n, cap;      /* the result: valid UTF-8, NUL after the last byte; lives until the next call */
	struct dc_points a, b, line;
};

void dc_clean_text(struct dc_clean *c, const char *s, size_t n);
void dc_clean_free(struct dc_clean *c);

/* Single steps, from in to out (emptied first; not the same object). */
void dc_points_from_utf8(struct dc_points *out, const char *s, size_t n);
void dc_html_unescape(struct dc_points *out, const struct dc_points *in);  /* Python's html.unescape, once */
void dc_lower(struct dc_points *out, const struct dc_points *in);          /* Python's str.lower */

/* One code point of valid UTF-8 as at most 4 bytes; return how many. */
int dc_utf8_put(char *out, int32_t cp);
/* The code point at s and the bytes it takes (n >= 1 given). What is not UTF-8: U+FFFD, 1 byte. */
int dc_utf8_get(const char *s, size_t n, int32_t *cp);

#endif
