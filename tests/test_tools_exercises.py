"""Exercises are what their solutions make of them, and a broken marker is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbformat import NotebookNode, v4

from tools import make_exercises, notebook_files
from tools.notebook_files import NotebookError

NAME = "s99-a-chapter.ipynb"


def solution() -> NotebookNode:
    solved = """\
x = 3
# BEGIN SOLUTION: answer = ...
answer = x**2
# END SOLUTION


def root(y):
    # BEGIN SOLUTION
    guess = y / 2
    return guess
    # END SOLUTION


lab.check("s99.1", answer)"""
    cells = [
        v4.new_markdown_cell("# Solutions: a chapter\n\n# Solutions: x", id="title"),
        v4.new_code_cell(
            "try:\n    import initlab\nexcept ImportError:\n    %pip install x",
            id="setup",
            execution_count=1,
        ),
        v4.new_code_cell(
            solved,
            id="task",
            execution_count=2,
            outputs=[v4.new_output("stream", name="stdout", text="✔ s99.1 correct\n")],
            metadata={"tags": ["kept"]},
        ),
        v4.new_markdown_cell("Why.", id="why", metadata={"tags": ["solution"]}),
        v4.new_code_cell("lab.strict()", id="s", metadata={"tags": ["solution"]}),
    ]
    return v4.new_notebook(cells=cells, metadata=notebook_files.METADATA)


@pytest.fixture
def root(tmp_path) -> Path:
    notebook_files.write(tmp_path / "solutions" / NAME, solution())
    return tmp_path


def test_an_exercise_is_its_solution_without_what_is_to_be_found():
    made = make_exercises.exercise(solution())
    assert [cell.id for cell in made.cells] == ["title", "setup", "task"]
    assert made.cells[0].source == "# Exercises: a chapter\n\n# Solutions: x"
    task = made.cells[2]
    assert task.source == (
        'x = 3\nanswer = ...\n\n\ndef root(y):\n    ...\n\n\nlab.check("s99.1", answer)'
    )
    assert task.outputs == []
    assert all(c.execution_count is None for c in made.cells if c.cell_type == "code")
    assert task.metadata == {"tags": ["kept"]}
    assert made.metadata == notebook_files.METADATA


def test_making_twice_gives_the_same_bytes_and_passes_the_check(root, capsys):
    path = root / "exercises" / NAME
    assert make_exercises.main([], root) == 0
    first = path.read_bytes()
    assert f"{path}: written" in capsys.readouterr().out
    assert make_exercises.main([], root) == 0
    assert path.read_bytes() == first
    assert make_exercises.main(["--check"], root) == 0
    assert "what the solutions make" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new"),
    [("answer = ...", "answer = 9"), ("kept", "lost"), ('"cells"', ' "cells"')],
)
def test_an_edited_exercise_is_named_with_the_remedy(root, capsys, old, new):
    make_exercises.main([], root)
    path = root / "exercises" / NAME
    good = path.read_bytes()
    edited = good.decode().replace(old, new, 1)
    path.write_text(edited, encoding="utf-8")
    capsys.readouterr()
    assert make_exercises.main(["--check"], root) == 1
    shown = capsys.readouterr().out
    assert shown.startswith(f"{path}: is not what its solution makes")
    assert shown.endswith("; run `make exercises`\n")
    assert path.read_text(encoding="utf-8") == edited, "a check writes nothing"
    assert make_exercises.main([], root) == 0
    assert path.read_bytes() == good


def test_missing_and_orphan_exercises_are_named_and_repaired(root, capsys):
    orphan = root / "exercises" / "q9-gone.ipynb"
    notebook_files.write(orphan, solution())
    assert make_exercises.main(["--check"], root) == 1
    assert capsys.readouterr().out == (
        f"{root / 'exercises' / NAME}: is missing; run `make exercises`\n"
        f"{orphan}: has no solution of that name; run `make exercises`\n"
    )
    assert make_exercises.main([], root) == 0
    assert "removed, it has no solution" in capsys.readouterr().out
    assert not orphan.exists()
    assert make_exercises.main(["--check"], root) == 0


BROKEN_SOURCES = {
    "never closed": ("# BEGIN SOLUTION\nx = 1", "line 1: BEGIN SOLUTION without an"),
    "never opened": ("x = 1\n# END SOLUTION", "line 2: END SOLUTION without a BEGIN"),
    "nested": (
        "# BEGIN SOLUTION\n# BEGIN SOLUTION\nx = 1\n# END SOLUTION",
        "line 2: BEGIN SOLUTION inside a solution",
    ),
    "other indentation": (
        "if x:\n    # BEGIN SOLUTION\n    x = 1\n# END SOLUTION",
        "line 4: END SOLUTION is indented otherwise than its BEGIN SOLUTION in line 2",
    ),
    "misspelt": (
        "# BEGIN SOLUTION x = ...\nx = 1\n# END SOLUTION",
        "line 1: '# BEGIN SOLUTION x = ...' is no marker",
    ),
    "lower case": ("# begin solution\nx = 1", "line 1: '# begin solution' is no"),
    "half a placeholder": (
        "# BEGIN SOLUTION: x =\nx = 1\n# END SOLUTION",
        "without its solution the cell is not Python",
    ),
}


@pytest.mark.parametrize("case", BROKEN_SOURCES)
def test_a_broken_marker_is_named_with_file_and_cell(root, capsys, case):
    source, message = BROKEN_SOURCES[case]
    notebook = solution()
    notebook.cells[2].source = source
    path = root / "solutions" / NAME
    notebook_files.write(path, notebook)
    assert make_exercises.main(["--check"], root) == 1
    assert capsys.readouterr().err.startswith(f"{path}: cell 2 (task): {message}")
    assert not (root / "exercises").exists(), "nothing is written after an error"


def test_a_marker_in_markdown_is_an_error():
    notebook = solution()
    notebook.cells[0].source += "\n# BEGIN SOLUTION"
    with pytest.raises(NotebookError, match=r"cell 0 \(title\): .* in a markdown cell"):
        make_exercises.exercise(notebook)


def test_a_tag_and_markers_on_one_cell_are_an_error():
    notebook = solution()
    notebook.cells[2].metadata.tags = ["solution"]
    with pytest.raises(NotebookError, match=r"cell 2 \(task\): is tagged .* markers"):
        make_exercises.exercise(notebook)


def test_a_solution_that_marks_nothing_is_an_error():
    notebook = solution()
    del notebook.cells[2]
    with pytest.raises(NotebookError, match="nothing to solve"):
        make_exercises.exercise(notebook)


def test_no_solutions_at_all_and_broken_files_are_errors(tmp_path, capsys):
    assert make_exercises.main(["--check"], tmp_path) == 1
    assert "no such notebook or folder" in capsys.readouterr().err
    (tmp_path / "solutions").mkdir()
    path = tmp_path / "solutions" / NAME
    path.write_text("not json")
    assert make_exercises.main([], tmp_path) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(f"{path}: is not a notebook")
    assert shown.count(str(path)) == 1
