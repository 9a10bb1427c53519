/* SPDX-License-Identifier: MIT */
/* The ring's end, without its main(): a run's state and the shared memory, dfeatures that go to the loop, gradients that
 * become an update, the log and checkpoints.
 *
 *	struct dc_step r;
 *	dc_step_init(&r, &opts, STDOUT_FILENO, -1);
 *	r.wake = ...;                                      // of a pipe that the caller's signal handler writes to
 *	dc_step_lock(&r); dc_step_load(&r); dc_step_open_log(&r); dc_step_open_loop(&r);
 *	dc_in_init(&r.in, STDIN_FILENO, "<stdin>"); ...    // and dc_in_watch: r.loop.fd, r.wake, r.lifeline
 *	dc_progress_init(&r.progress, ...);
 *	dc_step_send_state(&r); dc_step_send_parameters(&r);
 *	... dc_step_dfeatures(&r) and dc_step_gradients(&r), as the frames come in r.f; a step ends with the next parameters ...
 *	dc_step_checkpoint(&r);
 *	dc_shm_remove(&r.shm); dc_step_unlock(&r);         // also where it fails
 *
 * The caller owns r. What is allocated for it lives as long as the process. Functions return 0 or, where they say so, what
 * came of a stream (enum dc_io), and -1 with a message; after that nothing but dc_shm_remove and dc_step_unlock is of use.
 * Warnings go to stderr at once. One thread. */
#ifndef DC_RING_STEP_H
#define DC_RING_STEP_H

#include "base/progress.h"
#include "optim/adamw.h"
#include "optim/spike.h"
#include "store/checkpoint.h"
#include "store/shm.h"
#include "stream/stream.h"

/* As man/dc-step.1 has them. */
struct dc_step_opts {
	const char *run, *loop;            /* the run's directory; the named pipe back to dc-encode */
	const char *nan;                   /* "stop" or "skip" */
	const char *replica;               /* the directory of a rank that is not the first; NULL */
	double lr, lr_start, beta1, beta2, eps, weight_decay, grad_clip, ema, spike;
	int64_t warmup, steps, save_every; /* steps */
	int64_t keep, keep_every;          /* checkpoints; steps */
	int accept_numerics, by_value, hash;
};

/* What has come of the step under way. */
struct dc_step_pending {
	int begun, skip;                   /* its dfeatures is on the loop; they said skip */
	int64_t position;                  /* -1: not said yet */
	int64_t rows;                      /* pairs */
	double loss[DC_TERMS], total;      /* NAN: none came */
	double accuracy, wait_s, simsiam_std;
	float *enqueue; int64_t n_enqueue; /* rows for the nn queue */
	double sum;                        /* of squares of the gradient */
	char bad[200];                     /* what was the first to be not finite, in words; "" if nothing was */
	int n_gradients;
};

/* A running statistic and, of a tower's mean, the count of batches that it has seen. */
struct dc_step_running { const char *name; int64_t width; float *value, *batches; };

struct dc_step {
	struct dc_step_opts o;
	struct dc_state s;
	struct dc_shm shm;
	struct dc_st parameters, gradients;   /* the shared files, unless by value */
	float *own;                           /* the gradients' block, by value */
	float **g;                            /* [s.n]; NULL where frozen */
	unsigned char **cell;                 /* [s.n]: what of it is zero; NULL where frozen */
	char *came;                           /* [s.n] */
	struct dc_adamw_tensor *x; int *of, n_x; double *sum; /* [s.n]: the tensors of a frame, or of the update; which */
	int slot;                             /* the tensor that was named last */
	struct dc_step_running *run; int n_run;
	float **stat; int64_t *stat_views;    /* [n_run]: this step's batch statistics, [views, width] */
	struct dc_in in;
	struct dc_out loop;
	struct dc_frame f;
	struct dc_body b;
	struct dc_step_pending p;
	int run_fd, log_fd, row_fd;           /* the lock; -1: no log, no rows */
	int wake, lifeline;                   /* readable, or hung up: no more waiting; -1: none */
	uint64_t saved_step; int64_t saved_position;
	uint64_t dropped, refused;            /* frames; steps */
	int refused_in_row;
	struct dc_spike spike;                /* the last totals */
	uint64_t spike_said, collapse_said;   /* the steps of these warnings, 0: never */
	int log_more;                         /* how many of the columns that were not always there the log has */
	double sent;                          /* when the parameters went out, s */
	struct dc_progress progress;          /* off until the caller begins it */
};

/* Nothing is opened yet. row_fd: where the rows go, not to be closed, -1 for none; lifeline: a pipe's end or -1. `wake` is
 * -1 until the caller sets it. */
void dc_step_init(struct dc_step *r, const struct dc_step_opts *o, int row_fd, int lifeline);

/* --- the run: step_start.c, step_memory.c, step_verify.c --- */

/* Take the lock on the run (a replica: on its own directory), so that no other ring changes it, and say there who has it. */
int dc_step_lock(struct dc_step *r) DC_MUST_USE;
/* Take that word away; the lock goes with the process. For atexit, too. */
void dc_step_unlock(struct dc_step *r);
/* The newest checkpoint, as far as dc_state_open goes, in r->s; with `whole` its files must be as they were written. The
 * message tells which checkpoint is whole, if this one is not. */
int dc_step_open(struct dc_step *r, int whole) DC_MUST_USE;
/* All of it, in memory that is shared with dc-encode, unless by value. */
int dc_step_load(struct dc_step *r) DC_MUST_USE;
/* A table of all checkpoints of a run on stdout, which is then closed; -1 if one of them is damaged. */
int dc_step_verify(const char *run) DC_MUST_USE;

/* --- the loop back to dc-encode: step_loop.c --- */

/* Wait until somebody has opened the FIFO. DC_FRAME; DC_GONE: stdin's writer left; DC_OTHER: wake or lifeline; DC_FAIL. */
int dc_step_open_loop(struct dc_step *r) DC_MUST_USE;
/* What the frame's write came to (enum dc_io). After the parameters both shared files are dc-encode's, until its last
 * gradients frame. */
int dc_step_send_state(struct dc_step *r) DC_MUST_USE;
int dc_step_send_parameters(struct dc_step *r) DC_MUST_USE;

/* --- a step: step_losses.c, step_gradients.c, step_update.c --- */

/* r->f is a dfeatures frame: note what it says and pass it on. enum dc_io. */
int dc_step_dfeatures(struct dc_step *r) DC_MUST_USE;
/* r->f is a gradients frame. The last one of a step ends it: update, log, checkpoint, parameters. enum dc_io. */
int dc_step_gradients(struct dc_step *r) DC_MUST_USE;
/* Write a checkpoint of the state as it is, between two steps, unless there is one; a replica only notes it. */
int dc_step_checkpoint(struct dc_step *r) DC_MUST_USE;

/* --- the log: step_log.c --- */

/* RUN/log.tsv, and the heading on row_fd. */
int dc_step_open_log(struct dc_step *r) DC_MUST_USE;
/* Take the progress line off the terminal, before anything else is said there. */
void dc_step_clear_line(const struct dc_step *r);

#endif
