/* SPDX-License-Identifier: MIT */
#include "store/names.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *const dc_format_names[DC_FORMATS] = { "openclip", "openai", "hf", "declip" };

/* --- building the lists --- */

static int DC_PRINTF(5, 6)
add_theirs(struct dc_names *n, int part, int ndim, const int64_t *shape, const char *fmt, ...)
{
	struct dc_their *t;
	va_list ap;

	n->theirs = dc_xrealloc(n->theirs, (size_t)n->n_theirs + 1, sizeof(*n->theirs));
	t = &n->theirs[n->n_theirs];
	*t = (struct dc_their){ .part = part, .ndim = ndim, .n = 1 };
	va_start(ap, fmt);
	vsnprintf(t->name, sizeof(t->name), fmt, ap);
	va_end(ap);
	for (int i = 0; i < ndim; i++)
		t->n *= (size_t)(t->shape[i] = shape[i]);
	return n->n_theirs++;
}

#define SHAPE(...) (const int64_t[]){ __VA_ARGS__ }

static void
add_move(struct dc_names *n, int ours, size_t our_at, int theirs, size_t their_at, size_t elements)
{
	n->move = dc_xrealloc(n->move, (size_t)n->n_moves + 1, sizeof(*n->move));
	n->move[n->n_moves++] = (struct dc_move){ ours, theirs, our_at, their_at, elements, 0 };
}

/* One of theirs that is ours by another name. */
static int DC_PRINTF(3, 4)
same(struct dc_names *n, int ours, const char *fmt, ...)
{
	const struct dc_param *p = &n->ours[ours];
	char name[128];
	va_list ap;
	int j;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	j = add_theirs(n, p->head, p->ndim, p->shape, "%s", name);
	n->theirs[j].whole = n->theirs[j].optional = p->whole;
	add_move(n, ours, 0, j, 0, p->n);
	return j;
}

/* The transpose of ours. */
static int
turned(struct dc_names *n, int ours, const char *prefix, const char *name)
{
	const struct dc_param *p = &n->ours[ours];
	int j = add_theirs(n, p->head, 2, SHAPE(p->shape[1], p->shape[0]), "%s%s", prefix, name);

	add_move(n, ours, 0, j, 0, p->n);
	n->move[n->n_moves - 1].turned = 1;
	return j;
}

static struct dc_param *
add_extra(struct dc_names *n, const char *name, int ndim, const int64_t *shape)
{
	struct dc_param *p;

	n->ours = dc_xrealloc(n->ours, (size_t)n->n_ours + 1, sizeof(*n->ours));
	p = &n->ours[n->n_ours++];
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->ndim = ndim;
	p->n = 1;
	for (int i = 0; i < ndim; i++)
		p->n *= (size_t)(p->shape[i] = shape[i]);
	p->head = DC_EXTRAS;
	return p;
}

static void
add_statistics(struct dc_names *n, const struct dc_config *c)
{
	struct dc_param *s;
	int k = dc_stats_list(c, &s);
	char name[96];

	for (int i = 0; i < k; i++) {
		const char *dot = strrchr(s[i].name, '.');

		add_extra(n, s[i].name, s[i].ndim, s[i].shape)->init = s[i].init;
		if (strcmp(dot, ".running_var"))
			continue;
		snprintf(name, sizeof(name), "%.*s.num_batches_tracked", (int)(dot - s[i].name), s[i].name);
		add_extra(n, name, 0, NULL);
	}
	free(s);
}

/* What the mask has in the released model, though it is never a target: a row of the MLM head. The row that stands in for
 * it where there was none gives the mask no probability. */
static void
add_extras(struct dc_names *n, const struct dc_config *c)
{
	struct dc_param *p;

	add_statistics(n, c);
	if (!(c->weight[DC_TERM_MLM] > 0)) {
		if (!dc_config_masked_text(c))
			add_extra(n, "mask_embedding", 2, SHAPE(1, c->text.width));
		return;
	}
	add_extra(n, "mlm.mask_weight", 2, SHAPE(1, c->text.width));
	p = add_extra(n, "mlm.mask_bias", 1, SHAPE(1));
	p->init = DC_INIT_VALUE;
	p->init_scale = -8192;   /* exact in any of the types */
}

static int
our_index(const struct dc_names *n, const char *name)
{
	for (int i = 0; i < n->n_ours; i++)
		if (!strcmp(n->ours[i].name, name))
			return i;
	return -1;
}

/* --- Hugging Face --- */

struct rename { const char *ours, *theirs; };

