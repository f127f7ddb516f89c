"""Means of an activation over two correlated Gaussians.

`Pair.product` is what the correlation map is made of, `Pair.slope` its derivative. Both
are one integral inside another, cut wherever f bends, declared or not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from initlab._quadrature import (
    clipped,
    creases,
    integrate,
    second_moments,
    with_kinks,
)
from initlab.activations import Activation

# Beyond 9 sigmas of the second variable, the mean of f(u1) f(u2) has less than
# sqrt(P(|y| > 9)) = 5e-10 of E f^2 (Cauchy and Schwarz); the first goes on.
_END = 9.0
_CUTS = np.array([-5, -3, -1.5, 0, 1.5, 3, 5])
_FAR_CUTS = np.array([-20, -12, -_END, _END, 12, 20])
# Error of one panel, as a part of E f^2; a tenth of it for the inner integral.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Pair:
    """Two pre-activations of variance `q`, whatever their correlation c.

    With independent x and y ~ N(0, 1) they are u1 = sqrt(q) x and
    u2 = sqrt(q) (c x + sqrt(1 - c^2) y).

    Attributes:
        activation: whose f is meant; it has a finite second moment at `q`.
        q: variance of both, above 0.
    """

    activation: Activation
    q: float

    @cached_property
    def second_moment(self) -> float:
        """E f(u1)^2."""
        return float(second_moments(self.activation, np.array([self.q])).checked()[0])

    def product(self, c: float) -> float:
        """Return E f(u1) f(u2)."""
        if c == 1:
            return self.second_moment
        return self._mean(c, lambda x, y: 1.0, self.second_moment)

    def slope(self, c: float) -> float:
        """Return the derivative of E f(u1) f(u2) by c, for |c| < 1.

        Integrated by parts, so that it needs no f' and is right for a jump as well.
        """
        s = math.sqrt((1 - c) * (1 + c))
        return self._mean(
            c,
            lambda x, y: (x * y - (c / s) * (y**2 - 1)) / s,
            self.second_moment / s**2,
        )

    def _f(self, u: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return self.activation.f(u)

    @cached_property
    def _bends(self) -> np.ndarray:
        """Where to cut on account of f: its kinks, found and declared, and 0."""
        found = creases(self.activation, np.array([self.q])).ravel()
        return with_kinks(found, (0.0, *self.activation.kinks))

    def _mean(
        self, c: float, factor: Callable[..., np.ndarray | float], scale: float
    ) -> float:
        """Return E f(u1) f(u2) factor(x, y), one integral inside the other."""
        root, s = math.sqrt(self.q), math.sqrt((1 - c) * (1 + c))
        bends = self._bends / root

        def outer(x: np.ndarray, _: np.ndarray) -> np.ndarray:
            left = self._f(root * x) * _density(x)
            if s == 0:
                return left * self._f(c * root * x)
            at, before = x.reshape(-1, 1), left.reshape(-1, 1)

            def inner(y: np.ndarray, owner: np.ndarray) -> np.ndarray:
                x = at[owner]
                right = self._f(root * (c * x + s * y)) * _density(y)
                return before[owner] * right * factor(x, y)

            cuts = clipped(_CUTS, (bends - c * at) / s, end=_END)
            return integrate(inner, cuts, scale, _TOLERANCE / 10).value.reshape(x.shape)

        cuts = clipped(_FAR_CUTS, _CUTS, bends)
        return float(integrate(outer, cuts, scale, _TOLERANCE).value[0])


def _density(x: np.ndarray) -> np.ndarray:
    return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
