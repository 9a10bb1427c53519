/* SPDX-License-Identifier: MIT */
#include "store/checkpoint.h"

#include <cblas.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/finite.h"
#include "base/opts.h"
#include "nn/blas.h"
#include "store/model.h"
#include "store/sums.h"
#include "store/tree.h"

static const char state_file[] = "state.safetensors", heads_file[] = "heads/declip.safetensors";
static const char model_file[] = "open_clip_model.safetensors";

/* --- in memory --- */

int
dc_param_frozen(const struct dc_config *c, const struct dc_param *p)
{
	return p->stat || (c->freeze & DC_FREEZE_CONV1 && !strcmp(p->name, "visual.conv1.weight")) ||
	    (c->freeze & DC_FREEZE_IMAGE && p->image) || (c->freeze & DC_FREEZE_TEXT && p->text);
}

static void
init_slots(struct dc_state *s, const struct dc_param *p)
{
	size_t moments = 0;
	float *at;

	s->t = dc_xcalloc((size_t)s->n, sizeof(*s->t));
	for (int i = 0; i < s->n; i++) {
		s->t[i].p = p[i];
		s->t[i].trainable = !dc_param_frozen(&s->c, &p[i]);
		moments += s->t[i].trainable ? 2 * p[i].n : 0;
	}
	at = s->moments = dc_xcalloc(moments + 1, sizeof(*at));
	for (int i = 0; i < s->n; i++) {
		if (!s->t[i].trainable)
			continue;
		s->t[i].m = at;
		s->t[i].v = at + p[i].n;
		at += 2 * p[i].n;
	}
}

void
dc_state_init(struct dc_state *s, const struct dc_config *c)
{
	struct dc_param *p;

	memset(s, 0, sizeof(*s));
	s->c = *c;
	s->config = dc_config_json(c);
	s->n = dc_params_list(c, &p);
	init_slots(s, p);
	free(p);
	s->n_stats = dc_stats_list(c, &s->stat);
	s->stat_value = dc_xcalloc((size_t)s->n_stats + 1, sizeof(*s->stat_value));
	for (int i = 0; i < s->n_stats; i++) {
		s->stat_value[i] = dc_xcalloc(s->stat[i].n, sizeof(float));
		for (size_t k = 0; k < s->stat[i].n; k++)
			s->stat_value[i][k] = s->stat[i].init == DC_INIT_ONE;
	}
	if (c->queue > 0)
		s->nn_queue = dc_xcalloc((size_t)c->queue * (size_t)c->embed_dim, sizeof(float));
}

static size_t
n_weights(const struct dc_state *s)
{
	size_t n = 0;

	for (int i = 0; i < s->n; i++)
		n += s->t[i].p.n;
	return n;
}

void
dc_state_own_weights(struct dc_state *s)
{
	float *at = s->weights = dc_xaligned(n_weights(s), sizeof(*at));

	for (int i = 0; i < s->n; at += s->t[i++].p.n)
		s->t[i].w = at;
}

static void
own_average(struct dc_state *s)
{
	float *at = s->average = dc_xaligned(n_weights(s), sizeof(*at));

	for (int i = 0; i < s->n; at += s->t[i++].p.n)
		s->t[i].ema = at;
}

void
dc_state_start_average(struct dc_state *s)
{
	if (s->average)
		return;
	own_average(s);
	for (int i = 0; i < s->n; i++)
		memcpy(s->t[i].ema, s->t[i].w, s->t[i].p.n * sizeof(float));
}

void
dc_state_free(struct dc_state *s)
{
	for (int i = 0; i < s->n_stats; i++)
		free(s->stat_value[i]);
	free(s->stat_value);
	free(s->stat);
	free(s->t);
	free(s->weights);
	free(s->moments);
	free(s->average);
	free(s->nn_queue);
	free(s->vocab);
	free(s->config);
	free(s->dir);
	dc_st_close(&s->st);
	memset(s, 0, sizeof(*s));
}

void
dc_state_push(struct dc_state *s, const float *rows, int64_t n)
{
	size_t d = (size_t)s->c.embed_dim;

	for (int64_t i = 0; i < n; i++) {
		memcpy(s->nn_queue + (size_t)s->nn_head * d, rows + (size_t)i * d, d * sizeof(*rows));
		s->nn_head = (s->nn_head + 1) % s->c.queue;
		s->nn_valid += s->nn_valid < s->c.queue;
	}
}

