"""Find the submitted notebooks and read them, without trusting a byte of them.

`find` lists them, `read` turns one into cells whose checks record (see `rewrite`), or
raises `Unreadable` with a sentence for the instructor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initlab._grade import rewrite

LARGEST_MB = 50


class Unreadable(Exception):
    """A file that is no notebook which can be run; the message says why."""


@dataclass(frozen=True)
class Cell:
    """One code cell: its number in the notebook, what to run, which tasks it checks."""

    number: int
    source: str
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Submission:
    """The code cells of one notebook, and the exercise sets that it belongs to.

    `reads_tasks` tells whether it looks into the sets for their answers.
    """

    path: Path
    cells: tuple[Cell, ...]
    sets: tuple[str, ...]
    reads_tasks: bool = False

    @property
    def checked(self) -> list[str]:
        """The names in its checks, in the order of the notebook."""
        names = (name for cell in self.cells for name in cell.tasks)
        return list(dict.fromkeys(names))


def find(folder: Path) -> list[Path]:
    """Return all notebooks under ``folder``, sorted, without Jupyter's own copies.

    Raises:
        ValueError: If there is no such folder, or no notebook in it.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    found = sorted(
        path
        for path in folder.rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts and not path.is_dir()
    )
    if not found:
        raise ValueError(f"there is no notebook (*.ipynb) in {folder}")
    return found


def read(path: Path) -> Submission:
    """Read a notebook of format 4 and prepare its code cells.

    Raises:
        Unreadable: If it is none, if it is not in Python, or if it checks nothing.
    """
    numbered = list(_code_cells(_notebook(path)))
    notebook = rewrite.Notebook([source for _, source in numbered])
    cells = tuple(
        Cell(number, done.source, done.tasks)
        for (number, _), done in zip(numbered, notebook.cells, strict=True)
    )
    if not notebook.checks:
        raise Unreadable('there is no check in it, such as lab.check("s03.1", …)')
    if not notebook.sets:
        raise Unreadable("its checks do not name their tasks, such as s03.1")
    return Submission(path, cells, notebook.sets, notebook.reads_tasks)


def _notebook(path: Path) -> dict[str, Any]:
    if not path.is_file():  # a pipe would make us wait for ever
        raise Unreadable("it is not a regular file")
    try:
        size = path.stat().st_size
        if size == 0:
            raise Unreadable("the file is empty")
        if size > LARGEST_MB * 1e6:
            raise Unreadable(f"the file is larger than {LARGEST_MB} MB")
        notebook = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is not a notebook, its JSON is broken: {error}") from None
    if not isinstance(notebook, dict) or "nbformat" not in notebook:
        raise Unreadable("it is not a notebook: it names no nbformat")
    if notebook["nbformat"] != 4:
        raise Unreadable(
            f"its nbformat is {notebook['nbformat']!r}, asked for is 4: open it in "
            "Jupyter and save it once"
        )
    return notebook


def _code_cells(notebook: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield the number of each code cell among all cells, and its text."""
    metadata = notebook.get("metadata")
    language = _at(_at(metadata, "kernelspec"), "language") or _at(
        _at(metadata, "language_info"), "name"
    )
    if isinstance(language, str) and language.lower() not in ("python", "ipython"):
        raise Unreadable(f"it is written in {language}, not in Python")
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        raise Unreadable("it is not a notebook: it has no list of cells")
    for number, cell in enumerate(cells, start=1):
        source = _at(cell, "source")
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if not isinstance(source, str):
            raise Unreadable(f"it is not a notebook: cell {number} has no source")
        if _at(cell, "cell_type") == "code":
            # Half a surrogate pair is valid JSON and no text.
            yield number, source.encode("utf-8", "replace").decode("utf-8")


def _at(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None
