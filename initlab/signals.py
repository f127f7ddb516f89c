"""How far a signal gets: second moments, layer by layer, of deep random networks.

`propagate` draws many networks at once and sends random inputs forward through them and
random gradients back: dense layers, convolutions or residual blocks, in double or in
single precision. What it measures is the second moment, the mean of the squares: unlike
the variance it is what the next layer receives, also after a ReLU, whose outputs do not
have mean zero. `correlate` follows how alike two inputs remain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from initlab import activations, schemes
from initlab._passes import (
    GRADIENT_STREAM,
    INPUT_STREAM,
    draw_normal,
    draw_weights,
    of_moment_one,
    run_block,
    second_moment,
    send_back,
    send_forward,
)
from initlab._stacks import Architecture, Convolution, Dense, Residual
from initlab.race_setup import check_whole_number, seed_numbers

__all__ = ["Convolution", "Dense", "Residual", "Signals", "correlate", "propagate"]

_PRECISIONS = ("float64", "float32")
_DENSE = Dense()


@dataclass(frozen=True)
class Signals:
    """Second moments of a deep stack, over independent random networks.

    A layer is a weight layer with its activation; in a residual stack it is a block,
    and its output is the trunk. Means are over samples, positions and units. A value is
    inf where it no longer fits the precision of the network.

    Attributes:
        widths: `(layers + 1,)`: units or channels of the input, then of every layer.
        seeds: `(seeds,)`: the seed of every network.
        activation: `(seeds, layers + 1)`: second moment of the input and of every
            layer's output.
        pre_activation: `(seeds, weight layers)`: second moment of the output of every
            weight layer, before any activation; in residual stacks there are
            `branch_layers` of them to a block.
        mean: `(seeds, layers + 1)`: mean of the input and of every layer's output.
        gradient: `(seeds, layers + 1)`: second moment of the loss gradient with
            respect to the input and to every layer's output; 1 at the last by design.
        branch: `(seeds, layers)`: second moment of what every residual block adds to
            its input, alpha included; None in stacks without shortcuts.
        branch_gradient: `(seeds, layers)`: second moment of what every branch adds to
            the gradient on its way back; None in stacks without shortcuts.
    """

    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    activation: np.ndarray
    pre_activation: np.ndarray
    mean: np.ndarray
    gradient: np.ndarray
    branch: np.ndarray | None = None
    branch_gradient: np.ndarray | None = None

    @property
    def rms(self) -> np.ndarray:
        """Root mean square of the input and every output, `(seeds, layers + 1)`."""
        return np.sqrt(self.activation)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of the input and every output, `(seeds, layers + 1)`."""
        known = np.isfinite(self.activation)
        variance = self.activation - np.where(known, self.mean, 0) ** 2
        return np.sqrt(np.maximum(variance, 0))

    @property
    def gradient_rms(self) -> np.ndarray:
        """Root mean square of every gradient, `(seeds, layers + 1)`."""
        return np.sqrt(self.gradient)

    @property
    def overflow_layer(self) -> np.ndarray:
        """First layer whose output overflowed, `(seeds,)`; -1 where none did."""
        return _first(~np.isfinite(self.activation))

    @property
    def vanished_layer(self) -> np.ndarray:
        """First layer whose output is 0 everywhere, `(seeds,)`; -1 where none is.

        It underflowed, unless zero weights or dead units made it 0.
        """
        return _first(self.activation == 0)

    @property
    def gradient_overflow_layer(self) -> np.ndarray:
        """Layer at which the gradient, coming from the last, overflowed; -1: nowhere.

        Where the signal got lost in inf - inf, no gradient can be computed; it counts
        as overflowed, too.
        """
        return _last(~np.isfinite(self.gradient))

    @property
    def gradient_vanished_layer(self) -> np.ndarray:
        """Layer at which the gradient, coming from the last, is 0; -1: nowhere."""
        return _last(self.gradient == 0)