static int
check_finite(const char *what, const char *name, const float *x, size_t n)
{
	size_t at = x ? dc_first_not_finite(x, n) : n;

	DC_CHECK(at == n || !x, "%s%s is not finite: element %zu is %g", what, name, at, x[at]);
	return 0;
}

int
dc_state_finite(const struct dc_state *s)
{
	for (int i = 0; i < s->n; i++) {
		const struct dc_slot *t = &s->t[i];

		DC_TRY(check_finite("", t->p.name, t->w, t->p.n));
		DC_TRY(check_finite("the first moment of ", t->p.name, t->m, t->p.n));
		DC_TRY(check_finite("the second moment of ", t->p.name, t->v, t->p.n));
		DC_TRY(check_finite("the average of ", t->p.name, t->ema, t->p.n));
	}
	for (int i = 0; i < s->n_stats; i++)
		DC_TRY(check_finite("", s->stat[i].name, s->stat_value[i], s->stat[i].n));
	return s->nn_queue ? check_finite("", "nn_queue", s->nn_queue, (size_t)s->c.queue * (size_t)s->c.embed_dim) : 0;
}

/* --- numerics --- */

void
dc_numerics_here(struct dc_numerics *n)
{
	snprintf(n->openblas, sizeof(n->openblas), "%s", openblas_get_config());
	snprintf(n->core, sizeof(n->core), "%s", openblas_get_corename());
	dc_blas_onednn_version(n->onednn, sizeof(n->onednn));
	n->threads = omp_get_max_threads();
}

int
dc_numerics_check(const struct dc_numerics *a, const struct dc_numerics *b)
{
	if (!a->threads || !b->threads)
		return 0;
	if (strcmp(a->openblas, b->openblas))
		return dc_err_set("written with '%s', here is '%s'", a->openblas, b->openblas);
	if (strcmp(a->core, b->core))
		return dc_err_set("written on a processor that OpenBLAS calls %s, this one is %s", a->core, b->core);
	if (strcmp(a->onednn, b->onednn))
		return dc_err_set("written with oneDNN %s, here is %s", a->onednn, b->onednn);
	if (a->threads != b->threads)
		return dc_err_set("written with %d threads, here are %d (OMP_NUM_THREADS)", a->threads, b->threads);
	return 0;
}

/* --- reading --- */

static int
meta_int(const struct dc_st *st, const char *key, int64_t lo, int64_t hi, int64_t *out)
{
	const char *v = dc_st_meta(st, key);
	int r;

	DC_CHECK(v, "%s: its metadata has no %s", st->path, key);
	if ((r = dc_parse_int(key, v, lo, hi, out)) < 0)
		dc_err_prefix("%s: metadata", st->path);
	return r;
}

static int
open_numerics(struct dc_state *s)
{
	const char *blas = dc_st_meta(&s->st, "openblas"), *core = dc_st_meta(&s->st, "core"), *onednn = dc_st_meta(&s->st, "onednn");
	int64_t threads;

	if (!blas && !core)
		return 0;
	DC_TRY(meta_int(&s->st, "threads", 1, 1 << 20, &threads));
	snprintf(s->numerics.openblas, sizeof(s->numerics.openblas), "%s", blas ? blas : "");
	snprintf(s->numerics.core, sizeof(s->numerics.core), "%s", core ? core : "");
	snprintf(s->numerics.onednn, sizeof(s->numerics.onednn), "%s", onednn ? onednn : "none");
	s->numerics.threads = (int)threads;
	return 0;
}

static int
open_counters(struct dc_state *s)
{
	int64_t step;

	DC_TRY(meta_int(&s->st, "step", 0, INT64_MAX, &step));
	DC_TRY(meta_int(&s->st, "position", 0, INT64_MAX, &s->position));
	s->step = (uint64_t)step;
	if (s->nn_queue) {
		DC_TRY(meta_int(&s->st, "nn_head", 0, s->c.queue - 1, &s->nn_head));
		DC_TRY(meta_int(&s->st, "nn_valid", 0, s->c.queue, &s->nn_valid));
	}
	return open_numerics(s);
}

static int
open_vocab(struct dc_state *s)
{
	char *path = dc_xasprintf("%s/bpe.txt.gz", s->dir);
	int r = access(path, F_OK) < 0 ? 0 : dc_slurp(path, (size_t)64 << 20, &s->vocab, &s->vocab_bytes);

	free(path);
	return r;
}

