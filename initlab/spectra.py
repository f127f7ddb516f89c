"""In which directions a deep random network stretches: singular values of Jacobians.

`propagate` tells how large a gradient is on average over all directions. The singular
values tell the rest: an average of 1 may be made of a few directions that grow and of
many that are lost. `layer_singular_values` takes every layer alone,
`network_singular_values` the product of the layers, from the input on; with one shared
kernel that is a recurrent layer through time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from initlab import activations, schemes
from initlab._passes import (
    INPUT_STREAM,
    Weights,
    activate,
    draw_normal,
    draw_weights,
)
from initlab._stacks import Dense
from initlab.race_setup import check_whole_number
from initlab.signals import checked_sizes

__all__ = ["layer_singular_values", "network_singular_values"]

_DENSE = Dense()


def layer_singular_values(
    scheme: str | schemes.Scheme,
    *,
    depth: int = 10,
    width: int | Sequence[int] = 100,
    activation: str | Callable[[np.ndarray], np.ndarray] = "linear",
    bias_std: float = 0.0,
    seeds: int | Iterable[int] = 20,
) -> list[np.ndarray]:
    r"""Return the singular values of every layer's Jacobian.

    With $h_l = f(z_l)$ and $z_l = h_{l-1} W_l + b_l$ it is $J_l = \partial h_l /
    \partial h_{l-1} = W_l\,\mathrm{diag} f'(z_l)$, at one input $h_0 \sim
    \mathcal N(0, 1)$ per seed.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010, https://proceedings.mlr.press/v9/glorot10a.html,
    who watch their mean.

    Args:
        scheme: a scheme or its name (see `schemes`); it draws every kernel.
        depth: number of layers, at least 1; taken from `width` if that is a sequence.
        width: units of the input and of every layer, or the `layers + 1` widths.
        activation: a Keras name, or a numpy function of the pre-activations.
        bias_std: standard deviation of the normal biases; 0 for none.
        seeds: number of networks (seeds 0, 1, …), or the seeds themselves. A seed has
            the same weights and the same first input as in `propagate`.

    Returns:
        One array per layer, `(seeds, min(inputs, outputs))`, from the largest singular
        value to the smallest.

    Raises:
        ValueError: if an argument is none of these, or if a signal overflows.
        TypeError: if `scheme` or `activation` is of another type.
    """
    steps = _jacobians(scheme, depth, width, activation, bias_std, seeds, shared=False)
    return [np.linalg.svd(jacobian, compute_uv=False) for jacobian in steps]


def network_singular_values(
    scheme: str | schemes.Scheme,
    *,
    depth: int = 10,
    width: int | Sequence[int] = 100,
    activation: str | Callable[[np.ndarray], np.ndarray] = "linear",
    bias_std: float = 0.0,
    seeds: int | Iterable[int] = 20,
    after: Sequence[int] | None = None,
    shared: bool = False,
) -> list[np.ndarray]:
    r"""Return the singular values of the Jacobian of a whole network.

    It is $\partial h_l / \partial h_0 = J_1 J_2 \cdots J_l$. The mean of their squares
    is the factor on a random gradient's second moment; a network in which all of them
    stay near 1 is called dynamically isometric. In double precision a product resolves
    15 digits: singular values below 1e-15 of the largest are rounding, and are given
    as 0.

    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks", 2014, https://arxiv.org/abs/1312.6120;
    Pennington, Schoenholz and Ganguli, "Resurrecting the sigmoid in deep learning
    through dynamical isometry: theory and practice", 2017,
    https://arxiv.org/abs/1711.04735

    Args:
        scheme: a scheme or its name (see `schemes`); it draws every kernel.
        depth: number of layers, at least 1; taken from `width` if that is a sequence.
        width: units of the input and of every layer, or the `layers + 1` widths.
        activation: a Keras name, or a numpy function of the pre-activations.
        bias_std: standard deviation of the normal biases; 0 for none.
        seeds: number of networks (seeds 0, 1, …), or the seeds themselves. A seed has
            the same weights and the same first input as in `propagate`.
        after: the layers l after which they are taken, from 1 on; the last if None.
        shared: use the first kernel in every layer. This is a recurrent layer, its
            layers are steps of time, and its biases, drawn anew at every step, are what
            random inputs add to its pre-activations.

    Returns:
        One array per number in `after`, `(seeds, min(inputs, outputs))`, from the
        largest singular value to the smallest; inf where one no longer fits a double.

    Raises:
        ValueError: if an argument is none of these, if the widths of a shared kernel
            differ, or if a signal overflows.
        TypeError: if `scheme` or `activation` is of another type.
    """
    steps = _jacobians(scheme, depth, width, activation, bias_std, seeds, shared)
    layers = len(width) - 1 if isinstance(width, Sequence) else depth
    wanted = _checked_layers(after, layers)
    found: dict[int, np.ndarray] = {}
    product, logarithm = None, 0.0
    for layer, jacobian in enumerate(steps, start=1):
        product = jacobian if product is None else product @ jacobian
        # The product is kept near 1 and its scale apart, so that it cannot overflow.
        largest = np.abs(product).max(axis=(1, 2), keepdims=True)
        scale = np.where(largest > 0, largest, 1.0)
        product, logarithm = product / scale, logarithm + np.log(scale[:, :, 0])
        if layer in wanted:
            found[layer] = _singular_values(product, logarithm)
    return [found[layer] for layer in wanted]


def _jacobians(
    scheme: str | schemes.Scheme,
    depth: int,
    width: int | Sequence[int],
    activation: str | Callable[[np.ndarray], np.ndarray],
    bias_std: float,
    seeds: int | Iterable[int],
    shared: bool,
) -> Iterator[np.ndarray]:
    """Check the arguments, and return `(seeds, inputs, outputs)` layer by layer."""
    scheme, function = schemes.get(scheme), activations.get(activation)
    numbers, widths = checked_sizes(seeds, width, depth, 1, bias_std)
    if shared and len(set(widths)) > 1:
        raise ValueError(
            f"width must be one number where the kernel is shared, got {widths}"
        )
    weights = draw_weights(scheme, _DENSE, widths, bias_std, numbers, "float64")
    inputs = draw_normal(numbers, INPUT_STREAM, 1, widths[0])
    return _along(inputs, weights, function, shared)


def _along(
    h: np.ndarray,
    weights: Iterable[list[Weights]],
    function: activations.Activation,
    shared: bool,
) -> Iterator[np.ndarray]:
    """Follow the signal h, `(seeds, 1, units)`, and yield the Jacobians it meets."""
    first = None
    for layer, [(kernel, bias)] in enumerate(weights, start=1):
        first = kernel if first is None or not shared else first
        with np.errstate(all="ignore"):
            h, slopes = activate(h @ first + bias, function)
        if not np.isfinite(h).all():
            raise ValueError(
                f"the signal must stay finite, but overflowed in layer {layer}; use a "
                "smaller scale of the weights or fewer layers"
            )
        yield first * slopes


def _singular_values(product: np.ndarray, logarithm: np.ndarray) -> np.ndarray:
    values = np.linalg.svd(product, compute_uv=False)
    resolved = values > 1e-15 * values[:, :1]
    with np.errstate(over="ignore", divide="ignore"):
        return np.where(resolved, np.exp(np.log(values) + logarithm), 0.0)


def _checked_layers(after: Sequence[int] | None, layers: int) -> list[int]:
    if after is None:
        return [layers]
    for layer in after:
        check_whole_number("after", layer)
        if layer > layers:
            raise ValueError(f"after must be from 1 to {layers}, got {layer}")
    return list(after)
