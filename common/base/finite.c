/* SPDX-License-Identifier: MIT */
#include "base/finite.h"

#include <math.h>

enum { BLOCK = 4096, LANES = 16 };

/* 0 x is 0 for a finite x, and else no number, which stays in a sum. */
static int
all_finite(const float *x, size_t n)
{
	float lane[LANES] = { 0 }, sum = 0;
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (int k = 0; k < LANES; k++)
			lane[k] += 0.0f * x[i + (size_t)k];
	for (; i < n; i++)
		sum += 0.0f * x[i];
	for (int k = 0; k < LANES; k++)
		sum += lane[k];
	return sum == 0;
}

size_t
dc_first_not_finite(const float *x, size_t n)
{
	size_t at = 0;

	while (at < n && all_finite(x + at, n - at < BLOCK ? n - at : BLOCK))
		at += n - at < BLOCK ? n - at : BLOCK;
	while (at < n && isfinite(x[at]))
		at++;
	return at;
}
