# SPDX-License-Identifier: MIT
"""The training step as a good PyTorch program writes it: the peer of `make bench`.

    peer_step.py RUN BATCHES STEPS [--captions padded|trimmed] [--compile] [--threads N]

RUN: a run of dc-init (weights, heads and config of its step-00000000). BATCHES: the frames dc-tokenize sent. Takes the
first STEPS batches and prints a row for each, tab separated: seconds, total, then the terms. The last line is
`peak_mb` and this process's peak memory.

Float32, all cores; scaled_dot_product_attention; both image views in one pass, both captions in one pass; the MLM head on
masked positions only; fused AdamW. What dc does differently in arithmetic (packed captions, pooled tokens only in the last
block) is not done here. `padded`: captions of the full context length, as CLIP's trainers have them; `trimmed`: cut to the
longest of the batch. All methods that dc has, by the paper's readings. A ResNet is
open_clip's module, in channels_last."""
import argparse
import json
import math
import os
import resource
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))
import dcstream


def read_batches(path, want):
    """The first `want` batches, their parts joined: one at a time, for what waits in memory is no part of a step's."""
    parts = []
    with open(path, "rb") as f:
        for kind, _, body in dcstream.read(f):
            if kind != "batch":
                continue
            parts.append(body)
            i, n = body.get("part", (0, 1))
            if i + 1 < n:
                continue
            names = [k for k, v in body.items() if isinstance(v, np.ndarray) and (k[:5] in ("image", "token") or k[:3] == "mlm")]
            yield {k: torch.from_numpy(np.concatenate([p[k] for p in parts])) for k in names}
            parts, want = [], want - 1
            if want == 0:
                return


