"""Checks accept every right answer and name the mistake in a wrong one."""

from __future__ import annotations

import math

import numpy as np
import pytest

import initlab as lab
from initlab import checks, schemes
from initlab.checks import core, s03

ALL_NAMES = set(s03.NAMES)


@pytest.fixture(autouse=True)
def session(monkeypatch):
    """Each test begins as a new notebook."""
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
        assert lines[1] == f"{task.name}, hint 2 of 2: {task.hints[1]}\n"
        assert lines[2] == lines[1]


def test_progress_is_a_table_of_every_task(said):
    assert said(lab.progress) == (
        "no exercise set is in use yet: check an answer first\n"
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


# --- s03 -----------------------------------------------------------------------------


def test_s03_1_counts_the_numbers_that_move():
    assert_right("s03.1", 2)
    assert_right("s03.1", np.int64(2))
    for answer, words in (
        (0, "all gradients are zero is often said"),
        (1, "one number for each output"),
        (26, "every number there is"),
        (6, "both biases"),
        (10, "the whole output layer"),
        (24, "that stay where they are"),
        (13, "one by one"),
    ):
        assert_wrong("s03.1", answer, words)


def test_s03_1_is_what_a_network_of_zeros_does():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 3)), 1 + rng.standard_normal((9, 2))
    start = tuple(map(np.zeros, ((3, 4), (4,), (4, 2), (2,))))
    parameters = start
    for _ in range(100):
        slopes = s03._gradients(x, y, *parameters)
        parameters = tuple(p - 0.1 * g for p, g in zip(parameters, slopes, strict=True))
    assert sum(map(np.count_nonzero, parameters)) == 2


def gradients_by_loops(x, y, w1, b1, w2, b2):
    parts = [np.zeros(p.shape) for p in (w1, b1, w2, b2)]
    for xi, yi in zip(x, y, strict=True):
        h = np.tanh(xi @ w1 + b1)
        error = 2 * (h @ w2 + b2 - yi) / y.size
        back = (w2 @ error) / np.cosh(xi @ w1 + b1) ** 2
        for part, slope in zip(
            parts, (np.outer(xi, back), back, np.outer(h, error), error), strict=True
        ):
            part += slope
    return parts


def mutated_gradients(change):
    def gradients(x, y, w1, b1, w2, b2):
        z = x @ w1 + b1
        h = np.tanh(z)
        out = 2 * (h @ w2 + b2 - y) / y.size
        if change == "no 2":
            out = out / 2
        if change == "sum":
            out = out * y.size
        if change == "examples":
            out = out * y.shape[1]
        if change == "sign":
            out = -out
        slope = {"no slope": 1, "at h": 1 - np.tanh(h) ** 2, "of z": 1 - z**2}
        hid = out @ w2.T * slope.get(change, 1 - h**2)
        result = x.T @ hid, hid.sum(0), h.T @ out, out.sum(0)
        if change == "order":
            return result[2], result[3], result[0], result[1]
        if change == "transposed":
            return result[0].T, *result[1:]
        if change == "three":
            return result[:3]
        if change == "mean":
            return result[0], hid.mean(0), result[2], out.mean(0)
        return result

    return gradients


def test_s03_2_takes_any_way_to_the_gradients():
    assert_right("s03.2", mutated_gradients(None))
    assert_right("s03.2", gradients_by_loops)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("no 2", "half of what it should be"),
        ("sum", "gradients of the summed loss"),
        ("examples", "not by the examples alone"),
        ("sign", "the wrong sign"),
        ("no slope", "the slope of tanh is missing"),
        ("at h", "the slope of tanh is taken at h"),
        ("of z", "not 1 - z**2"),
        ("order", "their order is not"),
        ("transposed", "units, 2 outputs: dw1: an array of shape (3, 4) is asked for"),
        ("three", "4 results are asked for (dw1, db1, dw2, db2)"),
        ("mean", "2 outputs: the values of db1 and db2 are wrong"),
    ],
)
def test_s03_2_names_the_mistake(change, words):
    assert_wrong("s03.2", mutated_gradients(change), words)


def test_s03_2_tries_a_single_unit_a_single_example_and_float32():
    def drops_the_unit(x, y, w1, b1, w2, b2):
        result = s03._gradients(x, y, w1, b1, w2, b2)
        return tuple(np.squeeze(part) for part in result)

    assert_wrong("s03.2", drops_the_unit, "for a network of width 1: dw1")


