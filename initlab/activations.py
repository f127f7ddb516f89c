"""Activation functions and their derivatives in numpy, under Keras's names.

`get` turns a name or any function into an `Activation`; the formulas of the named ones
are in `_formulas`. At a kink the derivative is the one of TensorFlow: relu'(0) = 0.
The axis-wise functions (softmax, glu, sparsemax …) have no place here.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from initlab import _formulas

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Activation:
    """An elementwise function with its derivative.

    Both take an array of any shape and return one of the same shape; float32 and
    float64 come back as they went in, integers as float64.

    Attributes:
        name: Keras's name, or that of the callable.
        f: the function.
        derivative: its derivative.
        formula: f(x) as a Python expression; empty for a callable.
        kinks: where f or f' is not smooth, so that a quadrature can stop there.
    """

    name: str
    f: Function
    derivative: Function
    formula: str = ""
    kinks: tuple[float, ...] = ()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return f(x)."""
        return self.f(x)


def names() -> tuple[str, ...]:
    """Return the names that `get` knows, aliases included."""
    return tuple(_REGISTRY)


def get(activation: str | Callable[..., Any] | Activation | None) -> Activation:
    """Return the activation of that name, or make one of a function.

    Keras's own functions (`keras.activations.relu`) are recognised. The derivative of
    any other function f is the central difference (f(x + h) - f(x - h)) / 2h in
    float64, with h = 1e-6 max(1, abs(x)): right to about 1e-9 where f is smooth, the
    mean of both slopes at a kink, meaningless at a jump; build an `Activation` where
    that is too little. A function gets a numpy array and returns real numbers of its
    shape.

    Args:
        activation: one of `names()`, an `Activation`, a function, or None for "linear".

    Raises:
        ValueError: for an unknown name; the message offers the closest known ones. The
            functions of the result raise it when a callable returns no real numbers
            or another shape than it was given.
        TypeError: for anything else.
    """
    if isinstance(activation, Activation):
        return activation
    if activation is None:
        return _REGISTRY["linear"]
    if callable(activation):
        name = getattr(activation, "__name__", type(activation).__name__)
        # Not `keras.ops`: its gelu has another default than `keras.activations.gelu`.
        module = str(getattr(activation, "__module__", ""))
        if module.startswith("keras.src.activations") and name in _REGISTRY:
            return _REGISTRY[name]
        return _from_callable(activation, name)
    if not isinstance(activation, str):
        raise TypeError(
            "activation must be a name, a function or an Activation, "
            f"got {activation!r}"
        )
    if activation in _REGISTRY:
        return _REGISTRY[activation]
    close = difflib.get_close_matches(activation.lower(), _REGISTRY)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(
        f"unknown activation {activation!r}: {hint}"
        f"The activations are {', '.join(_REGISTRY)}"
    )


def leaky_relu(negative_slope: float = 0.2) -> Activation:
    """Return the leaky ReLU: x above 0, `negative_slope` times x below.

    Source: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network
    acoustic models", 2013. The default slope is Keras's.

    Args:
        negative_slope: slope below 0, any finite number.

    Raises:
        ValueError: if `negative_slope` is not a finite number.
    """
    slope = _number("negative_slope", negative_slope)
    return _activation("leaky_relu", _formulas.leaky_relu(slope))


def elu(alpha: float = 1.0) -> Activation:
    """Return the exponential linear unit: x above 0, `alpha`·(e^x - 1) below.

    Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network
    learning by exponential linear units (ELUs)", 2016, https://arxiv.org/abs/1511.07289

    Args:
        alpha: minus the limit at -infinity, any finite number.

    Raises:
        ValueError: if `alpha` is not a finite number.
    """
    return _activation("elu", _formulas.elu(_number("alpha", alpha)))


def gelu(approximate: bool = False) -> Activation:
    """Return the Gaussian error linear unit x Φ(x), or its approximation by a tanh.

    Source: Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016,
    https://arxiv.org/abs/1606.08415

    Args:
        approximate: False, Keras's default, for x Φ(x); True for the tanh.
    """
    return _activation("gelu", _formulas.gelu(approximate))


def _number(argument: str, value: float) -> float:
    if not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{argument} must be a finite number, got {value!r}")
    return float(value)


def _elementwise(formula: Function) -> Function:
    """Let a formula take anything array-like, and keep the precision that came in."""

    @functools.wraps(formula)
    def f(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x)
        if not np.issubdtype(x.dtype, np.floating):
            x = x.astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(formula(x)).astype(x.dtype, copy=False)

    return f


def _from_callable(function: Callable[..., Any], name: str) -> Activation:
    def checked(x: np.ndarray) -> np.ndarray:
        try:
            y = np.asarray(function(x))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"activation {name!r} failed on a numpy array of shape {x.shape} "
                f"({error}); numpy.vectorize adapts a function of single numbers"
            ) from error
        if y.shape != x.shape:
            raise ValueError(
                f"activation {name!r} must keep the shape of its input: "
                f"it was given {x.shape} and returned {y.shape}"
            )
        if y.dtype.kind not in "fiub":
            raise ValueError(
                f"activation {name!r} must return real numbers, got dtype {y.dtype}"
            )
        return y

    def difference(x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float64)
        # What computes in float32 needs a wider step, or the difference is noise.
        single = checked(x).dtype in (np.float32, np.float16)
        h = (5e-3 if single else 1e-6) * np.maximum(1.0, np.abs(x))
        above, below = x + h, x - h
        rise = checked(above).astype(np.float64) - checked(below).astype(np.float64)
        return rise / (above - below)

    return Activation(name, _elementwise(checked), _elementwise(difference))


def _activation(name: str, formula: _formulas.Formula) -> Activation:
    f, derivative = _elementwise(formula.f), _elementwise(formula.derivative)
    return Activation(name, f, derivative, formula.text, formula.kinks)


_REGISTRY = {name: _activation(name, f) for name, f in _formulas.FORMULAS.items()}
_REGISTRY["swish"] = _REGISTRY["silu"]
_REGISTRY["hard_swish"] = _REGISTRY["hard_silu"]
