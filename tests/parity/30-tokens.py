#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stage tokens: dc-tokenize's rows of 77 ids against OpenAI's tokenizer as open_clip carries it, raw captions in, so the
cleaning and the repair are compared too; against our own re-statement of it; and decoded back to text."""
import functools
import html.entities
import importlib.util
import io
import os
import random
import sys
import unicodedata
from importlib import metadata

import parity
from corpora import flickr8k, lines_of, TEXT

T = 77
EACH = 10000
SPECIAL = ('<start_of_text>', '<end_of_text>')   # in the generated captions none may stand: see the last row


def rows_of(captions, vocab):
    """captions as bytes without newlines -> [N][T] ids."""
    import dcstream
    import numpy as np
    out = parity.run('dc-tokenize', '--vocab', vocab, '-j', '2', '--lines', '-', input=b'\n'.join(captions) + b'\n')
    rows = [b['token.0'] for kind, _, b in dcstream.read(io.BytesIO(out)) if kind == 'batch']
    return np.concatenate(rows).tolist()


def decoded(captions, vocab):
    out = parity.run('dc-tokenize', '--vocab', vocab, '--lines', '-', '--print', 'decoded', input=b'\n'.join(captions) + b'\n')
    return out.decode().split('\n')[:-1]


def open_clip_tokenizer():
    """open_clip.tokenizer alone: the whole package needs torchvision's operators."""
    package = importlib.util.find_spec('open_clip')
    spec = importlib.util.spec_from_file_location('open_clip_tokenizer', os.path.join(os.path.dirname(package.origin), 'tokenizer.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- captions made here ---

def points(wanted):
    return [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and c != 10 and wanted(chr(c), unicodedata.category(chr(c)))]


class Maker:
    """Captions of one kind after another, the same each time."""

    def __init__(self, words):
        self.r = random.Random(30)
        self.words = words
        self.marks = points(lambda c, k: k in ('Mn', 'Mc', 'Me'))
        self.cased = points(lambda c, k: k in ('Lu', 'Ll', 'Lt') or c.lower() != c or c.upper() != c)
        self.unseen = points(lambda c, k: k in ('Cf', 'Zs', 'Zl', 'Zp', 'Cc'))
        self.numbers = points(lambda c, k: k in ('Nd', 'Nl', 'No'))
        self.any = points(lambda c, k: True)
        self.entity = list(html.entities.html5)

    def some(self, from_, least, most):
        return [self.r.choice(from_) for _ in range(self.r.randint(least, most))]

    def phrase(self, *pieces):
        """Pieces among words, with and without spaces."""
        out = ''
        for p in self.some(self.words, 0, 3) + list(pieces):
            at = self.r.choice((0, len(out)))
            out = out[:at] + self.r.choice(('', ' ', ' ')) + p + self.r.choice(('', ' ')) + out[at:]
        return out

    def long(self):
        return ' '.join(self.some(self.words, 50, 200))

    def entities(self):
        def one():
            n = self.r.choice(self.entity)
            kind = self.r.randrange(8)
            e = ('&' + n if kind < 3 else '&' + n.rstrip(';').upper() + ';' if kind == 3 else '&' + n.rstrip(';') if kind == 4 else
                 '&#%d;' % self.r.randrange(0x11000) if kind == 5 else '&#x%x%s' % (self.r.randrange(0x120), self.r.choice(';. '))
                 if kind == 6 else '&#%d' % self.r.randrange(0x3000))
            for _ in range(self.r.choice((0, 0, 1, 1, 2))):
                e = e.replace('&', self.r.choice(('&amp;', '&#38;', '&AMP;')))
            return e + self.r.choice(('', '', '<', 'x'))
        return self.phrase(*(one() for _ in range(self.r.randint(1, 4))))

    def typography(self):
        return self.phrase(*self.some('‘’‚‛“”„‟ʼ–—…«»\'"ﬀﬁﬂﬃﬄﬅﬆĲĳŉǄǅǆǇǈǉǊǋǌǱǲǳＡｂ！～￥ﾊﾟｶﾞﾡ　\x93\x94\x85\x07\x1b\ufeff', 1, 8))

    def combining(self):
        return self.phrase(*(self.r.choice('aeiouAEIOUnçŁαЖかกक한ᄒ1!') + ''.join(self.some(self.marks, 1, 4))
                             for _ in range(self.r.randint(1, 4))))

    def east(self):
        blocks = [(0x4E00, 0x9FFF), (0x3040, 0x30FF), (0xAC00, 0xD7A3), (0x1100, 0x11FF), (0xFF61, 0xFFDC), (0x20000, 0x2A6DF),
                  (0x3000, 0x303F), (0xF900, 0xFAFF)]
        return self.phrase(*(''.join(chr(self.r.randint(*self.r.choice(blocks))) for _ in range(self.r.randint(1, 6)))
                             for _ in range(self.r.randint(1, 3))))

    def emoji(self):
        def one():
            e = chr(self.r.choice((self.r.randint(0x1F300, 0x1FAFF), self.r.randint(0x2600, 0x27BF))))
            return self.r.choice((e, e + '\ufe0f', e + chr(self.r.randint(0x1F3FB, 0x1F3FF)), e + '\u200d' + chr(self.r.randint(0x1F466, 0x1F469)),
                                  chr(self.r.randint(0x1F1E6, 0x1F1FF)) + chr(self.r.randint(0x1F1E6, 0x1F1FF)),
                                  self.r.choice('0123456789#*') + '\ufe0f\u20e3', '\U0001F3F4\U000E0067\U000E0062\U000E007F'))
        return self.phrase(*(one() for _ in range(self.r.randint(1, 5))))

    def invisible(self):
        return self.phrase(*(self.r.choice(self.words) + c + self.r.choice(self.words) for c in self.some(self.unseen, 1, 3)))

    def casing(self):
        special = 'ßẞİıΣσςſKÅǅŉﬁΐΰև\u0345\u0307\u00b7’.:\'\u00adʰªº'
        return self.phrase(*(''.join(self.r.choice(special if self.r.random() < .6 else self.cased) for _ in range(self.r.randint(1, 6)))
                             for _ in range(self.r.randint(1, 3))))

    def digits(self):
        ends = ["'s", "'S", "'t", "'T", "'re", "'RE", "'vE", "'m", "'LL", "'d", "’s", "'ſ", "''s", "'x", "_'s", "1's", 'n’T']
        return self.phrase(*(self.r.choice((self.r.choice(self.words) + self.r.choice(ends), '_'.join(self.some(self.words, 1, 3)),
                             str(self.r.randrange(10 ** 6)) + self.r.choice('%$°,.:/-_'), ''.join(self.some(self.numbers, 1, 4))))
                             for _ in range(self.r.randint(1, 4))))

    def everything(self):
        return self.phrase(*(''.join(self.some(self.any, 1, 6)) for _ in range(self.r.randint(1, 3))))

    def bytes(self):
        good = self.phrase(*self.some(self.any, 0, 3)).encode()
        b = bytearray(good + self.r.randbytes(self.r.randint(1, 20)))
        self.r.shuffle(b) if self.r.random() < .3 else None
        return bytes(b).replace(b'\n', b'')


KINDS = [('long', 'beyond 77 ids'), ('entities', 'HTML entities, escaped up to three times'),
         ('typography', 'quotes, ligatures, widths, controls'), ('combining', 'combining marks'), ('east', 'CJK'),
         ('emoji', 'emoji, modifiers, ZWJ, flags'), ('invisible', 'zero-width characters and spaces'),
         ('casing', 'full special casing'), ('digits', 'digits, underscores, contractions'),
         ('everything', 'code points of every plane'), ('bytes', 'bytes that are not UTF-8')]


# --- comparing ---

class Count:
    """Rows of the table that many corpora add to."""

    def __init__(self):
        self.cases = self.bad = 0

    def add(self, same):
        self.cases += 1
        self.bad += not same


class Truth:
    def __init__(self, vocab):
        import simple_tokenizer
        simple_tokenizer.ftfy.fix_text = functools.lru_cache(4)(simple_tokenizer.ftfy.fix_text)   # both ask for the same
        self.vocab = vocab
        self.ours = simple_tokenizer.Tokenizer(vocab)
        self.clean = simple_tokenizer.clean
        self.clip = open_clip_tokenizer().SimpleTokenizer(vocab)
        self.name = 'open_clip %s SimpleTokenizer' % metadata.version('open_clip_torch')
        self.cut, self.restated, self.decoded, self.back = Count(), Count(), Count(), Count()

    def row(self, ids):
        """The row as open_clip's call makes it."""
        row = [self.clip.sot_token_id, *ids, self.clip.eot_token_id]
        if len(row) > T:
            row = row[:T - 1] + [self.clip.eot_token_id]
        return row + [0] * (T - len(row))

    def compare(self, what, captions):
        """captions: str, or bytes."""
        data = [c if isinstance(c, bytes) else c.encode() for c in captions]
        bad = 0
        for raw, got, text in zip(data, rows_of(data, self.vocab), decoded(data, self.vocab), strict=True):
            ids = self.clip.encode(raw.decode('utf-8', 'replace'))
            wrong = self.row(ids) != got
            if wrong and bad < 3:
                parity.note(what, ascii(raw.decode('utf-8', 'replace')), got[:20], ids[:20])
            bad += wrong
            if len(ids) > T - 2:
                self.cut.add(not wrong)
            self.further(raw.decode('utf-8', 'replace'), got, ids, text)
        parity.row('tokens', what, self.name, len(data), bad)

    def further(self, raw, got, ids, text):
        clean = self.clean(raw)
        self.restated.add(self.row(self.ours.encode_clean(clean)) == got)
        self.decoded.add(self.clip.decode(ids) == text)
        # a space stands behind every word. CLIP's pattern drops U+0345, in any vocabulary.
        self.back.add(text.replace(' ', '') == clean.replace(' ', '').replace('\u0345', ''))


def literal(truth):
    """Special tokens written in a caption: text here, on purpose, ids there."""
    captions = ['a photo %s of a cat' % s for s in SPECIAL]
    bad = sum(truth.row(truth.clip.encode(c)) != got for c, got in zip(captions, rows_of([c.encode() for c in captions], truth.vocab)))
    parity.row('tokens', 'special tokens written in the text: text here, on purpose', truth.name, len(captions), bad, tolerance='published')


def main():
    lacking = parity.missing('torch', 'open_clip', 'ftfy', 'regex', 'numpy', 'msgpack', 'msgpack_numpy', 'xxhash')
    vocab = parity.data('clip', 'bpe_simple_vocab_16e6.txt.gz')
    if lacking or not vocab:
        parity.skip('tokens', 'ids of captions', 'open_clip SimpleTokenizer', lacking or 'no clip/bpe_simple_vocab_16e6.txt.gz')
        return 0
    truth = Truth(vocab)
    words = set('a photo of the dog runs in grass man woman café Straße'.split())
    for name in TEXT:
        captions = lines_of(name)
        if not captions:
            parity.skip('tokens', name, truth.name, 'no data')
            continue
        truth.compare(name, captions)
        words.update(w for c in captions[:400] for w in c.split())
    captions = flickr8k()
    truth.compare('flickr8k, all captions', captions) if captions else parity.skip('tokens', 'flickr8k', truth.name, 'no data')
    make = Maker(sorted(words))
    for kind, what in KINDS:
        maker = getattr(make, kind)
        captions = [maker() for _ in range(EACH)]
        assert not any(s in c for c in captions if isinstance(c, str) for s in SPECIAL)
        truth.compare('generated: ' + what, captions)
    for what, against, count in (('of these, cut at 77 with the end token', truth.name, truth.cut),
                                 ('all of these', 'own restatement (tests/reference)', truth.restated),
                                 ('all of these, decoded from their ids', truth.name, truth.decoded),
                                 ('all of these, decoded: the cleaned text but for spaces', truth.name, truth.back)):
        parity.row('tokens', what, against, count.cases, count.bad)
    literal(truth)
    return 0


if __name__ == '__main__':
    sys.exit(main())
