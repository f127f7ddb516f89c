"""The exercises on signal propagation: what layers multiply, forwards and backwards.

`WIDTHS` is the stack of the challenge and `scales` what is graded there; the notebook
uses both. Each task stands after what grades it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from initlab import schemes, signals, theory
from initlab.checks.core import (
    AnswerError,
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    ValueTask,
    misfit,
)

TITLE = "s02 · Signal propagation"

# s02.1: where single precision ends

_LARGEST = float(np.finfo(np.float32).max)


def _layer_beyond(factor: float, largest: float = _LARGEST) -> int:
    """Return the first layer at which ``factor`` to its power exceeds ``largest``."""
    return math.floor(math.log(largest) / math.log(factor)) + 1


_OVERFLOW = ValueTask(
    name="s02.1",
    section="Where the good scale must be",
    title="count to the overflow",
    hints=(
        "Each layer multiplies the rms by σ / σ_c, with σ = 1 and σ_c = √(2/100). How "
        "many such factors fit into 3.4e38?",
        "The factor is √50 = 7.07. Divide log(3.4e38) by log(7.07) and take the next "
        "whole number.",
    ),
    expected=_layer_beyond(math.sqrt(50)),
    mistakes=(
        (
            _layer_beyond(50),
            "50 is the factor of the second moment; the rms is its square root and "
            "grows by √50",
        ),
        (
            _layer_beyond(10),
            "the ReLU's ½ is missing: it removes half of the square, so the factor is "
            "√(100/2), not √100",
        ),
        (
            _layer_beyond(math.sqrt(50)) - 1,
            "in this layer the rms still fits; the first one in which it does not is "
            "the next",
        ),
        (
            _layer_beyond(math.sqrt(50), float(np.finfo(np.float64).max)),
            "this is where float64 ends; float32 ends at 3.4e38",
        ),
        (
            _layer_beyond(100),
            "100 is n σ², the factor of the pre-activations' second moment; the ReLU "
            "halves it, and the rms is the root",
        ),
    ),
    remedy="find the first whole L with √50 to the power L above 3.4e38",
)


# s02.2: unequal widths


def _products(
    widths: Sequence[int],
    stds: Sequence[float],
    half: tuple[float, float] = (0.5, 0.5),
    fans: tuple[int, int] = (0, 1),
    power: float = 2,
    root: float = 0.5,
) -> tuple[float, float]:
    """Return the factors on signal and gradient; the options are the usual mistakes."""
    both = np.array([widths[:-1], widths[1:]], dtype=float)
    spread = np.asarray(stds, dtype=float) ** power
    forward, backward = (
        float(np.prod(share * both[fan] * spread) ** root)
        for share, fan in zip(half, fans, strict=True)
    )
    return forward, backward


_FACTORS = FunctionTask(
    name="s02.2",
    section="Twenty networks, forwards and backwards",
    title="unequal widths",
    hints=(
        "Forwards one unit adds up the fan_in signals of the layer before. Backwards "
        "one unit adds up the gradients of the fan_out units that it feeds.",
        "Second moments: multiply fan_in σ²/2 over the layers for the signal, fan_out "
        "σ²/2 for the gradient. Then take both square roots.",
    ),
    reference=_products,
    cases=(
        Case("one layer that widens", ((100, 300), (0.1,))),
        Case("one layer that narrows", ((400, 10), (0.05,))),
        Case("an hourglass", ((50, 200, 10, 80), (0.2, 0.1, 0.3))),
        Case("equal widths", ((100,) * 4, (0.1, 0.15, 0.2))),
        Case("a layer of width 1", ((30, 1, 20), (0.3, 1.2))),
        Case(
            "lists and float32",
            ([64, 128, 32], np.array([0.2, 0.12], dtype=np.float32)),
        ),
    ),
    parts=("signal", "gradient"),
    mistakes=(
        (
            lambda widths, stds: _products(widths, stds, half=(1, 1)),
            "the ReLU's ½ is missing, on both ways: it removes half of the signal's "
            "square, and its slope half of the gradient's",
        ),
        (
            lambda widths, stds: _products(widths, stds, half=(0.5, 1)),
            "on the way back the ½ is missing: the slope is 0 for half of the units",
        ),
        (
            lambda widths, stds: _products(widths, stds, root=1),
            "these are the factors of the second moments; the rms is their square root",
        ),
        (
            lambda widths, stds: _products(widths, stds, fans=(1, 0)),
            "fan_in and fan_out have changed places: the signal sums over a layer's "
            "inputs, the gradient over its outputs",
        ),
        (
            lambda widths, stds: _products(widths, stds, fans=(0, 0)),
            "on the way back the sum runs over the layer's outputs: fan_out where you "
            "use fan_in",
        ),
        (
            lambda widths, stds: _products(widths, stds, power=1),
            "the stds are used as variances: square them",
        ),
        (
            lambda widths, stds: _products(widths[-2:], stds[-1:]),
            "this is the last layer alone: multiply over all layers",
        ),
    ),
)


# s02.3: the luck of another activation

# One layer of width n adds (E f⁴ / (E f²)² − 1) / n to the variance of ln E h².
_LUCK = 3.0 - 1  # |z| has the fourth moment of z, 3, and its second, 1

_SPREAD = ValueTask(
    name="s02.3",
    section="One network is not enough",
    title="whose luck is it?",
    hints=(
        'lab.propagate("lecun_normal", depth=8, width=40, activation=np.abs, '
        "samples=1, seeds=1000) has a table .activation of second moments, (seeds, "
        "layers + 1).",
        "np.log(found.activation[:, -1] / found.activation[:, 0]).var() is the "
        "variance. Multiply it by width and divide it by depth.",
    ),
    expected=_LUCK,
    rtol=0.25,  # five standard errors with 1000 networks, 4.5 % each
    mistakes=(
        (5, "this is the ReLU's constant: measure with activation=np.abs"),
        (
            _LUCK / math.log(10) ** 2,
            "this is in decades: take the natural logarithm, np.log",
        ),
        (
            _LUCK / 4,
            "this is the variance of ln rms; the logarithm of the second moment is "
            "twice that, so its variance is four times as large",
        ),
        (
            _LUCK * 8,
            "this is the constant times the depth: divide by it",
        ),
        (
            _LUCK / 40,
            "this is what one layer adds: multiply by the width",
        ),
        (
            math.sqrt(_LUCK * 8 / 40) * 40 / 8,
            "this is made of the standard deviation of the logarithm; take its "
            "variance",
        ),
    ),
    remedy=(
        "take the variance of np.log(second moment of the last layer / that of the "
        "input) over at least 1000 networks, times width over depth"
    ),
)


# s02.4: the gradient of the sigmoid

_DEPTH, _WIDTH, _KEPT = 30, 100, 3.0
_NO_SPREAD = 4 / math.sqrt(_WIDTH)
_UNIT_INPUTS = theory.backward_gain("sigmoid") / math.sqrt(_WIDTH)


def _gradient_factor(std: float) -> float:
    """Return the typical factor on the gradient's rms, over 20 sigmoid networks."""
    found = signals.propagate(
        schemes.random_normal(std),
        depth=_DEPTH,
        width=_WIDTH,
        activation="sigmoid",
        samples=20,
    )
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log(found.gradient_rms[:, 0]).mean()))


