# SPDX-License-Identifier: MIT
"""The Python side of tests/stream_python.t.

    check_stream.py make [--pad]     frames of every kind on stdout
    check_stream.py made             stdin is what `make` wrote, perhaps after a trip through C
    check_stream.py c                stdin is what `test_interop --make` wrote
    check_stream.py break HOW        stdin, damaged: half, flip, length, version, list, object
    check_stream.py read             read all of stdin, say nothing"""
import io
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dcstream
import msgpack
import numpy as np

KINDS = ("samples", "views", "batch", "features", "dfeatures", "gradients", "parameters", "state", "reduce", "stop",
         "whatever", "end")
TYPES = (("u8", "u1"), ("i32", "<i4"), ("i64", "<i8"), ("u64", "<u8"), ("f32", "<f4"), ("f64", "<f8"))
REF = dcstream.Ref("<f4", (12, 10), "gradients.safetensors", "visual.proj")


def body(i):
    rng = np.random.RandomState(i)
    b = {name: rng.randint(0, 99, (3, i + 1, 2)).astype(t) for name, t in TYPES}
    b.update(none=np.zeros((0, 5), "<f4"), scalar=np.array(3.5, "<f4"), image=[b["u8"], b["u8"][0, 0]],
             caption=["ein Hund läuft", "", "犬", "x" * (40 * i)], position=-5, step=1 << 60, logit_scale=3.25, last=True,
             nothing=None, loss={"clip": 1.5, "total": np.float64(2.5)}, gradient={"visual.proj": REF}, part=[0, 2],
             big=np.arange(70000, dtype="<f4"))
    return b


def same(a, b, where=""):
    if isinstance(b, np.ndarray):
        if not (isinstance(a, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and (a == b).all()):
            sys.exit("%s: got %r, wanted %r" % (where, a, b))
    elif isinstance(b, dict):
        if list(a) != list(b):
            sys.exit("%s: keys %s, wanted %s" % (where, list(a), list(b)))
        for k in b:
            same(a[k], b[k], where + "." + k)
    elif isinstance(b, list):
        if len(a) != len(b):
            sys.exit("%s: %d elements, wanted %d" % (where, len(a), len(b)))
        for i, x in enumerate(b):
            same(a[i], x, "%s[%d]" % (where, i))
    elif type(a) is not type(b) and not isinstance(b, np.generic) or a != b:
        sys.exit("%s: got %r, wanted %r" % (where, a, b))


def of_c():
    b = {n: np.arange(6 * (i + 1)).reshape(2, 3, i + 1).astype(t) + np.dtype(t).type(i) for i, (n, t) in enumerate(TYPES)}
    image = np.zeros(12, "u1")
    image[:3] = 255, 254, 253
    b.update(none=np.zeros((0, 7), "<f4"), scalar=np.array(2.5, "<f4"), image=[image.reshape(2, 2, 3), image[:5]],
             caption=["ein Hund läuft", "", "🐕"], position=-3, logit_scale=2.6592, last=True, part=[1, 4],
             gradient={"visual.proj": REF})
    return b


def check(want):
    frames = list(dcstream.read(sys.stdin.buffer))
    if [f[0] for f in frames] != list(KINDS):
        sys.exit("kinds: got %s" % [f[0] for f in frames])
    for i, (kind, step, b) in enumerate(frames):
        if step != i << 20:
            sys.exit("%s: step %d" % (kind, step))
        same(b, want(i), kind)


def damage(data, how):
    frames = list(dcstream.frames(io.BytesIO(data)))
    first, second = frames[0].raw, frames[1].raw
    if how == "half":
        return first + second[:len(second) // 2]
    if how == "flip":
        at = len(first) + len(second) // 2
        return data[:at] + bytes([data[at] ^ 16]) + data[at + 1:]
    if how == "length":
        return first + msgpack.packb(["dcs1", "views", 1, 1 << 62]) + second[20:]
    if how == "version":
        return first + b"\x94\xa4dcs2" + second[6:]
    if how == "list":  # an array header that announces four billion elements
        return first + dcstream.frame_bytes("views", 1, b"\x81\xa1x\xdd\xff\xff\xff\xff")
    if how == "object":
        tensor = {b"nd": True, b"type": "|O", b"kind": b"O", b"shape": [1], b"data": b"cos\nabort\n(tR."}
        return first + dcstream.frame_bytes("views", 1, msgpack.packb({"x": tensor}))
    sys.exit("break: " + how)


def main(what, *rest):
    if what == "make":
        for i, kind in enumerate(KINDS):
            dcstream.write(sys.stdout.buffer, kind, i << 20, body(i), pad="--pad" in rest)
    elif what == "made":
        check(body)
    elif what == "c":
        check(lambda i: of_c())
    elif what == "break":
        sys.stdout.buffer.write(damage(sys.stdin.buffer.read(), rest[0]))
    elif what == "read":
        for _ in dcstream.read(sys.stdin.buffer):
            pass


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except dcstream.StreamError as e:
        sys.exit("<stdin>: %s" % e)
