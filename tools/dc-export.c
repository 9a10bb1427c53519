/* SPDX-License-Identifier: MIT */
/* dc-export: a model under other programs' names, and back. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opts.h"
#include "store/export.h"

static struct { const char *to, *half, *config, *vocab, *out; int verbose; } o = { .to = "openclip", .half = "no" };

static const struct dc_opt table[] = {
	DC_OPT_CHOICE("to", 't', &o.to, "openclip|openai|hf|declip", "whose names and files to write"),
	DC_OPT_CHOICE("half", 0, &o.half, "no|f16|bf16", "write numbers of 16 bits"),
	DC_OPT_STR("config", 0, &o.config, "FILE", "open_clip's JSON of the model, for a bare file that does not tell it"),
	DC_OPT_STR("vocab", 0, &o.vocab, "FILE", "the vocabulary to write beside the weights [the model's own]"),
	DC_OPT_STR("out", 'o', &o.out, "OUT", "the directory (openclip, hf) or file (openai, declip) to make (required)"),
	DC_OPT_VERBOSE(&o.verbose),
	DC_OPT_END
};

static enum dc_format
format_of(const char *name)
{
	int i = 0;

	while (i < DC_FORMATS - 1 && strcmp(dc_format_names[i], name))
		i++;
	return (enum dc_format)i;
}

static void
check_opts(int operands)
{
	if (operands != 1)
		dc_die_usage("one model is read: a run, a directory, or a .safetensors file");
	if (!o.out)
		dc_die_usage("--out is required");
	if (!*o.out || o.out[strlen(o.out) - 1] == '/')
		dc_die_usage("--out %s: not the name of something to be made", o.out);
}

static void
open_model(struct dc_model *m, const char *path)
{
	struct dc_config c;
	char *json;
	size_t n;

	if (o.config) {
		if (dc_slurp(o.config, 1 << 20, &json, &n) < 0)
			dc_die("%s", dc_err());
		if (dc_config_parse(&c, json, n) < 0)
			dc_die("%s: %s", o.config, dc_err());
		free(json);
	}
	if (dc_model_open_as(m, path, o.config ? &c : NULL) < 0)
		dc_die("%s", dc_err());
}

/* The vocabulary that goes with the weights, to be freed; NULL if none. */
static char *
vocabulary(const struct dc_model *m)
{
	char *own = o.vocab ? dc_xstrdup(o.vocab) : dc_xasprintf("%s/bpe.txt.gz", m->dir);

	if (o.vocab || access(own, F_OK) == 0)
		return own;
	free(own);
	return NULL;
}

static void
tell(const struct dc_model *m, const struct dc_heads *h)
{
	const struct dc_vision *v = &m->c.vision;
	const struct dc_text *t = &m->c.text;

	dc_warn("%s: read as %s%s%s", m->file, dc_format_names[m->format], *m->prefix ? ", prefix " : "", m->prefix);
	dc_warn("image %d x %d, patch %d, %d x %d in %d heads; text of %d words, %d positions, %d x %d in %d heads%s; embedding %d; %s",
	    v->image_size, v->image_size, v->patch_size, v->width, v->layers, v->heads, t->vocab_size, t->context_length, t->width,
	    t->layers, t->heads, t->proj_bias ? ", a bias on the projection" : "", m->c.embed_dim,
	    m->c.quick_gelu ? "QuickGELU" : "GELU");
	dc_warn("heads:%s%s%s%s%s", h->c.weight[DC_TERM_SIMSIAM] > 0 ? " simsiam" : "", h->c.weight[DC_TERM_MLM] > 0 ? " mlm" : "",
	    h->c.weight[DC_TERM_SIMCLR] > 0 ? " simclr" : "", h->c.weight[DC_TERM_FILIP] > 0 ? " filip" : "", h->st.n ? "" : " none");
}

int
main(int argc, char **argv)
{
	struct dc_export e;
	struct dc_model m;
	struct dc_heads h;
	char *vocab;
	int first;

	dc_main_init("dc-export");
	first = dc_opts_parse(argc, argv, "[options] -o OUT MODEL",
	    "writes a model under the names of open_clip, OpenAI, Hugging Face or the released DeCLIP; reads any of them", table);
	check_opts(argc - first);
	open_model(&m, argv[first]);
	if (dc_model_heads(&m, &h) < 0)
		dc_die("%s", dc_err());
	vocab = vocabulary(&m);
	e = (struct dc_export){ format_of(o.to), !strcmp(o.half, "f16") ? DC_F16 : !strcmp(o.half, "bf16") ? DC_BF16 : DC_F32, vocab };
	if (o.verbose)
		tell(&m, &h);
	if (dc_export(&m, &h, &e, o.out) < 0)
		dc_die("%s", dc_err());
	dc_heads_close(&h);
	dc_model_close(&m);
	free(vocab);
	return DC_EXIT_OK;
}
