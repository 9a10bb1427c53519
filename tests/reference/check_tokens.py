# SPDX-License-Identifier: MIT
"""The Python side of tests/tokenize.t and tests/vocab.t.

    check_tokens.py views [order] > FRAMES      views as dc-augment would send them, and frames of other kinds;
                                                `order`: the same samples in another order and other parts
    check_tokens.py all > FRAMES                views with several captions an image
    check_tokens.py broken WHAT > FRAMES        views with something wrong
    check_tokens.py batch VIEWS BATCH V P       BATCH is what dc-tokenize should make of VIEWS
    check_tokens.py same A B                    each sample has the same rows in both
    check_tokens.py masks BATCH                 the captions of one image are masked differently
    check_tokens.py lines FILE FRAMES V         FRAMES is what dc-tokenize --lines FILE should write
    check_tokens.py against VOCAB FILE FRAMES   and its ids are simple_tokenizer.py's (needs regex and ftfy)
    check_tokens.py samples FILE > FRAMES       FILE's lines as the captions of samples"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dcstream
import numpy as np

WORDS = "a red dog runs over the wet grass while two small birds look on from an old wooden fence".split()
OUT = sys.stdout.buffer


def caption(i):
    return " ".join(WORDS[(i * 7 + k * k) % len(WORDS)] for k in range(3 + i % 9)) + " é&amp;" * (i % 2)


def sample(i):
    return {"image.0": np.full((4, 4, 3), i, "u1"), "image.1": np.full((4, 4, 3), 255 - i, "u1"), "id": i * 2**57 + 1,
            "slot": i, "epoch": i % 2, "key": "k%d" % i, "label": -1, "caption.0": caption(i), "caption.1": caption(i + 1)}


TYPES = {"id": "<u8", "slot": "<i8", "epoch": "<i4", "label": "<i4"}


def views(indices, position, part):
    rows = [sample(i) for i in indices]
    body = {}
    for name in sample(0):
        column = [r[name] for r in rows]
        if name in TYPES:
            body[name] = np.array(column, TYPES[name])
        elif name.startswith("image"):
            body[name] = np.array(column, "u1").reshape(len(rows), 4, 4, 3)
        else:
            body[name] = column
    body.update(position=position, part=part)
    return body


def put_views(order):
    i = list(range(40))
    parts = [(i[:20], 1, [0, 2]), (i[20:30], 1, [1, 2]), ([], 2, [0, 1]), (i[30:], 3, [0, 1])]
    if order:
        i = i[::-1]
        parts = [(i[:33], 1, [0, 1]), (i[33:], 2, [0, 1])]
    dcstream.write(OUT, "other", 5, {"x": 1, "caption.0": ["stays"]})
    for indices, position, part in parts:
        dcstream.write(OUT, "views", position - 1, views(indices, position, part))
    dcstream.write(OUT, "end", 0, {"counts": {"in": 40}, "damaged": []})


def put_all():
    body = views(range(4), 1, [0, 1])
    image = [0, 0, 0, 1, 2, 2, 3]
    body["caption.0"] = [" ".join(WORDS)] * len(image)
    body["caption.1"] = [" ".join(WORDS[::-1])] * len(image)
    body["caption_image"] = np.array(image, "<i4")
    dcstream.write(OUT, "views", 0, body)
    dcstream.write(OUT, "end", 0, {"counts": {}, "damaged": []})


def put_broken(what):
    body = views(range(4), 1, [0, 1])
    if what == "id":
        del body["id"]
    elif what == "captions":
        body["caption.0"] = ["one", "two"]
    elif what == "image":
        body["caption_image"] = np.array([0, 1, 2, 4], "<i4")
    elif what == "none":
        del body["caption.0"]
    dcstream.write(OUT, "views", 0, body)


def want(cond, *what):
    if not cond:
        sys.exit("not so: " + " ".join(map(str, what)))


def read(path):
    with open(path, "rb") as f:
        return list(dcstream.read(f))


def check_rows(rows, V):
    for row in rows:
        end = int(np.argmax(row == V - 1))
        want(row[0] == V - 2 and end > 0, "start and end in", row)
        want((row[1:end] < V - 2).all() and (row[1:end] >= 0).all() and not row[end + 1:].any(), "ids and padding in", row)


def check_masks(b, V, p):
    token, shown, target = b["token.0"], b["mlm_token"], b["mlm_target"]
    want(target.dtype == np.dtype("<i4") and shown.shape == target.shape == token.shape, "the masked rows' shape")
    asked = target >= 0
    inside = (np.cumsum(token == V - 1, 1) == 0) & (token != V - 2)
    want((target[asked] == token[asked]).all() and (target[~asked] == -1).all(), "targets are the ids")
    want((shown[~asked] == token[~asked]).all() and not (asked & ~inside).any(), "only ids of the caption are touched")
    want(((shown == V)[asked].any() or asked.sum() < 5), "some show the mask")
    return asked.sum(), inside.sum()


def check_batch(before, after, V, p):
    before, after = read(before), read(after)
    want(len(before) == len(after), "as many frames")
    asked = inside = 0
    for (kind, step, b), (kind2, step2, a) in zip(before, after):
        want(step == step2, "the same step")
        if kind != "views":
            want(kind2 == kind and a == b, "a frame of another kind is passed on")
            continue
        want(kind2 == "batch", "views become batch")
        for name, value in b.items():
            if not name.startswith("caption."):
                want(name in a and np.array_equal(a[name], value), name, "is copied")
        extra = {"token.0", "token.1"} | ({"mlm_token", "mlm_target"} if p > 0 else set())
        want(set(a) - set(b) == extra and not any(k.startswith("caption.") for k in a), "keys", sorted(a))
        for v in ("0", "1"):
            want(a["token." + v].shape[0] == len(b["caption." + v]), "a row a caption")
            check_rows(a["token." + v], V)
        if p > 0:
            n, m = check_masks(a, V, p)
            asked, inside = asked + n, inside + m
    want(p == 0 or abs(asked - p * inside) < 5 * (inside * p * (1 - p) + 1) ** .5, asked, "masked of", inside)


def rows_by_id(path):
    rows = {}
    for kind, _, b in read(path):
        if kind == "batch":
            for i, k in enumerate(b["id"].tolist()):
                rows[k] = [b[n][i].tolist() for n in ("token.0", "token.1", "mlm_token", "mlm_target")]
    return rows


def check_all(path):
    b = read(path)[0][2]
    want(b["token.0"].shape[0] == 7 and b["image.0"].shape[0] == 4 and "caption_image" in b, "a row a caption")
    t = b["mlm_target"]
    want(not np.array_equal(t[0], t[1]) and not np.array_equal(t[1], t[2]), "captions of one image are masked differently")


def read_lines(path):
    with open(path, "rb") as f:
        lines = f.read().split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def check_lines(path, frames, V):
    lines, frames = read_lines(path), read(frames)
    parts = [b for kind, _, b in frames if kind == "batch"]
    want(frames[-1][0] == "end" and frames[-1][2]["counts"]["out"] == len(lines), "end and its counts")
    want(len(parts) == len(frames) - 1 == -(-len(lines) // 64), "parts of 64")
    for i, b in enumerate(parts):
        want(b["part"] == [i, len(parts)] and set(b) == {"token.0", "line", "part", "position"}, "the part's keys", sorted(b))
        check_rows(b["token.0"], V)
    numbers = np.concatenate([b["line"] for b in parts])
    want(np.array_equal(numbers, np.arange(1, len(lines) + 1)), "line numbers from 1")
    return lines, np.concatenate([b["token.0"] for b in parts])


def against(vocab, path, frames):
    import simple_tokenizer
    want(simple_tokenizer.ftfy, "ftfy is there")
    tokenizer = simple_tokenizer.Tokenizer(vocab)
    V = 514 + len(tokenizer.rank)
    lines, rows = check_lines(path, frames, V)
    wrong = []
    for number, (line, row) in enumerate(zip(lines, rows), 1):
        ids = tokenizer.encode(line.decode("utf-8", "replace"))[:len(row) - 2]
        if row.tolist() != [V - 2, *ids, V - 1] + [0] * (len(row) - 2 - len(ids)):
            wrong.append(number)
    want(not wrong, len(wrong), "of", len(lines), "captions differ; lines", wrong[:10])


def put_samples(path):
    lines = [line.decode() for line in read_lines(path)]
    for i in range(0, len(lines), 64):
        part = lines[i:i + 64]
        dcstream.write(OUT, "samples", i // 64, {"id": np.arange(len(part), dtype="<u8"), "caption": part})
    dcstream.write(OUT, "end", 0, {"counts": {}, "damaged": []})


def main(what, *a):
    if what == "views":
        put_views(bool(a))
    elif what == "all":
        put_all()
    elif what == "broken":
        put_broken(a[0])
    elif what == "batch":
        check_batch(a[0], a[1], int(a[2]), float(a[3]))
    elif what == "same":
        x, y = rows_by_id(a[0]), rows_by_id(a[1])
        want(len(x) == 40 and x == y, "the same rows")
    elif what == "masks":
        check_all(a[0])
    elif what == "lines":
        check_lines(a[0], a[1], int(a[2]))
    elif what == "against":
        against(*a)
    elif what == "samples":
        put_samples(a[0])


main(*sys.argv[1:])
