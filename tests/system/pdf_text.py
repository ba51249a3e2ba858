"""The text of a PDF that Chromium has printed, page by page: what is cut off on paper is not in it."""

import re
import zlib

_OBJECT = re.compile(rb"(\d+) 0 obj\s*(.*?)endobj", re.DOTALL)
_STREAM = re.compile(rb"stream\r?\n(.*)\r?\nendstream", re.DOTALL)


def pdf_pages(pdf: bytes) -> list[str]:
    """Give the text of each page, in the order in which it is drawn, without any spaces."""
    objects = {int(number): body for number, body in _OBJECT.findall(pdf)}
    pages = [body for body in objects.values() if re.search(rb"/Type\s*/Page\b", body)]
    return [_page(objects, page) for page in pages]


def _page(objects: dict[int, bytes], page: bytes) -> str:
    resources = page
    if found := re.search(rb"/Resources (\d+) 0 R", page):
        resources = objects[int(found[1])]
    fonts = {name: _letters(objects, int(font)) for name, font in re.findall(rb"/(F\d+) (\d+) 0 R", resources)}
    (content,) = re.findall(rb"/Contents (\d+) 0 R", page)
    words = []
    letters: dict[int, str] = {}
    for font, shown in re.findall(rb"/(F\d+) [\d.]+ Tf|<([0-9A-Fa-f]+)>", _unpacked(objects[int(content)])):
        if font:
            letters = fonts[font]
        else:
            codes = [int(shown[k : k + 4], 16) for k in range(0, len(shown), 4)]
            words.append("".join(letters.get(code, "") for code in codes))
    return "".join("".join(words).split())


def _letters(objects: dict[int, bytes], font: int) -> dict[int, str]:
    """Read which letter each glyph of a font is."""
    found = re.search(rb"/ToUnicode (\d+) 0 R", objects[font])
    table = _unpacked(objects[int(found[1])]).decode() if found else ""
    letters = {}
    for block in re.findall(r"beginbfchar(.*?)endbfchar", table, re.DOTALL):
        for code, letter in re.findall(r"<(\w+)>\s*<(\w+)>", block):
            letters[int(code, 16)] = bytes.fromhex(letter).decode("utf-16-be")
    for block in re.findall(r"beginbfrange(.*?)endbfrange", table, re.DOTALL):
        for first, last, letter in re.findall(r"<(\w+)>\s*<(\w+)>\s*<(\w+)>", block):
            for k, code in enumerate(range(int(first, 16), int(last, 16) + 1)):
                letters[code] = chr(int(letter, 16) + k)
    return letters


def _unpacked(body: bytes) -> bytes:
    found = _STREAM.search(body)
    assert found, "a stream"
    return zlib.decompress(found[1]) if b"/FlateDecode" in body else found[1]