static const struct rename hf_towers[] = {
	{ "logit_scale", "logit_scale" },
	{ "visual.class_embedding", "vision_model.embeddings.class_embedding" },
	{ "visual.positional_embedding", "vision_model.embeddings.position_embedding.weight" },
	{ "visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight" },
	{ "visual.ln_pre.", "vision_model.pre_layrnorm." },   /* its name, sic */
	{ "visual.ln_post.", "vision_model.post_layernorm." },
	{ "visual.transformer.resblocks.", "vision_model.encoder.layers." },
	{ "positional_embedding", "text_model.embeddings.position_embedding.weight" },
	{ "token_embedding.weight", "text_model.embeddings.token_embedding.weight" },
	{ "ln_final.", "text_model.final_layer_norm." },
	{ "transformer.resblocks.", "text_model.encoder.layers." },
	{ NULL, NULL }
}, hf_layers[] = {
	{ "ln_1.", "layer_norm1." }, { "ln_2.", "layer_norm2." }, { "attn.out_proj.", "self_attn.out_proj." },
	{ "mlp.c_fc.", "mlp.fc1." }, { "mlp.c_proj.", "mlp.fc2." }, { NULL, NULL }
};

/* The entry whose name is s, or which s begins with where it ends with a dot. */
static const struct rename *
renamed(const struct rename *r, const char *s)
{
	for (; r->ours; r++) {
		size_t k = strlen(r->ours);

		if (!strncmp(r->ours, s, k) && (r->ours[k - 1] == '.' || !s[k]))
			return r;
	}
	return NULL;
}

/* Queries, keys and values are a linear layer each: thirds of our rows. */
static void
split_attention(struct dc_names *n, int i, const char *layer, const char *what)
{
	const struct dc_param p = n->ours[i];   /* by value: the list may move */
	int64_t shape[2] = { p.shape[0] / 3, p.ndim > 1 ? p.shape[1] : 0 };

	for (int k = 0; k < 3; k++) {
		int j = add_theirs(n, DC_TOWERS, p.ndim, shape, "%s.self_attn.%c_proj.%s", layer, "qkv"[k], what);

		add_move(n, i, (size_t)k * (p.n / 3), j, 0, p.n / 3);
	}
}

static void
hf_layer(struct dc_names *n, int i, const char *prefix, const char *rest)
{
	size_t digits = strcspn(rest, ".");
	const struct rename *r = renamed(hf_layers, rest + digits + 1);
	char layer[96];

	snprintf(layer, sizeof(layer), "%s%.*s", prefix, (int)digits, rest);
	if (r)
		same(n, i, "%s.%s%s", layer, r->theirs, rest + digits + 1 + strlen(r->ours));
	else
		split_attention(n, i, layer, strstr(rest, "in_proj_weight") ? "weight" : "bias");
}

static void
hf_names(struct dc_names *n)
{
	for (int i = 0; i < n->n_ours; i++) {
		const char *name = n->ours[i].name;
		const struct rename *r = renamed(hf_towers, name);

		if (n->ours[i].head != DC_TOWERS)
			continue;
		if (!strcmp(name, "visual.proj"))
			turned(n, i, "", "visual_projection.weight");
		else if (!strcmp(name, "text_projection"))
			turned(n, i, "", "text_projection.weight");
		else if (strstr(name, "resblocks."))
			hf_layer(n, i, r->theirs, name + strlen(r->ours));
		else
			same(n, i, "%s%s", r->theirs, name + strlen(r->ours));
	}
}

/* --- the released DeCLIP --- */

/* A table with a row a token. Theirs has the mask third from the end, at V - 2, before start and end, which are ours' last
 * two; its row is one of another tensor of ours. */
static void
with_mask_row(struct dc_names *n, const char *name, const char *mask, const char *fmt, const char *prefix)
{
	int i = our_index(n, name), m = our_index(n, mask), j, ndim;
	int64_t shape[2], V;
	size_t row;

	if (i < 0)
		return;
	ndim = n->ours[i].ndim;
	V = n->ours[i].shape[0];
	row = n->ours[i].n / (size_t)V;
	shape[0] = V + 1;
	shape[1] = n->ours[i].shape[1];
	j = add_theirs(n, n->ours[i].head, ndim, shape, fmt, prefix);
	add_move(n, i, 0, j, 0, (size_t)(V - 2) * row);
	add_move(n, m, 0, j, (size_t)(V - 2) * row, row);
	add_move(n, i, (size_t)(V - 2) * row, j, (size_t)(V - 1) * row, 2 * row);
}

static void
declip_text(struct dc_names *n, int i, const char *prefix)
{
	const char *name = n->ours[i].name;
	int j;

	if (!strcmp(name, "text_projection")) {
		int64_t D = n->ours[i].shape[1];

		turned(n, i, prefix, "encode_text.text_projection.weight");
		j = add_theirs(n, DC_TOWERS, 1, SHAPE(D), "%sencode_text.text_projection.bias", prefix);
		n->theirs[j].zero = 1;
	} else if (strcmp(name, "token_embedding.weight")) {
		same(n, i, "%sencode_text.%s", prefix, name);
	}
}

