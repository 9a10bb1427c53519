/* SPDX-License-Identifier: MIT */
/* What a run is: the model's architecture in open_clip's schema, and the method with its choices.
 *
 * One JSON text says it all: it is what dc-init writes, what `state` carries to every tool ("config"), and what
 * state.safetensors keeps in its metadata:
 *
 *	{"model": {"model_cfg": {...open_clip...}, "preprocess_cfg": {"mean": [...], "std": [...]}},
 *	 "method": "declip", "as": "paper", "weights": {"clip": 0.4, "mvs": 0.2, ...}, "freeze": "conv1",
 *	 "queue": 3000, "nns_after": 256, "logit_scale": [3, 6], "simsiam_width": 1024,
 *	 "simsiam_hidden": 512}
 *
 * and where simclr or filip has a weight: "simclr_hidden": 4096, "simclr_width": 256, "simclr_temperature": 0.1,
 * "filip_width": 256, "filip_top": 0; and where it was asked for, "part": 16.
 *
 * open_clip_config.json of a model directory is the value of "model". */
#ifndef DC_STORE_CONFIG_H
#define DC_STORE_CONFIG_H

#include <stdint.h>
#include "base/util.h"

/* heads = width / head_width (64). A ResNet: stages are the bottlenecks of its four layers, layers their sum; heads, of the
 * attention pooling, = 32 width / head_width; patch_size and mlp 0. */
struct dc_vision { int image_size, patch_size, width, layers, heads, mlp, stages[4]; };
struct dc_text { int context_length, vocab_size, width, heads, layers, mlp; int proj_bias; }; /* text_projection is a linear layer */

/* The terms of the total, in the order of log.tsv. */
enum dc_term { DC_TERM_CLIP, DC_TERM_MVS, DC_TERM_SIMSIAM, DC_TERM_MLM, DC_TERM_NNS, DC_TERM_SIMCLR, DC_TERM_FILIP,
	DC_TERM_SIGLIP, DC_TERMS };
extern const char *const dc_term_names[DC_TERMS]; /* "clip" "mvs" "simsiam" "mlm" "nns" "simclr" "filip" "siglip" */

enum { DC_FREEZE_CONV1 = 1, DC_FREEZE_IMAGE = 2, DC_FREEZE_TEXT = 4, DC_FREEZE_BN = 8 };

struct dc_config {
	struct dc_vision vision;
	struct dc_text text;
	int embed_dim;              /* D */
	int quick_gelu;             /* x sigmoid(1.702 x), else exact GELU */
	double mean[3], std[3];     /* of pixels / 255 */
	char interpolation[16], resize_mode[16]; /* of the evaluation transform, in open_clip's words; score.sh passes them on */
	int logit_bias;             /* the model has a logit_bias (open_clip's init_logit_bias), as siglip needs it */
	char method[16];            /* "clip", "slip", "filip", "declip", "defilip", "siglip" */
	int released;               /* --as released */
	double weight[DC_TERMS];    /* 0: the term is off */
	int image_views, caption_views; /* follow from the weights: 2, 2 where MVS, SimSiam or NNS needs them; 3, 1 for SimCLR */
	int freeze;                 /* DC_FREEZE_*; BN: a ResNet normalises by its running statistics, which stay */
	int64_t queue, nns_after;   /* rows of the nn queue (0 without NNS); NNS starts at min(nns_after, queue) valid rows */
	double logit_scale_min, logit_scale_max; /* of the log */
	int simsiam_width;          /* 1024 (projector hidden and output) */
	int simsiam_hidden;         /* 512 (predictor) */
	int simclr_hidden, simclr_width; /* 4096, 256: SLIP's head */
	double simclr_temperature;  /* tau, 0.1 */
	int filip_width;            /* 256: of a projected token */
	int filip_top;              /* so many tokens of an image and of a caption are candidates; 0: all */
	int part;                   /* a ResNet is normalised over so many images of a batch at a time; 0: over each part as it comes */
};

/* All zero, but for mean, std, interpolation and resize_mode: as OpenAI's. */
void dc_config_init(struct dc_config *c);

/* A method's defaults into everything but the architecture: weights by the rule that a term left out gives its weight
 * back to CLIP, released or the paper's, freeze, logit_scale range. -1 if the method is unknown. */
