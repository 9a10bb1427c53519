#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write common/text/letters.inc: what CLIP's pattern takes each character for, in the version of Unicode that the
package regex knows.  usage: make_letters.py > common/text/letters.inc   (needs regex)

Asked of the pattern's own parts, without regard to case as CLIP does, so that the table has what follows from that:
U+0345 is in none of them."""
import regex

PARTS = [('L', r'[\p{L}]'), ('N', r'[\p{N}]'), ('O', r'[^\s\p{L}\p{N}]')]


def main():
    text = ''.join(chr(c) for c in range(0x80, 0x110000) if not 0xD800 <= c < 0xE000)
    kind = {}
    for name, part in PARTS:
        for m in regex.finditer(part, text, regex.IGNORECASE):
            kind.setdefault(ord(m.group()), name)
    ranges = []
    for c in map(ord, text):
        k = kind.get(c, 'S')
        if ranges and ranges[-1][2] == k and (ranges[-1][1] == c - 1 or (ranges[-1][1], c) == (0xD7FF, 0xE000)):
            ranges[-1][1] = c
        else:
            ranges.append([c, c, k])
    print('/* SPDX-License-Identifier: MIT */')
    print('/* Made by tests/reference/make_letters.py with regex %s: first, last, letter L or number N; S: no part of a'
          % regex.__version__)
    print(' * word. What is not here is O, any other character. */')
    for first, last, k in ranges:
        if k != 'O':
            print("{ 0x%04X, 0x%04X, '%s' }," % (first, last, k))


main()
