/* SPDX-License-Identifier: MIT */
/* DeCLIP's objective on one batch of features: the value of every term, and the gradient of the total. No I/O.
 * Terms, weights and the two readings (paper, released): man dc-loss. */
#ifndef DC_LOSS_LOSS_H
#define DC_LOSS_LOSS_H

#include <stdint.h>
#include "base/real.h"
#include "store/config.h"

/* The queue of text features whose nearest neighbours supervise the images (NNS). Rows are unit vectors. */
struct dc_nn_queue { dc_real *rows; int64_t length, head, valid; int D; }; /* rows [length,D]; head: next to be written */

struct dc_loss_in {
	int N, D, Z; int64_t M;
	const dc_real *image_features[2], *text_features[2]; /* [N,D] not normalised; [1] NULL with one view */
	const dc_real *simsiam_z[2], *simsiam_p[2];          /* [N,Z] or NULL */
	const dc_real *mlm_nll;                              /* [M] or NULL */
	double logit_scale;                                  /* the log */
};
struct dc_loss_out {
	dc_real *d_image_features[2], *d_text_features[2], *d_simsiam_p[2], *d_mlm_nll; /* overwritten; as in dc_loss_in */
	double d_logit_scale;
	double value[DC_TERMS], total;  /* unweighted terms (0 where off or waiting); the weighted total */
	int active[DC_TERMS];           /* 0: off, or NNS waiting for its queue */
	double accuracy_i2t, accuracy_t2i; /* of (I1,T1) in the batch */
	dc_real *nn_enqueue; int64_t n_enqueue; /* unit rows just pushed, [n_enqueue,D], in order; NULL without NNS */
};

#endif
