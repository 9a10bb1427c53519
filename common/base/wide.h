/* SPDX-License-Identifier: MIT */
/* DC_WIDE before a function: it is compiled twice, for any processor of the build and for those with AVX-512, and the
 * loader takes what this one has. The loops in it become wider vectors; the results are the same. */
#ifndef DC_BASE_WIDE_H
#define DC_BASE_WIDE_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && defined(__AVX2__)
#define DC_WIDE __attribute__((target_clones("arch=x86-64-v4", "default")))
#else
#define DC_WIDE
#endif

#endif
