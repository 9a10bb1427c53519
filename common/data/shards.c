/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/shards.h"

static int expand(struct dc_shards *s, const char *head, const char *p);

static int
add(struct dc_shards *s, const char *path)
{
	const char *slash = strrchr(path, '/');

	DC_CHECK(s->n < DC_SHARDS_MAX, "more than %d shards", DC_SHARDS_MAX);
	DC_CHECK(!strstr(path, "://"), "%s: addresses are not opened; pipe the data in: curl ... | dc-decode -", path);
	if (!strcmp(path, "-")) {
		DC_CHECK(!s->has_stdin, "standard input (-) is given twice");
		s->has_stdin = 1;
	}
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 64;
		s->path = dc_xrealloc(s->path, s->cap, sizeof *s->path);
		s->base = dc_xrealloc(s->base, s->cap, sizeof *s->base);
	}
	s->path[s->n] = dc_xstrdup(path);
	s->base[s->n] = strcmp(path, "-") ? s->path[s->n] + (slash ? slash + 1 - path : 0) : "<stdin>";
	s->n++;
	return 0;
}

/* The brace that closes the one at p[0], or NULL; *comma tells of a comma at its level. */
static const char *
closing(const char *p, int *comma)
{
	int depth = 0;

	*comma = 0;
	for (; *p; p++) {
		if (*p == '{')
			depth++;
		else if (*p == ',' && depth == 1)
			*comma = 1;
		else if (*p == '}' && --depth == 0)
			return p;
	}
	return NULL;
}

/* head + middle[0..n) + tail, expanded from the middle on. */
static int
expand_with(struct dc_shards *s, const char *head, const char *middle, size_t n, const char *tail)
{
	char *p = dc_xasprintf("%.*s%s", (int)n, middle, tail);
	int r = expand(s, head, p);

	free(p);
	return r;
}

static int
expand_list(struct dc_shards *s, const char *head, const char *p, const char *end)
{
	const char *from = p + 1;
	int depth = 0;

	for (p = from; p <= end; p++) {
		if ((*p == ',' && depth == 0) || p == end) {
			DC_TRY(expand_with(s, head, from, p - from, end + 1));
			from = p + 1;
		}
		depth += (*p == '{') - (*p == '}');
	}
	return 0;
}

struct range { long from, to, step; int width; };

/* "{000..011}" or "{0..90..10}" at p: digits with an optional minus. Numbers of more than nine digits are no range. */
static int
parse_range(const char *p, const char *end, struct range *r)
{
	const char *at = p + 1;
	long v[3] = { 0, 0, 1 };
	int n, k = 0;

	r->width = 0;
	for (n = 0; n < 3 && at < end; n++) {
		const char *digits = at + (*at == '-' && n < 2);
		for (k = 0; isdigit((unsigned char)digits[k]); k++)
			;
		if (k == 0 || k > 9)
			return 0;
		v[n] = strtol(at, NULL, 10);
		if (n < 2 && *digits == '0' && k > 1 && k > r->width)
			r->width = k;
		at = digits + k;
		if (at < end && strncmp(at, "..", 2))
			return 0;
		at += at < end ? 2 : 0;
	}
	*r = (struct range){ v[0], v[1], v[2], r->width };
	return n >= 2 && at == end && end[-1] != '.' && v[2] > 0;
}

static int
expand_range(struct dc_shards *s, const char *head, const struct range *r, const char *tail)
{
	long step = r->from <= r->to ? r->step : -r->step;
	char number[32];

	for (long v = r->from; step > 0 ? v <= r->to : v >= r->to; v += step) {
		char *with;
		int ret;
		snprintf(number, sizeof number, "%s%0*ld", v < 0 ? "-" : "", r->width, labs(v));
		with = dc_xasprintf("%s%s", head, number);
		ret = expand(s, with, tail);
		free(with);
		DC_TRY(ret);
	}
	return 0;
}

/* `head` is final text; expand the first brace of p and go on behind it. */
static int
expand(struct dc_shards *s, const char *head, const char *p)
{
	struct range r;
	const char *end, *open;
	char *with;
	int comma, ret;

	for (open = strchr(p, '{'); open; open = strchr(open + 1, '{'))
		if ((end = closing(open, &comma)) && (comma || parse_range(open, end, &r)))
			break;
	if (!open) {
		with = dc_xasprintf("%s%s", head, p);
		ret = add(s, with);
	} else {
		with = dc_xasprintf("%s%.*s", head, (int)(open - p), p);
		ret = comma ? expand_list(s, with, open, end) : expand_range(s, with, &r, end + 1);
	}
	free(with);
	return ret;
}

struct named { const char *base; size_t i; };

static int
by_base(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int c = strcmp(x->base, y->base);

	return c ? c : (x->i > y->i) - (x->i < y->i);
}

static void
count_again(struct dc_shards *s)
{
	struct named *v = dc_xcalloc(s->n + 1, sizeof *v);

	s->again = dc_xrealloc(s->again, s->n + 1, sizeof *s->again);
	for (size_t i = 0; i < s->n; i++)
		v[i] = (struct named){ s->base[i], i };
	qsort(v, s->n, sizeof *v, by_base);
	for (size_t i = 0; i < s->n; i++)
		s->again[v[i].i] = i && !strcmp(v[i].base, v[i - 1].base) ? s->again[v[i - 1].i] + 1 : 0;
	free(v);
}

int
dc_shards_expand(struct dc_shards *s, char *const *pattern, size_t n)
{
	for (size_t i = 0; i < n; i++)
		DC_TRY(expand(s, "", pattern[i]));
	count_again(s);
	return 0;
}

int
dc_shards_check(const struct dc_shards *s)
{
	struct stat st;

	for (size_t i = 0; i < s->n; i++) {
		if (!strcmp(s->path[i], "-"))
			continue;
		if (stat(s->path[i], &st) < 0 || access(s->path[i], R_OK) < 0)
			return dc_err_errno("%s", s->path[i]);
		DC_CHECK(!S_ISDIR(st.st_mode), "%s: is a directory, not a tar shard", s->path[i]);
	}
	return 0;
}

void
dc_shards_free(struct dc_shards *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->path[i]);
	free(s->path);
	free(s->base);
	free(s->again);
	memset(s, 0, sizeof *s);
}
