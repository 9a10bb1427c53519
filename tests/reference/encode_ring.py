# SPDX-License-Identifier: MIT
"""A running dc-encode, with this program in the place of dc-loss and dc-step: batches in, features out, their gradient in,
the parameters' gradients out, by reference as in a training.

    with Ring(config, tensors) as ring:          # config: the run's; tensors: {name: float32 array}
        f = ring.features(parts)                 # [{'image.0': ..., 'token.0': ...}, ...]; the body of the features frame
        g, last = ring.gradients(dfeatures)      # {name: array}, and the body of the last gradients frame; may be left out"""
import json
import os
import struct
import subprocess
import tempfile

import dcstream
import numpy as np
from compare import load


def save(path, tensors):
    """A safetensors file whose data begin at a multiple of 64 bytes."""
    at, head = 0, {}
    order = sorted(tensors, key=lambda k: tensors[k].nbytes % 64 != 0)
    for k in order:
        head[k] = {'dtype': 'F32', 'shape': list(tensors[k].shape), 'data_offsets': [at, at + tensors[k].nbytes]}
        at += tensors[k].nbytes
    text = json.dumps(head).encode()
    text += b' ' * (-(len(text) + 8) % 64)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text)
        for k in order:
            f.write(np.ascontiguousarray(tensors[k], '<f4').tobytes())


class Ring:
    def __init__(self, config, tensors, threads=2, options=(), stderr=None):
        self.dir = tempfile.TemporaryDirectory(dir='.')
        d = self.dir.name
        os.mkdir(d + '/shm')
        save(d + '/shm/parameters.safetensors', tensors)
        save(d + '/shm/gradients.safetensors', {k: np.zeros(v.shape, 'f4') for k, v in tensors.items()})
        os.mkfifo(d + '/loop')
        self.p = subprocess.Popen(['dc-encode', '--loop', d + '/loop', '--threads', str(threads), *options],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
        self.loop = open(d + '/loop', 'wb')
        self.frames = dcstream.frames(self.p.stdout)
        self.refs = {k: dcstream.Ref('<f4', v.shape, 'parameters.safetensors', k) for k, v in tensors.items()}
        self.step, self.owed = 0, False
        dcstream.write(self.loop, 'state', 0, {'config': json.dumps(config), 'step': 0, 'position': 0})
        self.parameters()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if error[0]:
            self.p.kill()
        else:
            if self.owed:
                self.gradients({'skip': True})
            end = {'counts': {}, 'damaged': []}
            dcstream.write(self.p.stdin, 'end', self.step, end)
            self.take('end')
            dcstream.write(self.loop, 'end', self.step, end)
        self.p.stdin.close()
        self.loop.close()
        status = self.p.wait()
        self.p.stdout.close()
        self.dir.cleanup()
        if not error[0] and status:
            raise RuntimeError('dc-encode ended with %s' % status)

    def parameters(self):
        dcstream.write(self.loop, 'parameters', self.step, {'parameter': self.refs})

    def take(self, kind):
        for f in self.frames:
            if f.kind == kind:
                return f.body
            if f.kind not in ('state', 'parameters'):
                raise RuntimeError('%s came, wanted %s' % (f.kind, kind))
        raise RuntimeError('dc-encode ended with %s, wanted %s' % (self.p.wait(), kind))

    def features(self, parts):
        at = 0
        for i, b in enumerate(parts):
            n = len(b['image.0'])
            body = dict(b, id=np.arange(at, at + n, dtype='u8'), slot=np.arange(at, at + n), epoch=np.zeros(n, 'i4'),
                        key=['%06d' % k for k in range(at, at + n)], position=self.step + 1, part=[i, len(parts)])
            dcstream.write(self.p.stdin, 'batch', self.step, body, pad=bool(i % 2))
            at += n
        self.owed = True
        return self.take('features')

    def gradients(self, d):
        dcstream.write(self.loop, 'dfeatures', self.step, d)
        self.owed = False
        names, body = [], {}
        while not body.get('last'):
            body = self.take('gradients')
            names += list(body['gradient'])
        file, _ = load(self.dir.name + '/shm/gradients.safetensors')
        self.step += 1
        self.parameters()
        return {k: file[k] for k in names}, body
