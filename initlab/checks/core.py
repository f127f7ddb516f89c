"""What a check is made of: tasks, the mistakes they can name, and verdicts.

Read `Verdict` and `Task` first, then the three kinds of task. A `ValueTask` compares a
value; a `FunctionTask` runs the student's function beside a reference on inputs that
the student does not see; a `MeasuredTask` measures the answer and goes through a list
of diagnoses. All grade behaviour, never wording. At the end stand the mistakes that
come back in every exercise set.

An exercise set is a module ``initlab/checks/sNN.py`` with a ``TITLE`` and ``TASKS``.
"""

from __future__ import annotations

import copy
import linecache
import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from initlab import schemes
from initlab.checks.limits import TimeUp, limited

SECONDS = 20.0
"""The time that the student's code has for one hidden input."""

CORRECT = "correct"
WRONG = "wrong"
NOT_ATTEMPTED = "not attempted"


@dataclass(frozen=True)
class Verdict:
    """What a check found: `kind` is one of the three words above."""

    kind: str
    message: str = ""


class AnswerError(Exception):
    """The answer cannot be graded; the message tells the student why."""


class Unanswered(Exception):
    """The student's function returns what it did before anything was written."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task of an exercise set.

    Args:
        name: set and number, such as ``"s03.1"``.
        title: a few words for the table of progress.
        hints: two steps, the second nearer to the solution than the first.
        section: the heading in the chapter under which it is taught.
    """

    name: str
    title: str
    hints: tuple[str, str]
    section: str = ""

    def grade(self, answer: Any) -> Verdict:
        """Return the verdict on ``answer``; nothing that a student does raises."""
        if is_blank(answer):
            return Verdict(NOT_ATTEMPTED, "replace the ... by your answer")
        if missing := blank_entries(answer):
            return Verdict(NOT_ATTEMPTED, f"still to be filled in: {missing}")
        try:
            message = self.mistake(answer)
        except Unanswered:
            return Verdict(NOT_ATTEMPTED, "your function does not return anything yet")
        except AnswerError as error:
            message = str(error)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # Some answer that no check has thought of; students never see a traceback.
            message = (
                f"the check can make nothing of {describe(answer)} "
                f"({type(error).__name__}: {error})"
            )
        return Verdict(WRONG, message) if message else Verdict(CORRECT)

    def mistake(self, answer: Any) -> str | None:
        """Return the mistake in ``answer`` in plain words, or None if it is right."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ValueTask(Task):
    """A task whose answer is a value.

    Args:
        expected: the right value: a number, an array, a tuple, a set or a dict of them.
        mistakes: pairs of a wrong value and what it means; the first that agrees with
            the answer is named.
        rtol: relative tolerance, of the right value and of the wrong ones.
        remedy: what to do when no mistake is recognized, a text or a function of the
            answer.
    """

    expected: Any
    mistakes: Sequence[tuple[Any, str]] = ()
    rtol: float = 1e-6
    remedy: str | Callable[[Any], str]

    def mistake(self, answer: Any) -> str | None:
        """Compare ``answer`` with the right value, then with the wrong ones."""
        if callable(answer) and not hasattr(answer, "__array__"):
            raise AnswerError(
                f"you gave {describe(answer)}, the value is asked for: call it"
            )
        if agree(answer, self.expected, self.rtol):
            return None
        for wrong, meaning in self.mistakes:
            if agree(answer, wrong, self.rtol):
                message = meaning
                break
        else:
            if wrong_kind := misfit(answer, self.expected):
                return wrong_kind
            message = _text(self.remedy, answer) + _tolerance(self.rtol)
        if isinstance(answer, Mapping):
            return message
        return f"you gave {describe(answer)}: {message}"


@dataclass(frozen=True)
class Case:
    """One input on which a student's function is run; `label` names it to them."""

    label: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class FunctionTask(Task):
    """A task whose answer is a function.

    Args:
        reference: the right function.
        cases: the inputs, edge cases among them.
        mistakes: pairs of a wrong function and what it means; named when it agrees
            with the student's function on all cases.
        same: ``same(result, expected, arguments)`` tells whether a result is right;
            by default ``agree`` with the tolerance ``rtol``.
        parts: the names of the results, if there are several.
        rtol: relative tolerance.
    """

    reference: Callable[..., Any]
    cases: Sequence[Case]
    mistakes: Sequence[tuple[Callable[..., Any], str]] = ()
    same: Callable[[Any, Any, tuple[Any, ...]], bool] | None = None
    parts: Sequence[str] = ()
    rtol: float = 1e-4

    def mistake(self, answer: Any) -> str | None:
        """Run ``answer`` on all cases beside the reference and the wrong functions."""
        results = [call(answer, case.arguments, case.label) for case in self.cases]
        if all(is_blank(result) for result in results):
            raise Unanswered
        if self._all_same(results, self.reference):
            return None
        for wrong, message in self.mistakes:
            if self._all_same(results, wrong):
                return message
        return self._first_difference(results)

    def _same(self, result: Any, expected: Any, case: Case) -> bool:
        if self.same is not None:
            return self.same(result, expected, case.arguments)
        return agree(result, expected, self.rtol)

    def _all_same(self, results: Sequence[Any], function: Callable[..., Any]) -> bool:
        return all(
            self._same(result, function(*case.arguments), case)
            for result, case in zip(results, self.cases, strict=True)
        )

    def _first_difference(self, results: Sequence[Any]) -> str:
        result, expected, case = next(
            (result, expected, case)
            for result, case in zip(results, self.cases, strict=True)
            for expected in [self.reference(*case.arguments)]
            if not self._same(result, expected, case)
        )
        if wrong := misfit(result, expected, self.parts):
            return f"for {case.label}: {wrong}"
        if self.parts:
            triples = zip(self.parts, result, expected, strict=True)
            names = [n for n, got, right in triples if not agree(got, right, self.rtol)]
            return f"for {case.label}: the values of {' and '.join(names)} are wrong"
        if np.ndim(expected):
            got, right = (np.asarray(each, dtype=float) for each in (result, expected))
            worst = np.unravel_index(np.argmax(np.abs(got - right)), right.shape)
            place = ", ".join(map(str, worst))
            return (
                f"for {case.label}: the values are wrong, at [{place}] "
                f"{describe(got[worst])} instead of {describe(right[worst])}"
            )
        return (
            f"for {case.label}: your function gives {describe(result)} instead of "
            f"{describe(expected)}"
        )


