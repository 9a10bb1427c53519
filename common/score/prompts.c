/* SPDX-License-Identifier: MIT */
#include "score/prompts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FILE_MAX_BYTES = 1 << 26 };

static const char *const own[] = {
	"a photo of a {}.",
	"a picture that shows a {}.",
	"a close photo of the {}.",
	"a {} seen from a distance.",
	"a dark photo of a {}.",
	"a bright photo of a {}.",
	"{}",
};

void
dc_lines_free(struct dc_lines *l)
{
	free(l->text);
	free(l->line);
	*l = (struct dc_lines){ 0 };
}

static void
add(struct dc_lines *l, const char *s)
{
	l->line = dc_xrealloc(l->line, (size_t)l->n + 1, sizeof *l->line);
	l->line[l->n++] = s;
}

static char *
trim(char *s)
{
	char *end = s + strlen(s);

	while (end > s && strchr(" \t\r", end[-1]))
		*--end = '\0';
	return s + strspn(s, " \t");
}

static int
read_lines(struct dc_lines *l, const char *path)
{
	size_t n;

	*l = (struct dc_lines){ 0 };
	DC_TRY(dc_slurp(path, FILE_MAX_BYTES, &l->text, &n));
	if (strlen(l->text) != n) {
		dc_lines_free(l);
		return dc_err_set("%s: not a text file, it has a NUL", path);
	}
	for (char *p = l->text; *p; ) {
		char *eol = strchrnul(p, '\n'), *next = *eol ? eol + 1 : eol;
		*eol = '\0';
		add(l, trim(p));
		p = next;
	}
	return 0;
}

/* --- names --- */

struct numbered { const char *name; int64_t line; };

static int
by_name(const void *a, const void *b)
{
	const struct numbered *x = a, *y = b;
	const int c = strcasecmp(x->name, y->name);

	return c ? c : (x->line > y->line) - (x->line < y->line);
}

static int
check_different(const struct dc_lines *names, const char *path)
{
	struct numbered *x = dc_xcalloc((size_t)names->n, sizeof *x);
	int r = 0;

	for (int64_t i = 0; i < names->n; i++)
		x[i] = (struct numbered){ names->line[i], i + 1 };
	qsort(x, (size_t)names->n, sizeof *x, by_name);
	for (int64_t i = 1; i < names->n && r == 0; i++)
		if (!strcasecmp(x[i].name, x[i - 1].name))
			r = dc_err_set("%s: line %lld: the class '%s' is on line %lld already", path, (long long)x[i].line,
			    x[i].name, (long long)x[i - 1].line);
	free(x);
	return r;
}

static int
check_names(const struct dc_lines *names, const char *path, int same)
{
	DC_CHECK(names->n, "%s: no class names in it", path);
	for (int64_t i = 0; i < names->n; i++) {
		DC_CHECK(names->line[i][0], "%s: line %lld: an empty name; each line names a class", path, (long long)i + 1);
		DC_CHECK(!strchr(names->line[i], '\t'), "%s: line %lld: a tab in a name", path, (long long)i + 1);
	}
	return same ? 0 : check_different(names, path);
}

int
dc_names_read(struct dc_lines *names, const char *path, int same)
{
	DC_TRY(read_lines(names, path));
	if (check_names(names, path, same) < 0) {
		dc_lines_free(names);
		return -1;
	}
	return 0;
}

/* --- templates --- */

/* 'a photo of a {}.', -> a photo of a {}. */
static const char *
unquoted(char *s)
{
	size_t n = strlen(s);

	n -= n > 0 && s[n - 1] == ',';
	if (n < 2 || (s[0] != '\'' && s[0] != '"') || s[n - 1] != s[0])
		return s;
	s[n - 1] = '\0';
	return s + 1;
}

int
dc_templates_read(struct dc_lines *templates, const char *path)
{
	struct dc_lines all;

	DC_TRY(read_lines(&all, path));
	*templates = (struct dc_lines){ .text = all.text };
	for (int64_t i = 0; i < all.n; i++) {
		const char *t = unquoted(all.text + (all.line[i] - all.text));
		if (t[0] && !strstr(t, "{}")) {
			dc_err_set("%s: line %lld: no {} in '%.60s', where the class name would go", path, (long long)i + 1, t);
			free(all.line);
			dc_lines_free(templates);
			return -1;
		}
		if (t[0])
			add(templates, t);
	}
	free(all.line);
	if (templates->n)
		return 0;
	dc_lines_free(templates);
	return dc_err_set("%s: no templates in it", path);
}

void
dc_templates_own(struct dc_lines *templates)
{
	*templates = (struct dc_lines){ 0 };
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		add(templates, own[i]);
}

/* --- prompts --- */

static int
check_prompts(const struct dc_lines *prompts, const char *path)
{
	DC_CHECK(prompts->n, "%s: no prompts in it", path);
	for (int64_t i = 0; i < prompts->n; i++)
		DC_CHECK(prompts->line[i][0], "%s: line %lld: an empty prompt", path, (long long)i + 1);
	return 0;
}

int
dc_prompts_read(struct dc_lines *prompts, const char *path)
{
	DC_TRY(read_lines(prompts, path));
	if (check_prompts(prompts, path) == 0)
		return 0;
	dc_lines_free(prompts);
	return -1;
}

char *
dc_prompt(const char *template, const char *name)
{
	char *out = dc_xstrdup(""), *longer;

	for (const char *at; (at = strstr(template, "{}")); template = at + 2) {
		longer = dc_xasprintf("%s%.*s%s", out, (int)(at - template), template, name);
		free(out);
		out = longer;
	}
	longer = dc_xasprintf("%s%s", out, template);
	free(out);
	return longer;
}
