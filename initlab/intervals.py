"""Statistics of runs: :func:`interval` over seeds, :func:`running_mean` over epochs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean over seeds with its confidence interval.

    ``mean``, ``low`` and ``high`` are floats, or arrays when the values had more axes
    than the seeds; ``n`` is the number of seeds.
    """

    mean: Any
    low: Any
    high: Any
    n: int

    def __format__(self, spec: str) -> str:
        """Write ``mean [low, high]``, each number in the given format.

        An interval of several quantities is written as it is, without a format.
        """
        if np.ndim(self.mean) and not spec:
            return str(self)
        if np.ndim(self.mean):
            raise TypeError("only an interval of one quantity can be formatted")
        spec = spec or ".3g"
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def excludes(self, value: float) -> bool:
        """Tell whether ``value`` lies outside the whole interval (of every element)."""
        return bool(np.all((value < self.low) | (value > self.high)))


def interval(values: Any, level: float = 0.95) -> Interval:
    r"""Mean over seeds and its two-sided Student-t confidence interval.

    .. math:: \bar v \pm t_{n-1,\,(1+\mathrm{level})/2}\; s / \sqrt n

    with :math:`s` the sample standard deviation (``ddof=1``) over the ``n`` seeds.

    Args:
        values: Array of shape ``(seeds, ...)``; one independent run per row.
        level: Confidence level, strictly between 0 and 1.

    Returns:
        An :class:`Interval` whose fields have shape ``(...)``.

    Raises:
        ValueError: If there are fewer than 2 seeds, if a value is not finite (a
            diverged run has no mean: say how many diverged instead), or if ``level``
            is not between 0 and 1.

    Source:
        Student, "The Probable Error of a Mean", Biometrika 6(1), 1908.
        https://doi.org/10.1093/biomet/6.1.1
    """
    values = np.asarray(values, dtype=float)
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    if values.ndim == 0 or len(values) < 2:
        raise ValueError(
            "values must hold at least 2 seeds on axis 0, "
            f"got an array of shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"values must be finite, got {np.count_nonzero(~np.isfinite(values))} that "
            "are not; report diverged runs by their number, not by a mean"
        )
    from scipy import stats

    n = len(values)
    mean = values.mean(axis=0)
    half = stats.t.ppf((1 + level) / 2, n - 1) * values.std(axis=0, ddof=1) / n**0.5
    if values.ndim == 1:
        return Interval(float(mean), float(mean - half), float(mean + half), n)
    return Interval(mean, mean - half, mean + half, n)


def running_mean(curves: Any, window: int) -> np.ndarray:
    r"""Mean of each epoch and the ones before it, at most ``window`` of them.

    .. math:: m_t = \frac{1}{k} \sum_{i=t-k+1}^{t} v_i, \quad k = \min(t, w)

    It looks back only, so the first epochs keep their own scale, and no value uses one
    that came later. A value that is not finite spoils those whose window holds it.

    Args:
        curves: Shape ``(..., epochs)``.
        window: How many epochs, at least 1; with 1 nothing changes.

    Returns:
        The smoothed curves, shape ``(..., epochs)``.

    Raises:
        ValueError: If ``window`` is not a whole number of at least 1, or if ``curves``
            has no axis of epochs.
    """
    whole = isinstance(window, (int, np.integer)) and not isinstance(window, bool)
    if not whole or window < 1:
        raise ValueError(f"window must be a whole number of at least 1, got {window!r}")
    curves = np.asarray(curves, dtype=float)
    if curves.ndim == 0:
        raise ValueError(f"curves must have an axis of epochs, got {curves}")
    ends = range(1, curves.shape[-1] + 1)
    means = [curves[..., max(0, end - window) : end].mean(axis=-1) for end in ends]
    return np.stack(means, axis=-1) if means else curves
