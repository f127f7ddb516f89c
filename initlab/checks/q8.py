"""The exercises on the Fashion-MNIST case study: noise, pairs and a dead network.

They look at the recorded runs and at small data of their own, so no answer depends on
which data a machine has. `recorded`, `clusters`, `train` and `accuracy` are for the
notebook too; each task stands after what grades it.
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

TITLE = "q8 · Fashion-MNIST"

# q8.1: the rms of the logits when everything has std 1

PIXEL_MEAN, PIXEL_STD = 0.286, 0.353
"""Mean and standard deviation of Fashion-MNIST's pixels after division by 255."""


def _logits(moment: float, kept: float = 0.5, units: int = 128) -> float:
    """Return their rms from the pixels' second moment and the share ReLU keeps."""
    return math.sqrt(units * kept * 784 * moment)


_MOMENT = PIXEL_MEAN**2 + PIXEL_STD**2

_LOUD = ValueTask(
    name="q8.1",
    section="Try it",
    title="how loud is std 1",
    hints=(
        "Go layer by layer with second moments. A unit that sums over n inputs with "
        "kernels of variance 1 has n times the second moment of its input.",
        "The pixels have the second moment mean² + std². 784 of them are summed, the "
        "ReLU keeps half, 128 units are summed. The rms is the root of that.",
    ),
    expected=_logits(_MOMENT),
    mistakes=(
        (
            _logits(PIXEL_STD**2),
            "you used the variance of the pixels: their mean is not zero, and what a "
            "kernel passes on is the second moment, mean² + std²",
        ),
        (
            _logits(PIXEL_MEAN**2),
            "you used the squared mean of the pixels: their second moment is "
            "mean² + std²",
        ),
        (
            _logits(_MOMENT, kept=1),
            "the ReLU's ½ is missing: it cuts off half of the hidden second moment",
        ),
        (
            _logits(_MOMENT, kept=0.25),
            "the ReLU keeps half of the second moment, not half of the rms",
        ),
        (
            _logits(_MOMENT) ** 2,
            "this is the second moment of the logits; the rms is its square root",
        ),
        (
            _logits(_MOMENT, kept=1, units=1),
            "this is the rms before the hidden ReLU; go on through the output layer",
        ),
    ),
    rtol=1e-2,
    remedy="multiply the pixels' second moment by 784, by ½ and by 128, then take the "
    "root",
)


# q8.2: an interval of paired differences


def _interval_by(
    spread: Callable[[np.ndarray, np.ndarray], float],
    quantile: Callable[[float, int], float] | None = None,
    sign: int = 1,
) -> Callable[..., tuple[float, float, float]]:
    """Return an interval whose half width is quantile times ``spread``."""

    def paired(a: Any, b: Any, level: float) -> tuple[float, float, float]:
        from scipy import stats

        a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
        mean = sign * float(np.mean(a - b))
        if quantile is None:
            factor = stats.t.ppf((1 + level) / 2, len(a) - 1)
        else:
            factor = quantile(level, len(a))
        half = float(factor * spread(a, b))
        return mean, mean - half, mean + half

    return paired


def _standard_error(a: np.ndarray, b: np.ndarray) -> float:
    return (a - b).std(ddof=1) / math.sqrt(len(a))


_paired = _interval_by(_standard_error)


def _unpaired_error(a: np.ndarray, b: np.ndarray) -> float:
    return math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))


def _normal(level: float, n: int) -> float:
    from scipy import stats

    return stats.norm.ppf((1 + level) / 2)


def _one_sided(level: float, n: int) -> float:
    from scipy import stats

    return stats.t.ppf(level, n - 1)


def _freedom_n(level: float, n: int) -> float:
    from scipy import stats

    return stats.t.ppf((1 + level) / 2, n)


def _freedom_two_samples(level: float, n: int) -> float:
    from scipy import stats

    return stats.t.ppf((1 + level) / 2, 2 * n - 2)


def _runs(seed: int, seeds: int, level: float, dtype: str = "float64") -> tuple:
    """Return (a, b, level): accuracies of two starts that share most of their luck."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(0.87, 0.004, size=seeds)
    a = luck + rng.normal(0.003, 0.001, size=seeds)
    b = luck + rng.normal(0, 0.002, size=seeds)
    return a.astype(dtype), b.astype(dtype), level


def _close(result: Any, expected: tuple, arguments: tuple) -> bool:
    """Compare within a thousandth of the interval's width."""
    got = np.asarray(result, dtype=float) if _three(result) else None
    if got is None or not np.isfinite(got).all():
        return False
    width = max(expected[2] - expected[1], 1e-6)
    return bool(np.all(np.abs(got - expected) <= 1e-3 * width))


def _three(result: Any) -> bool:
    try:
        return np.asarray(result, dtype=float).shape == (3,)
    except (TypeError, ValueError):
        return False


