"""Means over Gaussians, right to 1e-6 whatever the function looks like.

`integrate` is the engine: it halves every panel on which two rules disagree, for many
integrals at once. `second_moments` uses it for a Gaussian pre-activation; `_pair` does
for two that are correlated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from initlab.activations import Activation, Function

# (nodes, owner of every row of nodes) -> values at the nodes.
Integrand = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Beyond this many sigmas N(0, 1) has no mass in double precision (exp(-722) remains).
END = 38.0
# Where the line is cut before integrating, so that no bump between them is overlooked:
# for the density, and for the activation on its own scale.
CUTS = (-END, -20.0, -12.0, *map(float, range(-8, 9)), 12.0, 20.0, END)
OWN_CUTS = tuple(map(float, range(-8, 9)))
# A panel is good when its error is below this part of the whole.
_TOLERANCE = 1e-11
# What is left after so many halvings, or so many panels in all (and more for every
# integral), is a pole or the noise of single precision: it is counted as error.
_HALVINGS, _PANELS, _PANELS_EACH = 42, 4000, 400
# A panel that had to be halved so often has a kink or a jump in it.
_CREASED = 8


class Integral(NamedTuple):
    """What `integrate` found, one entry per integral."""

    value: np.ndarray
    error: np.ndarray
    mass: np.ndarray  # the integral of the absolute value
    narrow: np.ndarray  # (panels, 3): ends and owner of the panels halved often


class Moments(NamedTuple):
    """Second moments, infinite where there is none, and the reasons why."""

    value: np.ndarray
    reasons: dict[int, str]

    def checked(self) -> np.ndarray:
        """Return the values, or say why there is none."""
        if self.reasons:
            raise ValueError(next(iter(self.reasons.values())))
        return self.value


def integrate(
    integrand: Integrand,
    cuts: np.ndarray,
    scale: float | None = None,
    tolerance: float = _TOLERANCE,
) -> Integral:
    """Integrate many functions at once, each over its own panels.

    Args:
        integrand: what is integrated; owner i belongs to row i of `cuts`.
        cuts: (integrals, edges), ascending in every row.
        scale: what the tolerance is relative to; by default every integral's own mass.
        tolerance: error that one panel may have.
    """
    count = len(cuts)
    low, high = cuts[:, :-1].ravel(), cuts[:, 1:].ravel()
    owner = np.repeat(np.arange(count), cuts.shape[1] - 1)
    low, high, owner = (each[high > low] for each in (low, high, owner))
    value, error, mass = np.zeros((3, count))
    narrow, panels = [np.empty((0, 3))], 0
    for halvings in range(_HALVINGS + 1):
        half = (high - low) / 2
        values = integrand((low + half)[:, None] + half[:, None] * _NODES, owner)
        fine = half * (values @ _WEIGHTS)
        off = half * np.abs(values @ _DIFFERENCE)
        whole = mass + np.bincount(owner, np.abs(fine), count)
        bad = off > tolerance * (whole[owner] if scale is None else scale)
        panels += bad.size
        if halvings == _HALVINGS or panels > _PANELS + _PANELS_EACH * count:
            bad = np.zeros_like(bad)
        good = ~bad
        value += np.bincount(owner[good], fine[good], count)
        error += np.bincount(owner[good], off[good], count)
        mass += np.bincount(owner[good], np.abs(fine[good]), count)
        if halvings >= _CREASED:
            narrow.append(np.stack([low[good], high[good], owner[good]], axis=1))
        if not bad.any():
            break
        middle = (low + half)[bad]
        low, high = np.append(low[bad], middle), np.append(middle, high[bad])
        owner = np.append(owner[bad], owner[bad])
    return Integral(value, error, mass, np.concatenate(narrow))


def second_moments(
    activation: Activation,
    q: np.ndarray,
    *,
    of_derivative: bool = False,
    factor: Function = np.ones_like,
) -> Moments:
    r"""Return $\mathbb{E}\, f(\sqrt{q} z)^2\, \mathrm{factor}(z)$ for z ~ N(0, 1).

    Args:
        activation: whose f, or f', is meant.
        q: (moments,) variances of the pre-activation, above 0.
        of_derivative: whether f' takes the place of f.
        factor: a polynomial in z.
    """
    if not q.size:
        return Moments(q.copy(), {})
    function = activation.derivative if of_derivative else activation.f
    what = "f'(z)" if of_derivative else "f(z)"
    root = np.sqrt(q)[:, None]
    reasons: dict[int, str] = {}

    def integrand(z: np.ndarray, owner: np.ndarray) -> np.ndarray:
        z_own = root[owner] * z
        values = function(z_own)
        endless = ~np.isfinite(values)
        for i in np.unique(owner[endless.any(axis=1)]):
            first = tuple(np.argwhere(endless & (owner == i)[:, None])[0])
            reasons.setdefault(
                int(i),
                f"activation {activation.name!r} has no finite second moment: "
                f"{what} is {values[first]} at z = {z_own[first]:.6g}",
            )
        # The density is split over both factors, lest a large value's square overflow.
        halves = np.where(endless, 0, values) * np.exp(-(z**2) / 4)
        return halves**2 * factor(z) / math.sqrt(2 * math.pi)

    # What f warns about, say a logarithm of -1, is raised here as an error.
    with np.errstate(all="ignore"):
        _check_elementwise(function, activation.name)
        if of_derivative:
            function = _without_spikes(activation, q)
        cuts = clipped(np.array(CUTS), with_kinks(OWN_CUTS, activation.kinks) / root)
        integral = integrate(integrand, cuts)
        ends = np.broadcast_to([-END, END], (len(q), 2))
        tail = integrand(ends, np.arange(len(q))).sum(axis=1)
        settled = integral.error <= 1e-6 * integral.mass
        settled &= np.abs(tail) <= 1e-9 * integral.mass
    for i in np.flatnonzero(~settled):
        reasons.setdefault(
            int(i),
            f"activation {activation.name!r} has no finite second moment: "
            f"the mean of {what}^2 over z ~ N(0, {q[i]:.6g}) does not converge "
            "(or f computes in less than double precision)",
        )
    value = integral.value
    value[list(reasons)] = math.inf
    return Moments(value, dict(sorted(reasons.items())))


def unit_gain(activation: Activation, *, of_derivative: bool = False) -> float:
    """Return 1 / sqrt(E f(z)^2), or of f', for z ~ N(0, 1)."""
    found = second_moments(activation, np.ones(1), of_derivative=of_derivative)
    moment = float(found.checked()[0])
    if moment < 1e-30:
        what = "f'(z)" if of_derivative else "f(z)"
        raise ValueError(
            f"activation {activation.name!r} has no gain: "
            f"{what} is 0 for every z ~ N(0, 1)"
        )
    return 1 / math.sqrt(moment)


