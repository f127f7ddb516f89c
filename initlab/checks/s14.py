"""The exercises on what lies beyond one formula: data, shortcuts, self-normalization.

First the price of normalized units for another slope, then an initialization that sees
the data, then shortcuts around normalized branches, and last the cheapest bend. Each
task stands after what grades it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from initlab.checks.core import (
    AnswerError,
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    ValueTask,
    answered,
)

TITLE = "s14 · Beyond one formula"

# s14.1: the price with a leak

SLOPE = 0.2


def _price(slope: float) -> float:
    """Return E f'² / Var f of the leaky ReLU under the standard normal."""
    return _square(slope) / (_square(slope) - _mean(slope) ** 2)


def _square(slope: float) -> float:
    return (1 + slope**2) / 2


def _mean(slope: float) -> float:
    return (1 - slope) / math.sqrt(2 * math.pi)


_LEAK = ValueTask(
    name="s14.1",
    section="The price",
    title="the price with a leak",
    hints=(
        "The kernels must give variance 1 to the next pre-activation: n σ² Var f = 1. "
        "On the way back a layer multiplies by n σ² E f'².",
        "E f² and E f'² are both (1 + 0.2²)/2. The mean of f is (1 − 0.2)/√(2π), and "
        "Var f is E f² minus its square.",
    ),
    expected=_price(SLOPE),
    rtol=2e-3,
    mistakes=(
        (
            _price(0.0),
            "this is the ReLU's factor, π/(π − 1): here the negative side has a slope "
            "of its own, in the variance and in the derivative",
        ),
        (
            1.0,
            "this takes E f² where Var f belongs: with the mean taken off, only the "
            "variance feeds the next layer",
        ),
        (
            math.sqrt(_price(SLOPE)),
            "this is the factor of the rms; the second moment's is its square",
        ),
        (
            1 / _price(SLOPE),
            "turned round: the gradient grows, because Var f is smaller than E f'²",
        ),
        (
            _square(SLOPE) / (_square(SLOPE) - _mean(0.0) ** 2),
            "the mean of f is too large: the leak takes (0.2/√(2π)) off the ReLU's",
        ),
        (
            0.5 / (0.5 - _mean(SLOPE) ** 2),
            "the leak is in the mean only: f² and f'² have it as well, with 0.2²",
        ),
        (
            _price(SLOPE) ** 30,
            "this is the factor of thirty layers, the question is about one",
        ),
    ),
    remedy="divide E f'² by Var f for f(z) = max(z, 0.2 z) and a standard normal z",
)


# s14.2: a start that sees the data

_CONSTANT = 1e-6  # a unit whose std is this share of its largest value is constant


def _normalized(
    h: Any,
    kernel: Any,
    beta: float,
    spread: Any = np.std,
    shared: bool = False,
    constant: float = _CONSTANT,
) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias; ``shared`` takes one scale and one mean per layer."""
    z = h @ kernel
    axis = None if shared else 0
    std = np.asarray(spread(z, axis=axis))
    # Rounding gives a constant unit a std of 1e-16: compare with the size of z.
    std = np.where(std > constant * np.abs(z).max(axis=axis), std, 1)
    bias = beta - z.mean(axis=axis) / std
    return kernel / std, np.broadcast_to(bias, kernel.shape[1:])


def _after_relu(
    h: Any, kernel: Any, beta: float, constant: float
) -> tuple[np.ndarray, np.ndarray]:
    activation = np.maximum(h @ kernel, 0)
    std = activation.std(axis=0)
    std = np.where(std > constant * activation.max(axis=0), std, 1)
    return kernel / std, beta - activation.mean(axis=0) / std


def _table(
    seed: int, samples: int, inputs: int, units: int, dtype: str = "float64"
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs off centre, on scales from 0.1 to 10, and a kernel."""
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(samples, inputs)) + 2 * rng.normal(size=inputs)
    h = h * 10 ** rng.uniform(-1, 1, inputs)
    return h.astype(dtype), rng.normal(size=(inputs, units)).astype(dtype)


def _with_a_dead_unit() -> tuple[np.ndarray, np.ndarray]:
    h, kernel = _table(3, 30, 4, 3)
    kernel[:, 1] = 0
    return h, kernel


