/* SPDX-License-Identifier: MIT */
#include "store/config.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const dc_term_names[DC_TERMS] = { "clip", "mvs", "simsiam", "mlm", "nns", "simclr", "filip", "siglip" };

static const double openai_mean[3] = { 0.48145466, 0.4578275, 0.40821073 };
static const double openai_std[3] = { 0.26862954, 0.26130258, 0.27577711 };

void
dc_config_init(struct dc_config *c)
{
	memset(c, 0, sizeof *c);
	memcpy(c->mean, openai_mean, sizeof c->mean);
	memcpy(c->std, openai_std, sizeof c->std);
	strcpy(c->interpolation, "bicubic");
	strcpy(c->resize_mode, "shortest");
}

/* --- methods --- */

/* Weights but CLIP's, limits of the log of the scale and what is frozen: the paper's, and as released. In the released
 * repository every configuration keeps the log in [3, 6] and freezes conv1; its clip is not read here but as the paper. */
#define LN_100 4.60517018598809136804
static const struct method {
	const char *name;
	double weight[2][DC_TERMS], limits[2][2];
	int freeze[2];
} methods[] = {
	{ "clip", { { 0 } }, { { 0, LN_100 }, { 0, LN_100 } }, { 0, 0 } },
	{ "slip", { { [DC_TERM_SIMCLR] = 1 }, { [DC_TERM_SIMCLR] = 1 } }, { { 0, LN_100 }, { 3, 6 } }, { 0, DC_FREEZE_CONV1 } },
	{ "filip", { { [DC_TERM_FILIP] = 1 }, { [DC_TERM_FILIP] = 1 } }, { { 0, LN_100 }, { 3, 6 } }, { 0, DC_FREEZE_CONV1 } },
	{ "declip", { { 0, .2, .2, .2, .2 }, { 0, .3, .2, .2, .2 } }, { { 3, 6 }, { 3, 6 } }, { DC_FREEZE_CONV1, DC_FREEZE_CONV1 } },
	{ "defilip", { { 0, .2, .2, .2, .2, [DC_TERM_FILIP] = .2 }, { 0, .3, .2, .2, .2, [DC_TERM_FILIP] = .2 } },
	    { { 3, 6 }, { 3, 6 } }, { DC_FREEZE_CONV1, DC_FREEZE_CONV1 } },
	{ "siglip", { { [DC_TERM_SIGLIP] = 1 }, { [DC_TERM_SIGLIP] = 1 } }, { { 0, LN_100 }, { 0, LN_100 } }, { 0, 0 } },
};

int
dc_config_on(const struct dc_config *c, enum dc_term term)
{
	return c->method[0] && c->weight[term] > 0;
}

void
dc_config_views(struct dc_config *c)
{
	const double *w = c->weight;

	c->image_views = w[DC_TERM_MVS] > 0 || w[DC_TERM_SIMSIAM] > 0 || w[DC_TERM_NNS] > 0 ? 2 : 1;
	c->image_views = w[DC_TERM_SIMCLR] > 0 ? 3 : c->image_views;
	c->caption_views = w[DC_TERM_MVS] > 0 || (c->released && w[DC_TERM_NNS] > 0) ? 2 : 1;
	if (!(w[DC_TERM_NNS] > 0))
		c->queue = 0;
}

int
dc_config_feature_views(const struct dc_config *c)
{
	return dc_config_on(c, DC_TERM_SIMCLR) ? 1 : c->image_views;
}

int
dc_config_masked_text(const struct dc_config *c)
{
	return c->released && (dc_config_on(c, DC_TERM_MLM) || dc_config_on(c, DC_TERM_FILIP));
}

int
dc_config_image_width(const struct dc_config *c)
{
	return dc_config_resnet(c) ? 32 * c->vision.width : c->vision.width;
}

int
dc_config_token_width(const struct dc_config *c)
{
	return dc_config_image_width(c);
}

int
dc_config_tokens(const struct dc_config *c)
{
	const int grid = c->vision.image_size / (dc_config_resnet(c) ? 32 : c->vision.patch_size);

	return grid * grid;
}

