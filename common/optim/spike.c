/* SPDX-License-Identifier: MIT */
#include "optim/spike.h"

#include <math.h>

int
dc_spike(struct dc_spike *s, double x, double k, double *mean, double *sd)
{
	const int n = s->n < DC_SPIKE_WINDOW ? (int)s->n : DC_SPIKE_WINDOW;
	double sum = 0, square = 0;

	for (int i = 0; i < n; i++)
		sum += s->value[i];
	*mean = n ? sum / n : 0;
	for (int i = 0; i < n; i++)
		square += (s->value[i] - *mean) * (s->value[i] - *mean);
	*sd = n ? sqrt(square / n) : 0;
	s->value[s->n++ % DC_SPIKE_WINDOW] = x;
	return n >= DC_SPIKE_MIN && x > *mean + k * *sd;
}
