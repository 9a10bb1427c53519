/* SPDX-License-Identifier: MIT */
#include "stream/gather.h"

#include <stdlib.h>
#include <string.h>

int
dc_gather_add(struct dc_gather *g, struct dc_frame *f)
{
	int64_t i, n;

	DC_TRY(dc_frame_part(f, &i, &n));
	if (g->n && f->step != g->part[0].step)
		return dc_frame_err(f, "step %llu begins before part %d of %lld of step %llu came", (unsigned long long)f->step, g->n,
		    (long long)g->want, (unsigned long long)g->part[0].step);
	if (i != g->n || (g->n && n != g->want))
		return dc_frame_err(f, "part %lld of %lld, where part %d of %lld was due", (long long)i, (long long)n, g->n,
		    (long long)(g->n ? g->want : n));
	if (g->n == g->cap) {
		int cap = g->cap ? 2 * g->cap : 4;
		g->part = dc_xrealloc(g->part, (size_t)cap, sizeof *g->part);
		memset(g->part + g->cap, 0, (size_t)(cap - g->cap) * sizeof *g->part);
		g->cap = cap;
	}
	g->want = n;
	g->bytes += f->bytes;
	dc_frame_move(&g->part[g->n++], f);
	return 0;
}

void
dc_gather_clear(struct dc_gather *g)
{
	for (int i = 0; i < g->n; i++)
		dc_frame_free(&g->part[i]);
	g->n = 0;
	g->want = 0;
	g->bytes = 0;
}

void
dc_gather_free(struct dc_gather *g)
{
	dc_gather_clear(g);
	free(g->part);
	memset(g, 0, sizeof *g);
}

static int
put_tensors(struct dc_body *b, struct dc_gather *g, const char *key)
{
	struct dc_tensor *t = dc_xcalloc((size_t)g->n, sizeof *t), all;
	char *to;
	int r = -1;

	for (int i = 0; i < g->n; i++) {
		if (dc_frame_tensor_any(&g->part[i], key, &t[i]) < 0)
			goto out;
		if (!t[i].data || t[i].ndim < 1 || t[i].type != t[0].type || t[i].ndim != t[0].ndim ||
		    memcmp(t[i].shape + 1, t[0].shape + 1, (size_t)(t[0].ndim - 1) * sizeof *t[0].shape)) {
			dc_frame_err(&g->part[i], "%s: its type or shape differs from the first part's", key);
			goto out;
		}
	}
	all = t[0];
	for (int i = 1; i < g->n; i++)
		all.shape[0] += t[i].shape[0];
	to = dc_put_space(b, key, all.type, all.ndim, all.shape);
	for (int i = 0; i < g->n; to += t[i++].bytes)
		if (t[i].bytes)
			memcpy(to, t[i].data, t[i].bytes);
	r = 0;
out:
	free(t);
	return r;
}

static int
put_arrays(struct dc_body *b, struct dc_gather *g, const char *key)
{
	const msgpack_object *a = NULL;
	size_t n = 0, total = 0;

	for (int i = 0; i < g->n; i++, total += n)
		DC_TRY(dc_frame_array(&g->part[i], key, &a, &n));
	dc_put_array(b, key, total);
	for (int i = 0; i < g->n; i++) {
		DC_TRY(dc_frame_array(&g->part[i], key, &a, &n));
		for (size_t k = 0; k < n; k++)
			dc_put_object(b, NULL, &g->part[i], &a->via.array.ptr[k]);
	}
	return 0;
}

int
dc_gather_put(struct dc_body *b, struct dc_gather *g, const char *key)
{
	const msgpack_object *o = g->n ? dc_frame_get(&g->part[0], key) : NULL;

	if (!o)
		return 0;
	return o->type == MSGPACK_OBJECT_ARRAY ? put_arrays(b, g, key) : put_tensors(b, g, key);
}
