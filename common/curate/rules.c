/* SPDX-License-Identifier: MIT */
#include "curate/rules.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "text/points.h"

const char *const dc_drop_names[DC_DROPS] = { "image", "min-bytes", "max-bytes", "min-side", "max-side", "max-aspect",
	"min-chars", "max-chars", "charset", "script", "min-words", "max-words", "block", "same-bytes", "same-pixels", "near",
	"max-repeats", "with-image" };

static int drop(enum dc_drop why, char detail[DC_DETAIL_MAX], const char *fmt, ...) DC_PRINTF(3, 4);

static int
drop(enum dc_drop why, char detail[DC_DETAIL_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, DC_DETAIL_MAX, fmt, ap);
	va_end(ap);
	return why;
}

int
dc_rules_size(const struct dc_rules *r, size_t bytes, char detail[DC_DETAIL_MAX])
{
	if (r->min_bytes && bytes < (uint64_t)r->min_bytes)
		return drop(DC_DROP_MIN_BYTES, detail, "%zu bytes", bytes);
	if (r->max_bytes && bytes > (uint64_t)r->max_bytes)
		return drop(DC_DROP_MAX_BYTES, detail, "%zu bytes", bytes);
	return -1;
}

int
dc_rules_image(const struct dc_rules *r, int width, int height, char detail[DC_DETAIL_MAX])
{
	const int shorter = width < height ? width : height, longer = width < height ? height : width;

	if (r->min_side && shorter < r->min_side)
		return drop(DC_DROP_MIN_SIDE, detail, "%dx%d", width, height);
	if (r->max_side && longer > r->max_side)
		return drop(DC_DROP_MAX_SIDE, detail, "%dx%d", width, height);
	if (r->max_aspect > 0 && longer > r->max_aspect * shorter)
		return drop(DC_DROP_MAX_ASPECT, detail, "%dx%d", width, height);
	return -1;
}

/* What the characters alone tell. */
struct letters { int64_t chars, letters, wanted; int32_t beyond; int other; };

static void
count_letters(struct letters *l, const struct dc_rules *r, const char *s, size_t n)
{
	int32_t c;
	int script;

	*l = (struct letters){ 0 };
	for (size_t at = 0; at < n; l->chars++) {
		at += (size_t)dc_utf8_get(s + at, n - at, &c);
		if (r->charset && c > r->charset && !l->beyond)
			l->beyond = c;
		if (!r->scripts || !(script = dc_script_of(c)))
			continue;
		l->letters++;
		l->wanted += r->script[script];
		if (!r->script[script] && !l->other)
			l->other = script;
	}
}

static int
check_words(const struct dc_rules *r, const struct dc_words *w, char detail[DC_DETAIL_MAX])
{
	const char *phrase;

	if (r->min_words && w->n_words < (uint64_t)r->min_words)
		return drop(DC_DROP_MIN_WORDS, detail, "%zu words", w->n_words);
	if (r->max_words && w->n_words > (uint64_t)r->max_words)
		return drop(DC_DROP_MAX_WORDS, detail, "%zu words", w->n_words);
	if ((phrase = dc_block_find(&r->block, w)))
		return drop(DC_DROP_BLOCK, detail, "%.100s", phrase);
	return -1;
}

int
dc_rules_caption(const struct dc_rules *r, struct dc_words *w, const char *s, size_t n, char detail[DC_DETAIL_MAX])
{
	struct letters l;

	count_letters(&l, r, s, n);
	if (r->min_chars && l.chars < r->min_chars)
		return drop(DC_DROP_MIN_CHARS, detail, "%" PRId64 " characters", l.chars);
	if (r->max_chars && l.chars > r->max_chars)
		return drop(DC_DROP_MAX_CHARS, detail, "%" PRId64 " characters", l.chars);
	if (l.beyond)
		return drop(DC_DROP_CHARSET, detail, "U+%04X is not in %s", (unsigned)l.beyond, r->charset_name);
	if (r->scripts && !l.letters)
		return drop(DC_DROP_SCRIPT, detail, "no letters");
	if (r->scripts && (double)l.wanted < r->script_share * (double)l.letters)
		return drop(DC_DROP_SCRIPT, detail, "%" PRId64 " of %" PRId64 " letters; also %s", l.wanted, l.letters,
		    dc_script_name(l.other));
	if (!r->min_words && !r->max_words && !r->block.n)
		return -1;
	dc_words_take(w, s, n);
	return check_words(r, w, detail);
}
