"""The exercises on He initialization.

First the ½ beside dropout, then what Glorot's scheme leaves of each gradient, then
units that never switch, and last a stalled network that is woken by two numbers.
`he_kernels`, `examples` and `train` are for the notebook too; each task stands after
what grades it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from initlab import schemes
from initlab.checks.core import (
    AnswerError,
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    ValueTask,
    agree,
    misfit,
)

TITLE = "s06 · He initialization"


# s06.1: the ½ and dropout

SHAPE = (256, 128)
KEPT = 0.8


def _dropout_task() -> ValueTask:
    he = schemes.get("he_normal").std(SHAPE)
    right = he * math.sqrt(KEPT)
    return ValueTask(
        name="s06.1",
        section="Where the ½ comes from",
        title="the half beside dropout",
        hints=(
            "What does dropout do to E[h²]? With probability 0.8 the number h becomes "
            "h / 0.8, otherwise 0.",
            "E[h²] becomes 0.8 · E[h²] / 0.8², which is E[h²] / 0.8. The ReLU halves, "
            "dropout multiplies by 1.25: n σ² · ½ · 1.25 = 1.",
        ),
        expected=right,
        rtol=2e-3,
        mistakes=(
            (
                right**2,
                "this is the variance; the standard deviation is its square root",
            ),
            (
                right * math.sqrt(3),
                "this is the limit of the uniform distribution; its standard deviation "
                "is the limit divided by √3",
            ),
            (
                he,
                "this is He's std without dropout: dividing the survivors by 0.8 keeps "
                "the mean of h, but not its second moment",
            ),
            (
                he / math.sqrt(KEPT),
                "dropout with the division by 0.8 makes the second moment larger, so "
                "the weights have to be smaller, not larger",
            ),
            (
                he * KEPT,
                "the second moment grows by 1/0.8 and not by its square: h² / 0.8² is "
                "there in 80 % of the cases only",
            ),
            (
                right / math.sqrt(2),
                "the ReLU's ½ is missing: dropout's 1.25 comes on top of it",
            ),
            (
                right * math.sqrt(SHAPE[0] / SHAPE[1]),
                "fan_out where He uses fan_in",
            ),
            (
                right * math.sqrt(2 * SHAPE[0] / sum(SHAPE)),
                "the mean of the fans where He uses fan_in",
            ),
            (
                schemes.get("glorot_normal").std(SHAPE) * math.sqrt(KEPT),
                "Glorot's 2/(fan_in + fan_out) where He's 2/fan_in is asked for",
            ),
        ),
        remedy=(
            "ask what ReLU and dropout together do to the second moment, and choose "
            "n_in · std² as the inverse of it"
        ),
    )


# s06.2: how Glorot starves a kernel


def _shares(
    widths: Sequence[int], share: Callable[[Any, Any], Any] | None = None
) -> np.ndarray:
    """Return Glorot's std over He's in each layer, or the root of another ``share``."""
    widths = np.asarray(widths, dtype=float)
    n_in, n_out = widths[:-1], widths[1:]
    return np.sqrt((share or (lambda a, b: a / (a + b)))(n_in, n_out))


def _starved(
    widths: Sequence[int], share: Callable[[Any, Any], Any] | None = None
) -> np.ndarray:
    shares = _shares(widths, share)
    return np.prod(shares) / shares


def _below(widths: Sequence[int]) -> np.ndarray:
    return np.cumprod(_shares(widths)) / _shares(widths)


def _above(widths: Sequence[int]) -> np.ndarray:
    return np.prod(_shares(widths)) / np.cumprod(_shares(widths))


_STARVED = FunctionTask(
    name="s06.2",
    section="Does it matter for training?",
    title="how Glorot starves a kernel",
    hints=(
        "With the same draws each of Glorot's kernels is He's times one number, "
        "√(n_in / (n_in + n_out)). A ReLU passes a positive number through.",
        "A kernel's gradient is (signal from below) times (gradient from above): the "
        "numbers of all layers below and of all above, but not the kernel's own. That "
        "is the product of all, divided by its own.",
    ),
    reference=_starved,
    cases=(
        Case("widths 32, 32, 32, 32", ((32, 32, 32, 32),)),
        Case("widths 10, 64, 16, 1", ((10, 64, 16, 1),)),
        Case("a single layer", ((5, 7),)),
        Case("layers of width 1", ((1, 1, 1),)),
        Case("widths 100, 10, 400, 3, 50", ([100, 10, 400, 3, 50],)),
        Case("thirty layers of width 32", ((10, *[32] * 29, 1),)),
    ),
    rtol=1e-4,
    mistakes=(
        (
            lambda widths: _starved(widths) * _shares(widths),
            "a kernel's own factor does not enter its gradient: leave it out",
        ),
        (
            lambda widths: _starved(widths, lambda a, b: (a / (a + b)) ** 2),
            "these are ratios of variances; signal and gradient follow the std, take "
            "the root",
        ),
        (
            partial(_starved, share=lambda a, b: b / (a + b)),
            "this compares with 2/fan_out; He uses fan_in",
        ),
        (
            partial(_starved, share=lambda a, b: np.full_like(a, 0.5)),
            "this holds for layers of equal width; here each layer has a factor of its "
            "own, n_in / (n_in + n_out) under the root",
        ),
        (
            partial(_starved, share=lambda a, b: 2 * a / (a + b)),
            "a factor ½ is missing in each layer: 2/(n_in + n_out) over 2/n_in is "
            "n_in / (n_in + n_out)",
        ),
        (
            partial(_starved, share=lambda a, b: (a + b) / a),
            "this is He over Glorot; Glorot over He is asked for",
        ),
        (
            _below,
            "this is only the signal's loss in the layers below; what comes back has "
            "passed the layers above",
        ),
        (
            _above,
            "this is only the gradient's loss in the layers above; the signal has "
            "passed the layers below",
        ),
    ),
)


# s06.3: units that never switch

# Measured on 300 He networks of width 100 with 100 normal inputs, in layer 30. Over
# networks the standard deviation is 0.10, so that a mean of 40 has a standard error of
# 2.3 % of the value: the tolerance of 10 % is more than four of them.
_NEVER_SWITCH = 0.703
_ALWAYS_OFF = 0.347

_SWITCH = ValueTask(
    name="s06.3",
    section="What stays constant, and what does not",
    title="units that never switch",
    hints=(
        "For each unit of the last layer count for how many of the 100 inputs it is "
        "on, z > 0. It never switches if that is 0 or 100.",
        "on = (z > 0).mean(axis=0) is each unit's share of inputs. The answer is the "
        "mean of (on == 0) | (on == 1) over the units, averaged over 40 networks with "
        "seeds of their own.",
    ),
    expected=_NEVER_SWITCH,
    rtol=0.1,
    mistakes=(
        (
            0.5,
            "half of the entries of z are positive in every layer; the question is for "
            "how many units the sign is the same for all inputs",
        ),
        (
            _ALWAYS_OFF,
            "this is one of the two kinds: units that are always on do not switch "
            "either, count both",
        ),
        (
            1 - _NEVER_SWITCH,
            "this is the share of the units that do switch; the others are asked for",
        ),
        (
            100 * _NEVER_SWITCH,
            "this is the number of units or a percentage; give the share, from 0 to 1",
        ),
    ),
    remedy=lambda answer: (
        "in the first layers nearly every unit switches: take the thirtieth"
        if abs(answer) < 0.05
        else "send 100 normal inputs through 30 ReLU layers of width 100 with weights "
        "of variance 2/100, a fresh draw in each layer and network, and look at the "
        "signs of the last pre-activations"
    ),
)


# s06.4: two numbers wake a stalled network

DEPTH = 22
KERNELS = DEPTH + 1
STEPS = 250
GOAL = 0.1
_SEEDS = 3


def examples() -> tuple[np.ndarray, np.ndarray]:
    """Return inputs of shape (64, 10) and targets (64, 1) of mean 0 and variance 1."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((64, 10))
    y = np.tanh(x @ rng.standard_normal((10, 1))) + 0.5 * x[:, :1] * x[:, 1:2]
    return x, (y - y.mean()) / y.std()


