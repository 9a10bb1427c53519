/* SPDX-License-Identifier: MIT */
/* AdamW in double against the paper's algorithm 2, written out naively; the average and the norm likewise. */
#include <stdlib.h>

#include "base/rng.h"
#include "base/util.h"
#include "optim/adamw.h"
#include "tap.h"

enum { N = 70001, T = 4 };   /* above the size where threads are used */
static dc_real w[N], m[N], v[N], g[N], e[N];
static unsigned char cell[(N + DC_CELL - 1) / DC_CELL];
static double w0[N], m0[N], v0[N], e0[N];

static void
naive(const struct dc_adamw *o, double lr, int t, int decay, double scale)
{
	for (int i = 0; i < N; i++) {
		double gi = scale * g[i], mh, vh;

		m0[i] = o->beta1 * m0[i] + (1 - o->beta1) * gi;
		v0[i] = o->beta2 * v0[i] + (1 - o->beta2) * gi * gi;
		mh = m0[i] / (1 - pow(o->beta1, t));
		vh = v0[i] / (1 - pow(o->beta2, t));
		w0[i] -= lr * (mh / (sqrt(vh) + o->eps) + (decay ? o->weight_decay * w0[i] : 0));
		e0[i] = 0.9 * e0[i] + 0.1 * w0[i];
	}
}

static double
worst(const double *a, const double *b)
{
	double x = 0;

	for (int i = 0; i < N; i++)
		if (!(fabs(a[i] - b[i]) <= x))
			x = fabs(a[i] - b[i]);
	return x;
}

int
main(void)
{
	const struct dc_adamw o = { .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6, .weight_decay = 0.1 };
	struct dc_adamw_tensor x = { .w = w, .m = m, .v = v, .g = g, .cell = cell, .n = N };
	struct dc_rng r;

	for (int decay = 0; decay < 2; decay++) {
		dc_rng_init(&r, 1, 0, 0, (uint64_t)decay, DC_RNG_INIT);
		for (int i = 0; i < N; i++) {
			w[i] = w0[i] = e[i] = e0[i] = dc_rng_normal(&r);
			m[i] = v[i] = m0[i] = v0[i] = 0;
		}
		x.decay = decay;
		dc_adamw_cold(&x);
		for (int t = 1; t <= T; t++) {
			double norm = 0, sum, scale;

			for (int i = 0; i < N; i++) {
				g[i] = i / 1000 % 4 < t - 1 ? 0 : dc_rng_normal(&r) * pow(10, i % 7 - 5);   /* whole cells of zeros too */
				norm += g[i] * g[i];
			}
			dc_squares(&x, 1, &sum);
			ok(fabs(sum / norm - 1) < 1e-13, "sum of squares");
			scale = dc_clip_scale(sqrt(norm), t % 2 ? 3 : 0);
			ok(t % 2 ? fabs(scale * (sqrt(norm) + 1e-6) - 3) < 1e-12 : scale == 1, "clip scale %g", scale);
			naive(&o, 0.01 * t, t, decay, scale);
			x.t = (uint64_t)t;
			dc_adamw_sweep(&x, 1, &o, 0.01 * t, scale, t % 2);
			dc_ema(e, w, N, 0.9);
			ok(worst(w, w0) < 1e-14 && worst(m, m0) < 1e-14 && worst(v, v0) < 1e-14 && worst(e, e0) < 1e-14,
			    "update %d, decay %d: w %.2g m %.2g v %.2g average %.2g", t, decay, worst(w, w0), worst(m, m0),
			    worst(v, v0), worst(e, e0));
		}
	}
	ok(dc_clip_scale(0, 1) == 1 && dc_clip_scale(0.5, 1) == 1, "small gradients are not scaled");
	return done_testing();
}
