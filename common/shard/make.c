/* SPDX-License-Identifier: MIT */
#include "shard/make.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "data/exif.h"
#include "data/image.h"
#include "data/imgwrite.h"
#include "data/resample.h"

enum { QUALITY = 95 };

int
dc_make_init(struct dc_make_how *how, const char *captions)
{
	if (dc_sources_captions(&how->listed, "json:captions") < 0 || dc_sources_images(&how->listed, "image") < 0)
		return -1;
	DC_TRY(dc_sources_images(&how->beside, "image"));
	return dc_sources_captions(&how->beside, captions);
}

static int
refuse(struct dc_made *m, enum dc_reject why)
{
	m->why = dc_xasprintf("%s: %s", dc_reject_names[why], dc_err());
	return -1;
}

/* --- the group: members as a shard would hold them --- */

static struct dc_member *
add_member(struct dc_group *g, const char *ext, void *bytes, size_t n)
{
	g->member[g->n] = (struct dc_member){ .ext = dc_xstrdup(ext), .bytes = bytes, .size = n };
	return &g->member[g->n++];
}

/* The file of PATH's name with another extension, if there is one. 0, or -1 after refusing the sample. */
static int
add_beside(struct dc_made *m, struct dc_group *g, const char *path, const char *ext)
{
	const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
	const size_t stem = dot && (!slash || dot > slash) ? (size_t)(dot - path) : strlen(path);
	char *name = dc_xasprintf("%.*s.%s", (int)stem, path, ext), *bytes;
	struct stat st;
	size_t n;
	int r = 0;

	if (stat(name, &st) < 0) {
		if (errno != ENOENT && errno != ENOTDIR) {
			dc_err_errno(".%s cannot be read", ext);
			r = refuse(m, DC_REJECT_BAD_CAPTION);
		}
	} else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > DC_TEXT_BYTES_MAX) {
		dc_err_set(".%s is %s", ext, S_ISREG(st.st_mode) ? "above 1 MiB" : "no regular file");
		r = refuse(m, DC_REJECT_TOO_LARGE);
	} else if (dc_slurp(name, DC_TEXT_BYTES_MAX, &bytes, &n) < 0) {
		dc_err_set(".%s cannot be read", ext);
		r = refuse(m, DC_REJECT_BAD_CAPTION);
	} else {
		add_member(g, ext, bytes, n);
	}
	free(name);
	return r;
}

static int
has_member(const struct dc_group *g, const char *ext)
{
	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->member[i].ext, ext))
			return 1;
	return 0;
}

static int
add_texts_beside(struct dc_made *m, struct dc_group *g, const struct dc_item *it, const struct dc_make_how *how)
{
	for (size_t i = 0; i < how->beside.n_captions; i++)
		if (!has_member(g, how->beside.caption[i].ext))
			DC_TRY(add_beside(m, g, it->path, how->beside.caption[i].ext));
	return has_member(g, "json") ? 0 : add_beside(m, g, it->path, "json");
}

static int
add_listed(struct dc_made *m, struct dc_group *g, const struct dc_item *it)
{
	json_t *all = json_array(), *o;
	char *text;
	int bad = 0;

	for (size_t i = 0; i < it->n_captions; i++)
		bad |= json_array_append_new(all, json_string(it->caption[i])) < 0; /* not UTF-8: no string */
	o = json_pack("{s:o}", "captions", all);
	text = bad || !o ? NULL : json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!text) {
		dc_err_set("a listed caption is not UTF-8 text");
		return refuse(m, DC_REJECT_BAD_CAPTION);
	}
	add_member(g, "json", text, strlen(text));
	return 0;
}

static int
add_label(struct dc_made *m, struct dc_group *g, const struct dc_item *it)
{
	if (it->label)
		add_member(g, "cls", dc_xstrdup(it->label), strlen(it->label));
	else if (it->path)
		return add_beside(m, g, it->path, "cls");
	return 0;
}

/* --- the image --- */

static int
smaller(struct dc_image *im, int64_t side)
{
	int64_t w = im->width, h = im->height, m = w > h ? w : h;
	struct dc_image out = { 0 };

	if (!side || m <= side)
		return 0;
	w = (w * side * 2 + m) / (2 * m); /* rounded; at least one pixel */
	h = (h * side * 2 + m) / (2 * m);
	out.width = w < 1 ? 1 : (int)w;
	out.height = h < 1 ? 1 : (int)h;
	out.cap = (size_t)out.width * (size_t)out.height * 3;
	out.rgb = dc_xmalloc(out.cap);
	if (dc_resample(out.rgb, out.width, out.height, dc_raster(im->rgb, im->width, im->height), NULL, NULL, DC_BICUBIC) < 0) {
		dc_image_free(&out);
		return -1;
	}
	dc_image_free(im);
	*im = out;
	return 0;
}

static int
encode(struct dc_made *m, struct dc_image *im, const struct dc_make_how *how)
{
	unsigned char *out;
	size_t n;

	DC_TRY(smaller(im, how->max_side));
	DC_TRY(dc_image_encode(DC_JPEG_420, how->quality ? (int)how->quality : QUALITY, im->rgb, im->width, im->height, &out, &n));
	free(m->image);
	m->image = out;
	m->n_image = n;
	m->ext = "jpg";
	return 0;
}

