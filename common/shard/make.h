/* SPDX-License-Identifier: MIT */
/* One sample of a shard, made and checked: its image as it is or encoded anew, captions, label.
 *
 *	struct dc_made m;
 *	dc_make_file(&m, &item, &how);        // or dc_make_bytes: what a samples frame holds
 *	if (m.why) ... else ... m.image m.n_image m.ext, m.text, m.json, m.label ...
 *	dc_made_free(&m);
 *
 * Thread-safe; the result depends on nothing but the arguments and the files. */
#ifndef DC_SHARD_MAKE_H
#define DC_SHARD_MAKE_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"
#include "data/sample.h"
#include "shard/items.h"

struct dc_make_how {
	struct dc_sources beside;   /* where captions are, beside an image: its name with another extension */
	struct dc_sources listed;   /* set by dc_make_init: what a listing or a frame gives */
	uint64_t max_pixels;        /* larger images are refused */
	int64_t max_side;           /* larger ones are made smaller; 0: no limit */
	int64_t quality;            /* of JPEG; 0: 95, and only where an image is changed */
	int exif, decode, captionless;
};

struct dc_made {
	char *why;                          /* refused: "image: ..."; NULL if it is good */
	unsigned char *image; size_t n_image;
	const char *ext;                    /* "jpg" "png" "webp" */
	char *text;                         /* the first caption; NULL: none */
	char *json; size_t n_json;          /* all of them, or the .json that stood beside it; NULL: none */
	int has_label; int32_t label;
};

/* caption sources as dc-decode takes them. 0, or -1 with a message. */
int dc_make_init(struct dc_make_how *how, const char *captions) DC_MUST_USE;
void dc_make_file(struct dc_made *m, const struct dc_item *it, const struct dc_make_how *how);
/* bytes: an encoded image (width 0), or u8 [height, width, 3]. */
void dc_make_bytes(struct dc_made *m, const struct dc_item *it, const unsigned char *bytes, size_t n, int width, int height,
    const struct dc_make_how *how);
void dc_made_free(struct dc_made *m);

#endif