int dc_config_method(struct dc_config *c, const char *method, int released) DC_MUST_USE;

/* The names of all methods with '|' between, for option tables. */
#define DC_METHODS "clip|slip|filip|declip|defilip|siglip"

/* Whether the method has the term with a weight. */
int dc_config_on(const struct dc_config *c, enum dc_term term);
/* How many image views' features go to dc-loss: of SLIP's three the first. */
int dc_config_feature_views(const struct dc_config *c);
/* As released, the first caption view is the masked one, where MLM or FILIP reads its words. */
int dc_config_masked_text(const struct dc_config *c);
/* Width of the image tower's output before the projection, and of the rows that are its tokens; how many those are. */
int dc_config_image_width(const struct dc_config *c);
int dc_config_token_width(const struct dc_config *c);
int dc_config_tokens(const struct dc_config *c);

/* image_views, caption_views and queue = 0 as they follow from the weights: after the weights were changed by hand. */
void dc_config_views(struct dc_config *c);
/* The weight that the other terms' weights leave to CLIP (a term left out gives its weight back):
 * the paper's 1 - mvs - nns - max(simsiam, mlm), which share one coefficient; the released 1 - the sum. SLIP's simclr and
 * DeFILIP's filip come on top and take nothing; where filip or siglip is the method, it stands in CLIP's place: 1 - it. */
double dc_config_clip_weight(const struct dc_config *c);
/* "conv1,image", "none" -> DC_FREEZE_* bits. */
int dc_config_freeze(const char *list, int *freeze) DC_MUST_USE;

/* From the JSON above; or from a bare open_clip architecture or open_clip_config.json (then the method stays unset, "").
 * Return 0, or -1 with a message that names the key at fault. */
int dc_config_parse(struct dc_config *c, const char *json, size_t n) DC_MUST_USE;
/* The JSON text (sorted keys, no white space), and that of "model" alone for open_clip_config.json. Free with free(). */
char *dc_config_json(const struct dc_config *c);
char *dc_config_model_json(const struct dc_config *c);

/* Whether the image tower is a ResNet. */
static inline int dc_config_resnet(const struct dc_config *c) { return c->vision.stages[0] > 0; }

/* --- the tensors that follow from a config --- */

enum dc_param_init { DC_INIT_ZERO, DC_INIT_ONE, DC_INIT_NORMAL, DC_INIT_UNIFORM, DC_INIT_VALUE };

struct dc_param {
	char name[96];         /* open_clip's, or a head's */
	int ndim; int64_t shape[4];
	size_t n;              /* elements */
	int head;              /* lives in heads/declip.safetensors, else in open_clip_model.safetensors */
	int decay;             /* weight decay applies */
	int image, text;       /* belongs to that tower (for --freeze) */
	int stat;              /* not trained: a running statistic of a ResNet, which dc-step folds in; it lies with the weights */
	int whole;             /* a count: a whole number, I64 in files, a float elsewhere */
	enum dc_param_init init; double init_scale; /* std, half width of the uniform, or value */
};

/* Every parameter of the config's towers and of its method's heads, in a fixed order (towers first).
 * *out is allocated (free()); returns the count. Heads: SimSiam (weight > 0)
 *	simsiam.projector.{0,1,2}.weight [out,in], .bias [out], simsiam.projector.{0,1,2}.bn.weight/.bias [out]
 *	simsiam.predictor.{0,1}.weight/.bias, simsiam.predictor.0.bn.weight/.bias
 * MLM (weight > 0)
 *	mlm.weight [vocab_size, text width], mlm.bias [vocab_size], mask_embedding [1, text width]
 * SimCLR
 *	simclr.{0,1,2}.weight [out,in], .bias [out], simclr.{0,1}.bn.weight/.bias
 * FILIP
 *	filip.image.weight [filip width, token width], filip.image.bias, filip.text.weight [filip width, text width],
 *	filip.text.bias, filip.logit_scale []; as released mask_embedding too */
int dc_params_list(const struct dc_config *c, struct dc_param **out);

/* Running statistics, not parameters: "<bn>.running_mean" and "<bn>.running_var" for each batch norm "<bn>", e.g.
 * "simsiam.projector.0.bn". Same struct; init 0 and 1. *out allocated; returns the count. */
int dc_stats_list(const struct dc_config *c, struct dc_param **out);

#endif
