/* SPDX-License-Identifier: MIT */
#include "data/feed.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "data/exif.h"
#include "stream/check.h"

enum { PART_BYTES = 256 << 20 /* of images in a part, where it has more than one */ };

/* One of a batch's images on its way. */
struct dc_feed_item {
	struct dc_feed *feed;
	struct dc_sample *sample;
	struct dc_image image;
	int width, height;
	char *why;            /* it was refused */
};

int
dc_feed_open(struct dc_feed *f, int jobs)
{
	DC_TRY(dc_out_init(&f->out, STDOUT_FILENO, "<stdout>"));
	f->pool = dc_pool_new(jobs ? jobs : dc_cpus());
	f->sender = dc_sender_new(&f->out);
	f->item = dc_xcalloc((size_t)f->batch, sizeof *f->item);
	return 0;
}

/* --- what is refused or damaged --- */

void
dc_feed_reject(struct dc_feed *f, const struct dc_sample *s, enum dc_reject why, const char *text)
{
	char *reason = dc_xasprintf("%s: %s", dc_reject_names[why], text);

	f->n.rejected[why]++;
	dc_rejects_add(&f->rejects, f->shards->base[s->shard], s->key, s->offset, reason);
	free(reason);
}

void
dc_feed_damaged(struct dc_feed *f, const char *text)
{
	f->damaged = dc_xrealloc(f->damaged, f->n_damaged + 1, sizeof *f->damaged);
	f->damaged[f->n_damaged++] = dc_utf8(text);
}

static void
free_sample(struct dc_sample *s)
{
	if (s)
		dc_sample_free(s);
	free(s);
}

int64_t
dc_feed_rejected(const struct dc_feed *f)
{
	int64_t n = 0;

	for (int i = 0; i < DC_REJECTS; i++)
		n += f->n.rejected[i];
	return n;
}

/* --- frames --- */

static void
read_header(void *arg, size_t i)
{
	struct dc_feed_item *t = (struct dc_feed_item *)arg + i;

	if (dc_image_header(t->sample->image, t->sample->image_bytes, t->feed->max_pixels, &t->width, &t->height) < 0)
		t->why = dc_xstrdup(dc_err());
}

static void
decode(void *arg, size_t i)
{
	struct dc_feed_item *t = (struct dc_feed_item *)arg + i;

	if (!t->why && dc_image_decode(t->sample->image, t->sample->image_bytes, t->feed->max_pixels, &t->image) < 0)
		t->why = dc_xstrdup(dc_err());
	else if (!t->why && t->feed->exif)
		dc_image_turn(&t->image, dc_exif_orientation(t->sample->image, t->sample->image_bytes));
}

static size_t
item_bytes(const struct dc_feed_item *t)
{
	return t->why ? 0 : t->feed->keep_encoded ? t->sample->image_bytes : (size_t)t->width * t->height * 3;
}

/* How many of the items from `first` on make the next part: bounded in number and in bytes. */
static size_t
part_length(const struct dc_feed *f, size_t first)
{
	size_t n = 0, bytes = 0;

	while (first + n < f->n_items && n < DC_PART_MAX) {
		bytes += item_bytes(&f->item[first + n]);
		if (n && bytes > PART_BYTES)
			break;
		n++;
	}
	return n;
}

static void
put_images(struct dc_feed *f, struct dc_feed_item *const *v, size_t n)
{
	dc_put_array(&f->body, "image", n);
	for (size_t i = 0; i < n; i++) {
		struct dc_image *im = &v[i]->image;
		if (f->keep_encoded)
			dc_put_data(&f->body, NULL, DC_U8, 1, (int64_t[]){ v[i]->sample->image_bytes }, v[i]->sample->image);
		else
			dc_put_data(&f->body, NULL, DC_U8, 3, (int64_t[]){ im->height, im->width, 3 }, im->rgb);
	}
}

/* Which of the sample's captions go: [*from, *from + count). */
static size_t
choose_captions(const struct dc_feed *f, const struct dc_sample *s, size_t *from)
{
	struct dc_rng rng;

	*from = 0;
	if (!strcmp(f->captions, "all") || !s->n_captions)
		return s->n_captions;
	if (!strcmp(f->captions, "draw")) {
		dc_rng_init(&rng, f->seed, s->epoch, s->id, 0, DC_RNG_CAPTION);
		*from = dc_rng_below(&rng, s->n_captions);
	}
	return 1;
}

