# SPDX-License-Identifier: MIT
"""The stream of dc (man dc-stream) in Python, for tests and for programs that stand in the ring.

    for kind, step, body in dcstream.read(sys.stdin.buffer):
        dcstream.write(sys.stdout.buffer, kind, step, body)

A frame is three msgpack objects: the header ["dcs1", kind, step, bytes of the body], the body (a map), and the
XXH3-64 of the body's bytes. Tensors in a body are numpy arrays; by reference they are Ref."""
import os
import struct
from collections import namedtuple

import msgpack
import msgpack_numpy
import numpy as np
import xxhash

MAGIC = "dcs1"
BODY_MAX = 1 << 30
TYPES = ("<f4", "<f8", "<i4", "<i8", "<u8", "|u1")

Ref = namedtuple("Ref", "type shape file name")  # a tensor that lies in `file`, a safetensors file of the run


class StreamError(Exception):
    """The stream is damaged; the message says where."""


class Frame:
    """One frame as it came: kind, step, raw (all its bytes, to be passed on); body is unpacked on first use."""

    def __init__(self, kind, step, raw, body_bytes):
        self.kind, self.step, self.raw, self._bytes, self._body = kind, step, raw, body_bytes, None

    @property
    def body(self):
        if self._body is None:
            self._body = unpack(self._bytes)
        return self._body


def _hook(obj):
    if b"nd" not in obj:
        return obj
    kind, shape = obj.get(b"kind", b""), obj.get(b"shape")
    kind = kind.encode() if isinstance(kind, str) else kind
    dtype = obj.get(b"type")
    dtype = dtype.decode() if isinstance(dtype, bytes) else dtype
    # msgpack-numpy would unpickle kind b"O", that is run what the stream says
    if kind != b"" or dtype not in TYPES or obj[b"nd"] is not True:
        raise StreamError("a tensor of kind %r, type %r" % (kind, dtype))
    if b"file" in obj:
        return Ref(dtype, tuple(shape), _text(obj[b"file"]), _text(obj[b"name"]))
    want = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    if len(obj[b"data"]) != want:
        raise StreamError("a tensor %s %s of %d bytes, wanted %d" % (dtype, shape, len(obj[b"data"]), want))
    return np.ndarray(shape, dtype, obj[b"data"])


def _text(s):
    return s.decode() if isinstance(s, bytes) else s


def unpack(body):
    """A body's bytes as a dict of numpy arrays, Refs, numbers, strings, lists and dicts."""
    try:
        out = msgpack.unpackb(body, raw=False, object_hook=_hook)
    except (ValueError, KeyError, TypeError) as e:
        raise StreamError("body: %s" % (e or type(e).__name__))
    if not isinstance(out, dict):
        raise StreamError("body is not a map")
    return out


def _exactly(f, n, what, at):
    data = f.read(n)
    if len(data) != n:
        raise StreamError("byte %d: the stream ends inside %s" % (at + len(data), what))
    return data


