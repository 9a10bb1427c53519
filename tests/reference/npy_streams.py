# SPDX-License-Identifier: MIT
"""Streams and .npy files for tests/npy.t, and what must come of them.

    npy_streams.py streams                     every features stream NAME into NAME.dcs
    npy_streams.py files NAME...               .npy files by numpy.save, some of them wrong, into NAME.f
    npy_streams.py check NAME DIR [normalized] the directory has exactly what the stream NAME has
    npy_streams.py same A B                    two streams have the same rows, whatever their parts"""
import json
import os
import struct
import sys

import numpy as np

import dcstream

N, D = 150, 24
END = ("end", 0, {"counts": {}, "damaged": []})
FEATURES = ["image_features.0", "image_features.1", "text_features.0"]


def whole():
    r = np.random.default_rng(11)
    owner = np.sort(np.concatenate([np.arange(0, N, 2), r.integers(0, N, 300)]))
    f = {k: r.standard_normal((N if k[0] == "i" else len(owner), D)).astype("<f4") for k in FEATURES}
    f["id"] = r.integers(0, 1 << 63, N).astype("<u8") * 2 + 1
    f["slot"] = np.arange(N, dtype="<i8")
    f["epoch"] = np.zeros(N, "<i4")
    f["label"] = r.integers(-1, 9, N).astype("<i4")
    f["caption_image"] = owner.astype("<i8")
    f["key"] = ['dir/%d "é\\\n\t€' % i for i in range(N)]
    return f


def frames(cuts, drop=(), **change):
    w = whole()
    for i, (a, b) in enumerate(zip(cuts, cuts[1:])):
        mine = (w["caption_image"] >= a) & (w["caption_image"] < b)
        f = {k: v[mine] if k[:4] in ("text", "capt") else v[a:b] for k, v in w.items()}
        f["caption_image"] = (f["caption_image"] - a).astype("<i4")
        f |= {"part": [i, len(cuts) - 1], "position": 7, "logit_scale": 2.5}
        f |= {k: v(i, f) for k, v in change.items()}
        yield "features", 3, {k: v for k, v in f.items() if k not in drop and v is not None}
    yield END


CUTS = [0, 20, 20, 84, 130, 150]
IMAGES = [k for k in whole() if k[0] == "i"]
STREAMS = {
    "whole": lambda: frames([0, N]),
    "parts": lambda: frames(CUTS),
    "images": lambda: frames(CUTS, drop=("text_features.0", "caption_image")),
    "captions": lambda: frames(CUTS, drop=("image_features.0", "image_features.1")),
    "lines": lambda: frames(CUTS, drop=[k for k in whole() if k != "text_features.0"],
                            line=lambda i, f: np.arange(len(f["text_features.0"]), dtype="<i8") + 1000 * i),
    "one_each": lambda: frames(CUTS, drop=("text_features.0", "caption_image"), **{
        "text_features.1": lambda i, f: f["image_features.1"] * 2}),
    "late_labels": lambda: frames(CUTS, label=lambda i, f: f["label"] if i == 3 else None),
    "narrow": lambda: frames(CUTS, **{"text_features.0": lambda i, f: f["text_features.0"][:, :D - (i == 3)]}),
    "lost": lambda: frames(CUTS, id=lambda i, f: f["id"] if i < 2 else None),
    "found": lambda: frames(CUTS, id=lambda i, f: f["id"] if i > 2 else None),
    "short": lambda: frames(CUTS, id=lambda i, f: f["id"][1:]),
    "outside": lambda: frames(CUTS, caption_image=lambda i, f: f["caption_image"] + (i == 4)),
    "two_models": lambda: frames(CUTS, logit_scale=lambda i, f: 2.5 + (i == 4)),
    "no_owner": lambda: frames(CUTS, drop=("caption_image",)),
    "zero": lambda: frames(CUTS, **{"image_features.1": lambda i, f: f["image_features.1"] * (i != 3)}),
    "nan": lambda: frames(CUTS, **{"image_features.1": lambda i, f: f["image_features.1"] * (np.nan if i == 3 else 1)}),
    "nothing": lambda: [END],
    "noend": lambda: list(frames(CUTS))[:-1],
    "neither": lambda: [("features", 0, {"weather": 1}), END],
}


def joined(stream):
    """All rows of a stream; caption_image counted through it."""
    out, n = {}, 0
    for kind, _, f in stream:
        if kind != "features":
            continue
        rows = len(next((f[k] for k in ("id", "image_features.0", "key") if k in f), []))
        if "caption_image" in f:
            f["caption_image"] = f["caption_image"].astype("<i8") + n
        n += rows
        for k, v in f.items():
            if k not in ("part", "position"):
                out.setdefault(k, []).append(v)
    return {k: v[0] if k == "logit_scale" else sum(map(list, v), []) if k == "key" else np.concatenate(v) for k, v in out.items()}


