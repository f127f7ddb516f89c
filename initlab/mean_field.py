"""The maps of mean-field theory: what one wide layer does to signals, on average.

Layers of Gaussian weights with fan_in · Var w = sigma_w^2 and biases of variance
sigma_b^2 have Gaussian pre-activations. `variance_map` says which second moment q the
next layer's have, `correlation_map` which correlation c two inputs' have there, `chi_1`
what becomes of a gradient. `theory` makes them public, with their fixed points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from initlab import activations
from initlab._pair import Pair
from initlab._quadrature import Moments, second_moments

AnyActivation = str | Callable[..., Any] | activations.Activation

# Relative differences below this are the quadrature's, not the theory's.
PRECISION = 1e-9


@dataclass(frozen=True)
class CriticalLine:
    """Where chi_1 is 1, point by point; each array is ``(points,)``.

    Attributes:
        q: second moment of the pre-activations, a fixed point of the variance map.
        sigma_w: the gain, sqrt(fan_in · Var w).
        sigma_b: standard deviation of the biases.
        slope: slope of the variance map at `q`; above 1 no network stays there.
    """

    q: np.ndarray
    sigma_w: np.ndarray
    sigma_b: np.ndarray
    slope: np.ndarray


def variance_map(
    activation: AnyActivation,
    q: float | np.ndarray,
    *,
    sigma_w: float,
    sigma_b: float = 0.0,
) -> float | np.ndarray:
    r"""Return the second moment of the next layer's pre-activations.

    $\mathcal{V}(q) = \sigma_w^2\, \mathbb{E}\, f(\sqrt{q}\, z)^2 + \sigma_b^2$ for
    z ~ N(0, 1).

    Source: Poole, Lahiri, Raghu, Sohl-Dickstein and Ganguli, "Exponential expressivity
    in deep neural networks through transient chaos", 2016,
    https://arxiv.org/abs/1606.05340

    Args:
        activation: a Keras name, a function of numpy arrays, or an `Activation`.
        q: second moments of the pre-activations, at least 0; a number or any array.
        sigma_w: the gain, sqrt(fan_in · Var w), above 0.
        sigma_b: standard deviation of the biases, at least 0.

    Returns:
        A number, or an array of the shape of `q`; right to 1e-6 of itself.

    Raises:
        ValueError: if f(z) is not a finite real number for every z, if E f^2 is
            infinite, if f is not elementwise, if the name is unknown, or if another
            argument is out of its range.
        TypeError: if `activation` is neither a name nor a function.
    """
    activation, q = activations.get(activation), _second_moments_argument(q)
    sigma_w, sigma_b = positive("sigma_w", sigma_w), not_negative("sigma_b", sigma_b)
    return _plain(sigma_w**2 * _mean_square(activation, q).checked() + sigma_b**2)


def chi_1(
    activation: AnyActivation, q: float | np.ndarray, *, sigma_w: float
) -> float | np.ndarray:
    r"""Return by how much a layer multiplies the second moment of a gradient.

    $\chi_1 = \sigma_w^2\, \mathbb{E}\, f'(\sqrt{q}\, z)^2$ for z ~ N(0, 1), where
    fan_out = fan_in. At a fixed point q it is also the slope of the correlation map at
    c = 1: above 1 two near inputs drift apart and gradients explode, below 1 inputs
    merge and gradients vanish. A jump of f is invisible to f', as it is to
    backpropagation.

    Source: Schoenholz, Gilmer, Ganguli and Sohl-Dickstein, "Deep information
    propagation", 2017, https://arxiv.org/abs/1611.01232

    Args:
        activation: a Keras name, a function of numpy arrays (differentiated
            numerically, see `activations.get`), or an `Activation`.
        q: second moments of the pre-activations, at least 0; a number or any array. At
            0 the limit from above is meant: ½ sigma_w^2 for the ReLU.
        sigma_w: the gain, sqrt(fan_in · Var w), above 0.

    Returns:
        A number, or an array of the shape of `q`; right to 1e-6 of sigma_w^2.

    Raises:
        ValueError: if f'(z) is not a finite real number for every z, if E f'^2 is
            infinite, if f is not elementwise, if the name is unknown, or if another
            argument is out of its range.
        TypeError: if `activation` is neither a name nor a function.
    """
    activation, q = activations.get(activation), _second_moments_argument(q)
    sigma_w = positive("sigma_w", sigma_w)
    response = _mean_square(activation, q, of_derivative=True).checked()
    return _plain(sigma_w**2 * response)


def correlation_map(
    activation: AnyActivation,
    c: float | np.ndarray,
    *,
    q: float,
    sigma_w: float,
    sigma_b: float = 0.0,
) -> float | np.ndarray:
    r"""Return the correlation of two inputs' pre-activations in the next layer.

    $\mathcal{C}(c) = (\sigma_w^2\, \mathbb{E}\, f(u_1) f(u_2) + \sigma_b^2) /
    \mathcal{V}(q)$ for Gaussian $u_1, u_2$ of variance q and correlation c. At a fixed
    point $\mathcal{V}(q) = q$. For the ReLU it is the arc-cosine kernel. Correlation is
    meant about 0, not about the mean.

    Source: Poole, Lahiri, Raghu, Sohl-Dickstein and Ganguli, "Exponential expressivity
    in deep neural networks through transient chaos", 2016,
    https://arxiv.org/abs/1606.05340; for the ReLU Cho and Saul, "Kernel methods for
    deep learning", 2009,
    https://papers.nips.cc/paper/3628-kernel-methods-for-deep-learning

    Args:
        activation: a Keras name, a function of numpy arrays, or an `Activation`.
        c: correlations from -1 to 1; a number or any array.
        q: second moment of both pre-activations, above 0.
        sigma_w: the gain, sqrt(fan_in · Var w), above 0.
        sigma_b: standard deviation of the biases, at least 0.

    Returns:
        A number, or an array of the shape of `c`; right to 1e-6, and exactly 1 at 1.

    Raises:
        ValueError: if f(z) is not a finite real number for every z, if E f^2 is
            infinite, if f and the biases are 0, if f is not elementwise, if the name is
            unknown, or if another argument is out of its range.
        TypeError: if `activation` is neither a name nor a function.
    """
    pair = Pair(activations.get(activation), positive("q", q))
    c = _real_array("c", c, -1, 1)
    sigma_w, sigma_b = positive("sigma_w", sigma_w), not_negative("sigma_b", sigma_b)
    following = sigma_w**2 * pair.second_moment + sigma_b**2
    if following == 0:
        raise ValueError(
            f"activation {pair.activation.name!r} has no correlation map: "
            "f(z) is 0 for every z, and so is sigma_b"
        )
    products = np.array([pair.product(each) for each in c.ravel()]).reshape(c.shape)
    return _plain((sigma_w**2 * products + sigma_b**2) / following)


def critical_line(
    activation: AnyActivation, q: np.ndarray | None = None
) -> CriticalLine:
    r"""Return the weights and biases with which a gradient keeps its second moment.

    For every q the gain with $\chi_1 = 1$, $\sigma_w = 1 / \sqrt{\mathbb{E}\,
    f'(\sqrt{q} z)^2}$, and the bias that makes q a fixed point, $\sigma_b^2 = q -
    \sigma_w^2\, \mathbb{E}\, f(\sqrt{q} z)^2$, where that is not below 0. For tanh the
    line starts at (1, 0). A point that stands for many values of q comes once, with the
    first of them: all that the ReLU has is $(\sqrt{2}, 0)$.

    Source: Schoenholz, Gilmer, Ganguli and Sohl-Dickstein, "Deep information
    propagation", 2017, https://arxiv.org/abs/1611.01232; Hayou, Doucet and Rousseau,
    "On the impact of the activation function on deep neural networks training", 2019,
    https://arxiv.org/abs/1902.06853

    Args:
        activation: a Keras name, a function of numpy arrays, or an `Activation`.
        q: ``(values,)`` second moments to look at, at least 0; by default 0 and 25 for
            every decade from 1e-4 to 100.

    Raises:
        ValueError: if no q has such a pair, if E f^2 or E f'^2 is finite for none, if
            f is not elementwise, if the name is unknown, or if `q` is not one row of
            numbers of at least 0.
        TypeError: if `activation` is neither a name nor a function.
    """
    activation = activations.get(activation)
    if q is None:
        q = np.append(0, np.geomspace(1e-4, 100, 151))
    q = _second_moments_argument(q)
    if q.ndim != 1 or not q.size:
        raise ValueError(f"q must be one row of numbers, got an array of {q.shape}")
    responses = _mean_square(activation, q, of_derivative=True)
    moments = _mean_square(activation, q)
    for each in (moments, responses):
        if not np.isfinite(each.value).any():
            each.checked()
    response = responses.value
    with np.errstate(all="ignore"):
        weights = 1 / response
        biases = q - weights * moments.value
        slope = weights * np.where(q == 0, response, moment_slopes(activation, q))
    # What is left of a difference that should be 0 is not a bias.
    biases = np.where(np.abs(biases) <= PRECISION * q, 0, biases)
    kept = np.isfinite(weights) & (weights > 0) & (biases >= 0) & np.isfinite(slope)
    if not kept.any():
        raise ValueError(
            f"activation {activation.name!r} has no critical line for q from "
            f"{q.min():.6g} to {q.max():.6g}: no weights and biases keep both q and "
            "the second moment of the gradient"
        )
    sigmas = np.sqrt(np.stack([weights, biases])[:, kept])
    new = np.append(True, np.abs(np.diff(sigmas, axis=1)).max(axis=0) > 1e-7)
    return CriticalLine(q[kept][new], *sigmas[:, new], slope[kept][new])


def moment_slopes(activation: activations.Activation, q: np.ndarray) -> np.ndarray:
    r"""Return the derivative of $\mathbb{E}\, f(\sqrt{q} z)^2$ by q; 0 for q = 0.

    Integrated by parts, it is $\mathbb{E}\, f^2 (z^2 - 1) / 2q$: no derivative of f,
    and right for a jump as well.
    """
    slopes = np.zeros(q.shape)
    above = q > 0
    weighted = second_moments(activation, q[above], factor=lambda z: (z**2 - 1) / 2)
    slopes[above] = weighted.value / q[above]
    return slopes


def slope_at_zero(activation: activations.Activation) -> float:
    r"""Return the limit of $\mathbb{E}\, f'(\sqrt{q} z)^2$ as q goes to 0.

    It is the mean of the squared slopes to the right and to the left, infinite where f
    jumps. Where f(0) = 0 it is the limit of $\mathbb{E}\, f(\sqrt{q} z)^2 / q$ as well.
    """
    step = 1e-6 * np.array([1.0, -1.0])
    with np.errstate(all="ignore"):
        start = activation.f(np.zeros(1))
        wide = (activation.f(step) - start) / step
        close = (activation.f(step / 2) - start) / (step / 2)
        growing = np.abs(close) > 1.2 * np.abs(wide)
        # A difference quotient that grows while the step shrinks has no limit.
        slopes = np.where(growing, math.inf, 2 * close - wide)
    return float(np.mean(slopes**2))


def positive(argument: str, value: float) -> float:
    """Return the number, or say that it must be above 0."""
    if not isinstance(value, Real) or not 0 < value < math.inf:
        raise ValueError(f"{argument} must be a finite number above 0, got {value!r}")
    return float(value)


def not_negative(argument: str, value: float) -> float:
    """Return the number, or say that it must be at least 0."""
    if not isinstance(value, Real) or not 0 <= value < math.inf:
        raise ValueError(
            f"{argument} must be a finite number of at least 0, got {value!r}"
        )
    return float(value)


def _second_moments_argument(q: float | np.ndarray) -> np.ndarray:
    return _real_array("q", q, 0, math.inf)


def _real_array(
    argument: str, value: float | np.ndarray, low: float, high: float
) -> np.ndarray:
    limits = f"at least {low}" if high == math.inf else f"between {low} and {high}"
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"{argument} must be numbers, {limits}, got {value!r}"
        ) from None
    wrong = ~(np.isfinite(array) & (array >= low) & (array <= high))
    if wrong.any():
        raise ValueError(
            f"{argument} must be finite and {limits}, got {array[wrong][0]}"
        )
    return array


def _plain(array: np.ndarray) -> float | np.ndarray:
    """Return a number for what came in as one."""
    return array if np.ndim(array) else float(array)


def _mean_square(
    activation: activations.Activation, q: np.ndarray, of_derivative: bool = False
) -> Moments:
    """Return E f^2 or E f'^2 at every q, of any shape, 0 included."""
    value, above = np.empty(q.shape), q > 0
    value[above], reasons = second_moments(
        activation, q[above], of_derivative=of_derivative
    )
    if of_derivative and not above.all():
        value[~above] = slope_at_zero(activation)
    elif not above.all():
        with np.errstate(all="ignore"):
            start = float(activation.f(np.zeros(1))[0])
        value[~above] = start**2
        if not math.isfinite(start):
            problem = f"activation {activation.name!r} must be finite: f(0) is {start}"
            reasons = {**reasons, -1: problem}
    return Moments(value, reasons)
