/* SPDX-License-Identifier: MIT */
/* Listings: lines of TSV, records of CSV (RFC 4180), lines of JSON. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "shard/items.h"

enum { FIELDS_MAX = 1100 };
enum role { OTHER, PATH, CAPTION, LABEL, KEY };

struct listing {
	struct dc_items *items;
	const char *file, *root;
	FILE *fp;
	size_t line;                             /* of the record at hand, from 1 */
	char *text; size_t n, cap;               /* its fields, each ended by a NUL */
	size_t field[FIELDS_MAX + 1]; int n_fields;
	const char *why;                         /* what is wrong with it */
	enum role role[FIELDS_MAX]; int n_roles; /* of the columns; 0: no header */
	int begun;
};

static enum role
role_of(const char *name)
{
	static const char *const path[] = { "path", "filepath", "file", "filename", "image", "image_path" };

	for (size_t i = 0; i < sizeof path / sizeof *path; i++)
		if (!strcasecmp(name, path[i]))
			return PATH;
	if (!strncasecmp(name, "caption", 7) || !strcasecmp(name, "title") || !strcasecmp(name, "text"))
		return CAPTION;
	if (!strcasecmp(name, "label") || !strcasecmp(name, "cls"))
		return LABEL;
	return strcasecmp(name, "key") ? OTHER : KEY;
}

/* --- rows to items --- */

static void
set_path(struct listing *g, struct dc_item *it, const char *path)
{
	it->name = dc_xstrdup(path);
	it->path = *path == '/' || !g->root ? dc_xstrdup(path) : dc_xasprintf("%s/%s", g->root, path);
}

static void
bad_row(struct listing *g, const char *why)
{
	struct dc_item *it = dc_items_new(g->items);

	it->name = dc_xasprintf("%s:%zu", g->file, g->line);
	it->why = dc_xasprintf("row: %s", why);
}

/* A row of TSV or CSV by its columns' roles. */
static void
take_fields(struct listing *g)
{
	const char *path = NULL;
	struct dc_item *it;

	for (int i = 0; i < g->n_fields; i++)
		if ((g->n_roles ? i < g->n_roles && g->role[i] == PATH : i == 0) && !path)
			path = g->text + g->field[i];
	if (g->why || !path || !*path) {
		bad_row(g, g->why ? g->why : "no path");
		return;
	}
	it = dc_items_new(g->items);
	set_path(g, it, path);
	for (int i = 0; i < g->n_fields; i++) {
		const char *f = g->text + g->field[i];
		enum role r = !g->n_roles ? i ? CAPTION : PATH : i < g->n_roles ? g->role[i] : OTHER;
		if (r == CAPTION && (*f || g->n_fields == 2))
			dc_item_caption(it, f, strlen(f));
		else if (r == LABEL && *f && !it->label)
			it->label = dc_xstrdup(f);
		else if (r == KEY && *f && !it->key)
			it->key = dc_xstrdup(f);
	}
}

/* The first row: does it name columns? It does if one is a path's name and no field could be an image's. */
static int
take_header(struct listing *g)
{
	int has_path = 0;

	for (int i = 0; i < g->n_fields; i++) {
		const char *f = g->text + g->field[i], *dot = strrchr(f, '.');
		g->role[i] = role_of(f);
		has_path |= g->role[i] == PATH;
		if (dot && (!strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg") || !strcasecmp(dot, ".png")
		    || !strcasecmp(dot, ".webp")))
			return 0;
	}
	g->n_roles = has_path ? g->n_fields : 0;
	return has_path;
}

static void
take_record(struct listing *g)
{
	int first = !g->begun;

	g->begun = 1;
	if (first && !strncmp(g->text, "\xef\xbb\xbf", 3)) /* a byte order mark */
		g->field[0] += 3;
	if (!(first && !g->why && take_header(g)))
		take_fields(g);
}

/* --- characters to fields --- */

static void
put(struct listing *g, int c)
{
	if (g->n + 2 > g->cap) {
		g->cap = g->cap ? g->cap * 2 : 4096;
		g->text = dc_xrealloc(g->text, g->cap, 1);
	}
	if (c == 0)
		g->why = "a NUL in it";
	g->text[g->n++] = (char)c;
}

