/* SPDX-License-Identifier: MIT */
/* Hugging Face's files beside the weights of a CLIPModel: config.json and preprocessor_config.json. */
#ifndef DC_STORE_HF_H
#define DC_STORE_HF_H

#include "store/config.h"

/* From the text of config.json; what is left out has transformers' own defaults. 0, or -1 with a message: another kind of
 * model, an activation or epsilon that our towers do not have. */
int dc_hf_config_parse(struct dc_config *c, const char *json, size_t n) DC_MUST_USE;
/* From the text of preprocessor_config.json: mean, std, interpolation, resize_mode. */
int dc_hf_preprocess_parse(struct dc_config *c, const char *json, size_t n) DC_MUST_USE;

/* The texts. Free with free(). */
char *dc_hf_config_json(const struct dc_config *c);
char *dc_hf_preprocess_json(const struct dc_config *c);

#endif
