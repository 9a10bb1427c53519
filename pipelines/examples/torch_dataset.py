#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""dc-decode | dc-augment | dc-tokenize as a PyTorch data set: each item is a batch, its tensors lie in what came through the pipe.

    data = Batches(["train-{000..011}.tar"], ["--recipe", "clip", "--size", "224"], ["--vocab", "bpe.txt.gz"], batch=256,
                   decode=["--shuffle", "5000", "--epochs", "3"], start=done)
    for batch in DataLoader(data, batch_size=None):
        images = normalize(batch["image.0"].to(device))   # u8 [N,S,S,3] -> float [N,3,S,S], as ToTensor and Normalize do it
        tokens = batch["token.0"]                         # i32 [N,T]; id, slot, key, label ... as man dc-stream has them

The tools, found on PATH, are processes with threads (-j), and a thread here reads a batch ahead: workers are not needed, and cost
a copy of every tensor. With start=k the first item is the k-th, for the same number of workers. N is below `batch` by images that
could not be decoded. Processes of a distributed run give rank and world, and each gets `batch`. Where a tool fails, a RuntimeError
names it."""
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import torch.utils.data

TYPES = dict(zip(("|u1", "<i4", "<i8", "<u8", "<f4"), (torch.uint8, torch.int32, torch.int64, torch.uint64, torch.float32)))
FORMS = dict(zip((*range(0xc4, 0xc7), *range(0xca, 0xd4), *range(0xd9, 0xe0)), "B H I f d B H I Q b h i q B H I H I H I".split()))


def value(take):
    """The next msgpack object; take(n) gives the next n bytes. Binary data are not copied, maps of them become tensors."""
    c = take(1)[0]
    if c < 0x80 or c >= 0xe0 or 0xc0 <= c <= 0xc3:
        return {0xc0: None, 0xc2: False, 0xc3: True}.get(c, c - 256 * (c >= 0xe0))
    form = FORMS.get(c)  # of the number itself, or of a length
    n = struct.unpack(">" + form, take(struct.calcsize(">" + form)))[0] if form else c & (15 if c < 0xa0 else 31)
    if 0xa0 <= c < 0xc0 or 0xc4 <= c <= 0xdb:
        return n if 0xca <= c <= 0xd3 else take(n) if 0xc4 <= c <= 0xc6 else str(take(n), "utf-8")
    if 0x90 <= c < 0xa0 or 0xdc <= c <= 0xdd:
        return [value(take) for _ in range(n)]
    found = {k if isinstance(k, str) else str(k, "utf-8"): v for k, v in ((value(take), value(take)) for _ in range(n))}
    dtype, data = TYPES.get(found.get("type")), found.get("data")
    flat = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
    return flat.reshape(found["shape"]) if "nd" in found else found


def frames(f):
    """(kind, body) of every frame of the buffered binary file f, until it ends or is cut off."""
    while f.peek(1):
        _, kind, _, n = value(f.read)
        body, at = memoryview(bytearray(n)), 0
        if f.readinto(body) != n or len(f.read(9)) != 9:  # the checksum is for files and networks
            return

        def take(k):
            nonlocal at
            at += k
            return body[at - k:at]
        yield kind, value(take)


def normalize(image, mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)):
    mean, std = (torch.tensor(x, device=image.device).view(1, 3, 1, 1) for x in (mean, std))
    return image.permute(0, 3, 1, 2).to(torch.float, memory_format=torch.contiguous_format).div_(255).sub_(mean).div_(std)


class Batches(torch.utils.data.IterableDataset):
    def __init__(self, shards, augment, tokenize, batch=64, decode=(), start=0, rank=0, world=1):
        self.head, self.rest = [*decode, *shards], (["dc-augment", *augment], ["dc-tokenize", *tokenize])
        self.batch, self.start, self.rank, self.world = batch, start, rank, world

    def commands(self):
        worker = torch.utils.data.get_worker_info()
        i, n = (worker.id, worker.num_workers) if worker else (0, 1)
        i = (i + self.start) % n  # item k is batch k // n of worker k % n; the loader asks its worker 0 first
        return [["dc-decode", "--keep-encoded", "--batch", str(self.batch * self.world * n), "--world", str(self.world * n), "--rank",
                 str(i * self.world + self.rank), "--skip", str((self.start - i + n - 1) // n), *self.head], *self.rest]

    def read(self):
        whole = lambda v: torch.cat(v) if isinstance(v[0], torch.Tensor) else sum(v, []) if isinstance(v[0], list) else v[0]
        tools, parts, kind = [], [], ""
        try:
            for c in self.commands():
                tools += [subprocess.Popen(c, stdin=tools[-1].stdout if tools else None, stdout=subprocess.PIPE)]
            [t.stdout.close() for t in tools[:-1]]  # theirs alone
            for kind, body in frames(tools[-1].stdout):
                parts += [body] if kind == "batch" else []
                if kind == "batch" and body["part"][0] == body["part"][1] - 1:
                    yield body if len(parts) == 1 else {k: whole([p[k] for p in parts]) for k in body}  # one of up to 64: not copied
                    parts = []
            bad = sorted(((t.wait() == 3, "%s: status %d" % (t.args[0], t.wait())) for t in tools if t.wait()))
            if bad or kind != "end":  # the first with another status than 3 is at fault: 3 is "a neighbour went away"
                raise RuntimeError("the data ended early: %s" % (bad[0][1] if bad else "no end"))
        finally:  # also where the loop was left: the tools see that their reader is gone
            [t.stdout.close() for t in tools]
            [t.wait() for t in tools]

    def __iter__(self):
        with closing(self.read()) as batches, ThreadPoolExecutor(1) as thread:
            coming = thread.submit(next, batches, None)
            while batch := coming.result():
                coming = thread.submit(next, batches, None)
                yield batch
