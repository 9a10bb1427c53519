/* SPDX-License-Identifier: MIT */
/* A tiny model and batch for the tests of the numeric room, the same in tests/reference/towers.py: every number is a
 * hash of (tensor, element), rounded to float, so that no file has to carry them. */
#ifndef NN_MODEL_H
#define NN_MODEL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "base/util.h"
#include "nn/encoder.h"

static inline void
set_threads(int n)
{
#ifdef _OPENMP
	omp_set_num_threads(n);
#else
	(void)n;
#endif
}

enum { TINY_N = 9, TINY_T = 8, TINY_V = 32, TENSORS_MAX = 128 };

/* In [-0.5, 0.5), the same in Python: SplitMix64's finaliser of (salt << 32) + i. */
static inline double
tiny_hash(uint32_t salt, uint32_t i)
{
	uint64_t z = ((uint64_t)salt << 32) + i + UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	z ^= z >> 31;
	return (double)(float)((double)(z >> 40) / 16777216.0 - 0.5);
}

static inline void
tiny_fill(dc_real *x, size_t n, uint32_t salt, double centre, double scale)
{
	for (size_t i = 0; i < n; i++) {
		/* volatile: gcc 12 -O3 vectorises the rounding to float away in a loop's last elements */
		volatile float rounded = (float)(centre + scale * tiny_hash(salt, (uint32_t)i));

		x[i] = (dc_real)rounded;
	}
}

struct tiny {
	struct dc_config c;
	struct dc_weight w[TENSORS_MAX];
	char name[TENSORS_MAX][96];
	int n;
	uint8_t *rgb[2];                    /* [N,S,S,3] */
	int32_t token[2][TINY_N * TINY_T], mlm_token[TINY_N * TINY_T], mlm_target[TINY_N * TINY_T];
};

static inline void
tiny_tensor(struct tiny *m, const char *prefix, const char *name, size_t n)
{
	int norm = strstr(name, "ln_") == name || strstr(name, ".bn.") != NULL;
	int one = norm && strstr(name, "weight") != NULL;
	dc_real *w = dc_xaligned(n, sizeof(*w)), *g = dc_xcalloc(n, sizeof(*g));

	snprintf(m->name[m->n], sizeof(m->name[0]), "%s%s", prefix, name);
	tiny_fill(w, n, (uint32_t)m->n, one, norm ? 0.5 : 1.0);
	m->w[m->n] = (struct dc_weight){ m->name[m->n], n, w, g };
	m->n++;
}

static inline void
tiny_blocks(struct tiny *m, const char *prefix, int layers, size_t W, size_t F)
{
	char p[64];

	for (int l = 0; l < layers; l++) {
		snprintf(p, sizeof(p), "%stransformer.resblocks.%d.", prefix, l);
		tiny_tensor(m, p, "ln_1.weight", W);
		tiny_tensor(m, p, "ln_1.bias", W);
		tiny_tensor(m, p, "attn.in_proj_weight", 3 * W * W);
		tiny_tensor(m, p, "attn.in_proj_bias", 3 * W);
		tiny_tensor(m, p, "attn.out_proj.weight", W * W);
		tiny_tensor(m, p, "attn.out_proj.bias", W);
		tiny_tensor(m, p, "ln_2.weight", W);
		tiny_tensor(m, p, "ln_2.bias", W);
		tiny_tensor(m, p, "mlp.c_fc.weight", F * W);
		tiny_tensor(m, p, "mlp.c_fc.bias", F);
		tiny_tensor(m, p, "mlp.c_proj.weight", W * F);
		tiny_tensor(m, p, "mlp.c_proj.bias", W);
	}
}

