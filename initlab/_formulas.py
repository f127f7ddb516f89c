"""The formulas of the activations in numpy: f, f', f as text, and the kinks.

Each is written so that large arguments neither overflow nor lose digits, and keeps the
precision of its argument up to numpy's promotions. `activations` makes them public.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Formula(NamedTuple):
    """A function with its derivative, its text and the points where it has kinks."""

    f: Callable[[np.ndarray], np.ndarray]
    derivative: Callable[[np.ndarray], np.ndarray]
    text: str
    kinks: tuple[float, ...] = ()


def leaky_relu(slope: float) -> Formula:
    """Return x above 0 and `slope` times x below."""
    return Formula(
        lambda x: np.where(x > 0, x, slope * x),
        lambda x: np.where(x > 0, 1, slope),
        f"x if x > 0 else {slope:.6g} * x",
        (0.0,),
    )


def elu(alpha: float) -> Formula:
    """Return x above 0 and alpha (e^x - 1) below."""
    return Formula(
        lambda x: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0))),
        f"x if x > 0 else {alpha:.6g} * (exp(x) - 1)",
        (0.0,),
    )


def gelu(approximate: bool) -> Formula:
    """Return x times the normal distribution function, or its approximation."""
    if approximate:
        text = "x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))"
        return Formula(_gelu_tanh, _gelu_tanh_derivative, text)
    return Formula(_gelu, _gelu_derivative, "x * Phi(x)")


def _sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def _sigmoid_derivative(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return e / (1 + e) ** 2


def _sech_squared(x: np.ndarray) -> np.ndarray:
    """Return tanh'(x) = 1 - tanh(x)^2 without the cancellation."""
    return 4 * _sigmoid_derivative(2 * x)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _mish_derivative(x: np.ndarray) -> np.ndarray:
    inner = _softplus(x)
    return np.tanh(inner) + x * _sech_squared(inner) * _sigmoid(x)


def _hard_sigmoid(x: np.ndarray) -> np.ndarray:
    return np.clip(x / 6 + 0.5, 0, 1)


def _gelu(x: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return x * ndtr(x)


def _gelu_derivative(x: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return ndtr(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _gelu_tanh_derivative(x: np.ndarray) -> np.ndarray:
    near = np.clip(x, -20, 20)  # the tanh is flat beyond; its argument would overflow
    inner = math.sqrt(2 / math.pi) * (near + 0.044715 * near**3)
    inner_slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * near**2)
    return (1 + np.tanh(inner) + near * _sech_squared(inner) * inner_slope) / 2


def _squareplus(x: np.ndarray) -> np.ndarray:
    root = np.hypot(x, 2)
    return np.where(x > 0, (x + root) / 2, 2 / (root + np.abs(x)))


# Klambauer et al., "Self-normalizing neural networks", 2017: they make mean 0 and
# variance 1 a fixed point.
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _selu(x: np.ndarray) -> np.ndarray:
    return _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0)))


def _selu_derivative(x: np.ndarray) -> np.ndarray:
    below = _SELU_ALPHA * np.exp(np.minimum(x, 0))
    return _SELU_SCALE * np.where(x < 0, below, 1)


FORMULAS = {
    "linear": Formula(lambda x: +x, np.ones_like, "x"),
    "relu": Formula(
        lambda x: np.maximum(x, 0), lambda x: x > 0, "max(x, 0)", kinks=(0.0,)
    ),
    "leaky_relu": leaky_relu(0.2),
    "relu6": Formula(
        lambda x: np.clip(x, 0, 6),
        lambda x: (x > 0) & (x < 6),
        "min(max(x, 0), 6)",
        kinks=(0.0, 6.0),
    ),
    "elu": elu(1.0),
    "celu": elu(1.0),  # another function only for alpha other than Keras's 1
    "selu": Formula(
        _selu,
        _selu_derivative,
        f"{_SELU_SCALE} * (x if x > 0 else {_SELU_ALPHA} * (exp(x) - 1))",
        kinks=(0.0,),
    ),
    "gelu": gelu(approximate=False),
    "silu": Formula(
        lambda x: x * _sigmoid(x),
        lambda x: _sigmoid(x) + x * _sigmoid_derivative(x),
        "x / (1 + exp(-x))",
    ),
    "mish": Formula(
        lambda x: x * np.tanh(_softplus(x)),
        _mish_derivative,
        "x * tanh(log(1 + exp(x)))",
    ),
    "softplus": Formula(_softplus, _sigmoid, "log(1 + exp(x))"),
    "squareplus": Formula(
        _squareplus,
        lambda x: _squareplus(x) / np.hypot(x, 2),
        "(x + sqrt(x**2 + 4)) / 2",
    ),
    "softsign": Formula(
        lambda x: x / (1 + np.abs(x)),
        lambda x: 1 / (1 + np.abs(x)) ** 2,
        "x / (1 + abs(x))",
        kinks=(0.0,),
    ),
    "tanh": Formula(np.tanh, _sech_squared, "tanh(x)"),
    "sigmoid": Formula(_sigmoid, _sigmoid_derivative, "1 / (1 + exp(-x))"),
    "log_sigmoid": Formula(
        lambda x: -_softplus(-x), lambda x: _sigmoid(-x), "-log(1 + exp(-x))"
    ),
    "exponential": Formula(np.exp, np.exp, "exp(x)"),
    "hard_sigmoid": Formula(
        _hard_sigmoid,
        lambda x: (np.abs(x) < 3) / 6,
        "min(max(x / 6 + 1 / 2, 0), 1)",
        kinks=(-3.0, 3.0),
    ),
    "hard_silu": Formula(
        lambda x: x * _hard_sigmoid(x),
        lambda x: _hard_sigmoid(x) + np.where(np.abs(x) < 3, x / 6, 0),
        "x * min(max(x / 6 + 1 / 2, 0), 1)",
        kinks=(-3.0, 3.0),
    ),
    "hard_tanh": Formula(
        lambda x: np.clip(x, -1, 1),
        lambda x: np.abs(x) <= 1,
        "min(max(x, -1), 1)",
        kinks=(-1.0, 1.0),
    ),
    "hard_shrink": Formula(
        lambda x: np.where(np.abs(x) > 0.5, x, 0),
        lambda x: np.abs(x) > 0.5,
        "x if abs(x) > 0.5 else 0",
        kinks=(-0.5, 0.5),
    ),
    "soft_shrink": Formula(
        lambda x: x - np.clip(x, -0.5, 0.5),
        lambda x: np.abs(x) > 0.5,
        "x - min(max(x, -0.5), 0.5)",
        kinks=(-0.5, 0.5),
    ),
    "tanh_shrink": Formula(
        lambda x: x - np.tanh(x), lambda x: np.tanh(x) ** 2, "x - tanh(x)"
    ),
    "sparse_plus": Formula(
        lambda x: np.where(x < 1, np.maximum(x + 1, 0) ** 2 / 4, x),
        lambda x: np.clip((x + 1) / 2, 0, 1),
        "x if x >= 1 else max(x + 1, 0)**2 / 4",
        kinks=(-1.0, 1.0),
    ),
    "sparse_sigmoid": Formula(
        lambda x: np.clip((x + 1) / 2, 0, 1),
        lambda x: (np.abs(x) < 1) / 2,
        "min(max((x + 1) / 2, 0), 1)",
        kinks=(-1.0, 1.0),
    ),
}