def _scalar(f, what, at):
    """The next small msgpack object, a string or an unsigned number, with its bytes."""
    raw = _exactly(f, 1, what, at)
    c = raw[0]
    more = c & 31 if 0xA0 <= c <= 0xBF else {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(c, 0)
    if c == 0xD9:
        raw += _exactly(f, 1, what, at)
        more = raw[1]
    elif c > 0x7F and not more:
        raise StreamError("byte %d: %s is neither a short string nor an unsigned number" % (at, what))
    raw += _exactly(f, more, what, at + len(raw))
    return msgpack.unpackb(raw, raw=False), raw


def frames(f):
    """Every Frame of the buffered binary file f, to its end; StreamError for whatever is wrong with it.
    Never waits for more than the frame it is about to give, so it can stand in a running ring."""
    at = number = 0
    while True:
        raw = f.read(1)
        if not raw:
            return
        number += 1
        try:
            if raw != b"\x94":
                raise StreamError("byte %d: no frame begins here" % at)
            values = []
            for what in ("magic", "kind", "step", "body length"):
                v, more = _scalar(f, what, at + len(raw))
                values.append(v)
                raw += more
                if what == "magic" and v != MAGIC:
                    raise StreamError("byte %d: version %r, wanted %r" % (at + 1, v, MAGIC))
            _, kind, step, n = values
            if not isinstance(kind, str) or not isinstance(step, int) or not isinstance(n, int) or n > BODY_MAX:
                raise StreamError("byte %d: header says kind %r, step %r, body of %r bytes" % (at, kind, step, n))
            body = _exactly(f, n, "the body", at + len(raw))
            want, tail = _scalar(f, "the trailer", at + len(raw) + n)
            if want != xxhash.xxh3_64_intdigest(body):
                raise StreamError("byte %d: the body does not match its checksum" % at)
        except StreamError as e:
            raise StreamError("frame %d: %s" % (number, e)) from None
        raw = raw + body + tail
        yield Frame(kind, step, raw, body)
        at += len(raw)


def read(f):
    """(kind, step, body) of every frame of f."""
    for frame in frames(f):
        yield frame.kind, frame.step, frame.body


def _ref(r):
    return {b"nd": True, b"type": r.type, b"kind": b"", b"shape": list(r.shape), b"file": r.file, b"name": r.name}


def _encode(obj):
    return msgpack_numpy.encode(obj)


def _plain(v):
    """What msgpack and msgpack-numpy should see: a Ref as its map (it is a tuple), numpy's scalars as numbers."""
    if isinstance(v, Ref):
        return _ref(v)
    if isinstance(v, dict):
        return {k: _plain(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [_plain(x) for x in v]
    if isinstance(v, np.generic):
        return v.item()  # a numpy scalar is a number here, not msgpack-numpy's map
    return np.ascontiguousarray(v) if isinstance(v, np.ndarray) and v.ndim else v


class _Padded:
    """A body in which every tensor's data begin at a multiple of 64 bytes."""

    def __init__(self):
        self.out = bytearray()

    def put(self, v):
        if isinstance(v, np.ndarray):
            self.tensor(v)
        elif isinstance(v, dict):
            self.out += msgpack.Packer().pack_map_header(len(v))
            for k, x in v.items():
                self.out += msgpack.packb(k)
                self.put(x)
        elif isinstance(v, list):
            self.out += msgpack.Packer().pack_array_header(len(v))
            for x in v:
                self.put(x)
        else:
            self.out += msgpack.packb(v, default=_encode)

    def tensor(self, v):
        self.out += msgpack.Packer().pack_map_header(6)
        for k, x in ((b"nd", True), (b"type", v.dtype.str), (b"kind", b""), (b"shape", list(v.shape))):
            self.out += msgpack.packb(k) + msgpack.packb(x)
        data = msgpack.packb(v.tobytes())
        before = msgpack.packb(b"data") + data[:len(data) - v.nbytes]
        self.out += msgpack.packb(b"pad")
        self.out += msgpack.packb(bytes(-(len(self.out) + 2 + len(before)) % 64))
        self.out += before + v.tobytes()
        assert (len(self.out) - v.nbytes) % 64 == 0


def pack(body, pad=False):
    """A body's bytes; with pad, tensors are aligned to 64 bytes (the C tools then need no copy)."""
    body = _plain(body)
    if not pad:
        return msgpack.packb(body, default=_encode)
    p = _Padded()
    p.put(body)
    return bytes(p.out)


def frame_bytes(kind, step, body, magic=MAGIC):
    """A frame around a body's bytes."""
    trailer = b"\xcf" + struct.pack(">Q", xxhash.xxh3_64_intdigest(body))
    return msgpack.packb([magic, kind, step, len(body)]) + body + trailer


def write(out, kind, step, body, pad=False):
    """Write one frame and flush, so that nobody downstream waits for a full buffer.

    Where the reader is gone the program ends with status 3, silently: whoever went away says why."""
    try:
        out.write(frame_bytes(kind, step, pack(body, pad)))
        out.flush()
    except BrokenPipeError:
        os._exit(3)


def save(path, frames):
    """Write (kind, step, body) ... to a file."""
    with open(path, "wb") as out:
        for kind, step, body in frames:
            write(out, kind, step, body)
