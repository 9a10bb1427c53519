/* SPDX-License-Identifier: MIT */
/* OpenBLAS picks its kernels by the processor's model when it is loaded. A model newer than the library gets the kernels
 * of 2004: Debian 12's 0.3.21 takes a Sapphire Rapids for a Prescott and runs at a fifth of the speed. */
#ifndef DC_NN_BLAS_H
#define DC_NN_BLAS_H

/* What OpenBLAS takes this processor for. */
const char *dc_blas_core(void);

/* The name for OPENBLAS_CORETYPE that fits what the processor can do, where OpenBLAS chose kernels without AVX2 on a
 * processor that has it; NULL where its choice is good. */
const char *dc_blas_better_core(void);

/* First thing in main() of a tool that multiplies matrices, or names the kernels: where there is a better choice and
 * the environment makes none, set OPENBLAS_CORETYPE and start the program again in this process. Returns otherwise,
 * also when that cannot be done. */
void dc_blas_start(char **argv);

#endif
