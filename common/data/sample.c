/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>
#include <utf8proc.h>

#include "data/sample.h"

const char *const dc_reject_names[DC_REJECTS] = { "no-image", "empty-image", "no-caption", "blank-caption", "bad-caption",
	"bad-key", "too-large", "damaged", "image" };

/* --- sources --- */

/* The next item of a comma list, allocated, or NULL at its end. */
static char *
next_item(const char **list)
{
	const char *p = *list;
	size_t n = strcspn(p, ",");

	if (!*p)
		return NULL;
	*list = p + n + (p[n] == ',');
	return dc_xstrndup(p, n);
}

static void
lower(char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s += 'a' - 'A';
}

int
dc_sources_captions(struct dc_sources *s, const char *list)
{
	const size_t max = sizeof s->caption / sizeof *s->caption;
	char *item;

	if ((s->no_captions = !strcmp(list, "none")))
		return 0;
	while ((item = next_item(&list))) {
		int json = !strncmp(item, "json:", 5);
		if (!strcmp(item, "none")) {
			free(item);
			return dc_err_set("none stands alone (for files named KEY.none: .none)");
		}
		if (!*item || (json && !item[5]) || s->n_captions == max) {
			free(item);
			return dc_err_set("a caption source is EXT or json:KEY, at most %zu of them, joined by commas", max);
		}
		s->caption[s->n_captions].json_key = json ? dc_xstrdup(item + 5) : NULL;
		if (!json)
			lower(item);
		s->caption[s->n_captions++].ext = json ? dc_xstrdup("json") : dc_xstrdup(item + (*item == '.'));
		free(item);
	}
	DC_CHECK(s->n_captions, "no caption source");
	return 0;
}

int
dc_sources_images(struct dc_sources *s, const char *list)
{
	const size_t max = sizeof s->image / sizeof *s->image;
	char *item;

	while ((item = next_item(&list))) {
		if (!*item || s->n_images == max) {
			free(item);
			return dc_err_set("at most %zu extensions of images, joined by commas", max);
		}
		lower(item);
		s->image[s->n_images++] = dc_xstrdup(item + (*item == '.'));
		free(item);
	}
	DC_CHECK(s->n_images, "no extension of images");
	return 0;
}

void
dc_sources_free(struct dc_sources *s)
{
	for (size_t i = 0; i < s->n_captions; i++) {
		free(s->caption[i].ext);
		free(s->caption[i].json_key);
	}
	for (size_t i = 0; i < s->n_images; i++)
		free(s->image[i]);
	memset(s, 0, sizeof *s);
}

int
dc_sources_is_image(const struct dc_sources *s, const char *ext)
{
	for (size_t i = 0; i < s->n_images; i++)
		if (!strcmp(s->image[i], ext))
			return 1;
	return 0;
}

uint64_t
dc_sources_keep(const struct dc_sources *s, const char *ext)
{
	if (dc_sources_is_image(s, ext))
		return DC_IMAGE_BYTES_MAX;
	for (size_t i = 0; i < s->n_captions; i++)
		if (!strcmp(s->caption[i].ext, ext))
			return DC_TEXT_BYTES_MAX;
	return strcmp(ext, "cls") ? 0 : DC_TEXT_BYTES_MAX;
}

/* --- text --- */

/* White space, a control or format character: nothing that a reader sees. */
static int
is_blank(utf8proc_int32_t c)
{
	utf8proc_category_t k = utf8proc_category(c);

	return k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP
	    || k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF;
}

static int
is_utf8(const char *p, size_t n)
{
	utf8proc_int32_t c;

	while (n) {
		utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)p, n, &c);
		if (k <= 0 || c == 0)
			return 0;
		p += k;
		n -= k;
	}
	return 1;
}

/* Add the caption p[0..n) without blanks at either end. Return -1, or why it is none. */
static int
add_caption(struct dc_sample *s, const char *p, size_t n)
{
	size_t from = n, to = 0, at = 0;
	utf8proc_int32_t c;

	if (!is_utf8(p, n))
		return DC_REJECT_BAD_CAPTION;
	while (at < n) {
		utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)p + at, n - at, &c);
		if (!is_blank(c)) {
			from = from < at ? from : at;
			to = at + k;
		}
		at += k;
	}
	if (to == 0)
		return DC_REJECT_BLANK_CAPTION;
	if (s->n_captions < DC_CAPTIONS_MAX) {
		s->caption = dc_xrealloc(s->caption, s->n_captions + 1, sizeof *s->caption);
		s->caption[s->n_captions++] = dc_xstrndup(p + from, to - from);
	}
	return -1;
}

static int
refuse(enum dc_reject why, const char *fmt, const char *a, const char *b)
{
	dc_err_set(fmt, a, b);
	return why;
}

