/* SPDX-License-Identifier: MIT */
/* The features of several ranks become one batch in the order of slots; what does not fit together is refused. */
#include "tests/tap.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ranks/merge.h"
#include "ranks/slow.h"
#include "stream/gather.h"

enum { D = 2 };
static struct dc_body body;

/* Rows of a rank: row of slot s is (s, -s); its caption has s % 3 words of (s, word). */
static void
put_features(struct dc_body *b, const int64_t *slot, int64_t n, int64_t first, int64_t rows)
{
	float x[16][D], words[48][D];
	int32_t off[17] = { 0 };
	int w = 0;

	for (int64_t i = 0; i < rows; i++) {
		const int64_t s = slot[first + i];
		x[i][0] = (float)s;
		x[i][1] = (float)-s;
		for (int k = 0; k < s % 3; k++, w++) {
			words[w][0] = (float)s;
			words[w][1] = (float)k;
		}
		off[i + 1] = w;
	}
	dc_put_data(b, "image_features.0", DC_F32, 2, (int64_t[]){ rows, D }, x);
	dc_put_data(b, "filip_text", DC_F32, 2, (int64_t[]){ w, D }, words);
	dc_put_data(b, "filip_off", DC_I32, 1, (int64_t[]){ rows + 1 }, off);
	dc_put_double(b, "logit_scale", 2.5);
	if (first)
		return;
	dc_put_data(b, "slot", DC_I64, 1, &n, slot);
	dc_put_array(b, "key", (size_t)n);
	for (int64_t i = 0; i < n; i++) {
		char key[8];
		snprintf(key, sizeof key, "k%lld", (long long)slot[i]);
		dc_put_str(b, NULL, key);
	}
	dc_put_data(b, "mlm_nll", DC_F32, 1, (int64_t[]){ n > 0 }, (float[]){ n ? (float)slot[0] : 0 });
}

static int
make(struct dc_frame *f, struct dc_body *b, const char *name)
{
	unsigned char *p;
	size_t n;

	dc_body_end(b);
	n = b->n;
	p = b->p;
	*b = (struct dc_body){ 0 };
	return dc_frame_make(f, "features", 7, p, n, name);
}

static int
rank_frame(struct dc_frame *f, const int64_t *slot, int64_t n, const char *name)
{
	put_features(&body, slot, n, 0, n);
	return make(f, &body, name);
}

static const int64_t a[] = { 40, 42, 44, 48 }, b[] = { 41, 43, 47 };

/* Rows [from, to) of the merged batch of these three: slots 40 41 42 43 44 47 48. */
static void
check_range(struct dc_merge *m, int64_t from, int64_t to)
{
	static const int64_t slots[] = { 40, 41, 42, 43, 44, 47, 48 };
	struct dc_frame f = { 0 };
	struct dc_tensor x, w, off;
	int good = 1, words = 0;

	ok(dc_merge_put(m, &body, 2, from, to) == 0 && make(&f, &body, "merged") == 0, "rows %d to %d", (int)from, (int)to);
	ok(dc_frame_tensor(&f, "image_features.0", DC_F32, 2, &x) == 0 && dc_frame_tensor(&f, "filip_text", DC_F32, 2, &w) == 0 &&
	    dc_frame_tensor(&f, "filip_off", DC_I32, 1, &off) == 0, "are there: %s", dc_err());
	for (int64_t i = from; i < to; i++) {
		const float *row = (const float *)x.data + (i - from) * D;
		const int32_t *o = (const int32_t *)off.data + (i - from);
		good &= row[0] == (float)slots[i] && row[1] == (float)-slots[i] && o[0] == words && o[1] - o[0] == slots[i] % 3;
		for (int k = 0; k < slots[i] % 3; k++, words++)
			good &= ((const float *)w.data)[words * D] == (float)slots[i] && ((const float *)w.data)[words * D + 1] == (float)k;
	}
	ok(good && x.shape[0] == to - from && w.shape[0] == words, "in the order of slots, captions' words too");
	if (!from) {
		int64_t ranks = 0, rank = 0;
		struct dc_tensor local, mlm, nll;
		const msgpack_object *key = dc_frame_get(&f, "key");

		ok(dc_frame_tensor(&f, "local", DC_I64, 1, &local) == 0 && local.n == 3 &&
		    !memcmp(local.data, (int64_t[]){ 1, 3, 5 }, local.bytes), "which rows are the rank's own");
		ok(dc_frame_int(&f, "rank", &rank) == 0 && dc_frame_int(&f, "ranks", &ranks) == 0 && rank == 2 && ranks == 3, "who it is");
		ok(dc_frame_tensor(&f, "mlm_nll", DC_F32, 1, &nll) == 0 && nll.n == 2 && ((const float *)nll.data)[1] == 41 &&
		    dc_frame_tensor(&f, "local_mlm", DC_I64, 1, &mlm) == 0 && !memcmp(mlm.data, (int64_t[]){ 1, 1 }, mlm.bytes),
		    "masked positions, rank by rank");
		ok(key && key->via.array.size == 7 && !memcmp(key->via.array.ptr[3].via.str.ptr, "k43", 3), "keys");
		ok(dc_frame_get(&f, "logit_scale") && !dc_frame_get(&f, "part"), "other values are the rank's own");
	} else {
		ok(!dc_frame_get(&f, "local") && !dc_frame_get(&f, "key") && dc_frame_get(&f, "logit_scale"),
		    "what is of the whole batch comes once");
	}
	dc_frame_free(&f);
}

