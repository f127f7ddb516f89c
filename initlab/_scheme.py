"""What an initialization scheme is, and how a kernel is filled.

`Scheme` says which scale and which distribution; below it stand the fans of a shape and
one sampler per distribution. `schemes` lists the schemes that there are.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# The std of N(0, 1) cut off at two sigma. Keras divides by it, so that the weights
# that remain after truncation have the variance that the formula asks for.
TRUNCATION_CORRECTION = 0.87962566103423978
TRUNCATION_SIGMAS = 2.0

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Source:
    """The publication that a scheme comes from."""

    title: str
    authors: str
    year: int
    link: str


@dataclass(frozen=True)
class Scheme:
    r"""One initialization scheme: weights of mean `value` and std `gain / sqrt(n)`.

    Attributes:
        name: Keras's name, "he_normal".
        title: the name for headings and legends, "He normal".
        formula: the scale as text, "std = sqrt(2 / fan_in)".
        latex: the same formula as LaTeX, without dollar signs.
        distribution: "normal", "truncated_normal", "uniform", "orthogonal", "constant".
        source: the publication that it comes from.
        keras_config: the equal Keras initializer: class name and arguments.
        fan_rule: what n is: "fan_in", "fan_out", "fan_avg", "longest_side" (of the
            kernel seen as a matrix) or "none", which is n = 1.
        gain: the std at n = 1.
        value: the mean of the weights; only a constant has one other than 0.
    """

    name: str
    title: str
    formula: str
    latex: str
    distribution: str
    source: Source
    keras_config: tuple[str, tuple[tuple[str, Any], ...]]
    fan_rule: str = "none"
    gain: float = 0.0
    value: float = 0.0

    def std(self, shape: Sequence[int]) -> float:
        r"""Return the standard deviation of a weight, $\mathrm{gain} / \sqrt{n}$.

        It is the deviation from the mean, hence 0 for every constant.

        Args:
            shape: kernel shape (..., fan_in, fan_out).

        Raises:
            ValueError: if the scheme cannot fill that shape.
        """
        return self.gain / math.sqrt(FAN_RULES[self.fan_rule](checked_shape(shape)))

    def limit(self, shape: Sequence[int]) -> float:
        r"""Return the largest absolute weight possible; infinite for a normal.

        Of standard deviation $\sigma$ a uniform has $\sqrt{3}\,\sigma$, a truncated
        normal $2\sigma / 0.8796$. An orthogonal matrix has its gain.

        Args:
            shape: kernel shape (..., fan_in, fan_out).

        Raises:
            ValueError: if the scheme cannot fill that shape.
        """
        deviation = LIMITS[self.distribution](self.std(shape), checked_shape(shape))
        return abs(self.value) + deviation

    def sample(self, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Draw the weights of one kernel.

        Args:
            shape: kernel shape (..., fan_in, fan_out).
            rng: numpy's random generator; every draw moves it on.

        Returns:
            float64 array of that shape.

        Raises:
            ValueError: if the scheme cannot fill that shape.
            TypeError: if `rng` is not a `numpy.random.Generator`.
        """
        if not isinstance(rng, np.random.Generator):
            raise TypeError(
                "rng must be a numpy Generator such as numpy.random.default_rng(0), "
                f"got {rng!r}"
            )
        draw = SAMPLERS[self.distribution]
        return self.value + draw(rng, checked_shape(shape), self.std(shape))

    def keras(self, seed: int | None = None) -> Any:
        """Return the equal Keras initializer, a fresh one at every call.

        Layers of one shape that share an initializer, or an integer seed, get identical
        weights. Without a seed every call of this method gives weights of its own.

        Args:
            seed: seed of the initializer; constants need none and ignore it.
        """
        import keras

        class_name, arguments = self.keras_config
        seeded = {} if self.distribution == "constant" else {"seed": seed}
        return getattr(keras.initializers, class_name)(**dict(arguments), **seeded)


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return a kernel's `(fan_in, fan_out)` as Keras counts them.

    A dense kernel (i, o) has (i, o); a convolution kernel (height, width, i, o) has
    (height·width·i, height·width·o); a vector (n,) has (n, n) and a scalar (1, 1).

    Args:
        shape: kernel shape (..., fan_in, fan_out).

    Raises:
        ValueError: if a dimension is below 1.
        TypeError: if the shape is not a sequence of integers.
    """
    shape = checked_shape(shape)
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    receptive_field = math.prod(shape[:-2])
    return receptive_field * shape[-2], receptive_field * shape[-1]


def checked_shape(shape: Sequence[int]) -> Shape:
    """Return the shape as a tuple of Python integers, or say what is wrong with it."""
    try:
        checked = tuple(operator.index(size) for size in shape)
    except TypeError:
        raise TypeError(f"shape must be a tuple of integers, got {shape!r}") from None
    if any(size < 1 for size in checked):
        raise ValueError(f"every dimension of shape must be at least 1, got {checked}")
    return checked


def matrix_shape(shape: Shape) -> tuple[int, int]:
    """Return (rows, columns) of a kernel seen as a matrix: the last axis is columns."""
    if len(shape) < 2:
        raise ValueError(
            f"an orthogonal kernel needs at least 2 axes, got shape {shape}"
        )
    return math.prod(shape[:-1]), shape[-1]


# What n is in Var W = scale / n, by the name of the rule.
FAN_RULES: dict[str, Callable[[Shape], float]] = {
    "fan_in": lambda shape: fans(shape)[0],
    "fan_out": lambda shape: fans(shape)[1],
    "fan_avg": lambda shape: sum(fans(shape)) / 2,
    "longest_side": lambda shape: max(matrix_shape(shape)),
    "none": lambda shape: 1,
}


def _normal(rng: np.random.Generator, shape: Shape, std: float) -> np.ndarray:
    return rng.normal(0.0, std, shape)


def _uniform(rng: np.random.Generator, shape: Shape, std: float) -> np.ndarray:
    limit = math.sqrt(3.0) * std
    return rng.uniform(-limit, limit, shape)


def _truncated_normal(rng: np.random.Generator, shape: Shape, std: float) -> np.ndarray:
    """Redraw what falls beyond two sigma until nothing does, as TensorFlow does."""
    z = rng.standard_normal(math.prod(shape))
    outside = np.flatnonzero(np.abs(z) > TRUNCATION_SIGMAS)
    while outside.size:
        z[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(z[outside]) > TRUNCATION_SIGMAS]
    return z.reshape(shape) * (std / TRUNCATION_CORRECTION)


def _orthogonal(rng: np.random.Generator, shape: Shape, std: float) -> np.ndarray:
    """Take Q of a Gaussian matrix; without the signs of R it is not uniform (Haar)."""
    rows, columns = matrix_shape(shape)
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    gain = std * math.sqrt(max(rows, columns))
    return (q if rows >= columns else q.T).reshape(shape) * gain


# (generator, shape, std of the weights) -> float64 weights of mean 0.
SAMPLERS: dict[str, Callable[[np.random.Generator, Shape, float], np.ndarray]] = {
    "normal": _normal,
    "truncated_normal": _truncated_normal,
    "uniform": _uniform,
    "orthogonal": _orthogonal,
    "constant": lambda rng, shape, std: np.zeros(shape),
}

# The largest absolute deviation from the mean: (std, shape) -> limit.
LIMITS: dict[str, Callable[[float, Shape], float]] = {
    "normal": lambda std, shape: math.inf,
    "truncated_normal": lambda std, shape: (
        TRUNCATION_SIGMAS * std / TRUNCATION_CORRECTION
    ),
    "uniform": lambda std, shape: math.sqrt(3.0) * std,
    "orthogonal": lambda std, shape: std * math.sqrt(max(matrix_shape(shape))),
    "constant": lambda std, shape: 0.0,
}
