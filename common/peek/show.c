/* SPDX-License-Identifier: MIT */
#include "peek/show.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { VALUES_MAX = 8 /* a tensor of so many is shown value by value */, STRING_MAX = 240, NAME_MAX_ = 120, DEPTH_MAX = 16 };

/* --- strings --- */

/* In quotes, with control characters and quotes escaped (C1's too: some terminals obey them); cut after `max` bytes, at a
 * character. */
static void
put_string(FILE *fp, const char *p, size_t n, size_t max)
{
	size_t k = n;

	if (max && n > max)
		for (k = max; k > 0 && ((unsigned char)p[k] & 0xc0) == 0x80; k--)
			;
	putc('"', fp);
	for (size_t i = 0; i < k; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c == '\n')
			fputs("\\n", fp);
		else if (c < ' ' || c == 0x7f)
			fprintf(fp, "\\x%02x", c);
		else if (c == 0xc2 && i + 1 < k && (unsigned char)p[i + 1] < 0xa0)
			fprintf(fp, "\\u00%02x", (unsigned char)p[++i]);
		else if (c == '"' || c == '\\')
			fprintf(fp, "\\%c", c);
		else
			putc(c, fp);
	}
	putc('"', fp);
	if (k < n)
		fprintf(fp, "... (%zu bytes)", n);
}

/* A key or name as it is, but never a control character. */
static void
put_name(FILE *fp, const char *p, size_t n, int width)
{
	int k = 0;

	for (size_t i = 0; i < n && i < NAME_MAX_; i++, k++)
		putc((unsigned char)p[i] < ' ' || p[i] == 0x7f ? '?' : p[i], fp);
	for (; k < width; k++)
		putc(' ', fp);
}

static struct dc_str
text_of(const msgpack_object *o)
{
	return o->type == MSGPACK_OBJECT_BIN ? (struct dc_str){ o->via.bin.ptr, o->via.bin.size } :
	    (struct dc_str){ o->via.str.ptr, o->via.str.size };
}

static void
indent(const struct dc_show *s, int depth)
{
	fprintf(s->fp, "%*s", 2 * depth, "");
}

static size_t
shown(const struct dc_show *s, size_t n)
{
	return s->items && (size_t)s->items < n ? (size_t)s->items : n;
}

static void
put_more(const struct dc_show *s, int depth, size_t n)
{
	if (shown(s, n) < n) {
		indent(s, depth);
		fprintf(s->fp, "... %zu more\n", n - shown(s, n));
	}
}

/* --- tensors --- */

struct range { double lo, hi, sum; int64_t ilo, ihi; uint64_t ulo, uhi; size_t n, nan, inf; };

static double
value_at(const struct dc_tensor *t, size_t i)
{
	switch (t->type) {
	case DC_U8: return ((const uint8_t *)t->data)[i];
	case DC_I32: return ((const int32_t *)t->data)[i];
	case DC_I64: return (double)((const int64_t *)t->data)[i];
	case DC_U64: return (double)((const uint64_t *)t->data)[i];
	case DC_F32: return (double)((const float *)t->data)[i];
	default: return ((const double *)t->data)[i];
	}
}

static void
range_add(struct range *r, const struct dc_tensor *t)
{
	for (size_t i = 0; i < t->n; i++) {
		double x = value_at(t, i);

		r->nan += isnan(x);
		r->inf += isinf(x);
		if (!isfinite(x))
			continue;
		if (!r->n || x < r->lo)
			r->lo = x;
		if (!r->n || x > r->hi)
			r->hi = x;
		r->sum += x;
		r->n++;
	}
	/* 64-bit integers exactly: a double would round them */
	for (size_t i = 0; t->type == DC_U64 && i < t->n; i++) {
		uint64_t x = ((const uint64_t *)t->data)[i];

		r->ulo = i && r->ulo < x ? r->ulo : x;
		r->uhi = i && r->uhi > x ? r->uhi : x;
	}
	for (size_t i = 0; t->type == DC_I64 && i < t->n; i++) {
		int64_t x = ((const int64_t *)t->data)[i];

		r->ilo = i && r->ilo < x ? r->ilo : x;
		r->ihi = i && r->ihi > x ? r->ihi : x;
	}
}

