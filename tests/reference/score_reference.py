# SPDX-License-Identifier: MIT
"""The scores of dc-recall and dc-zeroshot in NumPy, float64, and with scikit-learn where there is one.

    score_reference.py make DIR     features streams, prompts, names, and every table (tests/golden/scores)
    score_reference.py check DIR    compute the tables again from the streams in DIR and compare; exit 1 if they differ

Only definitions are used here: all cosines at once, sorting by counting, ties by the formula of the mean over all orders
(hypergeometric). Where the definitions are those of scikit-learn (top_k_accuracy_score, balanced_accuracy_score,
confusion_matrix) its results must be the same, to the last count."""
import math
import os
import sys
import warnings

import numpy as np

import dcstream

try:
    from sklearn import metrics
except ImportError:
    metrics = None
warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")   # one class has no image, as it should

N, D, K, P = 121, 12, 9, 3
G, F = 5, 7     # tokens of an image, their width
EQUAL = 2e-6
NAMES = ["ant", "box kite", "cup", "dodo", "eel", "fox", "gnu", "hen", "ibis"]


# --- data ---

def data(seed):
    r = np.random.default_rng(seed)
    image = r.standard_normal((N, D))
    owner = np.repeat(np.arange(N), r.integers(0, 7, N))          # none to six captions an image
    text = image[owner] + 1.3 * r.standard_normal((len(owner), D))
    text[5::17] = text[2::17][:len(text[5::17])]                  # captions that are said of two images
    prompt = r.standard_normal((K, P, D))
    label = r.integers(0, K - 1, N)                               # the last class has no image
    image += 0.5 * prompt.mean(1)[label] * (r.random((N, 1)) < .6)
    label[r.random(N) < .1] = -1
    image *= np.exp(r.standard_normal((N, 1)))                    # norms must not matter
    return image, text, owner, prompt.reshape(K * P, D), label


def clear(image, text, owner, prompt, label):
    """No cosine is so near to its rival that single precision could see it otherwise."""
    cos = unit(image) @ unit(text).T
    own = np.array([cos[i, owner == i].max(initial=-2) for i in range(N)])
    gap = np.concatenate([abs(cos - own[:, None]).ravel(), abs(cos - cos[owner, np.arange(len(owner))]).ravel()])
    s = np.sort(unit(image) @ classes(prompt).T, axis=1)
    return ((gap < 1e-8) | (gap > 1e-5)).all() and np.diff(s, axis=1).min() > 1e-5


def streams(image, text, owner, prompt, label):
    cuts = [0, 64, 64, 100, N]
    out = []
    for i, (a, b) in enumerate(zip(cuts, cuts[1:])):
        mine = (owner >= a) & (owner < b)
        out.append(("features", 0, {
            "image_features.0": image[a:b].astype("<f4"), "text_features.0": text[mine].astype("<f4"),
            "caption_image": (owner[mine] - a).astype("<i4"), "label": label[a:b].astype("<i4"),
            "id": np.arange(a, b).astype("<u8"), "key": ["%03d" % j for j in range(a, b)], "logit_scale": 3.0,
            "position": 1, "part": [i, len(cuts) - 1]}))
    lines = ("features", 0, {"text_features.0": prompt.astype("<f4"), "line": np.arange(1, K * P + 1), "logit_scale": 3.0})
    end = ("end", 0, {"counts": {}, "damaged": []})
    return out + [end], [lines, end]


# --- tokens ---

def token_data(seed):
    """As data(), of G tokens an image and 0 to 6 words a caption and a prompt, where each sees one of the other side's."""
    r = np.random.default_rng(seed)
    owner = np.repeat(np.arange(N), r.integers(0, 4, N))
    image = r.standard_normal((N, G, F))
    text = [.6 * image[i, r.integers(0, G, r.integers(0, 7))] for i in owner]
    text = [t + .8 * r.standard_normal(t.shape) for t in text]
    for i, t in zip(range(4, len(text), 19), text[1::19]):
        text[i] = t.copy()
    prompt = [r.standard_normal((r.integers(1, 7), F)) for _ in range(K * P)]
    label = r.integers(0, K - 1, N)
    image[:, 0] += np.array([prompt[P * k][0] for k in label]) * (r.random((N, 1)) < .7)
    label[r.random(N) < .1] = -1
    return image * np.exp(r.standard_normal((N, G, 1))), text, owner, prompt, label


