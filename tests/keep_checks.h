/* SPDX-License-Identifier: MIT */
/* Whatever is kept for the backward pass and whatever is computed again: the same bytes. However a batch is divided into
 * parts: the same gradient but for the order of sums. */
#ifndef KEEP_CHECKS_H
#define KEEP_CHECKS_H

#ifdef _OPENMP
#include <omp.h>
#endif

#include <math.h>

#include "nn/gemm.h"
#include "tests/tap.h"
#include "tests/nn_model.h"

static inline size_t
all_gradients(dc_real *to, const struct tiny *m)
{
	size_t n = 0;

	for (int i = 0; i < m->n; i++) {
		if (to)
			memcpy(to + n, m->w[i].g, m->w[i].n * sizeof(*to));
		n += m->w[i].n;
	}
	return n;
}

/* Two steps, so that the second has the memory of the first; the gradients of the second. */
static inline dc_real *
gradients(struct dc_enc *e, struct tiny *m, int part)
{
	dc_real *g = dc_xaligned(all_gradients(NULL, m), sizeof(*g));
	int status = 0;

	for (int step = 0; step < 2; step++) {
		tiny_zero_gradients(m);
		status |= tiny_forward(e, m, part, 1);
		tiny_backward(e);
	}
	all_gradients(g, m);
	ok(status == 0 && e->parts > 3 * (TINY_N / part), "parts of %d: %d", part, e->parts);
	return g;
}

static inline void
kept(struct dc_enc *e, struct tiny *m, const dc_real *want, size_t limit, int lean, const char *what, int dropped)
{
	struct dc_laps laps = { 0 };
	dc_real *got;
	double flop;

	dc_enc_watch(e, &laps);
	dc_enc_keep(e, SIZE_MAX, 0);
	free(gradients(e, m, 2));
	flop = laps.flop;
	dc_enc_keep(e, limit, lean);
	got = gradients(e, m, 2);
	ok(!memcmp(got, want, all_gradients(NULL, m) * sizeof(*got)), "%s%s: the same gradient, bit for bit", what,
		lean ? ", blocks again" : "");
	ok(dropped < 0 ? e->again > 0 && e->again < e->parts : e->again == dropped * e->parts, "%d of %d parts were computed again",
		e->again, e->parts);
	ok(e->kept <= limit, "%zu bytes were kept", e->kept);
	ok(laps.flop == 2 * flop, "which is no useful work");
	dc_enc_watch(e, NULL);
	free(got);
}

static inline double
distance(const dc_real *a, const dc_real *b, size_t n)
{
	double d = 0, all = 0;

	for (size_t i = 0; i < n; i++) {
		d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		all += (double)b[i] * b[i];
	}
	return sqrt(d / all);
}

static inline size_t
all_outputs(dc_real *to, const struct dc_enc *e)
{
	struct tiny_out out[7];
	size_t n = 0;

	for (int i = 0, n_out = tiny_outputs(e, out); i < n_out; i++) {
		if (to)
			memcpy(to + n, out[i].value, out[i].n * sizeof(*to));
		n += out[i].n;
	}
	return n;
}

/* What the batch has in parts of any size, against what it has undivided. */
static inline void
check_parts(struct dc_enc *e, struct tiny *m)
{
	const double limit = sizeof(dc_real) == 8 ? 1e-14 : dc_gemm_rows_same() ? 1e-6 : 1e-5;
	dc_real *whole = gradients(e, m, TINY_N), *want = dc_xaligned(all_outputs(NULL, e), sizeof(*want)), *out;
	const size_t n_out = all_outputs(want, e);

	out = dc_xaligned(n_out, sizeof(*out));
	for (int part = 1; part < TINY_N; part += 3) {
		dc_real *got = gradients(e, m, part);
		const double d = distance(got, whole, all_gradients(NULL, m));

		ok(d < limit, "parts of %d against the whole batch: %.1e of the gradient's length", part, d);
		all_outputs(out, e);
		ok(!memcmp(out, want, n_out * sizeof(*out)) || !dc_gemm_rows_same(), "what goes to the loss is the same, bit for bit%s",
			dc_gemm_rows_same() ? "" : ", where OpenBLAS can");
		free(got);
	}
	free(whole);
	free(want);
	free(out);
}

static inline void
check_keep(int released, int threads)
{
	struct tiny m;
	struct dc_enc *e;
	dc_real *want;
	size_t all;

	set_threads(threads);
	printf("# %s, %d thread%s\n", released ? "as released" : "paper", threads, threads > 1 ? "s" : "");
	tiny_new(&m, 0, released);
	e = dc_enc_new(&m.c, m.w, m.n, 1);
	want = gradients(e, &m, 2);
	ok(e->again == 0, "everything is kept without a limit");
	all = e->kept;
	for (int lean = 0; lean < 2; lean++) {
		kept(e, &m, want, SIZE_MAX, lean, "everything kept", 0);
		ok(lean ? e->kept < all * 3 / 4 : e->kept == all, "of %zu", all);
		kept(e, &m, want, (lean ? 60000 : 120000) * sizeof(dc_real) / 4, lean, "some kept", -1);
		kept(e, &m, want, 0, lean, "nothing kept", 1);
	}
	dc_enc_keep(e, SIZE_MAX, 0);
	check_parts(e, &m);
	free(want);
	dc_enc_free(e);
	tiny_free(&m);
}

#endif
