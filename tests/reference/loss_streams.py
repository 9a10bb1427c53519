# SPDX-License-Identifier: MIT
"""Streams for tests/loss.t, and what must come of them.

    loss_streams.py make NAME >stream      loss_streams.py check NAME <what dc-loss wrote

`check` exits with 1 and a message if something is not as it must be."""
import json
import sys

import numpy as np

import dcstream

N, D, Z, M, QUEUE = 6, 8, 5, 9, 10
W = dict(clip=.4, mvs=.2, simsiam=.2, mlm=.2, nns=.2)
KEYS = ("image_features.0", "image_features.1", "text_features.0", "text_features.1", "simsiam_z.0", "simsiam_z.1",
        "simsiam_p.0", "simsiam_p.1", "mlm_nll")
GRADS = tuple(k for k in KEYS if "_z." not in k)
MODEL = {"model_cfg": {"embed_dim": D, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
                       "text_cfg": {"context_length": 8, "vocab_size": 50, "width": 64, "heads": 1, "layers": 1}},
         "preprocess_cfg": {"mean": [.5, .5, .5], "std": [.5, .5, .5]}}


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def features(seed, n=N, m=M, scale=3.25):
    r = np.random.default_rng(seed)
    f = {}
    for k in KEYS[:-1]:
        f[k] = r.standard_normal((n, D if "features" in k else Z)).astype("<f4")
    f["mlm_nll"] = r.random(m).astype("<f4")
    f["logit_scale"] = float(scale)
    f["position"] = seed + 1
    f["id"] = np.arange(n, dtype="<u8")
    return f


def state(**change):
    config = {"model": MODEL, "method": "declip", "as": "paper", "weights": W, "freeze": "conv1", "queue": QUEUE,
              "nns_after": 4, "logit_scale": [3, 6], "simsiam_width": Z, "simsiam_hidden": 4}
    config.update(change.pop("config", {}))
    s = dict(config=json.dumps(config), step=0, position=0, nn_head=4, nn_valid=4,
             nn_queue=unit(np.random.default_rng(99).standard_normal((QUEUE, D))).astype("<f4"))
    s.update(change)
    return {k: v for k, v in s.items() if v is not None}


def rows(f, a, b):
    return {k: (v[a:b] if isinstance(v, np.ndarray) and k != "mlm_nll" else v) for k, v in f.items()}


def in_parts(step, f, cuts, cuts_m):
    n = len(cuts) - 1
    for i in range(n):
        part = rows(f, cuts[i], cuts[i + 1])
        part["mlm_nll"] = f["mlm_nll"][cuts_m[i]:cuts_m[i + 1]]
        part["part"] = [i, n]
        if not len(part["mlm_nll"]):
            del part["mlm_nll"]
        yield "features", step, part


def log_softmax_at_own(l):
    m = l.max(1, keepdims=True)
    return float(np.mean(np.diag(l) - (m[:, 0] + np.log(np.exp(l - m).sum(1)))))


def pair(s, a, b):
    l = s * a @ b.T
    return -(log_softmax_at_own(l) + log_softmax_at_own(l.T)) / 2


class Model:
    """The paper's terms in numpy; the queue lives on."""

    def __init__(self, st, weights):
        self.rows, self.head, self.valid = st["nn_queue"].astype(float).copy(), st["nn_head"], st["nn_valid"]
        self.weights = weights

    def terms(self, f):
        s = np.exp(f["logit_scale"])
        i1, i2, t1, t2 = (unit(f[k].astype(float)) for k in KEYS[:4])
        z1, z2, p1, p2 = (unit(f[k].astype(float)) for k in KEYS[4:8])
        t = dict(clip=pair(s, i1, t1), mvs=(pair(s, i2, t1) + pair(s, i1, t2) + pair(s, i2, t2)) / 3,
                 simsiam=-(np.mean((p1 * z2).sum(1)) + np.mean((p2 * z1).sum(1))) / 2, mlm=float(f["mlm_nll"].mean()))
        if self.weights.get("nns"):
            near = self.rows[(t1 @ self.rows[:max(self.valid, 1)].T).argmax(1)]
            t["nns"] = (pair(s, i1, near) + pair(s, i2, near)) / 2
            for row in t1:
                self.rows[self.head] = row
                self.head = (self.head + 1) % QUEUE
                self.valid = min(self.valid + 1, QUEUE)
        t["total"] = sum(w * t[k] for k, w in self.weights.items() if w)
        right = (s * i1 @ t1.T).argmax(1) == np.arange(len(t1)), (s * t1 @ i1.T).argmax(1) == np.arange(len(t1))
        return t, dict(i2t=right[0].mean(), t2i=right[1].mean()), t1


