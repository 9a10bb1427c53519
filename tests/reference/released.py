# SPDX-License-Identifier: MIT
"""What `--as released` does otherwise than the paper's reading, one behaviour at a time, through the tools themselves.

    released.py [paper] [N]       a TAP line for each behaviour, numbered from N + 1; with `paper` the tools read that way

Each function below asks the tools and returns (what they gave, what the released code would give by its definition, the
tolerance); numpy only. tests/parity/85-released.py asks the same of PyTorch."""
import io
import json
import math
import os
import subprocess
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import dcstream
from compare import load
from encode_ring import Ring

N, D, V, T, Q = 6, 10, 24, 11, 40
START, END, MASK = V - 2, V - 1, V
MODEL = {'model_cfg': {'embed_dim': D, 'quick_gelu': True,
                       'vision_cfg': {'image_size': 8, 'patch_size': 4, 'width': 12, 'head_width': 4, 'layers': 2},
                       'text_cfg': {'context_length': T, 'vocab_size': V, 'width': 8, 'heads': 2, 'layers': 2}}}
HEADS = dict(simsiam_width=8, simsiam_hidden=4)


def config(reading, **weights):
    w = dict(clip=0, mvs=0, simsiam=0, mlm=0, nns=0)
    w.update(weights or dict(clip=.1, mvs=.3, simsiam=.2, mlm=.2, nns=.2))
    return dict(HEADS, model=MODEL, method='declip', **{'as': reading}, weights=w, freeze='none', queue=Q if w['nns'] else 0,
                nns_after=1, logit_scale=[0, 6])


def sh(script, *args):
    return subprocess.run(['sh', '-ec', script, 'sh', *map(str, args)], check=True, stdout=subprocess.PIPE).stdout


def unit(x):
    return x / np.linalg.norm(x.astype('f8'), axis=1, keepdims=True)


def cross_entropy(logits):
    """mean_i [ log sum_j exp l_ij - l_ii ]"""
    top = logits.max(1, keepdims=True)
    return np.mean(np.log(np.exp(logits - top).sum(1)) + top[:, 0] - np.diag(logits))


# --- dc-init: a run as it begins ---

def begin(reading, *options):
    """The run's config, tensors and state. Its architecture is large enough to tell distributions apart."""
    if not os.path.exists('arch.json'):
        with open('arch.json', 'w') as f:
            json.dump({'embed_dim': 32, 'vision_cfg': {'image_size': 32, 'layers': 3, 'width': 96, 'head_width': 32, 'patch_size': 4},
                       'text_cfg': {'context_length': T, 'vocab_size': 600, 'width': 32, 'heads': 2, 'layers': 2}}, f)
    name = 'run-' + reading + ''.join(options)
    if not os.path.exists(name):
        sh('name=$1; shift; dc-init --arch ./arch.json --simsiam-width 8 --simsiam-hidden 4 --queue 500 --nns-after 400 --seed 3 '
           '"$@" --out "$name"', name, '--as', reading, *options)
    state, meta = load(name + '/latest/state.safetensors')
    tensors = load(name + '/latest/open_clip_model.safetensors')[0]
    tensors.update(load(name + '/latest/heads/declip.safetensors')[0])
    return name, json.loads(meta['config']), tensors, state, meta


def weights(reading):
    run = begin(reading)[1]
    return [run['weights'][k] for k in ('clip', 'mvs', 'simsiam', 'mlm', 'nns')], [.1, .3, .2, .2, .2], 1e-12


def spread(x):
    """Deviation, and the kurtosis, which is 3 for a normal distribution and 1.8 for a uniform one."""
    x = x.astype('f8').ravel()
    return x.std(), np.mean((x - x.mean()) ** 4) / x.var() ** 2


def image_init(reading):
    """The image tower's matrices as the text tower's: normal, in_proj W^-1/2, c_fc (2W)^-1/2, the others W^-1/2 (2L)^-1/2."""
    tensors, got, want = begin(reading)[2], [], []
    W, L = 96, 3
    for name, deviation in (('attn.in_proj_weight', W ** -.5), ('attn.out_proj.weight', W ** -.5 * (2 * L) ** -.5),
                            ('mlp.c_fc.weight', (2 * W) ** -.5), ('mlp.c_proj.weight', W ** -.5 * (2 * L) ** -.5)):
        s, kurtosis = spread(tensors['visual.transformer.resblocks.1.' + name])
        got += [s / deviation, kurtosis / 3]
        want += [1, 1]
    return got, want, .05