def propagate(
    scheme: str | schemes.Scheme,
    *,
    architecture: Architecture = _DENSE,
    depth: int = 10,
    width: int | Sequence[int] = 100,
    activation: str | Callable[[np.ndarray], np.ndarray] = "relu",
    bias_std: float = 0.0,
    seeds: int | Iterable[int] = 20,
    samples: int = 100,
    dtype: str = "float64",
) -> Signals:
    r"""Send inputs forward and gradients back through deep random networks.

    With $h_0 \sim \mathcal N(0, 1)$, layer l computes $z_l = h_{l-1} W_l + b_l$ and
    $h_l = f(z_l)$. Backwards, from $g_L \sim \mathcal N(0, 1)$ scaled to second moment
    1, $g_{l-1} = (g_l \odot f'(z_l))\, W_l^\top$. `Convolution` and `Residual` say what
    other stacks compute. All seeds are computed together, and none depends on another.

    Nothing is raised or clipped when a signal leaves the range of the precision: its
    moments are inf or 0, the layers before keep theirs, and `Signals.overflow_layer`,
    `Signals.vanished_layer` and their likes for the gradient name the layer. Moments
    are taken in double precision, so that a float32 signal is measured up to its own
    limit, an rms of about 1e38 or 1e-45; in float64 the limits are 1e154 and 1e-162,
    because the square must fit as well.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010, https://proceedings.mlr.press/v9/glorot10a.html;
    He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015,
    https://arxiv.org/abs/1502.01852

    Args:
        scheme: a scheme or its name (see `schemes`); it draws every kernel.
        architecture: `Dense()`, or a `Convolution` or `Residual` of this module.
        depth: number of layers or residual blocks, at least 1; taken from `width` if
            that is a sequence.
        width: units (channels of a convolution) of the input and of every layer, or the
            `layers + 1` widths; one number for a residual stack.
        activation: a Keras name, or a numpy function of the pre-activations.
        bias_std: standard deviation of the normal biases; 0 for none.
        seeds: number of networks (seeds 0, 1, …), or the seeds themselves. The same
            seed gives the same inputs and the same gradients at the end for any scheme,
            and the same underlying draws for all schemes of one distribution.
        samples: inputs per network, at least 1.
        dtype: precision of the networks, "float64" or "float32".

    Returns:
        The second moments of every network, see `Signals`.

    Raises:
        ValueError: if `depth`, `width`, `seeds`, `samples`, `bias_std` or `dtype` is
            none of these, if the widths of a residual stack differ, if the scheme
            cannot fill a kernel, or if the activation is nan at a finite number.
        TypeError: if `scheme`, `architecture` or `activation` is of another type.
    """
    scheme, function = schemes.get(scheme), activations.get(activation)
    numbers, widths = checked_sizes(seeds, width, depth, samples, bias_std)
    _check_architecture(architecture, widths)
    if dtype not in _PRECISIONS:
        raise ValueError(f"dtype must be 'float64' or 'float32', got {dtype!r}")

    # What leaves the precision is told by its inf, not by one of numpy's many warnings.
    with np.errstate(all="ignore"):
        weights = draw_weights(scheme, architecture, widths, bias_std, numbers, dtype)
        first, *_, last = (architecture.layer.signal_shape(n) for n in widths)
        h = draw_normal(numbers, INPUT_STREAM, samples, *first).astype(dtype)
        forward, tape = send_forward(h, architecture, weights, function)
        gradient = draw_normal(numbers, GRADIENT_STREAM, samples, *last)
        backward = send_back(of_moment_one(gradient).astype(dtype), tape)
    return Signals(widths, numbers, **forward, **backward)


