#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Features of any other model as a stream: for dc-recall, dc-knn, dc-npy and the like, or as a teacher's.

    write_features.py IMAGES.npy TEXTS.npy >features.dcs

Row i of TEXTS is a caption of image i * images / texts. Needs python3-msgpack-numpy and python3-xxhash, nothing of dc."""
import struct
import sys

import msgpack
import msgpack_numpy
import numpy as np
import xxhash


def write(kind, step, body):
    body = msgpack.packb(body, default=msgpack_numpy.encode)
    sys.stdout.buffer.write(msgpack.packb(["dcs1", kind, step, len(body)]) + body + b"\xcf" +
                            struct.pack(">Q", xxhash.xxh3_64_intdigest(body)))


images, texts = (np.load(path).astype("<f4") for path in sys.argv[1:3])
write("features", 0, {"image_features.0": images, "text_features.0": texts, "position": 1, "part": [0, 1],
                      "caption_image": (np.arange(len(texts)) * len(images) // len(texts)).astype("<i4"),
                      "id": np.arange(len(images), dtype="<u8"), "slot": np.arange(len(images), dtype="<i8")})
write("end", 1, {"counts": {"in": len(images), "out": len(images)}, "damaged": []})