@dataclass(frozen=True, kw_only=True)
class MeasuredTask(Task):
    """A task whose answer is measured.

    Args:
        measure: takes the answer and returns what the diagnoses look at; it raises
            `AnswerError` for an answer that it cannot measure.
        diagnoses: pairs of a predicate on the measurement and a message, a text or a
            function of the measurement. The first that holds is the mistake; if none
            does, the answer is right.
    """

    measure: Callable[[Any], Any]
    diagnoses: Sequence[tuple[Callable[[Any], bool], str | Callable[[Any], str]]]

    def mistake(self, answer: Any) -> str | None:
        """Measure ``answer`` and return the first diagnosis that holds."""
        measured = self.measure(answer)
        for holds, message in self.diagnoses:
            if holds(measured):
                return _text(message, measured)
        return None


def _text(message: str | Callable[[Any], str], about: Any) -> str:
    return message if isinstance(message, str) else message(about)


def _tolerance(rtol: float) -> str:
    """Return how far off a number may be, where that is more than rounding."""
    return f" (within {100 * rtol:.3g} % counts as right)" if rtol >= 1e-3 else ""


# How answers are taken: blank ones, functions, comparisons.


def is_blank(answer: Any) -> bool:
    """Tell whether ``answer`` is still the placeholder: ``...``, None, or only such."""
    if answer is None or answer is ...:
        return True
    if isinstance(answer, Mapping):
        answer = list(answer.values())
    if isinstance(answer, list | tuple) and answer:
        return all(is_blank(entry) for entry in answer)
    return False


def blank_entries(answer: Any) -> str:
    """Return the names or places of the entries of ``answer`` that are still blank."""
    if isinstance(answer, Mapping):
        entries = [(describe(key), value) for key, value in answer.items()]
    elif isinstance(answer, list | tuple):
        entries = [(f"entry {place}", value) for place, value in enumerate(answer)]
    else:
        return ""
    return ", ".join(name for name, value in entries if is_blank(value))


def call(
    function: Any, arguments: tuple[Any, ...], label: str = "", copied: bool = True
) -> Any:
    """Call the student's ``function`` on copies of ``arguments`` and return its result.

    What must not be copied goes with ``copied=False``: the copy of a generator would
    draw the same numbers each time, and what is asked of a copy nobody counts.

    Raises:
        AnswerError: if it is no function, if it raises (the message has the type of
            the exception, its text and the line in the student's own code), or if it
            takes longer than `SECONDS`.
    """
    if not callable(function):
        raise AnswerError(
            f"you gave {describe(function)}, the function itself is asked for: "
            "give its name without calling it"
        )
    where = f" for {label}" if label else ""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            given = copy.deepcopy(arguments) if copied else arguments
            return limited(lambda: function(*given), SECONDS)
    except TimeUp as error:
        raise AnswerError(
            f"your function was stopped after {SECONDS:.3g} seconds{where}: a loop in "
            f"it may never end{_line_of(error)}"
        ) from None
    except (Exception, SystemExit) as error:
        raise AnswerError(
            f"your function raises {type(error).__name__}{where}: {error}"
            f"{_line_of(error)}"
        ) from None


