#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--as released, behaviour by behaviour: what the tools do (tests/reference/released.py asks them) against the same said in
PyTorch, float64."""
import math
import sys

import parity

AGAINST = 'PyTorch, float64'
WHY = parity.missing('torch', 'open_clip', 'msgpack', 'msgpack_numpy', 'xxhash')
if WHY:
    parity.skip('released', 'behaviours', AGAINST, WHY)
    sys.exit()

import declip
import numpy as np
import released as tools
import torch

AS = 'released'


def row(what, got, want, tolerance):
    """Elements within tolerance (relative to the largest); other shapes are all different."""
    got, want = (np.asarray(x.detach() if torch.is_tensor(x) else x, 'f8') for x in (got, want))
    if got.shape != want.shape:
        return parity.row('released', what, AGAINST, want.size, want.size, math.inf, tolerance)
    e = np.abs(got - want) / max(1e-30, np.abs(want).max())
    parity.row('released', what, AGAINST, want.size, (~(e <= tolerance)).sum(), e.max(), tolerance)


# --- the objective ---

def objective(f, head=7, **w):
    """(terms, features with gradients, rows of the queue that were pushed, in order) by PyTorch."""
    x = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in f.items() if k != 'position'}
    queue = declip.Queue(torch.tensor(tools.queue_rows(8), dtype=torch.float64), head, tools.Q)
    pushed, push = [], queue.push

    def watched(rows, drop_rest):
        pushed.extend(rows[:tools.Q - queue.head] if drop_rest else rows)
        push(rows, drop_rest)

    queue.push = watched
    return declip.objective(x, tools.config(AS, **w), queue), x, pushed


def the_objective():
    f, w = tools.features(21), dict(clip=.1, mvs=.3, nns=.2)
    got = tools.loss(AS, f, **w)['loss']
    want, x, _ = objective(f, **w)
    s = math.exp(2.5)
    I, T = ([torch.nn.functional.normalize(x['%s_features.%d' % (k, v)], dim=1) for v in (0, 1)] for k in ('image', 'text'))
    mean = sum(declip.info_nce(s, i, t) for i in I for t in T) / 4
    run = tools.begin(AS)[1]['weights']
    row('coefficients: 0.4 on the mean of the four pairs of views', got['total'], .4 * mean + .2 * want['nns'], 1e-6)
    row('coefficients of dc-init', [run[k] for k in ('clip', 'mvs', 'simsiam', 'mlm', 'nns')], [.4 / 4, .4 * 3 / 4, .2, .2, .2], 1e-12)


def neighbours():
    w = dict(clip=.1, mvs=.3, nns=.2)
    same = tools.features(22)
    same['text_features.1'] = same['text_features.0']
    for what, f in (('NNS from image to text only', same), ('NNS with the neighbours of T1 and of T2', tools.features(23))):
        row(what, tools.loss(AS, f, **w)['loss']['nns'], objective(f, **w)[0]['nns'], 1e-6)
    for what, head in (('T2 is pushed, then T1', 7), ('what goes beyond the queue\'s end is dropped', tools.Q - 2)):
        f = tools.features(24)
        row(what, tools.loss(AS, f, head, **w)['nn_enqueue'], torch.stack(objective(f, head, **w)[2]), 1e-6)


def above_the_cap():
    f = tools.features(25, logit_scale=np.float64(5.))
    terms, x, _ = objective(f, clip=1.)
    terms['total'].backward()
    row('gradient of logit_scale above ln 100', tools.loss(AS, dict(f, logit_scale=5.), clip=1.)['logit_scale'], x['logit_scale'].grad, 1e-6)


# --- the towers ---

def masked_captions():
    m = declip.Model(tools.MODEL, tools.random_tensors(), torch.float64)
    for what, b in (('', tools.batch()), (', an end token among the shown', tools.batch({2: tools.END}))):
        got = tools.encode(AS, b)
        want, hidden = m.masked_text(b['mlm_token'])
        row('the masked T1 gives the feature' + what, got['text_features.0'], want, 1e-5)
        row('the same causal pass gives MLM' + what, got['mlm_nll'], m.nll(hidden, b['mlm_target']), 1e-5)


# --- masking ---

def random_ids():
    """Start and end come up among the shown ids, as they do in torch.randint(V + 1)."""
    torch.manual_seed(1)
    drawn = torch.bincount(torch.randint(517, (6000,)), minlength=517)
    got, _, _ = tools.random_ids(AS)
    parity.row('released', 'a random id in masking may be special', AGAINST, 2, int((np.array(got) != (drawn[514:516] > 0).numpy()).sum()))


# --- the start ---

def two_samples(a, b):
    """Kolmogorov and Smirnov's distance of two samples, times sqrt(nm / (n + m)): 1.95 is exceeded once in 1,000."""
    a, b = np.sort(np.ravel(a)), np.sort(np.ravel(b))
    both = np.concatenate([a, b])
    d = np.abs(np.searchsorted(a, both, 'right') / len(a) - np.searchsorted(b, both, 'right') / len(b)).max()
    return d * math.sqrt(len(a) * len(b) / (len(a) + len(b)))


