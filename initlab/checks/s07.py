"""The exercises on orthogonal initialization: lengths, a draw, luck, and a convolution.

What narrow layers take from a length, an orthogonal draw without a preferred direction,
how much luck is left behind a ReLU, and a convolution that keeps every image's length.
`convolve` is for the notebook too; each task stands after what grades it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from initlab.checks.core import (
    AnswerError,
    MeasuredTask,
    Task,
    ValueTask,
    answered,
    describe,
)

TITLE = "s07 · Orthogonal initialization"

# s07.1: what narrow layers take

WIDTHS = (64, 256, 64, 256, 64, 256, 64)
_NARROW, _WIDE = min(WIDTHS), max(WIDTHS)

_LENGTH = ValueTask(
    name="s07.1",
    section="Whose norm, and which shapes",
    title="what narrow layers take",
    hints=(
        "Orthonormal rows (from 64 to 256) keep the length of every vector. "
        "Orthonormal columns (from 256 to 64) project.",
        "Three projections, each keeping 64/256 of the squared length on average.",
    ),
    expected=(_NARROW / _WIDE) ** 3,
    mistakes=(
        (
            1.0,
            "the length is kept where a layer widens only; from 256 to 64 units a "
            "kernel projects",
        ),
        (
            (_NARROW / _WIDE) ** 6,
            "three of the six layers widen, and those keep the length exactly",
        ),
        (
            (_NARROW / _WIDE) ** 1.5,
            "this is the factor of the length; the squared length's is its square",
        ),
        (
            (_WIDE / _NARROW) ** 3,
            "turned round: a projection makes a vector shorter",
        ),
        (
            _NARROW / _WIDE,
            "this is one projection, and there are three",
        ),
    ),
    remedy="multiply what each of the six layers keeps of the squared length",
)


# s07.2: an orthogonal draw without a preferred direction


class Draws(NamedTuple):
    """What many kernels of a student's function are like."""

    same: bool
    spread: float
    gain: float
    leaning: float
    uneven: float
    peaked: float


_SHAPES = ((6, 6), (10, 4), (4, 10), (1, 5), (5, 1))
_DRAWN_OFTEN = ((5, 5), (7, 3), (3, 7))
_DRAWS = 400
_GAIN = 1.7


def _kernel(draw: Any, rng: np.random.Generator, shape: Any, gain: float) -> np.ndarray:
    asked, label = np.zeros(shape), f"shape {shape}"
    try:
        return answered(draw, (rng, shape, gain), asked, label=label, copied=False)
    except AnswerError as error:
        small = (min(shape),) * 2
        if shape != small and f"this is an array of shape {small}" in str(error):
            raise AnswerError(
                f"{error} (the Q of a wide matrix is square: take the QR of its "
                "transpose)"
            ) from None
        raise


def _measure_draws(draw: Any) -> Draws:
    rng = np.random.default_rng(1)
    twice = [_kernel(draw, rng, (6, 6), 1.0) for _ in range(2)]
    values = [
        np.linalg.svd(_kernel(draw, rng, shape, _GAIN), compute_uv=False)
        for shape in _SHAPES
    ]
    spread = max(float(v.max() / max(v.min(), 1e-12)) for v in values)
    gain = float(np.median(np.concatenate(values)))
    leaning, uneven, peaked = np.max(
        [_preference(draw, rng, shape) for shape in _DRAWN_OFTEN], axis=0
    )
    return Draws(bool(np.array_equal(*twice)), spread, gain, leaning, uneven, peaked)


def _preference(draw: Any, rng: np.random.Generator, shape: tuple) -> list[float]:
    """Return how far the moments of the entries are from those of a uniform draw.

    An entry of a uniform draw has mean 0, second moment 1/n and fourth moment
    3 / (n (n + 2)), with n the longer side. Over 400 draws the standard error of one
    entry's mean is at most 0.022, and that of n times its second moment 0.06.
    """
    n = max(shape)
    kernels = np.array([_kernel(draw, rng, shape, 1.0) for _ in range(_DRAWS)])
    return [
        float(np.abs(kernels.mean(axis=0)).max()),
        float(np.abs(n * (kernels**2).mean(axis=0) - 1).max()),
        float(abs(n * (n + 2) / 3 * (kernels**4).mean() - 1)),
    ]


_DRAW = MeasuredTask(
    name="s07.2",
    section="Whose norm, and which shapes",
    title="draw without a preference",
    hints=(
        "np.linalg.qr of a tall normal matrix gives Q with orthonormal columns. For a "
        "wide kernel take the QR of the tall one and turn the result.",
        "q, r = np.linalg.qr(tall); q * np.sign(np.diag(r)) takes back the signs that "
        "the algorithm chose. Then multiply by gain, and transpose if it was wide.",
    ),
    measure=_measure_draws,
    diagnoses=(
        (
            lambda draws: draws.same,
            "two draws are equal: one shared seed; use the generator that you are "
            "given, and make none of your own",
        ),
        (
            lambda draws: draws.spread > 1.001,
            lambda draws: (
                "the singular values are not equal (the largest is "
                f"{min(draws.spread, 1e6):.3g} times the smallest): this is no "
                "orthogonal kernel; take Q of a QR decomposition"
            ),
        ),
        (
            lambda draws: abs(draws.gain - _GAIN**2) < 0.01,
            "every singular value is the square of the gain: multiply by it once",
        ),
        (
            lambda draws: abs(draws.gain - math.sqrt(_GAIN)) < 0.01,
            "every singular value is the root of the gain: it is a factor of the "
            "length, not of the squared length",
        ),
        (
            lambda draws: abs(draws.gain - _GAIN) > 0.01,
            lambda draws: (
                f"with gain {_GAIN} every singular value is {draws.gain:.3g}: "
                "multiply the orthogonal kernel by the gain"
            ),
        ),
        (
            lambda draws: draws.leaning > 0.12,
            lambda draws: (
                "orthogonal, but not without a preference: over 400 draws an entry "
                f"has a mean of size {draws.leaning:.2f} and not 0; the "
                "algorithm chose the signs, take them back with those of R's diagonal"
            ),
        ),
        (
            lambda draws: draws.uneven > 0.35 or draws.peaked > 0.2,
            "orthogonal, but not uniform: the sizes of the entries are not spread as "
            "those of a free draw; begin with a new matrix of normal numbers each time",
        ),
    ),
)


