#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""OpenAI's larger ResNets: dc-init makes them, open_clip loads them strictly, and one pass forward and backward of dc-encode in
float32 is compared with open_clip's class in float64, by running statistics. The text tower is a small one, for it is not
what they differ in.

dc-init begins with bottlenecks that are the identity, so weights, biases and running statistics of the batch norms are drawn.
Why gradients are published and not held to a tolerance, 65-resnet.py tells."""
import json
import os
import subprocess
import sys

import parity

AGAINST = 'open_clip, float64'
WHY = parity.missing('torch', 'open_clip', 'safetensors', 'msgpack', 'msgpack_numpy', 'xxhash')
if WHY:
    parity.skip('resnets', 'features', AGAINST, WHY)
    sys.exit()

import declip
import numpy as np
import torch
from encode_ring import Ring
from open_clip.model import CLIP
from safetensors.numpy import load_file

torch.set_num_threads(2)
TEXT = dict(context_length=12, vocab_size=60, width=32, heads=2, layers=1)
MODELS = [('rn101', 'RN101', 2), ('rn50x4', 'RN50x4', 2), ('rn50x16', 'RN50x16', 1)]  # file, name, images
GB = {'rn50x16': 12}  # memory that the float64 pass takes


def memory():
    with open('/proc/meminfo') as f:
        return next(int(line.split()[1]) / 1e6 for line in f if line.startswith('MemAvailable'))


def made(file):
    with open(os.path.join(parity.TOP, 'pipelines', 'arch', file + '.json')) as f:
        cfg = dict(json.load(f), text_cfg=TEXT)
    with open(file + '.json', 'w') as f:
        json.dump(cfg, f)
    subprocess.run(['dc-init', '--arch', './%s.json' % file, '--method', 'clip', '--model', file], check=True)
    return cfg, load_file(file + '/open_clip_model.safetensors')


def images(rng, n, S):
    coarse = rng.integers(0, 256, (n, S // 8, S // 8, 3)).repeat(8, 1).repeat(8, 2)
    return (coarse + rng.normal(0, 12, (n, S, S, 3))).clip(0, 255).astype('u1')


def pixels(u8):
    mean, std = (torch.tensor(declip.OPENAI[k], dtype=torch.float64)[:, None, None] for k in ('mean', 'std'))
    return (torch.tensor(u8).permute(0, 3, 1, 2).double() / 255 - mean) / std


def settle(t, rng):
    """Weights, biases and running statistics of the batch norms as after some training."""
    for k, v in t.items():
        if k.startswith('visual') and v.ndim == 1:
            x = rng.normal(0, .2, v.shape)
            if k.endswith(('running_var', 'weight')):
                x = np.exp(x) * (.5 if 'bn3.weight' in k and 'layer' in k else 1)
            t[k] = x.astype('f4')


def one(file, name, n):
    cfg, t = made(file)
    rng = np.random.default_rng(len(file))
    settle(t, rng)
    m = CLIP(**cfg)
    m.load_state_dict({k: torch.tensor(v) for k, v in t.items()}, strict=True)
    u8 = images(rng, n, cfg['vision_cfg']['image_size'])
    token = np.tile(np.array([58, 7, 59] + [0] * 9, 'i4'), (n, 1))
    d = rng.normal(0, 1, (n, cfg['embed_dim'])).astype('f4')
    run = {'model': {'model_cfg': cfg}, 'method': 'clip', 'as': 'paper', 'weights': {'clip': 1}, 'freeze': 'bn', 'logit_scale': [0, 6]}
    with Ring(run, {k: v.astype('f4') for k, v in t.items()}) as ring:
        got = ring.features([{'image.0': u8, 'token.0': token}])['image_features.0']
        grads, _ = ring.gradients({'image_features.0': d})
    v = m.visual.double().eval()
    f = v(pixels(u8))
    f.backward(torch.tensor(d).double())
    want = {'visual.' + k: p.grad.numpy() for k, p in v.named_parameters()}
    largest = max(np.linalg.norm(g) for g in want.values())
    with torch.no_grad():
        own = m.visual.float()(pixels(u8).float()).double().numpy()
    f = f.detach().numpy()
    rows = [declip.row_error(got[i:i + 1], f[i:i + 1]) for i in range(n)]
    theirs = [declip.row_error(own[i:i + 1], f[i:i + 1]) for i in range(n)]
    errors = [declip.gradient_error(grads[k], g, largest) for k, g in want.items()]
    parity.row('resnets', name + ': features by running statistics, by row', AGAINST, n, sum(not x <= 1e-5 for x in rows), max(rows), 1e-5)
    parity.row('resnets', name + ': the same, float32 of PyTorch itself', AGAINST, n, sum(not x <= 1e-5 for x in theirs), max(theirs), 'published')
    parity.row('resnets', name + ': gradients by running statistics, by tensor', AGAINST, len(errors), sum(not x <= 1e-5 for x in errors),
               max(errors), 'published')


for file, name, n in MODELS:
    if len(sys.argv) > 1 and file not in sys.argv[1:]:
        continue
    if memory() < GB.get(file, 0):
        parity.skip('resnets', name, AGAINST, '%d GB of memory' % GB[file])
    else:
        one(file, name, n)
