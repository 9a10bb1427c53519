#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write common/text/entities.inc: HTML5's named character references (the WHATWG's list as Python's html.entities
carries it), sorted by name.  usage: make_entities.py > common/text/entities.inc"""
import html.entities


def c_string(text):
    return '"' + ''.join('\\%03o' % b for b in text.encode()) + '"'


print('/* SPDX-License-Identifier: MIT */')
print('/* Made by tests/reference/make_entities.py: name (with its ";" where it has one), value in UTF-8. */')
for name in sorted(html.entities.html5):
    print('{ "%s", %s },' % (name, c_string(html.entities.html5[name])))
