/* SPDX-License-Identifier: MIT */
#include "data/augment.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "data/exif.h"

enum { CAPTION_VIEW_BITS = 8 };

/* A SimCLR-like view as DeCLIP and SLIP take it, with the crop's least share of the area. */
#define STRONG(least, f) { .interpolation = f, .scale = { least, 1 }, .ratio = { 3. / 4, 4. / 3 }, \
	.jitter = { 0.4, 0.4, 0.4, 0.1 }, .jitter_p = 0.8, .gray_p = 0.2, .blur = { 0.1, 2 }, .blur_p = 0.5, \
	.flip_p = 0.5 }
/* A crop alone; the strengths stand ready for --jitter-p and --blur-p. */
#define CROP(least, f) { .interpolation = f, .scale = { least, 1 }, .ratio = { 3. / 4, 4. / 3 }, \
	.jitter = { 0.4, 0.4, 0.4, 0.1 }, .blur = { 0.1, 2 } }

static const struct dc_recipe recipes[] = {
	{ "declip", 2, 0, 2, { STRONG(0.2, DC_BILINEAR), STRONG(0.2, DC_BILINEAR) } },
	{ "clip", 1, 0, 1, { CROP(0.5, DC_BILINEAR) } },
	{ "openclip", 1, 0, 1, { CROP(0.9, DC_BICUBIC) } },
	{ "slip", 3, 1, 1, { CROP(0.5, DC_BILINEAR), STRONG(0.08, DC_BILINEAR), STRONG(0.08, DC_BILINEAR) } },
	{ "eval", 1, 0, 1, { { .centre = 1, .interpolation = DC_BICUBIC } } },
};

int
dc_recipe_find(struct dc_recipe *r, const char *name)
{
	for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
		if (!strcmp(recipes[i].name, name)) {
			*r = recipes[i];
			for (int v = 1; v < DC_VIEWS_MAX; v++)
				if (v >= r->n_views)
					r->view[v] = r->view[v - 1];
			return 0;
		}
	return dc_err_set("no recipe '%s'", name);
}

/* --- taking a part --- */

struct sample { int is_encoded; struct dc_raster image; struct dc_str encoded; char *error; };

/* The part at hand. */
struct part {
	struct dc_augment *a;
	struct dc_body *body;
	size_t n;                          /* samples that came */
	int encoded;                       /* some images are still encoded */
	int exif;                          /* and are to be turned upright */
	struct sample *sample;             /* (n) */
	const uint64_t *id; const int32_t *epoch; const struct dc_str *key;
	size_t n_captions; const struct dc_str *caption; const int32_t *caption_image;
	uint32_t *nth;                     /* (n_captions): which caption of its image */
	struct dc_view *view;              /* (n, views) */
	struct dc_eda_result *eda;         /* (n_captions), with two caption views */
	size_t *kept; size_t n_kept;       /* samples that go on */
	int32_t *new_index;                /* (n): their new place; -1 if dropped */
};

static size_t
view_bytes(const struct part *p)
{
	return (size_t)p->a->recipe.view[0].size * (size_t)p->a->recipe.view[0].size * 3;
}

/* Image i is u8 [H,W,3], or the bytes of an encoded one, u8 [n]. */
static int
take_image(struct part *p, struct dc_frame *f, size_t i, const msgpack_object *object)
{
	struct sample *s = &p->sample[i];
	struct dc_tensor t;

	DC_TRY(dc_object_tensor(f, "image", object, &t));
	if (t.type != DC_U8 || t.file || (t.ndim != 1 && t.ndim != 3))
		return dc_frame_err(f, "image %zu: wanted u8 [H,W,3] or encoded bytes, u8 [n]", i);
	if (t.ndim == 1) {
		s->encoded = (struct dc_str){ t.data, t.n };
		s->is_encoded = p->encoded = 1;
		return 0;
	}
	if (t.shape[2] != 3 || t.shape[0] < 1 || t.shape[1] < 1 || t.shape[0] > DC_IMAGE_SIDE_MAX ||
	    t.shape[1] > DC_IMAGE_SIDE_MAX)
		return dc_frame_err(f, "image %zu: its shape [%" PRId64 ",%" PRId64 ",%" PRId64 "] is not [H,W,3] with sides in"
		    " [1,%d]", i, t.shape[0], t.shape[1], t.shape[2], DC_IMAGE_SIDE_MAX);
	s->image = dc_raster(t.data, (int)t.shape[1], (int)t.shape[0]);
	return 0;
}

