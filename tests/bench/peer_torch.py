# SPDX-License-Identifier: MIT
"""Batches for a training process, for tests/bench/35-torch.sh. peer_torch.py VOCABULARY; it answers each line of stdin with one:

    dc SIZE TAR...           torch_dataset.py in a DataLoader with one worker: processor seconds of it all
    webdataset SIZE TAR...   webdataset + Pillow + open_clip's evaluation transform and tokenizer, one worker: the same
    check SIZE TAR...        `same`, or which batch differs"""
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

from torch_dataset import Batches, normalize

BATCH = 64
vocab = sys.argv[1]
tokenizer = open_clip.SimpleTokenizer(bpe_path=vocab)


def by_dc(size, tars):
    data = Batches(tars, ["--recipe", "eval", "--size", size, "-j", "1"], ["--vocab", vocab, "--mlm", "0"], batch=BATCH,
                   decode=["-j", "1"])
    for b in DataLoader(data, batch_size=None, num_workers=1):
        yield normalize(b["image.0"]), b["token.0"].long()


def by_webdataset(size, tars):
    transform = open_clip.image_transform(int(size), is_train=False)
    data = webdataset.WebDataset(tars, shardshuffle=False).decode("pilrgb").to_tuple("jpg", "txt") \
        .map_tuple(transform, lambda text: tokenizer([text.strip()])[0]).batched(BATCH)
    yield from webdataset.WebLoader(data, batch_size=None, num_workers=1)


def seconds():
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def check(size, tars):
    mine, theirs = list(by_dc(size, tars)), list(by_webdataset(size, tars))
    for k, (a, b) in enumerate(zip(mine, theirs)):
        if not all(torch.equal(x, y) for x, y in zip(a, b)):
            return "batch %d differs" % k
    return "same" if mine and len(mine) == len(theirs) else "%d and %d batches" % (len(mine), len(theirs))


def answer(command, size, *tars):
    if command == "check":
        return check(size, tars)
    before = seconds()
    for _ in {"dc": by_dc, "webdataset": by_webdataset}[command](size, tars):
        pass
    return "%.4f" % (seconds() - before)


torch.set_num_threads(1)
for line in sys.stdin:
    print(answer(*line.split()), flush=True)
