#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write common/curate/scripts.inc: the script (Unicode's property) of every letter, in the version of Unicode that the
package regex knows.  usage: make_scripts.py > common/curate/scripts.inc   (needs regex)"""
import regex
from regex import _regex_core

COMMON = ('COMMON', 'INHERITED', 'UNKNOWN')


def names():
    """Every script's long name and its code of ISO 15924, in the order of regex's table."""
    by_value = {}
    for name, value in _regex_core.PROPERTIES['SCRIPT'][1].items():
        by_value.setdefault(value, []).append(name)
    for value, known in sorted(by_value.items()):
        long = [n for n in known if len(n) != 4] or known
        yield max(long, key=len), next((n for n in known if len(n) == 4), long[0])


def main():
    text = ''.join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    letters = ''.join(regex.findall(r'\p{L}', text))
    ranges, used = [], []
    for long, code in names():
        found = [] if long in COMMON else regex.findall(r'\p{Script=%s}' % long, letters)
        if not found:
            continue
        used.append((long.capitalize(), code.capitalize()))
        for c in map(ord, found):
            if ranges and ranges[-1][2] == len(used) and ranges[-1][1] == c - 1:
                ranges[-1][1] = c
            else:
                ranges.append([c, c, len(used)])
    print('/* SPDX-License-Identifier: MIT */')
    print('/* Made by tests/reference/make_scripts.py with regex %s: NAME(number, name, code of ISO 15924), then'
          % regex.__version__)
    print(' * LETTERS(first, last, number). Letters of no script or of several are not here. */')
    for i, (long, code) in enumerate(used):
        print('NAME(%d, "%s", "%s")' % (i + 1, long, code))
    for first, last, number in sorted(ranges):
        print('LETTERS(0x%04X, 0x%04X, %d)' % (first, last, number))


main()
