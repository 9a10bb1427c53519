# SPDX-License-Identifier: MIT
"""The Python side of tests/files.t, tests/classify.t and tests/search.t: what dc-files, dc-pick, classify.sh and search.sh
say, against features that came another way (a tar through dc-decode) and numpy.

    photos.py same A B [TURNS]                  two samples streams have the same pictures; B's after quarter turns
    photos.py classify IMAGES CAPTIONS <tsv     probabilities of classify.sh --tsv; the streams have the features
    photos.py search IMAGES QUERY N <hits       what search.sh prints; names are those of IMAGES' keys below photos/
    photos.py index DIR                         the index's rows belong to the photos of its files.tsv; prints their names
    photos.py hidden HIDDEN FEATURES WEIGHTS    HIDDEN's rows times visual.proj are FEATURES'
    photos.py rows STREAM N... -- A B...        STREAM has these rows of the streams A B..."""
import os
import sys

import numpy as np

import dcstream


def frames(path, kind):
    with open(path, "rb") as f:
        return [b for k, _, b in dcstream.read(f) if k == kind]


def column(path, key):
    return np.concatenate([b[key] for b in frames(path, "features")])


def keys(path):
    return [k for b in frames(path, "features") for k in b["key"]]


def unit(x):
    x = x.astype(float)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def need(ok, *what):
    if not ok:
        sys.exit("photos.py: " + " ".join(map(str, what)))


def same(a, b, turns=0):
    a, b = ([x for f in frames(p, "samples") for x in f["image"]] for p in (a, b))
    need(len(a) == len(b) > 0, len(a), "and", len(b), "pictures")
    for i, (x, y) in enumerate(zip(a, b)):
        need(np.array_equal(x, np.rot90(y, int(turns))), "picture", i, "differs")


def classify(images, captions):
    image, text = unit(column(images, "image_features.0")), unit(column(captions, "text_features.0"))
    scale = min(np.exp(frames(captions, "features")[0]["logit_scale"]), 100)
    lines = [line.rstrip("\n").split("\t") for line in sys.stdin]
    name = [k for k in keys(images)]
    need(len(lines) == len(image) * len(text), len(lines), "lines")
    for n, (photo, rank, p, cosine, caption) in enumerate(lines):
        i, r = divmod(n, len(text))
        cos = image[i] @ text.T
        c = np.argsort(-cos, kind="stable")[r]
        e = np.exp(scale * cos)
        need(photo.rsplit("/", 1)[-1].split(".")[0] == name[i] and int(rank) == r + 1, "line", n, photo, rank)
        need(abs(float(cosine) - cos[c]) < 2e-6 and abs(float(p) - e[c] / e.sum()) < 1e-5, "line", n, cosine, p, cos[c], e[c] / e.sum())
        need(caption == "caption %d" % c, "line", n, caption)


def search(images, query, n):
    name = keys(images)
    q = frames(query, "features")[0]
    cos = unit(column(images, "image_features.0")) @ unit(q["text_features.0" if "text_features.0" in q else "image_features.0"])[0]
    lines = [line.rstrip("\n").split("\t", 1) for line in sys.stdin]
    need(len(lines) == int(n), len(lines), "lines")
    for line, i in zip(lines, np.argsort(-cos, kind="stable")):
        need(abs(float(line[0]) - cos[i]) < 6e-5, line, cos[i], name[i])
        need(abs(cos[name.index(line[1].rsplit("/", 1)[-1].split(".")[0])] - cos[i]) < 2e-6, line, "wanted", name[i])


def index(path):
    x = np.load(os.path.join(path, "features", "image_features.0.npy"))
    with open(os.path.join(path, "files.tsv"), encoding="utf-8", errors="surrogateescape") as f:
        name = [line.rstrip("\n").split("\t", 2)[2] for line in f]
    import json
    with open(os.path.join(path, "features", "key.json"), encoding="utf-8") as f:
        key = json.load(f)
    need(len(x) == len(name) == len(key), len(x), "rows,", len(name), "names,", len(key), "keys")
    need(np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6), "norms")
    for n, k in zip(name, key):
        need(n.encode("utf-8", "surrogateescape").decode("ascii", "replace").replace("\ufffd", "?") ==
             k.encode("utf-8").decode("ascii", "replace").replace("\ufffd", "?"), n, k)
    print(*name, sep="\n")


def hidden(before, after, weights):
    import json
    import struct
    data = open(weights, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    h = json.loads(data[8:8 + n])["visual.proj"]
    proj = np.frombuffer(data[8 + n + h["data_offsets"][0]:8 + n + h["data_offsets"][1]], "<f4").reshape(h["shape"])
    x, y = column(before, "image_features.0"), column(after, "image_features.0")
    need(x.shape[1] == proj.shape[0] != y.shape[1], x.shape, y.shape)
    need(np.abs(x @ proj - y).max() <= 1e-5 * np.abs(y).max(), "the projection of the hidden features differs")
    need("text_features.0" not in frames(before, "features")[0], "captions")


def rows(stream, args):
    cut = args.index("--")
    want = [int(i) for i in args[:cut]]
    for key in frames(stream, "features")[0]:
        if key in ("part", "position", "logit_scale"):
            continue
        have = [v for p in [stream] for b in frames(p, "features") for v in b[key]]
        all_ = [v for p in args[cut + 1:] for b in frames(p, "features") for v in b[key]]
        need(len(have) == len(want) and all(np.array_equal(h, all_[i]) for h, i in zip(have, want)), key, "differs")


def main():
    what, args = sys.argv[1], sys.argv[2:]
    if what == "rows":
        rows(args[0], args[1:])
    else:
        {"same": same, "classify": classify, "search": search, "index": index, "hidden": hidden}[what](*args)


main()
