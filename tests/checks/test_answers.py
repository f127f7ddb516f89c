"""Every check knows right answers from wrong ones and names the mistake in each.

The answers of an exercise set stand in ``answers_<set>.py`` beside this file: ``RIGHT``
and ``WRONG`` by the task's name. A wrong one stands with words of its diagnosis. The
reference answer itself is in the solutions notebook, which nbval runs strictly.
"""

from __future__ import annotations

import importlib
import os
import re
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from mdit_py_plugins.anchors.index import slugify

from initlab import checks
from initlab.checks import core

ROOT = Path(__file__).parents[2]

# INITLAB_SETS=q1,s04 limits the tests to the sets that one is writing.
CHOSEN = os.environ.get("INITLAB_SETS", "").split(",")
SETS = {
    name: checks._module(name)
    for name in checks._set_names()
    if CHOSEN == [""] or name in CHOSEN
}
ANSWERS = {
    name: importlib.import_module(f"tests.checks.answers_{name}") for name in SETS
}
TASKS = {task.name: task for module in SETS.values() for task in module.TASKS}


def cases(table):
    """Return a test's parameters for every answer in the tables of that name."""
    return [
        pytest.param(TASKS[task], answer, id=f"{task}-{place}")
        for answers in ANSWERS.values()
        for task, entries in getattr(answers, table).items()
        for place, answer in enumerate(entries)
    ]


def solution(name):
    (path,) = (ROOT / "solutions").glob(f"{name}-*.ipynb")
    return path


@pytest.mark.parametrize(("task", "answer"), cases("RIGHT"))
def test_a_right_answer_is_correct_however_it_is_written(task, answer):
    assert task.grade(answer) == core.Verdict(core.CORRECT)


@pytest.mark.parametrize(("task", "case"), cases("WRONG"))
def test_a_wrong_answer_is_told_its_own_mistake(task, case):
    answer, words = case
    verdict = task.grade(answer)
    assert verdict.kind == core.WRONG
    assert words in verdict.message


def test_every_chapter_of_slides_and_essay_has_exercises():
    chapters = {p.stem for p in (ROOT / "notebooks").glob("[sq]*.ipynb")}
    assert {p.stem for p in (ROOT / "solutions").glob("*.ipynb")} == chapters
    names = {chapter.partition("-")[0] for chapter in chapters}
    assert names == set(checks._set_names())
    if CHOSEN == [""]:
        assert len(TASKS) >= 90


@pytest.mark.parametrize("name", SETS)
def test_each_task_has_a_right_answer_and_three_different_wrong_ones(name):
    for task in SETS[name].TASKS:
        assert ANSWERS[name].RIGHT[task.name], task.name
        wrong = ANSWERS[name].WRONG[task.name]
        told = Counter(task.grade(answer).message for answer, _ in wrong)
        assert len(told) >= 3, f"{task.name} names {len(told)} different mistakes"


@pytest.mark.parametrize("name", SETS)
def test_names_are_in_order_and_each_task_has_hints_and_a_section(name):
    tasks = SETS[name].TASKS
    places = range(1, len(tasks) + 1)
    assert [task.name for task in tasks] == [f"{name}.{place}" for place in places]
    assert 3 <= len(tasks) <= 8
    for task in tasks:
        assert len(task.title) <= 30
        first, second = task.hints
        assert first != second and len(first) > 20 and len(second) > 20


@pytest.mark.parametrize("name", SETS)
def test_each_task_links_to_the_section_that_teaches_it(name):
    path = solution(name)
    chapter = nbformat.read(path.parents[1] / "notebooks" / path.name, as_version=4)
    text = "\n\n".join(c.source for c in chapter.cells if c.cell_type == "markdown")
    headings = re.findall(r"^#{2,3} (.+)$", text, flags=re.MULTILINE)
    cells = nbformat.read(path, as_version=4).cells
    prose = "".join(c.source for c in cells if c.cell_type == "markdown")
    for task in SETS[name].TASKS:
        assert task.section in headings, f"{task.name}: {task.section!r}"
        link = f"../notebooks/{path.name}#{slugify(task.section)}"
        assert link in prose, f"{task.name}: {link}"


@pytest.mark.parametrize("name", SETS)
def test_every_task_is_asked_for_in_the_notebook(name):
    code = "".join(c.source for c in nbformat.read(solution(name), as_version=4).cells)
    for task in SETS[name].TASKS:
        assert f'lab.check("{task.name}", ' in code


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("blank", [..., None, (..., ...), {"a": ...}])
def test_a_placeholder_is_not_attempted(task, blank):
    assert task.grade(blank).kind == core.NOT_ATTEMPTED


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_an_answer_of_the_wrong_kind_is_wrong_and_raises_nothing(task):
    for answer in ("words", object(), {"strange": 1}, [[]], float("nan"), b"x"):
        verdict = task.grade(answer)
        assert verdict.kind in (core.WRONG, core.NOT_ATTEMPTED)
        assert verdict.message
