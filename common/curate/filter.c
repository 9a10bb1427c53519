/* SPDX-License-Identifier: MIT */
#include "curate/filter.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "curate/phash.h"
#include "data/exif.h"
#include "data/image.h"

struct item {
	struct dc_str key, shard;
	struct dc_tensor image;
	int why, near;               /* enum dc_drop or -1; the distance to a hash that stood there before, or -1 */
	uint32_t near_number;
	XXH128_hash_t bytes, pixels;
	uint64_t phash;
	size_t first_caption, n_captions; /* in order[] */
	size_t captions_left;
	char detail[DC_DETAIL_MAX];
};

struct caption { struct dc_str text; size_t image; int why; XXH128_hash_t hash; char detail[DC_DETAIL_MAX]; };

/* The part at hand. */
struct part {
	struct dc_curate *c;
	struct item *item; size_t n;
	struct caption *caption; size_t n_captions;
	size_t *order;               /* captions by image, in their order */
	int exif, plain;             /* turn images upright; no rules but the decoding: dc_curate_know */
};

/* --- taking the frame --- */

static int
take_image(struct dc_frame *f, const msgpack_object *o, size_t i, struct dc_tensor *t)
{
	DC_TRY(dc_object_tensor(f, "image", o, t));
	if (t->type != DC_U8 || t->file || (t->ndim != 1 && t->ndim != 3))
		return dc_frame_err(f, "image %zu: wanted u8 [H,W,3] or encoded bytes, u8 [n]", i);
	if (t->ndim == 3 && (t->shape[2] != 3 || t->shape[0] < 1 || t->shape[1] < 1 || t->shape[0] > DC_IMAGE_SIDE_MAX
	    || t->shape[1] > DC_IMAGE_SIDE_MAX))
		return dc_frame_err(f, "image %zu: its shape is not [H,W,3] with sides in [1,%d]", i, DC_IMAGE_SIDE_MAX);
	return 0;
}

static int
take_names(struct part *p, struct dc_frame *f, const char *name)
{
	const struct dc_str *s;
	size_t n;

	DC_TRY(dc_frame_strs(f, name, &s, &n));
	if (n != p->n)
		return dc_frame_err(f, "%zu images and %zu of %s", p->n, n, name);
	for (size_t i = 0; i < n; i++)
		*(*name == 'k' ? &p->item[i].key : &p->item[i].shard) = s[i];
	return 0;
}

/* Hashes know nothing of epochs: in a second one every sample would be a duplicate of itself. */
static int
check_epoch(const struct part *p, struct dc_frame *f)
{
	const struct dc_curate *c = p->c;
	struct dc_tensor t;

	if (!dc_frame_get(f, "epoch") || !(c->same_bytes || c->same_pixels || c->near_on || c->max_repeats))
		return 0;
	DC_TRY(dc_frame_tensor(f, "epoch", DC_I32, 1, &t));
	for (size_t i = 0; i < t.n && !t.file; i++)
		if (((const int32_t *)t.data)[i] > 0)
			return dc_frame_err(f, "epoch %" PRId32 ": duplicates are looked for in one epoch only (dc-decode --epochs 1)",
			    ((const int32_t *)t.data)[i]);
	return 0;
}

static int
take_images(struct part *p, struct dc_frame *f)
{
	const msgpack_object *a;

	DC_TRY(dc_frame_array(f, "image", &a, &p->n));
	p->item = dc_xcalloc(p->n, sizeof *p->item);
	for (size_t i = 0; i < p->n; i++) {
		DC_TRY(take_image(f, &a->via.array.ptr[i], i, &p->item[i].image));
		p->item[i].why = p->item[i].near = -1;
	}
	DC_TRY(take_names(p, f, "key"));
	if (dc_frame_get(f, "shard"))
		DC_TRY(take_names(p, f, "shard"));
	if (dc_frame_get(f, "exif"))
		DC_TRY(dc_frame_bool(f, "exif", &p->exif));
	return check_epoch(p, f);
}

