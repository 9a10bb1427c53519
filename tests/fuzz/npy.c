/* SPDX-License-Identifier: MIT */
/* A .npy file, and a directory of such columns with this one in it: the first byte tells which. */
#include <sys/stat.h>

#include "store/columns.h"
#include "store/npy.h"
#include "tests/fuzz/fuzz.h"

static void
values(const struct dc_npy *x)
{
	const size_t n = (size_t)x->rows * (size_t)x->row;
	float *f = malloc(n * sizeof *f + 1);
	int64_t *v = malloc(n * sizeof *v + 1);

	FUZZ_CHECK(f && v && (dc_npy_floats(x, 0, x->rows, f) < 0 || dc_npy_ints(x, 0, x->rows, v) < 0));
	free(f);
	free(v);
}

static const char *const names[] = { "x.npy", "image_features.0.npy", "text_features.0.npy", "caption_image.npy", "label.npy",
	"logit_scale.npy", "key.json", "id.npy" };
enum { N_NAMES = sizeof names / sizeof *names };

/* Files one after another: which (u8), how long (u16), the bytes. */
static void
columns(const uint8_t *p, size_t n)
{
	struct dc_columns *c;
	struct dc_body b = { 0 };
	char path[128];

	(void)!mkdirat(fuzz_dir(), "columns", 0700);
	while (n >= 3) {
		size_t len = p[1] | (size_t)p[2] << 8;
		len = len < n - 3 ? len : n - 3;
		snprintf(path, sizeof path, "columns/%s", names[p[0] % N_NAMES]);
		fuzz_put(path, p + 3, len);
		p += 3 + len;
		n -= 3 + len;
	}
	snprintf(path, sizeof path, "%s/columns", fuzz_dir_path);
	if ((c = dc_columns_open(path)))
		for (int64_t i = 0; i < dc_columns_parts(c) && i < 100 && dc_columns_put(c, i, &b) == 0; i++)
			b.n = 0, b.entries = 0, b.pending = 0;
	dc_columns_free(c);
	dc_body_free(&b);
	for (int i = 0; i < N_NAMES; i++) {
		snprintf(path, sizeof path, "columns/%s", names[i]);
		unlinkat(fuzz_dir(), path, 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct dc_npy x;

	if (n < 1)
		return 0;
	if (p[0] == 1) {
		columns(p + 1, n - 1);
		return 0;
	}
	fuzz_put("x.npy", p + 1, n - 1);
	if (dc_npy_open(&x, fuzz_dir(), "x.npy") < 0)
		return 0;
	values(&x);
	dc_npy_close(&x);
	return 0;
}
