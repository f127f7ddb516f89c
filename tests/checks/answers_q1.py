"""Right and wrong answers to the exercises on why initialization matters."""

from __future__ import annotations

import math

import numpy as np

from initlab.checks import q1

QUANTILE = 1.6448536269514722  # of the standard normal at 0.95


def arrival_backwards(losses, goal):
    step = len(losses)
    while step > 0 and losses[step - 1] < goal:
        step -= 1
    return step


def arrival_by_trying(losses, goal):
    steps = range(len(losses) + 1)
    return next(step for step in steps if all(loss < goal for loss in losses[step:]))


def changed_arrival(change):
    def arrival(losses, goal):
        last = len(losses)
        if change == "first":
            return next((s for s in range(last) if losses[s] < goal), last)
        below = np.array([loss < goal for loss in losses])
        if change == "equal":
            below = np.array([loss <= goal for loss in losses])
        if change == "nan":
            below = np.array([not loss >= goal for loss in losses])
        if not below[-1] and change in ("steps - 1", "start"):
            return last - 1 if change == "steps - 1" else 0
        if not below[-1] and change == "none":
            return None
        step = last - int(np.argmin(np.append(below, False)[last - 1 :: -1]))
        if below.all():
            step = 0
        return max(step - 1, 0) if change == "before" else step

    return arrival


def units_by_pairs(kernel, bias, odd):
    rows = list(np.vstack([kernel, bias]).T)
    kept = []
    for row in rows:
        twins = [np.array_equal(row, old) for old in kept]
        mirrors = [odd and np.array_equal(-row, old) for old in kept]
        if not any(twins + mirrors):
            kept.append(row)
    return len(kept)


def units_by_outputs(kernel, bias, odd):
    x = np.random.default_rng(1).standard_normal((50, len(kernel)))
    z = (x @ kernel + bias).T.round(4)
    z = np.where(odd & (z[:, :1] < 0), -z, z) + 0.0
    return np.unique(z, axis=0).shape[0]


def changed_units(change):
    def units(kernel, bias, odd):
        odd = {"no mirrors": False, "always": True}.get(change, odd)
        rows = [(*w, b) for w, b in zip(kernel.T, bias, strict=True)]
        if change == "no bias":
            rows = [row[:-1] for row in rows]
        kept = []
        for row in rows:
            mirror = tuple(-number for number in row)
            if change == "bias kept":
                mirror = (*mirror[:-1], row[-1])
            seen = kept[-1:] if change == "neighbours" else kept
            if row not in seen and not (odd and mirror in seen):
                kept.append(row)
        if change == "too many":
            return len(rows) - len(kept)
        if change == "alone":
            found = [
                sum(r in (row, tuple(-n for n in row) if odd else row) for r in rows)
                for row in rows
            ]
            return found.count(1)
        if change == "layers":
            return kernel.shape[1]
        return kept if change == "the units" else len(kept)

    return units


def slopes(in_w1, in_w2):
    """Return the squared lengths of both gradients of the scaled network."""
    w1, w2 = q1.two_layers()
    x, y = (e.astype(float) for e in q1.tasks.smooth_regression(64, features=3))
    w1, w2 = in_w1 * w1, in_w2 * w2
    h = np.maximum(x @ w1, 0)
    error = 2 * (h @ w2 - y) / 64
    return np.sum((x.T @ (error @ w2.T * (h > 0))) ** 2), np.sum((h.T @ error) ** 2)


def speeds(*scales):
    return tuple(sum(slopes(*scale)) / sum(slopes(1, 1)) for scale in scales)


RIGHT = {
    "q1.1": [2 * math.acosh(math.sqrt(20)) / QUANTILE, 2.6486],
    "q1.2": [arrival_backwards, arrival_by_trying],
    "q1.3": [units_by_pairs, units_by_outputs],
    "q1.4": [speeds((4, 1 / 4), (1 / 4, 4)), (14.7, 1.34)],
    "q1.5": [
        ((0.45, 1.4, 1.4, 1.4, 0.7), 0.06),
        [np.array([0.4, 1.3, 1.3, 1.3, 0.7]), 0.06],
    ],
}

WRONG = {
    "q1.1": [
        (math.acosh(math.sqrt(20)) / QUANTILE, "this is tanh's gain"),
        (2 * math.acosh(math.sqrt(20)) / 1.2815515655446004, "one side only"),
        (2 * math.acosh(math.sqrt(5)) / QUANTILE, "1/4 for the sigmoid"),
        (2 * math.acosh(20) / QUANTILE, "square root is missing"),
        (7.015, "variance of z"),
        (2 * math.acosh(math.sqrt(20)), "the edge itself"),
        (1.0, "95 % quantile"),
    ],
    "q1.2": [
        (changed_arrival("first"), "first step below"),
        (changed_arrival("nan"), "nan >= goal"),
        (changed_arrival("before"), "last step that is not below"),
        (changed_arrival("equal"), "equals the goal"),
        (changed_arrival("steps - 1"), "len(losses)"),
        (changed_arrival("start"), "from the start"),
        (changed_arrival("none"), "a loss that never gets there"),
    ],
    "q1.3": [
        (changed_units("no mirrors"), "units of their own"),
        (changed_units("always"), "only if odd is true"),
        (changed_units("no bias"), "biases are not compared"),
        (changed_units("bias kept"), "changes its sign too"),
        (changed_units("neighbours"), "only neighbours"),
        (changed_units("too many"), "units too many"),
        (changed_units("alone"), "left out altogether"),
        (changed_units("layers"), "mirror images, tanh"),
        (changed_units("the units"), "a number is asked for"),
    ],
    "q1.4": [
        ((1, 1), "that was the plan"),
        (speeds((1 / 4, 4), (4, 1 / 4)), "changed places"),
        (tuple(1 / np.array(speeds((4, 1 / 4), (1 / 4, 4)))), "turn it round"),
        (tuple(np.sqrt(speeds((4, 1 / 4), (1 / 4, 4)))), "length of the gradient"),
        (speeds((4, 1), (1 / 4, 1)), "w2 is not scaled"),
        (speeds((1, 1 / 4), (1, 4)), "w1 is not scaled"),
        ((16, 16), "first step of rate 1e-6"),
        (14.7, "2 results"),
    ],
    "q1.5": [
        (((4, 4, 4, 4, 1), 0.06), "some gain is too large"),
        (((0.4, 1.4, 1.4, 1.4, 1), 1.0), "diverges"),
        (((0.3, 0.3, 0.3, 0.3, 1), 0.05), "too slow"),
        (((0.9, 1.1, 0.85, 1.1, 1), 0.15), "other way round"),
        (((0.8, 1.2, 1.2, 1.2, 1), 0.08), "first layer's gain smaller"),
        (((0.4, 1.4, 1.4, 1.4, 0), 0.06), "above 0"),
        (((0.4, 1.4, 1.4), 0.06), "results"),
    ],
}