# s07.3: how much luck is left

_LUCK = ValueTask(
    name="s07.3",
    section="Through the activation",
    title="how much luck is left",
    hints=(
        "For each of 4000 networks draw kernels of shape (32, 32), send one input "
        "through, and take the log of the squared length at the last z over that at "
        "the first. Then np.var of the 4000 numbers.",
        "np.linalg.qr takes a stack of shape (4000, 32, 32) at once. Orthogonal "
        "kernels times √2, normal ones with std √(2/32), one input per network.",
    ),
    expected=3 / 5,
    rtol=0.25,
    mistakes=(
        (
            math.sqrt(3 / 5),
            "this is the ratio of the standard deviations; its square is asked for",
        ),
        (
            1.0,
            "both have the same luck here: are both kernels drawn from the same rule?",
        ),
        (5 / 3, "turned round: orthogonal over normal is asked for"),
        (
            0.0,
            "without a ReLU an orthogonal network has no luck at all: put the ReLU "
            "between the kernels",
        ),
    ),
    remedy=(
        "divide the variance of the log of the squared length, over networks, with "
        "orthogonal kernels by that with normal ones"
    ),
)


# s07.4: a convolution that keeps every length

KERNEL = (3, 3, 4, 4)
TAPS = 3


def convolve(images: Any, kernel: Any) -> np.ndarray:
    """Convolve images (count, height, width, channels) with circular borders.

    The kernel has Keras's shape, (rows, columns, channels in, channels out).
    """
    rows, columns = kernel.shape[:2]
    result = np.zeros((*images.shape[:3], kernel.shape[3]))
    for row in range(rows):
        for column in range(columns):
            moved = np.roll(
                images, (rows // 2 - row, columns // 2 - column), axis=(1, 2)
            )
            result += moved @ kernel[row, column]
    return result


class Filtered(NamedTuple):
    """What a kernel does to images."""

    taps: int
    low: float
    high: float
    unmixed: int


def _measure_kernel(answer: Any) -> Filtered:
    try:
        kernel = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        raise AnswerError(
            f"an array of shape {KERNEL} is asked for, this is {describe(answer)}"
        ) from None
    if kernel.shape != KERNEL or not np.isfinite(kernel).all():
        raise AnswerError(
            f"finite numbers of shape {KERNEL} are asked for, this is "
            f"{describe(answer)}"
        )
    frequencies = np.fft.fft2(kernel, (16, 16), axes=(0, 1))
    values = np.linalg.svd(frequencies, compute_uv=False)
    strength = np.abs(kernel).max(axis=(2, 3))
    met = np.abs(kernel).max(axis=(0, 1)) > 0.01
    return Filtered(
        int(np.sum(strength > 0.01)),
        float(values.min()),
        float(values.max()),
        int(np.sum(~met)),
    )


_CONVOLUTION = MeasuredTask(
    name="s07.4",
    section="Convolutions",
    title="an isometry with taps",
    hints=(
        "Moving an image by a pixel keeps its length. May every channel be moved "
        "differently?",
        "Mix the channels by an orthogonal 4 × 4 matrix without zeros. Then let output "
        "channel 0 stand in one tap, channel 1 in another, and so on: kernel[tap][:, "
        "channel] = q[:, channel].",
    ),
    measure=_measure_kernel,
    diagnoses=(
        (
            lambda found: found.taps == 0,
            "the kernel is zero, and so is every image behind it",
        ),
        (
            lambda found: found.high - found.low > 0.02 and found.taps > 1,
            lambda found: (
                f"some image is multiplied by {found.high:.2f}, another by "
                f"{found.low:.2f}: patches overlap, so an orthogonal matrix for one "
                "patch is not enough"
            ),
        ),
        (
            lambda found: found.high - found.low > 0.02,
            lambda found: (
                "the one tap that is there is no orthogonal matrix: it multiplies by "
                f"{found.low:.2f} to {found.high:.2f}"
            ),
        ),
        (
            lambda found: abs(found.high - 1) > 0.01,
            lambda found: (
                f"every image is multiplied by {found.high:.3g}; divide the kernel by "
                "that"
            ),
        ),
        (
            lambda found: found.taps < TAPS,
            lambda found: (
                f"an isometry, but only {found.taps} of the nine taps differ from "
                f"zero, as in the delta-orthogonal kernel; {TAPS} are asked for"
            ),
        ),
        (
            lambda found: found.unmixed > 0,
            lambda found: (
                f"{found.unmixed} of 16 pairs of channels do not meet in any tap: mix "
                "the channels by an orthogonal matrix without zeros"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (_LENGTH, _DRAW, _LUCK, _CONVOLUTION)
