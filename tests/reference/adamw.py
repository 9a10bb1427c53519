# SPDX-License-Identifier: MIT
"""Golden numbers for tests/test_adamw.c: torch.optim.AdamW on given gradients, with a group that decays and one that does
not, a warm-up and cosine schedule, and clipping of the global norm.

    python tests/reference/adamw.py > tests/golden/adamw.h"""
import math
import torch

N, STEPS = 11, 8
CASES = [("plain", 1e-8, 0.0), ("big_eps", 1e-2, 0.0), ("clipped", 1e-8, 0.5)]
LR, LR_START, WARMUP, TOTAL, DECAY, BETAS = 1e-2, 1e-3, 3, 10, 0.1, (0.9, 0.98)


def lr_at(s):
    if s < WARMUP:
        return LR_START + (LR - LR_START) * s / WARMUP
    return LR / 2 * (1 + math.cos(math.pi * (s - WARMUP) / (TOTAL - WARMUP)))


def start(i):
    return math.sin(i + 1) * 0.7


def gradient(s, group, i):
    return math.cos(1 + 3 * s + 5 * group + 7 * i) * 10.0 ** (i % 5 - 3)


def row(x):
    return "{ " + ", ".join("%.9gf" % v if "." in "%.9g" % v or "e" in "%.9g" % v else "%.1ff" % v for v in x.tolist()) + " },"


print("/* SPDX-License-Identifier: MIT */\n/* Made by tests/reference/adamw.py with torch %s. */" % torch.__version__.split("+")[0])
print("enum { golden_n = %d, golden_steps = %d };" % (N, STEPS))
print("static const struct { const char *name; double eps, clip; float w[%d][2][%d], norm[%d]; } golden_adamw[] = {"
      % (STEPS, N, STEPS))
for name, eps, clip in CASES:
    w = [torch.nn.Parameter(torch.tensor([start(i + N * g) for i in range(N)])) for g in range(2)]
    opt = torch.optim.AdamW([{"params": [w[0]], "weight_decay": DECAY}, {"params": [w[1]], "weight_decay": 0.0}],
                            lr=LR, betas=BETAS, eps=eps, foreach=False)
    norms, rows = [], []
    for s in range(STEPS):
        for g in range(2):
            w[g].grad = torch.tensor([gradient(s, g, i) for i in range(N)])
        norms.append(torch.nn.utils.clip_grad_norm_(w, clip if clip else math.inf))
        for group in opt.param_groups:
            group["lr"] = lr_at(s)
        opt.step()
        rows.append("\t\t{ %s\n\t\t  %s }," % (row(w[0].detach()), row(w[1].detach())[:-1]))
    print('\t{ "%s", %g, %g, {\n%s }, %s },' % (name, eps, clip, "\n".join(rows), row(torch.stack(norms))[:-1]))
print("};")