def _sigmoid_std(answer: Any) -> tuple[float, float]:
    """Return the std that ``answer`` is and the factor that it gives."""
    if wrong := misfit(answer, 0.0):
        raise AnswerError(wrong)
    std = float(answer)
    if std <= 0:
        raise AnswerError(f"the std must be above 0, this is {std:.3g}")
    return std, _gradient_factor(std)


def _kept(factor: float) -> bool:
    return 1 / _KEPT < factor < _KEPT


_SIGMOID = MeasuredTask(
    name="s02.4",
    section="Healthy forwards, sick backwards",
    title="the sigmoid's gradient",
    hints=(
        "Look further than the chapter's explorer does, beyond 0.8. lab.propagate(…, "
        'activation="sigmoid").gradient_rms[:, 0] is what arrives at the input.',
        "np.exp(np.log(found.gradient_rms[:, 0]).mean()) rises with the std and is 1 "
        "near the answer: it is too small at 0.8 and too large at 1.3. Halve.",
    ),
    measure=_sigmoid_std,
    diagnoses=(
        (
            lambda found: not _kept(found[1]) and abs(found[0] / _NO_SPREAD - 1) < 0.03,
            "4/√n takes 1/4 for the slope of every unit; that is the steepest slope, "
            "most units have less, and the gradient is lost all the same",
        ),
        (
            lambda found: (
                not _kept(found[1]) and abs(found[0] / _UNIT_INPUTS - 1) < 0.03
            ),
            "the backward gain takes pre-activations of rms 1; with this std they are "
            "several times as large, so the slopes are smaller; measure instead",
        ),
        (
            lambda found: (
                not _kept(found[1]) and _kept(_gradient_factor(found[0] / 10))
            ),
            "this is the gain; the std is the gain divided by √n, here by 10",
        ),
        (
            lambda found: not found[1] > 1 / _KEPT,
            lambda found: (
                f"the gradient's rms is multiplied by {found[1]:.1g}, it is lost: "
                "this std is too small"
            ),
        ),
        (
            lambda found: not found[1] < _KEPT,
            lambda found: (
                f"the gradient's rms is multiplied by {found[1]:.2g}: this std is too "
                "large"
            ),
        ),
    ),
)