def answered(
    function: Any,
    arguments: tuple[Any, ...],
    asked: Any,
    parts: Sequence[str] = (),
    label: str = "",
    copied: bool = True,
) -> Any:
    """Call the student's ``function``; return what it gives as arrays of numbers.

    Args:
        function: the student's.
        arguments: what it is called with.
        asked: an array, or a tuple or list of arrays, of the shapes that are asked for.
        parts: the names of the results, if there are several.
        label: names the arguments to the student.
        copied: whether the arguments may be copied, see `call`.

    Raises:
        Unanswered: if the result is blank.
        AnswerError: as `call`, or if the result is of another kind or shape.
    """
    result = call(function, arguments, label, copied)
    if is_blank(result):
        raise Unanswered
    if wrong := misfit(result, asked, parts):
        raise AnswerError(f"for {label}: {wrong}" if label else wrong)
    if isinstance(asked, list | tuple):
        return tuple(np.asarray(part, dtype=float) for part in result)
    return np.asarray(result, dtype=float)


_OURS = os.path.dirname(__file__)


def _line_of(error: BaseException) -> str:
    """Return where the student's own code was when ``error`` was raised."""
    frames = error.__traceback__
    while frames and _is_ours(frames):
        frames = frames.tb_next
    line = ""
    student = frames.tb_frame.f_code.co_filename if frames else None
    while frames:
        name = frames.tb_frame.f_code.co_filename
        if name == student:
            text = linecache.getline(name, frames.tb_lineno).strip()
            line = f" (line {frames.tb_lineno}" + (f": {text})" if text else ")")
        frames = frames.tb_next
    return line


def _is_ours(frame: Any) -> bool:
    name = frame.tb_frame.f_code.co_filename
    return os.path.dirname(name) == _OURS or os.path.basename(name) == "threading.py"


def agree(answer: Any, expected: Any, rtol: float = 1e-6) -> bool:
    """Tell whether ``answer`` is ``expected``, numbers within ``rtol``.

    The scale of an array's tolerance is its largest element. A list does for a tuple,
    any collection for a set, and whatever numpy can read for an array.
    """
    if misfit(answer, expected):
        return False
    if isinstance(expected, Mapping):
        return all(agree(answer[key], expected[key], rtol) for key in expected)
    if isinstance(expected, Set):
        return set(answer) == expected
    if isinstance(expected, list | tuple):
        return all(
            agree(a, e, rtol) for a, e in zip(list(answer), expected, strict=True)
        )
    right = np.asarray(expected, dtype=float)
    scale = np.max(np.abs(right), initial=0.0)
    got = np.asarray(answer, dtype=float)
    return bool(np.all(np.abs(got - right) <= rtol * scale))


def misfit(answer: Any, expected: Any, parts: Sequence[str] = ()) -> str | None:
    """Return how ``answer`` differs in kind or shape from ``expected``, if it does.

    ``parts`` names the entries of a tuple. Contents are not compared.
    """
    if isinstance(expected, Mapping):
        if not isinstance(answer, Mapping):
            return f"a dict is asked for, this is {describe(answer)}"
        lost = [key for key in expected if key not in answer]
        extra = [key for key in answer if key not in expected]
        if lost or extra:
            what, keys = ("lacks", lost) if lost else ("has the unknown", extra)
            return f"the dict {what} {', '.join(map(describe, keys))}"
        return _first_misfit(
            (describe(key), answer[key], expected[key]) for key in expected
        )
    if isinstance(expected, Set):
        collection = isinstance(answer, Set | list | tuple)
        if not collection or not all(isinstance(entry, str) for entry in answer):
            return f"a set of names is asked for, this is {describe(answer)}"
        return None
    if isinstance(expected, list | tuple):
        names = parts or [f"entry {place}" for place in range(len(expected))]
        if not isinstance(answer, list | tuple) or len(answer) != len(expected):
            return (
                f"{len(expected)} results are asked for"
                f"{' (' + ', '.join(parts) + ')' if parts else ''}, "
                f"this is {describe(answer)}"
            )
        return _first_misfit(zip(names, answer, expected, strict=True))
    return _number_misfit(answer, np.shape(expected))