def check(name, d, normalized):
    want = joined(STREAMS[name]())
    if name == "late_labels":
        want["label"] = np.concatenate([np.full(84, -1), want["label"], np.full(20, -1)]).astype("<i4")
    if name == "one_each":
        want["caption_image"] = np.arange(N)
    have = {f[:-4]: np.load(os.path.join(d, f)) for f in os.listdir(d) if f.endswith(".npy")}
    if "key" in want:
        have["key"] = json.load(open(os.path.join(d, "key.json"), encoding="utf-8"))
    assert set(have) == set(want), set(have) ^ set(want)
    for k, v in want.items():
        if k == "key":
            assert have[k] == v
            continue
        if k in FEATURES + ["text_features.1"] and normalized:
            v = v / np.linalg.norm(v.astype(float), axis=1, keepdims=True)
            assert abs(np.linalg.norm(have[k], axis=1) - 1).max() < 1e-6
            assert abs(have[k] - v).max() < 1e-6
        elif k == "logit_scale":
            assert have[k].shape == () and float(have[k]) == v
        else:
            assert have[k].dtype == v.dtype and have[k].shape == v.shape and (have[k] == v).all(), k
    for f in os.listdir(d):
        raw = open(os.path.join(d, f), "rb").read(128)
        assert not f.endswith(".npy") or (raw[:8] == b"\x93NUMPY\x01\0" and (10 + raw[8] + 256 * raw[9]) % 64 == 0)


def header(text, data=b"", version=1):
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text.encode() + data


def files(name, d):
    w = whole()
    keys = w.pop("key")
    os.mkdir(d)

    def raw(file, data):
        open(os.path.join(d, file + ".npy"), "wb").write(data)

    x = w["image_features.0"]
    if name == "types":   # what numpy makes without being asked
        w["image_features.0"], w["image_features.1"] = x.astype("<f8"), x.astype("<f2")
        w["label"], w["epoch"] = w["label"].astype("<i8"), w["epoch"].astype("|i1")
        w["slot"], w["caption_image"] = w["slot"].astype("<u2"), w["caption_image"].astype("<u4")
    if name == "fortran":
        w["image_features.0"] = np.asfortranarray(x)
    if name == "big":
        w["image_features.0"] = x.astype(">f4")
    if name == "huge":
        w["image_features.0"] = x.astype("<f8") * 1e39
    if name == "whole_numbers":
        w["image_features.0"] = x.astype("<i4")
    if name == "floats":
        w["label"] = w["label"].astype("<f4")
    if name == "large_label":
        w["label"] = w["label"].astype("<i8") + (1 << 32)
    if name == "flat":
        w["image_features.0"] = x[:, 0]
    if name == "fewer":
        w["id"] = w["id"][1:]
    if name == "unsorted":
        w["caption_image"] = w["caption_image"][::-1].copy()
    if name == "outside":
        w["caption_image"] = w["caption_image"] + 1
    if name == "no_owner":
        del w["caption_image"]
    for k, v in w.items():
        np.save(os.path.join(d, k), v)
    if name == "keys":
        json.dump(keys[1:], open(os.path.join(d, "key.json"), "w"))
    if name == "bad_keys":
        open(os.path.join(d, "key.json"), "w").write('["a", 3]')
    if name == "object":
        np.save(os.path.join(d, "id"), np.array([{}] * N, dtype=object), allow_pickle=True)
    if name in ("cut", "longer"):
        data = open(os.path.join(d, "image_features.0.npy"), "rb").read()
        raw("image_features.0", data[:-1] if name == "cut" else data + b"x")
    if name == "stump":
        raw("image_features.0", b"\x93NUMPY\x01")
    if name == "magic":
        raw("image_features.0", b"PK" + bytes(200))
    if name == "long_header":
        raw("image_features.0", b"\x93NUMPY\x02\0\xff\xff\xff\x7f" + bytes(200))
    if name == "overflow":
        raw("image_features.0", header("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4611686018427387904), }\n"))
    if name == "zero_overflow":
        raw("image_features.0", header("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4611686018427387904, 4611686018427387904)}\n"))
    if name == "negative":
        raw("image_features.0", header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 24), }\n"))
    if name == "code":
        raw("image_features.0", header("{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').getpid(), 24), }\n"))
    if name == "version2":   # the keys in another order, and blanks
        text = '{ "shape" :( %d , %d ) , "descr":\'<f4\',"fortran_order" : False}   \n' % x.shape
        raw("image_features.0", header(text, x.tobytes(), 2))


def main():
    if sys.argv[1] == "streams":
        for name, make in STREAMS.items():
            dcstream.save(name + ".dcs", make())
    elif sys.argv[1] == "files":
        for name in sys.argv[2:]:
            files(name, name + ".f")
    elif sys.argv[1] == "check":
        check(sys.argv[2], sys.argv[3], len(sys.argv) > 4)
    else:
        a, b = (joined(dcstream.read(open(f, "rb"))) for f in sys.argv[2:])
        assert set(a) == set(b), set(a) ^ set(b)
        for k in a:
            assert np.array_equal(a[k], b[k]) if k != "key" else a[k] == b[k], k


main()
