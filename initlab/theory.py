"""What mean-field theory says about a layer's scale, computed instead of tabulated.

The pre-activations of a wide layer are Gaussian. Where they are z ~ N(0, 1), the
activation f turns their second moment 1 into E f(z)^2, and on the way back a gradient's
is multiplied by E f'(z)^2. The gains say what the weights must make up for, for any f.
Then come the maps that hold at any other scale, their fixed points, and `recommend`,
which weighs them up.
"""

from __future__ import annotations

import math
import operator

from initlab import activations
from initlab._fixed_points import (
    DepthScales,
    FixedPoint,
    FixedPoints,
    correlation_fixed_points,
    depth_scales,
    fixed_points,
)
from initlab._quadrature import unit_gain
from initlab._recommendation import Recommendation, recommend
from initlab.mean_field import (
    AnyActivation,
    CriticalLine,
    chi_1,
    correlation_map,
    critical_line,
    variance_map,
)

__all__ = [
    "AnyActivation",
    "CriticalLine",
    "DepthScales",
    "FixedPoint",
    "FixedPoints",
    "Recommendation",
    "backward_gain",
    "chi_1",
    "correlation_fixed_points",
    "correlation_map",
    "critical_line",
    "critical_std",
    "depth_scales",
    "fixed_points",
    "forward_gain",
    "recommend",
    "variance_map",
]


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
    return unit_gain(activations.get(activation))


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
    return unit_gain(activations.get(activation), of_derivative=True)


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