def _first_misfit(triples: Any) -> str | None:
    for name, got, right in triples:
        if wrong := misfit(got, right):
            return f"{name}: {wrong}"
    return None


def _number_misfit(answer: Any, shape: tuple[int, ...]) -> str | None:
    asked = f"an array of shape {shape}" if shape else "a number"
    try:
        got = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        return f"{asked} is asked for, this is {describe(answer)}"
    if got.shape != shape:
        return f"{asked} is asked for, this is {describe(answer)}"
    if not np.isfinite(got).all():
        return f"{asked} is asked for, and not every number in this one is finite"
    return None


def describe(value: Any) -> str:
    """Return ``value`` in a few words that are the same on every machine."""
    if value is ...:
        text = "..."
    elif isinstance(value, bool | str | type(None)):
        text = repr(value)
    elif isinstance(value, Set):
        text = "{" + ", ".join(sorted(map(describe, value))) + "}" if value else "{}"
    elif isinstance(value, Mapping):
        entries = (f"{describe(k)}: {describe(v)}" for k, v in value.items())
        text = "{" + ", ".join(entries) + "}"
    elif isinstance(value, tuple):
        text = "(" + ", ".join(map(describe, value)) + ")"
    elif isinstance(value, list):
        text = "[" + ", ".join(map(describe, value)) + "]"
    elif hasattr(value, "__array__") and np.ndim(value):
        text = f"an array of shape {tuple(np.shape(value))}"
    elif callable(value) and not hasattr(value, "__array__"):
        text = f"the function {getattr(value, '__name__', type(value).__name__)}"
    else:
        try:
            text = f"{float(value):.6g}"
        except (TypeError, ValueError):
            text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


# Mistakes that come back in every set.


def std_mistakes(
    shape: tuple[int, ...], scheme: str = "he_normal"
) -> list[tuple[float, str]]:
    """Return the wrong standard deviations of a kernel with what each one means.

    Args:
        shape: the kernel's, Keras's order (..., fan_in, fan_out).
        scheme: the name of the right one, ``"he_normal"`` (the only one with the
            ReLU's ½), ``"glorot_normal"`` or ``"lecun_normal"``.

    Returns:
        Pairs for `ValueTask` and `name_std`; values that equal the right one are left
        out, as on a square kernel fan_out's equals fan_in's.
    """
    right = schemes.get(scheme).std(shape)
    turned = (*shape[:-2], shape[-1], shape[-2])
    title = {"he": "He", "glorot": "Glorot", "lecun": "LeCun"}
    rule = title[scheme.partition("_")[0]]
    wrong = [
        (
            right**2,
            "this is the variance; the standard deviation is its square root",
        ),
        (
            right * math.sqrt(3),
            "this is the limit of the uniform distribution; its standard deviation is "
            "the limit divided by √3",
        ),
        (schemes.get(scheme).std(turned), f"fan_out where {rule} uses fan_in"),
    ]
    if rule == "He":
        wrong.append(
            (
                schemes.get("lecun_normal").std(shape),
                "the ReLU's ½ is missing: half of the signal's second moment is cut "
                "off, so the variance is 2/fan_in, not 1/fan_in",
            )
        )
    if rule != "Glorot":
        wrong.append(
            (
                schemes.get("glorot_normal").std(shape),
                f"Glorot's 2/(fan_in + fan_out) where {rule}'s rule is asked for",
            )
        )
    wrong.append(
        (
            schemes.truncated_normal(right).std(shape),
            "cutting off the tails has made the std smaller, and nothing corrects for "
            "it: draw from a normal that is wider by 1/0.88 before its tails are cut",
        )
    )
    return [(value, message) for value, message in wrong if not agree(value, right)]


def name_std(std: float, shape: tuple[int, ...], scheme: str, rtol: float) -> str:
    """Return the known mistake behind a measured ``std``, or what it is beside what.

    ``rtol`` is the tolerance of the measurement; see `std_mistakes`.
    """
    for wrong, message in std_mistakes(shape, scheme):
        if agree(std, wrong, rtol):
            return message
    return f"{std:.3g} where it is {schemes.get(scheme).std(shape):.3g}"


def twins(arrays: Sequence[np.ndarray]) -> tuple[int, int] | None:
    """Return the places of the first two equal arrays, as one shared seed makes them.

    Keras draws the same numbers whenever one initializer instance, or one integer
    seed, is used for two kernels of the same shape.
    """
    for second, array in enumerate(arrays):
        for first in range(second):
            if np.array_equal(arrays[first], array):
                return first, second
    return None
