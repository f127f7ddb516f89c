"""The exercises on the CIFAR-10 case study: fans, many comparisons and first filters.

They need no images but their own, so no answer depends on which data a machine has.
`p_values`, `images` and `convolve` are for the notebook too; each task stands after
what grades it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from initlab import schemes, studies
from initlab.checks.core import (
    AnswerError,
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    ValueTask,
    describe,
)

TITLE = "s10 · CIFAR-10"

# s10.1: He over Glorot in a network with larger windows


def _shapes(window: int, positions: int) -> tuple[tuple[int, ...], ...]:
    return (
        (window, window, 3, 32),
        (window, window, 32, 64),
        (positions * positions * 64, 64),
        (64, 10),
    )


def _ratios(shapes: Sequence[tuple[int, ...]]) -> np.ndarray:
    he, glorot = schemes.get("he_normal"), schemes.get("glorot_normal")
    return np.array([he.std(shape) / glorot.std(shape) for shape in shapes])


_LARGE = _shapes(5, 5)
_RIGHT = _ratios(_LARGE)
# From Glorot's 2/(fan_in + fan_out) and He's 2/fan_in: ratio² - 1 = fan_out / fan_in.
_FAN_RATIO = _RIGHT**2 - 1

_WINDOWS = ValueTask(
    name="s10.1",
    section="Four layers, four pairs of fans",
    title="enlarge the windows",
    hints=(
        "Write down He's variance over Glorot's as a formula of fan_in and fan_out "
        "first. What becomes of the number of positions in the window?",
        "The ratio of the stds is √(1 + fan_out / fan_in). A 5 × 5 window turns 32 "
        "positions into 28; pooling halves that; and the same again.",
    ),
    expected=_RIGHT,
    mistakes=(
        (
            _ratios(_shapes(3, 6)),
            "the hidden layer is that of 3 × 3 windows: follow the image through, "
            "32 → 28 → 14 → 10 → 5, and multiply 5 · 5 by the channels",
        ),
        (
            _ratios(_shapes(5, 8)),
            "the hidden layer is that of padded convolutions: without padding a 5 × 5 "
            "window takes 4 positions off each side length, 32 → 28 → 14 → 10 → 5",
        ),
        (
            np.sqrt(1 + _FAN_RATIO / np.array([25, 25, 1, 1])),
            "fan_out lacks the window: in a convolution one input feeds 5 · 5 "
            "positions of every channel out",
        ),
        (
            _RIGHT**2,
            "these are ratios of variances; the ratio of the standard deviations is "
            "their square root",
        ),
        (1 / _RIGHT, "the ratio is upside down: He's std over Glorot's is asked for"),
        (
            np.sqrt(1 + 1 / _FAN_RATIO),
            "fan_out where He uses fan_in",
        ),
        (
            _RIGHT * math.sqrt(2),
            "Glorot's variance is 1 over the mean of the two fans, not over their sum",
        ),
        (
            _RIGHT / math.sqrt(2),
            "the ReLU's ½ is missing: He's variance is 2/fan_in, not 1/fan_in",
        ),
        (
            _RIGHT * math.sqrt(3),
            "this compares the limit of a uniform distribution with a standard "
            "deviation; the std is the limit divided by √3",
        ),
    ),
    rtol=1e-3,
    remedy="for each of the four layers √(2/fan_in) / √(2/(fan_in + fan_out))",
)


# s10.2: Holm's procedure


def p_values(when: int | str, rate: float) -> np.ndarray:
    """Return the p-values of the ten pairs of the recorded CIFAR-10 starts, sorted.

    Each is that of a paired t test over five seeds.

    Args:
        when: 1 to 5, validation accuracy after that epoch, or ``"test"``.
        rate: a recorded learning rate, 0.0003, 0.001 or 0.003.

    Returns:
        Shape (10,); the smallest p-value comes first.
    """
    from scipy import stats

    cnn = studies.results("cifar10").races["cnn"]

    def accuracies(name: str) -> np.ndarray:
        if when == "test":
            return cnn.values(name, "test_accuracy", rate)
        return cnn.values(name, "val_accuracy", rate)[:, when - 1]

    pairs = itertools.combinations(cnn.initializers, 2)
    found = [stats.ttest_rel(accuracies(a), accuracies(b)).pvalue for a, b in pairs]
    return np.sort(found)


def _stepwise(
    level: Callable[[int, int], float], stop: bool = True, up: bool = False
) -> Callable[[Any, float], int]:
    """Return a procedure that compares the p-value of rank k with alpha · level(k, m).

    It stops at the first failure, or counts all that pass, or, going ``up``, takes the
    last that passes and all before it.
    """

    def count(p: Any, alpha: float) -> int:
        ordered = np.sort(np.asarray(p, dtype=float))
        passed = [
            value <= alpha * level(rank, len(ordered))
            for rank, value in enumerate(ordered)
        ]
        if up:
            return max(
                (rank + 1 for rank, each in enumerate(passed) if each), default=0
            )
        if stop and not all(passed):
            return passed.index(False)
        return sum(passed)

    return count


def _falls(rank: int, m: int) -> float:
    return 1 / (m - rank)


_holm = _stepwise(_falls)


def _unsorted_holm(p: Any, alpha: float) -> int:
    for rank, value in enumerate(p):
        if value > alpha * _falls(rank, len(p)):
            return rank
    return len(p)


_HOLM = FunctionTask(
    name="s10.2",
    section="What remains of the early difference?",
    title="many comparisons, Holm's way",
    hints=(
        "Sort first. The smallest of m p-values must be at most alpha / m; if it is, "
        "the next one must be at most alpha / (m - 1), and so on.",
        "for rank, value in enumerate(np.sort(p)): if value > alpha / (m - rank), "
        "return rank. Behind the loop all have passed: return m.",
    ),
    reference=_holm,
    cases=(
        Case("ten p-values", (np.geomspace(0.0003, 0.9, 10), 0.05)),
        Case("unsorted p-values", (np.array([0.4, 0.012, 0.003, 0.02]), 0.05)),
        Case(
            "p-values of which the third is too large and the fourth is not",
            (np.array([0.001, 0.002, 0.03, 0.031, 0.032]), 0.05),
        ),
        Case("p-values that all pass", (np.array([0.04, 0.001, 0.02, 0.015]), 0.05)),
        Case(
            "p-values of which the smallest fails",
            (np.array([0.03, 0.04, 0.045]), 0.05),
        ),
        Case("p-values just below alpha", (np.array([0.049, 0.001, 0.045, 0.5]), 0.05)),
        Case("alpha = 0.2", (np.array([0.06, 0.03, 0.15, 0.5]), 0.2)),
        Case("equal p-values", (np.full(3, 0.01), 0.05)),
        Case("a single p-value", (np.array([0.04]), 0.05)),
        Case("float32 p-values", (np.array([0.01, 0.9], dtype="float32"), 0.05)),
    ),
    mistakes=(
        (
            _stepwise(lambda rank, m: 1),
            "nothing is corrected: the smallest of m p-values must be at most "
            "alpha / m",
        ),
        (
            _stepwise(lambda rank, m: 1 / m),
            "this is Bonferroni's correction, alpha / m for every pair: after each "
            "pair that passes, one fewer is left to be fooled by",
        ),
        (
            _stepwise(_falls, stop=False),
            "you go on after a failure: the first p-value that is too large ends it, "
            "whatever comes later",
        ),
        (
            _stepwise(_falls, up=True),
            "you start at the largest p-value (this is Hochberg's procedure, which "
            "asks for more than Holm's): start at the smallest and stop at a failure",
        ),
        (
            _stepwise(lambda rank, m: (rank + 1) / m, up=True),
            "this is the procedure of Benjamini and Hochberg: it bounds the share of "
            "false alarms among the alarms, not the chance of any",
        ),
        (
            _unsorted_holm,
            "the p-values are taken in the order in which they come: sort them first",
        ),
        (
            _stepwise(lambda rank, m: 1 / max(m - rank - 1, 1)),
            "the bound is one step ahead: the smallest of m p-values meets alpha / m, "
            "the last one alpha",
        ),
    ),
)


# s10.3: how often ten intervals find something where nothing is

STARTS, SEEDS = 5, 5

# The 97.5 % quantile of Student's t with 4 degrees of freedom.
_QUANTILE = 2.776445


def _false_alarms(quantile: float = _QUANTILE, extremes: bool = False) -> float:
    """Return the share of 20,000 studies with an interval that excludes zero.

    All starts are alike. With ``extremes`` only the best start is compared with the
    worst.
    """
    runs = np.random.default_rng(10).standard_normal((20_000, STARTS, SEEDS))
    if extremes:
        order = np.argsort(runs.mean(axis=2), axis=1)[:, [0, -1], None]
        runs = np.take_along_axis(runs, order, axis=1)
    i, j = np.triu_indices(runs.shape[1], k=1)
    gaps = runs[:, i] - runs[:, j]
    errors = gaps.std(axis=2, ddof=1) / math.sqrt(SEEDS)
    return float(np.mean((np.abs(gaps.mean(axis=2)) > quantile * errors).any(axis=1)))


_ALARMS = ValueTask(
    name="s10.3",
    section="What remains of the early difference?",
    title="alarms where nothing is",
    hints=(
        "One study is an array of shape (5, 5), standard normal, starts by seeds. Take "
        "the differences of all ten pairs of rows and their intervals over seeds.",
        "Ask for each study whether any of its ten intervals excludes zero, then take "
        "the share of such studies. lab.interval(values) takes the seeds on axis 0, "
        "and the other axes all at once.",
    ),
    expected=_false_alarms(),
    mistakes=(
        (
            1 - 0.95**10,
            "about 0.4 is what 1 - 0.95¹⁰ says for ten independent comparisons, but "
            "ten pairs of five starts share their runs, so simulate them; if you did, "
            "your intervals are too narrow (set ddof=1)",
        ),
        (
            0.048,
            "that is what one pair gives, or ten intervals that are already widened; "
            "count the studies in which any of ten 95 % intervals excludes zero",
        ),
        (
            0.5,
            "this is the mean number of alarms, ten times 0.05; count each study once, "
            "however many of its intervals exclude zero",
        ),
        (
            1 - _false_alarms(),
            "this is the share of studies without an alarm; the others are asked for",
        ),
        (
            _false_alarms(extremes=True),
            "this compares the best start with the worst only; another of the ten "
            "pairs may exclude zero when this one does not",
        ),
        (
            _false_alarms(quantile=1.96),
            "the intervals are those of a normal distribution; with five seeds Student "
            "asks for 2.78 standard errors and not for 1.96",
        ),
        (
            _false_alarms(quantile=_QUANTILE / math.sqrt(SEEDS)),
            "the intervals are too narrow: take Student's quantile of a mean of five, "
            "not the spread of one run",
        ),
    ),
    # Of 10,000 studies the share has a standard error of 1.4 %, ours one of 1 %.
    rtol=6e-2,
    remedy="draw 10,000 studies of five equal starts and five seeds, and count those "
    "in which any of the ten paired 95 % intervals excludes zero",
)


# s10.4: first filters that are neither deaf nor always on

FILTERS = 32


def images(seed: int = 0) -> np.ndarray:
    """Return 32 smooth colour images of values from 0 to 1, shape (32, 16, 16, 3).

    As in photographs, neighbours are alike and nothing is negative.
    """
    rng = np.random.default_rng(seed)
    patches = rng.uniform(size=(32, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    for axis in (1, 2):
        patches = np.mean([np.roll(patches, k, axis) for k in range(-2, 3)], axis=0)
    light = 0.25 * rng.uniform(size=(32, 1, 1, 1))
    grain = 0.03 * rng.standard_normal(patches.shape)
    return np.clip(0.6 * patches + light + grain, 0, 1)


def convolve(inputs: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the pre-activations of a 3 × 3 convolution without padding or bias.

    Args:
        inputs: images of shape (n, height, width, channels).
        kernel: shape (3, 3, channels, filters).

    Returns:
        Shape (n, height - 2, width - 2, filters).
    """
    windows = np.lib.stride_tricks.sliding_window_view(inputs, (3, 3), axis=(1, 2))
    flat = np.moveaxis(windows, 3, -1).reshape(*windows.shape[:3], -1)
    return flat @ kernel.reshape(-1, kernel.shape[-1])


