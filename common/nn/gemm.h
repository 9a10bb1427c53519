/* SPDX-License-Identifier: MIT */
/* Every matrix product goes through here. */
#ifndef DC_NN_GEMM_H
#define DC_NN_GEMM_H

#include "base/real.h"

/* So many elements are worth a second thread; fewer are done before it wakes. Each element's value is the same either
 * way. */
enum { DC_PARALLEL = 1 << 14 };
/* The same of a product, in multiplications: some 15 microseconds of them. */
enum { DC_PARALLEL_PRODUCT = 1 << 21 };

/* The threads share C in blocks, and each multiplies its own.
 *
 * C [M,N] <- alpha op(A) op(B) + beta C, row-major; op(A) is [M,K], op(B) [K,N]; trans* = 1 takes the transpose.
 * ld*: elements from one row to the next, as stored. With beta = 0 C is not read. Any size may be 0. */
void dc_gemm(int transA, int transB, int M, int N, int K, dc_real alpha, const dc_real *A, int lda,
    const dc_real *B, int ldb, dc_real beta, dc_real *C, int ldc);

/* C [M,N] <- A op(B) + beta C, where a row's value does not depend on how many rows there are, nor on its place among them,
 * bit for bit: so a batch has the same features however it is divided. OpenBLAS itself has several kernels, whose sums have
 * several orders: there is one for the last rows, one for small products. Not so with its kernels for AVX2 (Haswell, Zen) and
 * some others, where the place of a row counts; nor with dc_real = double: dc_gemm_rows_same() says whether it is. */
int dc_gemm_rows_same(void);
void dc_gemm_rows(int transB, int M, int N, int K, const dc_real *A, int lda, const dc_real *B, int ldb, dc_real beta, dc_real *C, int ldc);

/* The same as dc_gemm in double precision in every build. */
void dc_gemm64(int transA, int transB, int M, int N, int K, double alpha, const double *A, int lda, const double *B, int ldb,
    double beta, double *C, int ldc);

#endif