def f4(x):
    return [t.astype("<f4") for t in x] if isinstance(x, list) else x.astype("<f4") if x.dtype == float else x


def token_clear(image, text, owner, prompt, label):
    x, y = tokenwise(image, text)
    c = np.arange(len(owner))
    best = np.array([x[i, owner == i].max(initial=-2) for i in range(N)])
    gap = np.concatenate([abs(x - best[:, None]).ravel(), abs(y - y[owner, c]).ravel()])
    s = np.sort(tokenwise(image, prompt)[0].reshape(N, K, P).mean(2), axis=1)
    return ((gap < 1e-8) | (gap > 1e-5)).all() and np.diff(s, axis=1).min() > 1e-5


def ragged(x):
    off = np.cumsum([0] + [len(t) for t in x]).astype("<i4")
    return {"filip_text": np.concatenate([np.zeros((0, F))] + list(x)).astype("<f4"), "filip_off": off}


def token_streams(image, text, owner, prompt, label):
    cuts = [0, 50, 50, 90, N]
    out = []
    for i, (a, b) in enumerate(zip(cuts, cuts[1:])):
        mine = np.flatnonzero((owner >= a) & (owner < b))
        body = {"filip_image": image[a:b].astype("<f4"), "caption_image": (owner[mine] - a).astype("<i4"),
                "label": label[a:b].astype("<i4"), "id": np.arange(a, b).astype("<u8"), "position": 1, "part": [i, len(cuts) - 1]}
        out.append(("features", 0, body | ragged([text[j] for j in mine])))
    order = np.random.default_rng(1).permutation(K * P)
    lines = [("features", 0, ragged([prompt[j] for j in rows]) | {"line": rows + 1}) for rows in np.array_split(order, 3)]
    end = ("end", 0, {"counts": {}, "damaged": []})
    return out + [end], lines + [end]


# --- definitions ---

def unit(x):
    x = np.asarray(x, float)
    return x / np.sqrt((x * x).sum(-1, keepdims=True))


def classes(prompt):
    return unit(unit(prompt).reshape(K, P, D).mean(1))


def place(score, right):
    """How many wrong ones are before the best right one, how many wrong and right ones are equal to it."""
    best = score[right].max()
    equal = abs(score - best) <= EQUAL
    return ((score > best) & ~equal & ~right).sum(), (equal & ~right).sum(), (equal & right).sum()


def hit(p, k):
    """1 - P(no right one among the first j of the equal ones)"""
    before, wrong, right = map(int, p)
    j = k - before
    return 0 if j <= 0 else 1 - math.comb(wrong, j) / math.comb(wrong + right, j) if j <= wrong + right else 1


def rank(p):
    before, wrong, right = map(int, p)
    return before + (wrong + right + 1) / (right + 1)


def share(x, group, chance):
    """value, standard error between groups, chance, standard error of guessing, groups"""
    n = len(set(group))
    m = np.bincount(group)
    s = np.bincount(group, x)
    v = sum(x) / len(x)
    se = math.sqrt(((s - v * m) ** 2).sum() * n / (n - 1)) / len(x)
    return v, se, chance, math.sqrt(chance * (1 - chance) / n) if chance <= 1 else 0, n


def similar(image, text):
    """[N,C] from image to text, and from text to image"""
    if isinstance(text, list):
        return tokenwise(image, text)
    cos = unit(image) @ unit(text).T
    return cos, cos


def tokenwise(image, text):
    """FILIP, eq. 4 and 5: each token's largest product with the other side's, the mean over tokens; 0 without words"""
    x, y = np.zeros((2, len(image), len(text)))
    for i, a in enumerate(image):
        for j, b in enumerate(text):
            if len(b):
                cos = unit(a) @ unit(b).T
                x[i, j], y[i, j] = cos.max(1).mean(), cos.max(0).mean()
    return x, y


