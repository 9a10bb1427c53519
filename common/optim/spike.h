/* SPDX-License-Identifier: MIT */
/* Does a loss jump? A window of the last values, and whether a new one lies far above their mean. */
#ifndef DC_OPTIM_SPIKE_H
#define DC_OPTIM_SPIKE_H

#include <stdint.h>

enum { DC_SPIKE_WINDOW = 100, DC_SPIKE_MIN = 20 /* values before anything can be said */ };

/* Zero-initialise. */
struct dc_spike { double value[DC_SPIKE_WINDOW]; uint64_t n; };

/* Whether x > mean + k sd of the values in the window, of which there must be DC_SPIKE_MIN; *mean and *sd are theirs. x is
 * then one of them. */
int dc_spike(struct dc_spike *s, double x, double k, double *mean, double *sd);

#endif
