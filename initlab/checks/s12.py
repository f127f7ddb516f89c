"""The exercises on practical tips: pairs, sigmoids, lucky winners, a budget of runs.

How many seeds a difference needs, what a sigmoid must change to be a tanh, how much
better the best of many looks, and an experiment of your own on simulated races. `World`
is for the notebook too; each task stands after what grades it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from initlab.checks.core import (
    AnswerError,
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    Unanswered,
    ValueTask,
    call,
    describe,
    is_blank,
)

TITLE = "s12 · Practical tips"

# s12.1: how many seeds

EFFECT, PAIR_STD = 0.05, 0.1
_TWO_SIDED, _ONE_SIDED, _POWER = 1.959964, 1.644854, 0.841621


def _seeds(
    quantile: float = _TWO_SIDED, power: float = _POWER, times: float = 1
) -> int:
    return math.ceil(times * ((quantile + power) * PAIR_STD / EFFECT) ** 2)


_MANY = ValueTask(
    name="s12.1",
    section="Tip 5: experiment, and compare",
    title="how many seeds?",
    hints=(
        "The mean of n differences has the standard error 0.1/√n. Its interval misses "
        "zero if the mean is more than 1.96 of them away.",
        "The mean itself scatters. It is far enough away in 80 % of all experiments if "
        "the true difference is 1.96 + 0.84 standard errors: solve for n, round up.",
    ),
    expected=_seeds(),
    mistakes=(
        (
            _seeds(power=0.0),
            "with so many seeds half of all experiments miss it: add the 0.84 that "
            "leaves 80 % of the means far enough from zero",
        ),
        (
            _seeds(quantile=_ONE_SIDED),
            "1.645 is for one side; an interval of 95 % has two, 1.96",
        ),
        (
            _seeds(times=2),
            "0.1 is already the standard deviation of the differences; the factor 2 "
            "belongs to two groups without pairs",
        ),
        (
            math.ceil((_TWO_SIDED + _POWER) * PAIR_STD / EFFECT),
            "the square is missing: the standard error falls with the root of n",
        ),
        (
            _seeds() - 1,
            "round up: with one seed less it is a little below 80 %",
        ),
        (5, "five seeds show a difference of this size in one experiment of five"),
    ),
    remedy="solve 0.05 = (1.96 + 0.84) · 0.1/√n for n, and round up",
)


# s12.2: a tanh made of sigmoids


def _to_sigmoid(
    kernel: Any, bias: Any, scale: float = 4, shift: float = -2, axis: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias of a sigmoid layer between sigmoid layers."""
    return scale * kernel, 2 * bias + shift * kernel.sum(axis=axis)


def _layer(
    seed: int, inputs: int, units: int, dtype: str = "float64"
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(inputs, units)) / math.sqrt(inputs)
    return kernel.astype(dtype), (rng.normal(size=units) + 0.3).astype(dtype)


