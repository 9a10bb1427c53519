/* SPDX-License-Identifier: MIT */
/* Frames as text for people: what dc-peek prints. The only room of common/ that prints, to the file it is given.
 *
 *	struct dc_show s = { .fp = stderr, .items = 4, .refs = -1 };
 *	dc_show_frame(&s, &f);
 *	dc_show_free(&s); */
#ifndef DC_PEEK_SHOW_H
#define DC_PEEK_SHOW_H

#include <stdio.h>

#include "store/safetensors.h"
#include "stream/stream.h"
#include "text/bpe.h"

enum { DC_SHOW_FILES = 4 };

struct dc_show {
	FILE *fp;
	const struct dc_bpe *bpe;   /* to show token ids as text; NULL: as numbers */
	int64_t items;              /* entries of a list or map to show; 0: all */
	int refs;                   /* directory of the files that references name, for their values' ranges; -1: none */
	struct dc_st file[DC_SHOW_FILES]; char *file_name[DC_SHOW_FILES]; int n_files; /* opened so far */
};

/* A line for the frame, and one or more for each of its keys. A value that is not what it should be is shown with what is
 * wrong with it. */
void dc_show_frame(struct dc_show *s, struct dc_frame *f);
/* Close the files that references named. */
void dc_show_free(struct dc_show *s);

/* Check every tensor in the frame, at any depth: type, shape, length of its data; and `part`. -1 with a message. */
int dc_show_check(struct dc_frame *f) DC_MUST_USE;

/* Token ids as text: "a [mask] circle", up to the end token. Free with free(). */
char *dc_show_tokens(const struct dc_bpe *b, const int32_t *ids, size_t n);

#endif
