/* SPDX-License-Identifier: MIT */
/* dc-loss in its ring: the parts of a batch's features in, their gradient out. */
#ifndef DC_RING_LOSS_RING_H
#define DC_RING_LOSS_RING_H

#include "base/progress.h"
#include "loss/loss.h"
#include "stream/stream.h"

struct dc_loss_opts {
	const char *method, *as;
	double weight[DC_TERMS], lo, hi;   /* lo, hi: limits of logit_scale */
	int64_t queue, nns_after, rows, filip_top;
	int list, verbose;
};

/* A batch's rows: in a frame that has them all, else gathered in `own`, which grows and is used again. */
struct dc_loss_matrix { dc_real *p, *own; size_t cap; int64_t rows, cols; };

/* The tensors of a features frame, in the order of dc_loss_key: rows of samples as far as NLL. FILIP's image tokens are rows of
 * [tokens, width]. */
enum { I1, I2, T1, T2, Z1, Z2, P1, P2, S1, S2, FI, NLL, FT, INPUTS };

struct dc_loss_ring {
	struct dc_loss_opts o;
	struct dc_config c;
	int has_state, wanted[INPUTS];
	struct dc_nn_queue q;
	struct dc_loss_matrix in[INPUTS];      /* a whole batch; then the gradients take its place */
	int alone;                             /* it is in one frame */
	int32_t *filip_off; size_t cap_off;    /* [N+1] first row of each caption in filip_text */
	int64_t tokens, filip_width;           /* of an image */
	double logit_scale, filip_logit_scale, logit_bias;
	int64_t *local, n_local, local_mlm[2], rank; /* of several ranks: the rows that are ours; n_local -1: we are alone */
	int64_t batch;                         /* rows of the whole batch */
	int64_t part, parts;                   /* next part of the batch under way; 0, 0 between batches */
	uint64_t step;
	int64_t position; int has_position;
	int started, stopped;
	uint64_t batches, samples;
	struct dc_loss_work *w;
	struct dc_body b;
	struct dc_progress progress;
};

/* The method's weights and those given; what the others leave goes to clip unless that is given too. Ends the program where the
 * options contradict one another. */
void dc_loss_config(struct dc_config *c, const struct dc_loss_opts *o);

/* Until `end`, from standard input to standard output, with the options and the config that are in s, which is otherwise zero.
 * The exit status. */
int dc_loss_run(struct dc_loss_ring *s);
void dc_loss_free(struct dc_loss_ring *s);

#endif
