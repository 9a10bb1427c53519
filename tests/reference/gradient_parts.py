# SPDX-License-Identifier: MIT
"""A batch divided into parts of several sizes, with everything kept for the backward pass or nothing: its gradient against
that of the batch in one part.

    gradient_parts.py RUN METHOD     the second of two batches, so that there is a queue

One TAP line a division. The bound is 1e-6 of the gradient's length, and what goes to the loss and comes from it is the same
bytes. Where dc-encode -v says that OpenBLAS's kernels cannot do that: 1e-3, for the last bit of a feature may choose another
neighbour, or the other side of a ReLU (without that it is some 1e-6)."""
import io
import json
import os
import subprocess
import sys

import dcstream
import numpy as np
from compare import load
from encode_ring import Ring

N, SIZES = 60, ((60, ['--recompute']), (1, []), (7, ['--keep-activations', '0']), (16, ['--recompute', '--keep-activations', '1']), (31, []), (59, []))
run, method = sys.argv[1:]
IMAGES, CAPTIONS = {'slip': (3, 1), 'declip': (2, 2), 'defilip': (2, 2)}.get(method, (1, 1))
config = json.loads(load(run + '/latest/state.safetensors')[1]['config'])
vision, text = (config['model']['model_cfg'][k] for k in ('vision_cfg', 'text_cfg'))
tensors = {}
for name in ('open_clip_model.safetensors', 'heads/declip.safetensors'):
    if os.path.exists(run + '/latest/' + name):
        tensors.update(load(run + '/latest/' + name)[0])


def batch(rng):
    """Pictures of coarse noise, captions of words from a list of their own, and a second and third view that are near them."""
    S, T, V = vision['image_size'], text['context_length'], text['vocab_size']
    coarse, words, length = rng.integers(0, 256, (N, 4, 4, 3)), rng.integers(1, V - 2, (N, T)), rng.integers(3, T + 1, N)
    b = {}
    for v in range(IMAGES):
        x = np.kron(coarse, np.ones((1, S // 4, S // 4, 1))) + rng.normal(0, 20, (N, S, S, 3))
        b['image.%d' % v] = np.clip(x, 0, 255).astype('u1')
    for v in range(CAPTIONS):
        t = np.where(rng.random((N, T)) < .9, words, rng.integers(1, V - 2, (N, T))).astype('i4')
        t[:, 0] = V - 2
        t[np.arange(T) == length[:, None] - 1] = V - 1
        t[np.arange(T) >= length[:, None]] = 0
        b['token.%d' % v] = t
    if CAPTIONS == 2:
        word = (b['token.0'] > 0) & (b['token.0'] < V - 2) & (rng.random((N, T)) < .15)
        b['mlm_token'] = np.where(word, V, b['token.0']).astype('i4')
        b['mlm_target'] = np.where(word, b['token.0'], -1).astype('i4')
    return b


def loss(frames):
    f = io.BytesIO()
    for i, b in enumerate(frames):
        dcstream.write(f, 'features', i, b)
    dcstream.write(f, 'end', 0, {})
    out = subprocess.run(['dc-loss', '--method', method, '--queue', '200', '--nns-after', '10'], input=f.getvalue(), stdout=subprocess.PIPE,
                         check=True).stdout
    return [b for kind, _, b in dcstream.read(io.BytesIO(out)) if kind == 'dfeatures'][-1]


def gradient(batches, part, options):
    """(the gradient as one vector, all tensors that go to the loss of the second batch and come from it)"""
    seen = []
    with Ring(config, tensors, 2, options) as ring:
        for b in batches:
            seen.append(ring.features([{k: v[i:i + part] for k, v in b.items()} for i in range(0, N, part)]))
            d = loss(seen)
            g, _ = ring.gradients(d)
            g = np.concatenate([g[k].ravel().astype('f8') for k in sorted(g)])
    return g, {**{'features ' + k: v for k, v in seen[-1].items()}, **{'dfeatures ' + k: v for k, v in d.items()}}


def differing(a, b):
    return [k for k in a if isinstance(a[k], np.ndarray) and a[k].tobytes() != b[k].tobytes()] + [k for k in a if k not in b]


batches = [batch(np.random.default_rng(i)) for i in range(2)]
tensors = {k: v for k, v in tensors.items() if '.running_' not in k}
with Ring(config, tensors, 2, ['-v'], subprocess.PIPE) as ring:
    pass
said = ring.p.stderr.read().decode()
exact = 'do not depend' in said
if not exact and 'depend in their last bits' not in said:
    sys.exit('dc-encode -v said ' + said)
whole, all = gradient(batches, N, [])
for n, (part, options) in enumerate(SIZES, 1):
    got, some = gradient(batches, part, options)
    d = np.linalg.norm(got - whole) / np.linalg.norm(whole)
    other = differing(all, some) if exact else []
    good = d <= (1e-6 if exact else 1e-3) and not other and np.linalg.norm(whole) > 0
    print('%sok %d - %s: %d parts of %d%s: %.1e of the gradient%s' % (
        '' if good else 'not ', n, method, -(-N // part), part, ''.join(' ' + o for o in options), d, ', the same losses' if exact else ''))
    for k in other:
        print('#   %s differs' % k)
