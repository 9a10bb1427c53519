/* SPDX-License-Identifier: MIT */
/* Threads over the sequences of a pack. Each lane, a thread's, takes its share of the sequences through all the blocks, a
 * piece of some hundred rows at a time: the rows stay in its cache from layer to layer and nobody waits for anybody
 * between two products. That is what small towers need, whose products are over before a second thread has woken up.
 *
 * Lane 0 adds to the gradients themselves, each other to its own, which dc_lanes_collect() adds: with as many lanes the
 * sums are always the same, bit for bit. For towers whose gradients are too large to be had several times there are no
 * lanes; then the threads share every product, as BLAS divides it. */
#ifndef DC_NN_LANES_H
#define DC_NN_LANES_H

#include "nn/block.h"

struct dc_lane {
	struct dc_arena arena;
	struct dc_blocks blocks;           /* the same weights, gradients of its own */
	dc_real *g; size_t n_g;            /* these gradients; lane 0 has none */
	int dirty;                         /* something is in them */
};

/* n = 0: no lanes */
struct dc_lanes { int n; struct dc_lane *lane; };

/* As many lanes as there are threads, if the gradients of t's blocks are at most DC_LANES_REALS; else none. */
enum { DC_LANES_REALS = 4 << 20 };
void dc_lanes_init(struct dc_lanes *l, const struct dc_blocks *t, int threads);
void dc_lanes_free(struct dc_lanes *l);
/* What lies on the arenas is gone, and what was added since the last collect. */
void dc_lanes_reset(struct dc_lanes *l);
/* Bytes that lie on the lanes' arenas. */
size_t dc_lanes_laid(const struct dc_lanes *l);
/* After the last backward pass of a step: gradients += those of the lanes. */
void dc_lanes_collect(struct dc_lanes *l, const struct dc_blocks *t);

/* What a pass keeps for its backward pass, on the arena and on those of the lanes. */
struct dc_lanes_kept {
	int n;                             /* pieces; 1 without lanes */
	struct dc_piece *piece;
	struct dc_block_kept *block;       /* [n, layers] */
	struct dc_arena_mark *mark;        /* [lanes] where the pass begins */
};

/* As dc_blocks_forward() and dc_blocks_backward(). Passes that were kept go back in reverse order. */
void dc_lanes_forward(dc_real *y, struct dc_lanes_kept *kept, const dc_real *x, const struct dc_pack *pack,
	const struct dc_blocks *t, struct dc_lanes *l, struct dc_arena *arena);
/* Forget what the newest pass kept on the lanes' arenas. */
void dc_lanes_drop(const struct dc_lanes_kept *kept, struct dc_lanes *l);
void dc_lanes_backward(dc_real *dx, dc_real *dy, const struct dc_lanes_kept *kept, const struct dc_pack *pack,
	const struct dc_blocks *t, struct dc_lanes *l, struct dc_arena *arena);

#endif
