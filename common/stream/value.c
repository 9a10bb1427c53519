/* SPDX-License-Identifier: MIT */
/* Taking values out of a frame. */
#include <stdlib.h>
#include <string.h>

#include "stream/stream.h"

static const struct { const char *code, *name; size_t size; } types[] = {
	[DC_U8] = { "|u1", "u8", 1 }, [DC_I32] = { "<i4", "i32", 4 }, [DC_I64] = { "<i8", "i64", 8 },
	[DC_U64] = { "<u8", "u64", 8 }, [DC_F32] = { "<f4", "f32", 4 }, [DC_F64] = { "<f8", "f64", 8 },
	[DC_F16] = { "", "f16", 2 }, [DC_BF16] = { "", "bf16", 2 },
};
enum { N_TYPES = DC_F64 + 1 };   /* that a frame holds */

size_t dc_type_size(enum dc_type t) { return types[t].size; }
const char *dc_type_name(enum dc_type t) { return types[t].name; }
const char *dc_type_code(enum dc_type t) { return types[t].code; }

static int
is_key(const msgpack_object *o, const char *key)
{
	size_t n = strlen(key);

	/* (msgpack-c has no pointer for an empty one) */
	if (o->type == MSGPACK_OBJECT_STR)
		return o->via.str.size == n && (!n || !memcmp(o->via.str.ptr, key, n));
	return o->type == MSGPACK_OBJECT_BIN && o->via.bin.size == n && (!n || !memcmp(o->via.bin.ptr, key, n));
}

static const msgpack_object *
map_get(const msgpack_object *map, const char *key)
{
	for (uint32_t i = 0; i < map->via.map.size; i++)
		if (is_key(&map->via.map.ptr[i].key, key))
			return &map->via.map.ptr[i].val;
	return NULL;
}

const msgpack_object *
dc_frame_get(const struct dc_frame *f, const char *key)
{
	return f->parsed ? map_get(&f->root, key) : NULL;
}

static const msgpack_object *
want(const struct dc_frame *f, const char *key)
{
	const msgpack_object *o = dc_frame_get(f, key);

	if (!o)
		dc_frame_err(f, "has no '%s'", key);
	return o;
}

static int
bytes_of(const msgpack_object *o, struct dc_str *s)
{
	if (!o || (o->type != MSGPACK_OBJECT_BIN && o->type != MSGPACK_OBJECT_STR))
		return -1;
	*s = o->type == MSGPACK_OBJECT_BIN ? (struct dc_str){ o->via.bin.ptr, o->via.bin.size } :
	    (struct dc_str){ o->via.str.ptr, o->via.str.size };
	return 0;
}

int
dc_object_is_tensor(const msgpack_object *o)
{
	const msgpack_object *nd = o->type == MSGPACK_OBJECT_MAP ? map_get(o, "nd") : NULL;

	return nd && nd->type == MSGPACK_OBJECT_BOOLEAN && nd->via.boolean;
}

static int
take_type(struct dc_frame *f, const char *what, const msgpack_object *o, struct dc_tensor *t)
{
	struct dc_str s, kind;

	if (bytes_of(map_get(o, "type"), &s) < 0)
		return dc_frame_err(f, "%s: a tensor without a type (structured types are refused)", what);
	if (bytes_of(map_get(o, "kind"), &kind) == 0 && kind.n)
		return dc_frame_err(f, "%s: tensors of kind '%.*s' are refused", what, (int)kind.n, kind.p);
	for (int i = 0; i < N_TYPES; i++)
		if (s.n == 3 && !memcmp(s.p, types[i].code, 3)) {
			t->type = (enum dc_type)i;
			return 0;
		}
	return dc_frame_err(f, "%s: tensor type '%.*s' is not one of <f4 <f8 <i4 <i8 <u8 |u1", what, (int)(s.n < 20 ? s.n : 20), s.p);
}

static int
take_shape(struct dc_frame *f, const char *what, const msgpack_object *o, struct dc_tensor *t)
{
	const msgpack_object *shape = map_get(o, "shape");

	if (!shape || shape->type != MSGPACK_OBJECT_ARRAY || shape->via.array.size > DC_MAX_DIMS)
		return dc_frame_err(f, "%s: a tensor's shape must be an array of at most %d sizes", what, DC_MAX_DIMS);
	t->ndim = (int)shape->via.array.size;
	t->n = 1;
	for (int i = 0; i < t->ndim; i++) {
		const msgpack_object *d = &shape->via.array.ptr[i];

		if (d->type != MSGPACK_OBJECT_POSITIVE_INTEGER || d->via.u64 > INT64_MAX ||
		    __builtin_mul_overflow(t->n, (size_t)d->via.u64, &t->n) || t->n > SIZE_MAX / 16)
			return dc_frame_err(f, "%s: a tensor's shape is negative or too large", what);
		t->shape[i] = (int64_t)d->via.u64;
	}
	t->bytes = t->n * types[t->type].size;
	return 0;
}

static int
take_ref(struct dc_frame *f, const char *what, const msgpack_object *o, struct dc_tensor *t)
{
	struct dc_str file, name;
	char *copy;

	if (bytes_of(map_get(o, "file"), &file) < 0 || bytes_of(map_get(o, "name"), &name) < 0)
		return dc_frame_err(f, "%s: a tensor with neither data nor file and name", what);
	if (!file.n || memchr(file.p, '/', file.n) || memchr(file.p, 0, file.n) || file.p[0] == '.' || memchr(name.p, 0, name.n))
		return dc_frame_err(f, "%s: '%.*s' is not a bare file name", what, (int)file.n, file.p);
	if (!(copy = msgpack_zone_malloc(&f->zone, file.n + name.n + 2)))
		return dc_err_set("out of memory");
	memcpy(copy, file.p, file.n);
	copy[file.n] = 0;
	memcpy(copy + file.n + 1, name.p, name.n);
	copy[file.n + 1 + name.n] = 0;
	t->file = copy;
	t->name = copy + file.n + 1;
	return 0;
}

