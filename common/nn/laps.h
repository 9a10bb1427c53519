/* SPDX-License-Identifier: MIT */
/* Where a step's time goes: a stop-watch whose every lap is put down to a kind of layer, and the useful work done. */
#ifndef DC_NN_LAPS_H
#define DC_NN_LAPS_H

#include "base/util.h"

enum dc_lap {
	DC_LAP_GEMM, DC_LAP_ATTENTION, DC_LAP_NORM, DC_LAP_ACTIVATION, DC_LAP_EMBED, DC_LAP_CONV, DC_LAP_MAPNORM, DC_LAP_HEADS, DC_LAP_OTHER,
	DC_LAPS
};
extern const char *const dc_lap_names[DC_LAPS];

/* seconds by kind; flop: floating-point operations of the products that the mathematics needs (a multiplication and an
 * addition are two), padding and recomputation excluded. */
struct dc_laps { double s[DC_LAPS], flop, at; };

/* The time since the last lap belongs to `kind`. laps NULL: nobody looks at the clock. */
static inline void
dc_lap(struct dc_laps *laps, enum dc_lap kind)
{
	double now;

	if (!laps)
		return;
	now = dc_seconds();
	laps->s[kind] += now - laps->at;
	laps->at = now;
}

/* The clock starts here: what was before belongs to nobody. */
static inline void
dc_laps_start(struct dc_laps *laps)
{
	if (laps)
		laps->at = dc_seconds();
}

#endif
