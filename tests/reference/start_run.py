# SPDX-License-Identifier: MIT
"""A run directory that begins where three_steps.py began: RUN/step-00000000 from tests/golden/steps. numpy only.

    start_run.py GOLDEN_DIR CASE RUN"""
import json
import os
import shutil
import struct
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare

HEAD = 50  # of the queue
CODE = {"<f4": "F32", "<i8": "I64"}


def save(path, tensors, meta=None):
    """A safetensors file. The header is padded to 64 bytes, and sizes that are multiples of 64 come first."""
    head, data = ({"__metadata__": meta} if meta else {}), b""
    for name in sorted(tensors, key=lambda n: (tensors[n].nbytes % 64 != 0, n)):
        t = tensors[name]
        head[name] = {"dtype": CODE[t.dtype.str], "shape": list(t.shape), "data_offsets": [len(data), len(data) + t.nbytes]}
        data += t.tobytes()
    text = json.dumps(head).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def main(golden, case, run):
    with open("%s/%s.json" % (golden, case)) as f:
        config = json.load(f)
    model, _ = compare.load(golden + "/start/open_clip_model.safetensors")
    heads, _ = compare.load(golden + "/start/heads/declip.safetensors")
    state, _ = compare.load(golden + "/start/stats.safetensors")
    queue = state["nn_queue"]
    meta = {"config": json.dumps(config), "step": "0", "position": "0"}
    if config["method"] == "declip":
        meta.update(nn_head=str(HEAD), nn_valid=str(len(queue)))
    else:
        heads, state = {}, {}
    model["logit_scale"] = np.array(compare.LOGIT_SCALE[case], "<f4")
    parameters = {**model, **heads}
    for name, p in parameters.items():
        state["m." + name] = state["v." + name] = np.zeros_like(p)
    first = run + "/step-00000000"
    os.makedirs(first + "/heads")
    save(first + "/open_clip_model.safetensors", model)
    if heads:
        save(first + "/heads/declip.safetensors", heads)
    save(first + "/state.safetensors", state, meta)
    with open(first + "/open_clip_config.json", "w") as f:
        json.dump(config["model"], f)
    os.symlink("step-00000000", run + "/latest")


if __name__ == "__main__":
    main(*sys.argv[1:])
