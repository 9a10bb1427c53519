/* SPDX-License-Identifier: MIT */
/* dc-shard: folders, listings or samples frames -> tar shards in WebDataset's layout. */
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/pool.h"
#include "base/progress.h"
#include "shard/build.h"
#include "shard/frames.h"
#include "shard/items.h"
#include "shard/make.h"
#include "stream/stream.h"

enum { WINDOW = 128 /* items that are made at a time */ };

static struct {
	const char *out, *prefix, *list, *format, *root, *caption, *split, *rejects;
	int64_t samples, megabytes, max_side, quality, max_pixels, shuffle, jobs;
	int captionless, exif, decode, verbose;
} o = { .prefix = "data", .caption = "txt,json:captions", .samples = 10000, .max_pixels = 100000000 };

static const struct dc_opt table[] = {
	DC_OPT_STR("out", 'o', &o.out, "DIR", "write the shards there; needed"),
	DC_OPT_STR("prefix", 'p', &o.prefix, "NAME", "shards are named NAME-000000.tar ..."),
	DC_OPT_INT("samples", 'n', &o.samples, 0, 1ll << 40, "N", "samples in a shard, at most; 0: no limit"),
	DC_OPT_INT("megabytes", 'm', &o.megabytes, 0, 1 << 30, "N", "size of a shard, at most, in MB (10^6 bytes); 0: no limit"),
	DC_OPT_STR("list", 'l', &o.list, "FILE", "the images and captions that FILE lists; - is standard input"),
	DC_OPT_CHOICE("format", 0, &o.format, "tsv|csv|jsonl", "of --list [by its name, else tsv]"),
	DC_OPT_STR("root", 0, &o.root, "DIR", "where the paths of --list begin [the current directory]"),
	DC_OPT_STR("caption", 0, &o.caption, "SOURCE,...", "beside an image: EXT or json:KEY, the first that gives one"),
	DC_OPT_FLAG("captionless", 0, &o.captionless, "take images without a caption too"),
	DC_OPT_INT("max-side", 0, &o.max_side, 0, 65500, "N", "make images smaller whose longer side has more pixels; 0: none"),
	DC_OPT_INT("quality", 0, &o.quality, 0, 100, "N", "encode every image anew, as JPEG of this quality; 0: none"),
	DC_OPT_FLAG("exif", 0, &o.exif, "turn images upright that their EXIF says are not"),
	DC_OPT_FLAG("decode", 0, &o.decode, "decode every image, to refuse those that are broken behind their headers"),
	DC_OPT_INT("max-pixels", 0, &o.max_pixels, 1, 300000000, "N", "refuse larger images"),
	DC_OPT_STR("split", 0, &o.split, "A,B[,C]", "shares of train, val and test, by the hash of the key"),
	DC_OPT_INT("shuffle", 0, &o.shuffle, 0, 1ll << 53, "SEED", "a random order [byte order of the paths]"),
	DC_OPT_STR("rejects", 0, &o.rejects, "FILE", "list what is refused, with the reasons, tab-separated"),
	DC_OPT_INT("jobs", 'j', &o.jobs, 0, 1024, "N", "threads that read and encode [all processors]"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

/* Items on their way: made by the pool, then written by a thread while the pool makes the next ones. */
struct window {
	struct dc_place place[WINDOW];
	const struct dc_item *item[WINDOW];
	struct dc_frame_item *frame_item;   /* of a frame: item[i] points into it */
	struct dc_made made[WINDOW];
	size_t n, n_frame_items;
};

struct run {
	struct dc_make_how how;
	struct dc_build build;
	struct dc_pool *pool;
	struct dc_progress progress;
	struct window window[2], *w;        /* the one being filled */
	struct window *writing;
	pthread_t writer; int started;
	char *write_error;
};

/* --- windows --- */

static void
make(void *arg, size_t i)
{
	struct run *r = arg;
	struct window *w = r->w;

	if (w->frame_item)
		dc_make_frame_item(&w->made[i], (const struct dc_frame_item *)(const void *)w->item[i], &r->how);
	else
		dc_make_file(&w->made[i], w->item[i], &r->how);
}

static void *
write_window(void *arg)
{
	struct run *r = arg;
	struct window *w = r->writing;

	for (size_t i = 0; i < w->n; i++) {
		if (!r->write_error && dc_build_add(&r->build, &w->place[i], w->item[i]->key, w->item[i]->name, &w->made[i]) < 0)
			r->write_error = dc_xstrdup(dc_err());
		dc_made_free(&w->made[i]);
	}
	dc_frame_items_free(w->frame_item, w->n_frame_items);
	w->frame_item = NULL;
	w->n = w->n_frame_items = 0;
	return NULL;
}

/* Wait for what is being written. 0, or -1 with a message. */
static int
written(struct run *r)
{
	if (r->started)
		pthread_join(r->writer, NULL);
	r->started = 0;
	return r->write_error ? dc_err_set("%s", r->write_error) : 0;
}

/* Make what the window holds and have it written. 0, or -1 with a message: of an earlier window, perhaps. */
static int
flush(struct run *r)
{
	dc_pool_for(r->pool, r->w->n, make, r);
	DC_TRY(written(r));
	r->writing = r->w;
	r->w = r->w == r->window ? r->window + 1 : r->window;
	r->started = pthread_create(&r->writer, NULL, write_window, r) == 0;
	if (!r->started)
		write_window(r);
	dc_progress_to(&r->progress, r->build.in);
	return 0;
}

static void
offer(struct run *r, const struct dc_item *it)
{
	struct window *w = r->w;

	w->item[w->n] = it;
	w->n += (size_t)dc_build_wants(&r->build, dc_build_split(&r->build, it->hash), &w->place[w->n]);
}

/* --- sources --- */

static int
run_items(struct run *r, const struct dc_items *l)
{
	dc_progress_init(&r->progress, "images", 0, l->n);
	for (size_t i = 0; i < l->n; i++) {
		offer(r, &l->item[i]);
		if (r->w->n == WINDOW)
			DC_TRY(flush(r));
	}
	DC_TRY(flush(r));
	return written(r);
}

static int
run_frame(struct run *r, struct dc_frame *f, struct dc_keys *keys)
{
	struct dc_frame_item *v;
	size_t n;
	int exif, r2;
	const int asked = r->how.exif;

	DC_TRY(dc_frame_items(f, keys, &v, &n, &exif));
	if (n > DC_PART_MAX || (n && v[0].image.ndim == 3 && !r->how.quality)) {
		dc_frame_items_free(v, n);
		return n > DC_PART_MAX ? dc_frame_err(f, "%zu samples, more than %d", n, DC_PART_MAX)
		    : dc_frame_err(f, "decoded images: --quality is needed to encode them (or dc-decode --keep-encoded)");
	}
	r->w->frame_item = v;
	r->w->n_frame_items = n;
	for (size_t i = 0; i < n; i++)
		offer(r, &v[i].item);
	r->how.exif |= exif;
	r2 = flush(r);
	r->how.exif = asked;
	return r2;
}

/* Return the exit status so far; *r is written up to what came. */
static int
run_stream(struct run *r)
{
	struct dc_in in;
	struct dc_frame f = { 0 };
	struct dc_keys keys = { 0 };
	int ret, ended = 0, any = 0;

	dc_in_init(&in, STDIN_FILENO, "<stdin>");
	dc_progress_init(&r->progress, "images", 0, 0);
	while (!ended && (ret = dc_frame_read(&in, &f)) == DC_FRAME) {
		ended = !strcmp(f.kind, "end");
		if (!strcmp(f.kind, "samples") && (any = 1) && run_frame(r, &f, &keys) < 0) {
			ret = DC_FAIL;
			break;
		}
	}
	if (ended && !any)
		ret = dc_err_set("<stdin>: no samples among the frames");
	if (written(r) < 0)
		ret = DC_FAIL;
	dc_keys_free(&keys);
	ret = ended && ret == DC_FRAME ? DC_EXIT_OK : dc_io_status(&in, ret);
	dc_frame_free(&f);
	return ret;
}

/* --- the whole --- */

static void
report(const struct run *r)
{
	const struct dc_build *b = &r->build;

	if (o.verbose || b->rejected)
		fprintf(stderr, "%s: %" PRIu64 " in = %" PRIu64 " out + %" PRIu64 " rejected, %" PRIu64 " shards\n", dc_progname,
		    b->in, b->out, b->rejected, b->shards);
}

static char *
options_text(const char *from)
{
	return dc_xasprintf("%s --prefix %s --samples %lld --megabytes %lld --caption %s%s%s%s --max-side %lld --quality %lld"
	    " --max-pixels %lld%s%s --shuffle %lld", from, o.prefix, (long long)o.samples, (long long)o.megabytes, o.caption,
	    o.captionless ? " --captionless" : "", o.exif ? " --exif" : "", o.decode ? " --decode" : "", (long long)o.max_side,
	    (long long)o.quality, (long long)o.max_pixels, o.split ? " --split " : "", o.split ? o.split : "",
	    (long long)(dc_opts_given("shuffle") ? o.shuffle : -1));
}

static int
finish(struct run *r)
{
	if (dc_build_close(&r->build, o.rejects) < 0) {
		dc_warn("%s", dc_err());
		return DC_EXIT_FAIL;
	}
	dc_progress_end(&r->progress, 0, o.verbose);
	report(r);
	if (r->build.out)
		return DC_EXIT_OK;
	dc_warn("no sample is left of %" PRIu64 " images (--rejects FILE says why)", r->build.in);
	return DC_EXIT_FAIL;
}

static int
run(struct run *r, const struct dc_items *l)
{
	char digest[33] = "stream", *options = options_text(l ? "files" : "stream");
	int status = DC_EXIT_OK;

	if (l)
		dc_items_digest(l, digest);
	r->w = r->window;
	r->pool = dc_pool_new(o.jobs ? (int)o.jobs : dc_cpus());
	if (dc_build_open(&r->build, options, digest) < 0) {
		dc_warn("%s", dc_err());
		status = DC_EXIT_FAIL;
	} else if (r->build.whole) {
		dc_progress_init(&r->progress, "images", 0, 0);
	} else if (!l) {
		status = run_stream(r);
	} else if (run_items(r, l) < 0) {
		(void)!written(r);
		dc_warn("%s", r->write_error ? r->write_error : dc_err());
		status = DC_EXIT_FAIL;
	}
	if (status == DC_EXIT_OK)
		status = finish(r);
	dc_build_free(&r->build);
	dc_pool_free(r->pool);
	free(r->write_error);
	free(options);
	return status;
}

static void
set_splits(struct dc_build *b)
{
	static const char *const name[DC_SPLITS] = { "train", "val", "test" };
	char *copy = dc_xstrdup(o.split ? o.split : "1"), *rest = copy, *one;
	double sum = 0;

	while ((one = strsep(&rest, ","))) {
		if (b->n_splits == DC_SPLITS)
			dc_die_usage("--split %s: at most %d shares", o.split, DC_SPLITS);
		if (dc_parse_double("--split", one, 0, 1, &b->split[b->n_splits].share) < 0)
			dc_die_usage("%s", dc_err());
		b->split[b->n_splits].prefix = o.split ? name[b->n_splits] : o.prefix;
		sum += b->split[b->n_splits++].share;
	}
	free(copy);
	if (fabs(sum - 1) > 1e-6)
		dc_die_usage("--split %s: the shares add up to %g, not to 1", o.split, sum);
}

static enum dc_listing
format(void)
{
	const char *dot = strrchr(o.list, '.'), *f = o.format ? o.format : dot ? dot + 1 : "";

	return !strcasecmp(f, "csv") ? DC_LISTING_CSV : !strcasecmp(f, "jsonl") || !strcasecmp(f, "json") || !strcasecmp(f, "ndjson")
	    ? DC_LISTING_JSONL : DC_LISTING_TSV;
}

/* The rules between options. */
static void
check_opts(int n, char **operand)
{
	const int stream = n == 1 && !strcmp(operand[0], "-");

	if (!o.out)
		dc_die_usage("--out DIR is needed");
	if (!n && !o.list)
		dc_die_usage("no folder given, nor --list FILE, nor - for samples frames");
	for (int i = 0; i < n; i++)
		if (!stream && !strcmp(operand[i], "-"))
			dc_die_usage("- (samples frames) stands alone");
	if (n && o.list)
		dc_die_usage("give folders or --list, not both");
	if ((o.format || o.root) && !o.list)
		dc_die_usage("--format and --root are for --list");
	if (stream && dc_opts_given("shuffle"))
		dc_die_usage("--shuffle needs files; samples frames are written as they come");
	if (o.split && dc_opts_given("prefix"))
		dc_die_usage("--split names the shards train, val and test: no --prefix then");
	if (!*o.prefix || strchr(o.prefix, '/'))
		dc_die_usage("--prefix %s: a name, without /", o.prefix);
	if (stream && isatty(STDIN_FILENO))
		dc_die_usage("standard input (-) is a terminal, not a stream");
}

static void
list_items(struct dc_items *l, int n, char **folder)
{
	for (int i = 0; i < n; i++)
		if (dc_items_tree(l, folder[i]) < 0)
			dc_die("%s", dc_err());
	if (o.list && dc_items_listing(l, o.list, o.root, format()) < 0)
		dc_die("%s", dc_err());
	if (!l->n && o.list)
		dc_die("%s: nothing is listed in it", o.list);
	if (!l->n)
		dc_die("%s: no .jpg, .jpeg, .png or .webp file below it", folder[0]);
	dc_items_arrange(l, dc_opts_given("shuffle"), (uint64_t)o.shuffle);
}

int
main(int argc, char **argv)
{
	static struct run r;
	struct dc_items l = { 0 };
	int first, status, stream;

	dc_main_init("dc-shard");
	dc_keep_memory();
	setlocale(LC_CTYPE, "C.UTF-8"); /* keys are UTF-8, and pax headers want to know that */
	first = dc_opts_parse(argc, argv, "[options] -o DIR FOLDER... | --list FILE | -",
	    "writes images and captions as tar shards", table);
	check_opts(argc - first, argv + first);
	if (dc_make_init(&r.how, o.caption) < 0)
		dc_die_usage("--caption %s: %s", o.caption, dc_err());
	r.how.max_pixels = (uint64_t)o.max_pixels;
	r.how.max_side = o.max_side;
	r.how.quality = o.quality;
	r.how.exif = o.exif;
	r.how.decode = o.decode;
	r.how.captionless = o.captionless;
	r.build.dir = o.out;
	r.build.samples = (uint64_t)o.samples;
	r.build.bytes = (uint64_t)o.megabytes * 1000000;
	set_splits(&r.build);
	stream = argc > first && !strcmp(argv[first], "-");
	if (!stream)
		list_items(&l, argc - first, argv + first);
	status = run(&r, stream ? NULL : &l);
	dc_items_free(&l);
	return status;
}
