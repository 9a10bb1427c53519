/* SPDX-License-Identifier: MIT */
/* The config: methods' weights, parse and emit, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "store/config.h"
#include "tests/tap.h"

static const char arch[] = "{\"embed_dim\": 64, \"quick_gelu\": true, \"vision_cfg\": {\"image_size\": 64, \"layers\": 2, "
    "\"width\": 128, \"patch_size\": 16}, \"text_cfg\": {\"context_length\": 32, \"vocab_size\": 1000, \"width\": 128, "
    "\"heads\": 2, \"layers\": 3}}";

static void
weights_are(const struct dc_config *c, double clip, double mvs, double simsiam, double mlm, double nns, const char *what)
{
	const double want[DC_TERMS] = { clip, mvs, simsiam, mlm, nns };
	double worst = 0;

	for (int i = 0; i < DC_TERMS; i++)
		worst = fmax(worst, fabs(c->weight[i] - want[i]));
	ok(worst < 1e-12, "%s", what);
}

static void
methods(void)
{
	struct dc_config c;

	ok(dc_config_parse(&c, arch, strlen(arch)) == 0, "a bare architecture: %s", dc_err());
	ok(c.vision.heads == 2 && c.vision.mlp == 512 && c.quick_gelu && c.text.context_length == 32, "its values");
	ok(dc_config_method(&c, "declip", 0) == 0, "declip");
	weights_are(&c, .4, .2, .2, .2, .2, "the paper's weights");
	ok(c.image_views == 2 && c.caption_views == 2, "two views of each");
	c.weight[DC_TERM_NNS] = 0;
	ok(fabs(dc_config_clip_weight(&c) - .6) < 1e-12, "without NNS its weight goes back to CLIP");
	c.weight[DC_TERM_SIMSIAM] = c.weight[DC_TERM_MLM] = 0;
	ok(fabs(dc_config_clip_weight(&c) - .8) < 1e-12, "with MVS alone CLIP has .8");
	ok(dc_config_method(&c, "declip", 1) == 0, "declip as released");
	weights_are(&c, .1, .3, .2, .2, .2, "the released weights");
	ok(dc_config_method(&c, "clip", 0) == 0, "clip");
	weights_are(&c, 1, 0, 0, 0, 0, "CLIP alone has weight 1");
	ok(c.image_views == 1 && c.caption_views == 1 && c.queue == 0, "one view of each, no queue");
	ok(!c.logit_bias, "and no logit_bias");
	ok(dc_config_method(&c, "slip", 0) == 0 && c.weight[DC_TERM_CLIP] == 1 && c.weight[DC_TERM_SIMCLR] == 1 &&
	    c.image_views == 3 && c.caption_views == 1 && dc_config_feature_views(&c) == 1, "slip: CLIP and SimCLR, three views");
	ok(dc_config_method(&c, "filip", 1) == 0 && c.weight[DC_TERM_CLIP] == 0 && c.weight[DC_TERM_FILIP] == 1 &&
	    c.image_views == 1 && c.filip_top == 16 && dc_config_masked_text(&c), "filip as released: top 16, masked captions");
	c.weight[DC_TERM_FILIP] = .25;
	ok(dc_config_clip_weight(&c) == .75, "what FILIP leaves is CLIP's");
	ok(dc_config_method(&c, "defilip", 0) == 0 && c.weight[DC_TERM_FILIP] == .2 && c.filip_top == 0, "defilip");
	c.weight[DC_TERM_FILIP] = 0;
	weights_are(&c, .4, .2, .2, .2, .2, "but for it has DeCLIP's weights");
	ok(dc_config_method(&c, "siglip", 0) == 0 && c.weight[DC_TERM_CLIP] == 0 && c.weight[DC_TERM_SIGLIP] == 1 && c.logit_bias,
	    "siglip brings a logit_bias");
	ok(dc_config_method(&c, "simclr", 0) < 0, "an unknown method is refused: %s", dc_err());
}

static void
round_trip(void)
{
	struct dc_config c, d;
	char *a, *b;

	ok(dc_config_parse(&c, arch, strlen(arch)) == 0 && dc_config_method(&c, "declip", 1) == 0, "a config");
	c.queue = 500;
	a = dc_config_json(&c);
	ok(dc_config_parse(&d, a, strlen(a)) == 0, "its JSON parses: %s", dc_err());
	b = dc_config_json(&d);
	ok(!strcmp(a, b) && d.released && d.queue == 500, "and says the same again");
	free(a);
	free(b);
	a = dc_config_model_json(&c);
	ok(dc_config_parse(&d, a, strlen(a)) == 0 && !*d.method && d.text.vocab_size == 1000, "open_clip_config.json parses");
	free(a);
}

/* Any width of the MLP comes back as it went. */
static void
ratios(void)
{
	struct dc_config c = { 0 }, d;
	int wrong = 0;

	if (dc_config_parse(&c, arch, strlen(arch)) < 0)
		abort();
	c.vision.width = 448;
	c.vision.heads = 7;
	for (c.vision.mlp = 8; c.vision.mlp < 2000; c.vision.mlp++) {
		char *json = dc_config_model_json(&c);

		wrong += dc_config_parse(&d, json, strlen(json)) < 0 || d.vision.mlp != c.vision.mlp;
		free(json);
	}
	ok(!wrong, "mlp_ratio gives back the width it was made of: %d do not", wrong);
}

