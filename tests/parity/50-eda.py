#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stage eda: caption views of dc-augment, whose choices (--trace) are made again in textaugment, the package that
DeCLIP's authors used; and how often each choice is drawn."""
import collections
import importlib.util
import io
import math
import os
import random
import re
import shutil
import sys
import tempfile
import warnings

import parity
from corpora import flickr8k, lines_of

WORDNET = '/usr/share/wordnet'
DRAWS = 20000
ONE = 'the small dog chased a cat near two red cars , cars and a hill'    # for the draws
SURE = 4.5    # standard errors


# --- what is true ---

def stop_words():
    """Ours: textaugment takes any list."""
    with open(os.path.join(parity.TOP, 'common/data/stopwords.c')) as f:
        return re.findall(r'"([^"\n]+)"', f.read().split('stopwords[] = {')[1].split('};')[0])


def nltk_wordnet():
    """nltk's reader on Debian's files, which lack only the lexicographers' file names."""
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    with tempfile.TemporaryDirectory() as d:
        for name in os.listdir(WORDNET):
            shutil.copy(os.path.join(WORDNET, name), d)
        with open(os.path.join(d, 'lexnames'), 'w') as f:
            f.writelines('%02d\tfile%d\t1\n' % (i, i) for i in range(45))
        nltk.data.path.append(d)
        WordNetCorpusReader.map_wn = lambda self, version=None: None    # other languages, which need index.sense
        warnings.simplefilter('ignore', UserWarning)                    # that they are not there
        reader = WordNetCorpusReader(d, None)
        reader.synsets('dog')     # opens all files
        for line in 'dog n', 'run v', 'red a', 'well r':
            [s.lemmas() for s in reader.synsets(line.split()[0], line.split()[1])]
        return reader


