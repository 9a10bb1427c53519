/* SPDX-License-Identifier: MIT */
#include "shard/frames.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "data/image.h"

static int
is_image(const struct dc_tensor *t)
{
	return t->type == DC_U8 && t->data && (t->ndim == 1 || (t->ndim == 3 && t->shape[2] == 3 && t->shape[0] > 0
	    && t->shape[1] > 0 && t->shape[0] <= DC_IMAGE_SIDE_MAX && t->shape[1] <= DC_IMAGE_SIDE_MAX));
}

static int
take_images(struct dc_frame *f, struct dc_frame_item *v, size_t n)
{
	const msgpack_object *o;
	size_t k;

	DC_TRY(dc_frame_array(f, "image", &o, &k));
	if (k != n)
		return dc_frame_err(f, "%zu images for %zu keys", k, n);
	for (size_t i = 0; i < n; i++) {
		DC_TRY(dc_object_tensor(f, "image", &o->via.array.ptr[i], &v[i].image));
		if (!is_image(&v[i].image))
			return dc_frame_err(f, "image %zu is neither u8 [n] nor u8 [height, width, 3]", i);
	}
	return 0;
}

static int
take_captions(struct dc_frame *f, struct dc_frame_item *v, size_t n)
{
	const struct dc_str *s;
	struct dc_tensor t = { 0 };
	size_t k;
	const int listed = dc_frame_get(f, "caption_image") != NULL;

	if (!dc_frame_get(f, "caption"))
		return 0;
	DC_TRY(dc_frame_strs(f, "caption", &s, &k));
	if (listed)
		DC_TRY(dc_frame_tensor(f, "caption_image", DC_I32, 1, &t));
	if (listed ? t.n != k : k != n)
		return dc_frame_err(f, "%zu captions, wanted %zu", k, listed ? t.n : n);
	for (size_t i = 0; i < k; i++) {
		const int64_t to = listed ? ((const int32_t *)t.data)[i] : (int64_t)i;
		if (to < 0 || to >= (int64_t)n)
			return dc_frame_err(f, "caption_image %zu is %lld, of %zu images", i, (long long)to, n);
		dc_item_caption(&v[to].item, s[i].p, s[i].n);
	}
	return 0;
}

static int
take_labels(struct dc_frame *f, struct dc_frame_item *v, size_t n)
{
	struct dc_tensor t;

	if (!dc_frame_get(f, "label"))
		return 0;
	DC_TRY(dc_frame_tensor(f, "label", DC_I32, 1, &t));
	if (t.n != n)
		return dc_frame_err(f, "%zu labels for %zu images", t.n, n);
	for (size_t i = 0; i < n; i++)
		if (((const int32_t *)t.data)[i] != -1)
			v[i].item.label = dc_xasprintf("%d", (int)((const int32_t *)t.data)[i]);
	return 0;
}

static int
take(struct dc_frame *f, struct dc_frame_item *v, size_t n)
{
	DC_TRY(take_images(f, v, n));
	DC_TRY(take_captions(f, v, n));
	return take_labels(f, v, n);
}

int
dc_frame_items(struct dc_frame *f, struct dc_keys *keys, struct dc_frame_item **out, size_t *n, int *exif)
{
	const struct dc_str *key;
	struct dc_frame_item *v;

	*exif = 0;
	DC_TRY(dc_frame_strs(f, "key", &key, n));
	if (dc_frame_get(f, "exif"))
		DC_TRY(dc_frame_bool(f, "exif", exif));
	v = dc_xcalloc(*n + 1, sizeof *v);
	for (size_t i = 0; i < *n; i++) {
		v[i].item.name = dc_xstrndup(key[i].p, key[i].n);
		v[i].item.key = dc_key_of_name(v[i].item.name);
		v[i].item.hash = XXH3_64bits(v[i].item.key, strlen(v[i].item.key));
		v[i].item.key = dc_keys_unique(keys, v[i].item.key);
	}
	if (take(f, v, *n) < 0) {
		dc_frame_items_free(v, *n);
		return -1;
	}
	*out = v;
	return 0;
}

void
dc_frame_items_free(struct dc_frame_item *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dc_item_free(&v[i].item);
	free(v);
}

void
dc_make_frame_item(struct dc_made *m, const struct dc_frame_item *it, const struct dc_make_how *how)
{
	const struct dc_tensor *t = &it->image;

	dc_make_bytes(m, &it->item, t->data, t->bytes, t->ndim == 3 ? (int)t->shape[1] : 0, t->ndim == 3 ? (int)t->shape[0] : 0, how);
}
