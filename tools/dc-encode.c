/* SPDX-License-Identifier: MIT */
/* dc-encode: the towers. With --loop it trains: views -> features, d(features) -> gradients, one trip after the other
 * round the ring. With --model it encodes only. */
#include <fcntl.h>
#include <omp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/opts.h"
#include "base/progress.h"
#include "nn/blas.h"
#include "ring/encode_plain.h"
#include "ring/encode_train.h"
#include "stream/stall.h"

void openblas_set_num_threads(int n);
int openblas_get_parallel(void); /* 2: the OpenMP build */

static struct {
	struct dc_encode_opts train;         /* --loop */
	struct dc_encode_plain_opts plain;   /* --model */
	const char *profile;
	int64_t threads;
	int verbose;
} o = { .train = { .read_ahead = -1, .keep = -1, .share = 1 } };

static struct dc_stall stall = DC_STALL_DEFAULT;

static const struct dc_opt table[] = {
	DC_OPT_STR("loop", 'l', &o.train.loop, "FIFO", "train: take parameters and d(features) from this FIFO"),
	DC_OPT_STR("model", 'm', &o.plain.model, "MODEL", "encode only, with this run, model directory or .safetensors file"),
	DC_OPT_CHOICE("only", 0, &o.plain.only, "images|captions", "encode only these of each frame"),
	DC_OPT_FLAG("hidden", 0, &o.plain.hidden, "encode only images, as they are before the projection"),
	DC_OPT_FLAG("tokens", 0, &o.plain.tokens, "encode only: also FILIP's tokens, which dc-recall and dc-zeroshot compare"),
	DC_OPT_STR("freeze", 0, &o.train.freeze, "LIST", "conv1, image, text, bn or none; must be what the run's config says"),
	DC_OPT_INT("read-ahead", 0, &o.train.read_ahead, 0, 1 << 20, "MB", "read this much of the next batch while waiting [one batch]"),
	DC_OPT_INT("keep-activations", 0, &o.train.keep, 0, 1 << 30, "MB", "keep so much for the backward pass, compute the rest again [half of what is free]"),
	DC_OPT_INT("share", 0, &o.train.share, 1, 1 << 20, "N", "so many of these run here, and each takes an Nth of that half"),
	DC_OPT_FLAG("recompute", 0, &o.train.recompute, "keep only what goes into a transformer's blocks, compute again what is in them"),
	DC_OPT_FLAG("by-value", 0, &o.train.by_value, "put gradients into the frames, not into the shared file"),
	DC_OPT_FLAG("sync-bn", 0, &o.train.sync_bn, "the batch norms of the heads take the batch of all ranks (dc-mpi adds up)"),
	DC_OPT_STR("profile", 0, &o.profile, "FILE", "write there at the end where a training step's time went"),
	DC_OPT_INT("threads", 'j', &o.threads, 0, 4096, "N", "threads of the matrix products [all processors]"),
	DC_OPTS_STALL(&stall),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

static void
use_threads(void)
{
	if (o.threads) {
		omp_set_num_threads((int)o.threads);
		openblas_set_num_threads((int)o.threads);
	}
	if (openblas_get_parallel() == 1)
		dc_warn("this OpenBLAS brings its own threads; install libopenblas-openmp (one thread pool for all)");
}

static int
encode_only(void)
{
	static const struct dc_filter filter[] = { { "batch", dc_encode_plain_frame }, { "views", dc_encode_plain_frame }, { NULL, NULL } };
	struct dc_encode_plain e;
	int status;

	if (dc_encode_plain_open(&e, &o.plain) < 0)
		dc_die("%s", dc_err());
	dc_progress_init(&e.progress, "samples", 0, 0);
	status = dc_filter_run(filter, &e);
	dc_progress_end(&e.progress, e.frames, o.verbose);
	dc_encode_plain_close(&e);
	return status;
}

static void
open_ring(struct dc_encode *t)
{
	int fd = open(o.train.loop, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		dc_die_errno("%s", o.train.loop);
	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		dc_die("%s: not a FIFO", o.train.loop);
	if (dc_out_init(&t->out, STDOUT_FILENO, "<stdout>") < 0)
		dc_die_usage("%s", dc_err());
	dc_in_init(&t->in, STDIN_FILENO, "<stdin>");
	dc_in_init(&t->loop, fd, o.train.loop);
	dc_pipe_widen(t->out.fd);
	dc_pipe_widen(fd);
	dc_in_watch(&t->in, t->out.fd, 0);
	dc_in_watch(&t->in, fd, POLLIN);
	dc_in_watch(&t->loop, t->out.fd, 0);
}

static int
train(void)
{
	struct dc_encode *t = dc_encode_new(&o.train);
	int r, status;

	open_ring(t);
	dc_progress_init(&t->progress, "samples", 0, 0);
	t->progress.on = 0; /* dc-step's line shows the steps */
	if ((r = dc_encode_start(t)) == DC_FRAME)
		while ((r = dc_encode_step(t)) == DC_FRAME)
			;
	if (r == DC_EOF)
		r = dc_encode_finish(t);
	status = r == DC_FRAME ? DC_EXIT_OK : dc_io_status(&t->in, t->in_lost ? DC_EOF : r);
	if (dc_encode_profile(t, o.profile) < 0) {
		dc_warn("%s", dc_err());
		status = DC_EXIT_FAIL;
	}
	dc_progress_end(&t->progress, t->steps, o.verbose);
	if (o.verbose)
		dc_encode_say(t, stderr);
	dc_encode_free(t);
	return status;
}

int
main(int argc, char **argv)
{
	int first;

	dc_main_init("dc-encode");
	dc_blas_start(argv);
	first = dc_opts_parse(argc, argv, "--loop FIFO | --model MODEL [options]",
	    "encodes images and captions: trains in a ring, or makes features with a model", table);
	dc_stall_start(&stall);
	if (first < argc)
		dc_die_usage("%s: takes no operand; batches come on stdin", argv[first]);
	if (!o.train.loop == !o.plain.model)
		dc_die_usage("give --loop to train in a ring or --model to encode");
	if (o.plain.model && (o.train.freeze || o.train.by_value || o.profile || o.train.sync_bn || o.train.read_ahead >= 0 ||
	    o.train.keep >= 0 || o.train.share > 1 || o.train.recompute))
		dc_die_usage("--freeze, --by-value, --profile, --sync-bn, --read-ahead, --keep-activations, --share and --recompute belong to --loop");
	if (o.train.loop && (o.plain.only || o.plain.hidden || o.plain.tokens))
		dc_die_usage("--only, --hidden and --tokens belong to --model");
	if (o.plain.hidden && o.plain.tokens)
		dc_die_usage("give --hidden or --tokens, not both");
	if (o.plain.hidden && o.plain.only && strcmp(o.plain.only, "images"))
		dc_die_usage("--hidden: captions are not encoded");
	if (o.plain.hidden)
		o.plain.only = "images";
	use_threads();
	return o.train.loop ? train() : encode_only();
}
