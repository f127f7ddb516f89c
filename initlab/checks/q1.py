"""The exercises on why initialization matters: five promises, looked at twice.

`two_layers` and `descend` are a small ReLU network and its gradient descent, `train`
the tanh network of the chapter for gains that differ by layer; the notebook uses them
too. Each task stands after what grades it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from initlab import tasks
from initlab.checks.core import (
    AnswerError,
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    ValueTask,
    misfit,
)

TITLE = "q1 · Why initialization matters"

# q1.1: the gain at which a tenth is flat

_STEEP = math.sqrt(20)


def _gain_with_a_tenth_flat(edge: float, beyond: float = 0.05) -> float:
    """Return the gain at which ``beyond`` of the pre-activations exceed ``edge``."""
    return edge / NormalDist().inv_cdf(1 - beyond)


def _flat_task() -> ValueTask:
    right = _gain_with_a_tenth_flat(2 * math.acosh(_STEEP))
    return ValueTask(
        name="q1.1",
        section="Promise 4: no saturation",
        title="the gain of a tenth flat",
        hints=(
            "Find the z at which the sigmoid's slope is a twentieth of its slope at 0. "
            "The slope is 1/4 · 1/cosh²(z/2).",
            "The edge is 2 · arccosh(√20). With z = gain · (standard normal), a tenth "
            "beyond ± edge is a twentieth on each side: "
            "statistics.NormalDist().inv_cdf(0.95).",
        ),
        expected=right,
        rtol=1e-3,
        mistakes=(
            (
                _gain_with_a_tenth_flat(math.acosh(_STEEP)),
                "this is tanh's gain; the sigmoid's slope goes with 1/cosh²(z/2), so "
                "its flat part begins at twice the z",
            ),
            (
                _gain_with_a_tenth_flat(2 * math.acosh(_STEEP), beyond=0.1),
                "you count one side only: a unit is flat far to the left as well as "
                "far to the right",
            ),
            (
                _gain_with_a_tenth_flat(2 * math.acosh(math.sqrt(5))),
                "flat is a twentieth of the steepest slope, and that is 1/4 for the "
                "sigmoid; you took a slope of 1/20",
            ),
            (
                _gain_with_a_tenth_flat(2 * math.acosh(20)),
                "a square root is missing: cosh² is 20 at the edge, so cosh is √20",
            ),
            (
                right**2,
                "this is the variance of z; the gain is its standard deviation, the "
                "square root",
            ),
            (2 * math.acosh(_STEEP), "this is the edge itself; divide by a quantile"),
        ),
        remedy="divide the edge of the flat part by the 95 % quantile of a normal",
    )


# q1.2: the step from which it is true for good


def _arrival(losses: Any, goal: float) -> int:
    late = np.flatnonzero(~(np.asarray(losses) < goal))
    return int(late[-1]) + 1 if len(late) else 0


def _first_touch(losses: Any, goal: float) -> int:
    below = np.asarray(losses) < goal
    return int(below.argmax()) if below.any() else len(losses)


def _dropping_nan(losses: Any, goal: float) -> int:
    late = np.flatnonzero(np.asarray(losses) >= goal)
    return int(late[-1]) + 1 if len(late) else 0


def _curve(*losses: float, dtype: str = "float64") -> tuple[np.ndarray, float]:
    return np.array(losses, dtype=dtype), 0.5


_ARRIVAL = FunctionTask(
    name="q1.2",
    section="Promise 1: convergence speed",
    title="arrive, and stay",
    hints=(
        "Do not look for the first step below the goal. Look for the last one that is "
        "not below it.",
        "late = np.flatnonzero(~(losses < goal)); the answer is one more than the last "
        "of them, and 0 if there is none. With ~(… < goal) a nan counts as not below.",
    ),
    reference=_arrival,
    cases=(
        Case("a loss that falls", _curve(1, 0.8, 0.6, 0.4, 0.3, 0.2)),
        Case("a loss that comes back up", _curve(1, 0.4, 0.7, 0.3, 0.6, 0.2, 0.1)),
        Case("a loss that never gets there", _curve(1, 0.9, 0.8)),
        Case("a loss that gets there and leaves", _curve(1, 0.4, 0.3, 0.9)),
        Case("a loss that starts below", _curve(0.4, 0.3, 0.2)),
        Case("a loss that touches the goal", _curve(1, 0.5, 0.5, 0.4)),
        Case("a loss that ends as nan", _curve(1, 0.4, 3, np.inf, np.nan, np.nan)),
        Case("nan after the goal", _curve(1, 0.4, 0.3, np.nan)),
        Case("one step, float32", _curve(0.2, dtype="float32")),
    ),
    mistakes=(
        (
            _first_touch,
            "this is the first step below the goal: the loss may rise again, so find "
            "the last step that is not below",
        ),
        (
            _dropping_nan,
            "nan >= goal is false, so a loss that is no number passes for one below: "
            "ask for not (loss < goal)",
        ),
        (
            lambda losses, goal: max(_arrival(losses, goal) - 1, 0),
            "you give the last step that is not below; the loss is below from the "
            "next one on",
        ),
        (
            lambda losses, goal: _arrival(losses, np.nextafter(goal, np.inf)),
            "a loss that equals the goal is not below it",
        ),
        (
            lambda losses, goal: (
                _arrival(losses, goal) if losses[-1] < goal else len(losses) - 1
            ),
            "for a run that never stays below give the number of steps, len(losses)",
        ),
        (
            lambda losses, goal: _arrival(losses, goal) if losses[-1] < goal else 0,
            "a run that never stays below counts as if it had been there from the "
            "start; give len(losses)",
        ),
    ),
)


# q1.3: units that are really different


def _keys(kernel: Any, bias: Any, mirror: Callable[[tuple], tuple]) -> list[tuple]:
    """Return for each unit the smaller of its numbers and their mirror image."""
    rows = np.vstack([kernel, bias]).T.tolist()
    # Adding 0.0 makes 0.0 of -0.0, which is another text but the same number.
    units = [tuple(number + 0.0 for number in row) for row in rows]
    return [min(unit, tuple(n + 0.0 for n in mirror(unit))) for unit in units]


def _same(unit: tuple) -> tuple:
    return unit


def _opposite(unit: tuple) -> tuple:
    return tuple(-number for number in unit)


def _bias_kept(unit: tuple) -> tuple:
    return (*_opposite(unit[:-1]), unit[-1])


def _real_units(kernel: Any, bias: Any, odd: bool) -> int:
    return len(set(_keys(kernel, bias, _opposite if odd else _same)))


def _neighbours(kernel: Any, bias: Any, odd: bool) -> int:
    keys = _keys(kernel, bias, _opposite if odd else _same)
    new = [one != other for one, other in zip(keys, keys[1:], strict=False)]
    return sum(new) + bool(keys)


def _alone(kernel: Any, bias: Any, odd: bool) -> int:
    keys = _keys(kernel, bias, _opposite if odd else _same)
    return sum(keys.count(key) == 1 for key in keys)


def _layer(
    place: Sequence[int],
    signs: Sequence[int],
    bias_signs: Sequence[int],
    odd: bool,
    dtype: str = "float64",
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return a layer of 3 inputs whose units of one ``place`` agree up to a sign."""
    rng = np.random.default_rng(4)
    kinds = rng.standard_normal((4, 6))
    units = kinds[:, list(place)] * np.array(signs)
    bias = kinds[3, list(place)] * np.array(bias_signs)
    return units[:3].astype(dtype), bias.astype(dtype), odd


