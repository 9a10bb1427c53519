/* SPDX-License-Identifier: MIT */
#include "shard/build.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 512 };

/* --- what an earlier run did --- */

static void
note(struct dc_build *b, const struct dc_shard_rejects *r)
{
	for (size_t i = 0; i < r->n; i++)
		dc_shard_rejects_add(&b->all, r->v[i].number, r->v[i].name, r->v[i].why);
	b->rejected += r->n;
}

static int
take_line(struct dc_build *b, const struct dc_shard_line *l)
{
	DC_CHECK(l->split < b->n_splits, "%s: shards.jsonl has a split too many", b->dir);
	if (l->shard) {
		b->split[l->split].done = l->read;
		b->split[l->split].number++;
		b->out += l->samples;
		b->shards++;
	}
	note(b, &l->rejected);
	return 0;
}

int
dc_build_open(struct dc_build *b, const char *options, const char *data)
{
	DC_TRY(dc_journal_open(&b->journal, b->dir, options, data));
	for (size_t i = 0; i < b->journal.n; i++)
		DC_TRY(take_line(b, &b->journal.line[i]));
	b->whole = b->journal.done;
	if (b->whole)
		b->in = b->journal.in;
	return 0;
}

int
dc_build_split(const struct dc_build *b, uint64_t hash)
{
	double u = (double)(hash >> 11) * 0x1p-53, sum = 0;

	for (int i = 0; i < b->n_splits - 1; i++)
		if (u < (sum += b->split[i].share))
			return i;
	return b->n_splits - 1;
}

int
dc_build_wants(struct dc_build *b, int split, struct dc_place *p)
{
	struct dc_split *s = &b->split[split];

	*p = (struct dc_place){ split, b->in++, s->at++ };
	return p->at >= s->done;
}

/* --- shards --- */

/* The shard at hand is on the disk, in the journal, and has its name. `read` = the split's items that are gone by. */
static int
finish(struct dc_build *b, struct dc_split *s, uint64_t read)
{
	struct dc_shard_line l = { .shard = s->name, .split = (int)(s - b->split), .samples = s->n, .read = read,
		.rejected = s->rejected };
	struct dc_tarout *t = s->tar;

	DC_TRY(dc_tarout_sync(t, &l.bytes));
	DC_TRY(dc_journal_shard(&b->journal, &l));
	s->tar = NULL;
	DC_TRY(dc_tarout_close(t));
	DC_TRY(dc_journal_sync_dir(&b->journal));
	note(b, &s->rejected);
	dc_shard_rejects_free(&s->rejected);
	free(s->name);
	s->name = NULL;
	s->n = s->bytes = 0;
	b->shards++;
	return 0;
}

static int
begin(struct dc_build *b, struct dc_split *s)
{
	char *path;

	s->name = dc_xasprintf("%s-%06" PRIu64 ".tar", s->prefix, s->number++);
	path = dc_xasprintf("%s/%s", b->dir, s->name);
	s->tar = dc_tarout_open(path);
	free(path);
	return s->tar ? 0 : -1;
}

static uint64_t
tar_bytes(size_t n)
{
	return BLOCK + (n + BLOCK - 1) / BLOCK * BLOCK;
}

static uint64_t
sample_bytes(const struct dc_made *m)
{
	return tar_bytes(m->n_image) + (m->text ? tar_bytes(strlen(m->text)) : 0) + (m->json ? tar_bytes(m->n_json) : 0)
	    + (m->has_label ? tar_bytes(1) : 0);
}

static int
add_member(struct dc_tarout *t, const char *key, const char *ext, const void *p, size_t n)
{
	char *name = dc_xasprintf("%s.%s", key, ext);
	int r = dc_tarout_add(t, name, p, n);

	free(name);
	return r;
}

static int
write_sample(struct dc_tarout *t, const char *key, const struct dc_made *m)
{
	char label[16];

	DC_TRY(add_member(t, key, m->ext, m->image, m->n_image));
	if (m->text)
		DC_TRY(add_member(t, key, "txt", m->text, strlen(m->text)));
	if (m->json)
		DC_TRY(add_member(t, key, "json", m->json, m->n_json));
	if (!m->has_label)
		return 0;
	snprintf(label, sizeof label, "%" PRId32, m->label);
	return add_member(t, key, "cls", label, strlen(label));
}

int
dc_build_add(struct dc_build *b, const struct dc_place *p, const char *key, const char *item, const struct dc_made *m)
{
	struct dc_split *s = &b->split[p->split];
	uint64_t bytes;

	if (m->why) {
		dc_shard_rejects_add(&s->rejected, p->number, item, m->why);
		return 0;
	}
	bytes = sample_bytes(m);
	if (s->tar && ((b->samples && s->n == b->samples) || (b->bytes && s->bytes + bytes > b->bytes)))
		DC_TRY(finish(b, s, p->at));
	if (!s->tar)
		DC_TRY(begin(b, s));
	DC_TRY(write_sample(s->tar, key, m));
	s->n++;
	s->bytes += bytes;
	b->out++;
	return 0;
}

/* --- the end --- */

static int
by_number(const void *a, const void *b)
{
	const struct dc_shard_reject *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* Tabs and line ends would break the table. */
static void
print_field(FILE *fp, const char *s, int end)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 32 || *s == 127)
			fprintf(fp, "\\x%02x", (unsigned char)*s);
		else
			putc(*s, fp);
	}
	putc(end, fp);
}

static int
write_rejects(const struct dc_shard_rejects *r, const char *path)
{
	char *part = dc_xasprintf("%s.part", path);
	FILE *fp = fopen(part, "w");
	int ret = 0;

	if (!fp) {
		ret = dc_err_errno("%s", part);
	} else {
		fputs("name\treason\n", fp);
		for (size_t i = 0; i < r->n; i++) {
			print_field(fp, r->v[i].name, '\t');
			print_field(fp, r->v[i].why, '\n');
		}
		ret = dc_fshut(fp, part);
		if (!ret && rename(part, path) < 0)
			ret = dc_err_errno("%s", path);
	}
	free(part);
	return ret;
}

int
dc_build_close(struct dc_build *b, const char *rejects)
{
	struct dc_shard_rejects last = { 0 };
	int r = 0;

	for (int i = 0; i < b->n_splits && !r && !b->whole; i++) {
		struct dc_split *s = &b->split[i];
		r = s->tar ? finish(b, s, s->at) : 0;
		for (size_t k = 0; k < s->rejected.n; k++)
			dc_shard_rejects_add(&last, s->rejected.v[k].number, s->rejected.v[k].name, s->rejected.v[k].why);
		note(b, &s->rejected);
		dc_shard_rejects_free(&s->rejected);
	}
	if (b->all.n)
		qsort(b->all.v, b->all.n, sizeof *b->all.v, by_number);
	if (!r && rejects)
		r = write_rejects(&b->all, rejects);
	if (!r && !b->whole)
		r = dc_journal_end(&b->journal, b->in, b->out, &last);
	dc_shard_rejects_free(&last);
	return r;
}

void
dc_build_free(struct dc_build *b)
{
	for (int i = 0; i < b->n_splits; i++) {
		dc_tarout_drop(b->split[i].tar);
		free(b->split[i].name);
		dc_shard_rejects_free(&b->split[i].rejected);
	}
	dc_shard_rejects_free(&b->all);
	dc_journal_free(&b->journal);
}
