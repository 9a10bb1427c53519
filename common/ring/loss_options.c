/* SPDX-License-Identifier: MIT */
#include "ring/loss_private.h"

#include <string.h>

#include "base/opts.h"

static int
is_released(const char *as)
{
	return !strcmp(as, "released");
}

void
dc_loss_config(struct dc_config *c, const struct dc_loss_opts *o)
{
	const struct dc_loss_method *m = dc_loss_method(o->method);
	const char *what;
	enum dc_term term;
	int has[DC_TERMS] = { 0 };

	if (dc_config_method(c, o->method, is_released(o->as)) < 0)
		dc_die_usage("%s", dc_err());
	for (int i = 0; dc_loss_method_term(m, i, &term, &what) == 0; i++)
		has[term] = 1;
	for (int t = 0; t < DC_TERMS; t++) {
		if (!dc_opts_given(dc_term_names[t]))
			continue;
		if (!has[t] && o->weight[t] != 0)
			dc_die_usage("--%s %g: method %s has no such term", dc_term_names[t], o->weight[t], o->method);
		c->weight[t] = o->weight[t];
	}
	if (!dc_opts_given("clip"))
		c->weight[DC_TERM_CLIP] = dc_config_clip_weight(c);
	if (c->weight[DC_TERM_CLIP] < 0)
		dc_die_usage("the other terms' weights leave %g for clip: give --clip", c->weight[DC_TERM_CLIP]);
	c->queue = dc_opts_given("queue") ? o->queue : c->queue;
	c->filip_top = dc_opts_given("filip-top") ? (int)o->filip_top : c->filip_top;
	c->nns_after = o->nns_after;
	c->logit_scale_min = dc_opts_given("logit-scale-min") ? o->lo : c->logit_scale_min;
	c->logit_scale_max = dc_opts_given("logit-scale-max") ? o->hi : c->logit_scale_max;
	if (c->logit_scale_min > c->logit_scale_max)
		dc_die_usage("--logit-scale-min %g is larger than --logit-scale-max %g", c->logit_scale_min, c->logit_scale_max);
	dc_config_views(c);
}

static int
agrees(const char *option, double given, double config)
{
	DC_CHECK(!dc_opts_given(option) || fabs(given - config) <= 1e-9 * fabs(config),
	    "--%s %g contradicts the run's config, which says %g", option, given, config);
	return 0;
}

int
dc_loss_check_options(const struct dc_loss_opts *o, const struct dc_config *c)
{
	const char *as = c->released ? "released" : "paper";

	DC_CHECK(!dc_opts_given("method") || !strcmp(o->method, c->method),
	    "--method %s contradicts the run's config, which says %s", o->method, c->method);
	DC_CHECK(!dc_opts_given("as") || !strcmp(o->as, as), "--as %s contradicts the run's config, which says %s", o->as, as);
	for (int t = 0; t < DC_TERMS; t++)
		DC_TRY(agrees(dc_term_names[t], o->weight[t], c->weight[t]));
	DC_TRY(agrees("queue", (double)o->queue, (double)c->queue));
	if (c->weight[DC_TERM_FILIP] > 0)
		DC_TRY(agrees("filip-top", (double)o->filip_top, c->filip_top));
	DC_TRY(agrees("nns-after", (double)o->nns_after, (double)c->nns_after));
	DC_TRY(agrees("logit-scale-min", o->lo, c->logit_scale_min));
	return agrees("logit-scale-max", o->hi, c->logit_scale_max);
}
