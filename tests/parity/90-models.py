#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A stage of `make parity`: models move to open_clip, OpenAI's names, Hugging Face and the released DeCLIP and back, and
give the same features everywhere. Features are compared by the norm of the difference over the norm, the worst row;
the references compute in float64 with the same float32 weights."""
import copy
import json
import os
import re
import shutil
import subprocess
import sys
import warnings

import parity

STAGE = 'models'
TOLERANCE = 1e-5
PLAIN = {'embed_dim': 24, 'quick_gelu': True,
         'vision_cfg': {'image_size': 32, 'layers': 3, 'width': 128, 'patch_size': 16},
         'text_cfg': {'context_length': 12, 'vocab_size': 90, 'width': 64, 'heads': 1, 'layers': 2}}
ODD = {'embed_dim': 10,
       'vision_cfg': {'image_size': 19, 'layers': 2, 'width': 24, 'head_width': 8, 'patch_size': 6, 'mlp_ratio': 1.5},
       'text_cfg': {'context_length': 9, 'vocab_size': 40, 'width': 16, 'heads': 4, 'layers': 3}}
BIAS = copy.deepcopy(PLAIN)
BIAS['text_cfg']['proj_bias'] = True
SMALL = {'plain': PLAIN, 'odd': ODD, 'bias': BIAS}
HEADS = ['--queue', '4', '--simsiam-width', '12', '--simsiam-hidden', '6']


def tool(*command, **kw):
    return parity.run(*map(str, command), **kw)


def dump(name, what):
    with open(name, 'w') as f:
        json.dump(what, f)
    return name


def features(model, stream):
    """What dc-encode makes of a stream: image and text features of its batches."""
    import dcstream
    import numpy as np
    with open(stream, 'rb') as f, open('features.dcs', 'wb') as out:
        subprocess.run(['dc-encode', '--model', model], stdin=f, stdout=out, check=True)
    image, text = [], []
    with open('features.dcs', 'rb') as f:
        for kind, _, body in dcstream.read(f):
            if kind == 'features':
                image.append(body['image_features.0'])
                text.append(body['text_features.0'])
    return np.concatenate(image), np.concatenate(text)


def inputs(stream, mean, std):
    """The batch of a stream as torch's pixel values in float64, and tokens."""
    import dcstream
    import numpy as np
    import torch
    with open(stream, 'rb') as f:
        bodies = [body for kind, _, body in dcstream.read(f) if kind == 'batch']
    pixels = torch.tensor(np.concatenate([b['image.0'] for b in bodies])).permute(0, 3, 1, 2).double() / 255
    pixels = (pixels - torch.tensor(mean).double().view(3, 1, 1)) / torch.tensor(std).double().view(3, 1, 1)
    return pixels, torch.tensor(np.concatenate([b['token.0'] for b in bodies])).long()


def worst(got, want):
    """The worst row's relative error; NaN is infinite."""
    import numpy as np
    want = want.detach().numpy()
    e = np.linalg.norm(got.astype('f8') - want, axis=1) / np.linalg.norm(want, axis=1)
    return float('inf') if np.isnan(e).any() else float(e.max()), int((~(e <= TOLERANCE)).sum())


class Rows:
    """The cases of one row of the table, gathered."""

    def __init__(self, what, against):
        self.what, self.against, self.cases, self.differences, self.worst = what, against, 0, 0, 0.

    def add(self, got, want):
        for g, w in zip(got, want):
            e, bad = worst(g, w)
            self.cases, self.differences, self.worst = self.cases + len(g), self.differences + bad, max(self.worst, e)

    def put(self):
        parity.row(STAGE, self.what, self.against, self.cases, self.differences, self.worst, TOLERANCE)


def torch_of(model, stream, mean, std):
    """open_clip's features of a stream."""
    import torch
    pixels, tokens = inputs(stream, mean, std)
    model = model.double().eval()
    with torch.no_grad():
        return model.encode_image(pixels), model.encode_text(tokens)


def cfg_of(directory):
    with open(f'{directory}/open_clip_config.json') as f:
        return json.load(f)


