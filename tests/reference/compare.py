# SPDX-License-Identifier: MIT
"""What a ring did, against the golden numbers of three_steps.py. numpy only (and dcstream.py to read the frames).

    compare.py GOLDEN.npz RUN BACKWARD [N]     BACKWARD: the frames between dc-loss and dc-step, by value

Prints one TAP line per kind of number and step, numbered from N + 1. Tolerances:
    losses       |d| <= 1e-5 |want| + 1e-6
    gradients    ||d|| <= 1e-5 ||want|| + 1e-7 times the largest norm of a gradient in that step
    parameters   the same with parameters; and where the true gradient is zero, so that AdamW turns rounding into steps
                 of either sign (biases in front of a batch norm, attention key biases), 1.1 lr steps per element besides
    statistics   the same; a running mean follows the bias in front of its batch norm, so has a part of its slack"""
import json
import os
import re
import struct
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

LRS = (4e-4, 7e-4, 1e-3)  # of the three steps
TYPES = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U64": "<u8", "U8": "|u1"}


def load(path):
    """A safetensors file: ({name: array}, metadata)."""
    with open(path, "rb") as f:
        data = f.read()
    n, = struct.unpack("<Q", data[:8])
    head = json.loads(data[8:8 + n])
    meta = head.pop("__metadata__", {})
    out = {}
    for name, t in head.items():
        lo, hi = t["data_offsets"]
        out[name] = np.frombuffer(data[8 + n + lo:8 + n + hi], TYPES[t["dtype"]]).reshape(t["shape"])
    return out, meta


def save_golden(path, values):
    """One flat vector of float32 and an index: a tensor each would take more room for its header than for its data."""
    index, flat, numbers = [], [], {}
    for k, v in values.items():
        if np.ndim(v) or "/gradient/" in k or k.startswith("parameter/"):
            index.append([k, list(np.shape(v))])
            flat.append(np.ravel(v).astype("<f4"))
        else:
            numbers[k] = v
    np.savez_compressed(path, index=np.bytes_(json.dumps(index)), numbers=np.bytes_(json.dumps(numbers)),
                        data=np.concatenate(flat))


def load_golden(path):
    z = np.load(path)
    out, at, data = json.loads(z["numbers"].item()), 0, z["data"]
    for k, shape in json.loads(z["index"].item()):
        n = int(np.prod(shape))
        out[k] = data[at:at + n].reshape(shape)
        at += n
    return out


def noise_only(name, shape):
    """Where the true gradient is zero: a mask over the tensor, or None."""
    mask = np.zeros(shape, bool)
    if name.endswith("attn.in_proj_bias"):
        third = shape[0] // 3
        mask[third:2 * third] = True  # a key's bias adds the same to all logits of a row
    elif name.endswith(".running_mean"):
        mask[:] = True
    elif re.fullmatch(r"simsiam\.(projector\.[012]|predictor\.0|projector\.2\.bn)\.bias", name):
        mask[:] = True                # the next batch norm takes it away again
    elif re.fullmatch(r"simclr\.[01]\.bias", name):
        mask[:] = True
    return mask if mask.any() else None


def off(got, want, largest, slack=0.):
    """How many times its tolerance the difference is; NaN counts as infinite."""
    d = np.abs(np.asarray(got, "f8") - np.asarray(want, "f8"))
    d = np.linalg.norm(np.maximum(d - slack, 0))
    allowed = 1e-5 * np.linalg.norm(np.asarray(want, "f8")) + 1e-7 * largest
    r = d / allowed if allowed else (0. if d == 0 else np.inf)
    return r if r == r else np.inf


def tensors(got, want, walked=0.):
    """[(times tolerance, name)] for every tensor wanted; a missing or misshapen one is infinitely off.
    walked: how far AdamW's noise may have taken an element whose true gradient is zero."""
    largest = max(np.linalg.norm(np.asarray(v, "f8")) for v in want.values())
    rows = []
    for name, w in want.items():
        g = got.get(name)
        if g is None or np.shape(g) != np.shape(w):
            rows.append((np.inf, "%s (%s)" % (name, "missing" if g is None else "shape %s" % (np.shape(g),))))
            continue
        mask = noise_only(name, np.shape(w))
        rows.append((off(g, w, largest, 0. if mask is None else 1.1 * walked * mask), name))
    rows += [(np.inf, name + " (not asked for)") for name in got if name not in want]
    return sorted(rows, reverse=True)