/* caption_image[k] is the image of caption k; without it, caption k belongs to image k. */
static int
take_captions(struct part *p, struct dc_frame *f)
{
	const struct dc_str *s = NULL;
	struct dc_tensor t = { 0 };
	const int listed = dc_frame_get(f, "caption_image") != NULL;

	if (dc_frame_get(f, "caption"))
		DC_TRY(dc_frame_strs(f, "caption", &s, &p->n_captions));
	if (listed)
		DC_TRY(dc_frame_tensor(f, "caption_image", DC_I32, 1, &t));
	if ((listed ? t.n : p->n) != p->n_captions && (listed || p->n_captions))
		return dc_frame_err(f, "%zu captions for %zu places", p->n_captions, listed ? t.n : p->n);
	p->caption = dc_xcalloc(p->n_captions, sizeof *p->caption);
	for (size_t k = 0; k < p->n_captions; k++) {
		int64_t image = listed && !t.file ? ((const int32_t *)t.data)[k] : (int64_t)k;

		if (image < 0 || (size_t)image >= p->n)
			return dc_frame_err(f, "caption %zu is of image %" PRId64 " of %zu", k, image, p->n);
		p->caption[k] = (struct caption){ .text = s[k], .image = (size_t)image, .why = -1 };
		p->item[image].n_captions++;
	}
	return 0;
}

/* order[] holds the captions of image 0, then those of image 1 ... */
static void
sort_captions(struct part *p)
{
	size_t at = 0;

	p->order = dc_xcalloc(p->n_captions, sizeof *p->order);
	for (size_t i = 0; i < p->n; at += p->item[i++].n_captions)
		p->item[i].first_caption = at;
	for (size_t k = 0; k < p->n_captions; k++) {
		struct item *it = &p->item[p->caption[k].image];
		p->order[it->first_caption + it->captions_left++] = k;
	}
}

/* --- what can be told of a sample alone, by many threads --- */

static int
encoded(const struct item *it)
{
	return it->image.ndim == 1;
}

static int
look_at_image(struct part *p, struct item *it)
{
	int width, height, why;

	if (encoded(it) && (why = dc_rules_size(&p->c->rules, it->image.bytes, it->detail)) >= 0)
		return why;
	if (!encoded(it))
		return dc_rules_image(&p->c->rules, (int)it->image.shape[1], (int)it->image.shape[0], it->detail);
	if (dc_image_header(it->image.data, it->image.bytes, p->c->max_pixels, &width, &height) < 0) {
		snprintf(it->detail, sizeof it->detail, "%s", dc_err());
		return DC_DROP_IMAGE;
	}
	return dc_rules_image(&p->c->rules, width, height, it->detail);
}

static void
look_at_captions(struct part *p, struct item *it)
{
	const struct dc_curate *c = p->c;
	struct dc_words w = { 0 };

	for (size_t i = 0; i < it->n_captions; i++) {
		struct caption *k = &p->caption[p->order[it->first_caption + i]];

		if (!p->plain)
			k->why = dc_rules_caption(&c->rules, &w, k->text.p, k->text.n, k->detail);
		it->captions_left -= k->why >= 0;
		if (c->max_repeats && k->why < 0) {
			dc_clean_text(&w.clean, k->text.p, k->text.n);
			k->hash = XXH3_128bits(w.clean.text, w.clean.n);
		}
	}
	dc_words_free(&w);
}

/* All captions are gone: the sample goes too, for what the first one had. */
static void
follow_captions(const struct part *p, struct item *it)
{
	if (it->why >= 0 || !it->n_captions || it->captions_left)
		return;
	const struct caption *k = &p->caption[p->order[it->first_caption]];
	it->why = k->why;
	memcpy(it->detail, k->detail, sizeof it->detail);
}

static void
look_alone(void *arg, size_t i)
{
	struct part *p = arg;
	struct item *it = &p->item[i];

	if (!p->plain)
		it->why = look_at_image(p, it);
	if (it->why < 0)
		look_at_captions(p, it);
	follow_captions(p, it);
	if (it->why < 0 && p->c->same_bytes && encoded(it))
		it->bytes = XXH3_128bits(it->image.data, it->image.bytes);
}