static void
put_range(FILE *fp, enum dc_type type, const struct range *r)
{
	if (r->n && type == DC_U64)
		fprintf(fp, "  %" PRIu64 "..%" PRIu64, r->ulo, r->uhi);
	else if (r->n && type == DC_I64)
		fprintf(fp, "  %" PRId64 "..%" PRId64, r->ilo, r->ihi);
	else if (r->n && (type == DC_U8 || type == DC_I32))
		fprintf(fp, "  %.0f..%.0f", r->lo, r->hi);
	else if (r->n)
		fprintf(fp, "  %.4g..%.4g", r->lo, r->hi);
	if (r->n && type != DC_U64 && type != DC_I64)
		fprintf(fp, "  mean %.4g", r->sum / (double)r->n);
	if (r->nan)
		fprintf(fp, "  %zu NaN", r->nan);
	if (r->inf)
		fprintf(fp, "  %zu infinite", r->inf);
}

static void
put_values(FILE *fp, const struct dc_tensor *t)
{
	fputs("  [", fp);
	for (size_t i = 0; i < t->n; i++) {
		fputs(i ? ", " : "", fp);
		if (t->type == DC_U64)
			fprintf(fp, "%" PRIu64, ((const uint64_t *)t->data)[i]);
		else if (t->type == DC_I64)
			fprintf(fp, "%" PRId64, ((const int64_t *)t->data)[i]);
		else
			fprintf(fp, t->type < DC_F32 ? "%.0f" : "%.6g", value_at(t, i));
	}
	putc(']', fp);
}

static void
put_data(FILE *fp, const struct dc_tensor *t)
{
	struct range r = { 0 };

	if (t->ndim <= 1 && t->n <= VALUES_MAX) {
		put_values(fp, t);
		return;
	}
	range_add(&r, t);
	put_range(fp, t->type, &r);
}

static void
put_shape(FILE *fp, const struct dc_tensor *t)
{
	fprintf(fp, "%s [", dc_type_name(t->type));
	for (int i = 0; i < t->ndim; i++)
		fprintf(fp, "%s%" PRId64, i ? "," : "", t->shape[i]);
	putc(']', fp);
}

/* --- references --- */

static const struct dc_st *
file_of(struct dc_show *s, const char *name)
{
	for (int i = 0; i < s->n_files; i++)
		if (!strcmp(s->file_name[i], name))
			return &s->file[i];
	if (s->n_files == DC_SHOW_FILES) {
		dc_err_set("too many files");
		return NULL;
	}
	if (dc_st_open(&s->file[s->n_files], s->refs, name, DC_ST_READ) < 0)
		return NULL;
	s->file_name[s->n_files] = dc_xstrdup(name);
	return &s->file[s->n_files++];
}

static void
put_reference(struct dc_show *s, const struct dc_tensor *t)
{
	const struct dc_st_tensor *u;
	const struct dc_st *st;
	struct dc_tensor v = *t;

	fprintf(s->fp, "  in ");
	put_name(s->fp, t->file, strlen(t->file), 0);
	fputs(", ", s->fp);
	put_name(s->fp, t->name, strlen(t->name), 0);
	if (s->refs < 0)
		return;
	if (!(st = file_of(s, t->file))) {
		fprintf(s->fp, "  (%s)", dc_err());
		return;
	}
	u = dc_st_find(st, t->name);
	if (!u || u->type != t->type || u->n != t->n) {
		fprintf(s->fp, u ? "  (the file's tensor has another shape or type)" : "  (the file has no such tensor)");
		return;
	}
	v.data = u->data;
	put_data(s->fp, &v);
}