/* DeCLIP, eq. 8: L = (1 - a - b - g) CLIP + a (SimSiam + MLM) + b MVS + g NNS, a = b = g = 0.2: the two
 * self-supervisions share one a.  The released code weighs each term on its own. */
double
dc_config_clip_weight(const struct dc_config *c)
{
	const double *w = c->weight;
	double self = c->released ? w[DC_TERM_SIMSIAM] + w[DC_TERM_MLM] : fmax(w[DC_TERM_SIMSIAM], w[DC_TERM_MLM]);

	if (!strcmp(c->method, "filip"))
		return 1 - w[DC_TERM_FILIP];
	if (!strcmp(c->method, "siglip"))
		return 1 - w[DC_TERM_SIGLIP];
	return 1 - w[DC_TERM_MVS] - w[DC_TERM_NNS] - self;
}

int
dc_config_method(struct dc_config *c, const char *method, int released)
{
	const struct method *m = methods, *end = methods + sizeof methods / sizeof *methods;

	released = released != 0;
	while (m < end && strcmp(m->name, method))
		m++;
	DC_CHECK(m < end, "method '%s': must be one of " DC_METHODS, method);
	snprintf(c->method, sizeof c->method, "%s", method);
	c->released = released;
	memcpy(c->weight, m->weight[released], sizeof c->weight);
	c->weight[DC_TERM_CLIP] = dc_config_clip_weight(c);
	c->freeze = m->freeze[released];
	if (dc_config_resnet(c))
		c->freeze &= ~DC_FREEZE_CONV1;   /* the released code freezes it in vision transformers only */
	c->queue = c->weight[DC_TERM_NNS] > 0 ? 65536 : 0;
	c->nns_after = 1024;
	c->logit_scale_min = m->limits[released][0];
	c->logit_scale_max = m->limits[released][1];
	c->logit_bias |= c->weight[DC_TERM_SIGLIP] > 0;
	c->simsiam_width = 1024;
	c->simsiam_hidden = 512;
	c->simclr_hidden = 4096;
	c->simclr_width = 256;
	c->simclr_temperature = 0.1;
	c->filip_width = 256;
	c->filip_top = released ? 16 : 0;
	dc_config_views(c);
	return 0;
}

/* --- from JSON --- */

static int
take_int(json_t *o, const char *where, const char *key, int lo, int hi, int fallback, int *out)
{
	json_t *v = json_object_get(o, key);

	if (!v && fallback >= 0) {
		*out = fallback;
		return 0;
	}
	DC_CHECK(v, "%s: '%s' is missing", where, key);
	DC_CHECK(json_is_integer(v) && json_integer_value(v) >= lo && json_integer_value(v) <= hi,
	    "%s: '%s' must be a whole number in [%d, %d]", where, key, lo, hi);
	*out = (int)json_integer_value(v);
	return 0;
}

static int
take_bool(json_t *o, const char *where, const char *key, int *out)
{
	json_t *v = json_object_get(o, key);

	*out = json_is_true(v);
	DC_CHECK(!v || json_is_null(v) || json_is_boolean(v), "%s: '%s' must be true or false", where, key);
	return 0;
}

static int
take_number(json_t *o, const char *where, const char *key, double lo, double hi, double *out)
{
	json_t *v = json_object_get(o, key);
	double x = json_number_value(v);

	if (!v)
		return 0;
	DC_CHECK(json_is_number(v) && x >= lo && x <= hi, "%s: '%s' must be a number in [%g, %g]", where, key, lo, hi);
	*out = x;
	return 0;
}

static int
in_list(const char *list, const char *key)
{
	size_t n = strlen(key);
	const char *p = n ? strstr(list, key) : NULL;

	while (p && !((p == list || p[-1] == ' ') && (!p[n] || p[n] == ' ')))
		p = strstr(p + 1, key);
	return p != NULL;
}

/* Every key of o must be in the list (names separated by spaces): what we do not know we must not ignore. */
static int
only_keys(json_t *o, const char *where, const char *list)
{
	const char *key;
	json_t *v;

	json_object_foreach(o, key, v)
		DC_CHECK(in_list(list, key), "%s: '%s' is not supported", where, key);
	return 0;
}