_INTERVAL = FunctionTask(
    name="q8.2",
    section="The same with seeds",
    title="an interval of pairs",
    hints=(
        "Subtract first, seed by seed. What is left is one array of numbers, and its "
        "mean has the standard error s / √n with s.ddof = 1.",
        "The half width is scipy.stats.t.ppf((1 + level) / 2, n - 1) times "
        "(a - b).std(ddof=1) / n**0.5. Return mean, mean - half, mean + half.",
    ),
    reference=_paired,
    cases=(
        Case("ten seeds at 95 %", _runs(0, 10, 0.95)),
        Case("two seeds", _runs(1, 2, 0.95)),
        Case("five seeds at 99.5 %", _runs(2, 5, 0.995)),
        Case("float32 accuracies", _runs(3, 8, 0.9, "float32")),
        Case(
            "runs whose difference is the same in each seed",
            (np.array([0.25, 0.5, 0.75]), np.array([0.5, 0.75, 1.0]), 0.95),
        ),
    ),
    parts=("mean", "low", "high"),
    same=_close,
    mistakes=(
        (
            _interval_by(_unpaired_error, _freedom_two_samples),
            "this is the interval of two independent samples: subtract seed by seed "
            "first, so that the luck that both runs share drops out",
        ),
        (
            _interval_by(_unpaired_error),
            "the variances of both starts are added: subtract seed by seed first, so "
            "that the luck that both runs share drops out",
        ),
        (
            _interval_by(_standard_error, _normal),
            "this takes the quantile of the normal distribution: with few seeds the "
            "spread is itself uncertain, so take Student's t with n - 1",
        ),
        (
            _interval_by(_standard_error, _one_sided),
            "this quantile leaves the whole 1 - level on one side: both sides share "
            "it, so ask for (1 + level) / 2",
        ),
        (
            _interval_by(_standard_error, _freedom_n),
            "Student's t has n - 1 degrees of freedom here, one is spent on the mean",
        ),
        (
            _interval_by(lambda a, b: (a - b).std(ddof=1)),
            "the square root of n is missing: the mean of n differences is less "
            "uncertain than one of them",
        ),
        (
            _interval_by(lambda a, b: (a - b).std(ddof=1) / len(a)),
            "the standard error is s divided by the square root of n, not by n",
        ),
        (
            _interval_by(lambda a, b: (a - b).std() / math.sqrt(len(a))),
            "the spread divides by n; a sample's divides by n - 1, so set ddof=1",
        ),
        (
            _interval_by(lambda a, b: (a - b).var(ddof=1) / math.sqrt(len(a))),
            "this is the variance; the standard deviation is its square root",
        ),
        (
            _interval_by(_standard_error, sign=-1),
            "the sign is turned round: a - b is asked for",
        ),
    ),
)


# q8.3: what pairing buys

PAIRS = (("he_normal", "glorot_normal"), ("random_normal", "glorot_normal"))
"""The two comparisons of the third task."""

RATE = 0.0003


def recorded(name: str) -> np.ndarray:
    """Return the recorded test accuracies of a start at rate 0.0003, one per seed.

    The initializer is in the hidden layer only; shape (10,).
    """
    race = studies.results("fashion_mnist").races["hidden_only"]
    return race.values(name, "test_accuracy", RATE)


def _worth(a: np.ndarray, b: np.ndarray) -> float:
    alone = a.var(ddof=1) + b.var(ddof=1)
    return float(alone / (a - b).var(ddof=1))


def _for_pairs(function: Callable[[np.ndarray, np.ndarray], float]) -> dict:
    return {pair: function(*map(recorded, pair)) for pair in PAIRS}


_WORTH = ValueTask(
    name="q8.3",
    section="The same with seeds",
    title="what pairing buys",
    hints=(
        "Without pairs the variance of the difference is the sum of both variances. "
        "With pairs it is the variance of a - b. Both fall as 1/n with the seeds.",
        "So one pair is worth (a.var() + b.var()) / (a - b).var() runs without pairs. "
        "If it is 1, pairing has bought nothing.",
    ),
    expected=_for_pairs(_worth),
    mistakes=(
        (
            _for_pairs(lambda a, b: math.sqrt(_worth(a, b))),
            "this is how much narrower the interval becomes; seeds go with its square, "
            "the ratio of the variances",
        ),
        (
            _for_pairs(lambda a, b: 1 / _worth(a, b)),
            "the ratio is upside down: put the sum of the two variances on top",
        ),
        (
            _for_pairs(lambda a, b: float(np.corrcoef(a, b)[0, 1])),
            "this is the correlation of the two starts; it is the reason, what it buys "
            "is the ratio of the variances",
        ),
        (
            _for_pairs(lambda a, b: _worth(a, b) / 2),
            "this is half of it: without pairs the variances of both starts add up, "
            "take their sum and not their mean",
        ),
        (
            _for_pairs(lambda a, b: float(a.var() / (a - b).var())),
            "only one of the two starts is counted: without pairs both variances add "
            "up",
        ),
    ),
    rtol=1e-2,
    remedy="for each pair: the sum of the variances of the two starts, divided by the "
    "variance of the difference seed by seed",
)


# q8.4: wake the dead ReLU network without touching its kernel

UNITS, CLASSES, INPUTS = 32, 10, 20
THRESHOLD = 0.95


