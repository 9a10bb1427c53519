/* SPDX-License-Identifier: MIT */
/* A stored stream, frame by frame, to its end: for tools that take frames in and send none on. */
#ifndef DC_STREAM_EACH_H
#define DC_STREAM_EACH_H

#include "stream/stream.h"

/* Hand each frame of `kind` (NULL: of any kind but `end`) of the stream in the file `path`, "-" being standard input, to `take`,
 * which returns 0, or -1 with a message. Other frames are ignored.
 * Return an exit status, DC_EXIT_OK where the stream came to its end frame and nothing follows that, with its message printed if there is one to
 * print. */
int dc_stream_each(const char *path, const char *kind, int (*take)(void *arg, struct dc_frame *f), void *arg) DC_MUST_USE;

/* For a tool that takes the features of whole samples only: warns, once, of a frame that has those of tokens. */
void dc_warn_tokens(struct dc_frame *f, int *told);

#endif