/* What else open_clip has, with the values that ask for nothing our towers do not do; null asks for nothing too. */
static const char model_plain[] = "{\"custom_text\": false, \"nonscalar_logit_scale\": false, "
    "\"output_dict\": false, \"multimodal_cfg\": null, \"cast_dtype\": null}";
static const char vision_plain[] = "{\"ls_init_value\": null, \"patch_dropout\": 0, \"attentional_pool\": false, "
    "\"attn_pooler_queries\": 256, \"attn_pooler_heads\": 8, \"no_ln_pre\": false, \"pos_embed_type\": \"learnable\", "
    "\"final_ln_after_pool\": false, \"pool_type\": \"tok\", \"output_tokens\": false, \"act_kwargs\": null, "
    "\"norm_kwargs\": null, \"block_type\": \"default\", \"qk_norm\": false, \"scaled_cosine_attn\": false, "
    "\"scale_heads\": false, \"scale_attn_inner\": false, \"scale_attn\": false, \"scale_fc\": false, "
    "\"timm_model_name\": null, \"timm_model_pretrained\": false, \"timm_pool\": \"avg\", \"timm_proj\": \"linear\", "
    "\"timm_proj_bias\": false, \"timm_drop\": 0, \"timm_drop_path\": null}";
static const char text_plain[] = "{\"hf_tokenizer_name\": null, \"tokenizer_mode\": null, \"tokenizer_kwargs\": null, "
    "\"ls_init_value\": null, \"embed_cls\": false, \"pad_id\": 0, \"eos_id\": 2, \"no_causal_mask\": false, "
    "\"final_ln_after_pool\": false, \"pool_type\": \"argmax\", \"proj_type\": \"linear\", \"output_tokens\": false, "
    "\"act_kwargs\": null, \"norm_kwargs\": null, \"block_type\": \"default\", \"qk_norm\": false, "
    "\"scaled_cosine_attn\": false, \"scale_heads\": false, \"scale_attn_inner\": false, \"scale_attn\": false, "
    "\"scale_fc\": false, \"hf_model_name\": null, \"hf_model_pretrained\": true, \"hf_proj_type\": \"mlp\", "
    "\"hf_pooler_type\": \"mean_pooler\"}";

static int
same_value(json_t *a, json_t *b)
{
	return json_is_number(a) && json_is_number(b) ? json_number_value(a) == json_number_value(b) : json_equal(a, b);
}

/* As only_keys, for a part of open_clip's model_cfg: a key of `plain` may be there with its value. */
static int
known_keys(json_t *o, const char *where, const char *list, const char *plain)
{
	json_t *same = json_loads(plain, 0, NULL), *v;
	const char *key;
	int r = 0;

	json_object_foreach(o, key, v) {
		json_t *want = json_object_get(same, key);

		if (in_list(list, key) || (want && (json_is_null(v) || same_value(v, want))))
			continue;
		if (want) {
			char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
			r = dc_err_set("%s: '%s' is %.60s, which is not supported", where, key, text ? text : "?");
			free(text);
		} else {
			r = dc_err_set("%s: '%s' is not supported", where, key);
		}
		break;
	}
	json_decref(same);
	return r;
}

static int
take_ratio(json_t *o, const char *where, int width, int *mlp)
{
	double ratio = 4;

	DC_TRY(take_number(o, where, "mlp_ratio", 0.01, 64, &ratio));
	*mlp = (int)(width * ratio);
	DC_CHECK(*mlp >= 1, "%s: 'mlp_ratio' %g leaves an MLP of width 0", where, ratio);
	return 0;
}