/* Check the image in m and change it, where that is asked for. 0, or -1 with a message. */
static int
check_image(struct dc_made *m, const struct dc_make_how *how)
{
	static const char *const ext[] = { [DC_IMAGE_JPEG] = "jpg", [DC_IMAGE_PNG] = "png", [DC_IMAGE_WEBP] = "webp" };
	struct dc_image im = { 0 };
	int w, h, turn = 1, change, r;

	DC_TRY(dc_image_header(m->image, m->n_image, how->max_pixels, &w, &h));
	m->ext = ext[dc_image_format(m->image, m->n_image)];
	if (how->exif)
		turn = dc_exif_orientation(m->image, m->n_image);
	change = how->quality || turn != 1 || (how->max_side && (w > how->max_side || h > how->max_side));
	if (!change && !how->decode)
		return 0;
	r = dc_image_decode(m->image, m->n_image, how->max_pixels, &im);
	if (r == 0 && change) {
		dc_image_turn(&im, turn);
		r = encode(m, &im, how);
	}
	dc_image_free(&im);
	return r;
}

/* --- the sample --- */

/* All captions as JSON, where there are several and no .json stood beside the image. */
static void
take_texts(struct dc_made *m, const struct dc_sample *s, struct dc_group *g, int listed)
{
	json_t *all, *o;

	if (s->n_captions)
		m->text = dc_xstrdup(s->caption[0]);
	for (size_t i = 0; i < g->n && !listed; i++)
		if (!strcmp(g->member[i].ext, "json") && g->member[i].bytes) {
			m->json = (char *)g->member[i].bytes;
			m->n_json = g->member[i].size;
			g->member[i].bytes = NULL;
		}
	if (m->json || s->n_captions < 2)
		return;
	all = json_array();
	for (size_t i = 0; i < s->n_captions; i++)
		json_array_append_new(all, json_string(s->caption[i]));
	o = json_pack("{s:o}", "captions", all);
	m->json = json_dumps(o, 0);
	m->n_json = strlen(m->json);
	json_decref(o);
}

/* Captions and label out of the group; the image too, if it has one. 0, or -1 after refusing. */
static int
take_group(struct dc_made *m, struct dc_group *g, int listed, const struct dc_make_how *how)
{
	struct dc_sample s = { 0 };
	int why = dc_sample_make(&s, g, listed ? &how->listed : &how->beside), r = -1;

	m->image = s.image;
	m->n_image = s.image_bytes;
	s.image = NULL;
	if (why == DC_REJECT_NO_CAPTION && how->captionless)
		why = -1;
	if (why >= 0) {
		r = refuse(m, why);
	} else if (s.bad_label) {
		m->why = dc_xstrdup("bad-label: the label is no whole number");
	} else {
		m->has_label = s.has_label;
		m->label = s.label;
		take_texts(m, &s, g, listed);
		r = 0;
	}
	dc_sample_free(&s);
	return r;
}

static int
texts(struct dc_made *m, struct dc_group *g, const struct dc_item *it, const struct dc_make_how *how)
{
	DC_TRY(it->n_captions ? add_listed(m, g, it) : it->path ? add_texts_beside(m, g, it, how) : 0);
	DC_TRY(add_label(m, g, it));
	return take_group(m, g, it->n_captions > 0, how);
}

static struct dc_group *
new_group(const struct dc_item *it)
{
	struct dc_group *g = dc_xcalloc(1, sizeof *g);

	g->key = dc_xstrdup(it->key);
	return g;
}

void
dc_make_file(struct dc_made *m, const struct dc_item *it, const struct dc_make_how *how)
{
	struct dc_group *g;
	struct stat st;
	char *bytes;
	size_t n;

	*m = (struct dc_made){ 0 };
	if (it->why) {
		m->why = dc_xstrdup(it->why);
		return;
	}
	g = new_group(it);
	if (stat(it->path, &st) < 0)
		m->why = dc_xasprintf("file: %s", strerror(errno));
	else if (!S_ISREG(st.st_mode))
		m->why = dc_xstrdup("file: no regular file");
	else if (dc_slurp(it->path, DC_IMAGE_BYTES_MAX, &bytes, &n) < 0)
		m->why = dc_xasprintf("file: cannot be read%s", dc_err() + strlen(it->path));
	else
		add_member(g, "image", bytes, n);
	if (!m->why && texts(m, g, it, how) == 0 && check_image(m, how) < 0)
		refuse(m, DC_REJECT_IMAGE);
	dc_group_free(g);
	free(g);
}

void
dc_make_bytes(struct dc_made *m, const struct dc_item *it, const unsigned char *bytes, size_t n, int width, int height,
    const struct dc_make_how *how)
{
	struct dc_group *g = new_group(it);
	struct dc_image im = { .width = width, .height = height };
	unsigned char *copy = dc_xmalloc(n + 1);

	*m = (struct dc_made){ 0 };
	memcpy(copy, bytes, n);
	add_member(g, "image", copy, n);
	if (texts(m, g, it, how) == 0) {
		if (width) {
			im.rgb = m->image;
			m->image = NULL;
			if (encode(m, &im, how) < 0)
				refuse(m, DC_REJECT_IMAGE);
			dc_image_free(&im);
		} else if (check_image(m, how) < 0) {
			refuse(m, DC_REJECT_IMAGE);
		}
	}
	dc_group_free(g);
	free(g);
}

void
dc_made_free(struct dc_made *m)
{
	free(m->why);
	free(m->image);
	free(m->text);
	free(m->json);
	*m = (struct dc_made){ 0 };
}