/* --- captions in tokens --- */

char *
dc_show_tokens(const struct dc_bpe *b, const int32_t *ids, size_t n)
{
	char *out = dc_xstrdup(""), *piece, *joined;
	size_t from = 0;

	for (size_t i = 0; i <= n; i++) {
		int mask = i < n && ids[i] == b->mask, end = i == n || ids[i] == b->end;

		if (!mask && !end)
			continue;
		piece = dc_bpe_decode(b, ids + from, i - from, NULL);
		joined = dc_xasprintf("%s%s%s", out, piece, mask ? "[mask] " : "");
		free(piece);
		free(out);
		out = joined;
		from = i + 1;
		if (end)
			break;
	}
	for (size_t k = strlen(out); k && out[k - 1] == ' ';)
		out[--k] = '\0';
	return out;
}

/* The words asked for: "3:red 5:circle". */
static void
put_targets(struct dc_show *s, const int32_t *row, int64_t T)
{
	int any = 0;

	for (int64_t i = 0; i < T; i++)
		if (row[i] >= 0) {
			char *word = dc_show_tokens(s->bpe, &row[i], 1);

			fprintf(s->fp, "%s%" PRId64 ":", any++ ? " " : "", i);
			put_string(s->fp, word, strlen(word), STRING_MAX);
			free(word);
		}
	fprintf(s->fp, any ? "\n" : "-\n");
}

static void
put_tokens(struct dc_show *s, const char *key, const struct dc_tensor *t, int depth)
{
	size_t rows = (size_t)t->shape[0], T = (size_t)t->shape[1];

	for (size_t i = 0; i < shown(s, rows); i++) {
		const int32_t *row = (const int32_t *)t->data + i * T;
		char *text;

		indent(s, depth);
		if (!strcmp(key, "mlm_target")) {
			put_targets(s, row, t->shape[1]);
			continue;
		}
		text = dc_show_tokens(s->bpe, row, T);
		put_string(s->fp, text, strlen(text), s->items ? 4 * STRING_MAX : 0);
		putc('\n', s->fp);
		free(text);
	}
	put_more(s, depth, rows);
}

static int
holds_tokens(const struct dc_show *s, const char *key, const struct dc_tensor *t)
{
	return s->bpe && t->data && t->type == DC_I32 && t->ndim == 2 &&
	    (!strncmp(key, "token.", 6) || !strcmp(key, "mlm_token") || !strcmp(key, "mlm_target"));
}

/* --- any value --- */

static void put_value(struct dc_show *s, struct dc_frame *f, const char *key, const msgpack_object *o, int depth);

static void
put_tensor(struct dc_show *s, struct dc_frame *f, const char *key, const msgpack_object *o, int depth)
{
	struct dc_tensor t;

	if (dc_object_tensor(f, key, o, &t) < 0) {
		fprintf(s->fp, "(bad: %s)\n", dc_err());
		return;
	}
	put_shape(s->fp, &t);
	if (t.data)
		put_data(s->fp, &t);
	else
		put_reference(s, &t);
	putc('\n', s->fp);
	if (holds_tokens(s, key, &t))
		put_tokens(s, key, &t, depth + 1);
}

static void
put_scalar(struct dc_show *s, const msgpack_object *o)
{
	struct dc_str str;

	switch (o->type) {
	case MSGPACK_OBJECT_NIL: fputs("nil", s->fp); break;
	case MSGPACK_OBJECT_BOOLEAN: fputs(o->via.boolean ? "true" : "false", s->fp); break;
	case MSGPACK_OBJECT_POSITIVE_INTEGER: fprintf(s->fp, "%" PRIu64, o->via.u64); break;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER: fprintf(s->fp, "%" PRId64, o->via.i64); break;
	case MSGPACK_OBJECT_FLOAT32: case MSGPACK_OBJECT_FLOAT64: fprintf(s->fp, "%.6g", o->via.f64); break;
	case MSGPACK_OBJECT_STR:
		str = text_of(o);
		put_string(s->fp, str.p, str.n, s->items ? STRING_MAX : 0);
		break;
	case MSGPACK_OBJECT_BIN: fprintf(s->fp, "%u bytes", o->via.bin.size); break;
	default: fputs("?", s->fp);
	}
}