/* layers: [3,4,6,3]; no patches, and no MLPs. */
static int
take_resnet(struct dc_vision *v, json_t *o)
{
	static const char where[] = "vision_cfg";
	json_t *layers = json_object_get(o, "layers"), *patch = json_object_get(o, "patch_size");
	int head_width;

	DC_TRY(known_keys(o, where, "image_size layers width patch_size head_width", vision_plain));
	DC_CHECK(!patch || json_is_null(patch), "vision_cfg: 'patch_size' must be null where 'layers' is a list");
	DC_TRY(take_int(o, where, "image_size", 32, 4096, -1, &v->image_size));
	DC_CHECK(v->image_size % 32 == 0, "vision_cfg: 'image_size' %d is not a multiple of 32, as a ResNet needs it", v->image_size);
	DC_TRY(take_int(o, where, "width", 2, 512, -1, &v->width));
	DC_TRY(take_int(o, where, "head_width", 1, 16384, 64, &head_width));
	DC_CHECK(v->width % 2 == 0 && 32 * v->width % head_width == 0, "vision_cfg: 32 times 'width' %d is not a multiple of the "
	    "head width %d, or it is odd", v->width, head_width);
	DC_CHECK(json_array_size(layers) == 4, "vision_cfg: 'layers' must be a whole number or a list of four");
	for (int i = 0; i < 4; i++) {
		json_t *n = json_array_get(layers, (size_t)i);

		DC_CHECK(json_is_integer(n) && json_integer_value(n) >= 1 && json_integer_value(n) <= 256,
		    "vision_cfg: 'layers' must be four whole numbers in [1, 256]");
		v->layers += v->stages[i] = (int)json_integer_value(n);
	}
	v->heads = 32 * v->width / head_width;
	return 0;
}

static int
take_vision(struct dc_vision *v, json_t *o)
{
	static const char where[] = "vision_cfg";
	int head_width;

	DC_CHECK(json_is_object(o), "model_cfg: 'vision_cfg' is missing");
	if (json_is_array(json_object_get(o, "layers")))
		return take_resnet(v, o);
	DC_TRY(known_keys(o, where, "image_size layers width patch_size head_width mlp_ratio", vision_plain));
	DC_TRY(take_int(o, where, "image_size", 1, 4096, -1, &v->image_size));
	DC_TRY(take_int(o, where, "layers", 1, 256, -1, &v->layers));
	DC_TRY(take_int(o, where, "width", 1, 16384, -1, &v->width));
	DC_TRY(take_int(o, where, "patch_size", 1, 4096, -1, &v->patch_size));
	DC_TRY(take_int(o, where, "head_width", 1, 16384, 64, &head_width));
	DC_CHECK(v->width % head_width == 0, "vision_cfg: 'width' %d is not a multiple of the head width %d", v->width, head_width);
	DC_CHECK(v->patch_size <= v->image_size, "vision_cfg: 'patch_size' %d is larger than 'image_size' %d", v->patch_size, v->image_size);
	v->heads = v->width / head_width;
	return take_ratio(o, where, v->width, &v->mlp);
}

static int
take_text(struct dc_text *t, json_t *o)
{
	static const char where[] = "text_cfg";

	DC_CHECK(json_is_object(o), "model_cfg: 'text_cfg' is missing");
	DC_TRY(known_keys(o, where, "context_length vocab_size width heads layers mlp_ratio proj_bias", text_plain));
	DC_TRY(take_int(o, where, "context_length", 3, 4096, 77, &t->context_length));
	DC_TRY(take_int(o, where, "vocab_size", 4, 1 << 24, 49408, &t->vocab_size));
	DC_TRY(take_int(o, where, "width", 1, 16384, -1, &t->width));
	DC_TRY(take_int(o, where, "heads", 1, 1024, -1, &t->heads));
	DC_TRY(take_int(o, where, "layers", 1, 256, -1, &t->layers));
	DC_CHECK(t->width % t->heads == 0, "text_cfg: 'width' %d is not a multiple of 'heads' %d", t->width, t->heads);
	DC_TRY(take_bool(o, where, "proj_bias", &t->proj_bias));
	return take_ratio(o, where, t->width, &t->mlp);
}

/* open_clip makes a logit_bias where its first value is given. */
static int
take_bias(struct dc_config *c, json_t *o)
{
	json_t *v = json_object_get(o, "init_logit_bias");

	DC_CHECK(!v || json_is_null(v) || json_is_number(v), "model_cfg: 'init_logit_bias' must be a number");
	c->logit_bias = json_is_number(v);
	return 0;
}

