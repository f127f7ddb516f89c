import importlib
import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
book_map = importlib.import_module("book_map")

TOC = """
format: jb-book
root: book/index
parts:
  - caption: First & foremost
    chapters:
      - file: notebooks/a
      - file: notebooks/b
  - caption: Around
    chapters:
      - file: book/more
"""


def write(folder, name, first, last):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell(text) for text in (first, last)]
    )
    nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")


@pytest.fixture
def book(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_toc.yml").write_text(TOC)
    head = "# Title {}: more\n\nreading time {} minutes"
    write(tmp_path, "a", head.format("A", 50), "**Before this chapter** nothing.")
    write(
        tmp_path,
        "b",
        head.format("B", 25),
        "**Before this chapter:** [x](a.ipynb). **After it:** [y](c.ipynb).",
    )
    return tmp_path


def test_chapters_are_read_from_contents_and_notebooks(book):
    captions, (a, b) = book_map.chapters(book)
    assert captions == ["First & foremost"]
    assert (a.name, a.title, a.minutes, a.needs) == ("a", "Title A", 50, ())
    assert b.needs == ("a",)


def test_the_map_links_every_chapter_and_draws_what_it_needs(book):
    captions, found = book_map.chapters(book)
    html = book_map.drawn(captions, found, {"a": "a.html", "b": "b.html"})
    assert html.count("<a href=") == 2
    assert "First &amp; foremost" in html
    assert "1 h 15 min" in html
    assert html.count('class="from-a to-b"') == 1
    assert "needs: Title A" in html
    assert "needs: nothing" in html


@pytest.mark.parametrize("missing", ["reading time", "Before this chapter", "# Title"])
def test_a_chapter_that_says_too_little_is_named(book, missing):
    path = book / "notebooks" / "b.ipynb"
    path.write_text(path.read_text().replace(missing, "…"))
    with pytest.raises(ValueError, match=r"notebooks/b\.ipynb must begin with"):
        book_map.chapters(book)


def test_a_chapter_cannot_need_a_later_one(book):
    path = book / "notebooks" / "a.ipynb"
    path.write_text(path.read_text().replace("nothing.", "[y](b.ipynb)."))
    with pytest.raises(ValueError, match=r"a\.ipynb says that b comes before it"):
        book_map.chapters(book)


def test_every_chapter_of_the_book_has_its_place_on_the_map():
    captions, found = book_map.chapters(ROOT)
    assert len(captions) == 4
    names = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {each.name for each in found} == names
    assert [each.name for each in found if not each.needs] == [found[0].name]


def test_every_chapter_stands_in_the_tables_of_the_landing_page():
    text = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[[^]]+\]\(\.\./notebooks/(\S+)\.ipynb\)", text, flags=re.M)
    assert rows == [each.name for each in book_map.chapters(ROOT)[1]]
