/* SPDX-License-Identifier: MIT */
/* dc-loss: features -> the terms of the objective and d(features). */
#include <string.h>

#include "base/opts.h"
#include "nn/blas.h"
#include "ring/loss_ring.h"
#include "stream/stall.h"

static struct dc_loss_opts o;

static struct dc_stall stall = DC_STALL_DEFAULT;

static const struct dc_opt options[] = {
	DC_OPT_CHOICE("method", 'm', &o.method, DC_METHODS, "which terms there are"),
	DC_OPT_CHOICE("as", 0, &o.as, "paper|released", "whose reading of DeCLIP"),
	DC_OPT_DOUBLE("clip", 0, &o.weight[DC_TERM_CLIP], 0, 1e6, "W", "weight of the contrastive term"),
	DC_OPT_DOUBLE("mvs", 0, &o.weight[DC_TERM_MVS], 0, 1e6, "W", "weight of multi-view supervision"),
	DC_OPT_DOUBLE("simsiam", 0, &o.weight[DC_TERM_SIMSIAM], 0, 1e6, "W", "weight of image self-supervision"),
	DC_OPT_DOUBLE("mlm", 0, &o.weight[DC_TERM_MLM], 0, 1e6, "W", "weight of text self-supervision"),
	DC_OPT_DOUBLE("nns", 0, &o.weight[DC_TERM_NNS], 0, 1e6, "W", "weight of nearest-neighbour supervision"),
	DC_OPT_DOUBLE("simclr", 0, &o.weight[DC_TERM_SIMCLR], 0, 1e6, "W", "weight of SLIP's SimCLR"),
	DC_OPT_DOUBLE("filip", 0, &o.weight[DC_TERM_FILIP], 0, 1e6, "W", "weight of FILIP's token-wise term"),
	DC_OPT_DOUBLE("siglip", 0, &o.weight[DC_TERM_SIGLIP], 0, 1e6, "W", "weight of SigLIP's sigmoid term"),
	DC_OPT_INT("filip-top", 0, &o.filip_top, 0, 65536, "N", "candidates among a sample's tokens; 0: all [as released 16]"),
	DC_OPT_INT("queue", 0, &o.queue, 1, 1 << 28, "N", "rows in the nearest-neighbour queue"),
	DC_OPT_INT("nns-after", 0, &o.nns_after, 1, 1 << 28, "N",
	    "nns waits for so many rows in the queue (default: 4 batches, at least 1024)"),
	DC_OPT_DOUBLE("logit-scale-min", 0, &o.lo, -100, 100, "X", "smallest logit_scale (the log)"),
	DC_OPT_DOUBLE("logit-scale-max", 0, &o.hi, -100, 100, "X", "largest logit_scale (the log)"),
	DC_OPT_INT("rows", 0, &o.rows, 1, 1 << 28, "N", "samples in one dfeatures frame (default: as many as fit 64 MiB)"),
	DC_OPT_FLAG("list", 'l', &o.list, "print the methods, their terms and weights, and exit"),
	DC_OPTS_STALL(&stall),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

static double
default_weight(const char *method, int released, enum dc_term t)
{
	struct dc_config c = { 0 };

	return dc_config_method(&c, method, released) < 0 ? NAN : c.weight[t];
}

static int
list(void)
{
	const char *what;
	enum dc_term t;

	for (const struct dc_loss_method *m = dc_loss_methods; m->name; m++) {
		printf("%s%s: %s\n", m == dc_loss_methods ? "" : "\n", m->name, m->what);
		printf("  %-8s %6s %9s\n", "term", "paper", "released");
		for (int i = 0; dc_loss_method_term(m, i, &t, &what) == 0; i++)
			printf("  %-8s %6g %9g  %s\n", dc_term_names[t], default_weight(m->name, 0, t),
			    default_weight(m->name, 1, t), what);
	}
	if (dc_fshut(stdout, "<stdout>") < 0)
		dc_die("%s", dc_err());
	return DC_EXIT_OK;
}

int
main(int argc, char **argv)
{
	struct dc_loss_ring s = { 0 };
	int status, first;

	dc_main_init("dc-loss");
	dc_blas_start(argv);
	if (dc_config_method(&s.c, "declip", 0) < 0)
		dc_die("%s", dc_err());
	o = (struct dc_loss_opts){ .method = "declip", .as = "paper", .queue = s.c.queue, .lo = s.c.logit_scale_min,
		.hi = s.c.logit_scale_max };
	memcpy(o.weight, s.c.weight, sizeof o.weight);
	first = dc_opts_parse(argc, argv, "[options] <features >dfeatures",
	    "computes the objective on features and its gradient", options);
	dc_stall_start(&stall);
	if (first < argc)
		dc_die_usage("unexpected argument '%s': features come on standard input", argv[first]);
	if (o.list)
		return list();
	dc_loss_config(&s.c, &o);
	s.o = o;
	status = dc_loss_run(&s);
	dc_loss_free(&s);
	return status;
}
