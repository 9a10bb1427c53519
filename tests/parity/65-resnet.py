#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The modified ResNet: what dc-encode answers in the ring, in float32, against open_clip's class in float64 with the same
weights: features and gradients of every tensor, by running statistics (--freeze bn) and by the batch's; the statistics that
it sends; and a model directory that open_clip loads strictly.

RN50 at full size has some 40 million ReLUs in a pass over four images. Float32 takes another side than float64 where an
argument is nearly 0, and a gradient that sums terms of either sign then differs by about the root of the share that did: a
few thousandths, PyTorch's own float32 no less (published rows). So its gradients are held to the tolerance with weights at
which every ReLU is decided: biases of either sign 3.5 times the norm's weight, which leaves no argument nearly 0, and
running statistics that are the images' own."""
import json
import os
import subprocess
import sys

import parity

AGAINST = 'open_clip, float64'
WHY = parity.missing('torch', 'open_clip', 'safetensors', 'msgpack', 'msgpack_numpy', 'xxhash')
if WHY:
    parity.skip('resnet', 'features and gradients', AGAINST, WHY)
    sys.exit()

import dcstream
import declip
import numpy as np
import torch
from encode_ring import Ring
from open_clip.model import CLIP
from safetensors.numpy import load_file

torch.set_num_threads(2)
TEXT = dict(context_length=12, vocab_size=60, width=32, heads=2, layers=1)


def named(name):
    with open(os.path.join(parity.TOP, 'pipelines', 'arch', name + '.json')) as f:
        return dict(json.load(f), text_cfg=TEXT)


def tiny(S, layers, width, head_width):
    return {'embed_dim': 24, 'quick_gelu': True, 'text_cfg': TEXT,
            'vision_cfg': dict(image_size=S, layers=layers, width=width, patch_size=None, head_width=head_width)}


CASES = [  # what, architecture, weights, samples in each part
    ('64 px, 5 blocks', tiny(64, [1, 2, 1, 1], 8, 64), 'trained', (12, 7)),
    ('96 px, odd widths', tiny(96, [2, 1, 2, 1], 6, 48), 'trained', (9,)),
    ('32 px, one pixel to pool', tiny(32, [1, 1, 1, 1], 4, 64), 'trained', (16,)),
    ('rn-s64', named('rn-s64'), 'init', (24,)),
    ('rn-s64, trained', named('rn-s64'), 'trained', (64,)),
    ('RN50, every ReLU decided', named('rn50'), 'decided', (4,)),
    ('RN50', named('rn50'), 'trained', (4,)),
]


