"""The exercises on choosing an initializer: how exactly, how surely, how wide, how far.

First how exactly the variance must be hit in a deep network, then how sure a count of
networks is, then how width helps, and last a residual stack for an activation that
stands in no table. `wave`, `wave_slope` and `send` are for the notebook too.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from initlab.checks.core import (
    AnswerError,
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    ValueTask,
    misfit,
)

TITLE = "q9 · Choosing an initializer"

# q9.1: how exactly the variance must be hit

DEPTH = 40


def _limits(c: float = 2.0, exponent: float = 2.0) -> tuple[float, float]:
    """Return the variances, times fan_in, that forty layers forgive."""
    factor = 10 ** (exponent / DEPTH)
    return c / factor, c * factor


_EXACTLY = ValueTask(
    name="q9.1",
    section="Does depth choose between He and Glorot?",
    title="how exactly?",
    hints=(
        "With variance c/n a ReLU layer multiplies the second moment by c/2, and the "
        "rms by the root of that. Forty layers make the 40th power of it.",
        "(c/2)^(40/2) may lie between 1/10 and 10. So c/2 lies between 10^(−1/20) and "
        "10^(1/20).",
    ),
    expected=_limits(),
    rtol=2e-3,
    mistakes=(
        (
            _limits(exponent=1.0),
            "this lets the second moment change by ten; a decade of the rms is two "
            "decades of the second moment",
        ),
        (
            _limits(c=1.0),
            "the ReLU's ½ is missing: c = 2 keeps the second moment, not c = 1",
        ),
        (
            tuple(map(math.sqrt, _limits())),
            "this is the standard deviation times √n; c is the variance times n",
        ),
        (
            _limits()[::-1],
            "right numbers, wrong order: the smaller one first",
        ),
        (
            (2 * 10 ** (-2 / 5), 2 * 10 ** (2 / 5)),
            "this is right for five layers; here there are forty",
        ),
        (
            (0.2, 20.0),
            "this is a decade in one layer; forty layers raise c/2 to a power",
        ),
    ),
    remedy="solve (c/2)^(depth/2) = 1/10 and = 10 for c, with depth 40",
)


# q9.2: how sure is a count of networks


def _interval(
    kept: Any, networks: Any, level: Any, sides: int = 2, form: str = "wilson"
) -> tuple[float, float]:
    from scipy import stats

    share = kept / networks
    z = stats.norm.ppf(1 - (1 - level) / sides)
    if form == "wald":
        half = z * math.sqrt(share * (1 - share) / networks)
        return share - half, share + half
    bent = z**2 / networks
    centre = (share + bent / 2) / (1 + bent)
    inside = share * (1 - share) / networks + bent / (4 * networks)
    if form == "without the half":
        inside = share * (1 - share) / networks
    if form == "variance":
        return centre - z * inside / (1 + bent), centre + z * inside / (1 + bent)
    half = z * math.sqrt(inside) / (1 + bent)
    return centre - half, centre + half


def _counts(kept: Any, networks: Any, level: Any) -> tuple[float, float]:
    low, high = _interval(kept, networks, level)
    return networks * low, networks * high


_SURE = FunctionTask(
    name="q9.2",
    section="The table, checked",
    title="how sure is a count?",
    hints=(
        "Square both sides of |p̂ − p| = z √(p(1 − p)/n): that is a quadratic equation "
        "in p, and its two roots are the ends.",
        "centre = (p̂ + z²/2n) / (1 + z²/n), half = z √(p̂(1 − p̂)/n + z²/4n²) / (1 + "
        "z²/n), with z = scipy.stats.norm.ppf((1 + level) / 2).",
    ),
    reference=_interval,
    cases=(
        Case("16 of 20 at 95 %", (16, 20, 0.95)),
        Case("20 of 20 at 95 %", (20, 20, 0.95)),
        Case("0 of 20 at 99 %", (0, 20, 0.99)),
        Case("59 of 100 at 90 %", (59, 100, 0.9)),
        Case("a single network", (1, 1, 0.95)),
        Case("float32 numbers", (np.float32(7), np.float32(30), np.float32(0.95))),
    ),
    parts=("low", "high"),
    rtol=1e-4,
    mistakes=(
        (
            lambda *case: _interval(*case, form="wald"),
            "this is p̂ ± z √(p̂(1 − p̂)/n): for 20 of 20 it has no width at all; put "
            "the unknown p under the root, not p̂",
        ),
        (
            lambda *case: _interval(*case, sides=1),
            "this leaves the whole error on one side: for both sides the quantile is "
            "taken at (1 + level)/2",
        ),
        (
            lambda *case: _interval(*case, form="without the half"),
            "z²/4n² is missing under the root: without it 20 of 20 has no width",
        ),
        (
            lambda *case: _interval(*case, form="variance"),
            "the root is missing: z multiplies a standard deviation, not a variance",
        ),
        (_counts, "these are numbers of networks: divide by how many there are"),
    ),
)


# q9.3: how wide


_WIDE = ValueTask(
    name="q9.3",
    section="The table, checked",
    title="how wide?",
    hints=(
        "For each width draw 200 networks with one input each, and count those whose "
        "rms after 40 layers is between a tenth and ten times that of the input.",
        "h = np.maximum(h, 0) @ rng.normal(scale=np.sqrt(2/n), size=(n, n)), forty "
        "times. The share grows with the width; look for the first one above 0.9.",
    ),
    expected=64,
    mistakes=(
        (8, "at width 8 hardly one network in ten is kept"),
        (16, "at width 16 about a quarter of the networks is kept"),
        (32, "at width 32 about seven of ten networks are kept, nine are asked for"),
        (
            128,
            "width 128 keeps nearly all, but a narrower one is enough: try 64 with "
            "more networks",
        ),
        (256, "256 is far more than is needed; go down until nine of ten are left"),
    ),
    remedy="answer with one of the widths 8, 16, 32, 64, 128, 256",
)


# q9.4: an activation that stands in no table

NETWORKS, WIDTH = 20, 64
LIKENESS = 0.85


def wave(z: Any) -> np.ndarray:
    """Return sin(2z) + ½, an activation that is in no table."""
    return np.sin(2 * np.asarray(z)) + 0.5


def wave_slope(z: Any) -> np.ndarray:
    """Return the derivative of `wave`, 2 cos(2z)."""
    return 2 * np.cos(2 * np.asarray(z))


class Sent(NamedTuple):
    """What became of signal and gradient in each of the networks, see `send`."""

    signal: np.ndarray
    gradient: np.ndarray
    likeness: np.ndarray


def send(c: float, alpha: float, networks: int = NETWORKS, first: int = 0) -> Sent:
    """Send 16 inputs through forty blocks ``h + alpha · wave(h) W``, Var W = c/64.

    Returns:
        Arrays of shape (networks,): the powers of ten by which the rms of the signal
        and of a gradient from above change, and the cosine between input and output
        over all numbers, 1 if the blocks do nothing.
    """
    found = []
    with np.errstate(all="ignore"):
        for seed in range(first, first + networks):
            rng = np.random.default_rng([seed, 9])
            h = x = rng.normal(size=(16, WIDTH))
            kernels = rng.normal(size=(DEPTH, WIDTH, WIDTH)) * math.sqrt(c / WIDTH)
            tape = []
            for kernel in kernels:
                tape.append(h)
                h = h + alpha * wave(h) @ kernel
            gradient = above = rng.normal(size=h.shape)
            for kernel, z in zip(kernels[::-1], tape[::-1], strict=True):
                gradient = gradient + alpha * wave_slope(z) * (gradient @ kernel.T)
            norms = [np.linalg.norm(each) for each in (x, h, above, gradient)]
            likeness = np.sum(x * h) / (norms[0] * norms[1])
            found.append(
                (
                    np.log10(norms[1] / norms[0]),
                    np.log10(norms[3] / norms[2]),
                    likeness,
                )
            )
    return Sent(*np.array(found).T)


class _Pair(NamedTuple):
    c: float
    alpha: float
    sent: Sent


def _read_pair(answer: Any) -> _Pair:
    if wrong := misfit(answer, (1.0, 1.0), ("c", "alpha")):
        raise AnswerError(wrong)
    c, alpha = (float(part) for part in answer)
    if c <= 0:
        raise AnswerError(f"c is {c:g}; a variance is positive")
    return _Pair(c, alpha, send(c, alpha, first=1000))


def _lost(values: np.ndarray, limit: float) -> int:
    """Return how many networks change by more than ``limit`` powers of ten."""
    return int(np.sum(~(np.abs(values) < limit)))


_FAR = MeasuredTask(
    name="q9.4",
    section="Which start?",
    title="no table, forty blocks",
    hints=(
        "Only c · alpha² counts. Each block multiplies the gradient's second moment by "
        "1 + c alpha² E f'², and E f'² is about 2: so what may c alpha² be in 40 "
        "blocks?",
        "(1 + 2 c alpha²)^40 may be 10 at most (half a decade of rms): c alpha² is "
        "about 0.025. For c = 1 that is alpha = 1/√40.",
    ),
    measure=_read_pair,
    diagnoses=(
        (
            lambda pair: _lost(pair.sent.gradient, 3) > 0,
            lambda pair: (
                "the gradient changes by "
                f"{np.nanmedian(np.abs(pair.sent.gradient)):.1f} powers of ten: "
                "each block multiplies it, so a whole branch is too much in forty"
            ),
        ),
        (
            lambda pair: _lost(pair.sent.gradient, 0.5) > 0,
            lambda pair: (
                f"in {_lost(pair.sent.gradient, 0.5)} of {NETWORKS} networks the "
                "gradient's rms changes by more than half a decade (median "
                f"{np.median(pair.sent.gradient):.2f}); make c · alpha² a little "
                "smaller"
            ),
        ),
        (
            lambda pair: pair.sent.likeness.min() > 0.97,
            lambda pair: (
                "nothing is lost because the blocks do nothing: input and output "
                f"point the same way (cosine {pair.sent.likeness.mean():.3f})"
            ),
        ),
        (
            lambda pair: pair.sent.likeness.max() > LIKENESS,
            lambda pair: (
                f"the cosine between input and output is {pair.sent.likeness.max():.2f}"
                f", at most {LIKENESS} is asked for: the branches may weigh more"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (_EXACTLY, _SURE, _WIDE, _FAR)
