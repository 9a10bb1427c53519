/* SPDX-License-Identifier: MIT */
/* dc-stats: what a data set of shards, or a stream of samples, holds. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/progress.h"
#include "curate/page.h"
#include "data/reader.h"
#include "data/rejects.h"

enum { BATCH = 256, BATCH_BYTES = 64 << 20 };

static struct {
	const char *caption, *image, *vocab, *plot, *rejects;
	int64_t context, top, distinct, max_pixels, jobs;
	int decode, tsv, verbose;
} o = { .caption = "txt", .image = "jpg,jpeg,png,webp", .context = 77, .top = 20, .distinct = 50000000,
	.max_pixels = 25000000 };

static const struct dc_opt table[] = {
	DC_OPT_STR("caption", 0, &o.caption, "SOURCE,...", "where captions are: EXT or json:KEY, the first that gives one"),
	DC_OPT_STR("image", 0, &o.image, "EXT,...", "extensions of images"),
	DC_OPT_STR("vocab", 0, &o.vocab, "FILE", "count tokens of this BPE vocabulary"),
	DC_OPT_INT("context", 0, &o.context, 3, 1 << 16, "T", "positions of a model: captions of more than T - 2 tokens are cut"),
	DC_OPT_FLAG("decode", 0, &o.decode, "decode the images, to find broken ones; else only their headers are read"),
	DC_OPT_INT("top", 0, &o.top, 0, 1000000, "N", "how many words are listed, and about as many captions and labels"),
	DC_OPT_FLAG("tsv", 0, &o.tsv, "print a table for programs"),
	DC_OPT_STR("plot", 0, &o.plot, "FILE", "draw histograms into FILE, a .png or .svg, with gnuplot"),
	DC_OPT_INT("distinct", 0, &o.distinct, 1, 1ll << 32, "N", "remember so many different images, and captions"),
	DC_OPT_INT("max-pixels", 0, &o.max_pixels, 1, 300000000, "N", "larger images count as broken"),
	DC_OPT_STR("rejects", 0, &o.rejects, "FILE", "list broken samples here, tab-separated"),
	DC_OPT_INT("jobs", 'j', &o.jobs, 0, 1024, "N", "threads; the result does not depend on it [all processors]"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

struct run {
	struct dc_shards shards;
	struct dc_sources sources;
	struct dc_reader reader;
	struct dc_rejects rejects;
	struct dc_stats stats;
	struct dc_bpe bpe;
	struct dc_pool *pool;
	struct dc_progress progress;
	struct dc_sample *sample[BATCH]; size_t n, bytes;
};

/* --- broken samples --- */

static void
reject(struct run *r, const char *shard, const char *key, uint64_t offset, enum dc_reject why, const char *text)
{
	char *reason;

	if (!o.rejects)
		return;
	reason = dc_xasprintf("%s: %s", dc_reject_names[why], text);
	dc_rejects_add(&r->rejects, shard, key, offset, reason);
	free(reason);
}

static void
on_refuse(void *arg, const struct dc_sample *s, enum dc_reject why, const char *text)
{
	struct run *r = arg;

	r->stats.broken[why]++;
	reject(r, r->shards.base[s->shard], s->key, s->offset, why, text);
}

static void
on_damage(void *arg, const char *text)
{
	((struct run *)arg)->stats.damaged++;
	dc_warn("%s", text);
}

/* --- shards --- */

static void
take(struct dc_stats_sample *to, const struct dc_sample *s, struct dc_str *caption)
{
	for (size_t k = 0; k < s->n_captions; k++)
		caption[k] = (struct dc_str){ s->caption[k], strlen(s->caption[k]) };
	*to = (struct dc_stats_sample){ .image = s->image, .bytes = s->image_bytes, .caption = caption,
		.n_captions = s->n_captions, .label = s->label, .has_label = s->has_label };
}

static void
finish_batch(struct run *r)
{
	struct dc_stats_sample *v = dc_xcalloc(r->n, sizeof *v);
	struct dc_str *caption;
	size_t captions = 0;

	for (size_t i = 0; i < r->n; i++)
		captions += r->sample[i]->n_captions;
	caption = dc_xcalloc(captions, sizeof *caption);
	for (size_t i = 0, at = 0; i < r->n; at += r->sample[i++]->n_captions)
		take(&v[i], r->sample[i], caption + at);
	dc_stats_batch(&r->stats, v, r->n);
	for (size_t i = 0; i < r->n; i++) {
		struct dc_sample *s = r->sample[i];

		if (v[i].why)
			reject(r, r->shards.base[s->shard], s->key, s->offset, DC_REJECT_IMAGE, v[i].why);
		free(v[i].why);
		dc_sample_free(s);
		free(s);
	}
	free(caption);
	free(v);
	r->n = r->bytes = 0;
	dc_progress_to(&r->progress, r->stats.usable + dc_stats_broken(&r->stats));
}

