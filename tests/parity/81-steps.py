#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Three whole steps with a ResNet as image tower, for every method: the real ring, by value, against PyTorch in float64 with
open_clip's own class of the tower. Losses, accuracies, every gradient, the queue, the heads' statistics, and after the third
step every parameter and the tower's running statistics. The methods' equations are tests/reference/three_steps.py's, which
made the golden steps of tests/parity.t.

A batch comes in parts of 15 and 9, each normalised over its own images. Through a ReLU float32 may take another side than
float64 where its argument is all but 0: each case takes the first seed at which no argument is, from FIRST on."""
import io
import json
import os
import subprocess
import sys

import parity

AGAINST = 'PyTorch with open_clip, float64'
WHY = parity.missing('torch', 'open_clip', 'safetensors', 'msgpack', 'msgpack_numpy', 'xxhash')
if WHY:
    parity.skip('steps', 'three steps of a ResNet', AGAINST, WHY)
    sys.exit()

import stubs  # noqa: F401 (torchvision imports without its operators)
import compare
import numpy as np
import three_steps as steps
import torch
from open_clip.modified_resnet import ModifiedResNet
from safetensors.numpy import save_file

torch.set_num_threads(2)
SIZE, WIDTH, HEADS, NEAR = 32, 4, 4, 2e-6
TIGHT, LOOSE = 1e-5, 1e-4                # losses; and what comes back through batch norms over few rows
FIRST = {'slip': 22}                     # those before were tried; three views have more arguments
steps.IMAGE, steps.VIT = SIZE, 32 * WIDTH  # the heads' inputs are as wide as the pooled map
vit_config, vit_decays = steps.model_config, steps.decays


def model_config(case):
    c = vit_config(case)
    c['model_cfg']['vision_cfg'] = {'image_size': SIZE, 'layers': [1, 1, 1, 1], 'width': WIDTH, 'patch_size': None,
                                    'head_width': 32 * WIDTH // HEADS}
    return c


def decays(name, released):
    bn = name.startswith('visual.') and ('.bn' in name or '.downsample.1.' in name)
    return not bn and vit_decays(name, released)


class Tower:
    """Stands in for three_steps.encode_image: all views of a batch at once, part by part, as the ring takes them."""

    def __init__(self, seed):
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        self.net = ModifiedResNet([1, 1, 1, 1], steps.DIM, HEADS, SIZE, WIDTH).train()
        self.start = {}
        for k, v in self.net.state_dict().items():
            v = v.numpy().copy()
            if v.ndim == 1:
                v = rng.normal(0, .3, v.shape)
                v = np.exp(v) if k.endswith(('running_var', 'weight')) else 3 * v if k.endswith('bias') else v
            self.start['visual.' + k] = v.astype('i8' if k.endswith('tracked') else 'f4')
        self.closest, self.batch, self.out = np.inf, None, {}
        for m in self.net.modules():
            if isinstance(m, torch.nn.ReLU):
                m.register_forward_pre_hook(self.look)
        self.stats = {k[7:]: torch.tensor(v).double() if v.dtype == 'f4' else torch.tensor(v) for k, v in self.start.items()
                      if 'running' in k or 'tracked' in k}

    def look(self, module, x):
        self.closest = min(self.closest, x[0].detach().abs().min().item())
        if self.closest <= NEAR:
            raise SystemExit('%.2g is too near to 0' % self.closest)

    def pool(self, x):
        """(what the last projection takes, the features) as open_clip's attention pooling has them."""
        p, E = self.net.attnpool, 32 * WIDTH
        t = x.flatten(2).permute(0, 2, 1)
        t = torch.cat([t.mean(1, keepdim=True), t], 1) + self.weights['attnpool.positional_embedding']
        q, k, v = (t @ self.weights['attnpool.%s_proj.weight' % n].T + self.weights['attnpool.%s_proj.bias' % n] for n in 'qkv')
        q, k, v = (a.reshape(len(a), -1, p.num_heads, E // p.num_heads).transpose(1, 2) for a in (q[:, :1], k, v))
        a = (q @ k.transpose(2, 3) / (E // p.num_heads) ** .5).softmax(-1) @ v
        o = a.transpose(1, 2).reshape(len(t), E)
        return o, o @ self.weights['attnpool.c_proj.weight'].T + self.weights['attnpool.c_proj.bias']

    def encode(self, P, b):
        self.weights = {k[7:]: v for k, v in P.items() if k.startswith('visual.')}
        mean, std = torch.tensor([steps.MEAN, steps.STD], dtype=torch.float64)[:, :, None, None]
        views = sorted(k for k in b if k.startswith('image.'))[:self.views]
        rows = {v: [] for v in views}
        for lo, hi in steps.PARTS:
            for v in views:
                x = (torch.tensor(b[v][lo:hi]).permute(0, 3, 1, 2).double() / 255 - mean) / std
                kept = []
                hook = self.net.layer4.register_forward_hook(lambda m, i, o: kept.append(o))
                f = torch.func.functional_call(self.net, {**self.weights, **self.stats}, x)
                hook.remove()
                o, again = self.pool(kept[0])
                if not torch.allclose(f, again, atol=1e-9):
                    raise SystemExit("the attention pooling here is not open_clip's")
                rows[v].append((f, o, kept[0].flatten(2).permute(0, 2, 1)))
        self.out = {id(b[v]): [torch.cat(x) for x in zip(*rows[v])] for v in views}

    def __call__(self, P, case, u8, more=False):
        if id(u8) not in self.out:
            self.encode(P, next(b for b in self.batches if any(b[k] is u8 for k in b)))
        out = self.out[id(u8)]
        return out if more else out[0]


def reference(name, seed):
    """(what the ring begins with, batches, the golden numbers), or None where a ReLU's argument is all but 0, or
    the seed tells nothing."""
    case, tower = steps.CASES[name], Tower(seed)
    rng = np.random.default_rng(100 + seed)
    model, heads, stats = steps.start_weights(rng)
    stats['nn_queue'] = steps.start_queue(rng)
    batches = steps.third_view(steps.make_batches(rng))
    if name in steps.FAMILY:
        model, heads, stats = steps.own_start(case, model, heads, stats)
    elif name == 'clip':
        heads, stats = {}, {}
    model = {k: v for k, v in model.items() if not k.startswith('visual.')}
    trained = {k: v for k, v in tower.start.items() if k[7:] not in tower.stats}
    tower.batches = batches
    tower.views = 3 if 'simclr' in case['weights'] else 2 if 'mvs' in case['weights'] else 1
    steps.encode_image, steps.own_start = tower, lambda c, *start: start
    try:
        want = steps.train(name, {**model, **trained}, heads, dict(stats), batches, torch.float64)
    except SystemExit as why:
        return parity.note('%s, seed %d: %s' % (name, seed, why))
    finally:
        steps.own_start = own_start
    want.update(('parameter/visual.' + k, v.numpy().astype('f8')) for k, v in tower.stats.items())
    parity.note('%s, seed %d: the nearest to 0 is %.2g' % (name, seed, tower.closest))
    return {**model, **tower.start}, heads, stats, batches, want


def ring(name, model, heads, stats, batches):
    case, run = steps.CASES[name], name
    os.makedirs(run + '/step-00000000/heads')
    os.symlink('step-00000000', run + '/latest')
    meta = {'config': json.dumps(steps.run_config(case)), 'step': '0', 'position': '0'}
    if 'nns' in case['weights']:
        meta.update(nn_head=str(steps.HEAD), nn_valid=str(steps.QUEUE))
    else:
        stats = {k: v for k, v in stats.items() if k != 'nn_queue'}
    save_file(model, run + '/step-00000000/open_clip_model.safetensors')
    save_file(stats, run + '/step-00000000/state.safetensors', meta)
    if heads:
        save_file(heads, run + '/step-00000000/heads/declip.safetensors')
    else:
        os.rmdir(run + '/step-00000000/heads')
    with open(run + '/step-00000000/open_clip_config.json', 'w') as f:
        json.dump(model_config(case), f)
    with open(run + '.dcs', 'wb') as f:
        f.write(steps.stream(batches))
    subprocess.run(['bash', '-euo', 'pipefail', '-c', 'mkfifo $1/loop; dc-encode --loop $1/loop --by-value <$1.dcs | dc-loss | tee $1.back | '
                    'dc-step --run $1 --loop $1/loop --by-value --save-every 1 --steps 10 --lr-start 4e-4 --lr 1e-3 --warmup 2 '
                    '--weight-decay 0.1 --beta2 0.98 --eps 1e-6 >$1.rows', 'sh', run], check=True)
    return compare.of_ring(run, run + '.back')


def tolerance(kind):
    return TIGHT if kind in ('losses', 'accuracies') else LOOSE


class Rows(compare.Tap):
    """compare's lines as rows of the table."""

    def rows(self, rows, what):
        kind = what.split(': ')[-1]
        self.found.setdefault(kind, []).extend(rows or [(np.inf, 'nothing to compare')])
        for r in rows:
            if not 1e-5 * r[0] <= tolerance(kind):
                parity.note('%s: off by %.3g: %s' % (what, 1e-5 * r[0], r[1]))


own_start = steps.own_start
steps.model_config, steps.decays = model_config, decays
for name in steps.CASES:
    if len(sys.argv) > 1 and name not in sys.argv[1:]:
        continue
    made = next((x for x in (reference(name, seed) for seed in range(FIRST.get(name, 3), 60)) if x), None)
    if not made:
        raise SystemExit('%s: no seed keeps its ReLUs away from 0' % name)
    *start, want = made
    tap = Rows()
    tap.found = {}
    compare.against(want, ring(name, *start), name, tap)
    for kind, rows in tap.found.items():
        worst = [1e-5 * r[0] for r in rows]  # compare counts in its own tolerance, which is 1e-5
        parity.row('steps', 'ResNet, %s: %s' % (name, kind), AGAINST, len(rows), sum(not x <= tolerance(kind) for x in worst), max(worst),
                   tolerance(kind))
