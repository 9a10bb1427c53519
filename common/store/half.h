/* SPDX-License-Identifier: MIT */
/* The two 16-bit floats: IEEE 754's binary16 (5 bits of exponent) and bfloat16 (the upper half of a float). */
#ifndef DC_STORE_HALF_H
#define DC_STORE_HALF_H

#include <stddef.h>
#include <stdint.h>
#include "stream/stream.h"

/* The nearest, of two equally near the even one; beyond the largest finite value infinity; a NaN stays a NaN. */
uint16_t dc_f16_of(float x);
uint16_t dc_bf16_of(float x);
/* Exact. */
float dc_f16_float(uint16_t h);
float dc_bf16_float(uint16_t h);

/* n elements between DC_F16 or DC_BF16 and float. Return n, or the index of the first that is not finite as a half (there
 * may be others; what is in the output is undefined then). */
size_t dc_half_to_float(float *out, const uint16_t *in, size_t n, enum dc_type type);
size_t dc_half_from_float(uint16_t *out, const float *in, size_t n, enum dc_type type);

#endif
