"""The exercises on the film-review case study: tables, peeking and memory.

They need no reviews, so no answer depends on which data a machine has. `recorded` and
`gradient_back` are for the notebook too; each task stands after what grades it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from initlab import studies
from initlab.checks.core import (
    AnswerError,
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    ValueTask,
    describe,
)

TITLE = "s11 · IMDB and recurrent networks"

# s11.1: one table, used twice

WORDS, SIZE = 20_000, 64

_TIED = ValueTask(
    name="s11.1",
    section="Two of the three are one",
    title="one table, used twice",
    hints=(
        "A logit is the sum of 64 products, one for each number of the hidden state. "
        "A looked-up word sums over nothing.",
        "So the logits have the variance 64 · std², and a looked-up word has std². Set "
        "the first to 1, and see what the second lacks.",
    ),
    expected=(1 / math.sqrt(SIZE), math.sqrt(SIZE)),
    mistakes=(
        (
            (1 / math.sqrt(WORDS), math.sqrt(WORDS)),
            "you divided by the number of words, fan_in of the table as Keras sees it; "
            "a logit sums over the 64 numbers of the hidden state",
        ),
        (
            (1 / math.sqrt(WORDS), math.sqrt(SIZE)),
            "the std divides by the number of words, fan_in of the table as Keras sees "
            "it; a logit sums over the 64 numbers of the hidden state",
        ),
        (
            (1 / SIZE, SIZE),
            "1/64 is the variance; the standard deviation is its square root",
        ),
        (
            (1 / SIZE, math.sqrt(SIZE)),
            "1/64 is the variance; the standard deviation is its square root",
        ),
        (
            (1 / math.sqrt(SIZE), SIZE),
            "the std is right; a factor of 64 would give a word the variance 64, take "
            "the square root",
        ),
        (
            (1 / math.sqrt(SIZE), 1 / math.sqrt(SIZE)),
            "the std is right; a looked-up word is too small, so the factor is above 1",
        ),
        (
            (1 / math.sqrt(SIZE), 1),
            "the std is right; but a looked-up word has that std too, and not 1",
        ),
        (
            (math.sqrt(2 / SIZE), math.sqrt(SIZE / 2)),
            "the 2 is for a ReLU, which cuts off half of the second moment; here is "
            "none",
        ),
        (
            (math.sqrt(2 / (WORDS + SIZE)), math.sqrt((WORDS + SIZE) / 2)),
            "this is Glorot's rule with the fans of the table; a logit sums over the "
            "64 numbers of the hidden state",
        ),
        (
            (math.sqrt(3 / SIZE), math.sqrt(SIZE / 3)),
            "this is the limit of a uniform distribution; its standard deviation is "
            "the limit divided by √3",
        ),
    ),
    rtol=1e-3,
    remedy="the std makes 64 · std² equal to 1, the factor makes std · factor equal "
    "to 1",
)


# s11.2: the fan of a sum of words


def _counts(sentence: np.ndarray, padding: bool = False) -> np.ndarray:
    """Return how often each word stands in the sentence; 0 is padding."""
    words = sentence if padding else sentence[sentence != 0]
    return np.unique(words, return_counts=True)[1]


def _by_terms(
    terms: Callable[[np.ndarray], float],
    std: Callable[[np.ndarray], float] = lambda each: float(np.mean(each)) ** -0.5,
) -> Callable[[Any], float]:
    """Return the table's std from the number of terms of each sentence."""

    def table_std(sentences: Any) -> float:
        return float(std(np.array([terms(row) for row in np.asarray(sentences)])))

    return table_std


def _squares(row: np.ndarray) -> float:
    return float(np.sum(_counts(row) ** 2))


_table_std = _by_terms(_squares)


def _sentences(*rows: list[int]) -> tuple[np.ndarray]:
    length = max(map(len, rows))
    return (np.array([[0] * (length - len(row)) + row for row in rows]),)


