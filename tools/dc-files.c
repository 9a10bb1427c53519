/* SPDX-License-Identifier: MIT */
/* dc-files: image files -> samples frames. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/progress.h"
#include "base/rng.h"
#include "data/files.h"
#include "stream/check.h"
#include "stream/sender.h"
#include "stream/stream.h"

static struct {
	const char *from, *captions, *rejects;
	int64_t jobs, max_pixels;
	int null, exif, verbose;
} o = { .max_pixels = 100000000 };

static const struct dc_opt table[] = {
	DC_OPT_STR("from", 'f', &o.from, "FILE", "names of more files, one a line; - is standard input"),
	DC_OPT_FLAG("null", '0', &o.null, "names in --from end with a NUL, not with a line"),
	DC_OPT_STR("captions", 0, &o.captions, "FILE", "a caption for each file, one a line [its name]"),
	DC_OPT_FLAG("exif", 0, &o.exif, "turn images upright, as their EXIF orientation says"),
	DC_OPT_INT("max-pixels", 0, &o.max_pixels, 1, 300000000, "N", "refuse larger images, before decoding"),
	DC_OPT_STR("rejects", 0, &o.rejects, "FILE", "list refused files here: number, tab, reason, tab, name"),
	DC_OPT_INT("jobs", 'j', &o.jobs, 0, 1024, "N", "threads that decode [all processors]"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

struct run {
	struct dc_files files, captions; /* captions: the lines of --captions */
	struct dc_out out;
	struct dc_sender *sender;
	struct dc_body body;
	struct dc_progress progress;
	FILE *rejects;
	uint64_t batches, sent, refused;
};

static void
refuse(struct run *r, const struct dc_file *x)
{
	dc_warn("%s: %s", x->name, x->why);
	if (r->rejects)
		fprintf(r->rejects, "%zu\t%s\t%s\n", x->number, x->why, x->name);
	r->refused++;
}

static void
put_strings(struct run *r, const char *key, char **list, struct dc_file *const *v, size_t n)
{
	dc_put_array(&r->body, key, n);
	for (size_t i = 0; i < n; i++) {
		char *s = dc_utf8(list[v[i]->number]);
		dc_put_str(&r->body, NULL, s);
		free(s);
	}
}

static void
put_numbers(struct run *r, struct dc_file *const *v, size_t n)
{
	const int64_t shape[] = { (int64_t)n };
	uint64_t *id = dc_put_space(&r->body, "id", DC_U64, 1, shape);
	int64_t *slot;
	int32_t *epoch;

	for (size_t i = 0; i < n; i++)
		id[i] = dc_sample_id("<files>", v[i]->name, 0);
	slot = dc_put_space(&r->body, "slot", DC_I64, 1, shape);
	for (size_t i = 0; i < n; i++)
		slot[i] = (int64_t)v[i]->number;
	epoch = dc_put_space(&r->body, "epoch", DC_I32, 1, shape);
	for (size_t i = 0; i < n; i++)
		epoch[i] = 0;
}

static int
send_part(struct run *r, struct dc_file *x, size_t n, int64_t part, int64_t parts)
{
	struct dc_file *good[DC_FILES_BATCH];
	size_t n_good = 0;

	for (size_t i = 0; i < n; i++) {
		if (x[i].why)
			refuse(r, &x[i]);
		else
			good[n_good++] = &x[i];
	}
	put_numbers(r, good, n_good);
	put_strings(r, "key", r->files.name, good, n_good);
	dc_put_array(&r->body, "image", n_good);
	for (size_t i = 0; i < n_good; i++) {
		const struct dc_image *im = &good[i]->image;
		dc_put_data(&r->body, NULL, DC_U8, 3, (int64_t[]){ im->height, im->width, 3 }, im->rgb);
	}
	put_strings(r, "caption", o.captions ? r->captions.name : r->files.name, good, n_good);
	dc_put_int(&r->body, "position", (int64_t)r->batches + 1);
	dc_put_part(&r->body, part, parts);
	r->sent += n_good;
	dc_progress_to(&r->progress, r->sent);
	return dc_sender_send(r->sender, "samples", r->batches, &r->body);
}

