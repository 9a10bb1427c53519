/* SPDX-License-Identifier: MIT */
/* CLIP's splitting of a cleaned text (text/clean.h) into words, without regard to case:
 *
 *	's|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
 *
 *	size_t at = 0, len;
 *	while ((word = dc_split_next(text, n, &at, &len))) ...
 *
 * The pattern is OpenAI's, for the Python package regex; letters and numbers are those of the version of Unicode that
 * text/letters.inc was made with, on any machine. */
#ifndef DC_TEXT_SPLIT_H
#define DC_TEXT_SPLIT_H

#include <stddef.h>

/* The next word at or after *at in valid UTF-8: its start; its length in *len; *at moves behind it. NULL: no more. */
const char *dc_split_next(const char *text, size_t n, size_t *at, size_t *len);

#endif