static int
is_scalar(const msgpack_object *o)
{
	return o->type != MSGPACK_OBJECT_ARRAY && o->type != MSGPACK_OBJECT_MAP;
}

static int
all_tensors(const msgpack_object *a)
{
	for (uint32_t i = 0; i < a->via.array.size; i++)
		if (!dc_object_is_tensor(&a->via.array.ptr[i]))
			return 0;
	return a->via.array.size > 0;
}

/* Many tensors at once: "64 tensors u8 [333..500,375..500,3]  0..255  mean 112". 0 if they are not of one kind. */
static int
put_alike(struct dc_show *s, struct dc_frame *f, const char *key, const msgpack_object *a)
{
	int64_t lo[DC_MAX_DIMS] = { 0 }, hi[DC_MAX_DIMS] = { 0 };
	struct dc_tensor t, first = { 0 };
	struct range r = { 0 };
	uint32_t n = a->via.array.size;

	for (uint32_t i = 0; i < n; i++) {
		if (dc_object_tensor(f, key, &a->via.array.ptr[i], &t) < 0 || !t.data)
			return 0;
		if (!i)
			first = t;
		if (t.type != first.type || t.ndim != first.ndim || t.type == DC_U64 || t.type == DC_I64)
			return 0;
		for (int k = 0; k < t.ndim; k++) {
			lo[k] = i && lo[k] < t.shape[k] ? lo[k] : t.shape[k];
			hi[k] = i && hi[k] > t.shape[k] ? hi[k] : t.shape[k];
		}
		range_add(&r, &t);
	}
	fprintf(s->fp, "%u tensors %s [", n, dc_type_name(first.type));
	for (int k = 0; k < first.ndim; k++) {
		fprintf(s->fp, "%s%" PRId64, k ? "," : "", lo[k]);
		if (lo[k] != hi[k])
			fprintf(s->fp, "..%" PRId64, hi[k]);
	}
	putc(']', s->fp);
	put_range(s->fp, first.type, &r);
	putc('\n', s->fp);
	return 1;
}

static void
put_array(struct dc_show *s, struct dc_frame *f, const char *key, const msgpack_object *o, int depth)
{
	const msgpack_object *p = o->via.array.ptr;
	size_t n = o->via.array.size, strings = 0;

	if (all_tensors(o) && put_alike(s, f, key, o))
		return;
	for (size_t i = 0; i < n; i++)
		strings += p[i].type == MSGPACK_OBJECT_STR;
	fprintf(s->fp, "%zu %s%s\n", n, all_tensors(o) ? "tensor" : strings && strings == n ? "string" : "value", n == 1 ? "" : "s");
	for (size_t i = 0; i < shown(s, n); i++) {
		indent(s, depth + 1);
		put_value(s, f, key, &p[i], depth + 1);
	}
	put_more(s, depth + 1, n);
}

