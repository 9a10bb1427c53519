# SPDX-License-Identifier: MIT
"""Three whole training steps of a tiny DeCLIP in plain PyTorch, float64 from float32 weights: the golden numbers
that tests/parity.t holds the ring to.

    three_steps.py [--live] [--float32] [--cases LIST] [DIR]

makes DIR (default tests/golden/steps): start/ (weights and heads that every case begins from), batches.dcs.gz (what
dc-tokenize would send), and for each case (paper, released, clip; slip, filip, defilip, siglip) state.safetensors and
open_clip_config.json, which with start/ are the checkpoint to begin with (what a case has of its own, heads or weights,
lies in its directory and counts), and golden.npz (losses, gradients, parameters, queue, statistics). --cases makes or
compares only these, and leaves start/ as it is.
--live writes nothing: it computes all again and compares with DIR. --float32 shows what single precision alone costs.

The equations are DESIGN's reading of arXiv 2110.05208; nothing is taken from dc's own sources."""
import argparse
import gzip
import io
import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file, load_file

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare
import dcstream

N, STEPS, QUEUE, HEAD = 24, 3, 64, 50       # the queue wraps: in step 1 (paper), in steps 1 and 2 (released)
IMAGE, PATCH, CONTEXT, VOCAB = 8, 4, 11, 24
DIM, VIT, TXT, LAYERS = 10, 12, 8, 2        # width of the embedding, the image tower, the text tower
Z, HIDDEN = 16, 8                           # SimSiam
START, END, MASK = VOCAB - 2, VOCAB - 1, VOCAB
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
LR0, LR, WARMUP, TOTAL = 4e-4, 1e-3, 2, 10  # linear, then cosine
BETAS, EPS, DECAY = (0.9, 0.98), 1e-6, 0.1

CASES = {
    "paper": dict(method="declip", weights=dict(clip=.4, mvs=.2, simsiam=.2, mlm=.2, nns=.2), limits=(3, 6),
                  released=False, quick_gelu=False, freeze="conv1"),
    "released": dict(method="declip", weights=dict(clip=.1, mvs=.3, simsiam=.2, mlm=.2, nns=.2), limits=(3.3, 6),
                     released=True, quick_gelu=True, freeze="conv1"),
    "clip": dict(method="clip", weights=dict(clip=1.), limits=(0, math.log(100)),
                 released=False, quick_gelu=True, freeze="none"),
    "slip": dict(method="slip", weights=dict(clip=1., simclr=.7), limits=(0, math.log(100)), released=False,
                 quick_gelu=True, freeze="none"),
    "filip": dict(method="filip", weights=dict(clip=0., filip=1.), limits=(0, math.log(100)), released=False,
                  quick_gelu=False, freeze="none", top=0),
    "defilip": dict(method="defilip", weights=dict(clip=.1, mvs=.3, simsiam=.2, mlm=.2, nns=.2, filip=.2), limits=(3, 6),
                    released=True, quick_gelu=True, freeze="conv1", top=3),
    "siglip": dict(method="siglip", weights=dict(clip=0., siglip=1.), limits=(0, math.log(100)), released=False,
                   quick_gelu=True, freeze="none"),
}
FAMILY = ("slip", "filip", "defilip", "siglip")
SIMCLR, SIMCLR_WIDTH, TAU, FILIP = 12, 6, .1, 7


# --- what the run starts from ---

def model_config(case):
    c = {"model_cfg": {"embed_dim": DIM, "quick_gelu": case["quick_gelu"],
                          "vision_cfg": {"image_size": IMAGE, "patch_size": PATCH, "width": VIT, "layers": LAYERS,
                                         "head_width": 4},
                          "text_cfg": {"context_length": CONTEXT, "vocab_size": VOCAB, "width": TXT, "heads": 2,
                                       "layers": LAYERS}},
            "preprocess_cfg": {"mean": list(MEAN), "std": list(STD)}}
    if case["method"] == "siglip":
        c["model_cfg"]["init_logit_bias"] = -10
    return c