def _first_layer(answer: Any) -> dict[str, Any]:
    """Return what a first kernel does to images that were not used to make it."""
    try:
        kernel = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        raise AnswerError(
            f"a kernel is asked for, this is {describe(answer)}"
        ) from None
    if kernel.shape != (3, 3, 3, FILTERS):
        raise AnswerError(
            f"the kernel has shape (3, 3, 3, {FILTERS}), yours is {kernel.shape}"
        )
    if not np.isfinite(kernel).all():
        raise AnswerError("not every number of the kernel is finite")
    z = convolve(images(seed=1), kernel)
    flat = kernel.reshape(-1, FILTERS)
    length = np.linalg.norm(flat, axis=0)
    alike = flat.T @ flat - 0.999 * np.outer(length, length)
    np.fill_diagonal(alike, -1)
    on = np.mean(z > 0, axis=(0, 1, 2))
    return {
        "dead": int(np.sum(length == 0)),
        "twins": bool(np.any(alike > 0)),
        "one_sided": int(np.sum((on < 0.2) | (on > 0.8))),
        "rms": np.sqrt(np.mean(z**2, axis=(0, 1, 2))),
    }


def _range(rms: np.ndarray) -> str:
    return f"from {rms.min():.2g} to {rms.max():.2g}"


_FIRST = MeasuredTask(
    name="s10.4",
    section="Images are not noise",
    title="challenge: fair first filters",
    hints=(
        "A patch is nearly one colour: one large common part and small differences. "
        "A filter that does not feel the common part cannot be of one sign.",
        "Subtract from each filter the mean of its 27 weights. What is left is quiet: "
        "measure the rms of each filter on s10.images() and divide the filter by it.",
    ),
    measure=_first_layer,
    diagnoses=(
        (
            lambda found: found["dead"] > 0,
            lambda found: (
                f"{found['dead']} filters are zero everywhere; draw them at random"
            ),
        ),
        (
            lambda found: found["twins"],
            "two of the filters are copies up to a factor; draw each filter anew",
        ),
        (
            lambda found: found["one_sided"] > 0,
            lambda found: (
                f"{found['one_sided']} of {FILTERS} filters are on at fewer than 20 % "
                "or more than 80 % of the positions: the mean of a patch decides their "
                "sign; let the 27 weights of each filter, by itself, sum to zero"
            ),
        ),
        (
            lambda found: found["rms"].max() < 0.8,
            lambda found: (
                "no filter is of one sign any more, but all are too quiet, rms "
                f"{_range(found['rms'])}: what is left of a patch is small, so measure "
                "the rms of each filter on s10.images() and divide by it"
            ),
        ),
        (
            lambda found: found["rms"].min() > 1.25,
            lambda found: (
                f"all filters are too loud, rms {_range(found['rms'])}: divide by the "
                "rms and not by its square"
            ),
        ),
        (
            lambda found: found["rms"].min() < 0.8 or found["rms"].max() > 1.25,
            lambda found: (
                f"the rms of the filters runs {_range(found['rms'])}: each filter "
                "needs a factor of its own, one for all does not do"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (_WINDOWS, _HOLM, _ALARMS, _FIRST)
