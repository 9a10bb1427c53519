/* SPDX-License-Identifier: MIT */
/* The objective in double: every term's gradient against central differences, element by element, and everything
 * against the naive reference; the queue. */
#include "tests/tap.h"

#include "loss/queue.h"
#include "tests/gold_loss.h"
#include "tests/loss_problem.h"

static const char *const input_name[] = { "I1", "I2", "T1", "T2", "p1", "p2", "nll" };

static double
total(struct problem *t)
{
	return problem_step(t, NULL) < 0 ? NAN : t->out.total;
}

/* (f(x + e) - f(x - e)) / 2e of the total for every element of every input, and for logit_scale */
static double
worst_difference(struct problem *t, const char **where)
{
	const double e = 1e-6, floor = 1e-3 * (1 + fabs(total(t)));   /* the difference loses digits of the total */
	double worst = 0;

	for (int k = 0; k < 7; k++) {
		dc_real *grad = dc_xmalloc((t->n[k] + 1) * sizeof *grad);
		problem_step(t, NULL);
		memcpy(grad, t->dx[k], t->n[k] * sizeof *grad);
		for (size_t i = 0; i < t->n[k]; i++) {
			const dc_real was = t->x[k][i];
			t->x[k][i] = was + e;
			double up = total(t);
			t->x[k][i] = was - e;
			double want = (up - total(t)) / (2 * e), err = fabs(grad[i] - want) / (floor + fabs(want));
			t->x[k][i] = was;
			if (!(err <= worst) && !isnan(worst)) {
				worst = err;
				*where = input_name[k];
			}
		}
		free(grad);
	}
	return worst;
}

static double
scale_difference(struct problem *t)
{
	const double e = 1e-6, was = t->in.logit_scale;
	double up, want, got;

	problem_step(t, NULL);
	got = t->out.d_logit_scale;
	t->in.logit_scale = was + e;
	up = total(t);
	t->in.logit_scale = was - e;
	want = (up - total(t)) / (2 * e);
	t->in.logit_scale = was;
	return fabs(got - want) / (1e-3 + fabs(want));
}

static void
check(struct problem *t, const char *what)
{
	const char *where = "";
	double worst, scale;

	worst = worst_difference(t, &where);
	scale = scale_difference(t);
	ok(worst <= 1e-6, "%s: central differences, worst %.1e at %s", what, worst, where);
	ok(scale <= 1e-6, "  and of logit_scale, %.1e", scale);
	ok(problem_step(t, NULL) == 0, "  computes %s", dc_err());
	problem_agrees(t, 1e-10, what);
}

static void
only(struct problem *t, int term, double weight)
{
	for (int k = 0; k < DC_TERMS; k++)
		t->c.weight[k] = k == term ? weight : 0;
}

static void
all(struct problem *t)
{
	const double w[DC_TERMS] = { .4, .2, .3, .15, .25 };
	memcpy(t->c.weight, w, sizeof w);
}

/* each term alone and the total, with tiles smaller than N */
static void
test_terms(int N, int tile_rows, int tile_cols)
{
	char what[64];

	for (int released = 0; released < 2; released++) {
		struct problem t = problem_new(N, 5, 4, 6, tile_rows, tile_cols);
		t.c.released = released;
		for (int k = 0; k <= DC_TERM_NNS + 1; k++) {
			if (k <= DC_TERM_NNS)
				only(&t, k, .7);
			else
				all(&t);
			snprintf(what, sizeof what, "N=%d tiles %dx%d %s %s", N, tile_rows, tile_cols,
			    released ? "released" : "paper", k <= DC_TERM_NNS ? dc_term_names[k] : "total");
			check(&t, what);
		}
		problem_free(&t);
	}
}

static void
test_sizes(void)
{
	char what[64];

	for (int N = 2; N <= 33; N++) {
		struct problem t = problem_new(N, 5, 4, N % 7, 4 + N % 5, 3 + N % 6);
		all(&t);
		t.c.released = N & 1;
		snprintf(what, sizeof what, "N=%d M=%d", N, t.M);
		problem_step(&t, NULL);
		problem_agrees(&t, 1e-10, what);
		problem_free(&t);
	}
}

