/* SPDX-License-Identifier: MIT */
#include "peek/gallery.h"

#include <stdlib.h>
#include <string.h>

#include "data/exif.h"
#include "peek/show.h"

enum { WIDE_LINES = 2, KEY_MAX = 32, MAX_PIXELS = 25000000 };

/* The texts of one view: strings, or rows of tokens. */
struct texts { const struct dc_str *str; struct dc_tensor token; size_t n; };

static const char *
key_of(char *key, const char *what, int view)
{
	snprintf(key, KEY_MAX, "%s.%d", what, view);
	return key;
}

static int
count_views(const struct dc_frame *f)
{
	char key[KEY_MAX];
	int n = 0;

	while (n < DC_SHEET_VIEWS_MAX && dc_frame_get(f, key_of(key, "image", n)))
		n++;
	return n ? n : dc_frame_get(f, "image") != NULL;
}

/* --- texts --- */

static int
take_tokens(const struct dc_gallery *g, struct dc_frame *f, const char *key, struct texts *x)
{
	if (!g->bpe || !dc_frame_get(f, key))
		return 0;
	DC_TRY(dc_frame_tensor(f, key, DC_I32, 2, &x->token));
	x->n = x->token.data ? (size_t)x->token.shape[0] : 0;
	return 0;
}

static int
take_texts(const struct dc_gallery *g, struct dc_frame *f, int view, struct texts *x)
{
	char key[KEY_MAX];

	memset(x, 0, sizeof *x);
	if (view == DC_SHEET_WIDE)
		return take_tokens(g, f, "mlm_token", x);
	if (dc_frame_get(f, key_of(key, "caption", view)))
		return dc_frame_strs(f, key, &x->str, &x->n);
	if (!view && dc_frame_get(f, "caption"))
		return dc_frame_strs(f, "caption", &x->str, &x->n);
	return take_tokens(g, f, key_of(key, "token", view), x);
}

/* Which of the n texts belongs to image i first: by caption_image, else the same number. n if none. */
static size_t
text_of(struct dc_frame *f, size_t i, size_t n)
{
	struct dc_tensor ci;

	if (!dc_frame_get(f, "caption_image") || dc_frame_tensor(f, "caption_image", DC_I32, 1, &ci) < 0 || !ci.data || ci.n != n)
		return i < n ? i : n;
	for (size_t c = 0; c < n; c++)
		if (((const int32_t *)ci.data)[c] >= 0 && (size_t)((const int32_t *)ci.data)[c] == i)
			return c;
	return n;
}

static void
write_text(struct dc_gallery *g, struct dc_frame *f, int view, const struct texts *x, size_t i)
{
	size_t c = text_of(f, i, x->n), T;
	char *text;

	if (c >= x->n)
		return;
	if (x->str) {
		dc_sheet_text(&g->sheet, g->cells, view, x->str[c].p, x->str[c].n);
		return;
	}
	T = (size_t)x->token.shape[1];
	text = dc_show_tokens(g->bpe, (const int32_t *)x->token.data + c * T, T);
	dc_sheet_text(&g->sheet, g->cells, view, text, strlen(text));
	free(text);
}

/* --- pictures --- */

static int
show_encoded(struct dc_gallery *g, struct dc_frame *f, const struct dc_tensor *t)
{
	struct dc_image im = { 0 };
	int exif = 0;

	if (dc_frame_get(f, "exif"))
		DC_TRY(dc_frame_bool(f, "exif", &exif));
	if (dc_image_decode(t->data, t->bytes, MAX_PIXELS, &im) == 0) { /* else the picture stays empty: dc-augment will complain */
		dc_image_turn(&im, exif ? dc_exif_orientation(t->data, t->bytes) : 1);
		dc_sheet_image(&g->sheet, g->cells, 0, im.rgb, im.height, im.width);
	}
	dc_image_free(&im);
	return 0;
}

