/* SPDX-License-Identifier: MIT */
#include "data/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

/* Shards of one base name are told apart in ids by occurrences that begin at multiples of this. */
enum { AGAIN = 1 << 20 };

static void
see_extension(struct dc_reader *r, const char *ext)
{
	for (size_t i = 0; i < r->n_extensions; i++)
		if (!strcmp(r->extension[i], ext))
			return;
	if (r->n_extensions < DC_EXTENSIONS_MAX)
		r->extension[r->n_extensions++] = dc_xstrdup(ext);
}

static uint64_t
keep(void *arg, const char *ext)
{
	return dc_sources_keep(((const struct dc_reader *)arg)->sources, ext);
}

/* The images of samples that go unsent are dropped: their places are known before their members come. */
static int
drop(void *arg, const char *ext)
{
	const struct dc_reader *r = arg;
	const int skipped = r->place && r->epoch == r->place_epoch && r->usable < r->n_place && r->place[r->usable] < r->before;

	return (!r->images || skipped) && dc_sources_is_image(r->sources, ext);
}

void
dc_reader_begin(struct dc_reader *r, int64_t epoch)
{
	size_t n = r->shards->n;

	if (!r->order) {
		r->order = dc_xcalloc(n + 1, sizeof *r->order);
		r->told = dc_xcalloc(n + 1, 1);
		dc_shuffle_init(&r->buffer, r->shuffle);
	}
	r->at = 0;
	r->usable = 0;
	r->epoch = epoch;
	dc_plan_shards(r->seed, epoch, r->shuffle > 0, n, r->order);
	dc_shuffle_epoch(&r->buffer, r->seed, epoch);
}

/* Damage is told once for each shard. DC_READER_END, or DC_READER_FAIL where it is not to be borne. */
static int
tell(struct dc_reader *r, uint32_t i, const char *text)
{
	if (r->told[i])
		return DC_READER_END;
	r->told[i] = 1;
	r->damage(r->arg, text);
	return r->strict ? dc_err_set("%s", text) : DC_READER_END;
}

/* A shard that has gone since the list was checked is as one that is cut at its first byte; where it is this process
 * that can open nothing, no shard is at fault. */
static int
open_shard(struct dc_reader *r)
{
	struct dc_tar_opts o = { .watch = r->watch, .keep = keep, .drop = drop, .arg = r };
	char text[1024];

	if (dc_tar_open(&r->tar, r->shards->path[r->order[r->at]], &o) == 0)
		return 0;
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
		return -1;
	snprintf(text, sizeof text, "%s", dc_err());
	return tell(r, r->order[r->at++], text);
}

static int
close_shard(struct dc_reader *r)
{
	uint32_t i = r->order[r->at++];
	const char *damage = dc_tar_damage(r->tar), *path = r->shards->path[i];
	char *text = damage ? dc_xasprintf("%s: damaged %s", strcmp(path, "-") ? path : "<stdin>", damage) : NULL;
	int ret = text ? tell(r, i, text) : DC_READER_END;

	free(text);
	dc_tar_close(r->tar);
	r->tar = NULL;
	return ret;
}

/* The group at hand as a sample, or NULL after refusing it. */
static struct dc_sample *
make(struct dc_reader *r)
{
	struct dc_sample *s = dc_xcalloc(1, sizeof *s);
	int why;

	r->in++;
	for (size_t i = 0; i < r->group.n; i++)
		see_extension(r, r->group.member[i].ext);
	why = dc_sample_make(s, &r->group, r->sources);
	s->shard = r->order[r->at];
	s->epoch = r->epoch;
	r->bad_labels += s->bad_label;
	if (why < 0) {
		s->id = dc_sample_id(r->shards->base[s->shard], s->key,
		    r->shards->again[s->shard] * AGAIN + r->group.occurrence);
		r->usable++;
		return s;
	}
	r->apart += r->group.occurrence > 0 && (why == DC_REJECT_NO_IMAGE || why == DC_REJECT_NO_CAPTION);
	r->refuse(r->arg, s, why, dc_err());
	dc_sample_free(s);
	free(s);
	return NULL;
}

