#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write tests/golden/repair.h: broken texts and what ftfy makes of them.
usage: repair_golden.py > tests/golden/repair.h   (needs ftfy 6.3)"""
from captions_golden import c_string
import simple_tokenizer as st

CLEAN = ['Ein Mädchen fährt über die Straße', 'Dívka s červeným kloboukem čte knihu', "l'été à côté d'une fenêtre, « oui »",
         'a “quoted” dog’s ball — 20€…', 'Собака бежит по снегу №5', 'ένα μικρό σπίτι', '一只猫坐在椅子上。', 'قطة على كرسي',
         '🐶 and 👨‍👩‍👧', 'Çok güzel şehir İstanbul', 'ąžuolas ir ėglė', 'ok 25° N × 3² ± ½']
ENCODINGS = ['latin-1', 'cp1252', 'cp1251', 'cp1250', 'cp1253', 'cp1254', 'cp1257', 'iso8859-2', 'mac-roman', 'cp437']


def read_as(text, encoding):
    """The text's UTF-8 as the encoding reads it, open bytes as the character of their number."""
    out = ''
    for b in text.encode():
        try:
            out += bytes([b]).decode(encoding)
        except UnicodeDecodeError:
            out += chr(b)
    return out


BROKEN = [
    # spaces for A0, and "à" as a word
    'voilÃ  le travail', 'Ã la mode', 'Ã quele lugar Ã s vezes', 'Ã\xa0 la', 'a Â bird', 'Â a bird', 'Å  koda', 'fÃ cil', 'â tment',
    'ðŸ ¶ dog', 'Ð Ð¾ÑÑ Ð¸Ñ', 'the Â©2014 Â® dog.Â  ok',
    # lost bytes
    'â€œlike thisâ€�', 'l�� Ã� Ã? â€?', 'ï¿½', 'ï¿½ ï¿½ dog', 'donï¿½t', 'ðŸ�¶ ðŸ?¶', 'the â�� dog', 'Ã©t�', 'x\x1a Ã©',
    # pieces of mojibake in other text
    '一 cafÃ© ł', 'Å‚ 一 â€œaâ€\x9d', 'Собака cafÃ© and â€™', 'ł Ã¤Â¸â‚¬ 一', 'ã‚«ãƒ¡ãƒ© 猫',
    # CESU-8 and Java's zero
    'í\xa0½í¸\x8d', 'dog Ã©í\xa0½í¸\x8d ok', 'À\x80 Ã©',
    # C1
    '\x93smart\x94 \x80 dog\x92s', 'a \x85 b \x81', 'ÃƒÂ© \x9d',
    # what only one of the suspicious sequences tells
    '\x80', '«¨', '¬£', 'aΓ¤', '»Ä', '»ß', '├¢', ' À¥', 'À∂', 'â‚±', 'à®¡', '×¡', 'aÂ¥', '├»', 'ΓÇ│', 'À™b', 'Œ´', 'Ä°', 'Â\xa0', '×³',
    'Ø£Ø±', 'à¹–', 'aÃ\u0192 ', 'a Ã\x82 ', '.Â x', '√®', '≈¢', '‚Äì', '‚âà', 'вЂ¤', ' РµРЏ', 'ГўВЂВ¤ a', 'β€\xa0', ' Γ»Β©',
    # not mojibake
    'Å is a village', 'ÅÄÖ', 'MÜNCHEN', 'São Paulo à noite', 'ÀÉÈÙ', 'Œuvre', 'cœur', 'Ñandú', '25°C', '£5', '50¢ ½ off', 'Â', 'Ã', 'â€', '¿Qué?',
    '«Привет»', '┌─┐ box', '(╯°□°)╯︵ ┻━┻', '¯\\_(ツ)_/¯', 'naïve café', 'L’Âge d’or', 'ÜÖ “Ü”', 'Ð', 'ПРИВЕТ', 'Ţ®', 'x²+y³', 'vis-à-vis',
    # entities
    '&lt;b&gt; &amp;amp;eacute; &EACUTE; &FFILIG; &NAPOS; &SZLIG;', '<b> &eacute;', 'a &#x80; &#128169; &#59; &#1; &#xD83D;', '&nosuch; &amp &copy',
    '&Atilde;&copy;',
    # the rest
    'ﬁne ﬂow Ĳ ŉ Ǆ', 'ＦＵＬＬ　ｗｉｄｔｈ ﾊﾟﾝ', '‘a’ “b” ‛c‟ ʼ', 'a\r\nb\rc\u2028d\u2029e', '\x1b[31;1mred\x1b[0m \x1b[٣m \x1b[x', 'a\x00\x07\x7f\ufeff\ufff9\u206ab',
    'e\u0301 A\u030a \u1100\u1161', '', ' ', '\n\n',
]


def main():
    texts = CLEAN + BROKEN
    for encoding in ENCODINGS:
        for text in CLEAN:
            texts.append(read_as(text, encoding))
    for text in CLEAN:
        texts.append(read_as(read_as(text, 'cp1252'), 'cp1252'))
        texts.append(read_as(read_as(text, 'latin-1'), 'cp1252'))
        texts.append(text.encode().decode('cp1252', 'replace'))
        texts.append('żółw 一 ' + read_as(text, 'cp1252') + ' 一')
    print('/* SPDX-License-Identifier: MIT */')
    print('/* Made by tests/reference/repair_golden.py with ftfy %s. */' % st.ftfy.__version__)
    print('static const struct { const char *s; size_t n; const char *want; } repairs[] = {')
    for text in dict.fromkeys(texts):
        data = text.encode()
        print('\t{ %s, %d,\n\t\t%s },' % (c_string(data), len(data), c_string(st.repair(text).encode())))
    print('};')


main()
