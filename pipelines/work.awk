# SPDX-License-Identifier: MIT
# Useful work of training on one pair, in GFLOP: the products that the mathematics needs, a multiplication and an addition
# being two; padding, recomputation and everything that is no matrix product are not counted.
#
#	dc-step --run RUN --print config | awk -v tokens=14 -v batch=64 -f work.awk
#
# tokens: the mean length of a caption with its start and end. Backward is twice forward, and nothing flows into pixels.
function number(block, key,    s) { # "key":12 of the object that begins with "block":{
	s = block ? substr(text, index(text, "\"" block "\":{")) : text
	s = substr(s, index(s, "\"" key "\":") + length(key) + 3)
	return s + 0
}
function has(block, key) { return substr(text, index(text, "\"" block "\":{")) ~ "^[^}]*\"" key "\":" }
function weight(term) { return has("weights", term) ? number("weights", term) : 0 } # the family's terms are named where they are on
# L positions of width w, MLP m, n layers; q: positions of which the last layer's output is asked; seen: positions each attends to
function tower(L, w, m, n, q, seen) {
	return (n - 1) * L * (8 * w * w + 4 * seen * w + 4 * w * m) + L * 4 * w * w + q * (4 * w * w + 4 * seen * w + 4 * w * m)
}
{ text = text $0 }
END {
	D = number("model_cfg", "embed_dim")
	w = number("vision_cfg", "width"); p = number("vision_cfg", "patch_size"); L = int(number("vision_cfg", "image_size") / p) ^ 2
	v = number("text_cfg", "width"); T = tokens; V = number("text_cfg", "vocab_size")
	m = (has("vision_cfg", "mlp_ratio") ? number("vision_cfg", "mlp_ratio") : 4) * w
	mt = (has("text_cfg", "mlp_ratio") ? number("text_cfg", "mlp_ratio") : 4) * v
	clip = number("weights", "clip"); mvs = number("weights", "mvs"); nns = number("weights", "nns")
	simsiam = number("weights", "simsiam"); mlm = number("weights", "mlm")
	simclr = weight("simclr"); filip = weight("filip"); siglip = weight("siglip")
	images = simclr > 0 ? 3 : mvs + simsiam + nns > 0 ? 2 : 1; captions = mvs > 0 ? 2 : 1
	frozen = text ~ /"freeze":"[^"]*conv1/
	h = number("", "simsiam_width"); h2 = number("", "simsiam_hidden")
	M = 0.15 * T

	conv1 = 2 * L * 3 * p * p * w
	image = tower(L + 1, w, m, number("vision_cfg", "layers"), 1, L + 1) + 2 * w * D
	caption = tower(T, v, mt, number("text_cfg", "layers"), 1, (T + 1) / 2) + 2 * v * D
	masked = mlm > 0 ? tower(T, v, mt, number("text_cfg", "layers"), M, T) + 2 * M * v * V : 0
	heads = simsiam > 0 ? 2 * (D * h + 2 * h * h + 2 * h * h2) : 0
	if (simclr > 0) { # two of the views go through the head, not through the projection
		S = number("", "simclr_hidden")
		other = 2 * 2 * (w * S + S * S + S * number("", "simclr_width")) - 2 * 2 * w * D
	}
	if (filip > 0) { # all positions of the first views, their projections, and the products of tokens with words both ways
		F = number("", "filip_width"); R = T - 2
		other += tower(L + 1, w, m, 1, L + 1, L + 1) - tower(L + 1, w, m, 1, 1, L + 1) + 2 * L * w * F
		other += tower(T, v, mt, 1, T, (T + 1) / 2) - tower(T, v, mt, 1, 1, (T + 1) / 2) + 2 * R * v * F
		tokenwise = 2 * 2 * batch * L * R * F
	}
	similar = 2 * batch * D * ((clip > 0) + (siglip > 0) + 3 * (mvs > 0) + 2 * (nns > 0)) + tokenwise
	search = nns > 0 ? 2 * number("", "queue") * D : 0
	printf "%.6g\n", 1e-9 * (images * (conv1 * (frozen ? 1 : 2) + 3 * (image + heads)) + 3 * (captions * caption + masked + similar + other) + search)
}
