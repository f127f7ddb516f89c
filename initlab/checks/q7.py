"""The exercises on the theory of He initialization: slope, fan and distribution.

First a slope read off a uniform kernel, then slopes that are drawn at random, then the
fans of a strided convolution, and last a bias that holds the scale of a SiLU network.
`strided`, `strided_back` and `deep_silu` are for the notebook too; each task stands
after what grades it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from initlab import activations
from initlab.checks.core import (
    AnswerError,
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    ValueTask,
    misfit,
)

TITLE = "q7 · The theory of He initialization"


# q7.1: a slope read off a kernel

FAN_IN, FAN_OUT, LIMIT = 480, 400, 0.1
_VARIANCE = LIMIT**2 / 3


def _slope(factor: float) -> float:
    """Return the slope below zero for which 2 / (1 + a²) is that factor."""
    return math.sqrt(2 / factor - 1)


_SLOPE = _slope(FAN_IN * _VARIANCE)

_READ_OFF = ValueTask(
    name="q7.1",
    section="What Keras draws",
    title="read off the slope",
    hints=(
        "A uniform distribution on ±limit has the variance limit² / 3. Multiplied by "
        "fan_in it is the factor of which He's 2 is a special case.",
        "The factor is 480 · 0.01 / 3 = 1.6. Solve 2 / (1 + a²) = 1.6 for a.",
    ),
    expected=_SLOPE,
    rtol=2e-3,
    mistakes=(
        (_SLOPE**2, "this is a², the gain has the slope squared: take the root"),
        (
            -_SLOPE,
            "the right size, but a slope that is not negative is asked for; the scale "
            "cannot tell the two apart",
        ),
        (_slope(FAN_OUT * _VARIANCE), "fan_out where He uses fan_in"),
        (
            _slope((FAN_IN + FAN_OUT) / 2 * _VARIANCE),
            "Glorot's mean of the fans where He uses fan_in",
        ),
        (
            FAN_IN * _VARIANCE,
            "this is the factor 2 / (1 + a²); solve it for the slope a",
        ),
        (
            math.sqrt(FAN_IN * _VARIANCE),
            "this is the gain, the root of 2 / (1 + a²); solve it for the slope a",
        ),
        (
            _slope(math.sqrt(FAN_IN * _VARIANCE)),
            "a root too many: 2 / (1 + a²) is the variance times fan_in, not the std "
            "times its root",
        ),
    ),
    remedy="compare the variance limit² / 3 with 2 / ((1 + a²) fan_in) and solve for a",
)


# q7.2: slopes drawn at random

Shape = tuple[int, ...]


def _mean_square(low: float, high: float) -> float:
    return (low**2 + low * high + high**2) / 3


def _fan_in(shape: Shape) -> int:
    return math.prod(shape[:-1])


def _std(
    shape: Shape,
    low: float,
    high: float,
    square: Callable[[float, float], float] = _mean_square,
    fan: Callable[[Shape], float] = _fan_in,
) -> float:
    return math.sqrt(2 / ((1 + square(low, high)) * fan(shape)))


_RANDOM = FunctionTask(
    name="q7.2",
    section="Forward, for two slopes",
    title="slopes drawn at random",
    hints=(
        "Step 2 of the derivation once more: the negative half is multiplied by a², "
        "and a is now a random number of its own. Which mean of it is left?",
        "For a uniform a, E[a²] is its variance plus the square of its mean, which is "
        "(low² + low · high + high²) / 3. The fan_in of a kernel is the product of all "
        "entries of its shape but the last.",
    ),
    reference=_std,
    cases=(
        Case("a dense kernel, slopes 0 to 0 (ReLU)", ((300, 100), 0.0, 0.0)),
        Case("a dense kernel, slopes 1/8 to 1/3", ((300, 100), 1 / 8, 1 / 3)),
        Case("one slope, 0.25", ((64, 256), 0.25, 0.25)),
        Case("slopes -1 to 1", ((50, 80), -1.0, 1.0)),
        Case("slopes 0 to 1, a kernel of width 1", ((1, 1), 0.0, 1.0)),
        Case("a 3 × 3 convolution, 16 to 64 channels", ((3, 3, 16, 64), 0.1, 0.9)),
        Case("a 1-D convolution", ((5, 8, 4), -0.2, 0.6)),
        Case("float32 slopes", ((20, 30), *np.array([0.5, 0.75], "f4"))),
    ),
    rtol=1e-4,
    mistakes=(
        (
            partial(_std, square=lambda low, high: ((low + high) / 2) ** 2),
            "this is the square of the mean slope; the second moment asks for the mean "
            "of the squared slopes",
        ),
        (
            partial(_std, square=lambda low, high: (high - low) ** 2 / 12),
            "this is the variance of the slope where its second moment E[a²] is needed",
        ),
        (
            partial(_std, square=lambda low, high: (low**2 + high**2) / 2),
            "this averages the squares of the two ends only; between them a² has "
            "another mean",
        ),
        (
            lambda *case: _std(*case) ** 2,
            "this is the variance; the standard deviation is its square root",
        ),
        (
            lambda *case: _std(*case) / math.sqrt(2),
            "the ½ is missing: each sign of z has half of the second moment",
        ),
        (
            lambda *case: _std(*case) * math.sqrt(3),
            "this is the limit of the uniform distribution; its standard deviation is "
            "the limit divided by √3",
        ),
        (
            partial(_std, fan=lambda shape: math.prod(shape[:-2]) * shape[-1]),
            "fan_out where He uses fan_in",
        ),
        (
            partial(_std, fan=lambda shape: shape[-2]),
            "the positions of the convolution are missing in fan_in: each unit sums "
            "over all of them",
        ),
        (
            partial(_std, fan=lambda shape: shape[0]),
            "the first entry of a convolution's shape is not its fan_in: take the "
            "product of all entries but the last",
        ),
        (
            partial(
                _std,
                fan=lambda s: math.prod(s[:-2]) * (s[-2] + s[-1]) / 2,
            ),
            "Glorot's mean of the fans where He uses fan_in",
        ),
        (
            partial(_std, square=lambda low, high: 0),
            "this is He's std for a ReLU: the slopes below zero are not used",
        ),
    ),
)


# q7.3: the fans of a strided convolution

STRIDE, TAPS = 2, 4


def _positions(length: int) -> np.ndarray:
    """Return which inputs each output sees, shape (length / STRIDE, TAPS)."""
    first = np.arange(length // STRIDE)[:, None] * STRIDE
    return (first + np.arange(TAPS)) % length


def strided(h: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return a 1-D convolution of stride 2, closed to a ring, so without borders.

    Args:
        h: ``(samples, length, channels_in)`` with an even length.
        kernel: ``(4, channels_in, channels_out)``.

    Returns:
        The pre-activations, ``(samples, length / 2, channels_out)``.
    """
    return np.tensordot(h[:, _positions(h.shape[1])], kernel, axes=([2, 3], [0, 1]))


