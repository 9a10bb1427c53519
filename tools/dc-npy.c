/* SPDX-License-Identifier: MIT */
/* dc-npy: a features stream -> .npy files, and back. */
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "store/columns.h"
#include "stream/each.h"

static struct opts { const char *from; int normalize, verbose; } o;

static const struct dc_opt options[] = {
	DC_OPT_STR("from", 'f', &o.from, "DIR", "the other way: read DIR and write a features stream"),
	DC_OPT_FLAG("normalize", 'n', &o.normalize, "divide each row of features by its norm"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

static void
say(const struct dc_columns *c, const char *dir, double start)
{
	if (o.verbose)
		fprintf(stderr, "%s: %s: %lld images, %lld captions, %.2f s\n", dc_progname, dir,
		    (long long)dc_columns_images(c), (long long)dc_columns_captions(c), dc_seconds() - start);
}

static int told;

static int
take(void *columns, struct dc_frame *f)
{
	dc_warn_tokens(f, &told);
	return dc_columns_take(columns, f);
}

static int
write_dir(const char *dir)
{
	const double start = dc_seconds();
	struct dc_columns *c = dc_columns_create(dir, o.normalize);
	int status;

	if (!c)
		dc_die("%s", dc_err());
	status = dc_stream_each("-", "features", take, c);
	if (status == DC_EXIT_OK && dc_columns_finish(c) < 0) {
		dc_warn("%s: %s", dir, dc_err());
		status = DC_EXIT_FAIL;
	}
	if (status == DC_EXIT_OK)
		say(c, dir, start);
	dc_columns_free(c);
	return status;
}

static int
write_end(struct dc_out *out, struct dc_body *b, int64_t n)
{
	dc_put_map(b, "counts", 2);
	dc_put_int(b, "in", n);
	dc_put_int(b, "out", n);
	dc_put_array(b, "damaged", 0);
	return dc_frame_write(out, "end", 0, b);
}

static int
read_dir(const char *dir)
{
	const double start = dc_seconds();
	struct dc_columns *c = dc_columns_open(dir);
	struct dc_body b = { 0 };
	struct dc_out out;
	int r = DC_FRAME;

	if (!c)
		dc_die("%s", dc_err());
	if (dc_out_init(&out, STDOUT_FILENO, "<stdout>") < 0)
		dc_die_usage("%s", dc_err());
	for (int64_t i = 0; i < dc_columns_parts(c) && r == DC_FRAME; i++) {
		if (dc_columns_put(c, i, &b) < 0)
			dc_die("%s: %s", dir, dc_err());
		r = dc_frame_write(&out, "features", 0, &b);
	}
	if (r == DC_FRAME)
		r = write_end(&out, &b, dc_columns_images(c) ? dc_columns_images(c) : dc_columns_captions(c));
	if (r == DC_FAIL)
		dc_die("%s", dc_err());
	if (r == DC_FRAME)
		say(c, dir, start);
	dc_columns_free(c);
	dc_body_free(&b);
	return r == DC_GONE ? DC_EXIT_NEIGHBOUR : DC_EXIT_OK;
}

int
main(int argc, char **argv)
{
	int first;

	dc_main_init("dc-npy");
	first = dc_opts_parse(argc, argv, "[options] DIR <features | --from DIR >features",
	    "turns a features stream into .npy files, and back", options);
	if (o.from && first < argc)
		dc_die_usage("unexpected argument '%s' beside --from", argv[first]);
	if (!o.from && argc - first != 1)
		dc_die_usage(first < argc ? "one directory only: '%s' is one too many" : "give the directory to write", argv[argc - 1]);
	if (o.from && o.normalize)
		dc_die_usage("--normalize is for writing .npy files");
	return o.from ? read_dir(o.from) : write_dir(argv[first]);
}
