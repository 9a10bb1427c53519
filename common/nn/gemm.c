/* SPDX-License-Identifier: MIT */
#include "nn/gemm.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "nn/product.h"
#include "nn/threads.h"

enum { ALIGN = 16 };

/* The threads' grid over C [M,N]: rows x columns of blocks, as near to squares as may be, for what a thread packs is
 * its rows of A and its columns of B. */
struct grid { int rows, columns, m, n; };   /* m, n: size of a block */

static int
up(int a, int b)
{
	return (a + b - 1) / b;
}

static struct grid
grid_for(int M, int N, int K, int threads)
{
	struct grid g = { 1, 1, M, N };
	double least = 0;

	if (threads < 2 || dc_in_parallel() || (double)M * N * K <= DC_PARALLEL_PRODUCT)
		return g;
	for (int rows = 1; rows <= threads; rows++) {
		int columns = threads / rows;
		double packed = (double)M / rows + (double)N / columns;

		if (rows * columns != threads || (least > 0 && packed >= least))
			continue;
		least = packed;
		g = (struct grid){ rows, columns, up(up(M, rows), ALIGN) * ALIGN, up(up(N, columns), ALIGN) * ALIGN };
	}
	return g;
}

static int
within(int at, int size, int end)
{
	return end - at < size ? end - at : size;
}

/* Block i of the grid: its place and size; 0 where nothing is left for it. */
static int
block_at(const struct grid *g, int i, int M, int N, int *m0, int *n0, int *m, int *n)
{
	*m0 = i / g->columns * g->m;
	*n0 = i % g->columns * g->n;
	*m = within(*m0, g->m, M);
	*n = within(*n0, g->n, N);
	return *m > 0 && *n > 0;
}

/* Whether a block of the grid is too small for rows that must be the same; NULL: none is. */
static int
too_small(const struct grid *g, const struct dc_product *p, const struct dc_product_least *least)
{
	const int m = p->M - (up(p->M, g->m) - 1) * g->m, n = p->N - (up(p->N, g->n) - 1) * g->n;

	return least && (m < least->m || n < least->n || (double)m * n * p->K <= least->mnk);
}

/* A product that is not worth dividing: OpenBLAS has its own opinion, unless it believes that there is one thread. */
static void
alone(const struct dc_product *p)
{
	const int threads = dc_threads();

	dc_set_threads(1);
	dc_product_block(p, 0, 0, p->M, p->N);
	dc_set_threads(threads);
}

/* Each thread has a block of C to itself: OpenBLAS does not divide what is called in a parallel region. Its own way of
 * dividing lets threads wait for one another several times in a product, which costs up to half the time of a product of
 * some hundred rows, and far more where another program wants the processor. */
static void
share(const struct dc_product *p, const struct dc_product_least *least)
{
	const struct grid g = grid_for(p->M, p->N, p->K, dc_threads());

	if (g.rows * g.columns == 1 || too_small(&g, p, least)) {
		alone(p);
		return;
	}
#pragma omp parallel for schedule(static, 1)
	for (int i = 0; i < g.rows * g.columns; i++) {
		int m0, n0, m, n;

		if (block_at(&g, i, p->M, p->N, &m0, &n0, &m, &n))
			dc_product_block(p, m0, n0, m, n);
	}
}

void
dc_gemm(int transA, int transB, int M, int N, int K, dc_real alpha, const dc_real *A, int lda,
    const dc_real *B, int ldb, dc_real beta, dc_real *C, int ldc)
{
	if (M <= 0 || N <= 0)
		return;
	if (K <= 0) {   /* BLAS libraries differ in what they do with an empty product: C <- beta C */
		for (int m = 0; m < M; m++)
			for (int n = 0; n < N; n++)
				C[(size_t)m * ldc + n] = beta == 0 ? 0 : beta * C[(size_t)m * ldc + n];
		return;
	}
	share(&(struct dc_product){ transA, transB, M, N, K, lda, ldb, ldc, (double)alpha, (double)beta, (const char *)A, (const char *)B,
		(char *)C, sizeof(*C), 0 }, NULL);
}

int
dc_gemm_rows_same(void)
{
	struct dc_product_least least;

	return dc_product_least(sizeof(dc_real), &least);
}

/* The rows from m0 on, m of them, with rows of zeros behind them. */
static void
multiply_padded(const struct dc_product *p, const struct dc_product_least *least, int m0, int m, int padded)
{
	const dc_real *A = (const dc_real *)(const void *)p->A + (size_t)m0 * (size_t)p->lda;
	dc_real *C = (dc_real *)(void *)p->C + (size_t)m0 * (size_t)p->ldc, *a = dc_xaligned((size_t)padded * (size_t)(p->K + p->N), sizeof(*a));
	dc_real *c = a + (size_t)padded * (size_t)p->K;
	struct dc_product q = *p;

	for (int i = 0; i < m; i++) {
		memcpy(a + (size_t)i * (size_t)p->K, A + (size_t)i * (size_t)p->lda, (size_t)p->K * sizeof(*a));
		memcpy(c + (size_t)i * (size_t)p->N, C + (size_t)i * (size_t)p->ldc, (size_t)p->N * sizeof(*c));
	}
	memset(a + (size_t)m * (size_t)p->K, 0, (size_t)(padded - m) * (size_t)p->K * sizeof(*a));
	memset(c + (size_t)m * (size_t)p->N, 0, (size_t)(padded - m) * (size_t)p->N * sizeof(*c));
	q.A = (const char *)a;
	q.C = (char *)c;
	q.M = padded;
	q.lda = p->K;
	q.ldc = p->N;
	share(&q, least);
	for (int i = 0; i < m; i++)
		memcpy(C + (size_t)i * (size_t)p->ldc, c + (size_t)i * (size_t)p->N, (size_t)p->N * sizeof(*c));
	free(a);
}

void
dc_gemm_rows(int transB, int M, int N, int K, const dc_real *A, int lda, const dc_real *B, int ldb, dc_real beta, dc_real *C, int ldc)
{
	struct dc_product p = { 0, transB, M, N, K, lda, ldb, ldc, 1, (double)beta, (const char *)A, (const char *)B, (char *)C, sizeof(*C), 1 };
	struct dc_product_least least;
	int few, whole;

	if (M <= 0 || N <= 0 || K <= 0 || !dc_product_least(sizeof(*C), &least)) {
		dc_gemm(0, transB, M, N, K, 1, A, lda, B, ldb, beta, C, ldc);
		return;
	}
	few = up((int)(least.mnk / ((double)N * K)) + 1, least.tile) * least.tile;
	few = few < least.m ? least.m : few;
	whole = M % least.tile || M < few ? (M - few) / least.tile * least.tile : M;   /* and at least so many behind these */
	if (whole < few)
		whole = 0;
	p.M = whole;
	if (whole)
		share(&p, &least);
	if (M > whole)
		multiply_padded(&p, &least, whole, M - whole, M - whole > few ? up(M - whole, least.tile) * least.tile : few);
}

void
dc_gemm64(int transA, int transB, int M, int N, int K, double alpha, const double *A, int lda, const double *B, int ldb,
    double beta, double *C, int ldc)
{
	if (M > 0 && N > 0)
		share(&(struct dc_product){ transA, transB, M, N, K, lda, ldb, ldc, alpha, beta, (const char *)A, (const char *)B, (char *)C,
			sizeof(*C), 0 }, NULL);
}
