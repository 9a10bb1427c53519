/* SPDX-License-Identifier: MIT */
#include "curate/counts.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/util.h"

static size_t
slot_of(const struct dc_counts *c, const char *s, size_t n)
{
	size_t i = XXH3_64bits(s, n) & (c->slots - 1);

	while (c->slot[i] && (c->slot[i]->n != n || memcmp(c->slot[i]->text, s, n)))
		i = (i + 1) & (c->slots - 1);
	return i;
}

static void
grow(struct dc_counts *c)
{
	struct dc_counts old = *c;

	c->slots = old.slots ? 2 * old.slots : 1024;
	c->slot = dc_xcalloc(c->slots, sizeof *c->slot);
	for (size_t i = 0; i < old.slots; i++)
		if (old.slot[i])
			c->slot[slot_of(c, old.slot[i]->text, old.slot[i]->n)] = old.slot[i];
	free(old.slot);
}

void
dc_counts_add(struct dc_counts *c, const char *s, size_t n, uint64_t times)
{
	struct dc_count **at;

	if (2 * (c->n + 1) > c->slots)
		grow(c);
	at = &c->slot[slot_of(c, s, n)];
	c->times += times;
	if (!*at && c->n >= c->max) {
		c->others += times;
		return;
	}
	if (!*at) {
		*at = dc_xmalloc(sizeof **at + n + 1);
		**at = (struct dc_count){ .n = (uint32_t)n };
		memcpy((*at)->text, s, n);
		(*at)->text[n] = 0;
		c->n++;
	}
	(*at)->times += times;
}

static int
more_frequent(const void *a, const void *b)
{
	const struct dc_count *x = *(struct dc_count *const *)a, *y = *(struct dc_count *const *)b;

	return x->times != y->times ? (x->times < y->times) - (x->times > y->times) : strcmp(x->text, y->text);
}

struct dc_count **
dc_counts_top(const struct dc_counts *c, size_t k, size_t *n)
{
	struct dc_count **all = dc_xcalloc(c->n + 1, sizeof *all);
	size_t at = 0;

	for (size_t i = 0; i < c->slots; i++)
		if (c->slot[i])
			all[at++] = c->slot[i];
	qsort(all, at, sizeof *all, more_frequent);
	*n = k && k < at ? k : at;
	return all;
}

void
dc_counts_free(struct dc_counts *c)
{
	for (size_t i = 0; i < c->slots; i++)
		free(c->slot[i]);
	free(c->slot);
	memset(c, 0, sizeof *c);
}
