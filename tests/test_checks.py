"""What every check does: verdicts, hints, progress, kinds of answers, time limits.

The answers to each exercise set are tested in ``tests/checks``.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import initlab as lab
from initlab import checks, schemes
from initlab.checks import core, record, s03
from initlab.checks.limits import TimeUp, limited

ALL_NAMES = set(s03.NAMES)


@pytest.fixture(autouse=True)
def session(monkeypatch):
    """Each test begins as a new notebook, with no progress kept."""
    monkeypatch.setenv("INITLAB_PROGRESS", "off")
    monkeypatch.setattr(checks, "_session", checks._Session())


@pytest.fixture
def said(capsys):
    """Return what a call printed, as one text."""

    def run(function, *arguments):
        capsys.readouterr()
        assert function(*arguments) is None
        return capsys.readouterr().out

    return run


def task_named(name) -> core.Task:
    return {task.name: task for task in s03.TASKS}[name]


def grade(name, answer) -> core.Verdict:
    return task_named(name).grade(answer)


def assert_right(name, answer):
    assert grade(name, answer) == core.Verdict(core.CORRECT)


def assert_wrong(name, answer, words):
    verdict = grade(name, answer)
    assert verdict.kind == core.WRONG
    assert words in verdict.message


# --- check, hint, progress, strict ---------------------------------------------------


def test_each_verdict_is_one_line(said):
    assert said(lab.check, "s03.1", 2) == "✔ s03.1 correct\n"
    wrong = said(lab.check, "s03.1", 26)
    assert wrong.startswith("✘ s03.1: you gave 26: this is every number there is;")
    assert wrong.count("\n") == 1
    assert said(lab.check, "s03.1", ...) == (
        "… s03.1 not attempted: replace the ... by your answer "
        '(stuck? lab.hint("s03.1"))\n'
    )


@pytest.mark.parametrize("name", ["s03.99", "s03", "s99.1", "core.1", "", 3, None])
def test_an_unknown_task_is_answered_with_the_known_ones(said, name):
    for function, arguments in ((lab.check, (name, 1)), (lab.hint, (name,))):
        line = said(function, *arguments)
        assert line.startswith(f"✘ there is no task {name!r}; ")
        assert "s03" in line.partition(";")[2]


def test_hints_come_in_two_steps_and_the_second_stays(said):
    for task in s03.TASKS:
        lines = [said(lab.hint, task.name) for _ in range(3)]
        assert lines[0] == f"{task.name}, hint 1 of 2: {task.hints[0]}\n"
        assert lines[1] == (
            f"{task.name}, hint 2 of 2: {task.hints[1]} "
            f'(in the chapter: "{task.section}")\n'
        )
        assert lines[2] == lines[1]


def test_progress_is_a_table_of_every_task(said):
    assert said(lab.progress) == (
        "no exercise set is in use here yet: check an answer first\n"
    )
    said(lab.check, "s03.1", 26)
    said(lab.check, "s03.1", 2)
    said(lab.check, "s03.3", lambda value, slope: (set(), set()))
    lines = said(lab.progress).splitlines()
    assert lines[0] == s03.TITLE
    assert len(lines) == len(s03.TASKS) + 2
    assert lines[1] == "✔ s03.1  count what moves            correct"
    assert lines[2] == "… s03.2  write the gradients         not attempted"
    assert lines[3] == "✘ s03.3  predict what moves          wrong"
    assert lines[-1] == "1 of 8 correct"


def test_a_solution_whose_check_fails_is_an_error(said):
    assert said(lab.strict) == ""
    assert said(lab.check, "s03.1", 2) == "✔ s03.1 correct\n"
    for name, answer, words in (
        ("s03.1", 26, "✘ s03.1: you gave 26"),
        ("s03.1", ..., "… s03.1 not attempted"),
        ("s03.99", 1, "✘ there is no task 's03.99'"),
    ):
        with pytest.raises(checks.CheckFailed, match=words):
            lab.check(name, answer)
    with pytest.raises(checks.CheckFailed, match="no task"):
        lab.hint("s03.99")


def test_names_of_tasks_are_in_order_and_titles_are_short():
    names = [task.name for task in s03.TASKS]
    assert names == [f"s03.{place}" for place in range(1, len(names) + 1)]
    assert all(len(task.title) <= 30 for task in s03.TASKS)


# --- the pieces of core --------------------------------------------------------------


@pytest.mark.parametrize("task", s03.TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize(
    "blank", [..., None, (..., ...), [None], {"a": ...}, ((...,), ...)]
)
def test_a_placeholder_is_not_attempted(task, blank):
    assert task.grade(blank).kind == core.NOT_ATTEMPTED


@pytest.mark.parametrize("name", ["s03.2", "s03.3", "s03.5", "s03.6"])
@pytest.mark.parametrize("result", [..., None, (..., ...)])
def test_a_function_that_returns_a_placeholder_is_not_attempted(name, result):
    verdict = grade(name, lambda *_: result)
    assert verdict.kind == core.NOT_ATTEMPTED
    assert "does not return anything yet" in verdict.message


def test_entries_that_are_still_blank_are_listed():
    start = (np.zeros((4, 8)), ..., np.zeros((8, 1)), None)
    verdict = grade("s03.8", start)
    assert verdict.kind == core.NOT_ATTEMPTED
    assert verdict.message == "still to be filled in: entry 1, entry 3"
    report = {**s03._EXPERIMENT, ("relu", 0.1): ...}
    assert "('relu', 0.1)" in grade("s03.4", report).message


@pytest.mark.parametrize("name", ["s03.2", "s03.3", "s03.5", "s03.6"])
def test_a_function_that_raises_is_told_its_own_error_and_line(said, name):
    def answer(*_):
        depth = 0
        return 1 / depth

    line = said(lab.check, name, answer)
    assert line.startswith(f"✘ {name}: your function raises ZeroDivisionError")
    assert "division by zero (line " in line
    assert line.endswith(": return 1 / depth)\n")
    assert line.count("\n") == 1


def test_the_line_named_is_the_students_even_below_a_library():
    def answer(*_):
        return np.linalg.inv(np.zeros((2, 2)))

    message = grade("s03.2", answer).message
    assert message.endswith("return np.linalg.inv(np.zeros((2, 2))))")


def test_a_builtin_without_lines_and_wrong_arguments_are_reported():
    assert "raises TypeError" in grade("s03.3", dict.fromkeys).message
    message = grade("s03.2", lambda x: x).message
    assert "raises TypeError" in message
    assert "(line" not in message, "no line of the student's own was reached"


def test_code_without_a_file_still_has_its_line_number():
    space: dict = {}
    exec(compile("def answer(*_):\n    raise KeyError('w1')", "<cell>", "exec"), space)
    message = grade("s03.2", space["answer"]).message
    assert message.endswith("'w1' (line 2)")


def test_a_value_for_a_function_and_a_function_for_a_value_are_told_apart():
    assert_wrong("s03.2", 3.0, "you gave 3, the function itself is asked for")
    assert_wrong("s03.2", "4", "you gave '4', the function itself is asked for")
    assert_wrong("s03.1", math.sqrt, "you gave the function sqrt, the value is asked")


def test_a_result_without_named_parts_is_shown_beside_the_right_one():
    task = core.FunctionTask(
        name="s99.1",
        title="square",
        hints=("", ""),
        reference=lambda x: x**2,
        cases=[core.Case("x = 1", (1,)), core.Case("x = 3", (3,))],
    )
    assert task.grade(lambda x: x**2).kind == core.CORRECT
    assert task.grade(lambda x: x).message == (
        "for x = 3: your function gives 3 instead of 9"
    )


def test_a_wrong_array_is_told_its_worst_place():
    task = core.FunctionTask(
        name="s99.1",
        title="double",
        hints=("", ""),
        reference=lambda x: 2 * x,
        cases=[core.Case("a square", (np.arange(4.0).reshape(2, 2),))],
    )
    assert task.grade(lambda x: x**2).message == (
        "for a square: the values are wrong, at [1, 1] 9 instead of 6"
    )


def test_a_check_that_can_make_nothing_of_an_answer_says_so():
    task = core.MeasuredTask(
        name="s99.1",
        title="invert",
        hints=("", ""),
        measure=lambda answer: 1 / answer,
        diagnoses=(),
    )
    assert task.grade(2).kind == core.CORRECT
    assert task.grade(0) == core.Verdict(
        core.WRONG,
        "the check can make nothing of 0 (ZeroDivisionError: division by zero)",
    )


def test_a_task_without_a_grading_of_its_own_is_a_mistake_of_ours():
    with pytest.raises(NotImplementedError):
        core.Task(name="s99.1", title="", hints=("", "")).grade(1)


def test_what_a_function_does_to_its_inputs_and_its_warnings_stay_with_it(recwarn):
    def answer(x, y, w1, b1, w2, b2):
        result = s03._gradients(x, y, w1, b1, w2, b2)
        x[:], w1[:] = 0, np.log(-1.0)
        return result

    assert_right("s03.2", answer)
    assert_right("s03.2", answer)
    assert not recwarn


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        ("two", 2, "a number is asked for, this is 'two'"),
        ([1, 2], 2, "a number is asked for, this is [1, 2]"),
        (np.ones(3), np.ones(2), "shape (2,) is asked for, this is an array of shape"),
        (math.nan, 2, "not every number in this one is finite"),
        (3, {"a": 1}, "a dict is asked for, this is 3"),
        ({"b": 1}, {"a": 1}, "the dict lacks 'a'"),
        ({"a": 1, "b": 1}, {"a": 1}, "the dict has the unknown 'b'"),
        ({"a": "x"}, {"a": 1}, "'a': a number is asked for"),
        ("w1", {"w1"}, "a set of names is asked for, this is 'w1'"),
        ([1], {"w1"}, "a set of names is asked for, this is [1]"),
        (3, (1, 2), "2 results are asked for, this is 3"),
        ((1, object()), (1, 2), "entry 1: a number is asked for, this is a object"),
    ],
)
def test_an_answer_of_another_kind_or_shape_is_named(answer, expected, words):
    assert words in core.misfit(answer, expected)
    assert not core.agree(answer, expected)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (np.float32(2), 2),
        (2.0000001, 2),
        (0, 0),
        ([1, 2], (1, 2)),
        (["w1", "b1"], {"b1", "w1"}),
        ({"a": [1.0]}, {"a": (1,)}),
        ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]])),
    ],
)
def test_numbers_agree_within_their_tolerance_and_collections_by_content(
    answer, expected
):
    assert core.agree(answer, expected)


def test_numbers_and_sets_that_differ_do_not_agree():
    assert not core.agree(2.001, 2)
    assert not core.agree(1e-9, 0)
    assert not core.agree({"w1"}, {"w1", "b1"})
    assert not core.agree({"a": 2}, {"a": 1})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (set(), "{}"),
        ({"w2", "b1"}, "{'b1', 'w2'}"),
        ({("relu", 0.1): None}, "{('relu', 0.1): None}"),
        ([1, (2.5, ...)], "[1, (2.5, ...)]"),
        (np.float64(1 / 3), "0.333333"),
        (np.zeros((2, 3)), "an array of shape (2, 3)"),
        (np.array(7), "7"),
        (math.sqrt, "the function sqrt"),
        (object(), "a object"),
        ("x" * 100, "'" + "x" * 76 + "..."),
    ],
)
def test_values_are_described_in_words_that_hold_everywhere(value, words):
    assert core.describe(value) == words


def test_every_known_wrong_std_is_named():
    shape = (64, 160)
    named = {
        2 / 64: "this is the variance",
        math.sqrt(6 / 64): "this is the limit of the uniform distribution",
        math.sqrt(2 / 160): "fan_out where He uses fan_in",
        math.sqrt(1 / 64): "the ReLU's ½ is missing",
        math.sqrt(2 / 224): "Glorot's 2/(fan_in + fan_out)",
        math.sqrt(2 / 64) * 0.87962566: "cutting off the tails",
    }
    assert len(core.std_mistakes(shape)) == len(named)
    for std, words in named.items():
        assert core.name_std(std, shape, "he_normal", 1e-3).startswith(words)
    assert core.name_std(0.5, shape, "he_normal", 1e-3) == "0.5 where it is 0.177"


def test_wrong_stds_know_the_other_schemes_and_square_kernels():
    glorot = " ".join(m for _, m in core.std_mistakes((64, 160), "glorot_normal"))
    assert "½" not in glorot
    assert "Glorot" not in glorot, "its fans turned round are its own"
    lecun = " ".join(m for _, m in core.std_mistakes((64, 160), "lecun_normal"))
    assert "fan_out where LeCun uses fan_in" in lecun
    assert "where LeCun's rule is asked for" in lecun
    square = core.std_mistakes((3, 3, 8, 8))
    assert not any("fan_out where" in message for _, message in square)
    assert all(std != schemes.get("he_normal").std((3, 3, 8, 8)) for std, _ in square)


def test_twins_are_the_first_two_equal_arrays():
    a, b = np.zeros(2), np.ones(2)
    assert core.twins([a, b, b, a]) == (1, 2)
    assert core.twins([a, b, np.ones(3)]) is None


EDGE_CASES = {
    "s03.2": [
        "6 examples, 4 units, 2 outputs",
        "a network of width 1",
        "a single example",
        "float32 numbers",
        "a network of zeros",
    ],
    "s03.5": [
        "six copies of one unit",
        "a network of width 1",
        "copies that are no neighbours",
        "equal kernels, different biases",
        "units that all differ",
        "float32 numbers",
    ],
}


@pytest.mark.parametrize(
    ("name", "label"), [(name, c) for name, cases in EDGE_CASES.items() for c in cases]
)
def test_an_answer_that_fails_in_one_case_only_is_told_which(name, label):
    task = task_named(name)
    (case,) = (case for case in task.cases if case.label == label)

    def answer(*arguments):
        parts = [np.array(part) for part in task.reference(*arguments)]
        same = zip(arguments, case.arguments, strict=True)
        if all(np.array_equal(got, given) for got, given in same):
            parts[-1] = parts[-1] + 1
        return parts

    assert task.grade(answer).message == (
        f"for {label}: the values of {task.parts[-1]} are wrong"
    )


# --- a check never hangs -------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(core, "SECONDS", 0.2)


def test_an_endless_loop_is_stopped_and_its_line_named(impatient):
    def answer(*_):
        while True:
            pass

    message = grade("s03.2", answer).message
    assert message.startswith("your function was stopped after 0.2 seconds for 6 exam")
    assert "a loop in it may never end (line " in message


def test_a_loop_that_swallows_every_exception_is_stopped_too(impatient):
    def answer(*_):
        tries = 0
        while tries < 1:
            try:
                while True:
                    pass
            except BaseException:
                tries += 0.5

    assert grade("s03.2", answer).kind == core.WRONG


def test_a_sleeping_function_is_woken(impatient):
    assert "stopped after" in grade("s03.2", lambda *_: time.sleep(60)).message


def test_leaving_python_is_the_students_exception():
    assert "raises SystemExit" in grade("s03.2", lambda *_: sys.exit(3)).message


def test_the_alarm_is_put_back_and_does_not_ring_later():
    before = signal.getsignal(signal.SIGALRM)
    assert limited(lambda: 5, 0.05) == 5
    time.sleep(0.1)
    assert signal.getsignal(signal.SIGALRM) is before
    with pytest.raises(ValueError, match="seconds must be positive, got 0"):
        limited(lambda: 5, 0)


def in_a_thread(function):
    """Run ``function`` where no alarm can ring, as everywhere on Windows."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_without_an_alarm_the_limit_holds_as_well(impatient):
    def loop():
        while True:
            pass

    with pytest.raises(TimeUp):
        in_a_thread(lambda: limited(loop, 0.1))
    with pytest.raises(TimeUp):
        in_a_thread(lambda: limited(lambda: time.sleep(3), 0.1))
    with pytest.raises(KeyError, match="x"):
        in_a_thread(lambda: limited(lambda: {}["x"], 1))
    assert in_a_thread(lambda: limited(lambda: 5, 1)) == 5
    message = in_a_thread(lambda: grade("s03.2", lambda *_: 1 / 0)).message
    assert message.endswith("1 / 0)).message)"), "the line is the student's, not ours"


