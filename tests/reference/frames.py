# SPDX-License-Identifier: MIT
"""A samples stream on stdin, checked (trailers and all) and listed, or its later frames as they came.

    frames.py          a line per frame and per sample; tests compare them
    frames.py raw K    the bytes of the samples frames from batch K on
    frames.py pixels D every image into the directory D as KEY.ppm, or KEY.bin where they are encoded"""
import json
import os
import sys

import numpy as np
import xxhash

import dcstream


def list_frame(f):
    b = f.body
    if f.kind == "end":
        print("end", f.step, json.dumps({k: b[k] for k in sorted(b)}, sort_keys=True))
        return
    n = len(b["key"])
    print("frame", f.kind, f.step, "position", b["position"], "part", *b["part"], "N", n)
    assert len(b["image"]) == n and all(b[k].shape == (n,) for k in ("id", "slot", "epoch"))
    assert (b["id"].dtype, b["slot"].dtype, b["epoch"].dtype) == (np.uint64, np.int64, np.int32)
    assert len(b["caption"]) == len(b["caption_image"]) and b["caption_image"].dtype == np.int32
    for i in range(n):
        captions = [c for c, k in zip(b["caption"], b["caption_image"]) if k == i]
        print("sample", f.step, b["slot"][i], b["epoch"][i], b["key"][i], "%016x" % b["id"][i],
              "x".join(map(str, b["image"][i].shape)), xxhash.xxh3_64_hexdigest(b["image"][i].tobytes()),
              b["label"][i] if "label" in b else "-", json.dumps(captions, ensure_ascii=False), sep="\t")


def pixels(f, folder):
    for key, a in zip(f.body.get("key", []), f.body.get("image", [])):
        path = os.path.join(folder, key.replace("/", "_"))
        if a.ndim == 1:
            open(path + ".bin", "wb").write(a.tobytes())
        else:
            open(path + ".ppm", "wb").write(b"P6 %d %d 255\n" % (a.shape[1], a.shape[0]) + a.tobytes())


for frame in dcstream.frames(sys.stdin.buffer):
    if len(sys.argv) < 2:
        list_frame(frame)
    elif sys.argv[1] == "pixels":
        pixels(frame, sys.argv[2])
    elif frame.kind == "samples" and frame.step >= int(sys.argv[2]):
        sys.stdout.buffer.write(frame.raw)