def made(name, cfg, seed, *options):
    """A model directory of ours, its tensors random, and a stream of batches for it."""
    import model_files
    dump(f'{name}.json', cfg)
    tool('dc-init', '--arch', f'./{name}.json', '--model', name, *(options or HEADS))
    model_files.shake(name, seed)
    model_files.batch(f'{name}.json', f'{name}.dcs', 8)
    return name


# --- open_clip ---

def open_clip_loads_ours():
    import open_clip
    rows = Rows('our directories as local-dir:, small towers of three kinds', 'open_clip')
    for name in SMALL:
        model = open_clip.create_model(f'local-dir:{name}')
        pre = cfg_of(name)['preprocess_cfg']
        rows.add(features(name, f'{name}.dcs'), torch_of(model, f'{name}.dcs', pre['mean'], pre['std']))
    rows.put()


def whole_size():
    """ViT-B/32 and, where there are photos, everything from files to features."""
    import model_files
    import numpy as np
    import open_clip
    made('b32', {'embed_dim': 512, 'quick_gelu': True,
                 'vision_cfg': {'image_size': 224, 'layers': 12, 'width': 768, 'patch_size': 32},
                 'text_cfg': {'context_length': 77, 'vocab_size': 49408, 'width': 512, 'heads': 8, 'layers': 12}},
         5, '--method', 'clip')
    model, _, preprocess = open_clip.create_model_and_transforms('local-dir:b32')
    pre = cfg_of('b32')['preprocess_cfg']
    rows = Rows('our ViT-B/32 as local-dir:', 'open_clip')
    rows.add(features('b32', 'b32.dcs'), torch_of(model, 'b32.dcs', pre['mean'], pre['std']))
    rows.put()
    vocab = os.path.join(os.path.dirname(open_clip.__file__), 'bpe_simple_vocab_16e6.txt.gz')
    tar = parity.data('flickr8k', 'dev-000.tar')
    if tar:
        files_to_features(model, preprocess, open_clip.get_tokenizer('ViT-B-32'), vocab, tar)
    else:
        parity.skip(STAGE, 'photos and captions, from files to features', 'open_clip', 'no data')


def files_to_features(model, preprocess, tokenizer, vocab, tar, n=16):
    """The tools in a pipe, against open_clip's own preprocessing and tokenizer on the same files."""
    import io
    import tarfile
    import torch
    from PIL import Image
    script = ('dc-decode --batch %d --steps 1 --captions first %s | dc-augment --recipe eval --size 224 | '
              'dc-tokenize --vocab %s --mlm 0 >photos.dcs' % (n, tar, vocab))
    subprocess.run(['bash', '-o', 'pipefail', '-c', script], check=True)
    import dcstream
    with open('photos.dcs', 'rb') as f:
        keys = [k for kind, _, body in dcstream.read(f) if kind == 'batch' for k in body['key']]
    images, texts = [], []
    with tarfile.open(tar) as t:
        members = {m.name: m for m in t}
        for k in keys:
            images.append(preprocess(Image.open(io.BytesIO(t.extractfile(members[k + '.jpg']).read()))))
            texts.append(captions(t, members, k))
    model = model.double()
    with torch.no_grad():
        want = model.encode_image(torch.stack(images).double()), model.encode_text(tokenizer(texts))
    rows = Rows('photos and captions, from files to features (ViT-B/32)', 'open_clip, its transform and tokenizer')
    rows.add(features('b32', 'photos.dcs'), want)
    rows.put()


def captions(t, members, key):
    if key + '.txt' in members:
        return t.extractfile(members[key + '.txt']).read().decode().strip().split('\n')[0]
    raise KeyError(f'{key}: no caption')


class NoTokenizer:
    def save_pretrained(self, directory):
        pass


