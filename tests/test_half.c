/* SPDX-License-Identifier: MIT */
/* Half precision: every 16-bit pattern there and back, and rounding against a search for the nearest neighbour. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store/half.h"
#include "tap.h"

static float
value(uint16_t h, enum dc_type type)
{
	return type == DC_F16 ? dc_f16_float(h) : dc_bf16_float(h);
}

static uint16_t
half(float x, enum dc_type type)
{
	return type == DC_F16 ? dc_f16_of(x) : dc_bf16_of(x);
}

/* The value of a pattern by its definition. */
static double
defined(uint16_t h, enum dc_type type)
{
	int mantissa = type == DC_F16 ? 10 : 7, bias = type == DC_F16 ? 15 : 127;
	int e = (h & 0x7fff) >> mantissa, m = h & ((1 << mantissa) - 1);
	double x = e ? ldexp(1 + ldexp(m, -mantissa), e - bias) : ldexp(m, 1 - bias - mantissa);

	return h & 0x8000 ? -x : x;
}

static void
patterns(enum dc_type type, const char *name)
{
	uint16_t infinite = type == DC_F16 ? 0x7c00 : 0x7f80;
	int wrong = 0, lost = 0;

	for (uint32_t h = 0; h < 0x10000; h++) {
		float x = value((uint16_t)h, type);

		if ((h & 0x7fff) > infinite) {
			wrong += !isnan(x);
			lost += (half(x, type) & 0x7fff) <= infinite;
			continue;
		}
		if ((h & 0x7fff) == infinite)
			wrong += !isinf(x) || !signbit(x) != !(h >> 15);
		else
			wrong += (double)x != defined((uint16_t)h, type) || !signbit(x) != !(h >> 15);
		lost += half(x, type) != h;
	}
	ok(!wrong, "%s: every pattern has its value (%d have not)", name, wrong);
	ok(!lost, "%s: and comes back from it (%d do not)", name, lost);
}

/* Between two neighbours a < b: nearer to a, the middle (to the even one), nearer to b. */
static void
rounding(enum dc_type type, const char *name)
{
	uint16_t infinite = type == DC_F16 ? 0x7c00 : 0x7f80;
	int wrong = 0;

	for (uint16_t h = 0; h + 1 < infinite; h++) {
		float a = value(h, type), b = value((uint16_t)(h + 1), type), middle = (float)(((double)a + b) / 2);
		uint16_t even = h & 1 ? (uint16_t)(h + 1) : h;

		wrong += half(middle, type) != even || half(-middle, type) != (even | 0x8000);
		wrong += half(nextafterf(middle, 0), type) != h || half(nextafterf(middle, INFINITY), type) != h + 1;
	}
	ok(!wrong, "%s: to the nearest, ties to even (%d are not)", name, wrong);
}

static void
overflow(enum dc_type type, float largest, float first_too_large, const char *name)
{
	uint16_t h[3], infinite = type == DC_F16 ? 0x7c00 : 0x7f80;
	float x[] = { 1, first_too_large, largest }, y[3];

	ok(half(first_too_large, type) == infinite && half(-INFINITY, type) == (infinite | 0x8000), "%s: too large is infinite", name);
	ok(half(nextafterf(first_too_large, 0), type) == infinite - 1 && value(infinite - 1, type) == largest,
	    "%s: what is just below is the largest", name);
	ok(dc_half_from_float(h, x, 3, type) == 1, "%s: and which element it was", name);
	ok(dc_half_to_float(y, h, 3, type) == 1 && y[0] == 1 && y[2] == largest, "%s: also on the way back", name);
	x[1] = NAN;
	ok(dc_half_from_float(h, x, 3, type) == 1 && dc_half_from_float(h, x, 1, type) == 1, "%s: so is a NaN", name);
}

int
main(void)
{
	patterns(DC_F16, "f16");
	patterns(DC_BF16, "bf16");
	rounding(DC_F16, "f16");
	rounding(DC_BF16, "bf16");
	overflow(DC_F16, 65504, 65520, "f16");
	overflow(DC_BF16, 0x1.fep127f, 0x1.ffp127f, "bf16");
	return done_testing();
}