def scalars(got, want):
    rows = []
    for k, w in want.items():
        d = abs(got.get(k, np.nan) - w) / (1e-5 * abs(w) + 1e-6)
        rows.append((d if d == d else np.inf, "%s: got %.9g, want %.9g" % (k, got.get(k, np.nan), w)))
    return sorted(rows, reverse=True)


class Tap:
    def __init__(self, n=0):
        self.n, self.failed = n, 0

    def rows(self, rows, what):
        """One line: every row within its tolerance; with the worst, and what failed."""
        self.n += 1
        bad = [r for r in rows if not r[0] <= 1] if rows else [(np.inf, "nothing to compare")]
        print("%sok %d - %s (%d compared, worst %.2g of its tolerance)"
              % ("not " if bad else "", self.n, what, len(rows), rows[0][0] if rows else np.inf))
        for r in bad[:12]:
            print("#   %.3g times its tolerance: %s" % r)
        self.failed += bool(bad)
        sys.stdout.flush()


def under(d, prefix):
    return {k[len(prefix):]: np.asarray(d[k]) for k in d if k.startswith(prefix)}


def against(want, got, title="", tap=None):
    """Compare two dictionaries of golden names. Return 1 if anything is off."""
    tap = tap or Tap()
    title = title and title + ": "
    for s in range(3):
        step = "%s step %d" % (title.rstrip(), s + 1)
        for what, name in (("loss", "losses"), ("accuracy", "accuracies")):
            p = "%d/%s/" % (s, what)
            tap.rows(scalars({k: float(v) for k, v in under(got, p).items()},
                             {k: float(v) for k, v in under(want, p).items()}), "%s: %s" % (step, name))
        p = "%d/gradient/" % s
        tap.rows(tensors(under(got, p), under(want, p)), step + ": gradients")
        p = "%d/stats/" % s
        if under(want, p):
            tap.rows(tensors(under(got, p), under(want, p), sum(LRS[:s])), step + ": batch-norm statistics")
        if "%d/queue" % s in want:
            q = "%d/queue" % s
            tap.rows(tensors(under(got, q), under(want, q)), step + ": the queue")
            tap.rows(scalars({"head": float(got.get("%d/head" % s, np.nan))}, {"head": float(want["%d/head" % s])}),
                     step + ": the queue's head")
    tap.rows(tensors(under(got, "parameter/"), under(want, "parameter/"), sum(LRS)), title + "parameters after 3 steps")
    return int(tap.failed > 0)


def of_ring(run, backward):
    """The golden names' values from a run directory with a checkpoint per step and the frames of the way back."""
    import dcstream
    out = {}
    with open(backward, "rb") as f:
        for kind, s, b in dcstream.read(f):
            if kind == "dfeatures":
                out.update(("%d/loss/%s" % (s, k), v) for k, v in b["loss"].items())
                out.update(("%d/accuracy/%s" % (s, k), v) for k, v in b["accuracy"].items())
            elif kind == "gradients":
                out.update(("%d/gradient/%s" % (s, k), v) for k, v in b["gradient"].items())
    for s in range(3):
        state, meta = load("%s/step-%08d/state.safetensors" % (run, s + 1))
        if "nn_queue" in state:
            out["%d/queue" % s], out["%d/head" % s] = state["nn_queue"], int(meta["nn_head"])
        out.update(("%d/stats/%s" % (s, k), v) for k, v in state.items() if ".running_" in k)
    for name in ("open_clip_model.safetensors", "heads/declip.safetensors"):
        path = "%s/latest/%s" % (run, name)
        if os.path.exists(path):
            out.update(("parameter/" + k, v) for k, v in load(path)[0].items())
    return out


if __name__ == "__main__":
    tap = Tap(int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    sys.exit(against(load_golden(sys.argv[1]), of_ring(sys.argv[2], sys.argv[3]), os.path.basename(sys.argv[2]), tap))
