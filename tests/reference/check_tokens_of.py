# SPDX-License-Identifier: MIT
"""dc-encode --model RUN --tokens against the same encoder in the ring, on one batch: FILIP's tokens, the offsets and the scale.

    check_tokens_of.py RUN"""
import json
import os
import subprocess
import sys

import numpy as np

import dcstream
from compare import load
from encode_ring import Ring

KEYS = ("filip_image", "filip_text", "filip_off")


def batch(config, n, rng):
    """Captions of 0 to all words; the masked ones are the same."""
    c = config["model"]["model_cfg"]
    S, T, V = c["vision_cfg"]["image_size"], c["text_cfg"]["context_length"], c["text_cfg"]["vocab_size"]
    token = np.zeros((n, T), "i4")
    for i, words in enumerate(np.linspace(0, T - 2, n).astype(int)):
        token[i, :words + 2] = [V - 2, *rng.integers(1, V - 2, words), V - 1]
    b = {"image.%d" % v: rng.integers(0, 256, (n, S, S, 3)).astype("u1") for v in (0, 1)}
    return b | {"token.0": token, "token.1": token, "mlm_token": token, "mlm_target": np.full((n, T), -1, "i4")}


def main(run):
    d = os.path.join(run, "latest")
    config = json.loads(load(d + "/state.safetensors")[1]["config"])
    tensors = load(d + "/open_clip_model.safetensors")[0] | load(d + "/heads/declip.safetensors")[0]
    b = batch(config, 6, np.random.default_rng(1))
    nobody = {k: v[:0] for k, v in b.items()}
    with Ring(config, tensors) as ring:
        ring.features([nobody])  # before there is room for anything
        ring.gradients({"skip": True})
        want = ring.features([b])
    with open("in.dcs", "wb") as f:
        dcstream.write(f, "batch", 0, nobody | {"id": np.zeros(0, "u8"), "position": 1, "part": [0, 1]})
        dcstream.write(f, "batch", 0, b | {"id": np.arange(6).astype("u8"), "position": 2, "part": [0, 1]})
        dcstream.write(f, "end", 0, {"counts": {}, "damaged": []})
    with open("in.dcs", "rb") as i:
        out = subprocess.run(["dc-encode", "--model", run, "--tokens"], stdin=i, stdout=subprocess.PIPE, check=True).stdout
    with open("out.dcs", "wb") as f:
        f.write(out)
    with open("out.dcs", "rb") as f:
        none, got = [x.body for x in dcstream.frames(f) if x.kind == "features"]
    for k in KEYS:
        if got[k].shape != want[k].shape or not np.allclose(got[k], want[k], rtol=1e-5, atol=1e-6):
            sys.exit("%s differs: %s" % (k, np.abs(got[k] - want[k]).max() if got[k].shape == want[k].shape else got[k].shape))
    if got["filip_logit_scale"] != want["filip_logit_scale"]:
        sys.exit("filip_logit_scale: %r, not %r" % (got["filip_logit_scale"], want["filip_logit_scale"]))
    if none["filip_image"].shape != (0,) + want["filip_image"].shape[1:] or list(none["filip_off"]) != [0]:
        sys.exit("a batch without samples: %s, %s" % (none["filip_image"].shape, none["filip_off"]))
    words = np.diff(want["filip_off"])
    if words[0] != (2 if config["as"] == "released" else 0) or len(want["filip_text"]) != want["filip_off"][-1]:
        sys.exit("words of the first caption: %d" % words[0])


main(sys.argv[1])