static int
take_triple(json_t *o, const char *key, double *out)
{
	json_t *a = json_object_get(o, key);

	if (!a)
		return 0;
	DC_CHECK(json_array_size(a) == 3, "preprocess_cfg: '%s' must be three numbers", key);
	for (size_t i = 0; i < 3; i++) {
		DC_CHECK(json_is_number(json_array_get(a, i)), "preprocess_cfg: '%s' must be three numbers", key);
		out[i] = json_number_value(json_array_get(a, i));
		DC_CHECK(strcmp(key, "std") || out[i] > 0, "preprocess_cfg: 'std' must be positive");
	}
	return 0;
}

static int
take_word(json_t *o, const char *key, char *out, size_t n)
{
	json_t *v = json_object_get(o, key);

	if (!v)
		return 0;
	DC_CHECK(json_is_string(v) && json_string_length(v) < n, "preprocess_cfg: '%s' must be a word", key);
	snprintf(out, n, "%s", json_string_value(v));
	return 0;
}

static int
take_model(struct dc_config *c, json_t *o)
{
	json_t *m = json_object_get(o, "model_cfg"), *pre = json_object_get(o, "preprocess_cfg");

	if (!m)
		m = o; /* a bare architecture */
	DC_TRY(known_keys(m, "model_cfg", "embed_dim vision_cfg text_cfg quick_gelu preprocess_cfg init_logit_scale init_logit_bias",
	    model_plain));
	DC_TRY(take_int(m, "model_cfg", "embed_dim", 1, 16384, -1, &c->embed_dim));
	DC_TRY(take_bool(m, "model_cfg", "quick_gelu", &c->quick_gelu));
	DC_TRY(take_bias(c, m));
	DC_TRY(take_vision(&c->vision, json_object_get(m, "vision_cfg")));
	DC_TRY(take_text(&c->text, json_object_get(m, "text_cfg")));
	if (pre) {
		DC_TRY(take_triple(pre, "mean", c->mean));
		DC_TRY(take_triple(pre, "std", c->std));
		DC_TRY(take_word(pre, "interpolation", c->interpolation, sizeof c->interpolation));
		DC_TRY(take_word(pre, "resize_mode", c->resize_mode, sizeof c->resize_mode));
	}
	return 0;
}

int
dc_config_freeze(const char *list, int *freeze)
{
	static const struct { const char *name; int bit; } names[] = {
		{ "conv1", DC_FREEZE_CONV1 }, { "image", DC_FREEZE_IMAGE }, { "text", DC_FREEZE_TEXT },
		{ "bn", DC_FREEZE_BN }, { "none", 0 },
	};
	enum { NAMES = sizeof names / sizeof *names };
	size_t n, i;

	*freeze = 0;
	for (const char *p = list; *p; p += n + (p[n] == ',')) {
		n = strcspn(p, ",");
		for (i = 0; i < NAMES && (strlen(names[i].name) != n || strncmp(names[i].name, p, n)); i++)
			;
		DC_CHECK(i < NAMES, "freeze '%s': must be a list of conv1, image, text, bn, or none", list);
		*freeze |= names[i].bit;
	}
	return 0;
}

static int
take_weights(struct dc_config *c, json_t *o)
{
	if (!o)
		return 0;
	DC_TRY(only_keys(o, "weights", "clip mvs simsiam mlm nns simclr filip siglip"));
	for (int i = 0; i < DC_TERMS; i++)
		DC_TRY(take_number(o, "weights", dc_term_names[i], 0, 1e6, &c->weight[i]));
	return 0;
}

static int
take_limits(struct dc_config *c, json_t *a)
{
	if (!a)
		return 0;
	DC_CHECK(json_array_size(a) == 2 && json_is_number(json_array_get(a, 0)) && json_is_number(json_array_get(a, 1)),
	    "config: 'logit_scale' must be [low, high]");
	c->logit_scale_min = json_number_value(json_array_get(a, 0));
	c->logit_scale_max = json_number_value(json_array_get(a, 1));
	DC_CHECK(c->logit_scale_min <= c->logit_scale_max, "config: 'logit_scale' limits are the wrong way round");
	return 0;
}

