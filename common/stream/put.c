/* SPDX-License-Identifier: MIT */
/* Writing a body, value by value, through msgpack-c's packer. */
#include <stdlib.h>
#include <string.h>

#include "stream/stream.h"

enum { MAP32_BYTES = 5, ALIGN = 64 };

static void
reserve(struct dc_body *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 4096;
	unsigned char *p;

	if (b->n + more <= b->cap)
		return;
	while (cap < b->n + more)
		cap *= 2;
	p = dc_xaligned(cap, 1);
	if (b->n)
		memcpy(p, b->p, b->n);
	free(b->p);
	b->p = p;
	b->cap = cap;
}

static int
append(void *arg, const char *p, size_t n)
{
	struct dc_body *b = arg;

	if (!n)
		return 0;       /* an empty string that was read has no address */
	reserve(b, n);
	memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

static msgpack_packer
packer(struct dc_body *b)
{
	return (msgpack_packer){ .data = b, .callback = append };
}

static void
put_raw_str(struct dc_body *b, const char *s, size_t n)
{
	msgpack_packer k = packer(b);

	msgpack_pack_str(&k, n);
	msgpack_pack_str_body(&k, s, n);
}

static void
put_raw_bin(struct dc_body *b, const char *s, size_t n)
{
	msgpack_packer k = packer(b);

	msgpack_pack_bin(&k, n);
	msgpack_pack_bin_body(&k, s, n);
}

/* Start a value: the map's header before the first, the count of top-level entries, the key. */
static msgpack_packer
begin(struct dc_body *b, const char *key)
{
	if (!b->n)
		append(b, "\xdf\0\0\0\0", MAP32_BYTES); /* the count goes in when the frame is written */
	if (b->pending)
		b->pending--;
	else
		b->entries++;
	if (key)
		put_raw_str(b, key, strlen(key));
	return packer(b);
}

void dc_put_int(struct dc_body *b, const char *key, int64_t v) { msgpack_packer k = begin(b, key); msgpack_pack_int64(&k, v); }
void dc_put_double(struct dc_body *b, const char *key, double v) { msgpack_packer k = begin(b, key); msgpack_pack_double(&k, v); }
void dc_put_str(struct dc_body *b, const char *key, const char *s) { dc_put_strn(b, key, s, strlen(s)); }
void dc_put_strn(struct dc_body *b, const char *key, const char *s, size_t n) { begin(b, key); put_raw_str(b, s, n); }

void
dc_put_bool(struct dc_body *b, const char *key, int v)
{
	msgpack_packer k = begin(b, key);

	if (v)
		msgpack_pack_true(&k);
	else
		msgpack_pack_false(&k);
}

void
dc_put_array(struct dc_body *b, const char *key, size_t n)
{
	msgpack_packer k = begin(b, key);

	msgpack_pack_array(&k, n);
	b->pending += n;
}

void
dc_put_map(struct dc_body *b, const char *key, size_t n)
{
	msgpack_packer k = begin(b, key);

	msgpack_pack_map(&k, n);
	b->pending += n;
}

void
dc_put_part(struct dc_body *b, int64_t i, int64_t n)
{
	dc_put_array(b, "part", 2);
	dc_put_int(b, NULL, i);
	dc_put_int(b, NULL, n);
}

/* nd, type, kind, shape: msgpack-numpy's keys, all bin. `more` = the keys that follow. */
static void
tensor_head(struct dc_body *b, const char *key, enum dc_type type, int ndim, const int64_t *shape, size_t more)
{
	msgpack_packer k = begin(b, key);

	msgpack_pack_map(&k, 4 + more);
	put_raw_bin(b, "nd", 2);
	msgpack_pack_true(&k);
	put_raw_bin(b, "type", 4);
	put_raw_str(b, dc_type_code(type), 3);
	put_raw_bin(b, "kind", 4);
	put_raw_bin(b, "", 0);
	put_raw_bin(b, "shape", 5);
	msgpack_pack_array(&k, (size_t)ndim);
	for (int i = 0; i < ndim; i++)
		msgpack_pack_int64(&k, shape[i]);
}

static size_t
bin_header(size_t bytes)
{
	return bytes < 256 ? 2 : bytes < 65536 ? 3 : 5;
}

void *
dc_put_space(struct dc_body *b, const char *key, enum dc_type type, int ndim, const int64_t *shape)
{
	size_t bytes = dc_type_size(type), pad, at;
	msgpack_packer k = packer(b);

	for (int i = 0; i < ndim; i++)
		bytes *= (size_t)shape[i];
	reserve(b, bytes + 512);
	tensor_head(b, key, type, ndim, shape, 2);
	put_raw_bin(b, "pad", 3);
	/* pad's own header has 2 bytes, then comes the key "data" (6 bytes) and the data's header */
	pad = -(b->n + 2 + 6 + bin_header(bytes)) & (ALIGN - 1);
	put_raw_bin(b, (const char[ALIGN]){ 0 }, pad);
	put_raw_bin(b, "data", 4);
	msgpack_pack_bin(&k, bytes);
	at = b->n;
	reserve(b, bytes);
	b->n += bytes;
	return b->p + at;
}

void
dc_put_data(struct dc_body *b, const char *key, enum dc_type type, int ndim, const int64_t *shape, const void *data)
{
	size_t bytes = dc_type_size(type);
	void *p = dc_put_space(b, key, type, ndim, shape);

	for (int i = 0; i < ndim; i++)
		bytes *= (size_t)shape[i];
	if (bytes)
		memcpy(p, data, bytes);
}

void
dc_put_ref(struct dc_body *b, const char *key, enum dc_type type, int ndim, const int64_t *shape, const char *file,
    const char *name)
{
	tensor_head(b, key, type, ndim, shape, 2);
	put_raw_bin(b, "file", 4);
	put_raw_str(b, file, strlen(file));
	put_raw_bin(b, "name", 4);
	put_raw_str(b, name, strlen(name));
}

void
dc_put_tensor(struct dc_body *b, const char *key, const struct dc_tensor *t)
{
	if (t->file)
		dc_put_ref(b, key, t->type, t->ndim, t->shape, t->file, t->name);
	else
		dc_put_data(b, key, t->type, t->ndim, t->shape, t->data);
}

static void
put_items(struct dc_body *b, struct dc_frame *f, const msgpack_object *o)
{
	if (o->type == MSGPACK_OBJECT_ARRAY) {
		for (uint32_t i = 0; i < o->via.array.size; i++)
			dc_put_object(b, NULL, f, &o->via.array.ptr[i]);
		return;
	}
	for (uint32_t i = 0; i < o->via.map.size; i++) {
		msgpack_packer k = packer(b);
		msgpack_pack_object(&k, o->via.map.ptr[i].key);
		dc_put_object(b, NULL, f, &o->via.map.ptr[i].val);
	}
}

void
dc_put_object(struct dc_body *b, const char *key, struct dc_frame *f, const msgpack_object *o)
{
	struct dc_tensor t;
	msgpack_packer k;

	if (dc_object_is_tensor(o) && dc_object_tensor(f, key ? key : "element", o, &t) == 0) {
		dc_put_tensor(b, key, &t);
	} else if (o->type == MSGPACK_OBJECT_ARRAY) {
		dc_put_array(b, key, o->via.array.size);
		put_items(b, f, o);
	} else if (o->type == MSGPACK_OBJECT_MAP) {
		dc_put_map(b, key, o->via.map.size);
		put_items(b, f, o);
	} else {
		k = begin(b, key);
		msgpack_pack_object(&k, *o);
	}
}

void
dc_put_copy(struct dc_body *b, struct dc_frame *f, const char *key)
{
	const msgpack_object *o = dc_frame_get(f, key);

	if (o)
		dc_put_object(b, key, f, o);
}

void
dc_body_room(struct dc_body *b, size_t bytes)
{
	reserve(b, bytes);
}

void
dc_body_free(struct dc_body *b)
{
	free(b->p);
	memset(b, 0, sizeof *b);
}