def correlate(
    scheme: str | schemes.Scheme,
    correlation: float,
    *,
    depth: int = 10,
    width: int | Sequence[int] = 100,
    activation: str | Callable[[np.ndarray], np.ndarray] = "relu",
    bias_std: float = 0.0,
    seeds: int | Iterable[int] = 20,
    samples: int = 100,
) -> np.ndarray:
    r"""Follow the correlation of two inputs through random dense networks.

    At layer l it is $\langle z_l z'_l \rangle /
    \sqrt{\langle z_l^2 \rangle \langle z_l'^2 \rangle}$ of the pre-activations of both
    inputs, means over pairs and units. The inputs of every pair have second moment 1
    and exactly the correlation asked for.

    Source: Poole, Lahiri, Raghu, Sohl-Dickstein and Ganguli, "Exponential expressivity
    in deep neural networks through transient chaos", 2016,
    https://arxiv.org/abs/1606.05340

    Args:
        scheme: a scheme or its name (see `schemes`); it draws every kernel.
        correlation: correlation of the two inputs, from -1 to 1.
        depth: number of layers, at least 1; taken from `width` if that is a sequence.
        width: units of the input and of every layer, or the `layers + 1` widths; the
            input must have at least 2.
        activation: a Keras name, or a numpy function of the pre-activations.
        bias_std: standard deviation of the normal biases; 0 for none.
        seeds: number of networks (seeds 0, 1, …), or the seeds themselves.
        samples: pairs of inputs per network, at least 1.

    Returns:
        `(seeds, layers + 1)`: the correlation of the inputs, then of the
        pre-activations of every layer; nan where a second moment is 0 or overflowed.

    Raises:
        ValueError: if `correlation` is not from -1 to 1, and what `propagate` raises.
        TypeError: if `scheme` or `activation` is of another type.
    """
    scheme, function = schemes.get(scheme), activations.get(activation)
    numbers, widths = checked_sizes(seeds, width, depth, samples, bias_std)
    if not isinstance(correlation, Real) or not -1 <= correlation <= 1:
        raise ValueError(f"correlation must be from -1 to 1, got {correlation!r}")
    if widths[0] < 2:
        raise ValueError(
            "width of the input must be at least 2, for two inputs of one unit have "
            "correlation 1 or -1, got 1"
        )

    with np.errstate(all="ignore"):
        one, other = _pairs(correlation, numbers, samples, widths[0])
        h, found = np.concatenate([one, other], axis=1), [_correlation(one, other)]
        for each in draw_weights(scheme, _DENSE, widths, bias_std, numbers, "float64"):
            block = run_block(_DENSE, h, each, function)
            h = block.output
            found.append(_correlation(*np.split(block.pre_activations[0], 2, axis=1)))
    return np.stack(found, axis=1)


def checked_sizes(
    seeds: int | Iterable[int],
    width: int | Sequence[int],
    depth: int,
    samples: int,
    bias_std: float,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the seeds and the `layers + 1` widths, all sizes checked."""
    if not isinstance(seeds, Iterable):
        check_whole_number("seeds", seeds)
    if not isinstance(width, Iterable):
        check_whole_number("depth", depth)
        width = (width,) * (depth + 1)
    widths = tuple(width)
    if len(widths) < 2:
        raise ValueError(
            "width must name the input and at least one layer, "
            f"got {len(widths)} numbers"
        )
    for each in widths:
        check_whole_number("width", each)
    check_whole_number("samples", samples)
    if not isinstance(bias_std, Real) or not 0 <= bias_std < math.inf:
        raise ValueError(
            f"bias_std must be a finite number from 0 on, got {bias_std!r}"
        )
    return seed_numbers(seeds), tuple(map(int, widths))


def _check_architecture(architecture: Architecture, widths: tuple[int, ...]) -> None:
    if not isinstance(architecture, Architecture):
        raise TypeError(
            "architecture must be a Dense, Convolution or Residual of initlab.signals, "
            f"got {architecture!r}"
        )
    if isinstance(architecture, Residual) and len(set(widths)) > 1:
        raise ValueError(
            "width must be one number in a residual stack, whose blocks add their "
            f"input to their output, got {widths}"
        )


def _pairs(
    correlation: float, seeds: tuple[int, ...], samples: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pairs of inputs of second moment 1 that have the correlation exactly."""

    def of_norm_one(inputs: np.ndarray) -> np.ndarray:
        return inputs / np.sqrt(np.mean(inputs**2, axis=-1, keepdims=True))

    draws = draw_normal(seeds, INPUT_STREAM, 2 * samples, width)
    one, free = map(of_norm_one, np.split(draws, 2, axis=1))
    free = of_norm_one(free - one * np.mean(one * free, axis=-1, keepdims=True))
    return one, correlation * one + math.sqrt(1 - correlation**2) * free


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    norms = np.sqrt(second_moment(one)) * np.sqrt(second_moment(other))
    return np.mean(one * other, axis=(1, 2)) / norms


def _first(found: np.ndarray) -> np.ndarray:
    """Return the first layer of every seed where it is found, -1 where nowhere."""
    return np.where(found.any(axis=1), found.argmax(axis=1), -1)


def _last(found: np.ndarray) -> np.ndarray:
    return np.where(found.any(axis=1), found.shape[1] - 1 - _first(found[:, ::-1]), -1)
