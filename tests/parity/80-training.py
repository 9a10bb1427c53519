#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fifty steps of training round the real ring, dc-encode | dc-loss | dc-step, and the same in PyTorch (float64 and float32)
from the same weights on the same batches: the whole curve of every term. Batches are flickr8k's as dc-augment and
dc-tokenize make them, or of synthetic scenes where that is absent; the rates are those of the recipe's first fifty
steps (1e-4, on the way to 1e-3).

AdamW's epsilon is 1e-6. With the recipe's 1e-8 single precision is no good reference for itself: the true gradient of
the projector's last batch-norm bias is 0, for the predictor's batch norm takes it away again, but it moves z and with
it the value of SimSiam; AdamW divides the rounding in that gradient by its own size and takes whole steps of either
sign. From there on, and where a ReLU or a nearest neighbour falls the other way, the runs part, faster the higher the
rate. The run with 1e-8 is published, and PyTorch's float32 for both."""
import json
import math
import os
import subprocess
import sys

import parity

AGAINST = 'PyTorch, float64'
WHY = parity.missing('torch', 'open_clip', 'msgpack', 'msgpack_numpy', 'xxhash')
if WHY:
    parity.skip('training', 'the loss of 50 steps', AGAINST, WHY)
    sys.exit()

import dcstream
import declip
import numpy as np
import torch
from compare import load

torch.set_num_threads(2)
STEPS, N, SIZE, CONTEXT, QUEUE = 50, 48, 32, 24, 600
LR0, LR, WARMUP, TOTAL, BETAS, DECAY = 1e-4, 1e-3, 2500, 128000, (0.9, 0.98), 0.1
ARCH = {'embed_dim': 64, 'quick_gelu': True,
        'vision_cfg': {'image_size': SIZE, 'layers': 3, 'width': 128, 'patch_size': 8},
        'text_cfg': {'context_length': CONTEXT, 'vocab_size': 2000, 'width': 64, 'heads': 2, 'layers': 2}}
CASES = [  # dc-init's options, epsilon, what must agree
    ('declip, paper', ['--as', 'paper'], 1e-6, True),
    ('declip, released', ['--as', 'released'], 1e-6, True),
    ('clip', ['--method', 'clip'], 1e-6, True),
    ('declip, paper, epsilon 1e-8', ['--as', 'paper'], 1e-8, False),
]


def sh(script, *args):
    subprocess.run(['bash', '-euo', 'pipefail', '-c', script, 'sh', *map(str, args)], check=True)


def make_batches():
    """views.dcs and vocab.gz; where the pictures are from."""
    shards = parity.data('flickr8k', 'train-000.tar')
    if shards:
        source, caption, shards = 'flickr8k', 'json:captions', [parity.data('flickr8k', 'train-%03d.tar' % i) for i in range(4)]
        shards = [s for s in shards if s]
    else:
        sh('dc-scenes --out scenes --train 1000 --test 1 --zero-shot 1')
        source, caption, shards = 'scenes', 'txt', ['scenes/train-000.tar']
    sh('caption=$1; shift; dc-decode --keep-encoded --captions all --tail short --caption "$caption" "$@" | '
       'dc-vocab --merges 500 --out vocab.gz', caption, *shards)
    sh('caption=$1 n=$2 steps=$3 size=$4; shift 4; dc-decode --keep-encoded --caption "$caption" --shuffle 1000 --epochs 20 '
       '--steps "$steps" --batch "$n" --seed 3 "$@" | dc-augment --size "$size" --seed 3 >views.dcs', caption, N, STEPS, SIZE, *shards)
    return source


def train(name, options, eps):
    """The run of the ring: {term: [STEPS]} of its losses."""
    with open('arch.json', 'w') as f:
        json.dump(ARCH, f)
    sh('name=$1 queue=$2; shift 2; dc-init --arch ./arch.json --vocab vocab.gz --seed 5 --queue "$queue" --nns-after 256 --simsiam-width 128 '
       '--simsiam-hidden 64 "$@" --out "$name" && dc-tokenize --model "$name" --mlm 0.15 --seed 3 <views.dcs >"$name.dcs"; '
       'mkfifo "$name/loop"', name, QUEUE, *options)
    sh('name=$1; shift; dc-encode --loop "$name/loop" <"$name.dcs" | dc-loss | tee back.dcs | '
       'dc-step --run "$name" --loop "$name/loop" --save-every 0 "$@" >rows', name, '--steps', TOTAL, '--warmup', WARMUP, '--lr', LR,
       '--lr-start', LR0, '--beta1', BETAS[0], '--beta2', BETAS[1], '--eps', eps, '--weight-decay', DECAY)
    curve = []
    with open('back.dcs', 'rb') as f:
        for kind, _, b in dcstream.read(f):
            if kind == 'dfeatures':
                curve.append(b['loss'])
    return curve


