# SPDX-License-Identifier: MIT
"""DeCLIP in PyTorch around open_clip's own towers, in any precision: what the stages 60 to 85 of `make parity` compare with.

    m = Model(model_config, tensors, torch.float64)      # tensors: {name: float32 array}, the heads' among them
    f = m.features(batch, run)                           # of a batch as dc-tokenize sends it
    loss = objective(f, run, queue)                      # {term: value, 'total': value}

run is the run's config (man dc-model). The equations are the papers'; nothing is taken from dc's sources."""
import math

import numpy as np
import stubs  # noqa: F401
import torch
import torch.nn.functional as F
from open_clip.model import CLIP

OPENAI = dict(mean=[0.48145466, 0.4578275, 0.40821073], std=[0.26862954, 0.26130258, 0.27577711])


# --- weights ---

def init(config, seed):
    """open_clip's own initialisation: {name: float32 array}."""
    torch.manual_seed(seed)
    return {k: v.numpy().copy() for k, v in CLIP(**config['model_cfg']).state_dict().items()}


def as_trained(tensors, seed):
    """The same as training might leave them: every bias and norm away from 0 and 1, sharper attention, positions and
    tokens that stand out, and a few channels that are many times larger than the others."""
    rng = np.random.default_rng(seed)
    out = {}
    for name, v in tensors.items():
        w = v.astype('f8')
        if name == 'logit_scale':
            w = np.array(4.2)
        elif '.ln_' in '.' + name and name.endswith('weight'):
            w = np.exp(rng.normal(0, .3, w.shape))
            w[rng.integers(0, len(w), max(1, len(w) // 100))] *= 5
        elif name.endswith('bias'):
            w = rng.normal(0, .1, w.shape)
        elif name.endswith('in_proj_weight'):
            w = w * 1.2
        elif 'embedding' in name:
            w = w * (5 if name == 'positional_embedding' else 2)
        else:
            w = w * 1.2
        out[name] = w.astype('f4')
    return out


def head_tensors(config, run, seed):
    """Tensors of the heads that the run's terms need; biases and norms random too."""
    rng = np.random.default_rng(seed)
    cfg, out = config['model_cfg'], {}
    D, (V, W) = cfg['embed_dim'], (cfg['text_cfg'][k] for k in ('vocab_size', 'width'))

    def linear(name, n, m):
        out[name + '.weight'] = rng.normal(0, m ** -.5, (n, m)).astype('f4')
        out[name + '.bias'] = rng.normal(0, .1, n).astype('f4')

    if run['weights'].get('simsiam'):
        Z, H = run['simsiam_width'], run['simsiam_hidden']
        for layer, n, m in (('projector.0', Z, D), ('projector.1', Z, Z), ('projector.2', Z, Z), ('predictor.0', H, Z),
                            ('predictor.1', Z, H)):
            linear('simsiam.' + layer, n, m)
            if layer != 'predictor.1':
                out[f'simsiam.{layer}.bn.weight'] = rng.normal(1, .2, n).astype('f4')
                out[f'simsiam.{layer}.bn.bias'] = rng.normal(0, .1, n).astype('f4')
    if run['weights'].get('mlm'):
        linear('mlm', V, W)
        out['mask_embedding'] = rng.normal(0, .1, (1, W)).astype('f4')
    return out


# --- the model ---

class Model:
    def __init__(self, config, tensors, dtype):
        cfg = config['model_cfg']
        self.clip = CLIP(**cfg).to(dtype)
        self.dtype = dtype
        towers = self.clip.state_dict()
        self.clip.load_state_dict({k: torch.tensor(tensors[k]) for k in towers}, strict=True)
        self.P = dict(self.clip.named_parameters())  # under the state dict's names
        self.P.update((k, torch.tensor(v, dtype=dtype, requires_grad=True)) for k, v in tensors.items() if k not in towers)
        self.V, self.T = cfg['text_cfg']['vocab_size'], cfg['text_cfg']['context_length']
        self.heads = cfg['text_cfg']['heads']
        pre = config.get('preprocess_cfg', OPENAI)
        self.mean, self.std = (torch.tensor(pre[k], dtype=torch.float64)[:, None, None] for k in ('mean', 'std'))
        self.clip.attn_mask = self.clip.attn_mask.to(dtype)

    def image(self, u8):
        """[N,S,S,3] bytes -> features [N,D]"""
        x = (torch.tensor(u8).permute(0, 3, 1, 2).double() / 255 - self.mean) / self.std
        return self.clip.encode_image(x.to(self.dtype))

    def text(self, token):
        return self.clip.encode_text(torch.tensor(token).long())

    def end(self, token):
        """The place of the first end token."""
        return (token == self.V - 1).int().argmax(1)

    def hidden(self, token, causal):
        """ln_final of every position [N,T,W]: open_clip's blocks over an embedding that also knows the mask token. Without
        the causal mask nobody looks beyond the first end token."""
        c, table = self.clip, torch.cat([self.P['token_embedding.weight'], self.P['mask_embedding']])
        if causal:
            mask = c.attn_mask
        else:
            beyond = torch.arange(self.T)[None] > self.end(token)[:, None]
            mask = torch.zeros(len(token), self.T, self.T, dtype=self.dtype).masked_fill(beyond[:, None], -math.inf)
            mask = mask.repeat_interleave(self.heads, 0)
        return c.ln_final(c.transformer(table[token] + c.positional_embedding, attn_mask=mask))

    def masked_text(self, token):
        """As released: the causal tower over masked captions. (features pooled at the first end token, hidden states)"""
        token = torch.tensor(token).long()
        h = self.hidden(token, True)
        return h[torch.arange(len(token)), self.end(token)] @ self.P['text_projection'], h

    def nll(self, hidden, target):
        """-log P(target) at the masked positions, row by row."""
        target = torch.tensor(target).long()
        logits = F.linear(hidden[target >= 0], self.P['mlm.weight'], self.P['mlm.bias'])
        return F.cross_entropy(logits, target[target >= 0], reduction='none')

    def simsiam(self, x, stats=None):
        """(z, p) of one view's features; the batch norms' running statistics, if given, move on."""
        def layer(x, name, bn=True, relu=True):
            p, b = self.P, 'simsiam.%s.bn' % name
            x = F.linear(x, p['simsiam.%s.weight' % name], p['simsiam.%s.bias' % name])
            if bn:
                x = F.batch_norm(x, *((stats[b + '.running_mean'], stats[b + '.running_var']) if stats else (None, None)),
                                 p[b + '.weight'], p[b + '.bias'], True, 0.1, 1e-5)
            return F.relu(x) if relu else x

        z = layer(layer(layer(x, 'projector.0'), 'projector.1'), 'projector.2', relu=False)
        return z, layer(layer(z, 'predictor.0'), 'predictor.1', bn=False, relu=False)

    def features(self, b, run, stats=None):
        """What a features frame holds, under its names."""
        w, released = run['weights'], run.get('as') == 'released'
        two = w.get('mvs', 0) > 0 or released and w.get('nns', 0) > 0
        out, hidden = {}, None
        for v in range(2 if 'image.1' in b else 1):
            out['image_features.%d' % v] = self.image(b['image.%d' % v])
            if v and not two:
                continue
            if released and w.get('mlm', 0) and not v:
                out['text_features.0'], hidden = self.masked_text(b['mlm_token'])
            else:
                out['text_features.%d' % v] = self.text(b['token.%d' % v])
        if w.get('simsiam', 0):
            for v in range(2):
                out['simsiam_z.%d' % v], out['simsiam_p.%d' % v] = self.simsiam(out['image_features.%d' % v], stats)
        if w.get('mlm', 0):
            if hidden is None:
                hidden = self.hidden(torch.tensor(b['mlm_token']).long(), False)
            out['mlm_nll'] = self.nll(hidden, b['mlm_target'])
        out['logit_scale'] = self.P['logit_scale']
        return out

    def gradients(self):
        return {k: v.grad.double().numpy() for k, v in self.P.items() if v.grad is not None}


# --- the objective ---

def cross_entropy(logits):
    return F.cross_entropy(logits, torch.arange(len(logits)))


def info_nce(s, image, text):
    logits = s * image @ text.T
    return (cross_entropy(logits) + cross_entropy(logits.T)) / 2


def scale(logit_scale, released):
    """s = min(exp(logit_scale), 100). Above ln 100 as a float32 its gradient is 0; the released code only sets the number,
    which autograd does not see."""
    s = logit_scale.exp()
    if released:
        s.data = s.data.clamp(max=100)
    return s if released or logit_scale.item() <= np.float32(math.log(100)) else s.clamp(max=100)


class Queue:
    """Unit rows, first in, first out. gap: how much nearer the nearest was than the next other row, at the least."""

    def __init__(self, rows, head=0, valid=0, after=1):
        self.rows, self.head, self.valid, self.after, self.gap = rows.clone(), head, valid, after, math.inf

    def waits(self):
        return self.valid < max(1, min(self.after, len(self.rows)))

    def nearest(self, t):
        """The valid row with the largest cosine, the oldest of equal ones."""
        age = (self.head - self.valid + torch.arange(self.valid)) % len(self.rows)
        rows, best, tie = self.rows[age], [], 1e-12 if t.dtype == torch.float64 else 1e-6
        for cos in (t[i:i + 256].detach() @ rows.T for i in range(0, len(t), 256)):
            top = cos.max(1, keepdim=True).values
            near = cos >= top - tie
            best.append(near.int().argmax(1))
            rest = cos.masked_fill(near, -math.inf).max(1, keepdim=True).values
            self.gap = min(self.gap, (top - rest).min().item())
        return rows[torch.cat(best)]

    def push(self, rows, drop_rest=False):
        if drop_rest:
            rows = rows[:len(self.rows) - self.head]
        for r in rows.detach():
            self.rows[self.head] = r
            self.head = (self.head + 1) % len(self.rows)
            self.valid = min(self.valid + 1, len(self.rows))


def objective(f, run, queue=None):
    """Every term with a weight, unweighted, and 'total'; NNS that waits is not there. The queue moves on."""
    w, released = run['weights'], run.get('as') == 'released'
    s = scale(f['logit_scale'], released)
    I, T = ([F.normalize(f['%s_features.%d' % (k, v)], dim=1, eps=0) for v in range(2) if '%s_features.%d' % (k, v) in f]
            for k in ('image', 'text'))
    out = {}
    if w.get('clip', 0):
        out['clip'] = info_nce(s, I[0], T[0])
    if w.get('mvs', 0):
        out['mvs'] = (info_nce(s, I[1], T[0]) + info_nce(s, I[0], T[1]) + info_nce(s, I[1], T[1])) / 3
    if w.get('simsiam', 0):
        cos = [F.cosine_similarity(f['simsiam_p.%d' % v], f['simsiam_z.%d' % (1 - v)].detach(), dim=1).mean() for v in (0, 1)]
        out['simsiam'] = -(cos[0] + cos[1]) / 2
    if w.get('mlm', 0):
        out['mlm'] = f['mlm_nll'].mean() if len(f['mlm_nll']) else torch.zeros(())
    if w.get('nns', 0):
        if not queue.waits():
            near = [queue.nearest(t) for t in (T if released else T[:1])]
            pair = (lambda i, n: cross_entropy(s * i @ n.T)) if released else (lambda i, n: info_nce(s, i, n))
            out['nns'] = sum(pair(i, n) for i in I for n in near) / (2 * len(near))
        for t in ((T[1], T[0]) if released else T[:1]):
            queue.push(t, released)
    out['total'] = sum(w[k] * out[k] for k in out)
    return out


# --- how far apart ---

def gradient_error(got, want, largest):
    """||d|| / (||g|| + largest / 100): at most 1e-5 is ||d|| <= 1e-5 ||g|| + 1e-7 largest. NaN counts as infinite."""
    d = np.linalg.norm(np.asarray(got, 'f8') - want)
    e = d / (np.linalg.norm(want) + largest / 100)
    return e if e == e else math.inf


def row_error(got, want):
    """The worst row's ||d|| / ||want||."""
    e = np.linalg.norm(np.asarray(got, 'f8') - want, axis=1) / np.linalg.norm(want, axis=1)
    return math.inf if np.isnan(e).any() else float(e.max())
