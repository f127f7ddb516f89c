"""How the signals of many random networks pass through a stack, and gradients back.

`draw_weights` fills the blocks, `send_forward` sends a signal through them and
`send_back` a gradient back. Both keep second moments, one number per seed and layer,
and let go of the signals themselves. `run_block` is one block of any architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from initlab._stacks import Architecture
from initlab.activations import Activation
from initlab.schemes import Scheme

INPUT_STREAM, _WEIGHT_STREAM, GRADIENT_STREAM, _BIAS_STREAM = range(4)

# A kernel and its biases: an array that can be added to the layer's output, or 0.
Weights = tuple[np.ndarray, np.ndarray | float]
# Takes the gradient with respect to a block's output; gives the one with respect to its
# input, and the part of it that came through the branch (None without a shortcut).
Backward = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]


class Passed(NamedTuple):
    """What comes out of a block.

    Attributes:
        output: the signal after the block.
        branch: what the block added to the shortcut; None without one.
        pre_activations: the output of every weight layer.
        backward: the way of a gradient back through the block.
    """

    output: np.ndarray
    branch: np.ndarray | None
    pre_activations: list[np.ndarray]
    backward: Backward


def draw_normal(seeds: tuple[int, ...], stream: int, *shape: int) -> np.ndarray:
    """Draw independent normals per seed, of a stream that no other use shares."""
    draws = [np.random.default_rng([seed, stream]).normal(size=shape) for seed in seeds]
    return np.stack(draws)


def draw_weights(
    scheme: Scheme,
    architecture: Architecture,
    widths: tuple[int, ...],
    bias_std: float,
    seeds: tuple[int, ...],
    dtype: str,
) -> Iterator[list[Weights]]:
    """Draw the kernels and biases of one block after the other."""
    kernel_rngs, bias_rngs = (
        [np.random.default_rng([seed, stream]) for seed in seeds]
        for stream in (_WEIGHT_STREAM, _BIAS_STREAM)
    )
    for inputs, outputs in pairwise(widths):
        shape = architecture.layer.kernel_shape(inputs, outputs)
        block: list[Weights] = []
        for each in architecture.block_schemes(scheme):
            kernel = np.stack([each.sample(shape, rng) for rng in kernel_rngs])
            bias: np.ndarray | float = 0.0
            if bias_std:
                bias = np.stack([rng.normal(0, bias_std, outputs) for rng in bias_rngs])
                # As many axes as the signal: seeds, samples, positions, units.
                bias = bias.reshape(len(seeds), *[1] * (len(shape) - 1), outputs)
                bias = bias.astype(dtype)
            block.append((kernel.astype(dtype), bias))
        yield block


def send_forward(
    h: np.ndarray,
    architecture: Architecture,
    weights: Iterable[list[Weights]],
    activation: Activation,
) -> tuple[dict[str, np.ndarray | None], list[Backward]]:
    """Return what is measured on the way, and the way back through every block."""
    outputs, means, pre_activations = [second_moment(h)], [_mean(h)], []
    branches, tape = [], []
    for each in weights:
        block = run_block(architecture, h, each, activation)
        h = block.output
        outputs.append(second_moment(h))
        means.append(_mean(h))
        pre_activations += map(second_moment, block.pre_activations)
        branches.append(second_moment(block.branch))
        tape.append(block.backward)
    measured = {
        "activation": _by_layer(outputs),
        "pre_activation": _by_layer(pre_activations),
        "mean": _by_layer(means),
        "branch": _by_layer(branches),
    }
    return measured, tape


def send_back(
    gradient: np.ndarray, tape: Sequence[Backward]
) -> dict[str, np.ndarray | None]:
    """Return what is measured on the way of a gradient back to the input."""
    gradients, branches = [second_moment(gradient)], []
    for step in reversed(tape):
        gradient, branch = step(gradient)
        gradients.append(second_moment(gradient))
        branches.append(second_moment(branch))
    return {
        "gradient": _by_layer(gradients[::-1]),
        "branch_gradient": _by_layer(branches[::-1]),
    }


def run_block(
    architecture: Architecture,
    h: np.ndarray,
    weights: Iterable[Weights],
    activation: Activation,
) -> Passed:
    """Send the signal h through one block of the architecture.

    Raises:
        ValueError: if the activation is nan at a finite pre-activation.
    """
    layer, alpha = architecture.layer, architecture.alpha
    remaining = iter(weights)
    pre_activations: list[np.ndarray] = []
    # Every step of the branch leaves the function that takes a gradient back over it.
    tape: list[Callable[[np.ndarray], np.ndarray]] = []
    branch = h
    for step in architecture.steps:
        if step == "f":
            branch, slope = activate(branch, activation)
            tape.append(slope.__mul__)
        else:
            kernel, bias = next(remaining)
            branch = layer.forward(branch, kernel) + bias
            pre_activations.append(branch)
            tape.append(lambda g, kernel=kernel: layer.backward(g, kernel))
    if alpha is not None:
        branch = alpha * branch
    output = branch if alpha is None else h + branch
    last_slope: np.ndarray | float = 1.0
    if architecture.activated:
        output, last_slope = activate(output, activation)

    def backward(gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        gradient = gradient * last_slope
        through = gradient if alpha is None else alpha * gradient
        for step in reversed(tape):
            through = step(through)
        return (through, None) if alpha is None else (gradient + through, through)

    return Passed(output, None if alpha is None else branch, pre_activations, backward)


def second_moment(values: np.ndarray | None) -> np.ndarray | None:
    """Return one number per seed; nan, which is inf - inf, counts as overflow."""
    if values is None:
        return None
    squares = np.square(values, dtype=np.float64)
    return _nan_to_inf(squares.mean(axis=tuple(range(1, values.ndim))))


def of_moment_one(values: np.ndarray) -> np.ndarray:
    """Scale the values of every seed to second moment 1."""
    rms = np.sqrt(second_moment(values))
    return values / rms.reshape(-1, *[1] * (values.ndim - 1))


def _mean(values: np.ndarray) -> np.ndarray:
    axes = tuple(range(1, values.ndim))
    return _nan_to_inf(values.mean(axis=axes, dtype=np.float64))


def _nan_to_inf(moments: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(moments), np.inf, moments)


def _by_layer(moments: list[np.ndarray | None]) -> np.ndarray | None:
    return None if moments[0] is None else np.stack(moments, axis=1)


def activate(z: np.ndarray, activation: Activation) -> tuple[np.ndarray, np.ndarray]:
    """Return f(z) and f'(z) in the precision of z."""
    values = np.asarray(activation.f(z), z.dtype)
    slopes = np.asarray(activation.derivative(z), z.dtype)
    if all(np.isfinite(array).all() for array in (z, values, slopes)):
        return values, slopes
    for what, array, known in (("f", values, z), ("f'", slopes, z + values)):
        undefined = np.isnan(array) & np.isfinite(known)
        if undefined.any():
            raise ValueError(
                f"activation {activation.name!r} must be defined everywhere: "
                f"{what}(z) is nan at z = {z[undefined][0]:.6g}"
            )
    # A comparison inside f turns nan into a number, which would hide the overflow.
    lost = np.isnan(z)
    return np.where(lost, np.nan, values), np.where(lost, np.nan, slopes)
