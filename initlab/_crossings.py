"""Where a function of a positive number crosses zero, touches it, or stays there."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

_PER_DECADE = 50
# What is smaller is 0: the quadrature is no better.
_ZERO = 1e-9


def crossings(
    log_ratio: Callable[[np.ndarray], np.ndarray], low: float, high: float
) -> tuple[np.ndarray, tuple[tuple[float, float], ...]]:
    """Return where `log_ratio` is 0 between two ends: single points, and intervals."""
    steps = math.ceil(_PER_DECADE * math.log10(high / low))
    grid = np.geomspace(low, high, steps + 1)
    values = log_ratio(grid)
    points, brackets, continua = _scan(grid, values)
    # Two crossings within one step, or a touch, show as a dip.
    size, sign = np.abs(values), np.sign(values)
    same_side = (sign[:-2] == sign[1:-1]) & (sign[1:-1] == sign[2:])
    dip = (size[1:-1] < size[:-2]) & (size[1:-1] < size[2:])
    near_zero = (size[1:-1] > _ZERO) & (size[1:-1] < 1e-2)
    for i in np.flatnonzero(same_side & dip & near_zero):
        near = np.geomspace(grid[i], grid[i + 2], 2001)
        close_points, close_brackets, _ = _scan(near, log_ratio(near))
        points, brackets = points + close_points, brackets + close_brackets
    points.extend(_bisected(log_ratio, brackets))
    return np.array(sorted(points)), tuple(continua)


def _scan(
    grid: np.ndarray, values: np.ndarray
) -> tuple[list[float], list[tuple[float, float]], list[tuple[float, float]]]:
    """Return the zeros on the grid, the steps with one inside, and the intervals."""
    sign = np.sign(np.where(np.abs(values) <= _ZERO, 0, values))
    runs = np.split(np.arange(len(grid)), np.flatnonzero(np.diff(sign)) + 1)
    points, brackets, continua = [], [], []
    for run, following in zip(runs, [*runs[1:], None], strict=True):
        first, last = float(grid[run[0]]), float(grid[run[-1]])
        if sign[run[0]] == 0 and last > 1.2 * first:
            continua.append((first, last))
        elif sign[run[0]] == 0:
            points.append(float(grid[run[np.argmin(np.abs(values[run]))]]))
        elif following is not None and sign[following[0]] != 0:
            brackets.append((last, float(grid[following[0]])))
    return points, brackets, continua


def _bisected(
    log_ratio: Callable[[np.ndarray], np.ndarray], brackets: list[tuple[float, float]]
) -> list[float]:
    if not brackets:
        return []
    low, high = np.log(np.array(brackets)).T
    rising = log_ratio(np.exp(low)) < 0
    for _ in range(50):
        middle = (low + high) / 2
        below = (log_ratio(np.exp(middle)) < 0) == rising
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    found = np.exp((low + high) / 2)
    # Where E f^2 becomes infinite the sign changes too, at nothing.
    return found[np.abs(log_ratio(found)) < 1e-6].tolist()
