# SPDX-License-Identifier: MIT
"""A dc-encode and dc-loss that compute nothing: they drive dc-step through the frames of a ring, and check what comes back
against a float64 AdamW of their own.

    fake_encode.py --run RUN --until N [options] | dc-step --run RUN --loop RUN/loop ...

The gradient of a tensor is a fixed function of its name and the batch's number."""
import argparse
import math
import os
import select
import sys
import zlib

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dcstream
from compare import load

ap = argparse.ArgumentParser()
ap.add_argument("--run", required=True)
ap.add_argument("--until", type=int, required=True, help="batches since the run began")
ap.add_argument("--by-value", action="store_true")
ap.add_argument("--skip", type=int, default=-1, help="the batch of which dc-loss says skip")
ap.add_argument("--nan", type=int, default=-1, help="the batch with a NaN in one gradient")
ap.add_argument("--inf", type=int, default=-1)
ap.add_argument("--huge", type=int, default=-1, help="the batch with a gradient whose square is beyond single precision")
ap.add_argument("--nan-stat", type=int, default=-1, help="the batch with a NaN in a running statistic")
ap.add_argument("--nan-loss", type=int, default=-1, help="the batch with a NaN in one loss")
ap.add_argument("--spike", type=int, default=-1, help="the batch with a total of 1000")
ap.add_argument("--std", type=float, default=-1, help="simsiam_std in every dfeatures")
ap.add_argument("--die", type=int, default=-1, help="go away after this batch's dfeatures")
ap.add_argument("--stop", type=int, default=-1, help="send a stop frame in the middle of this batch")
ap.add_argument("--sleep", type=float, default=0, help="seconds in every batch, between dfeatures and gradients")
ap.add_argument("--asleep", default="", help="a file to write when the first of these sleeps begins")
ap.add_argument("--bad", default="", help="one mistake: step, name, shape, frozen, twice, early, position, elsewhere, none, file, queue")
ap.add_argument("--partial", type=int, default=-1, help="in this batch no gradient comes for the heads")
ap.add_argument("--lr", type=float, default=1e-2)
ap.add_argument("--clip", type=float, default=0)
ap.add_argument("--limits", default="3,6", help="of logit_scale")
o = ap.parse_args()
LIMITS = [float(x) for x in o.limits.split(",")]

WARMUP, STEPS, DECAY, BETA1, BETA2, EPS = 2, 30, 0.1, 0.9, 0.98, 1e-8
stdout = os.fdopen(1, "wb")
loop = None


def fail(text):
    sys.stderr.write("fake_encode: %s\n" % text)
    sys.stderr.flush()
    os._exit(9)


def send(kind, step, body):
    try:
        dcstream.write(stdout, kind, step, body)
        stdout.flush()
    except BrokenPipeError:
        os._exit(3)


class Stopped(Exception):
    pass


def take(kind):
    """The next frame of the loop, which must be of this kind."""
    for k, step, body in frames:
        if k == "stop":
            raise Stopped()
        if k != kind:
            fail("%s came, wanted %s" % (k, kind))
        return step, body
    os._exit(3)


def gradient(name, shape, b):
    n = int(np.prod(shape)) if shape else 1
    g = 0.01 * np.sin(1.7 * b + 0.37 * np.arange(n) + zlib.crc32(name.encode()) % 1000)
    return g.astype("<f4").reshape(shape)


def decays(name, shape):
    bare = name.endswith("positional_embedding") or name.endswith("class_embedding") or name.endswith("in_proj_bias")
    return len(shape) >= 2 and not bare


def lr_at(s):
    start = o.lr / 10
    if s < WARMUP:
        return start + (o.lr - start) * s / WARMUP
    return o.lr / 2 * (1 + math.cos(math.pi * (s - WARMUP) / (STEPS - WARMUP)))


def parameters(body):
    """{name: array} of a parameters frame."""
    out = {}
    shared = None
    if body.get("zeroed", False) == o.by_value:
        fail("parameters that say zeroed: %r" % body.get("zeroed"))
    if not o.by_value:
        for name, g in load(o.run + "/shm/gradients.safetensors")[0].items():
            if g.tobytes().strip(b"\0"):
                fail("the gradient of %s comes back uncleared" % name)
    for name, v in body["parameter"].items():
        if isinstance(v, dcstream.Ref):
            if shared is None:
                shared, _ = load(o.run + "/shm/" + v.file)
            if v.file != "parameters.safetensors" or v.name != name or shared[name].shape != v.shape:
                fail("reference %r" % (v,))
            v = shared[name]
        out[name] = np.array(v)
    return out


