/* SPDX-License-Identifier: MIT */
/* The rules that look at one image or one caption alone: limits, script, characters, blocked words. Those that compare
 * samples are in curate/filter.h. */
#ifndef DC_CURATE_RULES_H
#define DC_CURATE_RULES_H

#include <stddef.h>
#include <stdint.h>

#include "curate/block.h"
#include "curate/script.h"
#include "curate/words.h"

/* Why something is dropped, in the order in which the rules are asked: the first that says no is the reason. */
enum dc_drop {
	DC_DROP_IMAGE, DC_DROP_MIN_BYTES, DC_DROP_MAX_BYTES, DC_DROP_MIN_SIDE, DC_DROP_MAX_SIDE, DC_DROP_MAX_ASPECT,
	DC_DROP_MIN_CHARS, DC_DROP_MAX_CHARS, DC_DROP_CHARSET, DC_DROP_SCRIPT, DC_DROP_MIN_WORDS, DC_DROP_MAX_WORDS,
	DC_DROP_BLOCK,
	DC_DROP_SAME_BYTES, DC_DROP_SAME_PIXELS, DC_DROP_NEAR, DC_DROP_REPEATS,
	DC_DROP_WITH_IMAGE,   /* of captions only: nothing is wrong with it, but its sample was dropped */
	DC_DROPS
};
extern const char *const dc_drop_names[DC_DROPS];   /* "image" "min-bytes" ... */

enum { DC_DETAIL_MAX = 160 };

/* A limit of 0 is none. */
struct dc_rules {
	int64_t min_bytes, max_bytes;      /* of the encoded image */
	int64_t min_side, max_side;        /* pixels: of the shorter side; of the longer */
	double max_aspect;                 /* longer side / shorter side */
	int64_t min_chars, max_chars;      /* code points of a caption */
	int64_t min_words, max_words;      /* curate/words.h */
	int32_t charset;                   /* the last code point that may be there */
	const char *charset_name;
	unsigned char script[DC_SCRIPTS_MAX]; /* 1: letters may be of this one */
	int scripts;                       /* how many; 0: any will do */
	double script_share;               /* least share of the letters that must be */
	struct dc_block block;
};

/* Each: -1, or the enum dc_drop with `detail` saying more, without tabs. */
int dc_rules_size(const struct dc_rules *r, size_t bytes, char detail[DC_DETAIL_MAX]);
int dc_rules_image(const struct dc_rules *r, int width, int height, char detail[DC_DETAIL_MAX]);
/* w is room for the words, which are taken only if a rule asks for them. */
int dc_rules_caption(const struct dc_rules *r, struct dc_words *w, const char *s, size_t n, char detail[DC_DETAIL_MAX]);

#endif