def _with_a_constant_unit() -> tuple[np.ndarray, np.ndarray]:
    """Return a unit that sees one column only, which is 0.1 for all samples."""
    h, kernel = _table(6, 40, 4, 3)
    h[:, 2] = 0.1
    kernel[:, 1] = [0, 0, 0.7, 0]
    return h, kernel


def _slips(constant: float) -> tuple[tuple[Callable[..., Any], str], ...]:
    """Return wrong functions, each with its name, that call so much constant."""
    normalized = functools.partial(_normalized, constant=constant)
    return (
        (
            lambda h, kernel, beta: normalized(h, kernel, beta, spread=np.var),
            "you divide by the variance: the standard deviation is its square root",
        ),
        (
            lambda h, kernel, beta: (
                normalized(h, kernel, beta)[0],
                beta - (h @ kernel).mean(axis=0),
            ),
            "the bias takes off the mean from before the scaling: divide that by the "
            "std as well",
        ),
        (
            lambda h, kernel, beta: normalized(h, kernel, beta, shared=True),
            "one scale and one mean for the whole layer, as in LSUV: here each unit "
            "has its own, take them over the samples (axis=0)",
        ),
        (
            functools.partial(_after_relu, constant=constant),
            "you measure after the ReLU: mean and std of the pre-activation are asked "
            "for",
        ),
        (
            lambda h, kernel, beta: normalized(h, kernel, 0.0),
            "beta is not used: the wanted mean stands in the bias",
        ),
        (
            lambda h, kernel, beta: normalized(h, kernel, -beta),
            "beta has the wrong sign: the new mean is to be beta",
        ),
        (
            lambda h, kernel, beta: (
                normalized(h, kernel, beta)[0],
                beta + normalized(h, kernel, 0.0)[1] * -1,
            ),
            "the mean is added and not taken off: the bias is beta − mean/std",
        ),
    )


_SEES = FunctionTask(
    name="s14.2",
    section="A start that sees the data",
    title="a start that sees the data",
    hints=(
        "z = h @ kernel has one column per unit: you need z.mean(axis=0) and "
        "z.std(axis=0). A unit whose std is 0 cannot be scaled; rounding may make it "
        "1e-16.",
        "std = np.where(std > 1e-6 * np.abs(z).max(axis=0), std, 1); the kernel is "
        "divided by it. The new z has the mean mean/std, so the bias is beta - "
        "mean/std.",
    ),
    reference=_normalized,
    cases=(
        Case("40 samples, 6 inputs, 5 units", (*_table(0, 40, 6, 5), 0.0)),
        Case("a wanted mean of 0.5", (*_table(1, 40, 6, 5), 0.5)),
        Case("a single unit", (*_table(2, 25, 3, 1), -1.0)),
        Case("a unit whose kernel is zero", (*_with_a_dead_unit(), 0.3)),
        Case("a unit that sees a constant column", (*_with_a_constant_unit(), 0.5)),
        Case("a single sample", (*_table(4, 1, 5, 3), 0.0)),
        Case("float32 numbers", (*_table(5, 40, 6, 5, "float32"), 0.25)),
    ),
    parts=("kernel", "bias"),
    rtol=2e-4,
    mistakes=(
        (
            functools.partial(_normalized, constant=0.0),
            "a unit that is constant up to rounding is blown up: its std is 1e-16 and "
            "not 0, so compare it with the size of z",
        ),
        *_slips(_CONSTANT),
        *_slips(0.0),
    ),
)


# s14.3: a hundred blocks around a normalization

BLOCKS = 100

