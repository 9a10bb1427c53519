/* SPDX-License-Identifier: MIT */
#include "mpi/ring.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

/* Whether the frame says that this batch norm's are of the whole batch. */
static int
is_synced(struct dc_mpi *g, const char *name, size_t n)
{
	const msgpack_object *a = dc_frame_get(&g->f, "synced");

	for (uint32_t i = 0; a && a->type == MSGPACK_OBJECT_ARRAY && i < a->via.array.size; i++) {
		const msgpack_object *e = &a->via.array.ptr[i];

		if (e->type == MSGPACK_OBJECT_STR && e->via.str.size == n && !memcmp(e->via.str.ptr, name, n))
			return 1;
	}
	return 0;
}

static int
is_statistic(struct dc_mpi *g, const char *key)
{
	const char *end = strstr(key, ".running_");

	return end && (!strcmp(end, ".running_mean") || !strcmp(end, ".running_var")) && !is_synced(g, key, (size_t)(end - key));
}

/* The frame's values that are statistics of this rank (1), that are none (0), or all (-1). */
static void
put_keys(struct dc_mpi *g, struct dc_body *b, int statistics)
{
	const msgpack_object *map = &g->f.root;

	for (uint32_t i = 0; i < map->via.map.size; i++) {
		char *key = dc_mpi_name_of(&map->via.map.ptr[i].key);

		if (key && (statistics < 0 || is_statistic(g, key) == statistics))
			dc_put_copy(b, &g->f, key);
		free(key);
	}
}

/* What is summed: runs of numbers, as long as they lie one behind the other. */
struct runs { struct { float *p; size_t n; } *r; int n, cap; uint64_t names /* and sizes, hashed */; int copied; /* one was not aligned */ };

static void
add_run(struct runs *s, float *p, size_t n)
{
	if (s->n && s->r[s->n - 1].p + s->r[s->n - 1].n == p) {
		s->r[s->n - 1].n += n;
		return;
	}
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 16;
		s->r = dc_xrealloc(s->r, (size_t)s->cap, sizeof *s->r);
	}
	s->r[s->n].p = p;
	s->r[s->n++].n = n;
}

