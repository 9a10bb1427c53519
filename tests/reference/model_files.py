# SPDX-License-Identifier: MIT
"""Models as files, in numpy: what dc-export must write, from a list of names written down here on its own.

    model_files.py shake DIR SEED                fill every tensor of a model directory with random numbers
    model_files.py expect FORMAT DIR FILE [TYPE] FILE has DIR's model under that format's names (openai, hf, declip)
    model_files.py damage IN OUT PYTHON          write IN's tensors t (and metadata m) again, changed
    model_files.py batch CONFIG OUT              a stream with one batch of random images and captions for that model

Tensors of bfloat16 are numpy's u2, marked by BF16(...)."""
import json
import os
import struct
import sys

import numpy as np

TYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "|u1"}


class BF16(np.ndarray):
    """The upper halves of floats."""


def bf16(x):
    u = np.array(x, "<f4", order="C", ndmin=1).view("<u4").astype("u8")
    return ((u + 0x7FFF + (u >> 16 & 1)) >> 16).astype("<u2").view(BF16).reshape(np.shape(x))


def load(path):
    with open(path, "rb") as f:
        data = f.read()
    n, = struct.unpack("<Q", data[:8])
    head = json.loads(data[8:8 + n])
    meta, out = head.pop("__metadata__", {}), {}
    for name, t in head.items():
        lo, hi = t["data_offsets"]
        x = np.frombuffer(data[8 + n + lo:8 + n + hi], "<u2" if t["dtype"] == "BF16" else TYPES[t["dtype"]])
        x = x.reshape(t["shape"])
        out[name] = x.view(BF16) if t["dtype"] == "BF16" else x
    return out, meta


def type_of(x):
    return "BF16" if isinstance(x, BF16) else {np.dtype(v): k for k, v in TYPES.items()}[x.dtype]


