"""The exercises on Glorot's formula and its assumptions.

First the formula in a network whose widths change, then two assumptions broken on
purpose, then the sigmoid: at which scale it keeps a gradient, and how a bias repairs
it. `deep_sigmoid` is for the notebook too; each task stands after what grades it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from initlab.checks.core import (
    AnswerError,
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    Unanswered,
    ValueTask,
    agree,
    call,
    is_blank,
    misfit,
    twins,
)

TITLE = "q6 · Xavier: a formula and its assumptions"


# q6.1: Glorot's formula where the width changes

WIDTHS = (400, 50, 200)


def _rms_factors(variance: Callable[[int, int], float]) -> tuple[float, float]:
    """Return the factors on the rms of signal and gradient in linear layers."""
    forward = backward = 1.0
    for n_in, n_out in zip(WIDTHS[:-1], WIDTHS[1:], strict=True):
        forward *= n_in * variance(n_in, n_out)
        backward *= n_out * variance(n_in, n_out)
    return math.sqrt(forward), math.sqrt(backward)


def _glorot(n_in: int, n_out: int) -> float:
    return 2 / (n_in + n_out)


_FACTORS = _rms_factors(_glorot)
_ENDS = WIDTHS[0] + WIDTHS[-1]

_WAIST = ValueTask(
    name="q6.1",
    section="The derivation, with its assumptions numbered",
    title="follow a narrow waist",
    hints=(
        "A linear layer multiplies the signal's second moment by n_in times the "
        "variance of its weights, the gradient's by n_out times it. Multiply layer by "
        "layer.",
        "Forwards it is (2 · 400/450) · (2 · 50/250), backwards (2 · 50/450) · "
        "(2 · 200/250). These are second moments; the rms is the square root.",
    ),
    expected=_FACTORS,
    rtol=2e-3,
    mistakes=(
        (
            tuple(factor**2 for factor in _FACTORS),
            "these are the factors on the second moments; the rms is the square root",
        ),
        (_FACTORS[::-1], "signal and gradient are exchanged: return the signal first"),
        (
            (1.0, 1.0),
            "in each layer the mean of the two factors is 1, but neither of them is: "
            "compute both, layer by layer",
        ),
        (
            _rms_factors(lambda n_in, n_out: 1 / (n_in + n_out)),
            "each layer's factor is half of what it should be: Glorot's variance is 1 "
            "over the mean of the fans, not over their sum, and nothing is halved in a "
            "linear layer",
        ),
        (
            _rms_factors(lambda n_in, n_out: 1 / n_in),
            "LeCun's 1/fan_in where Glorot's 2/(fan_in + fan_out) is asked for",
        ),
        (
            _rms_factors(lambda n_in, n_out: 1 / n_out),
            "1/fan_out where Glorot's 2/(fan_in + fan_out) is asked for",
        ),
        (
            tuple(math.sqrt(2 * width / _ENDS) for width in (WIDTHS[0], WIDTHS[-1])),
            "this looks at the two ends only: with Glorot's formula the widths in "
            "between do not cancel, go through both layers",
        ),
    ),
    remedy=(
        "multiply n_in · variance over the two layers for the signal, n_out · variance "
        "for the gradient, and take the roots"
    ),
)


# q6.2: assumptions 1 and 2 broken


def _next_moment(
    mean: float,
    square: float,
    n_in: int,
    std: float,
    weight_mean: float,
    bias_std: float,
) -> float:
    variance = square - mean**2
    from_mean = weight_mean**2 * (n_in * variance + n_in**2 * mean**2)
    return n_in * std**2 * square + from_mean + bias_std**2


def _changed(
    change: Callable[..., float],
) -> Callable[..., float]:
    """Return the function of the same arguments that is off by ``change``."""
    return lambda *arguments: _next_moment(*arguments) + change(*arguments)


_MOMENT = FunctionTask(
    name="q6.2",
    section="An assumption that is not needed",
    title="break two assumptions",
    hints=(
        "Write w = weight_mean + v with v of mean 0. Then z is the sum of v h, plus "
        "weight_mean times the sum of h, plus the bias. The three are uncorrelated.",
        "The sum of n independent h has variance n · (square − mean²) and mean n · "
        "mean: what is its second moment? Multiply that by weight_mean² and add n_in · "
        "std² · square and bias_std².",
    ),
    reference=_next_moment,
    cases=(
        Case("all assumptions kept", (0.0, 1.0, 300, 0.05, 0.0, 0.0)),
        Case("inputs of mean 3", (3.0, 10.0, 300, 0.05, 0.0, 0.0)),
        Case("weights of mean 0.1", (0.0, 2.0, 50, 0.2, 0.1, 0.0)),
        Case("biases of std 0.5", (0.0, 1.0, 100, 0.1, 0.0, 0.5)),
        Case("inputs and weights with a mean", (-0.4, 0.5, 200, 0.1, 0.02, 0.0)),
        Case("everything broken", (0.56, 0.5, 64, 0.1, -0.03, 0.3)),
        Case("a single input", (0.5, 1.0, 1, 1.0, 0.5, 0.1)),
        Case("constant inputs", (2.0, 4.0, 10, 0.1, 0.1, 0.0)),
        Case("float32 numbers", (*np.array([0.4, 0.5], "f4"), 128, 0.08, 0.01, 0.2)),
    ),
    rtol=1e-4,
    mistakes=(
        (
            _changed(lambda m, q, n, s, w, b: -n * s**2 * m**2),
            "this is the variance of h where its second moment is handed on: square, "
            "not square − mean²",
        ),
        (
            lambda m, q, n, s, w, b: n * (s**2 + w**2) * q + b**2,
            "a mean of the weights meets all inputs with the same sign: their means "
            "add up first and are squared then, which gives n_in² · mean²",
        ),
        (
            _changed(lambda m, q, n, s, w, b: -n * w**2 * (q - m**2)),
            "weight_mean times the sum of the inputs has a variance as well: the sum "
            "of n_in independent inputs varies by n_in · (square − mean²)",
        ),
        (
            lambda m, q, n, s, w, b: n * s**2 * q + (w * n) ** 2 * q + b**2,
            "only the means of the inputs add up to n_in² · mean²; what varies from "
            "input to input adds up to n_in · (square − mean²)",
        ),
        (
            _changed(lambda m, q, n, s, w, b: b - b**2),
            "the bias adds its variance: square bias_std",
        ),
        (
            _changed(lambda m, q, n, s, w, b: n * (s - s**2) * q),
            "std is used as if it were the variance: square it",
        ),
        (
            lambda m, q, n, s, w, b: _next_moment(m, q, n, s, w, b) ** 0.5,
            "this is the rms of z; its second moment is asked for, leave out the root",
        ),
        (
            _changed(lambda m, q, n, s, w, b: -(b**2)),
            "the bias is forgotten: it adds bias_std²",
        ),
    ),
)


# q6.3: how large a sigmoid's weights would have to be

_GRID = np.linspace(-8, 8, 3201)
_WEIGHT = np.exp(-(_GRID**2) / 2)
_WEIGHT /= _WEIGHT.sum()


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(z / 2)) / 2


def _settled(scale: float) -> float:
    """Return the second moment of z on which sigmoid layers settle."""
    q = 1.0
    for _ in range(40):
        q = scale**2 * (_WEIGHT * _sigmoid(math.sqrt(q) * _GRID) ** 2).sum()
    return float(q)


def _steepness(q: float) -> float:
    """Return E f'(z)² of the sigmoid at a second moment ``q`` of z."""
    value = _sigmoid(math.sqrt(q) * _GRID)
    return float((_WEIGHT * (value * (1 - value)) ** 2).sum())


