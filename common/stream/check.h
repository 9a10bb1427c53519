/* SPDX-License-Identifier: MIT */
/* Is this body what man/dc-stream.5 allows?  Walked before msgpack-c sees it: that unpacker would reserve gigabytes for
 * a six-byte array header. */
#ifndef DC_STREAM_CHECK_H
#define DC_STREAM_CHECK_H

#include <stddef.h>

#include "base/util.h"

enum { DC_CHECK_DEPTH = 16, DC_CHECK_OBJECTS = 1 << 22 };

/* One msgpack map with string keys that fills exactly n bytes: every length within the bytes that remain, at most
 * DC_CHECK_DEPTH levels and DC_CHECK_OBJECTS objects, strings valid UTF-8, no extension types.
 * 0, or -1 with a message that gives the offset in the body. */
int dc_check_body(const unsigned char *p, size_t n) DC_MUST_USE;

/* Whether n bytes are valid UTF-8 (no overlong forms, no surrogates). */
int dc_check_utf8(const unsigned char *p, size_t n);
/* A copy with ? for what is not UTF-8: file names may be anything, strings in frames may not. Free with free(). */
char *dc_utf8(const char *s);

#endif
