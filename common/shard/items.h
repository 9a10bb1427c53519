/* SPDX-License-Identifier: MIT */
/* What shards are made of: the images of folders or of a listing, in a fixed order, each with a key of its own.
 *
 *	struct dc_items l = { 0 };
 *	dc_items_tree(&l, "photos");                    // or dc_items_listing(&l, "list.tsv", "photos", DC_LISTING_TSV)
 *	dc_items_arrange(&l, 0, 0);                     // sorted; keys
 *	... l.item[i], i < l.n ...
 *	dc_items_free(&l); */
#ifndef DC_SHARD_ITEMS_H
#define DC_SHARD_ITEMS_H

#include <stddef.h>
#include <stdint.h>
#include "base/util.h"

struct dc_item {
	char *name;           /* the path below its folder or as listed: the order, and the name that a reject is listed under */
	char *path;           /* the file to open; NULL if the row of the listing is no good */
	char *key;            /* unique among all items; no dots */
	uint64_t hash;        /* XXH3-64 of the key as it was before it was made unique */
	char **caption; size_t n_captions; /* as listed; none: look beside the image */
	char *label;          /* as listed; NULL: look beside the image */
	char *why;            /* the row is no good: the reason */
	size_t row;           /* the order in which it was found */
};

struct dc_items { struct dc_item *item; size_t n, cap; };

enum dc_listing { DC_LISTING_TSV, DC_LISTING_CSV, DC_LISTING_JSONL };

/* Add the images (.jpg .jpeg .png .webp, in any case) below a folder. Links are followed; names that begin with a dot are
 * passed over. Return 0, or -1 with a message: the folder, or one below it, cannot be read. */
int dc_items_tree(struct dc_items *l, const char *folder) DC_MUST_USE;

/* Add the rows of a listing ("-": standard input); paths are relative to root (NULL: the current directory).
 * TSV: no quotes. CSV: RFC 4180. A first row that names its columns (path, filepath, file, filename, image; caption...,
 * title, text; label, cls; key) is a header; without one the first column is the path, all others are captions. JSONL:
 * objects with those keys; a caption may be an array. A row that makes no sense becomes an item with `why`.
 * Return 0, or -1 with a message. */
int dc_items_listing(struct dc_items *l, const char *file, const char *root, enum dc_listing format) DC_MUST_USE;

/* Put the items in byte order of their names, join those of one name (their captions), give each its key; then, with
 * shuffle, put them in the order that the seed gives. */
void dc_items_arrange(struct dc_items *l, int shuffle, uint64_t seed);
/* XXH3-128 of names, keys, captions and labels in order, as 32 hexadecimal digits: whether a listing is the same one. */
void dc_items_digest(const struct dc_items *l, char hex[33]);
void dc_items_free(struct dc_items *l);
void dc_item_free(struct dc_item *it); /* what it holds */
struct dc_item *dc_items_new(struct dc_items *l); /* an empty one at the end */
void dc_item_caption(struct dc_item *it, const char *p, size_t n); /* add one */

/* --- keys --- */

/* The key that a path gives: without its extension and leading "/" or "./"; dots and control characters become _, bytes
 * that are not UTF-8 become ?. Free with free(). */
char *dc_key_of_path(const char *path);
/* The same of what is a key already: nothing is cut off. */
char *dc_key_of_name(const char *name);

struct dc_keys { uint64_t *hash; size_t n, cap; }; /* those that are taken */
/* The key itself, or with -2, -3 ... behind it, the first that was never given out. Takes `key`; free what it returns. */
char *dc_keys_unique(struct dc_keys *k, char *key);
void dc_keys_free(struct dc_keys *k);

#endif