_ONES = (1,) * 6
_REAL_UNITS = FunctionTask(
    name="q1.3",
    section="Promise 3: units that differ",
    title="mirror images",
    hints=(
        "tanh(-z) = -tanh(z). So a tanh unit with -w and -b gives the output of the "
        "unit with w and b, with the other sign: it is no new unit.",
        "Give each unit a tuple (*w, b). If odd, take the smaller of the tuple and its "
        "negative. Then len(set(…)). Beware of -0.0, add 0.0 to it.",
    ),
    reference=_real_units,
    cases=(
        Case("units that all differ", _layer([0, 1, 2], _ONES[:3], _ONES[:3], True)),
        Case(
            "mirror images, tanh",
            _layer([0, 1, 0, 2, 1], (1, 1, -1, 1, -1), (1, 1, -1, 1, -1), True),
        ),
        Case(
            "mirror images, ReLU",
            _layer([0, 1, 0, 2, 1], (1, 1, -1, 1, -1), (1, 1, -1, 1, -1), False),
        ),
        Case(
            "copies that are no neighbours, ReLU",
            _layer([0, 1, 0, 2, 1, 3], _ONES, _ONES, False),
        ),
        Case(
            "kernels mirrored, biases not",
            _layer([0, 0, 1, 1], (1, -1, 1, -1), (1, 1, 1, 1), True),
        ),
        Case(
            "equal kernels, other biases",
            _layer([0, 0, 1], (1, 1, 1), (1, 2, 1), False),
        ),
        Case(
            "three of a kind and zeros, float32",
            _layer(
                [2, 2, 2, 0, 0], (1, 1, -1, 0, 0), (1, 1, -1, 0, 0), True, "float32"
            ),
        ),
        Case("a layer of one unit", _layer([0], (1,), (1,), True)),
        Case("a layer without units", (np.empty((3, 0)), np.empty(0), True)),
    ),
    mistakes=(
        (
            lambda kernel, bias, odd: _real_units(kernel, bias, False),
            "the mirror images are counted as units of their own: with an odd "
            "activation (-w, -b) gives minus the output of (w, b)",
        ),
        (
            lambda kernel, bias, odd: _real_units(kernel, bias, True),
            "relu(-z) is not -relu(z): mirror images are the same unit only if odd is "
            "true",
        ),
        (
            lambda kernel, bias, odd: _real_units(kernel, 0 * bias, odd),
            "the biases are not compared: units with equal kernels and other biases "
            "differ",
        ),
        (
            lambda kernel, bias, odd: len(
                set(_keys(kernel, bias, _bias_kept if odd else _same))
            ),
            "in a mirror image the bias changes its sign too: -tanh(z) = tanh(-z) and "
            "z holds the bias",
        ),
        (
            _neighbours,
            "only neighbours are compared: a twin can stand anywhere in the layer",
        ),
        (
            _alone,
            "units that have a twin are left out altogether: count one of each kind",
        ),
        (
            lambda kernel, bias, odd: len(bias) - _real_units(kernel, bias, odd),
            "these are the units too many; the different ones are asked for",
        ),
    ),
)