_BAG = FunctionTask(
    name="s11.2",
    section="Two of the three are one",
    title="the fan of a sum of words",
    hints=(
        "Collect equal words first: a word that stands c times adds c times *one* "
        "vector. What does a factor c do to its variance?",
        "One sentence has the variance std² · Σ c², over its different words without "
        "the padding. Average Σ c² over the sentences; the std is 1 over its root.",
    ),
    reference=_table_std,
    cases=(
        Case("a sentence of four different words", _sentences([5, 9, 2, 7])),
        Case("a sentence of one word, four times", _sentences([3, 3, 3, 3])),
        Case(
            "sentences with repeated words and padding",
            _sentences([1, 2, 1, 3, 1], [4, 4, 5], [6], [7, 8, 9, 7, 8, 9, 10]),
        ),
        Case("a sentence of padding and one of words", _sentences([], [2, 5, 2])),
        Case(
            "200 words of a frequent few",
            (np.random.default_rng(2).geometric(0.1, size=(6, 200)),),
        ),
        Case("a single word", _sentences([1])),
        Case("words as int32", (np.array([[0, 2, 2]], dtype="int32"),)),
    ),
    mistakes=(
        (
            _by_terms(lambda row: float(np.sum(row != 0))),
            "you count words as if they were independent: two equal words add the same "
            "vector twice, which has four times its variance and not twice",
        ),
        (
            _by_terms(lambda row: float(len(_counts(row)))),
            "you count different words: one that stands c times counts c², not 1",
        ),
        (
            _by_terms(lambda row: float(np.sum(_counts(row, padding=True) ** 2))),
            "the padding is counted as a word: leave the zeros out",
        ),
        (
            _by_terms(lambda row: float(len(row))),
            "you divide by the length: leave out the padding, and count a word that "
            "stands c times as c²",
        ),
        (
            _by_terms(_squares, lambda each: 1 / float(np.mean(each))),
            "this is the variance; the standard deviation is its square root",
        ),
        (
            _by_terms(_squares, lambda each: (2 / float(np.mean(each))) ** 0.5),
            "the 2 is for a ReLU, which cuts off half of the second moment; a sum of "
            "words has none",
        ),
        (
            _by_terms(_squares, lambda each: float(np.sum(each)) ** -0.5),
            "the sentences are added up: the second moment is a mean over them",
        ),
        (
            _by_terms(
                _squares,
                lambda each: float(np.mean(np.sqrt(each))) ** -1,
            ),
            "the roots are averaged over the sentences: average the second moments, "
            "then take one root",
        ),
    ),
)


# s11.3: stop when there is a star

FIRST, LAST = 3, 20


def recorded() -> np.ndarray:
    """Return the recorded test accuracy of uniform minus He at rate 0.001, (10,)."""
    race = studies.results("imdb").races["embedding"]
    one, other = (
        race.values(name, "test_accuracy", 0.001) for name in ("uniform", "he_normal")
    )
    return one - other


def _alarms(first: int = FIRST, last: int = LAST, normal: bool = False) -> float:
    """Return the share of 40,000 studies that stop at a star, nothing being there."""
    from scipy import stats

    gaps = np.random.default_rng(11).standard_normal((40_000, last))
    n = np.arange(1, last + 1)
    mean = np.cumsum(gaps, axis=1) / n
    squares = np.cumsum(gaps**2, axis=1) - n * mean**2
    looks = slice(first - 1, last)
    freedom = n[looks] - 1
    error = np.sqrt(squares[:, looks] / freedom / n[looks])
    quantile = 1.96 if normal else stats.t.ppf(0.975, freedom)
    return float(np.mean((np.abs(mean[:, looks]) > quantile * error).any(axis=1)))


_PEEKING = ValueTask(
    name="s11.3",
    section="The slide's question, answered",
    title="stop when there is a star",
    hints=(
        "Draw 20 differences for each study, all of mean zero. For n = 3, 4, …, 20 "
        "take the interval of the first n of them, and note who has had a star so far.",
        "stopped |= (found.low > 0) | (found.high < 0) in a loop over n, with found = "
        "lab.interval(gaps[:n]) and gaps of shape (20, studies).",
    ),
    expected=_alarms(),
    mistakes=(
        (
            0.05,
            "this is the rate of a single look, which the interval promises; here are "
            "up to 18 looks, and one star is enough",
        ),
        (
            1 - 0.95 ** (LAST - FIRST + 1),
            "1 - 0.95¹⁸ is for independent looks; each look sees the seeds of the one "
            "before again, so simulate it",
        ),
        (
            1 - _alarms(),
            "this is the share of studies that never find a star; the others are asked "
            "for",
        ),
        (
            _alarms(first=2),
            "you look from two seeds on; the first look is at three",
        ),
        (
            _alarms(last=10),
            "you stop at ten seeds; go on up to twenty",
        ),
        (
            _alarms(normal=True),
            "the intervals are those of a normal distribution; with three seeds "
            "Student asks for 4.3 standard errors and not for 1.96",
        ),
    ),
    # Of 10,000 studies the share has a standard error of 1.8 %, ours one of 0.9 %.
    rtol=8e-2,
    remedy="draw 10,000 studies of 20 differences of mean zero, and count those in "
    "which the 95 % interval of the first n excludes zero for any n from 3 to 20",
)


