/* SPDX-License-Identifier: MIT */
#include "ranks/slow.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/runlog.h"

enum { STEPS = 20 /* that are judged together */, QUIET = 100 /* steps after a warning */ };
static const double slow = 0.2;   /* of the time: worth a warning */
static const char header[] = "step\tseconds\tslowest\thost\tbehind_s\tfeatures_s\tgradients_s\tsent_bytes\treceived_bytes\n";

void
dc_slow_init(struct dc_slow *s, int ranks, char (*host)[64], const char *path)
{
	*s = (struct dc_slow){ .ranks = ranks, .host = host, .path = path, .log = -1,
		.behind = dc_xcalloc((size_t)ranks, sizeof *s->behind) };
}

void
dc_slow_close(struct dc_slow *s)
{
	free(s->behind);
	if (s->log >= 0)
		close(s->log);
}

void
dc_slow_add(struct dc_slow *s, double seconds)
{
	s->waited += seconds;
}

/* The rank that waited least, and by how much the next one waited longer. */
static int
slowest(const struct dc_slow *s, const double *waited, double *behind)
{
	double next = -1;
	int k = 0;

	for (int i = 1; i < s->ranks; i++)
		k = waited[i] < waited[k] ? i : k;
	for (int i = 0; i < s->ranks; i++)
		if (i != k && (next < 0 || waited[i] < next))
			next = waited[i];
	*behind = next < 0 ? 0 : next - waited[k];
	return k;
}

/* After some steps: has one rank kept the others waiting? */
static void
judge(struct dc_slow *s, double now)
{
	int k = 0;

	for (int i = 1; i < s->ranks; i++)
		k = s->behind[i] > s->behind[k] ? i : k;
	if (s->behind[k] > slow * (now - s->since) && s->step >= s->quiet) {
		dc_warn("rank %d (%s) is slow: in the last %d steps, %.3g s, the others waited %.3g s for it", k, s->host[k], s->steps,
		    now - s->since, s->behind[k]);
		s->quiet = s->step + QUIET;
	}
	memset(s->behind, 0, (size_t)s->ranks * sizeof *s->behind);
	s->steps = 0;
	s->since = now;
}

static int
add_row(struct dc_slow *s, int k, double behind, double seconds, uint64_t sent, uint64_t received, double shared, double summed)
{
	char row[512];

	snprintf(row, sizeof row, "%llu\t%.4f\t%d\t%s\t%.4f\t%.4f\t%.4f\t%llu\t%llu\n", (unsigned long long)s->step, seconds, k,
	    s->host[k], behind, shared - s->shared, summed - s->summed, (unsigned long long)(sent - s->sent),
	    (unsigned long long)(received - s->received));
	return dc_runlog_add(s->log, row);
}

int
dc_slow_step(struct dc_slow *s, const double *waited, uint64_t step, uint64_t sent, uint64_t received, double shared, double summed)
{
	double now = dc_seconds(), behind;
	int k = slowest(s, waited, &behind);

	if (s->path && s->log < 0)   /* rows of steps that are made again go */
		DC_TRY(s->log = dc_runlog_open_file(s->path, header, step));
	if (s->last > 0 && s->path) {
		DC_TRY(add_row(s, k, behind, now - s->last, sent, received, shared, summed));
		s->behind[k] += behind;
		if (++s->steps == STEPS)
			judge(s, now);
	} else {
		s->since = now;
	}
	s->waited = 0;
	s->last = now;
	s->step = step + 1;
	s->sent = sent;
	s->received = received;
	s->shared = shared;
	s->summed = summed;
	return 0;
}
