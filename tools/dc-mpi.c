/* SPDX-License-Identifier: MIT */
/* dc-mpi: stands in the ring of every rank. The features of all become one batch, the gradients of all one sum. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/opts.h"
#include "mpi/link.h"
#include "ranks/merge.h"
#include "ranks/slow.h"
#include "store/safetensors.h"
#include "stream/gather.h"
#include "stream/stall.h"

enum { FRAME_BYTES = 1 << 26, LOOK_MS = 50 };
static const double farewell_s = 2;   /* for a last word to be on its way */

static struct {
	const char *refs, *log;
	int64_t lifeline;
	double dead;
	int verbose;
} o = { .lifeline = -1, .dead = 20 };

static struct dc_stall stall = DC_STALL_DEFAULT;

static const struct dc_opt table[] = {
	DC_OPT_STR("refs", 0, &o.refs, "DIR", "the run's shared directory, where gradients by reference are [none]"),
	DC_OPT_STR("log", 0, &o.log, "FILE", "rank 0: a row a step here: who was slow, seconds, bytes"),
	DC_OPT_DOUBLE("dead", 0, &o.dead, 0, 1e9, "SECONDS", "a rank that gives no sign of life for so long has failed; 0: never"),
	DC_OPT_INT("lifeline", 0, &o.lifeline, 3, 1 << 20, "FD", "end when this pipe, open for reading, has no writer any more"),
	DC_OPTS_STALL(&stall),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

static struct ring {
	struct dc_link *l;
	struct dc_in in;
	struct dc_out out;
	struct dc_frame f;
	struct dc_gather batch;       /* the parts of this rank's features */
	struct dc_frame *theirs;      /* [ranks] everybody's, as one frame each */
	unsigned char **bytes;        /* [ranks] room for what comes */
	struct dc_body b, own;
	struct dc_st gradients;       /* the shared file, once it is needed */
	uint64_t run;                 /* what the run is: the same in all ranks */
	int leaving;                  /* somebody ended early: nothing is shared any more */
	int timer;
	struct dc_slow slow;
	double summed, shared;        /* seconds in all */
} g = { .timer = -1 };

/* All that follows returns DC_FRAME, DC_FAIL or DC_GONE; DC_OTHER: another rank has left. */

static int
meet(enum dc_word_kind kind, uint64_t step, uint64_t check, uint64_t bytes)
{
	return dc_link_meet(g.l, &(struct dc_word){ .kind = kind, .step = step, .check = check, .bytes = bytes });
}

/* This frame's body from everybody who has one: g.theirs. The own one is moved there.
 * Where it does not succeed the memory stays as it is, and this process ends: receives and sends of it are under way still,
 * and MPI would write what comes while the last word is said into what somebody else has by then. */
static int
exchange(const char *kind, uint64_t step, unsigned char *own, size_t bytes)
{
	double since = dc_seconds();
	int r;

	for (int k = 0; k < g.l->ranks; k++)
		g.bytes[k] = k == g.l->rank ? own : dc_xaligned((size_t)g.l->word[k].bytes + 1, 1);
	if ((r = dc_link_share(g.l, own, g.bytes)) != DC_FRAME)
		return r;
	for (int k = 0; k < g.l->ranks; k++) {
		dc_frame_free(&g.theirs[k]);
		if (!g.l->word[k].bytes)
			free(k == g.l->rank ? NULL : g.bytes[k]);
		else if (r == DC_FRAME && dc_frame_make(&g.theirs[k], kind, step, g.bytes[k], k == g.l->rank ? bytes :
		    (size_t)g.l->word[k].bytes, k == g.l->rank ? "<stdin>" : g.l->host[k]) < 0)
			r = DC_FAIL;
	}
	g.shared += dc_seconds() - since;
	return r;
}

/* A body's memory, given away. */
static unsigned char *
take_body(struct dc_body *b)
{
	unsigned char *p = b->p;

	*b = (struct dc_body){ 0 };
	return p;
}

/* --- features --- */

/* All ranks say the same, those that say anything. */
static int
check_hashes(void)
{
	int first = -1;

	for (int k = 0; k < g.l->ranks; k++) {
		const struct dc_word *w = &g.l->word[k];

		if (!w->hash)
			continue;
		if (first >= 0 && w->hash != g.l->word[first].hash) {
			char *name = dc_xstrdup(dc_link_name(g.l, first));
			dc_err_set("step %llu: the parameters of %s are not those of %s", (unsigned long long)w->step, dc_link_name(g.l, k), name);
			free(name);
			return DC_FAIL;
		}
		first = first < 0 ? k : first;
	}
	return DC_FRAME;
}

/* All ranks have a share of the same batch: one that began elsewhere has other samples, of the same shape. */
static int
check_positions(void)
{
	const struct dc_word *own = &g.l->word[g.l->rank];

	for (int k = 0; k < g.l->ranks; k++)
		DC_CHECK(g.l->word[k].position == own->position, "step %llu: %s has a batch that ends at position %lld, this rank one that ends "
		    "at %lld", (unsigned long long)own->step, dc_link_name(g.l, k), (long long)g.l->word[k].position, (long long)own->position);
	return DC_FRAME;
}

static int
position_in(struct dc_frame *f, int64_t *position)
{
	*position = 0;
	return dc_frame_get(f, "position") ? dc_frame_int(f, "position", position) : 0;
}

static int
hash_in(struct dc_frame *f, uint64_t *hash)
{
	int64_t h = 0;

	if (dc_frame_get(f, "parameter_hash"))
		DC_TRY(dc_frame_int(f, "parameter_hash", &h));
	*hash = (uint64_t)h;
	return 0;
}

static int
write_merged(uint64_t step, size_t bytes)
{
	struct dc_merge m;
	int64_t parts, per;
	int r = DC_FRAME;

	DC_TRY(dc_merge_begin(&m, g.theirs, g.l->ranks));
	parts = (int64_t)(bytes / FRAME_BYTES) + 1;
	per = (m.N + parts - 1) / parts;
	parts = m.N ? (m.N + per - 1) / per : 1;
	for (int64_t i = 0; i < parts && r == DC_FRAME; i++) {
		int64_t end = (i + 1) * per < m.N ? (i + 1) * per : m.N;

		if ((r = dc_merge_put(&m, &g.b, g.l->rank, i * per, end)) < 0)
			break;
		if (parts > 1)
			dc_put_part(&g.b, i, parts);
		r = dc_frame_write(&g.out, "features", step, &g.b);
	}
	dc_merge_end(&m);
	return r < 0 ? r : DC_FRAME;
}

static int
note_step(uint64_t step)
{
	double *waited = dc_xcalloc((size_t)g.l->ranks, sizeof *waited);
	int r;

	for (int k = 0; k < g.l->ranks; k++)
		waited[k] = g.l->word[k].waited;
	r = dc_slow_step(&g.slow, waited, step, g.l->sent, g.l->received, g.shared, g.summed);
	free(waited);
	return r;
}

static int
share_features(void)
{
	uint64_t step = g.batch.part[0].step, hash;
	double since = dc_seconds();
	size_t bytes = 0;
	int64_t position;
	int r;

	DC_TRY(hash_in(&g.batch.part[0], &hash));
	DC_TRY(position_in(&g.batch.part[0], &position));
	if (g.batch.n == 1) {   /* the body as it came */
		g.own = (struct dc_body){ .p = g.batch.part[0].body, .n = g.batch.part[0].bytes };
		g.batch.part[0].body = NULL;
	} else {
		dc_body_clear(&g.own);
		DC_TRY(dc_merge_parts(&g.own, &g.batch));
	}
	r = dc_link_meet(g.l, &(struct dc_word){ .kind = DC_WORD_FEATURES, .step = step, .check = g.run, .bytes = g.own.n, .hash = hash,
		.position = position, .waited = g.slow.waited });
	if (r != DC_FRAME || (r = check_positions()) != DC_FRAME || (r = check_hashes()) != DC_FRAME)
		return r;
	for (int k = 0; k < g.l->ranks; k++)
		bytes += (size_t)g.l->word[k].bytes;
	DC_TRY(note_step(step));
	dc_slow_add(&g.slow, dc_seconds() - since);
	dc_gather_clear(&g.batch);
	if ((r = exchange("features", step, take_body(&g.own), (size_t)g.l->word[g.l->rank].bytes)) == DC_FRAME)
		r = write_merged(step, bytes);
	return r;
}

static int
on_features(void)
{
	DC_TRY(dc_gather_add(&g.batch, &g.f));
	return dc_gather_whole(&g.batch) ? share_features() : DC_FRAME;
}

/* --- gradients --- */

static char *
name_of(const msgpack_object *key)
{
	return key->type == MSGPACK_OBJECT_STR ? dc_xstrndup(key->via.str.ptr, key->via.str.size) : NULL;
}

/* Whether the frame says that this batch norm's are of the whole batch. */
static int
is_synced(const char *name, size_t n)
{
	const msgpack_object *a = dc_frame_get(&g.f, "synced");

	for (uint32_t i = 0; a && a->type == MSGPACK_OBJECT_ARRAY && i < a->via.array.size; i++) {
		const msgpack_object *e = &a->via.array.ptr[i];

		if (e->type == MSGPACK_OBJECT_STR && e->via.str.size == n && !memcmp(e->via.str.ptr, name, n))
			return 1;
	}
	return 0;
}

static int
is_statistic(const char *key)
{
	const char *end = strstr(key, ".running_");

	return end && (!strcmp(end, ".running_mean") || !strcmp(end, ".running_var")) && !is_synced(key, (size_t)(end - key));
}

/* The frame's values that are statistics of this rank (1), that are none (0), or all (-1). */
static void
put_keys(struct dc_body *b, int statistics)
{
	const msgpack_object *map = &g.f.root;

	for (uint32_t i = 0; i < map->via.map.size; i++) {
		char *key = name_of(&map->via.map.ptr[i].key);

		if (key && (statistics < 0 || is_statistic(key) == statistics))
			dc_put_copy(b, &g.f, key);
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
open_refs(void)
{
	int dir, r;

	if (g.gradients.map)
		return 0;
	DC_CHECK(o.refs, "gradients come by reference: --refs DIR says where they are");
	if ((dir = open(o.refs, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return dc_err_errno("%s", o.refs);
	r = dc_st_open(&g.gradients, dir, "gradients.safetensors", DC_ST_WRITE);
	close(dir);
	return r;
}

static int
find_run(struct runs *s, const msgpack_object_kv *kv)
{
	const struct dc_st_tensor *st;
	struct dc_tensor t;

	if (kv->key.type != MSGPACK_OBJECT_STR)
		return dc_frame_err(&g.f, "a gradient without a name");
	DC_TRY(dc_object_tensor(&g.f, "a gradient", &kv->val, &t));
	if (t.type != DC_F32)
		return dc_frame_err(&g.f, "the gradient of '%.*s' is not f32", (int)kv->key.via.str.size, kv->key.via.str.ptr);
	s->names = XXH3_64bits_withSeed(kv->key.via.str.ptr, kv->key.via.str.size, s->names + t.n);
	if (!t.file) {
		s->copied |= (const unsigned char *)t.data < g.f.body || (const unsigned char *)t.data >= g.f.body + g.f.bytes;
		add_run(s, (float *)(uintptr_t)t.data, t.n);
		return 0;
	}
	DC_TRY(open_refs());
	st = strcmp(t.file, "gradients.safetensors") ? NULL : dc_st_find(&g.gradients, t.name);
	if (!st || st->n != t.n || st->type != DC_F32)
		return dc_frame_err(&g.f, "%s in %s: no such tensor, or of another size", t.name, t.file);
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
list_map(struct runs *s)
{
	const msgpack_object *m = dc_frame_get(&g.f, "gradient");

	s->n = s->copied = 0;
	s->names = 0;
	if (m && m->type != MSGPACK_OBJECT_MAP)
		return dc_frame_err(&g.f, "gradient is not a map");
	for (uint32_t i = 0; m && i < m->via.map.size; i++)
		DC_TRY(find_run(s, &m->via.map.ptr[i]));
	return 0;
}

/* What is summed must stand in the frame, where numbers that another program has not aligned do not. */
static int
align_frame(void)
{
	const uint64_t step = g.f.step;
	size_t n;

	put_keys(&g.b, -1);
	dc_body_end(&g.b);
	n = g.b.n;
	return dc_frame_make(&g.f, "gradients", step, take_body(&g.b), n, "<stdin>");
}

static int
list_runs(struct runs *s)
{
	DC_TRY(list_map(s));
	if (s->copied) {
		DC_TRY(align_frame());
		DC_TRY(list_map(s));
	}
	join_runs(s);
	/* ranks whose gradients lie otherwise, by value in one and by reference in another, would sum other pieces */
	for (int i = 0; i < s->n; i++)
		s->names = XXH3_64bits_withSeed(&s->r[i].n, sizeof s->r[i].n, s->names);
	return 0;
}

static int
sum_runs(struct runs *s, uint64_t statistics)
{
	double since = dc_seconds();
	int r;

	if ((r = meet(DC_WORD_GRADIENTS, g.f.step, s->names, statistics)) != DC_FRAME)
		return r;
	dc_slow_add(&g.slow, dc_seconds() - since);
	since = dc_seconds();
	for (int i = 0; i < s->n && r == DC_FRAME; i++)
		r = dc_link_sum(g.l, s->r[i].p, s->r[i].n);
	g.summed += dc_seconds() - since;
	return r;
}

/* --- statistics of batch norms that see the rows of one rank: those of all, rank by rank --- */

/* One of them, of all ranks from `first` on, which is the first that has it. */
static int
put_statistic(const char *key, int first)
{
	int64_t shape[2] = { 0, 0 };
	struct dc_tensor t;
	float *p;

	for (int pass = 0; pass < 2; pass++) {
		p = pass ? dc_put_space(&g.b, key, DC_F32, 2, shape) : NULL;
		for (int k = first; k < g.l->ranks; k++) {
			if (!dc_frame_get(&g.theirs[k], key))
				continue;
			DC_TRY(dc_frame_tensor(&g.theirs[k], key, DC_F32, 2, &t));
			if (!t.data || (shape[0] && t.shape[1] != shape[1]))
				return dc_frame_err(&g.theirs[k], "%s has another width than that of another rank", key);
			if (pass) {
				memcpy(p, t.data, t.bytes);
				p += t.n;
				continue;
			}
			shape[0] += t.shape[0];
			shape[1] = t.shape[1];
		}
	}
	return 0;
}

static int
had_by(const char *key, int ranks)
{
	for (int k = 0; k < ranks; k++)
		if (dc_frame_get(&g.theirs[k], key))
			return 1;
	return 0;
}

static int
put_statistics(void)
{
	for (int k = 0; k < g.l->ranks; k++) {
		const msgpack_object *map = &g.theirs[k].root;

		for (uint32_t i = 0; g.theirs[k].parsed && i < map->via.map.size; i++) {
			char *key = name_of(&map->via.map.ptr[i].key);
			int r = key && !had_by(key, k) ? put_statistic(key, k) : 0;

			free(key);
			DC_TRY(r);
		}
	}
	return 0;
}

/* Does any rank have some? A rank without a row has none. */
static int
any_statistics(void)
{
	for (int k = 0; k < g.l->ranks; k++)
		if (g.l->word[k].bytes)
			return 1;
	return 0;
}

/* The frame anew: sums by value stand in the old one's body, whose checksum is another one now. */
static int
write_gradients(void)
{
	int some = any_statistics(), r = DC_FRAME;

	put_keys(&g.b, 0);
	if (some && (r = exchange("gradients", g.f.step, take_body(&g.own), (size_t)g.l->word[g.l->rank].bytes)) != DC_FRAME)
		return r;
	if (some)
		DC_TRY(put_statistics());
	return dc_frame_write(&g.out, "gradients", g.f.step, &g.b);
}

static int
in_shared_file(const struct runs *s)
{
	const char *from = g.gradients.map;

	for (int i = 0; i < s->n; i++)
		if (!from || (const char *)s->r[i].p < from || (const char *)s->r[i].p >= from + g.gradients.map_bytes)
			return 0;
	return 1;
}

static int
on_gradients(void)
{
	struct runs s = { 0 };
	int r = list_runs(&s) < 0 ? DC_FAIL : DC_FRAME;

	dc_body_clear(&g.own);
	put_keys(&g.own, 1);
	dc_body_end(&g.own);
	if (r == DC_FRAME)
		r = sum_runs(&s, g.own.n);
	if (r == DC_FRAME)
		r = in_shared_file(&s) && !any_statistics() ? dc_frame_pass(&g.out, &g.f) : write_gradients();
	free(s.r);
	return r;
}

/* --- batch norms' sums --- */

static int
add_sums(double *sum, size_t n)
{
	struct dc_tensor t;

	memset(sum, 0, n * sizeof *sum);
	for (int k = 0; k < g.l->ranks; k++) {
		DC_TRY(dc_frame_tensor(&g.theirs[k], "sums", DC_F64, 1, &t));
		if (t.n != n || !t.data)
			return dc_frame_err(&g.theirs[k], "sums has %zu numbers, another rank's %zu", t.n, n);
		for (size_t i = 0; i < n; i++)
			sum[i] += ((const double *)t.data)[i];
	}
	return 0;
}

static int
on_reduce(void)
{
	uint64_t step = g.f.step;
	struct dc_frame mine = { 0 };
	double since = dc_seconds();
	struct dc_tensor t;
	int64_t n;
	int r;

	DC_TRY(dc_frame_tensor(&g.f, "sums", DC_F64, 1, &t));
	n = t.shape[0];
	if ((r = meet(DC_WORD_REDUCE, step, (uint64_t)n, g.f.bytes)) != DC_FRAME)
		return r;
	dc_slow_add(&g.slow, dc_seconds() - since);
	dc_frame_move(&mine, &g.f);
	r = exchange("reduce", step, mine.body, mine.bytes);
	mine.body = NULL;   /* it is in g.theirs, or is being sent */
	dc_frame_free(&mine);
	if (r != DC_FRAME)
		return r;
	DC_TRY(add_sums(dc_put_space(&g.b, "sums", DC_F64, 1, &n), (size_t)n));
	return dc_frame_write(&g.out, "reduce", step, &g.b);
}

/* --- the others, and the end --- */

/* All ranks start from the same run: what `state` says is part of every meeting's check. */
static int
on_state(void)
{
	struct dc_str config;
	int64_t step = 0, position = 0;

	DC_TRY(dc_frame_str(&g.f, "config", &config));
	DC_TRY(dc_frame_int(&g.f, "step", &step));
	DC_TRY(dc_frame_int(&g.f, "position", &position));
	g.run = XXH3_64bits_withSeed(config.p, config.n, (uint64_t)step * 1000003 + (uint64_t)position);
	return dc_frame_pass(&g.out, &g.f);
}

static void
tell(enum dc_word_kind kind, const char *why)
{
	struct dc_word w = { .kind = kind, .step = g.in.last_step };

	snprintf(w.why, sizeof w.why, "%s", why);
	dc_link_tell(g.l, &w, farewell_s);
}

static int
on_end(void)
{
	int stopped = 0;

	if (dc_frame_get(&g.f, "stopped"))
		DC_TRY(dc_frame_bool(&g.f, "stopped", &stopped));
	tell(stopped ? DC_WORD_STOP : DC_WORD_END, "");
	return dc_frame_pass(&g.out, &g.f);
}

static int
on_frame(void)
{
	static const struct { const char *kind; int (*frame)(void); } handler[] = {
		{ "features", on_features }, { "gradients", on_gradients }, { "reduce", on_reduce }, { "state", on_state },
	};

	if (!strcmp(g.f.kind, "end"))
		return on_end();
	for (size_t i = 0; i < sizeof handler / sizeof *handler; i++)
		if (!strcmp(g.f.kind, handler[i].kind))
			return g.leaving && i < 3 ? DC_FRAME : handler[i].frame();
	return dc_frame_pass(&g.out, &g.f);
}

/* Another rank has left. Where it failed this one fails too, and says whose fault it is; where it stopped, this ring is
 * told to stop, and what it sends until then goes nowhere. */
static int
on_leave(void)
{
	const struct dc_word *w = &g.l->word[g.l->left];

	if (g.leaving && w->kind != DC_WORD_FAIL)
		return DC_FRAME;
	if (w->kind == DC_WORD_FAIL) {
		dc_warn("rank %d: %s failed at step %llu%s%s", g.l->rank, dc_link_name(g.l, g.l->left), (unsigned long long)w->step,
		    *w->why ? ": " : "", w->why);
		return DC_GONE;
	}
	if (g.l->rank == 0 || g.l->left == 0)
		dc_warn("rank %d: %s %s at step %llu: stopping", g.l->rank, dc_link_name(g.l, g.l->left),
		    w->kind == DC_WORD_STOP ? "was stopped" : "has no more samples", (unsigned long long)w->step);
	g.leaving = 1;
	dc_put_bool(&g.b, "drop", 1);
	return dc_frame_write(&g.out, "stop", g.f.step, &g.b);
}

static int
step(void)
{
	uint64_t ticks;
	int r = dc_frame_read(&g.in, &g.f);

	if (r == DC_FRAME)
		r = on_frame();
	else if (r == DC_OTHER) {
		if (read(g.timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
			return dc_err_errno("timerfd");
		r = g.leaving ? DC_FRAME : dc_link_look(g.l);
	}
	return r == DC_OTHER ? on_leave() : r;
}

static void
start_timer(void)
{
	const struct itimerspec t = { { 0, LOOK_MS * 1000000L }, { 0, LOOK_MS * 1000000L } };

	if ((g.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) < 0 || timerfd_settime(g.timer, 0, &t, NULL) < 0)
		dc_die_errno("timerfd");
}

static void
open_all(int *argc, char ***argv)
{
	int at;

	if (dc_out_init(&g.out, STDOUT_FILENO, "<stdout>") < 0)
		dc_die_usage("%s", dc_err());
	at = dc_wait_begin(&(struct dc_wait){ .fd = -1, .name = "for the dc-mpi of all ranks to start" });
	if (!(g.l = dc_link_open(argc, argv)))
		dc_die("%s", dc_err());
	dc_wait_end(at);
	g.l->out = g.out.fd;
	g.l->lifeline = (int)o.lifeline;
	g.l->dead = o.dead;
	g.theirs = dc_xcalloc((size_t)g.l->ranks, sizeof *g.theirs);
	g.bytes = dc_xcalloc((size_t)g.l->ranks, sizeof *g.bytes);
	dc_slow_init(&g.slow, g.l->ranks, g.l->host, g.l->rank ? NULL : o.log);
	start_timer();
	dc_in_init(&g.in, STDIN_FILENO, "<stdin>");
	dc_pipe_widen(STDIN_FILENO);
	dc_pipe_widen(STDOUT_FILENO);
	dc_in_watch(&g.in, g.out.fd, 0);
	dc_in_watch(&g.in, g.timer, POLLIN);
	dc_in_watch(&g.in, (int)o.lifeline, 0);
}

/* A last word where the ring ends in another way than all do: who is told that somebody else failed knows whose fault it is. */
static int
say_goodbye(int r)
{
	int status = dc_io_status(&g.in, r), told = g.l->left >= 0 && g.l->word[g.l->left].kind == DC_WORD_FAIL;

	if (status != DC_EXIT_OK && !g.leaving && !told)
		tell(DC_WORD_FAIL, status == DC_EXIT_FAIL ? dc_err() : "a tool of its ring has ended");
	if (close(STDOUT_FILENO) < 0 && status == DC_EXIT_OK) {
		dc_warn_errno("<stdout>");
		status = DC_EXIT_FAIL;
	}
	return status;
}

static void
report(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	fprintf(stderr, "%s: rank %d of %d: sent %.1f MB, received %.1f MB; waited %.3f s for others, shared features in %.3f s, "
	    "summed gradients in %.3f s; %.2f s CPU\n", dc_progname, g.l->rank, g.l->ranks, 1e-6 * (double)g.l->sent,
	    1e-6 * (double)g.l->received, g.l->waited, g.shared, g.summed,
	    (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec));
}

static void
free_all(void)
{
	for (int k = 0; k < g.l->ranks; k++)
		dc_frame_free(&g.theirs[k]);
	free(g.theirs);
	free(g.bytes);
	dc_gather_free(&g.batch);
	dc_frame_free(&g.f);
	dc_body_free(&g.b);
	dc_body_free(&g.own);
	dc_slow_close(&g.slow);
	if (g.gradients.map)
		dc_st_close(&g.gradients);
}

int
main(int argc, char **argv)
{
	int first, status, r;

	dc_main_init("dc-mpi");
	first = dc_opts_parse(argc, argv, "[options] <frames >frames", "joins the rings of several ranks: shares features, sums gradients",
	    table);
	if (first < argc)
		dc_die_usage("%s: takes no operand; frames come on standard input", argv[first]);
	dc_stall_start(&stall);
	open_all(&argc, &argv);
	do
		r = step();
	while (r == DC_FRAME && !g.in.ended);
	status = say_goodbye(r);
	if (o.verbose)
		report();
	free_all();
	dc_link_close(g.l, status == DC_EXIT_OK);
	return status;
}
