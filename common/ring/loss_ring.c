/* SPDX-License-Identifier: MIT */
#include "ring/loss_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- the beginning --- */

static void
choose_inputs(struct dc_loss_ring *s)
{
	const double *w = s->c.weight;

	s->wanted[I1] = s->wanted[T1] = 1;
	s->wanted[I2] = dc_config_feature_views(&s->c) > 1;
	s->wanted[T2] = s->c.caption_views > 1;
	s->wanted[Z1] = s->wanted[Z2] = s->wanted[P1] = s->wanted[P2] = w[DC_TERM_SIMSIAM] > 0;
	s->wanted[NLL] = w[DC_TERM_MLM] > 0;
	s->wanted[S1] = s->wanted[S2] = w[DC_TERM_SIMCLR] > 0;
	s->wanted[FI] = s->wanted[FT] = w[DC_TERM_FILIP] > 0;
}

static int
take_queue(struct dc_loss_ring *s, struct dc_frame *f)
{
	struct dc_tensor t;

	DC_TRY(dc_frame_tensor(f, "nn_queue", DC_REAL_TYPE, 2, &t));
	DC_TRY(dc_frame_int(f, "nn_head", &s->q.head));
	DC_TRY(dc_frame_int(f, "nn_valid", &s->q.valid));
	if (!t.data)
		return dc_frame_err(f, "nn_queue: by reference or empty, must be by value");
	if (t.shape[0] != s->c.queue || t.shape[1] != s->c.embed_dim)
		return dc_frame_err(f, "nn_queue is [%lld,%lld], the config says [%lld,%d]", (long long)t.shape[0],
		    (long long)t.shape[1], (long long)s->c.queue, s->c.embed_dim);
	if (s->q.head < 0 || s->q.head >= t.shape[0] || s->q.valid < 0 || s->q.valid > t.shape[0])
		return dc_frame_err(f, "nn_head %lld, nn_valid %lld: outside a queue of %lld rows", (long long)s->q.head,
		    (long long)s->q.valid, (long long)t.shape[0]);
	s->q.length = t.shape[0];
	s->q.D = (int)t.shape[1];
	s->q.rows = dc_xaligned(t.n, sizeof *s->q.rows);
	memcpy(s->q.rows, t.data, t.bytes);
	return 0;
}

/* state: taken, not passed on */
static int
on_state(void *arg, struct dc_frame *f, struct dc_out *out)
{
	struct dc_loss_ring *s = arg;
	struct dc_str json;

	(void)out;
	if (s->has_state || s->started)
		return dc_frame_err(f, "%s", s->has_state ? "a second state" : "the state comes after features");
	DC_TRY(dc_frame_str(f, "config", &json));
	if (dc_config_parse(&s->c, json.p, json.n) < 0)
		return dc_frame_err(f, "%s", dc_err());
	if (!dc_loss_method(s->c.method))
		return dc_frame_err(f, "config: no method '%s'", s->c.method);
	DC_TRY(dc_loss_check_options(&s->o, &s->c));
	s->has_state = 1;
	choose_inputs(s);
	if (s->c.weight[DC_TERM_NNS] > 0)
		DC_TRY(take_queue(s, f));
	dc_frame_empty(f);
	return DC_FRAME;
}

/* --- a batch --- */

static dc_real *
rows_at(const struct dc_loss_ring *s, int k)
{
	return s->wanted[k] ? s->in[k].p : NULL;
}

/* Each gradient takes its input's place: a batch of 65,536 is gigabytes. */
static void
wire(struct dc_loss_ring *s, struct dc_loss_in *in, struct dc_loss_out *r)
{
	for (int v = 0; v < 2; v++) {
		in->image_features[v] = r->d_image_features[v] = rows_at(s, I1 + v);
		in->text_features[v] = r->d_text_features[v] = rows_at(s, T1 + v);
		in->simsiam_z[v] = rows_at(s, Z1 + v);
		in->simsiam_p[v] = r->d_simsiam_p[v] = rows_at(s, P1 + v);
		in->simclr_z[v] = r->d_simclr_z[v] = rows_at(s, S1 + v);
	}
	in->filip_image = r->d_filip_image = rows_at(s, FI);
	in->filip_text = r->d_filip_text = rows_at(s, FT);
	in->filip_off = s->filip_off;
	in->mlm_nll = r->d_mlm_nll = rows_at(s, NLL);
}

