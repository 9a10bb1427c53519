#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tiny model of tests/nn_model.h in PyTorch, float64: outputs, then the gradient of every tensor, as little-endian f8.

usage: towers.py DIR    writes DIR/towers-quick.f8 (QuickGELU) and DIR/towers-exact-released.f8 (GELU, --as released)

The captions stay padded to the context length here, every row goes through every block, and autograd does the rest.
"""
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F

N, T, V, D, Z, H = 9, 8, 32, 6, 8, 4
MASK64 = (1 << 64) - 1
torch.set_default_dtype(torch.float64)


def hash_(salt, n):
    """tiny_hash(salt, 0..n-1)"""
    out = np.empty(n)
    for i in range(n):
        z = ((salt << 32) + i + 0x9E3779B97F4A7C15) & MASK64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
        z ^= z >> 31
        out[i] = np.float32((z >> 40) / 16777216.0 - 0.5)
    return out


def block_names(prefix, layers, W, mlp):
    for l in range(layers):
        p = f"{prefix}transformer.resblocks.{l}."
        yield p + "ln_1.weight", (W,)
        yield p + "ln_1.bias", (W,)
        yield p + "attn.in_proj_weight", (3 * W, W)
        yield p + "attn.in_proj_bias", (3 * W,)
        yield p + "attn.out_proj.weight", (W, W)
        yield p + "attn.out_proj.bias", (W,)
        yield p + "ln_2.weight", (W,)
        yield p + "ln_2.bias", (W,)
        yield p + "mlp.c_fc.weight", (mlp, W)
        yield p + "mlp.c_fc.bias", (mlp,)
        yield p + "mlp.c_proj.weight", (W, mlp)
        yield p + "mlp.c_proj.bias", (W,)


def names():
    yield "visual.conv1.weight", (12, 3, 4, 4)
    yield "visual.class_embedding", (12,)
    yield "visual.positional_embedding", (5, 12)
    for n in "ln_pre.weight", "ln_pre.bias", "ln_post.weight", "ln_post.bias":
        yield "visual." + n, (12,)
    yield "visual.proj", (12, D)
    yield from block_names("visual.", 2, 12, 20)
    yield "token_embedding.weight", (V, 8)
    yield "positional_embedding", (T, 8)
    yield "ln_final.weight", (8,)
    yield "ln_final.bias", (8,)
    yield "text_projection", (8, D)
    yield from block_names("", 2, 8, 16)
    size = [D, Z, Z, Z, H, Z]
    for i, layer in enumerate(["projector.0", "projector.1", "projector.2", "predictor.0", "predictor.1"]):
        yield f"simsiam.{layer}.weight", (size[i + 1], size[i])
        yield f"simsiam.{layer}.bias", (size[i + 1],)
        if i < 4:
            yield f"simsiam.{layer}.bn.weight", (size[i + 1],)
            yield f"simsiam.{layer}.bn.bias", (size[i + 1],)
    yield "mlm.weight", (V, 8)
    yield "mlm.bias", (V,)
    yield "mask_embedding", (8,)


def make_weights():
    w = {}
    for salt, (name, shape) in enumerate(names()):
        n = math.prod(shape)
        norm = ".ln_" in "." + name or ".bn." in name
        centre = 1.0 if norm and name.endswith("weight") else 0.0
        x = np.float32(centre + (0.5 if norm else 1.0) * hash_(salt, n)).astype(np.float64)
        w[name] = torch.tensor(x.reshape(shape), requires_grad=True)
    return w


def make_batch(released):
    images, tokens = [], []
    for v in range(2):
        u8 = ((hash_(900 + v, N * 8 * 8 * 3) + 0.5) * 256).astype(np.uint8)
        images.append(torch.tensor(u8.reshape(N, 8, 8, 3)))
        word = 1 + ((hash_(910 + v, N * T) + 0.5) * (V - 3)).astype(int).reshape(N, T)
        tok = np.zeros((N, T), int)
        for s in range(N):
            L = 2 if s == 1 else 4 + (s * 3 + v) % 5
            tok[s, 0] = V - 2
            tok[s, 1:L - 1] = word[s, 1:L - 1]
            tok[s, L - 1] = V - 1
        tokens.append(tok)
    flat = tokens[0].reshape(-1)
    i = np.arange(N * T)
    ask = (flat > 0) & (flat < V - 2) & (i % 3 != 0)
    target = np.where(ask, flat, -1).reshape(N, T)
    masked = np.where(ask & (i % 2 == 1), V, flat)
    masked = np.where(ask & (i % 10 == 4) & released, V - 1, masked).reshape(N, T)
    return images, [torch.tensor(t) for t in tokens], torch.tensor(masked), torch.tensor(target)


class Model:
    def __init__(self, quick):
        self.w = make_weights()
        self.quick = quick

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"], 1e-5)

    def gelu(self, x):
        return x * torch.sigmoid(1.702 * x) if self.quick else F.gelu(x)

    def blocks(self, x, prefix, heads, allowed):
        """allowed [n or 1, L, L]: which key a query sees"""
        w = self.w
        n, L, W = x.shape
        for l in range(2):
            p = f"{prefix}transformer.resblocks.{l}."
            qkv = F.linear(self.norm(x, p + "ln_1"), w[p + "attn.in_proj_weight"], w[p + "attn.in_proj_bias"])
            q, k, v = (t.reshape(n, L, heads, W // heads).transpose(1, 2) for t in qkv.split(W, -1))
            s = q @ k.transpose(-1, -2) / math.sqrt(W // heads)
            s = s.masked_fill(~allowed[:, None], -math.inf)
            a = (s.softmax(-1) @ v).transpose(1, 2).reshape(n, L, W)
            x = x + F.linear(a, w[p + "attn.out_proj.weight"], w[p + "attn.out_proj.bias"])
            h = self.gelu(F.linear(self.norm(x, p + "ln_2"), w[p + "mlp.c_fc.weight"], w[p + "mlp.c_fc.bias"]))
            x = x + F.linear(h, w[p + "mlp.c_proj.weight"], w[p + "mlp.c_proj.bias"])
        return x

    def image(self, u8):
        w = self.w
        mean = torch.tensor([0.45, 0.50, 0.55]).view(3, 1, 1)
        std = torch.tensor([0.25, 0.27, 0.29]).view(3, 1, 1)
        x = (u8.permute(0, 3, 1, 2).double() / 255 - mean) / std
        x = F.conv2d(x, w["visual.conv1.weight"], stride=4).flatten(2).transpose(1, 2)
        x = torch.cat([w["visual.class_embedding"].expand(len(x), 1, -1), x], 1) + w["visual.positional_embedding"]
        x = self.blocks(self.norm(x, "visual.ln_pre"), "visual.", 3, torch.ones(1, 5, 5, dtype=torch.bool))
        return self.norm(x[:, 0], "visual.ln_post") @ w["visual.proj"]

    def hidden(self, tokens, causal):
        """ln_final of every position [N,T,W], and the place of the first end token [N]"""
        w = self.w
        end = (tokens == V - 1).int().argmax(1)
        if causal:
            allowed = torch.ones(T, T, dtype=torch.bool).tril()[None]
        else:
            allowed = (torch.arange(T) <= end[:, None])[:, None].expand(-1, T, -1)
        table = torch.cat([w["token_embedding.weight"], w["mask_embedding"][None]])
        x = self.blocks(table[tokens] + w["positional_embedding"], "", 2, allowed)
        return self.norm(x, "ln_final"), end

    def text(self, tokens):
        h, end = self.hidden(tokens, True)
        return h[torch.arange(N), end] @ self.w["text_projection"]

    def layer(self, x, name, bn, relu):
        w = self.w
        x = F.linear(x, w[f"simsiam.{name}.weight"], w[f"simsiam.{name}.bias"])
        if bn:
            x = F.batch_norm(x, None, None, w[f"simsiam.{name}.bn.weight"], w[f"simsiam.{name}.bn.bias"], True)
        return F.relu(x) if relu else x

    def simsiam(self, x):
        x = self.layer(x, "projector.0", True, True)
        x = self.layer(x, "projector.1", True, True)
        x = self.layer(x, "projector.2", True, False)
        x = self.layer(x, "predictor.0", True, True)
        return self.layer(x, "predictor.1", False, False)

    def nll(self, masked, target, causal):
        h, _ = self.hidden(masked, causal)
        at = target >= 0
        logits = F.linear(h[at], self.w["mlm.weight"], self.w["mlm.bias"])
        return F.cross_entropy(logits, target[at], reduction="none")


def golden(path, quick, released):
    m = Model(quick)
    images, tokens, masked, target = make_batch(released)
    out = []
    for v in range(2):
        f = m.image(images[v])
        out += [f, m.text(masked if released and v == 0 else tokens[v]), m.simsiam(f)]
    out.append(m.nll(masked, target, released))
    loss = sum((o * torch.tensor(hash_(800 + i, o.numel()).reshape(o.shape))).sum() for i, o in enumerate(out))
    loss.backward()
    numbers = [o.detach().numpy().reshape(-1) for o in out] + [w.grad.numpy().reshape(-1) for w in m.w.values()]
    np.concatenate(numbers).astype("<f8").tofile(path)


if len(sys.argv) != 2:
    sys.exit(__doc__.strip())
golden(sys.argv[1] + "/towers-quick.f8", True, False)
golden(sys.argv[1] + "/towers-exact-released.f8", False, True)
