/* SPDX-License-Identifier: MIT */
#include "store/hf.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pillow's numbers for its filters, which transformers uses */
static const struct { const char *name; int number; } filters[] = { { "bilinear", 2 }, { "bicubic", 3 } };
enum { N_FILTERS = sizeof(filters) / sizeof(*filters) };

/* --- reading --- */

static int
take(json_t *o, const char *where, const char *key, int lo, int hi, int fallback, int *out)
{
	json_t *v = json_object_get(o, key);

	DC_CHECK(!v || (json_is_integer(v) && json_integer_value(v) >= lo && json_integer_value(v) <= hi),
	    "%s: '%s' must be a whole number in [%d, %d]", where, key, lo, hi);
	*out = v ? (int)json_integer_value(v) : fallback;
	return 0;
}

/* What a tower must be; *quick its activation. */
static int
take_kind(json_t *o, const char *where, int *quick)
{
	json_t *act = json_object_get(o, "hidden_act"), *eps = json_object_get(o, "layer_norm_eps");
	const char *s = act ? json_string_value(act) : "quick_gelu";

	DC_CHECK(s && (!strcmp(s, "quick_gelu") || !strcmp(s, "gelu")), "%s: 'hidden_act' is %.40s; supported are quick_gelu and gelu",
	    where, s ? s : "not a word");
	DC_CHECK(!eps || fabs(json_number_value(eps) - 1e-5) < 1e-12, "%s: 'layer_norm_eps' must be 1e-5", where);
	*quick = !strcmp(s, "quick_gelu");
	return 0;
}

static int
take_vision(struct dc_vision *v, json_t *o, int *quick)
{
	static const char where[] = "vision_config";
	int channels;

	DC_TRY(take(o, where, "image_size", 1, 4096, 224, &v->image_size));
	DC_TRY(take(o, where, "patch_size", 1, 4096, 32, &v->patch_size));
	DC_TRY(take(o, where, "hidden_size", 1, 16384, 768, &v->width));
	DC_TRY(take(o, where, "intermediate_size", 1, 1 << 20, 3072, &v->mlp));
	DC_TRY(take(o, where, "num_hidden_layers", 1, 256, 12, &v->layers));
	DC_TRY(take(o, where, "num_attention_heads", 1, 1024, 12, &v->heads));
	DC_TRY(take(o, where, "num_channels", 3, 3, 3, &channels));
	DC_CHECK(v->width % v->heads == 0, "%s: 'hidden_size' %d is not a multiple of %d heads", where, v->width, v->heads);
	DC_CHECK(v->patch_size <= v->image_size, "%s: 'patch_size' %d is larger than 'image_size' %d", where, v->patch_size,
	    v->image_size);
	return take_kind(o, where, quick);
}

static int
take_text(struct dc_text *t, json_t *o, int *quick)
{
	static const char where[] = "text_config";
	int end;

	DC_TRY(take(o, where, "max_position_embeddings", 3, 4096, 77, &t->context_length));
	DC_TRY(take(o, where, "vocab_size", 4, 1 << 24, 49408, &t->vocab_size));
	DC_TRY(take(o, where, "hidden_size", 1, 16384, 512, &t->width));
	DC_TRY(take(o, where, "intermediate_size", 1, 1 << 20, 2048, &t->mlp));
	DC_TRY(take(o, where, "num_hidden_layers", 1, 256, 12, &t->layers));
	DC_TRY(take(o, where, "num_attention_heads", 1, 1024, 8, &t->heads));
	DC_CHECK(t->width % t->heads == 0, "%s: 'hidden_size' %d is not a multiple of %d heads", where, t->width, t->heads);
	/* 2 stands in old files, and means: pool at the largest token, which is the last of the vocabulary */
	DC_TRY(take(o, where, "eos_token_id", 0, 1 << 24, t->vocab_size - 1, &end));
	DC_CHECK(end == 2 || end == t->vocab_size - 1, "%s: 'eos_token_id' is %d; supported is the last of the vocabulary, %d", where,
	    end, t->vocab_size - 1);
	return take_kind(o, where, quick);
}

static json_t *
load(const char *json, size_t n)
{
	json_error_t e;
	json_t *o = json_loadb(json, n, JSON_REJECT_DUPLICATES, &e);

	if (!o)
		dc_err_set("line %d: %s", e.line, e.text);
	else if (!json_is_object(o)) {
		dc_err_set("not a map");
		json_decref(o);
		o = NULL;
	}
	return o;
}

static int
take_config(struct dc_config *c, json_t *o)
{
	const char *type = json_string_value(json_object_get(o, "model_type"));
	int quick_text;

	DC_CHECK(type && !strcmp(type, "clip"), "'model_type' is %.40s; supported is clip", type ? type : "missing");
	DC_TRY(take(o, "config", "projection_dim", 1, 16384, 512, &c->embed_dim));
	DC_TRY(take_vision(&c->vision, json_object_get(o, "vision_config"), &c->quick_gelu));
	DC_TRY(take_text(&c->text, json_object_get(o, "text_config"), &quick_text));
	DC_CHECK(quick_text == c->quick_gelu, "the towers have different activations, which is not supported");
	return 0;
}

