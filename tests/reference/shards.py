# SPDX-License-Identifier: MIT
"""Small shards for tests/decode.t, in the current directory: s-000 .. s-002 hold 27 slots and every kind of reject."""
import io
import json
import struct
import tarfile
import zlib


def png(w, h, seed, claim=None, orientation=None):
    """A PNG of w x h pixels; its header may claim another size, its EXIF an orientation."""
    rows = b"".join(b"\0" + bytes((seed * 7 + y * 5 + x * 3) % 256 for x in range(3 * w)) for y in range(h))
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *(claim or (w, h)), 8, 2, 0, 0, 0))
            + (chunk(b"eXIf", struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 274, 3, 1, orientation, 0, 0))
               if orientation is not None else b"")
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def add(tar, name, data, kind=tarfile.REGTYPE):
    t = tarfile.TarInfo(name)
    t.size, t.type = len(data), kind
    tar.addfile(t, io.BytesIO(data))


def sample(tar, key, i, text=True, label=True):
    add(tar, key + ".png", png(4 + i % 5, 3 + i % 7, i))
    if text:
        add(tar, key + ".txt", ("caption of %s\n" % key).encode())
    if label:
        add(tar, key + ".cls", b"%d\n" % i)
    add(tar, key + ".json", json.dumps({"captions": ["%s %s" % (key, c) for c in "abcde"], "one": "one é %s" % key,
                                        "blank": " \n", "number": 7}).encode())


with tarfile.open("s-000.tar", "w") as t:
    for n in range(11):
        sample(t, "d.x/k%02d" % n, n)
with tarfile.open("s-001.tar", "w") as t:
    sample(t, "m0", 20, label=False)
    sample(t, "no-text", 21, text=False)
    add(t, "folder/", b"", tarfile.DIRTYPE)
    add(t, "README", b"no dot")
    for name, text in (("blank", " \t\n\u3000".encode()), ("latin", b"caf\xe9"), ("nul", b"a\0b")):
        add(t, name + ".png", png(2, 2, 1))
        add(t, name + ".txt", text)
    add(t, "no-image.txt", b"text alone")
    add(t, "zero.jpg", b"")
    add(t, "zero.txt", b"an image of no bytes")
    for n in range(1, 7):
        sample(t, "m%d" % n, 20 + n)
with tarfile.open("s-002.tar", "w") as t:
    for n in range(4):
        sample(t, "z%d" % n, 30 + n)
    add(t, "broken.png", png(8, 8, 3)[:-30])
    add(t, "broken.txt", b"cut image")
    add(t, "huge.png", png(2, 2, 3, claim=(50000, 50000)))
    add(t, "huge.txt", b"huge image")
    for n in range(2):
        sample(t, "z1", 40 + n)  # a key that comes again
    add(t, "z9.png", png(3, 3, 9))
    add(t, "z9.txt", b"bad label")
    add(t, "z9.cls", b"cat")
with tarfile.open("labels.tar", "w") as t:
    for n in range(71):
        add(t, "%02d.png" % n, png(2, 2, n))
        add(t, "%02d.txt" % n, b"text")
        if n == 0:
            add(t, "00.cls", b"5")
with tarfile.open("turned.tar", "w") as t:
    for n in range(10):
        add(t, "%d.png" % n, png(4, 2, 9, orientation=n))
        add(t, "%d.txt" % n, b"text")
for name, form in (("pax", tarfile.PAX_FORMAT), ("gnu", tarfile.GNU_FORMAT)):
    with tarfile.open("names-%s.tar" % name, "w", format=form) as t:
        for key in ("caf\u00e9/\u65e5\u672c", "x" * 90 + "/" + "y" * 90, "\udcff"):
            sample(t, key, 1) if key != "\udcff" else add(t, key + ".png", b"x")
with tarfile.open("nothing.tar", "w") as t:
    add(t, "a.bin", b"x")
    add(t, "a.meta", b"x")
with tarfile.open("allbad.tar", "w") as t:
    for n in range(3):
        add(t, "%d.jpg" % n, b"no image at all")
        add(t, "%d.txt" % n, b"text")
whole = open("s-000.tar", "rb").read()
open("cut.tar", "wb").write(whole[:-len(whole) // 3])
open("garbage.tar", "wb").write(bytes(range(256)) * 20)
open("empty.tar", "wb").close()
