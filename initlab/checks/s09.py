"""The exercises on batch normalization: patience, the way back, a rotation, a shift.

How long the moving averages need, the gradient through the layer, how fast a normalized
kernel turns, and a shift that tames the gradient of a deep stack. `backward` and
`stack` are for the notebook too; each task stands after what grades it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from initlab.checks.core import (
    AnswerError,
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    ValueTask,
    misfit,
)

TITLE = "s09 · Batch normalization"

# s09.1: how patient one has to be

MOMENTUM, VARIANCE = 0.99, 4.0


def _steps(least: float = 0.99**2, start: float = 1.0) -> int:
    """Return the steps until the moving variance is ``least`` times the true one."""
    left = (1 - least) / (1 - start / VARIANCE)
    return math.ceil(math.log(left) / math.log(MOMENTUM))


_PATIENCE = ValueTask(
    name="s09.1",
    section="Two networks in one",
    title="how patient?",
    hints=(
        "After k steps the moving variance is 4 + (1 − 4) · 0.99^k. A std that is 1 % "
        "too small belongs to a variance of 0.9801 times the true one.",
        "4 − 3 · 0.99^k ≥ 0.9801 · 4 gives 0.99^k ≤ 0.0265. Take logarithms, round up.",
    ),
    expected=_steps(),
    mistakes=(
        (
            _steps(least=0.99),
            "this is for a variance within 1 %; the standard deviation is its root, "
            "and is there earlier",
        ),
        (
            _steps(start=0.0),
            "this begins at variance 0; Keras's moving variance begins at 1",
        ),
        (
            _steps() - 1,
            "round up: one step earlier it is a little below",
        ),
        (
            round(1 / (1 - MOMENTUM)),
            "a hundred steps are the time constant: what is missing has then fallen to "
            "37 %, not to 1 %",
        ),
        (
            math.ceil(math.log(0.01) / math.log(MOMENTUM)),
            "0.99^k = 0.01 is 1 % of what was missing at the start, and that is 3 of 4",
        ),
    ),
    remedy="solve 4 − 3 · 0.99^k = 4 · 0.99² for k, and round up",
)


# s09.2: the way back

_EPSILON = 1e-3


def backward(
    z: Any,
    gradient: Any,
    gamma: Any,
    epsilon: float = _EPSILON,
    through_mean: bool = True,
    through_std: bool = True,
    power: float = 1.0,
    sums: bool = False,
) -> np.ndarray:
    """Return the gradient with respect to ``z`` of a batch-normalized layer.

    With ``x = (z − mean) / std`` over the samples (axis 0) and the gradient ``g`` with
    respect to ``gamma x + beta``, it is ``gamma / std (g − mean g − x mean(g x))``.
    The other arguments leave a part of it out.
    """
    std = np.sqrt(z.var(axis=0) + epsilon)
    x = (z - z.mean(axis=0)) / std
    mean = np.sum if sums else np.mean
    result = gradient
    if through_mean:
        result = result - mean(gradient, axis=0)
    if through_std:
        result = result - x * mean(gradient * x, axis=0)
    return gamma / std**power * result


def _batch(seed: int, samples: int, units: int, dtype: str = "float64") -> tuple:
    rng = np.random.default_rng(seed)
    z = 0.5 + 3 * rng.normal(size=(samples, units))
    g = rng.normal(size=(samples, units)) + 0.7 * z
    gamma = rng.uniform(0.5, 2, units)
    return z.astype(dtype), g.astype(dtype), gamma.astype(dtype), _EPSILON


def _with_a_constant_unit() -> tuple:
    z, g, gamma, epsilon = _batch(3, 6, 3)
    z[:, 1] = 2.0
    return z, g, gamma, epsilon


_BACK = FunctionTask(
    name="s09.2",
    section="What the layer computes",
    title="the way back",
    hints=(
        "Mean and std depend on every sample, so each sample's gradient has three "
        "parts: its own, one through the mean, one through the std.",
        "With x = (z − mean)/std: gamma/std · (g − mean(g) − x · mean(g · x)), all "
        "means over the samples (axis 0).",
    ),
    reference=lambda z, gradient, gamma, epsilon: backward(z, gradient, gamma, epsilon),
    cases=(
        Case("8 samples, 4 units", _batch(0, 8, 4)),
        Case("a large epsilon", (*_batch(4, 8, 4)[:3], 5.0)),
        Case("a single unit", _batch(1, 5, 1)),
        Case("two samples", _batch(2, 2, 3)),
        Case("a unit that is constant", _with_a_constant_unit()),
        Case("float32 numbers", _batch(5, 8, 4, "float32")),
    ),
    rtol=1e-3,
    mistakes=(
        (
            lambda *batch: backward(*batch, through_mean=False, through_std=False),
            "mean and std are treated as constants: both depend on every sample of the "
            "batch",
        ),
        (
            lambda *batch: backward(*batch, through_mean=False),
            "the part through the mean is missing: subtract mean(g)",
        ),
        (
            lambda *batch: backward(*batch, through_std=False),
            "the part through the std is missing: subtract x · mean(g · x)",
        ),
        (
            lambda *batch: backward(*batch, power=2.0),
            "you divide by the variance: the standard deviation is its square root",
        ),
        (
            lambda *batch: backward(*batch, sums=True),
            "you subtract sums: the mean divides by the number of samples, and so does "
            "its gradient",
        ),
        (
            lambda z, g, gamma, epsilon: backward(z, g, 1.0, epsilon),
            "gamma is missing: it multiplies every unit's gradient",
        ),
    ),
)


# s09.3: how fast a normalized kernel turns

RATE, DECAY = 0.1, 0.01
_TURN = math.sqrt(2 * RATE * DECAY)

_ROTATION = ValueTask(
    name="s09.3",
    section="The norm becomes a learning rate",
    title="how fast does it turn?",
    hints=(
        "The gradient stands at a right angle to w, so it makes w longer; the decay "
        "makes it shorter. Wait until both are in balance, then measure the angle "
        "between w before and after a step.",
        "np.arccos(w @ new / (norm of w · norm of new)), averaged over the last half "
        "of 4000 steps.",
    ),
    expected=_TURN,
    rtol=0.04,
    mistakes=(
        (
            2 * RATE * DECAY,
            "this is the square of the angle; take the root",
        ),
        (
            math.degrees(_TURN),
            "this is in degrees; np.arccos gives radians, and those are asked for",
        ),
        (
            math.sqrt(RATE * DECAY),
            "the 2 is missing: a step of length s at a right angle adds s² to |w|², "
            "and the decay takes 2ηλ|w|² away",
        ),
        (
            math.atan(RATE * 3.0),
            "this is the very first step, at |w| = 1; wait until the length has "
            "settled",
        ),
        (
            math.cos(_TURN),
            "this is the cosine; take np.arccos of it",
        ),
    ),
    remedy=(
        "average the angle between w and the next w over the last 2000 of 4000 steps"
    ),
)


# s09.4: a shift against the explosion

DEPTH, WIDTH, BATCH = 30, 64, 128
MOST_ON, MOST_GROWTH = 0.9, 10.0


class Stack(NamedTuple):
    """What a deep normalized stack does, one entry per network, see `stack`."""

    growth: np.ndarray
    on: np.ndarray
    variance: np.ndarray


def stack(gamma: float, beta: float, networks: int = 5, first: int = 0) -> Stack:
    """Send a batch through thirty layers ``relu(gamma · normalized(h W) + beta)``.

    Returns:
        Arrays of shape (networks,): by how much the rms of a gradient grows on its way
        from the 29th layer's output to the first layer's; the share of units and
        samples at which the ReLU is on; the smallest variance of ``h W`` in a layer,
        for comparison with the epsilon of 0.001.
    """
    rows = []
    for seed in range(first, first + networks):
        rng = np.random.default_rng([seed, 3])
        h = rng.normal(size=(BATCH, WIDTH))
        tape = []
        for _ in range(DEPTH):
            kernel = rng.normal(size=(WIDTH, WIDTH)) * math.sqrt(2 / WIDTH)
            z = h @ kernel
            std = np.sqrt(z.var(axis=0) + _EPSILON)
            y = gamma * (z - z.mean(axis=0)) / std + beta
            tape.append((kernel, z, y))
            h = np.maximum(y, 0)
        gradient = above = rng.normal(size=h.shape)
        for kernel, z, y in tape[:0:-1]:
            gradient = backward(z, gradient * (y > 0), gamma) @ kernel.T
            if kernel is tape[-1][0]:
                above = gradient
        rows.append(
            (
                np.linalg.norm(gradient) / max(np.linalg.norm(above), 1e-300),
                np.mean([np.mean(y > 0) for *_, y in tape]),
                min(z.var() for _, z, _ in tape),
            )
        )
    return Stack(*np.array(rows).T)


def _read_pair(answer: Any) -> Stack:
    if wrong := misfit(answer, (1.0, 1.0), ("gamma", "beta")):
        raise AnswerError(wrong)
    gamma, beta = (float(part) for part in answer)
    if gamma <= 0:
        raise AnswerError(f"gamma is {gamma:g}; take a positive one")
    return stack(gamma, beta, first=500)


_SHIFT = MeasuredTask(
    name="s09.4",
    section="The gradient explodes",
    title="a shift against it",
    hints=(
        "The growth per layer is E f'² / Var f for f(x) = relu(gamma x + beta). With "
        "beta = 0 half is on, and the variance is much less than a half.",
        "Only beta/gamma counts. The larger it is, the more of the ReLU is its "
        "straight part, and the nearer the growth is to 1. Try 1.1.",
    ),
    measure=_read_pair,
    diagnoses=(
        (
            lambda found: np.any(found.on < 0.05),
            lambda found: (
                f"the ReLU is on in {100 * found.on.min():.1f} % of all cases only: "
                "with so negative a beta next to nothing passes"
            ),
        ),
        (
            lambda found: np.any(found.variance < 10 * _EPSILON),
            lambda found: (
                f"the variance before the normalization is {found.variance.min():.2g}, "
                f"and epsilon is {_EPSILON:g}: with so small a gamma the layer "
                "switches itself off"
            ),
        ),
        (
            lambda found: np.any(found.on > MOST_ON),
            lambda found: (
                f"the ReLU is on in {100 * found.on.max():.0f} % of all cases, at most "
                f"{100 * MOST_ON:.0f} % are asked for: the stack is nearly linear"
            ),
        ),
        (
            lambda found: np.any(found.growth >= MOST_GROWTH),
            lambda found: (
                f"the gradient grows by a factor of up to {found.growth.max():.0f}, "
                f"asked for is less than {MOST_GROWTH:.0f}: gamma alone changes "
                "nothing, which of the two moves the bend?"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (_PATIENCE, _BACK, _ROTATION, _SHIFT)