def position_init(reading):
    """Its positional embedding too: normal, 0.01."""
    return spread(begin(reading)[2]['visual.positional_embedding'])[0] / .01, 1, .05


def queue_start(reading):
    """Full of random unit vectors: every norm 1, all rows valid, no direction preferred."""
    _, _, _, state, meta = begin(reading)
    q = state['nn_queue'].astype('f8')
    cos = (q @ q.T)[np.triu_indices(len(q), 1)]
    return ([*np.linalg.norm(q, axis=1), int(meta['nn_valid']) / 500, 1 + cos.mean(), cos.std() * math.sqrt(q.shape[1])],
            [1] * 500 + [1, 1, 1], .02)


# --- dc-loss ---

def features(seed, **change):
    rng = np.random.default_rng(seed)
    f = {'%s_features.%d' % (k, v): rng.standard_normal((N, D)).astype('f4') for k in ('image', 'text') for v in (0, 1)}
    return dict(f, **dict(dict(logit_scale=2.5, position=1), **change))


def queue_rows(seed):
    return unit(np.random.default_rng(seed).standard_normal((Q, D))).astype('f4')


def loss(reading, f, head=7, **w):
    """dfeatures for f, with a full queue."""
    run = config(reading, **w)
    s = io.BytesIO()
    dcstream.write(s, 'state', 0, {'config': json.dumps(run), 'step': 0, 'position': 0, 'nn_queue': queue_rows(8),
                                   'nn_head': head, 'nn_valid': Q})
    dcstream.write(s, 'features', 0, f)
    dcstream.write(s, 'end', 1, {'counts': {}, 'damaged': []})
    out = subprocess.run(['dc-loss'], input=s.getvalue(), check=True, stdout=subprocess.PIPE).stdout
    return next(b for kind, _, b in dcstream.read(io.BytesIO(out)) if kind == 'dfeatures')


def nearest(t):
    q = queue_rows(8).astype('f8')
    return q[(unit(t) @ q.T).argmax(1)]


def nns_direction(reading):
    """Only image -> text. With T2 = T1 there is one set of neighbours."""
    f = features(1)
    f['text_features.1'] = f['text_features.0']
    got = loss(reading, f, clip=.4, mvs=.2, nns=.2)['loss']['nns']
    I, near = [unit(f['image_features.%d' % v]) for v in (0, 1)], nearest(f['text_features.0'])
    return got, np.mean([cross_entropy(math.exp(2.5) * i @ near.T) for i in I]), 1e-5


def nns_neighbours(reading):
    """Neighbours of T1 and of T2: mean of the four."""
    f = features(2)
    got = loss(reading, f, clip=.4, mvs=.2, nns=.2)['loss']['nns']
    I, near = ([g('%s_features.%d' % (k, v)) for v in (0, 1)] for k, g in (('image', lambda k: unit(f[k])), ('text', lambda k: nearest(f[k]))))
    return got, np.mean([cross_entropy(math.exp(2.5) * i @ n.T) for i in I for n in near]), 1e-5


def pushes(reading):
    """First T2, then T1."""
    f = features(3)
    return loss(reading, f, clip=.4, mvs=.2, nns=.2)['nn_enqueue'], np.concatenate([unit(f['text_features.%d' % v]) for v in (1, 0)]), 1e-6


def push_at_wrap(reading):
    """A push that reaches the end of the queue drops its rest: with 2 rows to the end T2 keeps 2, and T1 all."""
    f = features(4)
    got = loss(reading, f, head=Q - 2, clip=.4, mvs=.2, nns=.2)['nn_enqueue']
    return got, np.concatenate([unit(f['text_features.1'])[:2], unit(f['text_features.0'])]), 1e-6