static void
refused(const char *json, const char *why)
{
	struct dc_config c;

	ok(dc_config_parse(&c, json, strlen(json)) < 0, "refused, %s: %s", why, dc_err());
}

/* A whole open_clip_config.json with these added to each of its parts. */
static int
parsed_with(struct dc_config *c, const char *model, const char *vision, const char *text, const char *pre)
{
	char *json = dc_xasprintf("{\"model_cfg\": {\"embed_dim\": 64, \"vision_cfg\": {\"image_size\": 64, \"layers\": 2, "
	    "\"width\": 128, \"patch_size\": 16%s}, \"text_cfg\": {\"width\": 128, \"heads\": 2, \"layers\": 3%s}%s}, "
	    "\"preprocess_cfg\": {\"mean\": [0.5, 0.5, 0.5]%s}}", vision, text, model, pre);
	int r = dc_config_parse(c, json, strlen(json));

	free(json);
	return r;
}

/* What open_clip may write, where it asks for nothing, and where it asks for what our towers do not do. */
static void
open_clips(void)
{
	static const struct { const char *model, *vision, *text, *say; } bad[] = {
		{ ", \"custom_text\": true", "", "", "model_cfg: 'custom_text' is true" },
		{ ", \"init_logit_bias\": \"no\"", "", "", "model_cfg: 'init_logit_bias' must be a number" },
		{ ", \"multimodal_cfg\": {}", "", "", "'multimodal_cfg'" },
		{ ", \"quick_gelu\": 1", "", "", "'quick_gelu' must be true or false" },
		{ "", ", \"no_ln_pre\": true", "", "vision_cfg: 'no_ln_pre' is true" },
		{ "", ", \"pool_type\": \"avg\"", "", "vision_cfg: 'pool_type' is \"avg\"" },
		{ "", ", \"timm_model_name\": \"convnext_base\"", "", "\"convnext_base\"" },
		{ "", ", \"ls_init_value\": 0.0001", "", "'ls_init_value'" },
		{ "", "", ", \"hf_model_name\": \"roberta-base\"", "text_cfg: 'hf_model_name' is \"roberta-base\"" },
		{ "", "", ", \"no_causal_mask\": true", "'no_causal_mask'" },
		{ "", "", ", \"act_kwargs\": {\"approximate\": \"tanh\"}", "'act_kwargs'" },
		{ "", "", ", \"embed_cls\": true", "'embed_cls'" },
		{ "", "", ", \"frobnicate\": null", "text_cfg: 'frobnicate' is not supported" },
	};
	struct dc_config c, d;
	char *json;

	ok(parsed_with(&c, ", \"custom_text\": false, \"init_logit_scale\": 2.6, \"init_logit_bias\": null",
	    ", \"patch_dropout\": 0.0, \"ls_init_value\": null, \"pool_type\": \"tok\", \"timm_drop\": 0",
	    ", \"proj_bias\": true, \"pool_type\": \"argmax\", \"hf_tokenizer_name\": null, \"eos_id\": 2",
	    ", \"interpolation\": \"bilinear\", \"resize_mode\": \"squash\", \"size\": 64") == 0 && c.text.proj_bias,
	    "open_clip's other keys with the values they have anyway: %s", dc_err());
	json = dc_config_model_json(&c);
	ok(dc_config_parse(&d, json, strlen(json)) == 0 && d.text.proj_bias && d.mean[1] == 0.5 &&
	    !strcmp(d.interpolation, "bilinear") && !strcmp(d.resize_mode, "squash"), "what is known of them is kept");
	free(json);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ok(parsed_with(&c, bad[i].model, bad[i].vision, bad[i].text, "") < 0 && strstr(dc_err(), bad[i].say),
		    "refused: %s", dc_err());
}

/* The linear layer of a text projection with a bias stands in the place of the matrix. */
static void
projections(void)
{
	struct dc_config c;
	struct dc_param *p;
	int n, found = 0;

	if (dc_config_parse(&c, arch, strlen(arch)) < 0)
		abort();
	c.text.proj_bias = 1;
	n = dc_params_list(&c, &p);
	for (int i = 0; i < n; i++) {
		found += !strcmp(p[i].name, "text_projection.weight") && p[i].shape[0] == 64 && p[i].shape[1] == 128 && p[i].decay;
		found += !strcmp(p[i].name, "text_projection.bias") && p[i].ndim == 1 && p[i].n == 64 && !p[i].decay && p[i].text;
		found -= !strcmp(p[i].name, "text_projection");
	}
	free(p);
	ok(found == 2, "proj_bias: weight [D,W] and bias [D]");
}

