#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Python side of tests/augment.t: samples for dc-augment, and its views replayed with Pillow.

	views.py make [encoded|broken] [TAR...] > samples.dcs
	views.py check SAMPLES VIEWS RECIPE SIZE      every view again from its trace, byte by byte; every caption too
	views.py same VIEWS VIEWS                     each sample has the same views in both, whatever the order
	views.py broken SAMPLES VIEWS                 the samples of `make broken` that do not decode are gone, row by row
	views.py sheet VIEWS FILE.png                 the first views to look at

The replay does what torchvision's transforms do with PIL images (RandomResizedCrop, ColorJitter ...), given the
parameters. Any Pillow will do: versions before 13 resize some images in another order of the two passes, which the
replay then does as two resizes of one side each."""
import io
import string
import sys
import tarfile

import numpy as np
import PIL
from PIL import Image, ImageEnhance, ImageFilter

import dcstream

PILLOW = int(PIL.__version__.split('.')[0])
SHAPES = [(1, 1), (1, 2), (2, 1), (1, 200), (200, 1), (3, 500), (500, 3), (16, 16), (64, 64), (65, 64), (64, 129), (300, 200)]
CAPTIONS = ['a dog', 'word', 'Two men, and a woman, walk their dogs.', '  spaces \t and tabs ', 'ein Hund läuft',
            'un chien court 🐕 vite', '一只 狗 在 跑', 'un perro corre', 'собака бежит', '👍🏽 nice dog nice dog']


# --- samples ---

def generated():
    rng = np.random.default_rng(5)
    for w, h in SHAPES:
        small = rng.integers(0, 256, (h // 3 + 1, w // 3 + 1, 3), dtype=np.uint8)
        im = np.array(Image.fromarray(small).resize((w, h)))
        yield f'made{w}x{h}', np.maximum(im, rng.integers(0, 99, (h, w, 3), dtype=np.uint8))


def from_tar(path, most=20):
    with tarfile.open(path) as tar:
        caption = {m.name[:-4]: tar.extractfile(m).read().decode() for m in tar if m.name.endswith('.txt')}
        names = [m for m in tar.getmembers() if m.name.endswith('.jpg') and m.name[:-4] in caption]
        for m in names[:most]:
            yield m.name[:-4], np.array(Image.open(tar.extractfile(m)).convert('RGB')), caption[m.name[:-4]].splitlines()[0]


def png(im):
    f = io.BytesIO()
    Image.fromarray(im).save(f, 'png', compress_level=1)
    return np.frombuffer(f.getvalue(), np.uint8)


def make(mode, tars):
    part = [(key, im, CAPTIONS[i % len(CAPTIONS)]) for i, (key, im) in enumerate(generated())]
    parts = [part] + [list(from_tar(t)) for t in tars]
    slot = 0
    for step, part in enumerate(parts):
        n = len(part)
        images = [png(im) if mode in ('encoded', 'broken') else im for _, im, _ in part]
        if mode == 'broken':
            images[0] = images[0][:40]
            images[3] = np.frombuffer(b'no image at all', np.uint8)
            images[5] = np.zeros(0, np.uint8)
            images[6] = part[6][1]
        # the last part but one image has two captions each, the last image none: C captions for N images
        captions, of = [c for _, _, c in part], list(range(n))
        if step == 0:
            captions, of = captions[:-1] + captions[:2], of[:-1] + [0, 1]
        body = {'id': np.arange(n, dtype=np.uint64) * np.uint64(0x9e3779b97f4a7c15) + np.uint64(step),
                'slot': np.arange(slot, slot + n), 'epoch': np.full(n, step, np.int32), 'key': [k for k, _, _ in part],
                'image': images, 'caption': captions, 'caption_image': np.array(of, np.int32),
                'label': np.arange(n, dtype=np.int32) - 1, 'position': step + 1, 'part': [0, 1]}
        dcstream.write(sys.stdout.buffer, 'samples', step, body, pad=step % 2 == 0)
        slot += n
    dcstream.write(sys.stdout.buffer, 'note', 7, {'text': 'passes unchanged'})
    dcstream.write(sys.stdout.buffer, 'samples', len(parts), {
        'id': np.zeros(0, np.uint64), 'slot': np.zeros(0, np.int64), 'epoch': np.zeros(0, np.int32), 'key': [], 'image': [],
        'caption': [], 'caption_image': np.zeros(0, np.int32), 'position': len(parts) + 1, 'part': [0, 1]})
    dcstream.write(sys.stdout.buffer, 'end', len(parts) + 1, {
        'counts': {'in': slot, 'out': slot, 'rejected': 0}, 'rejected_by': {}, 'damaged': [], 'position': len(parts) + 1})


# --- the replay ---

def resize(im, size, how):
    filt = {'bilinear': Image.BILINEAR, 'bicubic': Image.BICUBIC}[how]
    (w, h), (ow, oh) = im.size, size
    if PILLOW >= 13 or not (oh < h and h - oh > 2 * (w - ow)):
        return im.resize(size, filt)
    return im.resize((w, oh), filt).resize(size, filt)


def adjust(im, op, f):
    if op < 3:
        return [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color][op](im).enhance(f)
    h, s, v = im.convert('HSV').split()
    h = Image.fromarray(np.array(h) + np.int32(f * 255).astype(np.uint8))
    return Image.merge('HSV', (h, s, v)).convert('RGB')


def replay(im, recipe, body, v, i):
    t = {k: body[f'trace.{v}.{k}'] for k in ('box', 'resize', 'interpolation', 'jitter', 'order', 'gray', 'blur', 'flip')}
    left, top, w, h = (int(x) for x in t['box'][i])
    im = Image.fromarray(im)
    if recipe == 'eval':
        im = resize(im, tuple(int(x) for x in t['resize'][i]), t['interpolation']).crop((left, top, left + w, top + h))
    else:
        im = resize(im.crop((left, top, left + w, top + h)), tuple(int(x) for x in t['resize'][i]), t['interpolation'])
    for op in t['order'][i]:
        if op >= 0 and not np.isnan(t['jitter'][i][op]):
            im = adjust(im, int(op), float(t['jitter'][i][op]))
    if t['gray'][i]:
        im = Image.fromarray(np.dstack([np.array(im.convert('L'))] * 3))
    if not np.isnan(t['blur'][i]):
        im = im.filter(ImageFilter.GaussianBlur(float(t['blur'][i])))
    return np.array(im)[:, ::-1] if t['flip'][i] else np.array(im)


def eval_geometry(w, h, size):
    """torchvision's Resize(size) and CenterCrop(size)."""
    short, long = min(w, h), max(w, h)
    ow, oh = (size, int(size * long / short)) if w <= h else (int(size * long / short), size)
    return [int(round((ow - size) / 2.0)), int(round((oh - size) / 2.0)), size, size], [ow, oh]


