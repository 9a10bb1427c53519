/* SPDX-License-Identifier: MIT */
#include "ring/step_private.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "store/runlog.h"
#include "stream/stall.h"

enum { WARN_EVERY = 100 /* steps */, ROW_MAX = 1024 };

void
dc_step_clear_line(const struct dc_step *r)
{
	if (r->progress.on)
		fprintf(stderr, "\r\033[K");
}

static void
header(const struct dc_step *r, char *row)
{
	int n = snprintf(row, ROW_MAX, "step");

	for (int i = 0; i < DC_TERMS; i++)
		if (r->s.c.weight[i] > 0)
			n += snprintf(row + n, ROW_MAX - (size_t)n, "\t%s", dc_term_names[i]);
	snprintf(row + n, ROW_MAX - (size_t)n, "\ttotal\tlr\tlogit_scale\tgrad_norm\taccuracy\tpairs_per_s\twait_s%s%s\n",
	    r->log_more > 1 ? "\tsimsiam_std" : "", r->log_more > 0 ? "\tbatch_size" : "");
}

/* Rows are a courtesy: when their reader is gone, or the ring is dying or asked to stop, they end and nothing else does. */
static void
write_row(struct dc_step *r, const char *row)
{
	struct pollfd p[5] = { { r->row_fd, POLLOUT, 0 }, { STDIN_FILENO, 0, 0 }, { r->loop.fd, 0, 0 }, { r->wake, POLLIN, 0 },
		{ r->lifeline, 0, 0 } };
	size_t n = strlen(row);

	while (r->row_fd >= 0 && n) {
		int at = dc_wait_begin(&(struct dc_wait){ .fd = r->row_fd, .writing = 1, .name = "<stdout>", .kind = "row",
			.step = r->s.step, .number = r->s.step });
		int e = poll(p, 5, -1);
		ssize_t k;

		dc_wait_end(at);
		if (e < 0 && errno == EINTR)
			continue;
		if (!p[0].revents)   /* a neighbour or a signal: the main loop will see it too */
			return;
		k = write(r->row_fd, row, n);
		if (k < 0 && errno != EINTR && errno != EAGAIN)
			r->row_fd = -1;
		row += k > 0 ? k : 0;
		n -= k > 0 ? (size_t)k : 0;
	}
}

int
dc_step_open_log(struct dc_step *r)
{
	char row[ROW_MAX] = "";

	if (r->o.replica) {
		r->log_fd = r->row_fd = -1;
		return 0;
	}
	/* a log that was begun before there were so many columns goes on as it is */
	for (r->log_more = r->s.c.weight[DC_TERM_SIMSIAM] > 0 ? 2 : 1; r->log_more >= 0; r->log_more--) {
		header(r, row);
		if ((r->log_fd = dc_runlog_open(r->o.run, row, r->s.step)) >= 0)
			break;
	}
	if (r->log_fd < 0)
		return -1;
	write_row(r, row);
	return 0;
}

static void
show_progress(struct dc_step *r, double lr, double rate)
{
	double now = dc_seconds(), each;
	int64_t eta;

	r->progress.done = r->s.step;
	if (!r->progress.on || now - r->progress.last < 0.2)
		return;
	r->progress.last = now;
	each = (now - r->progress.start) / (double)(r->s.step - r->progress.first);
	fprintf(stderr, DC_LINE_BEGIN "%s: step %llu", dc_progname, (unsigned long long)r->s.step);
	if (r->o.steps)
		fprintf(stderr, "/%lld", (long long)r->o.steps);
	fprintf(stderr, " loss %.4g lr %.3g %.3g pairs/s", r->p.total, lr, rate);
	if (r->o.steps > (int64_t)r->s.step) {
		eta = (int64_t)(each * (double)(r->o.steps - (int64_t)r->s.step));
		fprintf(stderr, ", ETA %lld:%02d", (long long)(eta / 60), (int)(eta % 60));
	}
	fputs(DC_LINE_END, stderr);
	fflush(stderr);
}

/* One warning of a kind in so many steps. */
static int
may_warn(struct dc_step *r, uint64_t *said)
{
	if (*said && r->s.step - *said < WARN_EVERY)
		return 0;
	*said = r->s.step;
	dc_step_clear_line(r);
	return 1;
}

/* Numbers that are finite, but not as they should be. */
static void
watch_numbers(struct dc_step *r)
{
	double mean, sd, ideal = r->s.c.simsiam_width > 0 ? 1 / sqrt(r->s.c.simsiam_width) : 0;

	if (r->o.spike > 0 && !isnan(r->p.total) && dc_spike(&r->spike, r->p.total, r->o.spike, &mean, &sd) &&
	    may_warn(r, &r->spike_said))
		dc_warn("step %llu: the total rises to %.4g; before it was %.4g, with a standard deviation of %.2g",
		    (unsigned long long)r->s.step, r->p.total, mean, sd);
	if (!isnan(r->p.simsiam_std) && r->p.simsiam_std < 0.1 * ideal && may_warn(r, &r->collapse_said))
		dc_warn("step %llu: SimSiam collapses: its normalised outputs have a standard deviation of %.3g, 1/sqrt(%d) = %.3g is "
		    "ideal", (unsigned long long)r->s.step, r->p.simsiam_std, r->s.c.simsiam_width, ideal);
}

int
dc_step_log(struct dc_step *r, double lr, double scale, double norm)
{
	double seconds = dc_seconds() - r->sent, rate = seconds > 0 ? (double)r->p.rows / seconds : 0;
	char row[ROW_MAX];
	int n = snprintf(row, sizeof(row), "%llu", (unsigned long long)r->s.step);

	if (r->o.replica)
		return 0;

	for (int i = 0; i < DC_TERMS; i++)
		if (r->s.c.weight[i] > 0)
			n += snprintf(row + n, sizeof(row) - (size_t)n, "\t%.9g", r->p.loss[i]);
	n += snprintf(row + n, sizeof(row) - (size_t)n, "\t%.9g\t%.6g\t%.9g\t%.6g\t%.6g\t%.6g\t%.3f", r->p.total, lr, scale, norm,
	    r->p.accuracy, rate, r->p.wait_s);
	if (r->log_more > 1)
		n += snprintf(row + n, sizeof(row) - (size_t)n, "\t%.4g", r->p.simsiam_std);
	if (r->log_more > 0)
		n += snprintf(row + n, sizeof(row) - (size_t)n, "\t%lld", (long long)r->p.rows);
	snprintf(row + n, sizeof(row) - (size_t)n, "\n");
	DC_TRY(dc_runlog_add(r->log_fd, row));
	write_row(r, row);
	watch_numbers(r);
	show_progress(r, lr, rate);
	return 0;
}
