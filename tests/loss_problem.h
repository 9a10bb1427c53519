/* SPDX-License-Identifier: MIT */
/* A drawn step of the loss in dc_real, with its copy in double for tests/naive_loss.h. Shared by test_loss.c and
 * test64_loss.c. */
#ifndef LOSS_PROBLEM_H
#define LOSS_PROBLEM_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "loss/loss.h"
#include "tests/naive_loss.h"

struct problem {
	struct dc_config c;
	struct dc_loss_in in;
	struct dc_loss_out out;
	struct dc_nn_queue start;             /* as before the step */
	struct dc_loss_work *w;
	dc_real *x[9]; size_t n[9];           /* I1 I2 T1 T2 p1 p2 nll | z1 z2 : the inputs, the first seven differentiable */
	dc_real *dx[7];                       /* their gradients */
	int seed, N, D, Z, M;
};

static uint64_t problem_seed = 7;

/* a number in (-1, 1) */
static double
draw(void)
{
	problem_seed = problem_seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(int64_t)(problem_seed ^ (problem_seed >> 31)) / 9.3e18;
}

static dc_real *
drawn(size_t n)
{
	dc_real *x = dc_xmalloc((n + 1) * sizeof *x);
	for (size_t i = 0; i < n; i++)
		x[i] = (dc_real)draw();
	return x;
}

static void
problem_wire(struct problem *t)
{
	for (int v = 0; v < 2; v++) {
		t->in.image_features[v] = t->x[v];
		t->in.text_features[v] = t->x[2 + v];
		t->in.simsiam_p[v] = t->x[4 + v];
		t->in.simsiam_z[v] = t->x[7 + v];
		t->out.d_image_features[v] = t->dx[v];
		t->out.d_text_features[v] = t->dx[2 + v];
		t->out.d_simsiam_p[v] = t->dx[4 + v];
	}
	t->in.mlm_nll = t->x[6];
	t->out.d_mlm_nll = t->dx[6];
}

/* length rows of queue, the newest valid ones filled, head anywhere */
static void
problem_queue(struct problem *t, int length, int head, int valid)
{
	t->start = (struct dc_nn_queue){ drawn((size_t)length * t->D), length, head, valid, t->D };
	for (int i = 0; i < length; i++) {
		dc_real *row = t->start.rows + (size_t)i * t->D;
		double s = 0;
		for (int d = 0; d < t->D; d++)
			s += (double)row[d] * row[d];
		for (int d = 0; d < t->D; d++)
			row[d] = (dc_real)(row[d] / sqrt(s));
	}
}

static struct problem
problem_new(int N, int D, int Z, int M, int tile_rows, int tile_cols)
{
	struct problem t = { .N = N, .D = D, .Z = Z, .M = M };
	const size_t n[9] = { N * D, N * D, N * D, N * D, N * Z, N * Z, M, N * Z, N * Z };

	strcpy(t.c.method, "declip");
	for (int k = 0; k < 9; k++) {
		t.n[k] = n[k];
		t.x[k] = drawn(n[k]);
		if (k < 7)
			t.dx[k] = drawn(n[k]);   /* rubbish that must be overwritten */
	}
	t.in = (struct dc_loss_in){ .N = N, .D = D, .Z = Z, .M = M, .logit_scale = 1.3 };
	t.w = dc_loss_work_new(tile_rows, tile_cols);
	problem_queue(&t, N + 3, 2, N + 3);
	problem_wire(&t);
	return t;
}

static void
problem_free(struct problem *t)
{
	for (int k = 0; k < 9; k++)
		free(t->x[k]);
	for (int k = 0; k < 7; k++)
		free(t->dx[k]);
	free(t->start.rows);
	dc_loss_work_free(t->w);
}

/* One step from the queue as it was; the queue afterwards is in *q if that is not NULL (free q->rows). */
static int
problem_step(struct problem *t, struct dc_nn_queue *q)
{
	struct dc_nn_queue copy = t->start;
	const size_t n = (size_t)copy.length * copy.D;
	int r;

	copy.rows = dc_xmalloc(n * sizeof(dc_real));
	memcpy(copy.rows, t->start.rows, n * sizeof(dc_real));
	r = dc_loss_compute(&t->c, &t->in, &copy, &t->out, t->w);
	if (q)
		*q = copy;
	else
		free(copy.rows);
	return r;
}

