/* SPDX-License-Identifier: MIT */
/* dc-step: the ring's end. Gradients become parameters, checkpoints and a log; everything that lasts is here. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/finite.h"
#include "base/opts.h"
#include "base/progress.h"
#include "nn/blas.h"
#include "optim/adamw.h"
#include "optim/schedule.h"
#include "optim/spike.h"
#include "store/checkpoint.h"
#include "store/runlog.h"
#include "store/shm.h"
#include "store/sums.h"
#include "stream/stall.h"
#include "stream/stream.h"

enum { REFUSED_MAX = 100 /* batches in a row */, WARN_EVERY = 100 /* steps */, RETRY_MS = 20, ROW_MAX = 1024, LIFELINE = 2 /* its place among the watched */ };
static const double bn_momentum = 0.1;
static const double second_signal_s = 1;   /* a signal within this time of the first is the same one, sent twice */

static struct {
	const char *run, *loop, *print, *nan, *verify, *replica;
	double lr, lr_start, beta1, beta2, eps, weight_decay, grad_clip, ema, spike;
	int64_t warmup, steps, save_every, keep, keep_every, lifeline;
	int accept_numerics, by_value, drop, hash, verbose;
} o = { .nan = "stop", .lr = 1e-3, .lr_start = 1e-4, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8, .weight_decay = 0.1,
	.warmup = 2500, .save_every = 500, .lifeline = -1, .spike = 6 };

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
	DC_OPT_STR("run", 0, &o.run, "RUN", "the run's directory"),
	DC_OPT_STR("loop", 0, &o.loop, "FIFO", "the named pipe back to dc-encode"),
	DC_OPT_INT("steps", 0, &o.steps, 0, 1LL << 53, "N", "length of the schedule in steps; default: no end, a constant rate"),
	DC_OPT_INT("warmup", 0, &o.warmup, 0, 1LL << 53, "N", "steps of linear warm-up"),
	DC_OPT_DOUBLE("lr", 0, &o.lr, 0, 100, "X", "learning rate after the warm-up"),
	DC_OPT_DOUBLE("lr-start", 0, &o.lr_start, 0, 100, "X", "learning rate of the first step; default a tenth of --lr"),
	DC_OPT_DOUBLE("beta1", 0, &o.beta1, 0, 0.9999999, "X", "AdamW's decay of the first moment"),
	DC_OPT_DOUBLE("beta2", 0, &o.beta2, 0, 0.9999999, "X", "AdamW's decay of the second moment"),
	DC_OPT_DOUBLE("eps", 0, &o.eps, 1e-30, 1, "X", "AdamW's epsilon"),
	DC_OPT_DOUBLE("weight-decay", 0, &o.weight_decay, 0, 100, "X", "decoupled weight decay"),
	DC_OPT_DOUBLE("grad-clip", 0, &o.grad_clip, 0, 1e9, "X", "clip the gradient to this global norm; 0: do not"),
	DC_OPT_DOUBLE("ema", 0, &o.ema, 0, 0.9999999999, "X", "keep a moving average of the weights with this decay; 0: none"),
	DC_OPT_INT("save-every", 0, &o.save_every, 0, 1LL << 53, "N", "steps between checkpoints; 0: only at the end"),
	DC_OPT_INT("keep", 0, &o.keep, 0, 1LL << 53, "N", "checkpoints to keep beside the first; default all"),
	DC_OPT_INT("keep-every", 0, &o.keep_every, 0, 1LL << 53, "N", "with --keep: and every checkpoint of a multiple of N steps"),
	DC_OPT_CHOICE("nan", 0, &o.nan, "stop|skip", "what to do when a loss, a gradient or a statistic is not finite"),
	DC_OPT_DOUBLE("spike", 0, &o.spike, 0, 1e9, "K", "warn of a total K standard deviations above the last 100; 0: never"),
	DC_OPT_FLAG("by-value", 0, &o.by_value, "send parameters inside the frames, no shared memory"),
	DC_OPT_STR("replica", 0, &o.replica, "DIR", "of several ranks not the first: share memory in DIR, write no checkpoint, no log"),
	DC_OPT_FLAG("hash", 0, &o.hash, "send a hash of the parameters at the start and after each checkpoint, for dc-mpi"),
	DC_OPT_FLAG("drop", 0, &o.drop, "when it is to stop, drop the step that is under way"),
	DC_OPT_FLAG("accept-numerics", 0, &o.accept_numerics, "go on although OpenBLAS, processor or thread count changed"),
	DC_OPT_CALL("lifeline", 0, take_lifeline, &o.lifeline, "FD", "stop when this pipe, open for reading, has no writer any more"),
	DC_OPT_CHOICE("print", 0, &o.print, "position|step|config", "print this of the newest checkpoint and exit"),
	DC_OPT_STR("verify", 0, &o.verify, "RUN", "check every checkpoint of RUN, print a table and exit"),
	DC_OPTS_STALL(&stall),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

/* What has come of the step under way. */
struct pending {
	int begun, skip;                   /* its dfeatures is on the loop; they said skip */
	int64_t position;                  /* -1: not said yet */
	int64_t rows;                      /* pairs */
	double loss[DC_TERMS], total;      /* NAN: none came */
	double accuracy, wait_s, simsiam_std;
	float *enqueue; int64_t n_enqueue; /* rows for the nn queue */
	double sum;                        /* of squares of the gradient */
	char bad[200];                     /* what was the first to be not finite, in words; "" if nothing was */
	int n_gradients;
};

/* A running statistic and, of a tower's mean, the count of batches that it has seen. */
struct running { const char *name; int64_t width; float *value, *batches; };

