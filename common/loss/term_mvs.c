/* SPDX-License-Identifier: MIT */
/* Multi-view supervision (DeCLIP, arXiv 2110.05208, sec. 3.2.2): the other three pairs of views. */
#include "loss/term.h"

/* L = 1/3 [ InfoNCE(I2,T1) + InfoNCE(I1,T2) + InfoNCE(I2,T2) ] */
static double
compute(struct dc_loss_step *s, double weight)
{
	struct dc_contrast_result r;
	double sum = 0;

	sum += dc_step_pair(s, 1, 0, weight / 3, &r);
	sum += dc_step_pair(s, 0, 1, weight / 3, &r);
	sum += dc_step_pair(s, 1, 1, weight / 3, &r);
	return sum / 3;
}

const struct dc_loss_term dc_term_mvs = {
	.term = DC_TERM_MVS, .what = "mean InfoNCE of (I2,T1), (I1,T2), (I2,T2), both directions",
	.image_views = 2, .caption_views = 2, .compute = compute
};