def replay_caption(text, trace):
    words, op = text.split(), trace.split(' ')
    if op[0] == 'none':
        return text
    if op[0] == 'swap':
        i, j = int(op[1]), int(op[2])
        words[i], words[j] = words[j], words[i]
    elif op[0] == 'delete':
        words = [w for i, w in enumerate(words) if str(i) not in op[1:]]
    else:
        assert op[0] == 'synonym', trace
        for i in op[1].split(','):
            core = words[int(i)].strip(string.punctuation)
            words[int(i)] = words[int(i)].replace(core, ' '.join(op[2:]), 1)
    return ' '.join(words)


def pairs(samples, views):
    """(samples body, views body) of each part; everything else must have come through unchanged."""
    with open(samples, 'rb') as a, open(views, 'rb') as b:
        xs, ys = list(dcstream.frames(a)), list(dcstream.frames(b))
        assert len(xs) == len(ys), (len(xs), len(ys))
        for x, y in zip(xs, ys):
            assert y.step == x.step, (x.step, y.step)
            if x.kind == 'samples':
                assert y.kind == 'views', y.kind
                yield x.body, y.body
            elif x.kind != 'end':
                assert x.raw == y.raw, f'the frame {x.kind} changed'


def check_rows(a, b, kept):
    for k in ('id', 'slot', 'epoch', 'label'):
        assert (k in a) == (k in b), k
        if k in a:
            assert (a[k][kept] == b[k]).all() and a[k].dtype == b[k].dtype, k
    assert b['key'] == [a['key'][i] for i in kept] and b['position'] == a['position'] and b['part'] == a['part']


