/* SPDX-License-Identifier: MIT */
#include "peek/wanted.h"

#include <stdlib.h>
#include <string.h>

#include "data/resample.h"
#include "data/sheet.h"
#include "peek/pictures.h"

static int
by_id(const void *a, const void *b)
{
	const uint64_t x = ((const struct dc_found *)a)->id, y = ((const struct dc_found *)b)->id;

	return (x > y) - (x < y);
}

void
dc_wanted_add(struct dc_wanted *w, uint64_t id)
{
	if (w->n == w->cap) {
		w->cap = w->cap ? 2 * w->cap : 64;
		w->all = dc_xrealloc(w->all, w->cap, sizeof *w->all);
	}
	w->all[w->n++] = (struct dc_found){ .id = id };
	w->sorted = 0;
}

static void
sort(struct dc_wanted *w)
{
	size_t n = 0;

	if (w->sorted || !w->n)
		return;
	qsort(w->all, w->n, sizeof *w->all, by_id);
	for (size_t i = 0; i < w->n; i++)
		if (!n || w->all[i].id != w->all[n - 1].id)
			w->all[n++] = w->all[i];
	w->n = n;
	w->sorted = 1;
}

static struct dc_found *
find(struct dc_wanted *w, uint64_t id)
{
	const struct dc_found key = { .id = id };

	sort(w);
	return w->n ? bsearch(&key, w->all, w->n, sizeof key, by_id) : NULL;
}

const struct dc_found *
dc_wanted_find(struct dc_wanted *w, uint64_t id)
{
	return find(w, id);
}

/* --- frames --- */

/* No larger than twice what a sheet shows, so that many can be kept. */
static void
shrink(struct dc_image *im)
{
	const int longer = im->width > im->height ? im->width : im->height, most = 2 * DC_SHEET_PICTURE;
	const int w = im->width * most / (longer ? longer : 1), h = im->height * most / (longer ? longer : 1);
	struct dc_image out = { .width = w ? w : 1, .height = h ? h : 1 };

	if (longer <= most)
		return;
	out.cap = (size_t)out.width * (size_t)out.height * 3;
	out.rgb = dc_xmalloc(out.cap);
	if (dc_resample(out.rgb, out.width, out.height, dc_raster(im->rgb, im->width, im->height), NULL, NULL, DC_BILINEAR) < 0) {
		free(out.rgb);
		return;
	}
	dc_image_free(im);
	*im = out;
}

/* A copy, since the frame's memory is not ours. */
static void
keep_image(struct dc_image *im, const struct dc_picture *x)
{
	const size_t n = (size_t)x->height * (size_t)x->width * 3;

	if (!x->rgb || x->height < 1 || x->width < 1 || x->height > DC_IMAGE_SIDE_MAX || x->width > DC_IMAGE_SIDE_MAX)
		return;
	*im = (struct dc_image){ .width = (int)x->width, .height = (int)x->height, .rgb = dc_xmalloc(n), .cap = n };
	memcpy(im->rgb, x->rgb, n);
	shrink(im);
}

static int
take_captions(struct dc_found *p, struct dc_frame *f, size_t i)
{
	const char *key = dc_frame_get(f, "caption") ? "caption" : "caption.0";
	const struct dc_str *s;
	struct dc_tensor owner = { 0 };
	size_t n;

	if (!dc_frame_get(f, key))
		return 0;
	DC_TRY(dc_frame_strs(f, key, &s, &n));
	if (dc_frame_get(f, "caption_image"))
		DC_TRY(dc_frame_tensor(f, "caption_image", DC_I32, 1, &owner));
	for (size_t c = 0; c < n; c++) {
		if (owner.data && c < owner.n ? ((const int32_t *)owner.data)[c] != (int32_t)i : c != i)
			continue;
		p->caption = dc_xrealloc(p->caption, p->captions + 1, sizeof *p->caption);
		p->caption[p->captions++] = dc_xstrndup(s[c].p, s[c].n);
	}
	return 0;
}

static int
take(struct dc_wanted *w, struct dc_frame *f, const struct dc_pictures *p, const uint64_t *id)
{
	struct dc_picture x = { 0 };
	int r = 0;

	for (size_t i = 0; i < p->n && r == 0; i++) {
		struct dc_found *to = find(w, id[i]);
		if (!to || to->image.width || (r = dc_picture_get(p, i, 0, &x)) < 0)
			continue;
		keep_image(&to->image, &x);
		w->come += to->image.width > 0;
		if (to->image.width)
			r = take_captions(to, f, i);
	}
	dc_picture_free(&x);
	return r;
}

int
dc_wanted_frame(struct dc_wanted *w, struct dc_frame *f)
{
	struct dc_pictures p;
	struct dc_tensor id;

	if (!dc_frame_get(f, "id") || !dc_pictures_views(f))
		return 0;
	DC_TRY(dc_pictures_of(f, &p));
	DC_TRY(dc_frame_tensor(f, "id", DC_U64, 1, &id));
	if (id.n != p.n || (!id.data && id.n))
		return dc_frame_err(f, "id: not one for each of %zu images", p.n);
	return take(w, f, &p, id.data);
}

void
dc_wanted_free(struct dc_wanted *w)
{
	for (size_t i = 0; i < w->n; i++) {
		dc_image_free(&w->all[i].image);
		for (size_t c = 0; c < w->all[i].captions; c++)
			free(w->all[i].caption[c]);
		free(w->all[i].caption);
	}
	free(w->all);
}