static int
open_refs(struct dc_mpi *g)
{
	int dir, r;

	if (g->gradients.map)
		return 0;
	DC_CHECK(g->refs, "gradients come by reference: --refs DIR says where they are");
	if ((dir = open(g->refs, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return dc_err_errno("%s", g->refs);
	r = dc_st_open(&g->gradients, dir, "gradients.safetensors", DC_ST_WRITE);
	close(dir);
	return r;
}

static int
find_run(struct dc_mpi *g, struct runs *s, const msgpack_object_kv *kv)
{
	const struct dc_st_tensor *st;
	struct dc_tensor t;

	if (kv->key.type != MSGPACK_OBJECT_STR)
		return dc_frame_err(&g->f, "a gradient without a name");
	DC_TRY(dc_object_tensor(&g->f, "a gradient", &kv->val, &t));
	if (t.type != DC_F32)
		return dc_frame_err(&g->f, "the gradient of '%.*s' is not f32", (int)kv->key.via.str.size, kv->key.via.str.ptr);
	s->names = XXH3_64bits_withSeed(kv->key.via.str.ptr, kv->key.via.str.size, s->names + t.n);
	if (!t.file) {
		s->copied |= (const unsigned char *)t.data < g->f.body || (const unsigned char *)t.data >= g->f.body + g->f.bytes;
		add_run(s, (float *)(uintptr_t)t.data, t.n);
		return 0;
	}
	DC_TRY(open_refs(g));
	st = strcmp(t.file, "gradients.safetensors") ? NULL : dc_st_find(&g->gradients, t.name);
	if (!st || st->n != t.n || st->type != DC_F32)
		return dc_frame_err(&g->f, "%s in %s: no such tensor, or of another size", t.name, t.file);
	add_run(s, st->data, t.n);
	return 0;
}

static int
by_place(const void *a, const void *b)
{
	const float *x = *(float *const *)a, *y = *(float *const *)b;

	return (x > y) - (x < y);
}

/* In the order of addresses neighbours become one. */
static void
join_runs(struct runs *s)
{
	int n = s->n;

	if (!n)     /* nothing has an address, where the batch made no step */
		return;
	qsort(s->r, (size_t)n, sizeof *s->r, by_place);
	s->n = 0;
	for (int i = 0; i < n; i++)
		add_run(s, s->r[i].p, s->r[i].n);
}

static int
list_map(struct dc_mpi *g, struct runs *s)
{
	const msgpack_object *m = dc_frame_get(&g->f, "gradient");

	s->n = s->copied = 0;
	s->names = 0;
	if (m && m->type != MSGPACK_OBJECT_MAP)
		return dc_frame_err(&g->f, "gradient is not a map");
	for (uint32_t i = 0; m && i < m->via.map.size; i++)
		DC_TRY(find_run(g, s, &m->via.map.ptr[i]));
	return 0;
}

/* What is summed must stand in the frame, where numbers that another program has not aligned do not. */
static int
align_frame(struct dc_mpi *g)
{
	const uint64_t step = g->f.step;
	size_t n;

	put_keys(g, &g->b, -1);
	dc_body_end(&g->b);
	n = g->b.n;
	return dc_frame_make(&g->f, "gradients", step, dc_mpi_take_body(&g->b), n, "<stdin>");
}

static int
list_runs(struct dc_mpi *g, struct runs *s)
{
	DC_TRY(list_map(g, s));
	if (s->copied) {
		DC_TRY(align_frame(g));
		DC_TRY(list_map(g, s));
	}
	join_runs(s);
	/* ranks whose gradients lie otherwise, by value in one and by reference in another, would sum other pieces */
	for (int i = 0; i < s->n; i++)
		s->names = XXH3_64bits_withSeed(&s->r[i].n, sizeof s->r[i].n, s->names);
	return 0;
}

static int
sum_runs(struct dc_mpi *g, struct runs *s, uint64_t statistics)
{
	double since = dc_seconds();
	int r;

	if ((r = dc_mpi_meet(g, DC_WORD_GRADIENTS, g->f.step, s->names, statistics)) != DC_FRAME)
		return r;
	dc_slow_add(&g->slow, dc_seconds() - since);
	since = dc_seconds();
	for (int i = 0; i < s->n && r == DC_FRAME; i++)
		r = dc_link_sum(g->l, s->r[i].p, s->r[i].n);
	g->summed += dc_seconds() - since;
	return r;
}

/* Does any rank have some? A rank without a row has none. */
static int
any_statistics(struct dc_mpi *g)
{
	for (int k = 0; k < g->l->ranks; k++)
		if (g->l->word[k].bytes)
			return 1;
	return 0;
}

/* The frame anew: sums by value stand in the old one's body, whose checksum is another one now. */
static int
write_gradients(struct dc_mpi *g)
{
	int some = any_statistics(g), r = DC_FRAME;

	put_keys(g, &g->b, 0);
	if (some && (r = dc_mpi_exchange(g, "gradients", g->f.step, dc_mpi_take_body(&g->own),
	    (size_t)g->l->word[g->l->rank].bytes)) != DC_FRAME)
		return r;
	if (some)
		DC_TRY(dc_mpi_put_statistics(g));
	return dc_frame_write(&g->out, "gradients", g->f.step, &g->b);
}

static int
in_shared_file(struct dc_mpi *g, const struct runs *s)
{
	const char *from = g->gradients.map;

	for (int i = 0; i < s->n; i++)
		if (!from || (const char *)s->r[i].p < from || (const char *)s->r[i].p >= from + g->gradients.map_bytes)
			return 0;
	return 1;
}

int
dc_mpi_gradients(struct dc_mpi *g)
{
	struct runs s = { 0 };
	int r = list_runs(g, &s) < 0 ? DC_FAIL : DC_FRAME;

	dc_body_clear(&g->own);
	put_keys(g, &g->own, 1);
	dc_body_end(&g->own);
	if (r == DC_FRAME)
		r = sum_runs(g, &s, g->own.n);
	if (r == DC_FRAME)
		r = in_shared_file(g, &s) && !any_statistics(g) ? dc_frame_pass(&g->out, &g->f) : write_gradients(g);
	free(s.r);
	return r;
}
