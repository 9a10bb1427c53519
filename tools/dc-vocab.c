/* SPDX-License-Identifier: MIT */
/* dc-vocab: trains a BPE vocabulary from captions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/progress.h"
#include "base/util.h"
#include "stream/stream.h"
#include "text/bpe.h"
#include "text/train.h"

enum { STREAM_BYTE = 0x94 };  /* a frame's first byte, which no UTF-8 text begins with */

static struct { int64_t merges, size; const char *out; int verbose; } o = { .merges = 8000 };

static const struct dc_opt table[] = {
	DC_OPT_INT("merges", 'm', &o.merges, 0, DC_BPE_MERGES_MAX, "N", "merges to train"),
	DC_OPT_INT("size", 's', &o.size, DC_BPE_BYTES + 2, DC_BPE_BYTES + DC_BPE_MERGES_MAX + 2, "V",
	    "the same as a vocabulary's size: 514 + merges"),
	DC_OPT_STR("out", 'o', &o.out, "FILE", "write the vocabulary here, gzipped (required)"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

static void
check_opts(int operands)
{
	if (operands > 0)
		dc_die_usage("no operands: captions come on stdin");
	if (!o.out)
		dc_die_usage("--out FILE is required");
	if (dc_opts_given("size") && dc_opts_given("merges"))
		dc_die_usage("--size and --merges say the same thing: give one of them");
	if (dc_opts_given("size"))
		o.merges = o.size - DC_BPE_BYTES - 2;
}

struct vocab { struct dc_train *train; struct dc_progress progress; uint64_t captions; };

static void
add_caption(struct vocab *v, const char *s, size_t n)
{
	dc_train_text(v->train, s, n);
	dc_progress_to(&v->progress, ++v->captions);
}

/* samples carry caption, views caption.0 (the caption) and caption.1 (altered: not read). */
static int
add_frame(struct vocab *v, struct dc_frame *f)
{
	const char *key = strcmp(f->kind, "samples") == 0 ? "caption" : strcmp(f->kind, "views") == 0 ? "caption.0" : NULL;
	const struct dc_str *s;
	size_t n;

	if (!key)
		return DC_FRAME;
	if (dc_frame_strs(f, key, &s, &n) < 0)
		return DC_FAIL;
	for (size_t i = 0; i < n; i++)
		add_caption(v, s[i].p, s[i].n);
	return DC_FRAME;
}

static int
read_stream(struct vocab *v, struct dc_in *in)
{
	struct dc_frame f = { 0 };
	int r;

	while (!in->ended && (r = dc_frame_read(in, &f)) == DC_FRAME && (r = add_frame(v, &f)) == DC_FRAME)
		;
	dc_frame_free(&f);
	return in->ended ? DC_EXIT_OK : dc_io_status(in, r);
}

/* Lines, from what is in in->buf on. The last one needs no line end. */
static int
read_lines(struct vocab *v, struct dc_in *in)
{
	char *line = NULL;
	size_t n = 0, cap = 0;
	ssize_t got = (ssize_t)in->buf_n;

	do {
		for (ssize_t i = 0; i < got; i++) {
			if (n == cap)
				line = dc_xrealloc(line, cap = cap * 2 + 4096, 1);
			if (in->buf[i] != '\n') {
				line[n++] = (char)in->buf[i];
				continue;
			}
			add_caption(v, line, n);
			n = 0;
		}
		got = read(in->fd, in->buf, sizeof in->buf);
	} while (got > 0 || (got < 0 && errno == EINTR));
	if (n > 0)
		add_caption(v, line, n);
	free(line);
	if (got == 0)
		return DC_EXIT_OK;
	dc_warn_errno("<stdin>");
	return DC_EXIT_FAIL;
}

/* The first bytes tell captions from a stream. */
static int
read_captions(struct vocab *v)
{
	struct dc_in *in = dc_xmalloc(sizeof *in);
	ssize_t got;
	int status;

	dc_in_init(in, STDIN_FILENO, "<stdin>");
	while ((got = read(in->fd, in->buf, sizeof in->buf)) < 0 && errno == EINTR)
		;
	in->buf_n = got > 0 ? (size_t)got : 0;
	if (got < 0)
		dc_die_errno("<stdin>");
	status = got > 0 && in->buf[0] == STREAM_BYTE ? read_stream(v, in) : read_lines(v, in);
	free(in);
	return status;
}

static int
train(struct vocab *v)
{
	size_t different;
	uint64_t words = dc_train_words(v->train, &different);
	int merges = dc_train_run(v->train, (int)o.merges);

	if (words == 0)
		dc_die("<stdin>: no words in %llu captions", (unsigned long long)v->captions);
	if (merges < o.merges && (dc_opts_given("merges") || dc_opts_given("size")))   /* small data are no surprise else */
		dc_warn("%d merges instead of %lld: no further pair of symbols occurs twice", merges, (long long)o.merges);
	if (dc_train_write(v->train, o.out) < 0)
		dc_die("%s", dc_err());
	if (o.verbose)
		fprintf(stderr, "%s: %llu words, %zu different, %d merges, V = %d\n", dc_progname, (unsigned long long)words,
		    different, merges, DC_BPE_BYTES + merges + 2);
	return DC_EXIT_OK;
}

int
main(int argc, char **argv)
{
	struct vocab v = { 0 };
	int first, status;

	dc_main_init("dc-vocab");
	first = dc_opts_parse(argc, argv, "[options] -o FILE < captions",
	    "trains a BPE vocabulary from captions, one a line or in a stream of samples or views", table);
	check_opts(argc - first);
	v.train = dc_train_new();
	dc_progress_init(&v.progress, "captions", 0, 0);
	status = read_captions(&v);
	dc_progress_end(&v.progress, 0, o.verbose);
	if (status == DC_EXIT_OK)
		status = train(&v);
	dc_train_free(v.train);
	return status;
}
