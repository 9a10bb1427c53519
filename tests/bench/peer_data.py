# SPDX-License-Identifier: MIT
"""The data path as Python programs have it: the peer of tests/bench/30-data.sh. It answers each line of stdin with a line:

    time WHAT SIZE TAR...          WHAT: decode, eval, clip or declip; one thread, tarfile + Pillow + torchvision
    loader WHAT SIZE TAR...        the same by a webdataset DataLoader with one worker, to batches of 64 tensors
    check VIEWS SIZE TAR...        `same`, or which eval view in dc-augment's stream VIEWS is not Pillow's and torchvision's

`time` and `loader` answer with processor seconds, user and system, of this process and its worker. The pixels stay bytes:
neither float conversion nor normalisation."""
import io
import os
import resource
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))
import stubs  # noqa: F401
import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision import transforms as T


class Blur:
    """Pillow's Gaussian blur, as SimCLR's, SLIP's and DeCLIP's code has it."""

    def __call__(self, im):
        return im.filter(ImageFilter.GaussianBlur(radius=float(torch.empty(1).uniform_(.1, 2))))


def transform(what, size):
    """PIL image -> list of u8 arrays."""
    if what == "decode":
        return lambda im: [np.asarray(im)]
    if what == "eval":
        t, views = T.Compose([T.Resize(size, T.InterpolationMode.BICUBIC), T.CenterCrop(size)]), 1
    elif what == "clip":
        t, views = T.RandomResizedCrop(size, scale=(.5, 1)), 1
    else:
        t, views = T.Compose([T.RandomResizedCrop(size, scale=(.2, 1)),
                              T.RandomApply([T.ColorJitter(.4, .4, .4, .1)], p=.8), T.RandomGrayscale(p=.2),
                              T.RandomApply([Blur()], p=.5), T.RandomHorizontalFlip()]), 2
    return lambda im: [np.asarray(t(im)) for _ in range(views)]


def images(tars):
    for path in tars:
        with tarfile.open(path) as tar:
            for m in tar:
                if m.name.endswith(".jpg"):
                    yield Image.open(io.BytesIO(tar.extractfile(m).read())).convert("RGB")


def seconds():
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def run(what, size, tars):
    make = transform(what, size)
    for im in images(tars):
        make(im)


class Views:
    """For the loader: a tensor for each view; whole images have different shapes, so of those only a corner travels."""

    def __init__(self, what, size):
        self.what, self.make = what, transform(what, size)

    def __call__(self, sample):
        views = self.make(sample[0].convert("RGB"))
        return [torch.from_numpy(np.array(v[:64, :64] if self.what == "decode" else v)) for v in views]


def load(what, size, tars):
    import webdataset as wds
    data = wds.WebDataset(tars, shardshuffle=False).decode("pil").to_tuple("jpg").map(Views(what, size)).batched(64)
    loader = wds.WebLoader(data, batch_size=None, num_workers=1)
    for _ in loader:
        pass


def check(views, size, tars):
    import dcstream
    make, n = transform("eval", size), 0
    with open(views, "rb") as f:
        mine = (v for kind, _, body in dcstream.read(f) if kind == "views" for v in body["image.0"])
        for im, view in zip(images(tars), mine):
            if (make(im)[0] != view).any():
                return "image %d differs" % n
            n += 1
    return "same" if n and n == sum(1 for _ in images(tars)) else "%d images" % n


def answer(command, what, size, *tars):
    if command == "check":
        return check(what, int(size), tars)
    before = seconds()
    {"time": run, "loader": load}[command](what, int(size), tars)
    return "%.4f" % (seconds() - before)


torch.set_num_threads(1)
if __name__ == "__main__":
    for line in sys.stdin:
        print(answer(*line.split()), flush=True)
