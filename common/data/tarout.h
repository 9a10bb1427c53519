/* SPDX-License-Identifier: MIT */
/* Writing tar shards whose bytes depend on nothing but their contents: ustar (with a pax header where a name is too long
 * for it or not ASCII), fixed time, owner 0, mode 0644.
 *
 *	struct dc_tarout *t = dc_tarout_open("train-000.tar");      // NULL: dc_err()
 *	if (dc_tarout_add(t, "000000.jpg", jpeg, n) < 0) ...
 *	if (dc_tarout_close(t) < 0) ...                             // now train-000.tar is there, whole
 *
 * The shard grows as "train-000.tar.part" and takes its name when closed, so a shard that is there is complete. */
#ifndef DC_DATA_TAROUT_H
#define DC_DATA_TAROUT_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"

struct dc_tarout;

/* NULL, with a message, if the file cannot be created. */
struct dc_tarout *dc_tarout_open(const char *path);
/* Finish the archive and wait until it is on the disk, as "PATH.part"; *bytes = its size. After it only close or drop.
 * Return 0, or -1 with a message. */
int dc_tarout_sync(struct dc_tarout *t, uint64_t *bytes) DC_MUST_USE;
/* One regular file. Return 0, or -1 with a message naming shard and entry. */
int dc_tarout_add(struct dc_tarout *t, const char *name, const void *data, size_t bytes) DC_MUST_USE;
/* Finish, rename and free. After an error in between: the part is removed, -1. NULL: 0. */
int dc_tarout_close(struct dc_tarout *t) DC_MUST_USE;
/* Give up: remove the part and free. NULL is legal. */
void dc_tarout_drop(struct dc_tarout *t);

#endif
