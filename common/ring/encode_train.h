/* SPDX-License-Identifier: MIT */
/* Encoding in the ring (dc-encode --loop): views -> features, d(features) -> gradients, one trip after the other.
 *
 *	struct dc_encode *t = dc_encode_new(&opts);
 *	... open t->in, t->loop, t->out, and have each watch the others (dc-encode.c) ...
 *	dc_progress_init(&t->progress, "samples", 0, 0);
 *	if ((r = dc_encode_start(t)) == DC_FRAME)             // state, parameters, the shared files
 *		while ((r = dc_encode_step(t)) == DC_FRAME)   // a batch: features out, gradients out
 *			;
 *	if (r == DC_EOF)
 *		r = dc_encode_finish(t);                      // `end`
 *	dc_encode_profile(t, path);
 *	dc_encode_free(t); */
#ifndef DC_RING_ENCODE_TRAIN_H
#define DC_RING_ENCODE_TRAIN_H

#include <stdint.h>
#include <stdio.h>

#include "base/progress.h"
#include "nn/encoder.h"
#include "nn/laps.h"
#include "store/config.h"
#include "store/names.h"
#include "store/safetensors.h"
#include "stream/gather.h"
#include "stream/stream.h"

/* The options of this way. Strings are the caller's and must last as long. */
struct dc_encode_opts {
	const char *loop;     /* the FIFO; the shared files are in shm/ beside it */
	const char *freeze;   /* what the run's config must say; NULL: anything */
	int64_t read_ahead;   /* MB of the next batch to read while waiting; -1: all of it */
	int64_t keep;         /* MB of activations to keep for the backward pass; -1: half of what is free */
	int64_t share;        /* so many processes share that half */
	int recompute;        /* keep only what goes into a transformer's blocks */
	int by_value;         /* put gradients into the frames, not into the shared file */
	int sync_bn;          /* batch norms of the heads over all ranks */
};

/* Whom it waits for: the data tools, dc-loss (and dc-step, which hands its answer on), dc-step. */
enum dc_encode_wait { DC_FOR_DATA, DC_FOR_LOSS, DC_FOR_STEP, DC_FOR_RANKS, DC_WAITS };

/* A tensor of the model. w, g: in the shared files, or this process's own where they come or go by value; g NULL: frozen. */
struct dc_encode_tensor { struct dc_param p; float *w, *g; };

struct dc_encode {
	struct dc_encode_opts o;
	struct dc_in in, loop;         /* batches; state, d(features), parameters */
	struct dc_out out;
	struct dc_frame f, lf;         /* a frame of each that is being read */
	struct dc_gather now, next;    /* this batch, and what was read ahead of the one after it */
	struct dc_frame *held; int n_held, held_cap; size_t held_bytes; /* others' frames, read ahead too */
	struct dc_body body;
	struct dc_config c;
	struct dc_enc *enc;
	struct dc_param *param; struct dc_encode_tensor *t; int n_t;
	struct dc_st parameters, gradients; /* the shared files */
	int by_value;
	uint8_t **pixels; int n_pixels, pixels_cap; /* of this batch, what frames do not have in one piece */
	int zeroed;                    /* the gradients are zero: dc-step says so */
	uint64_t step;                 /* the optimizer's */
	int64_t hash;                  /* of the parameters, as dc-step says: for the next features; 0: none */
	struct dc_sync sync; int synced; /* with --sync-bn; what it came to, DC_FRAME or an end */
	double wait;                   /* seconds waited for neighbours in this step */
	int stopped;                   /* `stop` came on the loop */
	int end_seen;                  /* `end` came on stdin, kept in f */
	int in_lost;                   /* stdin ended without it */
	struct dc_progress progress; uint64_t samples, steps;
	struct dc_laps laps; double waited[DC_WAITS], first, last; /* of the steps but the first; when those began and ended */
};

/* The caller frees it; the descriptors of the streams are the caller's (dc_encode_finish closes those of in and out). */
struct dc_encode *dc_encode_new(const struct dc_encode_opts *o);
void dc_encode_free(struct dc_encode *t);

/* DC_FRAME to go on, DC_EOF when the training is over, DC_FAIL with a message, DC_GONE. */
int dc_encode_start(struct dc_encode *t) DC_MUST_USE;
int dc_encode_step(struct dc_encode *t) DC_MUST_USE;
/* Forward `end`, close what we write, and let dc-step finish: read the loop to its end. DC_FRAME: all is well. */
int dc_encode_finish(struct dc_encode *t) DC_MUST_USE;

/* Write a table of where the steps' time went, the first step left out; nothing before the second one is done, or where path is
 * NULL. 0, or -1 with a message that names path. */
int dc_encode_profile(const struct dc_encode *t, const char *path) DC_MUST_USE;
/* Lines for -v: parts computed twice, the rate of useful work, OpenBLAS's kernels. */
void dc_encode_say(const struct dc_encode *t, FILE *f);

#endif