def scale_gradient(reading):
    """Above ln 100, s is 100 but its gradient that of exp(logit_scale): e^5 / 100 times what it is at ln 100."""
    at = [loss(reading, features(5, logit_scale=x), clip=1.)['logit_scale'] for x in (5., np.log(100))]
    return at[0] / (at[1] or math.nan), math.exp(5) / 100, 1e-6


# --- dc-encode ---

def random_tensors():
    """Every tensor of the small model and its heads, random."""
    rng, out = np.random.default_rng(11), {}

    def put(name, *shape):
        out[name] = rng.normal(name.endswith(('ln_1.weight', 'ln_2.weight', 'pre.weight', 'post.weight', 'final.weight')), .4, shape).astype('f4')

    def tower(p, W):
        for i in range(2):
            b = '%sresblocks.%d.' % (p, i)
            for ln in 'ln_1', 'ln_2':
                put(b + ln + '.weight', W)
                put(b + ln + '.bias', W)
            put(b + 'attn.in_proj_weight', 3 * W, W)
            put(b + 'attn.in_proj_bias', 3 * W)
            put(b + 'attn.out_proj.weight', W, W)
            put(b + 'attn.out_proj.bias', W)
            put(b + 'mlp.c_fc.weight', 4 * W, W)
            put(b + 'mlp.c_fc.bias', 4 * W)
            put(b + 'mlp.c_proj.weight', W, 4 * W)
            put(b + 'mlp.c_proj.bias', W)

    put('visual.conv1.weight', 12, 3, 4, 4)
    put('visual.class_embedding', 12)
    put('visual.positional_embedding', 5, 12)
    put('visual.proj', 12, D)
    put('token_embedding.weight', V, 8)
    put('positional_embedding', T, 8)
    put('text_projection', 8, D)
    for name, W in (('visual.ln_pre', 12), ('visual.ln_post', 12), ('ln_final', 8)):
        put(name + '.weight', W)
        put(name + '.bias', W)
    tower('visual.transformer.', 12)
    tower('transformer.', 8)
    out['logit_scale'] = np.array(3.5, 'f4')
    put('mlm.weight', V, 8)
    put('mlm.bias', V)
    put('mask_embedding', 1, 8)
    return out


def batch(shown=()):
    """Captions of six words, of which the second and the fifth are masked; shown: {place: id} in the masked captions."""
    rng = np.random.default_rng(12)
    token = np.zeros((N, T), 'i4')
    token[:, :8] = [[START, *rng.integers(1, START, 6), END] for _ in range(N)]
    masked, target = token.copy(), np.full_like(token, -1)
    for place in (2, 5):
        target[:, place] = token[:, place]
        masked[:, place] = MASK
    for place, what in dict(shown).items():
        masked[:, place] = what
    b = {'image.%d' % v: rng.integers(0, 256, (N, 8, 8, 3)).astype('u1') for v in (0, 1)}
    return dict(b, **{'token.0': token, 'token.1': token, 'mlm_token': masked, 'mlm_target': target})


def encode(reading, b):
    with Ring(config(reading, clip=.4, mvs=.2, mlm=.2), random_tensors(), threads=1) as ring:
        return ring.features([b])


def masked_feature(reading):
    """The feature of T1 is the masked caption's, by the causal tower (as a caption that holds the mask it is found so)."""
    b = batch()
    want = encode('paper', dict(b, **{'token.0': b['mlm_token']}))
    return encode(reading, b)['text_features.0'], want['text_features.0'], 1e-5


def masked_causal(reading):
    """MLM by the same causal pass: a masked word's loss cannot know the words behind it, and does know those before."""
    nll = [encode(reading, batch(shown))['mlm_nll'].reshape(N, 2) for shown in ({}, {6: 3}, {1: 3})]
    late, early = (np.abs(x - nll[0])[:, 0].max() for x in nll[1:])
    return [late, early > 1e-3], [0, 1], 1e-6


