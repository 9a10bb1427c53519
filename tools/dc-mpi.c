/* SPDX-License-Identifier: MIT */
/* dc-mpi: stands in the ring of every rank. The features of all become one batch, the gradients of all one sum. */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/opts.h"
#include "mpi/ring.h"
#include "stream/stall.h"

enum { LOOK_MS = 50 };

static struct {
	const char *refs, *log;
	int64_t lifeline;
	double dead;
	int verbose;
} o = { .lifeline = -1, .dead = 20 };

static struct dc_stall stall = DC_STALL_DEFAULT;

static const struct dc_opt table[] = {
	DC_OPT_STR("refs", 0, &o.refs, "DIR", "the run's shared directory, where gradients by reference are [none]"),
	DC_OPT_STR("log", 0, &o.log, "FILE", "rank 0: a row a step here: who was slow, seconds, bytes"),
	DC_OPT_DOUBLE("dead", 0, &o.dead, 0, 1e9, "SECONDS", "a rank that gives no sign of life for so long has failed; 0: never"),
	DC_OPT_INT("lifeline", 0, &o.lifeline, 3, 1 << 20, "FD", "end when this pipe, open for reading, has no writer any more"),
	DC_OPTS_STALL(&stall),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

static struct dc_mpi g = { .timer = -1 };

static int
step(void)
{
	uint64_t ticks;
	int r = dc_frame_read(&g.in, &g.f);

	if (r == DC_FRAME)
		r = dc_mpi_frame(&g);
	else if (r == DC_OTHER) {
		if (read(g.timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
			return dc_err_errno("timerfd");
		r = g.leaving ? DC_FRAME : dc_link_look(g.l);
	}
	return r == DC_OTHER ? dc_mpi_leave(&g) : r;
}

static void
start_timer(void)
{
	const struct itimerspec t = { { 0, LOOK_MS * 1000000L }, { 0, LOOK_MS * 1000000L } };

	if ((g.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) < 0 || timerfd_settime(g.timer, 0, &t, NULL) < 0)
		dc_die_errno("timerfd");
}

static void
open_all(int *argc, char ***argv)
{
	int at;

	if (dc_out_init(&g.out, STDOUT_FILENO, "<stdout>") < 0)
		dc_die_usage("%s", dc_err());
	at = dc_wait_begin(&(struct dc_wait){ .fd = -1, .name = "for the dc-mpi of all ranks to start" });
	if (!(g.l = dc_link_open(argc, argv)))
		dc_die("%s", dc_err());
	dc_wait_end(at);
	g.l->out = g.out.fd;
	g.refs = o.refs;
	g.l->lifeline = (int)o.lifeline;
	g.l->dead = o.dead;
	g.theirs = dc_xcalloc((size_t)g.l->ranks, sizeof *g.theirs);
	g.bytes = dc_xcalloc((size_t)g.l->ranks, sizeof *g.bytes);
	dc_slow_init(&g.slow, g.l->ranks, g.l->host, g.l->rank ? NULL : o.log);
	start_timer();
	dc_in_init(&g.in, STDIN_FILENO, "<stdin>");
	dc_pipe_widen(STDIN_FILENO);
	dc_pipe_widen(STDOUT_FILENO);
	dc_in_watch(&g.in, g.out.fd, 0);
	dc_in_watch(&g.in, g.timer, POLLIN);
	dc_in_watch(&g.in, (int)o.lifeline, 0);
}

/* A last word where the ring ends in another way than all do: who is told that somebody else failed knows whose fault it is. */
static int
say_goodbye(int r)
{
	int status = dc_io_status(&g.in, r), told = g.l->left >= 0 && g.l->word[g.l->left].kind == DC_WORD_FAIL;

	if (status != DC_EXIT_OK && !g.leaving && !told)
		dc_mpi_tell(&g, DC_WORD_FAIL, status == DC_EXIT_FAIL ? dc_err() : "a tool of its ring has ended");
	if (close(STDOUT_FILENO) < 0 && status == DC_EXIT_OK) {
		dc_warn_errno("<stdout>");
		status = DC_EXIT_FAIL;
	}
	return status;
}

static void
report(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	fprintf(stderr, "%s: rank %d of %d: sent %.1f MB, received %.1f MB; waited %.3f s for others, shared features in %.3f s, "
	    "summed gradients in %.3f s; %.2f s CPU\n", dc_progname, g.l->rank, g.l->ranks, 1e-6 * (double)g.l->sent,
	    1e-6 * (double)g.l->received, g.l->waited, g.shared, g.summed,
	    (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec));
}

static void
free_all(void)
{
	for (int k = 0; k < g.l->ranks; k++)
		dc_frame_free(&g.theirs[k]);
	free(g.theirs);
	free(g.bytes);
	dc_gather_free(&g.batch);
	dc_frame_free(&g.f);
	dc_body_free(&g.b);
	dc_body_free(&g.own);
	dc_slow_close(&g.slow);
	if (g.gradients.map)
		dc_st_close(&g.gradients);
}

int
main(int argc, char **argv)
{
	int first, status, r;

	dc_main_init("dc-mpi");
	first = dc_opts_parse(argc, argv, "[options] <frames >frames", "joins the rings of several ranks: shares features, sums gradients",
	    table);
	if (first < argc)
		dc_die_usage("%s: takes no operand; frames come on standard input", argv[first]);
	dc_stall_start(&stall);
	open_all(&argc, &argv);
	do
		r = step();
	while (r == DC_FRAME && !g.in.ended);
	status = say_goodbye(r);
	if (o.verbose)
		report();
	free_all();
	dc_link_close(g.l, status == DC_EXIT_OK);
	return status;
}
