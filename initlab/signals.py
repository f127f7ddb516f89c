"""How far a signal gets: second moments, layer by layer, of deep random networks.

:func:`propagate` draws many networks at once and sends random inputs forward through
them and random gradients back. What it measures is the second moment, the mean of the
squares: unlike the variance it is what the next layer receives, also after a ReLU,
whose outputs do not have mean zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from initlab import activations, schemes

_INPUT_STREAM, _WEIGHT_STREAM, _GRADIENT_STREAM = range(3)


@dataclass(frozen=True)
class Signals:
    """Second moments of a stack of dense layers, over independent random networks.

    Attributes:
        widths: ``(layers + 1,)``: width of the input, then of every layer.
        seeds: ``(seeds,)``: the seed of every network.
        activation: ``(seeds, layers + 1)``: second moment of the input and of every
            layer's output.
        pre_activation: ``(seeds, layers)``: second moment before the activation.
        mean: ``(seeds, layers + 1)``: mean of the input and of every layer's output.
        gradient: ``(seeds, layers + 1)``: second moment of the loss gradient with
            respect to the input and to every layer's output; 1 at the last by design.
    """

    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    activation: np.ndarray
    pre_activation: np.ndarray
    mean: np.ndarray
    gradient: np.ndarray

    @property
    def rms(self) -> np.ndarray:
        """Root mean square of the input and every output, ``(seeds, layers + 1)``."""
        return np.sqrt(self.activation)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation of the input and every output, ``(seeds, layers + 1)``."""
        return np.sqrt(np.maximum(self.activation - self.mean**2, 0))

    @property
    def gradient_rms(self) -> np.ndarray:
        """Root mean square of every gradient, ``(seeds, layers + 1)``."""
        return np.sqrt(self.gradient)


def propagate(
    scheme: str | schemes.Scheme,
    *,
    depth: int = 10,
    width: int | Sequence[int] = 100,
    activation: str | Callable[[np.ndarray], np.ndarray] = "relu",
    seeds: int | Iterable[int] = 20,
    samples: int = 100,
) -> Signals:
    r"""Send inputs forward and gradients back through random dense networks.

    With :math:`h_0 \sim \mathcal N(0, 1)` and no biases, layer :math:`l` computes
    :math:`z_l = h_{l-1} W_l` and :math:`h_l = f(z_l)`. Backwards, from
    :math:`g_L \sim \mathcal N(0, 1)`, :math:`g_{l-1} = (g_l \odot f'(z_l))\, W_l^\top`.
    All seeds are computed together, in double precision.

    Args:
        scheme: A scheme or its name (see ``schemes``); it draws every kernel.
        depth: Number of layers, at least 1; taken from ``width`` if that is a sequence.
        width: Units of the input and of every layer, or the ``layers + 1`` widths.
        activation: A Keras name, or a numpy function of the pre-activations.
        seeds: Number of networks (seeds 0, 1, …), or the seeds themselves. The same
            seed gives the same inputs and the same underlying draws for any scheme.
        samples: Inputs per network, at least 1.

    Returns:
        The second moments of every network, see :class:`Signals`.

    Raises:
        ValueError: If ``depth``, ``width``, ``seeds`` or ``samples`` is below 1.
        OverflowError: If a signal leaves the range of double precision; the message
            names the layer.

    Source:
        Glorot & Bengio, "Understanding the difficulty of training deep feedforward
        neural networks", AISTATS 2010. https://proceedings.mlr.press/v9/glorot10a.html
        He, Zhang, Ren & Sun, "Delving Deep into Rectifiers", ICCV 2015.
        https://arxiv.org/abs/1502.01852
    """
    scheme = schemes.get(scheme)
    function = activations.get(activation)
    widths = _widths(width, depth)
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    _at_least_one("seeds", len(numbers))
    _at_least_one("samples", samples)

    kernels = _kernels(scheme, widths, numbers)
    with np.errstate(over="ignore", invalid="ignore"):
        outputs = [_normal(numbers, _INPUT_STREAM, samples, widths[0])]
        slopes, before = [], []
        for kernel in kernels:
            z = outputs[-1] @ kernel
            before.append(_second_moment(z))
            slopes.append(function.derivative(z))
            outputs.append(function.f(z))
        gradient = _normal(numbers, _GRADIENT_STREAM, samples, widths[-1])
        gradient /= np.sqrt(_second_moment(gradient))[:, None, None]
        backward = [_second_moment(gradient)]
        for kernel, slope in zip(reversed(kernels), reversed(slopes), strict=True):
            gradient = (gradient * slope) @ kernel.swapaxes(1, 2)
            backward.append(_second_moment(gradient))
        signals = Signals(
            widths,
            numbers,
            activation=np.stack([_second_moment(h) for h in outputs], axis=1),
            pre_activation=np.stack(before, axis=1),
            mean=np.stack([h.mean(axis=(1, 2)) for h in outputs], axis=1),
            gradient=np.stack(backward[::-1], axis=1),
        )
    _refuse_overflow(signals)
    return signals


def _widths(width: int | Sequence[int], depth: int) -> tuple[int, ...]:
    if isinstance(width, int | np.integer):
        _at_least_one("depth", depth)
        widths = (int(width),) * (depth + 1)
    else:
        widths = tuple(int(each) for each in width)
        if len(widths) < 2:
            raise ValueError(
                "width must name the input and at least one layer, "
                f"got {len(widths)} numbers"
            )
    _at_least_one("width", min(widths))
    return widths


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def _normal(seeds: tuple[int, ...], stream: int, *shape: int) -> np.ndarray:
    """Independent normals per seed, of a stream that no other use shares."""
    draws = [np.random.default_rng([seed, stream]).normal(size=shape) for seed in seeds]
    return np.stack(draws)


def _kernels(
    scheme: schemes.Scheme, widths: tuple[int, ...], seeds: tuple[int, ...]
) -> list[np.ndarray]:
    generators = [np.random.default_rng([seed, _WEIGHT_STREAM]) for seed in seeds]
    return [
        np.stack([scheme.sample(shape, rng) for rng in generators])
        for shape in zip(widths[:-1], widths[1:], strict=True)
    ]


def _second_moment(values: np.ndarray) -> np.ndarray:
    return np.mean(values**2, axis=(1, 2))


def _refuse_overflow(signals: Signals) -> None:
    for name in ("activation", "gradient"):
        finite = np.isfinite(getattr(signals, name)).all(axis=0)
        if not finite.all():
            layer = int(np.flatnonzero(~finite)[0 if name == "activation" else -1])
            raise OverflowError(
                f"the second moment of the {name} left double precision at layer "
                f"{layer}; use fewer layers or a scale nearer the critical one"
            )