int
dc_state_open(struct dc_state *s, const char *dir)
{
	char *path = dc_xasprintf("%s/%s", dir, state_file);
	struct dc_config c;
	struct dc_st st;
	const char *text;
	int r;

	memset(s, 0, sizeof(*s));
	if ((r = dc_st_open(&st, AT_FDCWD, path, DC_ST_READ)) < 0)
		goto out;
	text = dc_st_meta(&st, "config");
	if (!text)
		r = dc_err_set("%s: its metadata has no config", path);
	else if ((r = dc_config_parse(&c, text, strlen(text))) < 0)
		dc_err_prefix("%s", path);
	else if (!*c.method)
		r = dc_err_set("%s: its config names no method", path);
	if (r < 0) {
		dc_st_close(&st);
		goto out;
	}
	dc_state_init(s, &c);
	s->st = st;
	s->dir = dc_xstrdup(dir);
	if ((r = open_counters(s)) < 0 || (r = open_vocab(s)) < 0)
		dc_state_free(s);
out:
	free(path);
	return r;
}

/* Copy st's tensor called prefix + p->name. With `must` a missing one is an error; *found tells. */
static int
copy_tensor(const struct dc_st *st, const char *prefix, const struct dc_param *p, float *to, int must, int *found)
{
	char name[128];
	const struct dc_st_tensor *t;

	snprintf(name, sizeof(name), "%s%s", prefix, p->name);
	t = dc_st_find(st, name);
	*found = t != NULL;
	DC_CHECK(t || !must, "%s: tensor %s is missing", st->path, name);
	if (!t)
		return 0;
	DC_CHECK(t->type == DC_F32 && t->ndim == p->ndim && !memcmp(t->shape, p->shape, (size_t)p->ndim * sizeof(*p->shape)),
	    "%s: tensor %s has a type or shape that its config does not mean", st->path, name);
	memcpy(to, t->data, t->bytes);
	return 1;
}

/* The parameters of one file (head: the heads'), into w or ema. */
static int
load_file(struct dc_state *s, const char *sub, const char *file, int head, int average)
{
	char *path = dc_xasprintf("%s/%s%s", s->dir, sub, file);
	struct dc_param *p;
	struct dc_st st;
	int n = dc_params_list(&s->c, &p), r = dc_st_open(&st, AT_FDCWD, path, DC_ST_READ);

	if (r == 0) {
		r = dc_model_check(&st, p, n, head);
		for (int i = 0; r == 0 && i < n; i++)
			if (p[i].head == head)
				dc_model_copy(average ? s->t[i].ema : s->t[i].w, dc_st_find(&st, p[i].name));
		dc_st_close(&st);
	}
	free(p);
	free(path);
	return r;
}

static int
has_heads(const struct dc_state *s)
{
	for (int i = 0; i < s->n; i++)
		if (s->t[i].p.head)
			return 1;
	return 0;
}

static int
load_weights(struct dc_state *s, const char *sub, int average)
{
	DC_TRY(load_file(s, sub, model_file, 0, average));
	return has_heads(s) ? load_file(s, sub, heads_file, 1, average) : 0;
}

static int
load_average(struct dc_state *s)
{
	char *path = dc_xasprintf("%s/ema", s->dir);
	int there = access(path, F_OK) == 0;

	free(path);
	if (!there)
		return 0;
	own_average(s);
	return load_weights(s, "ema/", 1);
}

/* Both moments of a parameter, or neither. Returns how many tensors were taken. */
static int
load_moments(struct dc_state *s, struct dc_slot *t)
{
	char key[128];
	int m, v;
	int64_t updates = (int64_t)s->step;

	DC_TRY(copy_tensor(&s->st, "m.", &t->p, t->m, 0, &m));
	DC_TRY(copy_tensor(&s->st, "v.", &t->p, t->v, m, &v));
	snprintf(key, sizeof(key), "updates.%s", t->p.name);
	if (m && dc_st_meta(&s->st, key))
		DC_TRY(meta_int(&s->st, key, 1, INT64_MAX, &updates));
	t->updates = m ? (uint64_t)updates : 0;
	return m + v;
}

static int
load_queue(struct dc_state *s)
{
	struct dc_param p = { .name = "nn_queue", .ndim = 2, .shape = { s->c.queue, s->c.embed_dim } };
	int found;

	return s->nn_queue ? copy_tensor(&s->st, "", &p, s->nn_queue, 1, &found) : 0;
}

