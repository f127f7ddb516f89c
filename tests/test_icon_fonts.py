import importlib
import shutil
import sys
from pathlib import Path

import pydata_sphinx_theme
import pytest
from fontTools.ttLib import TTFont

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
icon_fonts = importlib.import_module("icon_fonts")

FULL = next(Path(pydata_sphinx_theme.__file__).parent.rglob("vendor/fontawesome"))
MOON, SUN, GITHUB, CLOSE, DOWN, BELL = 0xF186, 0xF185, 0xF09B, 0xF00D, 0xF107, 0xF0F3


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    book = tmp_path_factory.mktemp("book")
    shutil.copytree(FULL, book / "_static" / "vendor" / "fontawesome")
    (book / "index.html").write_text(
        '<i class="fas fa-moon"></i><i class="fab fa-github"></i>'
        '<i class="fas fa-no-such-icon"></i>'
    )
    (book / "deep").mkdir()
    (book / "deep" / "page.html").write_text('<i class="fa-solid fa-sun fa-lg"></i>')
    (book / "_static" / "theme.js").write_text("a.innerHTML='<i class=fa-xmark></i>'")
    (book / "_static" / "theme.css").write_text('summary:before{content:"\\f107"}')
    (book / "_static" / "bell.css").write_text(
        f'.note:before{{content:"{chr(BELL)}"}}', encoding="utf-8"
    )
    icon_fonts.shrink_fonts(book)
    return book


def font(book, name):
    return next(book.rglob(f"webfonts/{name}"))


def characters(path):
    with TTFont(path) as opened:
        return set(opened.getBestCmap() or {})


def test_a_font_holds_the_icons_of_pages_scripts_and_styles_and_no_others(book):
    solid = characters(font(book, "fa-solid-900.woff2"))
    assert solid == {MOON, SUN, CLOSE, DOWN, BELL}
    assert characters(font(book, "fa-brands-400.woff2")) == {GITHUB}


def test_an_icon_keeps_its_shape(book):
    with (
        TTFont(font(book, "fa-solid-900.woff2")) as small,
        TTFont(font(book, "fa-solid-900.ttf")) as full,
    ):
        for character in (MOON, SUN):
            (drawn, width), (wanted, its_width) = (
                (each["glyf"][each.getBestCmap()[character]], _width(each, character))
                for each in (small, full)
            )
            assert width == its_width
            assert drawn.coordinates == wanted.coordinates
        assert small["head"].unitsPerEm == full["head"].unitsPerEm


def _width(opened, character):
    return opened["hmtx"][opened.getBestCmap()[character]][0]


def test_the_fonts_are_small_and_not_called_like_the_full_one(book):
    for path in book.rglob("*.woff2"):
        assert path.stat().st_size < 3000
        with TTFont(path) as opened:
            names = {each.nameID: str(each) for each in opened["name"].names}
        assert "Font Awesome" not in names[1] + names[4] + names[6]
        assert "Font Awesome" in names[0], "the copyright stays"


def test_shrinking_twice_changes_nothing(book):
    before = font(book, "fa-solid-900.woff2").read_bytes()
    icon_fonts.shrink_fonts(book)
    assert font(book, "fa-solid-900.woff2").read_bytes() == before


def test_a_book_without_icons_is_left_alone(tmp_path):
    (tmp_path / "index.html").write_text("<p>No icon.</p>")
    icon_fonts.shrink_fonts(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["index.html"]
