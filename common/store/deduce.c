/* SPDX-License-Identifier: MIT */
#include "store/deduce.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS_MAX = 256 };

/* The names that tell. Vocabulary: rows of the token embedding, less what ours does not have. */
static const struct keys {
	const char *conv1, *image_pos, *image_mlp, *image_layers, *proj, *token, *text_pos, *text_mlp, *text_layers;
	int proj_dim, more_words;
} keys[DC_FORMATS] = {
	[DC_FORMAT_OPENCLIP] = { "visual.conv1.weight", "visual.positional_embedding",
	    "visual.transformer.resblocks.0.mlp.c_fc.weight", "visual.transformer.resblocks.", "visual.proj",
	    "token_embedding.weight", "positional_embedding", "transformer.resblocks.0.mlp.c_fc.weight", "transformer.resblocks.",
	    1, 0 },
	[DC_FORMAT_OPENAI] = { "visual.conv1.weight", "visual.positional_embedding",
	    "visual.transformer.resblocks.0.mlp.c_fc.weight", "visual.transformer.resblocks.", "visual.proj",
	    "token_embedding.weight", "positional_embedding", "transformer.resblocks.0.mlp.c_fc.weight", "transformer.resblocks.",
	    1, 0 },
	[DC_FORMAT_HF] = { "vision_model.embeddings.patch_embedding.weight", "vision_model.embeddings.position_embedding.weight",
	    "vision_model.encoder.layers.0.mlp.fc1.weight", "vision_model.encoder.layers.", "visual_projection.weight",
	    "text_model.embeddings.token_embedding.weight", "text_model.embeddings.position_embedding.weight",
	    "text_model.encoder.layers.0.mlp.fc1.weight", "text_model.encoder.layers.", 0, 0 },
	[DC_FORMAT_DECLIP] = { "visual.conv1.weight", "visual.positional_embedding",
	    "visual.transformer.resblocks.0.mlp.c_fc.weight", "visual.transformer.resblocks.", "visual.proj",
	    "encode_text.token_embedding.weight", "encode_text.positional_embedding",
	    "encode_text.transformer.resblocks.0.mlp.c_fc.weight", "encode_text.transformer.resblocks.", 1, 1 },
};

static const struct dc_st_tensor *
find(const struct dc_st *st, const char *prefix, const char *name)
{
	char full[160];

	snprintf(full, sizeof(full), "%s%s", prefix, name);
	return dc_st_find(st, full);
}

/* Whether a name begins with this. */
static int
any(const struct dc_st *st, const char *prefix, const char *name)
{
	char full[160];

	snprintf(full, sizeof(full), "%s%s", prefix, name);
	for (int i = 0; i < st->n; i++)
		if (!strncmp(st->t[i].name, full, strlen(full)))
			return 1;
	return 0;
}

const char *
dc_deduce_prefix(const struct dc_st *st)
{
	return any(st, "", "module.") ? "module." : "";
}

int
dc_deduce_format(const struct dc_st *st, enum dc_format *format, const char **prefix)
{
	*prefix = dc_deduce_prefix(st);
	DC_CHECK(!any(st, *prefix, "visual.trunk.") && !any(st, *prefix, "text.transformer.") && !any(st, *prefix, "text.encoder."),
	    "%s: a custom tower of open_clip (text.* or visual.trunk.*), which is not supported", st->path);
	if (any(st, "", "vision_model.") && any(st, "", "text_model."))
		*format = DC_FORMAT_HF;
	else if (any(st, *prefix, "visual.") && any(st, *prefix, "encode_text."))
		*format = DC_FORMAT_DECLIP;
	else if (any(st, *prefix, "visual.") && any(st, *prefix, "transformer.resblocks."))
		*format = DC_FORMAT_OPENAI;
	else
		return dc_err_set("%s: no tensors of a CLIP model by the names of OpenAI (visual.*, transformer.*), Hugging Face "
		    "(vision_model.*, text_model.*) or DeCLIP (visual.*, encode_text.*)", st->path);
	return 0;
}

static int
need(const struct dc_st *st, const char *prefix, const char *name, int ndim, const struct dc_st_tensor **t)
{
	*t = find(st, prefix, name);
	DC_CHECK(*t, "%s: tensor %s%s is missing", st->path, prefix, name);
	DC_CHECK((*t)->ndim == ndim, "%s: tensor %s has %d dimensions, not %d", st->path, (*t)->name, (*t)->ndim, ndim);
	for (int i = 0; i < ndim; i++)
		DC_CHECK((*t)->shape[i] >= 1 && (*t)->shape[i] <= 1 << 24, "%s: tensor %s: dimension %d is %lld", st->path,
		    (*t)->name, i, (long long)(*t)->shape[i]);
	return 0;
}

