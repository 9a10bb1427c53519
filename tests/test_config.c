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
	const double want[] = { clip, mvs, simsiam, mlm, nns };
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

int
main(void)
{
	methods();
	round_trip();
	params();
	ratios();
	refused("{", "not JSON");
	refused("{\"embed_dim\": 64}", "no vision_cfg");
	refused("{\"embed_dim\": 64, \"vision_cfg\": {\"timm_model_name\": \"x\"}, \"text_cfg\": {}}", "a key that is not supported");
	refused("{\"embed_dim\": 64, \"vision_cfg\": {\"image_size\": 64, \"layers\": [3,4,6,3], \"width\": 64}, \"text_cfg\": {}}", "a ResNet");
	return done_testing();
}