_PRENORM = ValueTask(
    name="s14.3",
    section="A scale that knows the depth",
    title="normalize before the branch",
    hints=(
        "The branch gets the trunk divided by its own rms, sample by sample. So which "
        "second moment does every branch add, however large the trunk is?",
        "hat = h / np.sqrt(np.mean(h**2, axis=1, keepdims=True)), then h = h + "
        "np.maximum(hat, 0) @ kernel with std √(2/64). Compare np.mean(h**2) at the "
        "end and at the start, for 20 seeds.",
    ),
    expected=float(1 + BLOCKS),
    rtol=0.2,
    mistakes=(
        (
            math.sqrt(1 + BLOCKS),
            "this is the factor of the rms; the second moment's is its square",
        ),
        (
            1 + BLOCKS / 2,
            "the ReLU's ½ is missing in the branch: He's std is √(2/fan_in)",
        ),
        (
            1.0,
            "the trunk itself was normalized: divide only what goes into the branch",
        ),
        (
            math.e,
            "this is what 1/√L on each branch gives; here nothing is in front of it",
        ),
        (
            1 / (1 + BLOCKS),
            "turned round: the end divided by the start is asked for",
        ),
    ),
    remedy=lambda answer: (
        "the branch was not normalized: the trunk doubles in every block"
        if isinstance(answer, int | float | np.generic) and answer > 1e6
        else "divide the mean square behind the last block by that of the inputs, on "
        "average over 20 networks"
    ),
)


# s14.4: the cheapest bend

SHARE, GROWTH = 0.2, 1.25
_GRID = np.linspace(-9, 9, 36_001)


class Bend(NamedTuple):
    """What a function does to a standard normal: see `measure_bend`."""

    mean: float
    variance: float
    share: float
    growth: float
    odd: float


def measure_bend(function: Any) -> Bend:
    """Measure a function of an array under the standard normal.

    Returns:
        Its mean and variance; the share of the variance that no straight line
        explains, ``1 − (E z f)² / Var f``; the factor ``E f'² / Var f`` by which a
        layer with variance-preserving weights multiplies the gradient's second moment;
        and how much of the bent part is odd, from 0 to 1.

    Raises:
        AnswerError: if it is no function of an array, or gives something else than
            as many finite numbers.
    """
    values = answered(function, (_GRID,), _GRID, label="an array z from -9 to 9")
    step = _GRID[1] - _GRID[0]
    weight = np.exp(-(_GRID**2) / 2) / math.sqrt(2 * math.pi) * step
    between = (weight[1:] + weight[:-1]) / 2
    mean = float(weight @ values)
    variance = float(weight @ (values - mean) ** 2)
    if variance < 1e-12:
        raise AnswerError("the function is constant; it lets nothing through")
    straight = float(weight @ (_GRID * values)) ** 2
    slopes = float(between @ (np.diff(values) / step) ** 2)
    bent = max(variance - straight, 1e-12)
    odd = (float(weight @ ((values - values[::-1]) / 2) ** 2) - straight) / bent
    return Bend(mean, variance, bent / variance, slopes / variance, odd)


_BEND = MeasuredTask(
    name="s14.4",
    section="Networks that normalize themselves",
    title="the cheapest bend",
    hints=(
        "Any such function is a sum of Hermite polynomials, z, (z² − 1)/√2, (z³ − "
        "3z)/√6, …, each of mean 0 and variance 1. The derivative of the k-th has the "
        "second moment k.",
        "If the k-th carries the share s of the variance, the growth is 1 + (k − 1)s "
        "and more. So bend with k = 2 alone: √(1 − s) z + √s (z² − 1)/√2.",
    ),
    measure=measure_bend,
    diagnoses=(
        (
            lambda bend: abs(bend.mean) > 0.01,
            lambda bend: (
                f"the mean is {bend.mean:.3f} and not 0: take it off the function"
            ),
        ),
        (
            lambda bend: abs(bend.variance - 1) > 0.02,
            lambda bend: (
                f"the variance is {bend.variance:.3f} and not 1: divide the function "
                "by the square root of that"
            ),
        ),
        (
            lambda bend: bend.share < SHARE,
            lambda bend: (
                f"only {100 * bend.share:.1f} % of the variance are bent, asked for "
                f"are {100 * SHARE:.0f} %: it is too close to a straight line"
            ),
        ),
        (
            lambda bend: bend.growth >= GROWTH and bend.odd > 0.5,
            lambda bend: (
                f"the gradient grows by {bend.growth:.3f} per layer, not below "
                f"{GROWTH}: your bend is odd, as that of tanh, and such a bend "
                "costs at least twice its share; which one is even?"
            ),
        ),
        (
            lambda bend: bend.growth >= GROWTH,
            lambda bend: (
                f"the gradient grows by {bend.growth:.3f} per layer, not below "
                f"{GROWTH}: corners and jumps cost most, so bend more smoothly"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (_LEAK, _SEES, _PRENORM, _BEND)
