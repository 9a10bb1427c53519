/* SPDX-License-Identifier: MIT */
/* OUT/shards.jsonl: one line of JSON for each finished shard, by which an interrupted run goes on where it was.
 *
 *	{"dc-shard": 1, "options": "...", "data": "..."}
 *	{"shard": "train-000000.tar", "split": 0, "samples": 1000, "bytes": 52428800, "read": 1003,
 *	    "rejected": [[17, "a.jpg", "no-caption: ..."], ...]}
 *	...
 *	{"in": 2003, "out": 2000, "rejected": [...]}         all is done
 *
 * `read` = the items of its split that are gone by once the shard is finished. A shard is written as NAME.part and synced,
 * its line is written and synced, and it takes its name: so a line without a shard of its name has a whole one in
 * NAME.part. The rejects of the last line are those that no shard's line has. */
#ifndef DC_SHARD_JOURNAL_H
#define DC_SHARD_JOURNAL_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"

struct dc_shard_reject { uint64_t number; char *name, *why; };
struct dc_shard_rejects { struct dc_shard_reject *v; size_t n, cap; };

struct dc_shard_line {
	char *shard;          /* its file's name; NULL: the last line */
	int split;
	uint64_t samples, bytes, read;
	struct dc_shard_rejects rejected;
};

struct dc_journal {
	char *dir; int dir_fd, fd;
	struct dc_shard_line *line; size_t n, cap; /* what stood in it */
	int done;             /* with a last line */
	uint64_t in, out;     /* of the last line */
};

/* Make the directory where it is not there, lock it, and read what an earlier run left, as far as its shards are there.
 * Return 0, or -1 with a message: another run is at work, or was begun with other options or data. */
int dc_journal_open(struct dc_journal *j, const char *dir, const char *options, const char *data) DC_MUST_USE;
/* Add a shard's line, synced. */
int dc_journal_shard(struct dc_journal *j, const struct dc_shard_line *l) DC_MUST_USE;
/* The last line. */
int dc_journal_end(struct dc_journal *j, uint64_t in, uint64_t out, const struct dc_shard_rejects *r) DC_MUST_USE;
/* The directory's new names are on the disk. */
int dc_journal_sync_dir(struct dc_journal *j) DC_MUST_USE;
void dc_journal_free(struct dc_journal *j);

void dc_shard_rejects_add(struct dc_shard_rejects *r, uint64_t number, const char *name, const char *why);
void dc_shard_rejects_free(struct dc_shard_rejects *r);

#endif