def batches(name):
    """The whole batches of a stream."""
    out = {}
    with open(name + '.dcs', 'rb') as f:
        for kind, step, b in dcstream.read(f):
            if kind == 'batch':
                for k, v in b.items():
                    if isinstance(v, np.ndarray):
                        out.setdefault(step, {}).setdefault(k, []).append(v)
    return [{k: np.concatenate(v) for k, v in out[s].items()} for s in sorted(out)]


def decays(name, released):
    if name.endswith(('in_proj_bias', 'positional_embedding', 'class_embedding')):
        return released
    return not (name.endswith('bias') or name == 'logit_scale' or '.ln_' in '.' + name or '.bn.' in name)


def learning_rate(s):
    if s < WARMUP:
        return LR0 + (LR - LR0) * s / WARMUP
    return LR / 2 * (1 + math.cos(math.pi * (s - WARMUP) / (TOTAL - WARMUP)))


def reference(name, data, dtype, eps):
    """(the curve, the least distance by which a nearest neighbour was the nearest)"""
    first = name + '/step-00000000/'
    state, meta = load(first + 'state.safetensors')
    run = json.loads(meta['config'])
    tensors = load(first + 'open_clip_model.safetensors')[0]
    if os.path.exists(first + 'heads'):
        tensors.update(load(first + 'heads/declip.safetensors')[0])
    m = declip.Model(run['model'], tensors, dtype)
    released = run['as'] == 'released'
    frozen = {'visual.conv1.weight'} if run['freeze'] == 'conv1' else set()
    groups = [{'params': [p for k, p in m.P.items() if k not in frozen and decays(k, released) == d],
               'weight_decay': DECAY * d} for d in (True, False)]
    opt = torch.optim.AdamW(groups, betas=BETAS, eps=eps)
    stats = {k: torch.tensor(v).to(dtype) for k, v in state.items() if '.running_' in k}
    queue = None
    if 'nn_queue' in state:
        queue = declip.Queue(torch.tensor(state['nn_queue']).to(dtype), int(meta['nn_head']), int(meta['nn_valid']), run['nns_after'])
    curve = []
    for s, b in enumerate(data):
        with torch.no_grad():
            m.P['logit_scale'].clamp_(*run['logit_scale'])
        opt.zero_grad()
        loss = declip.objective(m.features(b, run, stats), run, queue)
        loss['total'].backward()
        for g in opt.param_groups:
            g['lr'] = learning_rate(s)
        opt.step()
        curve.append({k: v.item() for k, v in loss.items()})
    return curve, queue.gap if queue else math.inf


def compare(what, curve, want, tolerance):
    terms = [t for t in ('total', 'clip', 'mvs', 'simsiam', 'mlm', 'nns') if any(t in row for row in want)]
    for term in terms if tolerance != 'published' else ('total', 'simsiam'):
        e = [abs(g.get(term, math.nan) - w[term]) if term in w else math.inf * (term in g) for g, w in zip(curve, want)
             if term in w or term in g]
        e = [x if x == x else math.inf for x in e] + [math.inf] * (STEPS - len(want)) + [math.inf] * abs(len(curve) - len(want))
        parity.row('training', '%s: %s, by step' % (what, term), AGAINST, len(e), sum(not x <= 1e-3 for x in e), max(e), tolerance)


source = make_batches()
for name, options, eps, exact in CASES:
    if len(sys.argv) > 1 and sys.argv[1] not in name:
        continue
    short = name.replace(', ', '-').replace(' ', '-')
    curve = train(short, options, eps)
    data = batches(short)
    want, gap = reference(short, data, torch.float64, eps)
    parity.note('%s on %s: total %.4f -> %.4f; neighbours at least %.1g apart' % (name, source, want[0]['total'], want[-1]['total'], gap))
    compare(name, curve, want, 1e-3 if exact else 'published')
    if 'paper' in name:
        compare('float32 of PyTorch itself: ' + name, reference(short, data, torch.float32, eps)[0], want, 'published')
