/* SPDX-License-Identifier: MIT */
/* A model directory (man/dc-model.5): its config and its towers' weights, for encoding or as a start. */
#ifndef DC_STORE_MODEL_H
#define DC_STORE_MODEL_H

#include "store/config.h"
#include "store/safetensors.h"

struct dc_model {
	struct dc_config c;      /* method "" : towers only */
	struct dc_st st;         /* open_clip_model.safetensors */
	char *dir;               /* the directory itself: DIR, or DIR/latest where DIR is a run */
};

/* Open DIR: open_clip_config.json and open_clip_model.safetensors, and check that the file has exactly the towers'
 * tensors, as F32, in the config's shapes. 0, or -1 with a message that names the tensor at fault. */
int dc_model_open(struct dc_model *m, const char *dir) DC_MUST_USE;
void dc_model_close(struct dc_model *m);

/* Check that st has exactly the parameters p (those with head == heads), F32 and of their shapes. 0 or -1. */
int dc_model_check(const struct dc_st *st, const struct dc_param *p, int n, int heads) DC_MUST_USE;

#endif
