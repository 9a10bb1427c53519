/* SPDX-License-Identifier: MIT */
/* The frame reader. The first byte tells what the rest is: 0 a stream as it is; 1 a body, which gets a right header and
 * trailer, or no mutation would ever come past the checksum; 2 two such bodies, the parts of one batch. */
#include <xxhash.h>

#include "stream/gather.h"
#include "stream/stream.h"
#include "tests/fuzz/fuzz.h"

/* One value asked for as everything that it might be. */
static void
ask(struct dc_frame *f, const char *key)
{
	const struct dc_str *strs;
	const msgpack_object *a;
	struct dc_tensor t;
	struct dc_str s;
	int64_t x;
	double d;
	size_t n;
	int b;

	if (dc_frame_tensor_any(f, key, &t) == 0) {
		FUZZ_CHECK((t.data == NULL) == (t.file != NULL));
		FUZZ_CHECK(!t.data || (uintptr_t)t.data % 64 == 0);
		FUZZ_CHECK(!t.file || (!strchr(t.file, '/') && t.file[0] && t.file[0] != '.'));
		fuzz_touch(t.data, t.data ? t.bytes : 0);
	}
	if (dc_frame_tensor(f, key, DC_F32, 2, &t) == 0)
		FUZZ_CHECK(t.type == DC_F32 && t.ndim == 2);
	if (dc_frame_str(f, key, &s) == 0)
		fuzz_touch(s.p, s.n);
	if (dc_frame_strs(f, key, &strs, &n) == 0)
		for (size_t i = 0; i < n; i++)
			fuzz_touch(strs[i].p, strs[i].n);
	if (dc_frame_array(f, key, &a, &n) == 0)
		for (size_t i = 0; i < n; i++)
			if (dc_object_is_tensor(&a->via.array.ptr[i]) && dc_object_tensor(f, key, &a->via.array.ptr[i], &t) == 0)
				fuzz_touch(t.data, t.data ? t.bytes : 0);
	(void)!dc_frame_int(f, key, &x);
	(void)!dc_frame_double(f, key, &d);
	(void)!dc_frame_bool(f, key, &b);
}

static char *
key_of(const msgpack_object *o)
{
	return o->type == MSGPACK_OBJECT_STR ? dc_xstrndup(o->via.str.size ? o->via.str.ptr : "", o->via.str.size) : NULL;
}

static void
ask_all(struct dc_frame *f)
{
	int64_t i, n;

	for (uint32_t k = 0; k < f->root.via.map.size; k++) {
		char *key = key_of(&f->root.via.map.ptr[k].key);
		if (key)
			ask(f, key);
		free(key);
	}
	if (dc_frame_part(f, &i, &n) == 0)
		FUZZ_CHECK(i >= 0 && i < n);
}

/* The frame's values written into a frame of ours, and that one read. */
static int
copy(struct dc_frame *f, struct dc_frame *to, struct fuzz_file *file)
{
	struct dc_body b = { 0 };
	struct dc_out out;
	static struct dc_in in;

	for (uint32_t k = 0; k < f->root.via.map.size; k++) {
		char *key = key_of(&f->root.via.map.ptr[k].key);
		dc_put_object(&b, key, f, &f->root.via.map.ptr[k].val);
		free(key);
	}
	*file = fuzz_file("", 0);
	FUZZ_CHECK(dc_out_init(&out, file->fd, "copy") == 0);
	FUZZ_CHECK(dc_frame_write(&out, "copy", f->step, &b) == DC_FRAME && lseek(file->fd, 0, SEEK_SET) == 0);
	dc_body_free(&b);
	dc_in_init(&in, file->fd, "copy");
	return dc_frame_read(&in, to);
}

/* What is copied can be read, and its copy has the same bytes. */
static void
round_trip(struct dc_frame *f)
{
	struct dc_frame a = { 0 }, b = { 0 };
	struct fuzz_file x, y;

	FUZZ_CHECK(copy(f, &a, &x) == DC_FRAME);
	FUZZ_CHECK(copy(&a, &b, &y) == DC_FRAME);
	FUZZ_CHECK(a.bytes == b.bytes && !memcmp(a.body, b.body, a.bytes));
	dc_frame_free(&a);
	dc_frame_free(&b);
	close(x.fd);
	close(y.fd);
}

static void
read_all(int fd, struct dc_gather *g)
{
	static struct dc_in in;
	struct dc_frame f = { 0 };

	dc_in_init(&in, fd, "fuzz");
	while (dc_frame_read(&in, &f) == DC_FRAME) {
		ask_all(&f);
		round_trip(&f);
		if (g && dc_gather_add(g, &f) < 0)
			break;
	}
	dc_frame_free(&f);
}

/* Every key of the first part, joined. */
static void
join(struct dc_gather *g)
{
	struct dc_body b = { 0 };

	if (!dc_gather_whole(g))
		return;
	for (uint32_t k = 0; k < g->part[0].root.via.map.size; k++) {
		char *key = key_of(&g->part[0].root.via.map.ptr[k].key);
		if (key && dc_gather_put(&b, g, key) < 0) {
			free(key);
			break;
		}
		free(key);
	}
	fuzz_touch(b.p, b.n);
	dc_body_free(&b);
}

/* The bytes of a frame with this body. */
static size_t
wrap(uint8_t *to, const uint8_t *body, size_t n)
{
	static const uint8_t head[] = { 0x94, 0xa4, 'd', 'c', 's', '1', 0xa4, 'k', 'i', 'n', 'd', 7, 0xce };
	const uint64_t sum = XXH3_64bits(body, n);
	uint8_t *p = to;

	memcpy(p, head, sizeof head);
	p += sizeof head;
	for (int i = 3; i >= 0; i--)
		*p++ = (uint8_t)(n >> 8 * i);
	memcpy(p, body, n);
	p += n;
	*p++ = 0xcf;
	for (int i = 7; i >= 0; i--)
		*p++ = (uint8_t)(sum >> 8 * i);
	return (size_t)(p - to);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct dc_gather g = { 0 };
	struct fuzz_file file;
	uint8_t *stream;
	size_t bytes, half = 0;

	if (n < 3)
		return 0;
	stream = malloc(n + 100);
	if (p[0] == 2) {
		half = p[1] | (size_t)p[2] << 8;
		half = half < n - 3 ? half : n - 3;
		bytes = wrap(stream, p + 3, half);
		bytes += wrap(stream + bytes, p + 3 + half, n - 3 - half);
	} else if (p[0] == 1) {
		bytes = wrap(stream, p + 1, n - 1);
	} else {
		memcpy(stream, p + 1, bytes = n - 1);
	}
	file = fuzz_file(stream, bytes);
	read_all(file.fd, p[0] == 2 ? &g : NULL);
	join(&g);
	dc_gather_free(&g);
	close(file.fd);
	free(stream);
	return 0;
}
