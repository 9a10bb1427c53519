/* SPDX-License-Identifier: MIT */
/* Streams for tests/bench: frames to standard output, or what came of them.
 *
 *	bench_frames value MB COUNT          frames with one tensor of so many MB each
 *	bench_frames reference MB COUNT      frames that name as much, in tensors of 4 MB, and carry none of it
 *	bench_frames features N D COUNT      what dc-loss takes of a DeCLIP step, in parts of at most 64 MiB as dc-encode sends it
 *	bench_frames clip N D COUNT          of a CLIP step
 *	bench_frames read                    read to the end; print the seconds from the first frame to the last, and how many
 *	                                     more there were */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/util.h"
#include "stream/stream.h"

enum { MB = 1 << 20, SIMSIAM = 1024, MLM_SHARE = 2, PART = 64 * MB };

static struct dc_out out;

static void
say(const char *kind, uint64_t step, struct dc_body *b)
{
	if (dc_frame_write(&out, kind, step, b) != DC_FRAME)
		exit(1);
}

static void
random_tensor(struct dc_body *b, const char *name, int64_t n, int64_t d, uint64_t seed)
{
	float *x = d ? dc_put_space(b, name, DC_F32, 2, (int64_t[]){ n, d }) : dc_put_space(b, name, DC_F32, 1, (int64_t[]){ n });
	struct dc_rng rng;

	dc_rng_init(&rng, seed, 0, 0, 0, DC_RNG_CROP);
	for (int64_t i = 0; i < n * (d ? d : 1); i++)
		x[i] = (float)dc_rng_uniform(&rng, d ? -1 : 0, 1);
}

static void
send_features(int64_t n, int64_t d, uint64_t step, int clip)
{
	static const char *const name[] = { "image_features.0", "text_features.0", "image_features.1", "text_features.1",
		"simsiam_z.0", "simsiam_z.1", "simsiam_p.0", "simsiam_p.1" };
	const int64_t rows = PART / (4 * (clip ? 2 * d : 4 * d + 4 * SIMSIAM)), parts = (n + rows - 1) / rows;
	struct dc_body b = { 0 };

	for (int64_t p = 0; p < parts; p++) {
		for (int i = 0; i < (clip ? 2 : 8); i++)
			random_tensor(&b, name[i], n - p * rows < rows ? n - p * rows : rows, i < 4 ? d : SIMSIAM,
			    (step * (uint64_t)parts + (uint64_t)p) * 8 + (uint64_t)i);
		if (!p && !clip)
			random_tensor(&b, "mlm_nll", n * MLM_SHARE, 0, step);
		dc_put_double(&b, "logit_scale", 3.5);
		dc_put_int(&b, "position", (int64_t)step + 1);
		dc_put_part(&b, p, parts);
		say("features", step, &b);
	}
	dc_body_free(&b);
}

static void
send_blob(int64_t mb, uint64_t step, int by_reference)
{
	struct dc_body b = { 0 };
	char name[32];

	if (!by_reference)
		memset(dc_put_space(&b, "blob", DC_U8, 1, (int64_t[]){ mb * MB }), (int)step, (size_t)mb * MB);
	for (int64_t i = 0; by_reference && i < mb / 4; i++) {
		snprintf(name, sizeof name, "blob.%d", (int)i);
		dc_put_ref(&b, name, DC_F32, 1, (int64_t[]){ MB }, "gradients.safetensors", name);
	}
	say("blob", step, &b);
	dc_body_free(&b);
}

static int
read_all(void)
{
	struct dc_in in;
	struct dc_frame f = { 0 };
	double first = 0;
	uint64_t n = 0;
	int r;

	dc_in_init(&in, STDIN_FILENO, "<stdin>");
	while ((r = dc_frame_read(&in, &f)) == DC_FRAME)
		if (n++ == 0)
			first = dc_seconds();
	printf("%.6f %d\n", dc_seconds() - first, (int)n - 1);
	dc_frame_free(&f);
	return n < 2;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	const int64_t a = argc > 2 ? atoll(argv[2]) : 0, b = argc > 3 ? atoll(argv[3]) : 0, c = argc > 4 ? atoll(argv[4]) : 0;
	const int clip = !strcmp(what, "clip"), features = clip || !strcmp(what, "features");
	struct dc_body end = { 0 };

	dc_main_init("bench_frames");
	if (!strcmp(what, "read"))
		return read_all();
	if (dc_out_init(&out, STDOUT_FILENO, "<stdout>") < 0)
		return 1;
	for (int64_t step = 0; features && step < c; step++)
		send_features(a, b, (uint64_t)step, clip);
	for (int64_t step = 0; !features && step < b; step++)
		send_blob(a, (uint64_t)step, !strcmp(what, "reference"));
	dc_put_map(&end, "counts", 0);
	say("end", 0, &end);
	dc_body_free(&end);
	return 0;
}
