/* SPDX-License-Identifier: MIT */
/* dc-step: the ring's end. Gradients become parameters, checkpoints and a log; everything that lasts is here. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/opts.h"
#include "nn/blas.h"
#include "ring/step.h"
#include "stream/stall.h"

enum { LIFELINE = 2 /* its place among the watched */ };
static const double second_signal_s = 1;   /* a signal within this time of the first is the same one, sent twice */

static struct {
	struct dc_step_opts s;
	const char *print, *verify;
	int64_t lifeline;
	int drop, verbose;
} o = { .s = { .nan = "stop", .lr = 1e-3, .lr_start = 1e-4, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8, .weight_decay = 0.1,
	.warmup = 2500, .save_every = 500, .spike = 6 }, .lifeline = -1 };

/* Whatever the file system holds is always ready to be read: only a pipe tells that its writers are gone. */
static int
take_lifeline(void *dst, const char *name, const char *value)
{
	struct stat sb;
	int64_t fd;

	DC_TRY(dc_parse_int("--lifeline", value, 3, 1 << 20, &fd));
	DC_CHECK(fstat((int)fd, &sb) == 0 && S_ISFIFO(sb.st_mode), "--%s %s: not a pipe that is open here", name, value);
	*(int64_t *)dst = fd;
	return 0;
}

static struct dc_stall stall = DC_STALL_DEFAULT;

static const struct dc_opt table[] = {
	DC_OPT_STR("run", 0, &o.s.run, "RUN", "the run's directory"),
	DC_OPT_STR("loop", 0, &o.s.loop, "FIFO", "the named pipe back to dc-encode"),
	DC_OPT_INT("steps", 0, &o.s.steps, 0, 1LL << 53, "N", "length of the schedule in steps; default: no end, a constant rate"),
	DC_OPT_INT("warmup", 0, &o.s.warmup, 0, 1LL << 53, "N", "steps of linear warm-up"),
	DC_OPT_DOUBLE("lr", 0, &o.s.lr, 0, 100, "X", "learning rate after the warm-up"),
	DC_OPT_DOUBLE("lr-start", 0, &o.s.lr_start, 0, 100, "X", "learning rate of the first step; default a tenth of --lr"),
	DC_OPT_DOUBLE("beta1", 0, &o.s.beta1, 0, 0.9999999, "X", "AdamW's decay of the first moment"),
	DC_OPT_DOUBLE("beta2", 0, &o.s.beta2, 0, 0.9999999, "X", "AdamW's decay of the second moment"),
	DC_OPT_DOUBLE("eps", 0, &o.s.eps, 1e-30, 1, "X", "AdamW's epsilon"),
	DC_OPT_DOUBLE("weight-decay", 0, &o.s.weight_decay, 0, 100, "X", "decoupled weight decay"),
	DC_OPT_DOUBLE("grad-clip", 0, &o.s.grad_clip, 0, 1e9, "X", "clip the gradient to this global norm; 0: do not"),
	DC_OPT_DOUBLE("ema", 0, &o.s.ema, 0, 0.9999999999, "X", "keep a moving average of the weights with this decay; 0: none"),
	DC_OPT_INT("save-every", 0, &o.s.save_every, 0, 1LL << 53, "N", "steps between checkpoints; 0: only at the end"),
	DC_OPT_INT("keep", 0, &o.s.keep, 0, 1LL << 53, "N", "checkpoints to keep beside the first; default all"),
	DC_OPT_INT("keep-every", 0, &o.s.keep_every, 0, 1LL << 53, "N", "with --keep: and every checkpoint of a multiple of N steps"),
	DC_OPT_CHOICE("nan", 0, &o.s.nan, "stop|skip", "what to do when a loss, a gradient or a statistic is not finite"),
	DC_OPT_DOUBLE("spike", 0, &o.s.spike, 0, 1e9, "K", "warn of a total K standard deviations above the last 100; 0: never"),
	DC_OPT_FLAG("by-value", 0, &o.s.by_value, "send parameters inside the frames, no shared memory"),
	DC_OPT_STR("replica", 0, &o.s.replica, "DIR", "of several ranks not the first: share memory in DIR, write no checkpoint, no log"),
	DC_OPT_FLAG("hash", 0, &o.s.hash, "send a hash of the parameters at the start and after each checkpoint, for dc-mpi"),
	DC_OPT_FLAG("drop", 0, &o.drop, "when it is to stop, drop the step that is under way"),
	DC_OPT_FLAG("accept-numerics", 0, &o.s.accept_numerics, "go on although OpenBLAS, oneDNN, processor or thread count changed"),
	DC_OPT_CALL("lifeline", 0, take_lifeline, &o.lifeline, "FD", "stop when this pipe, open for reading, has no writer any more"),
	DC_OPT_CHOICE("print", 0, &o.print, "position|step|config", "print this of the newest checkpoint and exit"),
	DC_OPT_STR("verify", 0, &o.verify, "RUN", "check every checkpoint of RUN, print a table and exit"),
	DC_OPTS_STALL(&stall),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

static struct dc_step r;

/* --- signals --- */

static volatile sig_atomic_t stopping, signalled;   /* for whatever reason; by a signal */
static struct timespec first_signal;
static int wake[2];   /* a byte in this pipe ends a wait */

static void
on_signal(int sig)
{
	struct timespec now;
	int saved = errno;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!signalled) {
		stopping = signalled = 1;
		first_signal = now;
		if (write(wake[1], "", 1) < 0) {   /* full: it wakes anyway */
		}
	} else if ((double)(now.tv_sec - first_signal.tv_sec) + 1e-9 * (double)(now.tv_nsec - first_signal.tv_nsec) >
	    second_signal_s) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	errno = saved;
}

