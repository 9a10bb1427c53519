/* SPDX-License-Identifier: MIT */
/* dc-peek: print what flows, draw contact sheets, check a stream; pass it on unchanged. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/progress.h"
#include "base/util.h"
#include "data/imgwrite.h"
#include "peek/album.h"
#include "peek/gallery.h"
#include "peek/show.h"
#include "stream/stall.h"
#include "stream/stream.h"

enum { KINDS_MAX = 16 };

static struct {
	const char *kind, *vocab, *refs, *sheet, *images, *table;
	int64_t frames, items, sheet_step, rows, columns;
	int quiet, text, check, verbose;
} o = { .items = 4, .rows = 4, .columns = 4 };

struct peek {
	struct dc_in in; struct dc_out out;
	int passing;             /* stdout carries the stream; else the text, or nothing */
	struct dc_show show;
	struct dc_gallery gallery;
	struct dc_album album;
	int64_t printed;
	int failed, album_failed; /* the sheet, the album could not be made: told, and the stream goes on */
};

static void
look(struct peek *p, struct dc_frame *f)
{
	int wanted = !o.kind || !strcmp(o.kind, f->kind);

	if (!o.quiet && wanted && (!o.frames || p->printed < o.frames)) {
		dc_show_frame(&p->show, f);
		p->printed++;
	}
	if (o.sheet && !p->failed && dc_gallery_frame(&p->gallery, f) < 0) {
		dc_warn("%s", dc_err());
		p->failed = 1;
	}
	if ((o.images || o.table) && !p->album_failed && dc_album_frame(&p->album, f) < 0) {
		dc_warn("%s", dc_err());
		p->album_failed = 1;
	}
}

/* A reference's values are the reader's only until its frame is passed on; nothing else makes the ring wait. */
static int
handle(struct peek *p, struct dc_frame *f)
{
	int r = DC_FRAME;

	if (o.refs)
		look(p, f);
	if (p->passing)
		r = dc_frame_pass(&p->out, f);
	if (!o.refs)
		look(p, f);
	if (r == DC_FRAME && !p->passing && (fflush(stdout) || ferror(stdout)))
		r = errno == EPIPE ? DC_GONE : dc_err_errno("<stdout>");
	return r;
}

static int
peek(struct peek *p)
{
	struct dc_frame f = { 0 };
	int r;

	do {
		if ((r = dc_frame_read(&p->in, &f)) != DC_FRAME)
			break;
		r = handle(p, &f);
	} while (r == DC_FRAME && !p->in.ended);
	dc_frame_free(&f);
	r = dc_io_status(&p->in, r);
	if (o.sheet && !p->failed && dc_gallery_end(&p->gallery) < 0 && r == DC_EXIT_OK) {
		dc_warn("%s", dc_err());
		p->failed = 1;
	}
	if (dc_album_end(&p->album) < 0 && !p->album_failed) {
		dc_warn("%s", dc_err());
		p->album_failed = 1;
	}
	return r == DC_EXIT_OK && (p->failed || p->album_failed) ? DC_EXIT_FAIL : r;
}

/* --- --check --- */

struct count { char kind[DC_KIND_MAX + 1]; uint64_t n; };

static void
count(struct count *c, const char *kind)
{
	int i = 0;

	while (i < KINDS_MAX - 1 && c[i].n && strcmp(c[i].kind, kind))
		i++;
	snprintf(c[i].kind, sizeof c[i].kind, "%s", i < KINDS_MAX - 1 ? kind : "others");
	c[i].n++;
}

static int
check_frames(struct dc_in *in, struct dc_frame *f, struct count *c)
{
	int r;

	while ((r = dc_frame_read(in, f)) == DC_FRAME) {
		DC_TRY(dc_show_check(f));
		count(c, f->kind);
		if (in->ended)
			break;
	}
	if (r < 0)
		return -1;
	DC_CHECK(in->ended, "%s: truncated: it ends after %llu frames at byte %llu without an end frame", in->name,
	    (unsigned long long)in->frames, (unsigned long long)in->offset);
	while ((r = dc_frame_read(in, f)) == DC_OTHER)
		;
	DC_CHECK(r == DC_EOF, "%s: something follows the end frame at byte %llu", in->name, (unsigned long long)f->offset);
	return 0;
}

static int
check(struct peek *p)
{
	struct count c[KINDS_MAX] = { 0 };
	struct dc_frame f = { 0 };
	int r = check_frames(&p->in, &f, c);

	dc_frame_free(&f);
	if (r < 0) {
		dc_warn("%s", dc_err());
		return DC_EXIT_FAIL;
	}
	printf("%s: whole: %llu frames, %llu bytes:", p->in.name, (unsigned long long)p->in.frames,
	    (unsigned long long)p->in.offset);
	for (int i = 0; i < KINDS_MAX && c[i].n; i++)
		printf("%s %s %llu", i ? "," : "", c[i].kind, (unsigned long long)c[i].n);
	putchar('\n');
	return DC_EXIT_OK;
}

/* --- the start --- */

