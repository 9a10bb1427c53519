/* SPDX-License-Identifier: MIT */
#include "score/rows.h"

#include <stdlib.h>
#include <string.h>

#include "loss/unit.h"

static int64_t
grown(int64_t cap, int64_t need)
{
	return need > cap ? (need > 2 * cap ? need : 2 * cap) : cap;
}

static int
check_rows(const struct dc_rows *r, struct dc_frame *f, const char *key, const struct dc_tensor *t)
{
	const dc_real *x = t->data;

	if (!x && t->n)
		return dc_frame_err(f, "%s: by reference, must be by value", key);
	if (t->n && t->shape[1] > 1 << 20)
		return dc_frame_err(f, "%s: %lld columns, at most %d are taken", key, (long long)t->shape[1], 1 << 20);
	if (t->n && r->n && t->shape[1] != r->D)
		return dc_frame_err(f, "%s: %lld columns, wanted %d as before", key, (long long)t->shape[1], r->D);
	for (size_t i = 0; i < t->n; i++)
		if (!isfinite(x[i]))
			return dc_frame_err(f, "%s: row %zu is not finite", key, i / (size_t)t->shape[1]);
	return 0;
}

static int
add_unit(struct dc_rows *r, struct dc_frame *f, const char *key, const struct dc_tensor *t)
{
	dc_real *norm = dc_xaligned(t->shape[0], sizeof *norm);
	int64_t zero = -1;

	dc_unit_forward(r->p + r->n * r->D, norm, t->data, (int)t->shape[0], r->D);
	for (int64_t i = t->shape[0] - 1; i >= 0; i--)
		zero = norm[i] > 0 ? zero : i;
	free(norm);
	return zero < 0 ? 0 : dc_frame_err(f, "%s: row %lld is all zeros and has no direction", key, (long long)zero);
}

static int64_t
take(struct dc_rows *r, struct dc_frame *f, const char *key, const struct dc_tensor *t)
{
	DC_TRY(check_rows(r, f, key, t));
	if (t->n == 0)
		return t->shape[0] == 0 ? 0 : dc_frame_err(f, "%s: no columns", key);
	r->D = (int)t->shape[1];
	r->cap = grown(r->cap, r->n + t->shape[0]);
	r->p = dc_xrealloc(r->p, r->cap, r->D * sizeof *r->p);
	if (r->raw)
		memcpy(r->p + r->n * r->D, t->data, t->bytes);
	else
		DC_TRY(add_unit(r, f, key, t));
	r->n += t->shape[0];
	return t->shape[0];
}

int64_t
dc_rows_take(struct dc_rows *r, struct dc_frame *f, const char *key)
{
	struct dc_tensor t;

	DC_TRY(dc_frame_tensor(f, key, DC_REAL_TYPE, 2, &t));
	return take(r, f, key, &t);
}

void
dc_ints_add(struct dc_ints *v, int64_t x)
{
	v->cap = grown(v->cap, v->n + 1);
	v->p = dc_xrealloc(v->p, v->cap, sizeof *v->p);
	v->p[v->n++] = x;
}

int64_t
dc_ints_take(struct dc_ints *v, struct dc_frame *f, const char *key)
{
	struct dc_tensor t;

	DC_TRY(dc_frame_tensor_any(f, key, &t));
	if (t.ndim != 1 || (t.type != DC_I32 && t.type != DC_I64 && t.type != DC_U64))
		return dc_frame_err(f, "%s: must be whole numbers in one dimension", key);
	if (!t.data && t.n)
		return dc_frame_err(f, "%s: by reference, must be by value", key);
	for (size_t i = 0; i < t.n; i++)
		dc_ints_add(v, t.type == DC_I32 ? ((const int32_t *)t.data)[i] : ((const int64_t *)t.data)[i]);
	return (int64_t)t.n;
}

/* --- samples of several rows --- */

/* off [n + 1] is 0, never falls, and ends with R. */
static int
check_off(struct dc_frame *f, const char *key, const struct dc_tensor *t, int64_t R)
{
	const int32_t *off = t->data;

	if (t->n == 0 || !off)
		return dc_frame_err(f, "%s: must be one number more than there are samples, by value", key);
	for (size_t i = 1; i < t->n; i++)
		if (off[i] < off[i - 1])
			return dc_frame_err(f, "%s: falls at %zu", key, i);
	if (off[0] != 0 || off[t->n - 1] != R)
		return dc_frame_err(f, "%s: from %d to %d, not over the %lld rows", key, off[0], off[t->n - 1], (long long)R);
	return 0;
}

static int64_t
take_ragged(struct dc_rows *r, struct dc_ints *off, struct dc_frame *f, const char *key, const char *off_key)
{
	const int64_t before = r->n;
	struct dc_tensor t;
	const int32_t *v;
	int64_t R;

	DC_TRY(R = dc_rows_take(r, f, key));
	DC_TRY(dc_frame_tensor(f, off_key, DC_I32, 1, &t));
	DC_TRY(check_off(f, off_key, &t, R));
	v = t.data;
	for (size_t i = 1; i < t.n; i++)
		dc_ints_add(off, before + v[i]);
	return (int64_t)t.n - 1;
}

int64_t
dc_tokens_take(struct dc_rows *r, struct dc_ints *off, struct dc_frame *f, const char *key, const char *off_key)
{
	const int64_t before = r->n;
	struct dc_tensor t;
	int64_t n, G;

	if (off->n == 0)
		dc_ints_add(off, 0);
	if (off_key)
		return take_ragged(r, off, f, key, off_key);
	DC_TRY(dc_frame_tensor(f, key, DC_REAL_TYPE, 3, &t));
	n = t.shape[0];
	G = t.shape[1];
	if (n && !G)
		return dc_frame_err(f, "%s: no tokens", key);
	t.shape[0] = n * G;
	t.shape[1] = t.shape[2];
	t.ndim = 2;
	DC_TRY(take(r, f, key, &t));
	for (int64_t i = 1; i <= n; i++)
		dc_ints_add(off, before + i * G);
	return n;
}

void
dc_rows_keep(struct dc_rows *r, struct dc_ints *off, const int64_t *from, int64_t n)
{
	const int64_t D = r->D;
	int64_t *to = dc_xcalloc((size_t)n + 1, sizeof *to), at = 0;
	dc_real *p;

	for (int64_t i = 0; i < n; i++)
		to[i + 1] = to[i] + (off->n ? off->p[from[i] + 1] - off->p[from[i]] : 1);
	p = dc_xcalloc((size_t)to[n] + 1, (size_t)D * sizeof *p);
	for (int64_t i = 0; i < n; at = to[++i])
		memcpy(p + at * D, r->p + (off->n ? off->p[from[i]] : from[i]) * D, (size_t)((to[i + 1] - at) * D) * sizeof *p);
	free(r->p);
	r->p = p;
	r->n = r->cap = to[n];
	if (off->n) {
		free(off->p);
		*off = (struct dc_ints){ to, n + 1, n + 1 };
	} else {
		free(to);
	}
}
