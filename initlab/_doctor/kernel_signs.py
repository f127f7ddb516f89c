"""What the doctor reads from the weights alone: their scale, twins, zeros, duplicates.

A layer's kernels are read unit by unit (`_unit_rows`): two units with the same row
compute the same, and whatever training does to one it does to the other.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from initlab import keras_layers, schemes, theory
from initlab._doctor.listener import Call
from initlab.keras_layers import Kernel

# Steps of units that are symmetric differ by the rounding of their sums only.
_ROUNDING = 1e-3
# Fewer different numbers than this, and a kernel was not drawn: constants, identities.
_DRAWN = 4


def of(layer: Any, kernels: Sequence[Kernel], activation: str) -> dict[str, Any]:
    """Return the signs of a layer that its weights alone show, by their names."""
    values = [kernel.variable.value.numpy().astype(np.float64) for kernel in kernels]
    if not all(np.isfinite(each).all() for each in values):
        return {"finite": False}
    signs: dict[str, Any] = {
        "zero": bool(_zero_kernels(kernels)),
        "duplicates": _duplicates(layer, kernels),
        "fresh": not kernels[0].variable.trainable and _is_fresh(layer, kernels),
    }
    if (bias := _bias_of(layer)) is not None:
        signs["bias"] = float(np.sqrt(np.mean(np.square(bias, dtype=np.float64))))
    ratio = 1.0
    driven = [
        pair for pair in zip(kernels, values, strict=True) if not pair[0].from_state
    ]
    for kernel, weights in driven:
        signs["weight_std"] = math.sqrt(np.mean(weights**2))
        fan_in = _fan_in(kernel)
        if fan_in is None:
            continue
        # Between the two kernels of a SeparableConv there is no activation.
        gain = _gain(activation) if kernel is driven[-1][0] else 1.0
        signs["asked_std"] = gain / math.sqrt(fan_in)
        ratio *= signs["weight_std"] / signs["asked_std"]
        signs["std_ratio"] = ratio
    for kernel, weights in zip(kernels, values, strict=True):
        if kernel.from_state:
            gates = np.split(weights, kernel.gates, axis=1)
            signs["recurrent_gain"] = max(
                float(np.linalg.norm(gate)) / math.sqrt(len(gate)) for gate in gates
            )
    return signs


def twins(calls: Sequence[Call]) -> tuple[tuple[str, str], ...]:
    """Return the pairs of layers that have one and the same random kernel."""
    first: dict[tuple[tuple[int, ...], bytes], tuple[str, int]] = {}
    found = []
    for call in calls:
        for kernel in call.kernels:
            weights = kernel.variable.value.numpy()
            if np.unique(weights.ravel()[:4096]).size < _DRAWN:
                continue
            key = weights.shape, weights.tobytes()
            name, variable = first.setdefault(key, (call.name, id(kernel.variable)))
            if variable != id(kernel.variable):
                found.append((name, call.name))
    return tuple(found)


def tells_units_apart(call: Call, steps: dict[int, Any]) -> bool:
    """Tell whether these steps make different units of a layer's kernels of zeros."""
    for kernel in _zero_kernels(call.kernels):
        step = np.asarray(steps[id(kernel.variable)], np.float64)
        rows = _rows(kernel, step)
        largest = np.abs(rows).max()
        if not largest:
            return False
        spread = np.abs(rows - rows[0]).max()
        if len(rows) > 1 and not spread > _ROUNDING * largest:
            return False
    return True


def _zero_kernels(kernels: Sequence[Kernel]) -> list[Kernel]:
    return [
        k for k in kernels if not k.from_state and not k.variable.value.numpy().any()
    ]


@functools.lru_cache(maxsize=64)
def _gain(activation: str) -> float:
    """Return the forward gain; 1 where the activation has none of its own."""
    try:
        return theory.forward_gain(activation)
    except ValueError:
        return 1.0


