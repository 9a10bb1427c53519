/* SPDX-License-Identifier: MIT */
#include "shard/items.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <xxhash.h>

#include "base/rng.h"
#include "stream/check.h"

/* --- keys --- */

char *
dc_key_of_name(const char *name)
{
	char *key;

	while (*name == '/' || (name[0] == '.' && name[1] == '/'))
		name += *name == '/' ? 1 : 2;
	key = dc_utf8(*name ? name : "_");
	for (char *p = key; *p; p++)
		if (*p == '.' || (unsigned char)*p < 32 || *p == 127)
			*p = '_';
	if (key[strlen(key) - 1] == '/')
		key[strlen(key) - 1] = '_';
	return key;
}

char *
dc_key_of_path(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
	char *stem = dc_xstrndup(path, dot && dot > base ? (size_t)(dot - path) : strlen(path)), *key = dc_key_of_name(stem);

	free(stem);
	return key;
}

static void
keys_grow(struct dc_keys *k)
{
	struct dc_keys old = *k;

	k->cap = old.cap ? old.cap * 2 : 1024;
	k->hash = dc_xcalloc(k->cap, sizeof *k->hash);
	for (size_t i = 0; i < old.cap; i++) {
		size_t at = old.hash[i] & (k->cap - 1);
		if (!old.hash[i])
			continue;
		while (k->hash[at])
			at = (at + 1) & (k->cap - 1);
		k->hash[at] = old.hash[i];
	}
	free(old.hash);
}

/* Whether the key is new; it is taken then. */
static int
keys_take(struct dc_keys *k, const char *key)
{
	uint64_t h = XXH3_64bits(key, strlen(key));
	size_t at;

	if (k->n * 2 >= k->cap)
		keys_grow(k);
	h += h == 0; /* 0 is an empty place */
	for (at = h & (k->cap - 1); k->hash[at]; at = (at + 1) & (k->cap - 1))
		if (k->hash[at] == h)
			return 0;
	k->hash[at] = h;
	k->n++;
	return 1;
}

char *
dc_keys_unique(struct dc_keys *k, char *key)
{
	char *next;

	if (keys_take(k, key))
		return key;
	for (unsigned i = 2;; i++) {
		next = dc_xasprintf("%s-%u", key, i);
		if (keys_take(k, next))
			break;
		free(next);
	}
	free(key);
	return next;
}

void
dc_keys_free(struct dc_keys *k)
{
	free(k->hash);
	*k = (struct dc_keys){ 0 };
}

/* --- folders --- */

static int
is_image_name(const char *name)
{
	static const char *const ext[] = { ".jpg", ".jpeg", ".png", ".webp" };
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < sizeof ext / sizeof *ext; i++)
		if (!strcasecmp(dot, ext[i]))
			return 1;
	return 0;
}

struct dc_item *
dc_items_new(struct dc_items *l)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 1024;
		l->item = dc_xrealloc(l->item, l->cap, sizeof *l->item);
	}
	l->item[l->n] = (struct dc_item){ .row = l->n };
	return &l->item[l->n++];
}

static int
take_entry(struct dc_items *l, FTS *fts, FTSENT *e, size_t root)
{
	struct dc_item *it;

	if (e->fts_level > 0 && e->fts_name[0] == '.') {
		fts_set(fts, e, FTS_SKIP);
		return 0;
	}
	switch (e->fts_info) {
	case FTS_DNR: case FTS_ERR: case FTS_NS:
		errno = e->fts_errno;
		return dc_err_errno("%s", e->fts_path);
	case FTS_DC:
		return dc_err_set("%s: a link leads back to a folder above it", e->fts_path);
	case FTS_F: case FTS_SLNONE: /* a link to nothing is an image that cannot be read */
		if (!is_image_name(e->fts_name))
			return 0;
		it = dc_items_new(l);
		it->path = dc_xstrdup(e->fts_path);
		it->name = dc_xstrdup(e->fts_path + root);
	}
	return 0;
}

