/* SPDX-License-Identifier: MIT */
#include "peek/album.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/imgwrite.h"
#include "peek/pictures.h"
#include "peek/show.h"

/* A column of texts: strings, or rows of tokens. */
struct column { const char *name; const struct dc_str *str; struct dc_tensor token; size_t n; };

/* What a row of the table is about. */
struct rows {
	const struct dc_str *key; struct dc_tensor label, image;
	struct column text[DC_ALBUM_TEXTS]; int n_texts;
	struct dc_tensor masked, asked;
	size_t n;                   /* rows: captions, or samples where there are none */
};

static const char *const texts[] = { "caption", "caption.0", "caption.1", "caption.2", "caption.3", "token.0", "token.1", "token.2",
	"token.3" };

int
dc_album_begin(struct dc_album *a)
{
	if (a->images && mkdir(a->images, 0777) < 0 && errno != EEXIST)
		return dc_err_errno("%s", a->images);
	if (a->table && !(a->fp = fopen(a->table, "w")))
		return dc_err_errno("%s", a->table);
	return 0;
}

/* --- pictures --- */

static int
save(const struct dc_album *a, size_t number, int view, const struct dc_picture *x)
{
	char *path = dc_xasprintf("%s/%06zu.%d.jpg", a->images, number, view);
	unsigned char *bytes = NULL;
	size_t n = 0;
	FILE *fp;
	int r;

	r = dc_image_encode(DC_JPEG, DC_ALBUM_QUALITY, x->rgb, (int)x->width, (int)x->height, &bytes, &n);
	if (r == 0 && !(fp = fopen(path, "wb")))
		r = dc_err_errno("%s", path);
	else if (r == 0) {
		fwrite(bytes, 1, n, fp);
		r = dc_fshut(fp, path);
	}
	free(bytes);
	free(path);
	return r;
}

static int
save_all(const struct dc_album *a, const struct dc_pictures *p)
{
	struct dc_picture x = { 0 };
	int r = 0;

	for (size_t i = 0; i < p->n; i++)
		for (int v = 0; v < p->views && r == 0; v++)
			if ((r = dc_picture_get(p, i, v, &x)) == 0 && x.rgb)
				r = save(a, a->n + i, v, &x);
	dc_picture_free(&x);
	return r;
}

/* --- the table --- */

static int
take_tokens(struct dc_frame *f, const char *key, struct dc_tensor *t)
{
	DC_TRY(dc_frame_tensor(f, key, DC_I32, 2, t));
	return t->data ? 0 : dc_frame_err(f, "%s: not in the frame itself", key);
}

static int
take_text(const struct dc_album *a, struct dc_frame *f, const char *name, struct rows *r)
{
	struct column *c = &r->text[r->n_texts];

	*c = (struct column){ .name = name };
	if (!dc_frame_get(f, name) || (*name == 't' && !a->bpe))
		return 0;
	if (*name == 't') {
		DC_TRY(take_tokens(f, name, &c->token));
		c->n = (size_t)c->token.shape[0];
	} else {
		DC_TRY(dc_frame_strs(f, name, &c->str, &c->n));
	}
	if (!c->n && r->n && !r->n_texts)
		return 0; /* images alone: a row for each */
	r->n = r->n_texts ? r->n : c->n;
	if (c->n != r->n)
		return dc_frame_err(f, "%s: %zu texts, where there are %zu of another", name, c->n, r->n);
	r->n_texts++;
	return 0;
}

static int
take_masked(const struct dc_album *a, struct dc_frame *f, struct rows *r)
{
	if (!a->bpe || !dc_frame_get(f, "mlm_token") || !dc_frame_get(f, "mlm_target"))
		return 0;
	DC_TRY(take_tokens(f, "mlm_token", &r->masked));
	DC_TRY(take_tokens(f, "mlm_target", &r->asked));
	if (r->masked.shape[0] != r->asked.shape[0] || r->masked.shape[1] != r->asked.shape[1])
		return dc_frame_err(f, "mlm_token and mlm_target differ in shape");
	return 0;
}

/* caption_image is needed where captions and samples differ in number, and is checked. */
static int
take_images(struct dc_frame *f, size_t samples, struct rows *r)
{
	if (!r->n_texts || !dc_frame_get(f, "caption_image"))
		return r->n == samples ? 0 : dc_frame_err(f, "%zu captions, %zu images and no caption_image", r->n, samples);
	DC_TRY(dc_frame_tensor(f, "caption_image", DC_I32, 1, &r->image));
	if (!r->image.data || r->image.n != r->n)
		return dc_frame_err(f, "caption_image: not one for each of %zu captions", r->n);
	for (size_t c = 0; c < r->n; c++)
		if (((const int32_t *)r->image.data)[c] < 0 || (size_t)((const int32_t *)r->image.data)[c] >= samples)
			return dc_frame_err(f, "caption_image: outside the %zu images", samples);
	return 0;
}