static inline void
tiny_heads(struct tiny *m)
{
	const size_t D = m->c.embed_dim, Z = m->c.simsiam_width, H = m->c.simsiam_hidden, V = TINY_V, W = m->c.text.width;
	const size_t size[6] = { D, Z, Z, Z, H, Z };
	const char *layer[5] = { "projector.0", "projector.1", "projector.2", "predictor.0", "predictor.1" };
	char p[64];

	for (int i = 0; i < 5; i++) {
		snprintf(p, sizeof(p), "simsiam.%s", layer[i]);
		tiny_tensor(m, p, ".weight", size[i + 1] * size[i]);
		tiny_tensor(m, p, ".bias", size[i + 1]);
		if (i < 4) {
			tiny_tensor(m, p, ".bn.weight", size[i + 1]);
			tiny_tensor(m, p, ".bn.bias", size[i + 1]);
		}
	}
	tiny_tensor(m, "", "mlm.weight", V * W);
	tiny_tensor(m, "", "mlm.bias", V);
	tiny_tensor(m, "", "mask_embedding", W);
}

/* Captions of length 2 to T, the end token V-1 and then padding 0; in the masked ones two words of three ask. */
static inline void
tiny_batch(struct tiny *m)
{
	const size_t bytes = (size_t)TINY_N * m->c.vision.image_size * m->c.vision.image_size * 3;

	for (int v = 0; v < 2; v++) {
		m->rgb[v] = dc_xmalloc(bytes);
		for (size_t i = 0; i < bytes; i++)
			m->rgb[v][i] = (uint8_t)((tiny_hash(900 + v, (uint32_t)i) + 0.5) * 256);
		for (int s = 0; s < TINY_N; s++) {
			int L = s == 1 ? 2 : 4 + (s * 3 + v) % 5;

			for (int t = 0; t < TINY_T; t++) {
				int word = 1 + (int)((tiny_hash(910 + v, (uint32_t)(s * TINY_T + t)) + 0.5) * (TINY_V - 3));

				m->token[v][s * TINY_T + t] = t == 0 ? TINY_V - 2 : t < L - 1 ? word : t == L - 1 ? TINY_V - 1 : 0;
			}
		}
	}
	for (int i = 0; i < TINY_N * TINY_T; i++) {
		int32_t t = m->token[0][i], ask = t > 0 && t < TINY_V - 2 && i % 3 != 0;

		m->mlm_target[i] = ask ? t : -1;
		m->mlm_token[i] = ask && i % 2 ? TINY_V : t;
		if (ask && i % 10 == 4 && m->c.released)   /* any id: an end token, and later words are asked for all the same */
			m->mlm_token[i] = TINY_V - 1;
	}
}

/* proj_bias: the text projection is a linear layer; its tensors come last, so that no other changes */
static inline void
tiny_new_as(struct tiny *m, int quick, int released, int proj_bias)
{
	struct dc_config *c = &m->c;

	memset(m, 0, sizeof(*m));
	c->vision = (struct dc_vision){ .image_size = 8, .patch_size = 4, .width = 12, .layers = 2, .heads = 3, .mlp = 20 };
	c->text = (struct dc_text){ .context_length = TINY_T, .vocab_size = TINY_V, .width = 8, .heads = 2, .layers = 2, .mlp = 16 };
	c->embed_dim = 6;
	c->quick_gelu = quick;
	c->released = released;
	for (int i = 0; i < 3; i++) {
		c->mean[i] = 0.45 + 0.05 * i;
		c->std[i] = 0.25 + 0.02 * i;
	}
	strcpy(c->method, "declip");
	for (int i = 0; i <= DC_TERM_NNS; i++)
		c->weight[i] = 0.2;
	c->image_views = c->caption_views = 2;
	c->simsiam_width = 8;
	c->simsiam_hidden = 4;

	tiny_tensor(m, "visual.", "conv1.weight", 12 * 48);
	tiny_tensor(m, "visual.", "class_embedding", 12);
	tiny_tensor(m, "visual.", "positional_embedding", 5 * 12);
	tiny_tensor(m, "visual.", "ln_pre.weight", 12);
	tiny_tensor(m, "visual.", "ln_pre.bias", 12);
	tiny_tensor(m, "visual.", "ln_post.weight", 12);
	tiny_tensor(m, "visual.", "ln_post.bias", 12);
	tiny_tensor(m, "visual.", "proj", 12 * 6);
	tiny_blocks(m, "visual.", 2, 12, 20);
	tiny_tensor(m, "", "token_embedding.weight", TINY_V * 8);
	tiny_tensor(m, "", "positional_embedding", TINY_T * 8);
	tiny_tensor(m, "", "ln_final.weight", 8);
	tiny_tensor(m, "", "ln_final.bias", 8);
	if (!proj_bias)
		tiny_tensor(m, "", "text_projection", 8 * 6);
	tiny_blocks(m, "", 2, 8, 16);
	tiny_heads(m);
	if (proj_bias) {
		c->text.proj_bias = 1;
		tiny_tensor(m, "", "text_projection.weight", 6 * 8);
		tiny_tensor(m, "", "text_projection.bias", 6);
	}
	tiny_batch(m);
}

