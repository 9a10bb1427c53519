/* SPDX-License-Identifier: MIT */
#include "peek/nearest.h"

#include <stdlib.h>
#include <string.h>

#include "data/sheet.h"

/* The query of a row of the sheet. */
static int64_t
query_of(const struct dc_nearest *n, int64_t row)
{
	return row * n->query->x.n / n->rows;
}

void
dc_nearest_want(const struct dc_nearest *n, struct dc_wanted *a)
{
	for (int64_t i = 0; i < n->rows; i++) {
		const int64_t q = query_of(n, i);
		if (n->query->id.n)
			dc_wanted_add(a, (uint64_t)n->query->id.p[q]);
		for (int64_t j = 0; n->base->id.n && j < n->columns; j++)
			dc_wanted_add(a, (uint64_t)n->base->id.p[n->near[q * n->k + j].row]);
	}
}

/* A picture, and below it: the text before, the class, and the row's name, caption or key. */
static void
put(const struct dc_nearest *n, struct dc_wanted *a, struct dc_sheet *sheet, int cell, int view, const char *before,
    const struct dc_set *s, const char *const *names, int64_t row)
{
	const struct dc_found *p = s->id.n ? dc_wanted_find(a, (uint64_t)s->id.p[row]) : NULL;
	const int64_t label = s->label.p[row];
	const char *name = names ? names[row] : s->key ? s->key[row] : "";
	char *class = label < 0 ? dc_xstrdup("") : n->class_name && label < n->classes ?
	    dc_xasprintf("[%s] ", n->class_name[label]) : dc_xasprintf("[%lld] ", (long long)label);
	char *text;

	if (p && p->image.width)
		dc_sheet_image(sheet, cell, view, p->image.rgb, p->image.height, p->image.width);
	if (p && !names && p->captions > (size_t)s->nth.p[row])
		name = p->caption[s->nth.p[row]];
	text = dc_xasprintf("%s%s%s", before, class, name);
	dc_sheet_text(sheet, cell, view, text, strlen(text));
	free(class);
	free(text);
}

int
dc_nearest_sheet(const struct dc_nearest *n, struct dc_wanted *a, const char *path)
{
	struct dc_sheet sheet;
	char cosine[32];
	int r;

	dc_sheet_init(&sheet, n->rows, 1, 1 + n->columns, 0);
	for (int i = 0; i < n->rows; i++) {
		const int64_t q = query_of(n, i);
		put(n, a, &sheet, i, 0, "", n->query, n->query_name, q);
		for (int j = 0; j < n->columns; j++) {
			const struct dc_near *x = &n->near[q * n->k + j];
			snprintf(cosine, sizeof cosine, "%.3f ", x->cosine);
			put(n, a, &sheet, i, 1 + j, cosine, n->base, n->base_name, x->row);
		}
	}
	r = dc_sheet_save(&sheet, path);
	dc_sheet_free(&sheet);
	return r;
}
