#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A stage of `make parity`: what dc-augment makes of images.

- Real views, again from their traces by torchvision's own functions on PIL images: every byte.
- --recipe eval against open_clip's evaluation transform, before the normalisation: every byte.
- Each operation by itself, called in the library that the tools are made of, on odd sizes and odd parameters.
- What is drawn, against torchvision's get_params, over 20,000 draws."""
import ctypes
import glob
import io
import math
import os
import shlex
import subprocess
import sys
import warnings

import parity

STAGE = 'views'
DRAWS = 20000


def samples_frame(out, step, images, ids=None):
    """One part of samples: images (H, W, 3), or the bytes of files."""
    import dcstream
    import numpy as np
    n = len(images)
    ids = np.arange(n, dtype=np.uint64) if ids is None else ids
    dcstream.write(out, 'samples', step, {
        'id': ids * np.uint64(0x9e3779b97f4a7c15), 'slot': np.arange(n), 'epoch': np.full(n, step, np.int32),
        'key': [str(i) for i in range(n)], 'image': images, 'caption': ['a caption'] * n, 'position': step + 1,
        'part': [0, 1]})


def end_frame(out, step):
    import dcstream
    dcstream.write(out, 'end', step, {'counts': {}, 'damaged': []})


def odd_images():
    """Edges and noise of shapes that strain rounding, the order of passes and the smallest crops."""
    import numpy as np
    rng = np.random.default_rng(9)
    shapes = [(1, 1), (1, 2), (2, 1), (1, 300), (300, 1), (3, 997), (997, 3), (16, 16), (63, 64), (64, 129), (224, 224),
              (225, 224), (224, 229), (449, 448), (231, 1000), (1500, 37), (2, 4000), (4000, 2), (1024, 768), (33, 2047)]
    for w, h in shapes + [tuple(int(x) for x in rng.integers(1, 500, 2)) for _ in range(30)]:
        y, x = np.mgrid[:h, :w]
        p = np.stack([x * 255 // max(w - 1, 1), y * 255 // max(h - 1, 1), (x // 3 + y // 5) % 2 * 255], -1)
        yield np.where(rng.random((h, w, 1)) < 0.3, rng.integers(0, 256, (h, w, 3)), p).astype(np.uint8)


def augment(samples, *options):
    """The views frames that dc-augment makes of a file of samples, with their samples frames."""
    import dcstream
    with open('views.dcs', 'wb') as out, open(samples, 'rb') as f:
        subprocess.run(['dc-augment', *options], stdin=f, stdout=out, check=True)
    with open(samples, 'rb') as a, open('views.dcs', 'rb') as b:
        for (ka, _, x), (kb, _, y) in zip(dcstream.read(a), dcstream.read(b)):
            if kb == 'views':
                yield x, y


# --- real views ---

def replay(im, body, v, i):
    """A view by torchvision's functions, from what was drawn."""
    import numpy as np
    from PIL import ImageFilter
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as F
    t = {k: body[f'trace.{v}.{k}'] for k in ('box', 'resize', 'interpolation', 'jitter', 'order', 'gray', 'blur', 'flip')}
    left, top, w, h = (int(x) for x in t['box'][i])
    ow, oh = (int(x) for x in t['resize'][i])
    im = F.resized_crop(im, top, left, h, w, [oh, ow], InterpolationMode(t['interpolation']))
    adjust = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
    for op in t['order'][i]:
        if op >= 0 and not np.isnan(t['jitter'][i][op]):
            im = adjust[op](im, float(t['jitter'][i][op]))
    if t['gray'][i]:
        im = F.rgb_to_grayscale(im, num_output_channels=3)
    if not np.isnan(t['blur'][i]):
        im = im.filter(ImageFilter.GaussianBlur(radius=float(t['blur'][i])))
    return F.hflip(im) if t['flip'][i] else im


def replayed(what, samples, n_views, *options):
    import numpy as np
    from PIL import Image
    n = bad = worst = 0
    for a, b in augment(samples, '--trace', '--eda', 'swap', '--caption-views', '2', *options):
        for i, pixels in enumerate(a['image']):
            im = Image.fromarray(pixels)
            for v in range(n_views):
                off = np.abs(np.asarray(replay(im, b, v, i)).astype(int) - b[f'image.{v}'][i])
                n += 1
                if off.any():
                    bad += 1
                    worst = max(worst, int(off.max()))
                    parity.note(what, a['key'][i], im.size, f'view {v}: {np.count_nonzero(off)} bytes, by {off.max()}')
    if worst:
        parity.note(what, 'worst difference', worst)
    parity.row(STAGE, f'views of --recipe {what}', 'torchvision on PIL', n, bad)


def real_samples():
    """A file of samples: native images as they are, two shards of small ones, and odd shapes."""
    shards = [s for p in ('native/native-*.tar', 'flickr8k/dev-*.tar') for s in sorted(glob.glob(os.path.join(parity.DATA, p)))]
    with open('samples.dcs', 'wb') as out:
        samples_frame(out, 0, list(odd_images()))
        if shards:
            out.flush()
            subprocess.run(['dc-decode', *shards], stdout=out, check=True)
        else:
            end_frame(out, 1)
    return len(shards)


def real_views():
    real = real_samples()
    said = '' if real else ' (skipped: no real images)'
    for what, views, options in (
            ('declip', 2, []), ('clip', 1, ['--views', '2']), ('openclip', 1, ['--views', '2', '--size', '112']),
            ('slip', 3, ['--size', '96']),
            ('declip, stronger', 2, ['--size', '61', '--jitter', '1,1.5,2,0.5', '--jitter-p', '1', '--blur', '0,9', '--blur-p',
                                     '1', '--scale', '0.005,1', '--ratio', '0.1,10', '--interpolation', 'bicubic'])):
        replayed(what + said, 'samples.dcs', max(views, 2), '--recipe', what.split(',')[0], *options)


def evaluation():
    import numpy as np
    import stubs  # noqa: F401
    from open_clip.transform import image_transform
    from PIL import Image
    n = bad = 0
    for size, interpolation, mode in ((224, 'bicubic', 'shortest'), (224, 'bilinear', 'shortest'), (97, 'bicubic', 'shortest'),
                                      (336, 'bicubic', 'shortest'), (224, 'bicubic', 'longest'), (65, 'bilinear', 'longest'),
                                      (224, 'bicubic', 'squash')):
        transform = image_transform(size, is_train=False, interpolation=interpolation, resize_mode=mode)
        del transform.transforms[-2:]  # what makes a tensor of it and normalises that
        most = 10**9 if size == 224 and mode == 'shortest' else 200
        for a, b in augment('samples.dcs', '--recipe', 'eval', '--size', str(size), '--interpolation', interpolation,
                            '--resize', mode):
            for i, pixels in enumerate(a['image'][:max(0, most)]):
                if mode == 'longest' and max(pixels.shape) / min(pixels.shape[:2]) > 2 * size:
                    continue  # a side would become 0, which open_clip cannot
                want = np.asarray(transform(Image.fromarray(pixels)))
                n += 1
                if not np.array_equal(want, b['image.0'][i]):
                    bad += 1
                    parity.note('eval', size, interpolation, mode, a['key'][i], pixels.shape)
            most -= len(a['image'])
            if most <= 0:
                break
    parity.row(STAGE, 'views of --recipe eval, --resize shortest, longest, squash', "open_clip's image_transform", n, bad)


# --- one operation at a time ---

class Raster(ctypes.Structure):
    _fields_ = [('p', ctypes.c_void_p), ('stride', ctypes.c_size_t), ('width', ctypes.c_int), ('height', ctypes.c_int)]


def library():
    """The kernels as a shared library, compiled as the tools are; None without a compiler."""
    rooms = [os.path.join(parity.TOP, 'common', f) for f in (
        'data/resample.c', 'data/blur.c', 'data/photometric.c', 'base/util.c')]
    line = os.environ.get('DC_COMPILE', 'cc -O3 -std=gnu11 -ffp-contract=off -D_GNU_SOURCE')
    r = subprocess.run([*shlex.split(line), '-I', os.path.join(parity.TOP, 'common'), '-fPIC', '-shared', '-o', 'kernels.so',
                        *rooms, '-lm'], stdout=sys.stderr)
    if r.returncode:
        return None
    lib = ctypes.CDLL('./kernels.so')
    lib.dc_resample.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, Raster, ctypes.c_void_p, ctypes.c_void_p,
                                ctypes.c_int]
    lib.dc_gaussian_blur.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_double]
    for name in ('brightness', 'contrast', 'saturation', 'hue'):
        getattr(lib, 'dc_adjust_' + name).argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_double]
    lib.dc_grayscale.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    lib.dc_flip.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    return lib