static int
send_batch(struct run *r)
{
	const int64_t parts = (int64_t)dc_files_parts(&r->files);
	struct dc_file *x;
	int64_t part = 0;
	size_t n;
	int ret = DC_FRAME;

	while (ret == DC_FRAME && (x = dc_files_part(&r->files, &n)))
		ret = send_part(r, x, n, part++, parts);
	r->batches++;
	return ret;
}

static int
send_end(struct run *r)
{
	dc_put_map(&r->body, "counts", 3);
	dc_put_int(&r->body, "in", (int64_t)(r->sent + r->refused));
	dc_put_int(&r->body, "out", (int64_t)r->sent);
	dc_put_int(&r->body, "rejected", (int64_t)r->refused);
	dc_put_array(&r->body, "damaged", 0);
	dc_put_int(&r->body, "position", (int64_t)r->batches);
	return dc_sender_send(r->sender, "end", r->batches, &r->body);
}

static int
send_all(struct run *r)
{
	int ret = DC_FRAME;

	while (ret == DC_FRAME && dc_files_next(&r->files))
		ret = send_batch(r);
	if (ret == DC_FRAME && !r->sent)
		return dc_err_set("none of the %zu files is an image that can be used", r->files.n);
	return ret == DC_FRAME ? send_end(r) : ret;
}

static int
run(struct run *r)
{
	int status, sent;

	if (dc_out_init(&r->out, STDOUT_FILENO, "<stdout>") < 0)
		dc_die_usage("%s", dc_err());
	r->files.pool = dc_pool_new(o.jobs ? (int)o.jobs : dc_cpus());
	r->sender = dc_sender_new(&r->out);
	dc_progress_init(&r->progress, "images", 0, r->files.n);
	status = dc_write_status(send_all(r));
	sent = dc_sender_finish(r->sender);
	if (status == DC_EXIT_OK)
		status = dc_write_status(sent);
	if (status == DC_EXIT_OK && close(STDOUT_FILENO) < 0) {
		dc_warn_errno("<stdout>");
		status = DC_EXIT_FAIL;
	}
	if (r->rejects && dc_fshut(r->rejects, o.rejects) < 0 && status == DC_EXIT_OK)
		status = dc_write_status(DC_FAIL);
	dc_progress_end(&r->progress, r->batches, o.verbose);
	dc_pool_free(r->files.pool);
	return status;
}

static void
read_lists(struct run *r, int operands, char **operand)
{
	for (int i = 0; i < operands; i++)
		dc_files_add(&r->files, operand[i]);
	if (o.from && dc_files_list(&r->files, o.from, o.null) < 0)
		dc_die("%s", dc_err());
	if (!r->files.n && o.from)
		dc_die("%s: no names in it", o.from);
	if (!r->files.n)
		dc_die_usage("no file given");
	if (o.captions && dc_files_list(&r->captions, o.captions, 0) < 0)
		dc_die("%s", dc_err());
	if (o.captions && r->captions.n != r->files.n)
		dc_die("%s: %zu captions for %zu files", o.captions, r->captions.n, r->files.n);
}

int
main(int argc, char **argv)
{
	static struct run r;
	int first, status;

	dc_main_init("dc-files");
	first = dc_opts_parse(argc, argv, "[options] FILE...", "reads image files and writes samples", table);
	if (o.null && !o.from)
		dc_die_usage("--null needs --from");
	read_lists(&r, argc - first, argv + first);
	r.files.max_pixels = (uint64_t)o.max_pixels;
	r.files.exif = o.exif;
	if (o.rejects && !(r.rejects = fopen(o.rejects, "w")))
		dc_die_errno("%s", o.rejects);
	status = run(&r);
	dc_files_free(&r.files);
	dc_files_free(&r.captions);
	dc_body_free(&r.body);
	return status;
}
