# SPDX-License-Identifier: MIT
"""The streams of tests/peek.t, with frames of every kind whose text is known.

    peek_streams.py make DIR          all.dcs, and ring.dcs with references into DIR/shm
    peek_streams.py break HOW < good  one stream, damaged: cut N | flip N | version | length | object | after
    peek_streams.py frames < stream   byte offsets of the frames and of their bodies, one frame a line"""
import json
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dcstream as d
import msgpack
import numpy as np


def vocab(path):
    """Byte-level merges for a few words: V = 512 + merges + 2."""
    merges = ["r e", "re d</w>", "a </w>"][:2]
    with open(path, "w", encoding="utf-8") as f:
        f.write('#version: 0.2\n' + "\n".join(merges) + "\n")
    return 512 + len(merges) + 2


def image(n, s, c):
    """n images of one colour each, their upper left quarter white."""
    x = np.zeros((n, s, s, 3), np.uint8)
    x[...] = c
    x[:, :s // 2, :s // 2] = 255
    return x


def safetensors(path, tensors):
    head, data = {}, b""
    for name, t in tensors.items():
        head[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(data), len(data) + t.nbytes]}
        data += t.astype("<f4").tobytes()
    h = json.dumps(head).encode()
    h += b" " * (-(len(h) + 8) % 64)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(h)) + h + data)


def tokens(rows, V, T=8):
    out = np.zeros((len(rows), T), "<i4")
    for i, row in enumerate(rows):
        ids = [V - 2] + row + [V - 1]
        out[i, :len(ids)] = ids
    return out


def make(dir):
    V = vocab(os.path.join(dir, "vocab.txt"))
    red, x, mask = 513, 256 + ord("x") - ord("!"), V  # "red</w>" is the second merge; "x</w>"
    w = lambda f, kind, step, body: d.write(f, kind, step, body)
    with open(os.path.join(dir, "all.dcs"), "wb") as f:
        w(f, "state", 0, {"config": '{"method":"declip"}', "step": 0, "position": 0, "nn_queue": np.zeros((4, 2), "<f4")})
        w(f, "samples", 0, {"id": np.array([5, 2**64 - 1], "<u8"), "image": [image(1, 20, (9, 9, 9))[0], image(1, 30, (0, 0, 90))[0]],
                            "caption": ["a dog\x1b[31m", "zwei", "drei"], "caption_image": np.array([0, 1, 1], "<i4"),
                            "key": ["k0", "k1"], "position": 1, "part": [0, 1]})
        for part in range(2):
            w(f, "views", 3, {"image.0": image(3, 16, (200, 0, 0)), "image.1": image(3, 16, (0, 200, 0)),
                              "caption.0": ["one \u00e9", "two \u5b50", 'quote "'], "caption.1": ["T2"] * 3, "part": [part, 2]})
        mt = np.full((2, 8), -1, "<i4")
        mt[0, 2] = red
        w(f, "batch", 4, {"image.0": image(2, 16, (0, 0, 200)), "image.1": image(2, 16, (0, 0, 200)),
                          "token.0": tokens([[x, red], [x]], V), "token.1": tokens([[red], [x]], V),
                          "mlm_token": tokens([[x, mask], [x]], V), "mlm_target": mt})
        feat = np.linspace(-1, 3, 40, dtype="<f4").reshape(4, 10)
        feat[1, 1:4] = [np.nan, np.nan, np.inf]
        w(f, "features", 7, {"image_features.0": feat, "logit_scale": 2.75, "mlm_nll": np.zeros(0, "<f4")})
        w(f, "dfeatures", 7, {"loss": {"clip": 4.125, "total": 9.5}, "accuracy": {"i2t": 0.25, "t2i": 0.5}, "skip": True})
        w(f, "gradients", 7, {"gradient": {"proj": d.Ref("<f4", (3, 4), "gradients.safetensors", "proj"),
                                           "other": d.Ref("<f4", (2,), "gradients.safetensors", "missing")}, "last": True})
        w(f, "strange", 7, {"deep": [1, [2, {"x": None}]], "raw": b"12345", "half": np.zeros(3, "<f4")})
        w(f, "end", 0, {"counts": {"in": 5, "out": 4}, "damaged": []})
    os.makedirs(os.path.join(dir, "shm"), exist_ok=True)
    safetensors(os.path.join(dir, "shm", "gradients.safetensors"), {"proj": np.arange(12, dtype=np.float32).reshape(3, 4) - 2})


def broken(data, how, at=0):
    if how == "cut":
        return data[:at]
    if how == "flip":
        return data[:at] + bytes([data[at] ^ 4]) + data[at + 1:]
    if how == "version":
        return data.replace(b"dcs1", b"dcs7", 1)
    if how == "length":
        return msgpack.packb(["dcs1", "views", 0, 2**40]) + data
    if how == "after":
        return data + data[:50]
    if how == "object":
        body = {"x": {b"nd": True, b"type": b"|O", b"kind": b"O", b"shape": [1], b"data": b"cos\nsystem\n(S'id'\ntR."}}
        return d.frame_bytes("views", 0, msgpack.packb(body)) + data
    raise SystemExit("how? " + how)


def main(what, *args):
    if what == "make":
        make(*args)
    elif what == "only":  # the frames of one kind, and the end
        for frame in d.frames(sys.stdin.buffer):
            if frame.kind in (args[0], "end"):
                sys.stdout.buffer.write(frame.raw)
    elif what == "few":
        d.write(sys.stdout.buffer, "samples", 0, {"image": [image(1, 20, (9, 9, 9))[0]] * 2, "caption": ["a", "b", "c"]})
        d.write(sys.stdout.buffer, "end", 0, {})
    elif what == "break":
        sys.stdout.buffer.write(broken(sys.stdin.buffer.read(), args[0], *map(int, args[1:])))
    elif what == "frames":
        at = 0
        for frame in d.frames(sys.stdin.buffer):
            print(at, at + len(frame.raw) - 9 - len(frame._bytes), len(frame.raw))
            at += len(frame.raw)


main(*sys.argv[1:])
