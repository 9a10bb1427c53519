/* SPDX-License-Identifier: MIT */
#include "shard/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "stream/check.h"

static const char name[] = "shards.jsonl";
enum { JOURNAL_MAX = 1 << 30 };

/* --- rejects --- */

void
dc_shard_rejects_add(struct dc_shard_rejects *r, uint64_t number, const char *item, const char *why)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 16;
		r->v = dc_xrealloc(r->v, r->cap, sizeof *r->v);
	}
	r->v[r->n++] = (struct dc_shard_reject){ number, dc_utf8(item), dc_utf8(why) };
}

void
dc_shard_rejects_free(struct dc_shard_rejects *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].name);
		free(r->v[i].why);
	}
	free(r->v);
	*r = (struct dc_shard_rejects){ 0 };
}

static json_t *
rejects_to_json(const struct dc_shard_rejects *r)
{
	json_t *a = json_array();

	for (size_t i = 0; i < r->n; i++)
		json_array_append_new(a, json_pack("[I,s,s]", (json_int_t)r->v[i].number, r->v[i].name, r->v[i].why));
	return a;
}

static int
rejects_from_json(struct dc_shard_rejects *r, const json_t *a)
{
	const json_t *e;
	size_t i;

	json_array_foreach(a, i, e) {
		const char *item, *why;
		json_int_t number;
		if (json_unpack((json_t *)e, "[I,s,s]", &number, &item, &why) < 0 || number < 0)
			return -1;
		dc_shard_rejects_add(r, (uint64_t)number, item, why);
	}
	return json_is_array(a) ? 0 : -1;
}

/* --- writing --- */

/* One line in one write, on the disk when it returns. Takes o. */
static int
write_line(struct dc_journal *j, json_t *o)
{
	char *text = json_dumps(o, 0), *line;
	size_t n, at = 0;
	ssize_t k = 0;

	json_decref(o);
	DC_CHECK(text, "%s/%s: a line cannot be made", j->dir, name);
	line = dc_xasprintf("%s\n", text);
	free(text);
	for (n = strlen(line); at < n && ((k = write(j->fd, line + at, n - at)) >= 0 || errno == EINTR);)
		at += k > 0 ? (size_t)k : 0;
	free(line);
	if (at < n || fsync(j->fd) < 0)
		return dc_err_errno("%s/%s", j->dir, name);
	return 0;
}

int
dc_journal_shard(struct dc_journal *j, const struct dc_shard_line *l)
{
	return write_line(j, json_pack("{s:s, s:i, s:I, s:I, s:I, s:o}", "shard", l->shard, "split", l->split, "samples",
	    (json_int_t)l->samples, "bytes", (json_int_t)l->bytes, "read", (json_int_t)l->read, "rejected",
	    rejects_to_json(&l->rejected)));
}

int
dc_journal_end(struct dc_journal *j, uint64_t in, uint64_t out, const struct dc_shard_rejects *r)
{
	return write_line(j, json_pack("{s:I, s:I, s:o}", "in", (json_int_t)in, "out", (json_int_t)out, "rejected",
	    rejects_to_json(r)));
}

int
dc_journal_sync_dir(struct dc_journal *j)
{
	return fsync(j->dir_fd) < 0 ? dc_err_errno("%s", j->dir) : 0;
}

/* --- reading --- */

static int
parse(struct dc_shard_line *l, const json_t *o, struct dc_journal *j)
{
	json_int_t samples, bytes, read, in, out;
	const char *shard;
	int split;

	if (!json_object_get(o, "shard")) {
		if (json_unpack((json_t *)o, "{s:I, s:I}", "in", &in, "out", &out) < 0 || in < 0 || out < 0)
			return -1;
		j->in = (uint64_t)in;
		j->out = (uint64_t)out;
	} else {
		if (json_unpack((json_t *)o, "{s:s, s:i, s:I, s:I, s:I}", "shard", &shard, "split", &split, "samples", &samples,
		    "bytes", &bytes, "read", &read) < 0 || strchr(shard, '/') || split < 0 || samples < 0 || bytes < 0 || read < 0)
			return -1;
		*l = (struct dc_shard_line){ dc_xstrdup(shard), split, (uint64_t)samples, (uint64_t)bytes, (uint64_t)read, { 0 } };
	}
	return rejects_from_json(&l->rejected, json_object_get(o, "rejected"));
}

