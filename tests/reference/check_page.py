# SPDX-License-Identifier: MIT
"""Checks a page of report.sh: well-formed, whole in itself, every picture decodes and is described.

    check_page.py PAGE            prints what is in it, a line each: sections, pictures, charts, rows of tables
    check_page.py PAGE cells N    the cells of the table under the N-th heading, a row a line"""
import base64
import io
import re
import sys
import xml.etree.ElementTree as ET


def decoded(data):
    try:
        from PIL import Image
    except ImportError:
        return data[:3] == b"\xff\xd8\xff" and data[-2:] == b"\xff\xd9"
    with Image.open(io.BytesIO(data)) as im:
        im.load()
        return im.width > 0 and im.height > 0


def text_of(e):
    return re.sub(r"\s+", " ", "".join(e.itertext())).strip()


def main(path, what="", heading=""):
    page = open(path, encoding="utf-8").read()
    assert page.startswith("<!DOCTYPE html>\n"), "no doctype"
    assert len(page.encode()) < 2e6, "%d bytes" % len(page.encode())
    for foreign in ("http:", "https:", "<script", "javascript:", "@import", "//cdn"):
        assert foreign not in page, foreign
    assert not re.search(r"url\((?!#)", page), "url() of something else"
    root = ET.fromstring(page.split("\n", 1)[1])  # ElementTree refuses what is not well-formed
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids)), "an id twice"
    pictures = charts = 0
    for e in root.iter():
        for name in ("src", "href", "srcset", "data", "action"):
            assert name not in e.attrib or e.get(name).startswith("data:image/"), "%s loads %s" % (e.tag, e.get(name)[:50])
        assert not any(a.startswith("on") for a in e.attrib), "a handler in %s" % e.tag
        if e.tag == "img":
            assert e.get("alt"), "an image without a description"
            kind, data = e.get("src").split(";base64,")
            assert kind == "data:image/jpeg" and decoded(base64.b64decode(data, validate=True)), "an image that does not decode"
            pictures += 1
        if e.tag == "svg":
            assert e.get("role") == "img" and e.get("aria-label"), "a chart without a description"
            for p in e.iter("path"):
                assert re.fullmatch(r"[MLHvVZ0-9. -]+", p.get("d")), p.get("d")
            charts += 1
    assert root.find("head/title").text and root.get("lang")
    if what == "cells":
        for section in root.iter("section"):
            if text_of(section.find("h2")) == heading:
                for tr in section.iter("tr"):
                    print("\t".join(text_of(c) for c in tr))
        return
    for section in root.iter("section"):
        print("section:", text_of(section.find("h2")))
        for e in section.iter():
            if e.get("class") == "none":
                print("missing:", text_of(e))
            if e.tag == "figcaption" and section.find("h2").text in ("Training", "Validation while training"):
                print("chart:", text_of(e))
    print("pictures:", pictures)
    print("charts:", charts)


main(*sys.argv[1:])