def we_load_open_clips():
    """What open_clip's own functions save, under each of its file names, in 32 and 16 bits."""
    import open_clip
    import torch
    from open_clip.push_to_hf_hub import save_for_hf
    from open_clip.transform import PreprocessCfg
    import dataclasses
    rows = Rows("open_clip's saved directories, all its names for weights", 'open_clip')
    for i, (name, cfg) in enumerate(SMALL.items()):
        torch.manual_seed(i)
        model = open_clip.CLIP(**copy.deepcopy(cfg))
        for p in model.parameters():
            torch.nn.init.normal_(p, std=max(p.shape[-1:], default=9) ** -0.5) if p.ndim != 1 else p.data.add_(0.05 * torch.randn_like(p))
        open_clip.model.set_model_preprocess_cfg(model, dataclasses.asdict(PreprocessCfg(mean=(.4, .5, .6), std=(.3, .25, .2))))
        save_for_hf(model, NoTokenizer(), cfg, f'saved.{name}', safe_serialization=True)
        assert cfg_of(f'saved.{name}')['preprocess_cfg']['mean'] == [.4, .5, .6]
        want = torch_of(model, f'{name}.dcs', (.4, .5, .6), (.3, .25, .2))
        rows.add(features(f'saved.{name}', f'{name}.dcs'), want)
        for file in 'open_clip_pytorch_model.safetensors', 'model.safetensors':
            shutil.copytree(f'saved.{name}', 'renamed')
            os.rename('renamed/open_clip_model.safetensors', 'renamed/' + file)
            rows.add(features('renamed', f'{name}.dcs'), want)
            shutil.rmtree('renamed')
    rows.put()


