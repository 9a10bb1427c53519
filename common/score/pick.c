/* SPDX-License-Identifier: MIT */
#include "score/pick.h"

#include <stdlib.h>
#include <string.h>

static const struct column { const char *key; enum dc_type type; int ndim, captions; /* of captions, else of images */ } columns[] = {
	{ "image_features.0", DC_F32, 2, 0 }, { "image_features.1", DC_F32, 2, 0 }, { "image_features.2", DC_F32, 2, 0 },
	{ "image_features.3", DC_F32, 2, 0 }, { "text_features.0", DC_F32, 2, 1 }, { "text_features.1", DC_F32, 2, 1 },
	{ "text_features.2", DC_F32, 2, 1 }, { "text_features.3", DC_F32, 2, 1 }, { "id", DC_U64, 1, 0 }, { "slot", DC_I64, 1, 0 },
	{ "epoch", DC_I32, 1, 0 }, { "label", DC_I32, 1, 0 }, { "line", DC_I64, 1, 1 },
};
enum { COLUMNS = sizeof columns / sizeof *columns };

int
dc_pick_take(struct dc_pick *p, struct dc_frame *f)
{
	const int captions = !dc_frame_get(f, "image_features.0");
	struct dc_tensor t;
	size_t n;

	DC_TRY(dc_frame_tensor(f, captions ? "text_features.0" : "image_features.0", DC_F32, 2, &t));
	if (p->n_frames && captions != p->captions)
		return dc_frame_err(f, "%s image features, unlike the frames before it", captions ? "has no" : "has");
	p->captions = captions;
	n = (size_t)t.shape[0];
	if (p->n_frames == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 64;
		p->frame = dc_xrealloc(p->frame, p->cap, sizeof *p->frame);
	}
	p->row = dc_xrealloc(p->row, p->n_rows + n + 1, sizeof *p->row);
	for (size_t i = 0; i < n; i++)
		p->row[p->n_rows++] = (struct dc_pick_row){ p->n_frames, i };
	p->frame[p->n_frames] = (struct dc_frame){ 0 };
	dc_frame_move(&p->frame[p->n_frames++], f);
	return 0;
}

/* --- columns --- */

static int
is_label(const struct column *c)
{
	return !strcmp(c->key, "label");
}

/* Which column the output has. */
static int
wanted(const struct dc_pick *p, const struct column *c)
{
	size_t have = 0;

	if (c->captions != p->captions)
		return 0;
	for (size_t i = 0; i < p->n_frames; i++)
		have += dc_frame_get(&p->frame[i], c->key) != NULL;
	return have && (have == p->n_frames || is_label(c));
}

/* The tensor of column c in a frame; without data where there is none. */
static const struct dc_tensor *
cell(const struct dc_pick *p, size_t frame, int c)
{
	return &p->cell[frame * COLUMNS + (size_t)c];
}

static int
find_column(struct dc_pick *p, int c, const int64_t *rows)
{
	const struct column *k = &columns[c];
	int64_t width = -1;

	for (size_t i = 0; i < p->n_frames; i++) {
		struct dc_frame *f = &p->frame[i];
		struct dc_tensor *t = &p->cell[i * COLUMNS + (size_t)c];
		if (!dc_frame_get(f, k->key))
			continue;
		DC_TRY(dc_frame_tensor(f, k->key, k->type, k->ndim, t));
		if (!t->data && t->n)
			return dc_frame_err(f, "%s: by reference, must be by value", k->key);
		if (t->shape[0] != rows[i])
			return dc_frame_err(f, "%s: %lld rows, wanted %lld", k->key, (long long)t->shape[0], (long long)rows[i]);
		if (k->ndim < 2 || !rows[i])
			continue;
		if (width >= 0 && t->shape[1] != width)
			return dc_frame_err(f, "%s: %lld columns, wanted %lld", k->key, (long long)t->shape[1], (long long)width);
		width = t->shape[1];
	}
	return 0;
}

static int
find_keys(struct dc_pick *p, const int64_t *rows)
{
	size_t n;

	for (size_t i = 0; i < p->n_frames; i++) {
		if (p->captions || !dc_frame_get(&p->frame[i], "key"))
			continue;
		DC_TRY(dc_frame_strs(&p->frame[i], "key", &p->key[i], &n));
		if ((int64_t)n != rows[i])
			return dc_frame_err(&p->frame[i], "key: %zu keys for %lld rows", n, (long long)rows[i]);
	}
	return 0;
}

int
dc_pick_check(struct dc_pick *p)
{
	int64_t *rows = dc_xcalloc(p->n_frames + 1, sizeof *rows);
	int r = 0;

	p->cell = dc_xcalloc(p->n_frames * COLUMNS + 1, sizeof *p->cell);
	p->key = dc_xcalloc(p->n_frames + 1, sizeof *p->key);
	for (size_t i = 0; i < p->n_rows; i++)
		rows[p->row[i].frame]++;
	for (int c = 0; r == 0 && c < COLUMNS; c++)
		if (wanted(p, &columns[c]))
			r = find_column(p, c, rows);
	if (r == 0)
		r = find_keys(p, rows);
	free(rows);
	return r;
}

/* --- the output --- */

static void
put_column(const struct dc_pick *p, int c, const size_t *row, size_t n, struct dc_body *b)
{
	const struct column *k = &columns[c];
	const struct dc_tensor *t;
	int64_t width = 1;
	size_t bytes;
	char *to;

	for (size_t i = 0; k->ndim == 2 && i < p->n_frames; i++)
		width = cell(p, i, c)->n ? cell(p, i, c)->shape[1] : width;
	bytes = (size_t)width * dc_type_size(k->type);
	to = dc_put_space(b, k->key, k->type, k->ndim, (int64_t[]){ (int64_t)n, width });
	for (size_t i = 0; i < n; i++, to += bytes) {
		t = cell(p, p->row[row[i]].frame, c);
		if (t->data)
			memcpy(to, (const char *)t->data + p->row[row[i]].at * bytes, bytes);
		else
			memcpy(to, &(int32_t){ -1 }, bytes); /* a label that is not there */
	}
}

static void
put_keys(const struct dc_pick *p, const size_t *row, size_t n, struct dc_body *b)
{
	for (size_t i = 0; i < p->n_frames; i++)
		if (p->captions || !dc_frame_get(&p->frame[i], "key"))
			return;
	dc_put_array(b, "key", n);
	for (size_t i = 0; i < n; i++) {
		const struct dc_pick_row *r = &p->row[row[i]];
		dc_put_strn(b, NULL, p->key[r->frame][r->at].p, p->key[r->frame][r->at].n);
	}
}

void
dc_pick_put(struct dc_pick *p, const size_t *row, size_t n, struct dc_body *b)
{
	for (int c = 0; c < COLUMNS; c++)
		if (wanted(p, &columns[c]))
			put_column(p, c, row, n, b);
	put_keys(p, row, n, b);
	if (p->n_frames)
		dc_put_copy(b, &p->frame[0], "logit_scale");
}

void
dc_pick_free(struct dc_pick *p)
{
	for (size_t i = 0; i < p->n_frames; i++)
		dc_frame_free(&p->frame[i]);
	free(p->frame);
	free(p->row);
	free(p->cell);
	free(p->key);
}