static void
size_shards(struct run *r)
{
	struct stat st;

	r->stats.shards = r->shards.n;
	for (size_t i = 0; i < r->shards.n; i++)
		if (stat(r->shards.path[i], &st) == 0)
			r->stats.shard_bytes += (uint64_t)st.st_size;
}

static int
read_shards(struct run *r)
{
	int ret;

	r->reader = (struct dc_reader){ .shards = &r->shards, .sources = &r->sources, .images = 1, .watch = -1,
		.refuse = on_refuse, .damage = on_damage, .arg = r };
	size_shards(r);
	dc_reader_begin(&r->reader, 0);
	while ((ret = dc_reader_next(&r->reader, &r->sample[r->n])) == DC_READER_SAMPLE) {
		r->bytes += r->sample[r->n++]->image_bytes;
		if (r->n == BATCH || r->bytes >= BATCH_BYTES)
			finish_batch(r);
	}
	finish_batch(r);
	r->stats.bad_labels = r->reader.bad_labels;
	dc_reader_free(&r->reader);
	return ret == DC_READER_END ? DC_EXIT_OK : dc_write_status(DC_FAIL);
}

/* --- a stream --- */

static int
take_frame_images(struct dc_frame *f, struct dc_stats_sample *v, const msgpack_object *a, size_t n)
{
	struct dc_tensor t;

	for (size_t i = 0; i < n; i++) {
		DC_TRY(dc_object_tensor(f, "image", &a->via.array.ptr[i], &t));
		if (t.type != DC_U8 || t.file || (t.ndim != 1 && t.ndim != 3) || (t.ndim == 3 && (t.shape[0] < 1 || t.shape[1] < 1
		    || t.shape[0] > DC_IMAGE_SIDE_MAX || t.shape[1] > DC_IMAGE_SIDE_MAX)))
			return dc_frame_err(f, "image %zu: wanted u8 [H,W,3] or encoded bytes, u8 [n]", i);
		if (t.ndim == 3)
			v[i] = (struct dc_stats_sample){ .height = (int)t.shape[0], .width = (int)t.shape[1] };
		else
			v[i] = (struct dc_stats_sample){ .image = t.data, .bytes = t.n };
	}
	return 0;
}

/* Captions of one image stand next to each other, as dc-decode sends them. */
static int
take_frame_captions(struct dc_frame *f, struct dc_stats_sample *v, size_t n)
{
	const struct dc_str *s;
	struct dc_tensor t = { 0 };
	const int listed = dc_frame_get(f, "caption_image") != NULL;
	size_t captions, last = 0;

	DC_TRY(dc_frame_strs(f, "caption", &s, &captions));
	if (listed)
		DC_TRY(dc_frame_tensor(f, "caption_image", DC_I32, 1, &t));
	if ((listed ? t.n : n) != captions || t.file)
		return dc_frame_err(f, "%zu captions for %zu places", captions, listed ? t.n : n);
	for (size_t k = 0; k < captions; k++) {
		int64_t i = listed ? ((const int32_t *)t.data)[k] : (int64_t)k;

		if (i < (int64_t)last || (size_t)i >= n)
			return dc_frame_err(f, "caption %zu is of image %" PRId64 " of %zu, or out of order", k, i, n);
		last = (size_t)i;
		if (!v[i].n_captions++)
			v[i].caption = s + k;
	}
	return 0;
}

static int
take_frame_labels(struct dc_frame *f, struct dc_stats_sample *v, size_t n)
{
	struct dc_tensor t;

	if (!dc_frame_get(f, "label"))
		return 0;
	DC_TRY(dc_frame_tensor(f, "label", DC_I32, 1, &t));
	if (t.n != n || t.file)
		return dc_frame_err(f, "%zu images and %zu labels", n, t.n);
	for (size_t i = 0; i < n; i++) {
		v[i].label = ((const int32_t *)t.data)[i];
		v[i].has_label = v[i].label != -1;
	}
	return 0;
}

static int
take_frame(struct run *r, struct dc_frame *f)
{
	const msgpack_object *a;
	const struct dc_str *key;
	struct dc_stats_sample *v;
	size_t n, n_keys;
	int ret;

	DC_TRY(dc_frame_array(f, "image", &a, &n));
	DC_TRY(dc_frame_strs(f, "key", &key, &n_keys));
	if (n != n_keys)
		return dc_frame_err(f, "%zu images and %zu keys", n, n_keys);
	v = dc_xcalloc(n, sizeof *v);
	ret = take_frame_images(f, v, a, n);
	if (ret == 0 && (ret = take_frame_captions(f, v, n)) == 0 && (ret = take_frame_labels(f, v, n)) == 0)
		dc_stats_batch(&r->stats, v, n);
	for (size_t i = 0; ret == 0 && i < n; i++) {
		char *name = dc_xstrndup(key[i].p, key[i].n);

		if (v[i].why)
			reject(r, "", name, 0, DC_REJECT_IMAGE, v[i].why);
		free(v[i].why);
		free(name);
	}
	free(v);
	dc_progress_to(&r->progress, r->stats.usable);
	return ret;
}

