"""Whoever is cited in a chapter stands in the bibliography, and can be found."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
PUBLISHERS = ("arxiv.org/", "doi.org/", "proceedings.mlr.press/", "aclanthology.org/")
BIBLIOGRAPHY = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
ENTRIES = re.split(r"^(?=@)", BIBLIOGRAPHY, flags=re.MULTILINE)[1:]
LINK = re.compile(r"\]\((https?://[^)\s]+)\)")


def field(entry: str, name: str) -> str:
    found = re.search(rf"^ *{name} = \{{(.+)\}},?$", entry, flags=re.MULTILINE)
    return found[1] if found else ""


def key(entry: str) -> str:
    return entry[entry.index("{") + 1 : entry.index(",")]


@pytest.mark.parametrize(
    "entry", [pytest.param(each, id=key(each)) for each in ENTRIES]
)
def test_an_entry_says_who_what_when_and_where(entry):
    for name in ("author", "title", "year", "url"):
        assert field(entry, name), name
    assert re.fullmatch(r"(19|20)\d\d", field(entry, "year"))
    if eprint := field(entry, "eprint"):
        assert field(entry, "url") == f"https://arxiv.org/abs/{eprint}"
    if doi := field(entry, "doi"):
        assert field(entry, "url") == f"https://doi.org/{doi}"


def test_keys_and_addresses_are_unique():
    for values in (map(key, ENTRIES), (field(each, "url") for each in ENTRIES)):
        values = list(values)
        assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_every_paper_of_a_chapter_is_in_the_bibliography(path):
    addresses = {field(each, "url") for each in ENTRIES}
    notebook = nbformat.read(path, as_version=4)
    cited = {
        link
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for link in LINK.findall(cell.source)
        if any(each in link for each in PUBLISHERS)
    }
    assert cited <= addresses
