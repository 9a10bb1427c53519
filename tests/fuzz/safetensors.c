/* SPDX-License-Identifier: MIT */
/* A file of tensors: opened, all of it looked at, found by name and by reference; and what model it says it is. */
#include "store/deduce.h"
#include "store/model.h"
#include "store/safetensors.h"
#include "store/shm.h"
#include "tests/fuzz/fuzz.h"

static void
look(const struct dc_st *st)
{
	for (int i = 0; i < st->n; i++) {
		const struct dc_st_tensor *t = &st->t[i];
		const struct dc_tensor ref = { .type = t->type, .ndim = t->ndim, .file = "x", .name = t->name };

		FUZZ_CHECK(dc_st_find(st, t->name) && t->bytes == t->n * dc_type_size(t->type));
		FUZZ_CHECK((uintptr_t)t->data % dc_type_size(t->type) == 0);
		fuzz_touch(t->data, t->bytes);
		(void)!dc_shm_find(st, "x", &ref);
	}
	for (int i = 0; i < st->n_meta; i++)
		FUZZ_CHECK(dc_st_meta(st, st->meta[i].key));
}

static void
deduce(const struct dc_st *st)
{
	struct dc_config c;
	enum dc_format format;
	const char *prefix;

	dc_config_init(&c);
	if (dc_deduce_format(st, &format, &prefix) == 0 && dc_deduce_towers(&c, st, format, prefix) == 0)
		(void)!dc_deduce_heads(&c, st, format, prefix);
}

static void
model(void)
{
	char path[128];
	struct dc_model m;
	struct dc_heads h;

	snprintf(path, sizeof path, "%s/x.safetensors", fuzz_dir_path);
	if (dc_model_open(&m, path) < 0)
		return;
	look(&m.st);
	if (dc_model_heads(&m, &h) == 0) {
		look(&h.st);
		look(&h.extra);
		dc_heads_close(&h);
	}
	dc_model_close(&m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct dc_st st;

	fuzz_put("x.safetensors", p, n);
	if (dc_st_open(&st, fuzz_dir(), "x.safetensors", DC_ST_READ) < 0)
		return 0;
	look(&st);
	deduce(&st);
	dc_st_close(&st);
	model();
	return 0;
}
