/* SPDX-License-Identifier: MIT */
/* The pairwise sigmoid loss between the rows of two matrices (SigLIP: Zhai et al., arXiv 2303.15343, eq. 1), tiled. */
#ifndef DC_LOSS_SIGMOID_H
#define DC_LOSS_SIGMOID_H

#include "loss/contrastive.h"

struct dc_sigmoid {
	struct dc_rows a, b;            /* [N,D] unit rows */
	double *da, *db;                /* [N,D] gradients by those, added to */
	int N, D;
	double scale, bias;             /* t and b */
};
struct dc_sigmoid_result { double value, d_scale, d_bias; };

/* With x_ij = t <a_i, b_j> + b, z_ij = 1 for i = j and else -1:
 *	L = -1/N sum_ij log sigmoid(z_ij x_ij)
 * Sets r->value; with weight != 0 adds weight times the gradient to da and db, and sets d_scale and d_bias to weight times
 * the gradient by t and b (0 else). */
void dc_sigmoid_loss(struct dc_tiles *t, const struct dc_sigmoid *p, double weight, struct dc_sigmoid_result *r);

#endif