static int
take_images(struct part *p, struct dc_frame *f)
{
	const msgpack_object *array;
	struct dc_tensor t;
	size_t n_keys;

	DC_TRY(dc_frame_array(f, "image", &array, &p->n));
	DC_TRY(dc_frame_tensor(f, "id", DC_U64, 1, &t));
	p->id = t.data;
	if (t.n != p->n || t.file)
		return dc_frame_err(f, "%zu images and %zu ids", p->n, t.n);
	DC_TRY(dc_frame_tensor(f, "epoch", DC_I32, 1, &t));
	p->epoch = t.data;
	if (t.n != p->n || t.file)
		return dc_frame_err(f, "%zu images and %zu epochs", p->n, t.n);
	DC_TRY(dc_frame_strs(f, "key", &p->key, &n_keys));
	if (n_keys != p->n)
		return dc_frame_err(f, "%zu images and %zu keys", p->n, n_keys);
	p->sample = dc_xcalloc(p->n, sizeof *p->sample);
	p->encoded = p->exif = 0;
	if (dc_frame_get(f, "exif"))
		DC_TRY(dc_frame_bool(f, "exif", &p->exif));
	for (size_t i = 0; i < p->n; i++)
		DC_TRY(take_image(p, f, i, &array->via.array.ptr[i]));
	return 0;
}

/* caption_image[c] is the image of caption c; without it, caption c belongs to image c. No `caption`: there are none. */
static int
take_captions(struct part *p, struct dc_frame *f)
{
	struct dc_tensor t = { 0 };

	if (!dc_frame_get(f, "caption"))
		return 0;
	uint32_t *count = dc_xcalloc(p->n, sizeof *count);
	int r = dc_frame_strs(f, "caption", &p->caption, &p->n_captions);
	const int listed = dc_frame_get(f, "caption_image") != NULL;

	if (r == 0 && listed)
		r = dc_frame_tensor(f, "caption_image", DC_I32, 1, &t);
	if (r == 0 && ((listed ? t.n : p->n) != p->n_captions || t.file))
		r = dc_frame_err(f, "%zu captions for %zu places", p->n_captions, listed ? t.n : p->n);
	p->caption_image = t.data;
	p->nth = r == 0 ? dc_xcalloc(p->n_captions, sizeof *p->nth) : NULL;
	for (size_t c = 0; r == 0 && c < p->n_captions; c++) {
		const int64_t image = p->caption_image ? p->caption_image[c] : (int64_t)c;

		if (image < 0 || (size_t)image >= p->n)
			r = dc_frame_err(f, "caption %zu is of image %" PRId64 " of %zu", c, image, p->n);
		else
			p->nth[c] = count[image]++;
	}
	free(count);
	return r;
}

static size_t
image_of(const struct part *p, size_t caption)
{
	return p->caption_image ? (size_t)p->caption_image[caption] : caption;
}

/* --- making its views --- */

static struct dc_view *
view_of(const struct part *p, size_t i, int v)
{
	return &p->view[i * (size_t)p->a->recipe.n_views + (size_t)v];
}

static void
draw_view(struct part *p, size_t i, int v, int width, int height)
{
	dc_view_draw(view_of(p, i, v), &p->a->recipe.view[v], width, height, p->a->seed, (uint64_t)p->epoch[i], p->id[i],
	    (uint64_t)v);
}

