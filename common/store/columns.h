/* SPDX-License-Identifier: MIT */
/* A features stream as a directory of .npy files, a column each, and back.
 *
 *	c = dc_columns_create("DIR", normalize);             c = dc_columns_open("DIR");
 *	dc_columns_take(c, frame);  // each                  for (i = 0; i < dc_columns_parts(c); i++)
 *	dc_columns_finish(c);                                        dc_columns_put(c, i, &body);
 *	dc_columns_free(c);                                  dc_columns_free(c);
 *
 * A row of each column of images is an image, of each column of captions a caption; caption_image counts images through
 * the whole directory. It appears under its name when all of it is written. */
#ifndef DC_STORE_COLUMNS_H
#define DC_STORE_COLUMNS_H

#include "stream/stream.h"

struct dc_columns;

/* Begin to write `dir` beside its name. normalize: features become rows of norm 1. NULL with a message: the place cannot
 * be written, or what is there is not such a directory, of which nothing must be lost. */
struct dc_columns *dc_columns_create(const char *dir, int normalize);
/* Append a features frame. -1 with a message: it differs from those before in its columns or their widths, columns have
 * unequal numbers of rows, caption_image points outside, or writing failed. */
int dc_columns_take(struct dc_columns *c, struct dc_frame *f) DC_MUST_USE;
/* Complete the files and give the directory its name, in one step; an old one of that name is replaced. */
int dc_columns_finish(struct dc_columns *c) DC_MUST_USE;

/* Open a directory of columns and check that they fit each other. NULL with a message that names the file at fault. */
struct dc_columns *dc_columns_open(const char *dir);
int64_t dc_columns_parts(const struct dc_columns *c);
/* The body of features frame i: at most DC_PART_MAX images with their captions, or as many captions. */
int dc_columns_put(struct dc_columns *c, int64_t i, struct dc_body *b) DC_MUST_USE;

int64_t dc_columns_images(const struct dc_columns *c);
int64_t dc_columns_captions(const struct dc_columns *c);
/* What was not finished is removed. */
void dc_columns_free(struct dc_columns *c);

#endif
