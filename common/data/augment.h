/* SPDX-License-Identifier: MIT */
/* A part of a batch, from samples to views: the work of dc-augment. The frames are described in dc-augment(1).
 *
 *	struct dc_augment a = { .pool = pool, .seed = 1, .max_pixels = 25000000, .eda = DC_EDA_ALL, .wordnet = wn };
 *	dc_recipe_find(&a.recipe, "declip");
 *	... set the views' sizes, change what is to be changed ...
 *	dc_augment_part(&a, samples_frame, &body);       // then write the body as a `views` frame
 *	dc_augment_end(&a, end_frame, &body);            // if a.dropped, in place of that `end` frame
 *	dc_augment_free(&a); */
#ifndef DC_DATA_AUGMENT_H
#define DC_DATA_AUGMENT_H

#include "base/pool.h"
#include "data/eda.h"
#include "data/views.h"
#include "stream/stream.h"

enum { DC_VIEWS_MAX = 8, DC_CAPTION_VIEWS_MAX = 2 };

struct dc_recipe {
	const char *name;
	int n_views, n_base;   /* image views; how many of the first keep their own parameters whatever is asked for */
	int caption_views;     /* 1: the caption; 2: and its augmentation */
	struct dc_view_recipe view[DC_VIEWS_MAX];
};

/* The recipe of that name; views beyond its own are like its last. `size` is 0: to be set in all.
 * Return 0, or -1 with a message. */
int dc_recipe_find(struct dc_recipe *r, const char *name) DC_MUST_USE;

struct dc_augment {
	/* set by the caller */
	struct dc_recipe recipe;        /* the same size in all views */
	struct dc_pool *pool;
	const struct dc_wordnet *wordnet; /* NULL without DC_EDA_SYNONYM */
	uint64_t seed, max_pixels;      /* of an encoded image */
	unsigned eda;                   /* operations on captions */
	int trace;
	/* so far */
	uint64_t samples, dropped;
	char *first_dropped;            /* "key: reason" of the first sample that did not decode; NULL for none */
	/* (n, size, size, 3) each, kept from part to part */
	uint8_t *pixels[DC_VIEWS_MAX]; size_t cap;
};

/* f: a `samples` frame. Fill body with what the `views` frame says. Return 0, or -1 with a message; then body is of
 * no use. */
int dc_augment_part(struct dc_augment *a, struct dc_frame *f, struct dc_body *body) DC_MUST_USE;
/* f: the `end` frame. Fill body with the same, dropped samples moved from `out` to `rejected`. */
void dc_augment_end(const struct dc_augment *a, struct dc_frame *f, struct dc_body *body);
void dc_augment_free(struct dc_augment *a);

#endif
