/* SPDX-License-Identifier: MIT */
/* dc-mix: several sets of tar shards, in exact proportions -> samples frames. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/progress.h"
#include "base/util.h"
#include "data/feed.h"
#include "data/mix.h"
#include "stream/stall.h"
#include "stream/stream.h"

static struct {
	int64_t batch, epochs, steps, shuffle, seed, rank, world, skip, jobs, max_pixels;
	const char *caption, *captions, *image, *rejects;
	int count, exif, keep_encoded, name_shards, strict, verbose;
} o = { .batch = 64, .epochs = 1, .world = 1, .max_pixels = 25000000, .caption = "txt", .captions = "draw",
	.image = "jpg,jpeg,png,webp" };

static struct dc_stall stall = DC_STALL_DEFAULT;

static const struct dc_opt table[] = {
	DC_OPT_INT("batch", 'b', &o.batch, 1, 1 << 20, "N", "slots in a batch, over all ranks"),
	DC_OPT_INT("epochs", 'e', &o.epochs, 1, 1000000, "N", "as many samples as N epochs of all sources have together"),
	DC_OPT_INT("steps", 'n', &o.steps, 0, 1ll << 40, "N", "end after batch N of the run, whatever epochs it takes"),
	DC_OPT_INT("skip", 0, &o.skip, 0, 1ll << 40, "N", "leave out the run's first N batches, without decoding"),
	DC_OPT_INT("shuffle", 0, &o.shuffle, 0, 1 << 24, "N", "shuffle each source's shards and a buffer of N samples; 0: keep the order"),
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
	DC_OPT_FLAG("count", 'c', &o.count, "print the samples of an epoch of all sources, without decoding, and stop"),
	DC_OPT_STR("rejects", 0, &o.rejects, "FILE", "list refused samples here, tab-separated"),
	DC_OPT_FLAG("strict", 0, &o.strict, "fail on a damaged shard"),
	DC_OPTS_STALL(&stall),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

struct run {
	struct dc_sources sources;
	struct dc_mix mix;
	struct dc_feed feed;
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

/* The samples of the whole run; INT64_MAX where only --steps ends it. DC_FRAME, DC_FAIL or DC_GONE. */
static int
find_end(struct run *r, int64_t *samples)
{
	const int epochs = !o.steps || dc_opts_given("epochs");
	int ret = DC_READER_END;

	if (epochs || o.skip)
		ret = dc_mix_count(&r->mix);
	*samples = epochs ? r->mix.samples * o.epochs : INT64_MAX;
	if (o.steps && *samples / o.batch >= o.steps)
		*samples = o.steps * o.batch;
	return ret == DC_READER_END ? DC_FRAME : ret == DC_READER_GONE ? DC_GONE : DC_FAIL;
}

/* All samples from the first that is wanted. DC_FRAME, DC_FAIL or DC_GONE. */
static int
send_samples(struct run *r)
{
	struct dc_feed *f = &r->feed;
	struct dc_sample *s;
	int64_t samples, at = o.skip * o.batch;
	int ret = find_end(r, &samples), got, again;

	if (ret != DC_FRAME)
		return ret;
	f->at = o.skip;
	if (o.skip)
		dc_mix_skip(&r->mix, at);
	dc_progress_init(&f->progress, "samples", 0, samples == INT64_MAX || samples < at ? 0 : (uint64_t)((samples - at) / o.world));
	for (; ret == DC_FRAME && at < samples; at++) {
		if ((got = dc_mix_next(&r->mix, &s)) != DC_READER_SAMPLE)
			return got == DC_READER_GONE ? DC_GONE : DC_FAIL;
		again = s->epoch > 0; /* a source has been read through */
		ret = dc_feed_take(f, s);
		if (ret == DC_FRAME && again)
			ret = dc_feed_check(f);
	}
	if (ret == DC_FRAME)
		ret = dc_feed_flush(f);
	return ret == DC_FRAME ? dc_feed_check(f) : ret;
}

/* How far each source is, for the end frame: its samples and epochs since the run began. */
static void
put_sources(void *arg, struct dc_body *b)
{
	const struct dc_mix *m = arg;

	dc_put_map(b, "sources", m->n);
	for (size_t i = 0; i < m->n; i++) {
		const int64_t n = m->source[i].n;
		dc_put_map(b, m->source[i].name, n ? 2 : 1);
		dc_put_int(b, "samples", m->taken[i]);
		if (n)
			dc_put_double(b, "epochs", (double)m->taken[i] / (double)n);
	}
}

