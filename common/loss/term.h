/* SPDX-License-Identifier: MIT */
/* Inside the loss room: what a term is, and what it sees of a step. A new term is a file that fills in a struct
 * dc_loss_term, and its place in the tables of methods.c. */
#ifndef DC_LOSS_TERM_H
#define DC_LOSS_TERM_H

#include "loss/contrastive.h"
#include "loss/late.h"
#include "loss/loss.h"

/* One step. image, text: the features, to be divided by their norms; d_image, d_text [N,D]: the gradient of the total by
 * the quotients so far; NULL for a view that is not there. */
struct dc_loss_step {
	const struct dc_config *c;
	const struct dc_loss_in *in;
	struct dc_nn_queue *q;
	struct dc_loss_out *out;
	struct dc_loss_work *w;
	double scale, d_scale;          /* s, and the gradient of the total with respect to s so far */
	struct dc_rows image[2], text[2];
	double *d_image[2], *d_text[2];
};

struct dc_loss_term {
	enum dc_term term;
	const char *what;
	int image_views, caption_views;
	/* What else it needs. 0, or -1 with a message. May be NULL. */
	int (*check)(const struct dc_config *c, const struct dc_loss_in *in, const struct dc_nn_queue *q);
	/* Return the term's value; add weight times its gradient to d_image, d_text, d_scale and out->d_*. With weight 0 only the
	 * value. A term that waits sets out->active[term] = 0. */
	double (*compute)(struct dc_loss_step *s, double weight);
};

extern const struct dc_loss_term dc_term_clip, dc_term_mvs, dc_term_simsiam, dc_term_mlm, dc_term_nns, dc_term_simclr,
	dc_term_filip, dc_term_siglip;

/* Further memory of the work by what it is for; those that FILIP has for both sides take two places. */
enum dc_room { DC_ROOM_U, DC_ROOM_DU, DC_ROOM_R = 3, DC_ROOM_AT = 5, DC_ROOMS = 7 };
enum dc_ints { DC_INTS_IMAGE, DC_INTS_TOP, DC_INTS = 3 };

struct dc_loss_work {
	struct dc_tiles tiles;
	struct dc_late_work late;
	double *room[DC_ROOMS]; size_t cap_room[DC_ROOMS];
	int32_t *ints[DC_INTS]; size_t cap_ints[DC_INTS];
	double *d_unit[4];                  /* [N,D] gradients by the unit rows: image views, then text views; NULL after a large batch */
	double *norm[4];                    /* [N] 1 / norm of those rows */
	dc_real *enqueue;                   /* [2N,D] */
	int64_t *index;                     /* [N] neighbours */
	size_t cap_n, cap_nd;
};

/* n numbers for that use until it is asked for again, not zeroed. */
double *dc_loss_room(struct dc_loss_work *w, int use, size_t n);
int32_t *dc_loss_ints(struct dc_loss_work *w, int use, size_t n);

/* InfoNCE of image view i and text view t of the step, symmetric: its value; adds weight times its gradient. */
double dc_step_pair(struct dc_loss_step *s, int i, int t, double weight, struct dc_contrast_result *r);

#endif
