/* SPDX-License-Identifier: MIT */
#include "text/mask.h"

#include <string.h>

static int32_t
replaced(const struct dc_mask *m, int32_t token, double kind, uint64_t random)
{
	if (kind < 0.8)
		return m->size;
	return kind < 0.9 ? (int32_t)random : token;
}

int
dc_mask_row(const struct dc_mask *m, struct dc_rng *r, const int32_t *token, int T, int32_t *masked, int32_t *target)
{
	uint64_t ids = m->released ? (uint64_t)m->size + 1 : (uint64_t)m->size - 2;
	int asked = 0;

	memcpy(masked, token, (size_t)T * sizeof *token);
	memset(target, -1, (size_t)T * sizeof *target);
	for (int t = 1; t < T && token[t] != m->size - 1; t++) {
		double draw = dc_rng_uniform(r, 0, 1), kind = dc_rng_uniform(r, 0, 1);
		uint64_t random = dc_rng_below(r, ids);

		if (draw >= m->p)
			continue;
		target[t] = token[t];
		masked[t] = replaced(m, token[t], kind, random);
		asked++;
	}
	return asked;
}
