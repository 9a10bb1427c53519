/* SPDX-License-Identifier: MIT */
#include "nn/gemm.h"

#include <cblas.h>
#include <stddef.h>

#ifdef DC_DOUBLE
#define GEMM cblas_dgemm
#else
#define GEMM cblas_sgemm
#endif

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
	GEMM(CblasRowMajor, transA ? CblasTrans : CblasNoTrans, transB ? CblasTrans : CblasNoTrans,
	    M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}

void
dc_gemm64(int transA, int transB, int M, int N, int K, double alpha, const double *A, int lda, const double *B, int ldb,
    double beta, double *C, int ldc)
{
	if (M > 0 && N > 0)
		cblas_dgemm(CblasRowMajor, transA ? CblasTrans : CblasNoTrans, transB ? CblasTrans : CblasNoTrans,
		    M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}

void
dc_add_columns(dc_real *db, const dc_real *dy, int N, int C)
{
	enum { BLOCK = 16 };

	#pragma omp parallel for if ((size_t)N * C > DC_PARALLEL)
	for (int c0 = 0; c0 < C; c0 += BLOCK) {
		const int n_c = C - c0 < BLOCK ? C - c0 : BLOCK;
		double sum[BLOCK] = { 0 };
		for (int n = 0; n < N; n++)
			for (int c = 0; c < n_c; c++)
				sum[c] += dy[(size_t)n * C + c0 + c];
		for (int c = 0; c < n_c; c++)
			db[c0 + c] += (dc_real)sum[c];
	}
}
