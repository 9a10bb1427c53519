/* SPDX-License-Identifier: MIT */
/* Text self-supervision: the masked-language-model loss (BERT, arXiv 1810.04805, sec. 3.1). The head and its
 * cross-entropy are with the encoder; here is their mean. */
#include "base/util.h"
#include "loss/term.h"

static int
check(const struct dc_config *c, const struct dc_loss_in *in, const struct dc_nn_queue *q)
{
	(void)c;
	(void)q;
	DC_CHECK(in->mlm_nll || in->M == 0, "mlm needs mlm_nll");
	return 0;
}

/* L = 1/M sum_m nll_m, 0 where nothing is masked */
static double
compute(struct dc_loss_step *s, double weight)
{
	const int64_t M = s->in->M;
	double sum = 0;

	for (int64_t m = 0; m < M; m++) {
		sum += s->in->mlm_nll[m];
		s->out->d_mlm_nll[m] = (dc_real)(weight / (double)M);
	}
	return M ? sum / (double)M : 0;
}

const struct dc_loss_term dc_term_mlm = {
	.term = DC_TERM_MLM, .what = "mean cross-entropy at the masked positions",
	.image_views = 1, .caption_views = 1, .check = check, .compute = compute
};
