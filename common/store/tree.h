/* SPDX-License-Identifier: MIT */
/* Directories that are written beside their name and then take it. For the store only. */
#ifndef DC_STORE_TREE_H
#define DC_STORE_TREE_H

#include "base/util.h"

/* Remove `name` below dirfd with all that is in it, following no link. */
void dc_tree_remove(int dirfd, const char *name);
/* Rename the directory `from` to `to`, replacing one that is there. */
int dc_tree_move(int dirfd, const char *from, const char *to) DC_MUST_USE;

#endif