/* Python's writers do not align: give such data an aligned home that lives as long as the frame. */
static int
align(struct dc_frame *f, struct dc_tensor *t)
{
	uintptr_t p = (uintptr_t)t->data;
	char *copy;

	if (!(p & 63))
		return 0;
	if (!(copy = msgpack_zone_malloc_no_align(&f->zone, t->bytes + 64)))
		return dc_err_set("out of memory");
	copy += -(uintptr_t)copy & 63;
	memcpy(copy, t->data, t->bytes);
	t->data = copy;
	return 0;
}

int
dc_object_tensor(struct dc_frame *f, const char *what, const msgpack_object *o, struct dc_tensor *t)
{
	const msgpack_object *data;
	struct dc_str s;

	memset(t, 0, sizeof *t);
	if (!dc_object_is_tensor(o))
		return dc_frame_err(f, "%s: not a tensor", what);
	DC_TRY(take_type(f, what, o, t));
	DC_TRY(take_shape(f, what, o, t));
	if (!(data = map_get(o, "data")))
		return take_ref(f, what, o, t);
	if (bytes_of(data, &s) < 0 || s.n != t->bytes)
		return dc_frame_err(f, "%s: a tensor whose shape asks for %zu bytes of data has %zu", what, t->bytes,
		    bytes_of(data, &s) < 0 ? (size_t)0 : s.n);
	t->data = s.p;
	return align(f, t);
}

int
dc_frame_tensor_any(struct dc_frame *f, const char *key, struct dc_tensor *t)
{
	const msgpack_object *o = want(f, key);

	return o ? dc_object_tensor(f, key, o, t) : -1;
}

int
dc_frame_tensor(struct dc_frame *f, const char *key, enum dc_type type, int ndim, struct dc_tensor *t)
{
	DC_TRY(dc_frame_tensor_any(f, key, t));
	if (t->type != type || (ndim >= 0 && t->ndim != ndim))
		return dc_frame_err(f, "%s: wanted %s with %d dimensions, got %s with %d", key, types[type].name, ndim,
		    types[t->type].name, t->ndim);
	return 0;
}

int
dc_frame_int(struct dc_frame *f, const char *key, int64_t *out)
{
	const msgpack_object *o = want(f, key);

	if (!o)
		return -1;
	if ((o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > INT64_MAX) && o->type != MSGPACK_OBJECT_NEGATIVE_INTEGER)
		return dc_frame_err(f, "%s: not a whole number", key);
	*out = o->via.i64;
	return 0;
}

int
dc_frame_double(struct dc_frame *f, const char *key, double *out)
{
	const msgpack_object *o = want(f, key);

	if (!o)
		return -1;
	if (o->type == MSGPACK_OBJECT_FLOAT32 || o->type == MSGPACK_OBJECT_FLOAT64)
		*out = o->via.f64;
	else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		*out = (double)o->via.u64;
	else if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		*out = (double)o->via.i64;
	else
		return dc_frame_err(f, "%s: not a number", key);
	return 0;
}

int
dc_frame_bool(struct dc_frame *f, const char *key, int *out)
{
	const msgpack_object *o = want(f, key);

	if (!o)
		return -1;
	if (o->type != MSGPACK_OBJECT_BOOLEAN)
		return dc_frame_err(f, "%s: not true or false", key);
	*out = o->via.boolean;
	return 0;
}

int
dc_frame_str(struct dc_frame *f, const char *key, struct dc_str *out)
{
	const msgpack_object *o = want(f, key);

	if (!o)
		return -1;
	if (o->type != MSGPACK_OBJECT_STR)
		return dc_frame_err(f, "%s: not a string", key);
	return bytes_of(o, out);
}

int
dc_frame_array(struct dc_frame *f, const char *key, const msgpack_object **out, size_t *n)
{
	const msgpack_object *o = want(f, key);

	if (!o)
		return -1;
	if (o->type != MSGPACK_OBJECT_ARRAY)
		return dc_frame_err(f, "%s: not an array", key);
	*out = o;
	*n = o->via.array.size;
	return 0;
}

int
dc_frame_strs(struct dc_frame *f, const char *key, const struct dc_str **out, size_t *n)
{
	const msgpack_object *a;
	struct dc_str *s;

	DC_TRY(dc_frame_array(f, key, &a, n));
	if (!(s = msgpack_zone_malloc(&f->zone, (*n + 1) * sizeof *s)))
		return dc_err_set("out of memory");
	for (size_t i = 0; i < *n; i++) {
		if (a->via.array.ptr[i].type != MSGPACK_OBJECT_STR)
			return dc_frame_err(f, "%s: element %zu is not a string", key, i);
		bytes_of(&a->via.array.ptr[i], &s[i]);
	}
	*out = s;
	return 0;
}

int
dc_frame_part(struct dc_frame *f, int64_t *i, int64_t *n)
{
	const msgpack_object *a, *p;
	size_t size;

	*i = 0;
	*n = 1;
	if (!dc_frame_get(f, "part"))
		return 0;
	DC_TRY(dc_frame_array(f, "part", &a, &size));
	p = a->via.array.ptr;
	if (size != 2 || p[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER || p[1].type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
	    p[0].via.u64 >= p[1].via.u64 || p[1].via.u64 > 1 << 20)
		return dc_frame_err(f, "part: must be [i, n] with 0 <= i < n");
	*i = p[0].via.i64;
	*n = p[1].via.i64;
	return 0;
}