# s11.4: a recurrent kernel that remembers

UNITS, STEPS, DRIVE = 32, 50, 0.5
LOW, HIGH = 0.2, 5.0


def gradient_back(recurrent: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the rms singular value of the gradient 1, 2, …, 50 steps back in time.

    The states are h = tanh(h @ recurrent + drive), from zero, with a drive that is
    normal with standard deviation 0.5, for 16 sequences of 51 steps.

    Args:
        recurrent: the recurrent kernel, shape (32, 32).
        seed: which sequences.

    Returns:
        Shape (50,).
    """
    return _through_time(recurrent, seed)[0]


def _through_time(recurrent: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Return `gradient_back` and the mean slope of the tanh."""
    drive = DRIVE * np.random.default_rng([11, seed]).standard_normal(
        (16, STEPS + 1, UNITS)
    )
    state, slopes = np.zeros((16, UNITS)), []
    for step in range(STEPS + 1):
        state = np.tanh(state @ recurrent + drive[:, step])
        slopes.append(1 - state**2)
    jacobian, rms = np.eye(UNITS), []
    for slope in slopes[:0:-1]:
        jacobian = recurrent @ (slope[:, :, None] * jacobian)
        rms.append(np.sqrt(np.mean(np.sum(jacobian**2, axis=(1, 2))) / UNITS))
    return np.array(rms), float(np.mean(slopes))


def _memory(answer: Any) -> dict[str, Any]:
    """Measure the kernel on sequences that were not used to choose it."""
    try:
        kernel = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        raise AnswerError(
            f"a kernel is asked for, this is {describe(answer)}"
        ) from None
    if kernel.shape != (UNITS, UNITS):
        raise AnswerError(
            f"the kernel has shape ({UNITS}, {UNITS}), yours is {kernel.shape}"
        )
    if not np.isfinite(kernel).all():
        raise AnswerError("not every number of the kernel is finite")
    with np.errstate(all="ignore"):
        rms, slope = _through_time(kernel, seed=1)
    return {"kernel": kernel, "rms": rms, "slope": slope}


def _is_orthogonal(kernel: np.ndarray) -> bool:
    return bool(np.allclose(kernel @ kernel.T, np.eye(UNITS), atol=1e-4))


def _is_diagonal(kernel: np.ndarray) -> bool:
    return not np.any(kernel - np.diag(np.diag(kernel)))


def _fades(found: dict[str, Any]) -> bool:
    return bool(found["rms"].min() < LOW)


def _least(found: dict[str, Any]) -> str:
    return f"{found['rms'].min():.1g} at {1 + int(found['rms'].argmin())} steps"


_MEMORY = MeasuredTask(
    name="s11.4",
    section="Is it the gradient?",
    title="challenge: remember 50 steps",
    hints=(
        "An orthogonal kernel keeps every length, but on the way back each step also "
        "passes the slope of the tanh, and that is below 1. What could make up for it?",
        "Multiply an orthogonal kernel by a gain above 1. A larger gain also presses "
        "the tanh flatter, so 1 over the slope is not the end of it: try gains, and "
        "look at s11.gradient_back.",
    ),
    measure=_memory,
    diagnoses=(
        (
            lambda found: not found["kernel"].any(),
            "the kernel is zero: nothing goes from one state to the next",
        ),
        (
            lambda found: _is_diagonal(found["kernel"]) and _fades(found),
            lambda found: (
                "each unit hears only itself, and the gradient fades, to "
                f"{_least(found)}: a unit that holds on to its state ends on the flat "
                "part of its tanh; let the units mix"
            ),
        ),
        (
            lambda found: _is_orthogonal(found["kernel"]),
            lambda found: (
                f"the gradient fades to {_least(found)}: the kernel keeps every "
                "length, but the slope of the tanh does not, it is "
                f"{found['slope']:.2f} on average; the kernel has to make up for it"
            ),
        ),
        (
            _fades,
            lambda found: (
                f"the gradient fades to {_least(found)}, where {LOW:g} is the least: "
                "the kernel is too small for the slopes that it passes; make it larger"
            ),
        ),
        (
            lambda found: not found["rms"].max() <= HIGH,
            lambda found: (
                f"the gradient grows to {found['rms'].max():.1g}, where {HIGH:g} is "
                "the most: the kernel is too large; make it smaller"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (_TIED, _BAG, _PEEKING, _MEMORY)
