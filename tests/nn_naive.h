/* SPDX-License-Identifier: MIT */
/* The towers once more, as plainly as they can be written, in double and with padding: what the fast ones must equal. */
#ifndef NN_NAIVE_H
#define NN_NAIVE_H

#include <math.h>

#include "tests/nn_model.h"

enum { NAIVE_MAX = 64 };   /* rows and widths */
typedef double naive_rows[NAIVE_MAX][NAIVE_MAX];

static inline const dc_real *
naive_w(const struct tiny *m, const char *prefix, const char *name)
{
	char full[128];

	snprintf(full, sizeof(full), "%s%s", prefix, name);
	return tiny_find(m, full)->w;
}

static inline void
naive_linear(double *y, const double *x, const dc_real *w, const dc_real *b, int I, int O)
{
	for (int o = 0; o < O; o++) {
		y[o] = b ? (double)b[o] : 0;
		for (int i = 0; i < I; i++)
			y[o] += x[i] * (double)w[o * I + i];
	}
}

static inline void
naive_norm(double *y, const double *x, const dc_real *w, const dc_real *b, int C)
{
	double mean = 0, var = 0;

	for (int c = 0; c < C; c++)
		mean += x[c] / C;
	for (int c = 0; c < C; c++)
		var += (x[c] - mean) * (x[c] - mean) / C;
	for (int c = 0; c < C; c++)
		y[c] = (x[c] - mean) / sqrt(var + 1e-5) * (double)w[c] + (double)b[c];
}

static inline double
naive_gelu(double x, int quick)
{
	return quick ? x / (1 + exp(-1.702 * x)) : x * 0.5 * (1 + erf(x / sqrt(2)));
}

/* att_i = sum_j softmax_j(q_i k_j / sqrt(hd)) v_j over the keys j < (causal ? i + 1 : keys), head by head */
static inline void
naive_attention(naive_rows att, double (*qkv)[3 * NAIVE_MAX], int L, int keys, int causal, int W, int heads)
{
	const int hd = W / heads;

	for (int h = 0; h < heads; h++)
		for (int i = 0; i < L; i++) {
			double p[NAIVE_MAX], sum = 0;
			int see = causal ? i + 1 : keys;

			for (int j = 0; j < see; j++) {
				double s = 0;

				for (int d = h * hd; d < (h + 1) * hd; d++)
					s += qkv[i][d] * qkv[j][W + d];
				sum += p[j] = exp(s / sqrt(hd));
			}
			for (int d = h * hd; d < (h + 1) * hd; d++) {
				att[i][d] = 0;
				for (int j = 0; j < see; j++)
					att[i][d] += p[j] / sum * qkv[j][2 * W + d];
			}
		}
}

static inline void
naive_block(naive_rows x, const struct tiny *m, const char *p, int L, int keys, int causal, int W, int heads, int F)
{
	static double qkv[NAIVE_MAX][3 * NAIVE_MAX];
	static naive_rows att;
	double y[NAIVE_MAX], h[NAIVE_MAX];

	for (int i = 0; i < L; i++) {
		naive_norm(y, x[i], naive_w(m, p, "ln_1.weight"), naive_w(m, p, "ln_1.bias"), W);
		naive_linear(qkv[i], y, naive_w(m, p, "attn.in_proj_weight"), naive_w(m, p, "attn.in_proj_bias"), W, 3 * W);
	}
	naive_attention(att, qkv, L, keys, causal, W, heads);
	for (int i = 0; i < L; i++) {
		naive_linear(y, att[i], naive_w(m, p, "attn.out_proj.weight"), naive_w(m, p, "attn.out_proj.bias"), W, W);
		for (int c = 0; c < W; c++)
			x[i][c] += y[c];
		naive_norm(y, x[i], naive_w(m, p, "ln_2.weight"), naive_w(m, p, "ln_2.bias"), W);
		naive_linear(h, y, naive_w(m, p, "mlp.c_fc.weight"), naive_w(m, p, "mlp.c_fc.bias"), W, F);
		for (int f = 0; f < F; f++)
			h[f] = naive_gelu(h[f], m->c.quick_gelu);
		naive_linear(y, h, naive_w(m, p, "mlp.c_proj.weight"), naive_w(m, p, "mlp.c_proj.bias"), F, W);
		for (int c = 0; c < W; c++)
			x[i][c] += y[c];
	}
}

static inline void
naive_blocks(naive_rows x, const struct tiny *m, const char *prefix, int layers, int L, int keys, int causal, int W, int heads,
	int F)
{
	char p[64];

	for (int l = 0; l < layers; l++) {
		snprintf(p, sizeof(p), "%stransformer.resblocks.%d.", prefix, l);
		naive_block(x, m, p, L, keys, causal, W, heads, F);
	}
}