static int
look_at_pixels(const struct dc_curate *c, struct item *it, const uint8_t *rgb, int width, int height)
{
	if (c->same_pixels)
		it->pixels = XXH3_128bits_withSeed(rgb, (size_t)width * (size_t)height * 3, (uint64_t)width << 32 | (unsigned)height);
	if (!c->near_on)
		return 0;
	DC_TRY(dc_phash(dc_raster(rgb, width, height), &it->phash));
	it->near = dc_near_find(c->phashes, it->phash, &it->near_number);
	return 0;
}

static void
look_inside(void *arg, size_t i)
{
	struct part *p = arg;
	struct item *it = &p->item[i];
	struct dc_image im = { 0 };
	int r;

	if (it->why >= 0)
		return;
	if (!encoded(it))
		r = look_at_pixels(p->c, it, it->image.data, (int)it->image.shape[1], (int)it->image.shape[0]);
	else if ((r = dc_image_decode(it->image.data, it->image.bytes, p->c->max_pixels, &im)) == 0) {
		if (p->exif)
			dc_image_turn(&im, dc_exif_orientation(it->image.data, it->image.bytes));
		r = look_at_pixels(p->c, it, im.rgb, im.width, im.height);
	}
	if (r < 0) {
		it->why = DC_DROP_IMAGE;
		snprintf(it->detail, sizeof it->detail, "%s", dc_err());
	}
	dc_image_free(&im);
}

/* --- what was before, one after the other --- */

/* A number as it is shown. */
static void
say_of(const struct dc_curate *c, struct item *it, uint32_t number, int distance)
{
	int64_t own = (int64_t)number - (int64_t)c->known;
	char far[32] = "";

	if (distance >= 0)
		snprintf(far, sizeof far, ", distance %d", distance);
	if (own >= 0)
		snprintf(it->detail, sizeof it->detail, "of %" PRId64 "%s", own, far);
	else
		snprintf(it->detail, sizeof it->detail, "of %" PRIu32 " of --against%s", number, far);
}

static int
seen_before(const struct dc_curate *c, struct item *it, const struct dc_seen *s, XXH128_hash_t h, enum dc_drop why)
{
	const uint32_t *number = dc_seen_find(s, h);

	if (!number)
		return 0;
	it->why = (int)why;
	say_of(c, it, *number - 1, -1);
	return 1;
}

/* Bytes that are known need no decoding. */
static void
drop_known_bytes(struct part *p)
{
	for (size_t i = 0; i < p->n && p->c->same_bytes; i++)
		if (p->item[i].why < 0 && encoded(&p->item[i]))
			seen_before(p->c, &p->item[i], &p->c->bytes, p->item[i].bytes, DC_DROP_SAME_BYTES);
}

/* Those kept of this part were not there when the others were looked for. */
static void
find_near_in_part(struct part *p, size_t i, const uint32_t *number)
{
	struct item *it = &p->item[i];

	for (size_t k = 0; k < i; k++) {
		int d = __builtin_popcountll(p->item[k].phash ^ it->phash);

		if (p->item[k].why < 0 && d <= p->c->near && (it->near < 0 || d < it->near)) {
			it->near = d;
			it->near_number = number[k];
		}
	}
}

static int
drop_repeats(struct part *p, struct item *it)
{
	for (size_t i = 0; i < it->n_captions; i++) {
		struct caption *k = &p->caption[p->order[it->first_caption + i]];
		uint32_t *count;

		if (k->why >= 0)
			continue;
		count = dc_seen_add(&p->c->captions, k->hash);
		if (*count >= p->c->max_repeats && !p->plain) {
			k->why = DC_DROP_REPEATS;
			snprintf(k->detail, sizeof k->detail, "%" PRIu32 " kept before", *count);
			it->captions_left--;
		} else if (*count < UINT32_MAX)
			++*count;
	}
	follow_captions(p, it);
	return it->why >= 0;
}

static void
keep_hashes(struct dc_curate *c, const struct item *it, uint32_t number)
{
	uint32_t *at;

	if (c->same_bytes && encoded(it) && !*(at = dc_seen_add(&c->bytes, it->bytes)))
		*at = number + 1;
	if (c->same_pixels && !*(at = dc_seen_add(&c->pixels, it->pixels)))
		*at = number + 1;
	if (c->near_on)
		dc_near_add(c->phashes, it->phash, number);
}