static void
count_in(struct run *r)
{
	struct dc_feed_counts *n = &r->feed.n;

	n->skipped = r->mix.skipped;
	n->in = r->mix.passed;
	for (size_t i = 0; i < r->mix.n; i++) {
		n->in += (int64_t)r->mix.source[i].reader.in;
		n->unused += (int64_t)dc_reader_left(&r->mix.source[i].reader);
	}
}

static void
print_sources(const struct dc_mix *m, const int64_t *taken)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct dc_mix_source *s = &m->source[i];
		fprintf(stderr, "%s: %s: weight %" PRId64 ", %" PRId64 " samples", dc_progname, s->name, s->weight, taken[i]);
		if (s->n)
			fprintf(stderr, " = %.3f epochs of %" PRId64, (double)taken[i] / (double)s->n, s->n);
		fputc('\n', stderr);
	}
}

static void
warn_oddities(const struct run *r)
{
	uint64_t labels = 0, apart = 0;

	for (size_t i = 0; i < r->mix.n; i++) {
		labels += r->mix.source[i].reader.bad_labels;
		apart += r->mix.source[i].reader.apart;
	}
	if (labels)
		dc_warn("%" PRIu64 " samples have a .cls that is no whole number: label -1", labels);
	if (apart)
		dc_warn("%" PRIu64 " samples lie in pieces: their files must stand next to each other in the tar (tar --sort=name)", apart);
}

static int
run(struct run *r)
{
	struct dc_feed *f = &r->feed;
	int ret, status;

	if (dc_feed_open(f, (int)o.jobs) < 0)
		dc_die_usage("%s", dc_err());
	for (size_t i = 0; i < r->mix.n; i++)
		r->mix.source[i].reader.watch = f->out.fd;
	if ((ret = send_samples(r)) == DC_FRAME) {
		count_in(r);
		ret = dc_feed_end(f, put_sources, &r->mix);
	}
	if ((status = dc_feed_close(f, ret)) != DC_EXIT_OK)
		return status;
	dc_progress_end(&f->progress, (uint64_t)(f->at - o.skip), o.verbose);
	warn_oddities(r);
	dc_feed_report(f, o.verbose);
	if (o.verbose)
		print_sources(&r->mix, r->mix.taken);
	return DC_EXIT_OK;
}

static int
count(struct run *r)
{
	int ret = dc_mix_count(&r->mix);

	if (ret != DC_READER_END)
		return dc_write_status(ret);
	printf("%" PRId64 "\n", r->mix.samples);
	dc_mix_shares(&r->mix, r->mix.samples, r->mix.taken);
	if (o.verbose)
		print_sources(&r->mix, r->mix.taken);
	return dc_fshut(stdout, "<stdout>") < 0 ? dc_write_status(DC_FAIL) : DC_EXIT_OK;
}

int
main(int argc, char **argv)
{
	static struct run r;
	int first, status;

	dc_main_init("dc-mix");
	dc_keep_memory();
	first = dc_opts_parse(argc, argv, "[options] NAME=WEIGHT:SHARDS...",
	    "reads several sets of tar shards in exact proportions and writes samples", table);
	dc_stall_start(&stall);
	if (o.rank >= o.world)
		dc_die_usage("--rank %" PRId64 ": must be below --world %" PRId64, o.rank, o.world);
	if (dc_sources_captions(&r.sources, o.caption) < 0)
		dc_die_usage("--caption %s: %s", o.caption, dc_err());
	if (dc_sources_images(&r.sources, o.image) < 0)
		dc_die_usage("--image %s: %s", o.image, dc_err());
	r.feed = (struct dc_feed){ .batch = o.batch, .world = o.world, .rank = o.rank, .seed = (uint64_t)o.seed,
		.max_pixels = (uint64_t)o.max_pixels, .captions = o.captions, .exif = o.exif, .keep_encoded = o.keep_encoded,
		.name_shards = o.name_shards, .shards = &r.mix.shards };
	r.mix = (struct dc_mix){ .sources = &r.sources, .seed = (uint64_t)o.seed, .shuffle = (size_t)o.shuffle, .strict = o.strict,
		.watch = -1, .refuse = on_refuse, .damage = on_damage, .arg = &r.feed };
	for (int i = first; i < argc; i++)
		if (dc_mix_add(&r.mix, argv[i]) < 0)
			dc_die_usage("%s", dc_err());
	if (first == argc)
		dc_die_usage("no source given");
	if (dc_mix_begin(&r.mix) < 0)
		dc_die("%s", dc_err());
	if (o.rejects && dc_rejects_open(&r.feed.rejects, o.rejects, o.skip > 0) < 0)
		dc_die("%s", dc_err());
	status = o.count ? count(&r) : run(&r);
	if (dc_rejects_close(&r.feed.rejects) < 0 && status == DC_EXIT_OK)
		status = dc_write_status(DC_FAIL);
	return status;
}
