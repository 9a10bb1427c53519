/* SPDX-License-Identifier: MIT */
/* What the files of the encoder share: its parts, and what each of them does for the others. Nobody else includes it.
 *
 *	encoder.c          a batch: the towers part by part, forward and back; what is kept and what is made again
 *	encoder_weights.c  every tensor by its name
 *	encoder_masked.c   the masked positions and their head
 *	encoder_words.c    the words that FILIP compares
 *	encoder_bytes.c    an estimate of the memory */
#ifndef DC_NN_ENCODER_PRIVATE_H
#define DC_NN_ENCODER_PRIVATE_H

#include <stdlib.h>
#include <string.h>

#include "nn/encoder.h"
#include "nn/lanes.h"
#include "nn/mlp.h"
#include "nn/resnet.h"
#include "nn/simsiam.h"
#include "nn/text.h"
#include "nn/vit.h"

enum kind { IMAGE, TEXT, MLM };

/* The words of a part's captions on their way to FILIP's projection. */
struct words {
	int n; int64_t at;                 /* how many; their first row among the batch's */
	int32_t *row;                      /* [n] in the packed rows */
	dc_real *mean, *rstd, *h;          /* [n], [n,W] ln_final of them */
};

/* One tower's pass over one part, kept for its backward pass. Parts lie on the arena in the order of their forward
 * passes and are taken off in reverse. Where there is no room for more, what a part laid down is dropped at once, and its
 * forward pass is made again right before its backward pass, from the caller's pixels or tokens. */
struct part {
	enum kind kind;
	int view, row, n;
	const uint8_t *rgb;                /* of an image part */
	const int32_t *token, *target;     /* of a text part; targets for MLM alone */
	struct dc_arena_mark mark;         /* where the part begins */
	size_t below;                      /* bytes that lay there before it, the lanes' too */
	int dropped;
	struct dc_vit_kept vit;
	struct dc_resnet_kept resnet;
	struct dc_text_kept text;
	struct dc_text_pool pool;
	dc_real *tokens;                   /* [n G, W] the image's, for FILIP */
	struct words words;
	int64_t m0, m;                     /* its masked positions, in the batch's */
};

/* The masked positions of the batch. */
struct masked {
	int64_t cap;
	int32_t *target, *row;             /* [M]; row: within its part's packed rows */
	dc_real *x, *h, *dx;               /* [M,W] blocks' output; ln_final of it; gradient by x */
	dc_real *mean, *rstd, *lse;        /* [M] */
	struct dc_par weight, bias;        /* [V,W], [V] */
	dc_real *kept;                     /* on the arena, from `mark` on, between the heads' two passes; may be NULL */
	struct dc_arena_mark mark;
};

/* With --as released, the last text pass over view 0: its hidden states serve the masked positions too. */
struct fused { int on, row, n, part; dc_real *y; size_t y_cap; int32_t *off; int off_cap; };

/* FILIP's projections of image and text tokens: [F,W], [F]. */
struct filip { int F, G, W; struct dc_par image_w, image_b, text_w, text_b; int64_t cap; };

struct dc_enc_private {
	struct dc_weight *weights;   /* a copy of the caller's list: the SimSiam heads point into it */
	struct dc_vit vit;           /* one of these two; n_blocks 0: not a ResNet */
	struct dc_resnet resnet;
	struct dc_text_tower text;
	struct dc_lanes image_lanes, text_lanes;
	struct dc_simsiam *simsiam;
	const struct dc_sync *sync;  /* of the heads' batch norms; NULL: this process is alone */
	struct dc_mlp *simclr;
	dc_real *pooled[DC_VIEWS_MAX], *d_pooled[DC_VIEWS_MAX]; /* [N, image width] what SLIP's head takes */
	struct filip filip;
	struct masked mlm;
	struct fused fused;
	struct dc_arena arena;
	struct part *part; int n_parts, parts_cap;
	int train, keep, image_trains, text_trains;
	size_t limit, largest;       /* bytes of activations that may lie there; of the largest part so far */
	int N_cap;
};

/* Fill the towers and heads of e->p from its n weights. -1 with a message naming the first that is missing or has the wrong
 * size. */
int dc_enc_find(struct dc_enc *e, int n) DC_MUST_USE;

/* pack->want, want_off: the rows with a target, by sequence; targets checked. off, row, n: the sequences and the first's row in
 * the batch. */
int dc_enc_want_masked(struct dc_pack *pack, const int32_t *off, int row, int n, const int32_t *target, int T, int V,
	struct dc_arena *arena) DC_MUST_USE;
/* Add the wanted rows of y, which has only those (some) or all rows of the pack, to the batch's masked positions. */
void dc_enc_add_masked(struct dc_enc *e, const struct dc_pack *pack, const int32_t *target, const dc_real *y, int some);
/* Remember all hidden states of view 0, for the masked positions; then take them from there. part: -1 where none is kept. */
void dc_enc_fuse(struct dc_enc_private *p, const struct dc_text_kept *k, int row, int part);
int dc_enc_fused(struct dc_enc *e, int row, int n, const int32_t *target) DC_MUST_USE;
/* The head over all masked positions of the batch, and back: then p->mlm.dx is set. */
void dc_enc_mlm_forward(struct dc_enc *e);
void dc_enc_mlm_backward(struct dc_enc *e);

/* From a part's hidden states y [R,W], the first of whose captions is the batch's `row`, to its rows of filip_text. */
void dc_enc_words_forward(struct dc_enc *e, struct words *w, const struct dc_captions *c, const dc_real *y, int row);
/* Adds to dy [R,W] what the words' gradient is there. */
void dc_enc_words_backward(struct dc_enc *e, const struct words *w, const dc_real *y, dc_real *dy);

static inline int
dc_enc_image_views(const struct dc_enc *e)
{
	return e->c.image_views > 0 ? e->c.image_views : 1;
}

static inline void
dc_enc_remake(dc_real **p, size_t n)
{
	free(*p);
	*p = dc_xaligned(n, sizeof(**p));
}

static inline void
dc_enc_zero(dc_real *x, size_t n)
{
	if (x && n)
		memset(x, 0, n * sizeof(*x));
}

#endif
