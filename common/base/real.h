/* SPDX-License-Identifier: MIT */
/* The number type of the numeric rooms (nn, loss, optim). The product is built with float; the tests build the same
 * sources once more with -DDC_DOUBLE and check every gradient against central differences there, so what is proved is
 * the code that runs. */
#ifndef DC_BASE_REAL_H
#define DC_BASE_REAL_H

#include <math.h>

#ifdef DC_DOUBLE
typedef double dc_real;
#define DC_REAL_TYPE DC_F64
static inline dc_real dc_rexp(dc_real x) { return exp(x); }
static inline dc_real dc_rsqrt(dc_real x) { return sqrt(x); }
static inline dc_real dc_rtanh(dc_real x) { return tanh(x); }
static inline dc_real dc_rerf(dc_real x) { return erf(x); }
#else
typedef float dc_real;
#define DC_REAL_TYPE DC_F32
static inline dc_real dc_rexp(dc_real x) { return expf(x); }
static inline dc_real dc_rsqrt(dc_real x) { return sqrtf(x); }
static inline dc_real dc_rtanh(dc_real x) { return tanhf(x); }
static inline dc_real dc_rerf(dc_real x) { return erff(x); }
#endif

#endif
