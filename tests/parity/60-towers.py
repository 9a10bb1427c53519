#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Towers and heads: what dc-encode answers in the ring, in float32, against open_clip's own classes in float64 with the
same weights. Features and gradients of every parameter; beside them, published, how far PyTorch's float32 is off."""
import json
import math
import os
import sys

import parity

AGAINST = 'open_clip, float64'
WHY = parity.missing('torch', 'open_clip', 'msgpack', 'msgpack_numpy', 'xxhash')
if WHY:
    parity.skip('towers', 'features and gradients', AGAINST, WHY)
    sys.exit()

import declip
import numpy as np
import torch
from encode_ring import Ring

torch.set_num_threads(2)


def arch(D, image, text, quick=True, pre=None):
    """image: size, patch, width, head width, layers; text: context, vocabulary, width, heads, layers."""
    c = {'model_cfg': {'embed_dim': D, 'quick_gelu': quick,
                       'vision_cfg': dict(zip(('image_size', 'patch_size', 'width', 'head_width', 'layers'), image)),
                       'text_cfg': dict(zip(('context_length', 'vocab_size', 'width', 'heads', 'layers'), text))}}
    return dict(c, preprocess_cfg=pre) if pre else c


def named(name):
    with open(os.path.join(parity.TOP, 'pipelines', 'arch', name + '.json')) as f:
        return {'model_cfg': json.load(f)}


ODD = dict(mean=[.1, .6, .45], std=[.3, .17, .25])
CASES = [  # what, architecture, weights, samples in each part, released
    ('odd widths', arch(13, (30, 7, 21, 7, 3), (11, 53, 18, 3, 3), False, ODD), 'init', (17,), False),
    ('odd widths, trained', arch(13, (30, 7, 21, 7, 3), (11, 53, 18, 3, 3), False, ODD), 'trained', (13, 7), False),
    ('one patch, one layer', arch(5, (8, 8, 6, 3, 1), (4, 9, 4, 1, 1), True), 'trained', (2, 1), False),
    ('64 px by 16', named('vit-s64-p16'), 'init', (33,), False),
    ('64 px by 16, trained', named('vit-s64-p16'), 'trained', (64, 33), False),
    ('64 px by 8, trained, released', named('vit-s64-p8'), 'trained', (21, 4), True),
    ('96 px by 16, 8 layers, GELU', arch(96, (96, 16, 192, 64, 8), (40, 3000, 160, 5, 8), False), 'trained', (24,), False),
    ('ViT-B/32', named('vit-b-32'), 'init', (6,), False),
    ('ViT-B/32, trained', named('vit-b-32'), 'trained', (5, 3), False),
]
WEIGHTS = dict(clip=.4, mvs=.2, simsiam=.2, mlm=.2)
FEW = 16  # samples, below which SimSiam is left out: a batch norm divides by how much a few rows happen to differ, and the
# towers' rounding with them; in PyTorch's float32 just as here. It is compared over so few as well, and published.


