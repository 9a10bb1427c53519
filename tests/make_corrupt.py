#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Shards with all that goes wrong in the wild: make_corrupt.py DIR SCENES.tar [N [SHARDS]], 1 % of N samples of each kind.

Good images are those of SCENES.tar (dc-scenes). Writes DIR/c-000.tar ... and DIR/expected.tsv: shard, key, and `ok` or
the first word of the reason that dc-decode --rejects must give. Members that are no sample's (directories, names without a
dot) are not in it."""
import io
import os
import struct
import sys
import tarfile
import zlib

here = os.path.dirname(os.path.abspath(__file__))
out, scenes = sys.argv[1:3]
total = int(sys.argv[3]) if sys.argv[3:] else 1000
n_shards = int(sys.argv[4]) if sys.argv[4:] else 4


def corpus(name):
    with open(os.path.join(here, "fuzz/corpus/image", name), "rb") as f:
        return f.read()


def png(w, h, depth=8, colour=0):
    """Black, gray; one bit a pixel where it is huge: 20,000 x 20,000 pixels in 50 kB."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    row = b"\0" + bytes((w * depth + 7) // 8)
    pack = zlib.compressobj(1)
    data = b"".join(pack.compress(row * min(500, h - y)) for y in range(0, h, 500)) + pack.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, 0)) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def member(tar, name, data, kind=tarfile.REGTYPE, link=""):
    t = tarfile.TarInfo(name)
    t.type, t.linkname = kind, link
    t.size = len(data)
    tar.addfile(t, io.BytesIO(data))


def sample(tar, key, image, text=b"a red circle", ext="jpg"):
    if image is not None:
        member(tar, key + "." + ext, image)
    if text is not None:
        member(tar, key + ".txt", text)


def sparse(tar, name, data, size, end=True):
    """A member of `size` bytes in PAX's sparse format 1.0, of which only the first are there. GNU tar ends the list of
    pieces with an empty one at the file's end, where there is a hole before it."""
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name, "GNU.sparse.realsize": str(size)}
    t = tarfile.TarInfo("GNUSparseFile.0/" + name)
    pieces = [(0, len(data))] + ([(size, 0)] if end and size > len(data) else [])
    body = "".join("%d\n" % n for n in (len(pieces), *sum(pieces, ()))).encode().ljust(512, b"\0") + data
    t.size, t.pax_headers = len(body), pax
    tar.addfile(t, io.BytesIO(body))


def twice(tar, key, image):
    sample(tar, key, image)
    sample(tar, key + "-between", image)
    sample(tar, key, image)


with tarfile.open(scenes) as t:
    good = [t.extractfile(m).read() for m in t if m.name.endswith(".jpg")]
