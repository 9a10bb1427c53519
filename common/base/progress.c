/* SPDX-License-Identifier: MIT */
#include "base/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

/* In a pipeline of several tools only the last may draw: their lines would run into each other. */
static int
stdout_is_a_pipe(void)
{
	struct stat st;

	return fstat(STDOUT_FILENO, &st) == 0 && S_ISFIFO(st.st_mode);
}

void
dc_progress_init(struct dc_progress *p, const char *unit, uint64_t first, uint64_t total)
{
	*p = (struct dc_progress){ .unit = unit, .total = total, .first = first, .done = first };
	p->start = p->last = dc_seconds();
	p->on = isatty(STDERR_FILENO) && !stdout_is_a_pipe();
}

static double
rate(const struct dc_progress *p, double now)
{
	return now > p->start ? (double)(p->done - p->first) / (now - p->start) : 0;
}

void
dc_progress_to(struct dc_progress *p, uint64_t done)
{
	double now, r;

	p->done = done;
	if (!p->on || (now = dc_seconds()) - p->last < 0.2)
		return;
	p->last = now;
	r = rate(p, now);
	fprintf(stderr, DC_LINE_BEGIN "%s: %" PRIu64, dc_progname, done);
	if (p->total)
		fprintf(stderr, "/%" PRIu64, p->total);
	fprintf(stderr, " %s, %.3g/s", p->unit, r);
	if (p->total > done && r > 0) {
		uint64_t eta = (uint64_t)((double)(p->total - done) / r);
		fprintf(stderr, ", ETA %" PRIu64 ":%02d", eta / 60, (int)(eta % 60));
	}
	fputs(DC_LINE_END, stderr);
	fflush(stderr);
}

void
dc_progress_end(struct dc_progress *p, uint64_t batches, int verbose)
{
	double now = dc_seconds(), cpu;
	struct rusage u;

	if (p->on)
		fprintf(stderr, "\r\033[K");
	if (!verbose)
		return;
	getrusage(RUSAGE_SELF, &u);
	cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
	fprintf(stderr, "%s: %" PRIu64 " %s, ", dc_progname, p->done - p->first, p->unit);
	if (batches)
		fprintf(stderr, "%" PRIu64 " batches, ", batches);
	fprintf(stderr, "%.4g %s/s, %.2f s real, %.2f s CPU, %ld MB\n", rate(p, now), p->unit, now - p->start, cpu,
	    u.ru_maxrss / 1024);
}
