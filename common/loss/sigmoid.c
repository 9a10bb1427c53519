/* SPDX-License-Identifier: MIT */
#include "loss/sigmoid.h"

#include <math.h>
#include <stdlib.h>

#include "base/util.h"
#include "nn/gemm.h"

/* Rows i0 .. i0 + n_i, columns j0 .. j0 + n_j of the products. */
struct tile { int i0, n_i, j0, n_j; };
struct sums { double value, scale, bias; };

/* c = <a_i, b_j> in the row; y = -z (t c + b):  -log sigmoid(-y) = max(y, 0) + log(1 + exp(-|y|)),
 *	g = dL/dx = -z w / (1 + exp(-y))
 * takes the place of c. */
static struct sums
one_row(double *c, int n, int own, const struct dc_sigmoid *p, double w)
{
	struct sums s = { 0, 0, 0 };

	for (int j = 0; j < n; j++) {
		const double z = j == own ? 1 : -1, y = -z * (p->scale * c[j] + p->bias), e = exp(-fabs(y));
		const double g = -z * w * (y > 0 ? 1 / (1 + e) : e / (1 + e));

		s.value += (y > 0 ? y : y <= 0 ? 0 : y) + log1p(e);   /* NaN stays */
		s.scale += g * c[j];
		s.bias += g;
		c[j] = g;
	}
	return s;
}

static void
tile_rows(struct dc_tiles *t, const struct dc_sigmoid *p, const struct tile *x, double w, struct sums *row)
{
	#pragma omp parallel for if (x->n_i * x->n_j > DC_PARALLEL / 16)
	for (int i = 0; i < x->n_i; i++)
		row[i] = one_row(t->l + (size_t)i * x->n_j, x->n_j, x->i0 + i - x->j0, p, w);
}

static void
one_tile(struct dc_tiles *t, const struct dc_sigmoid *p, const struct tile *x, double w, struct sums *row, struct sums *all)
{
	const size_t D = p->D, a = x->i0 * D, b = x->j0 * D;

	if (x->j0 == 0)
		dc_rows_make(t->ta, &p->a, x->i0, x->n_i, p->D);
	dc_rows_make(t->tb, &p->b, x->j0, x->n_j, p->D);
	dc_gemm64(0, 1, x->n_i, x->n_j, p->D, 1, t->ta, p->D, t->tb, p->D, 0, t->l, x->n_j);
	tile_rows(t, p, x, w, row);
	for (int i = 0; i < x->n_i; i++) {
		all->value += row[i].value;
		all->scale += row[i].scale;
		all->bias += row[i].bias;
	}
	if (w == 0)
		return;
	/* da += t g b,  db += t g^T a */
	dc_gemm64(0, 0, x->n_i, p->D, x->n_j, p->scale, t->l, x->n_j, t->tb, p->D, 1, p->da + a, p->D);
	dc_gemm64(1, 0, x->n_j, p->D, x->n_i, p->scale, t->l, x->n_j, t->ta, p->D, 1, p->db + b, p->D);
}

void
dc_sigmoid_loss(struct dc_tiles *t, const struct dc_sigmoid *p, double weight, struct dc_sigmoid_result *r)
{
	struct sums all = { 0, 0, 0 }, *row = dc_xcalloc(t->rows, sizeof *row);
	const int N = p->N;

	dc_tiles_room(t, N, p->D);
	for (int i0 = 0; i0 < N; i0 += t->rows)
		for (int j0 = 0; j0 < N; j0 += t->cols) {
			const struct tile x = { i0, N - i0 < t->rows ? N - i0 : t->rows, j0, N - j0 < t->cols ? N - j0 : t->cols };
			one_tile(t, p, &x, weight / N, row, &all);
		}
	*r = (struct dc_sigmoid_result){ all.value / N, all.scale, all.bias };
	free(row);
}