/* The layers that are named: one more than the highest number. */
static int
layers_of(const struct dc_st *st, const char *prefix, const char *name)
{
	char full[160];
	size_t k = (size_t)snprintf(full, sizeof(full), "%s%s", prefix, name);
	long highest = -1;

	for (int i = 0; i < st->n; i++)
		if (!strncmp(st->t[i].name, full, k)) {
			long at = strtol(st->t[i].name + k, NULL, 10);

			highest = at > highest && at < LAYERS_MAX ? at : highest;
		}
	return (int)highest + 1;
}

static int
heads_of(const struct dc_st *st, const char *tower, int width, int *heads)
{
	DC_CHECK(width % 64 == 0, "%s: how many heads has the %s tower? Its width %d is not a multiple of 64, so a config must say",
	    st->path, tower, width);
	*heads = width / 64;
	return 0;
}

static int
deduce_image(struct dc_config *c, const struct dc_st *st, const struct keys *k, const char *prefix)
{
	const struct dc_st_tensor *conv1, *pos, *mlp, *proj;
	struct dc_vision *v = &c->vision;
	int64_t grid;

	DC_TRY(need(st, prefix, k->conv1, 4, &conv1));
	DC_TRY(need(st, prefix, k->image_pos, 2, &pos));
	DC_TRY(need(st, prefix, k->image_mlp, 2, &mlp));
	DC_TRY(need(st, prefix, k->proj, 2, &proj));
	grid = (int64_t)lround(sqrt((double)(pos->shape[0] - 1)));
	DC_CHECK(grid * grid == pos->shape[0] - 1 && grid >= 1, "%s: tensor %s has %lld rows, which are not the patches of a square and "
	    "one more", st->path, pos->name, (long long)pos->shape[0]);
	v->width = (int)conv1->shape[0];
	v->patch_size = (int)conv1->shape[3];
	DC_CHECK(v->patch_size <= 4096 && grid * v->patch_size <= 4096, "%s: tensor %s: patches of %d and %lld in a row are no image",
	    st->path, conv1->name, v->patch_size, (long long)grid);
	v->image_size = (int)grid * v->patch_size;
	v->layers = layers_of(st, prefix, k->image_layers);
	v->mlp = (int)mlp->shape[0];
	c->embed_dim = (int)proj->shape[k->proj_dim];
	return heads_of(st, "image", v->width, &v->heads);
}

/* visual.conv1 [W/2,3,3,3], attnpool.positional_embedding [1 + (S/32)^2, 32 W], c_proj [D, 32 W] */
static int
deduce_resnet(struct dc_config *c, const struct dc_st *st, const char *prefix)
{
	const struct dc_st_tensor *conv1, *pos, *proj;
	struct dc_vision *v = &c->vision;
	char name[32];
	int64_t grid;

	DC_TRY(need(st, prefix, "visual.conv1.weight", 4, &conv1));
	DC_TRY(need(st, prefix, "visual.attnpool.positional_embedding", 2, &pos));
	DC_TRY(need(st, prefix, "visual.attnpool.c_proj.weight", 2, &proj));
	grid = (int64_t)lround(sqrt((double)(pos->shape[0] - 1)));
	DC_CHECK(grid * grid == pos->shape[0] - 1 && grid >= 1 && grid <= 128, "%s: tensor %s has %lld rows, which are not the pixels of "
	    "a square and one more", st->path, pos->name, (long long)pos->shape[0]);
	DC_CHECK(conv1->shape[0] <= 256, "%s: tensor %s has %lld rows", st->path, conv1->name, (long long)conv1->shape[0]);
	v->width = 2 * (int)conv1->shape[0];
	v->image_size = 32 * (int)grid;
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "visual.layer%d.", i + 1);
		v->layers += v->stages[i] = layers_of(st, prefix, name);
		DC_CHECK(v->stages[i] > 0, "%s: no tensors of %s%s", st->path, prefix, name);
	}
	c->embed_dim = (int)proj->shape[0];
	return heads_of(st, "image", 32 * v->width, &v->heads);
}