static int
take_run(struct dc_config *c, json_t *o)
{
	const char *method = json_string_value(json_object_get(o, "method"));
	const char *as = json_string_value(json_object_get(o, "as")), *freeze = json_string_value(json_object_get(o, "freeze"));
	double queue, after;

	DC_TRY(only_keys(o, "config", "model method as weights freeze queue nns_after logit_scale simsiam_width simsiam_hidden "
	    "simclr_hidden simclr_width simclr_temperature filip_width filip_top part"));
	DC_CHECK(method, "config: 'method' is missing");
	DC_CHECK(!as || !strcmp(as, "paper") || !strcmp(as, "released"), "config: 'as' must be paper or released");
	DC_TRY(dc_config_method(c, method, as && !strcmp(as, "released")));
	DC_TRY(take_weights(c, json_object_get(o, "weights")));
	if (freeze)
		DC_TRY(dc_config_freeze(freeze, &c->freeze));
	queue = (double)c->queue, after = (double)c->nns_after;
	DC_TRY(take_number(o, "config", "queue", 0, 1 << 28, &queue));
	DC_TRY(take_number(o, "config", "nns_after", 0, 1 << 28, &after));
	c->queue = (int64_t)queue, c->nns_after = (int64_t)after;
	DC_TRY(take_limits(c, json_object_get(o, "logit_scale")));
	DC_TRY(take_int(o, "config", "simsiam_width", 1, 65536, c->simsiam_width, &c->simsiam_width));
	DC_TRY(take_int(o, "config", "simsiam_hidden", 1, 65536, c->simsiam_hidden, &c->simsiam_hidden));
	DC_TRY(take_int(o, "config", "simclr_hidden", 1, 65536, c->simclr_hidden, &c->simclr_hidden));
	DC_TRY(take_int(o, "config", "simclr_width", 1, 65536, c->simclr_width, &c->simclr_width));
	DC_TRY(take_number(o, "config", "simclr_temperature", 1e-3, 1e3, &c->simclr_temperature));
	DC_TRY(take_int(o, "config", "filip_width", 1, 65536, c->filip_width, &c->filip_width));
	DC_TRY(take_int(o, "config", "filip_top", 0, 65536, c->filip_top, &c->filip_top));
	DC_TRY(take_int(o, "config", "part", 0, 65536, c->part, &c->part));
	dc_config_views(c);
	DC_CHECK(!(c->weight[DC_TERM_NNS] > 0) || c->queue > 0, "config: 'queue' must be positive where nns has a weight");
	return 0;
}

int
dc_config_parse(struct dc_config *c, const char *json, size_t n)
{
	json_error_t e;
	json_t *o = json_loadb(json, n, JSON_REJECT_DUPLICATES, &e), *model;
	int r;

	dc_config_init(c);
	DC_CHECK(o, "config: line %d: %s", e.line, e.text);
	model = json_object_get(o, "model");
	r = take_model(c, model ? model : o);
	if (r == 0 && model)
		r = take_run(c, o);
	json_decref(o);
	return r;
}

/* --- to JSON --- */

/* The readers, open_clip among them, take the whole part of width x ratio: rounding must not make it one less. */
static json_t *
ratio_json(int mlp, int width)
{
	double ratio = (double)mlp / width;

	while ((int)(width * ratio) < mlp)
		ratio = nextafter(ratio, INFINITY);
	return json_real(ratio);
}

static json_t *
resnet_json(const struct dc_vision *v)
{
	return json_pack("{s:i, s:[i,i,i,i], s:i, s:n}", "image_size", v->image_size, "layers", v->stages[0], v->stages[1],
	    v->stages[2], v->stages[3], "width", v->width, "patch_size");
}

