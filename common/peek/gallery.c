/* SPDX-License-Identifier: MIT */
#include "peek/gallery.h"

#include <stdlib.h>
#include <string.h>

#include "peek/pictures.h"
#include "peek/show.h"

enum { WIDE_LINES = 2, KEY_MAX = 32 };
_Static_assert(DC_VIEWS_MAX <= (int)DC_SHEET_VIEWS_MAX, "a sheet has room for every view");

/* The texts of one view: strings, or rows of tokens. */
struct texts { const struct dc_str *str; struct dc_tensor token; size_t n; };

static const char *
key_of(char *key, const char *what, int view)
{
	snprintf(key, KEY_MAX, "%s.%d", what, view);
	return key;
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

/* --- the sheet --- */

static int
save(struct dc_gallery *g)
{
	g->written = 1;
	return dc_sheet_save(&g->sheet, g->path);
}

static int
add_sample(struct dc_gallery *g, const struct dc_pictures *p, size_t i, struct dc_picture *one, const struct texts *x)
{
	for (int v = 0; v < p->views; v++) {
		DC_TRY(dc_picture_get(p, i, v, one));
		if (one->rgb)
			dc_sheet_image(&g->sheet, g->cells, v, one->rgb, one->height, one->width);
		write_text(g, p->f, v, &x[v], i);
	}
	write_text(g, p->f, DC_SHEET_WIDE, &x[p->views], i);
	return 0;
}

static int
add_frame(struct dc_gallery *g, struct dc_frame *f)
{
	struct texts x[DC_VIEWS_MAX + 1];   /* after the views' the one below them all */
	struct dc_picture one = { 0 };
	struct dc_pictures p;
	int r = 0;

	DC_TRY(dc_pictures_of(f, &p));
	for (int v = 0; v < p.views; v++)
		DC_TRY(take_texts(g, f, v, &x[v]));
	DC_TRY(take_texts(g, f, DC_SHEET_WIDE, &x[p.views]));
	for (size_t i = 0; i < p.n && g->cells < g->rows * g->columns && r == 0; i++, g->cells++)
		r = add_sample(g, &p, i, &one, x);
	dc_picture_free(&one);
	return r;
}

int
dc_gallery_frame(struct dc_gallery *g, struct dc_frame *f)
{
	int views = dc_pictures_views(f);
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
