/* SPDX-License-Identifier: MIT */
/* The whole state of a run in memory, and as a directory (man/dc-model.5): dc-init makes the first, dc-step the others.
 *
 *	struct dc_state s;                                   struct dc_state s;
 *	char *dir = dc_run_latest("run");                    dc_state_init(&s, &config);
 *	dc_state_open(&s, dir);                              dc_state_own_weights(&s);
 *	s.t[i].w = ... for every i                           ... fill s.t[i].w
 *	dc_state_load(&s);                                   dc_state_write(&s, "run", "step-00000000");
 *	...                                                  dc_run_point("run", "step-00000000");
 *	dc_state_free(&s);                                   dc_state_free(&s);
 *
 * Nothing in a directory tells time or place: equal states have equal files. */
#ifndef DC_STORE_CHECKPOINT_H
#define DC_STORE_CHECKPOINT_H

#include "store/config.h"
#include "store/safetensors.h"

/* A parameter and what the optimizer keeps of it. */
struct dc_slot {
	struct dc_param p;
	float *w;           /* [p.n]; the caller's, who sets it before dc_state_load, or dc_state_own_weights' */
	float *m, *v;       /* [p.n] moments; NULL where frozen */
	float *ema;         /* [p.n] the moving average, NULL without */
	uint64_t updates;   /* how many the moments have seen; 0: they are not stored */
	int trainable;
};

/* What decides the last bits of a training step. Empty (threads 0) where nothing was computed yet. */
struct dc_numerics { char openblas[160], core[40], onednn[40]; int threads; };

struct dc_state {
	struct dc_config c;
	char *config;                       /* its JSON text */
	struct dc_slot *t; int n;           /* as dc_params_list has them */
	struct dc_param *stat; float **stat_value; int n_stats; /* running statistics, as dc_stats_list */
	float *nn_queue;                    /* [c.queue, c.embed_dim], NULL without */
	int64_t nn_head, nn_valid;          /* the row to be written next; rows filled */
	uint64_t step;                      /* updates made */
	int64_t position;                   /* batches consumed since the run began */
	struct dc_numerics numerics;
	char *vocab; size_t vocab_bytes;    /* bpe.txt.gz as it is; NULL if there is none */
	char *dir;                          /* opened from; for messages */
	struct dc_st st;                    /* state.safetensors while loading */
	float *weights, *moments, *average; /* the blocks that t[].w, m and v, ema point into; weights NULL if the caller's */
};

/* Whether the config's freeze list holds the parameter. */
int dc_param_frozen(const struct dc_config *c, const struct dc_param *p);

/* Everything but the weights allocated; statistics at their start, moments and queue zero, step and position 0. */
void dc_state_init(struct dc_state *s, const struct dc_config *c);
/* One block for all the weights; not set to anything. */
void dc_state_own_weights(struct dc_state *s);
/* Averages that start as the weights are now, unless they were loaded. */
void dc_state_start_average(struct dc_state *s);
void dc_state_free(struct dc_state *s);

/* Read dir's state.safetensors as far as config, step, position and numerics, and dc_state_init by it.
 * dc_state_load then fills in weights, moments, averages, statistics and queue. -1 with a message that names file and
 * tensor; s is then free. */
int dc_state_open(struct dc_state *s, const char *dir) DC_MUST_USE;
int dc_state_load(struct dc_state *s) DC_MUST_USE;

/* Whether every number is one: -1 with a message that names the tensor. */
int dc_state_finite(const struct dc_state *s) DC_MUST_USE;

/* Write parent/name, with checksums (store/sums.h): beside it first, every file and directory fsynced, then renamed; an
 * old one of that name is replaced in one step where the file system can. */
int dc_state_write(const struct dc_state *s, const char *parent, const char *name) DC_MUST_USE;

/* Push n rows [n, D] in order into the queue. */
void dc_state_push(struct dc_state *s, const float *rows, int64_t n);

/* Make RUN/latest a link to `name`, in one step. */
int dc_run_point(const char *run, const char *name) DC_MUST_USE;
/* RUN/latest resolved, or RUN/step-00000000 where there is no link. To be freed; NULL with a message. */
char *dc_run_latest(const char *run);
/* Remove what a killed dc-step was writing when it died. */
void dc_run_clean(const char *run);
/* Remove all checkpoints but the newest `keep`, those whose step is a multiple of `every` (0: none is), the one that
 * `latest` means, and step 0. Returns how many. */
int dc_run_prune(const char *run, int64_t keep, int64_t every);
/* The names of RUN's checkpoints, newest first, step 0 too. Their number, or -1 with a message; free each and the list. */
int dc_run_list(const char *run, char ***names) DC_MUST_USE;
/* What dc_run_verify found. */
struct dc_verified { int with_sums, files; uint64_t bytes, step; int64_t position; };
/* 0 if the checkpoint `dir` is whole: its files are as they were written, a state can be loaded from them, and its
 * numbers are finite. -1 with a message that names file and tensor. */
int dc_run_verify(const char *dir, struct dc_verified *v) DC_MUST_USE;
/* The newest checkpoint of RUN that is whole, `but` not counted. Its name, to be freed; NULL if there is none. */
char *dc_run_whole(const char *run, const char *but);

/* This process's numerics. */
void dc_numerics_here(struct dc_numerics *n);
/* 0 if they agree (or either is empty), else -1 with a message that lists the differences. */
int dc_numerics_check(const struct dc_numerics *stored, const struct dc_numerics *here) DC_MUST_USE;

#endif
