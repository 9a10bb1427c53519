/* SPDX-License-Identifier: MIT */
/* The checks that hold in float and in double: against the naive towers, whole against parts, errors. */
#ifndef NN_CHECKS_H
#define NN_CHECKS_H

#include <unistd.h>

#include "tests/nn_naive.h"
#include "tests/tap.h"

/* ||got - want|| <= tol ||want||; NaN fails */
static inline int
close_norm(const dc_real *got, const double *want, size_t n, double tol)
{
	double d = 0, w = 0;

	for (size_t i = 0; i < n; i++) {
		d += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
		w += want[i] * want[i];
	}
	if (sqrt(d) <= tol * sqrt(w))
		return 1;
	printf("# ||difference|| %.3g, ||wanted|| %.3g, tolerance %.1g\n", sqrt(d), sqrt(w), tol);
	return 0;
}

static inline void
check_naive(int quick, int released, double tol)
{
	static double image[2][TINY_N * 6], text[2][TINY_N * 6], nll[TINY_N * TINY_T];
	struct tiny m;
	struct dc_enc *e;
	int M;
	const char *what = quick ? released ? "QuickGELU, as released" : "QuickGELU" : released ? "GELU, as released" : "GELU";

	tiny_new(&m, quick, released);
	e = dc_enc_new(&m.c, m.w, m.n, 1);
	M = naive_batch(image, text, nll, &m);
	ok(tiny_forward(e, &m, 3, 0) == 0, "forward pass (%s)", what);
	for (int v = 0; v < 2; v++) {
		ok(close_norm(e->image_features[v], image[v], TINY_N * 6, tol), "view %d: image tower is the naive one (%s)", v,
			what);
		ok(close_norm(e->text_features[v], text[v], TINY_N * 6, tol), "view %d: packed text tower is the padded one (%s)",
			v, what);
	}
	ok(M > 5 && e->M == M, "%d masked positions", M);
	ok(close_norm(e->mlm_nll, nll, M, tol), "masked positions' cross-entropy is the naive one (%s)", what);
	dc_enc_free(e);
	tiny_free(&m);
}

/* Gradients of all tensors, one after the other; free() it. */
static inline double *
gradients_by_parts(struct tiny *m, int part, size_t *n)
{
	struct dc_enc *e = dc_enc_new(&m->c, m->w, m->n, 1);
	double *g;
	size_t at = 0;

	*n = 0;
	for (int i = 0; i < m->n; i++)
		*n += m->w[i].n;
	g = dc_xcalloc(*n, sizeof(*g));
	tiny_zero_gradients(m);
	if (!ok(tiny_forward(e, m, part, 1) == 0, "forward pass in parts of %d", part))
		printf("# %s\n", dc_err());
	tiny_backward(e);
	for (int i = 0; i < m->n; i++)
		for (size_t j = 0; j < m->w[i].n; j++)
			g[at++] = m->w[i].g ? (double)m->w[i].g[j] : 0;
	dc_enc_free(e);
	return g;
}

static inline void
check_parts(int released, double tol)
{
	struct tiny m;
	size_t n;
	double *whole, *parts;

	tiny_new(&m, 1, released);
	whole = gradients_by_parts(&m, TINY_N, &n);
	for (int part = 1; part < TINY_N; part += 2) {
		double d = 0, w = 0;

		parts = gradients_by_parts(&m, part, &n);
		for (size_t i = 0; i < n; i++) {
			d += (parts[i] - whole[i]) * (parts[i] - whole[i]);
			w += whole[i] * whole[i];
		}
		ok(w > 0 && sqrt(d) <= tol * sqrt(w), "gradients in parts of %d are those of the whole (%s)", part,
			released ? "released" : "paper");
		free(parts);
	}
	free(whole);
	tiny_free(&m);
}

/* Freezing removes gradients and changes no other. */
static inline void
check_frozen(const char *what, int (*frozen)(const char *name))
{
	struct tiny m;
	size_t n, at = 0;
	double *free_g, *g;
	int same = 1, none = 1;

	tiny_new(&m, 0, 0);
	free_g = gradients_by_parts(&m, 3, &n);
	for (int i = 0; i < m.n; i++)
		if (frozen(m.w[i].name)) {
			free(m.w[i].g);
			m.w[i].g = NULL;
		}
	g = gradients_by_parts(&m, 3, &n);
	for (int i = 0; i < m.n; i++)
		for (size_t j = 0; j < m.w[i].n; j++, at++) {
			none &= m.w[i].g || g[at] == 0;
			same &= !m.w[i].g || g[at] == free_g[at];
		}
	ok(none && same, "frozen: %s", what);
	free(g);
	free(free_g);
	tiny_free(&m);
}

static inline int is_conv1(const char *n) { return !strcmp(n, "visual.conv1.weight"); }
static inline int is_image(const char *n) { return !strncmp(n, "visual.", 7); }
static inline int is_head(const char *n) { return !strncmp(n, "simsiam.", 8) || !strncmp(n, "mlm.", 4) || !strncmp(n, "mask_", 5); }
static inline int is_text(const char *n) { return !is_image(n) && !is_head(n); }
static inline int is_all_but_conv1(const char *n) { return !is_conv1(n); }

