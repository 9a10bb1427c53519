/* SPDX-License-Identifier: MIT */
/* Safetensors files: what is written is read again, aligned and without holes; hostile headers are refused. And the shm
 * directory: made, found beside the FIFO, cleaned. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/safetensors.h"
#include "store/shm.h"
#include "tap.h"

static char dir[] = "/tmp/dc-test-XXXXXX";

static void
round_trip(void)
{
	float w[48], odd[3] = { 1, 2, 3 }, *zero;
	int64_t big[2] = { 1LL << 40, -5 };
	const struct dc_st_tensor t[] = {
		{ .name = "odd", .type = DC_F32, .ndim = 1, .shape = { 3 }, .data = odd },
		{ .name = "w", .type = DC_F32, .ndim = 2, .shape = { 3, 16 }, .data = w },
		{ .name = "big", .type = DC_I64, .ndim = 1, .shape = { 2 }, .data = big },
		{ .name = "scalar", .type = DC_F32, .data = odd + 2 },
		{ .name = "none", .type = DC_F64, .ndim = 2, .shape = { 0, 7 } },
		{ .name = "zero", .type = DC_F32, .ndim = 1, .shape = { 32 } },
		{ .name = "bytes", .type = DC_U8, .ndim = 1, .shape = { 3 }, .data = "abc" },
	};
	const struct dc_st_meta meta[] = { { "format", "pt" }, { "text", "a \"quoted\"\nline" } };
	const struct dc_st_tensor *x;
	struct dc_st st;
	int aligned = 1, sorted = 1;

	for (int i = 0; i < 48; i++)
		w[i] = (float)i / 7;
	ok(dc_st_create(AT_FDCWD, "a.safetensors", 0644, t, 7, meta, 2, 1) == 0, "create: %s", dc_err());
	ok(dc_st_create(AT_FDCWD, "a.safetensors", 0644, t, 7, meta, 2, 1) < 0, "an existing file is not overwritten");
	if (!ok(dc_st_open(&st, AT_FDCWD, "a.safetensors", DC_ST_READ) == 0, "open: %s", dc_err()))
		return;
	ok(st.n == 7 && st.n_meta == 2, "7 tensors, 2 texts");
	for (int i = 0; i < st.n; i++) {
		aligned &= (uintptr_t)st.t[i].data % (st.t[i].bytes % 64 ? dc_type_size(st.t[i].type) : 64) == 0;
		sorted &= !i || strcmp(st.t[i - 1].name, st.t[i].name) < 0;
	}
	ok(aligned, "multiples of 64 bytes are aligned to 64, the others to their type");
	ok(sorted, "sorted by name");
	ok(!strcmp(dc_st_meta(&st, "text"), meta[1].value) && !dc_st_meta(&st, "no"), "metadata");
	x = dc_st_find(&st, "w");
	ok(x && x->ndim == 2 && x->shape[0] == 3 && x->shape[1] == 16 && !memcmp(x->data, w, sizeof(w)), "values of w");
	x = dc_st_find(&st, "big");
	ok(x && x->type == DC_I64 && !memcmp(x->data, big, sizeof(big)), "values of big");
	x = dc_st_find(&st, "scalar");
	ok(x && x->ndim == 0 && x->n == 1 && *(float *)x->data == 3, "a scalar has no dimensions");
	x = dc_st_find(&st, "none");
	ok(x && x->n == 0 && x->shape[1] == 7, "an empty tensor");
	zero = dc_st_find(&st, "zero")->data;
	ok(zero[0] == 0 && zero[31] == 0, "no data means zeros");
	ok(!dc_st_find(&st, "wx") && !dc_st_find(&st, ""), "unknown names are not found");
	dc_st_close(&st);
}

static void
shared(void)
{
	const struct dc_st_tensor t = { .name = "g", .type = DC_F32, .ndim = 1, .shape = { 16 } };
	struct dc_st w, r;

	ok(dc_st_create(AT_FDCWD, "g.safetensors", 0600, &t, 1, NULL, 0, 0) == 0, "create without metadata");
	ok(dc_st_open(&w, AT_FDCWD, "g.safetensors", DC_ST_WRITE) == 0 &&
	    dc_st_open(&r, AT_FDCWD, "g.safetensors", DC_ST_READ) == 0, "two maps");
	((float *)w.t[0].data)[5] = 7;
	ok(((float *)r.t[0].data)[5] == 7, "what one writes the other reads");
	dc_st_close(&w);
	dc_st_close(&r);
}

static void
put(const char *name, uint64_t len, const char *json, size_t data)
{
	FILE *fp = fopen(name, "wb");

	for (int i = 0; i < 8; i++)
		putc((int)(len >> 8 * i & 0xff), fp);
	fputs(json, fp);
	while (data--)
		putc(0, fp);
	fclose(fp);
}

static void
refuse_len(const char *what, uint64_t len, const char *json, size_t data, const char *say)
{
	struct dc_st st;

	put("bad.safetensors", len, json, data);
	dc_err_set("nothing");
	ok(dc_st_open(&st, AT_FDCWD, "bad.safetensors", DC_ST_READ) == -1 && strstr(dc_err(), say) &&
	    strstr(dc_err(), "bad.safetensors"), "%s: %s", what, dc_err());
}

static void
refuse(const char *what, const char *json, size_t data, const char *say)
{
	refuse_len(what, strlen(json), json, data, say);
}

#define T(name, dtype, shape, a, b) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #a "," #b "]}"

static void
hostile(void)
{
	char *deep = dc_xmalloc(200001);
	struct dc_st st;

	refuse("offsets beyond the file", "{" T("a", "F32", "[4]", 0, 16) "}", 12, "tensor a");
	refuse("far beyond", "{" T("a", "F32", "[2305843009213693951]", 0, 9223372036854775804) "}", 16, "tensor a");
	refuse("overlap", "{" T("a", "F32", "[4]", 0, 16) "," T("b", "F32", "[4]", 8, 24) "}", 24, "overlap");
	refuse("hole", "{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 16, 24) "}", 24, "belong to no tensor");
	refuse("hole at the start", "{" T("a", "F32", "[2]", 8, 16) "}", 16, "belong to no tensor");
	refuse("rest", "{" T("a", "F32", "[2]", 0, 8) "}", 9, "after the last");
	refuse("duplicate names", "{" T("a", "F32", "[2]", 0, 8) "," T("a", "F32", "[2]", 8, 16) "}", 16, "header");
	refuse("shape and span disagree", "{" T("a", "F32", "[3]", 0, 8) "}", 8, "tensor a");
	refuse("shape overflows", "{" T("a", "F32", "[4294967296,4294967296,4294967296]", 0, 8) "}", 8, "overflows");
	refuse("bytes overflow", "{" T("a", "F64", "[4611686018427387904]", 0, 8) "}", 8, "overflows");
	refuse("negative size", "{" T("a", "F32", "[-2]", 0, 8) "}", 8, "not a size");
	refuse("fractional size", "{" T("a", "F32", "[2.0]", 0, 8) "}", 8, "not a size");
	refuse("nine dimensions", "{" T("a", "F32", "[1,1,1,1,1,1,1,1,2]", 0, 8) "}", 8, "dimensions");
	refuse("backward offsets", "{" T("a", "F32", "[2]", 8, 0) "}", 8, "data_offsets");
	refuse("F8", "{" T("a", "F8_E4M3", "[8]", 0, 8) "}", 8, "type F8_E4M3");
	refuse("F16 of another size", "{" T("a", "F16", "[4]", 0, 16) "}", 16, "tensor a");
	refuse("no dtype", "{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype");
	refuse("no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "data_offsets");
	refuse("a tensor that is a number", "{\"a\":3}", 0, "tensor a");
	refuse("metadata not a map", "{\"__metadata__\":[]}", 0, "__metadata__");
	refuse("metadata not strings", "{\"__metadata__\":{\"a\":1}}", 0, "metadata a");
	refuse("an array", "[]", 0, "not a map");
	refuse("no JSON", "xyz", 0, "header");
	refuse("a NUL in a name", "{\"a\\u0000b\":3}", 0, "header");
	refuse("bad UTF-8", "{\"\xff\xfe\":3}", 0, "header");
	refuse_len("header longer than the file", 1000, "{}", 0, "1000 bytes");
	refuse_len("absurd length", UINT64_MAX, "{}", 0, "not a safetensors file");
	refuse_len("length near 2^63", 1ULL << 63, "{}", 0, "not a safetensors file");
	memset(deep, '[', 200000);
	deep[200000] = '\0';
	refuse("deep JSON", deep, 0, "header");
	memcpy(deep, "{\"a\":", 5);
	refuse("deep JSON in a map", deep, 0, "header");
	free(deep);
	ok(dc_st_open(&st, AT_FDCWD, "/dev/null", DC_ST_READ) == -1, "a device: %s", dc_err());
	ok(dc_st_open(&st, AT_FDCWD, "absent", DC_ST_READ) == -1 && strstr(dc_err(), "absent"), "absent: %s", dc_err());
	ok(mkfifo("fifo", 0600) == 0 && dc_st_open(&st, AT_FDCWD, "fifo", DC_ST_READ) == -1, "a FIFO: %s", dc_err());
	ok(symlink("a.safetensors", "link") == 0 && dc_st_open(&st, AT_FDCWD, "link", DC_ST_READ) == -1, "a link: %s", dc_err());
	ok(truncate("a.safetensors", 5) == 0 && dc_st_open(&st, AT_FDCWD, "a.safetensors", DC_ST_READ) == -1, "5 bytes: %s",
	    dc_err());
}

static void
unaligned(void)
{
	const char *json = "{" T("b", "U8", "[1]", 0, 1) "," T("a", "F32", "[2]", 1, 9) "}";
	const struct dc_st_tensor *a;
	struct dc_st st;

	put("odd.safetensors", strlen(json), json, 9);
	if (ok(dc_st_open(&st, AT_FDCWD, "odd.safetensors", DC_ST_READ) == 0, "an unaligned file opens")) {
		a = dc_st_find(&st, "a");
		ok((uintptr_t)a->data % 4 == 0 && ((float *)a->data)[1] == 0, "and its floats are aligned copies");
		dc_st_close(&st);
	}
	ok(dc_st_open(&st, AT_FDCWD, "odd.safetensors", DC_ST_WRITE) == -1, "but not to write: %s", dc_err());
}

static void
python(void)
{
	const char *py = getenv("DC_TORCH_PYTHON");
	float v[20];
	const struct dc_st_tensor t[] = {
		{ .name = "x.weight", .type = DC_F32, .ndim = 2, .shape = { 4, 5 }, .data = v },
		{ .name = "logit_scale", .type = DC_F32, .data = v + 3 },
	};
	const struct dc_st_meta meta = { "format", "pt" };
	struct dc_st st;
	char cmd[1000];

	for (int i = 0; i < 20; i++)
		v[i] = (float)i / 4;
	py = py ? py : "python3";
	snprintf(cmd, sizeof(cmd), "%s -c 'import safetensors.numpy' 2>/dev/null", py);
	if (system(cmd) != 0) {
		ok(1, "safetensors in Python # SKIP no Python with safetensors");
		return;
	}
	ok(dc_st_create(AT_FDCWD, "p.safetensors", 0644, t, 2, &meta, 1, 0) == 0, "a file for Python");
	snprintf(cmd, sizeof(cmd), "%s -c '\n"
	    "import numpy as np, safetensors.numpy as s\n"
	    "x = s.load_file(\"p.safetensors\")\n"
	    "assert x[\"x.weight\"].shape == (4, 5) and x[\"logit_scale\"].shape == () and x[\"logit_scale\"] == .75\n"
	    "assert (x[\"x.weight\"].ravel() == np.arange(20) / 4).all()\n"
	    "s.save_file({\"y\": x[\"x.weight\"].T.copy(), \"b\": np.arange(3, dtype=np.uint8)}, \"q.safetensors\", {\"k\": \"v\"})'", py);
	ok(system(cmd) == 0, "Python's safetensors reads it");
	if (ok(dc_st_open(&st, AT_FDCWD, "q.safetensors", DC_ST_READ) == 0, "and we read its: %s", dc_err())) {
		ok(((float *)dc_st_find(&st, "y")->data)[1] == 1.25f && !strcmp(dc_st_meta(&st, "k"), "v"), "values and metadata");
		dc_st_close(&st);
	}
}

static void
shm(void)
{
	const struct dc_st_tensor t = { .name = "g", .type = DC_F32, .ndim = 1, .shape = { 16 } };
	struct dc_tensor ref = { .type = DC_F32, .ndim = 1, .shape = { 16 }, .n = 16, .file = DC_SHM_GRADIENTS, .name = "g" };
	struct stat sb;
	struct dc_shm s, again;
	struct dc_st st;
	char *old;
	int fd;

	mkdir("run", 0755);
	mkdir("tmpfs", 0755);
	setenv("DC_SHM_DIR", "tmpfs", 1);
	ok(dc_shm_make(&s, "run", 1000) == 0 && !s.on_disk, "a directory in tmpfs");
	ok(fstat(s.fd, &sb) == 0 && (sb.st_mode & 0777) == 0700, "mode 0700");
	ok(dc_st_create(s.fd, DC_SHM_GRADIENTS, 0600, &t, 1, NULL, 0, 0) == 0, "a file in it");
	fd = dc_shm_open("run/loop");
	ok(fd >= 0 && dc_st_open(&st, fd, DC_SHM_GRADIENTS, DC_ST_WRITE) == 0, "found beside the FIFO");
	close(fd);
	ok(dc_shm_find(&st, DC_SHM_GRADIENTS, &ref) != NULL, "a reference resolves");
	ref.shape[0] = 8;
	ok(!dc_shm_find(&st, DC_SHM_GRADIENTS, &ref), "not with another shape: %s", dc_err());
	ref.shape[0] = 16;
	ref.name = "h";
	ok(!dc_shm_find(&st, DC_SHM_GRADIENTS, &ref), "nor another name: %s", dc_err());
	ref.name = "g";
	ref.file = "../../etc/passwd";
	ok(!dc_shm_find(&st, DC_SHM_GRADIENTS, &ref), "nor another file: %s", dc_err());
	dc_st_close(&st);
	old = dc_xstrdup(s.path);
	ok(dc_shm_make(&again, "run", 1000) == 0 && access(old, F_OK) < 0, "a dead ring's directory is removed");
	dc_shm_remove(&again);
	ok(access(again.path ? again.path : "run/shm", F_OK) < 0 && lstat("run/shm", &sb) < 0, "and ours at the end");
	ok(dc_shm_make(&again, "run", (size_t)1 << 60) == 0 && again.on_disk && lstat("run/shm", &sb) == 0 && S_ISDIR(sb.st_mode),
	    "too little room: a real directory");
	dc_shm_remove(&again);
	ok(symlink(dir, "run/shm") == 0 && dc_shm_clean("run") == 0 && access(dir, F_OK) == 0 && lstat("run/shm", &sb) < 0,
	    "a link to elsewhere is unlinked, not followed");
	close(s.fd);
	free(s.path);
	free(s.link);
	free(old);
}

int
main(void)
{
	char cmd[100];

	if (!mkdtemp(dir) || chdir(dir) < 0)
		return 99;
	round_trip();
	shared();
	hostile();
	unaligned();
	python();
	shm();
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	ok(chdir("/") == 0 && system(cmd) == 0, "cleaned");
	return done_testing();
}