# q1.4: one function, two speeds


def two_layers() -> tuple[np.ndarray, np.ndarray]:
    """Return the kernels, (3, 16) of gain √2 and (16, 1) of gain 1, without biases."""
    rng = np.random.default_rng(0)
    w1 = math.sqrt(2 / 3) * rng.standard_normal((3, 16))
    return w1, rng.standard_normal((16, 1)) / 4


def descend(w1: np.ndarray, w2: np.ndarray, rate: float, steps: int) -> np.ndarray:
    """Return the losses of ``relu(x @ w1) @ w2`` before each step, shape (steps,).

    Plain gradient descent on 64 samples of `tasks.smooth_regression`, all in each step.
    """
    x, y = (each.astype(float) for each in tasks.smooth_regression(64, features=3))
    losses = np.empty(steps)
    with np.errstate(all="ignore"):  # a rate that is too large may explode
        for step in range(steps):
            z = x @ w1
            residual = np.maximum(z, 0) @ w2 - y
            losses[step] = np.mean(residual**2)
            at_output = 2 * residual / len(x)
            at_hidden = at_output @ w2.T * (z > 0)
            w1 = w1 - rate * x.T @ at_hidden
            w2 = w2 - rate * np.maximum(z, 0).T @ at_output
    return losses


def _first_drop(w1: np.ndarray, w2: np.ndarray) -> float:
    before, after = descend(w1, w2, 1e-6, 2)
    return before - after


