# SPDX-License-Identifier: MIT
"""The Python side of tests/filter.t: what dc-filter says of streams, against numpy.

    curate.py pictures >STREAM          decoded 32 x 32 pictures, families of near ones among them, and what is in them
    curate.py greedy D <STREAM          the rejects that --near D must list: number, of which, distance; naively
    curate.py scaled >STREAM            pictures, then each scaled, cropped, brightened, then some others
    curate.py texts LINES >STREAM       a caption a line ("-": the image of the line before again), one tiny image each
    curate.py rows WHOLE PART KEPT      PART has of WHOLE exactly the samples of the list KEPT, every row of them
    curate.py bad WHAT >STREAM                  a frame in which something does not fit
    curate.py counts STREAM             the end frame's counts and reasons"""
import sys

import numpy as np

import dcstream

RNG = np.random.default_rng(7)


def send(images, captions=None, owners=None, extra=None):
    n = 0
    while n < len(images):
        m = min(64, len(images) - n)
        own = [i for i, o in enumerate(owners) if n <= o < n + m] if owners else range(n, n + m)
        body = {"id": np.arange(n, n + m, dtype="<u8"), "slot": np.arange(n, n + m, dtype="<i8"),
                "epoch": np.zeros(m, "<i4"), "key": ["k%d" % i for i in range(n, n + m)], "image": images[n:n + m],
                "caption": [captions[i] if captions else "caption %d" % i for i in own],
                "shard": ["s%d.tar" % (i // 10) for i in range(n, n + m)], "weight": np.arange(n, n + m, dtype="<f4"),
                "position": 1, "part": [n // 64, (len(images) + 63) // 64]}
        if owners:
            body["caption_image"] = np.array([owners[i] - n for i in own], "<i4")
        dcstream.write(sys.stdout.buffer, "samples", 0, body)
        n += m
    dcstream.write(sys.stdout.buffer, "end", 1, {"counts": {"in": len(images), "out": len(images), "rejected": 0},
                                                 "damaged": []})


def soft(h, w, n=6, rng=RNG):
    """A picture of soft blobs as a function of height and width."""
    blobs = [(rng.random(2), rng.normal(0, 90, 3), rng.uniform(8, 60)) for _ in range(n)]

    def at(h, w, box=(0, 0, 1, 1), add=0.):
        y, x = np.mgrid[0:h, 0:w]
        y = box[0] + (box[2] - box[0]) * (y + .5) / h
        x = box[1] + (box[3] - box[1]) * (x + .5) / w
        v = sum(c * np.exp(-s * ((y - p[0]) ** 2 + (x - p[1]) ** 2))[..., None] for p, c, s in blobs)
        return np.clip(v + 120 + add, 0, 255).astype("u1")
    return at


def pictures():
    out = []
    for i in range(300):
        if i and RNG.random() < .4:
            x = out[RNG.integers(len(out))].astype(float) + RNG.normal(0, RNG.choice([1, 6, 20]), (32, 32, 3))
            out.append(np.clip(x, 0, 255).astype("u1"))
        else:
            out.append(soft(32, 32)(32, 32))
    send(out)


def phash(x):
    g = (x.astype("i8") @ np.array([19595, 38470, 7471]) + 32768) >> 16
    t = np.rint(16384 * np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(32) + 1) / 64)).astype("i8")
    c = (t @ g @ t.T).ravel()
    s = np.sort(c)
    return sum(1 << i for i in range(64) if 2 * c[i] > s[31] + s[32])


def images(path=None):
    f = open(path, "rb") if path else sys.stdin.buffer
    return [x for k, _, b in dcstream.read(f) if k == "samples" for x in b["image"]]


def greedy(distance):
    kept = []
    for i, x in enumerate(images()):
        h = phash(x)
        near = min(((bin(h ^ k).count("1"), j) for j, k in kept), default=(65, 0))
        if near[0] <= int(distance):
            print("%d\tnear\tof %d, distance %d" % (i, near[1], near[0]))
        else:
            kept.append((i, h))


def scaled():
    base = [soft(0, 0) for _ in range(12)]
    out = [b(96, 128) for b in base] + [b(200, 150) for b in base] + [b(96, 128, (.01, .01, .99, .99)) for b in base]
    out += [b(96, 128, add=5) for b in base] + [soft(0, 0)(96, 128) for _ in range(12)]
    send(out)


def texts(path):
    captions, owners, n = [], [], 0
    for line in open(path, encoding="utf-8"):
        if not line.startswith("-"):
            n += 1
        captions.append(line.rstrip("\n").lstrip("-"))
        owners.append(n - 1)
    send([np.full((2, 2, 3), 3 * i % 256, "u1") for i in range(n)], captions, owners)


def table(path):
    """Every sample of a stream: number -> all its rows."""
    out = []
    for k, _, b in dcstream.read(open(path, "rb")):
        if k != "samples":
            continue
        own = b.get("caption_image", range(len(b["caption"])))
        for i in range(len(b["key"])):
            row = {key: b[key][i] for key in ("id", "slot", "epoch", "key", "label", "shard", "weight") if key in b}
            row["image"] = b["image"][i].tobytes()
            row["caption"] = [c for c, o in zip(b["caption"], own) if o == i]
            out.append(row)
    return out


def rows(whole, part, kept):
    whole, part = table(whole), table(part)
    numbers = [int(line.split("\t")[0]) for line in list(open(kept))[1:]]
    if len(numbers) != len(part) or any(whole[n] != p for n, p in zip(numbers, part)):
        sys.exit("%d kept, %d there, or other rows" % (len(numbers), len(part)))


def bad(what):
    body = {"key": ["a", "b"], "image": [np.zeros((2, 2, 3), "u1")] * 2, "caption": ["x", "y"], "position": 1}
    body.update({"keys": {"key": ["a"]}, "captions": {"caption": ["x"]}, "owner": {"caption_image": np.array([0, 2], "<i4")},
                 "negative": {"caption_image": np.array([0, -1], "<i4")}, "shape": {"image": [np.zeros((2, 2), "u1")] * 2},
                 "type": {"image": [np.zeros(9, "<f4")] * 2}, "empty": {"image": [np.zeros((0, 2, 3), "u1")] * 2},
                 "shards": {"shard": ["s"]}, "image": {"image": 3}, "fine": {}}[what])
    dcstream.write(sys.stdout.buffer, "samples", 0, body)
    dcstream.write(sys.stdout.buffer, "end", 1, {"counts": {"in": 2}, "damaged": []})


def counts(path):
    for k, _, b in dcstream.read(open(path, "rb")):
        if k == "end":
            print(*("%s=%d" % x for x in sorted(b["counts"].items())), *("%s=%d" % x for x in sorted(b.get("rejected_by", {}).items())))


globals()[sys.argv[1]](*sys.argv[2:])
