/* SPDX-License-Identifier: MIT */
/* A head of linear layers over the rows of a batch, with batch norm and ReLU after those that have them: SimSiam's
 * (nn/simsiam.h), SLIP's. All views go through a layer in one product; batch norm takes each view's own statistics.
 *
 *	const struct dc_mlp_layer l[] = { { "simclr.0", 768, 4096, 1, 1 }, ... };
 *	struct dc_mlp *m = dc_mlp_new(l, 3, find, arg);
 *	dc_mlp_forward(m, 2, N, x);                  // x[0], x[1]: [N,768]
 *	... dc_mlp_output(m, 0, 2), dc_mlp_output(m, 1, 2) ...
 *	dc_mlp_backward(m, dy, dx); */
#ifndef DC_NN_MLP_H
#define DC_NN_MLP_H

#include "nn/encoder.h"

enum { DC_MLP_LAYERS = 5 };

/* y = x <name>.weight^T + <name>.bias; batch norm "<name>.bn"; ReLU */
struct dc_mlp_layer { const char *name; int in, out, bn, relu; };

struct dc_mlp {
	int n;                                       /* layers */
	struct dc_bn_stats bn[DC_MLP_LAYERS]; int n_bn; /* views: of the last forward pass */
	const struct dc_sync *sync;                  /* NULL: batch norms take the rows of this process */
	struct dc_mlp_private *own;
};

/* Gives a weight or NULL. The weights' memory must outlive the head, as must the layers' names. */
typedef const struct dc_weight *(*dc_mlp_find)(void *arg, const char *name);

/* At most DC_MLP_LAYERS layers. A gradient pointer of NULL (frozen) is skipped. NULL after dc_err_set naming the tensor
 * that is missing or has the wrong size. */
struct dc_mlp *dc_mlp_new(const struct dc_mlp_layer *layer, int n, dc_mlp_find find, void *arg);
void dc_mlp_free(struct dc_mlp *m);

/* From now on normalise by running statistics, "<bn>.running_mean" and "<bn>.running_var" (encoding without training;
 * there is no backward pass then). -1 with a message naming a missing one. */
int dc_mlp_use_running(struct dc_mlp *m, dc_mlp_find find, void *arg) DC_MUST_USE;

/* x [views] of [N,in], which are copied; N >= 1 (0 with sync). */
void dc_mlp_forward(struct dc_mlp *m, int views, int N, dc_real *const *x);
/* [N,out] of a view and layer, after its batch norm and ReLU; until the next forward pass */
dc_real *dc_mlp_output(const struct dc_mlp *m, int view, int layer);
/* From dy [views] of [N,out of the last layer]: adds to dx [views] of [N,in] and to the weights' gradients. */
void dc_mlp_backward(struct dc_mlp *m, dc_real *const *dy, dc_real *const *dx);

#endif
