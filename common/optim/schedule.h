/* SPDX-License-Identifier: MIT */
#ifndef DC_OPTIM_SCHEDULE_H
#define DC_OPTIM_SCHEDULE_H

#include <stdint.h>

/* The learning rate of DeCLIP's recipe (arXiv 2110.05208, appendix): linear from lr_start to lr over `warmup` updates, then
 * half a cosine down to 0 at update `steps`; with steps = 0 it stays at lr. */
struct dc_schedule { double lr, lr_start; int64_t warmup, steps; };

/* The rate of the update that leads from step s to s + 1, s from 0:
 *	s < warmup:  lr_start + (lr - lr_start) s / warmup
 *	else         lr / 2 (1 + cos(pi (s - warmup) / (steps - warmup))),  0 from `steps` on */
double dc_schedule_lr(const struct dc_schedule *o, uint64_t s);

#endif
