/* SPDX-License-Identifier: MIT */
/* Batch norms over the rows of several processes, played by threads: outputs, statistics and gradients are those of one
 * process with all the rows, in double. One of them has no row. */
#include "tests/tap.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "nn/mlp.h"

enum { RANKS = 3, N = 11, IN = 5, HIDDEN = 17, OUT = 6, WEIGHTS = 8, ROOM = 512 };

static const int rows_of[RANKS] = { 7, 0, 4 };
static const struct dc_mlp_layer layer[] = { { "a", IN, HIDDEN, 1, 1 }, { "b", HIDDEN, OUT, 1, 0 } };
static const struct { const char *name; size_t n; } shape[WEIGHTS] = {
	{ "a.weight", HIDDEN * IN }, { "a.bias", HIDDEN }, { "a.bn.weight", HIDDEN }, { "a.bn.bias", HIDDEN },
	{ "b.weight", OUT * HIDDEN }, { "b.bias", OUT }, { "b.bn.weight", OUT }, { "b.bn.bias", OUT },
};

struct rank {
	struct dc_weight w[WEIGHTS];
	dc_real value[WEIGHTS][ROOM], grad[WEIGHTS][ROOM];
	struct dc_mlp *m;
	struct dc_sync sync;
	int from, n, meeting;
	dc_real x[2][N * IN], y[2][N * OUT], dy[2][N * OUT], dx[2][N * IN];
};

static pthread_barrier_t barrier;
static double *sums[RANKS];
static double added[2][ROOM]; /* by turns: who is quick writes the next while another still reads this one */
static struct rank one, several[RANKS];

static double
draw(void)
{
	static uint64_t seed = 1;

	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(int64_t)(seed ^ (seed >> 31)) / 9.3e18;
}

static int
add_up(void *arg, double *x, size_t n)
{
	struct rank *r = arg;
	double *to = added[r->meeting++ % 2];

	sums[r - several] = x;
	if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
		for (size_t i = 0; i < n; i++)
			to[i] = sums[0][i] + sums[1][i] + sums[2][i];
	pthread_barrier_wait(&barrier);
	memcpy(x, to, n * sizeof *x);
	pthread_barrier_wait(&barrier);
	return 0;
}

static const struct dc_weight *
find(void *arg, const char *name)
{
	struct rank *r = arg;

	for (int i = 0; i < WEIGHTS; i++)
		if (!strcmp(shape[i].name, name))
			return &r->w[i];
	return NULL;
}

/* The rows [from, from + n) of what `one` has; all its own if it is that. */
static void
set_up(struct rank *r, int from, int n)
{
	for (int i = 0; i < WEIGHTS; i++) {
		memcpy(r->value[i], one.value[i], sizeof r->value[i]);
		r->w[i] = (struct dc_weight){ shape[i].name, shape[i].n, r->value[i], r->grad[i] };
	}
	r->from = from;
	r->n = n;
	for (int v = 0; v < 2 && r != &one; v++) {
		memcpy(r->x[v], one.x[v] + from * IN, (size_t)n * IN * sizeof **r->x);
		memcpy(r->dy[v], one.dy[v] + from * OUT, (size_t)n * OUT * sizeof **r->dy);
	}
	r->m = dc_mlp_new(layer, 2, find, r);
	if (r == &one)
		return;
	r->sync = (struct dc_sync){ add_up, r };
	r->m->sync = &r->sync;
}

static void *
run(void *arg)
{
	struct rank *r = arg;

	dc_real *x[] = { r->x[0], r->x[1] }, *dx[] = { r->dx[0], r->dx[1] }, *dy[] = { r->dy[0], r->dy[1] };

	dc_mlp_forward(r->m, 2, r->n, x);
	for (int v = 0; v < 2 && r->n; v++)
		memcpy(r->y[v], dc_mlp_output(r->m, v, 1), (size_t)r->n * OUT * sizeof **r->y);
	dc_mlp_backward(r->m, dy, dx);
	return NULL;
}

static double
apart(const dc_real *a, const dc_real *b, size_t n)
{
	double worst = 0;

	for (size_t i = 0; i < n; i++)
		worst = fabs(a[i] - b[i]) > worst || isnan(a[i] - b[i]) ? fabs(a[i] - b[i]) : worst;
	return worst;
}

static void
check_rows(void)
{
	double y = 0, dx = 0, mean = 0, var = 0;

	for (int k = 0; k < RANKS; k++)
		for (int v = 0; v < 2; v++) {
			const struct rank *r = &several[k];
			y = fmax(y, apart(r->y[v], one.y[v] + r->from * OUT, (size_t)r->n * OUT));
			dx = fmax(dx, apart(r->dx[v], one.dx[v] + r->from * IN, (size_t)r->n * IN));
			mean = fmax(mean, apart(r->m->bn[0].mean + v * HIDDEN, one.m->bn[0].mean + v * HIDDEN, HIDDEN));
			var = fmax(var, apart(r->m->bn[1].var + v * OUT, one.m->bn[1].var + v * OUT, OUT));
		}
	ok(y < 1e-12, "outputs, %.1e apart", y);
	ok(dx < 1e-12, "gradients of the input, %.1e apart", dx);
	ok(mean < 1e-13 && var < 1e-13, "means and variances in every process, %.1e and %.1e apart", mean, var);
	ok(several[1].m->bn[0].views == 2 && several[1].m->bn[1].synced && !one.m->bn[1].synced, "and they say what they are");
}

static void
check_weights(void)
{
	for (int i = 0; i < WEIGHTS; i++) {
		dc_real sum[ROOM] = { 0 };
		double d;

		for (int k = 0; k < RANKS; k++)
			for (size_t j = 0; j < shape[i].n; j++)
				sum[j] += several[k].grad[i][j];
		d = apart(sum, one.grad[i], shape[i].n);
		ok(d < 1e-11, "the sum of the gradients of %s, %.1e apart", shape[i].name, d);
	}
}

int
main(void)
{
	pthread_t t[RANKS];
	int from = 0;

	for (int i = 0; i < WEIGHTS; i++)
		for (size_t j = 0; j < ROOM; j++)
			one.value[i][j] = draw();
	for (int v = 0; v < 2; v++) {
		for (int i = 0; i < N * IN; i++)
			one.x[v][i] = draw();
		for (int i = 0; i < N * OUT; i++)
			one.dy[v][i] = draw();
	}
	set_up(&one, 0, N);
	run(&one);
	pthread_barrier_init(&barrier, NULL, RANKS);
	for (int k = 0; k < RANKS; from += rows_of[k++])
		set_up(&several[k], from, rows_of[k]);
	for (int k = 0; k < RANKS; k++)
		pthread_create(&t[k], NULL, run, &several[k]);
	for (int k = 0; k < RANKS; k++)
		pthread_join(t[k], NULL);
	check_rows();
	check_weights();
	for (int k = 0; k < RANKS; k++)
		dc_mlp_free(several[k].m);
	dc_mlp_free(one.m);
	return done_testing();
}
