"""Fans: how many inputs feed an output through a kernel, and how many outputs an input.

`fans` counts them for the kernels of every Keras layer. Below it, `Layout` says how a
kernel's axes connect inputs and outputs, and of which separate matrices it consists.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Shape = tuple[int, ...]


def fans(
    shape: Sequence[int],
    kind: str = "dense",
    *,
    groups: int = 1,
    strides: int | Sequence[int] = 1,
    gates: int | None = None,
) -> tuple[float, float]:
    r"""Return a kernel's `(fan_in, fan_out)`.

    The fan-in is the number of inputs that feed one output, the fan-out the number of
    outputs that one input feeds, both away from the borders. With $t$ taps (height ×
    width of a window), $i$ inputs, $o$ outputs, $s$ the product of the strides:

    ================  =======================  ==============  ===================
    kind              shape                    fan_in          fan_out
    ================  =======================  ==============  ===================
    "dense"           (i, o)                   i               o
    "conv"            (…, i / groups, o)       t · i / groups  t · o / groups / s
    "conv_transpose"  (…, o, i)                t · i / s       t · o
    "depthwise"       (…, channels, m)         t               t · m / s
    "recurrent"       (i, gates · units)       i               units
    ================  =======================  ==============  ===================

    From the shape alone Keras gets some of them wrong, and they are right here:

    - An output of a depthwise convolution sees the window of one channel. Keras
      multiplies that by the channels, which makes He's variance that much too small.
    - The kernel of a transposed convolution has its outputs before its inputs, hence
      Keras swaps the fans; of its taps only one in `strides` meets an input.
    - An input of a grouped convolution feeds one group, and with strides it meets only
      some of the taps: Keras's fan-out is too large.
    - The kernel of an LSTM is four matrices side by side, that of a GRU three. An input
      feeds `units` outputs of a gate; Keras counts those of all gates together.

    "dense" is Keras's own rule and takes any shape: a convolution kernel counts as one
    of kind "conv", a vector (n,) has (n, n), a scalar (1, 1). A SeparableConv has two
    kernels, the first of kind "depthwise", the second "conv" with strides 1.

    Args:
        shape: kernel shape, as Keras has it.
        kind: "dense", "conv", "conv_transpose", "depthwise", "recurrent" (the input
            kernel or the recurrent one) or "embedding", which has no fans.
        groups: of a "conv", the layer's `groups`.
        strides: of a convolution of any kind, one number or one for each axis.
        gates: of a "recurrent" kernel, 4 for an LSTM, 3 for a GRU, 1 for a SimpleRNN.

    Returns:
        Two counts; where the strides do not divide one, it is a mean over positions.

    Raises:
        ValueError: if a dimension is below 1, the shape does not fit the kind, or an
            option belongs to another kind; for the kind "embedding", because a lookup
            table sums nothing: its output is its weight, so choose the std directly.
        TypeError: if the shape or an option is not made of integers.
    """
    return Layout(kind, groups, strides, gates).fans(checked_shape(shape))


@dataclass(frozen=True)
class Layout:
    """How a kernel's axes connect inputs and outputs; the options are those of `fans`.

    Attributes:
        kind: one of the kinds that `fans` lists.
        groups: separate groups of a convolution.
        strides: one number, or one for each axis.
        gates: matrices side by side in a recurrent kernel.
    """

    kind: str = "dense"
    groups: int = 1
    strides: int | Sequence[int] = 1
    gates: int | None = None

    def __post_init__(self) -> None:
        """Refuse options that are no counts or that belong to another kind."""
        if self.kind not in _KINDS:
            kinds = ", ".join(map(repr, _KINDS))
            raise ValueError(f"kind must be one of {kinds}, got {self.kind!r}")
        for option, neutral in _NEUTRAL.items():
            value = getattr(self, option)
            if value == neutral:
                continue
            _check_count(option, value)
            if option not in _KINDS[self.kind].options:
                owners = [k for k, v in _KINDS.items() if option in v.options]
                raise ValueError(
                    f"{option} is an option of kind {' or '.join(map(repr, owners))}, "
                    f"got {option}={value!r} for kind {self.kind!r}"
                )
        if self.kind == "recurrent" and self.gates is None:
            raise ValueError(
                "a recurrent kernel needs gates: 4 for an LSTM, 3 for a GRU, "
                "1 for a SimpleRNN"
            )

    @property
    def matrices_per_row(self) -> int:
        """How many separate matrices stand side by side in the last axis."""
        return self.groups * (self.gates or 1)

    def fans(self, shape: Shape) -> tuple[float, float]:
        """Return `(fan_in, fan_out)`, see the function `fans`."""
        self.check_rule("fan_in")
        self.check_shape(shape)
        if len(shape) < 2:
            return math.prod(shape), math.prod(shape)
        *window, inputs, outputs = shape
        taps, steps = math.prod(window), self.steps(len(window))
        if self.kind == "conv_transpose":
            return _quotient(taps * outputs, steps), taps * inputs
        if self.kind == "depthwise":
            return taps, _quotient(taps * outputs, steps)
        fan_out = _quotient(taps * outputs, self.matrices_per_row * steps)
        return taps * inputs, fan_out

    def matrices(self, shape: Shape) -> tuple[int, int, int]:
        """Return `(matrices, rows, columns)` of the separate maps within a kernel.

        One for a dense kernel, whose columns are its last axis; one for each group,
        gate or depthwise channel. `join` puts such matrices together again.
        """
        self.check_rule("longest_side")
        self.check_shape(shape)
        if len(shape) < 2:
            raise ValueError(
                f"a kernel seen as a matrix needs at least 2 axes, got shape {shape}"
            )
        if self.kind == "depthwise":
            return shape[-2], math.prod(shape[:-2]), shape[-1]
        columns = shape[-1] // self.matrices_per_row
        return self.matrices_per_row, math.prod(shape[:-1]), columns

    def counted_by_keras(self, rule: str) -> bool:
        """Tell whether Keras takes the same n of this rule from the shape alone."""
        if rule == "none":
            return True
        if self.kind not in _RIGHT_IN_KERAS[rule]:
            return False
        whole = self.matrices_per_row == 1
        if rule in ("fan_out", "fan_avg"):
            return whole and _product(self.strides) == 1
        return whole or rule == "fan_in"

    def get_config(self) -> dict[str, Any]:
        """Return the kind and its options, fit for JSON."""
        several, whole = isinstance(self.strides, Sequence), operator.index
        return {
            "kind": self.kind,
            "groups": whole(self.groups),
            "strides": [*map(whole, self.strides)] if several else whole(self.strides),
            "gates": None if self.gates is None else whole(self.gates),
        }

    def check_rule(self, rule: str) -> None:
        """Refuse whatever needs to know how many inputs a lookup table sums."""
        if self.kind == "embedding" and rule != "none":
            raise ValueError(
                "an embedding has no fans: what a lookup table puts out is its weight "
                "itself, so choose the std directly, as in random_normal(std)"
            )

    def check_shape(self, shape: Shape) -> None:
        """Refuse a shape that no kernel of this kind can have."""
        axes = _KINDS[self.kind].axes
        if len(shape) < axes:
            raise ValueError(
                f"a kernel of kind {self.kind!r} needs at least {axes} axes, "
                f"got shape {shape}"
            )
        if self.matrices_per_row > 1 and shape[-1] % self.matrices_per_row:
            option = "groups" if self.groups > 1 else "gates"
            raise ValueError(
                f"{option} must divide the last axis of shape {shape}, "
                f"got {self.matrices_per_row}"
            )
        self.steps(len(shape) - 2)

    def steps(self, axes: int) -> int:
        """Return the product of the strides over so many axes."""
        if not isinstance(self.strides, Sequence):
            return self.strides ** max(axes, 0)
        if len(self.strides) != axes:
            raise ValueError(
                f"strides must be one number or {axes}, one for each axis of the "
                f"window, got {self.strides!r}"
            )
        return math.prod(self.strides)


def join(matrices: np.ndarray, shape: Shape) -> np.ndarray:
    """Put the matrices `(matrices, rows, columns)` of `Layout.matrices` together."""
    return matrices.swapaxes(0, 1).reshape(shape)


def checked_shape(shape: Sequence[int]) -> Shape:
    """Return the shape as a tuple of Python integers, or say what is wrong with it."""
    try:
        checked = tuple(operator.index(size) for size in shape)
    except TypeError:
        raise TypeError(f"shape must be a tuple of integers, got {shape!r}") from None
    if any(size < 1 for size in checked):
        raise ValueError(f"every dimension of shape must be at least 1, got {checked}")
    return checked


def _check_count(argument: str, value: Any) -> None:
    several = argument == "strides" and isinstance(value, Sequence)
    try:
        counts = [operator.index(count) for count in (value if several else (value,))]
    except TypeError:
        raise TypeError(f"{argument} must be a whole number, got {value!r}") from None
    if any(count < 1 for count in counts):
        raise ValueError(f"{argument} must be at least 1, got {value!r}")


def _product(strides: int | Sequence[int]) -> int:
    return math.prod(strides) if isinstance(strides, Sequence) else strides


def _quotient(count: int, steps: int) -> float:
    """Divide, and stay an integer where the division leaves no rest."""
    return count / steps if count % steps else count // steps


def _diagonal(side: int) -> float:
    """Return n of a diagonal of ones: mean square 1/side, mean 1/side."""
    return side**2 / (side - 1) if side > 1 else math.inf


@dataclass(frozen=True)
class _Kind:
    """The fewest axes that a kernel of this kind has, and the options it takes."""

    axes: int
    options: tuple[str, ...] = ()


_KINDS = {
    "dense": _Kind(0),
    "conv": _Kind(3, ("groups", "strides")),
    "conv_transpose": _Kind(3, ("strides",)),
    "depthwise": _Kind(3, ("strides",)),
    "recurrent": _Kind(2, ("gates",)),
    "embedding": _Kind(2),
}
_NEUTRAL = {"groups": 1, "strides": 1, "gates": None}

# The kinds whose n Keras has right if it is one matrix without strides. For the fan-in
# neither matters, for the sides of a matrix strides do not.
_RIGHT_IN_KERAS = {
    "fan_in": ("dense", "conv", "recurrent"),
    "fan_out": ("dense", "conv", "recurrent", "depthwise"),
    "fan_avg": ("dense", "conv", "recurrent", "conv_transpose"),
    "longest_side": ("dense", "conv", "recurrent", "conv_transpose"),
    "diagonal": ("dense", "recurrent"),
}

# What n is in Var W = gain^2 / n, by the name of the rule.
FAN_RULES: dict[str, Callable[[Layout, Shape], float]] = {
    "fan_in": lambda layout, shape: layout.fans(shape)[0],
    "fan_out": lambda layout, shape: layout.fans(shape)[1],
    "fan_avg": lambda layout, shape: sum(layout.fans(shape)) / 2,
    "longest_side": lambda layout, shape: max(layout.matrices(shape)[1:]),
    "diagonal": lambda layout, shape: _diagonal(max(layout.matrices(shape)[1:])),
    "none": lambda layout, shape: 1,
}