static void
apply_view(struct part *p, size_t i, int v, struct dc_raster image)
{
	uint8_t *out = p->a->pixels[v] + i * view_bytes(p);

	if (dc_view_apply(out, image, &p->a->recipe.view[v], view_of(p, i, v)) < 0 && !p->sample[i].error)
		p->sample[i].error = dc_xstrdup(dc_err());
}

/* left, top, width, height: the least box around what the views look at; all of the image where one has no crop. */
static void
seen(int part[4], const struct part *p, size_t i, int width, int height)
{
	int right = 0, bottom = 0;

	part[0] = width;
	part[1] = height;
	for (int v = 0; v < p->a->recipe.n_views; v++) {
		const int whole[4] = { 0, 0, width, height };
		const int *b = p->a->recipe.view[v].centre ? whole : view_of(p, i, v)->box;

		part[0] = b[0] < part[0] ? b[0] : part[0];
		part[1] = b[1] < part[1] ? b[1] : part[1];
		right = b[0] + b[2] > right ? b[0] + b[2] : right;
		bottom = b[1] + b[3] > bottom ? b[1] + b[3] : bottom;
	}
	part[2] = right - part[0];
	part[3] = bottom - part[1];
}

/* An encoded image and what its views will be. Where they lie is drawn first, so that only the pixels that one of them looks
 * at need be decoded. */
static int
decode(struct part *p, size_t i, struct dc_image *im)
{
	const struct dc_str *s = &p->sample[i].encoded;
	const unsigned char *bytes = (const unsigned char *)s->p;
	const int orientation = p->exif ? dc_exif_orientation(bytes, s->n) : 1;
	int width, height, part[4];

	if (orientation == 1) {
		DC_TRY(dc_image_header(bytes, s->n, p->a->max_pixels, &width, &height));
	} else {
		DC_TRY(dc_image_decode(bytes, s->n, p->a->max_pixels, im));
		dc_image_turn(im, orientation);
		width = im->width;
		height = im->height;
	}
	for (int v = 0; v < p->a->recipe.n_views; v++)
		draw_view(p, i, v, width, height);
	seen(part, p, i, width, height);
	return orientation == 1 ? dc_image_decode_part(bytes, s->n, p->a->max_pixels, part, im) : 0;
}

/* Item: a view of a sample, or where images are still encoded all views of a sample, so that it is decoded once. */
static void
make_views(void *arg, size_t item)
{
	struct part *p = arg;
	const size_t views = (size_t)p->a->recipe.n_views, i = p->encoded ? item : item / views;
	const int first = p->encoded ? 0 : (int)(item % views), last = p->encoded ? (int)views : first + 1;
	struct sample *s = &p->sample[i];
	struct dc_image im = { 0 };

	if (s->is_encoded && decode(p, i, &im) < 0)
		s->error = dc_xstrdup(dc_err());
	for (int v = first; v < last && !s->is_encoded; v++)
		draw_view(p, i, v, s->image.width, s->image.height);
	for (int v = first; v < last && !(p->encoded && s->error); v++)
		apply_view(p, i, v, s->is_encoded ? dc_raster(im.rgb, im.width, im.height) : s->image);
	dc_image_free(&im);
}

static void
make_caption(void *arg, size_t c)
{
	struct part *p = arg;
	const size_t i = image_of(p, c);
	struct dc_rng rng;

	/* the caption view's number, and above it which caption of the image this is */
	dc_rng_init(&rng, p->a->seed, (uint64_t)p->epoch[i], p->id[i], 1 | (uint64_t)p->nth[c] << CAPTION_VIEW_BITS,
	    DC_RNG_EDA);
	p->eda[c] = dc_eda_caption(p->caption[c].p, p->caption[c].n, p->a->eda, p->a->wordnet, &rng);
}

