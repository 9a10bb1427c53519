/* SPDX-License-Identifier: MIT */
/* The objective of DeCLIP and its family on one batch of features: the value of every term, and the gradient of the total. No I/O.
 * Terms, weights and the two readings (paper, released): man dc-loss.
 *
 *	struct dc_loss_work *w = dc_loss_work_new(0, 0);
 *	... fill in; let out's d_* point to memory of the same shapes ...
 *	if (dc_loss_compute(&config, &in, &queue, &out, w) < 0) ... dc_err() ...
 *	dc_loss_work_free(w); */
#ifndef DC_LOSS_LOSS_H
#define DC_LOSS_LOSS_H

#include <stdint.h>
#include "base/real.h"
#include "store/config.h"

/* The queue of text features whose nearest neighbours supervise the images (NNS). Rows are unit vectors. */
struct dc_nn_queue { dc_real *rows; int64_t length, head, valid; int D; }; /* rows [length,D]; head: next to be written */

struct dc_loss_in {
	int N, D, Z; int64_t M;
	const dc_real *image_features[2], *text_features[2]; /* [N,D] not normalised; [1] NULL with one view */
	const dc_real *simsiam_z[2], *simsiam_p[2];          /* [N,Z] or NULL */
	const dc_real *mlm_nll;                              /* [M] or NULL */
	double logit_scale;                                  /* the log */
	int S; const dc_real *simclr_z[2];                   /* [N,S] or NULL: image views 1 and 2 */
	int G, F; const dc_real *filip_image, *filip_text;   /* [N G, F], [filip_off[N], F] or NULL: projected tokens */
	const int32_t *filip_off;                            /* [N+1] each caption's first row, from 0 */
	double filip_logit_scale, logit_bias;                /* the log of FILIP's own scale; SigLIP's b */
};
struct dc_loss_out {
	dc_real *d_image_features[2], *d_text_features[2], *d_simsiam_p[2], *d_mlm_nll; /* overwritten; as in dc_loss_in */
	dc_real *d_simclr_z[2], *d_filip_image, *d_filip_text; /* overwritten */
	double d_logit_scale, d_filip_logit_scale, d_logit_bias;
	double value[DC_TERMS], total;  /* unweighted terms (0 where off or waiting); the weighted total */
	int active[DC_TERMS];           /* 0: off, or NNS waiting for its queue */
	double accuracy_i2t, accuracy_t2i; /* of (I1,T1) in the batch; token-wise where FILIP is on and CLIP is off */
	double simsiam_std;                /* with SimSiam: of z / |z| over the batch, mean over channels; 0: collapsed */
	dc_real *nn_enqueue; int64_t n_enqueue; /* unit rows just pushed, [n_enqueue,D], in order; NULL without NNS */
};

/* Memory that is kept from step to step; one per thread that computes losses. tile_rows x tile_cols logits exist at a
 * time (0, 0: 512 x 1024). */
struct dc_loss_work;
struct dc_loss_work *dc_loss_work_new(int tile_rows, int tile_cols);
void dc_loss_work_free(struct dc_loss_work *w);

/* All terms of c->method whose weight in c->weight is not 0, for N >= 2. A d_* pointer of out may be NULL where the
 * input is, or the input itself: the gradient then takes its place. q (used and pushed to only with NNS; else it may be NULL) must have in->D columns. out->nn_enqueue points
 * into w until the next call. An image counts as right (accuracy_i2t) if its own text has the largest logit of its row,
 * the first of equal ones counting as the largest; likewise a text. Nothing checks for NaN: it comes out as it went in,
 * but a row that is not finite is not pushed, nor any of its batch.
 * Return 0, or -1 with a message if an input that a term needs is missing. */
int dc_loss_compute(const struct dc_config *c, const struct dc_loss_in *in, struct dc_nn_queue *q,
    struct dc_loss_out *out, struct dc_loss_work *w) DC_MUST_USE;

/* s = min(exp(logit_scale), 100). *grad (if not NULL) = ds / d logit_scale: s, and 0 above the cap, that is where
 * logit_scale is larger than ln 100 as a float. (A float parameter that an optimizer holds at ln 100 is not above it and
 * can come down again.) In the released reading dc_loss_compute takes exp(logit_scale) for that gradient, above the cap
 * too; and of the released methods slip and filip do not cap s at all. */
double dc_logit_scale(double logit_scale, double *grad);

/* What --list prints. A table that ends with name NULL. */
struct dc_loss_term;
struct dc_loss_method { const char *name, *what; const struct dc_loss_term *const *terms; /* ends with NULL */ };
extern const struct dc_loss_method dc_loss_methods[];
const struct dc_loss_method *dc_loss_method(const char *name); /* NULL if there is none */
int dc_loss_has(const char *method, int term); /* whether that method knows that term */
/* The i-th term of a method and one line on it. Return 0, or -1 (no message) when there are no more. */
int dc_loss_method_term(const struct dc_loss_method *m, int i, enum dc_term *term, const char **what);

#endif
