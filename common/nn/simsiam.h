/* SPDX-License-Identifier: MIT */
/* The SimSiam heads on the raw image features of a batch (Chen, He: arXiv 2011.10566):
 *
 *	projector  D - Z - Z - Z   linear, batch norm after each layer, ReLU between     -> z
 *	predictor  Z - H - Z       linear, batch norm, ReLU, linear                      -> p
 *
 * Batch norm takes each view's own statistics. A step: forward for view 0, then 1; then backward for the views. */
#ifndef DC_NN_SIMSIAM_H
#define DC_NN_SIMSIAM_H

#include "nn/mlp.h"

enum { DC_SIMSIAM_BN = 4 };   /* projector.0 .1 .2, predictor.0 */

struct dc_simsiam {
	int D, Z, H;
	dc_real *z[DC_VIEWS_MAX], *p[DC_VIEWS_MAX];  /* [N,Z], the last forward pass of each view */
	struct dc_bn_stats *bn;                      /* [DC_SIMSIAM_BN] named "simsiam.projector.0.bn" ...; views = forward passes since begin */
	struct dc_mlp *mlp;
};

/* find(arg, name) gives a weight or NULL; names in store/config.h. The weights' memory must outlive the heads. A
 * gradient pointer of NULL (frozen) is skipped. NULL after dc_err_set naming the tensor that is missing or has the
 * wrong size. */
struct dc_simsiam *dc_simsiam_new(const struct dc_config *c, dc_mlp_find find, void *arg);
void dc_simsiam_free(struct dc_simsiam *s);

/* From now on normalise by running statistics, "<bn>.running_mean" and "<bn>.running_var" (encoding without training;
 * there is no backward pass then). -1 with a message naming a missing one. */
int dc_simsiam_use_running(struct dc_simsiam *s, dc_mlp_find find, void *arg) DC_MUST_USE;

/* x [N,D], N >= 1, must stay as it is until this view's backward pass. Sets z[view], p[view] and row `view` of the
 * statistics. View 0 starts a new step. */
void dc_simsiam_forward(struct dc_simsiam *s, int view, int N, const dc_real *x);

/* From dp [N,Z] (the gradient of p; z as the other view's target is a constant): adds to dx [N,D] and to the weights'
 * gradients. */
void dc_simsiam_backward(struct dc_simsiam *s, int view, const dc_real *dp, dc_real *dx);

#endif
