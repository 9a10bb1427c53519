#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Train an open_clip model on what dc reads: the loop of any PyTorch program, with torch_dataset.py for its data.

    open_clip_train.py --arch CONFIG.json --vocab bpe.txt.gz --steps 100 [--data dc|python] [--workers N] [--out MODEL.pt] SHARD...

With --data python the same batches are made by tarfile, Pillow, open_clip's transform and its tokenizer: the tensors are the
same bit for bit, and so is every loss. The architecture is one of pipelines/arch (dc-init) or of open_clip.

Needs torch, open_clip and, for --data python, Pillow and torchvision; the tools of dc on PATH."""
import argparse
import io
import json
import tarfile

import open_clip
import torch
from torch.utils.data import DataLoader

from torch_dataset import Batches, normalize


def by_dc(o, size, context):
    data = Batches(o.shards, ["--recipe", "eval", "--size", str(size)],
                   ["--vocab", o.vocab, "--context", str(context), "--mlm", "0"], batch=o.batch,
                   decode=["--steps", str(o.steps), "--tail", "drop"], start=o.start)
    for b in DataLoader(data, batch_size=None, num_workers=o.workers):
        yield normalize(b["image.0"]), b["token.0"].long()


def by_python(o, size, context):
    from PIL import Image
    transform = open_clip.image_transform(size, is_train=False)
    tokenize = open_clip.SimpleTokenizer(bpe_path=o.vocab, context_length=context)

    def samples():
        while True:
            for path in o.shards:
                with tarfile.open(path) as tar:
                    files = {}
                    for m in tar:
                        files[m.name] = tar.extractfile(m).read()
                        key = m.name.rsplit(".", 1)[0]
                        if key + ".jpg" in files and key + ".txt" in files:
                            image, text = files.pop(key + ".jpg"), files.pop(key + ".txt")
                            yield transform(Image.open(io.BytesIO(image)).convert("RGB")), text.decode()
    stream = samples()
    for k in range(o.steps):
        images, texts = zip(*(next(stream) for _ in range(o.batch)))
        if k >= o.start:
            yield torch.stack(images), tokenize(list(texts))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("shards", nargs="+")
    p.add_argument("--arch", required=True)
    p.add_argument("--vocab", required=True)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--steps", type=int, default=100)
    p.add_argument("--start", type=int, default=0, help="go on at this batch")
    p.add_argument("--workers", type=int, default=0)
    p.add_argument("--data", choices=("dc", "python"), default="dc")
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--out")
    o = p.parse_args()
    with open(o.arch) as f:
        config = json.load(f)
    config = config.get("model_cfg", config)
    torch.manual_seed(0)
    model = open_clip.CLIP(**{k: config[k] for k in ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu") if k in config})
    loss_of, optimizer = open_clip.ClipLoss(), torch.optim.AdamW(model.parameters(), lr=o.lr, weight_decay=.1)
    size, context = config["vision_cfg"]["image_size"], config["text_cfg"].get("context_length", 77)
    for step, (images, tokens) in enumerate({"dc": by_dc, "python": by_python}[o.data](o, size, context), o.start):
        loss = loss_of(*model(images, tokens))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print("%d\t%.9g" % (step, loss.item()), flush=True)
    if o.out:
        torch.save(model.state_dict(), o.out)


if __name__ == "__main__":
    main()