/* `image`: an array of images of any size, or of encoded ones. */
static int
show_sample(struct dc_gallery *g, struct dc_frame *f, size_t i)
{
	const msgpack_object *a;
	struct dc_tensor t;
	size_t n;

	DC_TRY(dc_frame_array(f, "image", &a, &n));
	DC_TRY(dc_object_tensor(f, "image", &a->via.array.ptr[i], &t));
	if (!t.data || t.type != DC_U8 || (t.ndim != 1 && (t.ndim != 3 || t.shape[2] != 3)))
		return dc_frame_err(f, "image: not u8 [H,W,3] or encoded bytes");
	if (t.ndim == 1)
		return show_encoded(g, f, &t);
	dc_sheet_image(&g->sheet, g->cells, 0, t.data, t.shape[0], t.shape[1]);
	return 0;
}

/* `image.0` ...: [N,S,S,3]. */
static int
take_view(struct dc_frame *f, int view, struct dc_tensor *t)
{
	char key[KEY_MAX];

	DC_TRY(dc_frame_tensor(f, key_of(key, "image", view), DC_U8, 4, t));
	if (!t->data || t->shape[3] != 3)
		return dc_frame_err(f, "%s: not u8 [N,H,W,3]", key);
	return 0;
}

static int
show_view(struct dc_gallery *g, struct dc_frame *f, int view, size_t i)
{
	struct dc_tensor t;

	DC_TRY(take_view(f, view, &t));
	if (i < (size_t)t.shape[0])
		dc_sheet_image(&g->sheet, g->cells, view, (const uint8_t *)t.data + i * (t.bytes / (size_t)t.shape[0]),
		    t.shape[1], t.shape[2]);
	return 0;
}

static int
count_images(struct dc_frame *f, int views, size_t *n)
{
	const msgpack_object *a;
	struct dc_tensor t;

	if (views == 1 && dc_frame_get(f, "image"))
		return dc_frame_array(f, "image", &a, n);
	DC_TRY(take_view(f, 0, &t));
	*n = (size_t)t.shape[0];
	return 0;
}

/* --- the sheet --- */

static int
save(struct dc_gallery *g)
{
	g->written = 1;
	return dc_sheet_save(&g->sheet, g->path);
}

static int
add_frame(struct dc_gallery *g, struct dc_frame *f)
{
	struct texts x[DC_SHEET_VIEWS_MAX], wide;
	int listed = dc_frame_get(f, "image") != NULL, views = g->sheet.views;
	size_t n;

	DC_TRY(count_images(f, views, &n));
	for (int v = 0; v < views; v++)
		DC_TRY(take_texts(g, f, v, &x[v]));
	DC_TRY(take_texts(g, f, DC_SHEET_WIDE, &wide));
	for (size_t i = 0; i < n && g->cells < g->rows * g->columns; i++, g->cells++) {
		for (int v = 0; v < views; v++) {
			DC_TRY(listed ? show_sample(g, f, i) : show_view(g, f, v, i));
			write_text(g, f, v, &x[v], i);
		}
		write_text(g, f, DC_SHEET_WIDE, &wide, i);
	}
	return 0;
}

int
dc_gallery_frame(struct dc_gallery *g, struct dc_frame *f)
{
	int views = count_views(f);
	int64_t part, parts;

	if (g->written || !views || (g->step >= 0 && f->step != (uint64_t)g->step))
		return 0;
	if (g->begun && (f->step != (uint64_t)g->step || views != g->sheet.views))
		return 0;
	if (!g->begun) {
		g->begun = 1;
		g->step = (int64_t)f->step;
		dc_sheet_init(&g->sheet, g->rows, g->columns, views, g->bpe && dc_frame_get(f, "mlm_token") ? WIDE_LINES : 0);
	}
	DC_TRY(dc_frame_part(f, &part, &parts));
	DC_TRY(add_frame(g, f));
	return part == parts - 1 || g->cells == g->rows * g->columns ? save(g) : 0;
}

int
dc_gallery_end(struct dc_gallery *g)
{
	if (g->written)
		return 0;
	DC_CHECK(g->begun, "no images came%s: %s was not written", g->step >= 0 ? " in that step" : "", g->path);
	return save(g);
}

void
dc_gallery_free(struct dc_gallery *g)
{
	if (g->begun)
		dc_sheet_free(&g->sheet);
}