static inline void
check_errors(void)
{
	struct tiny m;
	struct dc_enc *e;
	int32_t *bad;

	tiny_new(&m, 1, 0);
	e = dc_enc_new(&m.c, m.w, m.n - 1, 1);
	ok(!e && strstr(dc_err(), "mask_embedding"), "a missing tensor is named: %s", dc_err());
	m.w[3].n++;
	e = dc_enc_new(&m.c, m.w, m.n, 1);
	ok(!e && strstr(dc_err(), m.w[3].name), "a wrong size is named: %s", dc_err());
	m.w[3].n--;
	e = dc_enc_new(&m.c, m.w, m.n, 1);
	dc_enc_begin(e, TINY_N, 1);
	bad = m.token[0];
	bad[2 * TINY_T + 1] = TINY_V + 1;
	ok(dc_enc_text(e, 0, 0, 3, bad) < 0 && strstr(dc_err(), "row 2, position 1"), "a token too large: %s", dc_err());
	bad[2 * TINY_T + 1] = -1;
	ok(dc_enc_text(e, 0, 0, 3, bad) < 0 && strstr(dc_err(), "row 2, position 1"), "a token below 0: %s", dc_err());
	bad[2 * TINY_T + 1] = TINY_V - 1;
	ok(dc_enc_text(e, 0, 0, 3, bad) == 0, "two end tokens: the first counts");
	for (int t = 0; t < TINY_T; t++)
		bad[TINY_T + t] = 3;
	ok(dc_enc_text(e, 0, 0, 3, bad) < 0 && strstr(dc_err(), "row 1: no end token"), "no end token: %s", dc_err());
	m.mlm_target[TINY_T + 7] = 1;
	ok(dc_enc_mlm(e, 0, 3, m.mlm_token, m.mlm_target) < 0 && strstr(dc_err(), "row 1, position 7"),
		"a target after the end: %s", dc_err());
	dc_enc_free(e);
	tiny_free(&m);
}

/* N = 0 and empty parts are legal; so is N = 1. */
static inline void
check_empty(void)
{
	struct tiny m;
	struct dc_enc *e;

	tiny_new(&m, 1, 0);
	e = dc_enc_new(&m.c, m.w, m.n, 1);
	dc_enc_begin(e, 0, 1);
	dc_enc_image(e, 0, 0, 0, NULL);
	ok(dc_enc_text(e, 0, 0, 0, NULL) == 0 && dc_enc_mlm(e, 0, 0, NULL, NULL) == 0, "empty parts");
	dc_enc_heads(e);
	dc_enc_backward_heads(e);
	ok(dc_enc_backward_next(e) == 0 && e->M == 0, "an empty batch");
	dc_enc_free(e);
	tiny_free(&m);
}

/* Whether the tensor only shifts what a batch norm centres next: its gradient is zero but for rounding. */
static inline int
before_batch_norm(const char *name)
{
	return !strncmp(name, "simsiam.", 8) && strstr(name, ".bias") && strcmp(name, "simsiam.predictor.1.bias") &&
		(!strstr(name, ".bn.") || !strcmp(name, "simsiam.projector.2.bn.bias"));
}

/* tests/golden/BASE from here (the top), or some levels up from the program, build/[asan/]test_nn. */
static inline void
golden_path(char *path, size_t n, const char *argv0, const char *base)
{
	const int dir = (int)(strrchr(argv0, '/') ? strrchr(argv0, '/') + 1 - argv0 : 0);
	const char *up[] = { "../", "../../", "../../../" };

	snprintf(path, n, "tests/golden/%s", base);
	for (int i = 0; i < 3 && access(path, R_OK); i++)
		snprintf(path, n, "%.*s%stests/golden/%s", dir, argv0, up[i], base);
}

/* Golden numbers of tests/reference/towers.py: outputs, then every gradient, as f8. */
static inline void
check_golden(const char *argv0, const char *base, int quick, int released, double tol)
{
	char file[4096];
	struct tiny m;
	struct tiny_out out[7];
	struct dc_enc *e;
	char *bytes = NULL;
	size_t n = 0, at = 0;
	const double *want;

	golden_path(file, sizeof(file), argv0, base);
	if (dc_slurp(file, 1 << 20, &bytes, &n) < 0) {
		ok(0, "%s", dc_err());
		return;
	}
	want = (const double *)(const void *)bytes;
	n /= sizeof(*want);
	tiny_new(&m, quick, released);
	e = dc_enc_new(&m.c, m.w, m.n, 1);
	ok(tiny_forward(e, &m, 3, 1) == 0, "%s: forward pass", base);
	for (int i = 0, k = tiny_outputs(e, out); i < k; at += out[i++].n)
		ok(at + out[i].n <= n && close_norm(out[i].value, want + at, out[i].n, tol), "PyTorch's %s", out[i].name);
	tiny_backward(e);
	for (int i = 0; i < m.n; at += m.w[i++].n) {
		const int zero = before_batch_norm(m.name[i]);

		ok(at + m.w[i].n <= n && (zero || close_norm(m.w[i].g, want + at, m.w[i].n, tol)), "PyTorch's gradient of %s",
			m.name[i]);
	}
	ok(at == n, "nothing more in the file");
	dc_enc_free(e);
	tiny_free(&m);
	free(bytes);
}

#endif