/* feature [D] = y proj, proj [W,D] */
static inline void
naive_project(double *feature, const double *y, const dc_real *proj, int W, int D)
{
	for (int d = 0; d < D; d++) {
		feature[d] = 0;
		for (int w = 0; w < W; w++)
			feature[d] += y[w] * (double)proj[w * D + d];
	}
}

/* One image u8 [S,S,3]. */
static inline void
naive_image(double *feature, const struct tiny *m, const uint8_t *rgb)
{
	const struct dc_vision *v = &m->c.vision;
	const int S = v->image_size, P = v->patch_size, side = S / P, W = v->width, L = 1 + side * side;
	const dc_real *conv1 = naive_w(m, "", "visual.conv1.weight"), *pos = naive_w(m, "", "visual.positional_embedding");
	static naive_rows x;
	double y[NAIVE_MAX];

	for (int l = 0; l < L; l++)
		for (int w = 0; w < W; w++) {
			double s = l ? 0 : (double)naive_w(m, "", "visual.class_embedding")[w];

			for (int k = 0; l && k < 3 * P * P; k++) {
				int c = k / (P * P), py = k / P % P, px = k % P, gy = (l - 1) / side, gx = (l - 1) % side;
				double u = rgb[((gy * P + py) * S + gx * P + px) * 3 + c];

				s += (u / 255 - m->c.mean[c]) / m->c.std[c] * (double)conv1[w * 3 * P * P + k];
			}
			x[l][w] = s + (double)pos[l * W + w];
		}
	for (int l = 0; l < L; l++) {
		naive_norm(y, x[l], naive_w(m, "", "visual.ln_pre.weight"), naive_w(m, "", "visual.ln_pre.bias"), W);
		memcpy(x[l], y, W * sizeof(*y));
	}
	naive_blocks(x, m, "visual.", v->layers, L, L, 0, W, v->heads, v->mlp);
	naive_norm(y, x[0], naive_w(m, "", "visual.ln_post.weight"), naive_w(m, "", "visual.ln_post.bias"), W);
	naive_project(feature, y, naive_w(m, "", "visual.proj"), W, m->c.embed_dim);
}

/* All T positions of one caption through the blocks and ln_final: y [T,W]; returns the end token's place. */
static inline int
naive_text(naive_rows y, const struct tiny *m, const int32_t *token, int causal)
{
	const struct dc_text *t = &m->c.text;
	const dc_real *pos = naive_w(m, "", "positional_embedding");
	static naive_rows x;
	int end = 0;

	while (token[end] != TINY_V - 1)
		end++;
	for (int i = 0; i < TINY_T; i++)
		for (int w = 0; w < t->width; w++)
			x[i][w] = (double)pos[i * t->width + w] + (double)(token[i] == TINY_V ? naive_w(m, "", "mask_embedding")[w] :
				naive_w(m, "", "token_embedding.weight")[token[i] * t->width + w]);
	naive_blocks(x, m, "", t->layers, TINY_T, causal ? TINY_T : end + 1, causal, t->width, t->heads, t->mlp);
	for (int i = 0; i < TINY_T; i++)
		naive_norm(y[i], x[i], naive_w(m, "", "ln_final.weight"), naive_w(m, "", "ln_final.bias"), t->width);
	return end;
}

static inline double
naive_nll(const struct tiny *m, const double *h, int target)
{
	double logit[TINY_V], sum = 0;

	naive_linear(logit, h, naive_w(m, "", "mlm.weight"), naive_w(m, "", "mlm.bias"), m->c.text.width, TINY_V);
	for (int v = 0; v < TINY_V; v++)
		sum += exp(logit[v]);
	return log(sum) - logit[target];
}

/* The towers' outputs for the whole batch; returns M. */
static inline int
naive_batch(double image[2][TINY_N * 6], double text[2][TINY_N * 6], double *nll, const struct tiny *m)
{
	const int S = m->c.vision.image_size, D = m->c.embed_dim;
	static naive_rows y;
	int M = 0;

	for (int v = 0; v < 2; v++)
		for (int s = 0; s < TINY_N; s++) {
			const int32_t *token = (m->c.released && v == 0 ? m->mlm_token : m->token[v]) + s * TINY_T;
			int end = naive_text(y, m, token, 1);

			naive_image(image[v] + s * D, m, m->rgb[v] + (size_t)s * S * S * 3);
			naive_project(text[v] + s * D, y[end], naive_w(m, "", "text_projection"), m->c.text.width, D);
		}
	for (int s = 0; s < TINY_N; s++) {
		naive_text(y, m, m->mlm_token + s * TINY_T, m->c.released);
		for (int t = 0; t < TINY_T; t++)
			if (m->mlm_target[s * TINY_T + t] >= 0)
				nll[M++] = naive_nll(m, y[t], m->mlm_target[s * TINY_T + t]);
	}
	return M;
}

#endif
