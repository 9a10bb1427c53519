/* SPDX-License-Identifier: MIT */
/* The masked-language-model head with its cross-entropy, tiled: an M x V buffer exists only where it is small. */
#ifndef DC_NN_MLM_H
#define DC_NN_MLM_H

#include <stddef.h>
#include <stdint.h>
#include "base/real.h"

/* Reals of what the forward pass may keep for the backward pass, which is then spared the logits and their exponentials;
 * 0 where that would be over 64 MB. */
size_t dc_mlm_kept(int64_t M, int V);

/* For M masked positions with hidden states h [M,W], a head weight [V,W], bias [V] and the true ids target [M]
 * (0 <= target < V, checked by the caller):
 *	l_mv = sum_w h_mw weight_vw + bias_v,  lse_m = log sum_v exp l_mv,  nll_m = lse_m - l_m,target(m)
 * nll, lse [M] are overwritten. kept: dc_mlm_kept(M, V) reals to fill, or NULL. */
void dc_mlm_forward(dc_real *nll, dc_real *lse, dc_real *kept, const dc_real *h, const dc_real *weight, const dc_real *bias,
    const int32_t *target, int64_t M, int W, int V);

/* From dnll [M]:
 *	dl_mv = (exp(l_mv - lse_m) - [v = target(m)]) dnll_m
 *	dh = dl weight,  dweight += dl^T h,  dbias_v += sum_m dl_mv
 * dh [M,W] is overwritten; dweight [V,W] and dbias [V] are added to, and may be NULL. lse as dc_mlm_forward left it, and
 * kept, which is written over (NULL: the logits are computed once more). The threads share the vocabulary; with as many of them the result is the same, bit for bit. */
void dc_mlm_backward(dc_real *dh, dc_real *dweight, dc_real *dbias, dc_real *kept, const dc_real *h, const dc_real *weight,
    const dc_real *bias, const int32_t *target, const dc_real *lse, const dc_real *dnll, int64_t M, int W, int V);

#endif
