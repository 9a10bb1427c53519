#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A filter for the ring: scales the gradient that reaches the text tower, and passes every other frame on.

    ... | dc-loss | scale_gradient.py 0.5 | dc-step --run RUN --loop RUN/loop

Needs python3-msgpack-numpy and python3-xxhash, and dcstream.py, which is in tests/reference of the sources and beside this
file where dc is installed. The frames: man dc-stream."""
import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../tests/reference"))
import dcstream


def main(factor):
    out, kind = sys.stdout.buffer, ""
    for frame in dcstream.frames(sys.stdin.buffer):
        kind = frame.kind
        if kind == "dfeatures":
            for name in frame.body:
                if name.startswith("text_features."):
                    frame.body[name] = frame.body[name] * factor
            dcstream.write(out, kind, frame.step, frame.body)
        else:
            out.write(frame.raw)
            out.flush()  # the neighbour waits for this frame, not for a full buffer
    return 0 if kind == "end" else 3  # 3: a neighbour went away, and says why itself


if __name__ == "__main__":
    try:
        sys.exit(main(float(sys.argv[1])))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing is left to flush at exit
        sys.exit(3)
    except dcstream.StreamError as e:
        sys.exit("scale_gradient: <stdin>: %s" % e)
