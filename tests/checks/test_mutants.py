"""No check takes a right function with one slip in it for right.

A mutant that computes the same stands in ``EQUIVALENT`` of ``answers_<set>.py``: by
task, the mutant's line and why it makes no difference.
"""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from initlab.checks import core
from tests.checks import mutants
from tests.checks.test_answers import ANSWERS, SETS, TASKS, solution

# Thousands of short calls, which tracing makes half as slow again; `test_answers` calls
# the same checks and counts their lines.
pytestmark = pytest.mark.no_cover

FUNCTIONS = [answer for name in SETS for answer in mutants.answers_of(solution(name))]


@pytest.mark.parametrize("answer", FUNCTIONS, ids=lambda answer: answer.task)
def test_no_mutant_of_the_solution_is_called_correct(answer, monkeypatch):
    monkeypatch.setattr(core, "SECONDS", 5.0)
    task = TASKS[answer.task]
    assert task.grade(mutants.build(answer)) == core.Verdict(core.CORRECT)
    answers = ANSWERS[answer.task.partition(".")[0]]
    same = getattr(answers, "EQUIVALENT", {}).get(answer.task, {})
    survivors = [
        line
        for _, line, cell in mutants.mutants(answer)
        if line not in same and _graded(task, answer, cell) == core.CORRECT
    ]
    assert not survivors, f"{answer.task} calls correct: {survivors}"


def _graded(task, answer, cell):
    try:
        function = mutants.build(answer, cell)
    except Exception:
        return core.WRONG
    return task.grade(function).kind


def test_every_slip_is_tried_on_some_task():
    if len(SETS) < 24:
        pytest.skip("INITLAB_SETS leaves sets out")
    made = {slip for a in FUNCTIONS for slip, _, _ in mutants.mutants(a)}
    assert made == set(mutants.SLIPS)


# --- the mutants themselves ----------------------------------------------------------

CELL = """\
def he(fan_in, fan_out, z, seed):
    # BEGIN SOLUTION: return ...
    h = np.maximum(z, 0)
    rng = np.random.default_rng(seed)
    std = np.sqrt(2 / fan_in)
    return std * rng.standard_normal((fan_in, fan_out)) * z.std() * (h**2).mean() ** 0.5
    # END SOLUTION


lab.check("s03.1", he)"""

DRAW = """\
def draw(rng):
    # BEGIN SOLUTION
    return rng.normal(size=2)
    # END SOLUTION


lab.check("s03.2", draw)"""


def notebook(tmp_path, *sources) -> Path:
    path = tmp_path / "s03-x.ipynb"
    cells = [v4.new_code_cell(source) for source in sources]
    nbformat.write(v4.new_notebook(cells=cells), path)
    return path


def test_each_slip_is_made(tmp_path):
    path = notebook(tmp_path, "import numpy as np\nunused = slow()", CELL, DRAW)
    answer, draw = mutants.answers_of(path)
    assert ast.unparse(answer.setup) == "import numpy as np", "slow() is not needed"
    lines = {line for a in (answer, draw) for _, line, _ in mutants.mutants(a)}
    for line in (
        "std = np.sqrt(2 / fan_out)",
        "std = 2 / fan_in",
        "std = np.sqrt(1 / fan_in)",
        "rng = np.random.default_rng(0)",
        "return np.random.default_rng(0).normal(size=2)",
        "h = np.maximum(h, 0)",
    ):
        assert line in lines
    returned = [line for line in lines if line.startswith("return")]
    assert any("z.var()" in line for line in returned)
    assert any("std ** 2" in line for line in returned)
    assert any("fan_out, fan_out" in line for line in returned)
    assert any(line.endswith("(h ** 2).mean()") for line in returned)


def test_what_a_function_needs_is_taken_along_and_nothing_else(tmp_path):
    path = notebook(
        tmp_path,
        "import numpy as np\na = np.ones(2)\na[0] = 5\nb = 1 / 0",
        'def f():\n    return a.sum()\n\n\nlab.check("s03.1", f)',
    )
    (answer,) = mutants.answers_of(path)
    assert mutants.build(answer)() == 6
    assert list(mutants.mutants(answer)) == [], "nothing is marked as the solution"
