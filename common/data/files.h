/* SPDX-License-Identifier: MIT */
/* Image files that lie in no shard: names to decoded images, in order, in batches and their parts.
 *
 *	struct dc_files f = { .max_pixels = 100000000, .pool = pool };
 *	dc_files_add(&f, "a.jpg");                   // or dc_files_list(&f, "names", 0)
 *	while (dc_files_next(&f)) {                  // a batch: encoded, headers looked at
 *		... dc_files_parts(&f) ...
 *		while ((x = dc_files_part(&f, &n)))  // decoded
 *			for (i = 0; i < n; i++)
 *				if (x[i].why) ... else ... x[i].image ...
 *	}
 *	dc_files_free(&f); */
#ifndef DC_DATA_FILES_H
#define DC_DATA_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/util.h"
#include "data/image.h"

enum { DC_FILES_BATCH = 64 };

struct dc_file {
	const char *name;
	size_t number;           /* in the list, from 0 */
	struct dc_image image;
	char *why;               /* it is no image that can be used; NULL if it is */
	unsigned char *bytes; size_t n_bytes; /* while it is read */
	struct dc_files *of;
};

struct dc_files {
	/* set by the caller */
	struct dc_pool *pool;
	uint64_t max_pixels;     /* larger images are refused */
	int exif;                /* turn them upright */
	/* the list */
	char **name; size_t n, cap;
	/* the batch; files taken from the list, items decoded */
	struct dc_file item[DC_FILES_BATCH]; size_t n_items, at, decoded;
};

void dc_files_add(struct dc_files *f, const char *name);
/* Add the names in the file `path` ("-": standard input), one a line, or each ended by a NUL. Empty names are left out.
 * 0, or -1 with a message. */
int dc_files_list(struct dc_files *f, const char *path, int nul) DC_MUST_USE;
/* Read the next DC_FILES_BATCH files. How many items the batch has; 0 at the end. */
size_t dc_files_next(struct dc_files *f);
/* How many parts the batch has: each is a run of items of about 256 MB of pixels at most, or one larger image. */
size_t dc_files_parts(const struct dc_files *f);
/* Decode the next part; the pixels of the one before are freed. NULL after the last. */
struct dc_file *dc_files_part(struct dc_files *f, size_t *n);
void dc_files_free(struct dc_files *f);

#endif