def write_shared(grads):
    """Gradients into the shared file, where its header says."""
    path = o.run + "/shm/gradients.safetensors"
    with open(path, "r+b") as f:
        import json
        import struct
        n, = struct.unpack("<Q", f.read(8))
        head = json.loads(f.read(n))
        for name, g in grads.items():
            f.seek(8 + n + head[name]["data_offsets"][0])
            f.write(g.tobytes())


def as_sent(grads):
    if o.by_value:
        return grads
    write_shared(grads)
    return {k: dcstream.Ref("<f4", g.shape, "gradients.safetensors", k) for k, g in grads.items()}


class Model:
    """What dc-step should hold."""

    def __init__(self, p, state, stats):
        self.p = {k: v.astype("f8") for k, v in p.items()}
        self.m = {k: np.zeros(v.shape) for k, v in p.items()}
        self.v = {k: np.zeros(v.shape) for k, v in p.items()}
        self.t = {k: 0 for k in p}
        self.step, self.position = state["step"], state["position"]
        self.queue = np.array(state["nn_queue"]) if "nn_queue" in state else None
        self.head, self.valid = state.get("nn_head", 0), state.get("nn_valid", 0)
        self.stats = {k: v.astype("f8") for k, v in stats.items()}

    def update(self, grads, stats):
        norm = math.sqrt(sum(float((g.astype("f8") ** 2).sum()) for g in grads.values()))
        scale = min(1, o.clip / (norm + 1e-6)) if o.clip else 1
        lr = lr_at(self.step)
        for k, g in grads.items():
            g = g.astype("f8") * scale
            self.t[k] += 1
            self.m[k] = BETA1 * self.m[k] + (1 - BETA1) * g
            self.v[k] = BETA2 * self.v[k] + (1 - BETA2) * g * g
            self.p[k] *= 1 - lr * (DECAY if decays(k, g.shape) else 0)
            mh, vh = self.m[k] / (1 - BETA1 ** self.t[k]), self.v[k] / (1 - BETA2 ** self.t[k])
            self.p[k] -= lr * mh / (np.sqrt(vh) + EPS)
        self.p["logit_scale"] = np.clip(self.p["logit_scale"], *LIMITS)
        for k, v in stats.items():
            for row in v.astype("f8"):
                self.stats[k] = 0.9 * self.stats[k] + 0.1 * row
        self.step += 1

    def push(self, rows):
        for row in rows if self.queue is not None else ():
            self.queue[self.head] = row
            self.head = (self.head + 1) % len(self.queue)
            self.valid = min(self.valid + 1, len(self.queue))

    def check(self, what, got, want):
        for k, v in want.items():
            if not np.allclose(got[k], v, rtol=1e-5, atol=2e-6):
                fail("%s: %s is off by %g" % (what, k, np.abs(got[k] - v).max()))

    def check_files(self):
        p, _ = load(o.run + "/latest/open_clip_model.safetensors")
        if os.path.exists(o.run + "/latest/heads"):
            p.update(load(o.run + "/latest/heads/declip.safetensors")[0])
        state, meta = load(o.run + "/latest/state.safetensors")
        self.check("checkpoint", p, self.p)
        self.check("statistics", state, self.stats)
        self.check("moments", state, {"m." + k: v for k, v in self.m.items() if self.t[k]})
        if meta["step"] != str(self.step) or meta["position"] != str(self.position):
            fail("checkpoint of step %s, position %s" % (meta["step"], meta["position"]))
        if self.queue is not None:
            self.check("queue", state, {"nn_queue": self.queue})
            if (meta["nn_head"], meta["nn_valid"]) != (str(self.head), str(self.valid)):
                fail("queue: head %s, valid %s" % (meta["nn_head"], meta["nn_valid"]))
        for k in self.p:
            if not self.t[k] and "m." + k in state:
                fail("moments of %s, for which no gradient came" % k)