/* The samples without an error, and their new places. The first error of the run is kept to be said. */
static void
keep(struct part *p)
{
	p->kept = dc_xcalloc(p->n, sizeof *p->kept);
	p->new_index = dc_xcalloc(p->n, sizeof *p->new_index);
	p->n_kept = 0;
	for (size_t i = 0; i < p->n; i++) {
		const char *error = p->sample[i].error;

		if (error && p->a->dropped++ == 0)
			p->a->first_dropped = dc_xasprintf("%.*s: %s", (int)p->key[i].n, p->key[i].p, error);
		p->new_index[i] = error ? -1 : (int32_t)p->n_kept;
		if (!error)
			p->kept[p->n_kept++] = i;
	}
}

/* --- writing --- */

static char *
named(char name[32], const char *fmt, int v)
{
	snprintf(name, 32, fmt, v);
	return name;
}

static void
put_images(struct part *p)
{
	const int64_t size = p->a->recipe.view[0].size;
	char name[32];

	for (int v = 0; v < p->a->recipe.n_views; v++) {
		uint8_t *to = dc_put_space(p->body, named(name, "image.%d", v), DC_U8, 4,
		    (int64_t[]){ (int64_t)p->n_kept, size, size, 3 });

		for (size_t k = 0; k < p->n_kept; k++)
			memcpy(to + k * view_bytes(p), p->a->pixels[v] + p->kept[k] * view_bytes(p), view_bytes(p));
	}
}

/* The captions of samples that go on. */
static size_t
kept_captions(const struct part *p)
{
	size_t n = 0;

	for (size_t c = 0; c < p->n_captions; c++)
		n += p->new_index[image_of(p, c)] >= 0;
	return n;
}

static void
put_captions(struct part *p)
{
	const size_t n = kept_captions(p);
	int identity = n == p->n_kept;

	for (int v = 0; v < p->a->recipe.caption_views; v++) {
		dc_put_array(p->body, v ? "caption.1" : "caption.0", n);
		for (size_t c = 0; c < p->n_captions; c++)
			if (p->new_index[image_of(p, c)] >= 0)
				dc_put_strn(p->body, NULL, v ? p->eda[c].caption : p->caption[c].p, v ? p->eda[c].n : p->caption[c].n);
	}
	int32_t *image = dc_xcalloc(n, sizeof *image);
	size_t k = 0;
	for (size_t c = 0; c < p->n_captions; c++)
		if (p->new_index[image_of(p, c)] >= 0) {
			image[k] = p->new_index[image_of(p, c)];
			identity = identity && image[k] == (int32_t)k;
			k++;
		}
	if (!identity)
		dc_put_data(p->body, "caption_image", DC_I32, 1, (int64_t[]){ (int64_t)n }, image);
	free(image);
}

/* A per-sample tensor without the rows of dropped samples. */
static int
put_rows(struct part *p, struct dc_frame *f, const char *name)
{
	struct dc_tensor t;
	size_t row;
	char *to;

	if (!dc_frame_get(f, name))
		return 0;
	DC_TRY(dc_frame_tensor_any(f, name, &t));
	if (t.ndim != 1 || t.n != p->n || t.file)
		return dc_frame_err(f, "%s: not one value for each of %zu images", name, p->n);
	row = dc_type_size(t.type);
	to = dc_put_space(p->body, name, t.type, 1, (int64_t[]){ (int64_t)p->n_kept });
	for (size_t k = 0; k < p->n_kept; k++)
		memcpy(to + k * row, (const char *)t.data + p->kept[k] * row, row);
	return 0;
}

static void
put_keys(struct part *p)
{
	dc_put_array(p->body, "key", p->n_kept);
	for (size_t k = 0; k < p->n_kept; k++)
		dc_put_strn(p->body, NULL, p->key[p->kept[k]].p, p->key[p->kept[k]].n);
}

static const struct dc_view *
kept_view(const struct part *p, size_t k, int v)
{
	return &p->view[p->kept[k] * (size_t)p->a->recipe.n_views + (size_t)v];
}

