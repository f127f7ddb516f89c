"""The exercises on Glorot's initialization.

First the widths at which the rules agree, then how fast any activation fades, what the
gradients of kernels conceal and those of biases tell, and last fifty tanh layers that
do not fade. `backward` and `through` are for the notebook too; each task stands after
what grades it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

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

TITLE = "s05 · Glorot initialization"


# s05.1: where the rules meet

_N = 120

_MEET = ValueTask(
    name="s05.1",
    section="What it replaced",
    title="where the rules meet",
    hints=(
        "Write each rule as a variance. Glorot's is 2/(120 + m), LeCun's 1/120, He's "
        "2/120. And a uniform distribution with the limit 1/√120?",
        "U[−1/√n, 1/√n] has the variance 1/(3n). Half of a std is a quarter of its "
        "variance. Solve 2/(120 + m) = … for m, three times.",
    ),
    expected=(_N, 5 * _N, 3 * _N),
    rtol=1e-6,
    mistakes=(
        (
            (_N, _N, 3 * _N),
            "the second takes 1/√n for a std; it is the limit of a uniform "
            "distribution, and the std is that divided by √3",
        ),
        (
            (_N, 5 * _N, _N),
            "the third halves He's variance; half of the std is a quarter of the "
            "variance",
        ),
        (
            (_N, 5 * _N, 7 * _N),
            "the third halves LeCun's std; He's variance is 2/fan_in",
        ),
        (
            (0, 2 * _N, _N),
            "these belong to the variance 1/(fan_in + fan_out); Glorot's has the mean "
            "of the fans there, not their sum",
        ),
        (
            (2 * _N, 6 * _N, 4 * _N),
            "these are fan_in + fan_out; take away the 120 inputs",
        ),
        (
            (_N, 17 * _N, 3 * _N),
            "the second compares Glorot's limit with the other one's std; take the "
            "limits of both, or the stds of both",
        ),
    ),
    remedy="set the two variances equal and solve for the number of outputs",
)


# s05.2: how fast an activation fades

_U = np.linspace(-9, 9, 4001)
_DENSITY = np.exp(-(_U**2) / 2)
_DENSITY /= _DENSITY.sum()

Activation = Callable[[np.ndarray], np.ndarray]


def _second_moment(f: Activation, q: float) -> float:
    return float(np.sum(_DENSITY * f(math.sqrt(q) * _U) ** 2))


def _square_of_mean(f: Activation, q: float) -> float:
    return float(np.sum(_DENSITY * f(math.sqrt(q) * _U)) ** 2)


def _limit(rate: Callable[[float], float]) -> float:
    """Return the limit of ``rate(q)`` for q to 0, its first error term removed."""
    return 2 * rate(1e-3) - rate(2e-3)


def _fading(f: Activation) -> float:
    return _limit(lambda q: (q - _second_moment(f, q)) / q**2)


def _bend(f: Activation) -> float:
    """Return b of f(z) = z + b z² + c z³ + …, by a difference."""
    return float((f(np.array(1e-3)) + f(np.array(-1e-3))) / 2e-6)


def _cube(f: Activation) -> float:
    """Return c, from the rate −3 (b² + 2c)."""
    return -(_fading(f) / 3 + _bend(f) ** 2) / 2


def _centred(f: Activation) -> float:
    return _limit(lambda q: (q - _second_moment(f, q) + _square_of_mean(f, q)) / q**2)


def _inverse(f: Activation) -> float:
    rate = _fading(f)
    return 1 / rate if abs(rate) > 0.01 else 0.0


def _within(result: Any, expected: float, arguments: tuple[Any, ...]) -> bool:
    if misfit(result, 0.0):
        return False
    return abs(float(result) - expected) <= 0.03


def _bent_tanh(z: np.ndarray) -> np.ndarray:
    return np.tanh(z) + np.tanh(z) ** 2 / 2


def _swish(z: np.ndarray) -> np.ndarray:
    return z * (1 + np.tanh(z / 2))


def _softplus(z: np.ndarray) -> np.ndarray:
    return 2 * (np.logaddexp(0, z) - math.log(2))


_RATE = FunctionTask(
    name="s05.2",
    section="How a tanh network fades",
    title="how fast does it fade?",
    hints=(
        "The next q is the mean of f(√q u)², which lab.theory.variance_map(f, q, "
        "sigma_w=1.0) gives. Compare it with q where q is small.",
        "(q − next) / q² with q = 1e-3. On paper: with f(z) = z + b z² + c z³ the rate "
        "is −3 (b² + 2c).",
    ),
    reference=_fading,
    cases=(
        Case("tanh", (np.tanh,)),
        Case("sine", (np.sin,)),
        Case("the identity", (np.positive,)),
        Case("sinh", (np.sinh,)),
        Case("exp(z) − 1", (np.expm1,)),
        Case("tanh + tanh²/2", (_bent_tanh,)),
        Case("a SiLU of slope 1", (_swish,)),
        Case("a softplus through 0", (_softplus,)),
    ),
    same=_within,
    mistakes=(
        (
            _centred,
            "this follows the variance of f(z); the next layer gets the second moment, "
            "the square of the mean included",
        ),
        (
            lambda f: -_fading(f),
            "the sign is turned round: the rate is positive for what fades",
        ),
        (
            _inverse,
            "this is 1/r, the number that l · q tends to; r itself is asked for",
        ),
        (
            lambda f: _fading(f) / 2,
            "this is the rate of the rms, which is half as large; q is the second "
            "moment",
        ),
        (
            lambda f: _fading(f) / 3,
            "the mean of u⁴ is 3 for a normal u, not 1",
        ),
        (
            lambda f: -6 * _cube(f),
            "only the odd part of f is used; b z² makes the signal larger too",
        ),
        (
            lambda f: -3 * (_bend(f) ** 2 + _cube(f)),
            "the mixed term of the square is 2c z⁴: a factor 2 is missing",
        ),
        (
            lambda f: -(4 * _bend(f) ** 2 + 6 * _cube(f)),
            "this is the rate at which the gradient fades, from f′; the signal's comes "
            "from f",
        ),
        (
            lambda f: _limit(lambda q: q - _second_moment(f, q)),
            "this is near 0 for every f: divide what a layer loses by q², not by q",
        ),
    ),
)


# s05.3: what the kernels conceal

_LAYERS = 11
_HIDDEN = 0.45
_WIDTH = 200


def backward() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the gradients of kernels and biases in eleven tanh layers.

    All layers are 200 units wide, their biases are 0, and their kernels have one and
    the same std. The signal is small, so that tanh hardly bends it.

    Returns:
        Two lists of eleven arrays, of shape (200, 200) and (200,).
    """
    rng = np.random.default_rng(11)
    std = math.sqrt(_HIDDEN / _WIDTH)
    kernels = [std * rng.normal(size=(_WIDTH, _WIDTH)) for _ in range(_LAYERS)]
    signals = [0.1 * rng.normal(size=(400, _WIDTH))]
    for kernel in kernels:
        signals.append(np.tanh(signals[-1] @ kernel))
    delta = rng.normal(size=signals[-1].shape)
    of_kernels, of_biases = [], []
    for layer in reversed(range(_LAYERS)):
        delta = delta * (1 - signals[layer + 1] ** 2)
        of_kernels.insert(0, signals[layer].T @ delta)
        of_biases.insert(0, delta.sum(axis=0))
        delta = delta @ kernels[layer].T
    return of_kernels, of_biases