def end_drawn(reading):
    """A masked word may be shown as the end token: the feature is then pooled there, and the words behind are still asked for."""
    b = batch({2: END})
    cut = b['mlm_token'].copy()
    cut[:, 3:] = 0
    want = encode('paper', dict(b, **{'token.0': cut, 'mlm_token': cut, 'mlm_target': np.where(np.arange(T) > 2, -1, b['mlm_target'])}))
    try:
        got = encode(reading, b)
    except (RuntimeError, OSError):  # dc-encode refused the batch
        return 0, 1, 0
    return ([*got['text_features.0'].ravel(), len(got['mlm_nll'])], [*want['text_features.0'].ravel(), 2 * N], 1e-5)


# --- dc-tokenize ---

def random_ids(reading):
    """Which special ids are shown where a word is asked for, of the start and the end token; every one of V + 1 ids equally often.
    (The mask itself, which stands there by intention, cannot be told apart.)"""
    with open('vocab.txt', 'w') as f:
        f.write('#version: 0.2\na b</w>\nc d</w>\n')
    s, V = io.BytesIO(), 516
    for part in range(20):
        n = 64
        captions = [' '.join(chr(97 + (i * 7 + k * 5 + part) % 26) for k in range(60)) for i in range(n)]
        at = np.arange(n) + n * part
        dcstream.write(s, 'views', part, {'image.0': np.zeros((n, 1, 1, 3), 'u1'), 'caption.0': captions, 'id': at.astype('u8'), 'slot': at,
                                          'epoch': np.zeros(n, 'i4'), 'key': [str(i) for i in at], 'position': part + 1, 'part': [0, 1]})
    dcstream.write(s, 'end', 20, {'counts': {}, 'damaged': []})
    out = subprocess.run(['dc-tokenize', '--vocab', 'vocab.txt', '--mlm', '0.9', '--as', reading, '--seed', '2'], input=s.getvalue(), check=True,
                         stdout=subprocess.PIPE).stdout
    seen = np.zeros(V + 1)
    for kind, _, b in dcstream.read(io.BytesIO(out)):
        if kind == 'batch':
            other = (b['mlm_target'] >= 0) & (b['mlm_token'] != b['mlm_target'])
            seen += np.bincount(b['mlm_token'][other], minlength=V + 1)[:V + 1]
    return [seen[V - 2] > 0, seen[V - 1] > 0], [True, True], 0


# --- dc-step ---