def _speeds(in_w1: float, in_w2: float) -> float:
    """Return the first drop with both kernels scaled, over that of the plain ones."""
    w1, w2 = two_layers()
    return _first_drop(in_w1 * w1, in_w2 * w2) / _first_drop(w1, w2)


def _speed_task() -> ValueTask:
    right = np.array([_speeds(4, 1 / 4), _speeds(1 / 4, 4)])
    return ValueTask(
        name="q1.4",
        section="One axis for everything",
        title="one function, two speeds",
        hints=(
            "q1.descend(w1, w2, 1e-6, 2) gives the loss before the first and before "
            "the second step. Their difference is the drop.",
            "drop(4 * w1, w2 / 4) / drop(w1, w2) is the first answer, "
            "drop(w1 / 4, 4 * w2) / drop(w1, w2) the second.",
        ),
        expected=tuple(right),
        rtol=0.01,
        mistakes=(
            (
                (1, 1),
                "the losses before the step are the same, that was the plan; compare "
                "by how much the step lowers them",
            ),
            (tuple(right[::-1]), "the two answers have changed places"),
            (
                tuple(1 / right),
                "this is the plain network over the scaled one; turn it round",
            ),
            (
                tuple(np.sqrt(right)),
                "this is the length of the gradient; the drop goes with its square",
            ),
            (
                (_speeds(4, 1), _speeds(1 / 4, 1)),
                "w2 is not scaled: divide it by what w1 is multiplied with, else it "
                "is another function",
            ),
            (
                (_speeds(1, 1 / 4), _speeds(1, 4)),
                "w1 is not scaled: multiply it by what w2 is divided by, else it is "
                "another function",
            ),
        ),
        remedy=(
            "take the drop of the loss in the first step of rate 1e-6, and divide "
            "that of the scaled network by that of the plain one"
        ),
    )


# q1.5: three promises at once

SIZES = (3, 16, 16, 16, 16, 1)


