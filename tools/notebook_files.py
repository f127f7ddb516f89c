"""Notebooks as files: read them, write them in one form, say which cell is meant.

Every tool here writes through ``dumps``, so that a notebook has one spelling in bytes
and a change in version control is always a change of content.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
"""The only metadata a notebook has: no versions, so none that change by themselves."""

CELL_METADATA = ("mystnb", "tags")
"""What a cell's metadata may hold; timings and editor state are not content."""


class NotebookError(Exception):
    """A notebook that a tool cannot work on, with the reason and the remedy."""


def read(path: Path) -> NotebookNode:
    """Read the notebook at ``path`` exactly as it stands, repairing nothing.

    Raises:
        NotebookError: if the file is missing or is no notebook of format 4.5.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotebookError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise NotebookError(
            f"{path}: is not a notebook, its JSON is broken ({error}); "
            "restore it from version control"
        ) from error
    is_notebook = isinstance(content, dict) and isinstance(content.get("cells"), list)
    if not is_notebook:
        raise NotebookError(f"{path}: is not a notebook, it has no list of cells")
    version = (content.get("nbformat"), content.get("nbformat_minor"))
    if version != (4, 5):
        raise NotebookError(
            f"{path}: has notebook format {version[0]}.{version[1]}, the project keeps "
            "4.5 (cells with ids); save it again from Jupyter 4 or Colab"
        )
    notebook = nbformat.from_dict(content)
    for index, cell in enumerate(notebook.cells):
        well_formed = isinstance(cell, dict) and "cell_type" in cell
        if not well_formed or not isinstance(cell.get("source"), str | list):
            raise NotebookError(f"{path}: cell {index} has no type or no source")
    return rejoin_lines(notebook)


def rejoin_lines(notebook: NotebookNode) -> NotebookNode:
    """Join the lists of lines that notebooks are stored with into plain strings."""
    return nbformat.versions[4].rwbase.rejoin_lines(notebook)


def dumps(notebook: NotebookNode) -> str:
    """Return the one text with which ``notebook`` stands on disk."""
    return nbformat.versions[4].writes(notebook, indent=1) + "\n"


def write(path: Path, notebook: NotebookNode) -> None:
    """Write ``notebook`` to ``path`` as a whole, or leave the old file untouched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(dumps(notebook), encoding="utf-8", newline="\n")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def cell_name(index: int, cell: NotebookNode) -> str:
    """Return how a message names a cell: its place from 0 and its id."""
    return f"cell {index} ({cell.get('id', 'no id')})"


def tags(cell: NotebookNode) -> Sequence[str]:
    """Return the tags of ``cell``, none if it has none."""
    return cell.metadata.get("tags", ())


def find(paths: Iterable[Path]) -> list[Path]:
    """Return the notebooks at ``paths``, files or folders, sorted within a folder.

    Raises:
        NotebookError: if a path does not exist, or if there is no notebook at all:
            a check that looked at nothing must not pass.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(path.glob("*.ipynb"))
        elif path.is_file() and path.suffix == ".ipynb":
            found.append(path)
        else:
            raise NotebookError(f"{path}: no such notebook or folder")
    if not found:
        raise NotebookError("no notebook in " + ", ".join(map(str, paths)))
    return found
