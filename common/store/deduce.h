/* SPDX-License-Identifier: MIT */
/* What a file of tensors tells of the model that they are. */
#ifndef DC_STORE_DEDUCE_H
#define DC_STORE_DEDUCE_H

#include "store/names.h"

/* What all names begin with: "module.", which torch's parallel training puts there, or "". */
const char *dc_deduce_prefix(const struct dc_st *st);

/* The format by the tensors' names, and that prefix. -1 with a message: another
 * kind of model, no model at all. */
int dc_deduce_format(const struct dc_st *st, enum dc_format *format, const char **prefix) DC_MUST_USE;

/* The towers by the tensors' shapes: width, layers, patch, image size (from the positional embedding), embed_dim, context
 * length, vocabulary, widths of the MLPs. What no tensor tells is taken to be as in the models that were published with
 * such names: heads are 64 wide, QuickGELU, OpenAI's mean and deviation (declip: ImageNet's, bilinear). */
int dc_deduce_towers(struct dc_config *c, const struct dc_st *st, enum dc_format format, const char *prefix) DC_MUST_USE;

/* The heads by their tensors: simsiam_width and _hidden, simclr_width and _hidden, filip_width; weight[DC_TERM_SIMSIAM], _MLM,
 * _SIMCLR and _FILIP become 1 where there are such heads, else 0, like all others. A mask's embedding without an MLM head is
 * the released FILIP's: then method is "filip", and released, as DC_FORMAT_DECLIP is. For DC_FORMAT_OPENCLIP st is heads/declip.safetensors. */
int dc_deduce_heads(struct dc_config *c, const struct dc_st *st, enum dc_format format, const char *prefix) DC_MUST_USE;

#endif
