/* SPDX-License-Identifier: MIT */
/* Inside the loss room: what a term is, and what it sees of a step. A new term is a file that fills in a struct
 * dc_loss_term, and its place in the tables of methods.c. */
#ifndef DC_LOSS_TERM_H
#define DC_LOSS_TERM_H

#include "loss/contrastive.h"
#include "loss/loss.h"

/* One step. unit: the features divided by their norms, d_unit: the gradient of the total so far, both [N,D];
 * NULL for a view that is not there. */
struct dc_loss_step {
	const struct dc_config *c;
	const struct dc_loss_in *in;
	struct dc_nn_queue *q;
	struct dc_loss_out *out;
	struct dc_loss_work *w;
	double scale, d_scale;          /* s, and the gradient of the total with respect to s so far */
	dc_real *unit_image[2], *unit_text[2], *d_unit_image[2], *d_unit_text[2];
};

struct dc_loss_term {
	enum dc_term term;
	const char *what;
	int image_views, caption_views;
	/* What else it needs. 0, or -1 with a message. May be NULL. */
	int (*check)(const struct dc_config *c, const struct dc_loss_in *in, const struct dc_nn_queue *q);
	/* Return the term's value; add weight times its gradient to d_unit_*, d_scale and out->d_*. With weight 0 only the
	 * value. A term that waits sets out->active[term] = 0. */
	double (*compute)(struct dc_loss_step *s, double weight);
};

extern const struct dc_loss_term dc_term_clip, dc_term_mvs, dc_term_simsiam, dc_term_mlm, dc_term_nns;

struct dc_loss_work {
	struct dc_tiles tiles;
	dc_real *unit_image[2], *unit_text[2], *d_unit_image[2], *d_unit_text[2]; /* [N,D] */
	dc_real *norm[4];                   /* [N] 1 / norm of the image rows, then of the text rows */
	dc_real *near[2];                   /* [N,D] neighbours of the text views */
	dc_real *enqueue;                   /* [2N,D] */
	int64_t *index;                     /* [N] */
	size_t cap_n, cap_nd;
};

/* InfoNCE of image view i and text view t of the step, symmetric: its value; adds weight times its gradient. */
double dc_step_pair(struct dc_loss_step *s, int i, int t, double weight, struct dc_contrast_result *r);

#endif