def he_kernels(seed: int) -> list[np.ndarray]:
    """Return He's kernels for 22 ReLU layers of width 32 and a linear output."""
    rng = np.random.default_rng(seed)
    widths = (10, *[32] * DEPTH, 1)
    shapes = list(zip(widths[:-1], widths[1:], strict=True))
    return [rng.normal(scale=math.sqrt(2 / s[0]), size=s) for s in shapes]


def train(
    kernels: Sequence[np.ndarray],
    multiplier: float,
    lr: float,
    steps: int = STEPS,
) -> np.ndarray:
    """Train a ReLU stack whose output is multiplied by a number that stays fixed.

    Plain gradient descent on all kernels at once, loss the mean squared residual on
    `examples`; there are no biases.

    Returns:
        The loss before each step, shape (steps,); not finite where training blows up.
    """
    x, y = examples()
    kernels = list(kernels)
    losses = np.full(steps, np.nan)
    with np.errstate(all="ignore"):
        for step in range(steps):
            signals = [x]
            for kernel in kernels[:-1]:
                signals.append(np.maximum(signals[-1] @ kernel, 0))
            residual = multiplier * (signals[-1] @ kernels[-1]) - y
            losses[step] = np.mean(residual**2)
            if not np.isfinite(losses[step]):
                break
            gradient = multiplier * 2 * residual / residual.size
            for layer in reversed(range(len(kernels))):
                slope = signals[layer].T @ gradient
                gradient = (gradient @ kernels[layer].T) * (signals[layer] > 0)
                kernels[layer] = kernels[layer] - lr * slope
    return losses


