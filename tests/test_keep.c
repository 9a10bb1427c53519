/* SPDX-License-Identifier: MIT */
#include "tests/keep_checks.h"

int
main(void)
{
	for (int released = 0; released < 2; released++)
		for (int threads = 1; threads <= 2; threads++)
			check_keep(released, threads);
	return done_testing();
}