int
dc_hf_config_parse(struct dc_config *c, const char *json, size_t n)
{
	json_t *o;
	int r;

	dc_config_init(c);
	if (!(o = load(json, n)))
		return -1;
	r = take_config(c, o);
	json_decref(o);
	return r;
}

static int
take_triple(json_t *o, const char *key, double *out)
{
	json_t *a = json_object_get(o, key);

	if (!a)
		return 0;
	DC_CHECK(json_array_size(a) == 3, "'%s' must be three numbers", key);
	for (size_t i = 0; i < 3; i++) {
		DC_CHECK(json_is_number(json_array_get(a, i)), "'%s' must be three numbers", key);
		out[i] = json_number_value(json_array_get(a, i));
		DC_CHECK(strcmp(key, "image_std") || out[i] > 0, "'image_std' must be positive");
	}
	return 0;
}

static int
take_preprocess(struct dc_config *c, json_t *o)
{
	json_t *size = json_object_get(o, "size");
	int filter;

	DC_TRY(take_triple(o, "image_mean", c->mean));
	DC_TRY(take_triple(o, "image_std", c->std));
	DC_TRY(take(o, "preprocessor", "resample", 0, 5, 3, &filter));
	for (int i = 0; i < N_FILTERS; i++)
		if (filters[i].number == filter)
			snprintf(c->interpolation, sizeof(c->interpolation), "%s", filters[i].name);
	snprintf(c->resize_mode, sizeof(c->resize_mode), "%s", json_object_get(size, "height") ? "squash" :
	    json_object_get(size, "longest_edge") ? "longest" : "shortest");
	return 0;
}

int
dc_hf_preprocess_parse(struct dc_config *c, const char *json, size_t n)
{
	json_t *o = load(json, n);
	int r;

	if (!o)
		return -1;
	r = take_preprocess(c, o);
	json_decref(o);
	return r;
}

/* --- writing --- */

static char *
dumped(json_t *o)
{
	char *s = json_dumps(o, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(17)), *line;

	json_decref(o);
	if (!s)
		dc_die("out of memory");
	line = dc_xasprintf("%s\n", s);
	free(s);
	return line;
}

static json_t *
tower_json(const char *type, int width, int mlp, int layers, int heads, const struct dc_config *c)
{
	return json_pack("{s:s, s:i, s:i, s:i, s:i, s:s, s:f, s:f, s:i}", "model_type", type, "hidden_size", width,
	    "intermediate_size", mlp, "num_hidden_layers", layers, "num_attention_heads", heads, "hidden_act",
	    c->quick_gelu ? "quick_gelu" : "gelu", "layer_norm_eps", 1e-5, "attention_dropout", 0.0, "projection_dim",
	    c->embed_dim);
}

char *
dc_hf_config_json(const struct dc_config *c)
{
	const struct dc_vision *v = &c->vision;
	const struct dc_text *t = &c->text;
	json_t *vision = tower_json("clip_vision_model", v->width, v->mlp, v->layers, v->heads, c);
	json_t *text = tower_json("clip_text_model", t->width, t->mlp, t->layers, t->heads, c);

	json_object_set_new(vision, "image_size", json_integer(v->image_size));
	json_object_set_new(vision, "patch_size", json_integer(v->patch_size));
	json_object_set_new(vision, "num_channels", json_integer(3));
	json_object_set_new(text, "max_position_embeddings", json_integer(t->context_length));
	json_object_set_new(text, "vocab_size", json_integer(t->vocab_size));
	json_object_set_new(text, "bos_token_id", json_integer(t->vocab_size - 2));
	json_object_set_new(text, "eos_token_id", json_integer(t->vocab_size - 1));
	json_object_set_new(text, "pad_token_id", json_integer(0));
	return dumped(json_pack("{s:[s], s:s, s:i, s:f, s:s, s:o, s:o}", "architectures", "CLIPModel", "model_type", "clip",
	    "projection_dim", c->embed_dim, "logit_scale_init_value", 2.6592, "torch_dtype", "float32", "text_config", text,
	    "vision_config", vision));
}

char *
dc_hf_preprocess_json(const struct dc_config *c)
{
	int S = c->vision.image_size, filter = 3;
	json_t *size = !strcmp(c->resize_mode, "squash") ? json_pack("{s:i, s:i}", "height", S, "width", S) :
	    json_pack("{s:i}", !strcmp(c->resize_mode, "longest") ? "longest_edge" : "shortest_edge", S);

	for (int i = 0; i < N_FILTERS; i++)
		if (!strcmp(filters[i].name, c->interpolation))
			filter = filters[i].number;
	return dumped(json_pack("{s:s, s:b, s:b, s:b, s:b, s:b, s:i, s:o, s:{s:i, s:i}, s:[f,f,f], s:[f,f,f], s:f}",
	    "image_processor_type", "CLIPImageProcessor", "do_convert_rgb", 1, "do_resize", 1, "do_center_crop", 1, "do_rescale", 1,
	    "do_normalize", 1, "resample", filter, "size", size, "crop_size", "height", S, "width", S, "image_mean", c->mean[0],
	    c->mean[1], c->mean[2], "image_std", c->std[0], c->std[1], c->std[2], "rescale_factor", 1 / 255.0));
}
