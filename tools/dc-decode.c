/* SPDX-License-Identifier: MIT */
/* dc-decode: tar shards of images and captions -> samples frames. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/pool.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/util.h"
#include "data/exif.h"
#include "data/image.h"
#include "data/plan.h"
#include "data/reader.h"
#include "data/rejects.h"
#include "stream/check.h"
#include "stream/sender.h"
#include "stream/stream.h"

enum { PART_BYTES = 256 << 20 /* of images in a part, where it has more than one */ };

static struct {
	int64_t batch, epochs, steps, shuffle, seed, rank, world, skip, jobs, max_pixels;
	const char *caption, *captions, *image, *tail, *rejects;
	int count, exif, keep_encoded, name_shards, strict, verbose;
} o = { .batch = 64, .epochs = 1, .world = 1, .max_pixels = 25000000, .caption = "txt", .captions = "draw",
	.image = "jpg,jpeg,png,webp", .tail = "carry" };

static const struct dc_opt table[] = {
	DC_OPT_INT("batch", 'b', &o.batch, 1, 1 << 20, "N", "slots in a batch, over all ranks"),
	DC_OPT_INT("epochs", 'e', &o.epochs, 1, 1000000, "N", "passes over the shards"),
	DC_OPT_INT("steps", 'n', &o.steps, 0, 1ll << 40, "N", "end after batch N of the run, whatever epochs it takes"),
	DC_OPT_CHOICE("tail", 0, &o.tail, "carry|short|drop", "what becomes of an epoch's last, short batch"),
	DC_OPT_INT("skip", 0, &o.skip, 0, 1ll << 40, "N", "leave out the run's first N batches, without decoding"),
	DC_OPT_INT("shuffle", 0, &o.shuffle, 0, 1 << 24, "N", "shuffle the shards and a buffer of N samples; 0: keep the order"),
	DC_OPT_INT("seed", 's', &o.seed, 0, 1ll << 53, "N", "seed of all that is drawn"),
	DC_OPT_STR("caption", 0, &o.caption, "SOURCE,...", "where captions are: EXT or json:KEY, the first that gives one; or none"),
	DC_OPT_CHOICE("captions", 0, &o.captions, "draw|first|all", "of several captions: one drawn for each epoch, the first, all"),
	DC_OPT_STR("image", 0, &o.image, "EXT,...", "extensions of images"),
	DC_OPT_FLAG("exif", 0, &o.exif, "turn images upright, as their EXIF orientation says"),
	DC_OPT_FLAG("keep-encoded", 'k', &o.keep_encoded, "send the images as they are; dc-augment decodes them"),
	DC_OPT_FLAG("name-shards", 0, &o.name_shards, "send the base names of the samples' shards too"),
	DC_OPT_INT("max-pixels", 0, &o.max_pixels, 1, 300000000, "N", "refuse larger images, before decoding"),
	DC_OPT_INT("rank", 0, &o.rank, 0, 1 << 20, "N", "this process among --world: takes the slots i with i mod world = rank"),
	DC_OPT_INT("world", 0, &o.world, 1, 1 << 20, "N", "processes that share the batches"),
	DC_OPT_INT("jobs", 'j', &o.jobs, 0, 1024, "N", "threads that decode [all processors]"),
	DC_OPT_FLAG("count", 'c', &o.count, "print the slots of an epoch, without decoding, and stop"),
	DC_OPT_STR("rejects", 0, &o.rejects, "FILE", "list refused samples here, tab-separated"),
	DC_OPT_FLAG("strict", 0, &o.strict, "fail on a damaged shard"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

/* One of a batch's images on its way. */
struct item {
	struct dc_sample *sample;
	struct dc_image image;
	int width, height;
	char *why;            /* it was refused */
};

struct counts { int64_t in, out, rejected[DC_REJECTS], skipped, dropped, unused, others; };

struct run {
	struct dc_shards shards;
	struct dc_sources sources;
	struct dc_reader reader;
	struct dc_rejects rejects;
	struct dc_pool *pool;
	struct dc_out out;
	struct dc_sender *sender;
	struct dc_body body;
	struct dc_progress progress;
	struct counts n;
	enum dc_tail tail;
	int64_t batch;        /* number of the batch being filled */
	int64_t filled;       /* its slots so far, of all ranks */
	int64_t taken, before; /* places of this epoch gone by; those that belong to skipped batches */
	struct item *item; size_t n_items; /* this rank's samples of the batch */
	int labelled;         /* one of them has a label */
	char **damaged; size_t n_damaged;
};

/* --- what is refused or damaged --- */

static void
reject(struct run *r, const struct dc_sample *s, enum dc_reject why, const char *text)
{
	char *reason = dc_xasprintf("%s: %s", dc_reject_names[why], text);

	r->n.rejected[why]++;
	dc_rejects_add(&r->rejects, r->shards.base[s->shard], s->key, s->offset, reason);
	free(reason);
}

static void
on_refuse(void *arg, const struct dc_sample *s, enum dc_reject why, const char *text)
{
	reject(arg, s, why, text);
}

static void
on_damage(void *arg, const char *text)
{
	struct run *r = arg;

	if (!o.strict)
		dc_warn("%s", text);
	r->damaged = dc_xrealloc(r->damaged, r->n_damaged + 1, sizeof *r->damaged);
	r->damaged[r->n_damaged++] = dc_utf8(text);
}

static void
free_sample(struct dc_sample *s)
{
	if (s)
		dc_sample_free(s);
	free(s);
}

static int64_t
n_rejected(const struct run *r)
{
	int64_t n = 0;

	for (int i = 0; i < DC_REJECTS; i++)
		n += r->n.rejected[i];
	return n;
}

/* --- frames --- */

static void
read_header(void *arg, size_t i)
{
	struct item *t = (struct item *)arg + i;

	if (dc_image_header(t->sample->image, t->sample->image_bytes, o.max_pixels, &t->width, &t->height) < 0)
		t->why = dc_xstrdup(dc_err());
}

static void
decode(void *arg, size_t i)
{
	struct item *t = (struct item *)arg + i;

	if (!t->why && dc_image_decode(t->sample->image, t->sample->image_bytes, o.max_pixels, &t->image) < 0)
		t->why = dc_xstrdup(dc_err());
	else if (!t->why && o.exif)
		dc_image_turn(&t->image, dc_exif_orientation(t->sample->image, t->sample->image_bytes));
}

static size_t
item_bytes(const struct item *t)
{
	return t->why ? 0 : o.keep_encoded ? t->sample->image_bytes : (size_t)t->width * t->height * 3;
}

/* How many of the items from `first` on make the next part: bounded in number and in bytes. */
static size_t
part_length(const struct run *r, size_t first)
{
	size_t n = 0, bytes = 0;

	while (first + n < r->n_items && n < DC_PART_MAX) {
		bytes += item_bytes(&r->item[first + n]);
		if (n && bytes > PART_BYTES)
			break;
		n++;
	}
	return n;
}

static void
put_images(struct run *r, struct item *const *v, size_t n)
{
	dc_put_array(&r->body, "image", n);
	for (size_t i = 0; i < n; i++) {
		struct dc_image *im = &v[i]->image;
		if (o.keep_encoded)
			dc_put_data(&r->body, NULL, DC_U8, 1, (int64_t[]){ v[i]->sample->image_bytes }, v[i]->sample->image);
		else
			dc_put_data(&r->body, NULL, DC_U8, 3, (int64_t[]){ im->height, im->width, 3 }, im->rgb);
	}
}

/* Which of the sample's captions go: [*from, *from + count). */
static size_t
choose_captions(const struct dc_sample *s, size_t *from)
{
	struct dc_rng rng;

	*from = 0;
	if (!strcmp(o.captions, "all") || !s->n_captions)
		return s->n_captions;
	if (!strcmp(o.captions, "draw")) {
		dc_rng_init(&rng, o.seed, s->epoch, s->id, 0, DC_RNG_CAPTION);
		*from = dc_rng_below(&rng, s->n_captions);
	}
	return 1;
}

static void
put_captions(struct run *r, struct item *const *v, size_t n)
{
	size_t from, k, total = 0;
	int32_t *image;

	for (size_t i = 0; i < n; i++)
		total += choose_captions(v[i]->sample, &from);
	dc_put_array(&r->body, "caption", total);
	for (size_t i = 0; i < n; i++)
		for (k = choose_captions(v[i]->sample, &from); k > 0; k--)
			dc_put_str(&r->body, NULL, v[i]->sample->caption[from++]);
	image = dc_put_space(&r->body, "caption_image", DC_I32, 1, (int64_t[]){ total });
	for (size_t i = 0; i < n; i++)
		for (k = choose_captions(v[i]->sample, &from); k > 0; k--)
			*image++ = i;
}

static void
put_names(struct run *r, struct item *const *v, size_t n)
{
	int64_t shape[] = { n }, *slot;
	uint64_t *id;
	int32_t *epoch;

	id = dc_put_space(&r->body, "id", DC_U64, 1, shape);
	for (size_t i = 0; i < n; i++)
		id[i] = v[i]->sample->id;
	slot = dc_put_space(&r->body, "slot", DC_I64, 1, shape);
	for (size_t i = 0; i < n; i++)
		slot[i] = v[i]->sample->slot;
	epoch = dc_put_space(&r->body, "epoch", DC_I32, 1, shape);
	for (size_t i = 0; i < n; i++)
		epoch[i] = v[i]->sample->epoch;
	dc_put_array(&r->body, "key", n);
	for (size_t i = 0; i < n; i++)
		dc_put_str(&r->body, NULL, v[i]->sample->key);
	if (!o.name_shards)
		return;
	dc_put_array(&r->body, "shard", n);
	for (size_t i = 0; i < n; i++) {
		char *name = dc_utf8(r->shards.base[v[i]->sample->shard]);
		dc_put_str(&r->body, NULL, name);
		free(name);
	}
}

/* Labels are in all parts of a batch or in none. */
static void
put_labels(struct run *r, struct item *const *v, size_t n)
{
	int32_t *label;

	if (!r->labelled)
		return;
	label = dc_put_space(&r->body, "label", DC_I32, 1, (int64_t[]){ n });
	for (size_t i = 0; i < n; i++)
		label[i] = v[i]->sample->label;
}

/* Decode n items and send those that could be, as part i of n_parts. */
static int
send_part(struct run *r, struct item *item, size_t n, int64_t i, int64_t n_parts)
{
	struct item *good[DC_PART_MAX];
	size_t n_good = 0;

	if (!o.keep_encoded)
		dc_pool_for(r->pool, n, decode, item);
	for (size_t k = 0; k < n; k++) {
		if (item[k].why)
			reject(r, item[k].sample, DC_REJECT_IMAGE, item[k].why);
		else
			good[n_good++] = &item[k];
	}
	put_names(r, good, n_good);
	put_images(r, good, n_good);
	put_captions(r, good, n_good);
	put_labels(r, good, n_good);
	if (o.exif && o.keep_encoded)
		dc_put_bool(&r->body, "exif", 1);
	dc_put_int(&r->body, "position", r->batch + 1);
	dc_put_part(&r->body, i, n_parts);
	r->n.out += n_good;
	return dc_sender_send(r->sender, "samples", r->batch, &r->body);
}

static void
clear_items(struct item *item, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free_sample(item[i].sample);
		free(item[i].why);
		dc_image_free(&item[i].image);
		item[i] = (struct item){ 0 };
	}
}

/* The batch goes out, with no samples too: every rank sends equally many. */
static int
send_batch(struct run *r)
{
	int64_t n_parts = 0, i = 0;
	size_t first, n;
	int ret = DC_FRAME;

	dc_pool_for(r->pool, r->n_items, read_header, r->item);
	for (first = 0; first < r->n_items || !n_parts; first += part_length(r, first))
		n_parts++;
	for (first = 0; i < n_parts && ret == DC_FRAME; first += n) {
		n = part_length(r, first);
		ret = send_part(r, r->item + first, n, i++, n_parts);
		clear_items(r->item + first, n);
	}
	r->n_items = 0;
	r->labelled = 0;
	r->filled = 0;
	r->batch++;
	dc_progress_to(&r->progress, r->n.out);
	return ret;
}

static int
send_end(struct run *r)
{
	const struct { const char *name; int64_t n; } count[] = { { "in", r->n.in }, { "out", r->n.out },
		{ "rejected", n_rejected(r) }, { "skipped", r->n.skipped }, { "dropped", r->n.dropped },
		{ "unused", r->n.unused }, { "other_ranks", r->n.others } };
	size_t n = sizeof count / sizeof *count - (o.world == 1), reasons = 0;

	dc_put_map(&r->body, "counts", n);
	for (size_t i = 0; i < n; i++)
		dc_put_int(&r->body, count[i].name, count[i].n);
	for (int i = 0; i < DC_REJECTS; i++)
		reasons += r->n.rejected[i] > 0;
	dc_put_map(&r->body, "rejected_by", reasons);
	for (int i = 0; i < DC_REJECTS; i++)
		if (r->n.rejected[i])
			dc_put_int(&r->body, dc_reject_names[i], r->n.rejected[i]);
	dc_put_array(&r->body, "damaged", r->n_damaged);
	for (size_t i = 0; i < r->n_damaged; i++)
		dc_put_str(&r->body, NULL, r->damaged[i]);
	dc_put_int(&r->body, "position", r->batch);
	return dc_sender_send(r->sender, "end", r->batch, &r->body);
}

/* --- the order --- */

/* Drop what the batch being filled holds: slots of an epoch's tail, or read for nothing. */
static void
discard(struct run *r, int64_t *count)
{
	*count += r->n_items;
	clear_items(r->item, r->n_items);
	r->n_items = 0;
	r->labelled = 0;
	r->filled = 0;
}

/* Give the epoch's next sample its slot. DC_FRAME, DC_FAIL or DC_GONE. */
static int
take(struct run *r, struct dc_sample *s)
{
	if (r->taken++ < r->before) {
		r->n.skipped++;
		free_sample(s);
		return DC_FRAME;
	}
	s->slot = r->batch * o.batch + r->filled++;
	if (s->slot % o.world == o.rank) {
		r->item[r->n_items++].sample = s;
		r->labelled |= s->has_label || s->bad_label;
	} else {
		r->n.others++;
		free_sample(s);
	}
	return r->filled == o.batch ? send_batch(r) : DC_FRAME;
}

static int
ended(const struct run *r)
{
	return o.steps && r->batch >= o.steps;
}

static void
warn_apart(const struct dc_reader *reader)
{
	if (reader->apart)
		dc_warn("%" PRIu64 " samples lie in pieces: their files must stand next to each other in the tar"
		    " (tar --sort=name)", reader->apart);
}

static void
no_usable(const struct run *r, const struct dc_reader *reader)
{
	char list[1024] = "", where[32], captions[256];

	for (size_t i = 0; i < reader->n_extensions; i++)
		snprintf(list + strlen(list), sizeof list - strlen(list), " .%.20s", reader->extension[i]);
	warn_apart(reader);
	snprintf(where, sizeof where, "%zu shards", r->shards.n);
	snprintf(captions, sizeof captions, "captions in %.100s (--image, --caption; --caption none: images alone)", o.caption);
	dc_err_set("no usable sample in %s: %" PRIu64 " read; extensions seen:%s; looked for images in %s and %s",
	    r->shards.n == 1 ? r->shards.path[0] : where, reader->in, *list ? list : " none", o.image,
	    r->sources.no_captions ? "no captions (--image)" : captions);
}

/* Images there were, but none could be decoded. */
static int
none_decoded(const struct run *r)
{
	return o.world == 1 && !r->n.out && !r->n.skipped && r->n.rejected[DC_REJECT_IMAGE];
}

/* One epoch. DC_FRAME, DC_FAIL or DC_GONE. */
static int
run_epoch(struct run *r, int64_t epoch)
{
	struct dc_sample *s;
	int ret = DC_READER_END, io = DC_FRAME;

	dc_reader_begin(&r->reader, epoch);
	r->taken = 0;
	while (io == DC_FRAME && !ended(r) && (ret = dc_reader_next(&r->reader, &s)) == DC_READER_SAMPLE)
		io = take(r, s);
	if (io != DC_FRAME || ret < 0 || ended(r))
		return io != DC_FRAME ? io : ret == DC_READER_GONE ? DC_GONE : ret < 0 ? DC_FAIL : DC_FRAME;
	r->before = 0;
	if (!r->reader.usable) {
		no_usable(r, &r->reader);
		return DC_FAIL;
	}
	if (r->tail == DC_TAIL_SHORT && r->filled)
		return send_batch(r);
	if (r->tail == DC_TAIL_DROP)
		discard(r, &r->n.dropped);
	if (r->tail == DC_TAIL_DROP && (int64_t)r->reader.usable < o.batch)
		return dc_err_set("an epoch has %" PRIu64 " slots, fewer than --batch %" PRId64 ", and --tail drop drops them",
		    r->reader.usable, o.batch);
	return DC_FRAME;
}

/* The usable samples of an epoch, from the tars alone: a pass of its own. DC_READER_END, _FAIL or _GONE. */
static int
count_pass(struct run *r, struct dc_reader *reader, int64_t *n)
{
	struct dc_sample *s;
	int ret;

	reader->images = 0;
	reader->shuffle = 0;
	dc_reader_begin(reader, 0);
	while ((ret = dc_reader_next(reader, &s)) == DC_READER_SAMPLE)
		free_sample(s);
	*n = reader->usable;
	if (ret == DC_READER_END && !reader->usable) {
		no_usable(r, reader);
		ret = DC_READER_FAIL;
	}
	return ret;
}

static void quiet_refuse(void *arg, const struct dc_sample *s, enum dc_reject why, const char *text)
{
	(void)arg, (void)s, (void)why, (void)text;
}

static void quiet_damage(void *arg, const char *text) { (void)arg, (void)text; }

/* Find where batch --skip begins. Standard input has one epoch and is read but once. DC_FRAME, DC_FAIL or DC_GONE. */
static int
find_start(struct run *r, int64_t *epoch)
{
	struct dc_reader count = r->reader;
	uint64_t *place;
	int64_t n;
	int ret;

	*epoch = 0;
	r->batch = o.skip;
	r->before = o.skip * o.batch;
	if (!o.skip || r->shards.has_stdin)
		return DC_FRAME;
	count.refuse = quiet_refuse;
	count.damage = quiet_damage;
	ret = count_pass(r, &count, &n);
	dc_reader_free(&count);
	if (ret != DC_READER_END)
		return ret == DC_READER_GONE ? DC_GONE : DC_FAIL;
	if (dc_plan_start(r->tail, n, o.batch, o.skip, epoch, &r->before) < 0) {
		*epoch = 0; /* run_epoch says why */
		r->before = 0;
		return DC_FRAME;
	}
	place = dc_xcalloc(n, sizeof *place);
	dc_plan_places(o.seed, *epoch, n, o.shuffle, place);
	r->reader.place = place;
	r->reader.n_place = n;
	r->reader.before = r->before;
	r->n.skipped = *epoch * (r->tail == DC_TAIL_DROP ? n / o.batch * o.batch : n);
	r->n.in = r->n.skipped;
	return DC_FRAME;
}

/* Every epoch, then the rest, then the end. DC_FRAME, DC_FAIL or DC_GONE. */
static int
run_epochs(struct run *r)
{
	int64_t epoch, epochs = o.steps && !dc_opts_given("epochs") && !r->shards.has_stdin ? INT64_MAX : o.epochs;
	int ret = find_start(r, &epoch);

	dc_progress_init(&r->progress, "samples", 0, o.steps > o.skip ? (o.steps - o.skip) * o.batch / o.world : 0);
	for (; ret == DC_FRAME && epoch < epochs && !ended(r); epoch++) {
		ret = run_epoch(r, epoch);
		free((void *)r->reader.place);
		r->reader.place = NULL;
		if (ret == DC_FRAME && none_decoded(r))
			ret = dc_err_set("no image could be decoded (%" PRId64 " tried; --rejects FILE says why)",
			    r->n.rejected[DC_REJECT_IMAGE]);
	}
	if (ret == DC_FRAME && r->filled)
		ret = send_batch(r);
	if (ret == DC_FRAME && none_decoded(r))
		ret = dc_err_set("no image could be decoded (%" PRId64 " tried; --rejects FILE says why)",
		    r->n.rejected[DC_REJECT_IMAGE]);
	return ret;
}

static void
report(struct run *r, int all)
{
	const char *sep = " (";

	if (!all && !n_rejected(r))
		return;
	fprintf(stderr, "%s: %" PRId64 " in = %" PRId64 " out + %" PRId64 " rejected", dc_progname, r->n.in, r->n.out,
	    n_rejected(r));
	for (int i = 0; i < DC_REJECTS; i++)
		if (r->n.rejected[i]) {
			fprintf(stderr, "%s%" PRId64 " %s", sep, r->n.rejected[i], dc_reject_names[i]);
			sep = ", ";
		}
	fprintf(stderr, "%s + %" PRId64 " skipped + %" PRId64 " dropped + %" PRId64 " unused", *sep == ',' ? ")" : "",
	    r->n.skipped, r->n.dropped, r->n.unused);
	if (o.world > 1)
		fprintf(stderr, " + %" PRId64 " of other ranks", r->n.others);
	fputc('\n', stderr);
}

static void
warn_oddities(struct run *r)
{
	if (r->reader.bad_labels)
		dc_warn("%" PRIu64 " samples have a .cls that is no whole number: label -1", r->reader.bad_labels);
	warn_apart(&r->reader);
	if (o.steps && r->batch < o.steps)
		dc_warn("the shards gave %" PRId64 " batches, fewer than --steps %" PRId64, r->batch, o.steps);
}

static int
run(struct run *r)
{
	int ret, sent;

	if (dc_out_init(&r->out, STDOUT_FILENO, "<stdout>") < 0)
		dc_die_usage("%s", dc_err());
	r->reader.watch = r->out.fd;
	r->pool = dc_pool_new(o.jobs ? o.jobs : dc_cpus());
	r->sender = dc_sender_new(&r->out);
	r->item = dc_xcalloc(o.batch, sizeof *r->item);
	if ((ret = run_epochs(r)) == DC_FRAME) {
		r->n.in += r->reader.in;
		r->n.unused += dc_reader_left(&r->reader);
		ret = send_end(r);
	}
	if (ret != DC_FRAME) {
		int status = dc_write_status(ret);
		(void)!dc_sender_finish(r->sender); /* what was handed over still goes out whole */
		return status;
	}
	if ((sent = dc_sender_finish(r->sender)) != DC_FRAME)
		return dc_write_status(sent);
	if (close(STDOUT_FILENO) < 0) {
		dc_warn_errno("<stdout>");
		return DC_EXIT_FAIL;
	}
	dc_progress_end(&r->progress, r->batch - o.skip, o.verbose);
	warn_oddities(r);
	report(r, o.verbose);
	return DC_EXIT_OK;
}

static int
count(struct run *r)
{
	int64_t n;
	int ret = count_pass(r, &r->reader, &n);

	if (ret != DC_READER_END)
		return dc_write_status(ret);
	printf("%" PRId64 "\n", n);
	r->n.in = r->reader.in;
	r->n.out = n;
	report(r, 0);
	return dc_fshut(stdout, "<stdout>") < 0 ? dc_write_status(DC_FAIL) : DC_EXIT_OK;
}

/* The rules between options. */
static void
check_opts(struct run *r)
{
	if (!r->shards.n)
		dc_die_usage("no shard given");
	if (o.rank >= o.world)
		dc_die_usage("--rank %" PRId64 ": must be below --world %" PRId64, o.rank, o.world);
	if (r->shards.has_stdin && o.epochs > 1)
		dc_die_usage("standard input (-) can be read once only: --epochs %" PRId64 " needs files", o.epochs);
	if (r->shards.has_stdin && isatty(STDIN_FILENO))
		dc_die_usage("standard input (-) is a terminal, not a tar");
	if (dc_sources_captions(&r->sources, o.caption) < 0)
		dc_die_usage("--caption %s: %s", o.caption, dc_err());
	if (dc_sources_images(&r->sources, o.image) < 0)
		dc_die_usage("--image %s: %s", o.image, dc_err());
	if (dc_shards_check(&r->shards) < 0)
		dc_die("%s", dc_err());
}

int
main(int argc, char **argv)
{
	static struct run r;
	int first, status;

	dc_main_init("dc-decode");
	dc_keep_memory();
	first = dc_opts_parse(argc, argv, "[options] SHARD...",
	    "reads tar shards of images and captions and writes samples", table);
	if (dc_shards_expand(&r.shards, argv + first, argc - first) < 0)
		dc_die_usage("%s", dc_err());
	check_opts(&r);
	r.tail = !strcmp(o.tail, "carry") ? DC_TAIL_CARRY : !strcmp(o.tail, "short") ? DC_TAIL_SHORT : DC_TAIL_DROP;
	if (o.rejects && dc_rejects_open(&r.rejects, o.rejects, o.skip > 0) < 0)
		dc_die("%s", dc_err());
	r.reader = (struct dc_reader){ .shards = &r.shards, .sources = &r.sources, .seed = o.seed, .shuffle = o.shuffle,
		.strict = o.strict, .images = 1, .watch = -1, .refuse = on_refuse, .damage = on_damage, .arg = &r };
	status = o.count ? count(&r) : run(&r);
	if (dc_rejects_close(&r.rejects) < 0 && status == DC_EXIT_OK)
		status = dc_write_status(DC_FAIL);
	return status;
}
