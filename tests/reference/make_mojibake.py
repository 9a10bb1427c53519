#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write common/text/mojibake.inc: every character that can come of UTF-8 read in a wrong encoding, its byte in each of
the ten encodings, and the classes by which such text is told from text that means itself.
usage: make_mojibake.py > common/text/mojibake.inc

The encodings are Python's tables; where a Windows encoding leaves a byte open, the byte stands for the character of its
number, and 0x1A for U+FFFD (a character that was lost). LEAD2.. and TRAIL follow from them. The other classes are
those of ftfy 6.3.1, with whose results tests/parity/40-repair.py compares."""
import unicodedata

SLOPPY = ['cp1252', 'cp1251', 'cp1250', 'cp1253', 'cp1254', 'cp1257']
ENCODINGS = ['latin-1'] + SLOPPY + ['iso8859-2', 'mac-roman', 'cp437']
LATIN_LIKE = ['latin-1'] + SLOPPY


def high(encoding, sloppy):
    """byte -> character, for the bytes from 0x80."""
    out = {}
    for b in range(0x80, 0x100):
        try:
            out[b] = bytes([b]).decode(encoding)
        except UnicodeDecodeError:
            if sloppy:
                out[b] = chr(b)
    return out


def span(first, last):
    return ''.join(map(chr, range(ord(first), ord(last) + 1)))


def letters(names, case):
    """'A breve, E ogonek': LATIN CAPITAL (or SMALL) LETTER A WITH BREVE ..."""
    out = ''
    for name in names.split(', '):
        letter, _, mark = name.partition(' ')
        full = 'LATIN %s LETTER %s' % (case, letter) + (' WITH ' + mark.upper() if mark else '')
        out += unicodedata.lookup(full)
    return out


ACCENTED = ('A breve, A macron, A ogonek, C acute, C caron, D caron, D stroke, E ogonek, E caron, E macron, E dot above, '
            'G breve, G cedilla, I macron, K cedilla, L acute, L caron, L stroke, L cedilla, S acute, S cedilla, S caron, '
            'T caron, Z acute, Z dot above, Z caron')

CLASSES = {
    # characters that stand anywhere
    'COMMON': '\xa0\xad·´–—―…’',
    'C1': span('\x80', '\x9f'),
    # that hardly stand for themselves
    'ODD': '¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\ufffdªº',
    'LAW': '¶§',
    'MONEY': '¢£¥₧€',
    'OPENING': '¡«¿©\u0384\u0385‘‚“„•‹\uf8ff',
    'CLOSING': '®»˝”›™',
    'NUMERIC': '²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№',
    'FACE': span('Ò', 'Ö') + span('Ù', 'Ü') + span('ò', 'ö') + span('ø', 'ü') + 'ŐŌŪŲ°',
    'UPPER': span('À', 'Ñ') + 'ØÜÝ' + letters(ACCENTED, 'CAPITAL') + letters(
        'I dot above, N acute, N caron, N cedilla, R caron, T cedilla, U ring above, U double acute, Y diaeresis',
        'CAPITAL') + 'ŒҐ',
    'LOWER': 'ß' + span('à', 'ñ') + letters(ACCENTED, 'SMALL') + letters('I ogonek, R acute, U diaeresis', 'SMALL')
             + 'œґﬁﬂ',
    'UPPER2': 'Þ' + span('Α', 'Ρ') + span('Σ', 'Ω') + 'ΆΈΉΊΌΎΏΪΫ' + span('Ё', 'Я') + '\u03a2',
    'LOWER2': span('α', 'ω') + 'άέήίΰ' + span('а', 'џ'),
    'BOX': '│┌┐┘├┤┬┼' + span('═', '╬') + '▀▄█▌▐░▒▓',
    # single characters that particular rules ask for
    'S_OE': 'Œœ', 'S_DEGREE': '°', 'S_AAIETH': 'ÂÃÎÐ', 'S_BEHIND_AAIETH': '€œŠš¢£Ÿž\xa0\xad®©°·»–—´',
    'S_TIMES': '×', 'S_SQUARE': '²³', 'S_ARABIC': 'ØÙ', 'S_BEHIND_ARABIC': 'ŸŠ®°µ»', 'S_A_GRAVE': 'à',
    'S_BEHIND_A_GRAVE': '²µ¹¼½¾', 'S_ROOT': '√', 'S_BEHIND_ROOT': '±∂†≠®™´≤≥¥µø', 'S_ALMOST': '≈', 'S_BEHIND_ALMOST': '°¢',
    'S_LOW_QUOTE': '‚', 'S_A_DIAERESIS': 'Ä', 'S_BEHIND_LOW_QUOTE_A': 'ìîïòôúùû†°¢π', 'S_MAC_3': 'âó', 'S_BEHIND_MAC_3': 'àä°ê',
    'S_VE': 'в', 'S_DJE': 'Ђ', 'S_VGRS': 'ВГРС', 'S_MICRO': 'µ', 'S_GHE': 'Г', 'S_U_SHORT': 'ў', 'S_CAPITAL_VE': 'В',
    'S_A_TILDE': 'Ã', 'S_A_HAT': 'Â', 'S_BETA': 'β', 'S_EURO': '€', 'S_BEHIND_BETA_EURO': '™\xa0Ά\xad®°',
    'S_GREEK': 'ΒΓΞΟ',
}


def derive():
    """What the bytes of UTF-8 look like in an encoding like Latin-1."""
    for name, wanted in (('LEAD2', range(0xC2, 0xE0)), ('LEAD3', range(0xE0, 0xF0)), ('LEAD4', (0xF0, 0xF3)),
                         ('TRAIL', range(0x80, 0xC0))):
        CLASSES[name] = ''.join(high(e, False).get(b, '') for e in LATIN_LIKE for b in wanted)
    # less what often stands beside mojibake for itself
    CLASSES['TRAIL_ONLY'] = ''.join(set(CLASSES['TRAIL']) - set('–—―‘’‚“”„•…'))


def main():
    derive()
    byte = {}
    for e in ENCODINGS:
        for b, c in high(e, e in SLOPPY).items():
            assert ord(c) >= 0x80 and (c, e) not in byte
            byte[c, e] = b
        if e in SLOPPY:
            byte['\ufffd', e] = 0x1A
    seen = {c for c, _ in byte} | set(''.join(CLASSES.values()))
    CLASSES['WORD'] = ''.join(c for c in seen if c.isalnum())
    CLASSES['SPACE'] = ''.join(c for c in seen if c.isspace())
    assert all(chr(c) in seen for c in range(0x80, 0x100))   # mojibake.c counts on it
    print('/* SPDX-License-Identifier: MIT */')
    print('/* Made by tests/reference/make_mojibake.py: character, its byte in each encoding (0: none), its classes. */')
    for c in sorted(seen):
        bytes_ = ', '.join('0x%02X' % byte[c, e] if (c, e) in byte else '0' for e in ENCODINGS)
        classes = ' | '.join('B(%s)' % name for name in CLASSES if c in CLASSES[name])
        print('{ 0x%04X, { %s },\n\t%s },' % (ord(c), bytes_, classes or '0'))


if __name__ == '__main__':
    main()
