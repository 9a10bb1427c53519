#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stage repair: captions as dc-tokenize --print repaired puts them right, against ftfy.fix_text with its defaults, as
CLIP's tokenizer calls it. Clean captions of five languages and emoji must agree; of captions broken on purpose the count
of differences is published."""
import functools
import random
import sys

import parity
from corpora import flickr8k, lines_of, TEXT

BROKEN_EACH = 2500      # captions a way of breaking
SLOPPY = ['cp1252', 'cp1251', 'cp1250', 'cp1253', 'cp1254', 'cp1257']
# languages that DATA/text has no file of
MORE = ['Собака бежит по снегу за красным мячом №5', 'Два хлопчики їдуть на велосипедах', 'ένας σκύλος τρέχει στην παραλία',
        'Çocuk yeşil çimenlerin üzerinde koşuyor, İstanbul', 'dziewczynka w żółtej sukience łapie piłkę', 'ąžuolas ir ėglė šlaite',
        'två män på en båt — “hej”', 'el niño está jugando ¿dónde?', 'uma menina à beira da água, às três', '一只猫坐在椅子上看着窗外。',
        '子犬が芝生の上を走っている', '강아지가 눈 위를 달린다', 'قطة تجلس على كرسي', 'ילד קטן רץ בחוף', 'घास पर दौड़ता एक कुत्ता', 'แมวนั่งบนเก้าอี้',
        'the dog’s “ball” — 25°C, 20€ … ½ × 3²', '👩‍👩‍👧 and 🐶 on the beach 🏖️', 'naïve café, l’Âge d’or, Œuvre']


@functools.lru_cache(None)
def table(encoding):
    """byte -> character; where a Windows encoding leaves one open, the character of the byte's number."""
    def one(b):
        try:
            return bytes([b]).decode(encoding)
        except UnicodeDecodeError:
            return chr(b)
    return [one(b) for b in range(256)]


def read_as(text, encoding):
    return ''.join(table(encoding)[b] for b in text.encode())


def lossy(text, mark):
    return text.encode().decode('cp1252', 'replace').replace('\ufffd', mark)


def mixed(text, r):
    """Words that went wrong in one way, in another, or not."""
    return ' '.join(r.choice((w, read_as(w, 'cp1252'), read_as(w, 'latin-1'), read_as(w, 'cp1251'))) for w in text.split(' '))


def cut(text, r):
    """Some bytes of the text are gone, and what is left is read as windows-1252."""
    data = [b for b in text.encode() if r.random() > .05]
    return ''.join(table('cp1252')[b] for b in data)


WAYS = [(e, lambda c, r, e=e: read_as(c, e)) for e in
        ['latin-1', *SLOPPY, 'iso8859-2', 'mac-roman', 'cp437']] + [
    ('latin-1 twice', lambda c, r: read_as(read_as(c, 'latin-1'), 'latin-1')),
    ('cp1252 twice', lambda c, r: read_as(read_as(c, 'cp1252'), 'cp1252')),
    ('latin-1, then cp1252', lambda c, r: read_as(read_as(c, 'latin-1'), 'cp1252')),
    ('cp1252 three times', lambda c, r: read_as(read_as(read_as(c, 'cp1252'), 'cp1252'), 'cp1252')),
    ('cp1252, open bytes lost as U+FFFD', lambda c, r: lossy(c, '\ufffd')),
    ('cp1252, open bytes lost as ?', lambda c, r: lossy(c, '?')),
    ('the same, read as latin-1 again', lambda c, r: read_as(lossy(c, '\ufffd'), 'latin-1')),
    ('cp1252, A0 become a space', lambda c, r: read_as(c, 'cp1252').replace('\xa0', ' ')),
    ('cp1252, then escaped for HTML', lambda c, r: read_as(c, 'cp1252').encode('ascii', 'xmlcharrefreplace').decode()),
    ('cp1252, some bytes gone', cut), ('words wrong in different ways', mixed),
    ('one half cp1252', lambda c, r: c[:len(c) // 2] + read_as(c[len(c) // 2:], 'cp1252'))]


def random_texts(n, r):
    """Characters that mojibake is made of, in any order."""
    make = sorted({c for e in ['latin-1', *SLOPPY, 'iso8859-2', 'mac-roman', 'cp437'] for c in table(e)[128:]} | {'\ufffd'})
    other = 'aZ .,?!_1 \t\x1a'
    return [''.join(r.choice(make) if r.random() < .7 else r.choice(other) for _ in range(r.choice((2, 3, 4, 6, 10, 20))))
            for _ in range(n)]


def repaired(captions):
    out = parity.run('dc-tokenize', '--lines', '-', '--print', 'repaired', input='\n'.join(captions).encode() + b'\n')
    return out.decode().split('\n')[:-1]


class Stage:
    def __init__(self):
        import simple_tokenizer
        self.fix = simple_tokenizer.ftfy.fix_text
        self.name = 'ftfy %s fix_text' % simple_tokenizer.ftfy.__version__

    def compare(self, what, captions, tolerance):
        captions = [c.replace('\n', ' ') for c in captions]
        bad = 0
        for raw, got in zip(captions, repaired(captions), strict=True):
            want = self.fix(raw).replace('\n', ' ')
            if want != got and bad < 3:
                parity.note(what, ascii(raw), 'got', ascii(got), 'want', ascii(want))
            bad += want != got
        parity.row('repair', what, self.name, len(captions), bad, tolerance=tolerance)

    def unharmed(self, captions):
        """Clean text is no mojibake: what remains to be done is only what ftfy does with its guessing turned off."""
        bad = sum(self.fix(c, fix_encoding=False).replace('\n', ' ') != got for c, got in zip(captions, repaired(captions)))
        parity.row('repair', 'clean captions taken for mojibake', self.name + ' less fix_encoding', len(captions), bad)


def main():
    lacking = parity.missing('ftfy', 'regex')
    if lacking:
        parity.skip('repair', 'captions', 'ftfy fix_text', lacking)
        return 0
    stage, r, clean = Stage(), random.Random(40), []
    for name in TEXT:
        captions = lines_of(name)
        if captions:
            stage.compare('clean: ' + name, captions, 'exact')
        else:
            parity.skip('repair', 'clean: ' + name, stage.name, 'no data')
        clean += captions
    if flickr8k():
        stage.compare('clean: flickr8k, all captions', flickr8k(), 'exact')
    else:
        parity.skip('repair', 'clean: flickr8k', stage.name, 'no data')
    stage.unharmed(clean + MORE)
    other = [c for c in clean if not c.isascii()]
    for what, way in WAYS:
        some = MORE + (r.sample(other, min(BROKEN_EACH - len(MORE), len(other))) if other else [])
        stage.compare('broken: ' + what, [way(c, r) for c in some], 'published')
    stage.compare('broken: random characters of mojibake', random_texts(10000, r), 'published')
    return 0


if __name__ == '__main__':
    sys.exit(main())