static void
put_trace_crop(struct part *p, int v)
{
	const int64_t n = (int64_t)p->n_kept;
	char name[32];
	int32_t *to = dc_put_space(p->body, named(name, "trace.%d.box", v), DC_I32, 2, (int64_t[]){ n, 4 });

	for (size_t k = 0; k < p->n_kept; k++)
		memcpy(to + 4 * k, kept_view(p, k, v)->box, 4 * sizeof *to);
	to = dc_put_space(p->body, named(name, "trace.%d.resize", v), DC_I32, 2, (int64_t[]){ n, 2 });
	for (size_t k = 0; k < p->n_kept; k++)
		memcpy(to + 2 * k, kept_view(p, k, v)->resized, 2 * sizeof *to);
	dc_put_str(p->body, named(name, "trace.%d.interpolation", v),
	    p->a->recipe.view[v].interpolation == DC_BICUBIC ? "bicubic" : "bilinear");
}

static void
put_trace_colour(struct part *p, int v)
{
	const int64_t n = (int64_t)p->n_kept;
	char name[32];
	double *jitter = dc_put_space(p->body, named(name, "trace.%d.jitter", v), DC_F64, 2, (int64_t[]){ n, DC_JITTERS });

	for (size_t k = 0; k < p->n_kept; k++)
		memcpy(jitter + DC_JITTERS * k, kept_view(p, k, v)->jitter, DC_JITTERS * sizeof *jitter);
	int32_t *order = dc_put_space(p->body, named(name, "trace.%d.order", v), DC_I32, 2, (int64_t[]){ n, DC_JITTERS });
	for (size_t k = 0; k < p->n_kept; k++)
		memcpy(order + DC_JITTERS * k, kept_view(p, k, v)->order, DC_JITTERS * sizeof *order);
	uint8_t *gray = dc_put_space(p->body, named(name, "trace.%d.gray", v), DC_U8, 1, &n);
	for (size_t k = 0; k < p->n_kept; k++)
		gray[k] = (uint8_t)kept_view(p, k, v)->gray;
	double *blur = dc_put_space(p->body, named(name, "trace.%d.blur", v), DC_F64, 1, &n);
	for (size_t k = 0; k < p->n_kept; k++)
		blur[k] = kept_view(p, k, v)->blur;
	uint8_t *flip = dc_put_space(p->body, named(name, "trace.%d.flip", v), DC_U8, 1, &n);
	for (size_t k = 0; k < p->n_kept; k++)
		flip[k] = (uint8_t)kept_view(p, k, v)->flip;
}

static void
put_trace(struct part *p)
{
	for (int v = 0; v < p->a->recipe.n_views; v++) {
		put_trace_crop(p, v);
		put_trace_colour(p, v);
	}
	if (p->a->recipe.caption_views < 2)
		return;
	dc_put_array(p->body, "trace.eda", kept_captions(p));
	for (size_t c = 0; c < p->n_captions; c++)
		if (p->new_index[image_of(p, c)] >= 0)
			dc_put_str(p->body, NULL, p->eda[c].trace);
}

static int
put_views(struct part *p, struct dc_frame *f)
{
	static const char *const rows[] = { "id", "slot", "epoch", "label" };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		DC_TRY(put_rows(p, f, rows[i]));
	put_keys(p);
	dc_put_copy(p->body, f, "position");
	dc_put_copy(p->body, f, "part");
	put_images(p);
	put_captions(p);
	if (p->a->trace)
		put_trace(p);
	return 0;
}

static int
make_room(struct part *p, struct dc_frame *f)
{
	const size_t bytes = p->n * view_bytes(p), views = (size_t)p->a->recipe.n_views;

	if (bytes > (DC_BODY_MAX - (1 << 25)) / views)
		return dc_frame_err(f, "%zu views of %zu samples of %d x %d pixels do not fit into a frame of 1 GiB", views, p->n,
		    p->a->recipe.view[0].size, p->a->recipe.view[0].size);
	if (bytes > p->a->cap)
		for (int v = 0; v < p->a->recipe.n_views; v++) {
			free(p->a->pixels[v]);
			p->a->pixels[v] = dc_xaligned(bytes, 1);
		}
	p->a->cap = bytes > p->a->cap ? bytes : p->a->cap;
	p->view = dc_xcalloc(p->n * views, sizeof *p->view);
	return 0;
}

