/* SPDX-License-Identifier: MIT */
/* The objective written down once more, in double, with every logit in memory and every loop in the open: what
 * common/loss is tested against. */
#ifndef NAIVE_LOSS_H
#define NAIVE_LOSS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/config.h"

struct naive {
	int N, D, Z, M, released;
	double weight[DC_TERMS], log_scale;
	const double *I[2], *T[2], *z[2], *p[2], *nll;   /* [N,D], [N,Z], [M] */
	const double *queue; int length, head, valid;    /* [length,D] */
	/* results; allocated by naive_loss, freed by naive_free */
	double *dI[2], *dT[2], *dp[2], *dnll, d_log_scale, value[DC_TERMS], total, right_i, right_t, simsiam_std;
};

static double *
naive_unit(const double *x, int N, int D)
{
	double *u = malloc(sizeof *u * N * D);

	for (int n = 0; n < N; n++) {
		double s = 0;
		for (int d = 0; d < D; d++)
			s += x[n * D + d] * x[n * D + d];
		for (int d = 0; d < D; d++)
			u[n * D + d] = x[n * D + d] / sqrt(s);
	}
	return u;
}

/* -log softmax at the diagonal, averaged; wa of a -> b and wb of b -> a; gradients into da, db (may be NULL), ds */
static double
naive_pair(struct naive *t, const double *a, const double *b, double *da, double *db, double *ds, double weight,
    double wa, double wb)
{
	const int N = t->N, D = t->D;
	const double s = fmin(exp(t->log_scale), 100);
	double *l = malloc(sizeof *l * N * N), value = 0;

	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			l[i * N + j] = 0;
			for (int d = 0; d < D; d++)
				l[i * N + j] += s * a[i * D + d] * b[j * D + d];
		}
	for (int i = 0; i < N; i++) {
		double row = 0, col = 0;
		for (int j = 0; j < N; j++) {
			row += exp(l[i * N + j] - l[i * N + i]);
			col += exp(l[j * N + i] - l[i * N + i]);
		}
		value += (wa * log(row) + wb * log(col)) / N;
	}
	for (int i = 0; i < N; i++) {
		for (int j = 0; j < N; j++) {
			double row = 0, col = 0, g;
			for (int k = 0; k < N; k++) {
				row += exp(l[i * N + k] - l[i * N + j]);
				col += exp(l[k * N + j] - l[i * N + j]);
			}
			g = weight / N * (wa * (1 / row - (i == j)) + wb * (1 / col - (i == j)));
			*ds += g * l[i * N + j] / s;
			for (int d = 0; d < D; d++) {
				da[i * D + d] += g * s * b[j * D + d];
				if (db)
					db[j * D + d] += g * s * a[i * D + d];
			}
		}
	}
	free(l);
	return value;
}

/* the neighbours' rows: the first, from the oldest on, that is the largest */
static double *
naive_near(const struct naive *t, const double *u)
{
	double *near = malloc(sizeof *near * t->N * t->D);

	for (int n = 0; n < t->N; n++) {
		double best = -INFINITY;
		for (int k = 0; k < t->valid; k++) {
			const double *row = t->queue + (t->head - t->valid + k + 2 * t->length) % t->length * t->D;
			double s = 0;
			for (int d = 0; d < t->D; d++)
				s += u[n * t->D + d] * row[d];
			if (s > best + 1e-12) {
				best = s;
				memcpy(near + n * t->D, row, sizeof *near * t->D);
			}
		}
	}
	return near;
}

static void
naive_right(struct naive *t, double *const U[4])
{
	t->right_i = t->right_t = 0;
	for (int n = 0; n < t->N; n++) {
		int i = 1, x = 1;
		for (int j = 0; j < t->N; j++) {
			double own = 0, it = 0, ti = 0;
			for (int d = 0; d < t->D; d++) {
				own += U[0][n * t->D + d] * U[2][n * t->D + d];
				it += U[0][n * t->D + d] * U[2][j * t->D + d];
				ti += U[0][j * t->D + d] * U[2][n * t->D + d];
			}
			i &= j < n ? it < own : it <= own;
			x &= j < n ? ti < own : ti <= own;
		}
		t->right_i += (double)i / t->N;
		t->right_t += (double)x / t->N;
	}
}

/* Standard deviation over the batch of z / |z|, mean over channels; mean first, then the differences from it. */
static double
naive_std(const double *z, int N, int Z)
{
	double *u = naive_unit(z, N, Z), total = 0;

	for (int d = 0; d < Z; d++) {
		double mean = 0, var = 0;
		for (int n = 0; n < N; n++)
			mean += u[n * Z + d] / N;
		for (int n = 0; n < N; n++)
			var += (u[n * Z + d] - mean) * (u[n * Z + d] - mean) / N;
		total += sqrt(var) / Z;
	}
	free(u);
	return total;
}

