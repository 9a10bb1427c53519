/* SPDX-License-Identifier: MIT */
/* The objective in float, as the product computes it, against the naive reference in double and against PyTorch. */
#include "tests/tap.h"

#include "loss/queue.h"
#include "tests/gold_loss.h"
#include "tests/loss_problem.h"

static void
test_naive(int N, int D, double logit_scale, int tile_rows, int tile_cols, double tol)
{
	const double w[DC_TERMS] = { .4, .2, .2, .2, .2 };
	char what[64];

	for (int released = 0; released < 2; released++) {
		struct problem t = problem_new(N, D, 16, 20, tile_rows, tile_cols);
		memcpy(t.c.weight, w, sizeof w);
		t.c.released = released;
		t.in.logit_scale = logit_scale;
		snprintf(what, sizeof what, "float N=%d D=%d logit_scale %g %s", N, D, logit_scale,
		    released ? "released" : "paper");
		problem_step(&t, NULL);
		problem_agrees(&t, tol, what);
		problem_free(&t);
	}
}

/* Gradients in the inputs' own memory: the same bytes. */
static void
test_in_place(int released)
{
	const double w[DC_TERMS] = { .4, .2, .2, .2, .2 };
	struct problem t = problem_new(50, 24, 16, 20, 16, 32), s = problem_new(50, 24, 16, 20, 16, 32);
	int same = 1;

	memcpy(t.c.weight, w, sizeof w);
	memcpy(s.c.weight, w, sizeof w);
	t.c.released = s.c.released = released;
	problem_step(&t, NULL);
	memcpy(s.start.rows, t.start.rows, (size_t)t.start.length * t.D * sizeof *t.start.rows);
	for (int k = 0; k < 9; k++)
		memcpy(s.x[k], t.x[k], t.n[k] * sizeof *t.x[k]);
	for (int v = 0; v < 2; v++) {
		s.out.d_image_features[v] = s.x[v];
		s.out.d_text_features[v] = s.x[2 + v];
		s.out.d_simsiam_p[v] = s.x[4 + v];
	}
	s.out.d_mlm_nll = s.x[6];
	problem_step(&s, NULL);
	for (int k = 0; k < 7; k++)
		same = same && !memcmp(s.x[k], t.dx[k], t.n[k] * sizeof *t.dx[k]);
	ok(same && s.out.total == t.out.total && s.out.n_enqueue == t.out.n_enqueue &&
	    !memcmp(s.out.nn_enqueue, t.out.nn_enqueue, (size_t)t.out.n_enqueue * t.D * sizeof(dc_real)),
	    "gradients take their inputs' place, %s", released ? "released" : "paper");
	problem_free(&t);
	problem_free(&s);
}

/* Untrained towers: all features nearly the same. The gradient is small and must still be right, at the largest scale. */
static void
test_collapsed(void)
{
	const double w[DC_TERMS] = { .4, .2, .2, .2, 0 };
	struct problem t = problem_new(40, 32, 16, 20, 16, 16);

	memcpy(t.c.weight, w, sizeof w);
	t.in.logit_scale = 4.605;
	for (int k = 0; k < 4; k++)
		for (size_t i = 0; i < t.n[k]; i++)
			t.x[k][i] = t.x[k][i % 32] + t.x[k][i] / 50;
	problem_step(&t, NULL);
	problem_agrees(&t, 5e-7, "float, features nearly equal");
	problem_free(&t);
}

/* Equal rows at all places of a queue much longer than a tile, among rows a little less near: always the oldest. */
static void
test_ties(void)
{
	enum { Q = 600, D = 48 };
	dc_real *rows = drawn(Q * D), *l = drawn(32 * 64), u[D];
	struct dc_nn_queue q = { rows, Q, 0, Q, D };
	int64_t index;
	int wrong = 0;

	for (int d = 0; d < D; d++)
		u[d] = (dc_real)(draw() / 4);
	for (int i = 0; i < Q; i++)
		for (int d = 0; d < D; d++)
			rows[i * D + d] = i % 7 == 3 ? u[d] : u[d] * (dc_real).9999 + rows[i * D + d] * (dc_real)1e-6;
	for (q.head = 0; q.head < Q; q.head++) {
		int oldest = (int)q.head;
		while (oldest % 7 != 3)
			oldest = (oldest + 1) % Q;
		dc_nn_queue_nearest(&index, u, 1, &q, l, 32, 64);
		wrong += index != oldest;
	}
	ok(wrong == 0, "equal rows: the oldest, wherever the queue begins (%d of %d wrong)", wrong, (int)Q);
	free(rows);
	free(l);
}

int
main(void)
{
	test_naive(50, 24, 2.7, 16, 32, 1e-6);
	test_naive(33, 24, 4.5, 64, 64, 1e-6);
	test_naive(128, 64, 3, 48, 64, 1e-6);
	test_naive(140, 128, 3, 0, 0, 1e-6);   /* large enough for threads */
	test_collapsed();
	test_in_place(0);
	test_in_place(1);
	test_ties();
	test_gold(1e-6);
	return done_testing();
}
