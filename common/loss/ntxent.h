/* SPDX-License-Identifier: MIT */
/* NT-Xent, SimCLR's loss between the two views of a batch (Chen et al., arXiv 2002.05709, eq. 1), tiled. */
#ifndef DC_LOSS_NTXENT_H
#define DC_LOSS_NTXENT_H

#include "loss/contrastive.h"

/* u [2N,D] unit rows, view 1 above view 2; row n's partner is p(n) = n + N mod 2N. With l_ij = <u_i, u_j> / tau:
 *	L = 1/2N sum_i [ log sum_{j != i} exp l_ij - l_i,p(i) ]
 * Returns L; with weight != 0 adds weight times its gradient to du [2N,D]. */
double dc_ntxent(struct dc_tiles *t, const double *u, double *du, int N, int D, double tau, double weight);

#endif
