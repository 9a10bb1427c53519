/* SPDX-License-Identifier: MIT */
/* The towers and heads of one model over one batch: forward to features, backward to gradients. No I/O.
 *
 * Life of a step (N samples in parts of at most DC_PART_MAX, rows [row, row + n) of the batch each):
 *
 *	dc_enc_begin(e, N, keep);                             // keep = 1: activations stay for the backward pass
 *	for each part: for v in views:
 *		dc_enc_image(e, v, row, n, rgb);              // u8 [n,S,S,3]
 *		dc_enc_text(e, v, row, n, token);             // i32 [n,T]
 *		dc_enc_mlm(e, row, n, mlm_token, mlm_target); // i32 [n,T] each; not where --as released fuses it (below)
 *	dc_enc_heads(e);                                      // SimSiam and its batch norms over the whole [N,D]
 *	... and what SLIP and FILIP add (e->simclr_z[v], e->filip_image, e->filip_text) ...
 *	... e->image_features[v] [N,D], e->text_features[v], e->simsiam_z[v], e->simsiam_p[v] [N,Z], e->mlm_nll [M] ...
 *	(SLIP: image_features of view 0 alone)
 *	fill e->d_image_features[v], e->d_text_features[v], e->d_simsiam_p[v], e->d_mlm_nll, (all [.] zeroed by begin)
 *	dc_enc_backward_heads(e);                             // adds into d_image_features; head gradients, MLM's too
 *	while ((k = dc_enc_backward_next(e)) > 0) ;           // one part of one tower a call, so the caller can poll
 *
 * Gradients accumulate into the gradient tensors; the caller zeroes those. Parameters without a gradient pointer
 * (frozen) are skipped. */
#ifndef DC_NN_ENCODER_H
#define DC_NN_ENCODER_H

#include <stdint.h>
#include "base/real.h"
#include "nn/laps.h"
#include "store/config.h"

enum { DC_VIEWS_MAX = 4 };

/* A tensor of the model: where its value lives, and its gradient (NULL: frozen, or encoding only). */
struct dc_weight { const char *name; size_t n; const dc_real *w; dc_real *g; };

/* Batch-norm statistics of one layer and step, in the order the views went through (a ResNet's: the parts, view by view):
 * mean and unbiased variance, [views, width] each, for the owner of the running statistics to fold in with momentum 0.1. */
struct dc_bn_stats { const char *name; int views, width; dc_real *mean, *var; int cap; int synced; /* over all processes */ };

/* Where several processes share a batch: add up x [n] over all of them, in place. All call it in the same order. -1 where that
 * failed: what is computed then means nothing. */
struct dc_sync { int (*sum)(void *arg, double *x, size_t n); void *arg; };

struct dc_enc {
	struct dc_config c;
	int N, T;                                  /* samples of this batch; context length */
	int64_t M;                                 /* masked positions of this batch so far */
	dc_real *image_features[DC_VIEWS_MAX], *text_features[DC_VIEWS_MAX];       /* [N,D] not normalised */
	dc_real *simsiam_z[DC_VIEWS_MAX], *simsiam_p[DC_VIEWS_MAX];                /* [N,Z] */
	dc_real *simclr_z[DC_VIEWS_MAX];                                           /* [N, simclr width], views 1 and 2 */
	dc_real *filip_image;                      /* [N G, filip width] the projected tokens of image view 0 */
	dc_real *filip_text;                       /* [filip_off[N], filip width] those of caption view 0 */
	int32_t *filip_off;                        /* [N+1] first row of each caption */
	dc_real *mlm_nll;                                                          /* [M] */
	dc_real *d_image_features[DC_VIEWS_MAX], *d_text_features[DC_VIEWS_MAX], *d_simsiam_p[DC_VIEWS_MAX];
	dc_real *d_simclr_z[DC_VIEWS_MAX], *d_filip_image, *d_filip_text;
	dc_real *d_mlm_nll;                                                        /* [M] */
	int parts, again;                          /* of towers in this batch; those whose activations were dropped (dc_enc_keep) */
	size_t kept;                               /* bytes of activations that lay there after its forward passes */
	struct dc_bn_stats **bn; int n_bn;                                         /* of the heads and of a ResNet */
	struct dc_enc_private *p;
};

/* weights: every tensor of dc_params_list(c), any order (found by name; a missing one or a wrong size is an error that
 * names it). Without a method ("": encoding only) no heads are needed. With train = 0 no activations are kept and batch
 * norms use the running statistics, which are then also looked up among the weights if the config has SimSiam.
 * NULL after dc_err_set. */
struct dc_enc *dc_enc_new(const struct dc_config *c, const struct dc_weight *weights, int n_weights, int train);
void dc_enc_free(struct dc_enc *e);
/* From now on at most so many bytes of activations lie in memory between a forward pass and its backward pass, those of one
 * part, which is the least, included. What does not fit is dropped, and its forward pass is made again before its backward
 * pass, with the same bytes as the first time: rgb, token and target must then stay as they are until all is done. lean: of
 * a transformer's blocks only the inputs are kept at all, and the rest is computed again, block by block. Without this call
 * everything is kept. Between its own two passes, when no part is made again, the head of the masked words has up to 64 MB
 * besides, whatever the limit: what is kept there decides the last bits. */
void dc_enc_keep(struct dc_enc *e, size_t bytes, int lean);
/* From now on add time and work to *laps (NULL: to nothing). */
void dc_enc_watch(struct dc_enc *e, struct dc_laps *laps);
/* From now on the batch norms of the heads take the whole batch of all processes; this one may have no row of it. */
void dc_enc_sync(struct dc_enc *e, const struct dc_sync *sync);

void dc_enc_begin(struct dc_enc *e, int N, int keep);
void dc_enc_image(struct dc_enc *e, int view, int row, int n, const uint8_t *rgb);
/* Return 0, or -1 with a message naming row and position: a token outside the vocabulary (vocab_size itself is the
 * mask token, allowed where the model has one), no end token. */
int dc_enc_text(struct dc_enc *e, int view, int row, int n, const int32_t *token) DC_MUST_USE;
/* The bidirectional pass over masked captions (default); with c.released instead call dc_enc_text with mlm_token as
 * view 0 and then this with the same tokens: it takes the hidden states of that pass. */
int dc_enc_mlm(struct dc_enc *e, int row, int n, const int32_t *token, const int32_t *target) DC_MUST_USE;
void dc_enc_heads(struct dc_enc *e);
void dc_enc_backward_heads(struct dc_enc *e);
/* Back-propagate the next part of a tower. 1 while there is more, 0 when done. */
int dc_enc_backward_next(struct dc_enc *e);

/* About how many bytes of activations there are where everything is kept for a batch of N with mean caption length `tokens`,
 * with or without what is in the blocks; what a part takes for the moment included. With N = 0: the least, where all that
 * is kept is the part that goes back. */
size_t dc_enc_bytes(const struct dc_config *c, int N, double tokens, int lean);

#endif
