/* SPDX-License-Identifier: MIT */
#include "nn/encoder_private.h"

/* Reals kept by a pass over n sequences of L rows each. */
static double
kept_by(double n, double L, int layers, int W, int F, int heads, int lean)
{
	double all = n * L * (6.0 * W + F) + n * L * L * heads, last = n * L * 3.0 * W + n * (3.0 * W + F + L * heads);

	return (layers - 1) * (lean ? n * L * W : all) + last + 3 * n * L * W;
}

/* On top, for the part that goes back: a block's scratch, with what is in it where that is computed again. */
static double
scratch_of(double n, double L, int W, int F, int heads, int lean)
{
	return n * L * (2.0 * F + 6.0 * W) + (lean ? n * L * (6.0 * W + F) + n * L * L * heads : 0);
}

static double
kept_by_resnet(const struct dc_config *c, double *scratch)
{
	struct dc_resnet t;
	double reals;

	dc_resnet_init(&t, c);
	reals = dc_resnet_kept_reals(&t, scratch);
	dc_resnet_free(&t);
	return reals;
}

size_t
dc_enc_bytes(const struct dc_config *c, int N, double tokens, int lean)
{
	const struct dc_vision *v = &c->vision;
	const struct dc_text *t = &c->text;
	const int grid = dc_config_resnet(c) ? 0 : v->image_size / v->patch_size;
	const double most = c->part ? c->part : 64, part = N && N < most ? N : most;
	const double L = 1 + (double)grid * grid, n = N ? N : part;
	const int image = N && c->image_views > 0 ? c->image_views : 1, text = c->caption_views > 0 ? c->caption_views : 1;
	const int mlm = dc_config_on(c, DC_TERM_MLM) && !c->released;
	double scratch = 0, reals = image * (grid ? kept_by(n, L, v->layers, v->width, v->mlp, v->heads, lean) :
		n * kept_by_resnet(c, &scratch));

	if (N)
		reals += (text + mlm) * kept_by(n, tokens, t->layers, t->width, t->mlp, t->heads, lean);
	if (N && dc_config_on(c, DC_TERM_SIMCLR))
		reals += 2.0 * n * (4.0 * c->simclr_hidden + 2 * dc_config_image_width(c));
	if (dc_config_on(c, DC_TERM_FILIP))
		reals += n * (L * (2.0 * c->filip_width + v->width) + tokens * (2.0 * c->filip_width + t->width));
	reals += grid ? scratch_of(part, L, v->width, v->mlp, v->heads, lean) : part * scratch;
	return (size_t)(reals * sizeof(dc_real));
}
