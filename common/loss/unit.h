/* SPDX-License-Identifier: MIT */
/* Rows divided by their Euclidean norms. */
#ifndef DC_LOSS_UNIT_H
#define DC_LOSS_UNIT_H

#include "base/real.h"

/* u_n = x_n / |x_n|, r_n = 1 / |x_n|; a row of zeros gives zeros and r = 0. u [N,D], r [N] overwritten. */
void dc_unit_forward(dc_real *u, dc_real *r, const dc_real *x, int N, int D);

/* r_n = 1 / |x_n|, 0 for a row of zeros. r [N] overwritten. */
void dc_unit_norms(double *r, const dc_real *x, int N, int D);

/* u_n = r_n x_n, with those norms. */
void dc_unit_rows(dc_real *u, const dc_real *x, const double *r, int N, int D);

/* dx_n = r_n (du_n - u_n <u_n, du_n>), u_n = r_n x_n; dx [N,D] overwritten. */
void dc_unit_backward(dc_real *dx, const double *du, const dc_real *x, const double *r, int N, int D);

#endif
