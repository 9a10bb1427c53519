# SPDX-License-Identifier: MIT
"""One large batch for dc-loss, in parts of 4,096 rows: random features, near to those of their pair. Before it, where the method
has two views, a batch of 64, so that there are nearest neighbours.

    loss_large.py METHOD N D >stream"""
import sys

import dcstream
import numpy as np

ROWS = 4096
method, N, D = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
views = range(2 if method in ('declip', 'defilip') else 1)
f4 = np.float32


def near(rng, n, width, names):
    base = rng.standard_normal((n, width), f4)
    return {k: base + rng.standard_normal((n, width), f4) for k in names}


def rows(i, n):
    rng = np.random.default_rng(i)
    b = near(rng, n, D, ['%s_features.%d' % (k, v) for k in ('image', 'text') for v in views])
    if len(views) == 2:
        b.update(near(rng, n, 2 * D, ['simsiam_%s.%d' % (k, v) for k in 'zp' for v in views]), mlm_nll=rng.random(2 * n, f4))
    return dict(b, id=np.arange(i * ROWS, i * ROWS + n, dtype='u8'), logit_scale=3.2)


for step, n in enumerate([64, N] if len(views) == 2 else [N]):
    parts = -(-n // ROWS)
    for i in range(parts):
        dcstream.write(sys.stdout.buffer, 'features', step, dict(rows(i, min(ROWS, n - i * ROWS)), part=[i, parts], position=step + 1))
dcstream.write(sys.stdout.buffer, 'end', 2, {'counts': {}})
