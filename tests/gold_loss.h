/* SPDX-License-Identifier: MIT */
/* The steps of tests/reference/loss_terms.h (PyTorch) through dc_loss_compute, the queue living on from step to step. */
#ifndef GOLD_LOSS_H
#define GOLD_LOSS_H

#include "tests/loss_problem.h"
#include "tests/reference/loss_terms.h"

static void
gold_load(struct problem *t, const struct gold *g, const struct gold_step *s)
{
	t->c.released = g->released;
	memcpy(t->c.weight, g->weight, sizeof g->weight);
	t->in.logit_scale = s->logit_scale;
	for (int k = 0; k < 9; k++)
		for (size_t i = 0; i < t->n[k]; i++)
			t->x[k][i] = (dc_real)s->x[k][i];
}

static void
gold_compare(const struct problem *t, const char *what, const struct gold_step *s, const struct dc_nn_queue *q,
    double tol)
{
	double worst = fabs(t->out.total - s->total) / (1 + fabs(s->total)), e;

	for (int k = 0; k < 7; k++)
		worst = (e = problem_worst(t->dx[k], s->dx[k], t->n[k])) <= worst ? worst : e;
	for (int k = 0; k < 5; k++)
		worst = (e = fabs(t->out.value[k] - s->value[k]) / (1 + fabs(s->value[k]))) <= worst ? worst : e;
	e = fabs(t->out.d_logit_scale - s->d_logit_scale) / (1e-2 + fabs(s->d_logit_scale));
	worst = e <= worst ? worst : e;
	ok(worst <= tol, "PyTorch, %s, logit_scale %g: worst %.1e", what, s->logit_scale, worst);
	worst = problem_worst(q->rows, s->queue, GOLD_QUEUE * GOLD_D);
	ok(worst <= tol && q->head == s->head, "  and its queue, head %d", (int)q->head);
}

static void
test_gold(double tol)
{
	for (int c = 0; c < 2; c++) {
		struct problem t = problem_new(GOLD_N, GOLD_D, GOLD_Z, GOLD_M, 2, 3);
		struct dc_nn_queue q;
		free(t.start.rows);
		problem_queue(&t, GOLD_QUEUE, GOLD_HEAD, GOLD_QUEUE);
		for (int i = 0; i < GOLD_QUEUE * GOLD_D; i++)
			t.start.rows[i] = (dc_real)gold_queue[i];
		for (int s = 0; s < 3; s++) {
			gold_load(&t, &gold[c], &gold[c].step[s]);
			problem_step(&t, &q);
			gold_compare(&t, gold[c].name, &gold[c].step[s], &q, tol);
			free(t.start.rows);
			t.start = q;
		}
		problem_free(&t);
	}
}

#endif
