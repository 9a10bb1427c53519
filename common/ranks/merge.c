/* SPDX-License-Identifier: MIT */
#include "ranks/merge.h"

#include <stdlib.h>
#include <string.h>

#include "stream/gather.h"

/* --- the order --- */

static int
take_slots(struct dc_merge *m, int r)
{
	const int64_t *slot;

	DC_TRY(dc_frame_tensor(&m->f[r], "slot", DC_I64, 1, &m->t[r]));
	if (m->t[r].n && !m->t[r].data)
		return dc_frame_err(&m->f[r], "slot: by reference, must be by value");
	slot = m->t[r].data;
	for (size_t i = 1; i < m->t[r].n; i++)
		if (slot[i] <= slot[i - 1])
			return dc_frame_err(&m->f[r], "slot: %lld comes after %lld", (long long)slot[i], (long long)slot[i - 1]);
	m->n[r] = m->t[r].shape[0];
	m->N += m->n[r];
	return 0;
}

/* The rank whose next row has the smallest slot; -1 with a message where two have the same. */
static int
next_rank(const struct dc_merge *m, const int64_t *at)
{
	int best = -1;
	int64_t least = 0;

	for (int r = 0; r < m->R; r++) {
		int64_t slot = at[r] < m->n[r] ? ((const int64_t *)m->t[r].data)[at[r]] : 0;

		if (at[r] == m->n[r] || (best >= 0 && slot > least))
			continue;
		DC_CHECK(best < 0 || slot < least, "ranks %d and %d both have the sample of slot %lld", best, r, (long long)slot);
		best = r;
		least = slot;
	}
	return best;
}

int
dc_merge_begin(struct dc_merge *m, struct dc_frame *f, int R)
{
	int64_t *at = dc_xcalloc((size_t)R, sizeof *at);
	int r = 0;

	*m = (struct dc_merge){ .R = R, .f = f, .n = dc_xcalloc((size_t)R, sizeof *m->n), .t = dc_xcalloc((size_t)R, sizeof *m->t) };
	for (int k = 0; k < R && r >= 0; k++)
		r = take_slots(m, k);
	m->order = dc_xcalloc((size_t)m->N + 1, sizeof *m->order);
	for (int64_t i = 0; i < m->N && r >= 0; i++)
		if ((r = next_rank(m, at)) >= 0)
			m->order[i] = (struct dc_merge_row){ r, at[r]++ };
	free(at);
	if (r < 0)
		dc_merge_end(m);
	return r < 0 ? -1 : 0;
}

void
dc_merge_end(struct dc_merge *m)
{
	free(m->n);
	free(m->t);
	free(m->order);
	memset(m, 0, sizeof *m);
}

/* --- rows --- */

/* The values of a key in all frames into m->t. 1: all have it, with as many rows as slots; 0: not so; -1 with a message. */
static int
take_rows(struct dc_merge *m, const char *key, int rank)
{
	for (int r = 0; r < m->R; r++) {
		const msgpack_object *o = dc_frame_get(&m->f[r], key);

		if (!o || !dc_object_is_tensor(o))
			return 0;
		DC_TRY(dc_frame_tensor_any(&m->f[r], key, &m->t[r]));
		if (m->t[r].file || m->t[r].ndim < 1 || m->t[r].shape[0] != m->n[r])
			return 0;
	}
	for (int r = 0; r < m->R; r++)
		if (m->t[r].type != m->t[rank].type || m->t[r].ndim != m->t[rank].ndim ||
		    memcmp(m->t[r].shape + 1, m->t[rank].shape + 1, (size_t)(m->t[rank].ndim - 1) * sizeof *m->t[rank].shape))
			return dc_frame_err(&m->f[r], "%s has another type or shape than that of rank %d", key, rank);
	return 1;
}

static void
put_rows(struct dc_merge *m, struct dc_body *b, const char *key, int64_t from, int64_t to)
{
	struct dc_tensor all = m->t[0];
	size_t row = dc_type_size(all.type);
	char *p;

	for (int k = 1; k < all.ndim; k++)
		row *= (size_t)all.shape[k];
	all.shape[0] = to - from;
	p = dc_put_space(b, key, all.type, all.ndim, all.shape);
	for (int64_t i = from; i < to; i++, p += row)
		if (row)
			memcpy(p, (const char *)m->t[m->order[i].rank].data + (size_t)m->order[i].row * row, row);
}