def check(samples, views, recipe, size):
    size, n_views = int(size), {'declip': 2, 'slip': 3}.get(recipe, 1)
    done = ops = 0
    for a, b in pairs(samples, views):
        n = len(a['image'])
        check_rows(a, b, np.arange(n))
        assert sum(k.startswith('image.') for k in b) == n_views, list(b)
        for v in range(n_views):
            assert b[f'image.{v}'].shape == (n, size, size, 3) and b[f'image.{v}'].dtype == np.uint8
            for i in range(n):
                h, w = a['image'][i].shape[:2]
                if recipe == 'eval':
                    box, to = eval_geometry(w, h, size)
                    assert list(b[f'trace.{v}.box'][i]) == box and list(b[f'trace.{v}.resize'][i]) == to, (w, h)
                want = replay(a['image'][i], recipe, b, v, i)
                off = np.abs(want.astype(int) - b[f'image.{v}'][i])
                assert not off.any(), f'{a["key"][i]} ({w}x{h}) view {v}: {np.count_nonzero(off)} bytes differ, by {off.max()} at most'
                done += 1
        assert b['caption.0'] == a['caption']
        of = a['caption_image']
        assert ('caption_image' in b) == (list(of) != list(range(n)))
        assert 'caption_image' not in b or (b['caption_image'] == of).all()
        assert ('caption.1' in b) == ('trace.eda' in b) == (recipe == 'declip')
        for text, got, trace in zip(a['caption'], b.get('caption.1', []), b.get('trace.eda', [])):
            assert replay_caption(text, trace) == got, (text, trace, got)
            ops += trace != 'none'
    assert done and (recipe != 'declip' or ops)
    print(f'{done} views replayed with Pillow {PIL.__version__}, {ops} captions')


def same(one, two):
    def by_id(name):
        with open(name, 'rb') as f:
            for kind, _, b in dcstream.read(f):
                for i in range(len(b['id'])) if kind == 'views' else ():
                    of = b['caption_image'] if 'caption_image' in b else np.arange(len(b['id']))
                    yield (int(b['id'][i]), int(b['epoch'][i])), (
                        [b[k][i].tobytes() for k in sorted(b) if k.startswith('image.')],
                        sorted(c for c, j in zip(b['caption.1'], of) if j == i))
    a, b = dict(by_id(one)), dict(by_id(two))
    assert a and a == b


def reverse():
    """Each part's samples in the opposite order, from stdin to stdout."""
    for kind, step, b in dcstream.read(sys.stdin.buffer):
        if kind == 'samples':
            n = len(b['id'])
            for k in ('id', 'slot', 'epoch', 'label'):
                if k in b:
                    b[k] = b[k][::-1]
            b['key'], b['image'] = b['key'][::-1], b['image'][::-1]
            b['caption_image'] = (n - 1 - b['caption_image']).astype(np.int32)
        dcstream.write(sys.stdout.buffer, kind, step, b)


def broken(samples, views):
    gone = 0
    for a, b in pairs(samples, views):
        kept = np.array([i for i in range(len(a['image'])) if i not in (0, 3, 5)], dtype=int)
        gone += len(a['image']) - len(kept)
        check_rows(a, b, kept)
        assert all(len(b[k]) == len(kept) for k in b if k.startswith(('image.', 'trace.')) and k != 'trace.eda'
                   and not k.endswith('interpolation'))
        new = {int(i): j for j, i in enumerate(kept)}
        captions = [(c, new[int(i)]) for c, i in zip(a['caption'], a['caption_image']) if int(i) in new]
        assert b['caption.0'] == [c for c, _ in captions] and len(b['caption.1']) == len(captions)
        of = [i for _, i in captions]
        assert list(b['caption_image']) == of if 'caption_image' in b else of == list(range(len(kept)))
    with open(views, 'rb') as f:
        end = [b for kind, _, b in dcstream.read(f) if kind == 'end'][-1]
    total = end['counts']['in']
    assert end['counts'] == {'in': total, 'out': total - gone, 'rejected': gone}, end
    assert end['rejected_by'] == {'image': gone} and end['damaged'] == [] and 'position' in end, end


def sheet(views, out):
    rows = []
    with open(views, 'rb') as f:
        for kind, _, b in dcstream.read(f):
            if kind == 'views':
                rows += [np.concatenate([b[k][i] for k in sorted(b) if k.startswith('image.')], 1)
                         for i in range(len(b['id']))]
    columns = 4
    rows = rows[:len(rows) // columns * columns]
    Image.fromarray(np.concatenate([np.concatenate(rows[i:i + columns], 1) for i in range(0, len(rows), columns)])).save(out)


if __name__ == '__main__':
    command, args = sys.argv[1], sys.argv[2:]
    if command == 'make':
        mode = args.pop(0) if args and args[0] in ('encoded', 'broken') else 'raw'
        make(mode, args)
    else:
        {'check': check, 'same': same, 'reverse': reverse, 'broken': broken, 'sheet': sheet}[command](*args)
