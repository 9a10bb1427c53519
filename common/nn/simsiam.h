/* SPDX-License-Identifier: MIT */
/* The SimSiam heads on the raw image features of a batch (Chen, He: arXiv 2011.10566):
 *
 *	projector  D - Z - Z - Z   linear, batch norm after each layer, ReLU between     -> z
 *	predictor  Z - H - Z       linear, batch norm, ReLU, linear                      -> p
 *
 * Batch norm takes each view's own statistics. */
#ifndef DC_NN_SIMSIAM_H
#define DC_NN_SIMSIAM_H

#include "nn/mlp.h"

enum { DC_SIMSIAM_BN = 4 };   /* projector.0 .1 .2, predictor.0 */

struct dc_simsiam {
	int D, Z, H;
	dc_real *z[DC_VIEWS_MAX], *p[DC_VIEWS_MAX];  /* [N,Z], of the last forward pass */
	struct dc_bn_stats *bn;                      /* [DC_SIMSIAM_BN] named "simsiam.projector.0.bn" ...; views of the last */
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

/* x [views] of [N,D], N >= 1, which are copied. Sets z[.], p[.] and the statistics of these views. */
void dc_simsiam_forward(struct dc_simsiam *s, int views, int N, dc_real *const *x);

/* From dp [views] of [N,Z] (the gradient of p; z as the other view's target is a constant): adds to dx [views] of [N,D]
 * and to the weights' gradients. */
void dc_simsiam_backward(struct dc_simsiam *s, dc_real *const *dp, dc_real *const *dx);

#endif