static void
compare(struct part *p)
{
	struct dc_curate *c = p->c;
	uint32_t *number = dc_xcalloc(p->n, sizeof *number);

	for (size_t i = 0; i < p->n; i++) {
		struct item *it = &p->item[i];

		number[i] = (uint32_t)(c->known + c->in + i);
		if (it->why >= 0)
			continue;
		if (c->same_bytes && encoded(it) && seen_before(c, it, &c->bytes, it->bytes, DC_DROP_SAME_BYTES))
			continue;
		if (c->same_pixels && seen_before(c, it, &c->pixels, it->pixels, DC_DROP_SAME_PIXELS))
			continue;
		if (c->near_on)
			find_near_in_part(p, i, number);
		if (it->near >= 0) {
			it->why = DC_DROP_NEAR;
			say_of(c, it, it->near_number, it->near);
		} else if (!c->max_repeats || !drop_repeats(p, it))
			keep_hashes(c, it, number[i]);
	}
	free(number);
}

/* --- the result --- */

static void
list_reject(struct dc_curate *c, const struct item *it, size_t i, int64_t caption, int why, const char *detail)
{
	const char *name = dc_drop_names[why];
	char text[24] = "";

	if (!c->rejects.fp)
		return;
	if (caption >= 0)
		snprintf(text, sizeof text, "%" PRId64, caption);
	dc_list_number(&c->rejects, c->in + i);
	dc_list_put(&c->rejects, it->shard.p, it->shard.n, 0);
	dc_list_put(&c->rejects, it->key.p, it->key.n, 0);
	dc_list_put(&c->rejects, text, strlen(text), 0);
	dc_list_put(&c->rejects, name, strlen(name), 0);
	dc_list_put(&c->rejects, detail, strlen(detail), 1);
}

static void
account_captions(struct part *p, size_t i)
{
	struct dc_curate *c = p->c;
	const struct item *it = &p->item[i];

	for (size_t j = 0; j < it->n_captions; j++) {
		struct caption *k = &p->caption[p->order[it->first_caption + j]];

		if (it->why >= 0 && k->why < 0)
			k->why = DC_DROP_WITH_IMAGE;
		else if (it->why < 0 && k->why >= 0)
			list_reject(c, it, i, (int64_t)j, k->why, k->detail);
		if (k->why >= 0)
			c->captions_dropped[k->why]++;
		else
			c->captions_out++;
	}
}

/* Return how many samples and captions were dropped. */
static size_t
account(struct part *p)
{
	struct dc_curate *c = p->c;
	uint64_t before = c->out + c->captions_out;

	for (size_t i = 0; i < p->n; i++) {
		const struct item *it = &p->item[i];

		account_captions(p, i);
		if (it->why >= 0) {
			c->dropped[it->why]++;
			list_reject(c, it, i, -1, it->why, it->detail);
			continue;
		}
		c->out++;
		dc_list_number(&c->kept, c->in + i);
		dc_list_put(&c->kept, it->shard.p, it->shard.n, 0);
		dc_list_put(&c->kept, it->key.p, it->key.n, 1);
	}
	c->in += p->n;
	c->captions_in += p->n_captions;
	return p->n + p->n_captions - (size_t)(c->out + c->captions_out - before);
}

static void
put_captions(struct part *p, struct dc_body *b)
{
	int32_t *place = dc_xcalloc(p->n, sizeof *place), *to;
	size_t n = 0;

	for (size_t i = 0, at = 0; i < p->n; i++)
		place[i] = p->item[i].why < 0 ? (int32_t)at++ : -1;
	for (size_t k = 0; k < p->n_captions; k++)
		n += p->caption[k].why < 0;
	dc_put_array(b, "caption", n);
	for (size_t k = 0; k < p->n_captions; k++)
		if (p->caption[k].why < 0)
			dc_put_strn(b, NULL, p->caption[k].text.p, p->caption[k].text.n);
	to = dc_put_space(b, "caption_image", DC_I32, 1, (int64_t[]){ (int64_t)n });
	for (size_t k = 0; k < p->n_captions; k++)
		if (p->caption[k].why < 0)
			*to++ = place[p->caption[k].image];
	free(place);
}

