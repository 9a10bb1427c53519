/* SPDX-License-Identifier: MIT */
/* Are all these numbers finite? */
#ifndef DC_BASE_FINITE_H
#define DC_BASE_FINITE_H

#include <stddef.h>

/* The index of the first of n numbers that is infinite or no number; n if there is none. */
size_t dc_first_not_finite(const float *x, size_t n);

#endif
