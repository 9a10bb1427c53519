/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/util.h"
#include "text/clean.h"
#include "text/entity.h"

/* --- white space --- */

/* In place. */
static void
collapse(struct dc_points *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (!dc_is_space(p->p[i]))
			p->p[n++] = p->p[i];
		else if (n > 0 && p->p[n - 1] != ' ')
			p->p[n++] = ' ';
	}
	p->n = n > 0 && p->p[n - 1] == ' ' ? n - 1 : n;
}

/* --- lower case --- */

/* Unicode's Cased: the categories Lu, Ll, Lt and what Other_Uppercase and Other_Lowercase add outside Case_Ignorable. */
static int
is_cased(int32_t c)
{
	utf8proc_category_t k = utf8proc_category(c);

	return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT || c == 0xAA || c == 0xBA ||
	    (c >= 0x2160 && c <= 0x217F) || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
	    (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

/* Unicode's Case_Ignorable: Mn Me Cf Lm Sk, and the punctuation that stands inside words. */
static int
is_case_ignorable(int32_t c)
{
	static const int32_t inside[] = { '\'', '.', ':', 0xB7, 0x387, 0x55F, 0x5F4, 0x2018, 0x2019, 0x2024, 0x2027,
		0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A };
	utf8proc_category_t k = utf8proc_category(c);

	for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
		if (inside[i] == c)
			return 1;
	return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
	    k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK;
}

/* Unicode's Final_Sigma: a cased letter before, none after, case-ignorable ones not counted. `before` says the first;
 * look for the second. */
static int
cased_after(const struct dc_points *in, size_t i)
{
	for (i++; i < in->n && is_case_ignorable(in->p[i]); i++)
		;
	return i < in->n && is_cased(in->p[i]);
}

void
dc_lower(struct dc_points *out, const struct dc_points *in)
{
	int cased = 0;  /* the last character that is not case-ignorable was cased */

	out->n = 0;
	for (size_t i = 0; i < in->n; i++) {
		int32_t c = in->p[i];

		if (c < 0x80) {
			dc_points_add(out, c >= 'A' && c <= 'Z' ? c + 32 : c);
		} else if (c == 0x130) {
			dc_points_add(out, 'i');
			dc_points_add(out, 0x307);
		} else if (c == 0x3A3) {
			dc_points_add(out, cased && !cased_after(in, i) ? 0x3C2 : 0x3C3);
		} else {
			dc_points_add(out, utf8proc_tolower(c));
		}
		if (!is_case_ignorable(c))
			cased = is_cased(c);
	}
}

/* --- all of it --- */

static void
text_from_points(struct dc_clean *c)
{
	if (c->cap < c->a.n * 4 + 1) {
		c->cap = c->a.n * 8 + 64;
		c->text = dc_xrealloc(c->text, c->cap, 1);
	}
	c->n = 0;
	for (size_t i = 0; i < c->a.n; i++)
		c->n += (size_t)dc_utf8_put(c->text + c->n, c->a.p[i]);
	c->text[c->n] = 0;
}

/* Printable ASCII without "&", which is most captions: spaces and lower case are all there is to do. */
static int
plain(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] < ' ' || s[i] > '~' || s[i] == '&')
			return 0;
	return 1;
}

static void
clean_plain(struct dc_clean *c, const char *s, size_t n)
{
	if (c->cap < n + 1) {
		c->cap = n * 2 + 64;
		c->text = dc_xrealloc(c->text, c->cap, 1);
	}
	c->n = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] != ' ')
			c->text[c->n++] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
		else if (c->n > 0 && c->text[c->n - 1] != ' ')
			c->text[c->n++] = ' ';
	}
	c->n -= c->n > 0 && c->text[c->n - 1] == ' ';
	c->text[c->n] = 0;
}

void
dc_clean_repair(struct dc_clean *c, const char *s, size_t n)
{
	dc_points_from_utf8(&c->a, s, n);
	dc_repair_text(&c->repair, &c->a);
	text_from_points(c);
}

void
dc_clean_text(struct dc_clean *c, const char *s, size_t n)
{
	if (plain(s, n)) {
		clean_plain(c, s, n);
		return;
	}
	dc_points_from_utf8(&c->a, s, n);
	dc_repair_text(&c->repair, &c->a);
	dc_html_unescape(&c->b, &c->a);
	dc_html_unescape(&c->a, &c->b);
	collapse(&c->a);
	dc_lower(&c->b, &c->a);
	dc_points_swap(&c->a, &c->b);
	text_from_points(c);
}

void
dc_clean_free(struct dc_clean *c)
{
	free(c->text);
	free(c->a.p);
	free(c->b.p);
	dc_repair_free(&c->repair);
	*c = (struct dc_clean){ 0 };
}