def test_s03_2_agrees_with_differences_of_the_loss():
    x, y, *parameters = s03._network(7, 5, 3, 2, "float64")

    def loss(*parameters):
        return np.mean((s03._forward(x, *parameters) - y) ** 2)

    slopes = s03._gradients(x, y, *parameters)
    for place, slope in enumerate(slopes):
        moved = [p.copy() for p in parameters]
        moved[place].flat[0] += 1e-6
        numeric = (loss(*moved) - loss(*parameters)) / 1e-6
        assert slope.flat[0] == pytest.approx(numeric, abs=1e-5)


def test_s03_3_takes_sets_lists_and_tuples():
    assert_right("s03.3", s03._moves)

    def in_lists(value, slope):
        first = ["b2"] + ["w2"] * bool(value)
        return [first, [*first, "w1", "b1"] if value and slope else first]

    assert_right("s03.3", in_lists)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            lambda v, s: (ALL_NAMES, ALL_NAMES if s else {"w2", "b2"}),
            "for f(0) = 0, f'(0) = 1: the values of first and ever are wrong",
        ),
        (
            lambda v, s: (ALL_NAMES if v else {"b2"},) * 2,
            "w2 is still zero, so nothing comes back",
        ),
        (
            lambda v, s: ({"w2", "b2"} if v else {"b2"}, ALL_NAMES if v else {"b2"}),
            "the slope is not used",
        ),
        (
            lambda v, s: (
                {"w2", "b2"} if v else {"b2"},
                ALL_NAMES if s else {"w2", "b2"} if v else {"b2"},
            ),
            "a slope alone moves nothing",
        ),
        (
            lambda v, s: (
                {"w2"} if v else set(),
                (ALL_NAMES - {"b2"} if s else {"w2"}) if v else set(),
            ),
            "b2 is forgotten",
        ),
        (
            lambda v, s: s03._moves(v if v > 0 else 0, s),
            "a negative f(0) counts as well",
        ),
        (
            lambda v, s: ({"w2", "b2"} if v else {"b2"},) * 2,
            "what the first step does is not all",
        ),
        (
            lambda v, s: s03._moves(v if abs(v) > 1e-3 else 0, s),
            "for f(0) = 1e-06, f'(0) = 1",
        ),
        (lambda v, s: {"b2"}, "2 results are asked for (first, ever)"),
    ],
)
def test_s03_3_names_the_mistake(answer, words):
    assert_wrong("s03.3", answer, words)


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
        (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
        (np.cos, lambda z: -np.sin(z)),
        (np.exp, np.exp),
        (lambda z: np.exp(z) / 2 - 1, lambda z: np.exp(z) / 2),
    ],
)
def test_s03_3_is_what_training_does(f, slope):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((9, 3)), 1 + rng.standard_normal((9, 1))
    parameters = list(map(np.zeros, ((3, 4), (4,), (4, 1), (1,))))
    seen = []
    for _ in range(4):
        w1, b1, w2, b2 = parameters
        z = x @ w1 + b1
        out = 2 * (f(z) @ w2 + b2 - y) / y.size
        hid = out @ w2.T * slope(z)
        slopes = x.T @ hid, hid.sum(0), f(z).T @ out, out.sum(0)
        parameters = [p - 0.01 * g for p, g in zip(parameters, slopes, strict=True)]
        moved = {
            n for n, p in zip(s03.NAMES, parameters, strict=True) if np.any(p != 0)
        }
        seen.append(moved)
    at_zero = f(np.zeros(1)).item(), slope(np.zeros(1)).item()
    assert (seen[0], seen[-1]) == s03._moves(*at_zero)


def experiment(**changed):
    report = {case: set(names) for case, names in s03._EXPERIMENT.items()}
    for key, names in changed.items():
        report[{"on": ("relu", 0.1), "off": ("relu", -0.1)}[key]] = names
    return report


def test_s03_4_takes_a_right_report():
    assert_right("s03.4", experiment())
    assert_right("s03.4", {case: sorted(n) for case, n in experiment().items()})


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (dict.fromkeys(s03.CASES, set()), "not even b2 has moved"),
        (dict.fromkeys(s03.CASES, ALL_NAMES), "the kernels do not start at zero"),
        (experiment(on={"b2"}), "the bias does not arrive"),
        (experiment(off=ALL_NAMES), "check the sign of the bias"),
        (
            {
                case: {"w2", "b2"} if len(names) > 1 else names
                for case, names in experiment().items()
            },
            "you stopped after one step",
        ),
        (
            experiment(on={"w1", "w2"}),
            "for ('relu', 0.1) you report {'w1', 'w2'}, training moves {'b1', 'b2', ",
        ),
        ({("tanh", 0.0): {"b2"}}, "the dict lacks ('relu', 0), ('sigmoid', 0)"),
        ({"b2"}, "a dict is asked for, this is {'b2'}"),
    ],
)
def test_s03_4_names_the_mistake(report, words):
    assert_wrong("s03.4", report, words)


