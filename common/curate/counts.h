/* SPDX-License-Identifier: MIT */
/* How often each string occurs, exactly, for the first `max` different ones; those that come later are only counted
 * together.
 *
 *	struct dc_counts c = { .max = 1000000 };
 *	dc_counts_add(&c, word, n, 1);
 *	top = dc_counts_top(&c, 20, &n);         // struct dc_count *const *, to be freed
 *	dc_counts_free(&c); */
#ifndef DC_CURATE_COUNTS_H
#define DC_CURATE_COUNTS_H

#include <stddef.h>
#include <stdint.h>

struct dc_count { uint64_t times; uint32_t n; char text[]; /* and a NUL */ };

struct dc_counts {
	size_t max;
	struct dc_count **slot; size_t n, slots;   /* open addressing */
	uint64_t times;                            /* of all */
	uint64_t others;                           /* of those that are not in the table */
};

void dc_counts_add(struct dc_counts *c, const char *s, size_t n, uint64_t times);
/* The k most frequent (all with k = 0), of equally frequent ones the first by bytes; *n: how many. To be freed. */
struct dc_count **dc_counts_top(const struct dc_counts *c, size_t k, size_t *n);
void dc_counts_free(struct dc_counts *c);

#endif
