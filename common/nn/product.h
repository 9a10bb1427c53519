/* SPDX-License-Identifier: MIT */
/* A block of a product by one thread, by whichever library is the faster here: oneDNN, for floats on a processor with
 * AVX-512; OpenBLAS otherwise. oneDNN packs its operands faster, which counts where an operand has few rows: 5 to 15 % of
 * such a product. Between gemm.c and the libraries; nobody else needs it. */
#ifndef DC_NN_PRODUCT_H
#define DC_NN_PRODUCT_H

#include <stddef.h>

/* C [M,N] <- alpha op(A) op(B) + beta C, row-major; elements are float or double by `size`. */
struct dc_product {
	int transA, transB, M, N, K, lda, ldb, ldc;
	double alpha, beta;
	const char *A, *B;
	char *C;
	size_t size;
	int rows;                              /* a row must not depend on how many there are, nor on its place among them */
};

/* Rows m0 .. m0 + m, columns n0 .. n0 + n of C. */
void dc_product_block(const struct dc_product *p, int m0, int n0, int m, int n);

/* Of a product with p->rows: the least blocks that give a row the same bits wherever it stands. Rows in whole tiles, m of
 * them at least, n columns at least, and m n K more than mnk. */
struct dc_product_least { int tile, m, n; double mnk; };

/* 0: this processor's kernels have no such size. */
int dc_product_least(size_t size, struct dc_product_least *least);

#endif
