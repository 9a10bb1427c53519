#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A stage of `make parity`: what dc-decode makes of image files, against Pillow's Image.open(file).convert('RGB')."""
import collections
import glob
import io
import os
import struct
import subprocess
import tarfile
import warnings
import zlib

import parity

STAGE = 'decode'
AGAINST = 'Pillow'
GRAY16 = {}  # a file: its pixels' high bytes


def decoded(tar, *options):
    """What dc-decode sends of a tar: {key: pixels}, {key: why it was refused}."""
    import dcstream
    with open('stream', 'wb') as out:
        subprocess.run(['dc-decode', '--rejects', 'rejects.tsv', *options, tar], stdout=out, stderr=subprocess.DEVNULL)
    pixels = {}
    with open('stream', 'rb') as f:
        for kind, _, body in dcstream.read(f):
            if kind == 'samples':
                pixels.update(zip(body['key'], body['image']))
    with open('rejects.tsv') as f:
        rows = [line.rstrip('\n').split('\t') for line in f][1:]
    return pixels, {row[1]: row[3] for row in rows}


def pack(files, tar='made.tar'):
    """A shard of [(name, bytes)]."""
    with tarfile.open(tar, 'w') as t:
        for i, (name, data) in enumerate(files):
            for member, what in ((f'{i:05}-{name}', data), (f'{i:05}-{os.path.splitext(name)[0]}.txt', b'a caption')):
                info = tarfile.TarInfo(member)
                info.size = len(what)
                t.addfile(info, io.BytesIO(what))
    return tar


def by_pillow(data, upright=False):
    """Its pixels, or None where it refuses the file."""
    from PIL import Image
    try:
        im = Image.open(io.BytesIO(data))
        return (upright_by_pillow(im) if upright else im).convert('RGB')
    except Exception:
        return None


def upright_by_pillow(im):
    """exif_transpose. It also writes the EXIF anew, which broken ones do not always stand: then what it does to pixels;
    of EXIF that cannot even be read, nothing."""
    from PIL import Image, ImageOps
    im.load()
    try:
        return ImageOps.exif_transpose(im)
    except Exception:
        pass
    t = Image.Transpose
    way = {2: t.FLIP_LEFT_RIGHT, 3: t.ROTATE_180, 4: t.FLIP_TOP_BOTTOM, 5: t.TRANSPOSE, 6: t.ROTATE_270, 7: t.TRANSVERSE,
           8: t.ROTATE_90}
    try:
        how = way.get(im.getexif().get(274))
    except Exception:
        how = None
    return im if how is None else im.transpose(how)


def compare(tar, *options, upright=False, expected=None):
    """(images, of them different) of a tar's images; differences are told on stderr, unless they are expected."""
    import numpy as np
    pixels, refused = decoded(tar, *options)
    n = bad = 0
    with tarfile.open(tar) as t:
        for m in t:
            key, ext = os.path.splitext(m.name)
            if ext not in ('.jpg', '.png', '.webp'):
                continue
            want = by_pillow(t.extractfile(m).read(), upright)
            n += 1
            if (want is None) != (key not in pixels):
                why = 'refused by Pillow' if want is None else f'refused here: {refused.get(key)}'
            elif want is not None and not np.array_equal(np.asarray(want), pixels[key]):
                why = f'{want.size}: pixels differ'
            else:
                continue
            bad += 1
            if expected is None:
                parity.note(m.name, why)
    return n, bad


def real():
    for name, pattern in (('native', 'native-*.tar'), ('flickr8k', '*.tar'), ('imagenette', '*.tar')):
        what = f'JPEG, {name}: pixels'
        tars = sorted(glob.glob(os.path.join(parity.DATA, name, pattern)))
        if not tars:
            parity.skip(STAGE, what, AGAINST, 'no data')
            continue
        total = [compare(tar) for tar in tars]
        parity.row(STAGE, what, AGAINST, sum(n for n, _ in total), sum(b for _, b in total))