# s02.5: a stack of unequal widths

WIDTHS = (100, 750, 12, 400, 50)
GOAL = 2.0


def scales(stds: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rms that theory expects in the ReLU stack of `WIDTHS`.

    Args:
        stds: of the four kernels.

    Returns:
        The rms of the signal and of the gradient at each of the five widths, the input
        first. The signal is 1 at the input, the gradient 1 at the last layer.
    """
    widths, spread = np.array(WIDTHS), np.asarray(stds, dtype=float) ** 2
    forward = np.cumprod([1, *widths[:-1] * spread / 2])
    backward = np.cumprod([1, *(widths[1:] * spread / 2)[::-1]])[::-1]
    return np.sqrt(forward), np.sqrt(backward)


_IN, _OUT = np.array(WIDTHS[:-1]), np.array(WIDTHS[1:])


def _read_stds(answer: Any) -> np.ndarray:
    if isinstance(answer, np.ndarray):
        answer = answer.tolist()
    if wrong := misfit(answer, (0.0,) * len(_IN)):
        raise AnswerError(wrong)
    stds = np.array(answer, dtype=float)
    if stds.min() <= 0:
        raise AnswerError("all stds must be above 0")
    return stds


def _worst(stds: np.ndarray) -> float:
    return float(np.exp(np.abs(np.log(scales(stds))).max()))


def _worst_message(stds: np.ndarray) -> str:
    way, place = np.unravel_index(np.abs(np.log(scales(stds))).argmax(), (2, 5))
    value = scales(stds)[way][place]
    return (
        f"the {('signal', 'gradient')[way]} has rms {value:.2f} at width "
        f"{WIDTHS[place]} (place {place} of 0 … 4), not between 1/2 and 2"
    )


def _are(variance: Any) -> Callable[[np.ndarray], bool]:
    """Return a predicate: the stds are those of this variance, and miss the goal."""
    return lambda stds: (
        _worst(stds) > GOAL and np.allclose(stds, np.sqrt(variance), rtol=0.01)
    )


_STACK = MeasuredTask(
    name="s02.5",
    section="Healthy forwards, sick backwards",
    title="share the error",
    hints=(
        "With He's 2/fan_in the signal is right everywhere and the gradient is not; "
        "with 2/fan_out it is the other way round. Look for a rule between the two.",
        "Both are errors of a ratio, so share it as ratios are shared: the geometric "
        "mean √(fan_in · fan_out) in place of the arithmetic one.",
    ),
    measure=_read_stds,
    diagnoses=(
        (
            _are(2 / _IN),
            "He's 2/fan_in keeps the signal exactly, and leaves the gradient a "
            "quarter at width 750: give up some of the one for the other",
        ),
        (
            _are(2 / _OUT),
            "2/fan_out keeps the gradient exactly, and the signal is nearly three "
            "times too large at width 12: give up some of the one for the other",
        ),
        (
            _are(4 / (_IN + _OUT)),
            "twice Glorot's variance, for the ReLU's ½: the right idea, but the "
            "arithmetic mean of the fans follows the larger one; there are other means",
        ),
        (
            _are(2 / (_IN + _OUT)),
            "Glorot's variance without the ReLU's ½: every layer halves the second "
            "moment; multiply the variances by 2 first",
        ),
        (
            _are(1 / np.sqrt(_IN * _OUT)),
            "the ReLU's ½ is missing: multiply the variances by 2",
        ),
        (
            lambda stds: _worst(stds) > GOAL and _worst(np.sqrt(stds)) <= GOAL,
            "these are variances; the stds are their square roots",
        ),
        (lambda stds: not _worst(stds) <= GOAL, _worst_message),
    ),
)

TASKS: tuple[Task, ...] = (_OVERFLOW, _FACTORS, _SPREAD, _SIGMOID, _STACK)
