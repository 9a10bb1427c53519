/* SPDX-License-Identifier: MIT */
/* A contact sheet of rows of features and their nearest neighbours: what was looked for on the left, what was found beside
 * it, with the cosine.
 *
 *	struct dc_nearest n = { .query = &query, .base = &base, .near = near, .k = k, .rows = 8, .columns = 6 };
 *	dc_nearest_want(&n, &pictures);           // then dc_wanted_frame for each frame that may have the pictures
 *	dc_nearest_sheet(&n, &pictures, "sheet.png"); */
#ifndef DC_PEEK_NEAREST_H
#define DC_PEEK_NEAREST_H

#include "peek/wanted.h"
#include "score/knn.h"
#include "score/set.h"

struct dc_nearest {
	const struct dc_set *query, *base;
	const struct dc_near *near; int64_t k;            /* [query->x.n, k] */
	const char *const *query_name, *const *base_name; /* of each row, or NULL: its caption or its key */
	const char *const *class_name; int64_t classes;   /* of each label, or NULL: its number */
	int rows, columns;                                /* queries, evenly from all; neighbours of each */
};

void dc_nearest_want(const struct dc_nearest *n, struct dc_wanted *a);
/* Rows without a picture have their text alone. 0, or -1 with a message. */
int dc_nearest_sheet(const struct dc_nearest *n, struct dc_wanted *a, const char *path) DC_MUST_USE;

#endif