static int
is_array_of_rows(const struct dc_merge *m, const char *key)
{
	for (int r = 0; r < m->R; r++) {
		const msgpack_object *o = dc_frame_get(&m->f[r], key);

		if (!o || o->type != MSGPACK_OBJECT_ARRAY || (int64_t)o->via.array.size != m->n[r])
			return 0;
	}
	return 1;
}

static void
put_array(struct dc_merge *m, struct dc_body *b, const char *key)
{
	dc_put_array(b, key, (size_t)m->N);
	for (int64_t i = 0; i < m->N; i++) {
		struct dc_frame *f = &m->f[m->order[i].rank];

		dc_put_object(b, NULL, f, &dc_frame_get(f, key)->via.array.ptr[m->order[i].row]);
	}
}

/* --- masked positions, FILIP's words --- */

static int
put_masked(struct dc_merge *m, struct dc_body *b, int rank)
{
	int64_t all = 0, local[2] = { 0, 0 };
	float *p;

	for (int r = 0; r < m->R; r++) {
		DC_TRY(dc_frame_tensor(&m->f[r], "mlm_nll", DC_F32, 1, &m->t[r]));
		if (m->t[r].file)
			return dc_frame_err(&m->f[r], "mlm_nll: by reference, must be by value");
		local[0] += r < rank ? m->t[r].shape[0] : 0;
		all += m->t[r].shape[0];
	}
	local[1] = m->t[rank].shape[0];
	p = dc_put_space(b, "mlm_nll", DC_F32, 1, &all);
	for (int r = 0; r < m->R; p += m->t[r++].n)
		if (m->t[r].n)
			memcpy(p, m->t[r].data, m->t[r].bytes);
	dc_put_data(b, "local_mlm", DC_I64, 1, (int64_t[]){ 2 }, local);
	return 0;
}

/* The offsets of a rank's words: m->n[r] + 1 of them, ascending from 0 to the rows of filip_text. */
static int
take_offsets(struct dc_merge *m, int r, int64_t rows, const int32_t **off)
{
	struct dc_tensor t;

	DC_TRY(dc_frame_tensor(&m->f[r], "filip_off", DC_I32, 1, &t));
	if (!t.data || t.shape[0] != m->n[r] + 1)
		return dc_frame_err(&m->f[r], "filip_off has %lld numbers, wanted %lld", (long long)t.shape[0], (long long)m->n[r] + 1);
	*off = t.data;
	for (int64_t i = 0; i <= m->n[r]; i++)
		if ((*off)[i] < (i ? (*off)[i - 1] : 0) || (*off)[i] > rows)
			return dc_frame_err(&m->f[r], "filip_off does not go from 0 to the %lld rows of filip_text", (long long)rows);
	return 0;
}

static int
take_words(struct dc_merge *m, int64_t *width, const int32_t **off)
{
	for (int r = 0; r < m->R; r++) {
		DC_TRY(dc_frame_tensor(&m->f[r], "filip_text", DC_F32, 2, &m->t[r]));
		DC_TRY(take_offsets(m, r, m->t[r].shape[0], &off[r]));
		if (m->t[r].file || (m->t[r].n && *width && m->t[r].shape[1] != *width))
			return dc_frame_err(&m->f[r], "filip_text has %lld columns, that of another rank %lld", (long long)m->t[r].shape[1],
			    (long long)*width);
		*width = m->t[r].n ? m->t[r].shape[1] : *width;
	}
	return 0;
}

static int
put_words(struct dc_merge *m, struct dc_body *b, int64_t from, int64_t to)
{
	const int32_t **off = dc_xcalloc((size_t)m->R, sizeof *off);
	int32_t *at = dc_xcalloc((size_t)(to - from) + 1, sizeof *at);
	int64_t width = 0, words = 0;
	int r = take_words(m, &width, off);
	float *p;

	for (int64_t i = from; i < to && r == 0; i++) {
		const struct dc_merge_row *w = &m->order[i];
		words += off[w->rank][w->row + 1] - off[w->rank][w->row];
		r = words > INT32_MAX ? dc_err_set("more than %d words in a batch", INT32_MAX) : 0;
		at[i - from + 1] = (int32_t)words;
	}
	if (r == 0) {
		p = dc_put_space(b, "filip_text", DC_F32, 2, (int64_t[]){ words, width });
		for (int64_t i = from; i < to; i++) {
			const struct dc_merge_row *w = &m->order[i];
			size_t n = (size_t)(off[w->rank][w->row + 1] - off[w->rank][w->row]) * (size_t)width;

			if (n)
				memcpy(p, (const float *)m->t[w->rank].data + (size_t)off[w->rank][w->row] * (size_t)width, n * sizeof *p);
			p += n;
		}
		dc_put_data(b, "filip_off", DC_I32, 1, (int64_t[]){ to - from + 1 }, at);
	}
	free(off);
	free(at);
	return r;
}

