"""Small tasks that can be learned: what a comparison of initializers must train on.

On targets that are noise the network that learns nothing looks best (chapter s03), so
every chapter that trains on generated data takes one of these: a regression, a
classification that no linear model can do, and for recurrent networks a sum of two
numbers that are far apart in time. Inputs of the first two have second moment 1, as the
derivations assume; the same seed gives the same data.
"""

from __future__ import annotations

import math
from numbers import Real

import numpy as np

from initlab.race_setup import check_whole_number

__all__ = ["adding_problem", "smooth_regression", "spirals"]


def smooth_regression(
    samples: int = 512, *, features: int = 10, noise: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    r"""Draw inputs and a smooth, nonlinear target of the first three of them.

    $y = \left(\sin 2x_1 + x_2 x_3\right) / \sqrt{(3 - e^{-8}) / 2}$ with
    $x \sim \mathcal N(0, 1)$, plus normal noise. Without the noise y has mean 0 and
    variance 1, so a mean squared error of 1 is what predicting the mean costs, and
    `noise` squared is what the best model cannot avoid. A linear model reaches 0.95.

    Args:
        samples: number of samples, at least 1.
        features: number of inputs, at least 3; those after the third do not matter.
        noise: standard deviation of what is added to the target, from 0 on.
        seed: decides inputs and noise.

    Returns:
        `(x, y)`, float32, of the shapes `(samples, features)` and `(samples, 1)`.

    Raises:
        ValueError: if an argument is not of this kind.
    """
    check_whole_number("samples", samples)
    check_whole_number("features", features)
    if features < 3:
        raise ValueError(
            f"features must be at least 3, for the target depends on 3, got {features}"
        )
    _check_noise(noise)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, features))
    y = np.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    y /= math.sqrt((3 - math.exp(-8)) / 2)
    y += noise * rng.normal(size=y.shape)
    return x.astype(np.float32), y.astype(np.float32)


def spirals(
    samples: int = 600,
    *,
    classes: int = 3,
    turns: float = 1.0,
    noise: float = 0.05,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Draw points on interleaved spiral arms, one arm to a class.

    Class k lies at radius $r$ and angle $2\pi\,(k / \mathrm{classes} +
    \mathrm{turns} \cdot r)$, with r uniform on [0.1, 1] and normal noise on both
    coordinates. The points are then scaled to a second moment of 1, by the number that
    does this on average.

    Args:
        samples: number of points, at least `classes`; every class gets equally many,
            but for what does not divide.
        classes: number of arms, at least 2.
        turns: how often an arm winds around the centre; more are harder.
        noise: standard deviation of each coordinate about the arm, whose outer end is
            at distance 1.
        seed: decides points and their order.

    Returns:
        `(x, y)`: points, float32, `(samples, 2)`, and labels, uint8, `(samples,)`.

    Raises:
        ValueError: if an argument is not of this kind.
    """
    check_whole_number("samples", samples)
    check_whole_number("classes", classes)
    if not 2 <= classes <= min(samples, 256):
        raise ValueError(
            f"classes must be from 2 to {min(samples, 256)} for {samples} samples, "
            f"got {classes}"
        )
    _check_noise(noise)
    if not isinstance(turns, Real) or not math.isfinite(turns):
        raise ValueError(f"turns must be a finite number, got {turns!r}")
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(samples) % classes)
    low, high = 0.1, 1.0
    radius = rng.uniform(low, high, samples)
    angle = 2 * np.pi * (y / classes + turns * radius)
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x += noise * rng.normal(size=x.shape)
    mean_square = (high**3 - low**3) / (3 * (high - low)) / 2 + noise**2
    return (x / math.sqrt(mean_square)).astype(np.float32), y.astype(np.uint8)


def adding_problem(
    samples: int = 2000, *, length: int = 50, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    r"""Draw sequences of numbers, two of them marked; the target is the marked sum.

    At every step there are two inputs: a number, uniform on [0, 1], and a mark, which
    is 1 at one step of the first half and at one of the second, and 0 elsewhere.
    Predicting the mean, 1, costs a mean squared error of $2 \cdot 1/12 \approx 0.167$;
    a smaller one needs a memory of the first marked number, half the sequence long on
    average.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, introduced it;
    this is the form of Le, Jaitly and Hinton, "A Simple Way to Initialize Recurrent
    Networks of Rectified Linear Units", 2015, https://arxiv.org/abs/1504.00941.

    Args:
        samples: number of sequences, at least 1.
        length: steps of a sequence, at least 2.
        seed: decides everything.

    Returns:
        `(x, y)`, float32, of the shapes `(samples, length, 2)` and `(samples, 1)`.

    Raises:
        ValueError: if an argument is not of this kind.
    """
    check_whole_number("samples", samples)
    check_whole_number("length", length)
    if length < 2:
        raise ValueError(f"length must be at least 2, for two marks, got {length}")
    rng = np.random.default_rng(seed)
    numbers = rng.uniform(size=(samples, length)).astype(np.float32)
    marks = np.zeros_like(numbers)
    rows, half = np.arange(samples), length // 2
    marks[rows, rng.integers(0, half, samples)] = 1
    marks[rows, rng.integers(half, length, samples)] = 1
    y = (numbers * marks).sum(axis=1, keepdims=True)
    return np.stack([numbers, marks], axis=-1), y


def _check_noise(noise: float) -> None:
    if not isinstance(noise, Real) or not 0 <= noise < math.inf:
        raise ValueError(f"noise must be a finite number from 0 on, got {noise!r}")
