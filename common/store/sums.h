/* SPDX-License-Identifier: MIT */
/* Checksums of a checkpoint: checksums.tsv in it has the XXH3-64 of every other file, and of every tensor, so that a bit
 * that has changed is found when the checkpoint is loaded, and named.
 *
 *	dc_sums_write(dirfd);                        // last of all files
 *	if (dc_sums_check("run/step-00000020", &n) < 0) ... dc_err(): file, tensor, what is wrong
 *
 * The file is described in man/dc-model.5. */
#ifndef DC_STORE_SUMS_H
#define DC_STORE_SUMS_H

#include <stdint.h>
#include "base/util.h"

#define DC_SUMS_FILE "checksums.tsv"

/* What a checkpoint's files come to. */
struct dc_sums { int files; uint64_t bytes; };

/* Write DC_SUMS_FILE, synced, into the directory dirfd, of all files that are in it and below. -1 with a message. */
int dc_sums_write(int dirfd) DC_MUST_USE;

/* Compare all files with what is recorded of them: 1: they are as they were; 0: nothing is recorded, the checkpoint is
 * older than this or was put together by hand; -1 with a message. Files that are not recorded are not looked at. *n (may
 * be NULL): how many files were read and how large they are. */
int dc_sums_check(const char *dir, struct dc_sums *n) DC_MUST_USE;

#endif