def strided_back(gradient: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the gradient at the input of `strided`, given that at its output.

    Args:
        gradient: ``(samples, length / 2, channels_out)``.
        kernel: ``(4, channels_in, channels_out)``.

    Returns:
        The gradient, ``(samples, length, channels_in)``.
    """
    parts = np.tensordot(gradient, kernel, axes=([2], [2]))
    length = STRIDE * gradient.shape[1]
    before = np.zeros((len(gradient), length, kernel.shape[1]))
    for tap, places in enumerate(_positions(length).T):
        before[:, places] += parts[:, :, tap]
    return before


_LAYERS = 5
_KEPT = STRIDE**-_LAYERS

_STRIDES = ValueTask(
    name="q7.3",
    section="Which fan? It hardly matters",
    title="the fans of a stride",
    hints=(
        "Forwards: z = q7.strided(h, kernel), keep z > 0, h = max(z, 0). Backwards, "
        "last layer first: q7.strided_back(gradient * on, kernel). Average the factor "
        "over 100 networks.",
        "How many of the four taps touch one input position? An output stands at every "
        "second position only. That is the number of terms in the sum on the way back, "
        "once for each of five layers.",
    ),
    expected=_KEPT,
    rtol=0.12,
    mistakes=(
        (
            1.0,
            "this is what equal fans promise, and not what happens; if you measured "
            "it, multiply by the slope z > 0 on the way back, and compare means and "
            "not sums",
        ),
        (
            math.sqrt(_KEPT),
            "this is the factor on the rms; the second moment is its square",
        ),
        (1 / _KEPT, "this is the way forward over the way back; take the inverse"),
        (1 / STRIDE, "this is one layer's factor; there are five layers"),
        (
            _KEPT**2,
            "each layer counts twice here: a stride of 2 takes away half of the terms, "
            "and the ReLU's ½ is already paid by He's 2",
        ),
    ),
    remedy=(
        "draw five kernels of shape (4, 64, 64) with variance 2/256, send signals "
        "forward and a random gradient back, and divide the mean of its squares at the "
        "input by that at the output, averaged over 100 networks"
    ),
)


# q7.4: a bias that holds a SiLU network

DEPTH = 50
MOST_LOST = 2.5
_WIDTH = 200
_SEEDS = 5


def deep_silu(factor: float, bias_std: float, seed: int) -> dict[str, Any]:
    """Send 20 inputs and a gradient through fifty SiLU layers of width 200.

    Weights have variance ``factor`` / fan_in, biases are normal with ``bias_std``.

    Returns:
        A dict: ``"inputs"``, the decades of each input's second moment of z in the
        last layer, shape (20,); ``"gradient"``, the decades by which the gradient's
        rms changes from the last layer to the input; ``"spread"``, the std of the last
        layer's units over the inputs, divided by their rms.
    """
    silu = activations.get("silu")
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(20, _WIDTH))
    layers = []
    for _ in range(DEPTH):
        kernel = rng.normal(size=(_WIDTH, _WIDTH)) * math.sqrt(factor / _WIDTH)
        z = h @ kernel + bias_std * rng.normal(size=_WIDTH)
        h = silu.f(z)
        layers.append((kernel, silu.derivative(z)))
    arriving = gradient = rng.normal(size=h.shape)
    for kernel, slope in reversed(layers):
        gradient = (gradient * slope) @ kernel.T
    kept = np.mean(gradient**2) / np.mean(arriving**2)
    rms = math.sqrt(np.mean(h**2))
    return {
        "inputs": np.log10(np.maximum((z**2).mean(axis=1), 1e-300)),
        "gradient": 0.5 * math.log10(max(kept, 1e-300)),
        "spread": math.sqrt(h.var(axis=0).mean()) / rms if rms else 0.0,
    }


def _measure(answer: Any) -> dict[str, float]:
    if wrong := misfit(answer, (1.0, 1.0), ("factor", "bias_std")):
        raise AnswerError(wrong)
    factor, bias_std = (float(number) for number in answer)
    if factor < 0 or bias_std < 0:
        raise AnswerError("neither a variance nor a std is negative")
    with np.errstate(all="ignore"):
        found = [deep_silu(factor, bias_std, seed) for seed in range(_SEEDS)]
    return {
        "factor": factor,
        "bias_std": bias_std,
        "low": min(float(network["inputs"].min()) for network in found),
        "high": max(float(network["inputs"].max()) for network in found),
        "lost": -min(network["gradient"] for network in found),
        "gained": max(network["gradient"] for network in found),
    }


def _out(found: dict[str, float]) -> bool:
    return not (found["low"] >= -1 and found["high"] <= 1)


_HOLD = MeasuredTask(
    name="q7.4",
    section="The habit: He for everything that looks like a ReLU",
    title="hold a SiLU network",
    hints=(
        "With a bias the second moment becomes factor · E f(z)² + bias_std². What does "
        "the constant do to a signal that is too small? And which factor leaves a "
        "signal that is too large no growth? For large z a SiLU is a ReLU.",
        "Take the factor at or just below 2, so that large signals do not grow, and "
        "raise bias_std from 0.3: the gradient is lost less and less, until the "
        'signal leaves its decade. lab.theory.critical_line("silu") shows the way.',
    ),
    measure=_measure,
    diagnoses=(
        (
            lambda m: _out(m) and m["bias_std"] == 0 and m["high"] < -1,
            lambda m: (
                f"without a bias the inputs drown, by {-m['high']:.0f} decades and "
                "more: what is too small becomes smaller still; a bias sets a floor"
            ),
        ),
        (
            lambda m: _out(m) and m["bias_std"] == 0,
            lambda m: (
                f"without a bias the inputs end from 10^{m['low']:.0f} to "
                f"10^{m['high']:.0f}: small signals shrink, large ones grow, and no "
                "factor alone holds both; a bias sets a floor, a smaller factor the "
                "ceiling"
            ),
        ),
        (
            lambda m: not m["high"] <= 1 and m["factor"] > 2.05,
            lambda m: (
                f"an input ends at 10^{m['high']:.1f}: a large z passes a SiLU as it "
                f"passes a ReLU, so a factor of {m['factor']:.3g}, more than 2, lets "
                "it grow; make the factor smaller"
            ),
        ),
        (
            lambda m: not m["high"] <= 1,
            lambda m: (
                f"an input ends at 10^{m['high']:.1f}, above 10: the bias adds "
                f"{m['bias_std']:.3g}² in each layer; make it smaller"
            ),
        ),
        (
            _out,
            lambda m: (
                f"an input ends at 10^{m['low']:.1f}, below 0.1: the floor that the "
                "bias sets is too low; make the bias larger"
            ),
        ),
        (
            lambda m: m["lost"] > MOST_LOST and m["factor"] < 1.7,
            lambda m: (
                f"the scale holds, but the gradient loses {m['lost']:.1f} decades: a "
                f"factor of {m['factor']:.3g} is too small. It is the variance times "
                "fan_in; if yours is a std, square it"
            ),
        ),
        (
            lambda m: m["lost"] > MOST_LOST,
            lambda m: (
                f"the scale holds, but the gradient loses {m['lost']:.1f} decades, "
                f"{MOST_LOST:g} are allowed: go on with a larger bias or factor, as "
                "far as the scale permits"
            ),
        ),
        (
            lambda m: m["gained"] > MOST_LOST,
            "the gradient grows by more than is allowed: make the factor smaller",
        ),
    ),
)

TASKS: tuple[Task, ...] = (_READ_OFF, _RANDOM, _STRIDES, _HOLD)
