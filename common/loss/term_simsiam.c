/* SPDX-License-Identifier: MIT */
/* Image self-supervision (SimSiam, arXiv 2011.10566, eq. 2 and 4). */
#include <stdlib.h>

#include "base/util.h"
#include "loss/term.h"

static int
check(const struct dc_config *c, const struct dc_loss_in *in, const struct dc_nn_queue *q)
{
	(void)c;
	(void)q;
	for (int v = 0; v < 2; v++)
		DC_CHECK(in->simsiam_p[v] && in->simsiam_z[v], "simsiam needs simsiam_p.%d and simsiam_z.%d", v, v);
	return 0;
}

/* c = <p, z> / |p| |z|;  dp = scale dc/dp, where dc/dp = (z/|z| - c p/|p|) / |p|; a row of zeros has c = 0, gradient 0 */
static double
cosine_row(dc_real *dp, const dc_real *p, const dc_real *z, int Z, double scale)
{
	double pz = 0, pp = 0, zz = 0, rp, rz;

	for (int d = 0; d < Z; d++) {
		pz += (double)p[d] * z[d];
		pp += (double)p[d] * p[d];
		zz += (double)z[d] * z[d];
	}
	rp = pp == 0 ? 0 : 1 / sqrt(pp);
	rz = zz == 0 ? 0 : 1 / sqrt(zz);
	for (int d = 0; d < Z; d++)
		dp[d] = (dc_real)(scale * rp * (z[d] * rz - pz * rp * rz * (p[d] * rp)));
	return pz * rp * rz;
}

/* Whether the outputs have collapsed (section 4.1 there): with u_n = z_n / |z_n|, the standard deviation of u_nd over n,
 * averaged over d. 0 where all samples have one output; 1 / sqrt(Z) where the outputs go in all directions. */
static double
spread(const dc_real *z, int N, int Z)
{
	double *sum = dc_xcalloc(2 * (size_t)Z, sizeof *sum), *square = sum + Z, total = 0;

	for (int n = 0; n < N; n++, z += Z) {
		double zz = 0, r;

		for (int d = 0; d < Z; d++)
			zz += (double)z[d] * z[d];
		r = zz == 0 ? 0 : 1 / sqrt(zz);
		for (int d = 0; d < Z; d++) {
			sum[d] += z[d] * r;
			square[d] += z[d] * r * (z[d] * r);
		}
	}
	for (int d = 0; d < Z; d++) {
		const double var = square[d] / N - sum[d] / N * (sum[d] / N);
		total += var < 0 ? 0 : sqrt(var);   /* NaN stays */
	}
	free(sum);
	return total / Z;
}

/* L = -1/2 [ mean_n cos(p1_n, z2_n) + mean_n cos(p2_n, z1_n) ]; z is constant */
static double
compute(struct dc_loss_step *s, double weight)
{
	const struct dc_loss_in *in = s->in;
	double sum = 0;

	for (int v = 0; v < 2; v++) {
		for (int n = 0; n < in->N; n++) {
			const size_t at = (size_t)n * in->Z;
			sum += cosine_row(s->out->d_simsiam_p[v] + at, in->simsiam_p[v] + at, in->simsiam_z[1 - v] + at, in->Z,
			    -weight / (2.0 * in->N));
		}
	}
	s->out->simsiam_std = (spread(in->simsiam_z[0], in->N, in->Z) + spread(in->simsiam_z[1], in->N, in->Z)) / 2;
	return -sum / (2.0 * in->N);
}

const struct dc_loss_term dc_term_simsiam = {
	.term = DC_TERM_SIMSIAM, .what = "-1/2 [cos(p1, z2) + cos(p2, z1)] of the image views, z constant",
	.image_views = 2, .caption_views = 1, .check = check, .compute = compute
};
