# SPDX-License-Identifier: MIT
"""Streams for tests/score.t, and the scores that must come of them, by sorting in numpy.

    score_streams.py make     # every NAME.dcs
    score_streams.py recall|zeroshot <table.tsv"""
import sys

import numpy as np

import dcstream

N, K, P, D = 70, 7, 3, 16
END = ("end", 0, {"counts": {}, "damaged": []})


def data():
    r = np.random.default_rng(5)
    image = r.standard_normal((N, D)).astype("<f4")
    owner = np.sort(np.concatenate([np.arange(N), r.integers(0, N, 40)]))
    text = (image[owner] + 1.5 * r.standard_normal((len(owner), D))).astype("<f4")
    prompt = r.standard_normal((K * P, D)).astype("<f4")
    label = np.array([np.argmax(image[i] @ prompt.reshape(K, P, D).sum(1).T) if i % 3 else i % K for i in range(N)])
    label[10] = -1
    return image, text, owner, prompt, label.astype("<i4")


def parts(cuts, **change):
    image, text, owner, _, label = data()
    for i, (a, b) in enumerate(zip(cuts, cuts[1:])):
        mine = (owner >= a) & (owner < b)
        f = {"image_features.0": image[a:b], "text_features.0": text[mine], "logit_scale": 3.0,
             "caption_image": (owner[mine] - a).astype("<i4"), "id": np.arange(a, b).astype("<u8"), "label": label[a:b],
             "part": [i, len(cuts) - 1], "position": 1}
        f.update(change)
        yield "features", 0, {k: v for k, v in f.items() if v is not None}


def prompts(order=None, **change):
    p = data()[3]
    order = np.arange(len(p)) if order is None else order
    for i, rows in enumerate(np.array_split(order, 2)):
        f = {"text_features.0": p[rows], "line": (rows + 1).astype("<i8"), "logit_scale": 3.0, "part": [i, 2]}
        f.update(change)
        yield "features", 0, f
    yield END


def alone(f):
    yield "features", 0, f
    yield END


def same(n, c):
    one = np.ones((n, D), "<f4")
    return {"image_features.0": one, "text_features.0": np.ones((c, D), "<f4"), "label": np.zeros(n, "<i4")}


NAN = np.ones((2, D), "<f4")
NAN[1, 3] = np.nan
STREAMS = {
    "parts": lambda: [*parts([0, 20, 20, 64, 70]), ("weather", 0, {}), END],
    "whole": lambda: [*parts([0, 70]), END],
    "prompts": prompts,
    "shuffled": lambda: prompts(np.random.default_rng(1).permutation(K * P)),
    "same": lambda: alone(same(10, 10)),
    "few": lambda: alone(same(10, 9)),
    "twice": lambda: [*parts([0, 70]), *parts([0, 70]), END],
    "outside": lambda: [*parts([0, 70], caption_image=np.full(110, 70, "<i4")), END],
    "nan": lambda: alone(same(2, 2) | {"image_features.0": NAN}),
    "widths": lambda: alone(same(2, 2) | {"text_features.0": np.ones((2, D + 1), "<f4")}),
    "narrow": lambda: [*alone(same(2, 2))][:1] + [*alone({k: v[:, 1:] if v.ndim == 2 else v for k, v in same(2, 2).items()})],
    "wide": lambda: alone({k: np.repeat(v, 2, 1) if v.ndim == 2 else v for k, v in same(2, 2).items()}),
    "zero": lambda: alone(same(3, 3) | {"image_features.0": np.eye(3, D, -1, "<f4")}),
    "zero_text": lambda: alone(same(3, 3) | {"text_features.0": np.eye(3, D, -1, "<f4")}),
    "images_only": lambda: [*parts([0, 70], **{"text_features.0": None, "caption_image": None}), END],
    "no_label": lambda: [*parts([0, 20, 70], label=None), END],
    "cancel": lambda: alone({"text_features.0": np.array([[1.] * D, [-1.] * D], "<f4")}),
    "nan_text": lambda: alone({"text_features.0": NAN}),
    "nothing": lambda: [END],
    "textonly": prompts,
    "noend": lambda: parts([0, 70]),
    "line_twice": lambda: prompts(line=np.arange(1, 12)[:(K * P + 1) // 2]),
    "label": lambda: alone(same(2, 2) | {"label": np.array([0, K], "<i4")}),
    "unlabelled": lambda: alone(same(2, 2) | {"label": np.array([-1, -1], "<i4")}),
}


def unit(x):
    x = x.astype(float)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def table():
    rows = [line.rstrip("\n").split("\t") for line in sys.stdin]
    return rows[0], rows[1:]


def need(got, want, what, tol=2e-6):
    if not abs(float(got) - want) <= tol:
        sys.exit("score_streams.py: %s: got %s, wanted %r" % (what, got, want))


def check_recall():
    image, text, owner, _, _ = data()
    cos = unit(image) @ unit(text).T
    _, rows = table()
    got = {r[0]: r for r in rows}
    rank_i = np.array([min(1 + (cos[n] > cos[n, c]).sum() for c in np.flatnonzero(owner == n)) for n in range(N)])
    rank_t = np.array([1 + (cos[:, c] > cos[owner[c], c]).sum() for c in range(len(owner))])
    own = np.bincount(owner)
    for k in (1, 5, 10):
        hit = (rank_i <= k).astype(float)
        r = got["i2t_R@%d" % k]
        need(r[1], hit.mean(), "i2t R@%d" % k)
        need(r[2], hit.std(ddof=1) / N ** .5, "its standard error")
        miss = [np.prod([(len(owner) - m - i) / (len(owner) - i) for i in range(k)]) for m in own]
        need(r[3], 1 - np.mean(miss), "its chance")
        hit = rank_t <= k
        off = np.bincount(owner, hit) - hit.mean() * own
        r = got["t2i_R@%d" % k]
        need(r[1], hit.mean(), "t2i R@%d" % k)
        need(r[2], (off ** 2).sum() ** .5 * (N / (N - 1)) ** .5 / len(owner), "its standard error")
        need(r[3], k / N, "its chance")
    need(got["i2t_median_rank"][1], np.median(rank_i), "median", .06)
    need(got["t2i_median_rank"][1], np.median(rank_t), "median", .06)
    need(got["i2t_mean_rank"][1], rank_i.mean(), "mean rank", 1e-4)
    need(got["t2i_mean_rank"][1], rank_t.mean(), "mean rank", 1e-4)


def check_zeroshot():
    image, _, _, prompt, label = data()
    cls = unit(unit(prompt).reshape(K, P, D).mean(1))
    keep = label >= 0
    order = np.argsort(-(unit(image) @ cls.T), axis=1)[keep]
    rank = np.argmax(order == label[keep][:, None], axis=1)
    _, rows = table()
    got = {r[0]: r for r in rows if r[0]}
    need(got["top-1"][1], (rank == 0).mean(), "top-1")
    need(got["top-1"][3], 1 / K, "chance")
    need(got["top-5"][1], (rank < 5).mean(), "top-5")
    per = [(rank[label[keep] == k] == 0).mean() for k in range(K)]
    need(got["mean_per_class"][1], np.mean(per), "mean per class")
    for k in range(K):
        need(got["name%d" % k][2], per[k], "class %d" % k)
        need(got["name%d" % k][3], (order[:, 0] == k).sum(), "given to class %d" % k)


def main():
    if sys.argv[1] == "make":
        for name, frames in STREAMS.items():
            dcstream.save(name + ".dcs", frames())
    elif sys.argv[1] == "recall":
        check_recall()
    else:
        check_zeroshot()


main()