huge = png(20000, 20000, 1)
one = png(1, 1)
long_name = "a-directory-with-a-long-name/" * 6 + "é"
# what it is; how it is put into a tar under a key; what becomes of its keys
KINDS = [
    ("cut", lambda t, k, im: sample(t, k, im[:len(im) * 2 // 3]), [("", "image")]),
    ("html", lambda t, k, im: sample(t, k, b"<!DOCTYPE html><title>404</title>"), [("", "image")]),
    ("empty", lambda t, k, im: sample(t, k, b""), [("", "empty-image")]),
    ("twice", twice, [("", "ok"), ("-between", "ok"), ("", "ok")]),
    ("in-two-shards", lambda t, k, im: None, []),    # below
    ("no-caption", lambda t, k, im: sample(t, k, im, None), [("", "no-caption")]),
    ("blank", lambda t, k, im: sample(t, k, im, " \u3000\n".encode()), [("", "blank-caption")]),
    ("latin", lambda t, k, im: sample(t, k, im, b"caf\xe9"), [("", "bad-caption")]),
    ("nul", lambda t, k, im: sample(t, k, im, b"a\0b"), [("", "bad-caption")]),
    ("long-caption", lambda t, k, im: sample(t, k, im, b"word " * 20000), [("", "ok")]),
    ("big-caption", lambda t, k, im: sample(t, k, im, b"w" * (1100 << 10)), [("", "too-large")]),
    ("1x1", lambda t, k, im: sample(t, k, one, ext="png"), [("", "ok")]),
    ("20000x20000", lambda t, k, im: sample(t, k, huge, ext="png"), [("", "image")]),
    ("cmyk", lambda t, k, im: sample(t, k, corpus("jpeg-cmyk")), [("", "ok")]),
    ("animated-webp", lambda t, k, im: sample(t, k, corpus("webp-animated"), ext="webp"), [("", "image")]),
    ("animated-gif", lambda t, k, im: sample(t, k, corpus("gif")), [("", "image")]),
    ("animated-png", lambda t, k, im: sample(t, k, corpus("png-animated"), ext="png"), [("", "ok")]),
    ("no-dot", lambda t, k, im: member(t, k, b"no sample's"), []),
    ("directory", lambda t, k, im: member(t, k + ".jpg/", b"", tarfile.DIRTYPE), []),
    ("symlink", lambda t, k, im: (member(t, k + ".jpg", b"", tarfile.SYMTYPE, "/etc/passwd"), member(t, k + ".txt", b"x")), [("", "no-image")]),
    ("hardlink", lambda t, k, im: (member(t, k + ".jpg", b"", tarfile.LNKTYPE, "../../../etc/passwd"), member(t, k + ".txt", b"x")),
     [("", "no-image")]),
    ("fifo", lambda t, k, im: (member(t, k + ".jpg", b"", tarfile.FIFOTYPE), member(t, k + ".txt", b"x")), [("", "no-image")]),
    ("dotted/../../../up", lambda t, k, im: sample(t, k, im), [("", "ok")]),
    (long_name, lambda t, k, im: sample(t, k, im), [("", "ok")]),
    ("sparse-whole", lambda t, k, im: (sparse(t, k + ".jpg", im, len(im)), member(t, k + ".txt", b"x")), [("", "ok")]),
    ("sparse-zeros", lambda t, k, im: (sparse(t, k + ".jpg", b"", 100000), member(t, k + ".txt", b"x")), [("", "damaged")]),
    ("sparse-no-end", lambda t, k, im: (sparse(t, k + ".jpg", b"", 100000, False), member(t, k + ".txt", b"x")), [("", "damaged")]),
    ("sparse-1-TB", lambda t, k, im: (sparse(t, k + ".jpg", im, 1 << 40), member(t, k + ".txt", b"x")), [("", "damaged")]),
]

os.makedirs(out, exist_ok=True)
each = max(1, total // 100)
rows = []
for s in range(n_shards):
    base = "c-%03d.tar" % s
    # names longer than 100 bytes as GNU tar writes them, and as PAX does
    with tarfile.open(os.path.join(out, base), "w", format=tarfile.GNU_FORMAT if s % 2 else tarfile.PAX_FORMAT) as tar:
        for i in range(s, total, n_shards):
            image = good[i % len(good)]
            sample(tar, "good-%06d" % i, image, ("a picture, number %d" % i).encode())
            rows.append((base, "good-%06d" % i, "ok"))
            kind = i // n_shards % 100
            if kind < len(KINDS):
                name, put, keys = KINDS[kind]
                if name.startswith("sparse") and s % 2:
                    continue             # tarfile writes PAX headers in PAX tars only
                key = "%s-%d" % (name, i)
                put(tar, key, image)
                rows += [(base, key + more, what) for more, what in keys]
        for i in range(each):
            sample(tar, "in-two-shards-%d" % i, good[0])
            rows.append((base, "in-two-shards-%d" % i, "ok"))
with open(os.path.join(out, "expected.tsv"), "w") as f:
    f.writelines("\t".join(r) + "\n" for r in rows)