static int
take_rows(const struct dc_album *a, struct dc_frame *f, size_t samples, struct rows *r)
{
	size_t n;

	memset(r, 0, sizeof *r);
	r->n = samples;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		DC_TRY(take_text(a, f, texts[i], r));
	DC_TRY(take_masked(a, f, r));
	DC_TRY(take_images(f, samples, r));
	if (dc_frame_get(f, "key")) {
		DC_TRY(dc_frame_strs(f, "key", &r->key, &n));
		if (n != samples)
			return dc_frame_err(f, "%zu keys for %zu images", n, samples);
	}
	if (dc_frame_get(f, "label")) {
		DC_TRY(dc_frame_tensor(f, "label", DC_I32, 1, &r->label));
		if (!r->label.data || r->label.n != samples)
			return dc_frame_err(f, "label: not one for each of %zu images", samples);
	}
	return 0;
}

/* One line without tabs: white space and control characters become single blanks. */
static void
put_text(FILE *fp, const char *s, size_t n)
{
	int blank = 1;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c > ' ' && c != 0x7f)
			putc(c, fp);
		else if (!blank && i + 1 < n)
			putc(' ', fp);
		blank = c <= ' ' || c == 0x7f;
	}
}

static void
put_tokens(const struct dc_album *a, const struct dc_tensor *t, size_t row)
{
	size_t T = (size_t)t->shape[1];
	char *text = dc_show_tokens(a->bpe, (const int32_t *)t->data + row * T, T);

	put_text(a->fp, text, strlen(text));
	free(text);
}

static void
put_piece(const struct dc_album *a, int32_t id)
{
	char *text = dc_bpe_decode(a->bpe, &id, 1, NULL);
	size_t n = strlen(text);
	int ends = n && text[n - 1] == ' ';

	if (id == a->bpe->mask)
		fputs("[mask]", a->fp);
	else
		fprintf(a->fp, "%.*s%s", (int)(n - (size_t)ends), text, ends ? "</w>" : "");
	free(text);
}

/* The pieces between start and end, then what is asked for at which of them. */
static void
put_masked(const struct dc_album *a, const struct rows *r, size_t row)
{
	int64_t T = r->masked.shape[1], n = 1;
	const int32_t *id = (const int32_t *)r->masked.data + row * (size_t)T, *want = (const int32_t *)r->asked.data + row * (size_t)T;
	int any = 0;

	putc('\t', a->fp);
	for (; n < T && id[n] != a->bpe->end; n++) {
		fputs(n > 1 ? " " : "", a->fp);
		put_piece(a, id[n]);
	}
	putc('\t', a->fp);
	for (int64_t i = 1; i < n; i++)
		if (want[i] >= 0) {
			fprintf(a->fp, "%s%" PRId64 ":", any++ ? " " : "", i);
			put_piece(a, want[i]);
		}
}

static void
put_header(const struct dc_album *a, const struct rows *r)
{
	fputs("image\tkey\tlabel", a->fp);
	for (int k = 0; k < r->n_texts; k++)
		fprintf(a->fp, "\t%s", r->text[k].name);
	fputs(r->masked.data ? "\tmasked\tasked\n" : "\n", a->fp);
}

static void
put_row(const struct dc_album *a, const struct rows *r, size_t c)
{
	size_t i = r->image.data ? (size_t)((const int32_t *)r->image.data)[c] : c;

	fprintf(a->fp, "%zu\t", a->n + i);
	if (r->key)
		put_text(a->fp, r->key[i].p, r->key[i].n);
	if (r->label.data && ((const int32_t *)r->label.data)[i] >= 0)
		fprintf(a->fp, "\t%" PRId32, ((const int32_t *)r->label.data)[i]);
	else
		fputs("\t-", a->fp);
	for (int k = 0; k < r->n_texts; k++) {
		putc('\t', a->fp);
		if (r->text[k].str)
			put_text(a->fp, r->text[k].str[c].p, r->text[k].str[c].n);
		else
			put_tokens(a, &r->text[k].token, c);
	}
	if (r->masked.data && c < (size_t)r->masked.shape[0])
		put_masked(a, r, c);
	putc('\n', a->fp);
}

static int
put_rows(struct dc_album *a, struct dc_frame *f, size_t samples)
{
	struct rows r;

	DC_TRY(take_rows(a, f, samples, &r));
	if (!a->begun++)
		put_header(a, &r);
	for (size_t c = 0; c < r.n; c++)
		put_row(a, &r, c);
	return ferror(a->fp) ? dc_err_errno("%s", a->table) : 0;
}

int
dc_album_frame(struct dc_album *a, struct dc_frame *f)
{
	struct dc_pictures p;

	if (strcmp(f->kind, "samples") && strcmp(f->kind, "views") && strcmp(f->kind, "batch"))
		return 0;
	if (*a->kind && strcmp(a->kind, f->kind))
		return 0;
	strcpy(a->kind, f->kind);
	DC_TRY(dc_pictures_of(f, &p));
	if (a->images)
		DC_TRY(save_all(a, &p));
	if (a->table)
		DC_TRY(put_rows(a, f, p.n));
	a->n += p.n;
	return 0;
}

int
dc_album_end(struct dc_album *a)
{
	FILE *fp = a->fp;

	a->fp = NULL;
	return fp ? dc_fshut(fp, a->table) : 0;
}
