"""What a deep random stack is made of: dense layers, convolutions, residual blocks.

Each class knows the shapes and the arithmetic of its weight layers, all networks at
once: signals have the axes (seeds, samples, *positions, units), kernels (seeds,
*window, inputs, outputs). `_passes` sends signals through; `signals` makes them public.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from initlab import schemes
from initlab.race_setup import check_whole_number

_PADDINGS = {"same": "constant", "circular": "wrap"}  # with numpy's names of them
# The steps of a branch of one weight layer; one of two layers takes them twice.
_ORDERS = {"pre_activation": "fW", "post_activation": "Wf"}


class _Plain:
    """A stack without shortcuts: each block is one weight layer and its activation."""

    steps = "W"
    alpha = None
    activated = True

    @property
    def layer(self) -> Dense | Convolution:
        return self

    def block_schemes(self, scheme: schemes.Scheme) -> tuple[schemes.Scheme, ...]:
        """Return the scheme of every weight layer of a block."""
        return (scheme,)


@dataclass(frozen=True)
class Dense(_Plain):
    r"""A stack of dense layers, $h_l = f(h_{l-1} W_l + b_l)$."""

    def signal_shape(self, units: int) -> tuple[int, ...]:
        """Return the shape of one sample."""
        return (units,)

    def kernel_shape(self, inputs: int, outputs: int) -> tuple[int, ...]:
        """Return the shape of one kernel, Keras's."""
        return (inputs, outputs)

    def forward(self, h: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Return h W for every seed."""
        return h @ kernel

    def backward(self, gradient: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to the layer's input."""
        return gradient @ kernel.swapaxes(1, 2)


@dataclass(frozen=True)
class Convolution(_Plain):
    """A stack of convolutions of stride 1; `width` counts its channels.

    Every layer keeps the size of the image. Beyond its edges all is 0 with the padding
    "same", as in Keras, so that units near an edge have fewer inputs than `fan_in` says
    and the signal fades there. With "circular" the opposite edge follows, and all units
    are alike, as the theory assumes.

    Source: Xiao, Bahri, Sohl-Dickstein, Schoenholz and Pennington, "Dynamical isometry
    and a mean field theory of CNNs", 2018, https://arxiv.org/abs/1806.05393, for
    circular padding.

    Args:
        size: positions per dimension: (32,) for a sequence, (8, 8) for an image,
            (4, 4, 4) for a volume.
        kernel_size: positions per dimension of the window, one number for all.
        padding: "same" or "circular".

    Raises:
        ValueError: if a size is not a whole number from 1 on, if there are not 1 to 3
            dimensions, or if `padding` is neither.
    """

    size: Sequence[int]
    kernel_size: int | Sequence[int] = 3
    padding: str = "same"

    def __post_init__(self) -> None:
        """Bring the sizes into one form, and refuse what cannot be a convolution."""
        size = _sizes("size", self.size)
        if not 1 <= len(size) <= 3:
            raise ValueError(f"size must have 1 to 3 dimensions, got {self.size!r}")
        window = self.kernel_size
        if isinstance(window, int | np.integer):
            window = (window,) * len(size)
        window = _sizes("kernel_size", window)
        if len(window) != len(size):
            raise ValueError(
                f"kernel_size must be a whole number or {len(size)} of them, as size "
                f"has, got {self.kernel_size!r}"
            )
        _check_choice("padding", self.padding, _PADDINGS)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "kernel_size", window)

    def signal_shape(self, units: int) -> tuple[int, ...]:
        """Return the shape of one sample."""
        return (*self.size, units)

    def kernel_shape(self, inputs: int, outputs: int) -> tuple[int, ...]:
        """Return the shape of one kernel, Keras's."""
        return (*self.kernel_size, inputs, outputs)

    def forward(self, h: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Return the convolution of every seed's images with its own kernel."""
        # Of an even window's padding the larger half goes behind, as in TensorFlow.
        return self._slide(h, kernel, [(k - 1) // 2 for k in self.kernel_size])

    def backward(self, gradient: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to the layer's input."""
        window = tuple(range(1, kernel.ndim - 2))
        mirrored = np.flip(kernel, window).swapaxes(-1, -2)
        return self._slide(gradient, mirrored, [k // 2 for k in self.kernel_size])

    def _slide(
        self, h: np.ndarray, kernel: np.ndarray, before: list[int]
    ) -> np.ndarray:
        """Sum over the window one matrix product per offset: no copies of patches."""
        around = [(b, k - 1 - b) for b, k in zip(before, self.kernel_size, strict=True)]
        padded = np.pad(h, [(0, 0)] * 2 + around + [(0, 0)], _PADDINGS[self.padding])
        seeds, inputs, outputs = len(kernel), *kernel.shape[-2:]
        total = np.zeros((seeds, h[0, ..., 0].size, outputs), h.dtype)
        for offset in np.ndindex(*self.kernel_size):
            seen = tuple(
                slice(o, o + n) for o, n in zip(offset, self.size, strict=True)
            )
            shifted = padded[(slice(None), slice(None), *seen)]
            total += shifted.reshape(seeds, -1, inputs) @ kernel[(slice(None), *offset)]
        return total.reshape(*h.shape[:-1], outputs)


@dataclass(frozen=True)
class Residual:
    r"""A stack of residual blocks, $h_l = h_{l-1} + \alpha\,F_l(h_{l-1})$.

    The branch $F_l$ has one or two weight layers. In the order "pre_activation" an
    activation stands before each of them; in the order "post_activation" it stands
    between them, and one more after the sum. `depth` counts the blocks, and all of them
    have one `width`. Pre-activation ReLU blocks with He's weights have branches of the
    second moment of their input, so that a block multiplies the second moments of
    signal and gradient by $1 + \alpha^2$ in wide networks: $2^L$ in L blocks for
    $\alpha = 1$, below e for $\alpha = 1/\sqrt L$.

    Source: He, Zhang, Ren and Sun, "Identity mappings in deep residual networks", 2016,
    https://arxiv.org/abs/1603.05027, for the orders; Hanin and Rolnick, "How to start
    training: the effect of initialization and architecture", 2018,
    https://arxiv.org/abs/1803.01719, and De and Smith, "Batch normalization biases
    residual blocks towards the identity function in deep networks", 2020,
    https://arxiv.org/abs/2002.10444, for alpha; Zhang, Dauphin and Ma, "Fixup
    initialization: residual learning without normalization", 2019,
    https://arxiv.org/abs/1901.09321, for branches whose last layer is zero.

    Args:
        layer: what the weight layers are, `Dense()` or a `Convolution`.
        alpha: factor of the branch, any finite number.
        branch_layers: weight layers of a branch, 1 or 2.
        order: "pre_activation" or "post_activation".
        last_scheme: scheme of the last weight layer of a branch, say "zeros"; None for
            the scheme of the others.

    Raises:
        ValueError: if `alpha`, `branch_layers` or `order` is none of these, or if
            `last_scheme` is unknown.
        TypeError: if `layer` or `last_scheme` is of another type.
    """

    layer: Dense | Convolution = Dense()
    alpha: float = 1.0
    branch_layers: int = 2
    order: str = "pre_activation"
    last_scheme: str | schemes.Scheme | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be a residual block."""
        if not isinstance(self.layer, Dense | Convolution):
            raise TypeError(f"layer must be a Dense or Convolution, got {self.layer!r}")
        if not isinstance(self.alpha, Real) or not math.isfinite(self.alpha):
            raise ValueError(f"alpha must be a finite number, got {self.alpha!r}")
        # A numpy scalar would turn a float32 branch into float64.
        object.__setattr__(self, "alpha", float(self.alpha))
        check_whole_number("branch_layers", self.branch_layers)
        if self.branch_layers > 2:
            raise ValueError(f"branch_layers must be 1 or 2, got {self.branch_layers}")
        _check_choice("order", self.order, _ORDERS)
        if self.last_scheme is not None:
            object.__setattr__(self, "last_scheme", schemes.get(self.last_scheme))

    @property
    def activated(self) -> bool:
        """Whether the activation follows the sum."""
        return self.order == "post_activation"

    @property
    def steps(self) -> str:
        """Return the branch's steps: W for a weight layer, f for the activation."""
        steps = _ORDERS[self.order] * self.branch_layers
        return steps.removesuffix("f")

    def block_schemes(self, scheme: schemes.Scheme) -> tuple[schemes.Scheme, ...]:
        """Return the scheme of every weight layer of a block."""
        return (scheme,) * (self.branch_layers - 1) + (self.last_scheme or scheme,)


Architecture = Dense | Convolution | Residual


def _sizes(argument: str, sizes: Sequence[int]) -> tuple[int, ...]:
    try:
        sizes = tuple(sizes)
    except TypeError:
        raise ValueError(
            f"{argument} must be a tuple of whole numbers such as (8, 8), got {sizes!r}"
        ) from None
    for each in sizes:
        check_whole_number(argument, each)
    return tuple(int(each) for each in sizes)


def _check_choice(argument: str, value: str, allowed: dict[str, str]) -> None:
    if value not in allowed:
        choices = " or ".join(map(repr, allowed))
        raise ValueError(f"{argument} must be {choices}, got {value!r}")