def _conceal_task() -> ValueTask:
    kernel, bias = (
        float(np.sqrt(np.mean(found[0] ** 2) / np.mean(found[-1] ** 2)))
        for found in backward()
    )
    steps = _LAYERS - 1
    return ValueTask(
        name="s05.3",
        section="What it replaced",
        title="what the kernels conceal",
        hints=(
            "A bias is added to z, so its gradient is the gradient that is passed "
            "back, summed over the samples. Which of the two lists shrinks?",
            "Between layer 11 and layer 1 the gradient is passed through ten kernels, "
            "and each multiplies its second moment by n σ². So n σ² = (the biases' "
            "ratio)² to the power 1/10.",
        ),
        expected=(kernel, bias, _HIDDEN),
        rtol=0.05,
        mistakes=(
            (
                (1 / kernel, 1 / bias, _HIDDEN),
                "the two ratios are layer 11 over layer 1; turn them round",
            ),
            (
                (1 / kernel, 1 / bias, 1 / _HIDDEN),
                "everything is turned round: take layer 1 over layer 11",
            ),
            (
                (kernel, bias, math.sqrt(_HIDDEN)),
                "the third number is the factor on the rms; n σ² multiplies the second "
                "moment, so square it",
            ),
            (
                (kernel, bias, bias ** (2 / _LAYERS)),
                "the third number takes eleven steps; from layer 11 to layer 1 there "
                "are ten",
            ),
            (
                (kernel, bias, bias**2),
                "the third number is the change over all steps; one layer's is its "
                "tenth root",
            ),
            (
                (kernel, bias, kernel ** (2 / steps)),
                "the third number comes from the kernels, where activation and "
                "gradient make up for each other; take the biases",
            ),
            (
                (kernel**2, bias**2, _HIDDEN),
                "the first two are ratios of second moments; take the roots",
            ),
        ),
        remedy=(
            "divide the rms of layer 1 by that of layer 11 in both lists, and share "
            "the biases' ratio among ten layers"
        ),
    )


