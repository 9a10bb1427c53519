/* SPDX-License-Identifier: MIT */
/* SigLIP (Zhai et al., arXiv 2303.15343): every pair of the batch is a yes or a no of its own. */
#include "loss/sigmoid.h"
#include "loss/term.h"

/* L = -1/N sum_ij log sigmoid(z_ij (s <I1_i, T1_j> + b)) */
static double
compute(struct dc_loss_step *s, double weight)
{
	const struct dc_sigmoid p = {
		.a = s->image[0], .b = s->text[0], .da = s->d_image[0], .db = s->d_text[0],
		.N = s->in->N, .D = s->in->D, .scale = s->scale, .bias = s->in->logit_bias
	};
	struct dc_sigmoid_result r;

	dc_sigmoid_loss(&s->w->tiles, &p, weight, &r);
	s->d_scale += r.d_scale;
	s->out->d_logit_bias = r.d_bias;
	return r.value;
}

const struct dc_loss_term dc_term_siglip = {
	.term = DC_TERM_SIGLIP, .what = "pairwise sigmoid loss of (I1,T1)",
	.image_views = 1, .caption_views = 1, .compute = compute
};