def collapse_in_numpy(w1, b1, w2):
    kinds, kind = np.unique(np.vstack([w1, b1]), axis=1, return_inverse=True)
    merged = np.zeros((kinds.shape[1], w2.shape[1]))
    np.add.at(merged, kind.ravel(), w2)
    return [kinds[:-1], kinds[-1], merged]


def collapse_with(key, merge):
    """Collapse units with the same key, merging their outgoing rows by a function."""

    def collapse(w1, b1, w2):
        groups: dict = {}
        for unit in range(len(b1)):
            groups.setdefault(key(w1, b1, unit), []).append(unit)
        first = [units[0] for units in groups.values()]
        rows = [merge(w2[units]) for units in groups.values()]
        return w1[:, first], b1[first], np.array(rows)

    return collapse


def whole(w1, b1, unit):
    return (*w1[:, unit], b1[unit])


def only_neighbours(w1, b1, w2):
    starts = [
        unit
        for unit in range(len(b1))
        if unit == 0 or whole(w1, b1, unit) != whole(w1, b1, unit - 1)
    ]
    return w1[:, starts], b1[starts], np.add.reduceat(w2, starts, axis=0)


def test_s03_5_takes_the_units_in_any_order():
    assert_right("s03.5", collapse_with(whole, lambda rows: rows.sum(0)))
    assert_right("s03.5", collapse_in_numpy)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda w1, b1, w2: (w1, b1, w2), "nothing is merged"),
        (collapse_with(whole, lambda rows: rows[0]), "keeps the outgoing weights of"),
        (collapse_with(whole, lambda rows: rows.mean(0)), "has the mean of"),
        (
            collapse_with(lambda w1, b1, unit: (*w1[:, unit],), lambda r: r.sum(0)),
            "different biases are merged",
        ),
        (only_neighbours, "only neighbours are merged"),
        (
            collapse_with(whole, lambda rows: -rows.sum(0)),
            "for six copies of one unit: the values of w2 are wrong",
        ),
        (
            lambda w1, b1, w2: (w1[:, 0], b1[:1], w2[:1]),
            "w1: an array of shape (3, 1) is asked for, this is an array of shape (3,)",
        ),
        (lambda w1, b1, w2: w1, "3 results are asked for (w1, b1, w2)"),
    ],
)
def test_s03_5_names_the_mistake(answer, words):
    assert_wrong("s03.5", answer, words)


class Model:
    """What the check needs of a Keras model, without Keras."""

    def __init__(self, *kernels):
        self.kernels = kernels

    def get_weights(self):
        biases = [np.zeros(kernel.shape[-1]) for kernel in self.kernels]
        pairs = zip(self.kernels, biases, strict=True)
        return [array for pair in pairs for array in pair]


def model_of(scheme, seed=0, shapes=s03._SHAPES):
    rng = np.random.default_rng(seed)
    return Model(*(schemes.get(scheme).sample(shape, rng) for shape in shapes))


def scaled(factor):
    return Model(*(factor(k) for k in model_of("he_normal").kernels))


def replaced(place, kernel):
    kernels = list(model_of("he_normal").kernels)
    kernels[place] = kernel
    return Model(*kernels)


