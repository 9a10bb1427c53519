#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""CLIP's tokenizer, written from its published behaviour: the truth that dc-tokenize is compared with.

usage: simple_tokenizer.py VOCAB < captions     one line of ids per line, without start and end
       simple_tokenizer.py --clean < captions   the cleaned text instead

Needs `regex`; uses ftfy where it is there, else NFC only. One difference on purpose: a literal "<|endoftext|>" is ordinary text here, as in dc-tokenize."""
import gzip
import html
import sys
import types
import unicodedata

import regex

try:
    if 'wcwidth' not in sys.modules:   # ftfy imports it for its terminal output only
        try:
            import wcwidth  # noqa: F401
        except ImportError:
            stub = types.ModuleType('wcwidth')
            stub.wcwidth = stub.wcswidth = len
            sys.modules['wcwidth'] = stub
    import ftfy
except ImportError:
    ftfy = None

PATTERN = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE)


def repair(text):
    return ftfy.fix_text(text) if ftfy else unicodedata.normalize('NFC', text)


def clean(text):
    return clean_repaired(repair(text))


def clean_repaired(text):
    text = html.unescape(html.unescape(text)).strip()
    return regex.sub(r'\s+', ' ', text).strip().lower()


def visible():
    """byte -> the character that stands for it in the file, in the order of the ids."""
    first = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in first}
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + len(table) - len(first))
    return table


def merge(parts, pair):
    """parts with every occurrence of the pair joined, from left to right."""
    out = []
    i = 0
    while i < len(parts):
        joined = tuple(parts[i:i + 2]) == pair
        out.append(parts[i] + parts[i + 1] if joined else parts[i])
        i += 2 if joined else 1
    return out


def read_merges(path, most=49152 - 256 - 2):
    lines = gzip.open(path).read().decode().split('\n')[1:most + 1]
    return [tuple(line.split(' ')) for line in lines if line]


class Tokenizer:
    def __init__(self, pairs):
        """pairs: the merges, best first, or the name of the file that holds them."""
        if isinstance(pairs, str):
            pairs = read_merges(pairs)
        self.visible = visible()
        alphabet = list(self.visible.values())
        names = alphabet + [c + '</w>' for c in alphabet] + [a + b for a, b in pairs]
        self.id = {name: i for i, name in enumerate(names)}
        self.rank = {pair: i for i, pair in enumerate(pairs)}
        self.cache = {}

    def word(self, word):
        if word not in self.cache:
            parts = [self.visible[b] for b in word.encode()]
            parts[-1] += '</w>'
            self.cache[word] = [self.id[p] for p in self.merge(parts)]
        return self.cache[word]

    def merge(self, parts):
        while len(parts) > 1:
            best = min(zip(parts, parts[1:]), key=lambda pair: self.rank.get(pair, 1 << 30))
            if best not in self.rank:
                break
            parts = merge(parts, best)
        return parts

    def encode(self, text):
        return self.encode_clean(clean(text))

    def encode_clean(self, text):
        return [i for word in PATTERN.findall(text) for i in self.word(word)]

    def decode(self, ids):
        """The text of ids; a space follows every word."""
        if not hasattr(self, 'name'):
            self.name = {i: name for name, i in self.id.items()}
            self.byte = {c: b for b, c in self.visible.items()}
        out = bytearray()
        for i in ids:
            word, end, _ = self.name[i].partition('</w>')
            out += bytes(self.byte[c] for c in word) + (b' ' if end else b'')
        return out.decode('utf-8', 'replace')


def main():
    lines = sys.stdin.buffer.read().decode('utf-8', 'replace').split('\n')
    if lines[-1] == '':
        lines.pop()
    if sys.argv[1] == '--clean':
        for line in lines:
            print(clean(line))
        return
    tokenizer = Tokenizer(sys.argv[1])
    for line in lines:
        print(*tokenizer.encode(line))


if __name__ == '__main__':
    main()
