/* SPDX-License-Identifier: MIT */
/* Image self-supervision of SLIP (Mu et al., arXiv 2112.12750): SimCLR on two more views of the image. */
#include <string.h>

#include "base/util.h"
#include "loss/ntxent.h"
#include "loss/term.h"
#include "loss/unit.h"

static int
check(const struct dc_config *c, const struct dc_loss_in *in, const struct dc_nn_queue *q)
{
	(void)c;
	(void)q;
	for (int v = 0; v < 2; v++)
		DC_CHECK(in->simclr_z[v], "simclr needs simclr_z.%d", v + 1);
	return 0;
}

/* L = NT-Xent(z1, z2), tau */
static double
compute(struct dc_loss_step *s, double weight)
{
	const int N = s->in->N, S = s->in->S;
	const size_t half = (size_t)N * S;
	double *u = dc_loss_room(s->w, DC_ROOM_U, 2 * half), *du = dc_loss_room(s->w, DC_ROOM_DU, 2 * half);
	double *r = dc_loss_room(s->w, DC_ROOM_R, 2 * (size_t)N), value;

	for (int v = 0; v < 2; v++) {
		const struct dc_rows rows = { .x = s->in->simclr_z[v], .r = r + (size_t)v * N };
		dc_unit_norms(r + (size_t)v * N, rows.x, N, S);
		dc_rows_make(u + v * half, &rows, 0, N, S);
	}
	memset(du, 0, 2 * half * sizeof *du);
	value = dc_ntxent(&s->w->tiles, u, du, N, S, s->c->simclr_temperature, weight);
	for (int v = 0; v < 2; v++)
		dc_unit_backward(s->out->d_simclr_z[v], du + v * half, s->in->simclr_z[v], r + (size_t)v * N, N, S);
	return value;
}

const struct dc_loss_term dc_term_simclr = {
	.term = DC_TERM_SIMCLR, .what = "NT-Xent of the two SimCLR views, temperature 0.1",
	.image_views = 1, .caption_views = 1, .check = check, .compute = compute
};
