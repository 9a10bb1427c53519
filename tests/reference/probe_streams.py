# SPDX-License-Identifier: MIT
"""Labelled features for tests/probe.t and tests/knn.t, and what scikit-learn and numpy make of them.

    probe_streams.py make NAME >stream                 a features stream
    probe_streams.py golden >tests/golden/probe.tsv    scikit-learn's logistic regression on train, val and test
    probe_streams.py probe GOLDEN SWEEP <table.tsv     compare dc-probe --tsv and its --sweep with that
    probe_streams.py weights FILE                      compare dc-probe --save with its own minimum
    probe_streams.py knn <table.tsv                    compare dc-knn --tsv with sorting in numpy
    probe_streams.py pictures >stream                  samples of the ids of train and test
    probe_streams.py sheet FILE ROWS COLUMNS           is it a PNG of that many queries and neighbours?
    probe_streams.py near QUERY BASE K <list.tsv       compare dc-knn --list with that"""
import sys

import numpy as np

import dcstream

D, K = 16, 6
LAMBDAS = 13
SIZES = {"train": 480, "val": 160, "test": 500}
LABELS = np.array([3, 4, 7, 10, 11, 200])  # labels are any numbers
SHARES = np.array([.3, .25, .2, .1, .1, .05])
END = ("end", 0, {"counts": {}, "damaged": []})


def sets():
    r = np.random.default_rng(11)
    mean = .5 * r.standard_normal((K, D)) / np.arange(1, D + 1) ** .5
    mix = r.standard_normal((D, D)) / 8
    out = {}
    for name, n in SIZES.items():
        y = r.choice(K, n, p=SHARES)
        x = ((mean[y] + r.standard_normal((n, D)) / np.arange(1, D + 1) ** .5) @ mix + .5).astype("<f4")
        out[name] = x, LABELS[y].astype("<i4"), np.arange(n).astype("<u8") + 1000 * (len(out) + 1)
    return out


def frames(x, y=None, ids=None, cut=64, **more):
    n = len(x)
    starts = range(0, n, cut)
    for i, a in enumerate(starts):
        f = {"image_features.0": x[a:a + cut], "label": None if y is None else y[a:a + cut],
             "id": None if ids is None else ids[a:a + cut], "logit_scale": 3.0, "part": [i, len(starts)],
             "key": ["%05d" % j for j in range(a, min(a + cut, n))], "position": 1}
        f.update({k: v[a:a + cut] for k, v in more.items()})
        yield "features", 0, {k: v for k, v in f.items() if v is not None}
    yield END


def stream(name):
    if name in SIZES:
        return frames(*sets()[name])
    x, y, ids = sets()["train"]
    if name == "texts":  # captions look for images
        return [("features", 0, {"text_features.0": sets()["test"][0][:5], "line": np.arange(1, 6).astype("<i8")}), END]
    if name == "captions":  # two of each image, equal
        x = sets()["test"][0][:6]
        return [("features", 0, {"image_features.0": x[:3], "text_features.0": np.ascontiguousarray(x[[0, 0, 1, 2, 2, 1]]),
                                 "caption_image": np.array([0, 0, 1, 2, 2, 1], "<i4"), "key": ["00000", "00002", "00001"],
                                 "label": np.array([3, 4, 4], "<i4")}), END]
    if name == "other-scale":
        return [(k, s, b | {"logit_scale": 2.0} if k == "features" else b) for k, s, b in frames(*sets()["test"])]
    if name == "both":
        return frames(*(np.concatenate(p) for p in zip(sets()["train"], sets()["val"])))
    if name == "some":  # every tenth without a label, one frame without any
        y = np.where(np.arange(len(y)) % 10 == 0, -1, y).astype("<i4")
        out = list(frames(x, y, ids))
        del out[2][2]["label"]
        return out
    if name == "unlabelled":
        return frames(x, None, ids)
    if name == "one":
        return frames(x, np.full(len(y), 3, "<i4"), ids)
    if name == "apart":
        return frames(x[:3], np.array([0, 1, 2], "<i4"))
    if name == "other":
        return frames(x[:70], np.full(70, 5, "<i4"))
    if name == "narrow":
        return frames(np.ascontiguousarray(x[:, :9]), y, ids)
    if name == "nan":
        x = x.copy()
        x[65, 3] = np.nan
        return frames(x, y, ids)
    if name == "short":
        f = list(frames(x, y, ids))
        f[1][2]["label"] = f[1][2]["label"][:-1]
        return f
    if name == "same":
        return frames(np.ones((10, D), "<f4"), (np.arange(10) % 2).astype("<i4"))
    if name == "noend":
        return list(frames(x, y, ids))[:-1]
    sys.exit("probe_streams.py: no stream " + name)


