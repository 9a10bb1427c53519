/* SPDX-License-Identifier: MIT */
#include "base/wide.h"
#include "nn/gelu.h"
#include "nn/vmath.h"

enum { PIECE = 4096 };   /* elements for a thread at a time */

static const dc_real rsqrt_2 = (dc_real)0.70710678118654752440, rsqrt_2pi = (dc_real)0.39894228040143267794;

/* Far out both functions are 0 or x to the last bit of anything they are added to. Held at e^-60, no product here is
 * a denormal number, which processors multiply a hundred times slower. */
enum { FAR = 60 };

static inline dc_real
sigmoid(dc_real z)
{
	z = z < -FAR ? -FAR : z;
	z = z > FAR ? FAR : z;
	return 1 / (1 + dc_vexp_near(-z));
}

/* exp(-x^2 / 2) / sqrt(2 pi) */
static inline dc_real
normal_pdf(dc_real x)
{
	dc_real z = (dc_real)0.5 * x * x;

	z = z > FAR ? FAR : z;
	return rsqrt_2pi * dc_vexp_near(-z);
}

static inline dc_real
normal_cdf(dc_real x)
{
	return (dc_real)0.5 + (dc_real)0.5 * dc_verf(x * rsqrt_2);
}

DC_WIDE static void
quick_forward(dc_real *restrict y, const dc_real *restrict x, size_t n)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] * sigmoid((dc_real)1.702 * x[i]);
}

DC_WIDE static void
exact_forward(dc_real *restrict y, const dc_real *restrict x, size_t n)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] * normal_cdf(x[i]);
}

/* y' = s + 1.702 x s (1 - s) = s + 1.702 y (1 - s),  s = sigmoid(1.702 x) */
DC_WIDE static void
quick_backward(dc_real *dx, dc_real *restrict y, const dc_real *dy, const dc_real *restrict x, size_t n)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		dc_real s = sigmoid((dc_real)1.702 * x[i]);

		y[i] = x[i] * s;
		dx[i] = dy[i] * (s + (dc_real)1.702 * (x[i] * s) * (1 - s));
	}
}

/* y' = Phi(x) + x phi(x),  phi = Phi' */
DC_WIDE static void
exact_backward(dc_real *dx, dc_real *restrict y, const dc_real *dy, const dc_real *restrict x, size_t n)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		dc_real cdf = normal_cdf(x[i]);

		y[i] = x[i] * cdf;
		dx[i] = dy[i] * (cdf + x[i] * normal_pdf(x[i]));
	}
}

void
dc_gelu_forward(dc_real *y, const dc_real *x, size_t n, int quick)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
	for (size_t i = 0; i < n; i += PIECE)
		(quick ? quick_forward : exact_forward)(y + i, x + i, n - i < PIECE ? n - i : PIECE);
}

void
dc_gelu_backward(dc_real *dx, dc_real *y, const dc_real *dy, const dc_real *x, size_t n, int quick)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
	for (size_t i = 0; i < n; i += PIECE)
		(quick ? quick_backward : exact_backward)(dx + i, y + i, dy + i, x + i, n - i < PIECE ? n - i : PIECE);
}
