/* SPDX-License-Identifier: MIT */
#include "peek/pictures.h"

#include <stdio.h>

#include "data/exif.h"

enum { KEY_MAX = 32, MAX_PIXELS = 25000000 };

static const char *
key_of(char *key, int view)
{
	snprintf(key, KEY_MAX, "image.%d", view);
	return key;
}

int
dc_pictures_views(const struct dc_frame *f)
{
	char key[KEY_MAX];
	int n = 0;

	while (n < DC_VIEWS_MAX && dc_frame_get(f, key_of(key, n)))
		n++;
	return n ? n : dc_frame_get(f, "image") != NULL;
}

/* `image.0` ...: [N,S,S,3]. */
static int
take_view(struct dc_frame *f, int view, struct dc_tensor *t)
{
	char key[KEY_MAX];

	DC_TRY(dc_frame_tensor(f, key_of(key, view), DC_U8, 4, t));
	if (!t->data || t->shape[3] != 3)
		return dc_frame_err(f, "%s: not u8 [N,H,W,3]", key);
	return 0;
}

int
dc_pictures_of(struct dc_frame *f, struct dc_pictures *p)
{
	char key[KEY_MAX];
	const msgpack_object *a;
	struct dc_tensor t;

	*p = (struct dc_pictures){ .f = f, .views = dc_pictures_views(f), .listed = !dc_frame_get(f, key_of(key, 0)) };
	if (!p->views)
		return 0;
	if (p->listed)
		return dc_frame_array(f, "image", &a, &p->n);
	DC_TRY(take_view(f, 0, &t));
	p->n = (size_t)t.shape[0];
	return 0;
}

/* An image that cannot be decoded shows nothing: dc-augment will complain. */
static int
decode(struct dc_frame *f, const struct dc_tensor *t, struct dc_picture *x)
{
	int exif = 0;

	if (dc_frame_get(f, "exif"))
		DC_TRY(dc_frame_bool(f, "exif", &exif));
	if (dc_image_decode(t->data, t->bytes, MAX_PIXELS, &x->decoded) < 0)
		return 0;
	dc_image_turn(&x->decoded, exif ? dc_exif_orientation(t->data, t->bytes) : 1);
	x->rgb = x->decoded.rgb;
	x->height = x->decoded.height;
	x->width = x->decoded.width;
	return 0;
}

/* One of an array of images of any size, or of encoded ones. */
static int
get_listed(const struct dc_pictures *p, size_t i, struct dc_picture *x)
{
	const msgpack_object *a;
	struct dc_tensor t;
	size_t n;

	DC_TRY(dc_frame_array(p->f, "image", &a, &n));
	DC_TRY(dc_object_tensor(p->f, "image", &a->via.array.ptr[i], &t));
	if (!t.data || t.type != DC_U8 || (t.ndim != 1 && (t.ndim != 3 || t.shape[2] != 3)))
		return dc_frame_err(p->f, "image: not u8 [H,W,3] or encoded bytes");
	if (t.ndim == 1)
		return decode(p->f, &t, x);
	x->rgb = t.data;
	x->height = t.shape[0];
	x->width = t.shape[1];
	return 0;
}

int
dc_picture_get(const struct dc_pictures *p, size_t i, int view, struct dc_picture *x)
{
	struct dc_tensor t;

	x->rgb = NULL;
	x->height = x->width = 0;
	if (p->listed)
		return get_listed(p, i, x);
	DC_TRY(take_view(p->f, view, &t));
	if (i >= (size_t)t.shape[0])
		return 0;
	x->rgb = (const uint8_t *)t.data + i * (t.bytes / (size_t)t.shape[0]);
	x->height = t.shape[1];
	x->width = t.shape[2];
	return 0;
}

void
dc_picture_free(struct dc_picture *x)
{
	dc_image_free(&x->decoded);
	x->rgb = NULL;
}
