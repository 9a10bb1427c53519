/* SPDX-License-Identifier: MIT */
/* What the files of dc-step's room share. Nobody else includes it.
 *
 *	step_start.c       the lock, the newest checkpoint, whether it was made with the same numerics
 *	step_memory.c      where parameters and gradients lie; the lists of them
 *	step_verify.c      the table of --verify
 *	step_loop.c        the FIFO, the state, the parameters
 *	step_losses.c      dfeatures
 *	step_gradients.c   gradients, and the batch norms' statistics
 *	step_update.c      the end of a step: the update or a refusal, the checkpoint
 *	step_log.c         log.tsv, rows on stdout, the progress line, warnings of numbers */
#ifndef DC_RING_STEP_PRIVATE_H
#define DC_RING_STEP_PRIVATE_H

#include <string.h>

#include "ring/step.h"

/* Where the lock and the shared memory are. */
static inline const char *
dc_step_home(const struct dc_step *r)
{
	return r->o.replica ? r->o.replica : r->o.run;
}

static inline const char *
dc_step_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Give every weight of r->s its place, and r->g the gradients theirs: own memory by value, else the two shared files. */
void dc_step_own_memory(struct dc_step *r);
int dc_step_share_memory(struct dc_step *r) DC_MUST_USE;
/* r->run, and room for a step's batch statistics. */
void dc_step_list_running(struct dc_step *r);
/* r->cell, by the moments as they were loaded. */
void dc_step_list_cells(struct dc_step *r);
/* Add tensor i to r->x for the optimizer. */
void dc_step_list_tensor(struct dc_step *r, int i);
/* Both scales into the limits of the method. */
void dc_step_clamp_scale(struct dc_step *r);

/* This step is refused, for the first reason that is given. */
void dc_step_refuse_for(struct dc_step *r, const char *fmt, ...) DC_PRINTF(2, 3);
/* Of the frame r->f: it is of the step under way; its position, if it has one, is the step's. */
int dc_step_check(struct dc_step *r) DC_MUST_USE;
int dc_step_take_position(struct dc_step *r) DC_MUST_USE;

/* All frames of the step have come: update or refuse, and send the parameters. enum dc_io. */
int dc_step_finish(struct dc_step *r) DC_MUST_USE;

/* A row of the log; the progress line; warnings of numbers that are finite, but not as they should be. */
int dc_step_log(struct dc_step *r, double lr, double scale, double norm) DC_MUST_USE;

#endif