static size_t
n_kept(const struct part *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->item[i].why < 0;
	return n;
}

static int
put_tensor_rows(const struct part *p, struct dc_body *b, struct dc_frame *f, const char *key, const msgpack_object *o)
{
	struct dc_tensor t;
	int64_t shape[DC_MAX_DIMS];
	unsigned char *to;
	size_t row;

	DC_TRY(dc_object_tensor(f, key, o, &t));
	if (t.file || t.ndim < 1 || t.shape[0] != (int64_t)p->n || !p->n) {
		dc_put_object(b, key, f, o);
		return 0;
	}
	memcpy(shape, t.shape, sizeof shape);
	shape[0] = (int64_t)n_kept(p);
	row = t.bytes / p->n;
	to = dc_put_space(b, key, t.type, t.ndim, shape);
	for (size_t i = 0; i < p->n; i++)
		if (p->item[i].why < 0) {
			memcpy(to, (const unsigned char *)t.data + i * row, row);
			to += row;
		}
	return 0;
}

/* Whatever has a row for each sample keeps the rows of those that stay; all else is copied. */
static int
put_value(const struct part *p, struct dc_body *b, struct dc_frame *f, const char *key, const msgpack_object *o)
{
	if (dc_object_is_tensor(o))
		return put_tensor_rows(p, b, f, key, o);
	if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size != p->n || !strcmp(key, "part")) {
		dc_put_object(b, key, f, o);
		return 0;
	}
	dc_put_array(b, key, n_kept(p));
	for (size_t i = 0; i < p->n; i++)
		if (p->item[i].why < 0)
			dc_put_object(b, NULL, f, &o->via.array.ptr[i]);
	return 0;
}

static int
put_part(struct part *p, struct dc_frame *f, struct dc_body *b)
{
	for (uint32_t i = 0; i < f->root.via.map.size; i++) {
		const msgpack_object_kv *kv = &f->root.via.map.ptr[i];
		char *key;
		int r;

		if (kv->key.type != MSGPACK_OBJECT_STR)
			continue;
		key = dc_xstrndup(kv->key.via.str.ptr, kv->key.via.str.size);
		if (!strcmp(key, "caption"))
			put_captions(p, b);
		r = strcmp(key, "caption") && strcmp(key, "caption_image") ? put_value(p, b, f, key, &kv->val) : 0;
		free(key);
		DC_TRY(r);
	}
	return 0;
}

/* --- the whole --- */

static int
look(struct part *p, struct dc_frame *f)
{
	const struct dc_curate *c = p->c;

	DC_TRY(take_images(p, f));
	DC_TRY(take_captions(p, f));
	if (c->known + c->in + p->n >= UINT32_MAX && (c->same_bytes || c->same_pixels || c->near_on))
		return dc_frame_err(f, "duplicates can be told among %" PRIu32 " samples at most", UINT32_MAX - 1);
	for (size_t i = 0; i < p->n; i++)
		if (c->same_bytes && !encoded(&p->item[i]))
			return dc_frame_err(f, "image %zu is decoded: --same-bytes needs dc-decode --keep-encoded", i);
	sort_captions(p);
	dc_pool_for(c->pool, p->n, look_alone, p);
	if (!p->plain)
		drop_known_bytes(p);
	if (c->same_pixels || c->near_on || (c->decode && !p->plain))
		dc_pool_for(c->pool, p->n, look_inside, p);
	return 0;
}

static void
free_part(struct part *p)
{
	free(p->item);
	free(p->caption);
	free(p->order);
}

int
dc_curate_part(struct dc_curate *c, struct dc_frame *f, struct dc_body *b)
{
	struct part p = { .c = c };
	int r = look(&p, f);

	if (r == 0) {
		compare(&p);
		r = account(&p) > 0;
	}
	if (r == 1 && put_part(&p, f, b) < 0)
		r = -1;
	free_part(&p);
	return r;
}

