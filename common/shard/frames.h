/* SPDX-License-Identifier: MIT */
/* A samples frame as items of a shard. */
#ifndef DC_SHARD_FRAMES_H
#define DC_SHARD_FRAMES_H

#include "base/util.h"
#include "shard/items.h"
#include "shard/make.h"
#include "stream/stream.h"

struct dc_frame_item {
	struct dc_item item;       /* path NULL; name: the key as it came */
	struct dc_tensor image;    /* u8 [n] encoded, or u8 [height, width, 3]; the frame's */
};

/* The samples of f, with keys made unique by `keys`. *exif: its encoded images are to be turned upright.
 * 0, or -1 with a message. Free with dc_frame_items_free. */
int dc_frame_items(struct dc_frame *f, struct dc_keys *keys, struct dc_frame_item **v, size_t *n, int *exif) DC_MUST_USE;
void dc_frame_items_free(struct dc_frame_item *v, size_t n);
/* dc_make_bytes of one of them. */
void dc_make_frame_item(struct dc_made *m, const struct dc_frame_item *it, const struct dc_make_how *how);

#endif
