"""The map of the book: all chapters, with arcs from each to those that need it.

Everything is read from the chapters: parts and order from `_toc.yml`, title and reading
time from the first cell, and what comes before from the last cell's line
"Before this chapter". The result is a list of links, in front of which one SVG draws an
arc from each chapter to those that need it; no script.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import nbformat
import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

_TITLE = re.compile(r"^# ([^:,\n]+)", flags=re.MULTILINE)
_MINUTES = re.compile(r"reading time (\d+) minutes")
_BEFORE = re.compile(r"Before this chapter(.*?)(?:After it|$)", flags=re.MULTILINE)
_LINK = re.compile(r"\]\((\S+)\.ipynb\)")
_ARC_WIDTH, _ROW = 10.0, 2.0  # in units of the drawing: its width, the height of a row


@dataclass(frozen=True)
class Chapter:
    """One chapter; ``part`` counts from 0, ``needs`` names other chapters."""

    name: str
    title: str
    minutes: int
    part: int
    needs: tuple[str, ...]


def chapters(root: Path) -> tuple[list[str], list[Chapter]]:
    """Return the captions of the parts that hold chapters, and all chapters in order.

    Raises:
        ValueError: If a chapter lacks a title, a reading time or the line that says
            what comes before it, or if that line names no chapter that stands earlier.
    """
    contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    captions: list[str] = []
    found: list[Chapter] = []
    for part in contents["parts"]:
        files = [entry["file"] for entry in part["chapters"]]
        files = [file for file in files if file.startswith("notebooks/")]
        if files:
            captions.append(part["caption"])
        for file in files:
            earlier = [chapter.name for chapter in found]
            found.append(_chapter(root, file, len(captions) - 1, earlier))
    return captions, found


def _chapter(root: Path, file: str, part: int, earlier: Sequence[str]) -> Chapter:
    cells = nbformat.read(root / f"{file}.ipynb", as_version=4).cells
    first, last = cells[0].source, cells[-1].source
    title, minutes = _TITLE.search(first), _MINUTES.search(first)
    before = _BEFORE.search(last)
    if not (title and minutes and before):
        raise ValueError(
            f"{file}.ipynb must begin with a title and `reading time N minutes`, and "
            "its last cell must say `**Before this chapter:** …`"
        )
    needs = tuple(_LINK.findall(before[1]))
    for name in needs:
        if name not in earlier:
            raise ValueError(
                f"{file}.ipynb says that {name} comes before it, but _toc.yml does not "
                "list it earlier"
            )
    return Chapter(Path(file).name, title[1].strip(), int(minutes[1]), part, needs)


class BookMap(SphinxDirective):
    """Every chapter with its reading time, and arcs to the ones that need it."""

    def run(self) -> list[nodes.Node]:
        """Build the map from the notebooks."""
        root = Path(self.env.app.confdir)
        captions, found = chapters(root)
        for path in ["_toc.yml", *(f"notebooks/{each.name}.ipynb" for each in found)]:
            self.env.note_dependency(str(root / path))
        builder = self.env.app.builder
        if builder.format != "html":
            return []
        addresses = {
            each.name: builder.get_relative_uri(
                self.env.docname, f"notebooks/{each.name}"
            )
            for each in found
        }
        return [nodes.raw("", drawn(captions, found, addresses), format="html")]


def drawn(
    captions: Sequence[str], found: Sequence[Chapter], addresses: dict[str, str]
) -> str:
    """Return the map as HTML."""
    rows: dict[str, int] = {}
    items: list[str] = []
    titles = {each.name: each.title for each in found}
    for part, caption in enumerate(captions):
        inside = [each for each in found if each.part == part]
        total = _time(sum(each.minutes for each in inside))
        items.append(
            f'<li class="part"><span>{escape(caption)}</span><span>{total}</span></li>'
        )
        for each in inside:
            rows[each.name] = len(items)
            needs = ", ".join(titles[name] for name in each.needs) or "nothing"
            items.append(
                f'<li id="map-{each.name}"><a href="{escape(addresses[each.name])}">'
                f"{escape(each.title)}</a><span>{each.minutes} min</span>"
                f'<span class="needs">needs: {escape(needs)}</span></li>'
            )
    arcs = [
        _arc(rows[name], rows[each.name], f"from-{name} to-{each.name}")
        for each in found
        for name in each.needs
    ]
    dots = [
        # A line of no length with round ends stays round when the drawing is squeezed.
        f'<path class="dot" d="M{_ARC_WIDTH - 1:g} {_middle(row):g}h0"/>'
        for row in rows.values()
    ]
    height = _ROW * len(items)
    # The arcs of the chapter that is pointed at stand out, without a script.
    lit = ",".join(
        f".book-map:has(#map-{name}:is(:hover,:focus-within)) "
        f":is(.from-{name},.to-{name})"
        for name in rows
    )
    return (
        f'<nav class="book-map" aria-label="Map of the chapters">'
        f"<style>{lit}{{opacity:1;stroke-width:3px}}</style>"
        f'<svg aria-hidden="true" viewBox="0 0 {_ARC_WIDTH:g} {height:g}" '
        f'preserveAspectRatio="none" style="height:calc({len(items)} * var(--row))">'
        f"{''.join(arcs + dots)}</svg>"
        f"<ol>{''.join(items)}</ol></nav>"
    )


def _middle(row: int) -> float:
    return _ROW * (row + 0.5)


def _arc(start: int, end: int, names: str) -> str:
    """Return an arc that swings out the farther, the more rows it spans."""
    reach = min(_ARC_WIDTH - 1.2, 1.2 + 0.75 * (end - start) ** 0.75)
    right, top, bottom = _ARC_WIDTH - 1, _middle(start), _middle(end)
    # The middle of a cubic curve lies three quarters of the way to its handles.
    left = right - reach / 0.75
    return (
        f'<path class="{names}" d="M{right:g} {top:g}C{left:.2f} {top:g} '
        f'{left:.2f} {bottom:g} {right:g} {bottom:g}"/>'
    )


def _time(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02d} min" if hours else f"{rest} min"
