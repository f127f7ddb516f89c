"""Icon fonts with the icons that the book shows, and no others.

The theme ships all 2,000 icons, 280 KB that a telephone would fetch before it draws the
first of the twenty that the pages use. After the build, each `.woff2` in the output is
made again from the full `.ttf` beside it, with those icons alone: a few KB.

The icons' licence (SIL OFL) reserves the font's name for the full font, so the smaller
ones are called otherwise. Pages know them by the name that the style sheet gives.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

_FAMILY = "Icons of the book"
_USED = re.compile(r"\bfa-[a-z0-9-]+")
_RULE = re.compile(r'((?:\.fa-[a-z0-9-]+::?before,?)+)\{content:"\\([0-9a-f]+)')
# Icons in other style sheets stand there as they are, or by their number.
_CHARACTER = re.compile("[\ue000-\uf8ff]")
_NUMBER = re.compile(r'"\\([ef][0-9a-f]{3})"')
# In the table `name`: family, identifier, full and PostScript name, family again.
_FAMILY_NAMES = (1, 3, 4, 6, 16)
_LICENCE_NAMES = (0, 13, 14)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hook (called by Sphinx, or by the book's extension)."""
    app.connect("build-finished", shrink)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def shrink(app: Sphinx, error: Exception | None) -> None:
    """Leave in the fonts of a finished HTML build the icons that its pages use."""
    if error is None and app.builder.format == "html":
        shrink_fonts(Path(app.outdir))


def shrink_fonts(book: Path) -> None:
    """Make every `.woff2` of the icons again, from the `.ttf` beside it."""
    for style in book.glob("_static/vendor/fontawesome/*/css/all.min.css"):
        characters = used_characters(book, style)
        for full in style.parents[1].glob("webfonts/*.ttf"):
            small = full.with_suffix(".woff2")
            if small.exists():
                write_subset(full, small, characters)


def used_characters(book: Path, style: Path) -> set[int]:
    """Return the code points of all icons that pages, scripts and styles name.

    Args:
        book: The built book.
        style: The style sheet that gives each icon its character.
    """
    vendor = style.parents[1]
    texts = [
        path.read_text(encoding="utf-8")
        for kind in ("html", "js", "css")
        for path in book.rglob(f"*.{kind}")
        if vendor not in path.parents and "mathjax" not in path.parts
    ]
    named = {name for text in texts for name in _USED.findall(text)}
    found = {ord(each) for text in texts for each in _CHARACTER.findall(text)}
    found |= {int(each, 16) for text in texts for each in _NUMBER.findall(text)}
    for selectors, number in _RULE.findall(style.read_text(encoding="utf-8")):
        if named.intersection(_USED.findall(selectors)):
            found.add(int(number, 16))
    return found


def write_subset(full: Path, small: Path, characters: Iterable[int]) -> None:
    """Write a font with some of the characters of another."""
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    options = subset.Options(hinting=False, name_IDs=[*_FAMILY_NAMES, *_LICENCE_NAMES])
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=characters)
    with TTFont(full, recalcTimestamp=False) as font:
        cutter.subset(font)
        for record in font["name"].names:
            if record.nameID in _FAMILY_NAMES:
                postscript = record.nameID == 6
                record.string = _FAMILY.replace(" ", "") if postscript else _FAMILY
        font.flavor = "woff2"
        font.save(small)