/* The line's shard is there, or is brought to its name. */
static int
shard_is_there(struct dc_journal *j, const struct dc_shard_line *l)
{
	char *part = dc_xasprintf("%s.part", l->shard);
	struct stat st;
	int there = fstatat(j->dir_fd, l->shard, &st, 0) == 0 && (uint64_t)st.st_size == l->bytes;

	if (!there && fstatat(j->dir_fd, part, &st, 0) == 0 && (uint64_t)st.st_size == l->bytes)
		there = renameat(j->dir_fd, part, j->dir_fd, l->shard) == 0;
	free(part);
	return there;
}

static void
free_line(struct dc_shard_line *l)
{
	free(l->shard);
	dc_shard_rejects_free(&l->rejected);
	*l = (struct dc_shard_line){ 0 };
}

/* The whole lines from p on, as long as their shards are there. How many bytes of them hold. */
static size_t
take_lines(struct dc_journal *j, const char *p, size_t n)
{
	size_t at = 0;

	for (const char *end; !j->done && (end = memchr(p + at, '\n', n - at)); at = (size_t)(end - p) + 1) {
		json_t *o = json_loadb(p + at, (size_t)(end - p) - at, 0, NULL);
		struct dc_shard_line l = { 0 };
		int good = o && parse(&l, o, j) == 0 && (!l.shard || shard_is_there(j, &l));
		json_decref(o);
		if (!good) {
			free_line(&l);
			break;
		}
		if (j->n == j->cap) {
			j->cap = j->cap ? j->cap * 2 : 64;
			j->line = dc_xrealloc(j->line, j->cap, sizeof *j->line);
		}
		j->done = !l.shard;
		j->line[j->n++] = l;
	}
	return at;
}

static int
check_head(struct dc_journal *j, const char *p, size_t n, const char *options, const char *data)
{
	json_t *o = json_loadb(p, n, 0, NULL);
	const char *was = NULL, *of = NULL;
	int version = 0, r = 0;

	if (!o || json_unpack(o, "{s:i, s:s, s:s}", "dc-shard", &version, "options", &was, "data", &of) < 0 || version != 1)
		r = dc_err_set("%s/%s is not dc-shard's", j->dir, name);
	else if (strcmp(was, options))
		r = dc_err_set("%s was begun with other options: %s, now: %s", j->dir, was, options);
	else if (strcmp(of, data))
		r = dc_err_set("%s was begun with other data: files were added, removed or listed otherwise", j->dir);
	json_decref(o);
	return r;
}

/* 0, or -1 with a message; *keep = bytes of the file that hold. */
static int
load(struct dc_journal *j, const char *options, const char *data, size_t *keep)
{
	char *path = dc_xasprintf("%s/%s", j->dir, name), *text, *end;
	size_t n;
	int r = dc_slurp(path, JOURNAL_MAX, &text, &n);

	free(path);
	*keep = 0;
	DC_TRY(r);
	if ((end = memchr(text, '\n', n))) {
		size_t head = (size_t)(end - text) + 1;
		if ((r = check_head(j, text, head, options, data)) == 0)
			*keep = head + take_lines(j, text + head, n - head);
		else if (!memchr(text + head, '\n', n - head)) /* nothing is finished: begin anew */
			r = 0;
	}
	free(text);
	return r;
}

int
dc_journal_open(struct dc_journal *j, const char *dir, const char *options, const char *data)
{
	size_t keep;

	*j = (struct dc_journal){ .dir = dc_xstrdup(dir), .dir_fd = -1, .fd = -1 };
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return dc_err_errno("%s", dir);
	if ((j->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return dc_err_errno("%s", dir);
	if ((j->fd = openat(j->dir_fd, name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) < 0)
		return dc_err_errno("%s/%s", dir, name);
	DC_CHECK(flock(j->fd, LOCK_EX | LOCK_NB) == 0, "%s: another dc-shard is at work there", dir);
	DC_TRY(load(j, options, data, &keep));
	if (ftruncate(j->fd, (off_t)keep) < 0)
		return dc_err_errno("%s/%s", dir, name);
	return keep ? 0 : write_line(j, json_pack("{s:i, s:s, s:s}", "dc-shard", 1, "options", options, "data", data));
}

void
dc_journal_free(struct dc_journal *j)
{
	for (size_t i = 0; i < j->n; i++)
		free_line(&j->line[i]);
	free(j->line);
	if (j->fd >= 0)
		close(j->fd);
	if (j->dir_fd >= 0)
		close(j->dir_fd);
	free(j->dir);
	*j = (struct dc_journal){ .dir_fd = -1, .fd = -1 };
}