_SIGMOID = FunctionTask(
    name="s12.2",
    section="Tip 2: tanh or sigmoid, take Glorot",
    title="a tanh made of sigmoids",
    hints=(
        "tanh(u) = 2 sigmoid(2u) − 1. So the sigmoid units need twice the "
        "pre-activation, and what comes in is s with tanh = 2s − 1.",
        "2(W(2s − 1) + b) = 4 W s + 2b − 2 W·1: the kernel is 4 W, and from 2b goes "
        "twice the sum of the unit's weights, W.sum(axis=0).",
    ),
    reference=_to_sigmoid,
    cases=(
        Case("a layer of 6 inputs and 4 units", _layer(0, 6, 4)),
        Case("a square layer", _layer(1, 5, 5)),
        Case("a single unit", _layer(2, 3, 1)),
        Case("a single input", _layer(3, 1, 4)),
        Case("no units", _layer(4, 3, 0)),
        Case("float32 numbers", _layer(5, 6, 4, "float32")),
    ),
    parts=("kernel", "bias"),
    mistakes=(
        (
            lambda kernel, bias: (2 * kernel, 2 * bias),
            "this is right for the first layer, whose inputs are no sigmoids: further "
            "up what comes in is s, and tanh is 2s − 1",
        ),
        (
            lambda kernel, bias: _to_sigmoid(kernel, bias, scale=2),
            "the kernel needs the factor 4: 2 for the pre-activation, and 2 because s "
            "moves half as far as tanh",
        ),
        (
            lambda kernel, bias: _to_sigmoid(kernel, bias, shift=0),
            "the −1 of tanh = 2s − 1 is forgotten: it takes twice the sum of the "
            "unit's weights off the bias",
        ),
        (
            lambda kernel, bias: _to_sigmoid(kernel, bias, shift=2),
            "the sum of the weights is taken off the bias, not added",
        ),
        (
            lambda kernel, bias: _to_sigmoid(kernel, bias, shift=-1),
            "half of the shift is missing: the pre-activation is doubled, and so is "
            "what the −1 brings",
        ),
        (
            lambda kernel, bias: (
                4 * kernel,
                bias - 2 * kernel.sum(axis=0),
            ),
            "the bias is not doubled: the whole pre-activation is",
        ),
    ),
)


# s12.3: the winner's curse


