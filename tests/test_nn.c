/* SPDX-License-Identifier: MIT */
/* The towers in float. Gradients in double: test64_nn.c. */
#ifdef _OPENMP
#include <omp.h>
#endif

#include "nn/attention.h"
#include "nn/blas.h"
#include "nn/embed.h"
#include "nn/gelu.h"
#include "nn/layernorm.h"
#include "nn/linear.h"
#include "nn/patch.h"
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

	ok(!better || strcmp(better, dc_blas_core()), "OpenBLAS's kernels: %s, better %s%s", dc_blas_core(),
		better ? better : "none", dc_blas_onednn() ? "; oneDNN multiplies floats" : "");
}

/* Everything that is parallel over its own loops, large enough to be, into one long vector. */
enum { ROWS = 600, W = 96, HEADS = 4, SEQS = 40, LONG = 15, VOCAB = 50, PIXELS = 16 * 16 * 3 };

static void
kernels(dc_real *out, const dc_real *x, const dc_real *dy, struct dc_arena *arena)
{
	const size_t n = (size_t)ROWS * W;
	struct dc_arena_mark mark = dc_arena_mark(arena);
	dc_real *mean = dc_arena_reals(arena, ROWS), *rstd = dc_arena_reals(arena, ROWS), *at = out;
	int32_t *off = dc_arena_ints(arena, SEQS + 1), *id = dc_arena_ints(arena, ROWS), *p = dc_arena_ints(arena, ROWS);
	size_t *prob_off = dc_arena_alloc(arena, SEQS + 1, sizeof(*prob_off));
	uint8_t *rgb = dc_arena_alloc(arena, SEQS * PIXELS, 1);
	struct dc_attn a = { SEQS, HEADS, W / 3 / HEADS, 1, off, off, prob_off };
	struct dc_patch patch;
	dc_real *prob, *datt;

	for (int s = 0; s <= SEQS; s++)
		off[s] = s * LONG;
	for (int r = 0; r < ROWS; r++) {
		id[r] = r * 7 % (VOCAB + 1);
		p[r] = r % LONG;
	}
	for (int i = 0; i < SEQS * PIXELS; i++)
		rgb[i] = (uint8_t)(i * 31 % 251);
	dc_ln_forward(at, mean, rstd, x, dy, dy + W, ROWS, W);
	dc_ln_backward(at + n, at + 2 * n, at + 2 * n + W, dy, x, mean, rstd, dy, ROWS, W);
	dc_sum_rows(at + 2 * n + 2 * W, x, W, ROWS, W);
	dc_gelu_forward(at + 3 * n, x, dy, ROWS, W, 0);
	dc_gelu_backward(at + 4 * n, at + 5 * n, dy, x, dy, ROWS, W, 1);
	dc_embed_text_forward(at + 6 * n, x, dy, dy + W, id, p, ROWS, VOCAB, W);
	dc_embed_text_backward(at + 7 * n, at + 7 * n + VOCAB * W, at + 7 * n + (VOCAB + 1) * W, dy, id, p, ROWS, VOCAB, LONG,
		W, arena);
	dc_embed_image_backward(at + 8 * n, at + 9 * n, at + 9 * n + W, dy, SEQS, LONG - 1, W);
	prob = dc_arena_reals(arena, dc_attn_prob(prob_off, off, off, SEQS, HEADS));
	datt = at + 10 * n;
	dc_attn_forward(datt, prob, x, W, x + W / 3, x + 2 * W / 3, W, &a);
	dc_attn_backward(at + 11 * n, at + 11 * n + W / 3, at + 11 * n + 2 * W / 3, datt, prob, x, W, x + W / 3, x + 2 * W / 3,
		W, &a, arena);
	dc_patch_init(&patch, 16, 8, 1, (double[]){ .5, .5, .5 }, (double[]){ .25, .25, .25 });
	dc_patch_rows(at + 12 * n, &patch, rgb, SEQS);
	dc_arena_release(arena, mark);
}

static void
check_threads(void)
{
	const size_t n = 13 * (size_t)ROWS * W;
	struct dc_arena arena = { 0 };
	dc_real *x = dc_xaligned(ROWS * W, sizeof(*x)), *dy = dc_xaligned(ROWS * W, sizeof(*dy)), *out[2];
	double norm = 0;

	tiny_fill(x, ROWS * W, 1, 0, 4);
	tiny_fill(dy, ROWS * W, 2, 0, 2);
	for (int i = 0; i < 2; i++) {
#ifdef _OPENMP
		omp_set_num_threads(i ? 4 : 1);
#endif
		out[i] = dc_xcalloc(n, sizeof(dc_real));
		kernels(out[i], x, dy, &arena);
	}
#ifdef _OPENMP
	omp_set_num_threads(2);
#endif
	for (size_t i = 0; i < n; i++)
		norm += (double)out[0][i] * (double)out[0][i];
	ok(isfinite(norm) && norm > 1 && !memcmp(out[0], out[1], n * sizeof(dc_real)), "the same bytes with 1 and 4 threads");
	for (int i = 0; i < 2; i++)
		free(out[i]);
	free(x);
	free(dy);
	dc_arena_free(&arena);
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
	check_threads();
	check_errors();
	check_empty();
	return done_testing();
}