def ring():
    """A run: state; foreign frames in between; whole batches, one in parts, one of a single sample, an empty one."""
    yield "state", 0, state()
    yield "parameters", 0, {"parameter": {"a": dcstream.Ref("<f4", (3,), "parameters.safetensors", "a")}}
    yield "features", 0, features(0)
    yield from in_parts(1, features(1), [0, 2, 2, 6], [0, 9, 9, 9])
    yield "features", 2, without(features(2, n=1), *KEYS[4:8])  # the heads need two samples
    yield "features", 3, features(3, n=0, m=0)
    yield "weather", 3, {"wind": "NW", "x": np.zeros((2, 0), "<f4")}
    yield "gradients", 3, {"gradient": {}, "last": True}
    yield "features", 4, features(4)
    yield "end", 5, {"counts": {"in": 19}, "damaged": []}


DIFF = 5e-3


def differences():
    """features, then per gradient key x + e and x - e along one direction."""
    yield "features", 0, features(7)
    for n, k in enumerate(GRADS):
        for sign in (1, -1):
            f = features(7)
            f[k] = (f[k] + np.float32(sign * DIFF) * direction(n, f[k].shape)).astype("<f4")
            yield "features", 1 + 2 * n + (sign < 0), f
    for sign in (1, -1):
        yield "features", 100, features(7, scale=3.25 + sign * DIFF)
    yield "end", 0, {"counts": {}, "damaged": []}


def direction(n, shape):
    return np.random.default_rng(1000 + n).standard_normal(shape).astype("<f4")


def one(f, st=None):
    if st:
        yield "state", 0, st
    yield "features", 0, f
    yield "end", 0, {"counts": {}, "damaged": []}


def without(d, *keys):
    return {k: v for k, v in d.items() if k not in keys}


def with_(d, **more):
    return {**d, **{k.replace("__", "."): v for k, v in more.items()}}


NAN = features(0)
NAN["text_features.0"][1, 2] = np.nan
STREAMS = {
    "ring": ring,
    "differences": differences,
    "plain": lambda: one(features(0)),
    "views1": lambda: one(without(features(0), *(k for k in KEYS if k not in ("image_features.0", "text_features.0")))),
    "nan": lambda: one(NAN),
    "nostate_nns": lambda: (("features", s, features(s)) if s < 3 else ("end", 3, {"counts": {}, "damaged": []})
                            for s in range(4)),
    "wide": lambda: one(with_(features(0), text_features__0=np.zeros((N, D + 1), "<f4"))),
    "rowless": lambda: one(with_(features(0), text_features__1=np.zeros((N - 1, D), "<f4"))),
    "double": lambda: one(with_(features(0), image_features__0=np.zeros((N, D)))),
    "noscale": lambda: one(without(features(0), "logit_scale")),
    "outside": lambda: one(features(0, scale=2)),
    "inside": lambda: one(features(0, scale=3)),
    "heads": lambda: one(without(features(0), "simsiam_p.1")),
    "heads_part": lambda: [
        ("features", 0, with_(rows(features(0), 0, 5), part=[0, 2])),
        ("features", 0, with_(without(rows(features(0), 5, 6), "simsiam_p.1"), part=[1, 2]))],
    "order": lambda: [("features", 0, with_(features(0), part=[1, 2]))],
    "steps": lambda: [("features", 0, with_(features(0), part=[0, 2])), ("features", 1, with_(features(0), part=[1, 2]))],
    "halves": lambda: [("features", 0, with_(features(0), part=[0, 2])), ("end", 0, {"counts": {}, "damaged": []})],
    "stopped": lambda: [("features", 0, with_(features(0), part=[0, 2])), ("stop", 0, {}),
                        ("end", 0, {"counts": {}, "damaged": []})],
    "two_states": lambda: [("state", 0, state()), ("state", 0, state())],
    "late_state": lambda: [("features", 0, features(0)), ("state", 0, state())],
    "bad_json": lambda: one(features(0), state(config={}) | {"config": "{\"model\": 3"}),
    "no_method": lambda: one(features(0), state() | {"config": json.dumps(MODEL)}),
    "no_queue": lambda: one(features(0), state(nn_queue=None)),
    "bad_head": lambda: one(features(0), state(nn_head=QUEUE)),
    "bad_valid": lambda: one(features(0), state(nn_valid=-1)),
    "bad_queue": lambda: one(features(0), state(nn_queue=np.zeros((QUEUE + 1, D), "<f4"))),
}