/* One JSON value: a string, or an array whose strings are taken. */
static int
add_json_value(struct dc_sample *s, const json_t *v)
{
	int why = DC_REJECT_NO_CAPTION, r;

	if (json_is_string(v))
		return add_caption(s, json_string_value(v), json_string_length(v));
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *e = json_array_get(v, i);
		if (json_is_string(e) && (r = add_caption(s, json_string_value(e), json_string_length(e))) != -1)
			why = r;
	}
	return s->n_captions ? -1 : why;
}

static int
from_json(struct dc_sample *s, const struct dc_member *m, const char *key)
{
	json_error_t e;
	json_t *root = json_loadb((const char *)m->bytes, m->size, 0, &e), *v;
	int r;

	if (!root)
		return refuse(DC_REJECT_BAD_CAPTION, ".json: %s%s", e.text, "");
	if (!(v = json_object_get(root, key)))
		r = refuse(DC_REJECT_NO_CAPTION, ".json has no \"%s\"%s", key, "");
	else if ((r = add_json_value(s, v)) != -1)
		refuse(r, ".json: \"%s\": %s", key, r == DC_REJECT_BLANK_CAPTION ? "blank" : "no usable string");
	json_decref(root);
	return r;
}

static int
from_text(struct dc_sample *s, const struct dc_member *m)
{
	int r = add_caption(s, (const char *)m->bytes, m->size);

	if (r == DC_REJECT_BLANK_CAPTION)
		refuse(r, ".%s is blank%s", m->ext, "");
	else if (r == DC_REJECT_BAD_CAPTION)
		refuse(r, ".%s is not UTF-8 text%s", m->ext, "");
	return r;
}

static struct dc_member *
find(struct dc_group *g, const char *ext)
{
	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->member[i].ext, ext))
			return &g->member[i];
	return NULL;
}

/* The first source that gives a caption. Return -1, or why the first one that is there gives none. */
static int
take_captions(struct dc_sample *s, struct dc_group *g, const struct dc_sources *src)
{
	char said[256] = "";
	int why = DC_REJECT_NO_CAPTION, r;

	for (size_t i = 0; i < src->n_captions; i++) {
		struct dc_member *m = find(g, src->caption[i].ext);
		const char *key = src->caption[i].json_key;
		if (!m)
			continue;
		if (!m->bytes)
			r = refuse(DC_REJECT_TOO_LARGE, ".%s above 1 MiB%s", m->ext, "");
		else if ((r = key ? from_json(s, m, key) : from_text(s, m)) == -1)
			return -1;
		if (!*said) {
			why = r;
			snprintf(said, sizeof said, "%s", dc_err());
		}
	}
	return refuse(why, "%s%s", *said ? said : "no member with a caption", "");
}

static void
take_label(struct dc_sample *s, struct dc_group *g)
{
	const struct dc_member *m = find(g, "cls");
	char *end = NULL;
	long v = 0;

	s->label = -1;
	if (!m)
		return;
	errno = 0;
	if (m->bytes)
		v = strtol((char *)m->bytes, &end, 10);
	s->has_label = m->bytes && end != (char *)m->bytes && !errno && v >= INT32_MIN && v <= INT32_MAX
	    && (size_t)(end - (char *)m->bytes) + strspn(end, " \t\r\n") == m->size;
	s->bad_label = !s->has_label;
	if (s->has_label)
		s->label = v;
}

static int
take_image(struct dc_sample *s, struct dc_group *g, const struct dc_sources *src)
{
	struct dc_member *m = NULL;

	for (size_t i = 0; i < g->n && !m; i++)
		if (dc_sources_is_image(src, g->member[i].ext))
			m = &g->member[i];
	if (!m)
		return refuse(DC_REJECT_NO_IMAGE, "no member with an image%s%s", "", "");
	if (!m->size)
		return refuse(DC_REJECT_EMPTY_IMAGE, ".%s is empty%s", m->ext, "");
	if (m->size > DC_IMAGE_BYTES_MAX)
		return refuse(DC_REJECT_TOO_LARGE, ".%s above 256 MiB%s", m->ext, "");
	s->image = m->bytes;
	s->image_bytes = m->size;
	m->bytes = NULL;
	return -1;
}

int
dc_sample_make(struct dc_sample *s, struct dc_group *g, const struct dc_sources *src)
{
	int r;

	s->offset = g->offset;
	s->key = g->key;
	g->key = NULL;
	if (!is_utf8(s->key, strlen(s->key)))
		return refuse(DC_REJECT_BAD_KEY, "the key is not UTF-8%s%s", "", "");
	if (g->broken)
		return refuse(DC_REJECT_DAMAGED, "data cut off%s%s", "", "");
	take_label(s, g);
	if ((r = take_image(s, g, src)) != -1 || src->no_captions)
		return r;
	return take_captions(s, g, src);
}

void
dc_sample_free(struct dc_sample *s)
{
	for (size_t i = 0; i < s->n_captions; i++)
		free(s->caption[i]);
	free(s->caption);
	free(s->key);
	free(s->image);
	memset(s, 0, sizeof *s);
}