def need(got, want, what, tol=2e-6):
    if not abs(float(got) - float(want)) <= tol:
        sys.exit("probe_streams.py: %s: got %s, wanted %s" % (what, got, want))


def rows(f):
    return [line.rstrip("\n").split("\t") for line in f]


# --- the linear probe ---

def regression(x, y, lam):
    from sklearn.linear_model import LogisticRegression
    # scikit-learn's objective is C sum CE + |W|^2 / 2
    m = LogisticRegression(C=1 / lam, tol=1e-11, max_iter=20000).fit(x.astype(float), y)
    p = m.predict_log_proba(x.astype(float))
    return m, -p[np.arange(len(y)), np.searchsorted(m.classes_, y)].sum() + lam / 2 * (m.coef_ ** 2).sum()


def golden():
    s = sets()
    (x, y, _), (v, vy, _), (t, ty, _) = s["train"], s["val"], s["test"]
    best = None
    for lam in np.logspace(6, -6, LAMBDAS):
        m, objective = regression(x, y, lam)
        accuracy = (m.predict(v.astype(float)) == vy).mean()
        print("sweep\t%.9g\t%.6f\t%.9g" % (lam, accuracy, objective))
        if best is None or accuracy > best[0]:
            best = accuracy, lam
    m, objective = regression(np.concatenate([x, v]), np.concatenate([y, vy]), best[1])
    right = m.predict(t.astype(float)) == ty
    order = np.argsort(-m.decision_function(t.astype(float)), axis=1)
    top5 = (m.classes_[order[:, :5]] == ty[:, None]).any(1).mean()
    print("lambda\t%.9g\ntop-1\t%.6f\ntop-5\t%.6f" % (best[1], right.mean(), top5))
    print("mean_per_class\t%.6f" % np.mean([right[ty == k].mean() for k in LABELS]))
    for k in LABELS:
        print("class\t%d\t%.6f" % (k, right[ty == k].mean()))


def check_probe(golden_file, sweep_file):
    want, sweep = rows(open(golden_file)), rows(open(sweep_file))[1:]
    got = {r[0]: r for r in rows(sys.stdin)}
    points = [r for r in want if r[0] == "sweep"]
    need(len(sweep), len(points), "lambdas tried", 0)
    for s, (_, lam, accuracy, objective) in zip(sweep, points):
        need(float(s[0]) / float(lam), 1, "lambda " + lam, 1e-6)
        need(s[1], accuracy, "validation at lambda " + lam, .0009)
        need(float(s[3]) / float(objective), 1, "objective at lambda " + lam, 1e-6)
        need(s[5], 1, "convergence at lambda " + lam, 0)
    for r in want:
        if r[0] == "class":
            need(got[r[1]][2], r[2], "class " + r[1], .0009)
        elif r[0] != "sweep":
            need(got[r[0]][1], r[1], r[0], .0009)


def check_weights(path):
    import json
    import struct
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    t = {}
    for name, h in head.items():
        if name != "__metadata__":
            a, b = h["data_offsets"]
            t[name] = np.frombuffer(data[8 + n + a:8 + n + b], {"F32": "<f4", "I64": "<i8"}[h["dtype"]]).reshape(h["shape"])
    lam = 10.
    x, y, _ = (np.concatenate(p) for p in zip(sets()["train"], sets()["val"]))
    assert (t["label"] == LABELS).all(), t["label"]
    l = x.astype(float) @ t["weight"].T + t["bias"]
    p = np.exp(l - l.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(y)), np.searchsorted(LABELS, y)] -= 1
    gradient = p.T @ x + lam * t["weight"]  # zero where the objective is least
    need(np.abs(gradient).max(), 0, "gradient of the objective at the saved weights", .02)
    need(np.abs(p.sum(0)).max(), 0, "gradient at the saved bias", .02)