# s05.4: fifty tanh layers

DEPTH = 50
LOWEST, HIGHEST = 0.3, 1.0
MOST = 2.0


def through(gains: Sequence[float]) -> tuple[np.ndarray, float]:
    """Return what theory expects of wide tanh layers with these gains.

    Args:
        gains: one for each layer; the std of its weights is gain/√n. The input has
            second moment 1.

    Returns:
        The rms of the pre-activations in each layer, (layers,), and the factor by which
        the gradient's second moment changes from the last layer's pre-activations back
        to the first one's.
    """
    squares = [float(gain) ** 2 for gain in gains]
    moments, factor = [squares[0]], 1.0
    for square in squares[1:]:
        h = np.tanh(math.sqrt(moments[-1]) * _U)
        moments.append(square * float(np.sum(_DENSITY * h**2)))
        factor *= square * float(np.sum(_DENSITY * (1 - h**2) ** 2))
    return np.sqrt(moments), factor


def _read_gains(answer: Any) -> np.ndarray:
    if isinstance(answer, np.ndarray):
        answer = answer.tolist()
    if wrong := misfit(answer, (0.0,) * DEPTH):
        raise AnswerError(wrong)
    gains = np.array(answer, dtype=float)
    if gains.min() <= 0:
        raise AnswerError("all gains must be above 0")
    if gains.max() > 1e6:
        raise AnswerError("no gain needs to be above a million")
    return gains


def _holds(gains: np.ndarray) -> bool:
    rms, factor = through(gains)
    return LOWEST <= rms.min() and rms.max() <= HIGHEST and 1 / MOST <= factor <= MOST


def _all_are(gain: float) -> Callable[[np.ndarray], bool]:
    return lambda gains: bool(np.allclose(gains, gain, rtol=0.005))


def _fades_message(gains: np.ndarray) -> str:
    rms, _ = through(gains)
    layer = int(np.argmax(rms < LOWEST))
    return (
        f"the rms is {rms[layer]:.2g} in layer {layer + 1}, below {LOWEST}: the gains "
        "up to there are too small"
    )


def _large_message(gains: np.ndarray) -> str:
    rms, _ = through(gains)
    layer = int(np.argmax(rms > HIGHEST))
    return (
        f"the rms is {rms[layer]:.3g} in layer {layer + 1}, above {HIGHEST:g}: the "
        "gain there is too large"
    )


_HOLD = MeasuredTask(
    name="s05.4",
    section="How a tanh network fades",
    title="fifty layers that do not fade",
    hints=(
        "Choose a q and stay there: the gain that keeps it has the square q / E "
        "tanh(√q u)². What does this gain make of the gradient at a large q, and at a "
        "small one?",
        "The smaller q, the less the gradient grows; q = 0.1 is small enough for both "
        "bounds. Only the first layer starts from 1: its gain is √0.1, all others are "
        "1.09.",
    ),
    measure=_read_gains,
    diagnoses=(
        (
            _all_are(1.0),
            "gain 1 in all layers is Glorot's: the second moment falls like 1/(2l), "
            "and the rms ends at 0.1",
        ),
        (
            _all_are(5 / 3),
            lambda gains: (
                "5/3 is a common gain for tanh; it holds the signal, but multiplies "
                f"the gradient's second moment by {through(gains)[1]:.2g}"
            ),
        ),
        (
            lambda gains: bool(gains[0] < LOWEST) and _holds(np.sqrt(gains)),
            "these are squares of gains, as they stand in the variance; take the roots",
        ),
        (lambda gains: bool(through(gains)[0].max() > HIGHEST), _large_message),
        (lambda gains: bool(through(gains)[0].min() < LOWEST), _fades_message),
        (
            lambda gains: through(gains)[1] > MOST,
            lambda gains: (
                "the signal is held, but the gradient's second moment is multiplied by "
                f"{through(gains)[1]:.3g}: hold the signal at a smaller rms, where "
                "less gain is needed"
            ),
        ),
        (
            lambda gains: through(gains)[1] < 1 / MOST,
            lambda gains: (
                "the signal is within bounds, but the gradient's second moment is "
                f"multiplied by {through(gains)[1]:.2g}: where the rms falls from a "
                "large value, slopes are small; begin lower"
            ),
        ),
    ),
)


TASKS: tuple[Task, ...] = (_MEET, _RATE, _conceal_task(), _HOLD)
