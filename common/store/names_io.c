/* SPDX-License-Identifier: MIT */
/* Tensors between a file with their names and ours. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/half.h"
#include "store/names.h"

enum { PIECE = 1 << 16, EXACT_MAX = 1 << 24 };   /* elements for a thread at a time; whole numbers that a float holds */

/* --- checking --- */

/* A scalar may be [] or [1]: both are in use for logit_scale. */
static int
same_shape(const struct dc_st_tensor *t, const struct dc_their *p)
{
	if (t->n == 1 && p->n == 1)
		return 1;
	return t->ndim == p->ndim && !memcmp(t->shape, p->shape, (size_t)p->ndim * sizeof(*p->shape));
}

static int
check_one(const struct dc_st *st, const struct dc_st_tensor *t, const struct dc_their *p)
{
	char got[96], want[96];

	DC_CHECK(t || p->optional, "%s: tensor %s is missing", st->path, p->name);
	if (!t)
		return 0;
	dc_st_shape_text(got, sizeof got, t->ndim, t->shape);
	dc_st_shape_text(want, sizeof want, p->ndim, p->shape);
	DC_CHECK(same_shape(t, p), "%s: tensor %s has shape [%s], the config asks for [%s]", st->path, p->name, got, want);
	if (p->whole)
		DC_CHECK(t->type == DC_I64 || t->type == DC_I32, "%s: tensor %s is %s, not i64", st->path, p->name,
		    dc_type_name(t->type));
	else
		DC_CHECK(t->type == DC_F32 || t->type == DC_F16 || t->type == DC_BF16, "%s: tensor %s is %s, not f32, f16 or bf16",
		    st->path, p->name, dc_type_name(t->type));
	return 0;
}

/* What older programs save besides, which follows from the rest; and the released ResNets' layer for images of another
 * size, which was never trained. */
static int
beside(const char *name)
{
	static const char *const names[] = { "input_resolution", "context_length", "vocab_size",
		"text_model.embeddings.position_ids", "vision_model.embeddings.position_ids", "module.visual.fc.weight",
		"module.visual.fc.bias" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i]))
			return 1;
	return 0;
}

static int
known(const struct dc_names *n, const char *name, enum dc_part_of part)
{
	for (int i = 0; i < n->n_theirs; i++)
		if ((part == DC_ALL || n->theirs[i].part == (int)part) && !strcmp(n->theirs[i].name, name))
			return 1;
	return beside(name);
}

int
dc_names_check(const struct dc_names *n, const struct dc_st *st, enum dc_part_of part, int others)
{
	for (int i = 0; i < n->n_theirs; i++)
		if (part == DC_ALL || n->theirs[i].part == (int)part)
			DC_TRY(check_one(st, dc_st_find(st, n->theirs[i].name), &n->theirs[i]));
	for (int i = 0; i < st->n && !others; i++)
		DC_CHECK(known(n, st->t[i].name, part), "%s: tensor %s is not one of the model's", st->path, st->t[i].name);
	return 0;
}

/* --- taking ours --- */

static int
whole_numbers(const struct dc_st *st, const struct dc_st_tensor *t, float *out)
{
	for (size_t i = 0; i < t->n; i++) {
		int64_t v = t->type == DC_I64 ? ((const int64_t *)t->data)[i] : ((const int32_t *)t->data)[i];

		DC_CHECK(v >= 0 && v <= EXACT_MAX, "%s: tensor %s: %lld is not in [0, %d]", st->path, t->name, (long long)v, EXACT_MAX);
		out[i] = (float)v;
	}
	return 0;
}

/* A tensor's elements as floats; *own is to be freed. NULL with a message. */
static const float *
floats_of(const struct dc_st *st, const struct dc_st_tensor *t, float **own)
{
	size_t bad;

	*own = NULL;
	if (t->type == DC_F32)
		return t->data;
	*own = dc_xaligned(t->n + 1, sizeof(**own));
	if (t->type == DC_I64 || t->type == DC_I32)
		return whole_numbers(st, t, *own) < 0 ? NULL : *own;
	if ((bad = dc_half_to_float(*own, t->data, t->n, t->type)) == t->n)
		return *own;
	dc_err_set("%s: tensor %s: element %zu is not finite", st->path, t->name, bad);
	return NULL;
}