static void
test_scale(void)
{
	struct problem t = problem_new(6, 5, 4, 6, 4, 4);
	double grad, low, cap;

	all(&t);
	t.in.logit_scale = 5;
	check(&t, "logit_scale 5, above the cap");
	ok(t.out.d_logit_scale == 0, "  gradient of logit_scale exactly 0");
	cap = t.out.total;
	t.in.logit_scale = log(100);
	problem_step(&t, NULL);
	ok(t.out.total == cap, "  the same total as at ln 100");
	t.in.logit_scale = 4.6;
	problem_step(&t, NULL);
	low = t.out.total;
	ok(low != cap && t.out.d_logit_scale != 0, "  not as just below");
	ok(dc_logit_scale((double)(float)log(100), &grad) == 100 && grad == 100, "ln 100 as a float is not above the cap");
	ok(dc_logit_scale(4.6052, &grad) == 100 && grad == 0, "4.6052 is");
	ok(isnan(dc_logit_scale(NAN, NULL)), "NaN stays NaN");
	t.c.released = 1;
	t.in.logit_scale = log(100);
	problem_step(&t, NULL);
	cap = t.out.d_logit_scale;
	t.in.logit_scale = 5;
	problem_step(&t, NULL);
	ok(cap != 0 && fabs(t.out.d_logit_scale - cap * exp(5) / 100) <= 1e-12 * fabs(cap), "released: it goes on above the cap");
	problem_free(&t);
}

/* repeated captions: other people's equal captions are negatives like all the others; the first of equals is right */
static void
test_repeated(void)
{
	struct problem t = problem_new(9, 5, 4, 6, 4, 5);

	all(&t);
	for (int n = 1; n < 9; n += 2)
		for (int k = 2; k < 4; k++)
			memcpy(t.x[k] + n * 5, t.x[k], 5 * sizeof(dc_real));
	check(&t, "repeated captions");
	for (int k = 0; k < 4; k++)
		for (int i = 0; i < 45; i++)
			t.x[k][i] = i % 5 + 1;
	problem_step(&t, NULL);
	ok(fabs(t.out.accuracy_i2t - 1. / 9) < 1e-12 && fabs(t.out.accuracy_t2i - 1. / 9) < 1e-12,
	    "all features equal: only the first of nine counts as right");
	ok(fabs(t.out.value[DC_TERM_CLIP] - log(9)) < 1e-12, "  and the loss is ln 9");
	problem_free(&t);
}

static void
test_nothing_masked(void)
{
	struct problem t = problem_new(4, 5, 4, 0, 4, 4);

	all(&t);
	problem_step(&t, NULL);
	ok(t.out.value[DC_TERM_MLM] == 0 && t.out.active[DC_TERM_MLM], "nothing masked: mlm is 0");
	problem_agrees(&t, 1e-10, "nothing masked");
	problem_free(&t);
}

static void
test_clip_method(void)
{
	struct problem t = problem_new(7, 5, 4, 0, 4, 4);

	strcpy(t.c.method, "clip");
	only(&t, DC_TERM_CLIP, 1);
	t.in = (struct dc_loss_in){ .N = 7, .D = 5, .image_features = { t.x[0] }, .text_features = { t.x[2] },
		.logit_scale = 1.3 };
	t.out = (struct dc_loss_out){ .d_image_features = { t.dx[0] }, .d_text_features = { t.dx[2] } };
	ok(dc_loss_compute(&t.c, &t.in, NULL, &t.out, t.w) == 0, "clip from one view, no queue");
	ok(t.out.total == t.out.value[DC_TERM_CLIP] && !t.out.nn_enqueue, "  total is its value");
	only(&t, DC_TERM_MVS, .2);
	ok(dc_loss_compute(&t.c, &t.in, NULL, &t.out, t.w) < 0, "a term that the method has not: %s", dc_err());
	strcpy(t.c.method, "declip");
	ok(dc_loss_compute(&t.c, &t.in, NULL, &t.out, t.w) < 0 && strstr(dc_err(), "image_features.1"), "%s", dc_err());
	only(&t, DC_TERM_NNS, .2);
	t.in.image_features[1] = t.x[1];
	t.out.d_image_features[1] = t.dx[1];
	ok(dc_loss_compute(&t.c, &t.in, NULL, &t.out, t.w) < 0 && strstr(dc_err(), "queue"), "%s", dc_err());
	only(&t, DC_TERM_SIMSIAM, .2);
	ok(dc_loss_compute(&t.c, &t.in, NULL, &t.out, t.w) < 0 && strstr(dc_err(), "simsiam_p.0"), "%s", dc_err());
	only(&t, DC_TERM_CLIP, 0);
	ok(dc_loss_compute(&t.c, &t.in, NULL, &t.out, t.w) == 0 && t.out.accuracy_i2t > 0 && t.out.total == 0,
	    "clip off: the accuracies are there all the same");
	problem_free(&t);
}

