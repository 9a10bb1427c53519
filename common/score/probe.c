/* SPDX-License-Identifier: MIT */
#include "score/probe.h"

#include <lbfgs.h>
#include <stdlib.h>
#include <string.h>

#include "nn/gemm.h"

/* What L-BFGS works on is not W and b but u [K,D+1], with features z = (s (x - m), 1), m their mean:
 *	W = s u,  b = u_D - W m,  lambda |W|^2 = lambda s^2 |u|^2,  s^2 = 1 / (mean variance of the columns + K lambda / N)
 * so that F is about as curved along u_d, d < D, as along u_D, where softmax (1 - softmax) is near 1/K. The minimum is the
 * same one; the way there is much shorter and does not depend on the features' scale. */

enum { TILE = 512, ROUND = 16 /* liblbfgs with SSE wants a multiple of 8 */, MEMORY = 10 };

struct dc_probe {
	const dc_real *x; const int64_t *y; int64_t N; /* the training set */
	int D, K, n;              /* n: variables, K (D + 1) rounded up */
	double *mean, var, scale; /* m [D], mean variance, s */
	double *u;                /* [n] */
	double *z, *l, *loss;     /* [TILE,D+1], [TILE,K], [TILE] */
	double lambda, tolerance;
	int iterations, converged;
};

/* --- sums over the features --- */

static void
column_means(double *mean, const dc_real *x, int64_t N, int D)
{
	memset(mean, 0, D * sizeof *mean);
	for (int64_t n = 0; n < N; n++)
		for (int d = 0; d < D; d++)
			mean[d] += x[n * D + d];
	for (int d = 0; d < D; d++)
		mean[d] /= (double)N;
}

static double
mean_variance(const double *mean, const dc_real *x, int64_t N, int D)
{
	double sum = 0;

	for (int64_t n = 0; n < N; n++) {
		double row = 0;
		for (int d = 0; d < D; d++)
			row += (x[n * D + d] - mean[d]) * (x[n * D + d] - mean[d]);
		sum += row;
	}
	return sum / (double)N / D;
}

/* The minimum for lambda -> infinity: W = 0, softmax(b) = the classes' shares. */
static void
start(struct dc_probe *p)
{
	memset(p->u, 0, p->n * sizeof *p->u);
	for (int64_t n = 0; n < p->N; n++)
		p->u[p->y[n] * (p->D + 1) + p->D]++;
	for (int k = 0; k < p->K; k++) {
		double *b_k = &p->u[(size_t)k * (p->D + 1) + p->D];
		*b_k = log((*b_k + (*b_k == 0)) / (double)p->N);
	}
}

struct dc_probe *
dc_probe_new(const dc_real *x, const int64_t *y, int64_t N, int D, int K)
{
	struct dc_probe *p = dc_xcalloc(1, sizeof *p);

	*p = (struct dc_probe){ .x = x, .y = y, .N = N, .D = D, .K = K };
	p->n = (K * (D + 1) + ROUND - 1) / ROUND * ROUND;
	p->mean = dc_xcalloc(D, sizeof *p->mean);
	p->u = dc_xaligned(p->n, sizeof *p->u);
	p->z = dc_xaligned((size_t)TILE * (D + 1), sizeof *p->z);
	p->l = dc_xaligned((size_t)TILE * K, sizeof *p->l);
	p->loss = dc_xaligned(TILE, sizeof *p->loss);
	column_means(p->mean, x, N, D);
	p->var = mean_variance(p->mean, x, N, D);
	p->scale = 1;
	start(p);
	return p;
}

void
dc_probe_free(struct dc_probe *p)
{
	if (!p)
		return;
	free(p->mean);
	free(p->u);
	free(p->z);
	free(p->l);
	free(p->loss);
	free(p);
}

/* --- the objective --- */

/* z [n,D+1] of n rows of x, and their logits l [n,K] */
static void
logits(const struct dc_probe *p, const double *u, const dc_real *x, int n)
{
	const int D = p->D;

	#pragma omp parallel for if (n * D > DC_PARALLEL)
	for (int i = 0; i < n; i++) {
		double *z_i = p->z + (size_t)i * (D + 1);
		for (int d = 0; d < D; d++)
			z_i[d] = p->scale * (x[(size_t)i * D + d] - p->mean[d]);
		z_i[D] = 1;
	}
	/* l_nk = <z_n, u_k> */
	dc_gemm64(0, 1, n, p->K, D + 1, 1, p->z, D + 1, u, D + 1, 0, p->l, p->K);
}

/* -log softmax(l)_y; and l <- softmax(l) - [k = y] */
static double
cross_entropy(double *l, int64_t y, int K)
{
	double max = l[0], sum, loss;

	for (int k = 1; k < K; k++)
		max = l[k] > max ? l[k] : max;
	loss = max - l[y];
	sum = l[0] = exp(l[0] - max);
	for (int k = 1; k < K; k++)
		sum += l[k] = exp(l[k] - max);
	for (int k = 0; k < K; k++)
		l[k] /= sum;
	l[y] -= 1;
	return loss + log(sum);
}

