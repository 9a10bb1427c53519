/* SPDX-License-Identifier: MIT */
#include "score/set.h"

#include <stdlib.h>
#include <string.h>

#include "stream/each.h"

/* --- a frame --- */

/* Which of the frame's images each of its rows belongs to [n], and how many images there must be: exactly, if rows are
 * images themselves, else at least. */
struct owners { int64_t *image, n; int exact; };

static int
take_owners(struct dc_set *s, struct dc_frame *f, const char *features, int64_t n, struct owners *o)
{
	struct dc_tensor t;

	if (strncmp(features, "text_", 5) || !dc_frame_get(f, "caption_image")) {
		for (int64_t i = 0; i < n; i++) {
			o->image[i] = i;
			dc_ints_add(&s->nth, 0);
		}
		o->n = n;
		o->exact = 1;
		return 0;
	}
	DC_TRY(dc_frame_tensor(f, "caption_image", DC_I32, 1, &t));
	if (!t.data || (int64_t)t.n != n)
		return dc_frame_err(f, "caption_image has %zu entries for %lld captions", t.n, (long long)n);
	o->n = o->exact = 0;
	for (int64_t i = 0; i < n; i++) {
		o->image[i] = ((const int32_t *)t.data)[i];
		if (o->image[i] < 0)
			return dc_frame_err(f, "caption_image %lld: must not be negative", (long long)o->image[i]);
		o->n = o->image[i] >= o->n ? o->image[i] + 1 : o->n;
		dc_ints_add(&s->nth, i && o->image[i] == o->image[i - 1] ? s->nth.p[s->nth.n - 1] + 1 : 0);
	}
	return 0;
}

static int
check_count(struct dc_frame *f, const char *what, int64_t N, const struct owners *o)
{
	if (o->exact ? N != o->n : N < o->n)
		return dc_frame_err(f, "%lld %s for %lld rows", (long long)N, what, (long long)o->n);
	return 0;
}

/* Append to `to` what the tensor `key` [N] says of the images. */
static int
take_ints(struct dc_ints *to, struct dc_frame *f, const char *key, const char *what, const struct owners *o, int64_t n)
{
	struct dc_ints v = { 0 };
	int64_t N = dc_ints_take(&v, f, key);
	int r = N < 0 ? -1 : check_count(f, what, N, o);

	for (int64_t i = 0; r == 0 && i < n; i++)
		dc_ints_add(to, v.p[o->image[i]]);
	free(v.p);
	return r;
}

static int
take_keys(struct dc_set *s, struct dc_frame *f, const struct owners *o, int64_t n)
{
	const struct dc_str *str;
	size_t N;

	DC_TRY(dc_frame_strs(f, "key", &str, &N));
	DC_TRY(check_count(f, "keys", (int64_t)N, o));
	s->key = dc_xrealloc(s->key, s->keys + (size_t)n + 1, sizeof *s->key);
	for (int64_t i = 0; i < n; i++)
		s->key[s->keys++] = dc_xstrndup(str[o->image[i]].p, str[o->image[i]].n);
	return 0;
}

static int
take_columns(struct dc_set *s, struct dc_frame *f, const char *features, struct owners *o, int64_t n)
{
	DC_TRY(take_owners(s, f, features, n, o));
	if (dc_frame_get(f, "label"))
		DC_TRY(take_ints(&s->label, f, "label", "labels", o, n));
	while (s->label.n < s->x.n)
		dc_ints_add(&s->label, -1);
	for (int64_t i = s->x.n - n; i < s->x.n; i++)
		s->labelled += s->label.p[i] >= 0;
	if (dc_frame_get(f, "id"))
		DC_TRY(take_ints(&s->id, f, "id", "ids", o, n));
	return dc_frame_get(f, "key") ? take_keys(s, f, o, n) : 0;
}

static int
take(struct dc_set *s, struct dc_frame *f, const char *features)
{
	struct owners o;
	int64_t n;
	int r;

	DC_TRY(n = dc_rows_take(&s->x, f, features));
	o.image = dc_xcalloc((size_t)n + 1, sizeof *o.image);
	r = take_columns(s, f, features, &o, n);
	if (r == 0 && isnan(s->logit_scale) && dc_frame_get(f, "logit_scale"))
		r = dc_frame_double(f, "logit_scale", &s->logit_scale);
	free(o.image);
	return r;
}

/* --- the stream --- */

static void
forget_keys(struct dc_set *s)
{
	for (size_t i = 0; i < s->keys; i++)
		free(s->key[i]);
	free(s->key);
	s->key = NULL;
	s->keys = 0;
}

struct taking { struct dc_set *s; const char *features; };

static int
take_frame(void *arg, struct dc_frame *f)
{
	const struct taking *t = arg;

	return take(t->s, f, t->features);
}

int
dc_set_read(struct dc_set *s, const char *path, const char *features)
{
	struct taking t = { s, features };
	int status;

	s->logit_scale = NAN;
	s->name = strcmp(path, "-") ? path : "<stdin>";
	status = dc_stream_each(path, "features", take_frame, &t);
	if (status == DC_EXIT_OK && s->x.n == 0) {
		dc_warn("%s: no %s among the frames", s->name, features);
		status = DC_EXIT_FAIL;
	}
	if (s->id.n != s->x.n) /* some frames had none */
		s->id.n = 0;
	if (s->keys != (size_t)s->x.n)
		forget_keys(s);
	return status;
}

/* --- rows --- */

void
dc_set_keep(struct dc_set *s, const char *keep)
{
	const int D = s->x.D;
	int64_t n = 0;

	s->labelled = 0;
	for (int64_t i = 0; i < s->x.n; i++) {
		if (!keep[i]) {
			if (s->key)
				free(s->key[i]);
			continue;
		}
		memmove(s->x.p + n * D, s->x.p + i * D, D * sizeof *s->x.p);
		s->label.p[n] = s->label.p[i];
		s->labelled += s->label.p[n] >= 0;
		s->nth.p[n] = s->nth.p[i];
		if (s->id.n)
			s->id.p[n] = s->id.p[i];
		if (s->key)
			s->key[n] = s->key[i];
		n++;
	}
	s->x.n = s->label.n = s->nth.n = n;
	s->id.n = s->id.n ? n : 0;
	s->keys = s->key ? (size_t)n : 0;
}

int64_t
dc_set_keep_labelled(struct dc_set *s)
{
	char *keep = dc_xcalloc(s->x.n + 1, 1);
	const int64_t n = s->x.n;

	for (int64_t i = 0; i < n; i++)
		keep[i] = s->label.p[i] >= 0;
	dc_set_keep(s, keep);
	free(keep);
	return n - s->x.n;
}

/* --- classes --- */

static int
rising(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int64_t
dc_set_classes(const struct dc_set *s, int64_t **label)
{
	const size_t n = (size_t)s->x.n;
	int64_t *v = dc_xcalloc(n, sizeof *v), K = 0;

	memcpy(v, s->label.p, n * sizeof *v);
	qsort(v, n, sizeof *v, rising);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || v[i] != v[i - 1])
			v[K++] = v[i];
	*label = v;
	return K;
}

int64_t
dc_class_of(const int64_t *label, int64_t K, int64_t x)
{
	const int64_t *at = bsearch(&x, label, (size_t)K, sizeof x, rising);

	return at ? at - label : -1;
}

void
dc_set_free(struct dc_set *s)
{
	free(s->x.p);
	free(s->label.p);
	free(s->id.p);
	free(s->nth.p);
	forget_keys(s);
}