static void
test_nan(void)
{
	struct problem t = problem_new(9, 5, 4, 3, 4, 4);
	int bad = 0;

	all(&t);
	for (int k = 0; k < 7; k++) {
		dc_real was = t.x[k][2];
		t.x[k][2] = NAN;
		problem_step(&t, NULL);
		bad += !isnan(t.out.total);
		t.x[k][2] = was;
	}
	ok(bad == 0, "a NaN in any input comes out in the total");
	problem_free(&t);
}

/* --- the queue --- */

static void
test_ties(void)
{
	/* rows 0, 2 and 4 equal; the newest is 1, the oldest 2 */
	dc_real rows[] = { 1, 0, 0, 1, 1, 0, .6, .8, 1, 0 }, u[] = { .8, .6, -1, 0 }, l[9];
	struct dc_nn_queue q = { rows, 5, 2, 5, 2 };
	int64_t index[2];

	dc_nn_queue_nearest(index, u, 1, &q, l, 3, 3);
	ok(index[0] == 3, "nearest: .6 .8 to .8 .6");
	u[0] = 1;
	u[1] = 0;
	dc_nn_queue_nearest(index, u, 2, &q, l, 2, 2);
	ok(index[0] == 2, "of equal rows the oldest: row 2, got %d", (int)index[0]);
	ok(index[1] == 1, "a query from the other side");
	q.head = 1;
	dc_nn_queue_nearest(index, u, 1, &q, l, 3, 3);
	ok(index[0] == 2, "head 1: row 1 is the oldest, 2 the oldest of the equals, got %d", (int)index[0]);
	q.head = 0;
	dc_nn_queue_nearest(index, u, 1, &q, l, 3, 3);
	ok(index[0] == 0, "head 0: row 0, got %d", (int)index[0]);
	q.head = 2, q.valid = 2;
	dc_nn_queue_nearest(index, u, 1, &q, l, 3, 3);
	ok(index[0] == 0, "two valid rows, 0 and 1");
	q.head = 1, q.valid = 2;   /* rows 4, 0 */
	dc_nn_queue_nearest(index, u, 1, &q, l, 3, 3);
	ok(index[0] == 4, "valid rows 4 and 0, round the end: 4 is older, got %d", (int)index[0]);
	q.head = 4, q.valid = 1;   /* row 3 */
	dc_nn_queue_nearest(index, u, 1, &q, l, 3, 3);
	ok(index[0] == 3, "only valid rows are neighbours");
	rows[6] = NAN;
	q.head = 0, q.valid = 5;
	dc_nn_queue_nearest(index, u, 1, &q, l, 3, 3);
	ok(index[0] == 0, "a row with NaN is nobody's neighbour");
}

/* push n rows numbered from 100 on into a queue of 5 with the given head and valid count; compare with a FIFO */
static void
push_case(int head, int valid, int n)
{
	dc_real rows[5], push[20] = { 0 };
	struct dc_nn_queue q = { rows, 5, head, valid, 1 };
	int good = 1;

	for (int i = 0; i < 5; i++)
		rows[i] = i;
	for (int i = 0; i < n; i++)
		push[i] = 100 + i;
	dc_nn_queue_push(&q, push, n);
	good &= q.head == (head + n) % 5 && q.valid == (valid + n < 5 ? valid + n : 5);
	for (int i = 0; i < n && i < 5; i++)   /* the newest are behind the head, in order */
		good &= rows[(q.head - 1 - i + 10) % 5] == 100 + n - 1 - i;
	for (int i = 0; i < 5 - n; i++)        /* the others as they were */
		good &= rows[(q.head + i) % 5] == (q.head + i) % 5;
	ok(good, "push %d at head %d with %d valid", n, head, valid);
}

