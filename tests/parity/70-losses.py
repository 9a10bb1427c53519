#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The objective: what dc-loss answers, in float32, to the same features as PyTorch in float64. Every term by itself, its
value and its gradient by every input; the masked positions' cross-entropy and its gradient come from dc-encode (stage 60).
Beside it, published, PyTorch's float32."""
import io
import json
import math
import sys

import parity

AGAINST = 'PyTorch, float64'
WHY = parity.missing('torch', 'open_clip', 'msgpack', 'msgpack_numpy', 'xxhash')
if WHY:
    parity.skip('losses', 'terms and their gradients', AGAINST, WHY)
    sys.exit()

import dcstream
import declip
import numpy as np
import torch

torch.set_num_threads(2)
Z, M = 48, 37
TERMS = ('clip', 'mvs', 'simsiam', 'mlm', 'nns')
PAPER = dict(clip=.4, mvs=.2, simsiam=.2, mlm=.2, nns=.2)
RELEASED = dict(PAPER, clip=.1, mvs=.3)
CAP = math.log(100)

# N, D, features, logit_scale, queue. Features: noise, near (a caption beside its image), alike (nearly all the same, as
# before training), repeated (the same captions, images too), far (rows of very different norms).
CASES = [
    (2, 512, 'near', CAP, 5), (2, 7, 'noise', 3, 2), (3, 5, 'noise', CAP, 4), (3, 512, 'alike', CAP, 100),
    (5, 33, 'repeated', CAP, 40), (5, 512, 'noise', 0, 9), (5, 31, 'far', 5.5, 12),
    (64, 512, 'near', CAP, 200), (64, 512, 'alike', CAP, 64), (64, 77, 'repeated', 3, 300), (64, 512, 'noise', 0, 500),
    (65, 129, 'near', 4.2, 1000), (65, 512, 'far', CAP, 90), (65, 512, 'repeated', CAP, 700),
    (256, 512, 'alike', 3, 2000), (256, 201, 'near', CAP, 2000), (256, 512, 'repeated', CAP, 1500), (256, 64, 'noise', 6, 300),
    (1000, 512, 'near', CAP, 4000), (1000, 127, 'alike', CAP, 3000), (1000, 333, 'repeated', CAP, 5000),
    (4096, 512, 'near', CAP, 5000),
]


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def make_features(rng, N, D, kind):
    def draw(*shape):
        return rng.standard_normal(shape)

    I1, T1 = draw(N, D), draw(N, D)
    common = draw(1, D) * D ** -.5
    if kind in ('near', 'repeated', 'far'):
        T1 = unit(I1) + rng.uniform(.3, 1.5) * D ** -.5 * T1
    if kind == 'alike':
        I1, T1 = common + .03 * D ** -.5 * I1, common[:, ::-1] + .03 * D ** -.5 * T1
    I2, T2 = unit(I1) + .5 * D ** -.5 * draw(N, D), unit(T1) + .5 * D ** -.5 * draw(N, D)
    if kind == 'alike':
        I2, T2 = I1 + .03 * D ** -.5 * draw(N, D), T1 + .03 * D ** -.5 * draw(N, D)
    if kind == 'repeated':
        same = rng.integers(0, N, N)
        same[:N // 2] = np.arange(N // 2)
        T1, T2 = T1[same], T2[same]
        I1[N // 2] = I1[0]
    if kind == 'far':
        I1, T2 = (x * np.exp(rng.uniform(-7, 7, (N, 1))) for x in (I1, T2))
    f = {'image_features.0': I1, 'image_features.1': I2, 'text_features.0': T1, 'text_features.1': T2}
    for v in range(2):
        f['simsiam_z.%d' % v], f['simsiam_p.%d' % v] = draw(N, Z), draw(N, Z)
    f['simsiam_p.0'] += 2 * f['simsiam_z.1']
    f['mlm_nll'] = rng.gamma(3, 2, M)
    return {k: v.astype('f4') for k, v in f.items()}


def make_queue(rng, f, Q, full):
    """Unit rows: noise, captions that are near some of the batch, and exact copies of such a row, so that the oldest
    must win; the head in the middle."""
    t = unit(f['text_features.0'].astype('f8'))
    q = rng.standard_normal((Q, t.shape[1]))
    near = rng.integers(0, len(t), Q)
    q = np.where(rng.random((Q, 1)) < .5, unit(q), t[near] + .3 * unit(q))
    q = unit(q).astype('f4')
    for i in range(0, Q - 1, 3):
        q[rng.integers(0, Q)] = q[i]
    head = int(rng.integers(0, Q))
    return q, (head, Q) if full else (head, max(1, Q // 2))


def ask(f, run, queue, head, valid):
    """dc-loss on one batch: the body of dfeatures."""
    s = io.BytesIO()
    dcstream.write(s, 'state', 0, {'config': json.dumps(run), 'step': 0, 'position': 0, 'nn_queue': queue, 'nn_head': head,
                                   'nn_valid': valid})
    dcstream.write(s, 'features', 0, dict(f, position=1), pad=True)
    dcstream.write(s, 'end', 1, {'counts': {}, 'damaged': []})
    out = io.BytesIO(parity.run('dc-loss', input=s.getvalue()))
    return next(b for kind, _, b in dcstream.read(out) if kind == 'dfeatures')


def reference(f, run, queue, head, valid, dtype):
    """Every term's value and gradients by name; the rows pushed into the queue; how clear the neighbours are."""
    x = {k: torch.tensor(v, dtype=dtype, requires_grad=True) for k, v in f.items()}
    q = declip.Queue(torch.tensor(queue, dtype=dtype), head, valid)
    keys, out = [k for k in x if '_z.' not in k], {}
    for term in TERMS:
        value = declip.objective(x, dict(run, weights={term: 1}), q)['total']
        g = torch.autograd.grad(value, [x[k] for k in keys], allow_unused=True)
        out[term] = value.item(), {k: np.zeros(x[k].shape) if v is None else v.double().numpy() for k, v in zip(keys, g)}
    w = run['weights']
    out['total'] = sum(w[t] * out[t][0] for t in TERMS), {k: sum(w[t] * out[t][1][k] for t in TERMS) for k in keys}
    return out, q


def errors(got, want):
    """(value's error over 1e-5 |want| + 1e-6, each gradient's over 1e-5 ||want|| + 1e-6), times 1e-5."""
    value, grads = want
    e = [abs(got[0] - value) / (abs(value) + .1)]
    g = []
    for k, w in grads.items():
        d = np.linalg.norm(np.asarray(got[1].get(k, np.zeros(w.shape)), 'f8') - w)
        g.append((d / (np.linalg.norm(w) + .1), k))
    return [x if x == x else math.inf for x in e], [(x if x == x else math.inf, k) for x, k in g]


class Rows:
    def __init__(self):
        self.values, self.grads, self.big = {}, {}, 0

    def add(self, who, term, e, where):
        value, grads = e
        term = 'all terms' if who else term
        self.values.setdefault((who, term), []).append((value[0], where))
        self.grads.setdefault((who, term), []).extend((x, '%s by %s' % (where, k)) for x, k in grads)

    def print(self):
        for what, table in (('value', self.values), ('gradients, by tensor', self.grads)):
            for (who, term), e in sorted(table.items(), key=lambda row: row[0][0]):
                worst, where = max(e)
                parity.row('losses', '%s%s: %s' % (who, term, what), AGAINST, len(e), sum(not x <= 1e-5 for x, _ in e), worst,
                           'published' if who else 1e-5)
                parity.note('%s%s: %s: worst %.2g at %s' % (who, term, what, worst, where))


def one(rows, number, N, D, kind, logit_scale, Q, released):
    rng = np.random.default_rng(1000 + number)
    f = make_features(rng, N, D, kind)
    f['logit_scale'] = np.float32(logit_scale)
    queue, (head, valid) = make_queue(rng, f, Q, full=number % 3 > 0 or released)
    weights = RELEASED if released else PAPER
    run = {'model': {'model_cfg': {'embed_dim': D, 'vision_cfg': dict(image_size=32, layers=1, width=64, patch_size=16),
                                   'text_cfg': dict(context_length=8, vocab_size=50, width=64, heads=1, layers=1)}},
           'method': 'declip', 'as': 'released' if released else 'paper', 'weights': weights, 'freeze': 'conv1', 'queue': Q,
           'nns_after': 1, 'logit_scale': [0, 6], 'simsiam_width': Z, 'simsiam_hidden': 8}
    where = 'N %d, D %d, %s, scale %.3g, queue %d%s' % (N, D, kind, math.exp(logit_scale), Q, ', released' * released)
    want, after = reference(f, run, queue, head, valid, torch.float64)
    single, _ = reference(f, run, queue, head, valid, torch.float32) if N < 1000 else ({}, None)
    wire = dict(f, logit_scale=float(f['logit_scale']))
    for term in want:
        alone = weights if term == 'total' else {t: float(t == term) for t in TERMS}
        d = ask(wire, dict(run, weights=alone), queue, head, valid)
        got = d['loss'][term], d
        rows.add('', term, errors(got, want[term]), where)
        rows.big += want[term][0] > .1
        if single:
            rows.add('float32 of PyTorch itself: ', term, errors(single[term], want[term]), where)
    pushed = np.linalg.norm(d['nn_enqueue'] - last_rows(f, released, Q, head), axis=1)
    if after.gap < 1e-6:
        parity.note('%s: two neighbours only %.1g apart' % (where, after.gap))
    return pushed


def last_rows(f, released, Q, head):
    """The unit rows that the step pushes, in order."""
    T1, T2 = (unit(f['text_features.%d' % v].astype('f8')) for v in (0, 1))
    if not released:
        return T1
    a = T2[:Q - head]
    head = (head + len(a)) % Q
    return np.concatenate([a, T1[:Q - head]])


rows, pushed, cases = Rows(), [], 0
for number, (N, D, kind, logit_scale, Q) in enumerate(CASES):
    if len(sys.argv) > 1 and str(N) not in sys.argv[1:]:
        continue
    for released in (False, True):
        if N == 4096 and released:
            D, Q = 65, 5000
        pushed.append(one(rows, number, N, D, kind, logit_scale, Q, released))
        cases += 1
rows.print()
pushed = np.concatenate(pushed)
parity.row('losses', 'rows pushed into the queue', AGAINST, len(pushed), (~(pushed <= 1e-6)).sum(), pushed.max(), 1e-6)
n = sum(len(v) for (who, _), v in rows.values.items() if not who)
parity.row('losses', 'values above 0.1: %d of %d, at least half' % (rows.big, n), AGAINST, n, 2 * rows.big < n)