def reference():
    """The module with EDA, random and wordnet, and what to call it."""
    lacking = parity.missing('textaugment', 'nltk')
    if lacking:
        import eda
        eda.wordnet = eda.WordNet(WORDNET)
        return eda, 'own restatement of textaugment 3.0.0'
    from importlib import metadata
    # eda.py alone: the package imports gensim and a translator
    path = os.path.join(os.path.dirname(importlib.util.find_spec('textaugment').origin), 'eda.py')
    spec = importlib.util.spec_from_file_location('textaugment_eda', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.wordnet = nltk_wordnet()
    return module, 'textaugment %s, nltk %s' % (metadata.version('textaugment'), metadata.version('nltk'))


class Choices:
    """In place of the module random: the choices of a trace."""

    def __init__(self, first=None, item=None, integers=(), numbers=()):
        self.first, self.item, self.integers, self.numbers = first, item, iter(integers), iter(numbers)

    def shuffle(self, values):
        if self.first is not None:      # the order of the words; synonyms stay as they are
            values.insert(0, values.pop(values.index(self.first)))
            self.first = None

    def choice(self, values):
        return values[values.index(self.item)]

    def randint(self, low, high):
        return next(self.integers)

    def uniform(self, low, high):
        return next(self.numbers)


class Reference:
    def __init__(self):
        self.module, self.name = reference()
        self.eda = self.module.EDA.__new__(self.module.EDA)    # the constructor would download
        self.eda.stopwords = stop_words()

    def again(self, caption, trace):
        """The caption that textaugment makes if it draws what the trace tells."""
        words = caption.split()
        what, _, rest = trace.partition(' ')
        if what == 'synonym':
            places, _, new = rest.partition(' ')
            self.module.random = Choices(first=words[int(places.split(',')[0])], item=new)
            return self.eda.synonym_replacement(caption)
        if what == 'swap':
            self.module.random = Choices(integers=map(int, rest.split()))
            return self.eda.random_swap(caption)
        if what == 'delete':
            gone = set(map(int, rest.split()))
            self.module.random = Choices(numbers=[0.05 if i in gone else 0.95 for i in range(len(words))])
            return self.eda.random_deletion(caption)
        return caption

    def synonyms(self, word):
        """Those that can be drawn here."""
        self.module.random = Choices()
        return sorted(s for s in set(self.eda._get_synonyms(word)) if s.strip() and s != word.lower())

    def words(self, caption):
        return sorted(w for w in set(caption.split()) if w.lower() not in self.eda.stopwords and self.synonyms(w))


# --- what dc-augment draws ---

def views(captions, *options):
    """[(caption view, trace)]"""
    import dcstream
    import numpy as np
    stream, out = io.BytesIO(), []
    for at in range(0, len(captions), 64):
        part = captions[at:at + 64]
        dcstream.write(stream, 'samples', at // 64, {
            'id': np.arange(at, at + len(part), dtype='<u8'), 'slot': np.arange(at, at + len(part), dtype='<i8'),
            'epoch': np.zeros(len(part), '<i4'), 'key': ['k%d' % i for i in range(at, at + len(part))],
            'image': [np.zeros((1, 1, 3), 'u1')] * len(part), 'caption': part,
            'caption_image': np.arange(len(part), dtype='<i4'), 'position': at // 64 + 1, 'part': [0, 1]})
    dcstream.write(stream, 'end', 0, {'counts': {}, 'damaged': []})
    got = parity.run('dc-augment', '--views', '1', '--size', '1', '--jitter-p', '0', '--blur-p', '0', '--trace', '-j', '2', *options,
                     input=stream.getvalue())
    for kind, _, b in dcstream.read(io.BytesIO(got)):
        if kind == 'views':
            out += zip(b['caption.1'], b['trace.eda'])
    return out


def odd_captions(n):
    """Capitals, punctuation, spaces of all kinds, single and repeated words."""
    r = random.Random(50)
    words = ('dog Dog DOG dogs men Running x-ray T-shirt A the The I It 2 24/7 u.s. A.D. good better cat, cat. (cat) galore o\'clock '
             'hot_dog naïve 狗 🐶 - -- jack-o\'-lantern rock\'n\'roll e.g. dog\'s s t').split()
    return [r.choice(('', ' ')) + ''.join(r.choice(words) + r.choice((' ', ' ', ' ', '  ', '\t', '\xa0', '\u3000', '\x85', '\x1c'))
                                         for _ in range(r.choice((1, 1, 2, 2, 3, 5, 9)))) for _ in range(n)]


def replay(ref, captions):
    cases, bad = collections.Counter(), collections.Counter()
    for caption, (view, trace) in zip(captions, views(captions), strict=True):
        what = trace.split(' ')[0]
        try:
            want = ' '.join(ref.again(caption, trace).split())
        except (ValueError, StopIteration) as e:    # textaugment cannot draw that
            want = repr(e)
        cases[what] += 1
        wrong = want != ' '.join(view.split()) or (what == 'none' and view != caption)
        if wrong and bad[what] < 3:
            parity.note(ascii(caption), trace, 'got', ascii(view), 'want', ascii(want))
        bad[what] += wrong
    for what, title in (('synonym', 'synonym replacement'), ('swap', 'random swap'), ('delete', 'random deletion'), ('none', 'nothing to do')):
        parity.row('eda', title + ', the traced choices', ref.name, cases[what], bad[what])


def frequencies(ref, what, counts, expected):
    """counts: what was drawn how often; expected: its probability. Drawn although it cannot be: beyond any tolerance."""
    n = sum(counts.values())
    z = [abs(counts[k] - n * p) / math.sqrt(n * p * (1 - p)) for k, p in expected.items() if 0 < p < 1]
    z += [math.inf for k in counts if k not in expected]
    parity.row('eda', '%d draws: %s (standard errors)' % (DRAWS, what), ref.name, n, sum(not x <= SURE for x in z), max(z), SURE)


def binomial(n, k, p):
    return math.comb(n, k) * p ** k * (1 - p) ** (n - k)


def draws(ref):
    traces = [t for _, t in views([ONE] * DRAWS)]
    words, count = ONE.split(), collections.Counter(t.split(' ')[0] for t in traces)
    n = len(words)
    still = n ** -3.0
    frequencies(ref, 'which operation', count, {'synonym': 1 / 3, 'delete': 1 / 3, 'swap': (1 - still) / 3, 'none': still / 3})
    traces = [t for _, t in views([ONE] * DRAWS, '--eda', 'delete')]
    gone = collections.Counter(min(len(t.split()) - 1, 5) for t in traces)
    p = {k: binomial(n, k, .1) for k in range(5)}
    frequencies(ref, 'how many words are deleted', gone, {**p, 5: 1 - sum(p.values())})
    which = collections.Counter(i for t in traces for i in t.split()[1:])
    frequencies(ref, 'which of them', which, {str(i): 1 / n for i in range(n)})
    pairs = collections.Counter(t for _, t in views([ONE] * DRAWS, '--eda', 'swap'))
    frequencies(ref, 'which words are swapped', pairs,
                {'none': still, **{'swap %d %d' % (i, j): (1 - still) * 2 / (n * (n - 1)) for j in range(n) for i in range(j)}})
    two = collections.Counter(t for _, t in views(['dog cat'] * DRAWS, '--eda', 'swap'))
    frequencies(ref, 'swaps of two words', two, {'none': 1 / 8, 'swap 0 1': 7 / 8})
    made = collections.Counter((words[int(t.split()[1].split(',')[0])], t.split(' ', 2)[2])
                               for _, t in views([ONE] * DRAWS, '--eda', 'synonym'))
    can = ref.words(ONE)
    frequencies(ref, 'which word becomes which synonym', made,
                {(w, s): 1 / len(can) / len(ref.synonyms(w)) for w in can for s in ref.synonyms(w)})


def main():
    lacking = parity.missing('numpy', 'msgpack', 'msgpack_numpy', 'xxhash')
    if not os.path.isfile(os.path.join(WORDNET, 'index.noun')):
        lacking = 'no ' + WORDNET
    if lacking:
        parity.skip('eda', 'caption views', 'textaugment', lacking)
        return 0
    ref = Reference()
    captions = (flickr8k()[::9] + lines_of('captions.en.txt')[::4] + lines_of('captions.web.txt')[::3] + lines_of('captions.de.txt')[::10]
                + lines_of('captions.fr.txt')[::10] + lines_of('captions.cs.txt')[::10] + odd_captions(4000))
    replay(ref, captions)
    draws(ref)
    return 0


if __name__ == '__main__':
    sys.exit(main())