static void
naive_simsiam(struct naive *t)
{
	t->simsiam_std = (naive_std(t->z[0], t->N, t->Z) + naive_std(t->z[1], t->N, t->Z)) / 2;
	for (int v = 0; v < 2; v++) {
		double *up = naive_unit(t->p[v], t->N, t->Z), *uz = naive_unit(t->z[1 - v], t->N, t->Z);
		t->dp[v] = calloc(t->N * t->Z, sizeof(double));
		for (int n = 0; n < t->N; n++) {
			double c = 0, norm = 0;
			for (int d = 0; d < t->Z; d++) {
				c += up[n * t->Z + d] * uz[n * t->Z + d];
				norm += t->p[v][n * t->Z + d] * t->p[v][n * t->Z + d];
			}
			t->value[DC_TERM_SIMSIAM] -= c / (2 * t->N);
			for (int d = 0; d < t->Z; d++)
				t->dp[v][n * t->Z + d] = -t->weight[DC_TERM_SIMSIAM] / (2 * t->N * sqrt(norm)) *
				    (uz[n * t->Z + d] - c * up[n * t->Z + d]);
		}
		free(up);
		free(uz);
	}
}

static void
naive_loss(struct naive *t)
{
	const size_t nd = (size_t)t->N * t->D;
	const double *w = t->weight, *X[4] = { t->I[0], t->I[1], t->T[0], t->T[1] };
	double *U[4] = { 0 }, *dU[4] = { 0 }, ds = 0;

	memset(t->value, 0, sizeof t->value);
	for (int k = 0; k < 4; k++) {
		U[k] = naive_unit(X[k], t->N, t->D);
		dU[k] = calloc(nd, sizeof(double));
	}
	t->value[DC_TERM_CLIP] = naive_pair(t, U[0], U[2], dU[0], dU[2], &ds, w[DC_TERM_CLIP], .5, .5);
	naive_right(t, U);
	for (int k = 1; k < 4; k++) {
		int i = k & 1, x = 2 + (k >> 1);
		t->value[DC_TERM_MVS] += naive_pair(t, U[i], U[x], dU[i], dU[x], &ds, w[DC_TERM_MVS] / 3, .5, .5) / 3;
	}
	naive_simsiam(t);
	t->dnll = calloc(t->M + 1, sizeof(double));
	for (int m = 0; m < t->M; m++) {
		t->value[DC_TERM_MLM] += t->nll[m] / t->M;
		t->dnll[m] = w[DC_TERM_MLM] / t->M;
	}
	for (int x = 0; t->valid && x < (t->released ? 2 : 1); x++) {
		double *near = naive_near(t, U[2 + x]), share = t->released ? .25 : .5;
		for (int i = 0; i < 2; i++)
			t->value[DC_TERM_NNS] += share * naive_pair(t, U[i], near, dU[i], NULL, &ds, w[DC_TERM_NNS] * share,
			    t->released ? 1 : .5, t->released ? 0 : .5);
		free(near);
	}
	t->total = 0;
	for (int k = 0; k <= DC_TERM_NNS; k++)
		t->total += w[k] * t->value[k];
	t->d_log_scale = exp(t->log_scale) > 100 && !t->released ? 0 : ds * exp(t->log_scale);
	for (int k = 0; k < 4; k++) {   /* du -> dx = (du - u <u, du>) / |x| */
		double *dx = malloc(sizeof *dx * nd);
		for (int n = 0; n < t->N; n++) {
			double dot = 0, norm = 0;
			for (int d = 0; d < t->D; d++) {
				dot += U[k][n * t->D + d] * dU[k][n * t->D + d];
				norm += X[k][n * t->D + d] * X[k][n * t->D + d];
			}
			for (int d = 0; d < t->D; d++)
				dx[n * t->D + d] = (dU[k][n * t->D + d] - U[k][n * t->D + d] * dot) / sqrt(norm);
		}
		*(k < 2 ? &t->dI[k] : &t->dT[k - 2]) = dx;
		free(U[k]);
		free(dU[k]);
	}
}

static void
naive_free(struct naive *t)
{
	for (int v = 0; v < 2; v++) {
		free(t->dI[v]);
		free(t->dT[v]);
		free(t->dp[v]);
	}
	free(t->dnll);
}

#endif
