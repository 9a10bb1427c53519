/* SPDX-License-Identifier: MIT */
#include "ring/step_private.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "optim/schedule.h"

enum { REFUSED_MAX = 100 /* batches in a row */ };
static const double bn_momentum = 0.1;

int
dc_step_checkpoint(struct dc_step *r)
{
	char name[40];

	if (r->s.step == r->saved_step && r->s.position == r->saved_position)
		return 0;
	if (dc_state_finite(&r->s) < 0) {
		dc_err_prefix("no checkpoint is written at step %llu", (unsigned long long)r->s.step);
		return -1;
	}
	r->saved_step = r->s.step;
	r->saved_position = r->s.position;
	if (r->o.replica)
		return 0;
	if (fdatasync(r->log_fd) < 0 && errno != EINVAL)
		return dc_err_errno("%s/log.tsv", r->o.run);
	snprintf(name, sizeof(name), "step-%08llu", (unsigned long long)r->s.step);
	DC_TRY(dc_state_write(&r->s, r->o.run, name));
	DC_TRY(dc_run_point(r->o.run, name));
	if (r->o.keep)
		dc_run_prune(r->o.run, r->o.keep, r->o.keep_every);
	return 0;
}

/* running <- 0.9 running + 0.1 batch, view by view */
static void
fold_stats(struct dc_step *r)
{
	for (int i = 0; i < r->n_run; i++) {
		const size_t width = (size_t)r->run[i].width;

		for (int64_t v = 0; r->stat[i] && v < r->stat_views[i]; v++)
			for (size_t k = 0; k < width; k++) {
				float *x = &r->run[i].value[k];

				*x = (float)((1 - bn_momentum) * (double)*x + bn_momentum * (double)r->stat[i][(size_t)v * width + k]);
			}
		if (r->stat[i] && r->run[i].batches)
			*r->run[i].batches += (float)r->stat_views[i];
	}
}

static double
logit_scale(const struct dc_step *r)
{
	for (int i = 0; i < r->s.n; i++)
		if (!strcmp(r->s.t[i].p.name, "logit_scale"))
			return r->s.t[i].w[0];
	return NAN;
}

static void
update(struct dc_step *r, double lr, double norm)
{
	const struct dc_adamw a = { r->o.beta1, r->o.beta2, r->o.eps, r->o.weight_decay };
	double scale = dc_clip_scale(norm, r->o.grad_clip);

	r->n_x = 0;
	for (int i = 0; i < r->s.n; i++)
		if (r->came[i]) {
			r->s.t[i].updates++;
			dc_step_list_tensor(r, i);
		}
	dc_adamw_sweep(r->x, r->n_x, &a, lr, scale, !r->o.by_value);
	dc_step_clamp_scale(r);
	for (int i = 0; i < r->s.n && r->o.ema > 0; i++)
		dc_ema(r->s.t[i].ema, r->s.t[i].w, r->s.t[i].p.n, r->o.ema);
}

/* The gradients are handed back as zeros; those that the update took are already. */
static void
clear_gradients(struct dc_step *r, int updated)
{
	for (int i = 0; i < r->s.n && !r->o.by_value; i++)
		if (r->s.t[i].trainable && !(updated && r->came[i]))
			memset(r->g[i], 0, r->s.t[i].p.n * sizeof(*r->g[i]));
}

/* Squares beyond single precision would make moments infinite, which no later step mends. */
static void
check_size(struct dc_step *r)
{
	double norm = sqrt(r->p.sum) * dc_clip_scale(sqrt(r->p.sum), r->o.grad_clip);

	if (!r->p.skip && norm > 1e18)
		dc_step_refuse_for(r, "the gradient is too large: its norm is %.3g", norm);
}

/* Something is not finite: the state before it is kept for looking at, or the batch is passed over. */
static int
refuse(struct dc_step *r)
{
	unsigned long long step = r->s.step + 1;
	long long skip = (long long)r->s.position;
	char name[40];

	dc_step_clear_line(r);
	if (dc_state_finite(&r->s) < 0)
		return dc_err_prefix("step %llu: %s, nor is the model, which somebody changed", step, r->p.bad);
	if (r->o.replica)   /* rank 0, which has refused it too, says so */
		return strcmp(r->o.nan, "skip") || r->refused_in_row >= REFUSED_MAX ? DC_GONE : 0;
	if (!strcmp(r->o.nan, "skip") && r->refused_in_row < REFUSED_MAX) {
		dc_warn("step %llu: %s: batch skipped", step, r->p.bad);
		r->refused++;
		return 0;
	}
	snprintf(name, sizeof(name), "bad-%08llu", step);
	DC_TRY(dc_state_write(&r->s, r->o.run, name));
	dc_warn("%s/%s is the state before it, and 'dc-decode --skip %lld --steps %lld ...' makes the batch again: train.sh --run %s "
	    "--replay %s (-n prints the commands)", r->o.run, name, skip, skip + 1, r->o.run, name);
	if (r->refused_in_row >= REFUSED_MAX)
		return dc_err_set("step %llu: %s: %d batches were refused one after the other", step, r->p.bad, REFUSED_MAX + 1);
	return dc_err_set("step %llu: %s (--nan skip passes over such batches)", step, r->p.bad);
}

static int
apply(struct dc_step *r)
{
	double lr = dc_schedule_lr(&(struct dc_schedule){ r->o.lr, r->o.lr_start, r->o.warmup, r->o.steps }, r->s.step);
	double norm = sqrt(r->p.sum), scale = logit_scale(r);

	update(r, lr, norm);
	fold_stats(r);
	r->s.step++;
	return dc_step_log(r, lr, scale, norm);
}

int
dc_step_finish(struct dc_step *r)
{
	int done, io;

	check_size(r);
	done = !r->p.skip && !*r->p.bad;
	if (r->p.position < 0)
		return dc_frame_err(&r->f, "no frame of step %llu carried the position", (unsigned long long)r->s.step);
	if (!r->p.skip && !r->p.n_gradients)
		return dc_frame_err(&r->f, "no gradient came in step %llu", (unsigned long long)r->s.step);
	if (*r->p.bad && (io = refuse(r)) < 0)
		return io;
	if (!*r->p.bad && done)
		DC_TRY(apply(r));
	r->refused_in_row = *r->p.bad ? r->refused_in_row + 1 : 0;
	clear_gradients(r, done);
	if (r->s.nn_queue)
		dc_state_push(&r->s, r->p.enqueue, r->p.n_enqueue);
	r->s.position = r->p.position;
	r->p.begun = 0;
	if (done && r->o.save_every && r->s.step % (uint64_t)r->o.save_every == 0)
		DC_TRY(dc_step_checkpoint(r));
	return dc_step_send_parameters(r);
}
