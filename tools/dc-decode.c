/* SPDX-License-Identifier: MIT */
/* dc-decode: tar shards of images and captions -> samples frames. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/progress.h"
#include "base/util.h"
#include "data/feed.h"
#include "data/plan.h"
#include "data/reader.h"
#include "stream/stall.h"
#include "stream/stream.h"

static struct {
	int64_t batch, epochs, steps, shuffle, seed, rank, world, skip, jobs, max_pixels;
	const char *caption, *captions, *image, *tail, *rejects;
	int count, exif, keep_encoded, name_shards, strict, verbose;
} o = { .batch = 64, .epochs = 1, .world = 1, .max_pixels = 25000000, .caption = "txt", .captions = "draw",
	.image = "jpg,jpeg,png,webp", .tail = "carry" };

static struct dc_stall stall = DC_STALL_DEFAULT;

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
	DC_OPTS_STALL(&stall),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

struct run {
	struct dc_shards shards;
	struct dc_sources sources;
	struct dc_reader reader;
	struct dc_feed feed;
	enum dc_tail tail;
	int64_t taken, before; /* places of this epoch gone by; those that belong to skipped batches */
};

static void
on_refuse(void *arg, const struct dc_sample *s, enum dc_reject why, const char *text)
{
	dc_feed_reject(arg, s, why, text);
}

static void
on_damage(void *arg, const char *text)
{
	if (!o.strict)
		dc_warn("%s", text);
	dc_feed_damaged(arg, text);
}

/* --- the order --- */

/* Give the epoch's next sample its slot. DC_FRAME, DC_FAIL or DC_GONE. */
static int
take(struct run *r, struct dc_sample *s)
{
	if (r->taken++ >= r->before)
		return dc_feed_take(&r->feed, s);
	r->feed.n.skipped++;
	dc_sample_free(s);
	free(s);
	return DC_FRAME;
}

static int
ended(const struct run *r)
{
	return o.steps && r->feed.at >= o.steps;
}

static void
warn_apart(const struct dc_reader *reader)
{
	if (reader->apart)
		dc_warn("%" PRIu64 " samples lie in pieces: their files must stand next to each other in the tar"
		    " (tar --sort=name)", reader->apart);
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
		warn_apart(&r->reader);
		return dc_reader_none(&r->reader, NULL);
	}
	if (r->tail == DC_TAIL_SHORT)
		return dc_feed_flush(&r->feed);
	if (r->tail == DC_TAIL_DROP)
		dc_feed_discard(&r->feed, &r->feed.n.dropped);
	if (r->tail == DC_TAIL_DROP && (int64_t)r->reader.usable < o.batch)
		return dc_err_set("an epoch has %" PRIu64 " slots, fewer than --batch %" PRId64 ", and --tail drop drops them",
		    r->reader.usable, o.batch);
	return DC_FRAME;
}

/* Find where batch --skip begins. Standard input has one epoch and is read but once. DC_FRAME, DC_FAIL or DC_GONE. */
static int
find_start(struct run *r, int64_t *epoch)
{
	int64_t n;
	int ret;

	*epoch = 0;
	r->feed.at = o.skip;
	r->before = o.skip * o.batch;
	if (!o.skip || r->shards.has_stdin)
		return DC_FRAME;
	if ((ret = dc_reader_count(&r->reader, &n)) != DC_READER_END)
		return ret == DC_READER_GONE ? DC_GONE : DC_FAIL;
	if (dc_plan_start(r->tail, n, o.batch, o.skip, epoch, &r->before) < 0) {
		*epoch = 0; /* run_epoch says why */
		r->before = 0;
		return DC_FRAME;
	}
	dc_reader_pass_over(&r->reader, *epoch, n, r->before);
	r->feed.n.skipped = *epoch * (r->tail == DC_TAIL_DROP ? n / o.batch * o.batch : n);
	r->feed.n.in = r->feed.n.skipped;
	return DC_FRAME;
}