static inline void
tiny_new(struct tiny *m, int quick, int released)
{
	tiny_new_as(m, quick, released, 0);
}

static inline void
tiny_free(struct tiny *m)
{
	for (int i = 0; i < m->n; i++) {
		free((void *)m->w[i].w);
		free(m->w[i].g);
	}
	free(m->rgb[0]);
	free(m->rgb[1]);
}

static inline const struct dc_weight *
tiny_find(const struct tiny *m, const char *name)
{
	for (int i = 0; i < m->n; i++)
		if (!strcmp(m->name[i], name))
			return m->w + i;
	return NULL;
}

static inline void
tiny_zero_gradients(struct tiny *m)
{
	for (int i = 0; i < m->n; i++)
		if (m->w[i].g)
			memset(m->w[i].g, 0, m->w[i].n * sizeof(dc_real));
}

/* The forward pass in parts of `part` samples (the last may be smaller). */
static inline int
tiny_forward(struct dc_enc *e, const struct tiny *m, int part, int keep)
{
	const int S = m->c.vision.image_size, released = m->c.released;
	int status = 0;

	dc_enc_begin(e, TINY_N, keep);
	for (int row = 0; row < TINY_N; row += part) {
		int n = TINY_N - row < part ? TINY_N - row : part;
		size_t at = (size_t)row * TINY_T;

		for (int v = 0; v < 2; v++) {
			dc_enc_image(e, v, row, n, m->rgb[v] + (size_t)row * S * S * 3);
			status |= dc_enc_text(e, v, row, n, (released && v == 0 ? m->mlm_token : m->token[v]) + at);
		}
		status |= dc_enc_mlm(e, row, n, m->mlm_token + at, m->mlm_target + at);
	}
	dc_enc_heads(e);
	return status;
}

/* What the loss asks of each output: fixed random numbers. The loss is the sum of output times those. */
struct tiny_out { const char *name; dc_real *value, *gradient; size_t n; };

static inline int
tiny_outputs(const struct dc_enc *e, struct tiny_out out[7])
{
	const size_t ND = (size_t)e->N * e->c.embed_dim, NZ = (size_t)e->N * e->c.simsiam_width;
	int n = 0;

	for (int v = 0; v < 2; v++) {
		out[n++] = (struct tiny_out){ "image_features", e->image_features[v], e->d_image_features[v], ND };
		out[n++] = (struct tiny_out){ "text_features", e->text_features[v], e->d_text_features[v], ND };
		out[n++] = (struct tiny_out){ "simsiam_p", e->simsiam_p[v], e->d_simsiam_p[v], NZ };
	}
	out[n++] = (struct tiny_out){ "mlm_nll", e->mlm_nll, e->d_mlm_nll, (size_t)e->M };
	return n;
}

static inline double
tiny_loss(const struct dc_enc *e)
{
	struct tiny_out out[7];
	double loss = 0;

	for (int i = 0, n = tiny_outputs(e, out); i < n; i++)
		for (size_t j = 0; j < out[i].n; j++)
			loss += (double)out[i].value[j] * tiny_hash(800 + i, (uint32_t)j);
	return loss;
}

static inline void
tiny_backward(struct dc_enc *e)
{
	struct tiny_out out[7];

	for (int i = 0, n = tiny_outputs(e, out); i < n; i++)
		for (size_t j = 0; j < out[i].n; j++)
			out[i].gradient[j] = (dc_real)tiny_hash(800 + i, (uint32_t)j);
	dc_enc_backward_heads(e);
	while (dc_enc_backward_next(e) > 0)
		;
}

#endif