def _fan_in(kernel: Kernel) -> float | None:
    """Return how many weights each output sums over; `None` for a lookup table."""
    if kernel.kind == "embedding":
        return None
    if kernel.kind == "einsum":
        return math.prod(kernel.shape[axis] for axis in _summed(kernel))
    gates = kernel.gates if kernel.kind == "recurrent" else None
    fan_in, _ = schemes.fans(kernel.shape, kernel.kind, gates=gates)
    return fan_in / kernel.strides if kernel.kind == "conv_transpose" else fan_in


def _summed(kernel: Kernel) -> tuple[int, ...]:
    """Return the axes of an einsum's kernel that it sums over."""
    operands, result = kernel.equation.replace("...", "").split("->")
    letters = operands.split(",")[1]
    return tuple(axis for axis, letter in enumerate(letters) if letter not in result)


def _rows(kernel: Kernel, weights: np.ndarray) -> np.ndarray:
    """Return the incoming weights of every unit, (units, weights of a unit)."""
    if kernel.kind == "einsum":
        axes = _summed(kernel)
        weights = np.moveaxis(weights, axes, range(len(axes)))
        return weights.reshape(math.prod(weights.shape[: len(axes)]), -1).T
    if kernel.kind == "conv_transpose":
        return np.moveaxis(weights, -2, 0).reshape(weights.shape[-2], -1)
    if kernel.kind == "depthwise":
        return weights.reshape(-1, weights.shape[-2] * weights.shape[-1]).T
    if kernel.kind == "recurrent":
        units = weights.shape[1] // kernel.gates
        return weights.reshape(-1, units).T
    return weights.reshape(-1, weights.shape[-1]).T


def _duplicates(layer: Any, kernels: Sequence[Kernel]) -> int:
    """Count the units whose weights, not all 0, are those of a unit before them."""
    kernels = [k for k in kernels if k.kind != "embedding"]
    if not kernels:
        return 0
    if kernels[-1].kind == "conv" and kernels[0].kind == "depthwise":
        kernels = kernels[1:]  # the units of a SeparableConv are those of its pointwise
    rows = np.hstack([_rows(k, k.variable.value.numpy()) for k in kernels])
    alive = rows.any(axis=1)
    units = len(rows)
    inputs = _own_inputs(kernels[0], units)
    bias = _bias(layer, units)
    rows = np.hstack([rows, inputs, bias])[alive] + 0.0  # no -0 beside a 0
    return len(rows) - len({row.tobytes() for row in np.ascontiguousarray(rows)})


def _own_inputs(kernel: Kernel, units: int) -> np.ndarray:
    """Return a number per unit that is the same for units with the same inputs."""
    groups = kernel.groups
    if kernel.kind == "depthwise":
        groups = kernel.shape[-2]
    return np.repeat(np.arange(groups), units // groups)[:, None]


def _bias(layer: Any, units: int) -> np.ndarray:
    bias = _bias_of(layer)
    values = np.zeros(units) if bias is None else bias.ravel()
    if values.size % units:
        return np.zeros((units, 0))  # an einsum's bias may be one for several units
    return values.reshape(-1, units).T


def _bias_of(layer: Any) -> np.ndarray | None:
    layer = keras_layers.core(layer)
    bias = getattr(getattr(layer, "cell", layer), "bias", None)
    return None if bias is None else bias.value.numpy()


def _is_fresh(layer: Any, kernels: Sequence[Kernel]) -> bool:
    """Tell whether a layer still looks as its initializers left it."""
    import keras

    layer = keras_layers.core(layer)
    owner = getattr(layer, "cell", layer)
    if np.any(_bias_of(layer)) and layer is owner:  # an LSTM's forget bias is 1
        return False
    for kernel in kernels:
        initializer = getattr(owner, f"{kernel.name}_initializer", None)
        initializer = initializer or getattr(owner, "depthwise_initializer", None)
        if initializer is None:
            return False
        with keras.StatelessScope():  # a draw would move its random generator on
            drawn = np.asarray(initializer(kernel.shape), np.float64)
        weights = kernel.variable.value.numpy().astype(np.float64)
        # Three standard errors of the difference of two root mean squares.
        margin = 3 / math.sqrt(weights.size) * np.sqrt(np.mean(drawn**2))
        if abs(np.sqrt(np.mean(weights**2)) - np.sqrt(np.mean(drawn**2))) > margin:
            return False
    return True
