/* SPDX-License-Identifier: MIT */
/* How many threads a parallel loop has, and which one this is; 1 and 0 where the compiler knows no OpenMP. */
#ifndef DC_NN_THREADS_H
#define DC_NN_THREADS_H

#ifdef _OPENMP
#include <omp.h>
static inline int dc_threads(void) { return omp_get_max_threads(); }
static inline int dc_thread(void) { return omp_get_thread_num(); }
static inline int dc_in_parallel(void) { return omp_in_parallel(); }
static inline void dc_set_threads(int n) { omp_set_num_threads(n); }
#else
static inline int dc_threads(void) { return 1; }
static inline int dc_thread(void) { return 0; }
static inline int dc_in_parallel(void) { return 1; }
static inline void dc_set_threads(int n) { (void)n; }
#endif

#endif
