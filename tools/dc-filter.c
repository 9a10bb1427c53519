/* SPDX-License-Identifier: MIT */
/* dc-filter: samples -> samples, without those that the rules refuse. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/progress.h"
#include "curate/filter.h"

static struct {
	struct dc_rules rules;
	int same_bytes, same_pixels, decode, verbose;
	int64_t near, max_repeats, jobs, max_pixels;
	const char *charset, *rejects, *kept, *against;
} o = { .near = -1, .max_pixels = 25000000, .rules.script_share = 0.9 };

/* --- options --- */

static int
opt_script(void *dst, const char *name, const char *value)
{
	struct dc_rules *r = dst;

	for (const char *p = value; *p;) {
		size_t n = strcspn(p, ",");
		int script = dc_script_find(p, n);

		DC_CHECK(script, "--%s %s: Unicode has no script '%.*s' with letters, such as Latin, Cyrillic, Han", name, value,
		    (int)n, p);
		r->scripts += !r->script[script];
		r->script[script] = 1;
		p += n + (p[n] == ',');
	}
	DC_CHECK(r->scripts, "--%s: names of scripts, with commas between", name);
	return 0;
}

static int
opt_block(void *dst, const char *name, const char *value)
{
	(void)name;
	return dc_block_load(dst, value);
}

static int
opt_aspect(void *dst, const char *name, const char *value)
{
	char what[40];

	snprintf(what, sizeof what, "--%s", name);
	return dc_parse_double(what, value, 1, 65535, dst);
}

