/* SPDX-License-Identifier: MIT */
/* What the files of training in the ring do for one another. Nobody else includes it.
 *
 *	encode_ring.c      the neighbours: batches in, the loop, what is read ahead, `stop` and `end`
 *	encode_start.c     state, parameters, the shared files
 *	encode_features.c  features out, their gradient in
 *	encode_step.c      one step: a batch forward and back, gradients out
 *	encode_profile.c   where the time went
 *
 * Where nothing else is said, a function returns DC_FRAME to go on, DC_EOF when the training is over, DC_FAIL or DC_GONE. */
#ifndef DC_RING_ENCODE_PRIVATE_H
#define DC_RING_ENCODE_PRIVATE_H

#include "ring/encode_train.h"

/* The next frame of the loop into lf; reads ahead on stdin meanwhile. */
int dc_encode_read_loop(struct dc_encode *t, enum dc_encode_wait whom) DC_MUST_USE;
/* The whole next batch into `now`. DC_EOF: `end` came, or `stop`. */
int dc_encode_next_batch(struct dc_encode *t) DC_MUST_USE;
/* Between two parts: is the reader of stdout alive, has `stop` come? */
int dc_encode_look_round(struct dc_encode *t) DC_MUST_USE;

/* The parameters after this step, which dc-step sends. */
int dc_encode_receive_parameters(struct dc_encode *t) DC_MUST_USE;

/* The features of the whole batch: one frame, or several ranges of rows where they would be too large for one. */
int dc_encode_send_features(struct dc_encode *t) DC_MUST_USE;
/* Wait for the gradient of the features; *skip where the batch was too small for one. */
int dc_encode_receive_dfeatures(struct dc_encode *t, int *skip) DC_MUST_USE;

/* Forget the pixels that were gathered for a batch. */
void dc_encode_free_pixels(struct dc_encode *t);

/* A batch norm needs two rows; with those of other ranks this one may have none. */
static inline int
dc_encode_heads(const struct dc_encode *t)
{
	return t->enc->N >= 2 || t->o.sync_bn;
}

#endif
