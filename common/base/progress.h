/* SPDX-License-Identifier: MIT */
/* The progress line on a terminal, and the statistics of -v. Both go to stderr; neither appears in a pipe unasked. */
#ifndef DC_BASE_PROGRESS_H
#define DC_BASE_PROGRESS_H

#include <stdint.h>

/* A line that takes the place of the one before; a terminal too narrow for it cuts it off instead of wrapping it. */
#define DC_LINE_BEGIN "\r\033[?7l"
#define DC_LINE_END "\033[K\033[?7h"

struct dc_progress {
	const char *unit;    /* "samples", "steps" ... */
	uint64_t total;      /* 0 if not known: no ETA then */
	double start, last;  /* seconds */
	uint64_t done, first;
	int on;              /* stderr is a terminal, and stdout is no pipe */
};

/* `first` = what was done before this run (a resumed one). */
void dc_progress_init(struct dc_progress *p, const char *unit, uint64_t first, uint64_t total);
/* At most five lines a second: "dc-decode: 1280/6000 samples, 512/s, ETA 0:09". */
void dc_progress_to(struct dc_progress *p, uint64_t done);
/* Clear the line. With verbose (batches 0: not said): "dc-decode: 6000 samples, 93 batches, 512 samples/s, 11.7 s real,
 * 20.1 s CPU, 85 MB". */
void dc_progress_end(struct dc_progress *p, uint64_t batches, int verbose);

#endif
