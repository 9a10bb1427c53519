#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stage scores: dc-probe's linear classifiers and dc-knn's neighbours against scikit-learn's on the same features: drawn ones
of several shapes, and those of Imagenette's images by a model of random weights."""
import os
import subprocess

import dcstream
import numpy as np
import parity

STAGE = 'scores'
PIXELS = 64
# classes, columns, images to train on, how far apart the classes are, and the features' scale and offset
DRAWN = [(2, 8, 200, .5, 1, 0), (3, 16, 300, .4, .02, 1), (10, 32, 1000, .5, 1, 5), (10, 32, 1000, 1.5, 1, 0), (25, 32, 1500, .6, 30, 0),
         (4, 100, 60, .3, 1, 2), (5, 6, 3000, .8, 1e-3, 0)]
# below, where classes come apart, scikit-learn's L-BFGS stops far from the minimum
LAMBDAS = [1e-2, 1, 10, 1e3]
REAL_LAMBDAS = [3, 30, 300]


def drawn(k, d, n, apart, scale, offset, seed):
    r = np.random.default_rng(seed)
    mean = apart * r.standard_normal((k, d))
    mix = r.standard_normal((d, d)) / d ** .5

    def some(n):
        y = np.concatenate([np.arange(k), r.integers(0, k, n - k)])
        return (scale * ((mean[y] + r.standard_normal((n, d))) @ mix + offset)).astype('<f4'), y.astype('<i4')
    return some(n), some(1000)


def write(path, x, y):
    with open(path, 'wb') as f:
        for a in range(0, len(x), 64):
            dcstream.write(f, 'features', 0, {'image_features.0': x[a:a + 64], 'label': y[a:a + 64], 'part': [a // 64, -(-len(x) // 64)],
                                              'position': 1})
        dcstream.write(f, 'end', 0, {'counts': {}, 'damaged': []})


def read(path):
    x, y = [], []
    with open(path, 'rb') as f:
        for kind, _, b in dcstream.read(f):
            if kind == 'features':
                x.append(b['image_features.0'])
                y.append(b['label'])
    return np.concatenate(x), np.concatenate(y)


def imagenette():
    """Features of the real images, or None."""
    tars = [parity.data('imagenette', s + '.tar') for s in ('train', 'val')]
    vocab = parity.data('clip', 'bpe_simple_vocab_16e6.txt.gz')
    if not all(tars) or not vocab:
        return None
    parity.run('dc-init', '--arch', os.path.join(os.environ['DC_ARCH_DIR'], 'vit-s64-p16.json'), '--method', 'clip', '--vocab', vocab,
               '--model', 'model')
    for path, tar in zip(('train.dcs', 'test.dcs'), tars):
        command = 'dc-decode --tail short "$1" | dc-augment --recipe eval --model model | dc-encode --model model --hidden >"$2"'
        subprocess.run(['bash', '-c', 'set -o pipefail; ' + command, '-', tar, path], check=True, stderr=subprocess.PIPE)
    return read('train.dcs'), read('test.dcs')


def ours(lam):
    """Accuracy in points, and the objective on the training set."""
    # an extra sweep of one lambda, chosen on the test set, tells the objective of a fit to the training set alone
    parity.run('dc-probe', '--train', 'train.dcs', '--val', 'test.dcs', '--test', 'test.dcs', '--lambdas', '1', '--hi', repr(lam), '--lo',
               repr(min(lam, 1e-9)), '--max-iter', '20000', '--tolerance', '1e-7', '--sweep', 'sweep.tsv', '--tsv')
    row = open('sweep.tsv').read().split('\n')[1].split('\t')
    return 100 * float(row[1]), float(row[3])


def theirs(train, test, lam):
    from sklearn.linear_model import LogisticRegression
    (x, y), (t, ty) = train, test
    x, t, k = x.astype(float), t.astype(float), len(set(y))
    # centred and scaled: the same classifier, found sooner
    mean, scale = x.mean(0), x.std()
    x, t, lam_s = (x - mean) / scale, (t - mean) / scale, lam / scale ** 2
    # its Newton method finds the minimum where L-BFGS would take thousands of steps
    small = k * x.shape[1] <= 1000
    m = LogisticRegression(C=(2 if k == 2 else 1) / lam_s, tol=1e-9, max_iter=200 if small else 5000,
                           solver='newton-cholesky' if small else 'lbfgs').fit(x, y)
    p = m.predict_log_proba(x)
    w2 = (m.coef_ ** 2).sum() / (2 if k == 2 else 1)  # of two classes it has w = w1 - w2, w1 = -w2
    objective = -p[np.arange(len(y)), np.searchsorted(m.classes_, y)].sum() + lam_s / 2 * w2
    return 100 * (m.predict(t) == ty).mean(), objective


def probe(name, problems, lambdas):
    points, relative = [], []
    for n, (train, test) in enumerate(problems):
        write('train.dcs', *train)
        write('test.dcs', *test)
        for lam in lambdas:
            a, F = ours(lam)
            b, G = theirs(train, test, lam)
            points.append(abs(a - b))
            relative.append((F - G) / G)  # above 0 where scikit-learn's fit is the better one
            if points[-1] > .1 or relative[-1] > 1e-5:
                parity.note(f'{name} {n}, lambda {lam:g}: {a:.2f} %, objective {F:.9g}; scikit-learn {b:.2f} %, {G:.9g}')
    points, relative = np.array(points), np.array(relative)
    parity.row(STAGE, f'linear probe, {name}: accuracy, points', 'scikit-learn', len(points), (points > .1).sum(), points.max(), .1)
    parity.row(STAGE, f'linear probe, {name}: objective, relative', 'scikit-learn', len(points), (relative > 1e-5).sum(), relative.max(), 1e-5)


def neighbours(name, problems, k=20):
    from sklearn.neighbors import NearestNeighbors
    cases = differences = 0
    worst = 0.
    for train, test in problems:
        write('train.dcs', *train)
        write('test.dcs', *test)
        out = parity.run('dc-knn', '--base', 'train.dcs', '--query', 'test.dcs', '--list', str(k)).decode().split('\n')[1:-1]
        row = np.array([int(line.split('\t')[4]) for line in out]).reshape(-1, k)
        cos = np.array([float(line.split('\t')[3]) for line in out]).reshape(-1, k)
        distance, index = NearestNeighbors(metric='cosine', algorithm='brute').fit(train[0].astype(float)).kneighbors(test[0].astype(float), k)
        # rows may change places only where their cosines are equal
        wrong = (row != index) & (np.abs(cos - (1 - distance)) > 2e-6)
        cases, differences = cases + row.size, differences + wrong.sum()
        worst = max(worst, np.abs(cos - (1 - distance)).max())
    parity.row(STAGE, f'{k} nearest, {name}: who, and cosines', 'scikit-learn', cases, differences, worst, 2e-6)


def main():
    gone = parity.missing('sklearn', 'msgpack', 'msgpack_numpy', 'xxhash')
    if gone:
        return parity.skip(STAGE, 'linear probe, nearest neighbours', 'scikit-learn', gone)
    sets = [drawn(*d, seed) for seed, d in enumerate(DRAWN)]
    probe('drawn', sets, LAMBDAS)
    neighbours('drawn', sets)
    real = imagenette()
    if real is None:
        return parity.skip(STAGE, 'Imagenette', 'scikit-learn', 'no data')
    probe('Imagenette', [real], REAL_LAMBDAS)
    neighbours('Imagenette', [real])


main()