def run_config(case):
    c = {"model": model_config(case), "method": case["method"], "as": "released" if case["released"] else "paper",
         "weights": case["weights"], "freeze": case["freeze"],
         "logit_scale": list(case["limits"])}
    if "nns" in case["weights"]:
        c.update(queue=QUEUE, nns_after=QUEUE)
    if "simsiam" in case["weights"]:
        c.update(simsiam_width=Z, simsiam_hidden=HIDDEN)
    if "simclr" in case["weights"]:
        c.update(simclr_hidden=SIMCLR, simclr_width=SIMCLR_WIDTH, simclr_temperature=TAU)
    if "filip" in case["weights"]:
        c.update(filip_width=FILIP, filip_top=case["top"])
    return c


def own_start(case, model, heads, stats):
    """(weights, heads, statistics) of a case of the family: those of the others, and its own."""
    rng = np.random.default_rng(29)
    model, stats = dict(model), {k: v for k, v in stats.items() if case["method"] == "defilip"}
    heads = {k: v for k, v in heads.items() if case["method"] == "defilip"}

    def linear(name, out, width):
        heads[name + ".weight"] = (rng.standard_normal((out, width)) * width ** -.5).astype("f4")
        heads[name + ".bias"] = (rng.standard_normal(out) * .1).astype("f4")

    if case["method"] == "siglip":
        model["logit_scale"], model["logit_bias"] = np.array(2.4, "f4"), np.array(-3, "f4")
    if "simclr" in case["weights"]:
        for i, (out, width) in enumerate(((SIMCLR, VIT), (SIMCLR, SIMCLR), (SIMCLR_WIDTH, SIMCLR))):
            linear("simclr.%d" % i, out, width)
        for i in range(2):
            heads["simclr.%d.bn.weight" % i] = (1 + .2 * rng.standard_normal(SIMCLR)).astype("f4")
            heads["simclr.%d.bn.bias" % i] = (.1 * rng.standard_normal(SIMCLR)).astype("f4")
            stats["simclr.%d.bn.running_mean" % i] = (.1 * rng.standard_normal(SIMCLR)).astype("f4")
            stats["simclr.%d.bn.running_var" % i] = rng.uniform(.5, 2., SIMCLR).astype("f4")
    if "filip" in case["weights"]:
        linear("filip.image", FILIP, VIT)
        linear("filip.text", FILIP, TXT)
        heads["filip.logit_scale"] = np.array(2.5, "f4")
    return model, heads, stats