def recall(image, text, owner):
    """name -> share, of all images at once; medians are a number"""
    x, y = similar(image, text)
    have = np.unique(owner)
    n, c = x.shape
    i2t = [place(x[i], owner == i) for i in have]
    t2i = [place(y[:, j], np.arange(n) == owner[j]) for j in range(c)]
    own = np.bincount(owner, minlength=n)
    out = {}
    for name, places, group in ("i2t", i2t, have), ("t2i", t2i, owner):
        for k in (1, 5, 10):
            luck = np.mean([1 - math.comb(c - own[i], k) / math.comb(c, k) for i in have]) if name == "i2t" else min(k / n, 1)
            out["%s_R@%d" % (name, k)] = share([hit(p, k) for p in places], group, luck)
            if metrics and name == "t2i" and not any(p[1] for p in places):
                theirs = metrics.top_k_accuracy_score(owner, y.T, k=k, labels=np.arange(n))
                assert abs(theirs - out["t2i_R@%d" % k][0]) < 1e-12
        luck = np.mean([(c + 1) / (own[i] + 1) for i in have]) if name == "i2t" else (n + 1) / 2
        ranks = [rank(p) for p in places]
        out[name + "_median_rank"] = float(np.median(ranks))
        out[name + "_mean_rank"] = share(ranks, group, luck)
    return out


def folded(image, text, owner, folds):
    parts = []
    for f in range(folds):
        a, b = N * f // folds, N * (f + 1) // folds
        mine = (owner >= a) & (owner < b)
        some = [t for t, m in zip(text, mine) if m] if isinstance(text, list) else text[mine]
        parts.append(recall(image[a:b], some, owner[mine] - a))
    out = {}
    for name in parts[0]:
        v = [p[name] for p in parts]
        if isinstance(v[0], float):
            out[name] = sum(v) / folds
        else:
            value, se, chance, guess, n = zip(*v)
            out[name] = (sum(value) / folds, math.hypot(*se) / folds, sum(chance) / folds, math.hypot(*guess) / folds, sum(n))
    return out


def zeroshot(image, prompt, label):
    """of tokens: the mean over a class's prompts of the similarity to each"""
    if isinstance(prompt, list):
        cos = tokenwise(image, prompt)[0].reshape(len(image), K, P).mean(2)
    else:
        cos = unit(image) @ classes(prompt).T
    keep = label >= 0
    cos, label = cos[keep], label[keep]
    given = cos.argmax(1)
    out = {}
    for k in (1, 5):
        hits = [hit(place(cos[i], np.arange(K) == label[i]), k) for i in range(len(label))]
        out["top-%d" % k] = share(hits, np.arange(len(label)), k / K)
    matrix = np.zeros((K, K), int)
    np.add.at(matrix, (label, given), 1)
    n = matrix.sum(1)
    have = np.flatnonzero(n)
    p = matrix[have, have] / n[have]
    out["mean_per_class"] = (p.mean(), math.sqrt((p * (1 - p) / n[have]).sum()) / len(have), 1 / K,
                             math.sqrt((1 / K * (1 - 1 / K) / n[have]).sum()) / len(have), len(have))
    if metrics:
        assert abs(metrics.accuracy_score(label, given) - out["top-1"][0]) < 1e-12
        assert abs(metrics.top_k_accuracy_score(label, cos, k=5, labels=np.arange(K)) - out["top-5"][0]) < 1e-12
        assert abs(metrics.balanced_accuracy_score(label, given) - out["mean_per_class"][0]) < 1e-12
        assert (metrics.confusion_matrix(label, given, labels=np.arange(K)) == matrix).all()
    return out, matrix


# --- tables, as the tools print them ---

def rows(scores, last, groups):
    out = ["\t".join(("name", "value", "standard_error", "chance", "z", last))]
    for name, v in scores.items():
        if isinstance(v, float):
            out.append("%s\t%.4f\t\t\t\t%d" % (name, v, groups))
        elif name.endswith("rank"):
            out.append("%s\t%.4f\t%.4f\t%.4f\t\t%d" % (name, v[0], v[1], v[2], v[4]))
        else:
            z = (v[0] - v[2]) / v[3] if v[3] else 0
            out.append("%s\t%.6f\t%.6f\t%.6f\t%.2f\t%d" % (name, v[0], v[1], v[2], z, v[4]))
    return "\n".join(out) + "\n"


