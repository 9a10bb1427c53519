# SPDX-License-Identifier: MIT
"""The captions that the text stages of `make parity` compare."""
import glob
import json
import tarfile

import parity

TEXT = ['captions.%s.txt' % name for name in ('en', 'de', 'fr', 'cs', 'emoji', 'web')]


def lines_of(name):
    """The captions of a file of DATA/text; none where it is not there."""
    path = parity.data('text', name)
    if not path:
        return []
    with open(path, encoding='utf-8', newline='\n') as f:
        return f.read().rstrip('\n').split('\n')


def flickr8k():
    """All five captions of every image, of the training and the development shards."""
    out = []
    for shard in sorted(glob.glob(parity.data('flickr8k') + '/*.tar' if parity.data('flickr8k') else '')):
        with tarfile.open(shard) as tar:
            for m in tar:
                if m.name.endswith('.json'):
                    out += json.load(tar.extractfile(m))['captions']
    return [c.replace('\n', ' ') for c in out]
