/* SPDX-License-Identifier: MIT */
/* What dc-encode's two ways have in common: the tensors of one frame, checked against the model, and what is written into its
 * answer. Functions of one frame or body at a time; nothing is kept. */
#ifndef DC_RING_ENCODE_PART_H
#define DC_RING_ENCODE_PART_H

#include "nn/encoder.h"
#include "store/config.h"
#include "stream/stream.h"

/* What travels unchanged from a batch to its features. */
enum { DC_ENCODE_CARRIED = 5 };
extern const char *const dc_encode_carried[DC_ENCODE_CARRIED];

/* "name.view" into s [n]. */
void dc_encode_key(char *s, size_t n, const char *name, int view);

/* image.view, u8 [N,S,S,3]; a matrix of token ids, i32 [N,T], by its key; and token.view. *t lives as long as the frame. 0, or -1
 * with a message that names frame, key, what came and which option makes what the model takes. */
int dc_encode_image_view(struct dc_frame *f, const struct dc_config *c, int view, struct dc_tensor *t) DC_MUST_USE;
int dc_encode_tokens(struct dc_frame *f, const struct dc_config *c, const char *key, struct dc_tensor *t) DC_MUST_USE;
int dc_encode_token_view(struct dc_frame *f, const struct dc_config *c, int view, struct dc_tensor *t) DC_MUST_USE;

/* FILIP's tokens of the encoder's samples [from, from + n): filip_image f4 [n,G,F]; filip_text f4 [rows,F] with filip_off i32
 * [n+1], the first row of each caption. */
void dc_encode_put_image_tokens(struct dc_body *b, const struct dc_enc *e, int from, int n);
void dc_encode_put_words(struct dc_body *b, const struct dc_enc *e, int from, int n);

#endif