static void
put_captions(struct dc_feed *f, struct dc_feed_item *const *v, size_t n)
{
	size_t from, k, total = 0;
	int32_t *image;

	for (size_t i = 0; i < n; i++)
		total += choose_captions(f, v[i]->sample, &from);
	dc_put_array(&f->body, "caption", total);
	for (size_t i = 0; i < n; i++)
		for (k = choose_captions(f, v[i]->sample, &from); k > 0; k--)
			dc_put_str(&f->body, NULL, v[i]->sample->caption[from++]);
	image = dc_put_space(&f->body, "caption_image", DC_I32, 1, (int64_t[]){ total });
	for (size_t i = 0; i < n; i++)
		for (k = choose_captions(f, v[i]->sample, &from); k > 0; k--)
			*image++ = i;
}

static void
put_names(struct dc_feed *f, struct dc_feed_item *const *v, size_t n)
{
	int64_t shape[] = { n }, *slot;
	uint64_t *id;
	int32_t *epoch;

	id = dc_put_space(&f->body, "id", DC_U64, 1, shape);
	for (size_t i = 0; i < n; i++)
		id[i] = v[i]->sample->id;
	slot = dc_put_space(&f->body, "slot", DC_I64, 1, shape);
	for (size_t i = 0; i < n; i++)
		slot[i] = v[i]->sample->slot;
	epoch = dc_put_space(&f->body, "epoch", DC_I32, 1, shape);
	for (size_t i = 0; i < n; i++)
		epoch[i] = v[i]->sample->epoch;
	dc_put_array(&f->body, "key", n);
	for (size_t i = 0; i < n; i++)
		dc_put_str(&f->body, NULL, v[i]->sample->key);
	if (!f->name_shards)
		return;
	dc_put_array(&f->body, "shard", n);
	for (size_t i = 0; i < n; i++) {
		char *name = dc_utf8(f->shards->base[v[i]->sample->shard]);
		dc_put_str(&f->body, NULL, name);
		free(name);
	}
}

/* Labels are in all parts of a batch or in none. */
static void
put_labels(struct dc_feed *f, struct dc_feed_item *const *v, size_t n)
{
	int32_t *label;

	if (!f->labelled)
		return;
	label = dc_put_space(&f->body, "label", DC_I32, 1, (int64_t[]){ n });
	for (size_t i = 0; i < n; i++)
		label[i] = v[i]->sample->label;
}

/* Decode n items and send those that could be, as part i of n_parts. */
static int
send_part(struct dc_feed *f, struct dc_feed_item *item, size_t n, int64_t i, int64_t n_parts)
{
	struct dc_feed_item *good[DC_PART_MAX];
	size_t n_good = 0;

	if (!f->keep_encoded)
		dc_pool_for(f->pool, n, decode, item);
	for (size_t k = 0; k < n; k++) {
		if (item[k].why)
			dc_feed_reject(f, item[k].sample, DC_REJECT_IMAGE, item[k].why);
		else
			good[n_good++] = &item[k];
	}
	put_names(f, good, n_good);
	put_images(f, good, n_good);
	put_captions(f, good, n_good);
	put_labels(f, good, n_good);
	if (f->exif && f->keep_encoded)
		dc_put_bool(&f->body, "exif", 1);
	dc_put_int(&f->body, "position", f->at + 1);
	dc_put_part(&f->body, i, n_parts);
	f->n.out += n_good;
	return dc_sender_send(f->sender, "samples", (uint64_t)f->at, &f->body);
}

static void
clear_items(struct dc_feed_item *item, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free_sample(item[i].sample);
		free(item[i].why);
		dc_image_free(&item[i].image);
		item[i] = (struct dc_feed_item){ 0 };
	}
}

/* The batch goes out, with no samples too: every rank sends equally many. */
static int
send_batch(struct dc_feed *f)
{
	int64_t n_parts = 0, i = 0;
	size_t first, n;
	int ret = DC_FRAME;

	dc_pool_for(f->pool, f->n_items, read_header, f->item);
	for (first = 0; first < f->n_items || !n_parts; first += part_length(f, first))
		n_parts++;
	for (first = 0; i < n_parts && ret == DC_FRAME; first += n) {
		n = part_length(f, first);
		ret = send_part(f, f->item + first, n, i++, n_parts);
		clear_items(f->item + first, n);
	}
	f->n_items = 0;
	f->labelled = 0;
	f->filled = 0;
	f->at++;
	dc_progress_to(&f->progress, f->n.out);
	return ret;
}