def _keeping_scale() -> float:
    """Return the scale at which a settled layer keeps the gradient, by bisection."""
    low, high = 4.0, 16.0
    for _ in range(20):
        middle = (low + high) / 2
        if middle**2 * _steepness(_settled(middle)) < 1:
            low = middle
        else:
            high = middle
    return middle


def _scale_task() -> ValueTask:
    right = _keeping_scale()
    return ValueTask(
        name="q6.3",
        section="Can the sigmoid be repaired?",
        title="the sigmoid's own scale",
        hints=(
            'For a trial scale iterate q = variance_map("sigmoid", q, sigma_w=scale) '
            'until it stands still. Then chi_1("sigmoid", q, sigma_w=scale) is the '
            "factor on the gradient's second moment.",
            "At scale 4 the factor is 0.4, and it grows with the scale. Try 8 and 12, "
            "then halve the interval until the factor is 1; settle q anew each time.",
        ),
        expected=right,
        rtol=0.03,
        mistakes=(
            (
                right**2,
                "this is the factor on the variance; times Glorot's std means its root",
            ),
            (
                4,
                "the recipe's four keeps 0.4 of the gradient's second moment; go on "
                "from there",
            ),
            (
                1 / math.sqrt(_steepness(1.0)),
                "this is right for pre-activations of second moment 1, but they do not "
                "stay there: let q settle before you take the slope",
            ),
            (
                1 / math.sqrt(_steepness(_settled(4))),
                "this takes the slope at which four times Glorot settles; larger "
                "weights settle farther out, let q settle anew for each scale",
            ),
            (
                1 / _steepness(1.0),
                "the root is missing, and q has not settled: the scale squared times "
                "E f'(z)² is to be 1 at the q that the scale leads to",
            ),
        ),
        remedy=(
            "for each trial scale let q settle, compute scale² · E f'(z)² there, and "
            "look for the scale at which that is 1"
        ),
    )


