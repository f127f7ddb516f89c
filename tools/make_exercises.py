"""Make the exercises: each notebook in ``solutions`` without its solutions.

``python -m tools.make_exercises`` writes ``exercises``; with ``--check`` it writes
nothing and fails if a file there is not what it would write. The pairing is the file
name. In a solution, a code cell marks what a student is to find ::

    # BEGIN SOLUTION: answer = ...
    answer = 42
    # END SOLUTION

and the exercise has the text after the colon in its place, or ``...`` if there is none.
A cell tagged ``solution`` is left out as a whole, and the title ``# Solutions: ...``
becomes ``# Exercises: ...``.
"""

from __future__ import annotations

import argparse
import ast
import copy
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from nbformat import NotebookNode

from tools import notebook_files
from tools.notebook_files import NotebookError, cell_name, tags

SOLUTIONS = "solutions"
EXERCISES = "exercises"
SOLUTION_TAG = "solution"

BEGIN = re.compile(r"(?P<indent> *)# BEGIN SOLUTION(?:: (?P<placeholder>.*\S))?\s*")
END = re.compile(r"(?P<indent> *)# END SOLUTION\s*")
TITLE = re.compile(r"\A# Solutions(?=: )")
ALMOST_A_MARKER = re.compile(r"\b(begin|end)[ _-]*solution\b", re.IGNORECASE)


def without_solution(source: str) -> str:
    """Return ``source`` with every marked block replaced by its placeholder.

    Raises:
        ValueError: if a marker is misspelt, unbalanced or indented otherwise than its
            partner.
    """
    kept: list[str] = []
    opened = None
    for number, line in enumerate(source.split("\n"), start=1):
        begin, end = BEGIN.fullmatch(line), END.fullmatch(line)
        if begin:
            if opened:
                raise ValueError(
                    f"line {number}: BEGIN SOLUTION inside a solution; "
                    "close the first one with # END SOLUTION"
                )
            opened, opened_at = begin, number
            kept.append(begin["indent"] + (begin["placeholder"] or "..."))
        elif end:
            if not opened:
                raise ValueError(
                    f"line {number}: END SOLUTION without a BEGIN SOLUTION before it"
                )
            if end["indent"] != opened["indent"]:
                raise ValueError(
                    f"line {number}: END SOLUTION is indented otherwise than its "
                    f"BEGIN SOLUTION in line {opened_at}"
                )
            opened = None
        elif ALMOST_A_MARKER.search(line):
            raise ValueError(
                f"line {number}: {line.strip()!r} is no marker; write "
                "'# BEGIN SOLUTION', '# BEGIN SOLUTION: placeholder' or "
                "'# END SOLUTION' on a line of its own"
            )
        elif not opened:
            kept.append(line)
    if opened:
        raise ValueError(f"line {opened_at}: BEGIN SOLUTION without an END SOLUTION")
    return "\n".join(kept)


def check_python(source: str) -> None:
    """Check that ``source`` can be read as Python, with notebook commands left aside.

    Raises:
        ValueError: if it cannot, as happens when a placeholder is half a statement.
    """
    plain = re.sub(r"(?m)^( *)[%!].*$", r"\1pass", source)
    try:
        ast.parse(plain)
    except SyntaxError as error:
        raise ValueError(
            f"without its solution the cell is not Python ({error.msg}, line "
            f"{error.lineno}); mend the placeholder after BEGIN SOLUTION"
        ) from error


def exercise(solution: NotebookNode) -> NotebookNode:
    """Return the exercise that belongs to a ``solution``.

    Raises:
        NotebookError: naming the cell, if a marker is wrong or nothing is marked.
    """
    made = copy.deepcopy(solution)
    made.cells = []
    blocks = 0
    for index, original in enumerate(solution.cells):
        cell = copy.deepcopy(original)
        name = cell_name(index, cell)
        marked = ALMOST_A_MARKER.search(cell.source)
        if marked and cell.cell_type != "code":
            raise NotebookError(
                f"{name}: a solution marker in a {cell.cell_type} cell; tag the whole "
                f"cell {SOLUTION_TAG!r} instead"
            )
        if marked and SOLUTION_TAG in tags(cell):
            raise NotebookError(
                f"{name}: is tagged {SOLUTION_TAG!r} and has markers; keep one of them"
            )
        if SOLUTION_TAG in tags(cell):
            continue
        if cell.cell_type == "code":
            try:
                cell.source = without_solution(original.source)
                check_python(cell.source)
            except ValueError as error:
                raise NotebookError(f"{name}: {error}") from error
            cell.outputs, cell.execution_count = [], None
            blocks += cell.source != original.source
        else:
            cell.source = TITLE.sub("# Exercises", original.source)
        made.cells.append(cell)
    if not blocks:
        raise NotebookError("no code cell has a BEGIN SOLUTION: nothing to solve")
    return made


def make_all(root: Path) -> dict[Path, str]:
    """Return the text of every exercise file under ``root``, by path.

    Raises:
        NotebookError: naming file and cell of the first solution that is wrong.
    """
    made = {}
    for path in notebook_files.find([root / SOLUTIONS]):
        try:
            text = notebook_files.dumps(exercise(notebook_files.read(path)))
        except NotebookError as error:
            where = "" if str(error).startswith(str(path)) else f"{path}: "
            raise NotebookError(f"{where}{error}") from error
        made[root / EXERCISES / path.name] = text
    return made


def differences(root: Path) -> dict[Path, str]:
    """Return what is wrong with each file in ``exercises``, by path."""
    made = make_all(root)
    wrong = {}
    for path, text in made.items():
        if not path.is_file():
            wrong[path] = "is missing"
        elif path.read_bytes() != text.encode():
            wrong[path] = "is not what its solution makes (was it edited by hand?)"
    for path in sorted((root / EXERCISES).glob("*.ipynb")):
        if path not in made:
            wrong[path] = "has no solution of that name"
    return wrong


def repair(root: Path) -> dict[Path, str]:
    """Make ``exercises`` agree with ``solutions``; return what was done, by path."""
    made = make_all(root)
    done = {}
    for path in differences(root):
        if path in made:
            path.parent.mkdir(exist_ok=True)
            path.write_text(made[path], encoding="utf-8", newline="\n")
            done[path] = "written"
        else:
            path.unlink()
            done[path] = "removed, it has no solution"
    return done


def main(arguments: Sequence[str] | None = None, root: Path = Path()) -> int:
    """Make or check the exercises; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args(arguments).check
    try:
        changes = differences(root) if check else repair(root)
    except NotebookError as error:
        print(error, file=sys.stderr)
        return 1
    for path, what in changes.items():
        print(f"{path}: {what}" + ("; run `make exercises`" if check else ""))
    if not changes:
        print("the exercises are what the solutions make")
    return 1 if check and changes else 0


if __name__ == "__main__":
    sys.exit(main())
