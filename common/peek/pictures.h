/* SPDX-License-Identifier: MIT */
/* The pictures of a frame, one at a time, wherever its kind has them: `image` (any size, or encoded) or `image.0` ...
 *
 *	struct dc_pictures p;
 *	struct dc_picture x = { 0 };
 *	if (dc_pictures_of(&f, &p) < 0) ...
 *	for (size_t i = 0; i < p.n; i++)
 *		for (int v = 0; v < p.views; v++)
 *			if (dc_picture_get(&p, i, v, &x) == 0 && x.rgb)
 *				use(x.rgb, x.height, x.width);
 *	dc_picture_free(&x); */
#ifndef DC_PEEK_PICTURES_H
#define DC_PEEK_PICTURES_H

#include "data/image.h"
#include "stream/stream.h"

enum { DC_VIEWS_MAX = 8 };

struct dc_pictures { struct dc_frame *f; int views; size_t n; int listed; /* `image`, an array */ };

struct dc_picture {
	const uint8_t *rgb;         /* [height,width,3]; NULL: none, or an encoded one that cannot be decoded */
	int64_t height, width;
	struct dc_image decoded;    /* what rgb points into if it was encoded; used again */
};

/* How many views the frame has; 0 if it holds no pictures. */
int dc_pictures_views(const struct dc_frame *f);
/* p->views is 0 where there are none. -1 with a message if they are not what they should be. p points to the frame. */
int dc_pictures_of(struct dc_frame *f, struct dc_pictures *p) DC_MUST_USE;
/* Picture i < p->n of view v < p->views. x is zero-initialised, or of an earlier call. 0, or -1 with a message. */
int dc_picture_get(const struct dc_pictures *p, size_t i, int view, struct dc_picture *x) DC_MUST_USE;
void dc_picture_free(struct dc_picture *x);

#endif