def _ends(answer: Any) -> dict[str, Any]:
    """Return the last losses of the networks that two numbers give."""
    if wrong := misfit(answer, (1.0, 1.0), ("multiplier", "lr")):
        raise AnswerError(wrong)
    multiplier, lr = (float(number) for number in answer)
    stacks = [he_kernels(seed) for seed in range(_SEEDS)]
    losses = [train([k / math.sqrt(2) for k in s], multiplier, lr) for s in stacks]
    return {
        "multiplier": multiplier,
        "lr": lr,
        "blown": not np.isfinite(losses).all(),
        "worst": float(np.max(np.array(losses)[:, -1])),
    }


def _is_multiplier(found: dict[str, Any], powers: tuple[float, ...]) -> bool:
    return any(agree(found["multiplier"], 2.0**power, 1e-2) for power in powers)


_BOTH = (DEPTH, KERNELS)  # a student may leave the output's kernel out

_WAKE = MeasuredTask(
    name="s06.4",
    section="Glorot against He in fifty layers",
    title="wake it with two numbers",
    hints=(
        "All 23 kernels are He's divided by √2. By which power of 2 is the output too "
        "small, and which multiplier repairs it? That network computes what He's does.",
        "Multiplier 2^(23/2) with half of He's learning rate trains exactly as He's "
        "network. It is a wild start: the output begins far from 0. Take a multiplier "
        "two to four times smaller and a rate near 0.005.",
    ),
    measure=_ends,
    diagnoses=(
        (
            lambda found: not found["lr"] > 0,
            "a learning rate is positive: with zero nothing moves, below zero the loss "
            "is climbed",
        ),
        (
            lambda found: found["blown"] and _is_multiplier(found, _BOTH),
            "the square root is missing: 2 per layer is the loss in the second moment, "
            "the signal itself loses √2",
        ),
        (
            lambda found: found["blown"] and abs(found["multiplier"]) < 100,
            "training blows up: a large rate does not stand in for the multiplier, for "
            "as soon as the kernels have grown it is far too large",
        ),
        (
            lambda found: found["blown"],
            "training blows up in at least one network: lower the learning rate, or "
            "the multiplier, which makes the steps larger as well",
        ),
        (
            lambda found: (
                found["worst"] >= GOAL
                and _is_multiplier(found, tuple(-power / 2 for power in _BOTH))
            ),
            "this multiplier makes the output smaller still: Glorot has lost the "
            "factor, so take its inverse",
        ),
        (
            lambda found: found["worst"] >= 0.9 and abs(found["multiplier"]) < 100,
            lambda found: (
                f"at least one network stalls, its loss is {found['worst']:.2f}: the "
                "output is still thousands of times too small, and so is every gradient"
            ),
        ),
        (
            lambda found: not found["worst"] < GOAL,
            lambda found: (
                f"the worst of {_SEEDS} networks ends at {found['worst']:.2f}, and not "
                f"below {GOAL:g}: vary both numbers by factors of two, a quieter "
                "output and another rate"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (_dropout_task(), _STARVED, _SWITCH, _WAKE)
