# SPDX-License-Identifier: MIT
"""Whether a model that dc-init wrote is distributed as OpenAI's CLIP initialises it (numpy only).

    check_init.py DIR [released]      the tensors' mean and spread, one TAP-free line for each that is off
    check_init.py --open-clip DIR     loads it strictly into open_clip, and runs it (exit 77 without torch or open_clip)"""
import importlib
import json
import math
import os
import sys
from unittest.mock import MagicMock

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from compare import load


def spread(name, shape, cfg, released):
    """(kind, scale): normal with this deviation, uniform within +-scale, or a constant."""
    image = name.startswith("visual.")
    v, t = cfg["vision_cfg"], cfg["text_cfg"]
    width, layers = (v["width"], v["layers"]) if image else (t["width"], t["layers"])
    if name.startswith("simsiam") or name.startswith("mlm"):
        if ".bn." in name:
            return "constant", float(name.endswith("weight"))
        fan_in = {"mlm": t["width"]}.get(name.split(".")[0])
        if fan_in is None:
            fan_in = {"projector.0": cfg["embed_dim"], "predictor.1": 512}.get(".".join(name.split(".")[1:3]), 1024)
        return "uniform", 1 / math.sqrt(fan_in)
    if name == "mask_embedding" or name == "token_embedding.weight":
        return "normal", 0.02
    if name == "positional_embedding" or name == "visual.positional_embedding" and released:
        return "normal", 0.01
    if name == "logit_scale":
        return "constant", math.log(1 / 0.07)
    if ".ln_" in name or name.startswith("ln_"):
        return "constant", float(name.endswith("weight"))
    if name.endswith(("in_proj_bias", "out_proj.bias")):
        return "constant", 0.0
    if name.endswith("c_fc.bias"):
        return "uniform", width ** -0.5
    if name.endswith("c_proj.bias"):
        return "uniform", (4 * width) ** -0.5
    if name == "visual.conv1.weight":
        return "uniform", (3 * v["patch_size"] ** 2) ** -0.5
    if name.endswith(("class_embedding", "visual.positional_embedding", "visual.proj", "text_projection")):
        return "normal", width ** -0.5
    if image and not released:
        return "uniform", {"in_proj_weight": math.sqrt(6 / (4 * width)), "c_proj.weight": (4 * width) ** -0.5}.get(
            name.split("attn.")[-1].split("mlp.")[-1], width ** -0.5)
    proj = width ** -0.5 * (2 * layers) ** -0.5
    return "normal", {"in_proj_weight": width ** -0.5, "c_fc.weight": (2 * width) ** -0.5}.get(
        name.split("attn.")[-1].split("mlp.")[-1], proj)


def off(x, kind, scale):
    x = x.astype("f8").ravel()
    if kind == "constant":
        return not np.all(x == np.float32(scale))
    deviation = scale if kind == "normal" else scale / math.sqrt(3)
    n = len(x)
    if kind == "uniform" and (np.abs(x).max() > scale * (1 + 1e-6) or n > 500 and np.abs(x).max() < 0.97 * scale):
        return True
    if kind == "normal" and n > 500 and not 2.5 * scale < np.abs(x).max() < 7 * scale:
        return True
    return abs(x.mean()) > 5 * deviation / math.sqrt(n) or abs(x.std() / deviation - 1) > 5 / math.sqrt(2 * n)


def check(directory, released):
    with open(directory + "/open_clip_config.json") as f:
        cfg = json.load(f)["model_cfg"]
    tensors = load(directory + "/open_clip_model.safetensors")[0]
    tensors.update(load(directory + "/heads/declip.safetensors")[0])
    bad = 0
    for name, x in tensors.items():
        kind, scale = spread(name, x.shape, cfg, released)
        if off(x, kind, scale):
            print("%s: wanted %s %g; mean %g, deviation %g, largest %g" % (name, kind, scale, x.mean(), x.std(), np.abs(x).max()))
            bad += 1
    a, b = tensors["visual.transformer.resblocks.0.attn.in_proj_weight"], tensors["visual.transformer.resblocks.1.attn.in_proj_weight"]
    if abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) > 0.1:
        print("two layers draw the same numbers")
        bad += 1
    return bad > 0


def open_clip_loads(directory):
    for _ in range(40):  # what it imports and the model does not need (torchvision, tqdm ...) may be missing
        try:
            import torch
            clip = importlib.import_module("open_clip.model")
            break
        except ModuleNotFoundError as e:
            if e.name in ("torch", "open_clip"):
                return 77
            sys.modules[e.name] = MagicMock()
    else:
        return 77
    with open(directory + "/open_clip_config.json") as f:
        cfg = json.load(f)["model_cfg"]
    model = clip.CLIP(**cfg).eval()
    state = {k: torch.tensor(v) for k, v in load(directory + "/open_clip_model.safetensors")[0].items()}
    model.load_state_dict(state, strict=True)
    size, length = cfg["vision_cfg"]["image_size"], cfg["text_cfg"]["context_length"]
    with torch.no_grad():
        out = model(torch.zeros(2, 3, size, size), torch.ones(2, length, dtype=torch.long))
    return not all(torch.isfinite(x).all() for x in out)


if sys.argv[1] == "--open-clip":
    sys.exit(open_clip_loads(sys.argv[2]))
sys.exit(check(sys.argv[1], "released" in sys.argv[2:]))
