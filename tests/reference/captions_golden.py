#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write tests/golden/captions.h: captions, their cleaned text, their ids in OpenAI's vocabulary and in a small one
that a naive trainer makes of these captions.  usage: captions_golden.py VOCAB > tests/golden/captions.h
Needs regex and ftfy."""
import collections
import sys

import simple_tokenizer as st

CAPTIONS = """\
A photo of a cat
  Two   dogs,\trunning on the BEACH!!!
it's we're they've I'm we'll he'd don't IT'S
the dog\u2019s ball \u2014 \u201cquoted\u201d text\u2026
3 apples and 12,345.67 pears at 10:30
Fish &amp; chips &lt;3
Fish &amp;amp; chips &amp;lt;3
&copy 2014 caf&eacute; &#169; &#x1F600; &#150; &notit; &nosuch; &
P&EACUTE;REZ STRA&SZLIG;E &NTILDE;
<b>bold &eacute; &amp;eacute;</b>
a<br>b&nbsp;c
R&D AT&T Q&A;
&#0; &#1; &#xD800; &#99999999; &#x81; &#65
Ein Mädchen fährt über die Straße
Un chien court à côté d'une fenêtre, l'été
Dívka s červeným kloboukem čte knihu pod příštím stromem
Собака бежит по снегу
一只猫坐在椅子上。
猫が椅子に座っている
고양이가 의자에 앉아 있다
قطة تجلس على كرسي
बिल्ली कुर्सी पर बैठी है
แมวนั่งบนเก้าอี้
ΟΔΥΣΣΕΥΣ ΚΑΙ ΣΟΦΟΣ Σ. ΑΣ' ΑΣ'Α
İstanbul'da IŞIK DİYARBAKIR ıspanak
e\u0301te\u0301 Cafe\u0301 \u1100\u1161\u11a8 A\u030a
ﬁne ﬂower ﬃ Ĳsland ŉ
ＦＵＬＬ　ｗｉｄｔｈ ﾊﾟﾝ ﾃｽﾄ
zero\u200bwidth\u200d joiner \u200cnon \ufeffbom \u00adsoft
nbsp\u00a0thin\u2009ideographic\u3000line\u2028para\u2029nel\u0085end
🐶🐱 a dog & a cat 😀😀😀
👨\u200d👩\u200d👧\u200d👦 family 🏳️\u200d🌈 🇩🇪 👍🏽
<|startoftext|> hello <|endoftext|> <|ENDOFTEXT|>
x²+y³=z½ ①② Ⅷ ٣٤
snake_case camelCase kebab-case C++ C# #hashtag @user
http://example.com/a?b=c&d=e%20f
:-) ;) <3 ^_^ ¯\\_(ツ)_/¯
supercalifragilisticexpialidocious antidisestablishmentarianism
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
'ſ 'S K Å µ ǅ ẞ
\x1b[31mred\x1b[0m \x07bell \x93smart\x94 \x80
DSC_0042.JPG
!

"""
CAPTIONS = CAPTIONS.split('\n')[:-1] + [
    'caf\xc3\xa9 \xe2\u20ac\u201chier\xe2\u20ac\ufffd', 'new in 18: \u0558\u058b', 'two\nlines\r\nthree', '\x00nul', ' . ']
MERGES = 120


def train(captions, n):
    """Naive BPE: recount everything for each merge. Ties: the lowest ids."""
    words = collections.Counter(w for c in captions for w in st.PATTERN.findall(st.clean(c)))
    vis = st.visible()
    names = list(vis.values())
    ids = {name: i for i, name in enumerate(names + [c + '</w>' for c in names])}
    split = {w: [vis[b] for b in w.encode()] for w in words}
    for parts in split.values():
        parts[-1] += '</w>'
    merges = []
    while len(merges) < n:
        count = collections.Counter()
        for w, k in words.items():
            for pair in zip(split[w], split[w][1:]):
                count[pair] += k
        if not count:
            break
        best = min(count, key=lambda p: (-count[p], ids[p[0]], ids[p[1]]))
        if count[best] < 2:
            break
        merges.append(best)
        ids.setdefault(best[0] + best[1], len(ids))
        for w in split:
            split[w] = st.merge(split[w], best)
    return merges


def c_string(data):
    """C text of bytes; "" "" between an escape and what follows keeps octal apart."""
    return '"' + ''.join(chr(b) if 32 <= b < 127 and b not in b'"\\?' else '\\%03o' % b for b in data) + '"'


def row(ids):
    return '{ %s }' % ', '.join(map(str, ids or [0]))


def main():
    big = st.Tokenizer(sys.argv[1])
    merges = train(CAPTIONS, MERGES)
    small = st.Tokenizer(merges)
    print('/* SPDX-License-Identifier: MIT */')
    print('/* Made by tests/reference/captions_golden.py. */')
    print('static const struct { const char *s; size_t n; const char *clean; int n_big; int32_t big[128]; int n_small;')
    print('\tint32_t small[256]; } captions[] = {')
    for c in CAPTIONS:
        data = c.encode()
        a, b = big.encode(c), small.encode(c)
        print('\t{ %s, %d,\n\t\t%s,' % (c_string(data), len(data), c_string(st.clean(c).encode())))
        print('\t\t%d, %s,\n\t\t%d, %s },' % (len(a), row(a), len(b), row(b)))
    print('};\n\nenum { SMALL_MERGES = %d };\nstatic const char small_vocab[] = "#version: 0.2\\n"' % len(merges))
    for a, b in merges:
        print('\t' + c_string(('%s %s' % (a, b)).encode())[:-1] + '\\n"')
    print('\t;')


if __name__ == '__main__':
    main()
