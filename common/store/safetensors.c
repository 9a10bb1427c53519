/* SPDX-License-Identifier: MIT */
#include "store/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALIGN = 64, PREFIX = 8 };                /* of the data; bytes before the JSON header */
static const uint64_t header_max = 100 << 20;   /* bytes; the reference reader's limit */

static const struct { enum dc_type type; const char *name; } types[] = {
	{ DC_U8, "U8" }, { DC_I32, "I32" }, { DC_I64, "I64" }, { DC_U64, "U64" }, { DC_F32, "F32" }, { DC_F64, "F64" },
	{ DC_F16, "F16" }, { DC_BF16, "BF16" },
};
enum { N_TYPES = sizeof(types) / sizeof(*types) };

static const char *
type_name(enum dc_type t)
{
	for (int i = 0; i < N_TYPES; i++)
		if (types[i].type == t)
			return types[i].name;
	return "?";
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct dc_st_tensor *)a)->name, ((const struct dc_st_tensor *)b)->name);
}

/* --- reading --- */

/* Where a tensor's bytes lie in the data; only while opening. */
struct span { uint64_t begin, end; const char *name; };

static int
by_begin(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

static int
parse_shape(const struct dc_st *st, struct dc_st_tensor *t, const json_t *shape)
{
	DC_CHECK(json_is_array(shape), "%s: tensor %s: no shape", st->path, t->name);
	DC_CHECK(json_array_size(shape) <= DC_MAX_DIMS, "%s: tensor %s: %zu dimensions, at most %d are read", st->path,
	    t->name, json_array_size(shape), DC_MAX_DIMS);
	t->ndim = (int)json_array_size(shape);
	t->n = 1;
	for (int i = 0; i < t->ndim; i++) {
		const json_t *v = json_array_get(shape, (size_t)i);

		DC_CHECK(json_is_integer(v) && json_integer_value(v) >= 0, "%s: tensor %s: dimension %d is not a size",
		    st->path, t->name, i);
		t->shape[i] = json_integer_value(v);
		DC_CHECK(!__builtin_mul_overflow(t->n, (size_t)t->shape[i], &t->n), "%s: tensor %s: its shape overflows",
		    st->path, t->name);
	}
	DC_CHECK(!__builtin_mul_overflow(t->n, dc_type_size(t->type), &t->bytes), "%s: tensor %s: its shape overflows",
	    st->path, t->name);
	return 0;
}

static int
parse_type(const struct dc_st *st, struct dc_st_tensor *t, const json_t *dtype)
{
	const char *s = json_string_value(dtype);

	DC_CHECK(s, "%s: tensor %s: no dtype", st->path, t->name);
	for (int i = 0; i < N_TYPES; i++)
		if (!strcmp(types[i].name, s)) {
			t->type = types[i].type;
			return 0;
		}
	return dc_err_set("%s: tensor %s has type %.20s; read are F32, F16, BF16, F64, U8, I32, I64, U64", st->path, t->name, s);
}

static int
parse_span(const struct dc_st *st, const struct dc_st_tensor *t, const json_t *offsets, struct span *s)
{
	const json_t *b = json_array_get(offsets, 0), *e = json_array_get(offsets, 1);

	DC_CHECK(json_array_size(offsets) == 2 && json_is_integer(b) && json_is_integer(e) && json_integer_value(b) >= 0 &&
	    json_integer_value(e) >= json_integer_value(b), "%s: tensor %s: bad data_offsets", st->path, t->name);
	s->begin = (uint64_t)json_integer_value(b);
	s->end = (uint64_t)json_integer_value(e);
	s->name = t->name;
	DC_CHECK(s->end - s->begin == t->bytes, "%s: tensor %s: its shape needs %zu bytes, its data_offsets span %llu",
	    st->path, t->name, t->bytes, (unsigned long long)(s->end - s->begin));
	return 0;
}

static int
parse_meta(struct dc_st *st, json_t *meta)
{
	const char *key;
	json_t *v;

	DC_CHECK(json_is_object(meta), "%s: __metadata__ is not a map", st->path);
	st->meta = dc_xcalloc(json_object_size(meta) + 1, sizeof(*st->meta));
	json_object_foreach(meta, key, v) {
		DC_CHECK(json_is_string(v), "%s: metadata %.60s is not a string", st->path, key);
		st->meta[st->n_meta].key = dc_xstrdup(key);
		st->meta[st->n_meta++].value = dc_xstrdup(json_string_value(v));
	}
	return 0;
}

/* The data must be covered from its first byte to its last, each byte once. */
static int
check_cover(const struct dc_st *st, struct span *span, uint64_t bytes)
{
	uint64_t at = 0;

	qsort(span, (size_t)st->n, sizeof(*span), by_begin);
	for (int i = 0; i < st->n; i++) {
		DC_CHECK(span[i].end <= bytes, "%s: tensor %s ends at byte %llu of the data, the file has %llu", st->path,
		    span[i].name, (unsigned long long)span[i].end, (unsigned long long)bytes);
		DC_CHECK(span[i].begin >= at, "%s: tensor %s overlaps another", st->path, span[i].name);
		DC_CHECK(span[i].begin == at, "%s: %llu bytes before tensor %s belong to no tensor", st->path,
		    (unsigned long long)(span[i].begin - at), span[i].name);
		at = span[i].end;
	}
	DC_CHECK(at == bytes, "%s: %llu bytes after the last tensor", st->path, (unsigned long long)(bytes - at));
	return 0;
}

/* Kernels want elements at their natural alignment; a file of ours has 64 bytes, one from elsewhere perhaps not. */
static int
place(struct dc_st *st, struct dc_st_tensor *t, unsigned char *data, enum dc_st_mode mode)
{
	void *copy;

	t->data = data;
	if ((uintptr_t)data % dc_type_size(t->type) == 0)
		return 0;
	DC_CHECK(mode == DC_ST_READ, "%s: tensor %s is not aligned to its type", st->path, t->name);
	copy = dc_xaligned(t->bytes ? t->bytes : 1, 1);
	memcpy(copy, data, t->bytes);
	t->data = copy;
	return 0;
}

static int
parse_tensors(struct dc_st *st, json_t *root, unsigned char *data, uint64_t bytes, enum dc_st_mode mode)
{
	struct span *span = dc_xcalloc(json_object_size(root) + 1, sizeof(*span));
	const char *key;
	json_t *v;
	int r = -1;

	st->t = dc_xcalloc(json_object_size(root) + 1, sizeof(*st->t));
	json_object_foreach(root, key, v) {
		struct dc_st_tensor *t = &st->t[st->n];

		if (!strcmp(key, "__metadata__")) {
			if (parse_meta(st, v) < 0)
				goto out;
			continue;
		}
		t->name = dc_xstrdup(key);
		st->n++;
		if (parse_type(st, t, json_object_get(v, "dtype")) < 0 ||
		    parse_shape(st, t, json_object_get(v, "shape")) < 0 ||
		    parse_span(st, t, json_object_get(v, "data_offsets"), &span[st->n - 1]) < 0)
			goto out;
		t->data = NULL;
	}
	/* before check_cover sorts the spans: tensor i lies at span[i] */
	for (int i = 0; i < st->n; i++)
		if (span[i].end <= bytes && place(st, &st->t[i], data + span[i].begin, mode) < 0)
			goto out;
	r = check_cover(st, span, bytes);
	qsort(st->t, (size_t)st->n, sizeof(*st->t), by_name);
out:
	free(span);
	return r;
}

static int
parse_header(struct dc_st *st, enum dc_st_mode mode)
{
	unsigned char *p = st->map;
	uint64_t len = 0;
	json_error_t err;
	json_t *root;
	int r;

	for (int i = PREFIX - 1; i >= 0; i--)
		len = len << 8 | p[i];
	DC_CHECK(len <= header_max && len <= st->map_bytes - PREFIX,
	    "%s: not a safetensors file, or damaged: its header would be %llu bytes of %zu", st->path,
	    (unsigned long long)len, st->map_bytes);
	root = json_loadb((const char *)p + PREFIX, len, JSON_REJECT_DUPLICATES, &err);
	DC_CHECK(root, "%s: header: %s (byte %d)", st->path, err.text, err.position);
	if (json_is_object(root))
		r = parse_tensors(st, root, p + PREFIX + len, st->map_bytes - PREFIX - len, mode);
	else
		r = dc_err_set("%s: header: not a map of tensors", st->path);
	json_decref(root);
	return r;
}

static int
map_file(struct dc_st *st, int dirfd, const char *name, enum dc_st_mode mode)
{
	int prot = mode == DC_ST_WRITE ? PROT_READ | PROT_WRITE : PROT_READ;
	int fd = openat(dirfd, name, (mode == DC_ST_WRITE ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat sb;
	int r = -1;

	if (fd < 0)
		return dc_err_errno("%s", st->path);
	if (fstat(fd, &sb) < 0)
		r = dc_err_errno("%s", st->path);
	else if (!S_ISREG(sb.st_mode))
		r = dc_err_set("%s: not a regular file", st->path);
	else if (sb.st_size < PREFIX)
		r = dc_err_set("%s: not a safetensors file: %lld bytes", st->path, (long long)sb.st_size);
	else {
		/* shared also when only read: the parameters change under the encoder's eyes, from frame to frame */
		void *p = mmap(NULL, (size_t)sb.st_size, prot, MAP_SHARED, fd, 0);

		if (p == MAP_FAILED)
			r = dc_err_errno("%s: mmap", st->path);
		else {
			st->map = p;
			st->map_bytes = (size_t)sb.st_size;
			r = 0;
		}
	}
	close(fd);
	return r;
}

int
dc_st_open(struct dc_st *st, int dirfd, const char *name, enum dc_st_mode mode)
{
	memset(st, 0, sizeof(*st));
	st->path = dc_xstrdup(name);
	if (map_file(st, dirfd, name, mode) == 0 && parse_header(st, mode) == 0)
		return 0;
	dc_st_close(st);
	return -1;
}

void
dc_st_close(struct dc_st *st)
{
	unsigned char *lo = st->map, *hi = lo ? lo + st->map_bytes : NULL;

	for (int i = 0; i < st->n; i++) {
		unsigned char *d = st->t[i].data;

		if (d && !(d >= lo && d <= hi))   /* an aligned copy */
			free(d);
		free(st->t[i].name);
	}
	for (int i = 0; i < st->n_meta; i++) {
		free(st->meta[i].key);
		free(st->meta[i].value);
	}
	free(st->t);
	free(st->meta);
	free(st->path);
	if (st->map)
		munmap(st->map, st->map_bytes);
	memset(st, 0, sizeof(*st));
}

const struct dc_st_tensor *
dc_st_find(const struct dc_st *st, const char *name)
{
	for (int lo = 0, hi = st->n; lo < hi;) {
		int mid = lo + (hi - lo) / 2, c = strcmp(name, st->t[mid].name);

		if (c == 0)
			return &st->t[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

const char *
dc_st_meta(const struct dc_st *st, const char *key)
{
	for (int i = 0; i < st->n_meta; i++)
		if (!strcmp(st->meta[i].key, key))
			return st->meta[i].value;
	return NULL;
}

/* --- writing --- */

/* The order of the data: multiples of 64 bytes first, then the wider types, so that all are aligned to their type. */
static int
rank(const struct dc_st_tensor *t)
{
	return t->bytes % ALIGN == 0 ? 0 : 16 - (int)dc_type_size(t->type);
}

static int
measure(const char *path, struct dc_st_tensor *t)
{
	DC_CHECK(t->ndim >= 0 && t->ndim <= DC_MAX_DIMS, "%s: tensor %s: %d dimensions", path, t->name, t->ndim);
	t->n = 1;
	for (int i = 0; i < t->ndim; i++)
		DC_CHECK(t->shape[i] >= 0 && !__builtin_mul_overflow(t->n, (size_t)t->shape[i], &t->n),
		    "%s: tensor %s: its shape overflows", path, t->name);
	DC_CHECK(!__builtin_mul_overflow(t->n, dc_type_size(t->type), &t->bytes), "%s: tensor %s: its shape overflows", path,
	    t->name);
	return 0;
}

/* A copy of the table in the order of the data, sizes filled in. NULL after dc_err_set. */
static struct dc_st_tensor *
ordered(const char *path, const struct dc_st_tensor *t, int n)
{
	struct dc_st_tensor *own = dc_xcalloc((size_t)n + 1, sizeof(*own)), *o = dc_xcalloc((size_t)n + 1, sizeof(*o));
	int k = 0;

	for (int i = 0; i < n; i++) {
		own[i] = t[i];
		if (measure(path, &own[i]) < 0) {
			free(own);
			free(o);
			return NULL;
		}
	}
	for (int want = 0; want <= 16; want++)   /* a stable sort by rank */
		for (int i = 0; i < n; i++)
			if (rank(&own[i]) == want)
				o[k++] = own[i];
	free(own);
	return o;
}

static json_t *
tensor_json(const struct dc_st_tensor *t, uint64_t at)
{
	json_t *shape = json_array();

	for (int i = 0; i < t->ndim; i++)
		json_array_append_new(shape, json_integer(t->shape[i]));
	return json_pack("{s:s, s:o, s:[I,I]}", "dtype", type_name(t->type), "shape", shape, "data_offsets",
	    (json_int_t)at, (json_int_t)(at + t->bytes));
}

/* Length and JSON, padded with spaces to a multiple of ALIGN. NULL if a name is no UTF-8 or comes twice. */
static char *
header(const struct dc_st_tensor *t, int n, const struct dc_st_meta *meta, int n_meta, size_t *bytes, uint64_t *data)
{
	json_t *root = json_object(), *m = json_object();
	char *text = NULL, *h = NULL;
	uint64_t len;
	int bad = 0;

	for (int i = 0; i < n_meta; i++)
		bad |= json_object_set_new(m, meta[i].key, json_string(meta[i].value)) < 0;
	if (n_meta)
		json_object_set(root, "__metadata__", m);
	*data = 0;
	for (int i = 0; i < n; i++) {
		bad |= json_object_get(root, t[i].name) || json_object_set_new(root, t[i].name, tensor_json(&t[i], *data)) < 0;
		*data += t[i].bytes;
	}
	if (!bad)
		text = json_dumps(root, JSON_COMPACT);
	json_decref(m);
	json_decref(root);
	if (!text)
		return NULL;
	*bytes = (PREFIX + strlen(text) + ALIGN - 1) / ALIGN * ALIGN;
	len = *bytes - PREFIX;
	h = dc_xmalloc(*bytes);
	memset(h, ' ', *bytes);
	memcpy(h + PREFIX, text, strlen(text));
	for (int i = 0; i < PREFIX; i++)
		h[i] = (char)(len >> 8 * i & 0xff);
	free(text);
	return h;
}

static int
write_at(int fd, const char *path, const void *p, size_t n, off_t at)
{
	for (const char *c = p; n > 0;) {
		ssize_t k = pwrite(fd, c, n, at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return dc_err_errno("%s: write", path);
		c += k;
		at += k;
		n -= (size_t)k;
	}
	return 0;
}

static int
write_file(int fd, const char *path, const char *head, size_t head_bytes, uint64_t data, const struct dc_st_tensor *t,
    int n, int sync)
{
	off_t at = (off_t)head_bytes;
	int e;

	do
		e = posix_fallocate(fd, 0, at + (off_t)data);
	while (e == EINTR);
	if (e) {
		errno = e;
		return dc_err_errno("%s: cannot reserve %llu bytes", path, (unsigned long long)at + data);
	}
	DC_TRY(write_at(fd, path, head, head_bytes, 0));
	for (int i = 0; i < n; i++) {
		if (t[i].data)
			DC_TRY(write_at(fd, path, t[i].data, t[i].bytes, at));
		at += (off_t)t[i].bytes;
	}
	if (sync && fsync(fd) < 0)
		return dc_err_errno("%s: fsync", path);
	return 0;
}

int
dc_st_create(int dirfd, const char *name, unsigned mode, const struct dc_st_tensor *t, int n,
    const struct dc_st_meta *meta, int n_meta, int sync)
{
	struct dc_st_tensor *o = ordered(name, t, n);
	char *head = NULL;
	size_t head_bytes;
	uint64_t data;
	int fd = -1, r = -1;

	if (!o)
		return -1;
	if (!(head = header(o, n, meta, n_meta, &head_bytes, &data))) {
		dc_err_set("%s: a tensor's name or the metadata is not UTF-8, or comes twice", name);
		goto out;
	}
	fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0) {
		dc_err_errno("%s", name);
		goto out;
	}
	r = write_file(fd, name, head, head_bytes, data, o, n, sync);
	if (close(fd) < 0 && r == 0)
		r = dc_err_errno("%s", name);
	if (r < 0)
		unlinkat(dirfd, name, 0);
out:
	free(head);
	free(o);
	return r;
}

void
dc_st_shape_text(char *s, size_t n, int ndim, const int64_t *shape)
{
	size_t at = 0;

	s[0] = 0;
	for (int i = 0; i < ndim && at < n; i++)
		at += (size_t)snprintf(s + at, n - at, "%s%lld", i ? "," : "", (long long)shape[i]);
}
