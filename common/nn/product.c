/* SPDX-License-Identifier: MIT */
#include "nn/product.h"

#include <cblas.h>
#include <string.h>
#ifdef DC_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#endif

#include "base/util.h"
#include "nn/blas.h"

enum { TILE = 4 /* rows: with fewer OpenBLAS takes another kernel */ };

#ifdef DC_ONEDNN

/* Of one call: beyond 768, oneDNN chooses the length of its sums by M and N. */
enum { DEPTH = 768 };

static int
one_piece(const struct dc_product *p, const float *A, const float *B, double beta, float *C, int m, int n, int k)
{
	return dnnl_sgemm(p->transA ? 'T' : 'N', p->transB ? 'T' : 'N', m, n, k, (float)p->alpha, A, p->lda, B, p->ldb, (float)beta,
		C, p->ldc) == dnnl_success;
}

static void
by_onednn(const struct dc_product *p, const float *A, const float *B, float *C, int m, int n)
{
	for (int k = 0; k < p->K; k += DEPTH) {
		int depth = p->K - k < DEPTH ? p->K - k : DEPTH;

		if (!one_piece(p, A + (size_t)k * (size_t)(p->transA ? p->lda : 1), B + (size_t)k * (size_t)(p->transB ? 1 : p->ldb),
			k ? 1 : p->beta, C, m, n, depth))
			dc_die("oneDNN: no memory for a product of %d x %d x %d", m, n, depth);
	}
}

/* OpenBLAS has kernels without packing for small products, but a poor one for A B^T; and where much is added to a C that is
 * in no cache, it is the faster one as long as the sums are short. */
static int
better_by_openblas(const struct dc_product *p, int m, int n)
{
	const double mnk = (double)m * n * p->K;

	return mnk < (p->transB && !p->transA ? 1e5 : 1e6) || (p->beta != 0 && p->K < 640 && (double)p->M * p->N > 1e6);
}

static int
prefers_onednn(const struct dc_product *p, int m, int n)
{
	return p->size == sizeof(float) && (p->rows || !better_by_openblas(p, m, n)) && dc_blas_onednn();
}

#else

static void
by_onednn(const struct dc_product *p, const float *A, const float *B, float *C, int m, int n)
{
	(void)p, (void)A, (void)B, (void)C, (void)m, (void)n;
}

static int
prefers_onednn(const struct dc_product *p, int m, int n)
{
	(void)p, (void)m, (void)n;
	return 0;
}

#endif

static void
by_openblas(const struct dc_product *p, const void *A, const void *B, void *C, int m, int n)
{
	const CBLAS_TRANSPOSE tA = p->transA ? CblasTrans : CblasNoTrans, tB = p->transB ? CblasTrans : CblasNoTrans;

	if (p->rows && p->size == sizeof(float))   /* the same, told in another way: row-major has a kernel of its own for small ones */
		cblas_sgemm(CblasColMajor, tB, tA, n, m, p->K, (float)p->alpha, B, p->ldb, A, p->lda, (float)p->beta, C, p->ldc);
	else if (p->size == sizeof(double))
		cblas_dgemm(CblasRowMajor, tA, tB, m, n, p->K, p->alpha, A, p->lda, B, p->ldb, p->beta, C, p->ldc);
	else
		cblas_sgemm(CblasRowMajor, tA, tB, m, n, p->K, (float)p->alpha, A, p->lda, B, p->ldb, (float)p->beta, C, p->ldc);
}

void
dc_product_block(const struct dc_product *p, int m0, int n0, int m, int n)
{
	const void *A = p->A + p->size * (size_t)m0 * (size_t)(p->transA ? 1 : p->lda);
	const void *B = p->B + p->size * (size_t)n0 * (size_t)(p->transB ? p->ldb : 1);
	void *C = p->C + p->size * ((size_t)m0 * (size_t)p->ldc + (size_t)n0);

	if (prefers_onednn(p, m, n))
		by_onednn(p, A, B, C, m, n);
	else
		by_openblas(p, A, B, C, m, n);
}

/* --- where rows are the same --- */

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
least_of_openblas(void)
{
	static const char *const older[] = { "Sandybridge", "Barcelona", "Core2", "Prescott" };
	const char *core = dc_blas_core();

	if (dc_blas_avx512(core))
		return 1e6;
	return among(core, older, sizeof(older) / sizeof(*older)) ? 0 : -1;
}

/* oneDNN's kernels for AVX-512 need 16 rows and two columns; so it was seen in thousands of products. */
int
dc_product_least(size_t size, struct dc_product_least *least)
{
	if (size != sizeof(float))
		return 0;
	if (dc_blas_onednn())
		*least = (struct dc_product_least){ 1, 16, 2, 0 };
	else
		*least = (struct dc_product_least){ TILE, TILE, 1, least_of_openblas() };
	return least->mnk >= 0;
}
