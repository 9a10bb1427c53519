/* SPDX-License-Identifier: MIT */
#include "optim/schedule.h"

#include <math.h>

double
dc_schedule_lr(const struct dc_schedule *o, uint64_t s)
{
	double x = (double)s, warmup = (double)o->warmup, steps = (double)o->steps;

	if (x < warmup)
		return o->lr_start + (o->lr - o->lr_start) * x / warmup;
	if (!o->steps)
		return o->lr;
	return x < steps ? o->lr / 2 * (1 + cos(M_PI * (x - warmup) / (steps - warmup))) : 0;
}