static void
test_wait(void)
{
	struct problem t = problem_new(4, 5, 4, 3, 4, 4);
	struct dc_nn_queue q;
	double rest;

	all(&t);
	t.c.nns_after = 6;
	free(t.start.rows);
	problem_queue(&t, 10, 5, 5);
	problem_step(&t, &q);
	ok(!t.out.active[DC_TERM_NNS] && t.out.value[DC_TERM_NNS] == 0, "nns waits for 6 of 10 rows, 5 are there");
	ok(q.valid == 9 && q.head == 9 && t.out.n_enqueue == 4, "  and pushes all the same");
	problem_agrees(&t, 1e-10, "  without nns");
	rest = t.out.total;
	free(t.start.rows);
	t.start = q;
	problem_step(&t, &q);
	ok(t.out.active[DC_TERM_NNS] && t.out.total > rest, "  then it is on");
	ok(q.valid == 10 && q.head == 3, "  the queue wraps");
	problem_agrees(&t, 1e-10, "  with nns over 9 valid rows");
	free(q.rows);
	t.c.nns_after = 1000;
	t.start.valid = 10;
	problem_step(&t, NULL);
	ok(t.out.active[DC_TERM_NNS], "it never waits for more rows than the queue has");
	t.start.valid = t.c.nns_after = 0;
	problem_step(&t, NULL);
	ok(!t.out.active[DC_TERM_NNS], "an empty queue has no neighbours");
	problem_free(&t);
}

/* what is pushed: unit rows of T1; as released T2 then T1, each cut where the queue ends */
static void
enqueue_case(int released, int length, int head, int n_want, int head_want)
{
	struct problem t = problem_new(4, 5, 4, 3, 4, 4);
	struct dc_nn_queue q, copy;
	double norm = 0, cosine = 0;

	all(&t);
	t.c.released = released;
	free(t.start.rows);
	problem_queue(&t, length, head, length);
	problem_step(&t, &q);
	ok(t.out.n_enqueue == n_want && q.head == head_want, "%s: queue of %d at %d: %d pushed, head %d",
	    released ? "released" : "paper", length, head, (int)t.out.n_enqueue, (int)q.head);
	for (int d = 0; d < 5; d++) {
		norm += t.out.nn_enqueue[d] * t.out.nn_enqueue[d];
		cosine += t.out.nn_enqueue[d] * t.x[released ? 3 : 2][d];
	}
	ok(fabs(norm - 1) < 1e-12 && cosine > 0, "  unit rows");
	copy = t.start;
	dc_nn_queue_push(&copy, t.out.nn_enqueue, t.out.n_enqueue);
	ok(!memcmp(copy.rows, q.rows, (size_t)length * 5 * sizeof(dc_real)) && copy.head == q.head,
	    "  a copy of the queue that pushes nn_enqueue is the same");
	free(q.rows);
	problem_free(&t);
}

static void
test_queue(void)
{
	test_ties();
	for (int n = 0; n <= 12; n += 3) {
		push_case(0, 0, n);
		push_case(3, 3, n);
		push_case(4, 5, n);
	}
	test_wait();
	enqueue_case(0, 9, 2, 4, 6);
	enqueue_case(0, 9, 7, 4, 2);
	enqueue_case(0, 3, 1, 4, 2);
	enqueue_case(1, 9, 0, 8, 8);
	enqueue_case(1, 9, 5, 8, 4);
	enqueue_case(1, 9, 6, 7, 4);
	enqueue_case(1, 9, 3, 6, 0);
	enqueue_case(1, 3, 0, 6, 0);
}

int
main(void)
{
	test_terms(2, 4, 4);
	test_terms(7, 3, 4);
	test_terms(8, 4, 4);
	test_sizes();
	test_scale();
	test_repeated();
	test_nothing_masked();
	test_clip_method();
	test_nan();
	test_queue();
	test_gold(1e-10);
	return done_testing();
}
