/* SPDX-License-Identifier: MIT */
/* Blocks divided among threads against the same blocks whole, and products divided among threads against the plain loop. */
#ifdef _OPENMP
#include <omp.h>
#endif

#include "nn/blas.h"
#include "nn/gemm.h"
#include "nn/lanes.h"
#include "tests/tap.h"
#include "tests/nn_model.h"

enum { W = 16, F = 40, HEADS = 2, LAYERS = 3, SEQS = 150, PARS = 12, PASSES = 2 };

static dc_real *
random_reals(size_t n, int seed, double spread)
{
	dc_real *x = dc_xaligned(n, sizeof(*x));

	tiny_fill(x, n, seed, 0, spread);
	return x;
}

static const size_t size[PARS] = { W, W, 3 * W * W, 3 * W, W * W, W, W, W, F * W, F, W * F, W };

static size_t
layer_reals(void)
{
	size_t n = 0;

	for (int p = 0; p < PARS; p++)
		n += size[p];
	return n;
}

static void
point_at(struct dc_block *block, const dc_real *w, dc_real *g)
{
	for (int l = 0; l < LAYERS; l++)
		for (int p = 0; p < PARS; w += size[p], g += size[p], p++)
			((struct dc_par *)(block + l))[p] = (struct dc_par){ w, g };
}

/* A step that is given up: of its gradients nothing may be left in the lanes, and what lane 0 added is taken back here. */
static void
give_up(const dc_real *x, const struct dc_pack *pack, const struct dc_blocks *t, struct dc_lanes *l, struct dc_arena *arena)
{
	dc_real *y = dc_arena_reals(arena, (size_t)pack->wanted * W), *dx = dc_arena_reals(arena, (size_t)pack->R * W);
	struct dc_lanes_kept kept;

	dc_lanes_forward(y, &kept, x, pack, t, l, arena);
	dc_lanes_backward(dx, y, &kept, pack, t, l, arena);
	for (int b = 0; b < LAYERS; b++)
		for (int p = 0; p < PARS; p++)
			memset(((struct dc_par *)(t->block + b))[p].g, 0, size[p] * sizeof(dc_real));
	dc_lanes_reset(l);
}

/* Two passes, forward both, then back in reverse; y and dx of each, one after the other, and the gradients. */
static void
run(dc_real *y, dc_real *dx, const dc_real *x, const struct dc_pack *pack, const struct dc_blocks *t, int lanes)
{
	struct dc_arena arena = { 0 };
	struct dc_lanes l;
	struct dc_lanes_kept kept[PASSES];
	const size_t nx = (size_t)pack->R * W, ny = (size_t)pack->wanted * W;
	dc_real *dy = dc_arena_reals(&arena, ny), *other = dc_arena_reals(&arena, ny);

	dc_lanes_init(&l, t, lanes);
	give_up(x, pack, t, &l, &arena);
	ok(l.n == (lanes > 1 ? lanes : 0), "%d lanes", l.n);
	for (int i = 0; i < PASSES; i++)
		dc_lanes_forward(y + i * ny, kept + i, x + i * nx, pack, t, &l, &arena);
	dc_lanes_forward(other, NULL, x, pack, t, &l, &arena);
	ok(!memcmp(other, y, ny * sizeof(*y)), "the same where nothing is kept");
	for (int i = PASSES - 1; i >= 0; i--) {
		tiny_fill(dy, ny, 5 + i, 0, 1);
		dc_lanes_backward(dx + i * nx, dy, kept + i, pack, t, &l, &arena);
	}
	dc_lanes_collect(&l, t);
	dc_lanes_collect(&l, t);   /* nothing is left to add */
	dc_lanes_free(&l);
	dc_arena_free(&arena);
}

static double
worst(const dc_real *a, const dc_real *b, size_t n)
{
	double most = 0, scale = 0;

	for (size_t i = 0; i < n; i++) {
		most = fmax(most, fabs((double)a[i] - (double)b[i]));
		scale = fmax(scale, fabs((double)b[i]));
	}
	return most / scale;
}

static void
check_lanes(const char *name, const struct dc_pack *pack)
{
	const size_t nx = PASSES * (size_t)pack->R * W, ny = PASSES * (size_t)pack->wanted * W, ng = LAYERS * layer_reals();
	dc_real *x = random_reals(nx, 1, 1), *w = random_reals(ng, 2, 1), *g[3], *y[3], *dx[3];
	struct dc_block block[LAYERS];
	const struct dc_blocks t = { LAYERS, W, HEADS, F, 1, block, NULL, 0 };
	const int lanes[3] = { 1, 3, 3 };

	for (int i = 0; i < 3; i++) {
		g[i] = dc_xcalloc(ng, sizeof(dc_real));
		y[i] = dc_xcalloc(ny, sizeof(dc_real));
		dx[i] = dc_xcalloc(nx, sizeof(dc_real));
		point_at(block, w, g[i]);
		run(y[i], dx[i], x, pack, &t, lanes[i]);
	}
	ok(worst(y[1], y[0], ny) < 1e-5, "%s: three lanes' output is that of none: %.1g", name, worst(y[1], y[0], ny));
	ok(worst(dx[1], dx[0], nx) < 1e-5, "%s: and the gradient by the input: %.1g", name, worst(dx[1], dx[0], nx));
	ok(worst(g[1], g[0], ng) < 1e-5, "%s: and the parameters': %.1g", name, worst(g[1], g[0], ng));
	ok(!memcmp(y[1], y[2], ny * sizeof(**y)) && !memcmp(dx[1], dx[2], nx * sizeof(**dx)) && !memcmp(g[1], g[2], ng * sizeof(**g)),
		"%s: the same bytes again", name);
	for (int i = 0; i < 3; i++) {
		free(g[i]);
		free(y[i]);
		free(dx[i]);
	}
	free(x);
	free(w);
}

