/* SPDX-License-Identifier: MIT */
/* 3x3 convolutions with 16 products where 36 are counted (Lavin and Gray, arXiv 1509.09308, F(2x2, 3x3)): of each tile of
 * 2x2 outputs, with the 4x4 inputs d around it, and of each filter g,
 *	y = A^T [(G g G^T) . (B^T d B)] A,
 *	B^T = (1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1),  2 G = (2 0 0; 1 1 1; 1 -1 1; 0 0 2),  A^T = (1 1 1 0; 0 1 -1 -1),
 * where . goes element by element and is summed over the input's channels: 16 matrix products over the tiles. The same
 * numbers but for rounding, whose error is about that of the sum of nine.
 *
 * Maps are [n,H,W,C], stride 1, one pixel of zeros around, as in conv.h. */
#ifndef DC_NN_WINOGRAD_H
#define DC_NN_WINOGRAD_H

#include "base/real.h"
#include "nn/arena.h"

/* Whether it takes less than nine products a pixel: not of maps so small or thin that their tiles are mostly border. */
int dc_winograd_pays(int H, int W, int I, int O);

/* u [16,I,O] = G w G^T of w [O,I,3,3]; for the way back (back) [16,O,I] */
void dc_winograd_filters(dc_real *u, const dc_real *w, int I, int O, int back);
/* y [n,H,W,O] from x [n,H,W,I] */
void dc_winograd_forward(dc_real *y, const dc_real *x, const dc_real *u, int n, int H, int W, int I, int O,
	struct dc_arena *arena);
/* dx [n,H,W,I] from dy [n,H,W,O] */
void dc_winograd_backward_input(dc_real *dx, const dc_real *dy, const dc_real *u, int n, int H, int W, int I, int O,
	struct dc_arena *arena);
/* dw [O,I,3,3] is added to. Each thread sums by itself, so their number shows in the rounding. */
void dc_winograd_backward_filters(dc_real *dw, const dc_real *dy, const dc_real *x, int n, int H, int W, int I, int O,
	struct dc_arena *arena);

#endif
