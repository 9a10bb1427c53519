/* SPDX-License-Identifier: MIT */
/* One tar shard, in WebDataset's grouping, read once from front to back.
 *
 *	struct dc_tar *t; struct dc_group g = { 0 };
 *	if (dc_tar_open(&t, "train-000.tar", &opts) < 0) ...
 *	while ((r = dc_tar_next(t, &g)) == DC_TAR_GROUP)
 *		... g.key, g.member[i].ext, g.member[i].bytes ...
 *	if (r == DC_TAR_END && dc_tar_damage(t)) ... the shard is damaged: says where and how ...
 *	dc_group_free(&g);
 *	dc_tar_close(t);
 *
 * Any compression that libarchive itself undoes (gzip, bzip2, xz, lzma, zstd, lz4, compress), told by content; never
 * one that it would start a program for. Archives written one after another (cat a.tar b.tar) are read through.
 *
 * A member's key is its path up to the first dot of the last component; the rest, in lower case, is its extension.
 * Members that follow each other with one key make a group; one whose extension the group has already begins the next.
 * Passed over: directories, links, devices, and names with no dot or with nothing before it.
 *
 * Damage is no error: what can be read is read. A bad header is searched past; after a cut or broken compression
 * there is nothing more. A group with a member whose data are not all there is marked broken; so is one with a sparse
 * member that has holes. */
#ifndef DC_DATA_TAR_H
#define DC_DATA_TAR_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"

enum { DC_TAR_GROUP = 1, DC_TAR_END = 0, DC_TAR_GONE = -2 };
enum { DC_GROUP_MEMBERS_MAX = 256 };

struct dc_member {
	char *ext;            /* "jpg", "seg.png" ... */
	uint64_t size;        /* bytes, as the header says */
	unsigned char *bytes; /* the data and a NUL after them; NULL if not kept or dropped. A user may take it (set it to NULL). */
};

struct dc_group {
	char *key;
	uint32_t occurrence;  /* groups of this key that stand before it in the shard */
	uint64_t offset;      /* of its first member's header, in bytes of the uncompressed tar */
	int broken;           /* data of a member are missing */
	size_t n;
	struct dc_member member[DC_GROUP_MEMBERS_MAX]; /* any further ones are passed over */
};

struct dc_tar_opts {
	int watch;            /* a descriptor whose reader's death ends a wait with DC_TAR_GONE; -1: none */
	/* How many bytes of a member may be kept; 0: its data are passed over (by seeking where that is possible).
	 * A larger member is not kept. */
	uint64_t (*keep)(void *arg, const char *ext);
	/* Whether a member that might be kept is not wanted this time; NULL: all are. It is read and thrown away, so that what is
	 * found damaged, and where the next member is looked for, do not depend on it. */
	int (*drop)(void *arg, const char *ext);
	void *arg;
};

struct dc_tar;

/* "-" is standard input. Return 0, or -1 with a message, and errno, if the file cannot be opened. */
int dc_tar_open(struct dc_tar **t, const char *path, const struct dc_tar_opts *opts) DC_MUST_USE;
/* The next group into *g (zero-initialised, or of an earlier call: emptied first).
 * DC_TAR_GROUP, DC_TAR_END or DC_TAR_GONE. */
int dc_tar_next(struct dc_tar *t, struct dc_group *g) DC_MUST_USE;
/* What was found damaged so far, "at byte 51200: truncated ...", or NULL. Valid until dc_tar_close. */
const char *dc_tar_damage(const struct dc_tar *t);
void dc_tar_close(struct dc_tar *t);
void dc_group_free(struct dc_group *g);

#endif
