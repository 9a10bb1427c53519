/* SPDX-License-Identifier: MIT */
#include "nn/gemm.h"

#include <cblas.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "nn/blas.h"
#include "nn/threads.h"

enum { ALIGN = 16, TILE = 4 /* rows: with fewer OpenBLAS takes another kernel */ };

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

/* The elements of C in the smallest block. */
static double
smallest(const struct grid *g, int M, int N)
{
	return (double)(M - (up(M, g->m) - 1) * g->m) * (N - (up(N, g->n) - 1) * g->n);
}

struct product {
	int transA, transB, M, N, K, lda, ldb, ldc;
	double alpha, beta;
	const char *A, *B;
	char *C;
	size_t size;                           /* of an element: float or double */
	double least;                          /* no block of it may be so small; < 0: any may */
};

/* Rows m0 .. m0 + m, columns n0 .. n0 + n of C, by this thread alone. */
static void
multiply(const struct product *p, int m0, int n0, int m, int n)
{
	const CBLAS_TRANSPOSE tA = p->transA ? CblasTrans : CblasNoTrans, tB = p->transB ? CblasTrans : CblasNoTrans;
	const void *A = p->A + p->size * (size_t)m0 * (size_t)(p->transA ? 1 : p->lda);
	const void *B = p->B + p->size * (size_t)n0 * (size_t)(p->transB ? p->ldb : 1);
	void *C = p->C + p->size * ((size_t)m0 * (size_t)p->ldc + (size_t)n0);

	if (p->least >= 0 && p->size == sizeof(float))   /* the same, told in another way: row-major has a kernel of its own for small ones */
		cblas_sgemm(CblasColMajor, tB, tA, n, m, p->K, (float)p->alpha, B, p->ldb, A, p->lda, (float)p->beta, C, p->ldc);
	else if (p->size == sizeof(double))
		cblas_dgemm(CblasRowMajor, tA, tB, m, n, p->K, p->alpha, A, p->lda, B, p->ldb, p->beta, C, p->ldc);
	else
		cblas_sgemm(CblasRowMajor, tA, tB, m, n, p->K, (float)p->alpha, A, p->lda, B, p->ldb, (float)p->beta, C, p->ldc);
}

/* A product that is not worth dividing: OpenBLAS has its own opinion, unless it believes that there is one thread. */
static void
alone(const struct product *p)
{
	const int threads = dc_threads();

	dc_set_threads(1);
	multiply(p, 0, 0, p->M, p->N);
	dc_set_threads(threads);
}

/* Each thread has a block of C to itself: OpenBLAS does not divide what is called in a parallel region. Its own way of
 * dividing lets threads wait for one another several times in a product, which costs up to half the time of a product of
 * some hundred rows, and far more where another program wants the processor. */
static void
share(const struct product *p)
{
	const struct grid g = grid_for(p->M, p->N, p->K, dc_threads());

	if (g.rows * g.columns == 1 || smallest(&g, p->M, p->N) * (double)p->K <= p->least) {
		alone(p);
		return;
	}
#pragma omp parallel for schedule(static, 1)
	for (int i = 0; i < g.rows * g.columns; i++) {
		int m0, n0, m, n;

		if (block_at(&g, i, p->M, p->N, &m0, &n0, &m, &n))
			multiply(p, m0, n0, m, n);
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
	share(&(struct product){ transA, transB, M, N, K, lda, ldb, ldc, (double)alpha, (double)beta, (const char *)A, (const char *)B,
		(char *)C, sizeof(*C), -1 });
}

static int
among(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(name, names[i]))
			return 1;
	return 0;
}

/* OpenBLAS gives a row the same bits wherever it stands among whole tiles, as long as the product is more than this: so it was
 * seen with these cores. -1: it does not, as with Haswell's kernel, which takes 12 rows at a time and six of them in another
 * order, and with Nehalem's; or nobody has looked. */
static double
least_product(void)
{
	static const char *const avx512[] = { "SkylakeX", "Cooperlake", "SapphireRapids" };
	static const char *const older[] = { "Sandybridge", "Barcelona", "Core2", "Prescott" };
	const char *core = dc_blas_core();

	if (sizeof(dc_real) != sizeof(float))
		return -1;
	if (among(core, avx512, sizeof(avx512) / sizeof(*avx512)))
		return 1e6;
	return among(core, older, sizeof(older) / sizeof(*older)) ? 0 : -1;
}

int
dc_gemm_rows_same(void)
{
	return least_product() >= 0;
}

/* The rows from m0 on, m of them, with rows of zeros behind them. */
static void
multiply_padded(const struct product *p, int m0, int m, int padded)
{
	const dc_real *A = (const dc_real *)(const void *)p->A + (size_t)m0 * (size_t)p->lda;
	dc_real *C = (dc_real *)(void *)p->C + (size_t)m0 * (size_t)p->ldc, *a = dc_xaligned((size_t)padded * (size_t)(p->K + p->N), sizeof(*a));
	dc_real *c = a + (size_t)padded * (size_t)p->K;
	struct product q = *p;

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
	share(&q);
	for (int i = 0; i < m; i++)
		memcpy(C + (size_t)i * (size_t)p->ldc, c + (size_t)i * (size_t)p->N, (size_t)p->N * sizeof(*c));
	free(a);
}

void
dc_gemm_rows(int transB, int M, int N, int K, const dc_real *A, int lda, const dc_real *B, int ldb, dc_real beta, dc_real *C, int ldc)
{
	struct product p = { 0, transB, M, N, K, lda, ldb, ldc, 1, (double)beta, (const char *)A, (const char *)B, (char *)C, sizeof(*C),
		least_product() };
	int least, whole;

	if (p.least < 0 || M <= 0 || N <= 0 || K <= 0) {
		dc_gemm(0, transB, M, N, K, 1, A, lda, B, ldb, beta, C, ldc);
		return;
	}
	least = up((int)(p.least / ((double)N * K)) + 1, TILE) * TILE;
	whole = M % TILE || M < least ? (M - least) / TILE * TILE : M;   /* and at least so many behind these */
	if (whole < least)
		whole = 0;
	p.M = whole;
	if (whole)
		share(&p);
	if (M > whole)
		multiply_padded(&p, whole, M - whole, M - whole > least ? up(M - whole, TILE) * TILE : least);
}

void
dc_gemm64(int transA, int transB, int M, int N, int K, double alpha, const double *A, int lda, const double *B, int ldb,
    double beta, double *C, int ldc)
{
	if (M > 0 && N > 0)
		share(&(struct product){ transA, transB, M, N, K, lda, ldb, ldc, alpha, beta, (const char *)A, (const char *)B, (char *)C,
			sizeof(*C), -1 });
}