# --- progress that lasts -------------------------------------------------------------


@pytest.fixture
def kept(tmp_path, monkeypatch):
    path = tmp_path / "a" / "progress.json"
    monkeypatch.setenv("INITLAB_PROGRESS", str(path))
    monkeypatch.setattr(checks, "_session", checks._Session())
    return path


def another_notebook(monkeypatch):
    monkeypatch.setattr(checks, "_session", checks._Session())


def test_progress_lasts_from_one_notebook_to_the_next(kept, said, monkeypatch):
    said(lab.check, "s03.1", 26)
    said(lab.check, "s03.7", 0)
    said(lab.check, "s03.1", 2)
    another_notebook(monkeypatch)
    assert said(lab.progress).splitlines() == [
        "no exercise set is in use here yet: check an answer first",
        "s03 · Zero and constant initialization: 1 of 8 correct",
    ]
    said(lab.check, "s03.1", 26)
    table = said(lab.progress)
    assert "✔ s03.1" in table, "what was correct once stays so"
    assert "1 of 8 correct" in table
    assert json.loads(kept.read_text())["tasks"] == {
        "s03.1": "correct",
        "s03.7": "wrong",
    }


def test_nothing_is_written_for_what_was_not_attempted_or_in_solutions(kept, said):
    said(lab.check, "s03.1", ...)
    assert not kept.exists()
    said(lab.strict)
    said(lab.check, "s03.1", 2)
    assert not kept.exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not a progress file of version 1"),
        ('{"version": 2, "tasks": {}}', "it is not a progress file of version 1"),
        ('{"version": 1, "tasks": {"s03.1": 5}}', "not all correct or wrong"),
    ],
)
def test_a_corrupt_file_is_named_once_and_left_alone(kept, said, text, why):
    kept.parent.mkdir()
    kept.write_text(text)
    lines = said(lab.check, "s03.1", 2)
    assert lines.startswith("✔ s03.1 correct\n! the progress file ")
    assert why in lines and "delete the file" in lines
    assert said(lab.check, "s03.7", 0).count("\n") == 1, "said once"
    assert "1 of 8 correct" in said(lab.progress), "this notebook goes on"
    assert kept.read_text() == text


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path, said, monkeypatch):
    for path in (tmp_path, tmp_path / "file" / "progress.json"):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("INITLAB_PROGRESS", str(path))
        another_notebook(monkeypatch)
        lines = said(lab.check, "s03.1", 2)
        assert f"! the progress file {path} cannot be " in lines


def test_a_write_that_fails_half_way_leaves_the_old_file(kept, said, monkeypatch):
    said(lab.check, "s03.1", 2)
    before = kept.read_text()

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(record.os, "replace", fail)
    assert "cannot be written (the disk is full)" in said(lab.check, "s03.7", 0)
    assert kept.read_text() == before
    assert [path.name for path in kept.parent.iterdir()] == ["progress.json"]


def test_where_progress_is_kept(monkeypatch):
    monkeypatch.delenv("INITLAB_PROGRESS")
    assert record.progress_path() == Path.home() / ".initlab" / "progress.json"
    monkeypatch.setitem(sys.modules, "google.colab", object())
    assert record.progress_path() is None, "on Colab, in the notebook's session"
    monkeypatch.setenv("INITLAB_PROGRESS", "off")
    assert record.progress_path() is None
