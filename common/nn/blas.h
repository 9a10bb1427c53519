/* SPDX-License-Identifier: MIT */
/* The libraries of the products. OpenBLAS picks its kernels by the processor's model when it is loaded. A model newer than the library gets the kernels
 * of 2004: Debian 12's 0.3.21 takes a Sapphire Rapids for a Prescott and runs at a fifth of the speed. */
#ifndef DC_NN_BLAS_H
#define DC_NN_BLAS_H

#include <stddef.h>

/* What OpenBLAS takes this processor for. */
const char *dc_blas_core(void);

/* The name for OPENBLAS_CORETYPE that fits what the processor can do, where OpenBLAS chose kernels without AVX2 on a
 * processor that has it; NULL where its choice is good. */
const char *dc_blas_better_core(void);

/* Whether a core of OpenBLAS's is one with AVX-512. */
int dc_blas_avx512(const char *core);

/* Whether oneDNN multiplies floats here: this program was built with it, and it has its kernels for AVX-512 on this processor,
 * unless ONEDNN_MAX_CPU_ISA forbids them or OPENBLAS_CORETYPE asks for a core without. */
int dc_blas_onednn(void);

/* Its version, as it enters into the last bits; "none" where it is not used. */
void dc_blas_onednn_version(char *text, size_t size);

#define DC_SPINS "3000"   /* GOMP_SPINCOUNT; train.sh has it too */

/* First thing in main() of a tool that multiplies matrices, or names the kernels. Libraries read their environment when
 * they are loaded, so where it can be bettered, set it and start the program again in this process:
 * OPENBLAS_CORETYPE, where there is a better choice and the user made none; OMP_WAIT_POLICY=passive and GOMP_SPINCOUNT, where
 * the user gives neither: the ring's programs share the processors, and a thread that spins for long while it waits takes
 * them from the tool it waits for. Returns otherwise, also when that cannot be done. */
void dc_blas_start(char **argv);

#endif
