/* SPDX-License-Identifier: MIT */
/* The watchdog: a program that waits too long for its neighbour says for whom.
 *
 *	static struct dc_stall stall = DC_STALL_DEFAULT;          // a tool
 *	... DC_OPTS_STALL(&stall), ...                            // in its table of options
 *	dc_stall_start(&stall);                                   // in its main(), once
 *
 *	int at = dc_wait_begin(&(struct dc_wait){ ... });         // whoever waits: the stream does this round poll() and write()
 *	... poll(...) ...
 *	dc_wait_end(at);
 *
 * A thread looks at the waits that are under way. It counts the time in which it runs itself, so a program that was
 * stopped, or a machine that slept, has not waited. */
#ifndef DC_STREAM_STALL_H
#define DC_STREAM_STALL_H

#include "base/opts.h"
#include "stream/stream.h"

struct dc_stall {
	double seconds;   /* say it after this, and again after twice as long, and so on; 0: never */
	int end;          /* end the program then, with status 1 */
};
#define DC_STALL_DEFAULT { 600, 0 }
#define DC_OPTS_STALL(s) \
	DC_OPT_DOUBLE("stall", 0, &(s)->seconds, 0, 1e9, "SECONDS", "after such a wait, say for whom; 0: never"), \
	DC_OPT_FLAG("stall-exit", 0, &(s)->end, "and fail then, rather than wait on")

/* One wait. What `name` points to must last as long. */
struct dc_wait {
	int fd, writing;                /* the pipe; -1: there is none yet */
	const char *name;               /* of the stream, or what is waited for where fd is -1 */
	char kind[DC_KIND_MAX + 1];     /* reading: the last frame that came whole; writing: the one that goes. "" if none */
	uint64_t step, number;          /* of that frame */
	uint64_t got, all;              /* bytes of the frame under way; 0, 0 between two */
};

/* Begin to watch this process, if s->seconds is not 0. For tools; once. */
void dc_stall_start(const struct dc_stall *s);

/* Any thread may wait. What dc_wait_begin returns is for dc_wait_end. */
int dc_wait_begin(const struct dc_wait *w);
void dc_wait_end(int at);

#endif