/* --- all keys --- */

static void
put_local(struct dc_merge *m, struct dc_body *b, int rank)
{
	int64_t *local = dc_put_space(b, "local", DC_I64, 1, &m->n[rank]);

	for (int64_t i = 0; i < m->N; i++)
		if (m->order[i].rank == rank)
			*local++ = i;
	dc_put_int(b, "rank", rank);
	dc_put_int(b, "ranks", m->R);
}

static int
put_key(struct dc_merge *m, struct dc_body *b, const char *key, int rank, int64_t from, int64_t to)
{
	int rows;

	if (!strcmp(key, "part") || !strcmp(key, "filip_off"))
		return 0;
	if (!strcmp(key, "mlm_nll"))
		return from ? 0 : put_masked(m, b, rank);
	if (!strcmp(key, "filip_text"))
		return put_words(m, b, from, to);
	DC_TRY(rows = take_rows(m, key, rank));
	if (rows && m->t[0].type == DC_F32)
		put_rows(m, b, key, from, to);
	else if (rows && !from)
		put_rows(m, b, key, 0, m->N);
	else if (!rows && is_array_of_rows(m, key)) {
		if (!from)
			put_array(m, b, key);
	} else if (!rows)
		dc_put_copy(b, &m->f[rank], key);
	return 0;
}

int
dc_merge_put(struct dc_merge *m, struct dc_body *b, int rank, int64_t from, int64_t to)
{
	const msgpack_object *map = &m->f[rank].root;

	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object *k = &map->via.map.ptr[i].key;
		char *key = k->type == MSGPACK_OBJECT_STR ? dc_xstrndup(k->via.str.ptr, k->via.str.size) : NULL;
		int r = key ? put_key(m, b, key, rank, from, to) : 0;

		free(key);
		DC_TRY(r);
	}
	if (!from)
		put_local(m, b, rank);
	return 0;
}

/* --- the parts of one rank --- */

/* Offsets count within their frame. */
static int
join_offsets(struct dc_body *b, struct dc_gather *g)
{
	int64_t n = 0, base = 0;
	struct dc_tensor t;
	int32_t *to;

	for (int i = 0; i < g->n; i++) {
		DC_TRY(dc_frame_tensor(&g->part[i], "filip_off", DC_I32, 1, &t));
		if (t.n < 1 || !t.data)
			return dc_frame_err(&g->part[i], "filip_off is empty");
		n += (int64_t)t.n - 1;
	}
	n++;
	to = dc_put_space(b, "filip_off", DC_I32, 1, &n);
	*to++ = 0;
	for (int i = 0; i < g->n; i++) {
		DC_TRY(dc_frame_tensor(&g->part[i], "filip_off", DC_I32, 1, &t));
		for (size_t k = 1; k < t.n; k++)
			*to++ = (int32_t)(base + ((const int32_t *)t.data)[k]);
		base += ((const int32_t *)t.data)[t.n - 1];
	}
	return 0;
}

static int
join_key(struct dc_body *b, struct dc_gather *g, const char *key)
{
	const msgpack_object *o = dc_frame_get(&g->part[0], key);

	if (!strcmp(key, "part"))
		return 0;
	if (!strcmp(key, "filip_off"))
		return join_offsets(b, g);
	if (g->n > 1 && dc_object_is_tensor(o) && dc_frame_get(&g->part[1], key))
		return dc_gather_put(b, g, key);
	dc_put_copy(b, &g->part[0], key);
	return 0;
}

int
dc_merge_parts(struct dc_body *b, struct dc_gather *g)
{
	const msgpack_object *map = &g->part[0].root;

	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object *k = &map->via.map.ptr[i].key;
		char *key = k->type == MSGPACK_OBJECT_STR ? dc_xstrndup(k->via.str.ptr, k->via.str.size) : NULL;
		int r = key ? join_key(b, g, key) : 0;

		free(key);
		DC_TRY(r);
	}
	dc_body_end(b);
	return 0;
}
