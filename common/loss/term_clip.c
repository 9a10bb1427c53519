/* SPDX-License-Identifier: MIT */
/* CLIP (Radford et al., arXiv 2103.00020, fig. 3): symmetric InfoNCE of the first views. */
#include "loss/term.h"

/* L = InfoNCE(I1, T1) */
static double
compute(struct dc_loss_step *s, double weight)
{
	struct dc_contrast_result r;
	const double value = dc_step_pair(s, 0, 0, weight, &r);

	s->out->accuracy_i2t = r.right_a;
	s->out->accuracy_t2i = r.right_b;
	return value;
}

const struct dc_loss_term dc_term_clip = {
	.term = DC_TERM_CLIP, .what = "InfoNCE of (I1,T1), both directions",
	.image_views = 1, .caption_views = 1, .compute = compute
};
