/* SPDX-License-Identifier: MIT */
/* Writing a model for other programs. */
#ifndef DC_STORE_EXPORT_H
#define DC_STORE_EXPORT_H

#include "store/model.h"

struct dc_export {
	enum dc_format format;
	enum dc_type type;     /* of the numbers: DC_F32, DC_F16, DC_BF16 */
	const char *vocab;     /* a vocabulary file to lie beside the weights, NULL: none */
};

/* Write the model with its heads (declip, openclip; the other formats have no place for them): a directory for openclip and
 * hf, a file for openai and declip. Written beside `out` first, which must not exist, and then renamed; what is in a file
 * follows from the model alone. 0, or -1 with a message that names the file, and the tensor at fault. */
int dc_export(const struct dc_model *m, const struct dc_heads *h, const struct dc_export *o, const char *out) DC_MUST_USE;

#endif