/* Without a state: an empty queue, as soon as D and N are known. */
static void
queue_of_our_own(struct dc_loss_ring *s)
{
	if (!(s->c.weight[DC_TERM_NNS] > 0) || s->q.rows)
		return;
	s->q = (struct dc_nn_queue){ .length = s->c.queue, .D = (int)s->in[I1].cols };
	s->q.rows = dc_xcalloc((size_t)s->q.length * s->q.D, sizeof *s->q.rows);
	if (s->c.nns_after == 0)
		s->c.nns_after = 4 * s->in[I1].rows > 1024 ? 4 * s->in[I1].rows : 1024;
}

static void
warn_not_finite(const struct dc_loss_ring *s, const struct dc_loss_out *r)
{
	char terms[200] = "";
	size_t n = 0;

	if (isfinite(r->total + r->d_logit_scale + r->d_filip_logit_scale + r->d_logit_bias))
		return;
	for (int t = 0; t < DC_TERMS; t++)
		if (r->active[t] && n < sizeof terms)
			n += snprintf(terms + n, sizeof terms - n, ", %s %g", dc_term_names[t], r->value[t]);
	dc_warn("step %llu: the loss is not finite: total %g%s, d(logit_scale) %g", (unsigned long long)s->step, r->total,
	    terms, r->d_logit_scale);
}

/* A scale within its limits. */
static double
limited(const struct dc_loss_ring *s, double logit_scale)
{
	return isnan(logit_scale) ? NAN : fmin(fmax(logit_scale, s->c.logit_scale_min), s->c.logit_scale_max);
}

static int
on_features(void *arg, struct dc_frame *f, struct dc_out *out)
{
	struct dc_loss_ring *s = arg;
	struct dc_loss_out r = { 0 };
	struct dc_loss_in in = { 0 };
	int whole = dc_loss_gather(s, f);

	if (whole <= 0)
		return whole < 0 ? DC_FAIL : DC_FRAME;
	s->batches++;
	s->samples += s->in[I1].rows;
	if (s->o.verbose)
		dc_progress_to(&s->progress, s->samples);
	if (s->in[I1].rows < 2)
		return dc_loss_write_skip(s, out);
	DC_TRY(dc_loss_check_whole(s, f));
	DC_TRY(dc_loss_check_local(s, f));
	s->batch = s->in[I1].rows;
	if (!s->alone)
		dc_frame_empty(f);
	queue_of_our_own(s);
	in.N = (int)s->in[I1].rows;
	in.D = (int)s->in[I1].cols;
	in.Z = (int)s->in[Z1].cols;
	in.M = s->in[NLL].rows;
	in.S = (int)s->in[S1].cols;
	in.G = (int)s->tokens;
	in.F = (int)s->filip_width;
	in.logit_scale = limited(s, s->logit_scale);
	in.filip_logit_scale = limited(s, s->filip_logit_scale);
	in.logit_bias = s->logit_bias;
	wire(s, &in, &r);
	if (dc_loss_compute(&s->c, &in, &s->q, &r, s->w) < 0)
		return dc_frame_err(f, "%s", dc_err());
	warn_not_finite(s, &r);
	dc_loss_keep_local(s);
	return dc_loss_write_answer(s, &r, out);
}

static int
on_end(void *arg, struct dc_frame *f, struct dc_out *out)
{
	struct dc_loss_ring *s = arg;

	if (s->part > 0 && !s->stopped)
		return dc_frame_err(f, "the features of step %llu are not whole: %lld of %lld parts came",
		    (unsigned long long)s->step, (long long)s->part, (long long)s->parts);
	return dc_frame_pass(out, f);
}

/* After a stop a batch may stay in pieces. */
static int
on_stop(void *arg, struct dc_frame *f, struct dc_out *out)
{
	((struct dc_loss_ring *)arg)->stopped = 1;
	return dc_frame_pass(out, f);
}

int
dc_loss_run(struct dc_loss_ring *s)
{
	static const struct dc_filter table[] = {
		{ "state", on_state }, { "features", on_features }, { "stop", on_stop }, { "end", on_end }, { NULL, NULL }
	};
	int status;

	choose_inputs(s);
	s->w = dc_loss_work_new(0, 0);
	dc_progress_init(&s->progress, "samples", 0, 0);
	status = dc_filter_run(table, s);
	if (s->o.verbose)
		dc_progress_end(&s->progress, s->batches, 1);
	return status;
}

void
dc_loss_free(struct dc_loss_ring *s)
{
	for (int k = 0; k < INPUTS; k++)
		free(s->in[k].own);
	free(s->q.rows);
	free(s->filip_off);
	free(s->local);
	dc_body_free(&s->b);
	dc_loss_work_free(s->w);
}
