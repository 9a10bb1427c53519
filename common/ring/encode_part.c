/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "ring/encode_part.h"

const char *const dc_encode_carried[DC_ENCODE_CARRIED] = { "id", "slot", "epoch", "key", "label" };

void
dc_encode_key(char *s, size_t n, const char *name, int view)
{
	snprintf(s, n, "%s.%d", name, view);
}

/* --- the tensors of one part, checked against the model --- */

int
dc_encode_image_view(struct dc_frame *f, const struct dc_config *c, int view, struct dc_tensor *t)
{
	int S = c->vision.image_size;
	char key[32];

	dc_encode_key(key, sizeof key, "image", view);
	DC_TRY(dc_frame_tensor(f, key, DC_U8, 4, t));
	if (t->shape[1] != S || t->shape[2] != S || t->shape[3] != 3 || !t->data)
		return dc_frame_err(f, "%s: images of %lld x %lld, the model takes %d x %d (dc-augment --size %d)", key,
		    (long long)t->shape[2], (long long)t->shape[1], S, S, S);
	return 0;
}

int
dc_encode_tokens(struct dc_frame *f, const struct dc_config *c, const char *key, struct dc_tensor *t)
{
	DC_TRY(dc_frame_tensor(f, key, DC_I32, 2, t));
	if (t->shape[1] != c->text.context_length || !t->data)
		return dc_frame_err(f, "%s: captions of %lld tokens, the model takes %d (dc-tokenize --context %d)", key,
		    (long long)t->shape[1], c->text.context_length, c->text.context_length);
	return 0;
}

int
dc_encode_token_view(struct dc_frame *f, const struct dc_config *c, int view, struct dc_tensor *t)
{
	char key[32];

	dc_encode_key(key, sizeof key, "token", view);
	return dc_encode_tokens(f, c, key, t);
}

/* --- FILIP's tokens, of n samples from `from` on --- */

void
dc_encode_put_image_tokens(struct dc_body *b, const struct dc_enc *e, int from, int n)
{
	const int64_t F = e->c.filip_width, G = dc_config_tokens(&e->c);

	dc_put_data(b, "filip_image", DC_F32, 3, (int64_t[]){ n, G, F }, n ? e->filip_image + from * G * F : NULL);
}

/* filip_off begins with 0. There is none yet before the first sample. */
void
dc_encode_put_words(struct dc_body *b, const struct dc_enc *e, int from, int n)
{
	const int64_t F = e->c.filip_width, first = n ? e->filip_off[from] : 0;
	int32_t *here = dc_xcalloc((size_t)n + 1, sizeof *here);

	for (int i = 0; n && i <= n; i++)
		here[i] = (int32_t)(e->filip_off[from + i] - first);
	dc_put_data(b, "filip_text", DC_F32, 2, (int64_t[]){ here[n], F }, here[n] ? e->filip_text + first * F : NULL);
	dc_put_data(b, "filip_off", DC_I32, 1, (int64_t[]){ n + 1 }, here);
	free(here);
}
