# SPDX-License-Identifier: MIT
"""Easy data augmentation of captions as the package textaugment 3.0.0 defines it, and WordNet as nltk reads it: written
from what they do, for tests/parity/50-eda.py where the packages are not installed.

    EDA.synonym_replacement, random_swap, random_deletion    take a caption, return one; all that is drawn is drawn from
                                                             this module's `random`, in the order in which textaugment draws
    WordNet(dir).synsets(word)                               synsets with lemmas() with name()"""
import os
import random
from collections import namedtuple

LETTERS = set(' abcdefghijklmnopqrstuvwxyz')


class EDA:
    stopwords = ()

    def _get_synonyms(self, word):
        found = set()
        for synset in wordnet.synsets(word):
            for lemma in synset.lemmas():
                name = lemma.name().replace('_', ' ').replace('-', ' ').lower()
                found.add(''.join(c for c in name if c in LETTERS))
        found = sorted(found - {word})
        random.shuffle(found)
        return found

    def synonym_replacement(self, sentence):
        words = sentence.split()
        order = sorted({w for w in words if w not in self.stopwords})
        random.shuffle(order)
        for old in order:
            synonyms = self._get_synonyms(old)
            if synonyms:
                new = random.choice(synonyms)
                return ' '.join(new if w == old else w for w in words)
        return ' '.join(words)

    def random_swap(self, sentence):
        words = sentence.split()
        i = random.randint(0, len(words) - 1)
        for _ in range(3):
            j = random.randint(0, len(words) - 1)
            if j != i:
                words[i], words[j] = words[j], words[i]
                break
        return ' '.join(words)

    def random_deletion(self, sentence, p=0.1):
        words = sentence.split()
        if len(words) == 1:
            return words[0]
        left = [w for w in words if random.uniform(0, 1) > p]
        return ' '.join(left) if left else random.choice(words)


Lemma = namedtuple('Lemma', 'word')
Lemma.name = lambda self: self.word
Synset = namedtuple('Synset', 'words')
Synset.lemmas = lambda self: [Lemma(w) for w in self.words]


class WordNet:
    """index.POS: lemma -> offsets of its synsets in data.POS; POS.exc: irregular forms."""
    ENDINGS = {'noun': 's: ses:s ves:f xes:x zes:z ches:ch shes:sh men:man ies:y', 'verb': 's: ies:y es:e es: ed:e ed: ing:e ing:',
               'adj': 'er: est: er:e est:e', 'adv': ''}

    def __init__(self, directory):
        self.index, self.data, self.exceptions = {}, {}, {}
        for pos in self.ENDINGS:
            def read(name):
                with open(os.path.join(directory, name), 'rb') as f:
                    return f.read()
            self.index[pos] = {line.split()[0].decode(): line.split() for line in read('index.' + pos).splitlines() if line[:1] != b' '}
            self.data[pos] = read('data.' + pos)
            self.exceptions[pos] = {line.split()[0]: line.split()[1:] for line in read(pos + '.exc').decode().splitlines()}

    def forms(self, word, pos):
        if word in self.exceptions[pos]:
            return self.exceptions[pos][word]
        endings = [e.split(':') for e in self.ENDINGS[pos].split()]
        return [word[:-len(old)] + new for old, new in endings if word.endswith(old)]

    def synset(self, pos, offset):
        fields = self.data[pos][offset:self.data[pos].index(b'\n', offset)].decode().split()
        return Synset([w.split('(')[0] for w in fields[4:4 + 2 * int(fields[3], 16):2]])

    def synsets(self, word):
        word = word.lower()
        out = []
        for pos in self.ENDINGS:
            for form in dict.fromkeys([word] + self.forms(word, pos)):
                line = self.index[pos].get(form)
                if line:
                    out += [self.synset(pos, int(offset)) for offset in line[-int(line[2]):]]
        return out


wordnet = None   # to be set: a WordNet, or nltk's