def creases(activation: Activation, q: np.ndarray) -> np.ndarray:
    """Return narrow intervals in which f has a kink or a jump that it did not declare.

    Args:
        activation: whose f is meant.
        q: (moments,) variances of the pre-activation; they say how far out to look.

    Returns:
        (intervals, 2), their ends as values of the pre-activation.
    """
    root = np.sqrt(q)[:, None]
    # Shifted, because a kink at a cut would never show.
    shifted = np.array(CUTS) + 0.1372

    def integrand(z: np.ndarray, owner: np.ndarray) -> np.ndarray:
        return activation.f(root[owner] * z) * np.exp(-(z**2) / 4)

    with np.errstate(all="ignore"):
        cuts = clipped(shifted, with_kinks(shifted, activation.kinks) / root)
        narrow = integrate(integrand, cuts).narrow
    narrow = narrow[np.lexsort((narrow[:, 0], narrow[:, 2]))]
    width = np.pad(narrow[:, 1] - narrow[:, 0], 1, constant_values=math.inf)
    narrow = narrow[(width[1:-1] <= width[:-2]) & (width[1:-1] <= width[2:])]
    # So many are no kinks but the noise of single precision.
    if len(narrow) > 32 * len(q):
        narrow = narrow[:0]
    return root[narrow[:, 2].astype(int)] * narrow[:, :2]


