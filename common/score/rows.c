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

int64_t
dc_rows_take(struct dc_rows *r, struct dc_frame *f, const char *key)
{
	struct dc_tensor t;

	DC_TRY(dc_frame_tensor(f, key, DC_REAL_TYPE, 2, &t));
	DC_TRY(check_rows(r, f, key, &t));
	if (t.n == 0)
		return t.shape[0] == 0 ? 0 : dc_frame_err(f, "%s: no columns", key);
	r->D = (int)t.shape[1];
	r->cap = grown(r->cap, r->n + t.shape[0]);
	r->p = dc_xrealloc(r->p, r->cap, r->D * sizeof *r->p);
	if (r->raw)
		memcpy(r->p + r->n * r->D, t.data, t.bytes);
	else
		DC_TRY(add_unit(r, f, key, &t));
	r->n += t.shape[0];
	return t.shape[0];
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