static json_t *
model_json(const struct dc_config *c)
{
	const struct dc_vision *v = &c->vision;
	const struct dc_text *t = &c->text;
	json_t *vision = dc_config_resnet(c) ? resnet_json(v) : json_pack("{s:i, s:i, s:i, s:i}", "image_size", v->image_size,
	    "layers", v->layers, "width", v->width, "patch_size", v->patch_size);
	json_t *text = json_pack("{s:i, s:i, s:i, s:i, s:i}", "context_length", t->context_length, "vocab_size", t->vocab_size,
	    "width", t->width, "heads", t->heads, "layers", t->layers);
	json_t *m;

	if (dc_config_image_width(c) != 64 * v->heads)
		json_object_set_new(vision, "head_width", json_integer(dc_config_image_width(c) / v->heads));
	if (!dc_config_resnet(c) && v->mlp != 4 * v->width)
		json_object_set_new(vision, "mlp_ratio", ratio_json(v->mlp, v->width));
	if (t->mlp != 4 * t->width)
		json_object_set_new(text, "mlp_ratio", ratio_json(t->mlp, t->width));
	if (t->proj_bias)
		json_object_set_new(text, "proj_bias", json_true());
	m = json_pack("{s:{s:i, s:o, s:o}, s:{s:[f,f,f], s:[f,f,f], s:s, s:s}}", "model_cfg", "embed_dim", c->embed_dim,
	    "vision_cfg", vision, "text_cfg", text, "preprocess_cfg", "mean", c->mean[0], c->mean[1], c->mean[2], "std",
	    c->std[0], c->std[1], c->std[2], "interpolation", c->interpolation, "resize_mode", c->resize_mode);
	if (c->quick_gelu)
		json_object_set_new(json_object_get(m, "model_cfg"), "quick_gelu", json_true());
	if (c->logit_bias)
		json_object_set_new(json_object_get(m, "model_cfg"), "init_logit_bias", json_integer(-10));
	return m;
}

static char *
dumped(json_t *o, size_t flags)
{
	char *s = json_dumps(o, flags | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));

	json_decref(o);
	if (!s)
		dc_die("out of memory");
	return s;
}

char *
dc_config_model_json(const struct dc_config *c)
{
	return dumped(model_json(c), JSON_INDENT(4));
}

static void
freeze_text(int freeze, char *s, size_t n)
{
	snprintf(s, n, "%s%s%s%s", freeze & DC_FREEZE_CONV1 ? ",conv1" : "", freeze & DC_FREEZE_IMAGE ? ",image" : "",
	    freeze & DC_FREEZE_TEXT ? ",text" : "", freeze & DC_FREEZE_BN ? ",bn" : "");
	if (*s)
		memmove(s, s + 1, strlen(s));
	else
		snprintf(s, n, "none");
}

char *
dc_config_json(const struct dc_config *c)
{
	json_t *w = json_object(), *o;
	char freeze[32];

	for (int i = 0; i < DC_TERMS; i++)
		if (i <= DC_TERM_NNS || c->weight[i] > 0)
			json_object_set_new(w, dc_term_names[i], json_real(c->weight[i]));
	freeze_text(c->freeze, freeze, sizeof freeze);
	o = json_pack("{s:o, s:s, s:s, s:o, s:s, s:I, s:I, s:[f,f], s:i, s:i}", "model", model_json(c), "method",
	    c->method, "as", c->released ? "released" : "paper", "weights", w, "freeze", freeze, "queue", (json_int_t)c->queue,
	    "nns_after", (json_int_t)c->nns_after, "logit_scale", c->logit_scale_min, c->logit_scale_max, "simsiam_width",
	    c->simsiam_width, "simsiam_hidden", c->simsiam_hidden);
	if (c->weight[DC_TERM_SIMCLR] > 0)
		json_object_update_new(o, json_pack("{s:i, s:i, s:f}", "simclr_hidden", c->simclr_hidden, "simclr_width",
		    c->simclr_width, "simclr_temperature", c->simclr_temperature));
	if (c->weight[DC_TERM_FILIP] > 0)
		json_object_update_new(o, json_pack("{s:i, s:i}", "filip_width", c->filip_width, "filip_top", c->filip_top));
	if (c->part > 0)
		json_object_update_new(o, json_pack("{s:i}", "part", c->part));
	return dumped(o, JSON_COMPACT);
}