def jumps(activation: Activation, q: np.ndarray) -> np.ndarray:
    """Return where f jumps, found by closing in on every place where it may bend.

    Args:
        activation: whose f is meant.
        q: (moments,) variances of the pre-activation; they say how far out to look.
    """
    places = with_kinks(OWN_CUTS, activation.kinks)
    around = 1e-6 * np.maximum(1, np.abs(places))
    known = np.stack([places - around, places + around], axis=1)
    low, high = np.concatenate([known, creases(activation, q)]).T
    with np.errstate(all="ignore"):
        for _ in range(40):
            middle = (low + high) / 2
            f_low, f_middle, f_high = map(activation.f, (low, middle, high))
            above = np.abs(f_high - f_middle) > np.abs(f_middle - f_low)
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        rise = np.abs(activation.f(high) - activation.f(low))
        size = 1 + np.abs(activation.f(low))
    return np.unique(((low + high) / 2)[rise > 1e-6 * size])


def _without_spikes(activation: Activation, q: np.ndarray) -> Function:
    """Return f' without the spike that a numerical derivative has at a jump."""
    places = jumps(activation, np.unique([q.min(), 1.0, q.max()]))
    if not places.size:
        return activation.derivative

    def derivative(z: np.ndarray) -> np.ndarray:
        nearest = places[np.abs(z[..., None] - places).argmin(axis=-1)]
        reach = 2e-6 * np.maximum(1, np.abs(nearest))
        beside = nearest + np.where(z < nearest, -reach, reach)
        return activation.derivative(np.where(np.abs(z - nearest) < reach, beside, z))

    return derivative


def with_kinks(cuts: Sequence[float], kinks: Sequence[float]) -> np.ndarray:
    """Return the cuts with the kinks among them, sorted."""
    return np.union1d(cuts, kinks)


def clipped(*cuts: np.ndarray, end: float = END) -> np.ndarray:
    """Return all cuts from -end to end, both included: (integrals, edges), sorted."""
    rows = max(len(np.atleast_2d(each)) for each in cuts)
    parts = [np.broadcast_to(each, (rows, np.shape(each)[-1])) for each in cuts]
    ends = np.broadcast_to([-end, end], (rows, 2))
    return np.sort(np.clip(np.concatenate([ends, *parts], axis=1), -end, end), axis=1)


def _check_elementwise(function: Function, name: str) -> None:
    z = np.array([-1.3, 0.2, 0.9])
    alone = np.concatenate([function(z[[i]]) for i in range(z.size)])
    if not np.allclose(function(z), alone, rtol=1e-3, atol=1e-6, equal_nan=True):
        raise ValueError(
            f"activation {name!r} must work element by element: "
            "its value at one z changes with the others"
        )


def _rules() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return common nodes on [-1, 1], the weights of one rule, and minus the other's.

    12 points of Gauss against 9 of Lobatto. Lobatto's include the ends, or a jump
    between an end and the first node would be overlooked; they stand a hair inside,
    because what happens at a kink belongs to one side. No jump is a tie between an even
    and an odd number of points.
    """
    gauss, gauss_weights = np.polynomial.legendre.leggauss(12)
    legendre = np.polynomial.legendre.Legendre.basis(8)
    lobatto = np.concatenate([[-1.0], legendre.deriv().roots().real, [1.0]])
    lobatto_weights = 2 / (9 * 8 * legendre(lobatto) ** 2)
    lobatto[[0, -1]] *= 1 - 2e-7
    return (
        np.append(gauss, lobatto),
        np.append(gauss_weights, np.zeros(9)),
        np.append(gauss_weights, -lobatto_weights),
    )


_NODES, _WEIGHTS, _DIFFERENCE = _rules()