def need(cond, what):
    if not cond:
        sys.exit("loss_streams.py: " + what)


def near(got, want, what, rtol=1e-5, atol=1e-6):
    need(abs(got - want) <= atol + rtol * abs(want), "%s: got %r, wanted %r" % (what, got, want))


def check_values(b, f, model):
    want, accuracy, t1 = model.terms(f)
    need(sorted(b["loss"]) == sorted(want), "terms %r" % sorted(b["loss"]))
    for k, v in want.items():
        near(b["loss"][k], v, k)
    for k, v in accuracy.items():
        near(b["accuracy"][k], v, k)
    need(b["position"] == f["position"], "position %r" % b["position"])
    for k in GRADS:
        need(b[k].shape == f[k].shape and b[k].dtype == np.float32, "%s is %r" % (k, b[k].shape))
    if "nns" in want:
        need(np.abs(b["nn_enqueue"] - t1).max() < 1e-6, "nn_enqueue")
    need(not any("_z." in k for k in b) and "id" not in b and "part" not in b, "keys %r" % sorted(b))


def check_ring(got):
    kinds = [(k, s) for k, s, _ in got]
    need(kinds == [("parameters", 0), ("dfeatures", 0), ("dfeatures", 1), ("dfeatures", 2), ("dfeatures", 3), ("weather", 3),
                   ("gradients", 3), ("dfeatures", 4), ("end", 5)], "kinds %r" % kinds)
    model = Model(state(), W)
    for i, seed in ((1, 0), (2, 1), (7, 4)):
        check_values(got[i][2], features(seed), model)
    for i in (3, 4):
        need(got[i][2] == dict(skip=True, position=i), "skip: %r" % got[i][2])


def check_differences(got):
    body = got[0][2]
    weights = dict(W, clip=.6)  # nns is off and its .2 go to clip
    del weights["nns"]
    check_values(body, features(7), Model(state(), weights))
    for n, k in enumerate(GRADS + ("logit_scale",)):
        up, down = (got[1 + 2 * n + i][2]["loss"]["total"] for i in (0, 1))
        got_k = body[k] if k == "logit_scale" else float((body[k].astype(float) * direction(n, body[k].shape)).sum())
        near(got_k, (up - down) / (2 * DIFF), "d %s along a direction" % k, 5e-3, 1e-4)


def check_rows(got):
    parts = [b for k, _, b in got if k == "dfeatures"]
    need([b["part"] for b in parts] == [[i, 3] for i in range(3)], "parts")
    whole = {k: np.concatenate([b[k] for b in parts if k in b]) for k in GRADS + ("nn_enqueue",)}
    f = features(0)
    need(all(whole[k].shape == f[k].shape for k in GRADS), "rows")
    need(np.abs(whole["nn_enqueue"] - unit(f["text_features.0"])).max() < 1e-6, "nn_enqueue in parts")
    once = ("loss", "accuracy", "logit_scale", "mlm_nll")
    need(all((k in b) == (b is parts[0]) for b in parts for k in once), "values in the first part only")
    need(all(b["position"] == 1 for b in parts), "position in every part")


def check_nostate(got):
    terms = [sorted(b["loss"]) for k, _, b in got if k == "dfeatures"]
    need(terms[0] == ["clip", "mlm", "mvs", "simsiam", "total"] and terms[0] == terms[1], "nns waits: %r" % terms)
    need("nns" in terms[2], "nns comes: %r" % terms)


def check_views1(got):
    b = got[0][2]
    need(sorted(b) == ["accuracy", "image_features.0", "logit_scale", "loss", "position", "text_features.0"], "%r" % sorted(b))
    need(sorted(b["loss"]) == ["clip", "total"], "%r" % b["loss"])


CHECKS = {"ring": check_ring, "differences": check_differences, "rows": check_rows, "nostate_nns": check_nostate,
          "views1": check_views1,
          "nan": lambda got: need(np.isnan(got[0][2]["loss"]["total"]), "total is %r" % got[0][2]["loss"]["total"])}


def main():
    what, name = sys.argv[1:]
    if what == "make":
        for kind, step, body in STREAMS[name]():
            dcstream.write(sys.stdout.buffer, kind, step, body)
    else:
        CHECKS[name](list(dcstream.read(sys.stdin.buffer)))


main()
