/* SPDX-License-Identifier: MIT */
/* Models, for encoding or as a start: our directories and others' (man/dc-model.5).
 *
 *	struct dc_model m;
 *	if (dc_model_open(&m, "run") < 0) ...
 *	dc_st_find(&m.st, "visual.proj")->data   // float32, open_clip's names and shapes, whatever the file has
 *	dc_model_close(&m);
 *
 * What is taken for a model:
 *	RUN                     with `latest`: that checkpoint
 *	DIR                     with open_clip_config.json and weights under one of open_clip's file names
 *	DIR                     with config.json and model.safetensors: Hugging Face's CLIPModel
 *	FILE.safetensors        with OpenAI's, Hugging Face's or the released DeCLIP's names. Its config is in its metadata
 *	                        (open_clip_config, which dc-export writes), or follows from names and shapes (deduce.h). One
 *	                        of a model directory's own files stands for the directory. */
#ifndef DC_STORE_MODEL_H
#define DC_STORE_MODEL_H

#include "store/config.h"
#include "store/names.h"
#include "store/safetensors.h"

struct dc_model {
	struct dc_config c;      /* method "" : towers only */
	struct dc_st st;         /* the towers */
	char *dir;               /* the directory itself: DIR, or DIR/latest where DIR is a run; of a bare file its own path */
	char *file;              /* of the weights */
	enum dc_format format;
	const char *prefix;      /* of the names in that file: "module." or "" */
};

/* Open, and check that the file has exactly the towers' tensors (and heads, where they are in the same file), as F32, F16 or
 * BF16, in the config's shapes. `config`, or NULL, is for a bare file: what it does not tell of itself. 0, or -1 with a
 * message that names file and tensor at fault. */
int dc_model_open_as(struct dc_model *m, const char *path, const struct dc_config *config) DC_MUST_USE;
int dc_model_open(struct dc_model *m, const char *path) DC_MUST_USE;
/* As dc_model_open, without the tensors: m->c, dir, file, format. */
int dc_model_open_config(struct dc_model *m, const char *path) DC_MUST_USE;
void dc_model_close(struct dc_model *m);

/* The configuration of the run that the model is a checkpoint of, with its method: 1; 0 where it is none; -1 with a message. */
int dc_model_run(const struct dc_model *m, struct dc_config *run) DC_MUST_USE;

/* The heads of a model, with the extras of names.h; both empty where it has none. c: the model's, with the heads' widths and
 * weight 1 for the terms whose heads are there; released as the run's state says, where it is there. */
struct dc_heads { struct dc_config c; struct dc_st st, extra; };
int dc_model_heads(const struct dc_model *m, struct dc_heads *h) DC_MUST_USE;
void dc_heads_close(struct dc_heads *h);

/* Check that st has exactly the parameters p (those with head == heads), F32 (counts: I64) and of their shapes. 0 or -1. */
int dc_model_check(const struct dc_st *st, const struct dc_param *p, int n, int heads) DC_MUST_USE;
/* Such a tensor's elements as floats. */
void dc_model_copy(float *to, const struct dc_st_tensor *t);

#endif