def start_weights(rng):
    """Every tensor random, biases and norms too, so that a sign or a transpose anywhere shows."""
    model, heads, stats = {}, {}, {}

    def normal(where, name, *shape, std=None, mean=0.):
        std = shape[-1] ** -.5 if std is None else std
        where[name] = (mean + std * rng.standard_normal(shape)).astype("f4")

    def norm(where, name, width):
        normal(where, name + ".weight", width, std=.2, mean=1.)
        normal(where, name + ".bias", width, std=.1)

    def linear(where, name, out, width):
        normal(where, name + ".weight", out, width)
        normal(where, name + ".bias", out, std=.1)

    def tower(prefix, w):
        for i in range(LAYERS):
            p = "%sresblocks.%d." % (prefix, i)
            norm(model, p + "ln_1", w)
            normal(model, p + "attn.in_proj_weight", 3 * w, w)
            normal(model, p + "attn.in_proj_bias", 3 * w, std=.1)
            linear(model, p + "attn.out_proj", w, w)
            norm(model, p + "ln_2", w)
            linear(model, p + "mlp.c_fc", 4 * w, w)
            linear(model, p + "mlp.c_proj", w, 4 * w)

    normal(model, "visual.conv1.weight", VIT, 3, PATCH, PATCH, std=(3 * PATCH * PATCH) ** -.5)
    normal(model, "visual.class_embedding", VIT)
    normal(model, "visual.positional_embedding", (IMAGE // PATCH) ** 2 + 1, VIT)
    norm(model, "visual.ln_pre", VIT)
    tower("visual.transformer.", VIT)
    norm(model, "visual.ln_post", VIT)
    normal(model, "visual.proj", VIT, DIM, std=VIT ** -.5)
    normal(model, "token_embedding.weight", VOCAB, TXT, std=.5)
    normal(model, "positional_embedding", CONTEXT, TXT, std=.3)
    tower("transformer.", TXT)
    norm(model, "ln_final", TXT)
    normal(model, "text_projection", TXT, DIM, std=TXT ** -.5)
    model["logit_scale"] = np.array(3.2, "f4")  # below the limits of one case

    for i, width in enumerate((DIM, Z, Z)):
        linear(heads, "simsiam.projector.%d" % i, Z, width)
        norm(heads, "simsiam.projector.%d.bn" % i, Z)
    linear(heads, "simsiam.predictor.0", HIDDEN, Z)
    norm(heads, "simsiam.predictor.0.bn", HIDDEN)
    linear(heads, "simsiam.predictor.1", Z, HIDDEN)
    linear(heads, "mlm", VOCAB, TXT)
    normal(heads, "mask_embedding", 1, TXT, std=.5)
    for name in [n[:-len(".weight")] for n in heads if n.endswith("bn.weight")]:
        width = heads[name + ".weight"].shape[0]
        normal(stats, name + ".running_mean", width, std=.1)
        stats[name + ".running_var"] = rng.uniform(.5, 2., width).astype("f4")
    return model, heads, stats


def start_queue(rng):
    q = rng.standard_normal((QUEUE, DIM))
    return (q / np.linalg.norm(q, axis=1, keepdims=True)).astype("f4")


def make_batches(rng):
    """Three batches as dc-tokenize would send them. Images of 2-pixel blocks, captions of 1 to CONTEXT - 2 words."""
    def images():
        b = rng.integers(0, 64, (N, IMAGE // 2, IMAGE // 2, 3)) * 4
        return b.repeat(2, 1).repeat(2, 2).astype("u1")

    def words():
        return [rng.integers(1, START, rng.integers(1, CONTEXT - 1)) for _ in range(N)]

    def tokens(captions):
        t = np.zeros((N, CONTEXT), "i4")
        for row, c in zip(t, captions):
            row[:len(c) + 2] = (START, *c, END)
        return t

    def masked(token):
        t, target = token.copy(), np.full_like(token, -1)
        for i, j in zip(*np.where((token > 0) & (token < START) & (rng.random(token.shape) < .3))):
            target[i, j] = token[i, j]
            t[i, j] = rng.choice([MASK, MASK, MASK, rng.integers(1, START), token[i, j]])
        return t, target

    out, last = [], words()
    for step in range(STEPS):
        t1 = words()
        t1[:8] = last[:8]  # captions seen before, so that neighbours come from the rows just pushed too
        last = t1
        t2 = [np.delete(c, rng.integers(len(c))) if len(c) > 1 else c for c in t1]
        b = {"image.0": images(), "image.1": images(), "token.0": tokens(t1), "token.1": tokens(t2)}
        b["mlm_token"], b["mlm_target"] = masked(b["token.0"])
        b["id"] = rng.integers(0, 1 << 62, N).astype("u8")
        out.append(b)
    return out


PARTS = ((0, 15), (15, N))


def third_view(batches):
    """SLIP's further image view."""
    rng = np.random.default_rng(31)
    for b in batches:
        x = rng.integers(0, 64, (N, IMAGE // 2, IMAGE // 2, 3)) * 4
        b.setdefault("image.2", x.repeat(2, 1).repeat(2, 2).astype("u1"))
    return batches


def stream(batches):
    out = io.BytesIO()
    for step, b in enumerate(batches):
        for i, (lo, hi) in enumerate(PARTS):
            part = {k: v[lo:hi] for k, v in b.items()}
            part["slot"] = np.arange(step * N + lo, step * N + hi, dtype="i8")
            part["epoch"] = np.zeros(hi - lo, "i4")
            part["key"] = ["%06d" % s for s in part["slot"]]
            part.update(position=step + 1, part=[i, len(PARTS)])
            dcstream.write(out, "batch", step, part, pad=bool(i))
    dcstream.write(out, "end", STEPS, {"counts": {"in": N * STEPS, "out": N * STEPS}, "damaged": []})
    return out.getvalue()


# --- the model ---

def layer_norm(P, name, x):
    return F.layer_norm(x, x.shape[-1:], P[name + ".weight"], P[name + ".bias"], 1e-5)


def linear(P, name, x):
    return x @ P[name + ".weight"].T + P[name + ".bias"]


def blocks(P, prefix, x, heads, gelu, allowed):
    """Pre-norm transformer blocks. x [N,T,W]; allowed [N or 1,T,T]: may position i look at position j?"""
    n, t, w = x.shape
    for i in range(LAYERS):
        p = "%sresblocks.%d." % (prefix, i)
        h = layer_norm(P, p + "ln_1", x)
        qkv = h @ P[p + "attn.in_proj_weight"].T + P[p + "attn.in_proj_bias"]
        q, k, v = (a.reshape(n, t, heads, w // heads).transpose(1, 2) for a in qkv.chunk(3, -1))
        a = q @ k.transpose(-1, -2) / math.sqrt(w // heads)
        a = a.masked_fill(~allowed[:, None], -math.inf).softmax(-1)
        x = x + linear(P, p + "attn.out_proj", (a @ v).transpose(1, 2).reshape(n, t, w))
        x = x + linear(P, p + "mlp.c_proj", gelu(linear(P, p + "mlp.c_fc", layer_norm(P, p + "ln_2", x))))
    return x


def gelu_of(case):
    return (lambda x: x * torch.sigmoid(1.702 * x)) if case["quick_gelu"] else F.gelu


def encode_image(P, case, u8, more=False):
    """features [N,D]; with more also ln_post of the class token [N,W], and the patches as the blocks leave them."""
    x = torch.tensor(u8).to(P["visual.proj"].dtype).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([MEAN, STD], dtype=x.dtype)[:, :, None, None]
    x = (x - mean) / std
    x = F.conv2d(x, P["visual.conv1.weight"], stride=PATCH).flatten(2).transpose(1, 2)
    x = torch.cat([P["visual.class_embedding"].expand(len(x), 1, VIT), x], 1) + P["visual.positional_embedding"]
    x = layer_norm(P, "visual.ln_pre", x)
    everything = torch.ones(1, x.shape[1], x.shape[1], dtype=torch.bool)
    x = blocks(P, "visual.transformer.", x, VIT // 4, gelu_of(case), everything)
    pooled = layer_norm(P, "visual.ln_post", x[:, 0])
    return (pooled @ P["visual.proj"], pooled, x[:, 1:]) if more else pooled @ P["visual.proj"]


def encode_text(P, case, token, causal=True):
    """(features [N,D] at the first end token, hidden states [N,T,W] after ln_final)."""
    token = torch.tensor(token, dtype=torch.long)
    end = (token == END).int().argmax(1)  # the first one
    at = torch.arange(CONTEXT)
    table = P["token_embedding.weight"]
    if "mask_embedding" in P:
        table = torch.cat([table, P["mask_embedding"]])
    x = table[token] + P["positional_embedding"]
    # not causal: nobody looks at the padding behind the end token
    allowed = (at[None] <= at[:, None])[None] if causal else (at[None, None] <= end[:, None, None]).expand(-1, CONTEXT, -1)
    x = layer_norm(P, "ln_final", blocks(P, "transformer.", x, 2, gelu_of(case), allowed))
    return x[torch.arange(len(x)), end] @ P["text_projection"], x


def batch_norm(P, S, name, x):
    return F.batch_norm(x, S[name + ".running_mean"], S[name + ".running_var"], P[name + ".weight"],
                        P[name + ".bias"], True, 0.1, 1e-5)


def simsiam(P, S, views):
    """z and p of each view; each batch norm takes view 0, then view 1."""
    z, p = [], []
    for x in views:
        for i in range(3):
            name = "simsiam.projector.%d" % i
            x = batch_norm(P, S, name + ".bn", linear(P, name, x))
            x = x.relu() if i < 2 else x
        z.append(x)
        x = batch_norm(P, S, "simsiam.predictor.0.bn", linear(P, "simsiam.predictor.0", x)).relu()
        p.append(linear(P, "simsiam.predictor.1", x))
    return z, p


# --- the losses ---

def cross_entropy(logits):
    return F.cross_entropy(logits, torch.arange(len(logits)))


def info_nce(scale, image, text):
    logits = scale * image @ text.T
    return (cross_entropy(logits) + cross_entropy(logits.T)) / 2


def nt_xent(z1, z2):
    """SimCLR's: each of the 2N rows finds its partner among the others."""
    u = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = (u @ u.T / TAU).masked_fill(torch.eye(len(u), dtype=torch.bool), -math.inf)
    return F.cross_entropy(logits, torch.arange(len(u)).roll(len(z1)))


def words(case, b):
    """Of each caption the positions that FILIP compares."""
    token = b["mlm_token" if case["released"] else "token.0"]
    end = (token == END).argmax(1)
    return [range(0, e + 1) if case["released"] else range(1, e) for e in end]


def filip(P, case, images, captions):
    """images: [G,F] each, captions: [R,F] each. (the loss, accuracies)"""
    limit = (lambda x: x) if case["released"] else (lambda x: x.clamp(max=100))
    scale, top = limit(P["filip.logit_scale"].exp()), case["top"]
    a, b = [F.normalize(x, dim=1) for x in images], [F.normalize(x, dim=1) for x in captions]

    def chosen(x, y):
        return x[(x @ y.sum(0)).topk(min(top, len(x))).indices] if top else x

    def way(query, own):
        few = [chosen(x, y) for x, y in zip(own, query)]
        return scale * torch.stack([torch.stack([(q @ c.T).max(1).values.mean() if len(q) and len(c) else q.sum() * 0 for c in few])
                                    for q in query])

    i2t, t2i = way(a, b), way(b, a)
    acc = [(x.argmax(1) == torch.arange(len(x))).double().mean().item() for x in (i2t, t2i)]
    return (cross_entropy(i2t) + cross_entropy(t2i)) / 2, acc


class Queue:
    def __init__(self, rows, head):
        self.rows, self.head, self.gap = rows.clone(), head, math.inf

    def nearest(self, t):
        cos = t.detach() @ self.rows.T
        best = cos.topk(2, 1).values
        gap = best[:, 0] - best[:, 1]
        self.gap = min(self.gap, gap[gap > 1e-12].min().item())  # equal rows: either will do
        return self.rows[cos.argmax(1)]

    def push(self, rows, drop_remainder=False):
        rows = rows.detach()
        if drop_remainder:
            rows = rows[:QUEUE - self.head]
        for r in rows:
            self.rows[self.head] = r
            self.head = (self.head + 1) % QUEUE


def forward(P, S, queue, case, b):
    """The terms (unweighted) of one batch; the queue and the running statistics move on."""
    w, released = case["weights"], case["released"]
    scale = P["logit_scale"].exp().clamp(max=100)
    views = 2 if "mvs" in w else 1
    image = [encode_image(P, case, b["image.%d" % v]) for v in range(views)]
    first, hidden = encode_text(P, case, b["mlm_token" if released else "token.0"])
    text = [first] + [encode_text(P, case, b["token.%d" % v])[0] for v in range(1, views)]
    spoken = hidden
    I, T = [F.normalize(x, dim=1) for x in image], [F.normalize(x, dim=1) for x in text]
    out = {"clip": info_nce(scale, I[0], T[0])}
    logits = I[0] @ T[0].T
    hit = torch.arange(N)
    acc = [(logits.argmax(d) == hit).double().mean().item() for d in (1, 0)]
    if "mvs" in w:
        out["mvs"] = sum(info_nce(scale, I[i], T[j]) for i, j in ((1, 0), (0, 1), (1, 1))) / 3
    if "simsiam" in w:
        z, p = simsiam(P, S, image)
        cos = [F.cosine_similarity(p[i], z[1 - i].detach(), dim=1).mean() for i in (0, 1)]
        out["simsiam"] = -(cos[0] + cos[1]) / 2
    if "mlm" in w:
        if not released:
            hidden = encode_text(P, case, b["mlm_token"], causal=False)[1]
        target = torch.tensor(b["mlm_target"], dtype=torch.long)
        asked = target >= 0
        out["mlm"] = F.cross_entropy(linear(P, "mlm", hidden[asked]), target[asked])
    if "nns" in w and released:
        near = [queue.nearest(t) for t in T]
        out["nns"] = sum(cross_entropy(scale * i @ n.T) for i in I for n in near) / 4
        queue.push(T[1], True)
        queue.push(T[0], True)
    elif "nns" in w:
        near = queue.nearest(T[0])
        out["nns"] = (info_nce(scale, I[0], near) + info_nce(scale, I[1], near)) / 2
        queue.push(T[0])
    if "simclr" in w:
        z = []
        for v in (1, 2):
            x = encode_image(P, case, b["image.%d" % v], True)[1]
            for i in range(2):
                x = batch_norm(P, S, "simclr.%d.bn" % i, linear(P, "simclr.%d" % i, x)).relu()
            z.append(linear(P, "simclr.2", x))
        out["simclr"] = nt_xent(*z)
    if "filip" in w:
        tokens = linear(P, "filip.image", encode_image(P, case, b["image.0"], True)[2])
        said = [linear(P, "filip.text", spoken[n][list(at)]) for n, at in enumerate(words(case, b))]
        out["filip"], own = filip(P, case, tokens, said)
        acc = acc if w["clip"] else own
    if "siglip" in w:
        z = 2 * torch.eye(N, dtype=I[0].dtype) - 1
        out["siglip"] = -F.logsigmoid(z * (scale * I[0] @ T[0].T + P["logit_bias"])).sum() / N
    out["total"] = sum(w[k] * out[k] for k in w)
    return {k: v for k, v in out.items() if w.get(k, 1)}, acc


# --- the training ---

def learning_rate(s):
    if s < WARMUP:
        return LR0 + (LR - LR0) * s / WARMUP
    return LR / 2 * (1 + math.cos(math.pi * (s - WARMUP) / (TOTAL - WARMUP)))


def decays(name, released):
    if name.endswith("attn.in_proj_bias") or name.endswith("positional_embedding") or name.endswith("class_embedding"):
        return released
    last = name.split(".")[-2] if "." in name else ""
    norm = last == "bn" or last.startswith("ln_")
    return not (norm or name.endswith("bias") or name.endswith("logit_scale"))


def train(name, model, heads, stats, batches, dtype):
    """name -> array of every golden number."""
    case, S = CASES[name], {}
    if name in FAMILY:
        model, heads, stats = own_start(case, model, heads, stats)
    tensor = {k: torch.tensor(v, dtype=dtype) for k, v in model.items()}
    if case["method"] != "clip":
        tensor.update((k, torch.tensor(v, dtype=dtype)) for k, v in heads.items())
        S = {k: torch.tensor(v, dtype=dtype) for k, v in stats.items()}
    queue = Queue(S.pop("nn_queue", torch.zeros(1, 1)), HEAD)
    P = {k: v.requires_grad_(not (case["freeze"] == "conv1" and k == "visual.conv1.weight")) for k, v in tensor.items()}
    groups = [{"params": [v for k, v in P.items() if v.requires_grad and decays(k, case["released"]) == d],
               "weight_decay": DECAY * d} for d in (True, False)]
    opt = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    out = {}

    def clamp():
        with torch.no_grad():
            for k in ("logit_scale", "filip.logit_scale"):
                if k in P:
                    P[k].clamp_(*case["limits"])

    clamp()
    for s, b in enumerate(batches):
        opt.zero_grad()
        loss, acc = forward(P, S, queue, case, b)
        loss["total"].backward()
        for g in opt.param_groups:
            g["lr"] = learning_rate(s)
        for k, v in loss.items():
            out["%d/loss/%s" % (s, k)] = v.item()
        out["%d/accuracy/i2t" % s], out["%d/accuracy/t2i" % s] = acc
        for k, v in P.items():
            if v.requires_grad:
                out["%d/gradient/%s" % (s, k)] = v.grad.numpy().copy()
        opt.step()
        clamp()
        if "nns" in case["weights"]:
            out["%d/queue" % s] = queue.rows.numpy().copy()
            out["%d/head" % s] = queue.head
        if S:
            out.update(("%d/stats/%s" % (s, k), v.numpy().copy()) for k, v in S.items())
    for k, v in P.items():
        out["parameter/" + k] = v.detach().numpy().copy()
    if not all(sum(out["%d/accuracy/%s" % (s, k)] for s in range(STEPS)) for k in ("i2t", "t2i")):
        sys.exit("an accuracy that is always 0 tells nothing: take another seed")
    if queue.gap < 1e-5:
        sys.exit("two neighbours in the queue are %.2g apart: single precision may take the other" % queue.gap)
    return out


def make_start():
    rng = np.random.default_rng(3)
    model, heads, stats = start_weights(rng)
    stats["nn_queue"] = start_queue(rng)
    return model, heads, stats, third_view(make_batches(rng))


def read_start(directory):
    """The same from the files (numpy's generators may change)."""
    files = [load_file("%s/%s.safetensors" % (directory, n)) for n in
             ("start/open_clip_model", "start/heads/declip", "paper/state")]
    batches = [{} for _ in range(STEPS)]
    with gzip.open(directory + "/batches.dcs.gz") as f:
        for kind, step, body in dcstream.read(f):
            for k, v in body.items() if kind == "batch" else ():
                if isinstance(v, np.ndarray):
                    batches[step][k] = np.concatenate([batches[step][k], v]) if k in batches[step] else v
    return (*files, third_view(batches))


def check_open_clip(model, batches):
    """The towers above against open_clip's own, where it is installed."""
    try:
        import open_clip
    except ImportError:
        return print("open_clip is not installed: towers not compared")
    for name, case in CASES.items():
        if name in FAMILY:
            continue
        cfg = model_config(case)["model_cfg"]
        m = open_clip.model.CLIP(**cfg).double().eval()
        m.load_state_dict({k: torch.tensor(v, dtype=torch.float64) for k, v in model.items()}, strict=True)
        P = {k: torch.tensor(v, dtype=torch.float64) for k, v in model.items()}
        b = batches[0]
        x = torch.tensor(b["image.0"]).double().permute(0, 3, 1, 2) / 255
        mean, std = torch.tensor([MEAN, STD], dtype=torch.float64)[:, :, None, None]
        x = (x - mean) / std
        with torch.no_grad():
            d = [(m.encode_image(x) - encode_image(P, case, b["image.0"])).abs().max().item(),
                 (m.encode_text(torch.tensor(b["token.0"]).long()) - encode_text(P, case, b["token.0"])[0]).abs().max().item()]
        print("%s: towers differ from open_clip's by %.1e (image), %.1e (text)" % (name, *d))
        if not max(d) < 1e-12:
            sys.exit("the towers are not open_clip's")


def write_all(directory, model, heads, stats, batches, results):
    def put(path, tensors, metadata=None):
        path = os.path.join(directory, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        save_file({k: np.ascontiguousarray(v) if v.ndim else v for k, v in tensors.items()}, path, metadata)
        os.chmod(path, 0o644)

    if set(results) == set(CASES):
        put("start/open_clip_model.safetensors", model)
        put("start/heads/declip.safetensors", heads)
    with open(directory + "/batches.dcs.gz", "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
        z.write(stream(batches))
    for name in results:
        case, own = CASES[name], stats if "nns" in CASES[name]["weights"] else {}
        if name in FAMILY:
            own_model, own_heads, own = own_start(case, model, heads, stats)
            if case["method"] == "siglip":
                put(name + "/open_clip_model.safetensors", own_model)
            if own_heads:
                put(name + "/heads/declip.safetensors", own_heads)
        meta = {"config": json.dumps(run_config(case)), "step": "0", "position": "0"}
        if "nns" in case["weights"]:
            meta.update(nn_head=str(HEAD), nn_valid=str(QUEUE))
        put(name + "/state.safetensors", own, meta)
        compare.save_golden("%s/%s/golden.npz" % (directory, name), results[name])
        with open("%s/%s/open_clip_config.json" % (directory, name), "w") as f:
            json.dump(model_config(case), f, indent=1)
            f.write("\n")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    ap = argparse.ArgumentParser(description="golden numbers of three training steps")
    ap.add_argument("dir", nargs="?", default=here + "/../golden/steps")
    ap.add_argument("--live", action="store_true", help="compute again and compare; write nothing")
    ap.add_argument("--cases", default=",".join(CASES), help="only these")
    ap.add_argument("--float32", action="store_true", help="compare single precision with the golden numbers")
    o = ap.parse_args()
    torch.set_num_threads(1)
    cases = o.cases.split(",")
    start = read_start(o.dir) if o.live or o.float32 or set(cases) != set(CASES) else make_start()
    dtype = torch.float32 if o.float32 else torch.float64
    results = {name: train(name, *start, dtype) for name in cases}
    if set(cases) - set(FAMILY):
        check_open_clip(start[0], start[3])
    if not o.live and not o.float32:
        write_all(o.dir, *start, results)
    return max([compare.against(compare.load_golden("%s/%s/golden.npz" % (o.dir, n)), results[n], n) for n in cases])


if __name__ == "__main__":
    sys.exit(main())