int
dc_reader_next(struct dc_reader *r, struct dc_sample **out)
{
	struct dc_sample *s;
	int ret;

	while (r->at < r->shards->n) {
		if (!r->tar)
			DC_TRY(open_shard(r));
		if (!r->tar)
			continue;
		if ((ret = dc_tar_next(r->tar, &r->group)) == DC_TAR_GONE)
			return DC_READER_GONE;
		if (ret == DC_TAR_END)
			DC_TRY(close_shard(r));
		else if ((s = make(r)) && (*out = dc_shuffle_push(&r->buffer, s)))
			return DC_READER_SAMPLE;
	}
	return (*out = dc_shuffle_drain(&r->buffer)) ? DC_READER_SAMPLE : DC_READER_END;
}

int
dc_reader_count_aloud(struct dc_reader *r, int64_t *n)
{
	struct dc_sample *s;
	int ret;

	r->images = 0;
	r->shuffle = 0;
	dc_reader_begin(r, 0);
	while ((ret = dc_reader_next(r, &s)) == DC_READER_SAMPLE) {
		dc_sample_free(s);
		free(s);
	}
	*n = (int64_t)r->usable;
	return ret == DC_READER_END && !r->usable ? dc_reader_none(r, NULL) : ret;
}

static void
quiet_refuse(void *arg, const struct dc_sample *s, enum dc_reject why, const char *text)
{
	(void)arg, (void)s, (void)why, (void)text;
}

static void quiet_damage(void *arg, const char *text) { (void)arg, (void)text; }

int
dc_reader_count(const struct dc_reader *r, int64_t *n)
{
	struct dc_reader count = *r;
	int ret;

	count.refuse = quiet_refuse;
	count.damage = quiet_damage;
	ret = dc_reader_count_aloud(&count, n);
	dc_reader_free(&count);
	return ret;
}

void
dc_reader_pass_over(struct dc_reader *r, int64_t epoch, int64_t n, int64_t before)
{
	free(r->place);
	r->place = dc_xcalloc((size_t)n, sizeof *r->place);
	dc_plan_places(r->seed, (uint64_t)epoch, (size_t)n, r->shuffle, r->place);
	r->n_place = (uint64_t)n;
	r->before = (uint64_t)before;
	r->place_epoch = epoch;
}

/* ".jpg .txt", or "none" */
static void
list_extensions(const struct dc_reader *r, char *list, size_t size)
{
	*list = 0;
	for (size_t i = 0; i < r->n_extensions; i++)
		snprintf(list + strlen(list), size - strlen(list), " .%.20s", r->extension[i]);
	if (!*list)
		snprintf(list, size, " none");
}

static void
list_sources(const struct dc_sources *s, char *images, char *captions, size_t size)
{
	*images = *captions = 0;
	for (size_t i = 0; i < s->n_images; i++)
		snprintf(images + strlen(images), size - strlen(images), "%s%s", i ? "," : "", s->image[i]);
	for (size_t i = 0; i < s->n_captions; i++)
		snprintf(captions + strlen(captions), size - strlen(captions), "%s%s%s", i ? "," : "",
		    s->caption[i].json_key ? "json:" : "", s->caption[i].json_key ? s->caption[i].json_key : s->caption[i].ext);
}

int
dc_reader_none(const struct dc_reader *r, const char *name)
{
	char list[1024], where[32], images[256], captions[256];

	list_extensions(r, list, sizeof list);
	list_sources(r->sources, images, captions, sizeof images);
	snprintf(where, sizeof where, "%zu shards", r->shards->n);
	if (!name)
		name = r->shards->n == 1 ? r->shards->path[0] : where;
	if (r->sources->no_captions)
		return dc_err_set("no usable sample in %s: %" PRIu64 " read; extensions seen:%s; looked for images in %s and no captions"
		    " (--image)", name, r->in, list, images);
	return dc_err_set("no usable sample in %s: %" PRIu64 " read; extensions seen:%s; looked for images in %s and captions in %s"
	    " (--image, --caption; --caption none: images alone)", name, r->in, list, images, captions);
}

size_t
dc_reader_left(const struct dc_reader *r)
{
	return r->buffer.n;
}

void
dc_reader_free(struct dc_reader *r)
{
	struct dc_sample *s;

	dc_tar_close(r->tar);
	r->tar = NULL;
	dc_group_free(&r->group);
	while (r->buffer.item && (s = dc_shuffle_drain(&r->buffer))) {
		dc_sample_free(s);
		free(s);
	}
	dc_shuffle_free(&r->buffer);
	for (size_t i = 0; i < r->n_extensions; i++)
		free(r->extension[i]);
	r->n_extensions = 0;
	free(r->order);
	free(r->told);
	free(r->place);
	r->place = NULL;
	r->order = NULL;
	r->told = NULL;
}
