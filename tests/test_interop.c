/* SPDX-License-Identifier: MIT */
/* The C side of tests/stream_python.t.
 *
 *	test_interop --make   writes one frame of every kind, with every type of value, made value by value
 *	test_interop --echo   reads frames, takes every value apart and writes it anew
 *	test_interop          echoes what it makes, and checks that nothing changes */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stream/stream.h"
#include "tap.h"

static const char *const kinds[] = { "samples", "views", "batch", "features", "dfeatures", "gradients", "parameters",
	"state", "reduce", "stop", "whatever", "end" };
enum { KINDS = sizeof kinds / sizeof *kinds };

/* What tests/stream_python.t expects: element i of a tensor is i + its type's number. */
static void
put_types(struct dc_body *b)
{
	for (int type = DC_U8; type <= DC_F64; type++) {
		int64_t shape[3] = { 2, 3, 1 + type };
		void *p = dc_put_space(b, dc_type_name((enum dc_type)type), (enum dc_type)type, 3, shape);

		for (int64_t i = 0; i < 6 * (1 + type); i++)
			switch (type) {
			case DC_U8: ((uint8_t *)p)[i] = (uint8_t)(i + type); break;
			case DC_I32: ((int32_t *)p)[i] = (int32_t)(i + type); break;
			case DC_I64: case DC_U64: ((int64_t *)p)[i] = i + type; break;
			case DC_F32: ((float *)p)[i] = (float)(i + type); break;
			case DC_F64: ((double *)p)[i] = (double)(i + type); break;
			}
	}
}

static void
put_rest(struct dc_body *b)
{
	static const unsigned char image[12] = { 255, 254, 253 };

	dc_put_data(b, "none", DC_F32, 2, (int64_t[]){ 0, 7 }, NULL);
	dc_put_data(b, "scalar", DC_F32, 0, NULL, &(float){ 2.5f });
	dc_put_array(b, "image", 2);
	dc_put_data(b, NULL, DC_U8, 3, (int64_t[]){ 2, 2, 3 }, image);
	dc_put_data(b, NULL, DC_U8, 1, (int64_t[]){ 5 }, image);
	dc_put_array(b, "caption", 3);
	dc_put_str(b, NULL, "ein Hund läuft");
	dc_put_str(b, NULL, "");
	dc_put_str(b, NULL, "🐕");
	dc_put_int(b, "position", -3);
	dc_put_double(b, "logit_scale", 2.6592);
	dc_put_bool(b, "last", 1);
	dc_put_part(b, 1, 4);
	dc_put_map(b, "gradient", 1);
	dc_put_ref(b, "visual.proj", DC_F32, 2, (int64_t[]){ 12, 10 }, "gradients.safetensors", "visual.proj");
}

static int
make(struct dc_out *out)
{
	struct dc_body b = { 0 };
	int r = DC_FRAME;

	for (int i = 0; i < KINDS && r == DC_FRAME; i++) {
		put_types(&b);
		put_rest(&b);
		r = dc_frame_write(out, kinds[i], (uint64_t)i << 20, &b);
	}
	dc_body_free(&b);
	return r;
}

static int
echo_frame(struct dc_frame *f, struct dc_out *out, struct dc_body *b)
{
	const msgpack_object_map *m = &f->root.via.map;

	for (uint32_t i = 0; i < m->size; i++) {
		char key[256];
		struct dc_tensor t;

		snprintf(key, sizeof key, "%.*s", (int)m->ptr[i].key.via.str.size, m->ptr[i].key.via.str.ptr);
		if (dc_object_is_tensor(&m->ptr[i].val))
			DC_TRY(dc_frame_tensor_any(f, key, &t));
		dc_put_copy(b, f, key);
	}
	return dc_frame_write(out, f->kind, f->step, b);
}

static int
echo(struct dc_in *in, struct dc_out *out)
{
	struct dc_frame f = { 0 };
	struct dc_body b = { 0 };
	int r;

	while ((r = dc_frame_read(in, &f)) == DC_FRAME && (r = echo_frame(&f, out, &b)) == DC_FRAME)
		;
	dc_body_free(&b);
	dc_frame_free(&f);
	return r;
}

static int
same_file(FILE *a, FILE *b)
{
	int x, y;

	rewind(a);
	rewind(b);
	do {
		x = getc(a);
		y = getc(b);
	} while (x == y && x != EOF);
	return x == y;
}

static int
self_test(void)
{
	static struct dc_in in;
	FILE *a = tmpfile(), *b = tmpfile();
	struct dc_out out;

	if (!ok(a && b, "two scratch files"))
		return done_testing();
	ok(dc_out_init(&out, fileno(a), "a") == 0 && make(&out) == DC_FRAME && out.frames == KINDS, "a frame of every kind");
	lseek(fileno(a), 0, SEEK_SET);
	dc_in_init(&in, fileno(a), "a");
	ok(dc_out_init(&out, fileno(b), "b") == 0 && echo(&in, &out) == DC_EOF && in.ended, "taken apart and written anew");
	ok(same_file(a, b), "changes nothing");
	fclose(a);
	fclose(b);
	return done_testing();
}

int
main(int argc, char **argv)
{
	static struct dc_in in;
	struct dc_out out;
	int r;

	dc_main_init("test_interop");
	if (argc < 2)
		return self_test();
	dc_in_init(&in, STDIN_FILENO, "<stdin>");
	if (dc_out_init(&out, STDOUT_FILENO, "<stdout>") < 0)
		dc_die("%s", dc_err());
	if (!strcmp(argv[1], "--make"))
		return make(&out) != DC_FRAME;
	r = echo(&in, &out);
	return dc_io_status(&in, r);
}
