#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write tests/golden/augment.h: what Pillow, torchvision and open_clip make of generated images, as FNV-1a hashes.

	python3 tests/reference/augment_golden.py > tests/golden/augment.h

Needs Pillow 13 or newer (older ones resize tall images in another order of passes), torchvision and open_clip."""
import random

import numpy as np
import PIL
import stubs  # noqa: F401
from open_clip.transform import image_transform
from PIL import Image, ImageEnhance, ImageFilter
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

assert int(PIL.__version__.split('.')[0]) >= 13, PIL.__version__


def noise(w, h):
    """The generated image of a size: byte i is the top byte of the SplitMix64 finaliser of i + 1000000 w + 1000 h."""
    x = np.arange(w * h * 3, dtype=np.uint64) + np.uint64(1000000 * w + 1000 * h)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xbf58476d1ce4e5b9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94d049bb133111eb)
    return Image.fromarray((x >> np.uint64(56)).astype(np.uint8).reshape(h, w, 3))


def fnv(im):
    x = 0xcbf29ce484222325
    for byte in np.asarray(im).tobytes():
        x = (x ^ byte) * 0x100000001b3 % 2**64
    return f'0x{x:016x}'


def turn(im, f):
    h, s, v = im.convert('HSV').split()
    h = Image.fromarray(np.array(h) + np.int32(f * 255).astype(np.uint8))
    return Image.merge('HSV', (h, s, v)).convert('RGB')


def gray(im):
    return np.dstack([np.array(im.convert('L'))] * 3)


print('/* SPDX-License-Identifier: MIT */')
print(f'/* Made by tests/reference/augment_golden.py with Pillow {PIL.__version__}. */')
print('static const struct { int w, h, ow, oh, filter; float box[4]; uint64_t want; } golden_resample[] = {')
for w, h, ow, oh in [(1, 1, 8, 8), (1, 1, 1, 1), (1, 50, 16, 16), (50, 1, 16, 16), (7, 7, 64, 64), (100, 75, 32, 32),
                     (75, 100, 32, 32), (20, 300, 32, 32), (300, 20, 32, 32), (64, 64, 64, 64), (64, 64, 64, 31),
                     (64, 64, 31, 64), (90, 60, 48, 32), (33, 97, 50, 50), (5, 3, 40, 2),
                     (1, 2000, 3, 7), (2000, 2, 7, 3), (500, 375, 1, 1), (2, 2, 150, 1)]:
    for f in (0, 1):
        for box in ((0, 0, w, h), (w * 0.125, h * 0.25, w * 0.875, h * 0.8125)):
            got = noise(w, h).resize((ow, oh), [Image.BILINEAR, Image.BICUBIC][f], box)
            print(f'\t{{ {w}, {h}, {ow}, {oh}, {f}, {{ {", ".join(str(x) for x in box)} }}, {fnv(got)} }},')
print('};')
print('static const struct { int w, h; double radius; uint64_t want; } golden_blur[] = {')
for w, h in [(1, 1), (1, 30), (30, 1), (2, 5), (40, 40), (64, 48)]:
    for r in (0.0, 0.1, 0.5, 1.0, 1.4142135, 2.0, 7.25, 40.0):
        print(f'\t{{ {w}, {h}, {r}, {fnv(noise(w, h).filter(ImageFilter.GaussianBlur(r)))} }},')
print('};')
print('enum { BRIGHTNESS, CONTRAST, SATURATION, HUE, GRAY };')
print('static const struct { int w, h, op; double f; uint64_t want; } golden_colour[] = {')
for w, h in [(1, 1), (3, 7), (64, 48)]:
    for op, (name, enhance) in enumerate([('BRIGHTNESS', ImageEnhance.Brightness), ('CONTRAST', ImageEnhance.Contrast),
                                          ('SATURATION', ImageEnhance.Color)]):
        for f in (0.0, 0.6, 0.98765, 1.0, 1.4, 3.0):
            print(f'\t{{ {w}, {h}, {name}, {f}, {fnv(enhance(noise(w, h)).enhance(f))} }},')
    for f in (-0.5, -0.1, -0.001, 0.0, 0.05, 0.1, 0.5):
        print(f'\t{{ {w}, {h}, HUE, {f}, {fnv(turn(noise(w, h), f))} }},')
    print(f'\t{{ {w}, {h}, GRAY, 0, {fnv(gray(noise(w, h)))} }},')
print('};')

INTERPOLATIONS = [InterpolationMode.BILINEAR, InterpolationMode.BICUBIC]
ADJUST = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
print('/* box: left, top, width, height; jitter below -1: not this one; blur below 0: none */')
print('static const struct { int w, h, size, filter, box[4], order[4]; double jitter[4]; int gray; double blur; int flip;')
print('\tuint64_t want; } golden_view[] = {')
rng = random.Random(1)
for n, (w, h) in enumerate([(1, 1), (1, 40), (40, 1), (64, 48), (48, 64), (97, 61), (30, 200), (200, 30), (224, 224), (5, 7)] * 3):
    bw, bh = rng.randint(1, w), rng.randint(1, h)
    left, top = rng.randint(0, w - bw), rng.randint(0, h - bh)
    size, how, order = rng.choice([1, 8, 33, 64]), n % 2, rng.sample(range(4), 4)
    jitter = [round(rng.uniform(0.6, 1.4), 6) for _ in range(3)] + [round(rng.uniform(-0.1, 0.1), 6)]
    jitter = [-9.0 if rng.random() < 0.1 else f for f in jitter]
    gray, blur, flip = int(rng.random() < 0.2), round(rng.uniform(0.1, 2), 6) if n % 2 else -1.0, n // 2 % 2
    if n % 5 == 4:
        order = [-1] * 4
    im = F.resized_crop(noise(w, h), top, left, bh, bw, [size, size], INTERPOLATIONS[how])
    for op in order:
        if op >= 0 and jitter[op] >= -1:
            im = ADJUST[op](im, jitter[op])
    im = F.rgb_to_grayscale(im, 3) if gray else im
    im = im.filter(ImageFilter.GaussianBlur(blur)) if blur >= 0 else im
    im = F.hflip(im) if flip else im
    numbers = ', '.join(str(f) for f in jitter)
    print(f'\t{{ {w}, {h}, {size}, {how}, {{ {left}, {top}, {bw}, {bh} }}, {{ {", ".join(map(str, order))} }}, {{ {numbers} }}, '
          f'{gray}, {blur}, {flip}, {fnv(im)} }},')
print('};')
print('static const struct { int w, h, size, filter, resize; uint64_t want; } golden_eval[] = {')
for w, h in [(1, 1), (1, 50), (50, 1), (20, 20), (40, 20), (20, 41), (21, 20), (23, 20), (20, 25), (100, 75), (75, 100), (99, 100),
             (301, 40), (7, 150), (333, 222)]:
    for size, how, resize in ((20, 0, 0), (20, 1, 0), (33, 1, 0), (20, 1, 1), (33, 0, 1), (33, 1, 2)):
        if resize == 1 and max(w, h) > 2 * size * min(w, h):
            continue  # a side would become 0, which open_clip cannot
        transform = image_transform(size, is_train=False, interpolation=['bilinear', 'bicubic'][how],
                                    resize_mode=['shortest', 'longest', 'squash'][resize])
        del transform.transforms[-2:]  # what makes a tensor of it and normalises that
        print(f'\t{{ {w}, {h}, {size}, {how}, {resize}, {fnv(transform(noise(w, h)))} }},')
print('};')