static struct ring {
	struct dc_state s;
	struct dc_shm shm;
	struct dc_st parameters, gradients;   /* the shared files, unless by value */
	float *own;                           /* the gradients' block, by value */
	float **g;                            /* [s.n]; NULL where frozen */
	unsigned char **cell;                 /* [s.n]: what of it is zero; NULL where frozen */
	char *came;                           /* [s.n] */
	struct dc_adamw_tensor *x; int *of, n_x; double *sum; /* [s.n]: the tensors of a frame, or of the update; which */
	int slot;                             /* the tensor that was named last */
	struct running *run; int n_run;
	float **stat; int64_t *stat_views;    /* [n_run]: this step's batch statistics, [views, width] */
	struct dc_in in;
	struct dc_out loop;
	struct dc_frame f;
	struct dc_body b;
	struct pending p;
	int run_fd, log_fd, row_fd;
	uint64_t saved_step; int64_t saved_position;
	uint64_t dropped, refused;            /* frames; steps */
	int refused_in_row;
	struct dc_spike spike;                /* the last totals */
	uint64_t spike_said, collapse_said;   /* the steps of these warnings, 0: never */
	int log_more;                         /* how many of the columns that were not always there the log has */
	double sent;                          /* when the parameters went out, s */
	struct dc_progress progress;
} r = { .shm.fd = -1, .loop.fd = -1, .row_fd = STDOUT_FILENO };

static void
clear_progress(void)
{
	if (r.progress.on)
		fprintf(stderr, "\r\033[K");
}

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
	if (sigaction(SIGINT, &a, NULL) < 0 || sigaction(SIGTERM, &a, NULL) < 0)
		dc_die_errno("sigaction");
}

/* Whoever started the ring is gone, without having been able to say so: as on a signal. */
static void
check_lifeline(void)
{
	struct pollfd p = { (int)o.lifeline, 0, 0 };

	if (o.lifeline < 0 || poll(&p, 1, 0) <= 0)
		return;
	clear_progress();
	dc_warn("whoever started this ring is gone: stopping");
	stopping = 1;
	o.lifeline = r.in.watch[LIFELINE].fd = -1;
}

static void
take_wake(void)
{
	char c[16];

	while (read(wake[0], c, sizeof(c)) > 0)
		;
	check_lifeline();
}

/* --- the run --- */

/* Where the lock and the shared memory are. */
static const char *
home(void)
{
	return o.replica ? o.replica : o.run;
}

/* The lock is the kernel's and goes with its process; RUN/.pid only tells whose it is. */
static _Noreturn void
die_locked(void)
{
	char *path = dc_xasprintf("%s/.pid", home()), *text = NULL;
	size_t n;

	if (dc_slurp(path, 4096, &text, &n) == 0 && strchr(text, '\n'))
		dc_die("%s: another ring is running there: dc-step is %.*s (kill -TERM stops it with a checkpoint)", home(),
		    (int)strcspn(text, "\n"), text);
	dc_die("%s: another ring is running there", home());
}

static void
write_pid(void)
{
	char text[128], host[64] = "";
	int fd = openat(r.run_fd, ".pid", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);

	gethostname(host, sizeof(host) - 1);
	snprintf(text, sizeof(text), "process %ld on %s\n", (long)getpid(), host);
	if (fd >= 0 && write(fd, text, strlen(text)) < 0) {   /* it only helps to say who */
	}
	if (fd >= 0)
		close(fd);
}

static void
remove_pid(void)
{
	if (r.run_fd >= 0)
		unlinkat(r.run_fd, ".pid", 0);
}