def clusters(seed: int = 0, size: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (size, 20) and labels (size,) of ten classes.

    Each class is two clouds on opposite sides of the origin, so that no linear map of
    the inputs can tell the classes apart.
    """
    rng = np.random.default_rng(seed)
    centres = 2.5 * np.random.default_rng(8).standard_normal((CLASSES, INPUTS))
    labels = rng.integers(0, CLASSES, size)
    sides = rng.choice([-1.0, 1.0], size=(size, 1))
    return sides * centres[labels] + rng.standard_normal((size, INPUTS)), labels


Weights = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def train(
    w1: np.ndarray,
    b1: np.ndarray,
    w2: np.ndarray,
    b2: np.ndarray,
    steps: int = 300,
    lr: float = 0.1,
) -> Weights:
    """Train a ReLU network with a softmax on `clusters` by plain gradient descent.

    Args:
        w1: hidden kernel, shape (20, 32).
        b1: hidden bias, shape (32,).
        w2: output kernel, shape (32, 10).
        b2: output bias, shape (10,).
        steps: how many steps on all examples.
        lr: the learning rate.

    Returns:
        The four arrays after the last step.
    """
    x, labels = clusters()
    wanted = np.eye(CLASSES)[labels]
    for _ in range(steps):
        z = x @ w1 + b1
        h = np.maximum(z, 0)
        error = (_softmax(h @ w2 + b2) - wanted) / len(x)
        back = error @ w2.T * (z > 0)
        w2, b2 = w2 - lr * h.T @ error, b2 - lr * error.sum(axis=0)
        w1, b1 = w1 - lr * x.T @ back, b1 - lr * back.sum(axis=0)
    return w1, b1, w2, b2


def accuracy(weights: Weights) -> float:
    """Return the share of right answers on clusters that training has not seen."""
    w1, b1, w2, b2 = weights
    x, labels = clusters(seed=1)
    answers = np.argmax(np.maximum(x @ w1 + b1, 0) @ w2 + b2, axis=1)
    return float(np.mean(answers == labels))


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _woken(answer: Any) -> dict[str, Any]:
    """Train from the answer (bias, w2) and return what came of it."""
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise AnswerError(f"two entries are asked for, bias and w2: {describe(answer)}")
    try:
        bias, w2 = (np.asarray(part, dtype=float) for part in answer)
    except (TypeError, ValueError):
        raise AnswerError("bias is a number, and w2 an array of numbers") from None
    if bias.shape != ():
        raise AnswerError(
            f"the hidden bias is one number for all units, this is {describe(bias)}"
        )
    if w2.shape != (UNITS, CLASSES):
        raise AnswerError(
            f"w2 has shape ({UNITS}, {CLASSES}), one row per unit; yours is {w2.shape}"
        )
    if not (np.isfinite(bias) and np.isfinite(w2).all()):
        raise AnswerError("not every number of bias and w2 is finite")
    zeros = np.zeros((INPUTS, UNITS)), np.full(UNITS, bias), w2, np.zeros(CLASSES)
    with np.errstate(all="ignore"):
        end = train(*zeros)
        right = accuracy(end)
    # Copies stay together up to rounding, which differs between machines.
    kinds = len(np.unique(np.vstack(end[:2]).round(6), axis=1).T)
    return {"bias": float(bias), "w2": w2, "kinds": kinds, "right": right}


def _twin_rows(w2: np.ndarray) -> bool:
    return len(np.unique(w2, axis=0)) < len(w2)


_WAKE = MeasuredTask(
    name="q8.4",
    section="The zero network, dead and alive",
    title="challenge: wake the ReLU",
    hints=(
        "The zero network is dead because its ReLU has the slope 0 at 0. What does a "
        "hidden bias do to the place where the ReLU is asked for its slope?",
        "A positive bias opens every ReLU. Then each unit gets the message of its own "
        "row of w2: draw the rows at random, with a std of about 1/√32.",
    ),
    measure=_woken,
    diagnoses=(
        (
            lambda found: found["bias"] <= 0,
            "at a bias of 0 or below every ReLU is off, and its slope is 0: nothing "
            "comes back to the zero kernel; give the units a positive bias",
        ),
        (
            lambda found: not found["w2"].any(),
            "w2 is zero: no message goes back to the hidden layer, whatever its slope; "
            "draw w2 at random",
        ),
        (
            lambda found: _twin_rows(found["w2"]),
            "some rows of w2 are equal: their units get the same message and stay "
            "copies; draw every row anew",
        ),
        (
            lambda found: found["kinds"] < UNITS,
            lambda found: (
                f"after training {found['kinds']} of {UNITS} units are different: the "
                "rows of w2 are too alike; draw them at random, with a larger std"
            ),
        ),
        (
            lambda found: found["right"] <= THRESHOLD,
            lambda found: (
                f"all units differ, but {100 * found['right']:.0f} % of the answers "
                f"are right where more than {100 * THRESHOLD:.0f} % are asked for: try "
                "another size of the bias or of w2"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (_LOUD, _INTERVAL, _WORTH, _WAKE)