int
dc_curate_know(struct dc_curate *c, struct dc_frame *f)
{
	struct part p = { .c = c, .plain = 1 };
	int r = look(&p, f);

	for (size_t i = 0; r == 0 && i < p.n; i++) {
		struct item *it = &p.item[i];

		if (it->why < 0) {
			if (c->max_repeats)
				drop_repeats(&p, it);
			keep_hashes(c, it, (uint32_t)(c->known + i));
		}
	}
	c->known += r == 0 ? p.n : 0;
	free_part(&p);
	return r;
}

uint64_t
dc_curate_dropped(const struct dc_curate *c)
{
	uint64_t n = 0;

	for (int i = 0; i < DC_DROPS; i++)
		n += c->dropped[i];
	return n;
}

static int
is_name(const msgpack_object *o, const char *name)
{
	return o->type == MSGPACK_OBJECT_STR && o->via.str.size == strlen(name) && !memcmp(o->via.str.ptr, name, o->via.str.size);
}

struct change { const char *name; int64_t by; };

/* A map of counts as it came, changed; what is not in it and changes is added. */
static void
put_changed(struct dc_body *b, struct dc_frame *f, const char *key, const struct change *change, int n)
{
	const msgpack_object *m = dc_frame_get(f, key);
	const msgpack_object_map none = { 0 }, *map = m && m->type == MSGPACK_OBJECT_MAP ? &m->via.map : &none;
	uint32_t added = 0;
	int *there = dc_xcalloc((size_t)n, sizeof *there);

	for (uint32_t k = 0; k < map->size; k++)
		for (int i = 0; i < n; i++)
			there[i] |= is_name(&map->ptr[k].key, change[i].name);
	for (int i = 0; i < n; i++)
		added += change[i].by && !there[i];
	dc_put_map(b, key, map->size + added);
	for (uint32_t k = 0; k < map->size; k++) {
		const msgpack_object *name = &map->ptr[k].key, *v = &map->ptr[k].val;
		char *copy = name->type == MSGPACK_OBJECT_STR ? dc_xstrndup(name->via.str.ptr, name->via.str.size) : dc_xstrdup("?");
		int64_t by = 0;

		for (int i = 0; i < n; i++)
			by += is_name(name, change[i].name) ? change[i].by : 0;
		if (v->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
			dc_put_int(b, copy, v->via.i64 + by);
		else
			dc_put_object(b, copy, f, v);
		free(copy);
	}
	for (int i = 0; i < n; i++)
		if (change[i].by && !there[i])
			dc_put_int(b, change[i].name, change[i].by);
	free(there);
}

void
dc_curate_end(const struct dc_curate *c, struct dc_frame *f, struct dc_body *b)
{
	const int64_t n = (int64_t)dc_curate_dropped(c);
	const struct change count[] = { { "out", -n }, { "rejected", n } };
	struct change reason[DC_DROPS];

	for (uint32_t i = 0; i < f->root.via.map.size; i++) {
		const msgpack_object *k = &f->root.via.map.ptr[i].key;

		if (k->type != MSGPACK_OBJECT_STR || is_name(k, "counts") || is_name(k, "rejected_by"))
			continue;
		char *name = dc_xstrndup(k->via.str.ptr, k->via.str.size);
		dc_put_object(b, name, f, &f->root.via.map.ptr[i].val);
		free(name);
	}
	for (int i = 0; i < DC_DROPS; i++)
		reason[i] = (struct change){ dc_drop_names[i], (int64_t)c->dropped[i] };
	put_changed(b, f, "counts", count, 2);
	put_changed(b, f, "rejected_by", reason, DC_DROPS);
}

uint64_t
dc_curate_bytes(const struct dc_curate *c)
{
	return dc_seen_bytes(&c->bytes) + dc_seen_bytes(&c->pixels) + dc_seen_bytes(&c->captions)
	    + (c->phashes ? dc_near_bytes(c->phashes) : 0);
}

void
dc_curate_begin(struct dc_curate *c)
{
	if (c->near_on)
		c->phashes = dc_near_new(c->near);
}

void
dc_curate_free(struct dc_curate *c)
{
	dc_seen_free(&c->bytes);
	dc_seen_free(&c->pixels);
	dc_seen_free(&c->captions);
	dc_near_free(c->phashes);
	dc_block_free(&c->rules.block);
}