/* to [rows, cols] = from [cols, rows]^T, by squares that stay in the cache */
static void
transpose(float *to, const float *from, size_t rows, size_t cols)
{
	enum { SIDE = 32 };

#pragma omp parallel for schedule(static) if (rows * cols > PIECE)
	for (size_t r0 = 0; r0 < rows; r0 += SIDE)
		for (size_t c0 = 0; c0 < cols; c0 += SIDE)
			for (size_t r = r0; r < rows && r < r0 + SIDE; r++)
				for (size_t c = c0; c < cols && c < c0 + SIDE; c++)
					to[r * cols + c] = from[c * rows + r];
}

static float
usual(const struct dc_param *p)
{
	return p->init == DC_INIT_ONE ? 1 : p->init == DC_INIT_VALUE ? (float)p->init_scale : 0;
}

static int
is_usual(const struct dc_param *p, const float *x)
{
	for (size_t i = 0; i < p->n; i++)
		if (x[i] != usual(p) || signbit(x[i]) != signbit(usual(p)))
			return 0;
	return 1;
}

static int
take_move(float *to, const struct dc_st *st, const struct dc_names *n, const struct dc_move *m)
{
	const struct dc_st_tensor *t = dc_st_find(st, n->theirs[m->theirs].name);
	const struct dc_param *p = &n->ours[m->ours];
	const float *from;
	float *own = NULL;

	if (!t)
		return 0;
	if (!(from = floats_of(st, t, &own))) {
		free(own);
		return -1;
	}
	if (m->turned)
		transpose(to, from, (size_t)p->shape[0], (size_t)p->shape[1]);
	else
		memcpy(to + m->our_at, from + m->their_at, m->n * sizeof(*to));
	free(own);
	return 0;
}

/* Of ours the one move, where it is theirs as it lies in the file. */
static struct dc_st_tensor *
as_it_lies(struct dc_st *st, const struct dc_names *n, int ours)
{
	const struct dc_move *only = NULL;
	const struct dc_st_tensor *t;

	for (int i = 0; i < n->n_moves; i++)
		if (n->move[i].ours == ours) {
			if (only || n->move[i].turned || n->move[i].n != n->theirs[n->move[i].theirs].n)
				return NULL;
			only = &n->move[i];
		}
	t = only ? dc_st_find(st, n->theirs[only->theirs].name) : NULL;
	return t && t->type == DC_F32 ? &st->t[t - st->t] : NULL;
}

static int
take_one(struct dc_st *out, struct dc_st *st, const struct dc_names *n, int ours)
{
	const struct dc_param *p = &n->ours[ours];
	struct dc_st_tensor *t = &out->t[out->n], *there = as_it_lies(st, n, ours);
	float *x;

	*t = (struct dc_st_tensor){ .name = dc_xstrdup(p->name), .type = DC_F32, .ndim = p->ndim, .n = p->n,
	    .bytes = p->n * sizeof(float) };
	memcpy(t->shape, p->shape, sizeof(p->shape));
	out->n++;
	if (there) {
		t->data = there->data;
		there->data = NULL;   /* out has the map, or the aligned copy, now */
	} else {
		t->data = x = dc_xaligned(p->n + 1, sizeof(*x));
		for (size_t i = 0; i < p->n; i++)
			x[i] = usual(p);
		for (int i = 0; i < n->n_moves; i++)
			if (n->move[i].ours == ours)
				DC_TRY(take_move(x, st, n, &n->move[i]));
	}
	return 0;
}

/* An extra that says nothing goes again. */
static void
drop_usual(struct dc_st *out, const struct dc_param *p)
{
	struct dc_st_tensor *t = &out->t[out->n - 1];
	unsigned char *d = t->data, *lo = out->map;

	if (p->head != DC_EXTRAS || !is_usual(p, t->data))
		return;
	if (!lo || d < lo || d > lo + out->map_bytes)
		free(d);
	free(t->name);
	out->n--;
}