def changed(p, f, *args):
    """A copy of pixels after f(pointer, ...)."""
    q = p.copy()
    f(q.ctypes.data, *args)
    return q


def shapes(rng, n, most):
    """n widths and heights: thin ones, equal ones, and any."""
    for i in range(n):
        w, h = (int(x) for x in rng.integers(1, most, 2))
        yield (1, h) if i % 7 == 0 else (w, 1) if i % 7 == 1 else (w, w) if i % 7 == 2 else (w, h)


def differ(what, cases):
    """A row of (description, got, want)."""
    import numpy as np
    n = bad = 0
    for told, got, want in cases:
        n += 1
        if not np.array_equal(got, np.asarray(want)):
            bad += 1
            if bad < 20:
                parity.note(what, *told)
    parity.row(STAGE, what, 'torchvision on PIL', n, bad)


def resized(lib, how, n):
    import numpy as np
    from PIL import Image
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as F
    rng = np.random.default_rng(1)
    mode = [InterpolationMode.BILINEAR, InterpolationMode.BICUBIC][how]
    for i, (w, h) in enumerate(shapes(rng, n, 300)):
        if i % 50 == 49:
            w, h = ((3, 5000), (5000, 2), (1, 9000), (2500, 700))[i // 50 % 4]
        ow, oh = (int(x) for x in rng.integers(1, 40 if i % 3 else 500, 2))
        p = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        if i % 2:  # saturated edges make bicubic overshoot
            p = (p > 128).astype(np.uint8) * 255
        left, top = int(rng.integers(0, w)), int(rng.integers(0, h))
        cw, ch = int(rng.integers(1, w - left + 1)), int(rng.integers(1, h - top + 1))
        if i % 4 == 0:
            left, top, cw, ch = 0, 0, w, h
        got = np.empty((oh, ow, 3), np.uint8)
        r = lib.dc_resample(got.ctypes.data, ow, oh, Raster(p.ctypes.data + (top * w + left) * 3, w * 3, cw, ch), None, None,
                            how)
        want = F.resized_crop(Image.fromarray(p), top, left, ch, cw, [oh, ow], mode, antialias=True)
        yield (f'{w}x{h}', (left, top, cw, ch), 'to', (ow, oh)), got if r == 0 else None, want


def blurred(lib, n):
    import numpy as np
    from PIL import Image, ImageFilter
    rng = np.random.default_rng(2)
    for i, (w, h) in enumerate(shapes(rng, n, 120)):
        p = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        r = float(rng.uniform(0, 2.5) if i % 4 else rng.uniform(0, 80))
        yield (f'{w}x{h}', r), changed(p, lib.dc_gaussian_blur, w, h, r), Image.fromarray(p).filter(ImageFilter.GaussianBlur(r))


def adjusted(lib, name, n):
    import numpy as np
    from PIL import Image
    from torchvision.transforms import functional as F
    rng = np.random.default_rng(3)
    ours, theirs = getattr(lib, 'dc_adjust_' + name), getattr(F, 'adjust_' + name)
    for i, (w, h) in enumerate(shapes(rng, n, 150)):
        p = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        if name == 'hue':
            f = float((-0.5, 0.5, 0.0)[i] if i < 3 else rng.uniform(-0.5, 0.5))
        else:
            f = float((0, 1, 2, 1.4, 0.6)[i] if i < 5 else rng.uniform(0, 2) if i % 3 else rng.uniform(0, 12))
        yield (f'{w}x{h}', f), changed(p, ours, w * h, f), theirs(Image.fromarray(p), f)


def all_colours():
    import numpy as np
    c = np.arange(1 << 24, dtype=np.uint32).reshape(4096, 4096)
    return np.dstack([c >> 16, c >> 8 & 255, c & 255]).astype(np.uint8)


def every_colour(lib, factors):
    from PIL import Image
    from torchvision.transforms import functional as F
    p = all_colours()
    im = Image.fromarray(p)
    for name, f in factors:
        yield (name, f), changed(p, getattr(lib, 'dc_adjust_' + name), 1 << 24, f), getattr(F, 'adjust_' + name)(im, f)
    yield ('gray',), changed(p, lib.dc_grayscale, 1 << 24), F.rgb_to_grayscale(im, 3)


def flipped(lib, n):
    import numpy as np
    from PIL import Image
    from torchvision.transforms import functional as F
    rng = np.random.default_rng(4)
    for w, h in shapes(rng, n, 200):
        p = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        yield (f'{w}x{h}',), changed(p, lib.dc_flip, w, h), F.hflip(Image.fromarray(p))


def operations():
    lib = library()
    if not lib:
        return parity.skip(STAGE, 'each operation by itself', 'torchvision on PIL', 'no compiler')
    differ('resized crop, bilinear', resized(lib, 0, 2000))
    differ('resized crop, bicubic', resized(lib, 1, 2000))
    differ('Gaussian blur', blurred(lib, 2000))
    for name in ('brightness', 'contrast', 'saturation', 'hue'):
        differ(name, adjusted(lib, name, 1000))
    differ('flip', flipped(lib, 500))
    differ('all 2^24 colours: hue, saturation, gray', every_colour(lib, [
        ('hue', 0.0), ('hue', 0.1), ('hue', -0.1), ('hue', 0.0371), ('saturation', 1.4), ('saturation', 0.6)]))


# --- what is drawn ---

def drawn(w, h):
    """20,000 traces of a view as DeCLIP draws it, of images of one size: {name: array}."""
    import numpy as np
    from PIL import Image
    f = io.BytesIO()
    Image.new('RGB', (w, h)).save(f, 'png')
    image = np.frombuffer(f.getvalue(), np.uint8)
    with open('draws.dcs', 'wb') as out:
        for step in range(DRAWS // 1000):
            samples_frame(out, step, [image] * 1000, np.arange(step * 1000, step * 1000 + 1000, dtype=np.uint64))
        end_frame(out, step + 1)
    parts = [b for _, b in augment('draws.dcs', '--trace', '--size', '4', '--views', '1', '--caption-views', '1')]
    return {k[8:]: np.concatenate([b[k] for b in parts]) for k in parts[0]
            if k.startswith('trace.0.') and k != 'trace.0.interpolation'}


def theirs(w, h):
    """As many draws by torchvision: boxes (left, top, width, height), factors, orders."""
    import numpy as np
    import torch
    from PIL import Image
    from torchvision.transforms import ColorJitter, RandomResizedCrop
    torch.manual_seed(1)
    im, jitter = Image.new('RGB', (w, h)), ColorJitter(0.4, 0.4, 0.4, 0.1)
    boxes, factors, orders = [], [], []
    for _ in range(DRAWS):
        i, j, bh, bw = RandomResizedCrop.get_params(im, [0.2, 1.0], [3 / 4, 4 / 3])
        boxes.append((j, i, bw, bh))
        order, *f = ColorJitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        factors.append(f)
        orders.append(order.tolist())
    return np.array(boxes), np.array(factors), np.array(orders)


def ks(a, b):
    """The two-sample Kolmogorov-Smirnov statistic over its critical value for p = 1e-4."""
    import numpy as np
    at = np.concatenate([a, b])
    d = np.abs(np.searchsorted(np.sort(a), at, 'right') / len(a) - np.searchsorted(np.sort(b), at, 'right') / len(b)).max()
    return d / (math.sqrt(-math.log(0.5e-4) / 2) * math.sqrt(1 / len(a) + 1 / len(b)))


def frequencies(counts, n, p):
    """The largest distance from n p, in standard errors."""
    return max(abs(c - n * p) / math.sqrt(n * p * (1 - p)) for c in counts)


def distributions():
    import numpy as np
    for w, h in ((200, 150), (30, 100)):
        ours, (boxes, factors, orders) = drawn(w, h), theirs(w, h)
        got = ours['box']
        compare = {'area': lambda b: b[:, 2] * b[:, 3], 'ratio': lambda b: b[:, 2] / b[:, 3], 'left': lambda b: b[:, 0],
                   'top': lambda b: b[:, 1]}
        worst = {k: ks(f(got), f(boxes)) for k, f in compare.items()}
        parity.note(f'crop {w}x{h}:', worst)
        parity.row(STAGE, f'draws of the crop, {w}x{h}: area, ratio, place (KS)', "torchvision's get_params", DRAWS,
                   sum(x > 1 for x in worst.values()), max(worst.values()), 1)
    on = ~np.isnan(ours['jitter'][:, 0])
    worst = {k: ks(ours['jitter'][on, i], factors[:, i]) for i, k in enumerate(('brightness', 'contrast', 'saturation', 'hue'))}
    blur = ours['blur'][~np.isnan(ours['blur'])]
    worst['blur'] = ks(blur, np.random.default_rng(1).uniform(0.1, 2, DRAWS))
    parity.note('factors:', worst)
    parity.row(STAGE, 'draws of the four factors and the radius (KS)', "torchvision's get_params", DRAWS,
               sum(x > 1 for x in worst.values()), max(worst.values()), 1)
    worst = {}
    for name, o in (('ours', ours['order'][on]), ("torchvision's", orders)):
        counts = np.unique(o @ np.array([64, 16, 4, 1]), return_counts=True)[1]
        worst[name] = frequencies(counts, len(o), 1 / 24) if len(counts) == 24 else math.inf
    for name, count, p in (('jitter', on.sum(), 0.8), ('gray', ours['gray'].sum(), 0.2), ('blur', len(blur), 0.5),
                           ('flip', ours['flip'].sum(), 0.5)):
        worst[name] = frequencies([count], DRAWS, p)
    parity.note('standard errors:', worst)
    parity.row(STAGE, 'draws: 24 orders of the jitter, four probabilities (standard errors)', 'what was asked for', DRAWS,
               sum(x > 4.5 for x in worst.values()), max(worst.values()), 4.5)


def main():
    absent = parity.missing('PIL', 'numpy', 'torch', 'torchvision', 'msgpack', 'msgpack_numpy', 'xxhash')
    if absent:
        return parity.skip(STAGE, 'views', 'torchvision on PIL', absent)
    warnings.simplefilter('ignore')
    import stubs  # noqa: F401
    import torch
    torch.set_num_threads(1)
    real_views()
    if parity.missing('open_clip'):
        parity.skip(STAGE, 'views of --recipe eval', "open_clip's image_transform", parity.missing('open_clip'))
    else:
        evaluation()
    operations()
    distributions()


main()