/* F / N, and g = d(F / N) / du */
static double
evaluate(void *arg, const double *u, double *g, int size, double step)
{
	struct dc_probe *p = arg;
	const int D = p->D, K = p->K;
	const double ridge = p->lambda * p->scale * p->scale;
	double F = 0;

	(void)step;
	memset(g, 0, size * sizeof *g);
	for (int64_t n0 = 0; n0 < p->N; n0 += TILE) {
		const int n = p->N - n0 < TILE ? (int)(p->N - n0) : TILE;
		logits(p, u, p->x + n0 * D, n);
		#pragma omp parallel for if (n * K > DC_PARALLEL / 16)
		for (int i = 0; i < n; i++)
			p->loss[i] = cross_entropy(p->l + (size_t)i * K, p->y[n0 + i], K);
		for (int i = 0; i < n; i++)
			F += p->loss[i];
		/* g <- g + (softmax - onehot)^T z */
		dc_gemm64(1, 0, K, D + 1, n, 1, p->l, K, p->z, D + 1, 1, g, D + 1);
	}
	for (int k = 0; k < K; k++) {
		for (int d = 0; d < D; d++) {
			const int i = k * (D + 1) + d;
			F += ridge / 2 * u[i] * u[i];
			g[i] += ridge * u[i];
		}
	}
	for (int i = 0; i < K * (D + 1); i++)
		g[i] /= (double)p->N;
	return F / (double)p->N;
}

static int
progress(void *arg, const double *u, const double *g, double F, double u_norm, double g_norm, double step, int n, int k,
    int evaluations)
{
	struct dc_probe *p = arg;
	double max = 0;

	(void)u, (void)u_norm, (void)g_norm, (void)step, (void)evaluations;
	for (int i = 0; i < n; i++)
		max = fabs(g[i]) > max ? fabs(g[i]) : max;
	p->iterations = k;
	p->converged = max <= p->tolerance * F;
	return p->converged;
}

/* The same W in the units that suit lambda. */
static void
set_lambda(struct dc_probe *p, double lambda)
{
	const double scale = 1 / sqrt(p->var + p->K * lambda / (double)p->N);

	for (int k = 0; k < p->K; k++)
		for (int d = 0; d < p->D; d++)
			p->u[(size_t)k * (p->D + 1) + d] *= p->scale / scale;
	p->lambda = lambda;
	p->scale = scale;
}

int
dc_probe_fit(struct dc_probe *p, double lambda, const struct dc_probe_how *how, struct dc_probe_result *r)
{
	lbfgs_parameter_t par;
	double F = 0;
	int status;

	lbfgs_parameter_init(&par);
	par.m = MEMORY;
	par.epsilon = 1e-15; /* progress() decides */
	par.max_iterations = how->max_iter;
	set_lambda(p, lambda);
	p->tolerance = how->tolerance;
	p->iterations = p->converged = 0;
	status = lbfgs(p->n, p->u, &F, evaluate, progress, p, &par);
	if (status == LBFGS_SUCCESS || status == LBFGS_ALREADY_MINIMIZED)
		p->converged = 1;
	/* the line search ends in failure where no step makes F smaller that a double can tell apart */
	if (!isfinite(F) || status == LBFGSERR_OUTOFMEMORY || (status < 0 && status < LBFGSERR_OUTOFINTERVAL))
		return dc_err_set("lambda %g: the fit failed (L-BFGS says %d)", lambda, status);
	*r = (struct dc_probe_result){ lambda, F * (double)p->N, p->iterations, p->converged };
	return 0;
}

/* --- use --- */

static void
place_of(struct dc_place *place, int64_t *best, const double *l, int64_t y, int K)
{
	int64_t top = 0;

	*place = (struct dc_place){ 0 };
	for (int k = 1; k < K; k++)
		top = l[k] > l[top] ? k : top;
	*best = top;
	if (y < 0 || y >= K)
		return;
	place->own = 1;
	for (int k = 0; k < K; k++) {
		place->greater += l[k] > l[y];
		place->ties += k != y && l[k] == l[y];
	}
}

void
dc_probe_place(const struct dc_probe *p, struct dc_place *place, int64_t *best, double *loss, const dc_real *x,
    const int64_t *y, int64_t N)
{
	double sum = 0;
	int64_t known = 0;

	for (int64_t n0 = 0; n0 < N; n0 += TILE) {
		const int n = N - n0 < TILE ? (int)(N - n0) : TILE;
		logits(p, p->u, x + n0 * p->D, n);
		for (int i = 0; i < n; i++) {
			double *l_i = p->l + (size_t)i * p->K;
			place_of(&place[n0 + i], &best[n0 + i], l_i, y[n0 + i], p->K);
			if (place[n0 + i].own) {
				sum += cross_entropy(l_i, y[n0 + i], p->K);
				known++;
			}
		}
	}
	if (loss)
		*loss = sum / (double)known;
}

void
dc_probe_weights(const struct dc_probe *p, double *W, double *b)
{
	for (int k = 0; k < p->K; k++) {
		const double *u_k = p->u + (size_t)k * (p->D + 1);
		b[k] = u_k[p->D];
		for (int d = 0; d < p->D; d++) {
			W[(size_t)k * p->D + d] = p->scale * u_k[d];
			b[k] -= W[(size_t)k * p->D + d] * p->mean[d];
		}
	}
}
