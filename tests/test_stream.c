/* SPDX-License-Identifier: MIT */
/* common/stream: values round-trip, data are aligned, hostile bodies and headers are refused with a message, waits end
 * when a neighbour dies or another input calls. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "stream/check.h"
#include "stream/stream.h"
#include "tap.h"

struct bytes { unsigned char p[8192]; size_t n; };

static struct dc_in in;
static struct dc_frame f;

/* --- raw frames, made by hand --- */

static void
add(struct bytes *b, const void *p, size_t n)
{
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void
add_u64(struct bytes *b, uint64_t x)
{
	unsigned char p[9] = { 0xcf };

	for (int i = 0; i < 8; i++)
		p[1 + i] = (unsigned char)(x >> 8 * (7 - i));
	add(b, p, 9);
}

/* A frame of kind "k" around these bytes, with a right checksum. */
static struct bytes
frame_of(const void *body, size_t n)
{
	struct bytes b = { .n = 0 };

	add(&b, "\x94\xa4" "dcs1" "\xa1k\x07", 9);
	add_u64(&b, n);
	add(&b, body, n);
	add_u64(&b, XXH3_64bits(body, n));
	return b;
}

/* Read once from a pipe that holds these bytes and has no writer any more. */
static int
read_bytes(const void *p, size_t n)
{
	int fd[2], r;

	if (pipe(fd) < 0 || write(fd[1], p, n) != (ssize_t)n)
		abort();
	close(fd[1]);
	dc_in_init(&in, fd[0], "<test>");
	r = dc_frame_read(&in, &f);
	close(fd[0]);
	return r;
}

static int
read_body(const void *body, size_t n)
{
	struct bytes b = frame_of(body, n);

	return read_bytes(b.p, b.n);
}

static int
said(const char *what)
{
	if (strstr(dc_err(), what))
		return 1;
	printf("#   said: %s\n", dc_err());
	return 0;
}

/* Write body as a frame to a file, read it back into f. */
static int
round_trip(struct dc_body *b)
{
	FILE *fp = tmpfile();
	struct dc_out out;
	int r;

	if (!fp || dc_out_init(&out, fileno(fp), "<file>") < 0)
		abort();
	r = dc_frame_write(&out, "views", 1234567890123u, b);
	if (r == DC_FRAME) {
		lseek(fileno(fp), 0, SEEK_SET);
		dc_in_init(&in, fileno(fp), "<file>");
		r = dc_frame_read(&in, &f);
	}
	fclose(fp);
	return r;
}

/* --- values --- */

static void
test_tensors(void)
{
	enum { N = 35 };
	struct dc_body b = { 0 };
	double data[N];
	int64_t shape[3] = { 5, 1, 7 };
	char key[16];

	for (int i = 0; i < N; i++)
		data[i] = i * 0.37 - 3;
	for (int t = DC_U8; t <= DC_F64; t++) {
		dc_put_str(&b, "s", &"shift the next tensor by a few bytes"[t]);
		snprintf(key, sizeof key, "t%d", t);
		dc_put_data(&b, key, (enum dc_type)t, 3, shape, data);
	}
	dc_put_data(&b, "empty", DC_F32, 2, (int64_t[]){ 0, 4 }, NULL);
	dc_put_data(&b, "scalar", DC_I32, 0, NULL, &(int32_t){ -7 });
	dc_put_ref(&b, "ref", DC_F32, 2, (int64_t[]){ 3, 4 }, "gradients.safetensors", "visual.proj");
	ok(round_trip(&b) == DC_FRAME, "tensors of every type are written and read");
	ok(!strcmp(f.kind, "views") && f.step == 1234567890123u && f.number == 1 && f.offset == 0, "kind, step, number, offset");
	for (int t = DC_U8; t <= DC_F64; t++) {
		struct dc_tensor x;

		snprintf(key, sizeof key, "t%d", t);
		ok(dc_frame_tensor(&f, key, (enum dc_type)t, 3, &x) == 0 && x.n == N && x.shape[0] == 5 && x.shape[2] == 7 &&
		    x.bytes == N * dc_type_size((enum dc_type)t) && !memcmp(x.data, data, x.bytes), "%s: shape and data",
		    dc_type_name((enum dc_type)t));
		ok((uintptr_t)x.data % 64 == 0, "its data are 64-byte aligned in memory");
		ok(((const unsigned char *)x.data - f.body) % 64 == 0, "and in the body, so they were not copied");
		ok(dc_frame_tensor(&f, key, t == DC_U8 ? DC_I32 : DC_U8, 3, &x) < 0 && said("wanted"), "another type is an error");
		ok(dc_frame_tensor(&f, key, (enum dc_type)t, 2, &x) < 0 && said("<file>: frame 1 (views) at byte 0: "),
		    "another count of dimensions too, and the place is told");
	}
	struct dc_tensor x;
	ok(dc_frame_tensor(&f, "empty", DC_F32, 2, &x) == 0 && x.n == 0 && x.bytes == 0 && x.shape[1] == 4, "an empty tensor");
	ok(dc_frame_tensor(&f, "scalar", DC_I32, 0, &x) == 0 && x.n == 1 && *(const int32_t *)x.data == -7, "a scalar one");
	ok(dc_frame_tensor(&f, "ref", DC_F32, -1, &x) == 0 && !x.data && !strcmp(x.file, "gradients.safetensors") &&
	    !strcmp(x.name, "visual.proj") && x.n == 12, "a reference");
	ok(dc_frame_tensor_any(&f, "none", &x) < 0 && said("has no 'none'"), "a key that is missing");
	dc_body_free(&b);
}

static void
test_scalars(void)
{
	static const int64_t ints[] = { 0, 1, 127, 128, 65536, INT64_MAX, -1, -32, -33, -129, INT32_MIN, INT64_MIN };
	enum { N_INTS = sizeof ints / sizeof *ints };
	struct dc_body b = { 0 };
	const msgpack_object *a;
	const struct dc_str *strs;
	struct dc_str s;
	int64_t i, n, bad = 0;
	double d;
	size_t k;
	int yes, no;

	dc_put_array(&b, "ints", N_INTS);
	for (size_t j = 0; j < N_INTS; j++)
		dc_put_int(&b, NULL, ints[j]);
	dc_put_int(&b, "min", INT64_MIN);
	dc_put_double(&b, "pi", 3.14159265358979);
	dc_put_bool(&b, "yes", 1);
	dc_put_bool(&b, "no", 0);
	dc_put_str(&b, "s", "caf\xc3\xa9");
	dc_put_array(&b, "strs", 3);
	dc_put_str(&b, NULL, "");
	dc_put_strn(&b, NULL, "a\0b", 3);
	dc_put_str(&b, NULL, "\xf0\x9f\x90\x95");
	dc_put_map(&b, "map", 2);
	dc_put_double(&b, "clip", -0.5);
	dc_put_map(&b, "inner", 1);
	dc_put_int(&b, "x", 1);
	dc_put_part(&b, 2, 5);
	ok(round_trip(&b) == DC_FRAME, "numbers, strings, arrays and maps");
	ok(f.root.via.map.size == 9, "nested entries are not counted as the body's: %u", f.root.via.map.size);
	ok(dc_frame_array(&f, "ints", &a, &k) == 0 && k == N_INTS, "an array");
	for (size_t j = 0; j < N_INTS; j++)
		bad += a->via.array.ptr[j].via.i64 != ints[j];
	ok(!bad, "of integers of every length");
	ok(dc_frame_int(&f, "min", &i) == 0 && i == INT64_MIN, "an int");
	ok(dc_frame_double(&f, "pi", &d) == 0 && d == 3.14159265358979, "a double, exactly");
	ok(dc_frame_double(&f, "min", &d) == 0 && d == -0x1p63, "an int is a double too");
	ok(dc_frame_bool(&f, "yes", &yes) == 0 && yes && dc_frame_bool(&f, "no", &no) == 0 && !no, "true and false");
	ok(dc_frame_str(&f, "s", &s) == 0 && s.n == 5 && !memcmp(s.p, "caf\xc3\xa9", 5), "a string");
	ok(dc_frame_strs(&f, "strs", &strs, &k) == 0 && k == 3 && !strs[0].n && strs[1].n == 3 && strs[2].n == 4, "strings");
	ok(dc_frame_part(&f, &i, &n) == 0 && i == 2 && n == 5, "part");
	ok(dc_frame_int(&f, "pi", &i) < 0 && said("pi"), "a double is no int");
	ok(dc_frame_str(&f, "min", &s) < 0 && dc_frame_strs(&f, "ints", &strs, &k) < 0 && said("element 0"), "ints are no strings");
	ok(dc_frame_bool(&f, "min", &yes) < 0 && dc_frame_double(&f, "s", &d) < 0 && dc_frame_array(&f, "s", &a, &k) < 0,
	    "nor are others what they are not");
	dc_body_free(&b);
}

static void
test_copy(void)
{
	static const char *const keys[] = { "list", "map", "x", "ref", "part" };
	struct dc_body b = { 0 }, c = { 0 };
	struct dc_tensor t;
	float x[6] = { 1, 2, 3, 4, 5, 6 };
	size_t n;

	dc_put_array(&b, "list", 2);
	dc_put_data(&b, NULL, DC_F32, 2, (int64_t[]){ 2, 3 }, x);
	dc_put_str(&b, NULL, "str");
	dc_put_map(&b, "map", 1);
	dc_put_data(&b, "in", DC_F32, 1, (int64_t[]){ 6 }, x);
	dc_put_data(&b, "x", DC_F32, 1, (int64_t[]){ 6 }, x);
	dc_put_ref(&b, "ref", DC_F32, 1, (int64_t[]){ 6 }, "a.safetensors", "n");
	dc_put_part(&b, 0, 1);
	n = b.n;
	if (round_trip(&b) != DC_FRAME)
		abort();
	for (int i = 0; i < 5; i++)
		dc_put_copy(&c, &f, keys[i]);
	dc_put_copy(&c, &f, "absent");
	for (int i = 0; c.n && i < 4; i++) /* as dc_frame_write does */
		c.p[1 + i] = (unsigned char)(c.entries >> 8 * (3 - i));
	ok(c.n == n && !memcmp(c.p, f.body, n), "copied values are the same bytes");
	dc_put_int(&c, "ahead", 300);
	dc_put_copy(&c, &f, "x");
	ok(round_trip(&c) == DC_FRAME && f.root.via.map.size == 7, "and can be put elsewhere");
	ok(dc_frame_tensor(&f, "x", DC_F32, 1, &t) == 0 && ((const unsigned char *)t.data - f.body) % 64 == 0, "aligned anew");
	dc_body_free(&b);
	dc_body_free(&c);
}

static void
test_empty(void)
{
	struct dc_body b = { 0 };

	ok(round_trip(&b) == DC_FRAME && f.root.via.map.size == 0, "an empty body");
	dc_put_int(&b, "a", 1);
	ok(round_trip(&b) == DC_FRAME && f.root.via.map.size == 1 && b.n == 0, "a body is empty again after its frame");
	dc_body_free(&b);
}

/* --- hostile bodies --- */

#define BODY(s) s, sizeof s - 1

static void
test_hostile_bodies(void)
{
	static const struct { const char *p; size_t n; const char *what, *says; } bad[] = {
		{ BODY("\x81\xa1k\xdd\xff\xff\xff\xff"), "an array of 2^32-1 items in five bytes", "4294967295 items" },
		{ BODY("\xdf\xff\xff\xff\xff"), "a body of 2^32-1 entries", "4294967295 items" },
		{ BODY("\x81\xa1k\xdf\x7f\xff\xff\xff\xa1x\x01"), "a map of 2^31-1 entries", "2147483647 items" },
		{ BODY("\x81\xa1k\xdc\xff\xff"), "an array of 2^16-1 items", "65535 items" },
		{ BODY("\x81\xa1k\xc6\xff\xff\xff\xff"), "4 GiB of bytes", "value of 4294967295 bytes" },
		{ BODY("\x81\xa1k\xdb\x00\x00\x00\x05xxxx"), "a string a byte too long", "value of 5 bytes" },
		{ BODY("\x82\xa1k\x01"), "a map of one entry too many", "items announced" },
		{ BODY("\x82\xa1k\x01\xa1m"), "a key without a value", "cut off" },
		{ BODY("\x81\xa1k\xcd\x01"), "half a number", "value of 2 bytes" },
		{ BODY("\x81\xa1k\xda\x01"), "half a length", "cut off" },
		{ BODY("\x80\xa1k\x01"), "a map of one entry too few", "3 bytes too many" },
		{ BODY("\x81\x01\x02"), "a key that is a number", "not a string" },
		{ BODY("\x81\xc0\x02"), "a key that is nil", "not a string" },
		{ BODY("\x81\xc4\x01k\x02"), "a body's key of bytes", "not a string" },
		{ BODY("\x81\xa1k\x81\x93\x01\x02\x03\x04"), "an inner key that is an array", "not a string" },
		{ BODY("\x93\x01\x02\x03"), "a body that is an array", "not a map" },
		{ BODY("\xc0"), "a body that is nil", "not a map" },
		{ BODY(""), "a body of no bytes", "cut off" },
		{ BODY("\x81\xa1k\xc1"), "the byte that msgpack never uses", "0xc1" },
		{ BODY("\x81\xa1k\xd4\x01\x02"), "an extension type", "extension types" },
		{ BODY("\x81\xa1k\xc9\xff\xff\xff\xff\x01"), "a long extension", "extension types" },
		{ BODY("\x81\xa1k\xa2\xc3\x28"), "a string that is not UTF-8", "not UTF-8" },
		{ BODY("\x81\xa1k\xa2\xc0\xaf"), "an overlong slash", "not UTF-8" },
		{ BODY("\x81\xa1k\xa3\xed\xa0\x80"), "a surrogate", "not UTF-8" },
		{ BODY("\x81\xa1\xff\x01"), "a key that is not UTF-8", "not UTF-8" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ok(read_body(bad[i].p, bad[i].n) == DC_FAIL && said(bad[i].says) && said("<test>: frame 1 (k) at byte 0: "),
		    "%s is refused", bad[i].what);
}

/* depth arrays of one in each other, in a map. */
static int
read_nested(int depth)
{
	struct bytes b = { .n = 0 };

	add(&b, "\x81\xa1k", 3);
	for (int i = 0; i < depth; i++)
		add(&b, "\x91", 1);
	add(&b, "\x01", 1);
	return read_body(b.p, b.n);
}

static void
test_nesting(void)
{
	ok(read_nested(DC_CHECK_DEPTH - 1) == DC_FRAME, "%d levels are read", DC_CHECK_DEPTH);
	ok(read_nested(DC_CHECK_DEPTH) == DC_FAIL && said("nested deeper than 16"), "one more is refused");
	ok(read_nested(4000) == DC_FAIL && said("nested deeper"), "and so are four thousand");
}

/* Hundreds of millions of tiny values fit under the byte limit: they are bounded by number, before memory is spent. */
static void
test_many_values(void)
{
	size_t n = (size_t)DC_CHECK_OBJECTS + 16;
	unsigned char *p = dc_xcalloc(n, 1);

	memcpy(p, "\x81\xa1k\xdd", 4);
	for (int i = 0; i < 4; i++)
		p[4 + i] = (unsigned char)((n - 8) >> 8 * (3 - i));
	ok(dc_check_body(p, n) < 0 && said("more than 4194304 values"), "a body of too many values is refused");
	free(p);
}

/* --- hostile tensors --- */

/* One tensor "x" in a body: type, kind, shape (raw msgpack), data or what stands for it (raw). */
static int
read_tensor(const char *type, const char *kind, const char *shape, size_t n_shape, const char *data, size_t n_data)
{
	struct bytes b = { .n = 0 };
	unsigned char k = (unsigned char)(0xa0 | strlen(type)), c = (unsigned char)strlen(kind);
	struct dc_tensor t;

	add(&b, "\x81\xa1x\x85\xc4\x02nd\xc3\xc4\x04type", 15);
	add(&b, &k, 1);
	add(&b, type, strlen(type));
	add(&b, "\xc4\x04kind\xc4", 7);
	add(&b, &c, 1);
	add(&b, kind, strlen(kind));
	add(&b, "\xc4\x05shape", 7);
	add(&b, shape, n_shape);
	add(&b, "\xc4\x04" "data", 6);
	add(&b, data, n_data);
	if (read_body(b.p, b.n) != DC_FRAME) {
		printf("#   the frame itself: %s\n", dc_err());
		return -2;
	}
	return dc_frame_tensor_any(&f, "x", &t);
}

#define EIGHT BODY("\xc4\x08" "12345678")

static void
test_hostile_tensors(void)
{
	static const struct { const char *type, *kind, *shape; size_t n; const char *what, *says; } bad[] = {
		{ "<f4", "", BODY("\x91\x03"), "data shorter than the shape", "asks for 12 bytes of data has 8" },
		{ "<f4", "", BODY("\x91\x01"), "data longer than the shape", "asks for 4 bytes" },
		{ "<f4", "", BODY("\x91\xff"), "a negative size", "negative or too large" },
		{ "<f4", "", BODY("\x92\xcf\x80\0\0\0\0\0\0\0\x02"), "a size of 2^63", "negative or too large" },
		{ "<f4", "", BODY("\x92\xcf\x7f\xff\xff\xff\xff\xff\xff\xff\x04"), "a product that overflows", "too large" },
		{ "<f8", "", BODY("\x92\xce\x80\0\0\0\xce\x40\0\0\0"), "2^61 elements of eight bytes", "too large" },
		{ "<f4", "", BODY("\x93\xcf\x01\0\0\0\0\0\0\0\xcf\x01\0\0\0\0\0\0\0\x02"), "2^113 elements", "too large" },
		{ "<f4", "", BODY("\x91\xcb\x40\0\0\0\0\0\0\0"), "a size of 2.0", "negative or too large" },
		{ "<f4", "", BODY("\x99\x01\x01\x01\x01\x01\x01\x01\x01\x02"), "nine dimensions", "at most 8" },
		{ "<f4", "", BODY("\x02"), "a shape that is a number", "must be an array" },
		{ ">f4", "", BODY("\x91\x02"), "big-endian floats", "'>f4' is not one of" },
		{ "<f2", "", BODY("\x91\x04"), "half floats", "'<f2' is not one of" },
		{ "|O", "O", BODY("\x91\x01"), "Python objects", "kind 'O' are refused" },
		{ "<f4", "V", BODY("\x91\x02"), "a structured kind", "kind 'V' are refused" },
		{ "<f4x", "", BODY("\x91\x02"), "a type with a tail", "is not one of" },
		{ "", "", BODY("\x91\x02"), "an empty type", "is not one of" },
	};

	ok(read_tensor("<f4", "", BODY("\x91\x02"), EIGHT) == 0, "a tensor made by hand is read");
	ok(read_tensor("<f4", "", BODY("\x92\x02\x01"), EIGHT) == 0, "in two dimensions too");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ok(read_tensor(bad[i].type, bad[i].kind, bad[i].shape, bad[i].n, EIGHT) == -1 && said(bad[i].says) &&
		    said("<test>: frame 1 (k) at byte 0: x: "), "%s: refused", bad[i].what);
	ok(read_tensor("<f4", "", BODY("\x91\x02"), BODY("\x93\x01\x02\x03")) == -1 && said("has 0"), "data that are no bytes");
}

static void
test_bad_references(void)
{
	static const char *const names[] = { "/etc/passwd", "../x", "a/b", "", ".hidden", ".." };
	struct dc_tensor t;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct dc_body b = { 0 };

		dc_put_ref(&b, "x", DC_F32, 1, (int64_t[]){ 2 }, names[i], "n");
		ok(round_trip(&b) == DC_FRAME && dc_frame_tensor_any(&f, "x", &t) < 0 && said("not a bare file name"),
		    "a reference to '%s' is refused", names[i]);
		dc_body_free(&b);
	}
	ok(read_body(BODY("\x81\xa1x\x84\xc4\x02nd\xc3\xc4\x04type\xa3<f4\xc4\x05shape\x91\x02\xc4\x04" "file\xa1" "a")) == DC_FRAME &&
	    dc_frame_tensor_any(&f, "x", &t) < 0 && said("neither data nor file and name"), "a file without a name is refused");
}

/* Keys in any order, no pad, unaligned data, strings for bytes: what other writers do. */
static void
test_other_writers(void)
{
	static const char body[] = "\x82\xa1i\x01\xa1x\x85\xc4\x04" "data\xc4\x08\0\0\x80\x3f\0\0\0\x40\xc4\x05shape\x91\x02\xc4\x04type"
		"\xc4\x03<f4\xc4\x04kind\xa0\xc4\x02nd\xc3";
	struct dc_tensor t;

	ok(read_body(BODY(body)) == DC_FRAME && dc_frame_tensor(&f, "x", DC_F32, 1, &t) == 0, "keys in another order are read");
	ok((uintptr_t)t.data % 64 == 0, "unaligned data get an aligned home");
	ok(((const float *)t.data)[0] == 1 && ((const float *)t.data)[1] == 2, "with their values");
	ok(read_body(BODY("\x81\xa4part\x92\x03\x03")) == DC_FRAME && dc_frame_part(&f, &(int64_t){ 0 }, &(int64_t){ 0 }) < 0 &&
	    said("part"), "part 3 of 3 is refused");
}

/* --- headers and trailers --- */

static void
test_headers(void)
{
	static const struct { const char *p; size_t n; const char *what, *says; } bad[] = {
		{ BODY("\x1f\x8b\x08\x00\x00\x00\x00\x00"), "gzip", "not a dc stream" },
		{ BODY("hello, world\n"), "text", "not a dc stream" },
		{ BODY("\x94\xa4" "dcs2\xa1k\x00\x01"), "version 2", "version 'dcs2'" },
		{ BODY("\x94\xa4" "dcs1\x05\x00\x01"), "a kind that is a number", "bad kind" },
		{ BODY("\x94\xa4" "dcs1\xd9\x20kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\x00\x01"), "a kind of 32 bytes", "bad kind" },
		{ BODY("\x94\xa4" "dcs1\xa2k\0\x00\x01"), "a kind with a NUL", "bad kind" },
		{ BODY("\x94\xa4" "dcs1\xa1k\xff\x01"), "a negative step", "bad step" },
		{ BODY("\x94\xa4" "dcs1\xa1k\x00\xff"), "a negative length", "bad body_bytes" },
		{ BODY("\x94\xa4" "dcs1\xa1k\x00\xcb\0\0\0\0\0\0\0\0"), "a length that is a float", "bad body_bytes" },
		{ BODY("\x94\xa4" "dcs1\xa1k\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "a length of 2^64-1", "the limit is 1073741824" },
		{ BODY("\x94\xa4" "dcs1\xa1k\x00\xce\x40\x00\x00\x01"), "a length a byte over the limit", "the limit is 1073741824" },
		{ BODY("\x94\xa4" "dcs1\xa1k\x00\xce\x40\x00\x00\x00\x80"), "a GiB announced, a byte sent", "1 of 1073741824 bytes" },
		{ BODY("\x94\xa4" "dcs1\xa1k\x00\x01\x80\xa1x"), "a trailer that is a string", "trailer is not" },
		{ BODY("\x94\xa4" "dcs1\xa1k\x00\x01\x80\x00"), "a wrong checksum", "checksum" },
	};
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ok(read_bytes(bad[i].p, bad[i].n) == DC_FAIL && said(bad[i].says), "%s is refused", bad[i].what);
	getrusage(RUSAGE_SELF, &after);
	ok(after.ru_maxrss - before.ru_maxrss < 64 * 1024, "and no lie costs memory: %ld KiB", after.ru_maxrss - before.ru_maxrss);
}

static void
test_truncated(void)
{
	struct bytes b = frame_of(BODY("\x81\xa3key\xa5value"));
	int bad = 0;

	ok(read_bytes(b.p, 0) == DC_EOF, "no bytes: the end");
	for (size_t n = 1; n < b.n; n++)
		bad += read_bytes(b.p, n) != DC_FAIL || !said("truncated");
	ok(!bad, "cut anywhere inside, a frame is truncated (%zu places)", b.n - 1);
	ok(read_bytes(b.p, b.n) == DC_FRAME, "whole, it is read");
	bad = 0;
	for (size_t i = 0; i < b.n; i++)
		for (int bit = 0; bit < 8; bit++) {
			struct bytes c = b;

			c.p[i] ^= (unsigned char)(1 << bit);
			if (i != 7 && i != 8) /* kind and step have no checksum */
				bad += read_bytes(c.p, c.n) != DC_FAIL;
		}
	ok(!bad, "any flipped bit of header, body or trailer is found (%d missed)", bad);
}

static void
test_shorter_numbers(void)
{
	static const char *const lengths[] = { "\x01", "\xcc\x01", "\xcd\0\x01", "\xce\0\0\0\x01", "\xcf\0\0\0\0\0\0\0\x01" };
	static const size_t n[] = { 1, 2, 3, 5, 9 };
	int good = 0, same = 0;

	for (int i = 0; i < 5; i++) {
		struct bytes b = { .n = 0 };
		struct dc_out out;
		char back[128];
		int fd[2];

		add(&b, "\x94\xa4" "dcs1\xa1k\xcd\x01\x00", 11);
		add(&b, lengths[i], n[i]);
		add(&b, "\x80", 1);
		add_u64(&b, XXH3_64bits("\x80", 1));
		good += read_bytes(b.p, b.n) == DC_FRAME && f.step == 256;
		if (pipe(fd) < 0 || dc_out_init(&out, fd[1], "<pipe>") < 0 || dc_frame_pass(&out, &f) != DC_FRAME)
			abort();
		same += read(fd[0], back, sizeof back) == (ssize_t)b.n && !memcmp(back, b.p, b.n);
		close(fd[0]);
		close(fd[1]);
	}
	ok(good == 5, "integers of every length are read in a header");
	ok(same == 5, "and a frame passed on keeps them: it is the same bytes");
}

/* --- waits --- */

static int
write_raw(int fd, const void *p, size_t n)
{
	return write(fd, p, n) == (ssize_t)n ? 0 : -1;
}

static void
test_resume(void)
{
	struct bytes b = frame_of(BODY("\x81\xa3key\xa5value"));
	int data[2], other[2], wrong = 0, r;
	struct dc_str s;

	if (pipe(data) < 0 || pipe(other) < 0)
		abort();
	dc_in_init(&in, data[0], "<test>");
	dc_in_watch(&in, other[0], POLLIN);
	if (write_raw(other[1], "!", 1) < 0)
		abort();
	for (size_t i = 0; i < b.n; i++) { /* a byte at a time: the read stops wherever the bytes do, and goes on there */
		wrong += dc_frame_read(&in, &f) != DC_OTHER;
		if (write_raw(data[1], b.p + i, 1) < 0)
			abort();
	}
	r = dc_frame_read(&in, &f);
	ok(!wrong, "another input interrupts a read at every byte (%d did not)", wrong);
	ok(r == DC_FRAME && dc_frame_str(&f, "key", &s) == 0 && s.n == 5 && !memcmp(s.p, "value", 5), "which then completes");
	ok(dc_frame_read(&in, &f) == DC_OTHER && !dc_in_buffered(&in), "the next read is interrupted again");
	if (write_raw(data[1], b.p, b.n) < 0 || write_raw(data[1], b.p, b.n) < 0)
		abort();
	ok(dc_frame_read(&in, &f) == DC_FRAME, "our own input comes first when both are ready");
	ok(dc_in_buffered(&in), "a second frame waits in the buffer");
	ok(dc_frame_read(&in, &f) == DC_FRAME && f.number == 3 && f.offset == 2 * b.n, "number and offset go on");
	close(data[1]);
	ok(dc_frame_read(&in, &f) == DC_EOF, "and the end is seen");
	close(data[0]);
	close(other[0]);
	close(other[1]);
}

static void
test_gone(void)
{
	struct dc_body b = { 0 };
	struct dc_out out;
	int data[2], next[2];

	if (pipe(data) < 0 || pipe(next) < 0 || dc_out_init(&out, next[1], "<stdout>") < 0)
		abort();
	dc_in_init(&in, data[0], "<test>");
	dc_in_watch(&in, next[1], 0);
	close(next[0]);
	ok(dc_frame_read(&in, &f) == DC_GONE, "a wait for input ends when the reader of our output dies");
	dc_put_int(&b, "a", 1);
	ok(dc_frame_write(&out, "k", 0, &b) == DC_GONE, "and a write says so");
	ok(dc_io_status(&in, DC_GONE) == DC_EXIT_NEIGHBOUR, "which is status 3");
	close(next[1]);
	close(data[0]);
	close(data[1]);
	dc_body_free(&b);
}

/* A frame larger than the pipe whose reader dies in the middle. */
static void
test_gone_midway(void)
{
	struct dc_body b = { 0 };
	struct dc_out out;
	int next[2], status;
	pid_t pid;
	char c;

	if (pipe(next) < 0 || dc_out_init(&out, next[1], "<stdout>") < 0 || (pid = fork()) < 0)
		abort();
	if (!pid) {
		close(next[1]);
		_exit(read(next[0], &c, 1) != 1);
	}
	close(next[0]);
	memset(dc_put_space(&b, "big", DC_U8, 1, (int64_t[]){ 1 << 22 }), 7, 1 << 22);
	ok(dc_frame_write(&out, "k", 0, &b) == DC_GONE, "a reader that dies in the middle of a frame is noticed");
	waitpid(pid, &status, 0);
	close(next[1]);
	dc_body_free(&b);
}

static void
test_large_through_pipe(void)
{
	enum { N = 3 << 20 };
	struct dc_body b = { 0 };
	struct dc_tensor t;
	struct dc_out out;
	int p[2], r, status;
	pid_t pid;

	for (uint32_t i = 0, *x = dc_put_space(&b, "big", DC_I32, 1, (int64_t[]){ N }); i < N; i++)
		x[i] = i * 2654435761u;
	if (pipe(p) < 0 || dc_out_init(&out, p[1], "<pipe>") < 0 || (pid = fork()) < 0)
		abort();
	if (!pid) {
		close(p[0]);
		_exit(dc_frame_write(&out, "k", 0, &b) != DC_FRAME);
	}
	close(p[1]);
	dc_in_init(&in, p[0], "<pipe>");
	r = dc_frame_read(&in, &f);
	ok(r == DC_FRAME && dc_frame_tensor(&f, "big", DC_I32, 1, &t) == 0 && ((const uint32_t *)t.data)[N - 1] == (N - 1) * 2654435761u,
	    "12 MB go through a pipe");
	close(p[0]);
	waitpid(pid, &status, 0);
	dc_body_free(&b);
}

static void
test_status(void)
{
	FILE *fp = tmpfile();

	if (!fp)
		abort();
	dc_in_init(&in, fileno(fp), "<file>");
	ok(dc_frame_read(&in, &f) == DC_EOF && in.regular, "an empty file ends");
	freopen("/dev/null", "w", stderr);
	ok(dc_io_status(&in, DC_EOF) == DC_EXIT_FAIL, "without an end frame: status 1 from a file");
	in.regular = 0;
	ok(dc_io_status(&in, DC_EOF) == DC_EXIT_NEIGHBOUR, "3 from a pipe");
	in.ended = 1;
	ok(dc_io_status(&in, DC_EOF) == DC_EXIT_OK, "0 after an end frame");
	fclose(fp);
}

static void
test_move(void)
{
	struct dc_frame g = { 0 };
	struct dc_str s;
	struct bytes b = frame_of(BODY("\x81\xa3key\xa5value"));

	if (read_bytes(b.p, b.n) != DC_FRAME)
		abort();
	dc_frame_move(&g, &f);
	ok(!f.body && !f.parsed && dc_frame_str(&g, "key", &s) == 0 && s.n == 5, "a frame moves whole");
	ok(!dc_frame_get(&f, "key"), "and leaves nothing behind");
	dc_frame_free(&g);
}

int
main(void)
{
	dc_main_init("test_stream");
	test_tensors();
	test_scalars();
	test_copy();
	test_empty();
	test_hostile_bodies();
	test_nesting();
	test_many_values();
	test_hostile_tensors();
	test_bad_references();
	test_other_writers();
	test_headers();
	test_truncated();
	test_shorter_numbers();
	test_resume();
	test_gone();
	test_gone_midway();
	test_large_through_pipe();
	test_move();
	test_status();
	dc_frame_free(&f);
	return done_testing();
}