def bare_files():
    """OpenAI's names and nothing else, in three types; the reference has the rounded weights as float32."""
    import open_clip
    import torch
    from safetensors.torch import save_file
    for kind in 'float32', 'float16', 'bfloat16':
        rows = Rows(f'bare files with OpenAI\'s names, {kind}', 'open_clip')
        for seed in range(3):
            torch.manual_seed(seed)
            model = open_clip.CLIP(**copy.deepcopy(PLAIN))
            state = {k: (torch.randn(v.shape) * max(v.shape[-1:], default=9) ** -0.5 + (v.ndim == 1)).to(getattr(torch, kind))
                     for k, v in model.state_dict().items()}
            save_file(state, 'bare.safetensors')
            model.load_state_dict({k: v.float() for k, v in state.items()})
            rows.add(features('bare.safetensors', 'plain.dcs'),
                     torch_of(model, 'plain.dcs', open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
        rows.put()


def architectures():
    """Every architecture that comes with open_clip loads with all its tensors, or is refused by a key of its config.
    Where ours takes the config, a file with open_clip's names and shapes (and no numbers: a hole) must be taken too."""
    import glob
    import open_clip
    import struct
    import torch
    taken, refused, wrong_taken, wrong_refused = 0, 0, 0, 0
    os.makedirs('arch', exist_ok=True)
    for path in sorted(glob.glob(os.path.dirname(open_clip.__file__) + '/model_configs/*.json')):
        with open(path) as f:
            cfg = json.load(f)
        dump('arch/open_clip_config.json', {'model_cfg': cfg})
        r = subprocess.run(['dc-init', '--arch', 'arch/open_clip_config.json', '--dry-run'], capture_output=True, text=True)
        if r.returncode:
            refused += 1
            if not re.search(r"(model_cfg|vision_cfg|text_cfg): '(\w+)' is ", r.stderr):
                wrong_refused += 1
                parity.note(os.path.basename(path), r.stderr)
            continue
        taken += 1
        with torch.device('meta'):
            model = open_clip.CLIP(**cfg)
        head, at = {}, 0
        for k, v in model.state_dict().items():
            whole = v.dtype == torch.int64  # a ResNet's num_batches_tracked
            size = (8 if whole else 4) * v.numel()
            head[k] = {'dtype': 'I64' if whole else 'F32', 'shape': list(v.shape), 'data_offsets': [at, at + size]}
            at += size
        text = json.dumps(head).encode()
        text += b' ' * (-len(text) % 8)  # else it would have to be copied, to be aligned
        with open('arch/open_clip_model.safetensors', 'wb') as f:
            f.write(struct.pack('<Q', len(text)) + text)
            f.truncate(8 + len(text) + at)
        r = subprocess.run('dc-encode --model arch </dev/null', shell=True, capture_output=True, text=True)
        if r.returncode not in (0, 3):  # 3: no batch came
            wrong_taken += 1
            parity.note(os.path.basename(path), r.stderr)
        os.remove('arch/open_clip_model.safetensors')
    parity.row(STAGE, "open_clip's architectures that are taken: all names and shapes", 'open_clip', taken, wrong_taken)
    parity.row(STAGE, "open_clip's architectures that are refused, by a key of the config", 'open_clip', refused, wrong_refused)


# --- Hugging Face ---

def hugging_face():
    import torch
    import transformers
    from transformers import CLIPConfig, CLIPModel
    transformers.utils.logging.disable_progress_bar()

    def run(model, name, pre):
        pixels, tokens = inputs(f'{name}.dcs', pre['mean'], pre['std'])
        model = model.double().eval()
        out = []
        with torch.no_grad():
            for x in model.get_image_features(pixel_values=pixels), model.get_text_features(input_ids=tokens):
                out.append(x if torch.is_tensor(x) else x.pooler_output)
        return out

    rows = Rows('our models in transformers\' CLIPModel, loaded without a key missing or left', 'transformers')
    for name in 'plain', 'odd':
        tool('dc-export', '--to', 'hf', '--out', f'{name}.hf', name)
        model, info = CLIPModel.from_pretrained(f'{name}.hf', output_loading_info=True)
        lost = sum(len(info[k]) for k in info if k.endswith('_keys'))
        if lost:
            rows.differences += lost
            parity.note(name, info)
        rows.add(features(name, f'{name}.dcs'), run(model, name, cfg_of(name)['preprocess_cfg']))
    rows.put()
    rows = Rows("what transformers saves, read as it is", 'transformers')
    for i, (name, act, eos) in enumerate((('plain', 'quick_gelu', 89), ('odd', 'gelu', 39), ('plain', 'gelu', 2))):
        cfg = CLIPConfig.from_pretrained(f'{name}.hf')
        cfg.text_config.hidden_act = cfg.vision_config.hidden_act = act
        cfg.text_config.eos_token_id = eos
        torch.manual_seed(i)
        model = CLIPModel(cfg)
        for p in model.parameters():
            torch.nn.init.normal_(p, std=max(p.shape[-1:], default=9) ** -0.5) if p.ndim != 1 else p.data.add_(0.05 * torch.randn_like(p))
        model.save_pretrained('saved.hf')
        pre = json.load(open(f'{name}.json')).get('preprocess_cfg') or cfg_of('plain')['preprocess_cfg']
        rows.add(features('saved.hf', f'{name}.dcs'), run(model, name, pre))
        shutil.rmtree('saved.hf')
    rows.put()


# --- the released DeCLIP ---

def released_modules():
    """Modules of torch with the parameters that the released model has, by name: the towers with their forward passes, and
    the heads, of which only names and shapes are looked at."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.attn = nn.MultiheadAttention(width, heads)
            self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.mlp = nn.ModuleDict({'c_fc': nn.Linear(width, 4 * width), 'c_proj': nn.Linear(4 * width, width)})

        def forward(self, x, mask):
            y = self.ln_1(x)
            x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
            y = self.mlp['c_fc'](self.ln_2(x))
            return x + self.mlp['c_proj'](y * torch.sigmoid(1.702 * y))

    class Tower(nn.Module):
        def __init__(self, width, layers):
            super().__init__()
            self.resblocks = nn.Sequential(*[Block(width, width // 64) for _ in range(layers)])

        def forward(self, x, mask=None):
            x = x.transpose(0, 1)
            for block in self.resblocks:
                x = block(x, mask)
            return x.transpose(0, 1)

    class Image(nn.Module):
        def __init__(self, v, D):
            super().__init__()
            W = v['width']
            self.conv1 = nn.Conv2d(3, W, v['patch_size'], v['patch_size'], bias=False)
            self.class_embedding = nn.Parameter(torch.zeros(W))
            self.positional_embedding = nn.Parameter(torch.zeros((v['image_size'] // v['patch_size']) ** 2 + 1, W))
            self.ln_pre, self.ln_post = nn.LayerNorm(W), nn.LayerNorm(W)
            self.transformer = Tower(W, v['layers'])
            self.proj = nn.Parameter(torch.zeros(W, D))

        def forward(self, x):
            x = self.conv1(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
            return self.ln_post(self.transformer(self.ln_pre(x))[:, 0]) @ self.proj

    class Text(nn.Module):
        def __init__(self, t, D):
            super().__init__()
            W = t['width']
            self.transformer = Tower(W, t['layers'])
            self.token_embedding = nn.Embedding(t['vocab_size'] + 1, W)
            self.positional_embedding = nn.Parameter(torch.zeros(t['context_length'], W))
            self.ln_final = nn.LayerNorm(W)
            self.text_projection = nn.Linear(W, D)

        def forward(self, tokens):
            T = tokens.shape[1]
            mask = torch.full((T, T), -torch.inf, dtype=self.positional_embedding.dtype).triu(1)
            x = self.ln_final(self.transformer(self.token_embedding(tokens) + self.positional_embedding, mask))
            return self.text_projection(x[torch.arange(len(x)), tokens.argmax(1)])

    def mlp(D, Z, layers, last):
        m = nn.Module()
        for i in range(1, layers + 1):
            setattr(m, f'linear{i}' if i < layers or last is None else last, nn.Linear(D if i == 1 else Z[0], Z[-1] if i == layers else Z[0]))
            if i < layers or last is None:
                setattr(m, f'bn{i}', nn.BatchNorm1d(Z[0]))
        return m

    class Model(nn.Module):
        def __init__(self, cfg, Z, H):
            super().__init__()
            D = cfg['embed_dim']
            self.logit_scale = nn.Parameter(torch.zeros(1))
            self.visual, self.encode_text = Image(cfg['vision_cfg'], D), Text(cfg['text_cfg'], D)
            self.projector, self.predictor = mlp(D, [Z], 3, None), mlp(Z, [H, Z], 2, 'layer2')
            self.text_label_predictor = nn.Linear(cfg['text_cfg']['width'], cfg['text_cfg']['vocab_size'] + 1)

    return Model


def theirs(tokens, V):
    """Our ids as theirs: the mask is V - 2, then start and end."""
    import torch
    return torch.where(tokens == V, V - 2, torch.where(tokens >= V - 2, tokens + 1, tokens))


def released():
    import torch
    model = released_modules()(PLAIN, 12, 6)
    V = PLAIN['text_cfg']['vocab_size']

    def run(pre):
        pixels, tokens = inputs('plain.dcs', pre['mean'], pre['std'])
        m = model.double().eval()
        with torch.no_grad():
            return m.visual(pixels), m.encode_text(theirs(tokens, V))

    from safetensors.torch import load_file
    rows = Rows("our models under the released DeCLIP's names, loaded strictly", "torch, its modules' parameters")
    for name in 'plain', 'bias':
        tool('dc-export', '--to', 'declip', '--out', f'{name}.declip', name)
        state = {k.removeprefix('module.'): v for k, v in load_file(f'{name}.declip').items()}
        model.float().load_state_dict(state, strict=True)
        rows.add(features(name, f'{name}.dcs'), run(cfg_of(name)['preprocess_cfg']))
    rows.put()

    rows = Rows('a checkpoint of its kind (.pth.tar, module.*), through pth_to_safetensors.py', "torch, its modules' parameters")
    torch.manual_seed(11)
    model.float()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=p.shape[-1] ** -0.5) if p.ndim != 1 else p.data.add_(0.1 * torch.randn_like(p))
    for k, b in model.named_buffers():
        b.copy_(torch.rand_like(b) + 0.5) if b.is_floating_point() else b.fill_(128000)
    torch.save({'model': {'module.' + k: v for k, v in model.state_dict().items()}, 'last_iter': 3, 'optimizer': {}}, 'vitb32.pth.tar')
    tool(sys.executable, os.path.join(parity.TOP, 'pipelines/examples/pth_to_safetensors.py'), 'vitb32.pth.tar', 'vitb32.safetensors')
    want = run({'mean': (.485, .456, .406), 'std': (.229, .224, .225)})
    rows.add(features('vitb32.safetensors', 'plain.dcs'), want)
    tool('dc-export', '--out', 'released', 'vitb32.safetensors')
    rows.add(features('released', 'plain.dcs'), want)
    rows.put()
    tool('dc-export', '--to', 'declip', '--out', 'again.declip', 'released')
    a, b = load_file('vitb32.safetensors'), load_file('again.declip')
    parity.row(STAGE, 'its tensors through a model directory and back, bit for bit', 'torch', len(a),
               len(set(a) ^ set(b)) + sum(k in b and not (a[k].dtype == b[k].dtype and torch.equal(a[k], b[k])) for k in a))


# --- there and back, and what is wrong ---

def same_files(a, b):
    return subprocess.run(['diff', '-r', a, b], stdout=sys.stderr).returncode == 0


def round_trips():
    cases = differences = 0
    for name, formats in (('plain', ['openclip', 'openai', 'hf', 'declip']), ('odd', ['openclip', 'openai', 'hf', 'declip']),
                          ('bias', ['openclip', 'declip'])):
        for half in 'no', 'f16', 'bf16':
            tool('dc-init', '--from', name, '--method', 'clip', '--model', 'towers')
            os.remove('towers/state.safetensors')
            for f in formats:
                tool('dc-export', '--half', half, '--to', f, '--out', 'a', 'towers')
                for g in formats:
                    for via in {half, 'no'}:
                        tool('dc-export', '--half', via, '--to', g, '--out', 'b', 'a')
                        tool('dc-export', '--half', half, '--to', f, '--out', 'c', 'b')
                        cases += 1
                        differences += not same_files('a', 'c')
                        for x in 'b', 'c':
                            shutil.rmtree(x) if os.path.isdir(x) else os.remove(x)
                shutil.rmtree('a') if os.path.isdir('a') else os.remove('a')
            shutil.rmtree('towers')
    parity.row(STAGE, 'every pair of formats there and back, in 32 bits and both halves', 'bytes', cases, differences)
    at = 'b32'
    for i, f in enumerate(('hf', 'declip', 'openai', 'openclip')):
        tool('dc-export', '--to', f, '--out', f'chain{i}', at)
        if i:
            shutil.rmtree(at) if os.path.isdir(at) else os.remove(at)
        at = f'chain{i}'
    files = 'open_clip_model.safetensors', 'open_clip_config.json'
    bad = sum(not same_files(f'b32/{f}', f'{at}/{f}') for f in files)
    parity.row(STAGE, 'ViT-B/32: open_clip, Hugging Face, DeCLIP, OpenAI, open_clip', 'bytes', len(files), bad)


def errors():
    """Every tensor of every format, missing and misshaped; and one too many. The message must name file and tensor."""
    import model_files
    import numpy as np
    cases = differences = 0
    for f in 'openai', 'hf', 'declip':
        out = f'{f}.safetensors'
        tool('dc-export', '--to', f, '--out', f'{f}.whole', 'plain')
        t, meta = model_files.load(f'{f}.whole/model.safetensors' if f == 'hf' else f'{f}.whole')
        for name in list(t) + ['one.too.many']:
            changes = [('is not one of', {**t, name: np.zeros(3, '<f4')})] if name not in t else [
                ('is missing', {k: v for k, v in t.items() if k != name}),
                ('has ', {**t, name: np.concatenate([t[name].reshape(-1)] * 2)})]
            for say, damaged in changes:
                if say == 'is missing' and name.endswith('num_batches_tracked'):
                    continue  # torch's older versions do not save it
                model_files.save(out, damaged, meta)
                r = subprocess.run(['dc-export', '--out', 'never', out], capture_output=True, text=True)
                cases += 1
                ok = r.returncode == 1 and f'{out}: tensor {name} {say}' in r.stderr and not os.path.exists('never')
                if not ok:
                    differences += 1
                    parity.note(f, name, say, r.stderr)
    parity.row(STAGE, 'each tensor missing, misshaped, or one too many: named', 'the names', cases, differences)


def main():
    gone = parity.missing('torch', 'open_clip', 'safetensors')
    if gone:
        parity.skip(STAGE, 'features in open_clip and here', 'open_clip', gone)
        return
    warnings.filterwarnings('ignore')
    os.environ['HF_HUB_OFFLINE'] = '1'
    import stubs  # noqa: F401
    import torch
    torch.set_num_threads(2)
    for i, (name, cfg) in enumerate(SMALL.items()):
        made(name, cfg, i)
    open_clip_loads_ours()
    whole_size()
    we_load_open_clips()
    bare_files()
    architectures()
    if parity.missing('transformers'):
        parity.skip(STAGE, "CLIPModel's directories, ours and theirs", 'transformers', parity.missing('transformers'))
    else:
        hugging_face()
    released()
    round_trips()
    errors()


main()
