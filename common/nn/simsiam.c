/* SPDX-License-Identifier: MIT */
#include "nn/simsiam.h"

#include <stdlib.h>

enum { PROJECTED = 2, LAST = 4 };

struct dc_simsiam *
dc_simsiam_new(const struct dc_config *c, dc_mlp_find find, void *arg)
{
	const int D = c->embed_dim, Z = c->simsiam_width, H = c->simsiam_hidden;
	const struct dc_mlp_layer layer[] = {
		{ "simsiam.projector.0", D, Z, 1, 1 }, { "simsiam.projector.1", Z, Z, 1, 1 }, { "simsiam.projector.2", Z, Z, 1, 0 },
		{ "simsiam.predictor.0", Z, H, 1, 1 }, { "simsiam.predictor.1", H, Z, 0, 0 },
	};
	struct dc_mlp *m = dc_mlp_new(layer, 5, find, arg);
	struct dc_simsiam *s;

	if (!m)
		return NULL;
	s = dc_xcalloc(1, sizeof *s);
	*s = (struct dc_simsiam){ .D = D, .Z = Z, .H = H, .bn = m->bn, .mlp = m };
	return s;
}

void
dc_simsiam_free(struct dc_simsiam *s)
{
	if (s)
		dc_mlp_free(s->mlp);
	free(s);
}

int
dc_simsiam_use_running(struct dc_simsiam *s, dc_mlp_find find, void *arg)
{
	return dc_mlp_use_running(s->mlp, find, arg);
}

void
dc_simsiam_forward(struct dc_simsiam *s, int views, int N, dc_real *const *x)
{
	dc_mlp_forward(s->mlp, views, N, x);
	for (int v = 0; v < views; v++) {
		s->z[v] = dc_mlp_output(s->mlp, v, PROJECTED);
		s->p[v] = dc_mlp_output(s->mlp, v, LAST);
	}
}

void
dc_simsiam_backward(struct dc_simsiam *s, dc_real *const *dp, dc_real *const *dx)
{
	dc_mlp_backward(s->mlp, dp, dx);
}
