#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SLIP's, FILIP's and SigLIP's terms: what dc-loss answers, in float32, to the same features as PyTorch in float64. SigLIP
also against open_clip's own class. Values, and gradients by every input and scale."""
import io
import math
import sys

import parity

AGAINST = 'PyTorch, float64'
WHY = parity.missing('torch', 'msgpack', 'msgpack_numpy', 'xxhash')
if WHY:
    parity.skip('family', 'terms and their gradients', AGAINST, WHY)
    sys.exit()

import dcstream
import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(2)
CASES = [(2, 16, 8, 4, 6), (5, 33, 24, 9, 7), (33, 128, 256, 49, 11), (65, 77, 64, 16, 14), (120, 64, 32, 9, 9)]


def unit(x):
    return F.normalize(x, dim=1, eps=0)


def cross(logits):
    return F.cross_entropy(logits, torch.arange(len(logits)))


def infonce(f):
    l = f['logit_scale'].exp().clamp(max=100) * unit(f['image_features.0']) @ unit(f['text_features.0']).T
    return (cross(l) + cross(l.T)) / 2


def simclr(f, top, released):
    u = unit(torch.cat([f['simclr_z.1'], f['simclr_z.2']]))
    l = (u @ u.T / .1).masked_fill(torch.eye(len(u), dtype=torch.bool), -math.inf)
    return F.cross_entropy(l, torch.arange(len(u)).roll(len(u) // 2))


def filip(f, top, released):
    a, off = F.normalize(f['filip_image'], dim=2, eps=0), f['filip_off']
    b = [unit(f['filip_text'][off[n]:off[n + 1]]) for n in range(len(off) - 1)]
    s = f['filip_logit_scale'].exp() if released else f['filip_logit_scale'].exp().clamp(max=100)

    def few(x, y):
        return x[(x @ y.sum(0)).topk(min(top, len(x))).indices] if top else x

    def way(q, c):  # one candidate's tokens after the other, for all queries at once
        rows, of = torch.cat(list(q)), torch.tensor([n for n, x in enumerate(q) for _ in range(len(x))])
        out = []
        for x in c:
            best = (rows @ x.T).max(1).values
            out.append(torch.zeros(len(q), dtype=best.dtype).index_add(0, of, best) / torch.bincount(of, minlength=len(q)))
        return s * torch.stack(out, 1)

    return (cross(way(a, [few(x, y) for x, y in zip(b, a)])) + cross(way(b, [few(x, y) for x, y in zip(a, b)]))) / 2


def siglip(f, top, released):
    l = f['logit_scale'].exp().clamp(max=100) * unit(f['image_features.0']) @ unit(f['text_features.0']).T + f['logit_bias']
    return -F.logsigmoid((2 * torch.eye(len(l), dtype=l.dtype) - 1) * l).sum() / len(l)


def features(rng, N, D, S, G, R):
    n = rng.integers(1, R + 1, N)
    off = np.concatenate([[0], np.cumsum(n)]).astype('i4')
    x = {'image_features.0': (N, D), 'text_features.0': (N, D), 'simclr_z.1': (N, S), 'simclr_z.2': (N, S),
         'filip_image': (N, G, S), 'filip_text': (off[-1], S)}
    f = {k: rng.standard_normal(v).astype('f4') for k, v in x.items()}
    f['text_features.0'] += f['image_features.0']
    f['simclr_z.2'] += f['simclr_z.1']
    for i in range(N):
        f['filip_text'][off[i]] += 2 * f['filip_image'][i, 0]
    return f, off


def dc_loss(f, off, scalars, options):
    out = io.BytesIO()
    dcstream.write(out, 'features', 0, dict(f, filip_off=off, position=1, **scalars))
    dcstream.write(out, 'end', 1, {'counts': {}})
    answer = parity.run('dc-loss', *options, input=out.getvalue())
    return next(b for kind, _, b in dcstream.read(io.BytesIO(answer)) if kind == 'dfeatures')


def error(got, want):
    d, n = np.linalg.norm(np.asarray(got, 'f8') - want), np.linalg.norm(want)
    e = d / n if n else d
    return e if e == e else math.inf


rows = {}
for number, (N, D, S, G, R) in enumerate(CASES):
    f, off = features(np.random.default_rng(number), N, D, S, G, R)
    scalars = dict(logit_scale=3.3, filip_logit_scale=3.1 + .3 * number, logit_bias=-2. - number)
    for method, term, fn, top, released in (('slip', 'simclr', simclr, 0, 0), ('filip', 'filip', filip, 0, 0), ('filip', 'filip', filip, 3, 0),
                                            ('filip', 'filip', filip, 3, 1), ('siglip', 'siglip', siglip, 0, 0)):
        leaf = {k: torch.tensor(v).double().requires_grad_() for k, v in f.items()}
        leaf.update((k, torch.tensor(v, dtype=torch.float64, requires_grad=True)) for k, v in scalars.items())
        value = fn(dict(leaf, filip_off=off), top, released)
        (value * .7 + infonce(leaf) * .3).backward()
        got = dc_loss(f, off, scalars, ['--method', method, '--' + term, '.7', '--clip', '.3', '--logit-scale-min', '0', '--logit-scale-max', '6']
                      + (['--filip-top', str(top)] if method == 'filip' else []) + (['--as', 'released'] if released else []))
        what = '%s%s' % (term, ', top 3 as released' if released else ', top 3' if top else '')
        rows.setdefault((what + ': value', AGAINST), []).append(error(got['loss'][term], value.item()))
        for k, v in leaf.items():
            if k in got and v.grad is not None:
                rows.setdefault((what + ' and clip: gradient', AGAINST), []).append(error(got[k], v.grad.numpy()))
        missing = {k for k, v in leaf.items() if v.grad is not None} - set(got)
        if missing:
            raise SystemExit('%s: no gradient of %s' % (what, missing))
        if term == 'siglip' and not parity.missing('open_clip'):
            import stubs  # noqa: F401
            from open_clip.loss import SigLipLoss
            with torch.no_grad():
                theirs = SigLipLoss()(unit(leaf['image_features.0']), unit(leaf['text_features.0']), leaf['logit_scale'].exp(), leaf['logit_bias'])
            rows.setdefault(('siglip: value', "open_clip's SigLipLoss"), []).append(error(got['loss'][term], theirs.item()))
for (what, against), e in rows.items():
    parity.row('family', what, against, len(e), sum(not x <= 1e-5 for x in e), max(e), 1e-5)