# --- nearest neighbours ---

def unit(x):
    x = x.astype(float)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def votes(weight, near, y, classes):
    v = np.zeros(len(classes))
    for w, j in zip(weight, near):
        v[np.searchsorted(classes, y[j])] += w
    return v


def neighbours(query, base, own=False):
    cos = unit(query) @ unit(base).T
    if own:
        np.fill_diagonal(cos, -np.inf)
    return cos, np.argsort(-cos, axis=1, kind="stable")


def check_knn(leave_one_out):
    s = sets()
    (x, y, _), (t, ty, _) = s["train"], s["train" if leave_one_out else "test"]
    cos, order = neighbours(t, x, leave_one_out)
    table = rows(sys.stdin)[1:]
    got = {(r[0], r[1]): r for r in table if len(r) > 3}
    for k in (1, 5, 20):
        for what in ("plain", "weighted"):
            hit = []
            for i in range(len(t)):
                near = order[i, :k]
                v = votes(np.exp(cos[i, near] / .07) if what == "weighted" else np.ones(k), near, y, LABELS)
                first = np.flatnonzero(v >= v.max() - 1e-9 * v.max())
                hit.append((LABELS[first] == ty[i]).mean())
            r = got[str(k), what]
            need(r[2], np.mean(hit), "k = %d, %s" % (k, what))
            need(r[3], np.std(hit, ddof=1) / len(hit) ** .5, "its standard error")


def pictures():
    r = np.random.default_rng(2)
    for name in "train", "test":
        ids = sets()[name][2]
        yield "samples", 0, {"id": ids, "caption": ["picture %d" % i for i in ids],
                             "image": [np.full((5 + i % 7, 9, 3), r.integers(0, 256, 3), "u1") for i in range(len(ids))]}
    yield END


def check_sheet(path, rows, columns):
    import struct
    data = open(path, "rb").read()
    size = struct.unpack(">II", data[16:24])
    want = 6 + (1 + columns) * (128 + 6) + 6, 6 + rows * (128 + 4 * 11 + 3 * 6)
    if data[:4] != b"\x89PNG" or size != want:
        sys.exit("probe_streams.py: %s: %s, wanted %s" % (path, size, want))


def check_near(query, base, k):
    s = sets()
    q = s[query][0] if query in s else s["test"][0][:5]
    cos, order = neighbours(q, s[base][0])
    got = rows(sys.stdin)[1:]
    need(len(got), len(q) * k, "lines", 0)
    for n, r in enumerate(got):
        i, rank = divmod(n, k)
        need(r[0], i, "query", 0)
        need(r[2], rank + 1, "rank", 0)
        need(r[3], cos[i, order[i, rank]], "cosine of rank %d of query %d" % (rank + 1, i), 2e-6)
        need(r[4], order[i, rank], "row", 0)
        if r[5] != "%05d" % order[i, rank]:
            sys.exit("probe_streams.py: key %s of row %s" % (r[5], r[4]))


def main():
    what, args = sys.argv[1], sys.argv[2:]
    if what == "make":
        for kind, step, body in stream(args[0]):
            dcstream.write(sys.stdout.buffer, kind, step, body)
    elif what == "golden":
        golden()
    elif what == "probe":
        check_probe(*args)
    elif what == "weights":
        check_weights(*args)
    elif what == "pictures":
        for kind, step, body in pictures():
            dcstream.write(sys.stdout.buffer, kind, step, body)
    elif what == "sheet":
        check_sheet(args[0], int(args[1]), int(args[2]))
    elif what == "knn":
        check_knn(bool(args))
    else:
        check_near(args[0], args[1], int(args[2]))


main()
