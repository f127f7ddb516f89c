"""How a kernel is filled: one sampler per distribution, and what it cannot fill.

A sampler takes the scheme, the kernel's layout and shape and a generator, and returns
float64 weights before the scheme's `value` is added.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from initlab._fans import Layout, Shape, join

if TYPE_CHECKING:
    from initlab._scheme import Scheme

# The std of N(0, 1) cut off at two sigma. Keras divides by it, so that the weights
# that remain after truncation have the variance that the formula asks for.
TRUNCATION_CORRECTION = 0.87962566103423978
TRUNCATION_SIGMAS = 2.0

Sampler = Callable[["Scheme", Layout, Shape, np.random.Generator], np.ndarray]


def _constant(
    scheme: Scheme, layout: Layout, shape: Shape, rng: np.random.Generator
) -> np.ndarray:
    return np.zeros(shape)


def _normal(
    scheme: Scheme, layout: Layout, shape: Shape, rng: np.random.Generator
) -> np.ndarray:
    return rng.normal(0.0, scheme.std_of(layout, shape), shape)


def _uniform(
    scheme: Scheme, layout: Layout, shape: Shape, rng: np.random.Generator
) -> np.ndarray:
    limit = math.sqrt(3.0) * scheme.std_of(layout, shape)
    return rng.uniform(-limit, limit, shape)


def _truncated_normal(
    scheme: Scheme, layout: Layout, shape: Shape, rng: np.random.Generator
) -> np.ndarray:
    """Redraw what falls beyond two sigma until nothing does, as TensorFlow does."""
    z = rng.standard_normal(math.prod(shape))
    outside = np.flatnonzero(np.abs(z) > TRUNCATION_SIGMAS)
    while outside.size:
        z[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(z[outside]) > TRUNCATION_SIGMAS]
    return z.reshape(shape) * (scheme.std_of(layout, shape) / TRUNCATION_CORRECTION)


def _orthogonal(
    scheme: Scheme, layout: Layout, shape: Shape, rng: np.random.Generator
) -> np.ndarray:
    matrices, rows, columns = layout.matrices(shape)
    # Through the std: the gain itself would move recorded draws by their last bit.
    gain = scheme.std_of(layout, shape) * math.sqrt(max(rows, columns))
    return join(_isometries(rng, matrices, rows, columns), shape) * gain


def _identity(
    scheme: Scheme, layout: Layout, shape: Shape, rng: np.random.Generator
) -> np.ndarray:
    matrices, rows, columns = layout.matrices(shape)
    diagonal = np.eye(rows, columns) * scheme.gain
    return join(np.stack([diagonal] * matrices), shape)


def _delta_orthogonal(
    scheme: Scheme, layout: Layout, shape: Shape, rng: np.random.Generator
) -> np.ndarray:
    """Fill the tap that "same" padding puts upon the pixel, also in an even window."""
    *window, inputs, outputs = shape
    matrices, _, columns = layout.matrices(shape)
    weights = np.zeros(shape)
    centre = tuple((size - 1) // 2 for size in window)
    tap = join(_isometries(rng, matrices, inputs, columns), (inputs, outputs))
    weights[centre] = tap * scheme.gain
    return weights


def _sparse(
    scheme: Scheme, layout: Layout, shape: Shape, rng: np.random.Generator
) -> np.ndarray:
    matrices, rows, columns = layout.matrices(shape)
    weights = np.zeros((matrices, rows, columns))
    lots = rng.random(weights.shape)
    chosen = np.argpartition(lots, scheme.nonzero - 1, axis=1)[:, : scheme.nonzero]
    # In which order a partition leaves them depends on numpy's version.
    chosen.sort(axis=1)
    std = scheme.gain / math.sqrt(scheme.nonzero)
    np.put_along_axis(weights, chosen, rng.normal(0.0, std, chosen.shape), axis=1)
    return join(weights, shape)


def _isometries(
    rng: np.random.Generator, matrices: int, rows: int, columns: int
) -> np.ndarray:
    """Take Q of Gaussian matrices; without the signs of R it is not uniform (Haar)."""
    tall = (matrices, max(rows, columns), min(rows, columns))
    q, r = np.linalg.qr(rng.standard_normal(tall))
    q *= np.where(np.diagonal(r, axis1=1, axis2=2) < 0, -1.0, 1.0)[:, np.newaxis]
    return q if rows >= columns else q.swapaxes(1, 2)


SAMPLERS: dict[str, Sampler] = {
    "constant": _constant,
    "normal": _normal,
    "uniform": _uniform,
    "truncated_normal": _truncated_normal,
    "orthogonal": _orthogonal,
    "identity": _identity,
    "delta_orthogonal": _delta_orthogonal,
    "sparse": _sparse,
}

# The largest absolute deviation from `value`: (scheme, std of the weights) -> limit.
LIMITS: dict[str, Callable[[Scheme, float], float]] = {
    "constant": lambda scheme, std: 0.0,
    "normal": lambda scheme, std: math.inf,
    "uniform": lambda scheme, std: math.sqrt(3.0) * std,
    "truncated_normal": lambda scheme, std: (
        TRUNCATION_SIGMAS * std / TRUNCATION_CORRECTION
    ),
    "orthogonal": lambda scheme, std: scheme.gain,
    "identity": lambda scheme, std: scheme.gain,
    "delta_orthogonal": lambda scheme, std: scheme.gain,
    "sparse": lambda scheme, std: math.inf,
}


def check_fillable(scheme: Scheme, layout: Layout, shape: Shape) -> None:
    """Refuse a kernel on which the scheme could not keep what it promises."""
    layout.check_rule(scheme.fan_rule)
    layout.check_shape(shape)
    if scheme.distribution in _REFUSALS:
        _REFUSALS[scheme.distribution](scheme, layout, shape)


def _refuse_identity(scheme: Scheme, layout: Layout, shape: Shape) -> None:
    if len(shape) != 2:
        raise ValueError(
            f"identity fills a matrix, got shape {shape}; the kernel of a convolution "
            "that keeps its input takes delta_orthogonal"
        )


def _refuse_delta(scheme: Scheme, layout: Layout, shape: Shape) -> None:
    if layout.kind not in ("dense", "conv") or not 3 <= len(shape) <= 5:
        raise ValueError(
            "delta_orthogonal fills the kernels of Conv1D, Conv2D and Conv3D, which "
            f"have 3 to 5 axes, got shape {shape} and kind {layout.kind!r}"
        )
    if layout.steps(len(shape) - 2) > 1:
        raise ValueError(
            "delta_orthogonal keeps a norm only where nothing is skipped: strides must "
            f"be 1, got {layout.strides!r}"
        )
    _, _, outputs = layout.matrices(shape)
    if outputs < shape[-2]:
        raise ValueError(
            "delta_orthogonal needs at least as many outputs as inputs, or it would "
            f"lose some of them, got {shape[-2]} inputs and {outputs} outputs "
            f"(shape {shape})"
        )


def _refuse_sparse(scheme: Scheme, layout: Layout, shape: Shape) -> None:
    if layout.kind == "conv_transpose":
        raise ValueError(
            "sparse cannot fill a kernel of kind 'conv_transpose': how many of its "
            "weights feed an output differs from pixel to pixel"
        )
    _, rows, _ = layout.matrices(shape)
    if rows < scheme.nonzero:
        raise ValueError(
            f"nonzero must be at most the fan-in {rows} of shape {shape}, "
            f"got {scheme.nonzero}"
        )


_REFUSALS: dict[str, Callable[[Scheme, Layout, Shape], None]] = {
    "identity": _refuse_identity,
    "delta_orthogonal": _refuse_delta,
    "sparse": _refuse_sparse,
}
