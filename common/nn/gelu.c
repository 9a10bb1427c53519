/* SPDX-License-Identifier: MIT */
#include "base/wide.h"
#include "nn/gelu.h"
#include "nn/vmath.h"

enum { PIECE = 4096 };   /* elements that are worth a thread */

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
quick_forward(dc_real *restrict y, const dc_real *restrict x, const dc_real *restrict b, int n)
{
#pragma omp simd
	for (int i = 0; i < n; i++) {
		dc_real z = x[i] + b[i];

		y[i] = z * sigmoid((dc_real)1.702 * z);
	}
}

DC_WIDE static void
exact_forward(dc_real *restrict y, const dc_real *restrict x, const dc_real *restrict b, int n)
{
#pragma omp simd
	for (int i = 0; i < n; i++) {
		dc_real z = x[i] + b[i];

		y[i] = z * normal_cdf(z);
	}
}

/* y' = s + 1.702 z s (1 - s) = s + 1.702 y (1 - s),  s = sigmoid(1.702 z) */
DC_WIDE static void
quick_backward(dc_real *dx, dc_real *restrict y, const dc_real *dy, const dc_real *restrict x, const dc_real *restrict b, int n)
{
#pragma omp simd
	for (int i = 0; i < n; i++) {
		dc_real z = x[i] + b[i], s = sigmoid((dc_real)1.702 * z);

		y[i] = z * s;
		dx[i] = dy[i] * (s + (dc_real)1.702 * (z * s) * (1 - s));
	}
}

/* y' = Phi(z) + z phi(z),  phi = Phi' */
DC_WIDE static void
exact_backward(dc_real *dx, dc_real *restrict y, const dc_real *dy, const dc_real *restrict x, const dc_real *restrict b, int n)
{
#pragma omp simd
	for (int i = 0; i < n; i++) {
		dc_real z = x[i] + b[i], cdf = normal_cdf(z);

		y[i] = z * cdf;
		dx[i] = dy[i] * (cdf + z * normal_pdf(z));
	}
}

void
dc_gelu_forward(dc_real *y, const dc_real *x, const dc_real *b, int M, int C, int quick)
{
#pragma omp parallel for schedule(static) if ((size_t)M * C > PIECE)
	for (int m = 0; m < M; m++)
		(quick ? quick_forward : exact_forward)(y + (size_t)m * C, x + (size_t)m * C, b, C);
}

void
dc_gelu_backward(dc_real *dx, dc_real *y, const dc_real *dy, const dc_real *x, const dc_real *b, int M, int C, int quick)
{
#pragma omp parallel for schedule(static) if ((size_t)M * C > PIECE)
	for (int m = 0; m < M; m++) {
		const size_t at = (size_t)m * C;

		(quick ? quick_backward : exact_backward)(dx + at, y + at, dy + at, x + at, b, C);
	}
}