int
dc_feed_end(struct dc_feed *f, void (*more)(void *arg, struct dc_body *b), void *arg)
{
	const struct { const char *name; int64_t n; } count[] = { { "in", f->n.in }, { "out", f->n.out },
		{ "rejected", dc_feed_rejected(f) }, { "skipped", f->n.skipped }, { "dropped", f->n.dropped },
		{ "unused", f->n.unused }, { "other_ranks", f->n.others } };
	size_t n = sizeof count / sizeof *count - (f->world == 1), reasons = 0;

	dc_put_map(&f->body, "counts", n);
	for (size_t i = 0; i < n; i++)
		dc_put_int(&f->body, count[i].name, count[i].n);
	for (int i = 0; i < DC_REJECTS; i++)
		reasons += f->n.rejected[i] > 0;
	dc_put_map(&f->body, "rejected_by", reasons);
	for (int i = 0; i < DC_REJECTS; i++)
		if (f->n.rejected[i])
			dc_put_int(&f->body, dc_reject_names[i], f->n.rejected[i]);
	dc_put_array(&f->body, "damaged", f->n_damaged);
	for (size_t i = 0; i < f->n_damaged; i++)
		dc_put_str(&f->body, NULL, f->damaged[i]);
	dc_put_int(&f->body, "position", f->at);
	if (more)
		more(arg, &f->body);
	return dc_sender_send(f->sender, "end", (uint64_t)f->at, &f->body);
}

/* --- the order --- */

/* Drop what the batch being filled holds: slots of an epoch's tail, or read for nothing. */
void
dc_feed_discard(struct dc_feed *f, int64_t *count)
{
	*count += f->n_items;
	clear_items(f->item, f->n_items);
	f->n_items = 0;
	f->labelled = 0;
	f->filled = 0;
}

int
dc_feed_take(struct dc_feed *f, struct dc_sample *s)
{
	s->slot = f->at * f->batch + f->filled++;
	if (s->slot % f->world == f->rank) {
		f->item[f->n_items].feed = f;
		f->item[f->n_items++].sample = s;
		f->labelled |= s->has_label || s->bad_label;
	} else {
		f->n.others++;
		free_sample(s);
	}
	return f->filled == f->batch ? send_batch(f) : DC_FRAME;
}

int
dc_feed_flush(struct dc_feed *f)
{
	return f->filled ? send_batch(f) : DC_FRAME;
}

int
dc_feed_check(const struct dc_feed *f)
{
	if (f->world != 1 || f->n.out || f->n.skipped || !f->n.rejected[DC_REJECT_IMAGE])
		return DC_FRAME;
	return dc_err_set("no image could be decoded (%" PRId64 " tried; --rejects FILE says why)", f->n.rejected[DC_REJECT_IMAGE]);
}

/* --- the end --- */

void
dc_feed_report(const struct dc_feed *f, int all)
{
	const char *sep = " (";

	if (!all && !dc_feed_rejected(f))
		return;
	fprintf(stderr, "%s: %" PRId64 " in = %" PRId64 " out + %" PRId64 " rejected", dc_progname, f->n.in, f->n.out,
	    dc_feed_rejected(f));
	for (int i = 0; i < DC_REJECTS; i++)
		if (f->n.rejected[i]) {
			fprintf(stderr, "%s%" PRId64 " %s", sep, f->n.rejected[i], dc_reject_names[i]);
			sep = ", ";
		}
	fprintf(stderr, "%s + %" PRId64 " skipped + %" PRId64 " dropped + %" PRId64 " unused", *sep == ',' ? ")" : "",
	    f->n.skipped, f->n.dropped, f->n.unused);
	if (f->world > 1)
		fprintf(stderr, " + %" PRId64 " of other ranks", f->n.others);
	fputc('\n', stderr);
}

int
dc_feed_close(struct dc_feed *f, int r)
{
	int sent;

	if (r != DC_FRAME) {
		int status = dc_write_status(r);
		(void)!dc_sender_finish(f->sender); /* what was handed over still goes out whole */
		return status;
	}
	if ((sent = dc_sender_finish(f->sender)) != DC_FRAME)
		return dc_write_status(sent);
	if (close(STDOUT_FILENO) < 0) {
		dc_warn_errno("<stdout>");
		return DC_EXIT_FAIL;
	}
	return DC_EXIT_OK;
}
