"""Notebooks executed ahead are found by Jupyter Book; failures stay its own."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from jupyter_cache import get_cache
from myst_nb.core.read import myst_nb_reader_plugin

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
ahead = importlib.import_module("execute_ahead")


LANDING = """---
file_format: mystnb
kernelspec:
  name: python3
  display_name: Python 3
---
# A page with code

```{code-cell} ipython3
print(3)
```
"""


@pytest.fixture
def book(tmp_path):
    """Three notebooks, one of which fails, and two pages, one of which has code."""
    for name, code in (("one", "print(1)"), ("two", "print(2)"), ("bad", "1 / 0")):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python"}
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    (tmp_path / "page.md").write_text("# A page")
    (tmp_path / "landing.md").write_text(LANDING)
    config = SimpleNamespace(
        nb_execution_mode="cache", nb_execution_cache_path="", nb_execution_timeout=60
    )
    return SimpleNamespace(
        folder=tmp_path, outdir=str(tmp_path / "_build" / "html"), config=config
    )


def run(book, *names):
    pages = {name: str(next(book.folder.glob(f"{name}.*"))) for name in names}
    ahead.execute_ahead(book, SimpleNamespace(doc2path=pages.get), names)
    return get_cache(ahead.cache_folder(book))


def outputs(book, cache, name):
    notebook = nbformat.read(book.folder / f"{name}.ipynb", as_version=4)
    _, executed = cache.merge_match_into_notebook(notebook)
    return [output.text for output in executed.cells[0].outputs]


def test_good_notebooks_are_in_the_cache_and_failing_ones_are_not(book, monkeypatch):
    monkeypatch.setattr(ahead.os, "cpu_count", lambda: 2)
    cache = run(book, "page", "one", "bad", "two", "landing")
    assert outputs(book, cache, "one") == ["1\n"]
    assert outputs(book, cache, "two") == ["2\n"]
    landing = myst_nb_reader_plugin(str(book.folder / "landing.md"))
    _, executed = cache.merge_match_into_notebook(landing)
    assert executed.cells[1].outputs[0].text == "3\n"
    with pytest.raises(KeyError):
        outputs(book, cache, "bad")


def test_a_single_notebook_is_left_to_sphinx(book):
    assert run(book, "one", "page").list_cache_records() == []


def test_a_book_that_is_not_cached_is_left_to_sphinx(book):
    book.config.nb_execution_mode = "force"
    assert run(book, "one", "two").list_cache_records() == []


def test_the_cache_is_where_the_configuration_says(book):
    assert ahead.cache_folder(book) == book.folder / "_build" / ".jupyter_cache"
    book.config.nb_execution_cache_path = "elsewhere"
    assert ahead.cache_folder(book) == Path("elsewhere")