static void
end_field(struct listing *g)
{
	put(g, 1);
	g->text[g->n - 1] = 0;
	if (g->n_fields == FIELDS_MAX - 1)
		g->why = "too many fields";
	else
		g->field[++g->n_fields] = g->n;
}

static void
begin_record(struct listing *g)
{
	g->n = 0;
	g->n_fields = 0;
	g->field[0] = 0;
	g->why = NULL;
}

/* A field in quotes, from behind the first one: "" is a quote. Returns the character behind the closing one. */
static int
quoted(struct listing *g, size_t *lines)
{
	int c;

	while ((c = getc_unlocked(g->fp)) != EOF) {
		if (c == '"' && (c = getc_unlocked(g->fp)) != '"')
			return c;
		*lines += c == '\n';
		put(g, c);
	}
	g->why = "a quote is not closed";
	return EOF;
}

/* One record of fields between `sep`. 0 at the end of the file. */
static int
read_record(struct listing *g, int sep)
{
	size_t lines = 1;
	int c = getc_unlocked(g->fp), began;

	begin_record(g);
	if (c == EOF)
		return 0;
	for (began = 1;; c = getc_unlocked(g->fp), began = 0) {
		if (sep == ',' && c == '"' && (began || g->n == g->field[g->n_fields])) {
			c = quoted(g, &lines);
			if (c != sep && c != '\n' && c != '\r' && c != EOF)
				g->why = "text behind a closing quote";
		}
		if (c == '\r') {
			if ((c = getc_unlocked(g->fp)) != '\n' && c != EOF)
				put(g, '\r');
		}
		if (c == EOF || c == '\n')
			break;
		if (c == sep)
			end_field(g);
		else
			put(g, c);
	}
	end_field(g);
	if (g->n > 1 || g->why)
		take_record(g);
	g->line += lines;
	return 1;
}

/* --- JSON --- */

static void
take_captions(struct dc_item *it, const json_t *v)
{
	const json_t *e;
	size_t i;

	if (json_is_string(v))
		dc_item_caption(it, json_string_value(v), json_string_length(v));
	json_array_foreach(v, i, e)
		if (json_is_string(e))
			dc_item_caption(it, json_string_value(e), json_string_length(e));
}

static char *
text_of(const json_t *v)
{
	return json_is_string(v) ? dc_xstrdup(json_string_value(v))
	    : json_is_integer(v) ? dc_xasprintf("%lld", (long long)json_integer_value(v)) : NULL;
}

static void
take_object(struct listing *g, json_t *o)
{
	const char *path = NULL, *k;
	struct dc_item *it;
	json_t *v;

	json_object_foreach(o, k, v)
		if (!path && role_of(k) == PATH && json_is_string(v) && *json_string_value(v))
			path = json_string_value(v);
	if (!path) {
		bad_row(g, json_is_object(o) ? "no \"path\"" : "not a JSON object");
		return;
	}
	it = dc_items_new(g->items);
	set_path(g, it, path);
	json_object_foreach(o, k, v) {
		enum role r = role_of(k);
		if (r == CAPTION)
			take_captions(it, v);
		else if (r == LABEL && !it->label)
			it->label = text_of(v);
		else if (r == KEY && !it->key)
			it->key = text_of(v);
	}
}

static int
read_json(struct listing *g)
{
	json_error_t e;
	json_t *o;
	char *line = g->text;
	ssize_t n = getline(&line, &g->cap, g->fp);

	g->text = line;
	if (n < 0)
		return 0;
	if ((size_t)n > strspn(line, " \t\r\n")) {
		o = json_loadb(line, (size_t)n, 0, &e);
		if (o)
			take_object(g, o);
		else
			bad_row(g, e.text);
		json_decref(o);
	}
	g->line++;
	return 1;
}

int
dc_items_listing(struct dc_items *l, const char *file, const char *root, enum dc_listing format)
{
	struct listing g = { .items = l, .file = file, .root = root, .line = 1 };
	int in = !strcmp(file, "-"), r = 0;

	if (!(g.fp = in ? stdin : fopen(file, "r")))
		return dc_err_errno("%s", file);
	errno = 0;
	while (format == DC_LISTING_JSONL ? read_json(&g) : read_record(&g, format == DC_LISTING_CSV ? ',' : '\t'))
		;
	if (ferror(g.fp))
		r = dc_err_errno("%s", file);
	if (!in)
		fclose(g.fp);
	free(g.text);
	return r;
}