static void
put_map(struct dc_show *s, struct dc_frame *f, const msgpack_object *o, int depth)
{
	const msgpack_object_kv *p = o->via.map.ptr;
	size_t n = o->via.map.size, scalars = 0;
	struct dc_str k;

	for (size_t i = 0; i < n; i++)
		scalars += is_scalar(&p[i].val) && p[i].val.type != MSGPACK_OBJECT_STR;
	if (n && scalars == n) { /* such as the loss: on one line */
		for (size_t i = 0; i < n; i++) {
			k = text_of(&p[i].key);
			fputs(i ? "  " : "", s->fp);
			put_name(s->fp, k.p, k.n, 0);
			putc(' ', s->fp);
			put_scalar(s, &p[i].val);
		}
		putc('\n', s->fp);
		return;
	}
	fprintf(s->fp, "%zu %s\n", n, n == 1 ? "entry" : "entries");
	for (size_t i = 0; i < shown(s, n); i++) {
		k = text_of(&p[i].key);
		indent(s, depth + 1);
		put_name(s->fp, k.p, k.n, 0);
		fputs("  ", s->fp);
		put_value(s, f, "value", &p[i].val, depth + 1);
	}
	put_more(s, depth + 1, n);
}

/* The cursor stands behind the key; ends the line. */
static void
put_value(struct dc_show *s, struct dc_frame *f, const char *key, const msgpack_object *o, int depth)
{
	if (depth > DEPTH_MAX) {
		fputs("...\n", s->fp);
	} else if (dc_object_is_tensor(o)) {
		put_tensor(s, f, key, o, depth);
	} else if (o->type == MSGPACK_OBJECT_ARRAY) {
		put_array(s, f, key, o, depth);
	} else if (o->type == MSGPACK_OBJECT_MAP) {
		put_map(s, f, o, depth);
	} else {
		put_scalar(s, o);
		putc('\n', s->fp);
	}
}

void
dc_show_frame(struct dc_show *s, struct dc_frame *f)
{
	int64_t i, n;

	fprintf(s->fp, "frame %" PRIu64 ": ", f->number);
	put_name(s->fp, f->kind, strlen(f->kind), 0);
	fprintf(s->fp, ", step %" PRIu64 ", %zu bytes", f->step, f->bytes);
	if (dc_frame_get(f, "part") && dc_frame_part(f, &i, &n) == 0)
		fprintf(s->fp, ", part %" PRId64 " of %" PRId64, i, n);
	putc('\n', s->fp);
	for (uint32_t k = 0; k < f->root.via.map.size; k++) {
		const msgpack_object_kv *p = &f->root.via.map.ptr[k];
		struct dc_str key = text_of(&p->key);
		char *name;

		if (key.n == 4 && !memcmp(key.p, "part", 4) && dc_frame_part(f, &i, &n) == 0)
			continue;
		name = dc_xstrndup(key.p, key.n);
		indent(s, 1);
		put_name(s->fp, key.p, key.n, 17);
		putc(' ', s->fp);
		put_value(s, f, name, &p->val, 1);
		free(name);
	}
	fflush(s->fp);
}

void
dc_show_free(struct dc_show *s)
{
	for (int i = 0; i < s->n_files; i++) {
		dc_st_close(&s->file[i]);
		free(s->file_name[i]);
	}
	s->n_files = 0;
}

/* --- checking --- */

static int
check_value(struct dc_frame *f, const char *key, const msgpack_object *o)
{
	struct dc_tensor t;

	if (dc_object_is_tensor(o))
		return dc_object_tensor(f, key, o, &t);
	for (uint32_t i = 0; o->type == MSGPACK_OBJECT_ARRAY && i < o->via.array.size; i++)
		DC_TRY(check_value(f, key, &o->via.array.ptr[i]));
	for (uint32_t i = 0; o->type == MSGPACK_OBJECT_MAP && i < o->via.map.size; i++)
		DC_TRY(check_value(f, key, &o->via.map.ptr[i].val));
	return 0;
}

int
dc_show_check(struct dc_frame *f)
{
	int64_t part, parts;

	for (uint32_t i = 0; i < f->root.via.map.size; i++) {
		struct dc_str k = text_of(&f->root.via.map.ptr[i].key);
		char *name = dc_xstrndup(k.p, k.n);
		int r = check_value(f, name, &f->root.via.map.ptr[i].val);

		free(name);
		DC_TRY(r);
	}
	return dc_frame_part(f, &part, &parts);
}