static int
zeros(const struct dc_st *st, const struct dc_their *p)
{
	const struct dc_st_tensor *t = dc_st_find(st, p->name);
	float *own = NULL;
	const float *x = t ? floats_of(st, t, &own) : NULL;
	int r = t && !x ? -1 : 0;

	for (size_t i = 0; x && r == 0 && i < t->n; i++)
		if (x[i] != 0)
			r = dc_err_set("%s: tensor %s is not zero, but its config leaves it out (text_cfg.proj_bias)", st->path, p->name);
	free(own);
	return r;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct dc_st_tensor *)a)->name, ((const struct dc_st_tensor *)b)->name);
}

int
dc_names_take(struct dc_st *out, struct dc_st *st, const struct dc_names *n, enum dc_part_of part)
{
	int r = 0;

	*out = (struct dc_st){ .t = dc_xcalloc((size_t)n->n_ours + 1, sizeof(*out->t)), .path = dc_xstrdup(st->path),
	    .map = st->map, .map_bytes = st->map_bytes };
	for (int i = 0; r == 0 && part != DC_EXTRAS && i < n->n_theirs; i++)
		r = n->theirs[i].zero ? zeros(st, &n->theirs[i]) : 0;
	for (int i = 0; r == 0 && i < n->n_ours; i++)
		if (n->ours[i].head == (int)part && (r = take_one(out, st, n, i)) == 0)
			drop_usual(out, &n->ours[i]);
	qsort(out->t, (size_t)out->n, sizeof(*out->t), by_name);
	/* the map is out's: what st has besides it goes */
	for (int i = 0; i < st->n; i++) {
		unsigned char *d = st->t[i].data, *lo = st->map;

		if (d >= lo && d <= lo + st->map_bytes)
			st->t[i].data = NULL;
	}
	st->map = NULL;
	dc_st_close(st);
	if (r < 0)
		dc_st_close(out);
	return r;
}

/* --- giving theirs --- */

static const float *
ours_in(const struct dc_st *const *from, int k, const char *name)
{
	for (int i = 0; i < k; i++) {
		const struct dc_st_tensor *t = dc_st_find(from[i], name);

		if (t)
			return t->data;
	}
	return NULL;
}

static void
put_move(float *to, const struct dc_names *n, const struct dc_move *m, const struct dc_st *const *from, int k)
{
	const struct dc_param *p = &n->ours[m->ours];
	const float *x = ours_in(from, k, p->name);

	if (x && m->turned)
		transpose(to, x, (size_t)p->shape[1], (size_t)p->shape[0]);
	else if (x)
		memcpy(to + m->their_at, x + m->our_at, m->n * sizeof(*to));
	else
		for (size_t i = 0; i < m->n; i++)
			to[m->their_at + i] = usual(p);
}

/* x into t's type. */
static int
put_floats(const struct dc_st_tensor *t, const float *x)
{
	size_t bad = 0;

	while (bad < t->n && isfinite(x[bad]))
		bad++;
	DC_CHECK(bad == t->n, "tensor %s: element %zu is not finite", t->name, bad);
	if (t->type == DC_I64) {
		for (size_t i = 0; i < t->n; i++)
			((int64_t *)t->data)[i] = (int64_t)x[i];
	} else if (t->type == DC_F32) {
		memcpy(t->data, x, t->bytes);
	} else if ((bad = dc_half_from_float(t->data, x, t->n, t->type)) < t->n) {
		return dc_err_set("tensor %s: element %zu is %g, which is beyond the largest %s", t->name, bad, (double)x[bad],
		    dc_type_name(t->type));
	}
	return 0;
}

int
dc_names_put(const struct dc_st_tensor *t, const struct dc_names *n, int j, const struct dc_st *const *from, int k)
{
	float *x = dc_xaligned(t->n + 1, sizeof(*x));
	int r;

	memset(x, 0, t->n * sizeof(*x));
	for (int i = 0; i < n->n_moves; i++)
		if (n->move[i].theirs == j)
			put_move(x, n, &n->move[i], from, k);
	r = put_floats(t, x);
	free(x);
	return r;
}
