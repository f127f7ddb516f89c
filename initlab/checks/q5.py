"""The exercises on random distributions: a triangle, any cut, one bit, mostly zeros.

No network is trained: all four are about the one number that counts, the variance, in
distributions that the chapter does not have. Each task stands after what grades it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from initlab.checks.core import (
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    ValueTask,
    answered,
)

TITLE = "q5 · Random distributions"

# q5.1: a triangle

SHAPE = (50, 200)


def _triangle(variance: float) -> float:
    return math.sqrt(6 * variance)


_TRIANGLE = ValueTask(
    name="q5.1",
    section="The smallest experiment",
    title="a triangle of He's scale",
    hints=(
        "First the variance of the triangle: twice the integral of w² (1 − w/a)/a from "
        "0 to a.",
        "The integral gives a²/6. Set it equal to He's variance, 2/fan_in, and solve "
        "for a.",
    ),
    expected=_triangle(2 / SHAPE[0]),
    rtol=2e-3,
    mistakes=(
        (
            math.sqrt(6 / SHAPE[0]),
            "this is the limit of a uniform (its variance is a²/3, the triangle's is "
            "a²/6), or the triangle's without the ReLU's ½",
        ),
        (
            math.sqrt(2 / SHAPE[0]),
            "this is He's std itself; the limit is √6 times as large",
        ),
        (
            6 * 2 / SHAPE[0],
            "the root is missing: a² is six times the variance",
        ),
        (
            math.sqrt(6) * 2 / SHAPE[0],
            "this takes the variance for the standard deviation",
        ),
        (
            math.sqrt(2 / SHAPE[0] / 6),
            "turned round: a²/6 is the variance, so a² is six times it",
        ),
        (
            _triangle(2 / SHAPE[1]),
            "fan_out where He uses fan_in: Keras's kernels are (fan_in, fan_out)",
        ),
        (
            _triangle(2 / sum(SHAPE)),
            "Glorot's 2/(fan_in + fan_out) where He's 2/fan_in is asked for",
        ),
    ),
    remedy="the variance of the triangle is a²/6, and it has to be 2/fan_in",
)


# q5.2: any cut


def _kept_std(cut: Any, share: bool = True, sides: int = 2) -> float:
    """Return the std of a standard normal cut off at ±``cut``."""
    from scipy import stats

    kept = sides * stats.norm.cdf(cut) - (sides - 1) if share else 1.0
    return np.sqrt(1 - 2 * cut * stats.norm.pdf(cut) / kept)


def _before_the_cut(std: Any, cut: Any) -> float:
    return std / _kept_std(cut)


_CUT = FunctionTask(
    name="q5.2",
    section="The smallest experiment",
    title="before any cut",
    hints=(
        "The chapter has the variance that is left of a standard normal cut at ±c. "
        "The std before the cut is larger than the one after it.",
        "left = 1 − 2 c φ(c) / (2 Φ(c) − 1), with scipy.stats.norm.pdf and .cdf. "
        "Return std / √left.",
    ),
    reference=_before_the_cut,
    cases=(
        Case("std 0.1, cut at 2", (0.1, 2.0)),
        Case("std 1, cut at 1", (1.0, 1.0)),
        Case("std 0.05, cut at 0.5", (0.05, 0.5)),
        Case("std 3, cut at 4", (3.0, 4.0)),
        Case("float32 numbers", (np.float32(0.25), np.float32(1.5))),
    ),
    rtol=1e-3,
    mistakes=(
        (
            lambda std, cut: std * _kept_std(cut),
            "this is the std after the cut of a normal of that std: divide, so that "
            "the cut leaves what is asked for",
        ),
        (
            lambda std, cut: std / _kept_std(cut) ** 2,
            "the root is missing: what is left is a variance",
        ),
        (
            lambda std, cut: std / _kept_std(2.0),
            "this is right for a cut at 2 only: 0.88 depends on the cut",
        ),
        (
            lambda std, cut: std,
            "nothing is corrected: the cut takes the largest weights away, so the std "
            "before it has to be larger",
        ),
        (
            lambda std, cut: std / np.sqrt(np.abs(_kept_std(cut, share=False) ** 2)),
            "the kept draws are fewer: divide by their share, 2 Φ(c) − 1",
        ),
        (
            lambda std, cut: std / _kept_std(cut, sides=1),
            "both sides are cut: the kept share is 2 Φ(c) − 1, not Φ(c)",
        ),
    ),
)


# q5.3: one bit

LAYERS = 10
_ONE_BIT = math.sqrt(2 / math.pi)

_BIT = ValueTask(
    name="q5.3",
    section="Ten layers and more",
    title="weights of one bit",
    hints=(
        "Binarize each kernel by itself: np.abs(w).mean() * np.sign(w). Then send the "
        "inputs through ten layers, and average the second moments over networks "
        "before you take the root.",
        "For a normal weight the mean of |w| is √(2/π) σ, and that is the std of the "
        "binary one. The variance falls by 2/π in each layer.",
    ),
    expected=_ONE_BIT**LAYERS,
    rtol=0.2,  # five standard errors over 40 networks of width 200
    mistakes=(
        (
            _ONE_BIT ** (2 * LAYERS),
            "this is the factor of the second moment; the rms's is its square root",
        ),
        (
            _ONE_BIT,
            "this is the factor of a single layer, ten are asked for",
        ),
        (
            1.0,
            "nothing was lost, so the sign was multiplied by the rms of the weights; "
            "the mean of |w| is asked for",
        ),
        (
            _ONE_BIT**-LAYERS,
            "turned round: the signal of the binary network gets smaller",
        ),
        (
            2 ** (-LAYERS / 2) * _ONE_BIT**LAYERS,
            "the ReLU's ½ is missing: the kernels begin with He's std, √(2/n)",
        ),
    ),
    remedy=(
        "divide the mean square behind ten layers by that of the inputs, average over "
        "40 networks, and take the root"
    ),
)


# q5.4: mostly zeros

ZEROS = 0.85
_WIDTH, _NETWORKS, _FACTOR = 64, 20, 4.0


class Drawn(NamedTuple):
    """What a function that draws kernels gives, see `try_out`."""

    values: int
    zeros: float
    variance: float
    same: bool
    balanced: bool
    decades: np.ndarray


def try_out(draw: Any) -> Drawn:
    """Send 32 inputs through ten ReLU layers of width 64 in each of 20 networks.

    Args:
        draw: a function of a numpy generator and a shape (inputs, units).

    Returns:
        The number of different values in the first kernel, its share of zeros, its
        mean square times 64, whether two draws are equal, whether the weights of each
        unit add up to zero, and by how many powers of ten the rms of the signal
        changes in each network.

    Raises:
        AnswerError: if ``draw`` raises or gives something else than a kernel.
    """
    shape = (_WIDTH, _WIDTH)
    rng = np.random.default_rng(5)
    first, second = _kernel(draw, rng, shape), _kernel(draw, rng, shape)
    decades = []
    for seed in range(_NETWORKS):
        rng = np.random.default_rng([seed, 4])
        h = x = rng.normal(size=(32, _WIDTH))
        with np.errstate(all="ignore"):
            for _ in range(LAYERS):
                h = np.maximum(h, 0) @ _kernel(draw, rng, shape)
            decades.append(np.log10(np.linalg.norm(h) / np.linalg.norm(x)))
    return Drawn(
        len(np.unique(first)),
        float(np.mean(first == 0)),
        float(np.mean(first**2) * _WIDTH),
        bool(np.array_equal(first, second)),
        bool(np.all(np.abs(first.sum(axis=0)) < 1e-9)),
        np.array(decades),
    )


def _kernel(draw: Any, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return answered(draw, (rng, shape), np.zeros(shape), copied=False)


_SPARSE = MeasuredTask(
    name="q5.4",
    section="What passes through a layer",
    title="three values, mostly zeros",
    hints=(
        "If a share p of the weights is ±v and all others are zero, the variance is "
        "p v². It has to be 2/n.",
        "v = np.sqrt(2 / (n * p)); rng.choice([-v, 0, v], p=[p/2, 1 − p, p/2], "
        "size=shape) with p = 1/8. Let each sign be a coin of its own.",
    ),
    measure=try_out,
    diagnoses=(
        (
            lambda drawn: drawn.same,
            "two draws are equal: one shared seed; use the generator that you are "
            "given, and make none of your own",
        ),
        (
            lambda drawn: drawn.zeros == 1,
            "all weights are zero",
        ),
        (
            lambda drawn: drawn.zeros < ZEROS,
            lambda drawn: (
                f"{100 * drawn.zeros:.0f} % of the weights are zero, at least "
                f"{100 * ZEROS:.0f} % are asked for"
            ),
        ),
        (
            lambda drawn: drawn.values > 3,
            lambda drawn: (
                f"the kernel has {drawn.values} different values, three are allowed: "
                "−v, 0 and v"
            ),
        ),
        (
            lambda drawn: drawn.balanced,
            "in each unit the signs add up to zero, so the unit does not see the mean "
            "of its inputs, and behind a ReLU most of the second moment is in the "
            "mean; let each sign be a coin of its own",
        ),
        (
            lambda drawn: drawn.variance < 1.2 * 2 * (1 - drawn.zeros),
            "v is the std of a dense kernel, and the zeros make the variance smaller: "
            "divide it by the share of weights that are not zero",
        ),
        (
            lambda drawn: 0.8 < drawn.variance < 1.25,
            "the ReLU's ½ is missing: the variance of a weight, zeros included, has to "
            "be 2/n",
        ),
        (
            lambda drawn: drawn.variance > 4,
            lambda drawn: (
                f"the variance of a weight, zeros included, is {drawn.variance:.3g}/n; "
                "2/n is what ReLU layers need"
            ),
        ),
        (
            lambda drawn: not np.all(np.abs(drawn.decades) < math.log10(_FACTOR)),
            lambda drawn: (
                "the rms changes by a factor of up to "
                f"{10 ** np.abs(drawn.decades).max():.3g} in ten layers, asked for is "
                f"less than {_FACTOR:.0f} in each of {_NETWORKS} networks"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (_TRIANGLE, _CUT, _BIT, _SPARSE)