static void
catch_signals(void)
{
	struct sigaction a = { .sa_handler = on_signal };

	if (pipe2(wake, O_CLOEXEC | O_NONBLOCK) < 0)
		dc_die_errno("pipe");
	clock_gettime(CLOCK_MONOTONIC, &first_signal);
	sigemptyset(&a.sa_mask);
	sigaddset(&a.sa_mask, SIGINT);
	sigaddset(&a.sa_mask, SIGTERM);
	r.wake = wake[0];
	if (sigaction(SIGINT, &a, NULL) < 0 || sigaction(SIGTERM, &a, NULL) < 0)
		dc_die_errno("sigaction");
}

/* Whoever started the ring is gone, without having been able to say so: as on a signal. */
static void
check_lifeline(void)
{
	struct pollfd p = { r.lifeline, 0, 0 };

	if (r.lifeline < 0 || poll(&p, 1, 0) <= 0)
		return;
	dc_step_clear_line(&r);
	dc_warn("whoever started this ring is gone: stopping");
	stopping = 1;
	r.lifeline = r.in.watch[LIFELINE].fd = -1;
}

static void
take_wake(void)
{
	char c[16];

	while (read(wake[0], c, sizeof(c)) > 0)
		;
	check_lifeline();
}

/* --- the ring --- */

/* With `drop` the step that is under way will not be finished: another rank has left. */
static int
on_stop(void)
{
	int drop = 0;

	if (dc_frame_get(&r.f, "drop"))
		DC_TRY(dc_frame_bool(&r.f, "drop", &drop));
	o.drop |= drop;
	stopping = 1;
	return DC_FRAME;
}

static int
on_frame(void)
{
	if (!strcmp(r.f.kind, "dfeatures"))
		return dc_step_dfeatures(&r);
	if (!strcmp(r.f.kind, "gradients"))
		return dc_step_gradients(&r);
	if (!strcmp(r.f.kind, "reduce"))
		return dc_frame_pass(&r.loop, &r.f);
	if (!strcmp(r.f.kind, "stop"))
		return on_stop();
	else if (strcmp(r.f.kind, "end"))
		r.dropped++;
	return DC_FRAME;
}

/* Stop between two steps: checkpoint, tell dc-encode, and let what is still coming run out. */
static int
stop_here(void)
{
	if (dc_step_checkpoint(&r) < 0) {
		dc_warn("%s", dc_err());
		return DC_EXIT_FAIL;
	}
	if (dc_frame_write(&r.loop, "stop", r.s.step, &r.b) == DC_FRAME) {
		r.in.n_watch = 0;   /* dc-encode may leave the loop now */
		while (!r.in.ended && dc_frame_read(&r.in, &r.f) == DC_FRAME)
			r.dropped++;
	}
	return DC_EXIT_OK;
}

static int
end_here(void)
{
	if (r.p.begun) {
		dc_warn("<stdin>: end in the middle of step %llu", (unsigned long long)r.s.step);
		return DC_EXIT_FAIL;
	}
	if (dc_step_checkpoint(&r) < 0 || dc_frame_pass(&r.loop, &r.f) == DC_FAIL) {
		dc_warn("%s", dc_err());
		return DC_EXIT_FAIL;
	}
	return DC_EXIT_OK;
}