static void
params(void)
{
	struct dc_config c;
	struct dc_param *p;
	int n, decayed_bias = 0, heads = 0;

	ok(dc_config_parse(&c, arch, strlen(arch)) == 0 && dc_config_method(&c, "declip", 0) == 0, "a config");
	n = dc_params_list(&c, &p);
	for (int i = 0; i < n; i++) {
		decayed_bias += p[i].decay && (strstr(p[i].name, "bias") || strstr(p[i].name, "ln_") || strstr(p[i].name, "positional"));
		heads += p[i].head;
	}
	ok(n == 1 + 8 + 12 * 5 + 5 + heads, "1 + 8 + 5 tensors beside 12 in each of 5 blocks: %d", n);
	ok(heads == 5 * 2 + 4 * 2 + 3, "the heads' tensors: %d", heads);
	ok(!decayed_bias, "no bias, norm or position decays");
	free(p);
	ok(dc_stats_list(&c, &p) == 8, "running statistics of four batch norms");
	free(p);
}

#define RESNET(vision) "{\"embed_dim\": 24, \"vision_cfg\": {" vision "}, \"text_cfg\": {\"width\": 64, \"heads\": 1, \"layers\": 1}}"

static void
resnet_params(const struct dc_config *c)
{
	struct dc_param *p;
	int n = dc_params_list(c, &p), stats = 0, counts = 0, decayed = 0, zero = 0;

	for (int i = 0; i < n; i++) {
		stats += p[i].stat;
		counts += p[i].whole && p[i].stat && p[i].ndim == 0 && strstr(p[i].name, ".num_batches_tracked");
		decayed += p[i].decay && (p[i].ndim < 2 || strstr(p[i].name, "positional"));
		zero += p[i].init == DC_INIT_ZERO && strstr(p[i].name, "bn3.weight") && strstr(p[i].name, "layer");
	}
	ok(stats == 3 * (3 + 3 * 5 + 4) && counts == 3 + 3 * 5 + 4, "three statistics of each of 22 batch norms: %d", stats);
	ok(!decayed && zero == 5, "no norm, bias or position decays; every bottleneck begins as its shortcut");
	free(p);
}

static void
resnets(void)
{
	static const char json[] = RESNET("\"image_size\": 64, \"layers\": [1,2,1,1], \"width\": 10, \"patch_size\": null, \"head_width\": 32");
	struct dc_config c, again;
	char *out;

	ok(dc_config_parse(&c, json, strlen(json)) == 0 && dc_config_resnet(&c) && c.vision.layers == 5 && c.vision.stages[1] == 2 &&
	    c.vision.heads == 10, "a ResNet's layers and heads");
	out = dc_config_model_json(&c);
	ok(dc_config_parse(&again, out, strlen(out)) == 0 && !memcmp(&c, &again, sizeof c) && strstr(out, "\"patch_size\": null") &&
	    strstr(out, "\"head_width\": 32") && !strstr(out, "mlp_ratio"), "are written as they were read");
	free(out);
	ok(dc_config_method(&c, "declip", 1) == 0 && c.freeze == 0, "its conv1 is trained, in the released reading too");
	ok(dc_config_method(&c, "declip", 0) == 0 && c.freeze == 0, "and in the paper's");
	resnet_params(&c);
	ok(dc_config_freeze("bn,conv1", &c.freeze) == 0 && c.freeze == (DC_FREEZE_BN | DC_FREEZE_CONV1), "freeze bn");
	refused(RESNET("\"image_size\": 64, \"layers\": [1,2,1], \"width\": 64"), "three layers");
	refused(RESNET("\"image_size\": 64, \"layers\": [1,2,0,1], \"width\": 64"), "an empty layer");
	refused(RESNET("\"image_size\": 72, \"layers\": [1,2,1,1], \"width\": 64"), "a size that is no multiple of 32");
	refused(RESNET("\"image_size\": 64, \"layers\": [1,2,1,1], \"width\": 64, \"patch_size\": 16"), "a ResNet with patches");
	refused(RESNET("\"image_size\": 64, \"layers\": [1,2,1,1], \"width\": 10, \"head_width\": 48"), "heads that do not fit");
}

int
main(void)
{
	methods();
	round_trip();
	params();
	ratios();
	open_clips();
	projections();
	refused("{", "not JSON");
	refused("{\"embed_dim\": 64}", "no vision_cfg");
	refused("{\"embed_dim\": 64, \"vision_cfg\": {\"timm_model_name\": \"x\"}, \"text_cfg\": {}}", "a key that is not supported");
	resnets();
	return done_testing();
}