/* simsiam.projector.0.weight -> projector.linear1.weight, .0.bn.bias -> bn1.bias; the predictor's second is layer2. */
static void
declip_simsiam(struct dc_names *n, int i, const char *prefix)
{
	char head[16];
	const char *s = n->ours[i].name + strlen("simsiam."), *rest;
	int k, bn, predictor = *s == 'p' && s[2] == 'e', j;

	snprintf(head, sizeof(head), "%.*s", (int)strcspn(s, "."), s);
	k = s[strlen(head) + 1] - '0';
	rest = s + strlen(head) + 3;
	bn = !strncmp(rest, "bn.", 3);
	j = same(n, i, "%s%s.%s%d.%s", prefix, head, bn ? "bn" : predictor && k == 1 ? "layer" : "linear", k + 1,
	    rest + (bn ? 3 : 0));
	n->theirs[j].part = strstr(rest, "running_") || strstr(rest, "tracked") ? DC_EXTRAS : DC_HEADS;
	n->theirs[j].whole = n->theirs[j].optional = strstr(rest, "tracked") != NULL;
}

/* filip.image.weight -> image_mapping.weight, filip.text.bias -> text_mapping.bias; its scale is logit_scale_dense. */
static void
declip_filip(struct dc_names *n, int i, const char *prefix)
{
	const char *s = n->ours[i].name + strlen("filip."), *dot = strchr(s, '.');

	if (dot)
		same(n, i, "%s%.*s_mapping%s", prefix, (int)(dot - s), s, dot);
	else
		same(n, i, "%slogit_scale_dense", prefix);
}

static void
declip_names(struct dc_names *n, const char *prefix)
{
	for (int i = 0; i < n->n_ours; i++) {
		const char *name = n->ours[i].name;

		if (!strncmp(name, "simsiam.", 8)) {
			declip_simsiam(n, i, prefix);
		} else if (!strncmp(name, "filip.", 6)) {
			declip_filip(n, i, prefix);
		} else if (!strcmp(name, "logit_scale")) {
			int j = add_theirs(n, DC_TOWERS, 1, SHAPE(1), "%slogit_scale", prefix);

			add_move(n, i, 0, j, 0, 1);
		} else if (!strncmp(name, "visual.", 7)) {
			same(n, i, "%s%s", prefix, name);
		} else if (n->ours[i].text) {
			declip_text(n, i, prefix);
		}
	}
	with_mask_row(n, "token_embedding.weight", "mask_embedding", "%sencode_text.token_embedding.weight", prefix);
	with_mask_row(n, "mlm.weight", "mlm.mask_weight", "%stext_label_predictor.weight", prefix);
	with_mask_row(n, "mlm.bias", "mlm.mask_bias", "%stext_label_predictor.bias", prefix);
}

/* --- ours, open_clip's, OpenAI's --- */

static void
own_names(struct dc_names *n, const char *prefix, int heads)
{
	for (int i = 0; i < n->n_ours; i++) {
		int j = n->ours[i].head == DC_TOWERS || heads ? same(n, i, "%s%s", prefix, n->ours[i].name) : -1;

		if (j >= 0)
			n->theirs[j].optional |= n->ours[i].head == DC_EXTRAS;
	}
}

struct dc_names *
dc_names_new(enum dc_format format, const char *prefix, const struct dc_config *c)
{
	struct dc_names *n;

	if (format == DC_FORMAT_HF && (c->text.proj_bias || dc_config_resnet(c))) {
		dc_err_set(c->text.proj_bias ? "the text projection has a bias, for which hf has no place" :
		    "its image tower is a ResNet, for which hf has no place");
		return NULL;
	}
	if (format == DC_FORMAT_DECLIP && c->weight[DC_TERM_SIMCLR] > 0) {
		dc_err_set("it has SLIP's head, for which declip has no place");
		return NULL;
	}
	n = dc_xcalloc(1, sizeof(*n));
	n->n_ours = dc_params_list(c, &n->ours);
	add_extras(n, c);
	if (format == DC_FORMAT_HF)
		hf_names(n);
	else if (format == DC_FORMAT_DECLIP)
		declip_names(n, prefix);
	else
		own_names(n, prefix, format == DC_FORMAT_OPENCLIP);
	return n;
}

void
dc_names_free(struct dc_names *n)
{
	if (!n)
		return;
	free(n->ours);
	free(n->theirs);
	free(n->move);
	free(n);
}