static double *
to_double(const dc_real *x, size_t n)
{
	double *y = malloc((n + 1) * sizeof *y);
	for (size_t i = 0; i < n; i++)
		y[i] = x[i];
	return y;
}

/* The same step by the naive reference. Only its results are alive afterwards: naive_free(). */
static struct naive
problem_naive(const struct problem *t)
{
	struct naive r = { .N = t->N, .D = t->D, .Z = t->Z, .M = t->M, .released = t->c.released,
		.log_scale = t->in.logit_scale };
	double *x[9], *queue = to_double(t->start.rows, (size_t)t->start.length * t->D);

	memcpy(r.weight, t->c.weight, sizeof r.weight);
	for (int k = 0; k < 9; k++)
		x[k] = to_double(t->x[k], t->n[k]);
	for (int v = 0; v < 2; v++) {
		r.I[v] = x[v];
		r.T[v] = x[2 + v];
		r.p[v] = x[4 + v];
		r.z[v] = x[7 + v];
	}
	r.nll = x[6];
	r.queue = queue;
	r.length = (int)t->start.length;
	r.head = (int)t->start.head;
	r.valid = t->start.valid >= (t->c.nns_after < t->start.length ? t->c.nns_after : t->start.length)
	    ? (int)t->start.valid : 0;
	naive_loss(&r);
	for (int k = 0; k < 9; k++)
		free(x[k]);
	free(queue);
	return r;
}

/* The largest |got - want| of a gradient relative to the largest |want| (NaN wins). */
static double
problem_worst(const dc_real *got, const double *want, size_t n)
{
	double worst = 0, scale = 1e-30;

	for (size_t i = 0; i < n; i++)
		scale = fmax(scale, fabs(want[i]));
	for (size_t i = 0; i < n; i++) {
		double e = fabs(got[i] - want[i]) / scale;
		if (!(e <= worst))
			worst = e;
		if (isnan(worst))
			break;
	}
	return worst;
}

/* Values and gradients of the last step against the naive reference: one ok. */
static void
problem_agrees(const struct problem *t, double tol, const char *what)
{
	static const char *const name[] = { "I1", "I2", "T1", "T2", "p1", "p2", "nll" };
	struct naive r = problem_naive(t);
	const double *want[7] = { r.dI[0], r.dI[1], r.dT[0], r.dT[1], r.dp[0], r.dp[1], r.dnll };
	double worst = fabs(t->out.total - r.total) / (1e-2 + fabs(r.total));
	const char *where = "total";

	for (int k = 0; k < 7; k++) {
		double e = problem_worst(t->dx[k], want[k], t->n[k]);
		if (!(e <= worst)) {
			worst = e;
			where = name[k];
		}
	}
	for (int k = 0; k <= DC_TERM_NNS; k++) {
		double e = t->c.weight[k] == 0 ? 0 : fabs(t->out.value[k] - r.value[k]) / (1e-2 + fabs(r.value[k]));
		if (!(e <= worst)) {
			worst = e;
			where = dc_term_names[k];
		}
	}
	double e = fabs(t->out.d_logit_scale - r.d_log_scale) / (1e-2 + fabs(r.d_log_scale));
	if (!(e <= worst)) {
		worst = e;
		where = "logit_scale";
	}
	ok(worst <= tol, "%s: as the naive reference, worst %.1e at %s", what, worst, where);
	ok(fabs(t->out.accuracy_i2t - r.right_i) < 1e-9 && fabs(t->out.accuracy_t2i - r.right_t) < 1e-9,
	    "  accuracies %.3f %.3f, wanted %.3f %.3f", t->out.accuracy_i2t, t->out.accuracy_t2i, r.right_i, r.right_t);
	if (t->c.weight[DC_TERM_SIMSIAM] != 0)
		ok(fabs(t->out.simsiam_std - r.simsiam_std) <= 1e-6 * r.simsiam_std, "  simsiam_std %.6f, wanted %.6f", t->out.simsiam_std,
		    r.simsiam_std);
	naive_free(&r);
}

#endif
