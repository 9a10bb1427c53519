/* SPDX-License-Identifier: MIT */
/* dc-pick: features streams -> one stream of their rows, all or picked ones. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "score/pick.h"
#include "stream/each.h"

static struct { const char *rows; int verbose; } o;

static const struct dc_opt options[] = {
	DC_OPT_STR("rows", 'r', &o.rows, "FILE", "numbers of the rows, from 0 through all streams, one a line [all]"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

static int told;

static int
take(void *pick, struct dc_frame *f)
{
	dc_warn_tokens(f, &told);
	return dc_pick_take(pick, f);
}

/* The numbers in --rows, or all. */
static size_t *
read_rows(const struct dc_pick *p, size_t *n)
{
	size_t *row, bytes, lines = 1;
	char *text, *rest, what[80];
	int64_t number;

	*n = 0;
	if (!o.rows) {
		row = dc_xcalloc(p->n_rows + 1, sizeof *row);
		for (; *n < p->n_rows; (*n)++)
			row[*n] = *n;
		return row;
	}
	if (dc_slurp(strcmp(o.rows, "-") ? o.rows : "/dev/stdin", 1 << 30, &text, &bytes) < 0)
		dc_die("%s", dc_err());
	for (size_t i = 0; i < bytes; i++)
		lines += text[i] == '\n';
	row = dc_xcalloc(lines, sizeof *row);
	rest = text;
	for (char *s; (s = strsep(&rest, "\n"));) {
		if (!*s)
			continue;
		snprintf(what, sizeof what, "%.40s: row %zu:", o.rows, *n + 1);
		if (dc_parse_int(what, s, 0, (int64_t)p->n_rows - 1, &number) < 0)
			dc_die("%s", dc_err());
		row[(*n)++] = (size_t)number;
	}
	free(text);
	return row;
}

static int
write_end(struct dc_out *out, struct dc_body *b, size_t in, size_t n)
{
	dc_put_map(b, "counts", 2);
	dc_put_int(b, "in", (int64_t)in);
	dc_put_int(b, "out", (int64_t)n);
	dc_put_array(b, "damaged", 0);
	return dc_frame_write(out, "end", 0, b);
}

static int
write_all(struct dc_pick *p, const size_t *row, size_t n)
{
	const size_t parts = n ? (n + DC_PART_MAX - 1) / DC_PART_MAX : 1;
	struct dc_body b = { 0 };
	struct dc_out out;
	int r = DC_FRAME;

	if (dc_out_init(&out, STDOUT_FILENO, "<stdout>") < 0)
		dc_die_usage("%s", dc_err());
	for (size_t i = 0; i < parts && r == DC_FRAME; i++) {
		const size_t first = i * DC_PART_MAX, k = n - first < DC_PART_MAX ? n - first : DC_PART_MAX;
		dc_pick_put(p, row + first, k, &b);
		dc_put_int(&b, "position", 1);
		dc_put_part(&b, (int64_t)i, (int64_t)parts);
		r = dc_frame_write(&out, "features", 0, &b);
	}
	if (r == DC_FRAME)
		r = write_end(&out, &b, p->n_rows, n);
	dc_body_free(&b);
	if (r == DC_FRAME && close(STDOUT_FILENO) < 0)
		dc_die_errno("<stdout>");
	if (r == DC_FAIL)
		dc_warn("%s", dc_err());
	return r == DC_FRAME ? DC_EXIT_OK : r == DC_GONE ? DC_EXIT_NEIGHBOUR : DC_EXIT_FAIL;
}

int
main(int argc, char **argv)
{
	const double start = dc_seconds();
	struct dc_pick p = { 0 };
	size_t *row = NULL, n = 0;
	int status = DC_EXIT_OK, first;

	dc_main_init("dc-pick");
	first = dc_opts_parse(argc, argv, "[--rows FILE] STREAM...", "joins features streams and picks rows", options);
	if (first == argc)
		dc_die_usage("no stream given");
	for (int i = first; i < argc && status == DC_EXIT_OK; i++)
		status = dc_stream_each(argv[i], "features", take, &p);
	if (status == DC_EXIT_OK) {
		if (!p.n_frames)
			dc_die("%s: no features among the frames", argv[first]);
		if (dc_pick_check(&p) < 0)
			dc_die("%s", dc_err());
		row = read_rows(&p, &n);
		status = write_all(&p, row, n);
	}
	if (status == DC_EXIT_OK && o.verbose)
		fprintf(stderr, "%s: %zu of %zu rows, %.2f s\n", dc_progname, n, p.n_rows, dc_seconds() - start);
	free(row);
	dc_pick_free(&p);
	return status;
}