static void
lock_run(void)
{
	r.run_fd = open(home(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.run_fd < 0)
		dc_die_errno("%s", home());
	if (flock(r.run_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			die_locked();
		dc_die_errno("%s: lock", home());
	}
	write_pid();
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The checkpoint `dir` is damaged (dc_err()): say so, and which one before it is whole. */
static _Noreturn void
die_damaged(const char *dir)
{
	char *whole;

	dc_warn("%s", dc_err());
	if ((whole = dc_run_whole(o.run, base_name(dir))))
		dc_die("%s is whole: to go on from it, ln -sfn %s %s/latest", whole, whole, o.run);
	dc_die("%s has no other checkpoint that is whole", o.run);
}

/* The newest checkpoint; whatever its files say, with `whole` they are as they were written. */
static void
open_state(int whole)
{
	char *dir = dc_run_latest(o.run);

	if (!dir)
		dc_die("%s", dc_err());
	if ((whole && dc_sums_check(dir, NULL) < 0) || dc_state_open(&r.s, dir) < 0)
		die_damaged(dir);
	free(dir);
}

static void
load_state(void)
{
	char *dir = dc_xstrdup(r.s.dir);

	if (dc_state_load(&r.s) < 0)
		die_damaged(dir);
	if (dc_state_finite(&r.s) < 0) {
		dc_err_prefix("%s", dir);
		die_damaged(dir);
	}
	free(dir);
}

/* One row of --verify. */
static int
verify_row(const char *name, const char *latest)
{
	char *dir = dc_xasprintf("%s/%s", o.verify, name);
	struct dc_verified v;
	int bad = dc_run_verify(dir, &v) < 0;

	printf("%s\t%llu\t%lld\t%d\t%llu\t%s\t%s\n", name, (unsigned long long)v.step, (long long)v.position, v.files,
	    (unsigned long long)v.bytes, !strcmp(name, latest) ? "latest" : "-",
	    bad ? dc_err() : v.with_sums ? "whole" : "can be loaded, but has no checksums");
	free(dir);
	return bad;
}

static int
verify(void)
{
	char *latest = dc_run_latest(o.verify), **name;
	int n, bad = 0;

	if (!latest || (n = dc_run_list(o.verify, &name)) < 0)
		dc_die("%s", dc_err());
	printf("checkpoint\tstep\tposition\tfiles\tbytes\tlink\tverdict\n");
	for (int i = n - 1; i >= 0; i--)
		bad += verify_row(name[i], base_name(latest));
	if (dc_fshut(stdout, "<stdout>") < 0)
		dc_die("%s", dc_err());
	if (bad)
		dc_die("%s: %d of %d checkpoints damaged", o.verify, bad, n);
	return DC_EXIT_OK;
}

static int
print_state(void)
{
	open_state(0);
	if (!strcmp(o.print, "config"))
		printf("%s\n", r.s.config);
	else
		printf("%lld\n", !strcmp(o.print, "step") ? (long long)r.s.step : (long long)r.s.position);
	dc_state_free(&r.s);
	if (dc_fshut(stdout, "<stdout>") < 0)
		dc_die("%s", dc_err());
	return DC_EXIT_OK;
}

static void
check_numerics(void)
{
	struct dc_numerics here = { 0 };

	dc_numerics_here(&here);
	if (dc_numerics_check(&r.s.numerics, &here) < 0) {
		if (!o.accept_numerics)
			dc_die("%s: %s; the last bits would differ from here on; with --threads as before "
			    "they do not, --accept-numerics goes on all the same", r.s.dir,
			    dc_err());
		dc_warn("%s: %s; going on", r.s.dir, dc_err());
	}
	r.s.numerics = here;
}

static void
own_memory(void)
{
	size_t n = 0;
	float *at;

	dc_state_own_weights(&r.s);
	for (int i = 0; i < r.s.n; i++)
		n += r.s.t[i].trainable ? r.s.t[i].p.n : 0;
	at = r.own = dc_xcalloc(n + 1, sizeof(*at));
	for (int i = 0; i < r.s.n; i++)
		if (r.s.t[i].trainable) {
			r.g[i] = at;
			at += r.s.t[i].p.n;
		}
}

/* One of the two files: all parameters, or those that are trained. */
static int
share(struct dc_st *st, const char *file, int trained)
{
	struct dc_st_tensor *t = dc_xcalloc((size_t)r.s.n, sizeof(*t));
	int n = 0, e;

	for (int i = 0; i < r.s.n; i++) {
		const struct dc_param *p = &r.s.t[i].p;

		if (trained && !r.s.t[i].trainable)
			continue;
		t[n] = (struct dc_st_tensor){ .name = (char *)(uintptr_t)p->name, .type = DC_F32, .ndim = p->ndim };
		memcpy(t[n++].shape, p->shape, sizeof(p->shape));
	}
	e = dc_st_create(r.shm.fd, file, 0600, t, n, NULL, 0, 0);
	free(t);
	return e < 0 ? -1 : dc_st_open(st, r.shm.fd, file, DC_ST_WRITE);
}

static size_t
share_bytes(void)
{
	size_t n = 1 << 20;   /* the headers, and pages begun */

	for (int i = 0; i < r.s.n; i++)
		n += (r.s.t[i].trainable ? 2 : 1) * r.s.t[i].p.n * sizeof(float);
	return n;
}

static void
share_memory(void)
{
	if (dc_shm_make(&r.shm, home(), share_bytes()) < 0)
		dc_die("%s", dc_err());
	if (r.shm.on_disk)
		dc_warn("too little room in shared memory: %s lies on disk, which is slower", r.shm.path);
	if (share(&r.parameters, DC_SHM_PARAMETERS, 0) < 0 || share(&r.gradients, DC_SHM_GRADIENTS, 1) < 0)
		dc_die("%s: %s", r.shm.path, dc_err());
	for (int i = 0; i < r.s.n; i++) {
		r.s.t[i].w = dc_st_find(&r.parameters, r.s.t[i].p.name)->data;
		if (r.s.t[i].trainable)
			r.g[i] = dc_st_find(&r.gradients, r.s.t[i].p.name)->data;
	}
}

static void
clamp_scale(void)
{
	for (int i = 0; i < r.s.n; i++)
		if (!strcmp(r.s.t[i].p.name, "logit_scale") || !strcmp(r.s.t[i].p.name, "filip.logit_scale")) {
			float *w = r.s.t[i].w;

			*w = (float)fmin(fmax(*w, r.s.c.logit_scale_min), r.s.c.logit_scale_max);
		}
}

static double
logit_scale(void)
{
	for (int i = 0; i < r.s.n; i++)
		if (!strcmp(r.s.t[i].p.name, "logit_scale"))
			return r.s.t[i].w[0];
	return NAN;
}

/* The heads' lie with the state, a tower's with its weights: mean, variance, count, one after the other. */
static void
list_running(void)
{
	r.run = dc_xcalloc((size_t)(r.s.n + r.s.n_stats) + 1, sizeof(*r.run));
	for (int i = 0; i < r.s.n_stats; i++)
		r.run[r.n_run++] = (struct running){ r.s.stat[i].name, r.s.stat[i].shape[0], r.s.stat_value[i], NULL };
	for (int i = 0; i < r.s.n; i++) {
		const struct dc_param *p = &r.s.t[i].p;
		int mean = i + 2 < r.s.n && r.s.t[i + 2].p.whole;

		if (p->stat && !p->whole)
			r.run[r.n_run++] = (struct running){ p->name, p->shape[0], r.s.t[i].w, mean ? r.s.t[i + 2].w : NULL };
	}
	r.stat = dc_xcalloc((size_t)r.n_run + 1, sizeof(*r.stat));
	r.stat_views = dc_xcalloc((size_t)r.n_run + 1, sizeof(*r.stat_views));
}

/* Tensor i for the optimizer. */
static void
list_tensor(int i)
{
	const struct dc_slot *t = &r.s.t[i];

	r.of[r.n_x] = i;
	r.x[r.n_x++] = (struct dc_adamw_tensor){ t->w, t->m, t->v, r.g[i], r.cell[i], t->p.n, t->updates, t->p.decay };
}

static void
list_cells(void)
{
	for (int i = 0; i < r.s.n; i++) {
		struct dc_slot *t = &r.s.t[i];

		if (!t->trainable)
			continue;
		r.cell[i] = dc_xmalloc(dc_cells(t->p.n));
		memset(r.cell[i], DC_CELL_COLD, dc_cells(t->p.n));
		r.n_x = 0;
		list_tensor(i);
		if (t->updates)
			dc_adamw_cold(r.x);
	}
}

static void
load(void)
{
	open_state(1);
	check_numerics();
	r.g = dc_xcalloc((size_t)r.s.n, sizeof(*r.g));
	r.cell = dc_xcalloc((size_t)r.s.n, sizeof(*r.cell));
	r.came = dc_xcalloc((size_t)r.s.n, 1);
	r.x = dc_xcalloc((size_t)r.s.n, sizeof(*r.x));
	r.of = dc_xcalloc((size_t)r.s.n, sizeof(*r.of));
	r.sum = dc_xcalloc((size_t)r.s.n, sizeof(*r.sum));
	if (!o.replica)
		dc_run_clean(o.run);
	if (dc_shm_clean(home()) < 0)
		dc_die("%s", dc_err());
	if (o.by_value)
		own_memory();
	else
		share_memory();
	list_running();
	load_state();
	list_cells();
	clamp_scale();
	if (o.ema > 0)
		dc_state_start_average(&r.s);
	r.saved_step = r.s.step;
	r.saved_position = r.s.position;
}

/* --- the log --- */

static void
header(char *row)
{
	int n = snprintf(row, ROW_MAX, "step");

	for (int i = 0; i < DC_TERMS; i++)
		if (r.s.c.weight[i] > 0)
			n += snprintf(row + n, ROW_MAX - (size_t)n, "\t%s", dc_term_names[i]);
	snprintf(row + n, ROW_MAX - (size_t)n, "\ttotal\tlr\tlogit_scale\tgrad_norm\taccuracy\tpairs_per_s\twait_s%s%s\n",
	    r.log_more > 1 ? "\tsimsiam_std" : "", r.log_more > 0 ? "\tbatch_size" : "");
}

/* Rows are a courtesy: when their reader is gone, or the ring is dying or asked to stop, they end and nothing else does. */
static void
write_row(const char *row)
{
	struct pollfd p[5] = { { r.row_fd, POLLOUT, 0 }, { STDIN_FILENO, 0, 0 }, { r.loop.fd, 0, 0 }, { wake[0], POLLIN, 0 },
		{ (int)o.lifeline, 0, 0 } };
	size_t n = strlen(row);

	while (r.row_fd >= 0 && n) {
		int at = dc_wait_begin(&(struct dc_wait){ .fd = r.row_fd, .writing = 1, .name = "<stdout>", .kind = "row",
			.step = r.s.step, .number = r.s.step });
		int e = poll(p, 5, -1);
		ssize_t k;

		dc_wait_end(at);
		if (e < 0 && errno == EINTR)
			continue;
		if (!p[0].revents)   /* a neighbour or a signal: the main loop will see it too */
			return;
		k = write(r.row_fd, row, n);
		if (k < 0 && errno != EINTR && errno != EAGAIN)
			r.row_fd = -1;
		row += k > 0 ? k : 0;
		n -= k > 0 ? (size_t)k : 0;
	}
}

static void
open_log(void)
{
	char row[ROW_MAX] = "";

	if (o.replica) {
		r.log_fd = r.row_fd = -1;
		return;
	}
	/* a log that was begun before there were so many columns goes on as it is */
	for (r.log_more = r.s.c.weight[DC_TERM_SIMSIAM] > 0 ? 2 : 1; r.log_more >= 0; r.log_more--) {
		header(row);
		if ((r.log_fd = dc_runlog_open(o.run, row, r.s.step)) >= 0)
			break;
	}
	if (r.log_fd < 0)
		dc_die("%s", dc_err());
	write_row(row);
}

static void
show_progress(double lr, double rate)
{
	double now = dc_seconds(), each;
	int64_t eta;

	r.progress.done = r.s.step;
	if (!r.progress.on || now - r.progress.last < 0.2)
		return;
	r.progress.last = now;
	each = (now - r.progress.start) / (double)(r.s.step - r.progress.first);
	fprintf(stderr, DC_LINE_BEGIN "%s: step %llu", dc_progname, (unsigned long long)r.s.step);
	if (o.steps)
		fprintf(stderr, "/%lld", (long long)o.steps);
	fprintf(stderr, " loss %.4g lr %.3g %.3g pairs/s", r.p.total, lr, rate);
	if (o.steps > (int64_t)r.s.step) {
		eta = (int64_t)(each * (double)(o.steps - (int64_t)r.s.step));
		fprintf(stderr, ", ETA %lld:%02d", (long long)(eta / 60), (int)(eta % 60));
	}
	fputs(DC_LINE_END, stderr);
	fflush(stderr);
}

/* One warning of a kind in so many steps. */
static int
may_warn(uint64_t *said)
{
	if (*said && r.s.step - *said < WARN_EVERY)
		return 0;
	*said = r.s.step;
	clear_progress();
	return 1;
}

/* Numbers that are finite, but not as they should be. */
static void
watch_numbers(void)
{
	double mean, sd, ideal = r.s.c.simsiam_width > 0 ? 1 / sqrt(r.s.c.simsiam_width) : 0;

	if (o.spike > 0 && !isnan(r.p.total) && dc_spike(&r.spike, r.p.total, o.spike, &mean, &sd) && may_warn(&r.spike_said))
		dc_warn("step %llu: the total rises to %.4g; before it was %.4g, with a standard deviation of %.2g",
		    (unsigned long long)r.s.step, r.p.total, mean, sd);
	if (!isnan(r.p.simsiam_std) && r.p.simsiam_std < 0.1 * ideal && may_warn(&r.collapse_said))
		dc_warn("step %llu: SimSiam collapses: its normalised outputs have a standard deviation of %.3g, 1/sqrt(%d) = %.3g is "
		    "ideal", (unsigned long long)r.s.step, r.p.simsiam_std, r.s.c.simsiam_width, ideal);
}

static int
log_step(double lr, double scale, double norm)
{
	double seconds = dc_seconds() - r.sent, rate = seconds > 0 ? (double)r.p.rows / seconds : 0;
	char row[ROW_MAX];
	int n = snprintf(row, sizeof(row), "%llu", (unsigned long long)r.s.step);

	if (o.replica)
		return 0;

	for (int i = 0; i < DC_TERMS; i++)
		if (r.s.c.weight[i] > 0)
			n += snprintf(row + n, sizeof(row) - (size_t)n, "\t%.9g", r.p.loss[i]);
	n += snprintf(row + n, sizeof(row) - (size_t)n, "\t%.9g\t%.6g\t%.9g\t%.6g\t%.6g\t%.1f\t%.3f", r.p.total, lr, scale, norm,
	    r.p.accuracy, rate, r.p.wait_s);
	if (r.log_more > 1)
		n += snprintf(row + n, sizeof(row) - (size_t)n, "\t%.4g", r.p.simsiam_std);
	if (r.log_more > 0)
		n += snprintf(row + n, sizeof(row) - (size_t)n, "\t%lld", (long long)r.p.rows);
	snprintf(row + n, sizeof(row) - (size_t)n, "\n");
	DC_TRY(dc_runlog_add(r.log_fd, row));
	write_row(row);
	watch_numbers();
	show_progress(lr, rate);
	return 0;
}

/* --- checkpoints --- */

static int
checkpoint(void)
{
	char name[40];

	if (r.s.step == r.saved_step && r.s.position == r.saved_position)
		return 0;
	if (dc_state_finite(&r.s) < 0) {
		dc_err_prefix("no checkpoint is written at step %llu", (unsigned long long)r.s.step);
		return -1;
	}
	r.saved_step = r.s.step;
	r.saved_position = r.s.position;
	if (o.replica)
		return 0;
	if (fdatasync(r.log_fd) < 0 && errno != EINVAL)
		return dc_err_errno("%s/log.tsv", o.run);
	snprintf(name, sizeof(name), "step-%08llu", (unsigned long long)r.s.step);
	DC_TRY(dc_state_write(&r.s, o.run, name));
	DC_TRY(dc_run_point(o.run, name));
	if (o.keep)
		dc_run_prune(o.run, o.keep, o.keep_every);
	return 0;
}

/* --- the loop --- */

/* Whoever opened the FIFO that was there waits at that one. */
static void
still_there(const struct stat *was)
{
	struct stat sb;

	if (stat(o.loop, &sb) < 0)
		dc_die_errno("%s", o.loop);
	if (sb.st_ino != was->st_ino || sb.st_dev != was->st_dev)
		dc_die("%s: somebody has put another in the place of this FIFO", o.loop);
}

/* Open the FIFO without waiting for its reader for ever: a dead stdin ends it (3), a signal too. Exit status or -1. */
static int
wait_reader(int *fd, const struct stat *was)
{
	struct pollfd p[3] = { { STDIN_FILENO, 0, 0 }, { wake[0], POLLIN, 0 }, { (int)o.lifeline, 0, 0 } };

	while ((*fd = open(o.loop, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {
		if (errno != ENXIO && errno != EINTR)
			dc_die_errno("%s", o.loop);
		still_there(was);
		if (poll(p, 3, RETRY_MS) < 0)
			continue;
		if (p[0].revents & (POLLHUP | POLLERR | POLLNVAL))
			return DC_EXIT_NEIGHBOUR;
		if (p[1].revents || p[2].revents)
			return DC_EXIT_OK;   /* nothing has changed since the checkpoint */
	}
	return -1;
}

static int
open_loop(void)
{
	char *what = dc_xasprintf("for somebody (dc-encode) to open %s for reading", o.loop);
	struct stat sb;
	int fd, at, status;

	if (stat(o.loop, &sb) < 0)
		dc_die_errno("%s", o.loop);
	if (!S_ISFIFO(sb.st_mode))
		dc_die("%s: not a FIFO", o.loop);
	at = dc_wait_begin(&(struct dc_wait){ .fd = -1, .name = what });
	status = wait_reader(&fd, &sb);
	dc_wait_end(at);
	free(what);
	if (status < 0 && dc_out_init(&r.loop, fd, o.loop) < 0)
		dc_die("%s", dc_err());
	return status;
}

static int
send_state(void)
{
	dc_put_str(&r.b, "config", r.s.config);
	dc_put_int(&r.b, "step", (int64_t)r.s.step);
	dc_put_int(&r.b, "position", r.s.position);
	dc_put_bool(&r.b, "by_value", o.by_value);
	if (r.s.nn_queue) {
		dc_put_data(&r.b, "nn_queue", DC_F32, 2, (int64_t[]){ r.s.c.queue, r.s.c.embed_dim }, r.s.nn_queue);
		dc_put_int(&r.b, "nn_head", r.s.nn_head);
		dc_put_int(&r.b, "nn_valid", r.s.nn_valid);
	}
	return dc_frame_write(&r.loop, "state", r.s.step, &r.b);
}

/* The bits of all parameters. */
static uint64_t
hash_of_parameters(void)
{
	uint64_t h = r.s.step;

	for (int i = 0; i < r.s.n; i++)
		h = XXH3_64bits_withSeed(r.s.t[i].w, r.s.t[i].p.n * sizeof(float), h);
	return h >> 1 | 1;   /* an int64, and not 0 */
}

/* From here on both files are dc-encode's, until its last gradients frame. The gradients are zero. */
static int
send_parameters(void)
{
	dc_put_map(&r.b, "parameter", (size_t)r.s.n);
	for (int i = 0; i < r.s.n; i++) {
		const struct dc_param *p = &r.s.t[i].p;

		if (o.by_value)
			dc_put_data(&r.b, p->name, DC_F32, p->ndim, p->shape, r.s.t[i].w);
		else
			dc_put_ref(&r.b, p->name, DC_F32, p->ndim, p->shape, DC_SHM_PARAMETERS, p->name);
	}
	if (!o.by_value)
		dc_put_bool(&r.b, "zeroed", 1);
	if (o.hash && r.s.step == r.saved_step)
		dc_put_int(&r.b, "parameter_hash", (int64_t)hash_of_parameters());
	r.sent = dc_seconds();
	return dc_frame_write(&r.loop, "parameters", r.s.step, &r.b);
}

/* --- dfeatures --- */

static double
number(const msgpack_object *v)
{
	switch (v->type) {
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64: return v->via.f64;
	case MSGPACK_OBJECT_POSITIVE_INTEGER: return (double)v->via.u64;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER: return (double)v->via.i64;
	default: return NAN;
	}
}

/* This step is refused, for the first reason that is given. */
static void DC_PRINTF(1, 2)
refuse_for(const char *fmt, ...)
{
	va_list ap;

	if (*r.p.bad)
		return;
	va_start(ap, fmt);
	vsnprintf(r.p.bad, sizeof(r.p.bad), fmt, ap);
	va_end(ap);
}

/* Every loss that dc-loss sent is finite; a term that waits is not sent. */
static void
check_losses(void)
{
	const msgpack_object *m = dc_frame_get(&r.f, "loss");

	for (uint32_t i = 0; m && m->type == MSGPACK_OBJECT_MAP && i < m->via.map.size; i++) {
		const msgpack_object_kv *kv = &m->via.map.ptr[i];

		if (kv->key.type == MSGPACK_OBJECT_STR && !isfinite(number(&kv->val)))
			refuse_for("the loss is not finite: %.*s is %g", kv->key.via.str.size > 64 ? 64 : (int)kv->key.via.str.size,
			    kv->key.via.str.ptr, number(&kv->val));
	}
}

/* A number in a map of the frame; NAN if there is none. */
static double
map_number(const char *map, const char *key)
{
	const msgpack_object *m = dc_frame_get(&r.f, map);

	for (uint32_t i = 0; m && m->type == MSGPACK_OBJECT_MAP && i < m->via.map.size; i++) {
		const msgpack_object_kv *kv = &m->via.map.ptr[i];

		if (kv->key.type == MSGPACK_OBJECT_STR && kv->key.via.str.size == strlen(key) &&
		    !memcmp(kv->key.via.str.ptr, key, strlen(key)))
			return number(&kv->val);
	}
	return NAN;
}

static void
begin_step(void)
{
	free(r.p.enqueue);
	r.p = (struct pending){ .position = -1, .total = NAN, .accuracy = NAN, .simsiam_std = NAN };
	for (int i = 0; i < DC_TERMS; i++)
		r.p.loss[i] = NAN;
	memset(r.came, 0, (size_t)r.s.n);
	for (int i = 0; i < r.n_run; i++) {
		free(r.stat[i]);
		r.stat[i] = NULL;
	}
}

static int
take_enqueue(void)
{
	struct dc_tensor t;
	size_t d = (size_t)r.s.c.embed_dim, old = (size_t)r.p.n_enqueue;

	if (!dc_frame_get(&r.f, "nn_enqueue"))
		return 0;
	DC_TRY(dc_frame_tensor(&r.f, "nn_enqueue", DC_F32, 2, &t));
	if (!r.s.nn_queue || !t.data || t.shape[1] != r.s.c.embed_dim)
		return dc_frame_err(&r.f, "nn_enqueue has no place: the run's queue has %lld rows of %d", (long long)r.s.c.queue,
		    r.s.c.embed_dim);
	r.p.n_enqueue += t.shape[0];
	r.p.enqueue = dc_xrealloc(r.p.enqueue, (size_t)r.p.n_enqueue * d + 1, sizeof(float));
	memcpy(r.p.enqueue + old * d, t.data, t.bytes);
	return 0;
}

static void
take_values(void)
{
	static const char *const features[] = { "image_features.0", "text_features.0" };
	double i2t = map_number("accuracy", "i2t"), t2i = map_number("accuracy", "t2i"), x;
	struct dc_tensor t;

	for (int i = 0; i < DC_TERMS; i++)
		if (!isnan(x = map_number("loss", dc_term_names[i])))
			r.p.loss[i] = x;
	if (!isnan(x = map_number("loss", "total")))
		r.p.total = x;
	if (dc_frame_get(&r.f, "simsiam_std"))
		r.p.simsiam_std = number(dc_frame_get(&r.f, "simsiam_std"));
	check_losses();
	if (!isnan(i2t) || !isnan(t2i))
		r.p.accuracy = isnan(i2t) ? t2i : isnan(t2i) ? i2t : (i2t + t2i) / 2;
	for (int i = 0; i < 2; i++)
		if (dc_frame_get(&r.f, features[i]) && dc_frame_tensor_any(&r.f, features[i], &t) == 0 && t.ndim > 0) {
			r.p.rows += t.shape[0];
			break;
		}
	if (dc_frame_get(&r.f, "batch_size"))   /* of all ranks */
		r.p.rows = (int64_t)number(dc_frame_get(&r.f, "batch_size"));
}

static int
take_position(void)
{
	return dc_frame_get(&r.f, "position") ? dc_frame_int(&r.f, "position", &r.p.position) : 0;
}

static int
check_step(void)
{
	return r.f.step == r.s.step ? 0 : dc_frame_err(&r.f, "of step %llu, while step %llu is under way",
	    (unsigned long long)r.f.step, (unsigned long long)r.s.step);
}

/* The step is under way as soon as its first dfeatures frame is on the loop. */
static int
on_dfeatures(void)
{
	int io;

	DC_TRY(check_step());
	if (!r.p.begun)
		begin_step();
	else if (r.p.n_gradients)
		return dc_frame_err(&r.f, "comes after gradients of the same step");
	DC_TRY(take_position());
	DC_TRY(take_enqueue());
	if (dc_frame_get(&r.f, "skip"))
		DC_TRY(dc_frame_bool(&r.f, "skip", &r.p.skip));
	take_values();
	if ((io = dc_frame_pass(&r.loop, &r.f)) == DC_FRAME)
		r.p.begun = 1;
	return io;
}

/* --- gradients --- */

/* They come in the order that we have them in, as a rule. */
static int
find_slot(const msgpack_object_str *name)
{
	for (int k = 1; k <= r.s.n; k++) {
		int i = (r.slot + k) % r.s.n;

		if (strlen(r.s.t[i].p.name) == name->size && !memcmp(r.s.t[i].p.name, name->ptr, name->size))
			return r.slot = i;
	}
	return -1;
}

/* Bring one gradient to its place in g. */
static int
place_gradient(int i, const struct dc_tensor *t)
{
	const struct dc_param *p = &r.s.t[i].p;

	if (t->type != DC_F32 || t->ndim != p->ndim || memcmp(t->shape, p->shape, (size_t)p->ndim * sizeof(*p->shape)))
		return dc_frame_err(&r.f, "the gradient of %s has another type or shape than the tensor", p->name);
	if (t->data) {
		memcpy(r.g[i], t->data, t->bytes);
	} else {
		if (o.by_value)
			return dc_frame_err(&r.f, "the gradient of %s comes by reference, and nothing is shared", p->name);
		if (!dc_shm_find(&r.gradients, DC_SHM_GRADIENTS, t) || strcmp(t->name, p->name))
			return dc_frame_err(&r.f, "the gradient of %s is a wrong reference: %s", p->name, dc_err());
	}
	return 0;
}

static int
take_gradient(const msgpack_object_kv *kv)
{
	struct dc_tensor t;
	int i;

	if (kv->key.type != MSGPACK_OBJECT_STR || (i = find_slot(&kv->key.via.str)) < 0)
		return dc_frame_err(&r.f, "a gradient of '%.*s', which the model does not have",
		    kv->key.type == MSGPACK_OBJECT_STR ? (int)kv->key.via.str.size : 0, kv->key.via.str.ptr);
	if (!r.s.t[i].trainable)
		return dc_frame_err(&r.f, "a gradient of %s, which is frozen", r.s.t[i].p.name);
	if (r.came[i])
		return dc_frame_err(&r.f, "a second gradient of %s in one step", r.s.t[i].p.name);
	DC_TRY(dc_object_tensor(&r.f, r.s.t[i].p.name, &kv->val, &t));
	DC_TRY(place_gradient(i, &t));
	r.came[i] = 1;
	r.p.n_gradients++;
	list_tensor(i);
	return 0;
}

static int
take_gradients(void)
{
	const msgpack_object *m = dc_frame_get(&r.f, "gradient");

	if (!m)
		return 0;
	if (m->type != MSGPACK_OBJECT_MAP)
		return dc_frame_err(&r.f, "gradient is not a map");
	r.n_x = 0;
	for (uint32_t i = 0; i < m->via.map.size; i++)
		DC_TRY(take_gradient(&m->via.map.ptr[i]));
	dc_squares(r.x, r.n_x, r.sum);
	for (int k = 0; k < r.n_x; k++) {
		if (!isfinite(r.sum[k]))
			refuse_for("the gradient of %s is not finite", r.s.t[r.of[k]].p.name);
		r.p.sum += r.sum[k];
	}
	return 0;
}

static int
take_stats(void)
{
	struct dc_tensor t;

	for (int i = 0; i < r.n_run; i++) {
		const char *name = r.run[i].name;

		if (!dc_frame_get(&r.f, name))
			continue;
		DC_TRY(dc_frame_tensor(&r.f, name, DC_F32, 2, &t));
		if (!t.data || t.shape[1] != r.run[i].width || r.stat[i])
			return dc_frame_err(&r.f, "%s: wanted once, as [views, %lld]", name, (long long)r.run[i].width);
		r.stat[i] = dc_xmalloc(t.bytes + 1);
		r.stat_views[i] = t.shape[0];
		memcpy(r.stat[i], t.data, t.bytes);
		if (dc_first_not_finite(r.stat[i], t.n) < t.n)
			refuse_for("%s is not finite", name);
	}
	return 0;
}

/* --- the update --- */

/* running <- 0.9 running + 0.1 batch, view by view */
static void
fold_stats(void)
{
	for (int i = 0; i < r.n_run; i++) {
		const size_t width = (size_t)r.run[i].width;

		for (int64_t v = 0; r.stat[i] && v < r.stat_views[i]; v++)
			for (size_t k = 0; k < width; k++) {
				float *x = &r.run[i].value[k];

				*x = (float)((1 - bn_momentum) * (double)*x + bn_momentum * (double)r.stat[i][(size_t)v * width + k]);
			}
		if (r.stat[i] && r.run[i].batches)
			*r.run[i].batches += (float)r.stat_views[i];
	}
}

static void
update(double lr, double norm)
{
	const struct dc_adamw a = { o.beta1, o.beta2, o.eps, o.weight_decay };
	double scale = dc_clip_scale(norm, o.grad_clip);

	r.n_x = 0;
	for (int i = 0; i < r.s.n; i++)
		if (r.came[i]) {
			r.s.t[i].updates++;
			list_tensor(i);
		}
	dc_adamw_sweep(r.x, r.n_x, &a, lr, scale, !o.by_value);
	clamp_scale();
	for (int i = 0; i < r.s.n && o.ema > 0; i++)
		dc_ema(r.s.t[i].ema, r.s.t[i].w, r.s.t[i].p.n, o.ema);
}

/* The gradients are handed back as zeros; those that the update took are already. */
static void
clear_gradients(int updated)
{
	for (int i = 0; i < r.s.n && !o.by_value; i++)
		if (r.s.t[i].trainable && !(updated && r.came[i]))
			memset(r.g[i], 0, r.s.t[i].p.n * sizeof(*r.g[i]));
}

/* Squares beyond single precision would make moments infinite, which no later step mends. */
static void
check_size(void)
{
	double norm = sqrt(r.p.sum) * dc_clip_scale(sqrt(r.p.sum), o.grad_clip);

	if (!r.p.skip && norm > 1e18)
		refuse_for("the gradient is too large: its norm is %.3g", norm);
}

/* Something is not finite: the state before it is kept for looking at, or the batch is passed over. */
static int
refuse(void)
{
	unsigned long long step = r.s.step + 1;
	long long skip = (long long)r.s.position;
	char name[40];

	clear_progress();
	if (dc_state_finite(&r.s) < 0)
		return dc_err_prefix("step %llu: %s, nor is the model, which somebody changed", step, r.p.bad);
	if (o.replica)   /* rank 0, which has refused it too, says so */
		return strcmp(o.nan, "skip") || r.refused_in_row >= REFUSED_MAX ? DC_GONE : 0;
	if (!strcmp(o.nan, "skip") && r.refused_in_row < REFUSED_MAX) {
		dc_warn("step %llu: %s: batch skipped", step, r.p.bad);
		r.refused++;
		return 0;
	}
	snprintf(name, sizeof(name), "bad-%08llu", step);
	DC_TRY(dc_state_write(&r.s, o.run, name));
	dc_warn("%s/%s is the state before it, and 'dc-decode --skip %lld --steps %lld ...' makes the batch again: train.sh --run %s "
	    "--replay %s (-n prints the commands)", o.run, name, skip, skip + 1, o.run, name);
	if (r.refused_in_row >= REFUSED_MAX)
		return dc_err_set("step %llu: %s: %d batches were refused one after the other", step, r.p.bad, REFUSED_MAX + 1);
	return dc_err_set("step %llu: %s (--nan skip passes over such batches)", step, r.p.bad);
}

static int
apply(void)
{
	double lr = dc_schedule_lr(&(struct dc_schedule){ o.lr, o.lr_start, o.warmup, o.steps }, r.s.step);
	double norm = sqrt(r.p.sum), scale = logit_scale();

	update(lr, norm);
	fold_stats();
	r.s.step++;
	return log_step(lr, scale, norm);
}

static int
finish_step(void)
{
	int done, io;

	check_size();
	done = !r.p.skip && !*r.p.bad;
	if (r.p.position < 0)
		return dc_frame_err(&r.f, "no frame of step %llu carried the position", (unsigned long long)r.s.step);
	if (!r.p.skip && !r.p.n_gradients)
		return dc_frame_err(&r.f, "no gradient came in step %llu", (unsigned long long)r.s.step);
	if (*r.p.bad && (io = refuse()) < 0)
		return io;
	if (!*r.p.bad && done)
		DC_TRY(apply());
	r.refused_in_row = *r.p.bad ? r.refused_in_row + 1 : 0;
	clear_gradients(done);
	if (r.s.nn_queue)
		dc_state_push(&r.s, r.p.enqueue, r.p.n_enqueue);
	r.s.position = r.p.position;
	r.p.begun = 0;
	if (done && o.save_every && r.s.step % (uint64_t)o.save_every == 0)
		DC_TRY(checkpoint());
	return send_parameters();
}

/* The large products are dc-encode's: what is recorded of the threads must be true of it. */
static int
check_threads(void)
{
	int64_t threads;

	if (!dc_frame_get(&r.f, "threads"))
		return 0;
	DC_TRY(dc_frame_int(&r.f, "threads", &threads));
	if (threads != r.s.numerics.threads && !o.accept_numerics)
		return dc_frame_err(&r.f, "dc-encode computes with %lld threads, the run is recorded with %d: set OMP_NUM_THREADS for both, "
		    "or --accept-numerics", (long long)threads, r.s.numerics.threads);
	return 0;
}

static int
on_gradients(void)
{
	double wait_s;
	int last = 0;

	DC_TRY(check_step());
	if (!r.p.begun)
		return dc_frame_err(&r.f, "no dfeatures of this step has gone to the loop");
	DC_TRY(check_threads());
	DC_TRY(take_gradients());
	DC_TRY(take_stats());
	DC_TRY(take_position());
	if (dc_frame_get(&r.f, "wait_s")) {
		DC_TRY(dc_frame_double(&r.f, "wait_s", &wait_s));
		r.p.wait_s += wait_s;
	}
	if (dc_frame_get(&r.f, "last"))
		DC_TRY(dc_frame_bool(&r.f, "last", &last));
	return last ? finish_step() : DC_FRAME;
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
		return on_dfeatures();
	if (!strcmp(r.f.kind, "gradients"))
		return on_gradients();
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
	if (checkpoint() < 0) {
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
	if (checkpoint() < 0 || dc_frame_pass(&r.loop, &r.f) == DC_FAIL) {
		dc_warn("%s", dc_err());
		return DC_EXIT_FAIL;
	}
	return DC_EXIT_OK;
}

static int
run(void)
{
	int io = send_state();

	if (io == DC_FRAME)
		io = send_parameters();
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
	clear_progress();
	return dc_io_status(&r.in, io);
}

static void
remove_shm(void)
{
	dc_shm_remove(&r.shm);
}

/* A closed standard descriptor must not become one of ours. */
static void
fill_descriptors(void)
{
	int fd;

	if (fcntl(STDOUT_FILENO, F_GETFD) < 0)
		r.row_fd = -1;
	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void
check_opts(int argc, int first)
{
	if (first < argc)
		dc_die_usage("%s: no operand is taken", dc_progname);
	if (o.verify)
		return;
	if (!o.run)
		dc_die_usage("--run is needed");
	if (!o.loop && !o.print)
		dc_die_usage("--loop is needed");
	if (!dc_opts_given("lr-start"))
		o.lr_start = o.lr / 10;
	if (o.steps && o.warmup > o.steps && dc_opts_given("warmup"))
		dc_die_usage("--warmup %lld is longer than --steps %lld", (long long)o.warmup, (long long)o.steps);
	if (o.steps && o.warmup > o.steps)
		o.warmup = o.steps;
}

static void
show_end(int status)
{
	r.progress.done = r.s.step;
	dc_progress_end(&r.progress, r.s.step - r.progress.first, o.verbose && status != DC_EXIT_NEIGHBOUR);
	if (o.verbose && (r.dropped || r.refused))
		dc_warn("%llu frames dropped, %llu batches refused", (unsigned long long)r.dropped, (unsigned long long)r.refused);
}

int
main(int argc, char *argv[])
{
	int status;

	dc_main_init("dc-step");
	dc_blas_start(argv);
	fill_descriptors();
	check_opts(argc, dc_opts_parse(argc, argv, "--run RUN --loop FIFO [options]",
	    "updates the parameters from gradients, keeps checkpoints and the log", table));
	if (o.verify)
		return verify();
	if (o.print)
		return print_state();

	catch_signals();
	dc_stall_start(&stall);
	lock_run();
	atexit(remove_pid);
	atexit(remove_shm);
	load();
	open_log();
	if ((status = open_loop()) < 0) {
		dc_in_init(&r.in, STDIN_FILENO, "<stdin>");
		dc_pipe_widen(STDIN_FILENO);
		dc_in_watch(&r.in, r.loop.fd, 0);
		dc_in_watch(&r.in, wake[0], POLLIN);
		dc_in_watch(&r.in, (int)o.lifeline, POLLPRI);   /* never; it hangs up */
		dc_progress_init(&r.progress, "steps", r.s.step, (uint64_t)o.steps);
		r.progress.on = r.progress.on && !isatty(STDOUT_FILENO) && !o.replica;
		status = run();
		show_end(status);
		close(r.loop.fd);
	}
	dc_frame_free(&r.f);
	dc_body_free(&r.b);
	return status;
}
