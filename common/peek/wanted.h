/* SPDX-License-Identifier: MIT */
/* Pictures and captions of some samples, picked by their ids from a stream of samples, views or batches.
 *
 *	struct dc_wanted w = { 0 };
 *	dc_wanted_add(&w, id);                       // for each
 *	dc_wanted_frame(&w, &f);                     // for each frame
 *	const struct dc_found *x = dc_wanted_find(&w, id);
 *	dc_wanted_free(&w); */
#ifndef DC_PEEK_WANTED_H
#define DC_PEEK_WANTED_H

#include "data/image.h"
#include "stream/stream.h"

struct dc_found {
	uint64_t id;
	struct dc_image image;           /* width 0: it did not come */
	char **caption; size_t captions;
};

struct dc_wanted { struct dc_found *all; size_t n, cap, come; int sorted; };

/* All of them before the first frame; equal ones are wanted once. */
void dc_wanted_add(struct dc_wanted *w, uint64_t id);
/* Take what is wanted of a frame; frames without `id` and images have nothing. 0, or -1 with a message. */
int dc_wanted_frame(struct dc_wanted *w, struct dc_frame *f) DC_MUST_USE;
/* NULL if it was not wanted. */
const struct dc_found *dc_wanted_find(struct dc_wanted *w, uint64_t id);
void dc_wanted_free(struct dc_wanted *w);

#endif