def per_class(matrix):
    n, given = matrix.sum(1), matrix.sum(0)
    per = ["%s\t%d\t%s\t%d" % (NAMES[k], n[k], "%.6f" % (matrix[k, k] / n[k]) if n[k] else "nan", given[k]) for k in range(K)]
    return "\n".join(["class\timages\tright\tgiven"] + per) + "\n"


def token_tables(d):
    image, text, owner, prompt, label = [], [], [], [None] * (K * P), []
    for kind, _, f in dcstream.read(open(os.path.join(d, "tokens.dcs"), "rb")):
        if kind == "features":
            owner.extend(f["caption_image"] + len(image))
            image.extend(f["filip_image"])
            label.extend(f["label"])
            text.extend(f["filip_text"][a:b] for a, b in zip(f["filip_off"], f["filip_off"][1:]))
    for kind, _, f in dcstream.read(open(os.path.join(d, "token-prompts.dcs"), "rb")):
        if kind == "features":
            for line, a, b in zip(f["line"], f["filip_off"], f["filip_off"][1:]):
                prompt[line - 1] = f["filip_text"][a:b]
    image, owner, label = np.array(image), np.array(owner), np.array(label)
    two = [j for j in range(len(owner)) if (owner[:j] == owner[j]).sum() < 2]
    have = len(set(owner))
    zero, matrix = zeroshot(image, prompt, label)
    return {
        "tokens-recall.tsv": rows(recall(image, text, owner), "images", have),
        "tokens-recall-captions-2.tsv": rows(recall(image, [text[j] for j in two], owner[two]), "images", have),
        "tokens-recall-folds-5.tsv": rows(folded(image, text, owner, 5), "images", have),
        "tokens-zeroshot.tsv": rows(zero, "n", 0) + "\n" + per_class(matrix),
    }


def tables(d):
    def column(file, key):
        return np.concatenate([f[key] for kind, _, f in dcstream.read(open(os.path.join(d, file), "rb")) if kind == "features"])

    image, text, label = (column("features.dcs", k) for k in ("image_features.0", "text_features.0", "label"))
    first = owner = column("features.dcs", "id")[:0].astype(int)
    for kind, _, f in dcstream.read(open(os.path.join(d, "features.dcs"), "rb")):
        if kind == "features":
            owner = np.concatenate([owner, f["caption_image"] + len(first)])
            first = np.concatenate([first, f["id"].astype(int)])
    two = np.array([(owner[:j] == owner[j]).sum() < 2 for j in range(len(owner))])
    have = len(set(owner))
    zero, matrix = zeroshot(image, column("prompts.dcs", "text_features.0"), label)
    return token_tables(d) | {
        "recall.tsv": rows(recall(image, text, owner), "images", have),
        "recall-captions-2.tsv": rows(recall(image, text[two], owner[two]), "images", have),
        "recall-folds-5.tsv": rows(folded(image, text, owner, 5), "images", have),
        "zeroshot.tsv": rows(zero, "n", 0) + "\n" + per_class(matrix),
        "confusion.tsv": "\n".join(["\t".join(["class"] + NAMES)] +
                                   ["\t".join([NAMES[k]] + ["%d" % x for x in matrix[k]]) for k in range(K)]) + "\n",
        "names.txt": "\n".join(NAMES) + "\n",
    }


def make(d):
    os.makedirs(d, exist_ok=True)
    for draw, apart, frames_of, names in ((data, clear, streams, ("features.dcs", "prompts.dcs")),
                                          (token_data, token_clear, token_streams, ("tokens.dcs", "token-prompts.dcs"))):
        seed = 1
        while not apart(*map(f4, draw(seed))):
            seed += 1
        print("%s: seed %d" % (names[0], seed), file=sys.stderr)
        for name, frames in zip(names, frames_of(*draw(seed))):
            with open(os.path.join(d, name), "wb") as f:
                for frame in frames:
                    dcstream.write(f, *frame)
    for name, text in tables(d).items():
        open(os.path.join(d, name), "w").write(text)


def check(d):
    bad = [name for name, text in tables(d).items() if open(os.path.join(d, name)).read() != text]
    print("%s%s" % ("differ: " + " ".join(bad) if bad else "the same tables", "" if metrics else " (no scikit-learn)"), file=sys.stderr)
    return bool(bad)


if __name__ == "__main__":
    sys.exit((make if sys.argv[1] == "make" else check)(sys.argv[2]))