def start():
    torch.manual_seed(2)
    _, run, tensors, state, meta = tools.begin(AS)
    q = torch.randn(32, 500)
    q = q / q.norm(dim=0, keepdim=True)
    mine = state['nn_queue']
    row('the queue starts with unit vectors', np.linalg.norm(mine.astype('f8'), axis=1), np.ones(500), 1e-6)
    worst = {'the queue\'s start: distribution': [two_samples(mine, q.T)]}
    m = declip.CLIP(**run['model']['model_cfg']).visual
    W, L = 96, 3
    init = torch.nn.init.normal_
    for b in m.transformer.resblocks:
        init(b.attn.in_proj_weight, std=W ** -.5)
        init(b.attn.out_proj.weight, std=W ** -.5 * (2 * L) ** -.5)
        init(b.mlp.c_fc.weight, std=(2 * W) ** -.5)
        init(b.mlp.c_proj.weight, std=W ** -.5 * (2 * L) ** -.5)
    init(m.positional_embedding, std=.01)
    for k, v in m.state_dict().items():
        if v.std() > 0 and v.numel() > 1:
            where = 'positional embedding' if k == 'positional_embedding' else 'matrices' if 'resblocks' in k else 'the rest'
            worst.setdefault('the image tower\'s start: ' + where, []).append(two_samples(tensors['visual.' + k], v.numpy()))
    for what, e in worst.items():
        # 2.5 is exceeded once in 130,000
        parity.row('released', what, AGAINST, len(e), sum(x > 2.5 for x in e), max(e), 2.5)


# --- a step ---

def steps():
    before, after = tools.one_step(AS)
    P = {k: torch.nn.Parameter(torch.tensor(v).double()) for k, v in before.items() if k != 'visual.conv1.weight'}
    kind = {k: next((what for what in ('in_proj_bias', 'class_embedding', 'positional_embedding') if k.endswith(what)), 'others') for k in P}
    bare = [k for k in P if k == 'logit_scale' or '.ln_' in '.' + k or '.bn.' in k or k.endswith('.bias')]
    opt = torch.optim.AdamW([{'params': [v for k, v in P.items() if (k in bare) == no], 'weight_decay': 0. if no else .5}
                             for no in (False, True)], lr=.01, betas=(.9, .98))
    for v in P.values():
        v.grad = torch.zeros_like(v)
    opt.step()
    for what in ('in_proj_bias', 'class_embedding', 'positional_embedding', 'others'):
        mine = [k for k in P if kind[k] == what]
        e = [np.abs(after[k] - P[k].detach().numpy()).max() / max(1e-30, np.abs(before[k]).max()) for k in mine]
        parity.row('released', 'weight decay: ' + what, AGAINST, len(e), sum(not x <= 1e-6 for x in e), max(e), 1e-6)
    scale = torch.tensor(math.log(1 / .07), dtype=torch.float64)
    row('logit_scale starts in its limits', before['logit_scale'], scale.clamp(3, 6), 1e-6)
    options = ('--lr', '5', '--lr-start', '5')
    row('logit_scale stays in its limits', [tools.one_step(AS, g, options)[1]['logit_scale'] for g in (-1., 1.)],
        torch.tensor([3 + 5., 3 - 5.]).clamp(3, 6), 1e-6)


for stage in (the_objective, masked_captions, neighbours, random_ids, start, steps, above_the_cap):
    stage()
