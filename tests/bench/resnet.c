/* SPDX-License-Identifier: MIT */
/* The image tower of ARCH over a batch of random pixels, forward and backward by the batch's statistics. A line for each
 * round: seconds, processor seconds; then where they went, and GFLOP. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/util.h"
#include "nn/blas.h"
#include "nn/encoder.h"

static double
processor_s(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + 1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static uint32_t state = 1;

static double
uniform(void)
{
	state = state * 1664525u + 1013904223u;
	return (double)(state >> 8) / 16777216.0 - 0.5;
}

/* Weights as at a run's beginning, roughly: what matters here is that nothing is denormal. */
static struct dc_weight
tensor(const struct dc_param *p)
{
	float *w = dc_xaligned(p->n, sizeof(*w)), *g = dc_xcalloc(p->n, sizeof(*g));
	const int ones = p->ndim == 1 && !strstr(p->name, "bias") && !strstr(p->name, "mean");

	for (size_t i = 0; i < p->n; i++)
		w[i] = ones ? 1 : p->ndim == 1 ? 0 : (float)(uniform() * 0.1);
	return (struct dc_weight){ p->name, p->n, w, p->stat ? NULL : g };
}

int
main(int argc, char **argv)
{
	int N = argc > 2 ? atoi(argv[2]) : 16, rounds = argc > 3 ? atoi(argv[3]) : 3, n;
	struct dc_laps laps = { 0 };
	struct dc_config c;
	struct dc_param *p;
	struct dc_weight *w;
	struct dc_enc *e;
	uint8_t *rgb;
	char *json;
	size_t len;

	dc_blas_start(argv);
	if (argc < 2 || N < 1 || dc_slurp(argv[1], 1 << 20, &json, &len) < 0 || dc_config_parse(&c, json, len) < 0 ||
	    dc_config_method(&c, "clip", 0) < 0)
		return fprintf(stderr, "usage: bench_resnet ARCH.json [N [ROUNDS]]: %s\n", dc_err()), 1;
	n = dc_params_list(&c, &p);
	w = dc_xcalloc((size_t)n, sizeof(*w));
	for (int i = 0; i < n; i++)
		w[i] = tensor(p + i);
	len = (size_t)N * (size_t)c.vision.image_size * (size_t)c.vision.image_size * 3;
	rgb = dc_xaligned(len, 1);
	for (size_t i = 0; i < len; i++)
		rgb[i] = (uint8_t)(128 + 200 * uniform());
	if (!(e = dc_enc_new(&c, w, n, 1)))
		return fprintf(stderr, "%s\n", dc_err()), 1;
	for (int r = -2; r < rounds; r++) {
		double s = dc_seconds(), cpu = processor_s();

		dc_enc_watch(e, r >= 0 ? &laps : NULL);   /* the first round takes the memory, the second in one piece */
		dc_enc_begin(e, N, 1);
		for (int i = 0; i < N; i += 64)
			dc_enc_image(e, 0, i, N - i < 64 ? N - i : 64, rgb + (size_t)i * (len / (size_t)N));
		for (int i = 0; i < N * c.embed_dim; i++)
			e->d_image_features[0][i] = (float)uniform();
		while (dc_enc_backward_next(e) > 0)
			;
		if (r >= 0)
			printf("%.4f\t%.4f\n", dc_seconds() - s, processor_s() - cpu);
	}
	for (int i = 0; i < DC_LAPS; i++)
		if (laps.s[i] > 0)
			printf("# %s\t%.4f s\n", dc_lap_names[i], laps.s[i] / rounds);
	printf("# GFLOP\t%.2f\n", laps.flop * 1e-9 / rounds);
	return 0;
}
