/* SPDX-License-Identifier: MIT */
#include "nn/blas.h"
#include "tests/keep_checks.h"

int
main(int argc, char **argv)
{
	(void)argc;
	dc_blas_start(argv);   /* the kernels that the tools take */
	for (int released = 0; released < 2; released++)
		for (int threads = 1; threads <= 2; threads++)
			check_keep(released, threads);
	return done_testing();
}
