/* SPDX-License-Identifier: MIT */
/* Batch normalisation over the rows of a matrix (Ioffe, Szegedy: arXiv 1502.03167). */
#ifndef DC_NN_BATCHNORM_H
#define DC_NN_BATCHNORM_H

#include "base/real.h"

#define DC_BN_EPS 1e-5

/* For each column c of x [N,C], N >= 1:
 *	mean = 1/N sum_n x_nc,  var = 1/N sum_n (x_nc - mean)^2,  rstd = 1 / sqrt(var + 1e-5)
 *	xhat_nc = (x_nc - mean) rstd,  y_nc = w_c xhat_nc + b_c
 * y, xhat [N,C] and mean, rstd, var_unbiased [C] are overwritten; var_unbiased = var N/(N-1) (N = 1: var, which is 0).
 * mean and var_unbiased are what the running statistics take. y or xhat may be x itself. */
void dc_bn_forward(dc_real *y, dc_real *xhat, dc_real *mean, dc_real *rstd, dc_real *var_unbiased,
    const dc_real *x, const dc_real *w, const dc_real *b, int N, int C);

/* The same with given statistics (encoding with the running ones): y [N,C] is overwritten; it may be x. */
void dc_bn_apply(dc_real *y, const dc_real *x, const dc_real *mean, const dc_real *var,
    const dc_real *w, const dc_real *b, int N, int C);

/* dx [N,C] is overwritten (it may be dy); dw, db [C] are added to, and may be NULL. xhat and rstd as dc_bn_forward left
 * them. The gradient goes through mean and variance too. */
void dc_bn_backward(dc_real *dx, dc_real *dw, dc_real *db, const dc_real *dy, const dc_real *xhat,
    const dc_real *rstd, const dc_real *w, int N, int C);

/* The same where the rows of a batch are shared out over several processes, each with N of them (N >= 0):
 *	dc_bn_sums(s, x, N, C);               s[c] = sum_n x_nc,  s[C + c] = sum_n x_nc^2
 *	... s and N summed over the processes ...
 *	dc_bn_forward_sums(..., s, all);
 * and
 *	dc_bn_backward_sums(s, dy, xhat, N, C);     s[c] = sum_n dy_nc,  s[C + c] = sum_n dy_nc xhat_nc
 *	... dw and db take these, summed they are given to ...
 *	dc_bn_backward_all(dx, dy, xhat, rstd, w, N, C, s, all); */
void dc_bn_sums(double *s, const dc_real *x, int N, int C);
void dc_bn_forward_sums(dc_real *y, dc_real *xhat, dc_real *mean, dc_real *rstd, dc_real *var_unbiased,
    const dc_real *x, const dc_real *w, const dc_real *b, int N, int C, const double *s, double all);
void dc_bn_backward_sums(double *s, const dc_real *dy, const dc_real *xhat, int N, int C);
void dc_bn_backward_all(dc_real *dx, const dc_real *dy, const dc_real *xhat, const dc_real *rstd, const dc_real *w, int N, int C,
    const double *s, double all);

#endif