static int
deduce_text(struct dc_config *c, const struct dc_st *st, const struct keys *k, const char *prefix)
{
	const struct dc_st_tensor *token, *pos, *mlp;
	struct dc_text *t = &c->text;

	DC_TRY(need(st, prefix, k->token, 2, &token));
	DC_TRY(need(st, prefix, k->text_pos, 2, &pos));
	DC_TRY(need(st, prefix, k->text_mlp, 2, &mlp));
	t->vocab_size = (int)token->shape[0] - k->more_words;
	DC_CHECK(t->vocab_size >= 4, "%s: tensor %s: a vocabulary of %d", st->path, token->name, t->vocab_size);
	t->width = (int)token->shape[1];
	t->context_length = (int)pos->shape[0];
	t->layers = layers_of(st, prefix, k->text_layers);
	t->mlp = (int)mlp->shape[0];
	t->proj_bias = find(st, prefix, "text_projection.weight") || find(st, prefix, "encode_text.text_projection.bias");
	return heads_of(st, "text", t->width, &t->heads);
}

int
dc_deduce_towers(struct dc_config *c, const struct dc_st *st, enum dc_format format, const char *prefix)
{
	static const double imagenet_mean[3] = { 0.485, 0.456, 0.406 }, imagenet_std[3] = { 0.229, 0.224, 0.225 };

	dc_config_init(c);
	c->quick_gelu = 1;
	if (format == DC_FORMAT_DECLIP) {
		memcpy(c->mean, imagenet_mean, sizeof(c->mean));
		memcpy(c->std, imagenet_std, sizeof(c->std));
		strcpy(c->interpolation, "bilinear");
	}
	if (any(st, prefix, "visual.attnpool."))
		DC_TRY(deduce_resnet(c, st, prefix));
	else
		DC_TRY(deduce_image(c, st, &keys[format], prefix));
	DC_TRY(deduce_text(c, st, &keys[format], prefix));
	if (format == DC_FORMAT_HF)
		c->text.proj_bias = 0;
	return 0;
}

static int
deduce_filip(struct dc_config *c, const struct dc_st *st, const char *prefix, const char *image)
{
	const struct dc_st_tensor *t;

	DC_TRY(need(st, prefix, image, 2, &t));
	c->filip_width = (int)t->shape[0];
	c->weight[DC_TERM_FILIP] = 1;
	return 0;
}

/* SLIP's and FILIP's heads under our names. */
static int
deduce_family(struct dc_config *c, const struct dc_st *st)
{
	const struct dc_st_tensor *t;

	if (any(st, "", "simclr.")) {
		DC_TRY(need(st, "", "simclr.0.weight", 2, &t));
		c->simclr_hidden = (int)t->shape[0];
		DC_TRY(need(st, "", "simclr.2.weight", 2, &t));
		c->simclr_width = (int)t->shape[0];
		c->weight[DC_TERM_SIMCLR] = 1;
	}
	if (any(st, "", "filip.")) {
		DC_TRY(deduce_filip(c, st, "", "filip.image.weight"));
		if (!c->weight[DC_TERM_MLM] && any(st, "", "mask_embedding")) {
			c->released = 1;
			snprintf(c->method, sizeof c->method, "filip");
		}
	}
	return 0;
}

int
dc_deduce_heads(struct dc_config *c, const struct dc_st *st, enum dc_format format, const char *prefix)
{
	int own = format == DC_FORMAT_OPENCLIP;
	const char *projector = own ? "simsiam.projector.0.weight" : "projector.linear1.weight";
	const char *predictor = own ? "simsiam.predictor.0.weight" : "predictor.linear1.weight";
	const struct dc_st_tensor *t;

	memset(c->weight, 0, sizeof(c->weight));
	if (format != DC_FORMAT_OPENCLIP && format != DC_FORMAT_DECLIP)
		return 0;
	if (any(st, prefix, own ? "simsiam." : "projector.")) {
		DC_TRY(need(st, prefix, projector, 2, &t));
		c->simsiam_width = (int)t->shape[0];
		DC_TRY(need(st, prefix, predictor, 2, &t));
		c->simsiam_hidden = (int)t->shape[0];
		c->weight[DC_TERM_SIMSIAM] = 1;
	}
	c->weight[DC_TERM_MLM] = any(st, prefix, own ? "mlm.weight" : "text_label_predictor.") || (own && any(st, "", "mlm.bias"));
	if (own)
		return deduce_family(c, st);
	c->released = 1;
	return any(st, prefix, "image_mapping.") ? deduce_filip(c, st, prefix, "image_mapping.weight") : 0;
}