# q6.4: a sigmoid network repaired at its start

LAYERS = (100, 60, 150) * 10 + (100,)
"""The widths of the thirty layers of the challenge, the inputs' first."""

MOST_LOST = 0.5
LEAST_SPREAD = 0.1
_SEEDS = 5

Start = Callable[[int, int, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def deep_sigmoid(start: Start, seed: int) -> tuple[float, float]:
    """Send a signal and a gradient through thirty sigmoid layers that ``start`` makes.

    Args:
        start: takes n_in, n_out and a generator; returns a kernel of shape
            (n_in, n_out) and a bias of shape (n_out,).
        seed: of the inputs, the gradient and the generators, one for each layer.

    Returns:
        The decades by which the gradient's rms changes on its way back to the input
        (negative: lost), and the std of the last layer's units over 20 inputs.
    """
    return _through(_layers(start, seed), seed)


def _layers(start: Start, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        start(n_in, n_out, np.random.default_rng([seed, layer]))
        for layer, (n_in, n_out) in enumerate(zip(LAYERS[:-1], LAYERS[1:], strict=True))
    ]


def _through(layers: list, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng([seed, 1000])
    h = rng.normal(size=(20, LAYERS[0]))
    slopes = []
    for kernel, bias in layers:
        h = _sigmoid(h @ kernel + bias)
        slopes.append(h * (1 - h))
    arriving = gradient = rng.normal(size=h.shape)
    for (kernel, _), slope in zip(reversed(layers), reversed(slopes), strict=True):
        gradient = (gradient * slope) @ kernel.T
    kept = np.mean(gradient**2) / np.mean(arriving**2)
    decades = 0.5 * math.log10(kept) if kept > 0 else -math.inf
    return decades, math.sqrt(h.var(axis=0).mean())


def _asked(start: Any) -> Start:
    """Return the student's ``start`` as a function that gives arrays or complains."""

    def layer(n_in: int, n_out: int, rng: Any) -> tuple[np.ndarray, np.ndarray]:
        label = f"n_in = {n_in}, n_out = {n_out}"
        result = call(start, (n_in, n_out, rng), label)
        if is_blank(result):
            raise Unanswered
        shapes = (np.zeros((n_in, n_out)), np.zeros(n_out))
        if wrong := misfit(result, shapes, ("kernel", "bias")):
            raise AnswerError(f"for {label}: {wrong}")
        kernel, bias = result
        return np.asarray(kernel, dtype=float), np.asarray(bias, dtype=float)

    return layer


def _measure(start: Any) -> dict[str, Any]:
    networks = [_layers(_asked(start), seed) for seed in range(_SEEDS)]
    with np.errstate(all="ignore"):
        found = [_through(layers, seed) for seed, layers in enumerate(networks)]
    decades, spread = np.array(found).T
    return {"layers": networks[0], "decades": decades, "spread": spread}


def _lost(measured: dict[str, Any]) -> bool:
    return not measured["decades"].min() >= -MOST_LOST


def _bias_is(measured: dict[str, Any], factor: float) -> bool:
    """Tell whether each bias is ``factor`` times the sum of its unit's weights."""
    return all(agree(b, factor * k.sum(axis=0), 1e-3) for k, b in measured["layers"])


def _scale(measured: dict[str, Any]) -> float:
    """Return the kernels' std in units of Glorot's."""
    ratios = [k.std() / math.sqrt(2 / sum(k.shape)) for k, _ in measured["layers"]]
    return float(np.mean(ratios))


def _told(measured: dict[str, Any]) -> str:
    low, high = measured["decades"].min(), measured["decades"].max()
    return f"the gradient's rms changes by {low:.1f} to {high:.1f} decades"


_REPAIR = MeasuredTask(
    name="q6.4",
    section="Can the sigmoid be repaired?",
    title="repair it without touching it",
    hints=(
        "What a sigmoid hands on is ½ plus something. The kernel turns the ½ into a "
        "constant at each unit of the next layer: ½ times the sum of the unit's "
        "weights. Which bias takes it away?",
        "bias = -kernel.sum(axis=0) / 2 centres the layer. Then the slope ¼ asks for "
        "four times Glorot's std, and the bent part of the sigmoid for a little more: "
        "try 4.5, 5 and 6 with q6.deep_sigmoid.",
    ),
    measure=_measure,
    diagnoses=(
        (
            lambda m: twins([kernel for kernel, _ in m["layers"]]) is not None,
            "two layers start with the same numbers, as one shared seed makes them: "
            "draw from the generator that you are given",
        ),
        (
            lambda m: _lost(m) and not any(b.any() for _, b in m["layers"]),
            lambda m: (
                f"{_told(m)} and the biases are zero: the ½ that every unit hands on "
                "pushes the next layer out of the steep part; take it away with a bias"
            ),
        ),
        (
            lambda m: _lost(m) and _bias_is(m, -1),
            "the bias takes away the whole sum of the weights; a sigmoid hands on ½ on "
            "average, so half of the sum is enough",
        ),
        (
            lambda m: _lost(m) and _bias_is(m, 0.5),
            "the bias adds the constant a second time: its sign has to be the other",
        ),
        (
            lambda m: _lost(m) and _bias_is(m, -0.5),
            lambda m: (
                f"the bias is right, but {_told(m)}: the weights, {_scale(m):.1f} "
                "times Glorot's, do not make up for the sigmoid's slope; make them "
                "larger"
            ),
        ),
        (
            _lost,
            lambda m: (
                f"{_told(m)}, at most {MOST_LOST:g} may be lost: look at the mean of "
                "the pre-activations in the second layer, the bias should bring it "
                "to zero"
            ),
        ),
        (
            lambda m: not m["decades"].max() <= MOST_LOST,
            lambda m: (
                f"{_told(m)}, at most {MOST_LOST:g} may be gained: make the weights, "
                f"{_scale(m):.1f} times Glorot's, smaller"
            ),
        ),
        (
            lambda m: not m["spread"].min() >= LEAST_SPREAD,
            lambda m: (
                "the gradient is kept, but all inputs come out alike: the last layer "
                f"varies by {m['spread'].min():.2g} over the inputs, at least "
                f"{LEAST_SPREAD:g} is asked for; centre the layers instead of "
                "enlarging the weights so much"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (_WAIST, _MOMENT, _scale_task(), _REPAIR)