static void
refused(const char *what, const int64_t *x, int64_t n, const int64_t *y, int64_t k, const char *message)
{
	struct dc_frame f[2] = { { .step = 0 }, { .step = 0 } };
	struct dc_merge m;

	if (rank_frame(&f[0], x, n, "one") < 0 || rank_frame(&f[1], y, k, "two") < 0)
		ok(0, "frames: %s", dc_err());
	else
		ok(dc_merge_begin(&m, f, 2) < 0 && strstr(dc_err(), message), "%s: %s", what, dc_err());
	dc_frame_free(&f[0]);
	dc_frame_free(&f[1]);
}

/* A rank's own batch in parts is what it would have been in one. */
static void
check_parts(void)
{
	struct dc_gather g = { 0 };
	struct dc_frame f = { 0 }, whole = { 0 }, joined = { 0 };
	struct dc_tensor x, y;
	static const char *const keys[] = { "image_features.0", "filip_text", "filip_off", "slot", "mlm_nll" };
	static const enum dc_type type[] = { DC_F32, DC_F32, DC_I32, DC_I64, DC_F32 };
	int same = 1;

	for (int i = 0; i < 2; i++) {
		put_features(&body, a, 4, 3 * i, i ? 1 : 3);
		dc_put_part(&body, i, 2);
		if (make(&f, &body, "part") < 0 || dc_gather_add(&g, &f) < 0)
			ok(0, "part %d: %s", i, dc_err());
	}
	ok(dc_merge_parts(&body, &g) == 0 && make(&joined, &body, "joined") == 0 && rank_frame(&whole, a, 4, "whole") == 0,
	    "the parts of a rank join: %s", dc_err());
	for (int i = 0; i < 5; i++)
		same &= dc_frame_tensor(&whole, keys[i], type[i], -1, &x) == 0 && dc_frame_tensor(&joined, keys[i], type[i], -1, &y) == 0 &&
		    x.bytes == y.bytes && !memcmp(x.data, y.data, x.bytes);
	ok(same && dc_frame_get(&joined, "key")->via.array.size == 4 && !dc_frame_get(&joined, "part"), "to what they would be in one");
	dc_gather_free(&g);
	dc_frame_free(&whole);
	dc_frame_free(&joined);
}

/* 45 steps in which rank 1 waited for nobody: who was slow, in the table and in warnings, of which there is one in 100 steps. */
static void
check_slow(double waits)
{
	char host[3][64] = { "alpha", "beta", "gamma" }, path[] = "/tmp/test_ranks.XXXXXX", said[] = "/tmp/test_ranks.XXXXXX", *text;
	const double waited[] = { waits, 0, waits + 1e-9 };
	int fd = mkstemp(path), err = mkstemp(said), old = dup(STDERR_FILENO), r = 0, rows = 0;
	struct dc_slow s;
	size_t n;

	dc_slow_init(&s, 3, host, path);
	dup2(err, STDERR_FILENO);
	for (uint64_t step = 0; step < 45 && r == 0; step++)
		r = dc_slow_step(&s, waited, step, 100 * step, 200 * step, 0, 0);
	dup2(old, STDERR_FILENO);
	dc_slow_close(&s);
	ok(r == 0 && dc_slurp(path, 1 << 20, &text, &n) == 0, "a table");
	for (char *row = strchr(text, '\n'); row && row[1]; row = strchr(row + 1, '\n'))
		rows += strstr(row, waits > 0 ? "\t1\tbeta\t" : "\t0\talpha\t") != NULL && strstr(row, "\t100\t200\n") != NULL;
	ok(rows == 44, "that names the slow rank and the bytes in each of %d steps but the last", rows);
	free(text);
	ok(dc_slurp(said, 1 << 20, &text, &n) == 0, "what is said");
	if (waits > 0)
		ok(strstr(text, "rank 1 (beta) is slow") && !strstr(strchr(text, '\n') + 1, "slow"), "one: %.*s", (int)strcspn(text, "\n"), text);
	else
		ok(!n, "none where nobody waits");
	free(text);
	close(fd);
	close(err);
	close(old);
	unlink(path);
	unlink(said);
}

int
main(void)
{
	struct dc_frame f[3] = { { .step = 0 }, { .step = 0 }, { .step = 0 } };
	struct dc_merge m;

	ok(rank_frame(&f[0], a, 4, "rank 0") == 0 && rank_frame(&f[1], NULL, 0, "rank 1") == 0 && rank_frame(&f[2], b, 3, "rank 2") == 0,
	    "three ranks, one without a row: %s", dc_err());
	ok(dc_merge_begin(&m, f, 3) == 0 && m.N == 7, "have seven rows");
	check_range(&m, 0, 7);
	check_range(&m, 0, 4);
	check_range(&m, 4, 7);
	dc_merge_end(&m);
	for (int k = 0; k < 3; k++)
		dc_frame_free(&f[k]);
	refused("the same slot twice", a, 4, (const int64_t[]){ 41, 44 }, 2, "both have the sample of slot 44");
	refused("slots out of order", a, 4, (const int64_t[]){ 43, 41 }, 2, "comes after");
	check_parts();
	check_slow(5);
	check_slow(0);
	dc_body_free(&body);
	return done_testing();
}