def hard():
    """MANIFEST.tsv tells which files are to be accepted."""
    what = 'JPEG, hard: accepted or refused as listed'
    manifest = parity.data('hard', 'MANIFEST.tsv')
    if not manifest:
        return parity.skip(STAGE, what, AGAINST, 'no data')
    import numpy as np
    with open(manifest) as f:
        rows = [line.rstrip('\n').split('\t') for line in f][1:]
    files = {row[0]: open(parity.data('hard', row[0]), 'rb').read() for row in rows}
    pixels, refused = decoded(pack(files.items()))
    taken = {row[0]: f'{i:05}-{row[0][:-4]}' in pixels for i, row in enumerate(rows)}
    wrong = [row[0] for row in rows if taken[row[0]] != (row[-1] == 'ok')]
    for name in wrong:
        parity.note(name, 'taken' if taken[name] else 'refused')
    parity.row(STAGE, what, 'MANIFEST.tsv', len(rows), len(wrong))
    n = bad = other = 0
    for i, row in enumerate(rows):
        want = by_pillow(files[row[0]])
        other += (want is None) != (row[-1] != 'ok')
        if want is None or row[-1] != 'ok':
            continue
        got = pixels.get(f'{i:05}-{row[0][:-4]}')
        n += 1
        if got is None or not np.array_equal(np.asarray(want), got):
            bad += 1
            parity.note(row[0], 'pixels differ')
    parity.row(STAGE, 'JPEG, hard: pixels of those accepted', AGAINST, n, bad)
    if other:
        parity.note(f'{other} files of hard/ are taken by this Pillow and not by the listed one, or the other way round')


# --- generated files ---