static int
read_stream(struct run *r)
{
	struct dc_in *in = dc_xcalloc(1, sizeof *in);
	struct dc_frame f = { 0 };
	int ret = DC_EOF, status;

	dc_in_init(in, STDIN_FILENO, "<stdin>");
	while (!in->ended && (ret = dc_frame_read(in, &f)) == DC_FRAME)
		if (!strcmp(f.kind, "samples") && take_frame(r, &f) < 0) {
			ret = DC_FAIL;
			break;
		}
	status = in->ended ? DC_EXIT_OK : dc_io_status(in, ret);
	dc_frame_free(&f);
	free(in);
	return status;
}

/* --- the whole --- */

static void
check_opts(struct run *r)
{
	if (!r->shards.n && isatty(STDIN_FILENO))
		dc_die_usage("no shard given, and standard input is a terminal, no stream of samples");
	if (dc_sources_captions(&r->sources, o.caption) < 0)
		dc_die_usage("--caption %s: %s", o.caption, dc_err());
	if (dc_sources_images(&r->sources, o.image) < 0)
		dc_die_usage("--image %s: %s", o.image, dc_err());
	if (o.plot && dc_stats_plot_check(o.plot) < 0)
		dc_die_usage("--plot %s", dc_err());
	if (dc_opts_given("context") && !o.vocab)
		dc_die_usage("--context: tokens are counted with --vocab only");
	if (!r->shards.n && (dc_opts_given("caption") || dc_opts_given("image")))
		dc_die_usage("--caption and --image say what to look for in shards; no shard is given");
	if (dc_shards_check(&r->shards) < 0)
		dc_die("%s", dc_err());
}

static int
print(struct run *r)
{
	const struct dc_stats *s = &r->stats;

	if (!s->usable && !dc_stats_broken(s))
		dc_die("no samples in %s", r->shards.n ? "the shards" : "the stream");
	(o.tsv ? dc_stats_tsv : dc_stats_page)(s, stdout, (size_t)o.top);
	if (o.plot && dc_stats_plot(s, o.plot) < 0)
		dc_die("%s", dc_err());
	if (o.verbose)
		fprintf(stderr, "%s: %.1f MB of hashes\n", dc_progname, (double)dc_stats_bytes(s) / 1e6);
	return dc_fshut(stdout, "<stdout>") < 0 ? dc_write_status(DC_FAIL) : DC_EXIT_OK;
}

int
main(int argc, char **argv)
{
	static struct run r;
	int first, status, threads;

	dc_main_init("dc-stats");
	dc_keep_memory();
	first = dc_opts_parse(argc, argv, "[options] [SHARD...] [< samples]", "says what a data set holds, on one page", table);
	if (dc_shards_expand(&r.shards, argv + first, (size_t)(argc - first)) < 0)
		dc_die_usage("%s", dc_err());
	check_opts(&r);
	if (o.vocab && dc_bpe_open(&r.bpe, o.vocab) < 0)
		dc_die("%s", dc_err());
	if (o.rejects && dc_rejects_open(&r.rejects, o.rejects, 0) < 0)
		dc_die("%s", dc_err());
	r.stats.max_distinct = (size_t)o.distinct;
	r.stats.bpe = o.vocab ? &r.bpe : NULL;
	r.stats.context = (int)o.context;
	r.stats.decode = o.decode;
	r.stats.max_pixels = (uint64_t)o.max_pixels;
	threads = o.jobs ? (int)o.jobs : dc_cpus();
	r.pool = dc_pool_new(threads);
	dc_stats_begin(&r.stats, r.pool, threads);
	dc_progress_init(&r.progress, "samples", 0, 0);
	status = r.shards.n ? read_shards(&r) : read_stream(&r);
	dc_progress_end(&r.progress, 0, o.verbose);
	if (dc_rejects_close(&r.rejects) < 0 && status == DC_EXIT_OK)
		status = dc_write_status(DC_FAIL);
	if (status == DC_EXIT_OK)
		status = print(&r);
	dc_stats_free(&r.stats);
	dc_pool_free(r.pool);
	if (o.vocab)
		dc_bpe_close(&r.bpe);
	return status;
}