@pytest.mark.parametrize("scheme", ["he_normal", "he_uniform"])
def test_s03_6_takes_any_distribution_of_the_right_scale(scheme):
    assert_right("s03.6", lambda: model_of(scheme))
    assert_right("s03.6", model_of(scheme))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (scaled(lambda k: 0 * k), "all kernels are zero"),
        (scaled(lambda k: 0 * k + 0.1), "all units have the same kernel"),
        (replaced(2, model_of("he_normal").kernels[1]), "layers 2 and 3 start with"),
        (scaled(lambda k: k * np.sqrt(2 / k.shape[0])), "this is the variance"),
        (scaled(lambda k: k * np.sqrt(3)), "limit of the uniform distribution"),
        (model_of("lecun_normal"), "the ReLU's ½ is missing"),
        (model_of("glorot_uniform"), "Glorot's 2/(fan_in + fan_out)"),
        (
            scaled(lambda k: k * np.sqrt(k.shape[0] / k.shape[1])),
            "fan_out where He uses fan_in",
        ),
        (scaled(lambda k: 0.8796 * k), "cutting off the tails"),
        (scaled(lambda k: 5 * k), "layer 1's kernel is not right: 0.88"),
        (replaced(2, np.eye(160)), "layer 3's kernel is not right: the ReLU's ½"),
        (replaced(3, np.zeros((160, 1))), "the kernel of the output layer is zero"),
        (Model(), "no weights yet"),
        (model_of("he_normal", shapes=[(64, 160)]), "the kernels' shapes are [(64, 1"),
        (lambda: "a model", "build() returns 'a model'"),
        ("a model", "the function itself is asked for"),
    ],
)
def test_s03_6_names_the_mistake(model, words):
    assert_wrong("s03.6", model, words)


def test_s03_6_sees_the_shared_instance_of_a_keras_model():
    keras = pytest.importorskip("keras")

    def build(shared):
        one = keras.initializers.HeNormal()
        layers = [
            keras.layers.Dense(
                160, "relu", kernel_initializer=shared and one or "he_normal"
            )
            for _ in range(3)
        ]
        last = keras.layers.Dense(1)
        return keras.Sequential([keras.Input(shape=(64,)), *layers, last])

    assert_right("s03.6", lambda: build(shared=False))
    assert_wrong("s03.6", lambda: build(shared=True), "layers 2 and 3 start with the")


def measured_steps(std):
    rng = np.random.default_rng(11)
    w1, w2 = std * rng.standard_normal((4, 8)), std * rng.standard_normal((8, 1))
    losses, _ = s03.train(w1, np.zeros(8), w2, np.zeros(1), steps=400)
    return np.argmax(losses < losses[0] / 2)


def test_s03_7_takes_the_measurement_and_the_theory():
    assert_right("s03.7", (measured_steps(1e-9) - measured_steps(1e-3)) / 6)
    x, y = s03.examples()
    slope = np.linalg.norm(2 * x.T @ y / 64)
    assert_right("s03.7", math.log(10) / math.log1p(0.05 * slope))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (176.6, "over all six powers of ten"),
        (12.8, "per factor e"),
        (0.034, "powers of ten per step"),
        (-29.5, "the sign is turned round"),
        (0, "std does not arrive"),
        (15.3, "a learning rate twice as large"),
        (264, "take the first step at which"),
    ],
)
def test_s03_7_names_the_mistake(answer, words):
    assert_wrong("s03.7", answer, words)


def start(**parts):
    shapes = s03._START
    return tuple(np.asarray(parts.get(n, np.zeros(shapes[n]))) for n in s03.NAMES)


SEVEN = np.append(np.linspace(-1, 0.8, 7), 0)


def test_s03_8_takes_every_place_that_wakes_the_network():
    assert_right("s03.8", start(b1=SEVEN))
    assert_right("s03.8", start(w2=SEVEN[:, None]))
    kernel = np.zeros((4, 8))
    kernel[[0, 1, 2, 3, 0, 1, 2], range(7)] = [1, 1, 1, 1, -1, -1, -1]
    assert_right("s03.8", list(start(w1=kernel)))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (start(), "only b2 will ever move"),
        (start(b1=SEVEN + 2), "8 numbers differ from zero, at most 7 are allowed"),
        (start(b1=[0, 0.1, 0.2, 0.2, 0, 0, 0, 0]), "units 2 and 3 start as copies"),
        (start(b2=[1.0]), "units 0 and 1 start as copies"),
        (start(b1=40 * SEVEN), "the loss is"),
        (start(w2=1e4 * SEVEN[:, None]), "and not below 0.1"),
        (start(b1=np.zeros(7)), "b1: an array of shape (8,) is asked for"),
        (start(b1=np.full(8, np.nan)), "not every number in this one is finite"),
        (start()[:3], "4 results are asked for (w1, b1, w2, b2)"),
        (start, "this is the function start"),
    ],
)
def test_s03_8_names_the_mistake(answer, words):
    assert_wrong("s03.8", answer, words)


def test_s03_8_an_all_zero_start_stays_at_a_loss_of_one():
    losses, (w1, b1, w2, b2) = s03.train(*start(), steps=50)
    assert losses == pytest.approx(np.ones(50))
    assert not w1.any() and not b1.any() and not w2.any()
    assert abs(b2) < 1e-12
