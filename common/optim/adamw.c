/* SPDX-License-Identifier: MIT */
#include "optim/adamw.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "base/wide.h"

enum { BLOCK = 1 << 14, LANES = 32, AHEAD = 1 << 12, PARALLEL_MIN = 1 << 16, LINE = 64 /* bytes */ };   /* elements; a block is whole cells, a cell whole lanes */

#ifdef DC_DOUBLE
typedef uint64_t bits_t;
#else
typedef uint32_t bits_t;
#endif

/* The blocks of all tensors, one after the other: block k is of tensor i where first[i] <= k < first[i + 1]. */
struct blocks { const struct dc_adamw_tensor *x; int n; size_t *first; };

static size_t
cut(struct blocks *b, const struct dc_adamw_tensor *x, int n)
{
	*b = (struct blocks){ x, n, dc_xcalloc((size_t)n + 1, sizeof(*b->first)) };
	for (int i = 0; i < n; i++)
		b->first[i + 1] = b->first[i] + (x[i].n + BLOCK - 1) / BLOCK;
	return b->first[n];
}

/* Block k: its tensor, and the elements [*from, *from + *count) of it. */
static const struct dc_adamw_tensor *
block(const struct blocks *b, size_t k, size_t *from, size_t *count)
{
	int lo = 0, hi = b->n;

	while (hi - lo > 1) {
		int mid = lo + (hi - lo) / 2;

		if (b->first[mid] <= k)
			lo = mid;
		else
			hi = mid;
	}
	*from = (k - b->first[lo]) * BLOCK;
	*count = b->x[lo].n - *from < BLOCK ? b->x[lo].n - *from : BLOCK;
	return &b->x[lo];
}

static bits_t
bits_of(const dc_real *x)
{
	bits_t u;

	memcpy(&u, x, sizeof(u));
	return u;
}

static inline int
all_zero(const dc_real *x, size_t n)
{
	bits_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= bits_of(x + i);
	return !any;
}

/* --- the norm --- */

/* lane[k] += the squares of x[k], x[k + LANES] ...; n is a multiple of LANES. */
static inline void
add_squares(double *lane, const dc_real *x, size_t n)
{
	double l[LANES];

	memcpy(l, lane, sizeof(l));
	for (size_t i = 0; i < n; i += LANES)
		for (int k = 0; k < LANES; k++)
			l[k] += (double)x[i + (size_t)k] * (double)x[i + (size_t)k];
	memcpy(lane, l, sizeof(l));
}

/* One stream of reads leaves the memory idle between them: what comes soon is asked for beforehand. */
static inline void
ask_for(const dc_real *x)
{
	for (size_t i = 0; i < DC_CELL; i += LINE / sizeof(*x))
		__builtin_prefetch(x + i);
}

/* The sum of squares of the first n of the elements from x to the tensor's end, and their cells' DC_CELL_ZERO. */
DC_WIDE static double
sum_block(const dc_real *x, size_t n, const dc_real *end, unsigned char *cell)
{
	double lane[LANES] = { 0 }, sum = 0;

	for (size_t i = 0; i < n; i += DC_CELL, cell++) {
		size_t k = n - i < DC_CELL ? n - i : DC_CELL, even = k / LANES * LANES;

		if ((size_t)(end - x) >= i + AHEAD + DC_CELL)
			ask_for(x + i + AHEAD);
		*cell = (unsigned char)((*cell & ~DC_CELL_ZERO) | (all_zero(x + i, k) ? DC_CELL_ZERO : 0));
		if (*cell & DC_CELL_ZERO)
			continue;
		add_squares(lane, x + i, even);
		for (; even < k; even++)
			sum += (double)x[i + even] * (double)x[i + even];
	}
	for (int k = 0; k < LANES; k++)
		sum += lane[k];
	return sum;
}

void
dc_squares(const struct dc_adamw_tensor *x, int n, double *sum)
{
	struct blocks b;
	size_t blocks = cut(&b, x, n);
	double *part = dc_xcalloc(blocks + 1, sizeof(*part));

#pragma omp parallel for schedule(static) if (blocks * BLOCK > PARALLEL_MIN)
	for (size_t k = 0; k < blocks; k++) {
		size_t from, count;
		const struct dc_adamw_tensor *t = block(&b, k, &from, &count);

		part[k] = sum_block(t->g + from, count, t->g + t->n, t->cell + from / DC_CELL);
	}
	for (int i = 0; i < n; i++) {
		sum[i] = 0;
		for (size_t k = b.first[i]; k < b.first[i + 1]; k++)
			sum[i] += part[k];
	}
	free(part);
	free(b.first);
}

