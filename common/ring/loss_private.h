/* SPDX-License-Identifier: MIT */
/* What the files of dc-loss's room do for one another. Nobody else includes it.
 *
 *	loss_options.c   options, and the run's config, which they must not contradict
 *	loss_gather.c    a batch from the parts of its features
 *	loss_answer.c    its gradient, in parts
 *	loss_ring.c      the frames, by kind */
#ifndef DC_RING_LOSS_PRIVATE_H
#define DC_RING_LOSS_PRIVATE_H

#include "ring/loss_ring.h"

extern const char *const dc_loss_key[INPUTS];

/* An option that says something else than the run's config is an error. */
int dc_loss_check_options(const struct dc_loss_opts *o, const struct dc_config *c) DC_MUST_USE;

/* 1: the batch is whole; 0: more to come; -1 with a message. */
int dc_loss_gather(struct dc_loss_ring *s, struct dc_frame *f) DC_MUST_USE;
int dc_loss_check_whole(const struct dc_loss_ring *s, struct dc_frame *f) DC_MUST_USE;
int dc_loss_check_local(const struct dc_loss_ring *s, struct dc_frame *f) DC_MUST_USE;

/* Of several ranks each answers for its own samples: their rows of the gradients move to the front. */
void dc_loss_keep_local(struct dc_loss_ring *s);
int dc_loss_write_answer(struct dc_loss_ring *s, const struct dc_loss_out *r, struct dc_out *out) DC_MUST_USE;
/* The answer to a batch of less than two samples. */
int dc_loss_write_skip(struct dc_loss_ring *s, struct dc_out *out) DC_MUST_USE;

#endif
