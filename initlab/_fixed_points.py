"""Where the maps of mean-field theory come to rest, and how many layers they take.

`fixed_points` finds those of the variance map, `correlation_fixed_points` those of the
correlation map, `depth_scales` turns their slopes into layers. `theory` makes them
public.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from initlab import activations, mean_field
from initlab._crossings import crossings
from initlab._pair import Pair
from initlab._quadrature import jumps, second_moments
from initlab.mean_field import PRECISION, AnyActivation

# A slope this near to 1 is 1.
_MARGIN = 1e-6


@dataclass(frozen=True)
class FixedPoint:
    """A value that a map leaves as it is.

    Attributes:
        value: the second moment q, or the correlation c.
        slope: slope of the map there: what a layer makes of a small deviation.
    """

    value: float
    slope: float

    @property
    def stable(self) -> bool:
        """Whether deviations shrink by a factor: the slope is between -1 and 1."""
        return abs(self.slope) < 1 - _MARGIN

    @property
    def marginal(self) -> bool:
        """Whether the slope is 1, so that deviations stay or change like a power."""
        return abs(abs(self.slope) - 1) <= _MARGIN


@dataclass(frozen=True)
class FixedPoints:
    """All fixed points of a map that were found between two ends.

    Attributes:
        points: the single ones, in ascending order.
        continua: intervals of which every value is one, as of the ReLU at gain sqrt(2):
            the map moves nothing there by more than 1e-9 of itself.
        searched: the two ends.
        diverges: whether the map still grows at the upper end, so that what starts
            above the last fixed point ends nowhere.
    """

    points: tuple[FixedPoint, ...]
    continua: tuple[tuple[float, float], ...]
    searched: tuple[float, float]
    diverges: bool

    @property
    def stable(self) -> tuple[FixedPoint, ...]:
        """Those to which deviations return."""
        return tuple(point for point in self.points if point.stable)


@dataclass(frozen=True)
class DepthScales:
    """How many layers the memory of a deviation lasts; see `depth_scales`.

    Attributes:
        q: the fixed point of the variance map.
        xi_q: layers in which a deviation from `q` falls to 1/e.
        c: the fixed point of the correlation map at `q` that is not unstable.
        xi_c: layers in which a deviation from `c` falls to 1/e.
    """

    q: float
    xi_q: float
    c: float
    xi_c: float


def fixed_points(
    activation: AnyActivation,
    *,
    sigma_w: float,
    sigma_b: float = 0.0,
    q_range: tuple[float, float] = (1e-6, 1e6),
) -> FixedPoints:
    r"""Return the second moments that a layer keeps, $\mathcal{V}(q) = q$.

    The slope at q is $\sigma_w^2\, \mathbb{E}\, f(\sqrt{q} z)^2 (z^2 - 1) / 2q$, which
    needs no f'. Zero is among them if it is one. Between two of 50 points per decade
    the map is looked at again only where it comes near q without crossing it.

    Source: Poole, Lahiri, Raghu, Sohl-Dickstein and Ganguli, "Exponential expressivity
    in deep neural networks through transient chaos", 2016,
    https://arxiv.org/abs/1606.05340

    Args:
        activation: a Keras name, a function of numpy arrays, or an `Activation`.
        sigma_w: the gain, sqrt(fan_in · Var w), above 0.
        sigma_b: standard deviation of the biases, at least 0.
        q_range: where to look, besides at 0: two numbers, 0 < low < high.

    Raises:
        ValueError: if E f^2 is finite for no q of the range, if f is not elementwise,
            if the name is unknown, or if another argument is out of its range.
        TypeError: if `activation` is neither a name nor a function.
    """
    activation = activations.get(activation)
    sigma_w = mean_field.positive("sigma_w", sigma_w)
    sigma_b = mean_field.not_negative("sigma_b", sigma_b)
    low, high = _range(q_range)

    probes = second_moments(activation, np.geomspace(low, high, 13))
    if len(probes.reasons) == 13:
        probes.checked()

    def log_ratio(q: np.ndarray) -> np.ndarray:
        moments = second_moments(activation, q)
        with np.errstate(divide="ignore"):
            return np.log((sigma_w**2 * moments.value + sigma_b**2) / q)

    values, continua = crossings(log_ratio, low, high)
    slopes = sigma_w**2 * mean_field.moment_slopes(activation, values)
    if mean_field.variance_map(activation, 0, sigma_w=sigma_w, sigma_b=sigma_b) == 0:
        values = np.append(0, values)
        slopes = np.append(sigma_w**2 * mean_field.slope_at_zero(activation), slopes)
    return FixedPoints(
        tuple(map(FixedPoint, values.tolist(), slopes.tolist())),
        continua,
        (low, high),
        diverges=bool(log_ratio(np.array([high]))[0] > PRECISION),
    )


def correlation_fixed_points(
    activation: AnyActivation, *, q: float, sigma_w: float, sigma_b: float = 0.0
) -> FixedPoints:
    r"""Return the correlations that a layer keeps, $\mathcal{C}(c) = c$, at q.

    All of them: $\mathcal{C}$ is a power series of c with no negative coefficient and
    $\mathcal{C}(1) = 1$. So beside 1 there is one from 0 on exactly if the slope at 1,
    $\chi_1$, is above 1; and below 0 only -1, if f is odd and there are no biases. A
    linear f without biases keeps all. A jump makes the slope at 1 infinite.

    Source: Schoenholz, Gilmer, Ganguli and Sohl-Dickstein, "Deep information
    propagation", 2017, https://arxiv.org/abs/1611.01232

    Args:
        activation: a Keras name, a function of numpy arrays, or an `Activation`.
        q: second moment of the pre-activations, above 0, a fixed point itself.
        sigma_w: the gain, sqrt(fan_in · Var w), above 0.
        sigma_b: standard deviation of the biases, at least 0.

    Raises:
        ValueError: as `correlation_map` does.
        TypeError: if `activation` is neither a name nor a function.
    """
    activation = activations.get(activation)
    weights = {"q": q, "sigma_w": sigma_w, "sigma_b": sigma_b}
    start, mirror = mean_field.correlation_map(
        activation, np.array([0.0, -1]), **weights
    )
    pair = Pair(activation, float(q))
    per_product = sigma_w**2 / (sigma_w**2 * pair.second_moment + sigma_b**2)
    here = np.array([pair.q])
    response = second_moments(activation, here, of_derivative=True).value[0]
    jumping = jumps(activation, here).size > 0
    at_one = math.inf if jumping else float(per_product * pair.q * response)
    if abs(at_one - 1) <= _MARGIN and start <= PRECISION:
        return FixedPoints((), ((-1.0, 1.0),), (-1.0, 1.0), diverges=False)
    points = [FixedPoint(1.0, at_one)]
    if at_one > 1 + _MARGIN:
        c = 0.0 if start <= PRECISION else _newton(pair, start, per_product)
        points.insert(0, FixedPoint(c, per_product * pair.slope(c)))
    if mirror + 1 <= PRECISION:
        points.insert(0, FixedPoint(-1.0, at_one))
    return FixedPoints(tuple(points), (), (-1.0, 1.0), diverges=False)


def depth_scales(
    activation: AnyActivation, *, sigma_w: float, sigma_b: float = 0.0
) -> DepthScales:
    r"""Return over how many layers signals forget what they were.

    $\xi_q = -1 / \log |\mathcal{V}'(q^*)|$ and $\xi_c = -1 / \log |\mathcal{C}'(c^*)|$:
    a small deviation from the fixed point falls like $e^{-l / \xi}$ over l layers. On
    the critical line $\xi_c$ is infinite. $q^*$ is the fixed point that signals of
    second moment 1 reach. Where it is 0 no correlation is left, and $\xi_c$ is the
    limit of small biases, $-1 / \log \chi_1$.

    Source: Schoenholz, Gilmer, Ganguli and Sohl-Dickstein, "Deep information
    propagation", 2017, https://arxiv.org/abs/1611.01232

    Args:
        activation: a Keras name, a function of numpy arrays, or an `Activation`.
        sigma_w: the gain, sqrt(fan_in · Var w), above 0.
        sigma_b: standard deviation of the biases, at least 0.

    Raises:
        ValueError: if signals of second moment 1 reach no fixed point, and what
            `fixed_points` and `correlation_fixed_points` raise.
        TypeError: if `activation` is neither a name nor a function.
    """
    activation = activations.get(activation)
    weights = {"sigma_w": sigma_w, "sigma_b": sigma_b}
    found = fixed_points(activation, **weights)
    resting = _reached_from_one(activation, found.points, weights)
    if resting is None:
        raise ValueError(
            f"activation {activation.name!r} has no depth scale at sigma_w = {sigma_w} "
            f"and sigma_b = {sigma_b}: a signal of second moment 1 comes to rest "
            "nowhere; take a gain with which it does, see fixed_points"
        )
    xi_q = _layers(resting.slope)
    if resting.value == 0:
        chi = mean_field.chi_1(activation, 0, sigma_w=sigma_w)
        return DepthScales(0.0, xi_q, 1.0, _layers(chi))
    of_c = correlation_fixed_points(activation, q=resting.value, **weights)
    if of_c.continua:
        return DepthScales(resting.value, xi_q, 1.0, math.inf)
    c = next(point for point in of_c.points if point.stable or point.marginal)
    return DepthScales(resting.value, xi_q, c.value, _layers(c.slope))


def _newton(pair: Pair, start: float, per_product: float) -> float:
    """Return the fixed point between 0 and 1; from 0 a convex map needs no bracket."""
    shift = start - per_product * pair.product(0.0)
    c = 0.0
    for _ in range(100):
        excess = per_product * pair.product(c) + shift - c
        step = excess / (1 - per_product * pair.slope(c))
        c += step
        if abs(step) < 1e-10:
            break
    return float(c)


def _reached_from_one(
    activation: activations.Activation,
    points: tuple[FixedPoint, ...],
    weights: dict[str, float],
) -> FixedPoint | None:
    """Return the fixed point that signals of second moment 1 move to, if there is."""
    drift = mean_field.variance_map(activation, 1.0, **weights) - 1
    if abs(drift) <= PRECISION:
        slopes = mean_field.moment_slopes(activation, np.array([1.0]))
        ahead = [FixedPoint(1.0, weights["sigma_w"] ** 2 * float(slopes[0]))]
    elif drift > 0:
        ahead = [point for point in points if point.value > 1]
    else:
        ahead = [point for point in reversed(points) if point.value < 1]
    at_rest = bool(ahead) and (ahead[0].stable or ahead[0].marginal)
    return ahead[0] if at_rest else None


def _layers(slope: float) -> float:
    size = abs(slope)
    if size == 0:
        return 0.0
    return math.inf if size >= 1 - _MARGIN else -1 / math.log(size)


def _range(q_range: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = q_range
    except (TypeError, ValueError):
        raise ValueError(
            f"q_range must be two numbers, low and high, got {q_range!r}"
        ) from None
    low, high = (mean_field.positive("q_range", end) for end in (low, high))
    if low >= high:
        raise ValueError(f"q_range must go up from low to high, got {q_range!r}")
    return low, high