static int
make_part(struct part *p, struct dc_frame *f)
{
	DC_TRY(take_images(p, f));
	DC_TRY(take_captions(p, f));
	DC_TRY(make_room(p, f));
	dc_pool_for(p->a->pool, p->encoded ? p->n : p->n * (size_t)p->a->recipe.n_views, make_views, p);
	if (p->a->recipe.caption_views > 1) {
		p->eda = dc_xcalloc(p->n_captions, sizeof *p->eda);
		dc_pool_for(p->a->pool, p->n_captions, make_caption, p);
	}
	keep(p);
	return put_views(p, f);
}

static void
free_part(struct part *p)
{
	for (size_t i = 0; p->sample && i < p->n; i++)
		free(p->sample[i].error);
	for (size_t c = 0; p->eda && c < p->n_captions; c++) {
		free(p->eda[c].caption);
		free(p->eda[c].trace);
	}
	free(p->sample);
	free(p->nth);
	free(p->view);
	free(p->eda);
	free(p->kept);
	free(p->new_index);
}

int
dc_augment_part(struct dc_augment *a, struct dc_frame *f, struct dc_body *body)
{
	struct part p = { .a = a, .body = body };
	const int r = make_part(&p, f);

	a->samples += p.n;
	free_part(&p);
	return r;
}

/* --- the end --- */

static int
is_name(const msgpack_object *k, const char *name)
{
	return k->type == MSGPACK_OBJECT_STR && k->via.str.size == strlen(name) && !memcmp(k->via.str.ptr, name, strlen(name));
}

/* Copy a map of counts with n more of `up`, which is made if it is not there, and n less of `down`. */
static void
put_counts(struct dc_body *b, struct dc_frame *f, const char *key, const char *up, const char *down, int64_t n)
{
	const msgpack_object *map = dc_frame_get(f, key);
	const uint32_t entries = map && map->type == MSGPACK_OBJECT_MAP ? map->via.map.size : 0;
	int64_t other = n;

	for (uint32_t i = 0; i < entries; i++)
		if (is_name(&map->via.map.ptr[i].key, up))
			other = 0;
	dc_put_map(b, key, entries + (other != 0));
	for (uint32_t i = 0; i < entries; i++) {
		const msgpack_object *k = &map->via.map.ptr[i].key, *v = &map->via.map.ptr[i].val;
		const int64_t more = is_name(k, up) ? n : is_name(k, down) ? -n : 0;
		char *name = k->type == MSGPACK_OBJECT_STR ? dc_xstrndup(k->via.str.ptr, k->via.str.size) : dc_xstrdup("?");

		if (v->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
			dc_put_int(b, name, v->via.i64 + more);
		else
			dc_put_object(b, name, f, v);
		free(name);
	}
	if (other)
		dc_put_int(b, up, other);
}

void
dc_augment_end(const struct dc_augment *a, struct dc_frame *f, struct dc_body *body)
{
	for (uint32_t i = 0; i < f->root.via.map.size; i++) {
		const msgpack_object *k = &f->root.via.map.ptr[i].key;

		if (k->type != MSGPACK_OBJECT_STR || is_name(k, "counts") || is_name(k, "rejected_by"))
			continue;
		char *name = dc_xstrndup(k->via.str.ptr, k->via.str.size);
		dc_put_object(body, name, f, &f->root.via.map.ptr[i].val);
		free(name);
	}
	put_counts(body, f, "counts", "rejected", "out", (int64_t)a->dropped);
	put_counts(body, f, "rejected_by", "image", "", (int64_t)a->dropped);
}

void
dc_augment_free(struct dc_augment *a)
{
	for (int v = 0; v < DC_VIEWS_MAX; v++)
		free(a->pixels[v]);
	free(a->first_dropped);
	memset(a, 0, sizeof *a);
}
