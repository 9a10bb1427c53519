# SPDX-License-Identifier: MIT
"""Batches for a training process, for tests/bench/35-torch.sh. peer_torch.py VOCABULARY; it answers each line of stdin with one:

    dc WHAT SIZE TAR...           torch_dataset.py in a DataLoader: processor seconds of the process and the tools
    webdataset WHAT SIZE TAR...   webdataset + Pillow + torchvision + open_clip's tokenizer: the same
    check WHAT SIZE TAR...        `same`, or what differs

WHAT is eval, open_clip's evaluation transform, whose tensors must be equal; clip, a crop of 0.5 to 1 of the area; or declip, its
two views. Those are drawn at random, so the batches must agree in shape, in the captions' tokens and, all in all, nearly in mean and spread."""
import os
import resource
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(here, "../reference"), os.path.join(here, "../../pipelines/examples")]
import stubs  # noqa: F401
import open_clip
import torch
import webdataset
from torch.utils.data import DataLoader
from torchvision import transforms as T

from peer_data import transform as views_of
from torch_dataset import Batches, normalize

BATCH = 64
vocab = sys.argv[1]
tokenizer = open_clip.SimpleTokenizer(bpe_path=vocab)


def by_dc(what, size, tars):
    augment = ["--recipe", what, "--size", size, "-j", "1", "--caption-views", "1"]
    data = Batches(tars, augment, ["--vocab", vocab, "--mlm", "0"], batch=BATCH, decode=["-j", "1"])
    for b in DataLoader(data, batch_size=None):
        views = sorted(k for k in b if k.startswith("image."))
        yield [normalize(b[v]) for v in views], b["token.0"].long()


def image_transform(what, size):
    if what == "eval":
        whole = open_clip.image_transform(size, is_train=False)
        return lambda im: [whole(im)]
    views = views_of(what, size)
    last = T.Compose([T.ToTensor(), T.Normalize(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)])
    return lambda im: [last(v) for v in views(im.convert("RGB"))]


def by_webdataset(what, size, tars):
    make = image_transform(what, int(size))
    data = webdataset.WebDataset(tars, shardshuffle=False).decode("pil").to_tuple("jpg", "txt") \
        .map(lambda s: (*make(s[0]), tokenizer([s[1].strip()])[0])).batched(BATCH)
    for b in webdataset.WebLoader(data, batch_size=None):
        yield list(b[:-1]), b[-1]


def seconds():
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def differ(what, mine, theirs):
    """What differs between two batches, or None."""
    if not torch.equal(mine[1], theirs[1]):
        return "the tokens"
    for a, b in zip(mine[0], theirs[0], strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            return "the shape"
        if what == "eval" and not torch.equal(a, b):
            return "a pixel"
    return None


def spread(batches):
    """Mean and standard deviation of all pixels."""
    x = torch.cat([v.mean((2, 3)) for views, _ in batches for v in views])
    y = torch.cat([v.square().mean((2, 3)) for views, _ in batches for v in views])
    return x.mean(), (y.mean() - x.mean() ** 2).sqrt()


def check(what, size, tars):
    mine, theirs = list(by_dc(what, size, tars)), list(by_webdataset(what, size, tars))
    for k, (a, b) in enumerate(zip(mine, theirs)):
        bad = differ(what, a, b)
        if bad:
            return "batch %d: %s" % (k, bad)
    if not mine or len(mine) != len(theirs):
        return "%d and %d batches" % (len(mine), len(theirs))
    apart = max(abs(a - b) for a, b in zip(spread(mine), spread(theirs)))
    return "same" if apart < .1 else "mean or spread of the pixels, by %.3f" % apart


def answer(command, what, size, *tars):
    if command == "check":
        return check(what, size, tars)
    before = seconds()
    for _ in {"dc": by_dc, "webdataset": by_webdataset}[command](what, size, tars):
        pass
    return "%.4f" % (seconds() - before)


torch.set_num_threads(1)
for line in sys.stdin:
    print(answer(*line.split()), flush=True)