int
dc_items_tree(struct dc_items *l, const char *folder)
{
	char *root = dc_xstrdup(folder), *path[2] = { root, NULL };
	size_t n = strlen(root);
	FTS *fts;
	FTSENT *e;
	int r = 0;

	while (n > 1 && root[n - 1] == '/')
		root[--n] = 0;
	n += root[n - 1] != '/';
	if (!(fts = fts_open(path, FTS_LOGICAL | FTS_NOCHDIR, NULL))) {
		r = dc_err_errno("%s", folder);
		free(root);
		return r;
	}
	while (r == 0 && (errno = 0, e = fts_read(fts)))
		r = take_entry(l, fts, e, n);
	if (r == 0 && errno)
		r = dc_err_errno("%s", folder);
	fts_close(fts);
	free(root);
	return r;
}

/* --- order and keys --- */

void
dc_item_caption(struct dc_item *it, const char *p, size_t n)
{
	it->caption = dc_xrealloc(it->caption, it->n_captions + 1, sizeof *it->caption);
	it->caption[it->n_captions++] = dc_xstrndup(p, n);
}

static int
by_name(const void *a, const void *b)
{
	const struct dc_item *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ? c : (x->row > y->row) - (x->row < y->row);
}

void
dc_item_free(struct dc_item *it)
{
	for (size_t i = 0; i < it->n_captions; i++)
		free(it->caption[i]);
	free(it->caption);
	free(it->name);
	free(it->path);
	free(it->key);
	free(it->label);
	free(it->why);
}

/* Rows of one path and one key are one sample: the captions of the second go to the first. */
static int
joins(const struct dc_item *a, const struct dc_item *b)
{
	return a->n_captions && b->n_captions && !a->why && !b->why && !strcmp(a->path, b->path)
	    && !strcmp(a->key ? a->key : "", b->key ? b->key : "");
}

static void
join(struct dc_items *l)
{
	size_t to = 0;

	for (size_t i = 0; i < l->n; i++) {
		struct dc_item *it = &l->item[i];
		if (!to || !joins(&l->item[to - 1], it)) {
			l->item[to++] = *it;
			continue;
		}
		for (size_t k = 0; k < it->n_captions; k++)
			dc_item_caption(&l->item[to - 1], it->caption[k], strlen(it->caption[k]));
		dc_item_free(it);
	}
	l->n = to;
}

static void
give_keys(struct dc_items *l)
{
	struct dc_keys keys = { 0 };

	for (size_t i = 0; i < l->n; i++) {
		struct dc_item *it = &l->item[i];
		char *key = it->key ? dc_key_of_name(it->key) : dc_key_of_path(it->name);
		free(it->key);
		it->hash = XXH3_64bits(key, strlen(key));
		it->key = it->why ? key : dc_keys_unique(&keys, key);
	}
	dc_keys_free(&keys);
}

void
dc_items_arrange(struct dc_items *l, int shuffle, uint64_t seed)
{
	struct dc_rng r;

	if (l->n)
		qsort(l->item, l->n, sizeof *l->item, by_name);
	join(l);
	give_keys(l);
	dc_rng_init(&r, seed, 0, 0, 0, DC_RNG_SHUFFLE);
	if (shuffle)
		dc_rng_shuffle(&r, l->item, l->n, sizeof *l->item);
}

static void
digest(XXH3_state_t *s, const char *text)
{
	XXH3_128bits_update(s, text ? text : "\1", (text ? strlen(text) : 1) + 1);
}

void
dc_items_digest(const struct dc_items *l, char hex[33])
{
	XXH3_state_t *s = XXH3_createState();
	XXH128_hash_t h;

	if (!s)
		dc_xmalloc((size_t)-1); /* out of memory: says so and ends */
	XXH3_128bits_reset(s);
	for (size_t i = 0; i < l->n; i++) {
		const struct dc_item *it = &l->item[i];
		digest(s, it->name);
		digest(s, it->key);
		digest(s, it->label);
		digest(s, it->why);
		for (size_t k = 0; k < it->n_captions; k++)
			digest(s, it->caption[k]);
	}
	h = XXH3_128bits_digest(s);
	XXH3_freeState(s);
	snprintf(hex, 33, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}

void
dc_items_free(struct dc_items *l)
{
	for (size_t i = 0; i < l->n; i++)
		dc_item_free(&l->item[i]);
	free(l->item);
	*l = (struct dc_items){ 0 };
}
