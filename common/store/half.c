/* SPDX-License-Identifier: MIT */
#include "store/half.h"

#include <string.h>

enum { PIECE = 1 << 16 };   /* elements for a thread at a time */

static uint32_t
bits_of(float x)
{
	uint32_t u;

	memcpy(&u, &x, sizeof(u));
	return u;
}

static float
float_of(uint32_t u)
{
	float x;

	memcpy(&x, &u, sizeof(x));
	return x;
}

/* A value below 2^-14 has a fixed step of 2^-24: m 2^(e - 150) = (m >> (126 - e)) 2^-24, e the float's exponent field. */
static uint32_t
subnormal(uint32_t a)
{
	uint32_t shift = 126 - (a >> 23), m = (a & 0x7fffff) | 0x800000, h, rest, middle;

	if (shift > 24)   /* below half a step */
		return 0;
	h = m >> shift;
	rest = m & ((UINT32_C(1) << shift) - 1);
	middle = UINT32_C(1) << (shift - 1);
	return h + (rest > middle || (rest == middle && (h & 1)));
}

uint16_t
dc_f16_of(float x)
{
	uint32_t u = bits_of(x), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;

	if (a > 0x7f800000)
		return (uint16_t)(sign | 0x7e00);
	if (a >= 0x477ff000)   /* 65520, halfway between the largest and the one that would follow */
		return (uint16_t)(sign | 0x7c00);
	if (a < 0x38800000)    /* 2^-14 */
		return (uint16_t)(sign | subnormal(a));
	return (uint16_t)(sign | (a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13);
}

uint16_t
dc_bf16_of(float x)
{
	uint32_t u = bits_of(x);

	if ((u & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(u >> 16 | 0x40);
	return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float
dc_f16_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, a = h & 0x7fff;
	float x;

	if (a >= 0x7c00)
		return float_of(sign | 0x7f800000 | a << 13);
	if (a >= 0x400)
		return float_of(sign | ((a << 13) + 0x38000000));
	x = (float)a * 0x1p-24f;
	return sign ? -x : x;
}

float
dc_bf16_float(uint16_t h)
{
	return float_of((uint32_t)h << 16);
}

/* All bits of the exponent set: infinity or NaN */
static int
is_finite(uint16_t h, enum dc_type type)
{
	uint16_t exponent = type == DC_F16 ? 0x7c00 : 0x7f80;

	return (h & exponent) != exponent;
}

static size_t
first_infinite(const uint16_t *h, size_t n, enum dc_type type)
{
	size_t bad = n;

#pragma omp parallel for schedule(static) reduction(min:bad) if (n > PIECE)
	for (size_t i = 0; i < n; i++)
		if (!is_finite(h[i], type) && i < bad)
			bad = i;
	return bad;
}

size_t
dc_half_to_float(float *out, const uint16_t *in, size_t n, enum dc_type type)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
	for (size_t i = 0; i < n; i++)
		out[i] = type == DC_F16 ? dc_f16_float(in[i]) : dc_bf16_float(in[i]);
	return first_infinite(in, n, type);
}

size_t
dc_half_from_float(uint16_t *out, const float *in, size_t n, enum dc_type type)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
	for (size_t i = 0; i < n; i++)
		out[i] = type == DC_F16 ? dc_f16_of(in[i]) : dc_bf16_of(in[i]);
	return first_infinite(out, n, type);
}
