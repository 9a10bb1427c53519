# SPDX-License-Identifier: MIT
"""The tokenizer's peers, for tests/bench/40-tokenizer.sh. peer_tokens.py VOCABULARY; it answers each line of stdin with one:

    time WHO FILE            WHO: hf (the Rust tokenizer of CLIPTokenizerFast, one thread) or openai (open_clip's copy of
                             OpenAI's, in Python): rows of 77 ids for the lines of FILE; processor seconds
    check WHO FILE ROWS      `same`, or how many of the rows in the stream ROWS differ"""
import gzip
import importlib.util
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference"))
import stubs  # noqa: F401
import numpy as np
import torch
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

T = 77
torch.set_num_threads(1)


def byte_letters():
    """OpenAI's printable stand-ins for the 256 bytes."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in keep]
    return [chr(c) for c in keep] + [chr(256 + i) for i in range(len(rest))]


def hf(path):
    """What transformers' converter makes of CLIP's vocabulary."""
    with gzip.open(path, "rt", encoding="utf-8") as f:
        merges = [tuple(m.split()) for m in f.read().split("\n")[1:49152 - 256 - 2 + 1]]
    letters = byte_letters()
    names = letters + [c + "</w>" for c in letters] + ["".join(m) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocab = {n: i for i, n in enumerate(names)}
    t = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges, end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(tokenizers.Regex(r"\s+"), " "),
                                         normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"),
                             behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    start, end = vocab["<|startoftext|>"], vocab["<|endoftext|>"]
    t.post_processor = processors.RobertaProcessing(("<|endoftext|>", end), ("<|startoftext|>", start), False, False)
    t.enable_truncation(T)
    t.enable_padding(length=T, pad_id=0)
    batch = getattr(t, "encode_batch_fast", t.encode_batch)  # without offsets
    return lambda lines: np.array([e.ids for e in batch(lines)], np.int32)


def openai(path):
    package = importlib.util.find_spec("open_clip")
    spec = importlib.util.spec_from_file_location("tokenizer", os.path.join(os.path.dirname(package.origin), "tokenizer.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    t = module.SimpleTokenizer(bpe_path=path)
    return lambda lines: t(lines, T).numpy()


def lines_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read().split("\n")[:-1]


def check(encode, path, rows):
    import dcstream
    lines = lines_of(path)
    with open(rows, "rb") as f:
        mine = np.concatenate([b["token.0"] for kind, _, b in dcstream.read(f) if kind == "batch"])
    theirs = encode(lines)
    if mine.shape != theirs.shape:
        return "the shapes differ"
    n = int((mine != theirs).any(1).sum())
    return "%d of %d captions" % (n, len(lines)) if n else "same"


made = {"hf": hf(sys.argv[1]), "openai": openai(sys.argv[1])}
for line in sys.stdin:
    command, who, path, *rest = line.split()
    if command == "check":
        print(check(made[who], path, rest[0]), flush=True)
        continue
    captions = lines_of(path)
    before = time.process_time()
    for i in range(0, len(captions), 256):
        made[who](captions[i:i + 256])
    print("%.4f" % (time.process_time() - before), flush=True)
