/* SPDX-License-Identifier: MIT */
/* Tables of tab-separated lines that may be as long as a data set: nothing of them is kept in memory. */
#ifndef DC_CURATE_LIST_H
#define DC_CURATE_LIST_H

#include <stddef.h>
#include <stdio.h>

#include "base/util.h"

struct dc_list { FILE *fp; const char *path; };

/* Make the file anew with this first line. Return 0, or -1 with a message. path NULL: no list, and all else does nothing. */
int dc_list_open(struct dc_list *l, const char *path, const char *head) DC_MUST_USE;
/* A field; tabs, line ends and other control characters come out as \xNN. Then a tab, or with `last` the line's end. */
void dc_list_put(struct dc_list *l, const char *s, size_t n, int last);
void dc_list_number(struct dc_list *l, uint64_t v);
/* Return 0, or -1 with a message if a write failed. */
int dc_list_close(struct dc_list *l) DC_MUST_USE;

#endif