def batch(model, b, names):
    s, width = model.step, model.p["visual.proj"].shape[1]
    rows = (np.arange(3 * width).reshape(3, width) + 100 * b).astype("<f4")
    skip = b == o.skip
    d = {"image_features.0": np.zeros((4, width), "<f4"), "logit_scale": 0.25, "position": b + 1,
         "loss": {"clip": 2.5 + b, "mvs": 2.0, "simsiam": -0.5, "mlm": 6, "total": 1.25 + b},
         "accuracy": {"i2t": 0.25, "t2i": 0.75}}
    if o.std >= 0:
        d["simsiam_std"] = o.std
    if b == o.spike:
        d["loss"]["total"] = 1000.0
    if b == o.nan_loss:
        d["loss"]["mlm"] = math.nan
    if o.bad == "position":
        del d["position"]
    if o.bad == "elsewhere":
        d["position"] += 7
    if model.queue is not None:
        d["nn_enqueue"] = rows
    if skip:
        d = {"skip": True, "position": b + 1}
    if o.bad == "queue":
        d["nn_enqueue"] = rows[:, :-1].copy()
    if o.bad == "early":
        send("gradients", s, {"gradient": {}, "last": True})
    send("features", s, {"note": "dropped"})
    send("dfeatures", s + (o.bad == "step"), d)
    step, back = take("dfeatures")
    if step != s or sorted(back) != sorted(d) or not skip and back["logit_scale"] != 0.25:
        fail("dfeatures changed on the way")
    if b == o.die:
        os._exit(3)
    if b == o.stop:
        send("stop", s, {})
    if o.asleep and b == 0:
        with open(o.asleep, "w") as f:
            f.write("asleep\n")
    gone = select.poll()
    gone.register(1, 0)
    gone.poll(1000 * o.sleep)  # seconds of sleep, or until nobody reads us any more

    grads = {} if skip else {k: gradient(k, model.p[k].shape, b) for k in names}
    if b == o.partial:
        if not o.by_value:
            write_shared(grads)  # those of the heads are there, but nobody names them
        grads = {k: v for k, v in grads.items() if not k.startswith(("simsiam", "mlm", "mask"))}
    if b in (o.nan, o.inf):
        grads["text_projection"][3, 2] = np.nan if b == o.nan else -np.inf
    if b == o.huge:
        grads["text_projection"][3, 2] = 1e30
    stats = {} if skip else {k: gradient(k, (2,) + v.shape, b) for k, v in model.stats.items()}
    if b == o.nan_stat:
        stats[sorted(stats)[0]][1, 0] = np.nan
    keys = list(grads)
    half = len(keys) // 2
    sent = as_sent(grads)
    if o.bad == "name":
        sent["no.such.tensor"] = np.zeros(3, "<f4")
        keys.append("no.such.tensor")
    elif o.bad == "shape":
        sent[keys[0]] = np.zeros(3, "<f4")
    elif o.bad == "frozen":
        sent["visual.conv1.weight"] = model.p["visual.conv1.weight"].astype("<f4")
        keys.append("visual.conv1.weight")
    elif o.bad == "twice":
        keys.append(keys[0])
    elif o.bad == "file":
        sent[keys[0]] = dcstream.Ref("<f4", grads[keys[0]].shape, "../../etc/passwd", keys[0])
    if o.bad == "none":
        keys = []
    if not skip:
        send("gradients", s, dict(stats, gradient={k: sent[k] for k in keys[:half]}, wait_s=0.5))
    send("gradients", s, {"gradient": {k: sent[k] for k in keys[half:]}, "last": True, "wait_s": 0.25})
    model.position = b + 1
    if not skip and b not in (o.nan, o.inf, o.huge, o.nan_stat, o.nan_loss):
        model.update(grads, stats)
    if not skip:
        model.push(rows)
    step, body = take("parameters")
    if step != model.step:
        fail("parameters of step %d, wanted %d" % (step, model.step))
    model.check("parameters after batch %d" % b, parameters(body), model.p)


def end(last):
    send("end", last, {"counts": {"in": o.until}, "damaged": []})


def main():
    global loop, frames
    if o.die == -2:
        os._exit(3)
    loop = open(o.run + "/loop", "rb")
    frames = dcstream.read(loop)
    _, state = take("state")
    stats = {k: v for k, v in load(o.run + "/latest/state.safetensors")[0].items() if ".running_" in k}
    step, body = take("parameters")
    p = parameters(body)
    if step != state["step"] or state["by_value"] != o.by_value:
        fail("state %r" % state)
    model = Model(p, state, stats)
    if state["step"]:
        s, meta = load(o.run + "/latest/state.safetensors")
        for k in p:
            if "m." + k in s:
                model.m[k], model.v[k] = s["m." + k].astype("f8"), s["v." + k].astype("f8")
                model.t[k] = int(meta.get("updates." + k, model.step))
    names = [k for k in p if k != "visual.conv1.weight" or not any(n.startswith("mlm") for n in p)]
    try:
        for b in range(state["position"], o.until):
            batch(model, b, names)
        end(model.step)
        for k, _, _ in frames:
            if k != "end":
                fail("%s came after the end" % k)
            break
        else:
            fail("no end came")
    except Stopped:
        end(model.step)
    stdout.close()
    if loop.read():
        fail("more after the end")
    model.check_files()
    os._exit(0)


main()
