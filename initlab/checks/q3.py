"""The exercises on what the variance of the weights does.

First the formula for pixels, then what a layer hands on for any activation, then how
much of a signal still depends on the input, and weights that do not see brightness.
`softplus_layers` is for the notebook too; each task stands after what grades it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from initlab.checks.core import (
    AnswerError,
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    Unanswered,
    ValueTask,
    agree,
    call,
    is_blank,
    misfit,
    twins,
)

TITLE = "q3 · What the variance of the weights does"


# q3.1: the formula, for pixels

PIXELS = 784
_RANGES = ((0.0, 1.0), (-0.5, 0.5), (0.0, 255.0))


def _second_moment(low: float, high: float) -> float:
    return (low**2 + low * high + high**2) / 3


def _stds(moment: Callable[[float, float], float], times: float = 1.0) -> tuple:
    return tuple(times / math.sqrt(PIXELS * moment(*ends)) for ends in _RANGES)


_PIXELS = ValueTask(
    name="q3.1",
    section="The variance of a sum",
    title="choose a std for pixels",
    hints=(
        "Var[z] = n · std² · E[x²] is to be 1. What is E[x²] of a number that is "
        "uniform between 0 and 1? It is not its variance.",
        "E[x²] is 1/3, 1/12 and 255²/3 in the three cases. Solve for std: 1 / √(784 · "
        "E[x²]).",
    ),
    expected=_stds(_second_moment),
    rtol=5e-3,
    mistakes=(
        (
            _stds(lambda low, high: (high - low) ** 2 / 12),
            "this uses the variance of the pixels; the formula has their second "
            "moment, 1/3 for pixels from 0 to 1",
        ),
        (
            tuple(std**2 for std in _stds(_second_moment)),
            "these are variances; the standard deviation is the square root",
        ),
        (
            _stds(_second_moment, math.sqrt(3)),
            "these are the limits of a uniform distribution; its std is the limit "
            "divided by √3",
        ),
        (
            _stds(_second_moment, math.sqrt(2)),
            "the 2 of He's rule is for what a ReLU has cut in half; nothing is cut off "
            "before the first layer",
        ),
        (
            (1 / math.sqrt(PIXELS),) * 3,
            "1/√n is right for inputs of second moment 1; divide by √E[x²] as well",
        ),
        (
            _stds(lambda low, high: ((low + high) / 2) ** 2 or 1 / 12),
            "this uses the square of the mean; the formula has the mean of the square",
        ),
        (
            _stds(lambda low, high: _second_moment(low, high) ** 2),
            "a root is missing: std² · E[x²] is to be 1/n, so E[x²] stands under the "
            "root",
        ),
    ),
    remedy="compute E[x²] of each range and solve 784 · std² · E[x²] = 1 for std",
)


# q3.2: what any activation hands on

_GRID = np.linspace(-9, 9, 18_001)
_WEIGHT = np.exp(-(_GRID**2) / 2)
_WEIGHT /= _WEIGHT.sum()


def _expected(f: Callable[[Any], Any], scale: float) -> float:
    """Return E f(scale · u) of a standard normal u."""
    return float(np.sum(_WEIGHT * f(scale * _GRID)))


def _next_variance(f: Callable[[Any], Any], q: float, n: int, std: float) -> float:
    return n * std**2 * _expected(lambda z: f(z) ** 2, math.sqrt(q))


def _relu(z: Any) -> Any:
    return np.maximum(z, 0)


def _sigmoid(z: Any) -> Any:
    return (1 + np.tanh(z / 2)) / 2


def _softplus(z: Any) -> Any:
    return np.logaddexp(0, z)


def _silu(z: Any) -> Any:
    return z * _sigmoid(z)


def _shifted(z: Any) -> Any:
    return np.tanh(z) + 2


_HANDED = FunctionTask(
    name="q3.2",
    section="What is handed on",
    title="hand on any activation",
    hints=(
        "The pre-activations are √q · u with a standard normal u. The next layer's "
        "variance is n · std² times the mean of f(√q · u)², not of its variance.",
        "Evenly likely values of u are stats.norm.ppf((np.arange(100_000) + 0.5) / "
        "100_000). Take the mean of f(np.sqrt(q) * u) ** 2 over them.",
    ),
    reference=_next_variance,
    cases=(
        Case("ReLU, q = 2", (_relu, 2.0, 100, 0.1)),
        Case("sigmoid, q = 0.3", (_sigmoid, 0.3, 50, 0.2)),
        Case("softplus, q = 4", (_softplus, 4.0, 30, 0.1)),
        Case("SiLU, q = 9", (_silu, 9.0, 200, 0.05)),
        Case("cosine, q = 1.7", (np.cos, 1.7, 64, 0.3)),
        Case("tanh + 2, q = 0.5", (_shifted, 0.5, 10, 0.4)),
        Case("a single input", (np.abs, 3.0, 1, 1.5)),
        Case("sigmoid, q = 0", (_sigmoid, 0.0, 20, 0.5)),
        Case("float32 numbers", (_relu, np.float32(0.4), 80, np.float32(0.2))),
    ),
    rtol=0.01,
    mistakes=(
        (
            lambda f, q, n, std: (
                _next_variance(f, q, n, std)
                - n * std**2 * _expected(f, math.sqrt(q)) ** 2
            ),
            "this is Var[f(z)] where the second moment is handed on: do not take away "
            "the square of the mean",
        ),
        (
            lambda f, q, n, std: n * std**2 * _expected(f, math.sqrt(q)) ** 2,
            "this is the square of the mean of f(z): square first, then take the mean",
        ),
        (
            lambda f, q, n, std: _next_variance(f, q**2, n, std),
            "q is a variance: z = √q · u, the square root is missing",
        ),
        (
            lambda f, q, n, std: _next_variance(f, q, n, math.sqrt(std)),
            "std is used as if it were the variance: square it",
        ),
        (
            lambda f, q, n, std: _next_variance(f, q, 1, std),
            "this is one input's share: z is a sum of n of them",
        ),
        (
            lambda f, q, n, std: math.sqrt(_next_variance(f, q, n, std)),
            "this is the standard deviation of the next z; its variance is asked for",
        ),
        (
            lambda f, q, n, std: n * std**2 * q,
            "this hands on the pre-activation z: the next layer reads f(z)",
        ),
        (
            lambda f, q, n, std: _next_variance(f, q, n, std) / 2,
            "the ½ of the ReLU is in E[f²] already; divide by nothing",
        ),
    ),
)


# q3.3: what depends on the input


def softplus_layers(seeds: int = 20, width: int = 200) -> np.ndarray:
    """Return the pre-activations of ten softplus layers with n · std² = 1.

    Returns:
        Shape (10, seeds, 20, width): layers, networks, inputs, units.
    """
    rng = np.random.default_rng(3)
    h = rng.standard_normal((seeds, 20, width))
    found = []
    for _ in range(10):
        kernels = rng.standard_normal((seeds, width, width)) / math.sqrt(width)
        found.append(h @ kernels)
        h = _softplus(found[-1])
    return np.array(found)


def _per_layer(sizes: np.ndarray) -> float:
    """Return the factor per layer from layer 2 to layer 10, a geometric mean."""
    return float((sizes[9] / sizes[1]) ** (1 / 8))


def _settled() -> float:
    q = 1.0
    for _ in range(30):
        q = _next_variance(_softplus, q, 1, 1.0)
    return q


def _shrinking() -> ValueTask:
    z = softplus_layers()
    over_inputs = z.var(axis=2).mean(axis=(1, 2))
    measured = _per_layer(over_inputs)
    at = math.sqrt(_settled())
    computed = _expected(lambda z: _sigmoid(z) ** 2, at)
    return ValueTask(
        name="q3.3",
        section="Variance over what?",
        title="follow what varies",
        hints=(
            "Inputs are axis 2 of z: z.var(axis=2) is how much each unit of each "
            "network varies with the input. Average that over networks and units.",
            "measured = (layer 10 / layer 2) ** (1 / 8). For the other number iterate "
            "variance_map to its q and take the mean of sigmoid(√q · u)²: a small "
            "difference passes a layer times its slope.",
        ),
        expected=(measured, computed),
        rtol=0.05,
        mistakes=(
            (
                (math.sqrt(measured), math.sqrt(computed)),
                "these are the factors on the standard deviation; those on the "
                "variance are their squares",
            ),
            (
                (math.sqrt(measured), computed),
                "the first number is the factor on the standard deviation; square it",
            ),
            (
                (measured, _expected(_sigmoid, at)),
                "the second number is the mean slope; a variance is multiplied by the "
                "mean of the squared slope",
            ),
            (
                (measured, _expected(_sigmoid, at) ** 2),
                "the second number is the square of the mean slope, which is that at "
                "z = 0: the mean of the squared slope is larger",
            ),
            (
                (_per_layer(np.mean(z**2, axis=(1, 2, 3))), computed),
                "the first number follows all that varies, units and networks too, "
                "which the layers keep; take the variance over the inputs, axis 2",
            ),
            (
                (measured**8, computed),
                "the first number is the change over eight layers; take its eighth "
                "root",
            ),
        ),
        remedy="take the variance over axis 2, and the mean of the squared slope",
    )


# q3.4: weights that do not see brightness

MOST_CHANGE = 0.01
_UNITS = 3000
_SIZES = (10, 100)

Draw = Callable[[np.random.Generator, int, int], np.ndarray]


def _drawn(draw: Any, seed: int, n: int) -> np.ndarray:
    weights = call(draw, (np.random.default_rng([4, seed]), _UNITS, n), f"n = {n}")
    if is_blank(weights):
        raise Unanswered
    if wrong := misfit(weights, np.zeros((_UNITS, n))):
        raise AnswerError(f"for {_UNITS} units and n = {n}: {wrong}")
    return np.asarray(weights, dtype=float)


def _squares(weights: np.ndarray, brightness: float) -> float:
    """Return the mean square of z for inputs of std 0.5, over 10 of them."""
    n = weights.shape[1]
    contrast = np.random.default_rng(5).standard_normal((10, n))
    contrast -= contrast.mean(axis=1, keepdims=True)
    contrast *= 0.5 / contrast.std(axis=1, keepdims=True)
    return float(np.mean((weights @ (contrast + brightness).T) ** 2))


def _seen(draw: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "change": 0.0,
        "std": {},
        "mean": 0.0,
        "uneven": 0.0,
        "rank": _UNITS,
    }
    for n in _SIZES:
        first, second = (_drawn(draw, seed, n) for seed in range(2))
        if twins([first, second]):
            raise AnswerError(
                "two generators give the same weights, as one shared seed does: draw "
                "from the rng that you are given"
            )
        if len(np.unique(first.round(9), axis=0)) < _UNITS / 2:
            raise AnswerError(
                f"for n = {n} many units are copies of each other: draw each unit's "
                "weights anew"
            )
        found["std"][n] = float(np.std(first)) * math.sqrt(n)
        shared = np.max(np.abs(first.mean(axis=0))) * math.sqrt(n)
        found["mean"] = max(found["mean"], float(shared))
        each = np.std(first, axis=0) * math.sqrt(n)
        found["uneven"] = max(found["uneven"], float(np.ptp(each)))
        found["rank"] = min(found["rank"], int(np.linalg.matrix_rank(first)))
        change = _squares(first, 100.0) / max(_squares(first, 0.0), 1e-300) - 1
        found["change"] = max(found["change"], abs(change))
    return found


def _off(stds: dict[int, float], right: Callable[[int], float]) -> bool:
    return all(agree(std, right(n), 0.02) for n, std in stds.items())


_BLIND = MeasuredTask(
    name="q3.4",
    section="Assumptions broken",
    title="weights blind to brightness",
    hints=(
        "Brightness m adds m · (sum of the weights) to z. Independent weights have a "
        "sum that differs from 0. What must hold for each unit's weights?",
        "Draw independent weights and subtract each unit's own mean. That takes the "
        "share 1/n of their variance away: multiply by √(n / (n − 1)).",
    ),
    measure=_seen,
    diagnoses=(
        (
            lambda s: _off(s["std"], lambda n: 1 / math.sqrt(n)),
            "the weights have the std 1/n, which is to be their variance; the std is "
            "its square root, 1/√n",
        ),
        (
            lambda s: _off(s["std"], lambda n: 1 / math.sqrt(3)),
            "the weights are uniform up to 1/√n, and their std is that divided by √3: "
            "draw from a range that is √3 wider",
        ),
        (
            lambda s: s["change"] > 10,
            lambda s: (
                f"brightness 100 changes the mean square of z by a factor of "
                f"{1 + s['change']:.2g}: make the weights of each unit sum to zero"
            ),
        ),
        (
            lambda s: s["change"] > MOST_CHANGE,
            lambda s: (
                f"brightness 100 still changes the mean square of z by "
                f"{100 * s['change']:.2g} %: the weights of each unit must sum to "
                "zero to the last digits, after all other changes"
            ),
        ),
        (
            lambda s: _off(s["std"], lambda n: math.sqrt(1 - 1 / n)),
            "no unit sees the brightness, but subtracting the mean took 1/n of the "
            "variance away, and for n = 10 the std is 5 % too small: multiply by "
            "√(n / (n − 1))",
        ),
        (
            lambda s: not _off(s["std"], lambda n: 1.0),
            lambda s: (
                "no unit sees the brightness, but the std of the weights times √n is "
                f"{s['std'][10]:.3g} for n = 10 and {s['std'][100]:.3g} for n = 100 "
                "where it is to be 1 (within 2 %)"
            ),
        ),
        (
            lambda s: s["mean"] > 0.15,
            "some places have a mean over the units that is not zero: what all units "
            "share is not random, leave it out",
        ),
        (
            lambda s: s["uneven"] > 0.3,
            "some inputs have smaller weights than others: all places must have the "
            "same std",
        ),
        (
            lambda s: s["rank"] < 3,
            "the sums are zero, but all units follow very few patterns: draw the "
            "weights of a unit at random apart from their sum",
        ),
    ),
)


TASKS: tuple[Task, ...] = (_PIXELS, _HANDED, _shrinking(), _BLIND)
