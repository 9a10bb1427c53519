# SPDX-License-Identifier: MIT
"""The heading of `make parity`: the versions of all references. What is missing goes to stderr, with how to install it."""
import platform
import re
import subprocess
import sys
import textwrap
from importlib import metadata

# name, the version the table in README was made with
WITH_DEPENDENCIES = [('numpy', '2.4.6'), ('pillow', '13.0.0'), ('msgpack', '1.2.4'), ('msgpack-numpy', '0.4.8'),
                     ('xxhash', '4.1.0'), ('ftfy', '6.3.1'), ('regex', '2026.11.15'), ('safetensors', '0.8.0'),
                     ('scipy', '1.17.1'), ('scikit-learn', '1.9.1'), ('tokenizers', '0.23.3'), ('webdataset', '1.0.2'),
                     ('nltk', '3.10.4'), ('transformers', '5.23.0'), ('tqdm', '4.70.1'), ('PyYAML', '6.0.3'),
                     ('huggingface_hub', '2.4.0')]
TORCH = [('torch', '2.13.0')]
# These ask for a torch of their own, or for much that they do not need here.
ALONE = [('torchvision', '0.29.2'), ('timm', '1.0.31'), ('open_clip_torch', '3.3.0'), ('textaugment', '3.0.0')]
HELPERS = ('msgpack', 'msgpack-numpy', 'xxhash', 'tqdm', 'PyYAML', 'huggingface_hub')  # no references: not in the heading


def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def codecs():
    """Pillow's own libraries, which decide what a pixel is."""
    from PIL import features
    out = ['libjpeg-turbo ' + str(features.version_feature('libjpeg_turbo')), 'WebP ' + str(features.version('webp'))]
    zlib = features.version_feature('zlib_ng') if 'zlib_ng' in features.features else None
    # Pillow reads PNG by itself: only zlib is a library's
    return out + ['PNG by Pillow over ' + ('zlib-ng ' + zlib if zlib else 'zlib ' + str(features.version('zlib')))]


def ours():
    """The libraries that dc itself is linked with."""
    out = []
    for name, package in (('libjpeg-turbo', 'libjpeg'), ('libpng', 'libpng'), ('libwebp', 'libwebp')):
        r = subprocess.run(['pkg-config', '--modversion', package], capture_output=True, text=True)
        if r.returncode == 0:
            out.append(f'{name} {r.stdout.strip()}')
    r = subprocess.run(['dc-decode', '--version'], capture_output=True, text=True)
    return (re.findall(r'^dc-decode (\S+)', r.stdout) or ['dc'])[0], out


def main():
    have = {name: version(name) for name, _ in WITH_DEPENDENCIES + TORCH + ALONE}
    named = [f'{"Pillow" if n == "pillow" else n} {v}' + (f' ({", ".join(codecs())})' if n == 'pillow' else '')
             for n, v in have.items() if v and n not in HELPERS]
    commit, libraries = ours()
    print(textwrap.fill(f'dc {commit} ({", ".join(libraries)}) against: Python {platform.python_version()}, '
                        f'{", ".join(named)}.', 110, break_on_hyphens=False) + '\n')
    missing = [n for n, v in have.items() if not v]
    if not missing:
        return
    print(f'{sys.executable} has no {", ".join(missing)}. The references of the table in README:', file=sys.stderr)
    print('  python3 -m venv ref', file=sys.stderr)
    for packages, options in ((TORCH, ['--index-url', 'https://download.pytorch.org/whl/cpu']), (WITH_DEPENDENCIES, []),
                              (ALONE, ['--no-deps'])):
        wanted = [f'{n}=={v}' for n, v in packages if n in missing]
        if wanted:
            print(' ', *['ref/bin/pip', 'install', *options, *wanted], file=sys.stderr)
    print('  DC_TORCH_PYTHON=$PWD/ref/bin/python make parity', file=sys.stderr)


main()
