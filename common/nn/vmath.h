/* SPDX-License-Identifier: MIT */
/* exp, sigmoid and erf that a compiler can vectorise (no calls, no branches). In double they are libm's. */
#ifndef DC_NN_VMATH_H
#define DC_NN_VMATH_H

#include <stdint.h>
#include <string.h>
#include "base/real.h"

#ifdef DC_DOUBLE

static inline dc_real dc_vexp_near(dc_real x) { return exp(x); }
static inline dc_real dc_vexp(dc_real x) { return exp(x); }
static inline dc_real dc_verf(dc_real x) { return erf(x); }

#else

/* e^x within 2 units in the last place, for x in [-87.3, 88.3] only. NaN stays NaN.
 *	n = round(x / ln 2), r = x - n ln 2 in two parts, e^x = 2^n e^r, e^r by its Taylor-like polynomial on |r| <= ln 2 / 2 */
static inline dc_real
dc_vexp_near(dc_real x)
{
	const float magic = 12582912.0f;   /* 1.5 * 2^23: adding it rounds to an integer held in the low bits */
	float t, n, r, p, scale;
	uint32_t bits, base;

	t = x * 1.44269504f + magic;
	n = t - magic;
	r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
	p = 1.9875691500e-4f;
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * (r * r) + r + 1.0f;
	memcpy(&bits, &t, sizeof(bits));
	memcpy(&base, &magic, sizeof(base));
	bits = (bits - base + 127) << 23;
	memcpy(&scale, &bits, sizeof(scale));
	return p * scale;
}

/* The same for any x; outside of that range the value at its end. */
static inline dc_real
dc_vexp(dc_real x)
{
	x = x < -87.3f ? -87.3f : x;
	x = x > 88.3f ? 88.3f : x;
	return dc_vexp_near(x);
}

/* erf(x), absolute error below 2e-7. |x| <= 1: x q(x^2); beyond: 1 - exp(-|x| r(|x|)), r(x) = -ln(erfc x) / x;
 * q and r fitted at Chebyshev nodes. */
static inline dc_real
dc_verf(dc_real x)
{
	float a = x < 0 ? -x : x, s = x * x, q, r, b, tail;

	q = 7.847259257687256e-05f;
	q = q * s - 0.0008008189615793526f;
	q = q * s + 0.005188099108636379f;
	q = q * s - 0.026853691786527634f;
	q = q * s + 0.1128358244895935f;
	q = q * s - 0.3761262595653534f;
	q = q * s + 1.1283791065216064f;
	b = a > 4.0f ? 4.0f : a;
	r = -2.37608659858779e-07f;
	r = r * b + 3.6591368370864075e-06f;
	r = r * b - 5.2085060815443285e-06f;
	r = r * b - 0.00031440469319932163f;
	r = r * b + 0.0037855366244912148f;
	r = r * b - 0.024242741987109184f;
	r = r * b + 0.10692556202411652f;
	r = r * b + 0.634675145149231f;
	r = r * b + 1.1287782192230225f;
	tail = 1.0f - dc_vexp_near(-b * r);
	tail = x < 0 ? -tail : tail;
	return a > 1.0f ? tail : x * q;
}

#endif

#endif