def pictures():
    """Small pictures with edges, gradients and noise; odd sizes."""
    import numpy as np
    rng = np.random.default_rng(3)
    for w, h in ((1, 1), (2, 3), (7, 5), (16, 16), (33, 17), (64, 48), (129, 65), (200, 151)):
        y, x = np.mgrid[:h, :w]
        smooth = np.stack([x * 255 // max(w - 1, 1), y * 255 // max(h - 1, 1), (x * 7 + y * 3) % 256], -1)
        edges = np.where((x // 5 + y // 4) % 2, 230, 20)[..., None] + np.zeros(3, int)
        for name, p in (('smooth', smooth), ('edges', edges), ('noise', rng.integers(0, 256, (h, w, 3)))):
            yield f'{name}{w}x{h}', p.astype(np.uint8), rng.integers(0, 256, (h, w), dtype=np.uint8)


def saved(im, form, **kw):
    f = io.BytesIO()
    im.save(f, form, **kw)
    return f.getvalue()


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png_bytes(rows, width, bits, colour, interlaced=False, extra=b''):
    """A PNG of samples (H, W, channels), which Pillow cannot write itself: any depth, interlaced."""
    import numpy as np
    h, w = rows.shape[:2]
    lines = b''
    for x0, y0, dx, dy in ADAM7 if interlaced else ((0, 0, 1, 1),):
        part = rows[y0::dy, x0::dx]
        if not part.size:
            continue
        for line in part.reshape(part.shape[0], -1):
            if bits == 16:
                lines += b'\0' + line.astype('>u2').tobytes()
            elif bits == 8:
                lines += b'\0' + line.astype('u1').tobytes()
            else:
                b = (line[:, None].astype(np.uint8) >> np.arange(bits - 1, -1, -1, dtype=np.uint8)) & 1
                lines += b'\0' + np.packbits(b.reshape(-1)).tobytes()
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, bits, colour, 0, 0, interlaced)) + extra
            + chunk(b'IDAT', zlib.compress(lines)) + chunk(b'IEND', b''))


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def pngs():
    """(kind, name, file), the kinds being the table's rows."""
    import numpy as np
    from PIL import Image
    rng = np.random.default_rng(4)
    for name, p, alpha in pictures():
        im = Image.fromarray(p)
        h, w = p.shape[:2]
        yield 'RGB', name, saved(im, 'png')
        yield 'RGBA', name, saved(Image.fromarray(np.dstack([p, alpha])), 'png')
        yield 'gray', name, saved(im.convert('L'), 'png')
        yield 'gray', name, saved(im.convert('1'), 'png')
        yield 'gray + alpha', name, saved(Image.merge('LA', (im.convert('L'), Image.fromarray(alpha))), 'png')
        palette = im.convert('P', palette=Image.Palette.ADAPTIVE, colors=200)
        yield 'palette', name, saved(palette, 'png')
        yield 'palette, transparent', name, saved(palette, 'png', transparency=int(p[0, 0, 0]) % 100)
        yield 'palette, transparent', name, saved(palette, 'png', transparency=bytes(range(100)))
        wide = rng.integers(0, 65536, (h, w, 4))
        for inter in (False, True):
            what = ', interlaced' if inter else ''
            yield '16 bits RGB, RGBA, gray + alpha' + what, name, png_bytes(wide[..., :3], w, 16, 2, inter)
            yield '16 bits RGB, RGBA, gray + alpha' + what, name, png_bytes(wide, w, 16, 6, inter)
            yield '16 bits RGB, RGBA, gray + alpha' + what, name, png_bytes(wide[..., :2], w, 16, 4, inter)
            gray = png_bytes(wide[..., :1], w, 16, 0, inter)
            GRAY16[gray] = (wide[..., :1] >> 8).astype(np.uint8)
            yield '16 bits gray', name, gray
            for bits in (1, 2, 4, 8):
                rows = (p[..., :1] >> (8 - bits)).astype(int)
                table = chunk(b'PLTE', rng.integers(0, 256, 3 << bits, dtype=np.uint8).tobytes())
                yield 'gray 1, 2, 4, 8 bits' + what, name, png_bytes(rows, w, bits, 0, inter)
                yield 'gray 1, 2, 4, 8 bits' + what, name, png_bytes(rows, w, bits, 0, inter, chunk(b'tRNS', b'\0\1'))
                yield 'palette 1, 2, 4, 8 bits' + what, name, png_bytes(rows, w, bits, 3, inter, table)
                yield 'palette 1, 2, 4, 8 bits' + what, name, png_bytes(rows, w, bits, 3, inter, table + chunk(b'tRNS', b'\0\x80'))
                short = chunk(b'PLTE', bytes(range(7, 7 + 3 * (bits + 1))))
                yield 'palette, pixels beyond its end' + what, name, png_bytes(rows, w, bits, 3, inter, short)
            if inter:
                yield 'RGB, RGBA, gray + alpha, interlaced', name, png_bytes(p, w, 8, 2, True)
                yield 'RGB, RGBA, gray + alpha, interlaced', name, png_bytes(np.dstack([p, alpha]), w, 8, 6, True)
                yield 'RGB, RGBA, gray + alpha, interlaced', name, png_bytes(np.dstack([p[..., :1], alpha]), w, 8, 4, True)
        yield 'RGB with one transparent colour', name, png_bytes(p, w, 8, 2, False, chunk(b'tRNS', bytes(6)))
        yield 'RGB with gamma and white point', name, png_bytes(
            p, w, 8, 2, False, chunk(b'gAMA', struct.pack('>I', 22222)) + chunk(b'bKGD', bytes(6)))


def webps():
    import numpy as np
    from PIL import Image
    for name, p, alpha in pictures():
        rgb, rgba = Image.fromarray(p), Image.fromarray(np.dstack([p, alpha]))
        for quality in (1, 30, 75, 95, 100):
            yield 'lossy', name, saved(rgb, 'webp', quality=quality)
            yield 'lossy with alpha', name, saved(rgba, 'webp', quality=quality)
        yield 'lossless', name, saved(rgb, 'webp', lossless=True)
        yield 'lossless with alpha', name, saved(rgba, 'webp', lossless=True)
        yield 'lossless with alpha', name, saved(rgba, 'webp', lossless=True, exact=True)


def jpegs():
    import numpy as np
    from PIL import Image
    for name, p, alpha in pictures():
        im = Image.fromarray(p)
        cmyk = Image.fromarray(np.dstack([p, alpha]), 'CMYK')
        for quality in (10, 60, 90, 100):
            for progressive in (False, True):
                yield 'CMYK', name, saved(cmyk, 'jpeg', quality=quality, progressive=progressive)
                yield 'gray', name, saved(im.convert('L'), 'jpeg', quality=quality, progressive=progressive)
                for sub in ('4:4:4', '4:2:2', '4:2:0'):
                    yield 'baseline and progressive, 4:4:4, 4:2:2, 4:2:0', name, saved(
                        im, 'jpeg', quality=quality, progressive=progressive, subsampling=sub)
        yield 'RGB inside (no YCbCr)', name, saved(im, 'jpeg', keep_rgb=True)
        yield 'restart markers', name, saved(im, 'jpeg', restart_marker_blocks=2)
        yield 'restart markers', name, saved(im, 'jpeg', restart_marker_rows=1, progressive=True)


def made(form, ext, files):
    """A row for all, and one for those where Pillow destroys what it reads."""
    kinds = collections.defaultdict(list)
    for kind, name, data in files:
        kinds[kind].append((f'{kind.replace(" ", "-").replace(".", "")}-{name}.{ext}', data))
    gray16 = kinds.pop('16 bits gray', None)
    n, bad = compare(pack([f for part in kinds.values() for f in part]))
    parity.row(STAGE, f'{form}, made: {len(kinds)} kinds', AGAINST, n, bad)
    parity.note(f'{form}: ' + '; '.join(f'{len(part)} {kind}' for kind, part in kinds.items()))
    if gray16:
        n, bad = compare(pack(gray16), expected='Pillow makes white of all above 255')
        parity.row(STAGE, f'{form}, made: 16 bits gray', AGAINST, n, bad, tolerance='published')
        parity.row(STAGE, f'{form}, made: 16 bits gray', 'the high byte', *high_byte(gray16))


def high_byte(files):
    import numpy as np
    pixels, _ = decoded(pack(files))
    want = {f'{i:05}-{name[:-4]}': GRAY16[data] for i, (name, data) in enumerate(files)}
    bad = [k for k, w in want.items() if not np.array_equal(pixels.get(k), np.repeat(w, 3, 2))]
    for k in bad:
        parity.note(k, 'differs')
    return len(want), len(bad)


# --- EXIF ---

def exif_bytes(o, form, count=1, kind=3, before=(), cut=None, big=False):
    """A TIFF with an orientation behind other entries, some with values elsewhere."""
    e = '>' if big else '<'
    entries = list(before) + [(274, kind, count, o)]
    out = (b'MM\0*' if big else b'II*\0') + struct.pack(e + 'IH', 8, len(entries))
    for tag, typ, n, v in entries:
        v = struct.pack(e + 'HH', v, 0) if typ == 3 and n <= 2 else struct.pack(e + 'I', v)
        out += struct.pack(e + 'HHI', tag, typ, n) + v
    out = (out + bytes(4) + b'DC camera, a long name')[:cut]
    return out if form == 'png' else b'Exif\0\0' + out


def turned(form):
    """Files of a format with EXIF or XMP of every orientation, whole, broken and absent."""
    import random
    import numpy as np
    from PIL import Image
    rng = random.Random(6)
    ext = {'JPEG': 'jpg', 'PNG': 'png', 'WebP': 'webp'}[form]
    p = np.random.default_rng(6).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    im = Image.fromarray(p)
    kw = dict(lossless=True) if form == 'WebP' else {}
    n = 0

    def file(exif=None, xmp=None):
        more = dict(kw)
        if exif is not None:
            more['exif'] = exif
        if xmp is not None and form == 'PNG':
            from PIL.PngImagePlugin import PngInfo
            more['pnginfo'] = PngInfo()
            more['pnginfo'].add_itxt('XML:com.adobe.xmp', xmp)
        elif xmp is not None:
            more['xmp'] = xmp.encode()
        return saved(im, form.lower(), **more)

    def exif(*args, **named):
        return exif_bytes(args[0], ext, *args[1:], **named)
    others = [(271, 2, 3, 0x414243), (282, 5, 1, 34), (305, 2, 22, 30)]
    for o in range(11):
        for big in (False, True):
            yield f'{o}{big}.{ext}', file(exif(o, big=big))
            yield f'{o}{big}others.{ext}', file(exif(o, big=big, before=others))
            for kind in (1, 2, 3, 4, 6, 7, 8, 9, 13, 99):
                yield f'{o}{big}kind{kind}.{ext}', file(exif(o, kind=kind, big=big))
            yield f'{o}{big}xmp.{ext}', file(exif(o, big=big), f'<x tiff:Orientation="{10 - o}"/>')
        yield f'{o}xmp.{ext}', file(None, f'<x tiff:Orientation="{o}"/>')
        yield f'{o}xmp-element.{ext}', file(None, f'<tiff:Orientation>{o}</tiff:Orientation>')
        for count in (0, 2, 3, 1 << 30):
            yield f'{o}count{count}.{ext}', file(exif(o, count))
    for cut in range(1, 70):
        yield f'cut{cut}.{ext}', file(exif(6, before=others, cut=cut), '<x tiff:Orientation="7"/>' if cut % 2 else None)
    for i in range(1000):
        b = bytearray(exif(6, before=others, big=bool(i % 2)))
        for _ in range(rng.choice((1, 1, 2, 4))):
            b[rng.randrange(len(b))] = rng.choice((0, 1, 2, 3, 4, 8, 0x12, 255, rng.randrange(256)))
        yield f'flip{i}.{ext}', file(bytes(b), '<x tiff:Orientation="8"/>' if i % 3 == 0 else None)


def exif():
    what = 'JPEG, hard/oriented: --exif'
    files = sorted(glob.glob(os.path.join(parity.DATA, 'hard', 'oriented-*.jpg')))
    against = AGAINST + "'s exif_transpose"
    if files:
        tar = pack((os.path.basename(f), open(f, 'rb').read()) for f in files)
        parity.row(STAGE, what, against, *compare(tar, '--exif', upright=True))
    else:
        parity.skip(STAGE, what, against, 'no data')
    for form in ('JPEG', 'PNG', 'WebP'):
        parity.row(STAGE, f'{form}, made, EXIF and XMP, whole and broken: --exif', against,
                   *compare(pack(turned(form)), '--exif', upright=True))


def damaged():
    """JPEG files cut off, with a byte changed in the header or behind it, with more behind: both take or refuse them."""
    import random
    rng = random.Random(1)
    files = []
    shard = parity.data('flickr8k', 'dev-000.tar')
    if shard:
        with tarfile.open(shard) as t:
            files = [t.extractfile(m).read() for m in t if m.name.endswith('.jpg')][:200]
    hard = [open(f, 'rb').read() for f in sorted(glob.glob(os.path.join(parity.DATA, 'hard', '*.jpg')))]
    files += [f for f in hard if len(f) < 30000]
    files = files or [f for _, _, f in jpegs()]
    out = []
    for kind in ('cut', 'body', 'header', 'more'):
        for i, whole in enumerate(files):
            b = bytearray(whole)
            if kind == 'cut':
                b = b[:rng.randrange(1, len(b))]
            elif kind == 'body':
                b[rng.randrange(700 if len(b) > 800 else 0, len(b))] = rng.randrange(256)
            elif kind == 'header':
                b[rng.randrange(min(620, len(b)))] = rng.randrange(256)
            else:
                b += bytes(rng.randrange(256) for _ in range(rng.randrange(50)))
            out.append((f'{kind}{i}.jpg', bytes(b)))
    parity.row(STAGE, 'JPEG, damaged at random: taken or refused, pixels', AGAINST, *compare(pack(out)), tolerance='published')


def main():
    absent = parity.missing('PIL', 'numpy', 'msgpack', 'msgpack_numpy', 'xxhash')
    if absent:
        return parity.skip(STAGE, 'pixels', AGAINST, absent)
    warnings.simplefilter('ignore')
    from PIL import ImageFile
    ImageFile.MAXBLOCK = 1 << 20  # or the smallest progressive files cannot be written
    real()
    hard()
    made('JPEG', 'jpg', jpegs())
    made('PNG', 'png', pngs())
    made('WebP', 'webp', webps())
    exif()
    damaged()


main()