def fill_zeros(path):
    """Tensors that begin as 0 become 1/4, so that decay shows."""
    with open(path, 'r+b') as f:
        n = int.from_bytes(f.read(8), 'little')
        for name, t in json.loads(f.read(n)).items():
            at, end = t.get('data_offsets', (0, 0))
            f.seek(8 + n + at)
            if end > at and not any(f.read(end - at)):
                f.seek(8 + n + at)
                f.write(np.full((end - at) // 4, .25, '<f4').tobytes())


def one_step(reading, logit_scale_gradient=0., options=()):
    """dc-step with zero gradients, but for logit_scale's: ({name: before}, {name: after})."""
    name = begin(reading)[0]
    run = 'step-' + name + '-%g' % logit_scale_gradient
    # what is written into it here is not what its checksums say
    sh('rm -rf "$2"; cp -r "$1" "$2"; rm "$2/step-00000000/checksums.tsv"; mkfifo "$2/loop"', name, run)
    for file in ('open_clip_model', 'heads/declip'):
        fill_zeros('%s/step-00000000/%s.safetensors' % (run, file))
    p = subprocess.Popen(['dc-step', '--run', run, '--loop', run + '/loop', '--by-value', '--lr', '0.01', '--lr-start', '0.01', '--steps', '9',
                          '--warmup', '1', '--weight-decay', '0.5', *options], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    with open(run + '/loop', 'rb') as loop:
        frames = dcstream.frames(loop)
        take = lambda kind: next(f for f in frames if f.kind == kind).body
        before = take('parameters')['parameter']
        dcstream.write(p.stdin, 'dfeatures', 0, {'loss': {'clip': 1., 'total': 1.}, 'accuracy': {'i2t': 0., 't2i': 0.}, 'position': 1,
                                                 'logit_scale': 0., 'nn_enqueue': np.zeros((0, 32), 'f4')})
        take('dfeatures')
        grads = {k: np.zeros(v.shape, 'f4') for k, v in before.items() if k != 'visual.conv1.weight'}
        grads['logit_scale'] = np.array(logit_scale_gradient, 'f4')
        dcstream.write(p.stdin, 'gradients', 0, {'gradient': grads, 'last': True, 'position': 1})
        after = take('parameters')['parameter']
        dcstream.write(p.stdin, 'end', 1, {'counts': {}, 'damaged': []})
        take('end')
        p.stdin.close()
        loop.read()
    if p.wait():
        raise RuntimeError('dc-step ended with %d' % p.returncode)
    return before, after


def shrunk(reading, ending):
    """By how much the tensors of this name shrink in a step without gradient."""
    before, after = one_step(reading)
    return [np.linalg.norm(after[k]) / np.linalg.norm(v) for k, v in before.items() if k.endswith(ending)]


def decay(ending):
    def f(reading):
        got = shrunk(reading, ending)
        return got, [1 - .01 * .5] * len(got), 1e-6
    f.__doc__ = 'Weight decay on ' + ending + '.'
    return f


def no_decay(reading):
    """But not on norms, other biases and logit_scale."""
    got = [x for end in ('ln_1.weight', 'ln_final.weight', 'bn.weight', 'c_fc.bias', 'mlm.bias', 'logit_scale') for x in shrunk(reading, end)]
    return got, [1] * len(got), 1e-7


def start_clamped(reading):
    """logit_scale begins at 3, not at ln(1/0.07) = 2.659."""
    return float(one_step(reading)[0]['logit_scale']), 3, 1e-6


def always_clamped(reading):
    """And stays in [3, 6], whatever its gradient."""
    options = ('--lr', '5', '--lr-start', '5')
    return [float(one_step(reading, g, options)[1]['logit_scale']) for g in (-1., 1.)], [6, 3], 1e-6


# --- all of them ---

SAME = {'start_clamped', 'always_clamped', 'no_decay'}  # the paper's reading has them here too
BEHAVIOURS = [
    ('clip 0.1, mvs 0.3', weights),
    ('the feature of T1 is the masked caption\'s', masked_feature),
    ('and its causal pass serves MLM', masked_causal),
    ('an end token among the masked words', end_drawn),
    ('NNS from image to text only', nns_direction),
    ('NNS with the neighbours of T1 and of T2', nns_neighbours),
    ('T2 is pushed, then T1', pushes),
    ('what goes beyond the queue\'s end is dropped', push_at_wrap),
    ('the queue starts with random unit vectors', queue_start),
    ('a random id in masking may be special', random_ids),
    ('weight decay on in_proj_bias', decay('in_proj_bias')),
    ('weight decay on the class embedding', decay('class_embedding')),
    ('weight decay on positional embeddings', decay('positional_embedding')),
    ('and not on norms, biases, logit_scale', no_decay),
    ('the image tower starts like the text tower', image_init),
    ('with its positional embedding', position_init),
    ('logit_scale starts in its limits', start_clamped),
    ('and stays there', always_clamped),
    ('above ln 100 it has a gradient', scale_gradient),
]


def agrees(got, want, tolerance):
    got, want = np.asarray(got, 'f8'), np.asarray(want, 'f8')
    return got.shape == want.shape and bool(np.all(np.abs(got - want) <= tolerance + tolerance * np.abs(want)))


def main():
    reading = 'paper' if 'paper' in sys.argv else 'released'
    n = int(sys.argv[-1]) if sys.argv[-1].isdigit() else 0
    failed = 0
    for what, f in BEHAVIOURS:
        n += 1
        got, want, tolerance = f(reading)
        # in the paper's reading each must be otherwise: a check that holds there too would tell nothing
        holds = reading == 'released' or f.__name__ in SAME
        good = agrees(got, want, tolerance) == holds
        print('%sok %d - %s%s' % ('' if good else 'not ', n, what, '' if reading == 'released' else ': here too' if holds else ': not here'))
        if not good:
            print('#   got %s, wanted %s' % (np.asarray(got).ravel()[:20], np.asarray(want).ravel()[:20]))
            failed += 1
        sys.stdout.flush()
    return failed > 0


if __name__ == '__main__':
    sys.exit(main())
