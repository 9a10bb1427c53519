/* SPDX-License-Identifier: MIT */
/* Lists of shards: brace expansion and a check that every file is there.
 *
 *	struct dc_shards s = { 0 };
 *	if (dc_shards_expand(&s, argv + first, argc - first) < 0 || dc_shards_check(&s) < 0)
 *		dc_die("%s", dc_err());
 *	... s.path[i], s.base[i], i < s.n ...
 *	dc_shards_free(&s);
 *
 * {000..011} counts with zeros kept, up or down, {0..90..10} by steps of 10, {a,b} lists; they nest and multiply.
 * A brace that is neither stands for itself, as in a shell. "-" is standard input. */
#ifndef DC_DATA_SHARDS_H
#define DC_DATA_SHARDS_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"

enum { DC_SHARDS_MAX = 1000000 };

struct dc_shards {
	size_t n, cap;
	char **path;         /* as opened; "-" for standard input */
	const char **base;   /* its last component, for sample ids; "<stdin>" for "-" */
	uint32_t *again;     /* how many shards of the same base name stand before this one */
	int has_stdin;
};

/* Append the expansion of each pattern, in order.
 * Return 0, or -1 with a message: too many, an address such as http://... (they are not opened), "-" twice. */
int dc_shards_expand(struct dc_shards *s, char *const *pattern, size_t n) DC_MUST_USE;
/* Every shard exists, can be read and is no directory. Return 0, or -1 with a message naming the first that is not. */
int dc_shards_check(const struct dc_shards *s) DC_MUST_USE;
void dc_shards_free(struct dc_shards *s);

#endif
