/* SPDX-License-Identifier: MIT */
/* The towers in float. Gradients in double: test64_nn.c. */
#include "nn/blas.h"
#include "nn/vmath.h"
#include "tests/nn_checks.h"

/* e^x against libm in double: units in the last place */
static void
check_exp(void)
{
	double worst = 0;

	for (float x = -87; x < 88; x += 0.00137f) {
		double want = exp((double)x), ulp = nextafterf((float)want, INFINITY) - (double)(float)want;
		double err = fabs((double)dc_vexp(x) - want) / ulp;

		worst = err > worst || isnan(err) ? err : worst;
	}
	ok(worst < 2, "exp within 2 ulp: %.2f", worst);
	ok(isnan(dc_vexp(NAN)) && isnan(dc_verf(NAN)), "NaN stays NaN");
	ok(dc_vexp(-1000) < 1e-37f && dc_vexp(0) == 1, "exp far below, and at 0");
	worst = 0;
	for (float x = -6; x < 6; x += 0.00017f)
		worst = fmax(worst, fabs((double)dc_verf(x) - erf((double)x)));
	ok(worst < 2e-7, "erf within 2e-7: %.2g", worst);
}

static void
check_blas(void)
{
	const char *better = dc_blas_better_core();

	ok(!better || strcmp(better, dc_blas_core()), "OpenBLAS's kernels: %s, better %s", dc_blas_core(),
		better ? better : "none");
}

int
main(int argc, char **argv)
{
	(void)argc;
	check_blas();
	check_exp();
	for (int i = 0; i < 4; i++)
		check_naive(i & 1, i >> 1, 1e-5);
	check_parts(0, 1e-5);
	check_parts(1, 1e-5);
	check_frozen("conv1", is_conv1);
	check_frozen("the image tower", is_image);
	check_frozen("the text tower", is_text);
	check_frozen("the heads", is_head);
	check_golden(argv[0], "towers-quick.f8", 1, 0, 1e-5);
	check_golden(argv[0], "towers-exact-released.f8", 0, 1, 1e-5);
	check_errors();
	check_empty();
	return done_testing();
}
