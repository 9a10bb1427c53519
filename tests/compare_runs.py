# SPDX-License-Identifier: MIT
"""compare_runs.py RUN RUN CHECKPOINT [LIMIT]: the losses of every step and the weights of that checkpoint agree within
LIMIT (1e-5), and the accuracies but for one pair, which may be as near to another as to its own. The bias of the keys is
left out: a softmax does not see it, and what AdamW makes of its gradient, which is nothing but rounding, is noise. Prints
what is farthest apart."""
import json, os, struct, sys
import numpy as np


def tensors(path):
    data = open(path, 'rb').read()
    n = struct.unpack('<Q', data[:8])[0]
    for name, t in json.loads(data[8:8 + n]).items():
        if name != '__metadata__' and t['dtype'] == 'F32':
            x = np.frombuffer(data[8 + n + t['data_offsets'][0]:8 + n + t['data_offsets'][1]], '<f4')
            third = len(x) // 3
            yield name, np.concatenate([x[:third], x[2 * third:]]) if name.endswith('in_proj_bias') else x


def rows(run):
    table = [line.rstrip('\n').split('\t') for line in open(f'{run}/log.tsv')]
    keep = [i for i, name in enumerate(table[0]) if name not in ('pairs_per_s', 'wait_s', 'grad_norm', 'simsiam_std')]
    return [table[0][i] for i in keep], np.array([[float(row[i]) for i in keep] for row in table[1:]])


a, b, checkpoint = sys.argv[1:4]
limit = float(sys.argv[4]) if len(sys.argv) > 4 else 1e-5
names, x = rows(a)
others, y = rows(b)
assert names == others and x.shape == y.shape, (names, x.shape, others, y.shape)
assert np.array_equal(np.isnan(x), np.isnan(y)), 'a term waits in one of them only'
apart = np.nan_to_num(np.abs(x - y) / np.maximum(1, np.abs(x)))
accuracy, pairs = names.index('accuracy'), x[:, names.index('batch_size')]
apart[:, accuracy] = np.maximum(0, apart[:, accuracy] - 1.01 / pairs)
at = np.unravel_index(np.argmax(apart), apart.shape)
worst = {'log': (float(apart[at]), f'{names[at[1]]} of step {at[0] + 1}')}
for kind, files in ('weights', ['open_clip_model.safetensors', 'heads/declip.safetensors']), ('state', ['state.safetensors']):
    worst[kind] = 0, ''
    for file in files:
        if not os.path.exists(f'{a}/{checkpoint}/{file}'):
            continue
        other = dict(tensors(f'{b}/{checkpoint}/{file}'))
        for name, t in tensors(f'{a}/{checkpoint}/{file}'):
            gap = float(np.max(np.abs(t - other[name]), initial=0))
            if name.endswith('logit_scale') and kind == 'state':  # AdamW takes the same step for twice the gradient
                assert np.allclose(t, other[name], rtol=1e-3, atol=1e-30), (name, t, other[name])
            del other[name]
            worst[kind] = max(worst[kind], (gap, name))
        assert not other, other.keys()
for kind, (gap, name) in worst.items():
    print(f'{kind}\t{gap:.2g}\t{name}')
sys.exit(not max(worst['log'][0], worst['weights'][0]) <= limit)