static int
known_to_state(const struct dc_state *s, const char *name)
{
	int moment = !strncmp(name, "m.", 2) || !strncmp(name, "v.", 2);

	if (s->nn_queue && !strcmp(name, "nn_queue"))
		return 1;
	for (int i = 0; moment && i < s->n; i++)
		if (s->t[i].trainable && !strcmp(name + 2, s->t[i].p.name))
			return 1;
	for (int i = 0; i < s->n_stats; i++)
		if (!strcmp(name, s->stat[i].name))
			return 1;
	return 0;
}

static int
load_state(struct dc_state *s)
{
	int taken = 0, k, found;

	for (int i = 0; i < s->n; i++) {
		if (!s->t[i].trainable)
			continue;
		DC_TRY(k = load_moments(s, &s->t[i]));
		taken += k;
	}
	for (int i = 0; i < s->n_stats; i++)
		DC_TRY(taken += copy_tensor(&s->st, "", &s->stat[i], s->stat_value[i], 1, &found));
	DC_TRY(k = load_queue(s));
	taken += k;
	for (int i = 0; taken < s->st.n && i < s->st.n; i++)
		DC_CHECK(known_to_state(s, s->st.t[i].name), "%s: tensor %s has no place in this run's config", s->st.path,
		    s->st.t[i].name);
	return 0;
}

int
dc_state_load(struct dc_state *s)
{
	int r = load_weights(s, "", 0);

	if (r == 0)
		r = load_state(s);
	if (r == 0)
		r = load_average(s);
	if (r < 0)
		dc_state_free(s);
	else
		dc_st_close(&s->st);
	return r;
}

/* --- writing --- */

struct writing { struct dc_st_tensor *t; int n; struct dc_st_meta *meta; int n_meta; int64_t *count; int n_counts; };

static void
put_tensor(struct writing *w, const char *prefix, const struct dc_param *p, const float *data)
{
	struct dc_st_tensor *t = &w->t[w->n++];

	*t = (struct dc_st_tensor){ .name = dc_xasprintf("%s%s", prefix, p->name), .type = DC_F32, .ndim = p->ndim,
	    .data = (void *)(uintptr_t)data };
	memcpy(t->shape, p->shape, sizeof(p->shape));
	if (p->whole) {
		t->type = DC_I64;
		t->data = &w->count[w->n_counts];
		w->count[w->n_counts++] = llrintf(*data);
	}
}

static void
put_meta(struct writing *w, const char *key, char *value)
{
	w->meta[w->n_meta++] = (struct dc_st_meta){ dc_xstrdup(key), value };
}

static struct writing
writing_new(const struct dc_state *s)
{
	return (struct writing){ .t = dc_xcalloc(2 * (size_t)s->n + (size_t)s->n_stats + 1, sizeof(struct dc_st_tensor)),
	    .meta = dc_xcalloc((size_t)s->n + 16, sizeof(struct dc_st_meta)),
	    .count = dc_xcalloc((size_t)s->n + 1, sizeof(int64_t)) };
}

static int
writing_end(struct writing *w, int fd, const char *file)
{
	int r = dc_st_create(fd, file, 0644, w->t, w->n, w->meta, w->n_meta, 1);

	for (int i = 0; i < w->n; i++)
		free(w->t[i].name);
	for (int i = 0; i < w->n_meta; i++) {
		free(w->meta[i].key);
		free(w->meta[i].value);
	}
	free(w->t);
	free(w->meta);
	free(w->count);
	return r;
}

static int
write_weights(const struct dc_state *s, int fd, const char *file, int head, int average)
{
	struct writing w = writing_new(s);

	for (int i = 0; i < s->n; i++)
		if (s->t[i].p.head == head)
			put_tensor(&w, "", &s->t[i].p, average ? s->t[i].ema : s->t[i].w);
	put_meta(&w, "format", dc_xstrdup("pt"));
	return writing_end(&w, fd, file);
}

static void
put_state_meta(const struct dc_state *s, struct writing *w)
{
	put_meta(w, "config", dc_xstrdup(s->config));
	put_meta(w, "step", dc_xasprintf("%llu", (unsigned long long)s->step));
	put_meta(w, "position", dc_xasprintf("%lld", (long long)s->position));
	if (s->nn_queue) {
		put_meta(w, "nn_head", dc_xasprintf("%lld", (long long)s->nn_head));
		put_meta(w, "nn_valid", dc_xasprintf("%lld", (long long)s->nn_valid));
	}
	if (s->numerics.threads) {
		put_meta(w, "openblas", dc_xstrdup(s->numerics.openblas));
		put_meta(w, "core", dc_xstrdup(s->numerics.core));
		put_meta(w, "onednn", dc_xstrdup(s->numerics.onednn));
		put_meta(w, "threads", dc_xasprintf("%d", s->numerics.threads));
	}
}

