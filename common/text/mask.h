/* SPDX-License-Identifier: MIT */
/* Masking for the masked-language-model term (DeCLIP, sec. 3.2, after BERT, sec. 3.1).
 *
 * Each position between start and end is drawn on its own with probability p. Of those drawn, 80 % show the mask
 * token, 10 % a random id, 10 % stay as they are; all of them are asked for. None may be drawn: the term is then 0 for
 * this caption. */
#ifndef DC_TEXT_MASK_H
#define DC_TEXT_MASK_H

#include <stdint.h>
#include "base/rng.h"

struct dc_mask {
	double p;        /* in [0, 1] */
	int size;        /* V: start V-2, end V-1, mask V */
	int released;    /* a random id may be any in [0, V], special ones too; else it is in [0, V-2) */
};

/* token (T): start ... end, padding. masked (T): what the tower reads. target (T): the id asked for, -1 where nothing
 * is. Three numbers are drawn of r for each position between start and end, whatever comes of them. Return how many
 * positions are asked for. */
int dc_mask_row(const struct dc_mask *m, struct dc_rng *r, const int32_t *token, int T, int32_t *masked, int32_t *target);

#endif
