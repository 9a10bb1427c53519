#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the seeds of tests/fuzz/corpus: make_corpus.py DIR [PART...], with dc-init and dc-export in PATH. PARTs are frames,
safetensors, tars, images, texts, arrays, configs.

The JPEGs and WebPs need Pillow; without it those that are there are left alone. What a fuzzer found stands beside the
seeds under a name of its own (found-...) and is not touched."""
import gzip
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "../reference"))


def put(name, data):
    path = os.path.join(out, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def frames():
    import msgpack
    import msgpack_numpy
    import numpy as np

    import dcstream

    def tensor(a):
        return msgpack_numpy.encode(np.asarray(a))

    def body(m):
        return msgpack.packb(m, use_bin_type=True)

    samples = {"id": tensor(np.arange(2, dtype="<u8")), "key": ["a/b", "kñ"], "caption": ["a dog", "zwei Hunde"],
               "image": [tensor(np.zeros((2, 3, 3), "u1")), tensor(np.ones((1, 1, 3), "u1"))],
               "caption_image": tensor(np.arange(2, dtype="<i4")), "position": 1, "part": [0, 1]}
    features = {"image_features.0": tensor(np.ones((2, 4), "<f4")), "text_features.0": tensor(np.ones((2, 4), "<f8")),
                "logit_scale": 2.5, "skip": False, "part": [0, 2], "label": tensor(np.array([-1, 2 ** 31 - 1], "<i4"))}
    ref = {b"nd": True, b"type": "<f4", b"kind": b"", b"shape": [2, 3], b"file": "gradients.safetensors", b"name": "x.w"}
    gradients = {"gradient": {"x.w": ref}, "last": True, "position": 3, "wait_s": 0.5, "none": None}
    plain = io.BytesIO()
    for kind, m in (("samples", samples), ("features", features), ("gradients", gradients), ("end", {"counts": {"in": 3}})):
        put("frame/body-" + kind, b"\1" + body(m))
        b = body(m)
        plain.write(msgpack.packb(["dcs1", kind, 7, len(b)]) + b + msgpack.packb(dcstream.xxhash.xxh3_64_intdigest(b)))
    put("frame/stream", b"\0" + plain.getvalue())
    put("frame/stream-cut", b"\0" + plain.getvalue()[:-20])
    one, two = body({**features, "part": [0, 2]}), body({**features, "part": [1, 2]})
    put("frame/parts", b"\2" + struct.pack("<H", len(one)) + one + two)
    put("frame/deep", b"\1" + b"\x81\xa1a" + b"\x91" * 20 + b"\1")
    put("frame/six-bytes", b"\1\x81\xa1a\xdd\xff\xff\xff\xff")


def safetensors():
    def st(head, data=b"", pad=0):
        h = json.dumps(head).encode() + b" " * pad
        return struct.pack("<Q", len(h)) + h + data

    two = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, "b": {"dtype": "I64", "shape": [], "data_offsets": [16, 24]}}
    put("safetensors/two", st({"__metadata__": {"format": "pt"}, **two}, bytes(24), 3))
    put("safetensors/odd", st({"h": {"dtype": "BF16", "shape": [3], "data_offsets": [1, 7]}, "u": {"dtype": "U8", "shape": [1],
                               "data_offsets": [0, 1]}}, bytes(7)))
    put("safetensors/overflow", st({"a": {"dtype": "F64", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 0]}}))
    put("safetensors/beyond", st({"a": {"dtype": "U8", "shape": [1 << 62], "data_offsets": [0, 1 << 62]}}))
    put("safetensors/header-lies", struct.pack("<Q", 1 << 63) + b"{}")
    with tempfile.TemporaryDirectory() as d:
        arch = {"embed_dim": 4, "vision_cfg": {"image_size": 8, "layers": 1, "width": 8, "patch_size": 4, "head_width": 8},
                "text_cfg": {"context_length": 4, "vocab_size": 16, "width": 8, "heads": 1, "layers": 1}}
        with open(d + "/arch.json", "w") as f:
            json.dump(arch, f)
        subprocess.run(["dc-init", "--arch", d + "/arch.json", "--method", "clip", "--model", d + "/m"], check=True)
        for form in "openai", "hf":
            subprocess.run(["dc-export", "--to", form, "--out", d + "/" + form, d + "/m"], check=True)
            p = d + "/" + form
            p = p if os.path.isfile(p) else p + "/model.safetensors"
            with open(p, "rb") as f:
                put("safetensors/model-" + form, f.read())


def tars():
    import shards

    def tar(fmt, members):
        b = io.BytesIO()
        with tarfile.open(fileobj=b, mode="w", format=fmt) as t:
            for name, data, kind in members:
                i = tarfile.TarInfo(name)
                i.size, i.type = len(data), kind
                if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                    i.linkname, i.size = "/etc/passwd", 0
                t.addfile(i, io.BytesIO(data))
        return b.getvalue().rstrip(b"\0") + bytes(1024)

    R = tarfile.REGTYPE
    png = shards.png(2, 2, 1)
    two = [("d/a.png", png, R), ("d/a.txt", b"one", R), ("b.json", b'{"caption":["x","y"]}', R), ("b.jpg", b"\xff\xd8\xff", R)]
    put("tar/ustar", tar(tarfile.USTAR_FORMAT, two))
    put("tar/gnu-long", tar(tarfile.GNU_FORMAT, [("x" * 150 + "/a.png", png, R), ("x" * 150 + "/a.txt", b"t", R)]))
    put("tar/pax-long", tar(tarfile.PAX_FORMAT, [("ñ" * 90 + "/a.png", png, R), ("ñ" * 90 + "/a.txt", b"t", R)]))
    put("tar/kinds", tar(tarfile.USTAR_FORMAT, [("a.d/", b"", tarfile.DIRTYPE), ("a.png", b"", tarfile.SYMTYPE),
                                                 ("a.txt", b"", tarfile.LNKTYPE), ("p.png", b"", tarfile.FIFOTYPE),
                                                 ("../../up.png", png, R), ("/etc/abs.txt", b"t", R), (".hid.txt", b"t", R)]))
    put("tar/cut", tar(tarfile.USTAR_FORMAT, two)[:-1300])
    put("tar/gz", gzip.compress(tar(tarfile.USTAR_FORMAT, two), mtime=0))
    # a sparse member of 1 GiB in PAX's way: one byte is there
    pax = b"".join(b"%d %s\n" % (len(s) + 3, s) for s in
                   (b"GNU.sparse.major=1", b"GNU.sparse.minor=0", b"GNU.sparse.name=s.png"))
    pax += b"33 GNU.sparse.realsize=1073741824\n"
    head = tarfile.TarInfo("PaxHeader/s")
    head.type, head.size = b"x", len(pax)
    data = b"1\n0\n1\n".ljust(512, b"\0") + b"x".ljust(512, b"\0")
    file = tarfile.TarInfo("GNUSparseFile/s.png")
    file.size = 513
    put("tar/sparse", head.tobuf(tarfile.USTAR_FORMAT) + pax.ljust(512, b"\0") + file.tobuf(tarfile.USTAR_FORMAT) + data
        + tar(tarfile.USTAR_FORMAT, [("s.txt", b"t", R)]))


def images():
    import shards

    put("image/png", shards.png(5, 4, 1, orientation=6))
    put("image/png-claims", shards.png(2, 2, 1, claim=(20000, 20000)))
    # a bomb: 20,000 pixels a row, one row claimed as 10
    put("image/png-bomb", b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in
        ((b"IHDR", struct.pack(">IIBBBBB", 20000, 10, 16, 6, 0, 0, 1)), (b"IDAT", zlib.compress(bytes(400000))), (b"IEND", b""))))
    put("image/gif", b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;")
    put("image/html", b"<!DOCTYPE html><html><body>404</body></html>")
    try:
        from PIL import Image
    except ImportError:
        print("no Pillow: JPEG and WebP seeds are left as they are", file=sys.stderr)
        return
    im = Image.new("RGB", (11, 9))
    im.putdata([((x * 37) % 256, (x * 11) % 256, (x * 5) % 256) for x in range(99)])
    exif = Image.Exif()
    exif[274] = 5

    def save(name, image, **how):
        b = io.BytesIO()
        image.save(b, **how)
        put("image/" + name, b.getvalue())

    save("jpeg", im, format="JPEG", quality=40, exif=exif)
    save("jpeg-progressive", im, format="JPEG", progressive=True, quality=30)
    save("jpeg-cmyk", im.convert("CMYK"), format="JPEG", quality=30)
    save("jpeg-gray", im.convert("L"), format="JPEG", quality=30)
    save("webp", im, format="WEBP", quality=30)
    save("webp-lossless", im.convert("RGBA"), format="WEBP", lossless=True, exif=exif)
    save("webp-animated", im, format="WEBP", save_all=True, append_images=[im.rotate(180)])
    save("png-palette", im.quantize(7), format="PNG")
    save("png-16", Image.new("I;16", (3, 3), 700), format="PNG")
    save("png-animated", im, format="PNG", save_all=True, append_images=[im.rotate(180)])


def texts():
    merges = "t h\nth e</w>\na n\nan d</w>\nc a\nca t</w>\nà ¤\n"
    put("vocab/plain", ("#version: 0.2\n" + merges).encode())
    put("vocab/gz", gzip.compress(("#version: 0.2\n" + merges).encode(), mtime=0))
    put("vocab/bomb", gzip.compress(gzip.compress(b"#version\n" + b"a b\n" * 200000, mtime=0), mtime=0))
    put("vocab/not-made", b"#version\nab c\n")
    put("vocab/lrz", b"LRZI\0\6" + bytes(32))
    put("vocab/lzop", b"\x89LZO\0\r\n\x1a\n" + bytes(32))
    put("captions/json", json.dumps({"caption": ["a dog", "l\u2019été &amp;lt; x", " "], "n": 1}).encode() + b"\x1etext\x1e7\n")
    put("captions/text", b"[]\x1ea caf\xc3\xa9, \xe2\x80\x9cquoted\xe2\x80\x9d  &eacute; sch\xc3\x83\xc2\xb6n\x1e-3")
    put("captions/latin", b"{}\x1ecaf\xe9\x1e99999999999")
    put("captions/deep", b"[" * 3000 + b"\x1e" + b"&" * 500 + b"\x1e")
    put("captions/escapes", b'{"caption": "\\u0000 \\ud83d\\ude00 \\ud800"}\x1e\x1b[31mred\x1b[0m\xef\xbb\xbf\x1e')
    put("lines/templates", b"a photo of a {}.\n'a {}, a {}',\n\n")
    put("lines/names", b"dog\ncat\n cat \n")
    put("lines/shards", b"a-{00..09..3}{x,y{1..2},}.tar")


def arrays():
    def npy(descr, shape, data=b"", version=1):
        h = ("{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (descr, shape)).encode()
        h += b" " * (-(len(h) + 11) % 64) + b"\n"
        return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(h)) + h + data

    put("npy/f4", b"\0" + npy("<f4", (2, 3), bytes(24)))
    put("npy/f2-v2", b"\0" + npy("<f2", (4,), bytes(8), 2))
    put("npy/i8", b"\0" + npy("<i8", (), bytes(8)))
    put("npy/empty", b"\0" + npy("<f8", (1 << 60, 0)))
    put("npy/overflow", b"\0" + npy("<f8", (1 << 62, 1 << 62)))
    put("npy/object", b"\0" + npy("|O", (1,), bytes(8)))

    def columns(*files):
        return b"\1" + b"".join(bytes([i]) + struct.pack("<H", len(d)) + d for i, d in files)

    rows = npy("<f4", (2, 2), bytes(16))
    owner = npy("<i4", (3,), struct.pack("<3i", 0, 0, 1))
    put("npy/columns", columns((1, rows), (2, npy("<f4", (3, 2), bytes(24))), (3, owner), (6, b'["a","b"]'), (5, npy("<f4", (), bytes(4)))))
    put("npy/columns-owner", columns((1, rows), (2, npy("<f4", (3, 2), bytes(24))), (3, npy("<i4", (3,), struct.pack("<3i", 9, -1, 1)))))
    put("npy/columns-many", columns((1, npy("<f4", (1 << 60, 0)))))


def configs():
    vision = {"image_size": 8, "layers": 1, "width": 8, "patch_size": 4, "head_width": 8}
    text = {"context_length": 4, "vocab_size": 16, "width": 8, "heads": 1, "layers": 1}
    model = {"embed_dim": 4, "vision_cfg": vision, "text_cfg": text}
    full = {"model": {"model_cfg": model, "preprocess_cfg": {"mean": [.5, .5, .5], "std": [.5, .5, .5]}}, "method": "declip",
            "as": "paper", "weights": {"clip": .4, "mvs": .2, "simsiam": .2, "mlm": .2, "nns": .2}, "freeze": "conv1", "queue": 30,
            "nns_after": 2, "logit_scale": [3, 6], "simsiam_width": 16, "simsiam_hidden": 8}
    put("config/arch", json.dumps(model).encode())
    put("config/full", json.dumps(full).encode())
    put("config/open-clip", json.dumps(full["model"]).encode())
    resnet = {**model, "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}}
    put("config/resnet", json.dumps(resnet).encode())
    put("config/hf", json.dumps({"model_type": "clip", "projection_dim": 4, "vision_config": {"image_size": 8, "patch_size": 4,
        "hidden_size": 8, "num_attention_heads": 1}, "text_config": {"hidden_act": "gelu", "eos_token_id": 2}}).encode())
    put("config/hf-preprocessor", json.dumps({"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "resample": 3, "size":
        {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}}).encode())


out = os.path.abspath(sys.argv[1])
with tempfile.TemporaryDirectory() as scratch:
    os.chdir(scratch)            # shards.py writes where it is imported
    for make in frames, safetensors, tars, images, texts, arrays, configs:
        if not sys.argv[2:] or make.__name__ in sys.argv[2:]:
            make()
    os.chdir("/")