static int
write_state(const struct dc_state *s, int fd)
{
	const struct dc_param queue = { .name = "nn_queue", .ndim = 2, .shape = { s->c.queue, s->c.embed_dim } };
	struct writing w = writing_new(s);

	put_state_meta(s, &w);
	for (int i = 0; i < s->n; i++) {
		const struct dc_slot *t = &s->t[i];

		if (!t->updates)
			continue;
		put_tensor(&w, "m.", &t->p, t->m);
		put_tensor(&w, "v.", &t->p, t->v);
		if (t->updates != s->step) {
			char key[128];

			snprintf(key, sizeof(key), "updates.%s", t->p.name);
			put_meta(&w, key, dc_xasprintf("%llu", (unsigned long long)t->updates));
		}
	}
	for (int i = 0; i < s->n_stats; i++)
		put_tensor(&w, "", &s->stat[i], s->stat_value[i]);
	if (s->nn_queue)
		put_tensor(&w, "", &queue, s->nn_queue);
	return writing_end(&w, fd, state_file);
}

static int
write_bytes(int dirfd, const char *file, const char *p, size_t n)
{
	int fd = openat(dirfd, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), r = 0;

	if (fd < 0)
		return dc_err_errno("%s", file);
	while (r == 0 && n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno != EINTR)
			r = dc_err_errno("%s", file);
		p += k > 0 ? k : 0;
		n -= k > 0 ? (size_t)k : 0;
	}
	if (r == 0 && fsync(fd) < 0)
		r = dc_err_errno("%s", file);
	if (close(fd) < 0 && r == 0)
		r = dc_err_errno("%s", file);
	return r;
}

/* Make and open a directory below dirfd. */
static int
make_dir(int dirfd, const char *name)
{
	int fd;

	if (mkdirat(dirfd, name, 0755) < 0 || (fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return dc_err_errno("%s", name);
	return fd;
}

static int
sync_close(int fd, const char *name)
{
	int r = fsync(fd) < 0 ? dc_err_errno("%s: fsync", name) : 0;

	close(fd);
	return r;
}

/* A model directory: the towers, their config, the vocabulary, the heads. */
static int
write_model(const struct dc_state *s, int fd, int average)
{
	char *json = dc_config_model_json(&s->c);
	int r = write_bytes(fd, "open_clip_config.json", json, strlen(json)), heads;

	free(json);
	if (r == 0 && s->vocab)
		r = write_bytes(fd, "bpe.txt.gz", s->vocab, s->vocab_bytes);
	if (r == 0)
		r = write_weights(s, fd, model_file, 0, average);
	if (r < 0 || !has_heads(s))
		return r;
	DC_TRY(heads = make_dir(fd, "heads"));
	r = write_weights(s, heads, strchr(heads_file, '/') + 1, 1, average);
	if (sync_close(heads, "heads") < 0)
		r = -1;
	return r;
}

static int
write_all(const struct dc_state *s, int fd)
{
	int ema, r = write_model(s, fd, 0);

	if (r == 0)
		r = write_state(s, fd);
	if (r < 0 || !s->average)
		return r;
	DC_TRY(ema = make_dir(fd, "ema"));
	r = write_model(s, ema, 1);
	if (sync_close(ema, "ema") < 0)
		r = -1;
	return r;
}

int
dc_state_write(const struct dc_state *s, const char *parent, const char *name)
{
	char *tmp = dc_xasprintf(".%s.tmp", name);
	int dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1, r = -1;

	if (dir < 0) {
		dc_err_errno("%s", parent);
		goto out;
	}
	dc_tree_remove(dir, tmp);
	if ((fd = make_dir(dir, tmp)) < 0)
		goto out;
	r = write_all(s, fd);
	if (r == 0)
		r = dc_sums_write(fd);
	if (sync_close(fd, tmp) < 0)
		r = -1;
	if (r == 0)
		r = dc_tree_move(dir, tmp, name);
	if (r == 0 && fsync(dir) < 0)
		r = dc_err_errno("%s: fsync", parent);
	if (r < 0)
		dc_tree_remove(dir, tmp);
out:
	if (r < 0)
		dc_err_prefix("%s/%s", parent, name);
	if (dir >= 0)
		close(dir);
	free(tmp);
	return r;
}