def make_part(rng, cfg, n, released):
    """Images with structure, captions of 0 words to more than fit; half of the words masked, in the released reading
    by any id."""
    v, t = cfg['vision_cfg'], cfg['text_cfg']
    S, T, V = v['image_size'], t['context_length'], t['vocab_size']
    b = {}
    for i in range(2):
        coarse = rng.integers(0, 256, (n, S // 4 + 1, S // 4 + 1, 3))
        fine = coarse.repeat(4, 1).repeat(4, 2)[:, :S, :S] + rng.normal(0, 12, (n, S, S, 3))
        b['image.%d' % i] = fine.clip(0, 255).astype('u1')
        token = np.zeros((n, T), 'i4')
        for row, words in zip(token, np.minimum(rng.geometric(.12, n) - 1, T - 2)):
            row[:words + 2] = [V - 2, *rng.integers(1, V - 2, words), V - 1]
        token[0, :] = [V - 2, *rng.integers(1, V - 2, T - 2), V - 1]
        b['token.%d' % i] = token
    drawn = (b['token.0'] > 0) & (b['token.0'] < V - 2) & (rng.random((n, T)) < .5)
    b['mlm_target'] = np.where(drawn, b['token.0'], -1).astype('i4')
    other = rng.integers(0, V + 1, (n, T)) if released else rng.integers(0, V - 2, (n, T))
    if released:
        other[0] = V - 1
    shown = np.where(rng.random((n, T)) < .8, V, other)
    b['mlm_token'] = np.where(drawn, shown, b['token.0']).astype('i4')
    return b


def weights_of(config, run, kind, seed):
    tensors = declip.init(config, seed)
    if kind == 'trained':
        tensors = declip.as_trained(tensors, seed + 1)
    tensors.update(declip.head_tensors(config, run, seed + 2))
    return tensors


def reference(config, run, tensors, b, dtype, d=None):
    """features, the gradient of the objective by them (in d, unless it is given), and the gradient of every parameter."""
    m = declip.Model(config, tensors, dtype)
    f = m.features(b, run)
    if d is None:
        leaf = {k: v.detach().requires_grad_() for k, v in f.items()}
        declip.objective(leaf, run)['total'].backward()
        d = {k: v.grad.float() for k, v in leaf.items() if v.grad is not None}
        # a well trained batch has hardly any gradient left, and all rows nearly the same: add some of every direction
        rng = torch.Generator().manual_seed(5)
        for k, v in d.items():
            v += .1 * v.norm() / max(1, v.numel()) ** .5 * torch.randn(v.shape, generator=rng)
    torch.autograd.backward([f[k] for k in d], [v.to(dtype) for v in d.values()])
    return {k: v.detach().double().numpy() for k, v in f.items()}, d, m.gradients()


class Worst:
    """Errors by row of the table."""

    def __init__(self):
        self.rows = {}

    def add(self, what, errors, tolerance=1e-5):
        self.rows.setdefault((what, tolerance), []).extend(errors)

    def print(self):
        for (what, tolerance), e in self.rows.items():
            limit = 1e-5 if tolerance == 'published' else tolerance
            parity.row('towers', what, AGAINST, len(e), sum(not x <= limit for x in e), max(e), tolerance)


def compare_heads(worst, got, want, what, **how):
    e = [np.linalg.norm(got[k] - want[k]) / np.linalg.norm(want[k]) for k in want if k.startswith('simsiam')]
    if e:
        worst.add(what, e, **how)


def compare(worst, got, grads, want, want_grads, who=''):
    """Features row by row, the cross-entropy of the masked positions as a vector, gradients tensor by tensor."""
    how = {'tolerance': 'published'} if who else {}
    which = (lambda k: '') if who else (lambda k: k + ' ')
    for kind in ('image', 'text'):
        for k in sorted(k for k in want if k.startswith(kind + '_features')):
            worst.add(who + which(kind) + 'features, by row', [declip.row_error(got[k][i:i + 1], want[k][i:i + 1])
                                                           for i in range(len(want[k]))], **how)
    nll = [np.linalg.norm(got['mlm_nll'] - want['mlm_nll']) / np.linalg.norm(want['mlm_nll'])]
    worst.add(who + "masked positions' cross-entropy", [x if x == x else math.inf for x in nll], **how)
    compare_heads(worst, got, want, who + 'SimSiam p and z, by view', **how)
    largest = max(np.linalg.norm(v) for v in want_grads.values())
    if set(grads) != set(want_grads):
        raise SystemExit('gradients of other tensors: %s' % sorted(set(grads) ^ set(want_grads)))
    for part, mine in (('image tower', lambda k: k.startswith('visual.')), ('heads', lambda k: k.startswith(('simsiam', 'mlm', 'mask'))),
                       ('text tower', lambda k: not k.startswith(('visual.', 'simsiam', 'mlm', 'mask')))):
        e = {k: declip.gradient_error(grads[k], v, largest) for k, v in want_grads.items() if mine(k)}
        worst.add(who + 'gradients%s, by tensor' % ('' if who else ': ' + part), e.values(), **how)
        k = max(e, key=e.get)
        parity.note('%s%s: gradient of %s off by %.2g' % (who, part, k, e[k]))


def one(worst, number, what, config, kind, parts, released, few=False):
    cfg = config['model_cfg']
    weights = dict(WEIGHTS, simsiam=0) if sum(parts) < FEW and not few else WEIGHTS
    width, hidden = (1024, 512) if sum(parts) > 64 else (48, 20)
    run = {'model': config, 'method': 'declip', 'as': 'released' if released else 'paper', 'weights': weights, 'freeze': 'none',
           'logit_scale': [0, 6], 'simsiam_width': width, 'simsiam_hidden': hidden}
    rng = np.random.default_rng(100 + number)
    batch = [make_part(rng, cfg, n, released) for n in parts]
    whole = {k: np.concatenate([p[k] for p in batch]) for k in batch[0]}
    tensors = weights_of(config, run, kind, 10 * number)
    parity.note('%s (%s)' % (what, kind))
    want, d, want_grads = reference(config, run, tensors, whole, torch.float64)
    with Ring(run, tensors) as ring:
        got = ring.features(batch)
        grads, _ = ring.gradients({k: v.numpy() if v.dim() else v.item() for k, v in d.items()})
    if few:
        return compare_heads(worst, got, want, 'SimSiam p and z, over %d samples' % sum(parts), tolerance='published')
    compare(worst, got, grads, want, want_grads)
    if kind == 'init' and what == 'ViT-B/32':
        return
    got, _, grads = reference(config, run, tensors, whole, torch.float32, d)
    compare(worst, got, grads, want, want_grads, 'float32 of PyTorch itself: ')


worst = Worst()
for number, case in enumerate(CASES):
    if len(sys.argv) < 2 or sys.argv[1] in case[0]:
        one(worst, number, *case)
        if sum(case[3]) < 6:
            one(worst, number, *case, few=True)
worst.print()
