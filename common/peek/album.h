/* SPDX-License-Identifier: MIT */
/* A stream's samples taken out for other programs: the pictures as JPEG files in a directory, the rest as a table.
 *
 *	struct dc_album a = { .images = "views", .table = "views.tsv" };
 *	if (dc_album_begin(&a) < 0) ...
 *	dc_album_frame(&a, &f);         // for every frame
 *	dc_album_end(&a);               // after the last
 *
 * Samples are numbered through the stream, from 0. Only the first kind that comes of samples, views and batch counts, so
 * that nothing comes twice. */
#ifndef DC_PEEK_ALBUM_H
#define DC_PEEK_ALBUM_H

#include <stdio.h>

#include "stream/stream.h"
#include "text/bpe.h"

enum { DC_ALBUM_TEXTS = 12, DC_ALBUM_QUALITY = 90 };

struct dc_album {
	const char *images;         /* directory, made if it is not there: NNNNNN.V.jpg, V the view; NULL: none */
	const char *table;          /* file; NULL: none */
	const struct dc_bpe *bpe;   /* for columns of tokens, or NULL: none of those then */
	FILE *fp; char kind[DC_KIND_MAX + 1];
	size_t n; int begun;        /* samples so far; whether the header is written */
};

/* Make the directory and open the table. 0, or -1 with a message, also of the others. */
int dc_album_begin(struct dc_album *a) DC_MUST_USE;
/* The table's header is written before its first row:
 *	image  key  label            the number, the key; - where there is no label
 *	caption, or caption.0 ...    strings as they are, white space made single blanks
 *	token.0 ...                  the text of the tokens
 *	masked  asked                mlm_token as pieces with blanks between, "</w>" at a word's end, [mask] for the mask; and the
 *	                             pieces asked for, "place:piece", the first piece being at place 1
 * A row for each caption where the frame has several for an image. */
int dc_album_frame(struct dc_album *a, struct dc_frame *f) DC_MUST_USE;
int dc_album_end(struct dc_album *a) DC_MUST_USE;

#endif
