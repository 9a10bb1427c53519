/* SPDX-License-Identifier: MIT */
/* RUN/log.tsv: a header, then a row a step, tab separated. Kept up to the checkpoint that a run continues from. */
#ifndef DC_STORE_RUNLOG_H
#define DC_STORE_RUNLOG_H

#include <stdint.h>
#include "base/util.h"

/* Open RUN/log.tsv to append, make it with `header` (which ends with a newline) if it is not there, and cut off every row
 * of a later step than `step` and a last row that is incomplete. A descriptor, or -1 with a message. */
int dc_runlog_open(const char *run, const char *header, uint64_t step) DC_MUST_USE;
/* The same with any file. */
int dc_runlog_open_file(const char *path, const char *header, uint64_t step) DC_MUST_USE;
/* Append a whole row. -1 with a message. */
int dc_runlog_add(int fd, const char *row) DC_MUST_USE;

#endif
