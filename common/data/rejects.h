/* SPDX-License-Identifier: MIT */
/* The file of refused samples: tab-separated, a header line, then shard, key, byte offset and reason.
 * A line is written once, however often its sample comes: in later epochs, or in a run that goes on with the file. */
#ifndef DC_DATA_REJECTS_H
#define DC_DATA_REJECTS_H

#include <stdint.h>
#include <stdio.h>
#include "base/util.h"

struct dc_rejects { FILE *fp; const char *path; void *lines; };

/* Make the file anew, or with `more` go on behind what it holds. Return 0, or -1 with a message. */
int dc_rejects_open(struct dc_rejects *r, const char *path, int more) DC_MUST_USE;
/* Tabs, line ends and other control characters come out as \xNN. */
void dc_rejects_add(struct dc_rejects *r, const char *shard, const char *key, uint64_t offset, const char *reason);
/* Close it; nothing if it was never opened. Return 0, or -1 with a message if a write failed. */
int dc_rejects_close(struct dc_rejects *r) DC_MUST_USE;

#endif