static int
run(void)
{
	int io = dc_step_send_state(&r);

	if (io == DC_FRAME)
		io = dc_step_send_parameters(&r);
	while (io == DC_FRAME) {
		if (stopping && (!r.p.begun || o.drop))
			return stop_here();
		io = dc_frame_read(&r.in, &r.f);
		if (io == DC_OTHER) {
			take_wake();
			io = DC_FRAME;
			continue;
		}
		if (io == DC_FRAME)
			io = on_frame();
		if (io == DC_FRAME && r.in.ended)
			return end_here();
	}
	dc_step_clear_line(&r);
	return dc_io_status(&r.in, io);
}

/* --- the program --- */

static void
remove_pid(void)
{
	dc_step_unlock(&r);
}

static void
remove_shm(void)
{
	dc_shm_remove(&r.shm);
}

static void
die_if(int e)
{
	if (e < 0)
		dc_die("%s", dc_err());
}

static int
print_state(void)
{
	die_if(dc_step_open(&r, 0));
	if (!strcmp(o.print, "config"))
		printf("%s\n", r.s.config);
	else
		printf("%lld\n", !strcmp(o.print, "step") ? (long long)r.s.step : (long long)r.s.position);
	dc_state_free(&r.s);
	die_if(dc_fshut(stdout, "<stdout>"));
	return DC_EXIT_OK;
}

/* A closed standard descriptor must not become one of ours. Where rows can go, or -1. */
static int
fill_descriptors(void)
{
	int fd, row_fd = fcntl(STDOUT_FILENO, F_GETFD) < 0 ? -1 : STDOUT_FILENO;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	return row_fd;
}

static void
check_opts(int argc, int first)
{
	if (first < argc)
		dc_die_usage("%s: no operand is taken", dc_progname);
	if (o.verify)
		return;
	if (!o.s.run)
		dc_die_usage("--run is needed");
	if (!o.s.loop && !o.print)
		dc_die_usage("--loop is needed");
	if (!dc_opts_given("lr-start"))
		o.s.lr_start = o.s.lr / 10;
	if (o.s.steps && o.s.warmup > o.s.steps && dc_opts_given("warmup"))
		dc_die_usage("--warmup %lld is longer than --steps %lld", (long long)o.s.warmup, (long long)o.s.steps);
	if (o.s.steps && o.s.warmup > o.s.steps)
		o.s.warmup = o.s.steps;
}

static void
show_end(int status)
{
	r.progress.done = r.s.step;
	dc_progress_end(&r.progress, r.s.step - r.progress.first, o.verbose && status != DC_EXIT_NEIGHBOUR);
	if (o.verbose && (r.dropped || r.refused))
		dc_warn("%llu frames dropped, %llu batches refused", (unsigned long long)r.dropped, (unsigned long long)r.refused);
}

/* The ring is open: go on until it ends. */
static int
start(void)
{
	int status;

	dc_in_init(&r.in, STDIN_FILENO, "<stdin>");
	dc_pipe_widen(STDIN_FILENO);
	dc_in_watch(&r.in, r.loop.fd, 0);
	dc_in_watch(&r.in, r.wake, POLLIN);
	dc_in_watch(&r.in, r.lifeline, POLLPRI);   /* never; it hangs up */
	dc_progress_init(&r.progress, "steps", r.s.step, (uint64_t)o.s.steps);
	r.progress.on = r.progress.on && !isatty(STDOUT_FILENO) && !o.s.replica;
	status = run();
	show_end(status);
	close(r.loop.fd);
	return status;
}

int
main(int argc, char *argv[])
{
	int row_fd, io, status;

	dc_main_init("dc-step");
	dc_blas_start(argv);
	row_fd = fill_descriptors();
	check_opts(argc, dc_opts_parse(argc, argv, "--run RUN --loop FIFO [options]",
	    "updates the parameters from gradients, keeps checkpoints and the log", table));
	dc_step_init(&r, &o.s, row_fd, (int)o.lifeline);
	if (o.verify) {
		die_if(dc_step_verify(o.verify));
		return DC_EXIT_OK;
	}
	if (o.print)
		return print_state();

	catch_signals();
	dc_stall_start(&stall);
	die_if(dc_step_lock(&r));
	atexit(remove_pid);
	atexit(remove_shm);
	die_if(dc_step_load(&r));
	die_if(dc_step_open_log(&r));
	if ((io = dc_step_open_loop(&r)) == DC_FAIL)
		dc_die("%s", dc_err());
	status = io == DC_FRAME ? start() : io == DC_GONE ? DC_EXIT_NEIGHBOUR : DC_EXIT_OK;
	dc_frame_free(&r.f);
	dc_body_free(&r.b);
	return status;
}