def weights(cfg, kind, seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    t = {k: v.numpy().copy() for k, v in CLIP(**cfg).state_dict().items()}
    for k, v in t.items():
        if kind == 'init' or not k.startswith('visual') or v.ndim != 1:
            continue
        random = rng.normal(0, .2, v.shape)
        if k.endswith('running_var') or k.endswith('weight'):
            random = np.exp(random) * (.5 if 'bn3.weight' in k and 'layer' in k else 1)
        t[k] = random.astype('f4')
    return t


def decide(t, cfg, u8, seed):
    """Weights at which no ReLU's argument is nearly 0; a channel has one sign through all blocks of its layer."""
    rng = np.random.default_rng(seed)
    for k, v in t.items():
        if not k.startswith('visual') or v.ndim != 1 or 'attnpool' in k or 'running' in k:
            continue
        size = .1 if '.bn3.' in k and 'layer' in k else .5  # branches begin small: OpenAI's begin with 0
        if k.endswith('weight'):
            t[k] = (size * np.exp(rng.normal(0, .2, v.shape))).astype('f4')
        else:
            sign = np.where(np.random.default_rng(len(v)).random(len(v)) < .6, 1, -1)
            t[k] = (sign * 3.5 * size * np.exp(rng.normal(0, .1, v.shape))).astype('f4')
    k = 'visual.attnpool.positional_embedding'
    t[k] = rng.normal(0, 1, t[k].shape).astype('f4')  # tokens that differ: or queries and keys have hardly a gradient
    m = CLIP(**cfg)
    m.load_state_dict({k: torch.tensor(v) for k, v in t.items()})
    for x in m.modules():
        if isinstance(x, torch.nn.BatchNorm2d):
            x.momentum = 1.
    with torch.no_grad():
        m.train().visual(pixels(u8).float())
    t.update((k, v.numpy().copy()) for k, v in m.state_dict().items() if 'running' in k)


def images(rng, n, S):
    coarse = rng.integers(0, 256, (n, S // 8, S // 8, 3)).repeat(8, 1).repeat(8, 2)
    return (coarse + rng.normal(0, 12, (n, S, S, 3))).clip(0, 255).astype('u1')


def captions(rng, n):
    token = np.zeros((n, 12), 'i4')
    token[:, 0], token[:, 1], token[:, 2] = 58, rng.integers(1, 58, n), 59
    return token


def pixels(u8):
    mean, std = (torch.tensor(declip.OPENAI[k], dtype=torch.float64)[:, None, None] for k in ('mean', 'std'))
    return (torch.tensor(u8).permute(0, 3, 1, 2).double() / 255 - mean) / std


def one(rows, number, what, cfg, kind, parts, fixed):
    how, tolerance = ('running statistics', 1e-5) if fixed else ('batch statistics', 1e-4)
    t = weights(cfg, kind, number)
    rng = np.random.default_rng(50 + number)
    batch = [{'image.0': images(rng, n, cfg['vision_cfg']['image_size']), 'token.0': captions(rng, n)} for n in parts]
    d = rng.normal(0, 1, (sum(parts), cfg['embed_dim'])).astype('f4')
    if kind == 'decided':
        decide(t, cfg, batch[0]['image.0'], number)
    run = {'model': {'model_cfg': cfg}, 'method': 'clip', 'as': 'paper', 'weights': {'clip': 1},
           'freeze': 'bn' if fixed else 'none', 'logit_scale': [0, 6]}
    with Ring(run, {k: v.astype('f4') for k, v in t.items()}) as ring:
        got = ring.features(batch)['image_features.0']
        grads, last = ring.gradients({'image_features.0': d})
    m = CLIP(**cfg)
    m.load_state_dict({k: torch.tensor(v) for k, v in t.items()}, strict=True)
    m = m.double().train(not fixed)
    f = torch.cat([m.visual(pixels(b['image.0'])) for b in batch])
    f.backward(torch.tensor(d).double())
    f = f.detach().numpy()
    want = {k: v.grad.numpy() for k, v in m.named_parameters() if v.grad is not None}
    largest = max(np.linalg.norm(v) for v in want.values())
    e = {k: declip.gradient_error(grads[k], v, largest) for k, v in want.items()}
    worst = max(e, key=e.get)
    parity.note('%s, %s: gradient of %s off by %.2g' % (what, how, worst, e[worst]))
    name = what + ': ' if what.startswith('RN50') else ''
    published = 'published' if what == 'RN50' else tolerance
    rows.setdefault((name + 'features by %s, by row' % how, tolerance), []).extend(
        declip.row_error(got[i:i + 1], f[i:i + 1]) for i in range(len(f)))
    # through so many ReLUs float32 itself takes other sides than float64: PyTorch's own error stands beside
    rows.setdefault((name + 'gradients by %s, by tensor' % how, published), []).extend(e.values())
    if what == 'RN50':
        x = CLIP(**cfg)
        x.load_state_dict({k: torch.tensor(v) for k, v in t.items()})
        x.train(not fixed)
        torch.cat([x.visual(pixels(b['image.0']).float()) for b in batch]).backward(torch.tensor(d))
        own = {k: v.grad.double().numpy() for k, v in x.named_parameters() if v.grad is not None}
        rows[(name + 'the same, float32 of PyTorch itself, by %s' % how, 'published')] = [
            declip.gradient_error(own[k], v, largest) for k, v in want.items()]
    state = m.state_dict()
    sent = [k for k in last if '.running_' in k]
    if len(sent) != (0 if fixed else len([k for k in t if '.running_' in k])):
        raise SystemExit('%d statistics were sent' % len(sent))
    for k in sent:  # folded in as dc-step does it, part after part
        x = t[k].astype('f8')
        for row in last[k]:
            x = .9 * x + .1 * row
        rows.setdefault(('running statistics after a step', 1e-5), []).append(
            float(np.linalg.norm(x - state[k].numpy()) / np.linalg.norm(state[k].numpy())))


def directory(rows):
    """dc-init's model, loaded by open_clip strictly; both encode."""
    subprocess.run(['dc-init', '--arch', 'rn-s64', '--method', 'clip', '--model', 'made'], check=True)
    with open('made/open_clip_config.json') as f:
        cfg = json.load(f)['model_cfg']
    t = load_file('made/open_clip_model.safetensors')
    m = CLIP(**cfg)
    m.load_state_dict({k: torch.tensor(v) for k, v in t.items()}, strict=True)
    u8 = images(np.random.default_rng(1), 21, 64)
    with open('in.dcs', 'wb') as f:
        n = np.arange(21)
        dcstream.write(f, 'batch', 0, {'image.0': u8, 'id': n.astype('u8'), 'slot': n, 'epoch': n.astype('i4'),
                                       'key': ['%d' % i for i in n], 'position': 1, 'part': [0, 1]})
        dcstream.write(f, 'end', 0, {'counts': {}, 'damaged': []})
    with open('in.dcs', 'rb') as i, open('out.dcs', 'wb') as o:
        subprocess.run(['dc-encode', '--model', 'made'], stdin=i, stdout=o, check=True)
    with open('out.dcs', 'rb') as f:
        got = next(x.body['image_features.0'] for x in dcstream.frames(f) if x.kind == 'features')
    want = m.double().eval().visual(pixels(u8)).detach().numpy()
    rows[('features of a directory that open_clip loads, by row', 1e-5)] = [
        declip.row_error(got[i:i + 1], want[i:i + 1]) for i in range(21)]


rows = {}
for number, case in enumerate(CASES):
    if len(sys.argv) < 2 or sys.argv[1] in case[0]:
        for fixed in (True, False):
            one(rows, number, *case, fixed)
directory(rows)
for (what, tolerance), e in rows.items():
    limit = 1e-5 if tolerance == 'published' else tolerance
    parity.row('resnet', what, AGAINST, len(e), sum(not x <= limit for x in e), max(e), tolerance)
