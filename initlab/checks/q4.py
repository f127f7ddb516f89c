"""The exercises on the uses of zero.

First the losses that a zero last layer makes known beforehand, then where a linear
model ends and what its start leaves in it, and last a branch that is silent without a
zero. `problems` is for the notebook too; each task stands after what grades it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from initlab import schemes
from initlab.checks.core import (
    AnswerError,
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    ValueTask,
    agree,
    answered,
    describe,
    misfit,
    name_std,
    twins,
)

TITLE = "q4 · When zero is right"


# q4.1: losses that are known beforehand

_SHARE, _MEAN, _STD = 0.2, 3.0, 2.0


def _entropy(share: float, base: float = math.e) -> float:
    return -sum(p * math.log(p, base) for p in (share, 1 - share))


_LOSSES = {
    "10 classes": math.log(10),
    "2 classes": math.log(2),
    "2 classes, bias": _entropy(_SHARE),
    "regression": _MEAN**2 + _STD**2,
    "regression, bias": _STD**2,
}

OUTPUTS = tuple(_LOSSES)
"""The names of the five losses."""

_LOSS_MISTAKES: dict[str, list[tuple[float, str]]] = {
    "10 classes": [
        (1.0, "the cross-entropy takes the natural logarithm, this is log10"),
        (math.log2(10), "the cross-entropy takes the natural logarithm, this is log2"),
        (0.1, "this is the probability of each class; the loss is −ln of it"),
        (math.log(2), "the softmax of ten equal logits gives 1/10 to each class"),
    ],
    "2 classes": [
        (1.0, "the cross-entropy takes the natural logarithm, this is log2"),
        (
            _entropy(_SHARE),
            "this needs an output that knows the share of ones; sigmoid(0) is ½ for "
            "every sample",
        ),
        (0.5, "this is the probability of either class; the loss is −ln of it"),
        (-math.log(_SHARE), "this is the loss of a one only, for an output of 0.2"),
    ],
    "2 classes, bias": [
        (
            math.log(2),
            "this is the loss at an output of ½; sigmoid(bias) is 0.2 for every sample",
        ),
        (_entropy(_SHARE, 2), "this is the entropy in bits; take natural logarithms"),
        (-math.log(_SHARE), "this counts ones only; four of five samples are zeros"),
        (0.0, "a constant output is wrong for some samples: average −ln over all"),
    ],
    "regression": [
        (
            _STD**2,
            "this is the variance; an output of 0 misses the mean of the targets as "
            "well: the mean square is variance plus squared mean",
        ),
        (_STD + _MEAN**2, "the std has to be squared as well"),
        (_MEAN**2, "the targets also vary around their mean: add their variance"),
        (math.hypot(_MEAN, _STD), "this is the rms; the loss is the mean square"),
        ((_MEAN**2 + _STD**2) / 2, "the mean squared error has no ½"),
    ],
    "regression, bias": [
        (_STD, "this is the std; the loss is the mean square: its square"),
        (_MEAN**2 + _STD**2, "the bias holds the mean: it is missed no longer"),
        (0.0, "a constant output is right on average only; the variance remains"),
    ],
}


def _first_wrong(answer: dict[str, Any]) -> str:
    key = next(k for k, right in _LOSSES.items() if not agree(answer[k], right, 1e-3))
    for value, meaning in _LOSS_MISTAKES[key]:
        if agree(answer[key], value, 1e-3):
            return f"{describe(key)}, {describe(answer[key])}: {meaning}"
    return (
        f"{describe(key)}: {describe(answer[key])} is not the loss of that constant "
        "output; put it into the loss and average over the labels"
    )


_KNOWN = ValueTask(
    name="q4.1",
    section="The zero last layer",
    title="know the first loss",
    hints=(
        "With a zero kernel the output is the same for every sample: that of the bias. "
        "Put this constant into the loss and average over the labels.",
        "The constants are 1/10, sigmoid(0) = 1/2, 0.2, 0 and 3. For labels the loss "
        "is the mean of −ln(probability of the label), for targets variance plus the "
        "squared distance of the mean.",
    ),
    expected=_LOSSES,
    rtol=1e-3,
    remedy=_first_wrong,
)


# q4.2: where gradient descent ends


def _endpoint(x: Any, y: Any, start: Any) -> np.ndarray:
    return start + _shortest(x, y - x @ start)


def _shortest(x: Any, y: Any) -> np.ndarray:
    """Return the least-squares solution of the smallest norm."""
    return np.linalg.lstsq(x, y, rcond=None)[0]


def _data(seed: int, samples: int, features: int, start: float = 1.0) -> tuple:
    rng = np.random.default_rng([4, seed])
    x = rng.standard_normal((samples, features))
    return x, rng.standard_normal(samples), start * rng.standard_normal(features)


def _repeated() -> tuple:
    x, y, start = _data(6, 6, 8)
    return x[[0, 1, 2, 3, 0, 1]], y, start


def _with_zeros() -> tuple:
    x, y, start = _data(7, 12, 4)
    return x * [1.0, 0.0, 1.0, 1.0], y, start


def _close(result: Any, expected: np.ndarray, arguments: tuple) -> bool:
    """Tell whether two sets of weights agree, those that are all 0 among them."""
    if misfit(result, expected):
        return False
    gap = np.max(np.abs(np.asarray(result, dtype=float) - expected))
    return bool(gap <= 1e-3 * np.max(np.abs(expected)) + 1e-6)


_END = FunctionTask(
    name="q4.2",
    section="Where zero is the best start",
    title="where descent ends",
    hints=(
        "Every step is a combination of the samples. Write w = start + change: which "
        "targets has the change to fit, and which of all changes that do is found?",
        "The change fits y − x @ start, and it is the shortest that does: "
        "np.linalg.pinv(x) gives it.",
    ),
    reference=_endpoint,
    cases=(
        Case("6 samples, 20 features", _data(0, 6, 20)),
        Case("30 samples, 4 features", _data(1, 30, 4)),
        Case("a start at zero", _data(2, 5, 12, start=0.0)),
        Case("a single sample", _data(3, 1, 5)),
        Case("a single feature", _data(4, 4, 1)),
        Case(
            "float32 numbers",
            tuple(part.astype("float32") for part in _data(5, 4, 10)),
        ),
        Case("samples that occur twice", _repeated()),
        Case("a feature that is always 0", _with_zeros()),
    ),
    same=_close,
    mistakes=(
        (
            lambda x, y, start: _shortest(x, y),
            "this is where a start at zero ends: the part of the start at right angles "
            "to all samples stays for ever",
        ),
        (
            lambda x, y, start: start + _shortest(x, y),
            "this fits y on top of the start, which fits a part already: the change "
            "fits y − x @ start",
        ),
        (
            lambda x, y, start: _shortest(x, y) + _shortest(x, x @ start),
            "the wrong part of the start is kept: the samples see this one and correct "
            "it, what stays is start less this one",
        ),
        (
            lambda x, y, start: start - _shortest(x, y - x @ start),
            "the change has the wrong sign: the residual is y − x @ start",
        ),
        (
            lambda x, y, start: start - _shortest(x, x @ start),
            "this is what remains of the start; add the shortest fit of y",
        ),
        (
            lambda x, y, start: start + x.T @ (y - x @ start) / len(x),
            "this is one step of descent; go on until nothing changes",
        ),
    ),
)


# q4.3: how large a start may be

_TRUTH = 0.3
_SETS, _SAMPLES, _FEATURES = 400, 20, 50

Problem = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def problems() -> list[Problem]:
    """Return 400 data sets, each (x, y, fresh x, fresh y), without noise.

    There are 20 samples, 50 features and 100 fresh samples. The true weights of each
    set are normal.
    """
    rng = np.random.default_rng(43)
    found = []
    for _ in range(_SETS):
        truth = _TRUTH * rng.standard_normal(_FEATURES)
        x = rng.standard_normal((_SAMPLES, _FEATURES))
        fresh = rng.standard_normal((100, _FEATURES))
        found.append((x, x @ truth, fresh, fresh @ truth))
    return found


_DOUBLE = ValueTask(
    name="q4.3",
    section="Where zero is the best start",
    title="how large may a start be?",
    hints=(
        "Take endpoint(x, y, std · normal numbers) for each set, and the mean square "
        "of fresh_x @ w − fresh_y over all sets. Do it for std 0 first.",
        "The error grows by a constant times std²: error(std) = error(0) + c · std². "
        "Measure c at one std, such as 1; twice the error is at √(error(0) / c).",
    ),
    expected=_TRUTH,
    rtol=0.1,
    mistakes=(
        (_TRUTH**2, "this is the variance of the start; its std is the square root"),
        (
            _TRUTH * math.sqrt(3),
            "here the rms has doubled; the error is the mean square, its double is 1.4 "
            "times the rms",
        ),
        (
            math.sqrt(2 / _FEATURES),
            "this is He's std; it adds less than half of the error, measure at which "
            "std it is all of it",
        ),
        (
            1 / math.sqrt(_FEATURES),
            "this is LeCun's std; it adds about a fifth of the error, measure at which "
            "std it is all of it",
        ),
        (
            _TRUTH * math.sqrt(_FEATURES),
            "this is the length of the whole start; divide by √50 for the std of one "
            "weight",
        ),
        (
            _TRUTH * math.sqrt(2),
            "here the error has tripled: twice the error is error(0) + c · std² = "
            "2 · error(0)",
        ),
    ),
    remedy=(
        "compare the mean square error on the fresh samples, over all sets, with that "
        "of a start at zero"
    ),
)


# q4.4: silent without a zero

_N, _M = 40, 100
_DRAWS = 3

Branch = tuple[np.ndarray, np.ndarray]


def _drawn(branch: Any, seed: int) -> Branch:
    arguments = (_N, _M, np.random.default_rng([4, seed]))
    asked = (np.zeros((_N, _M)), np.zeros((_M, _N)))
    return answered(branch, arguments, asked, ("w1", "w2"))


def _output(x: Any, w1: Any, w2: Any) -> np.ndarray:
    return np.maximum(x @ w1, 0) @ w2


def _rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _different(columns: Any) -> int:
    """Return how many columns differ by more than rounding."""
    return len(np.unique(columns.round(9), axis=1).T)


def _examined(branch: Any) -> dict[str, Any]:
    draws = [_drawn(branch, seed) for seed in range(_DRAWS)]
    by_place = zip(*draws, strict=True)
    if any(twins([k for k in kernels if k.any()]) for kernels in by_place):
        raise AnswerError(
            "two generators give the same kernel, as one shared seed does: draw from "
            "the rng that you are given"
        )
    w1, w2 = draws[0]
    rng = np.random.default_rng(7)
    x, upstream = rng.standard_normal((2, 200, _N))
    z = x @ w1
    to_w1 = x.T @ ((upstream @ w2.T) * (z > 0)) / len(x)
    to_w2 = np.maximum(z, 0).T @ upstream / len(x)
    after = w1 - 0.1 * to_w1, w2 - 0.1 * to_w2
    output = _output(x, w1, w2)
    return {
        "zeros": int(np.sum(w1 == 0)) + int(np.sum(w2 == 0)),
        "silent": max(_rms(_output(x, *draw)) for draw in draws),
        "odd": _rms(output + _output(-x, w1, w2)) < 1e-6,
        "kinds": _different(w1),
        "units": _different(np.vstack([after[0], after[1].T])),
        "std": [float(np.std(kernels)) for kernels in zip(*draws, strict=True)],
    }


def _std_mistake(seen: dict[str, Any]) -> str:
    for name, std, shape in zip(
        ("w1", "w2"), seen["std"], ((_N, _M), (_M, _N)), strict=True
    ):
        if not _is_he(std, shape):
            return (
                f"the branch is silent, but the std of {name} is not He's: "
                f"{name_std(std, shape, 'he_normal', 0.06)}"
            )
    return ""


def _is_he(std: float, shape: tuple[int, int]) -> bool:
    return agree(std, schemes.get("he_normal").std(shape), 0.06)


_MIRROR = MeasuredTask(
    name="q4.4",
    section="The zero branch: a deep network that starts as the identity",
    title="silent without a zero",
    hints=(
        "Two units with the same incoming weights have the same h. Which outgoing "
        "weights make h · a + h · b zero, though neither is?",
        "Draw half of the columns of w1 and use each twice; draw half of the rows of "
        "w2 and use them once with + and once with −.",
    ),
    measure=_examined,
    diagnoses=(
        (
            lambda s: s["zeros"] > 0,
            lambda s: (
                f"{s['zeros']} weights are 0: that is the chapter's way; here no "
                "weight may be, let units cancel each other"
            ),
        ),
        (
            lambda s: not s["silent"] < 1e-9 and s["odd"],
            "the branch is linear and not silent: with w and −w as incoming weights, "
            "relu(z) − relu(−z) is z; the two units of a pair need the same ones",
        ),
        (
            lambda s: not s["silent"] < 1e-9,
            lambda s: (
                f"the branch is not silent: its output has an rms of {s['silent']:.1e} "
                "where it is to be 0, within rounding, for every input"
            ),
        ),
        (
            lambda s: s["kinds"] < _M // 2,
            lambda s: (
                f"the branch is silent, but it has only {s['kinds']} different units "
                f"where there can be {_M // 2}: two are enough to cancel"
            ),
        ),
        (
            lambda s: s["units"] < _M,
            "the branch is silent, but some units remain copies after the first step: "
            "their outgoing weights have to differ",
        ),
        (lambda s: bool(_std_mistake(s)), _std_mistake),
    ),
)


TASKS: tuple[Task, ...] = (_KNOWN, _END, _DOUBLE, _MIRROR)
