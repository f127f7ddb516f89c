"""What mean-field theory says about a layer's scale, computed instead of tabulated.

The pre-activations of a wide layer are Gaussian. Where they are z ~ N(0, 1), the
activation f turns their second moment 1 into E f(z)^2, and on the way back a gradient's
is multiplied by E f'(z)^2. The gains say what the weights must make up for, for any f.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from initlab import activations

# Beyond this many sigmas N(0, 1) has no mass in double precision (exp(-722) remains).
_END = 38.0
# Where the line is cut before integrating, so that no bump between them is overlooked.
_CUTS = (-_END, -20.0, -12.0, *map(float, range(-8, 9)), 12.0, 20.0, _END)

AnyActivation = str | Callable[..., Any] | activations.Activation


def forward_gain(activation: AnyActivation) -> float:
    r"""Return the gain that keeps the second moment of the signal.

    $g = 1 / \sqrt{\mathbb{E}\, f(z)^2}$ for z ~ N(0, 1): weights of standard deviation
    $g / \sqrt{\mathrm{fan_{in}}}$ make the next layer's pre-activations N(0, 1) again.
    It is $\sqrt{2}$ for the ReLU and 1 for the identity, and exact at second moment 1;
    only the ReLU family keeps any other second moment with the same gain.

    Source: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", 2015,
    https://arxiv.org/abs/1502.01852, for the ReLU; Poole, Lahiri, Raghu, Sohl-Dickstein
    and Ganguli, "Exponential expressivity in deep neural networks through transient
    chaos", 2016, https://arxiv.org/abs/1606.05340, for any f.

    Args:
        activation: a Keras name, a function of numpy arrays, or an `Activation`.

    Returns:
        The gain, right to 1e-6.

    Raises:
        ValueError: if f(z) is not a finite real number for every z, if E f(z)^2 is
            infinite or 0, if f is not elementwise, or if the name is unknown.
    """
    activation = activations.get(activation)
    return 1 / math.sqrt(_second_moment(activation.f, activation, "f(z)"))


def backward_gain(activation: AnyActivation) -> float:
    r"""Return the gain that keeps the second moment of the gradient.

    $1 / \sqrt{\mathbb{E}\, f'(z)^2}$ for z ~ N(0, 1): weights of standard deviation
    $g / \sqrt{\mathrm{fan_{out}}}$ keep it on the way back. It equals the forward gain
    for the identity and the ReLU family, and differs for all others.

    Source: Schoenholz, Gilmer, Ganguli and Sohl-Dickstein, "Deep information
    propagation", 2017, https://arxiv.org/abs/1611.01232

    Args:
        activation: a Keras name, a function of numpy arrays (differentiated
            numerically, see `activations.get`), or an `Activation`.

    Returns:
        The gain, right to 1e-6.

    Raises:
        ValueError: if f'(z) is not a finite real number for every z, if E f'(z)^2 is
            infinite or 0, if f is not elementwise, or if the name is unknown.
    """
    activation = activations.get(activation)
    return 1 / math.sqrt(_second_moment(activation.derivative, activation, "f'(z)"))


def critical_std(activation: AnyActivation, fan_in: int) -> float:
    r"""Return the std of the weights that keeps the signal's second moment.

    $\mathrm{forward\_gain} / \sqrt{\mathrm{fan_{in}}}$; for the ReLU He's
    $\sqrt{2 / \mathrm{fan_{in}}}$.

    Source: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", 2015,
    https://arxiv.org/abs/1502.01852

    Args:
        activation: a Keras name, a function of numpy arrays, or an `Activation`.
        fan_in: number of inputs of a unit, at least 1.

    Raises:
        ValueError: if `fan_in` is below 1, and what `forward_gain` raises.
        TypeError: if `fan_in` is not an integer.
    """
    try:
        inputs = operator.index(fan_in)
    except TypeError:
        raise TypeError(f"fan_in must be an integer, got {fan_in!r}") from None
    if inputs < 1:
        raise ValueError(f"fan_in must be at least 1, got {inputs}")
    return forward_gain(activation) / math.sqrt(inputs)


def _second_moment(
    function: activations.Function, activation: activations.Activation, what: str
) -> float:
    """Return E function(z)^2 for z ~ N(0, 1), by quadrature between cuts and kinks."""
    from scipy.integrate import quad

    name = activation.name

    def integrand(z: float) -> float:
        value = float(function(np.array([z]))[0])
        if not math.isfinite(value):
            raise ValueError(
                f"activation {name!r} has no finite second moment: "
                f"{what} is {value} at z = {z:.6g}"
            )
        # The density is split over both factors, lest a large value's square overflow.
        return (value * math.exp(-(z**2) / 4)) ** 2 / math.sqrt(2 * math.pi)

    cuts = sorted({*_CUTS, *(kink for kink in activation.kinks if abs(kink) < _END)})
    # What f warns about, say a logarithm of -1, is raised here as an error.
    with np.errstate(all="ignore"):
        _check_elementwise(function, name)
        pieces = [
            quad(integrand, low, high, epsabs=0, epsrel=1e-9, limit=100, full_output=1)
            for low, high in pairwise(cuts)
        ]
        tail = integrand(-_END) + integrand(_END)
    moment = math.fsum(piece[0] for piece in pieces)
    error = math.fsum(piece[1] for piece in pieces)
    if error > 1e-6 * abs(moment) or tail > 1e-9 * moment:
        raise ValueError(
            f"activation {name!r} has no finite second moment: "
            f"the mean of {what}^2 over z ~ N(0, 1) does not converge "
            "(or f computes in less than double precision)"
        )
    if moment < 1e-30:
        raise ValueError(
            f"activation {name!r} has no gain: {what} is 0 for every z ~ N(0, 1)"
        )
    return moment


def _check_elementwise(function: activations.Function, name: str) -> None:
    z = np.array([-1.3, 0.2, 0.9])
    alone = np.concatenate([function(z[[i]]) for i in range(z.size)])
    if not np.allclose(function(z), alone, rtol=1e-3, atol=1e-6, equal_nan=True):
        raise ValueError(
            f"activation {name!r} must work element by element: "
            "its value at one z changes with the others"
        )