/* Every epoch, then the rest, then the end. DC_FRAME, DC_FAIL or DC_GONE. */
static int
run_epochs(struct run *r)
{
	int64_t epoch, epochs = o.steps && !dc_opts_given("epochs") && !r->shards.has_stdin ? INT64_MAX : o.epochs;
	int ret = find_start(r, &epoch);

	dc_progress_init(&r->feed.progress, "samples", 0, o.steps > o.skip ? (o.steps - o.skip) * o.batch / o.world : 0);
	for (; ret == DC_FRAME && epoch < epochs && !ended(r); epoch++)
		if ((ret = run_epoch(r, epoch)) == DC_FRAME)
			ret = dc_feed_check(&r->feed);
	if (ret == DC_FRAME)
		ret = dc_feed_flush(&r->feed);
	return ret == DC_FRAME ? dc_feed_check(&r->feed) : ret;
}

static void
warn_oddities(struct run *r)
{
	if (r->reader.bad_labels)
		dc_warn("%" PRIu64 " samples have a .cls that is no whole number: label -1", r->reader.bad_labels);
	warn_apart(&r->reader);
	if (o.steps && r->feed.at < o.steps)
		dc_warn("the shards gave %" PRId64 " batches, fewer than --steps %" PRId64, r->feed.at, o.steps);
}

static int
run(struct run *r)
{
	struct dc_feed *f = &r->feed;
	int ret, status;

	if (dc_feed_open(f, (int)o.jobs) < 0)
		dc_die_usage("%s", dc_err());
	r->reader.watch = f->out.fd;
	if ((ret = run_epochs(r)) == DC_FRAME) {
		f->n.in += (int64_t)r->reader.in;
		f->n.unused += (int64_t)dc_reader_left(&r->reader);
		ret = dc_feed_end(f, NULL, NULL);
	}
	if ((status = dc_feed_close(f, ret)) != DC_EXIT_OK)
		return status;
	dc_progress_end(&f->progress, (uint64_t)(f->at - o.skip), o.verbose);
	warn_oddities(r);
	dc_feed_report(f, o.verbose);
	return DC_EXIT_OK;
}

static int
count(struct run *r)
{
	int64_t n;
	int ret = dc_reader_count_aloud(&r->reader, &n);

	if (ret != DC_READER_END) {
		warn_apart(&r->reader);
		return dc_write_status(ret);
	}
	printf("%" PRId64 "\n", n);
	r->feed.n.in = (int64_t)r->reader.in;
	r->feed.n.out = n;
	dc_feed_report(&r->feed, 0);
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
	dc_stall_start(&stall);
	if (dc_shards_expand(&r.shards, argv + first, argc - first) < 0)
		dc_die_usage("%s", dc_err());
	check_opts(&r);
	r.tail = !strcmp(o.tail, "carry") ? DC_TAIL_CARRY : !strcmp(o.tail, "short") ? DC_TAIL_SHORT : DC_TAIL_DROP;
	r.feed = (struct dc_feed){ .batch = o.batch, .world = o.world, .rank = o.rank, .seed = (uint64_t)o.seed,
		.max_pixels = (uint64_t)o.max_pixels, .captions = o.captions, .exif = o.exif, .keep_encoded = o.keep_encoded,
		.name_shards = o.name_shards, .shards = &r.shards };
	if (o.rejects && dc_rejects_open(&r.feed.rejects, o.rejects, o.skip > 0) < 0)
		dc_die("%s", dc_err());
	r.reader = (struct dc_reader){ .shards = &r.shards, .sources = &r.sources, .seed = o.seed, .shuffle = o.shuffle,
		.strict = o.strict, .images = 1, .watch = -1, .refuse = on_refuse, .damage = on_damage, .arg = &r.feed };
	status = o.count ? count(&r) : run(&r);
	if (dc_rejects_close(&r.feed.rejects) < 0 && status == DC_EXIT_OK)
		status = dc_write_status(DC_FAIL);
	return status;
}
