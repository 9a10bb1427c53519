/* SPDX-License-Identifier: MIT */
/* Fills a contact sheet with the images of a stream's first batch, or of a given one, and their captions.
 *
 *	struct dc_gallery g = { .path = "sheet.png", .rows = 4, .columns = 4, .step = -1 };
 *	dc_gallery_frame(&g, &f);       // for every frame
 *	dc_gallery_end(&g);             // after the last
 *	dc_gallery_free(&g); */
#ifndef DC_PEEK_GALLERY_H
#define DC_PEEK_GALLERY_H

#include "data/sheet.h"
#include "stream/stream.h"
#include "text/bpe.h"

struct dc_gallery {
	const char *path;
	const struct dc_bpe *bpe;   /* to write tokens as text, or NULL */
	int rows, columns;
	int64_t step;               /* the batch to show; -1: the first that comes */
	struct dc_sheet sheet; int cells, begun, written;
};

/* Take the frame's images if it has any that are wanted (samples, views, batch: whatever has `image` or `image.0`). The
 * sheet is written as soon as it is full or its batch is complete. 0, or -1 with a message. */
int dc_gallery_frame(struct dc_gallery *g, struct dc_frame *f) DC_MUST_USE;
/* Write a sheet begun. -1 with a message also if no image came at all. */
int dc_gallery_end(struct dc_gallery *g) DC_MUST_USE;
void dc_gallery_free(struct dc_gallery *g);

#endif
