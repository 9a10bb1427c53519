# SPDX-License-Identifier: MIT
"""torch_dataset.py against the Python that it stands for, for tests/torch.t. With $DC_TORCH_PYTHON:

    check_torch.py tensors VOCAB SIZE CONTEXT TAR...     bit for bit: Pillow, open_clip's evaluation transform and tokenizer
    check_torch.py resume VOCAB TAR...                   from item k on: as without a stop, for 0, 1 and 3 workers
    check_torch.py ranks VOCAB TAR...                    two ranks have all samples between them
    check_torch.py fails VOCAB TAR...                    what is said where a tool fails, and that none is left behind
"""
import io
import os
import subprocess
import sys
import tarfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.join(here, "../../pipelines/examples")]
import stubs  # noqa: F401
import torch
from torch.utils.data import DataLoader

from torch_dataset import Batches, normalize

torch.set_num_threads(1)
AUGMENT = ["--recipe", "eval", "--size", "32", "-j", "1"]


def same(a, b):
    return type(a) is type(b) and (torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b)


def alike(xs, ys):
    return len(xs) == len(ys) and all(x.keys() == y.keys() and all(same(x[k], y[k]) for k in x) for x, y in zip(xs, ys))


def pairs(tars):
    for path in tars:
        with tarfile.open(path) as tar:
            files = {}
            for m in tar:
                files[m.name] = tar.extractfile(m).read()
                key = m.name.rsplit(".", 1)[0]
                if key + ".jpg" in files and key + ".txt" in files:
                    yield key, files.pop(key + ".jpg"), files.pop(key + ".txt").decode()


def tensors(vocab, size, context, *tars):
    from PIL import Image
    import open_clip
    transform = open_clip.image_transform(int(size), is_train=False)
    tokenize = open_clip.SimpleTokenizer(bpe_path=vocab, context_length=int(context))
    data = Batches(tars, ["--recipe", "eval", "--size", size], ["--vocab", vocab, "--context", context, "--mlm", "0"], batch=100)
    n, theirs = 0, pairs(tars)
    for b in DataLoader(data, batch_size=None):
        images = normalize(b["image.0"])
        for i, key in enumerate(b["key"]):
            want, image, text = next(theirs)
            assert key == want, (key, want)
            assert torch.equal(images[i], transform(Image.open(io.BytesIO(image)).convert("RGB"))), "the image of " + key
            assert torch.equal(b["token.0"][i].long(), tokenize([text])[0]), "the tokens of " + key
            n += 1
    assert n and next(theirs, None) is None, n
    print("%d images and captions, the same" % n)


def batches(vocab, tars, start=0, workers=0, **more):
    data = Batches(tars, AUGMENT, ["--vocab", vocab, "--mlm", "0"], batch=6, start=start,
                   decode=["--epochs", "2", "--shuffle", "30", "-j", "1"], **more)
    return list(DataLoader(data, batch_size=None, num_workers=workers))


def resume(vocab, *tars):
    for workers in (0, 1, 3):
        whole = batches(vocab, tars, workers=workers)
        for start in (1, 5):
            assert alike(whole[start:], batches(vocab, tars, start, workers)), (workers, start)
        print("%d workers: %d items, from 1 and from 5 on the same" % (workers, len(whole)))


def ranks(vocab, *tars):
    slots = [[s for b in batches(vocab, tars, rank=r, world=2, workers=1) for s in b["slot"].tolist()] for r in (0, 1)]
    assert sorted(slots[0] + slots[1]) == list(range(len(slots[0] + slots[1]))) and len(slots[0]) == len(slots[1])
    print("%d slots in each of two ranks" % len(slots[0]))


def said(data):
    try:
        for _ in data:
            pass
    except RuntimeError as e:
        return str(e)
    return "nothing"


def fails(vocab, *tars):
    quiet = ["--vocab", vocab]
    for name, data in (("dc-decode", Batches(["none.tar"], AUGMENT, quiet)), ("dc-augment", Batches(tars, ["--size", "x"], quiet)),
                       ("dc-tokenize", Batches(tars, AUGMENT, ["--vocab", "none"]))):
        text = said(data)
        assert text.startswith("the data ended early: %s: status " % name) and "," not in text, text
        print(text)
    for _ in Batches(tars, AUGMENT, quiet, batch=2):
        break  # the loop is left: the tools end
    data = Batches(tars, AUGMENT, quiet, decode=["--epochs", "1000"])
    data.rest = (["dc-nothing"], ["dc-tokenize"])
    try:
        next(iter(data))
    except FileNotFoundError as e:  # so does what was started before a tool that is not there
        print(e)
    left = subprocess.run(["ps", "-o", "comm=", "--ppid", str(os.getpid())], capture_output=True, text=True).stdout
    assert "dc-" not in left, left
    print("none is left")


{f.__name__: f for f in (tensors, resume, ranks, fails)}[sys.argv[1]](*sys.argv[2:])
