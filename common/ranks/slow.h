/* SPDX-License-Identifier: MIT */
/* Which rank the others wait for. Every rank counts the seconds that it waits for others in a step, and all tell one
 * another: the one that waits least is the one that they wait for, by as much as the second least waits longer. No clocks
 * are compared. */
#ifndef DC_RANKS_SLOW_H
#define DC_RANKS_SLOW_H

#include <stdint.h>
#include <stdio.h>
#include "base/util.h"

struct dc_slow {
	int ranks;
	char (*host)[64];
	int log;                  /* -1: not open */
	const char *path;
	double waited;            /* this step's, so far */
	double *behind;           /* [ranks] seconds that others waited for it in these steps */
	double since, last;       /* when these steps and this one began */
	int steps;
	uint64_t step, quiet;     /* the step under way; no warning before this one */
	uint64_t sent, received;  /* as they stood a step ago */
	double shared, summed;
};

/* path NULL: no table, and nothing is said. host must last as long. */
void dc_slow_init(struct dc_slow *s, int ranks, char (*host)[64], const char *path);
void dc_slow_close(struct dc_slow *s);
/* Seconds waited in this step. */
void dc_slow_add(struct dc_slow *s, double seconds);
/* A step begins, and waited[k] is what rank k waited in the one before: a row of the table for that, perhaps a warning.
 * The totals are since the beginning. -1 with a message. */
int dc_slow_step(struct dc_slow *s, const double *waited, uint64_t step, uint64_t sent, uint64_t received, double shared,
    double summed) DC_MUST_USE;

#endif
