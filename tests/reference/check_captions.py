# SPDX-License-Identifier: MIT
"""The Python side of tests/captions.t.

    check_captions.py make TAR FILE...          a shard with captions from every file, and some of our own
    check_captions.py samples TAR               stdin: dc-decode's frames; every caption is there, unchanged
    check_captions.py batches TAR VOCAB_SIZE    stdin: dc-tokenize's frames; every sample has proper tokens"""
import io
import os
import struct
import sys
import tarfile
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dcstream
import numpy as np

EVERY, FROM_EACH = 7, 150
OURS = ["子犬が芝生の上を走っている", "собака бежит по траве", "كلب يجري على العشب", "एक कुत्ता घास पर दौड़ रहा है", "สุนัขวิ่งบนหญ้า",
        "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽", "e\u0301te\u0301 = \u00e9t\u00e9", "tab\tand\u00a0no-break\u2003space", "caf&eacute; &amp;amp; bar",
        "a" * 300, "one", "!!! ???", "\ufeffwith a byte order mark", "«guillemets» „Gänsefüßchen“ …", "İstanbul DŽ ﬁ ß"]


def png(n):
    """An n by n image: a byte of filter, then red, green, blue of each row."""
    rows = b"".join(b"\0" + bytes((x * 8, y * 8, 128)[c] for x in range(n) for c in range(3)) for y in range(n))
    chunk = lambda k, d: struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", n, n, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def make(path, files):
    image = png(24)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        def add(key, caption):
            for ext, data in (("png", image), ("txt", caption.encode())):
                info = tarfile.TarInfo("%s.%s" % (key, ext))
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        for name in files:
            with open(name, encoding="utf-8") as f:
                lines = [line.rstrip("\n") for line in f]
            for i, line in enumerate([x for x in lines if x.strip()][::EVERY][:FROM_EACH]):
                add("%s-%04d" % (os.path.basename(name).replace(".", "-"), i), line)
        for i, line in enumerate(OURS):
            add("ours-%04d" % i, line)


def captions(path):
    with tarfile.open(path) as tar:
        return {m.name[:-4]: tar.extractfile(m).read().decode() for m in tar if m.name.endswith(".txt")}


def samples(want):
    seen = {}
    for kind, _, b in dcstream.read(sys.stdin.buffer):
        if kind == "samples":
            seen.update(zip(b["key"], b["caption"]))
    if set(seen) != set(want):
        sys.exit("%d captions came, wanted %d; missing: %s" % (len(seen), len(want), sorted(set(want) - set(seen))[:5]))
    for k in want:
        if seen[k].strip() != want[k].lstrip('\ufeff').strip():
            sys.exit("%s: got %r, wanted %r" % (k, seen[k], want[k]))


def proper(key, what, t, vocab):
    """start, words, end, padding; the mask only where it is allowed."""
    start, end, mask = vocab - 2, vocab - 1, vocab
    ends = np.where(t == end)[0]
    if t[0] != start or not len(ends) or (t[ends[0] + 1:] != 0).any():
        sys.exit("%s: %s is no start .. end padding: %s" % (key, what, t))
    words = t[1:ends[0]]
    if not len(words) or (words < 0).any() or (words > (mask if what == "mlm_token" else start - 1)).any():
        sys.exit("%s: %s has words outside the vocabulary, or none: %s" % (key, what, t))
    return words


def batches(want, vocab):
    seen = set()
    for kind, _, b in dcstream.read(sys.stdin.buffer):
        for i, key in enumerate(b["key"] if kind == "batch" else ()):
            seen.add(key)
            for what in ("token.0", "token.1", "mlm_token"):
                proper(key, what, b[what][i], vocab)
            asked = b["mlm_target"][i] >= 0
            if (b["mlm_target"][i][asked] != b["token.0"][i][asked]).any():
                sys.exit("%s: mlm_target is not the word that stood there" % key)
            if (b["mlm_token"][i][~asked] != b["token.0"][i][~asked]).any():
                sys.exit("%s: mlm_token differs where nothing is asked" % key)
    if seen != set(want):
        sys.exit("%d samples came, wanted %d; missing: %s" % (len(seen), len(want), sorted(set(want) - seen)[:5]))


if __name__ == "__main__":
    what, path = sys.argv[1:3]
    if what == "make":
        make(path, sys.argv[3:])
    elif what == "samples":
        samples(captions(path))
    else:
        batches(captions(path), int(sys.argv[3]))
