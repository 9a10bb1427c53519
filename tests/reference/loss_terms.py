# SPDX-License-Identifier: MIT
"""The objective of DeCLIP in PyTorch, for tests/test_loss.c and tests/test64_loss.c:

    python3 tests/reference/loss_terms.py > tests/reference/loss_terms.h

Three steps with a small queue that wraps, in double, as in the paper and as released; the third with logit_scale
above the cap. Gradients by autograd. Numbers are written with all their digits."""
import torch
import torch.nn.functional as F

N, D, Z, M, QUEUE, HEAD = 5, 4, 3, 4, 7, 4
SCALES = (1.5, 4.2, 5.0)
CASES = (("paper", False, (0.4, 0.2, 0.2, 0.2, 0.2)), ("released", True, (0.1, 0.3, 0.2, 0.2, 0.2)))
NAMES = ("I1", "I2", "T1", "T2", "p1", "p2", "nll", "z1", "z2")


def unit(x):
    return x / x.norm(dim=1, keepdim=True)


def cross_entropy(logits):
    return F.cross_entropy(logits, torch.arange(len(logits)))


def info_nce(s, a, b):
    logits = s * a @ b.T
    return (cross_entropy(logits) + cross_entropy(logits.T)) / 2


class Queue:
    def __init__(self, rows, head):
        self.rows, self.head = rows.clone(), head

    def nearest(self, x):
        return self.rows[(x.detach() @ self.rows.T).argmax(1)]

    def push(self, x, drop):
        for row in x.detach():
            self.rows[self.head] = row
            self.head = (self.head + 1) % QUEUE
            if drop and self.head == 0:
                return


def terms(x, log_scale, queue, released):
    s = log_scale.exp()
    if released:
        s.data = s.data.clamp(max=100)  # as the released code does: autograd does not see it
    else:
        s = s.clamp(max=100)
    i1, i2, t1, t2 = (unit(x[k]) for k in NAMES[:4])
    clip = info_nce(s, i1, t1)
    mvs = (info_nce(s, i2, t1) + info_nce(s, i1, t2) + info_nce(s, i2, t2)) / 3
    cos = F.cosine_similarity
    simsiam = -(cos(x["p1"], x["z2"].detach()).mean() + cos(x["p2"], x["z1"].detach()).mean()) / 2
    mlm = x["nll"].mean()
    if released:
        near = queue.nearest(t1), queue.nearest(t2)
        nns = sum(cross_entropy(s * i @ n.T) for i in (i1, i2) for n in near) / 4
        queue.push(t2, True)
        queue.push(t1, True)
    else:
        near = queue.nearest(t1)
        nns = (info_nce(s, i1, near) + info_nce(s, i2, near)) / 2
        queue.push(t1, False)
    return clip, mvs, simsiam, mlm, nns


def numbers(x):
    flat = [repr(float(v)) for v in x.detach().reshape(-1)]
    lines = [", ".join(flat[i:i + 5]) for i in range(0, len(flat), 5)]
    return "{ " + ",\n\t".join(lines) + " }"


def step(rng, weights, released, queue, scale):
    def draw(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64).mul(1000).round().div(1000)

    x = {k: draw(N, D) for k in NAMES[:4]}
    x["T2"] = (x["T1"] + 0.3 * x["T2"]).mul(1000).round().div(1000)
    x["p1"], x["p2"] = draw(N, Z), draw(N, Z)
    x["nll"] = draw(M).abs()
    x["z1"], x["z2"] = draw(N, Z), draw(N, Z)
    for v in x.values():
        v.requires_grad_()
    log_scale = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    values = terms(x, log_scale, queue, released)
    total = sum(w * v for w, v in zip(weights, values))
    total.backward()
    assert x["z1"].grad is None and x["z2"].grad is None
    print("{ .x = {")
    print(",\n".join(numbers(x[k]) for k in NAMES))
    print("}, .dx = {")
    print(",\n".join(numbers(x[k].grad) for k in NAMES[:7]))
    print("}, .logit_scale = %r, .d_logit_scale = %r, .total = %r," % (scale, float(log_scale.grad), total.item()))
    print(".value = %s, .head = %d," % (numbers(torch.stack(list(values))), queue.head))
    print(".queue = %s }," % numbers(queue.rows))


def main():
    rng = torch.Generator().manual_seed(1)
    start = unit(torch.randn(QUEUE, D, generator=rng, dtype=torch.float64))
    print("/* SPDX-License-Identifier: MIT */")
    print("/* Written by loss_terms.py. */")
    print("enum { GOLD_N = %d, GOLD_D = %d, GOLD_Z = %d, GOLD_M = %d, GOLD_QUEUE = %d, GOLD_HEAD = %d };"
          % (N, D, Z, M, QUEUE, HEAD))
    print("static const double gold_queue[] = %s;" % numbers(start))
    print("struct gold_step { double x[9][%d], dx[7][%d], logit_scale, d_logit_scale, total, value[5]; int head;"
          % (N * D, N * D))
    print("\tdouble queue[%d]; };" % (QUEUE * D))
    print("static const struct gold { const char *name; int released; double weight[5]; struct gold_step step[%d]; }"
          " gold[] = {" % len(SCALES))
    for name, released, weights in CASES:
        queue = Queue(start, HEAD)
        print("{ \"%s\", %d, { %s }, {" % (name, released, ", ".join(map(repr, weights))))
        for scale in SCALES:
            step(rng, weights, released, queue, scale)
        print("} },")
    print("};")


main()