static void
check_opts(void)
{
	enum dc_imgformat ignored;

	if (o.check && (o.sheet || o.images || o.table || o.text || o.kind || o.frames || o.quiet))
		dc_die_usage("--check only checks: --sheet, --images, --table, --text, --kind, -n and --quiet do not go with it");
	if (o.sheet && dc_image_format_of_name(o.sheet, &ignored) < 0)
		dc_die_usage("--sheet %s", dc_err());
	if (!o.sheet && (dc_opts_given("sheet-step") || dc_opts_given("rows") || dc_opts_given("columns")))
		dc_die_usage("--sheet-step, --rows and --columns need --sheet");
}

static void
open_streams(struct peek *p, const char *path)
{
	int fd = STDIN_FILENO;

	if (path && strcmp(path, "-") && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		dc_die_errno("%s", path);
	dc_in_init(&p->in, fd, fd == STDIN_FILENO ? "<stdin>" : path);
	p->passing = !o.check && !o.text && !isatty(STDOUT_FILENO);
	if (p->passing && dc_out_init(&p->out, STDOUT_FILENO, "<stdout>") < 0)
		dc_die("%s", dc_err());
	if (!o.check)
		dc_in_watch(&p->in, STDOUT_FILENO, 0);
}

static void
open_helpers(struct peek *p, struct dc_bpe *bpe)
{
	p->show = (struct dc_show){ .fp = p->passing ? stderr : stdout, .items = o.items, .refs = -1 };
	if (o.vocab) {
		if (dc_bpe_open(bpe, o.vocab) < 0)
			dc_die("%s", dc_err());
		p->show.bpe = bpe;
	}
	if (o.refs && (p->show.refs = open(o.refs, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		dc_die_errno("%s", o.refs);
	p->gallery = (struct dc_gallery){ .path = o.sheet, .bpe = p->show.bpe, .rows = (int)o.rows, .columns = (int)o.columns,
		.step = dc_opts_given("sheet-step") ? o.sheet_step : -1 };
	p->album = (struct dc_album){ .images = o.images, .table = o.table, .bpe = p->show.bpe };
	if (dc_album_begin(&p->album) < 0)
		dc_die("%s", dc_err());
}

static int
finish(struct peek *p, int status)
{
	dc_show_free(&p->show);
	dc_gallery_free(&p->gallery);
	if (!p->passing && fflush(stdout) && errno != EPIPE && status == DC_EXIT_OK) {
		dc_warn_errno("<stdout>");
		status = DC_EXIT_FAIL;
	}
	if (close(STDOUT_FILENO) < 0 && status == DC_EXIT_OK) {
		dc_warn_errno("<stdout>");
		status = DC_EXIT_FAIL;
	}
	return status;
}

int
main(int argc, char **argv)
{
	static struct dc_stall stall = DC_STALL_DEFAULT;
	static const struct dc_opt table[] = {
		DC_OPT_STR("kind", 'k', &o.kind, "KIND", "print only frames of this kind"),
		DC_OPT_INT("frames", 'n', &o.frames, 1, 1e15, "N", "print so many frames; the rest pass unseen"),
		DC_OPT_INT("items", 'i', &o.items, 0, 1e9, "N", "captions, rows of tokens, entries of a list to print; 0: all"),
		DC_OPT_FLAG("quiet", 'q', &o.quiet, "print nothing"),
		DC_OPT_FLAG("text", 0, &o.text, "print on stdout and pass nothing on"),
		DC_OPT_FLAG("check", 't', &o.check, "only check the stream, up to its end frame"),
		DC_OPT_STR("vocab", 0, &o.vocab, "FILE", "vocabulary, to print tokens as text"),
		DC_OPT_STR("refs", 0, &o.refs, "DIR", "directory of the run's shared files, to print ranges of what references name"),
		DC_OPT_STR("sheet", 's', &o.sheet, "FILE", "write a contact sheet of the images, .png or .jpg"),
		DC_OPT_INT("sheet-step", 0, &o.sheet_step, 0, 9e15, "N", "of the frames of this step, not the first"),
		DC_OPT_INT("rows", 0, &o.rows, 1, 100, "N", "rows of the sheet"),
		DC_OPT_INT("columns", 0, &o.columns, 1, 16, "N", "samples in a row of the sheet"),
		DC_OPT_STR("images", 0, &o.images, "DIR", "write every image as DIR/NNNNNN.V.jpg, V the view"),
		DC_OPT_STR("table", 0, &o.table, "FILE", "write keys, labels and captions, tab separated, a row a caption"),
		DC_OPTS_STALL(&stall),
		DC_OPT_VERBOSE(&o.verbose),
		DC_OPT_END
	};
	static struct peek p;
	struct dc_bpe bpe = { 0 };
	struct dc_progress progress;
	int first, status;

	dc_main_init("dc-peek");
	first = dc_opts_parse(argc, argv, "[options] [FILE]", "prints what flows in a stream, and passes it on", table);
	dc_stall_start(&stall);
	if (argc - first > 1)
		dc_die_usage("one FILE at most");
	check_opts();
	open_streams(&p, argv[first]);
	open_helpers(&p, &bpe);
	dc_progress_init(&progress, "frames", 0, 0);
	status = o.check ? check(&p) : peek(&p);
	progress.done = p.in.frames;
	dc_progress_end(&progress, 0, o.verbose);
	if (o.vocab)
		dc_bpe_close(&bpe);
	return finish(&p, status);
}