static const struct dc_opt table[] = {
	DC_OPT_INT("min-bytes", 0, &o.rules.min_bytes, 0, 1ll << 40, "N", "drop smaller image files"),
	DC_OPT_INT("max-bytes", 0, &o.rules.max_bytes, 0, 1ll << 40, "N", "drop larger image files"),
	DC_OPT_INT("min-side", 0, &o.rules.min_side, 0, 65535, "N", "drop images whose shorter side has fewer pixels"),
	DC_OPT_INT("max-side", 0, &o.rules.max_side, 0, 65535, "N", "drop images whose longer side has more pixels"),
	DC_OPT_CALL("max-aspect", 0, opt_aspect, &o.rules.max_aspect, "R",
	    "drop images whose longer side is above R times the shorter"),
	DC_OPT_INT("min-chars", 0, &o.rules.min_chars, 0, 1 << 20, "N", "drop captions of fewer characters"),
	DC_OPT_INT("max-chars", 0, &o.rules.max_chars, 0, 1 << 20, "N", "drop captions of more characters"),
	DC_OPT_CHOICE("charset", 0, &o.charset, "ascii|latin1|bmp", "drop captions with characters beyond these"),
	DC_OPT_CALL("script", 0, opt_script, &o.rules, "NAME,...", "drop captions whose letters are of other scripts"),
	DC_OPT_DOUBLE("script-share", 0, &o.rules.script_share, 0, 1, "P", "share of the letters that must be of --script"),
	DC_OPT_INT("min-words", 0, &o.rules.min_words, 0, 1 << 20, "N", "drop captions of fewer words"),
	DC_OPT_INT("max-words", 0, &o.rules.max_words, 0, 1 << 20, "N", "drop captions of more words"),
	DC_OPT_CALL("block", 0, opt_block, &o.rules.block, "FILE", "drop captions with words or phrases of this list"),
	DC_OPT_FLAG("decode", 0, &o.decode, "drop images that cannot be decoded"),
	DC_OPT_FLAG("same-bytes", 0, &o.same_bytes, "drop images whose file came before"),
	DC_OPT_FLAG("same-pixels", 0, &o.same_pixels, "drop images whose pixels came before"),
	DC_OPT_INT("near", 0, &o.near, 0, DC_NEAR_MAX, "D", "drop images within D bits of one before by perceptual hash"),
	DC_OPT_INT("max-repeats", 0, &o.max_repeats, 0, 1 << 30, "K", "of equal captions keep the first K"),
	DC_OPT_STR("against", 0, &o.against, "FILE", "samples that count as kept before, such as a test set"),
	DC_OPT_INT("max-pixels", 0, &o.max_pixels, 1, 300000000, "N", "drop larger images, before decoding"),
	DC_OPT_STR("rejects", 0, &o.rejects, "FILE", "list what is dropped and why, tab-separated"),
	DC_OPT_STR("kept", 0, &o.kept, "FILE", "list what is kept, tab-separated"),
	DC_OPT_INT("jobs", 'j', &o.jobs, 0, 1024, "N", "threads; the result does not depend on it [all processors]"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

static void
below(const char *what, int64_t lo, int64_t hi)
{
	if (lo && hi && lo > hi)
		dc_die_usage("--min-%s %" PRId64 " is above --max-%s %" PRId64, what, lo, what, hi);
}

static void
check_opts(int operands)
{
	struct dc_rules *r = &o.rules;

	if (operands)
		dc_die_usage("no operands: samples come on stdin, from dc-decode --keep-encoded");
	below("bytes", r->min_bytes, r->max_bytes);
	below("chars", r->min_chars, r->max_chars);
	below("words", r->min_words, r->max_words);
	if (dc_opts_given("script-share") && !r->scripts)
		dc_die_usage("--script-share: of which --script?");
	if (o.against && !o.same_bytes && !o.same_pixels && o.near < 0 && !o.max_repeats)
		dc_die_usage("--against: no rule compares samples; give --same-bytes, --same-pixels, --near or --max-repeats");
	if (o.charset) {
		r->charset_name = o.charset;
		r->charset = !strcmp(o.charset, "ascii") ? 0x7F : !strcmp(o.charset, "latin1") ? 0xFF : 0xFFFF;
	}
}

/* --- frames --- */

struct run { struct dc_curate c; struct dc_body body; struct dc_progress progress; uint64_t batches; };

static int
on_samples(void *arg, struct dc_frame *f, struct dc_out *out)
{
	struct run *r = arg;
	int64_t i = 0, n = 1;
	int changed;

	DC_TRY(dc_frame_part(f, &i, &n));
	DC_TRY(changed = dc_curate_part(&r->c, f, &r->body));
	r->batches += i + 1 == n;
	dc_progress_to(&r->progress, r->c.in);
	return changed ? dc_frame_write(out, "samples", f->step, &r->body) : dc_frame_pass(out, f);
}

static int
on_end(void *arg, struct dc_frame *f, struct dc_out *out)
{
	struct run *r = arg;

	if (!dc_curate_dropped(&r->c))
		return dc_frame_pass(out, f);
	dc_curate_end(&r->c, f, &r->body);
	return dc_frame_write(out, "end", f->step, &r->body);
}

/* --against: a samples stream in a file. */
static void
read_against(struct dc_curate *c)
{
	struct dc_in *in = dc_xcalloc(1, sizeof *in);
	struct dc_frame f = { 0 };
	int fd = open(o.against, O_RDONLY | O_CLOEXEC), r = DC_FRAME;

	if (fd < 0)
		dc_die_errno("%s", o.against);
	dc_in_init(in, fd, o.against);
	while (!in->ended && (r = dc_frame_read(in, &f)) == DC_FRAME)
		if (!strcmp(f.kind, "samples") && dc_curate_know(c, &f) < 0)
			dc_die("%s", dc_err());
	if (r == DC_FAIL)
		dc_die("%s", dc_err());
	if (!in->ended)
		dc_die("%s: the stream ends without an end frame", o.against);
	if (!c->known)
		dc_die("%s: no samples in it", o.against);
	dc_frame_free(&f);
	close(fd);
	free(in);
}

/* --- the account --- */

static void
say(const char *what, uint64_t in, uint64_t out, const uint64_t dropped[DC_DROPS])
{
	const char *sep = " (";
	uint64_t n = 0;

	for (int i = 0; i < DC_DROPS; i++)
		n += dropped[i];
	if (in != out + n)
		dc_die("%s: %" PRIu64 " in, but %" PRIu64 " out + %" PRIu64 " dropped", what, in, out, n);
	fprintf(stderr, "%s: %s: %" PRIu64 " in = %" PRIu64 " out + %" PRIu64 " dropped", dc_progname, what, in, out, n);
	for (int i = 0; i < DC_DROPS; i++)
		if (dropped[i]) {
			fprintf(stderr, "%s%" PRIu64 " %s", sep, dropped[i], dc_drop_names[i]);
			sep = ", ";
		}
	fprintf(stderr, "%s\n", *sep == ',' ? ")" : "");
}

static void
report(const struct dc_curate *c)
{
	if (!o.verbose && c->in == c->out && c->captions_in == c->captions_out)
		return;
	say("samples", c->in, c->out, c->dropped);
	say("captions", c->captions_in, c->captions_out, c->captions_dropped);
	if (o.verbose)
		fprintf(stderr, "%s: %.1f MB of hashes, %.1f bytes a sample kept\n", dc_progname,
		    (double)dc_curate_bytes(c) / 1e6, (double)dc_curate_bytes(c) / (double)(c->out + c->known + !c->out));
}

static void
open_lists(struct dc_curate *c)
{
	if (dc_list_open(&c->rejects, o.rejects, "number\tshard\tkey\tcaption\treason\tdetail") < 0 ||
	    dc_list_open(&c->kept, o.kept, "number\tshard\tkey") < 0)
		dc_die("%s", dc_err());
}

int
main(int argc, char **argv)
{
	static const struct dc_filter filter[] = { { "samples", on_samples }, { "end", on_end }, { NULL, NULL } };
	static struct run r;
	int first, status;

	dc_main_init("dc-filter");
	dc_keep_memory();
	first = dc_opts_parse(argc, argv, "[options] < samples > samples", "drops samples and captions by rules", table);
	check_opts(argc - first);
	r.c = (struct dc_curate){ .rules = o.rules, .same_bytes = o.same_bytes, .same_pixels = o.same_pixels,
		.near = (int)o.near, .near_on = o.near >= 0, .max_repeats = o.max_repeats, .decode = o.decode,
		.max_pixels = (uint64_t)o.max_pixels };
	r.c.pool = dc_pool_new(o.jobs ? (int)o.jobs : dc_cpus());
	open_lists(&r.c);
	dc_curate_begin(&r.c);
	if (o.against)
		read_against(&r.c);
	dc_progress_init(&r.progress, "samples", 0, 0);
	status = dc_filter_run(filter, &r);
	dc_progress_end(&r.progress, r.batches, o.verbose);
	if ((dc_list_close(&r.c.rejects) < 0 || dc_list_close(&r.c.kept) < 0) && status == DC_EXIT_OK)
		status = dc_write_status(DC_FAIL);
	if (status == DC_EXIT_OK)
		report(&r.c);
	dc_pool_free(r.c.pool);
	dc_curate_free(&r.c);
	dc_body_free(&r.body);
	return status;
}