def save(path, tensors, meta=None):
    head, at = {"__metadata__": meta} if meta else {}, 0
    for name, x in tensors.items():
        head[name] = {"dtype": type_of(x), "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(np.ascontiguousarray(x).tobytes() for x in tensors.values()))


def shake(directory, seed):
    """Random numbers of a size at which the towers neither vanish nor saturate; in place, so the layout stays."""
    rng = np.random.default_rng(seed)
    for name in ("open_clip_model.safetensors", "heads/declip.safetensors", "state.safetensors"):
        path = f"{directory}/{name}"
        if not os.path.exists(path):
            continue
        with open(path, "r+b") as f:
            n, = struct.unpack("<Q", f.read(8))
            head = json.loads(f.read(n))
            for key, t in head.items():
                if key == "__metadata__" or key == "nn_queue":
                    continue
                shape = t["shape"]
                x = rng.standard_normal(shape) * (0.05 if len(shape) < 2 else shape[-1] ** -0.5)
                if key.endswith("running_var") or (".ln_" in "." + key or ".bn." in key) and key.endswith("weight"):
                    x = 1 + abs(x)
                if key == "logit_scale":
                    x = np.array(3.3)
                f.seek(8 + n + t["data_offsets"][0])
                f.write(x.astype("<f4").tobytes())


def model(directory):
    """Towers, heads and the rest of a directory, under our names; and its configuration."""
    t = dict(load(directory + "/open_clip_model.safetensors")[0])
    for name in ("heads/declip.safetensors", "heads/extra.safetensors", "state.safetensors"):
        try:
            t.update((k, v) for k, v in load(f"{directory}/{name}")[0].items() if k != "nn_queue")
        except FileNotFoundError:
            pass
    with open(directory + "/open_clip_config.json") as f:
        return t, json.load(f)


def as_openai(t):
    return {k: v for k, v in t.items() if not k.startswith(("simsiam", "mlm", "mask"))}


def as_hf(t):
    out = {"logit_scale": t["logit_scale"],
           "visual_projection.weight": t["visual.proj"].T, "text_projection.weight": t["text_projection"].T,
           "vision_model.embeddings.class_embedding": t["visual.class_embedding"],
           "vision_model.embeddings.patch_embedding.weight": t["visual.conv1.weight"],
           "vision_model.embeddings.position_embedding.weight": t["visual.positional_embedding"],
           "text_model.embeddings.token_embedding.weight": t["token_embedding.weight"],
           "text_model.embeddings.position_embedding.weight": t["positional_embedding"]}
    for ours, theirs in (("visual.ln_pre", "vision_model.pre_layrnorm"), ("visual.ln_post", "vision_model.post_layernorm"),
                         ("ln_final", "text_model.final_layer_norm")):
        for what in "weight", "bias":
            out[f"{theirs}.{what}"] = t[f"{ours}.{what}"]
    for ours, theirs in (("visual.transformer.resblocks", "vision_model.encoder.layers"),
                         ("transformer.resblocks", "text_model.encoder.layers")):
        i = 0
        while f"{ours}.{i}.ln_1.weight" in t:
            a, b = f"{ours}.{i}.", f"{theirs}.{i}."
            for what in "weight", "bias":
                for x, y in (("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("attn.out_proj", "self_attn.out_proj"),
                             ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")):
                    out[f"{b}{y}.{what}"] = t[f"{a}{x}.{what}"]
                q, k, v = np.split(t[f"{a}attn.in_proj_{what}"], 3)
                out[f"{b}self_attn.q_proj.{what}"] = q
                out[f"{b}self_attn.k_proj.{what}"] = k
                out[f"{b}self_attn.v_proj.{what}"] = v
            i += 1
    return out


def as_declip(t):
    V = len(t["token_embedding.weight"])

    def with_mask(x, row):
        return np.concatenate([x[:V - 2], row, x[V - 2:]])

    out = {"logit_scale": t["logit_scale"].reshape(1)}
    for k, v in t.items():
        if k.startswith("visual."):
            out[k] = v
        elif k.startswith(("transformer.", "ln_final.", "text_projection.")) or k == "positional_embedding":
            out["encode_text." + k] = v
    if "text_projection" in t:
        out["encode_text.text_projection.weight"] = t["text_projection"].T
        out["encode_text.text_projection.bias"] = np.zeros(t["text_projection"].shape[1], "<f4")
    width = t["token_embedding.weight"].shape[1]
    out["encode_text.token_embedding.weight"] = with_mask(
        t["token_embedding.weight"], t.get("mask_embedding", np.zeros((1, width), "<f4")))
    if "mlm.weight" in t:
        out["text_label_predictor.weight"] = with_mask(t["mlm.weight"], t.get("mlm.mask_weight", np.zeros((1, width), "<f4")))
        out["text_label_predictor.bias"] = with_mask(t["mlm.bias"], t.get("mlm.mask_bias", np.full(1, -8192, "<f4")))
    if "simsiam.projector.0.weight" in t:
        for ours, theirs, bn in (("projector.0", "projector.linear1", "projector.bn1"),
                                 ("projector.1", "projector.linear2", "projector.bn2"),
                                 ("projector.2", "projector.linear3", "projector.bn3"),
                                 ("predictor.0", "predictor.linear1", "predictor.bn1"),
                                 ("predictor.1", "predictor.layer2", None)):
            for what in "weight", "bias":
                out[f"{theirs}.{what}"] = t[f"simsiam.{ours}.{what}"]
            for what in ("weight", "bias", "running_mean", "running_var") if bn else ():
                out[f"{bn}.{what}"] = t[f"simsiam.{ours}.bn.{what}"]
            if bn:
                out[f"{bn}.num_batches_tracked"] = t.get(f"simsiam.{ours}.bn.num_batches_tracked", np.zeros((), "<f4")).astype("<i8")
    return {"module." + k: v for k, v in out.items()}


FORMATS = {"openai": as_openai, "hf": as_hf, "declip": as_declip}


def expect(format_, directory, path, kind="F32"):
    t, config = model(directory)
    want, (got, meta) = FORMATS[format_](t), load(path)
    assert set(want) == set(got), sorted(set(want) ^ set(got))
    for k, v in want.items():
        if v.dtype != np.dtype("<i8"):
            v = {"F32": np.asarray, "F16": lambda x: x.astype("<f2"), "BF16": bf16}[kind](v)
        assert type_of(v) == type_of(got[k]), (k, type_of(got[k]))
        assert v.shape == got[k].shape, (k, v.shape, got[k].shape)
        assert np.ascontiguousarray(v).tobytes() == got[k].tobytes(), k
    assert meta["format"] == "pt" and json.loads(meta["open_clip_config"]) == config, meta


def damage(source, out, code):
    t, m = load(source)
    exec(code, {"t": t, "m": m, "np": np, "bf16": bf16})
    save(out, t, m)


def batch(config, out, n=5):
    import dcstream
    with open(config) as f:
        c = json.load(f)
    c = c.get("model_cfg", c)
    rng = np.random.default_rng(7)
    S, T, V = c["vision_cfg"]["image_size"], c["text_cfg"].get("context_length", 77), c["text_cfg"].get("vocab_size", 49408)
    token = np.zeros((n, T), "<i4")
    for i in range(n):
        k = 2 + int(rng.integers(0, T - 1))
        token[i, :k] = [V - 2, *rng.integers(0, V - 2, k - 2), V - 1]
    body = {"image.0": rng.integers(0, 256, (n, S, S, 3)).astype("|u1"), "token.0": token, "position": 1}
    with open(out, "wb") as f:
        dcstream.write(f, "batch", 0, body)
        dcstream.write(f, "end", 0, {"counts": {}})


if __name__ == "__main__":
    {"shake": lambda d, s: shake(d, int(s)), "expect": expect, "damage": damage, "batch": batch}[sys.argv[1]](*sys.argv[2:])