class Model:
    def __init__(self, run, captions):
        d = os.path.join(run, "step-00000000")
        with safe_open(d + "/state.safetensors", "np") as f:
            self.c = json.loads(f.metadata()["config"])
        self.m = self.c["model"]["model_cfg"]
        self.p = load_file(d + "/open_clip_model.safetensors")
        heads = d + "/heads/declip.safetensors"
        if os.path.exists(heads):
            self.p.update(load_file(heads))
        self.bn = {k: v for k, v in load_file(d + "/state.safetensors").items() if "running" in k}
        for k, v in self.p.items():
            if "running" not in k and "tracked" not in k:
                v.requires_grad_(not ("conv1" in self.c["freeze"] and k == "visual.conv1.weight"))
        pre = self.c["model"]["preprocess_cfg"]
        self.mean, self.std = (torch.tensor(pre[k]).float()[:, None, None] for k in ("mean", "std"))
        self.resnet = self.tower() if isinstance(self.m["vision_cfg"]["layers"], list) else None
        self.trim = captions == "trimmed"
        self.weights = {k: v for k, v in self.c["weights"].items() if v > 0}
        self.views = 2 if {"mvs", "simsiam", "nns"} & set(self.weights) else 1
        if self.c["as"] == "released" and {"mlm", "filip"} & set(self.weights):
            sys.exit("the peer has the paper's readings only")
        if self.resnet and "simclr" in self.weights:
            sys.exit("the peer has no SLIP with a ResNet")
        self.end = self.m["text_cfg"]["vocab_size"] - 1
        rows = self.c.get("queue", 0)
        self.queue, self.head, self.valid = torch.zeros(rows, self.m["embed_dim"]), 0, 0

    def tower(self):
        import stubs  # noqa: F401
        from open_clip.modified_resnet import ModifiedResNet
        v = self.m["vision_cfg"]
        net = ModifiedResNet(v["layers"], self.m["embed_dim"], 32 * v["width"] // v.get("head_width", 64), v["image_size"], v["width"])
        net.load_state_dict({k[7:]: self.p.pop(k).detach() for k in list(self.p) if k.startswith("visual.")})
        for k, x in net.named_parameters():
            x.requires_grad_(not ("conv1" in self.c["freeze"] and k == "conv1.weight"))
            self.p["visual." + k] = x
        return net.to(memory_format=torch.channels_last).train()

    def act(self, x):
        return x * torch.sigmoid(1.702 * x) if self.m.get("quick_gelu") else F.gelu(x)

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.p[name + ".weight"], self.p[name + ".bias"])

    def linear(self, name, x):
        return F.linear(x, self.p[name + ".weight"], self.p[name + ".bias"])

    def blocks(self, prefix, x, layers, heads, **attention):
        n, t, w = x.shape
        for i in range(layers):
            p = "%sresblocks.%d." % (prefix, i)
            qkv = F.linear(self.norm(p + "ln_1", x), self.p[p + "attn.in_proj_weight"], self.p[p + "attn.in_proj_bias"])
            q, k, v = qkv.view(n, t, 3, heads, w // heads).permute(2, 0, 3, 1, 4)
            a = F.scaled_dot_product_attention(q, k, v, **attention)
            x = x + self.linear(p + "attn.out_proj", a.transpose(1, 2).reshape(n, t, w))
            x = x + self.linear(p + "mlp.c_proj", self.act(self.linear(p + "mlp.c_fc", self.norm(p + "ln_2", x))))
        return x

    def maps(self, u8):
        """A ResNet's features, and its tokens where FILIP wants them: each part of a view by itself, as the ring has it."""
        kept, out = [], []
        hook = self.resnet.layer4.register_forward_hook(lambda m, i, o: kept.append(o))
        size = self.c.get("part") or 64
        for view in u8.chunk(self.views):
            for x in view.split(size):
                x = ((x.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
                out.append(self.resnet(x))
        hook.remove()
        self.tokens = torch.cat(kept).flatten(2).transpose(1, 2) if "filip" in self.weights else None
        return torch.cat(out)

    def image(self, u8):
        """[N,D]; leaves ln_post of the class token in self.pooled and what the blocks made of the patches in self.tokens."""
        v = self.m["vision_cfg"]
        if self.resnet:
            return self.maps(u8)
        x = (u8.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        x = F.conv2d(x, self.p["visual.conv1.weight"], stride=v["patch_size"]).flatten(2).transpose(1, 2)
        cls = self.p["visual.class_embedding"].expand(len(x), 1, -1)
        x = self.norm("visual.ln_pre", torch.cat([cls, x], 1) + self.p["visual.positional_embedding"])
        x = self.blocks("visual.transformer.", x, v["layers"], v["width"] // v.get("head_width", 64))
        self.tokens, self.pooled = x[:, 1:], self.norm("visual.ln_post", x[:, 0])
        return self.pooled @ self.p["visual.proj"]

    def text(self, token, **attention):
        t = self.m["text_cfg"]
        table = self.p["token_embedding.weight"]
        if "mask_embedding" in self.p:
            table = torch.cat([table, self.p["mask_embedding"]])
        x = F.embedding(token, table) + self.p["positional_embedding"][:token.shape[1]]
        return self.blocks("transformer.", x, t["layers"], t["heads"], **attention)

    def ends(self, token):
        return (token == self.end).int().argmax(1)

    def cut(self, token):
        return token[:, :int(self.ends(token).max()) + 1] if self.trim else token

    def captions(self, tokens):
        token = self.cut(torch.cat(tokens).long())
        x = self.text(token, is_causal=True)
        self.words, self.word_of = x[:len(tokens[0])], token[:len(tokens[0])]
        x = x[torch.arange(len(x)), self.ends(token)]
        return (self.norm("ln_final", x) @ self.p["text_projection"]).chunk(len(tokens))

    def mlm(self, token, target):
        token = self.cut(token.long())
        target = target[:, :token.shape[1]].long()
        seen = torch.arange(token.shape[1])[None] <= self.ends(token)[:, None]
        x = self.text(token, attn_mask=seen[:, None, None])
        asked = target >= 0
        return F.cross_entropy(self.linear("mlm", self.norm("ln_final", x[asked])), target[asked])

    def batch_norm(self, name, x):
        return F.batch_norm(x, self.bn[name + ".running_mean"], self.bn[name + ".running_var"], self.p[name + ".weight"],
                            self.p[name + ".bias"], True)

    def simsiam(self, views):
        z, p = [], []
        for x in views:
            for i in range(3):
                name = "simsiam.projector.%d" % i
                x = self.batch_norm(name + ".bn", self.linear(name, x))
                x = x.relu() if i < 2 else x
            z.append(x)
            p.append(self.linear("simsiam.predictor.1", self.batch_norm("simsiam.predictor.0.bn",
                                                                        self.linear("simsiam.predictor.0", x)).relu()))
        cos = [F.cosine_similarity(p[i], z[1 - i].detach()).mean() for i in (0, 1)]
        return -(cos[0] + cos[1]) / 2

    def simclr(self, views):
        z = []
        for x in views:
            for i in range(2):
                x = self.batch_norm("simclr.%d.bn" % i, self.linear("simclr.%d" % i, x)).relu()
            z.append(self.linear("simclr.2", x))
        u = F.normalize(torch.cat(z))
        logits = (u @ u.T / self.c["simclr_temperature"]).masked_fill(torch.eye(len(u), dtype=torch.bool), -math.inf)
        return F.cross_entropy(logits, torch.arange(len(u)).roll(len(u) // 2))

    def filip(self, n):
        """Token-wise late interaction; padding, start and end are no words."""
        if self.c["filip_top"]:
            sys.exit("the peer has no --filip-top")
        a = F.normalize(self.linear("filip.image", self.tokens[:n]), dim=2)
        end = self.ends(self.word_of)
        at = torch.arange(self.words.shape[1])
        said = (at >= 1) & (at < end[:, None])
        b = F.normalize(self.linear("filip.text", self.norm("ln_final", self.words)), dim=2)
        s = torch.einsum("igd,jtd->ijgt", a, b)
        count = said.sum(1).clamp(min=1)
        scale = self.p["filip.logit_scale"].exp().clamp(max=100)
        i2t = scale * s.masked_fill(~said[None, :, None], -math.inf).amax(3).mean(2)
        t2i = scale * ((s.amax(2) * said[None]).sum(2) / count[None]).T
        hit = torch.arange(n)
        return (F.cross_entropy(i2t, hit) + F.cross_entropy(t2i, hit)) / 2

    def nearest(self, t):
        return self.queue[(t.detach() @ self.queue[:self.valid].T).argmax(1)]

    def push(self, t):
        at = (self.head + torch.arange(len(t))) % len(self.queue)
        self.queue[at] = t.detach()
        self.head = (self.head + len(t)) % len(self.queue)
        self.valid = min(self.valid + len(t), len(self.queue))

    def loss(self, b):
        scale = self.p["logit_scale"].exp().clamp(max=100)
        hit = torch.arange(len(b["image.0"]))

        def nce(i, t):
            logits = scale * i @ t.T
            return (F.cross_entropy(logits, hit) + F.cross_entropy(logits.T, hit)) / 2

        image = self.image(torch.cat([b["image.%d" % v] for v in range(self.views)])).chunk(self.views)
        text = self.captions([b["token.%d" % v] for v in range(self.views)])
        if "filip" in self.weights:
            filip = self.filip(len(hit))
        I, T = [F.normalize(x) for x in image], [F.normalize(x) for x in text]
        out = {"clip": nce(I[0], T[0])} if "clip" in self.weights else {}
        if "filip" in self.weights:
            out["filip"] = filip
        if "siglip" in self.weights:
            z = 2 * torch.eye(len(hit)) - 1
            out["siglip"] = -F.logsigmoid(z * (scale * I[0] @ T[0].T + self.p["logit_bias"])).sum() / len(hit)
        if "simclr" in self.weights:
            self.image(torch.cat([b["image.1"], b["image.2"]]))
            out["simclr"] = self.simclr(self.pooled.chunk(2))
        if "mvs" in self.weights:
            out["mvs"] = sum(nce(I[i], T[j]) for i, j in ((1, 0), (0, 1), (1, 1))) / 3
        if "simsiam" in self.weights:
            out["simsiam"] = self.simsiam(image)
        if "mlm" in self.weights:
            out["mlm"] = self.mlm(b["mlm_token"], b["mlm_target"])
        if "nns" in self.weights:
            if self.valid >= min(self.c["nns_after"], len(self.queue)):
                near = self.nearest(T[0])
                out["nns"] = (nce(I[0], near) + nce(I[1], near)) / 2
            self.push(T[0])
        return sum(self.weights[k] * v for k, v in out.items()), out


def decays(name):
    last = name.split(".")[-2] if "." in name else ""
    norm = last.startswith("ln_") or last.startswith("bn") or ".downsample.1." in name
    return not (name.endswith(("bias", "positional_embedding", "class_embedding", "logit_scale")) or norm)


def rate(s, o):
    if s < o.warmup:
        return o.lr / 10 + (o.lr - o.lr / 10) * s / o.warmup
    return o.lr / 2 * (1 + math.cos(math.pi * (s - o.warmup) / (o.total - o.warmup)))


def main():
    ap = argparse.ArgumentParser(description="time a PyTorch training step on dc's batches")
    ap.add_argument("run")
    ap.add_argument("batches")
    ap.add_argument("steps", type=int)
    ap.add_argument("--captions", choices=("padded", "trimmed"), default="padded")
    ap.add_argument("--compile", action="store_true", help="torch.compile the loss")
    ap.add_argument("--threads", type=int, default=os.cpu_count())
    ap.add_argument("--lr", type=float, default=1e-3)
    ap.add_argument("--warmup", type=int, default=0)
    ap.add_argument("--total", type=int, default=1000, help="steps of the schedule")
    o = ap.parse_args()
    torch.set_num_threads(o.threads)
    m = Model(o.run, o.captions)
    train = [(k, v) for k, v in m.p.items() if v.requires_grad]
    groups = [{"params": [v for k, v in train if decays(k) == d], "weight_decay": .1 * d} for d in (True, False)]
    opt = torch.optim.AdamW(groups, lr=o.lr, betas=(.9, .98), eps=1e-8, fused=True)
    limits = m.c["logit_scale"]
    loss = torch.compile(m.loss) if o.compile else m.loss
    scales = [m.p[k] for k in ("logit_scale", "filip.logit_scale") if k in m.p]
    with torch.no_grad():
        for x in scales:
            x.clamp_(*limits)
    for s, b in enumerate(read_batches(o.batches, o.steps)):
        start = time.perf_counter()
        total, terms = loss(b)
        total.backward()
        for g in opt.param_groups:
            g["lr"] = rate(s, o)
        opt.step()
        opt.zero_grad(set_to_none=True)
        with torch.no_grad():
            for x in scales:
                x.clamp_(*limits)
        seconds = time.perf_counter() - start
        print("\t".join(["%.6f" % seconds, "%.8g" % total.item()] + ["%s=%.8g" % (k, v.item()) for k, v in terms.items()]),
              flush=True)
    print("peak_mb\t%d" % (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))


main()