def train(
    gains: Sequence[float],
    rate: float,
    seeds: Sequence[int] = range(5),
    steps: int = 300,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train the tanh network of the chapter with a gain of its own for each layer.

    Args:
        gains: of the four hidden layers and of the output layer, std · √fan_in.
        rate: learning rate of plain gradient descent.
        seeds: each has its own weights and its own data.
        steps: steps of training.

    Returns:
        The training losses before each step, (seeds, steps); the loss on 256 new
        samples after the last one, (seeds,); and the share of flat slopes in the
        hidden layers before training, (seeds,).
    """
    pairs = [tasks.smooth_regression(320, features=3, noise=0.3, seed=s) for s in seeds]
    x, y = (np.stack([pair[i] for pair in pairs]) for i in (0, 1))
    kernels = _draw(gains, seeds)
    biases = [np.zeros((len(pairs), 1, size)) for size in SIZES[1:]]
    hidden = _signals(kernels, biases, x[:, :64])[1:-1]
    flat = np.mean([(1 - h**2 < 1 / 20).mean(axis=(1, 2)) for h in hidden], axis=0)
    losses = np.empty((len(pairs), steps))
    with np.errstate(all="ignore"):  # a rate that is too large may explode
        for step in range(steps):
            losses[:, step] = _step(kernels, biases, x[:, :64], y[:, :64], rate)
        error = _signals(kernels, biases, x[:, 64:])[-1] - y[:, 64:]
        return losses, np.mean(error**2, axis=(1, 2)), flat


def _draw(gains: Sequence[float], seeds: Sequence[int]) -> list[np.ndarray]:
    generators = [np.random.default_rng(seed) for seed in seeds]
    return [
        np.stack([gain / math.sqrt(n) * rng.normal(size=(n, m)) for rng in generators])
        for gain, n, m in zip(gains, SIZES[:-1], SIZES[1:], strict=True)
    ]


def _signals(kernels: list, biases: list, x: np.ndarray) -> list[np.ndarray]:
    signals = [x]
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        signals.append(np.tanh(signals[-1] @ kernel + bias))
    return [*signals, signals[-1] @ kernels[-1] + biases[-1]]


def _step(
    kernels: list, biases: list, x: np.ndarray, y: np.ndarray, rate: float
) -> np.ndarray:
    """Make one step in place and return the losses before it, (seeds,)."""
    *signals, output = _signals(kernels, biases, x)
    delta = 2 * (output - y) / x.shape[1]
    for layer in reversed(range(len(kernels))):
        signal, kernel = signals[layer], kernels[layer]
        kernels[layer] = kernel - rate * signal.swapaxes(1, 2) @ delta
        biases[layer] = biases[layer] - rate * delta.sum(axis=1, keepdims=True)
        if layer:
            delta = delta @ kernel.swapaxes(1, 2) * (1 - signal**2)
    return np.mean((output - y) ** 2, axis=(1, 2))


MOST_FLAT = 0.01
GOAL = 0.1
GOAL_NEW = 0.55
_OTHER_SEEDS = range(5, 15)


def _promises(answer: Any) -> dict[str, Any]:
    """Return gains, rate and the three means of an answer (gains, rate)."""
    if isinstance(answer, list | tuple):
        answer = [a.tolist() if isinstance(a, np.ndarray) else a for a in answer]
    if wrong := misfit(answer, ((0.0,) * 5, 0.0), ("gains", "rate")):
        raise AnswerError(wrong)
    gains, rate = [float(gain) for gain in answer[0]], float(answer[1])
    if min(*gains, rate) <= 0:
        raise AnswerError("all five gains and the rate must be above 0")
    losses, new, flat = train(gains, rate, _OTHER_SEEDS)
    return {
        "gains": gains,
        "old": losses[:, -1].mean(),
        "new": new.mean(),
        "flat": flat.mean(),
    }


_PROMISES = MeasuredTask(
    name="q1.5",
    section="Promise 5: better on new data",
    title="three promises at once",
    hints=(
        "With one gain for all layers the promises pull in different directions. Does "
        "it matter which layer has the large gain?",
        "Keep the first layer small, below 1/2, so that the network starts smooth in "
        "its inputs, and give the layers behind it about √2. A rate near 0.06.",
    ),
    measure=_promises,
    diagnoses=(
        (
            lambda found: found["flat"] > MOST_FLAT,
            lambda found: (
                f"{100 * found['flat']:.1f} % of the slopes are flat before training, "
                f"{100 * MOST_FLAT:.0f} % are allowed: some gain is too large"
            ),
        ),
        (
            lambda found: not math.isfinite(found["old"]),
            "at least one of ten runs diverges: the rate is too large",
        ),
        (
            lambda found: (
                found["old"] < 2 * GOAL
                and not found["new"] < GOAL_NEW
                and found["gains"][0] > found["gains"][2]
            ),
            lambda found: (
                f"it fits its samples better than new ones, where the loss is "
                f"{found['new']:.2f}: the first layer has a larger gain than the "
                "third; try it the other way round"
            ),
        ),
        (
            lambda found: found["old"] >= GOAL,
            lambda found: (
                f"the training loss ends at {found['old']:.2f} and not below {GOAL}: "
                "the network is too slow; raise a gain or the rate"
            ),
        ),
        (
            lambda found: not found["new"] < GOAL_NEW,
            lambda found: (
                f"it fits its samples, but on new ones the loss is {found['new']:.2f} "
                f"and not below {GOAL_NEW}: make the first layer's gain smaller, or "
                "the rate"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (
    _flat_task(),
    _ARRIVAL,
    _REAL_UNITS,
    _speed_task(),
    _PROMISES,
)