static void
test_lanes(void)
{
	static int32_t off[SEQS + 1], want[SEQS], want_off[SEQS + 1];
	struct dc_pack all = { .n = SEQS, .off = off }, ends, few;

	for (int s = 0; s < SEQS; s++) {
		off[s + 1] = off[s] + 3 + s * 7 % 19;
		want[s] = off[s + 1] - 1;
		want_off[s + 1] = s + 1;
	}
	all.R = all.wanted = off[SEQS];
	ends = all;
	ends.want = want;
	ends.want_off = want_off;
	ends.wanted = SEQS;
	ends.causal = 1;
	few = ends;
	few.n = few.wanted = 2;   /* fewer sequences than lanes */
	few.R = off[2];
	check_lanes("all rows", &all);
	check_lanes("last rows, causal", &ends);
	check_lanes("two sequences", &few);
}

static double
product_error(int tA, int tB, int M, int N, int K, dc_real beta)
{
	const size_t nc = (size_t)M * N;
	dc_real *A = random_reals((size_t)M * K, 1, 1), *B = random_reals((size_t)K * N, 2, 1), *C = random_reals(nc, 3, 1);
	dc_real *plain = dc_xcalloc(nc, sizeof(dc_real));
	double err;

	for (int m = 0; m < M; m++)
		for (int n = 0; n < N; n++) {
			double sum = beta * (double)C[(size_t)m * N + n];

			for (int k = 0; k < K; k++)
				sum += 0.5 * (double)A[tA ? (size_t)k * M + m : (size_t)m * K + k] *
					(double)B[tB ? (size_t)n * K + k : (size_t)k * N + n];
			plain[(size_t)m * N + n] = (dc_real)sum;
		}
	dc_gemm(tA, tB, M, N, K, (dc_real)0.5, A, tA ? M : K, B, tB ? K : N, beta, C, N);
	err = worst(C, plain, nc);
	free(A);
	free(B);
	free(C);
	free(plain);
	return err;
}

static void
test_gemm(void)
{
	const int shape[][3] = { { 67, 131, 64 }, { 131, 67, 64 }, { 17, 300, 90 }, { 300, 17, 90 }, { 40, 40, 200 },
		{ 70, 90, 1700 }, { 1100, 1000, 10 } };
	double most = 0;

	for (int threads = 1; threads <= 6; threads++) {
		set_threads(threads);
		for (size_t i = 0; i < sizeof(shape) / sizeof(*shape); i++)
			for (int t = 0; t < 4; t++)
				most = fmax(most, product_error(t & 1, t >> 1, shape[i][0], shape[i][1], shape[i][2], (dc_real)(t % 3)));
	}
	ok(most < 1e-5, "products by 1 to 6 threads are those of the plain loop: %.1g", most);
}

/* Of M rows, in how many does a product of some of them differ from that of all, in any bit? What lies beside C [., N] in its
 * rows is not touched. */
static int
rows_differ(int transB, int M, int N, int K, dc_real beta)
{
	const size_t ld = (size_t)N + 3, all = (size_t)M * ld;
	dc_real *A = random_reals((size_t)M * K, 1, 1), *B = random_reals((size_t)K * N, 2, 1), *C = random_reals(all, 3, 1);
	dc_real *whole = random_reals(all, 3, 1), *plain = random_reals(all, 3, 1), *some = random_reals(all, 3, 1);
	int differ = 0;

	dc_gemm_rows(transB, M, N, K, A, K, B, transB ? K : N, beta, whole, (int)ld);
	dc_gemm(0, transB, M, N, K, 1, A, K, B, transB ? K : N, beta, plain, (int)ld);
	differ += !(worst(whole, plain, all) < 1e-5);
	for (int from = 0; from < M; from = from * 3 + 1)
		for (int m = 1; from + m <= M; m = m * 2 + 1) {
			memcpy(some, C + (size_t)from * ld, (size_t)m * ld * sizeof(*some));
			dc_gemm_rows(transB, m, N, K, A + (size_t)from * K, K, B, transB ? K : N, beta, some, (int)ld);
			for (int i = 0; i < m; i++)
				differ += memcmp(some + (size_t)i * ld, whole + (size_t)(from + i) * ld, ld * sizeof(*some)) != 0;
		}
	free(A);
	free(B);
	free(C);
	free(whole);
	free(plain);
	free(some);
	return differ;
}

static void
test_rows(void)
{
	const int shape[][3] = { { 90, 12, 20 }, { 200, 64, 64 }, { 301, 192, 64 }, { 260, 64, 192 }, { 130, 500, 300 }, { 9, 700, 800 },
		{ 64, 177, 77 }, { 269, 59, 460 }, { 100, 40, 1700 }, { 21, 130, 2100 } };
	int differ = 0, products = 0;

	for (int threads = 1; threads <= 3; threads++) {
		set_threads(threads);
		for (size_t i = 0; i < sizeof(shape) / sizeof(*shape); i++)
			for (int t = 0; t < 4; t++, products++)
				differ += rows_differ(t & 1, shape[i][0], shape[i][1], shape[i][2], t >> 1);
	}
	ok(!differ || !dc_gemm_rows_same(), "rows are the same among few and among many%s: %d differ in %d products",
	    dc_gemm_rows_same() ? "" : ", where OpenBLAS can", differ, products);
}

int
main(int argc, char **argv)
{
	(void)argc;
	dc_blas_start(argv);
	set_threads(3);
	test_lanes();
	test_gemm();
	test_rows();
	return done_testing();
}
