/* SPDX-License-Identifier: MIT */
/* Encoding only (dc-encode --model): a model's features of whatever images and captions come, frame by frame.
 *
 *	static const struct dc_filter filter[] = {
 *		{ "batch", dc_encode_plain_frame }, { "views", dc_encode_plain_frame }, { NULL, NULL } };
 *	struct dc_encode_plain e;
 *	if (dc_encode_plain_open(&e, &opts) < 0) ...
 *	status = dc_filter_run(filter, &e);
 *	dc_encode_plain_close(&e); */
#ifndef DC_RING_ENCODE_PLAIN_H
#define DC_RING_ENCODE_PLAIN_H

#include "base/progress.h"
#include "nn/encoder.h"
#include "store/model.h"
#include "stream/stream.h"

/* The options of this way. Strings are the caller's and must last as long. */
struct dc_encode_plain_opts {
	const char *model;   /* a run, model directory or .safetensors file */
	const char *only;    /* "images" or "captions"; NULL: what a frame has */
	int hidden;          /* images as they are before the projection; only must be "images" */
	int tokens;          /* FILIP's tokens too */
};

struct dc_encode_plain {
	struct dc_encode_plain_opts o;
	struct dc_model m; struct dc_heads heads;
	struct dc_enc *enc; struct dc_body body; struct dc_progress progress; uint64_t n, frames; /* n: samples so far */
	struct dc_param *param; struct dc_weight *weight; int n_weights;
	int untrained;   /* FILIP trained tokens alone */
};

/* Open the model and make the encoder. 0, or -1 with a message that names the model; what is there by then stays, for
 * dc_encode_plain_close. The caller starts e->progress. */
int dc_encode_plain_open(struct dc_encode_plain *e, const struct dc_encode_plain_opts *o) DC_MUST_USE;
/* Handler of dc_filter (arg: the struct above): the features of one frame, written to out. DC_FRAME, DC_FAIL or DC_GONE. Warns once
 * where features of captions are asked for that nothing trained. */
int dc_encode_plain_frame(void *arg, struct dc_frame *f, struct dc_out *out);
void dc_encode_plain_close(struct dc_encode_plain *e);

#endif