/* --- the update --- */

struct coefficients { dc_real keep, s, eps, one_b1, b2, one_b2, rate, root; };

static struct coefficients
coefficients(const struct dc_adamw_tensor *x, const struct dc_adamw *o, double lr, double scale)
{
	return (struct coefficients){
		.keep = (dc_real)(x->decay ? 1 - lr * o->weight_decay : 1), .s = (dc_real)scale, .eps = (dc_real)o->eps,
		.one_b1 = (dc_real)(1 - o->beta1), .b2 = (dc_real)o->beta2, .one_b2 = (dc_real)(1 - o->beta2),
		.rate = (dc_real)(lr / (1 - pow(o->beta1, (double)x->t))), .root = (dc_real)sqrt(1 - pow(o->beta2, (double)x->t))
	};
}

static inline void
update_cell(dc_real *restrict w, dc_real *restrict m, dc_real *restrict v, const dc_real *restrict g, size_t n,
    const struct coefficients c)
{
	for (size_t i = 0; i < n; i++) {
		dc_real gi = c.s * g[i];

		m[i] += c.one_b1 * (gi - m[i]);
		v[i] = c.b2 * v[i] + c.one_b2 * (gi * gi);
		w[i] = c.keep * w[i] - c.rate * (m[i] / (dc_rsqrt(v[i]) / c.root + c.eps));
	}
}

/* What the above comes to where g, m and v are zero. */
static inline void
decay_cell(dc_real *w, size_t n, dc_real keep)
{
	for (size_t i = 0; i < n && keep != 1; i++)
		w[i] = keep * w[i];
}

DC_WIDE static void
update_block(const struct dc_adamw_tensor *x, size_t from, size_t count, const struct coefficients c, int clear)
{
	for (size_t i = from; i < from + count; i += DC_CELL) {
		unsigned char *cell = &x->cell[i / DC_CELL];
		size_t n = from + count - i < DC_CELL ? from + count - i : DC_CELL;

		if (*cell == (DC_CELL_ZERO | DC_CELL_COLD)) {
			decay_cell(x->w + i, n, c.keep);
			continue;
		}
		update_cell(x->w + i, x->m + i, x->v + i, x->g + i, n, c);
		if (clear && !(*cell & DC_CELL_ZERO))
			memset(x->g + i, 0, n * sizeof(*x->g));
		*cell &= (unsigned char)~DC_CELL_COLD;
	}
}

void
dc_adamw_sweep(const struct dc_adamw_tensor *x, int n, const struct dc_adamw *o, double lr, double scale, int clear)
{
	struct blocks b;
	size_t blocks = cut(&b, x, n);

#pragma omp parallel for schedule(dynamic, 4) if (blocks * BLOCK > PARALLEL_MIN)
	for (size_t k = 0; k < blocks; k++) {
		size_t from, count;
		const struct dc_adamw_tensor *t = block(&b, k, &from, &count);

		update_block(t, from, count, coefficients(t, o, lr, scale), clear);
	}
	free(b.first);
}

void
dc_adamw_cold(const struct dc_adamw_tensor *x)
{
	const size_t cells = dc_cells(x->n);

#pragma omp parallel for schedule(static) if (x->n > PARALLEL_MIN)
	for (size_t k = 0; k < cells; k++) {
		size_t i = k * DC_CELL, n = x->n - i < DC_CELL ? x->n - i : DC_CELL;

		x->cell[k] = all_zero(x->m + i, n) && all_zero(x->v + i, n) ? DC_CELL_COLD : 0;
	}
}

double
dc_clip_scale(double norm, double max)
{
	double scale = max / (norm + 1e-6);

	return max > 0 && scale < 1 ? scale : 1;
}

void
dc_ema(dc_real *restrict e, const dc_real *restrict w, size_t n, double decay)
{
	const dc_real rest = (dc_real)(1 - decay);

#pragma omp parallel for schedule(static) if (n >= PARALLEL_MIN)
	for (size_t i = 0; i < n; i++)
		e[i] += rest * (w[i] - e[i]);
}
