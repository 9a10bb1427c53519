/* SPDX-License-Identifier: MIT */
/* What was seen before: a set of 128-bit hashes, each with a number, exact as long as hashes do not collide (of 10^8
 * things two collide by chance with a probability of 10^-23). A hash takes 20 bytes, 25 to 32 with the room that the
 * table keeps free; it grows in 256 pieces, so that growing needs hardly more.
 *
 *	struct dc_seen seen = { 0 };
 *	uint32_t *count = dc_seen_add(&seen, XXH3_128bits(p, n));
 *	(*count)++;                          // 0 when it is new
 *	dc_seen_free(&seen); */
#ifndef DC_CURATE_SEEN_H
#define DC_CURATE_SEEN_H

#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

enum { DC_SEEN_PIECES = 256 };

struct dc_seen {
	struct dc_seen_piece { XXH128_hash_t *hash; uint32_t *value; uint32_t n, cap; } piece[DC_SEEN_PIECES];
	uint64_t n;      /* different hashes */
};

/* The number that stands with a hash; NULL if it was never added. Valid until the next dc_seen_add. */
const uint32_t *dc_seen_find(const struct dc_seen *s, XXH128_hash_t h);
/* The same, added with 0 if it is new. The caller gives it a number above 0 before the next call. */
uint32_t *dc_seen_add(struct dc_seen *s, XXH128_hash_t h);
/* Memory in bytes. */
uint64_t dc_seen_bytes(const struct dc_seen *s);
void dc_seen_free(struct dc_seen *s);

#endif