def _best_of(count: int) -> float:
    """Return the expected largest of ``count`` standard normal numbers."""
    z = np.linspace(-9, 9, 20_001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    below = np.cumsum(density) * (z[1] - z[0])
    return float(np.sum(z * count * density * below ** (count - 1)) * (z[1] - z[0]))


RATES_OF = {"ours": 8, "theirs": 3}
SEEDS = 5
_CURSE = _best_of(RATES_OF["ours"]) - _best_of(RATES_OF["theirs"])

_WINNER = ValueTask(
    name="s12.3",
    section="Tip 5: experiment, and compare",
    title="the lucky winner",
    hints=(
        "No rate is better than another, so every loss is the same number plus noise. "
        "Draw an array (experiments, rates, seeds) for each start.",
        "losses.mean(axis=2).min(axis=1) is what one experiment reports. Take the mean "
        "over many of theirs (3 rates) minus that of ours (8 rates).",
    ),
    expected=_CURSE / math.sqrt(SEEDS),
    rtol=0.05,
    mistakes=(
        (
            _CURSE,
            "this is for one seed per rate; the mean of five scatters less, by √5",
        ),
        (
            _CURSE / SEEDS,
            "a mean of five seeds has a fifth of the variance; its std falls by √5",
        ),
        (
            -_CURSE / math.sqrt(SEEDS),
            "the sign is turned round: eight rates find the lower loss",
        ),
        (
            _best_of(RATES_OF["ours"]) / math.sqrt(SEEDS),
            "this is how far the best of eight lies below the truth; the best of three "
            "is lucky as well, take the difference",
        ),
        (
            0.0,
            "on average all rates are equal, but what is reported is the best of them",
        ),
    ),
    remedy="simulate it: 20,000 experiments, the mean over seeds, the best over rates",
)


# s12.4: a budget of runs

RATES, BUDGET = 4, 56
GOAL = 0.9
_WORLDS = 300


class World:
    """A simulated race of two starts at four rates; every world has its own truth.

    ``world.run(start, rate, seed)`` returns a final loss. ``start`` is 0 or 1, ``rate``
    0 to 3. Each start has a best rate of its own, and one start is truly better by 0.1
    at its best. A seed brings a luck that both starts share at every rate, of standard
    deviation 0.3, and each run one of its own, of 0.1.
    """

    def __init__(self, number: int, budget: int = BUDGET) -> None:
        """Make the world of that number."""
        rng = np.random.default_rng([number, 12])
        self.better = int(rng.integers(2))
        self._best_rate = rng.integers(RATES, size=2)
        self._noise = rng.normal(size=(2, RATES, budget)) * 0.1
        self._number = number
        self._budget = budget
        self._luck: dict[int, float] = {}
        self.asked: list[tuple[int, int, int]] = []

    def run(self, start: int, rate: int, seed: int) -> float:
        """Train one network; each asked for again is a new run of the budget.

        Raises:
            ValueError: if there is no such start or rate, or no run left.
        """
        if start not in (0, 1) or rate not in range(RATES):
            raise ValueError(
                f"start is 0 or 1 and rate 0 to {RATES - 1}, got {start} and {rate}"
            )
        if len(self.asked) == self._budget:
            raise ValueError(f"the budget of {self._budget} runs is used up")
        seed = int(seed)
        if seed not in self._luck:
            rng = np.random.default_rng([self._number, 13, seed % 2**32])
            self._luck[seed] = 0.3 * rng.normal()
        self.asked.append((int(start), int(rate), seed))
        away = 0.15 * abs(int(rate) - int(self._best_rate[start]))
        noise = self._noise[start, rate, len(self.asked) - 1]
        return 1.0 + away - 0.1 * (start == self.better) + self._luck[seed] + noise


class _Trial(NamedTuple):
    right: float
    rates: int
    seeds: int
    shared: float


def share_right(decide: Callable[..., Any], worlds: int = _WORLDS) -> float:
    """Return in what share of ``worlds`` ``decide(run)`` names the better start."""
    return _try(decide, range(worlds)).right


def _try(decide: Any, numbers: range) -> _Trial:
    right, rates, seeds, shared = [], [], [], []
    for number in numbers:
        world = World(number)
        answer = call(decide, (world.run,), copied=False)
        if is_blank(answer):
            raise Unanswered
        if isinstance(answer, bool) or answer not in (0, 1):
            raise AnswerError(
                f"decide returns {describe(answer)}; return 0 or 1, the better start"
            )
        right.append(int(answer) == world.better)
        rates.append(len({(start, rate) for start, rate, _ in world.asked}))
        of = [{s for start, _, s in world.asked if start == which} for which in (0, 1)]
        seeds.append(len(of[0] | of[1]))
        shared.append(len(of[0] & of[1]) / max(1, len(of[0] | of[1])))
    return _Trial(*(float(np.mean(part)) for part in (right, rates, seeds, shared)))


def _measure(answer: Any) -> _Trial:
    return _try(answer, range(1000, 1000 + _WORLDS))


def _short(trial: _Trial) -> str:
    return f"it is right in {100 * trial.right:.0f} % of {_WORLDS} worlds"


_DECIDE = MeasuredTask(
    name="s12.4",
    section="Tip 5: experiment, and compare",
    title="a budget of 56 runs",
    hints=(
        "Four rates for two starts leave seven seeds. The luck of a seed is three "
        "times as large as that of a run: what makes it drop out?",
        "Use the same seeds for both starts and all rates. Then compare each start's "
        "mean at its best rate.",
    ),
    measure=_measure,
    diagnoses=(
        (
            lambda trial: trial.right < GOAL and trial.rates < 5,
            lambda trial: (
                f"{_short(trial)}: one learning rate for each start measures how well "
                "the rate suits it; try all four"
            ),
        ),
        (
            lambda trial: trial.right < GOAL and trial.seeds < 2,
            lambda trial: (
                f"{_short(trial)}: one seed cannot tell the starts' difference from a "
                "run's own luck"
            ),
        ),
        (
            lambda trial: trial.right < GOAL and trial.shared < 0.5,
            lambda trial: (
                f"{_short(trial)}: the two starts see different seeds, and the luck of "
                "a seed is larger than their difference; give both the same seeds"
            ),
        ),
        (
            lambda trial: trial.right < GOAL,
            lambda trial: (
                f"{_short(trial)}, asked for are {100 * GOAL:.0f} %: compare means "
                "over the same seeds, each start at its best rate"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (_MANY, _SIGMOID, _WINNER, _DECIDE)
