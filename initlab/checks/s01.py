"""The exercises on what initialization is: fans, schemes and honest histograms.

No network is trained here, numbers are only drawn and looked at. `suspects` is for the
notebook too; each task stands after what grades it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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
    describe,
)

TITLE = "s01 · What initialization is"

# s01.1: the formulas, asked the other way round

_INPUTS = 64
_RATIO = 3

_WIDEN = ValueTask(
    name="s01.1",
    section="What a scheme is",
    title="turn the formulas round",
    hints=(
        "Divide He's variance by Glorot's. fan_in = 64 is known, so what is left is an "
        "equation for fan_out.",
        "He's variance is 1 + fan_out / fan_in times Glorot's. A std that is three "
        "times as large has a variance that is nine times as large.",
    ),
    expected=(_RATIO**2 - 1) * _INPUTS,
    mistakes=(
        (
            (_RATIO - 1) * _INPUTS,
            "with so many units the variance is three times Glorot's; the std is its "
            "square root, so ask for nine times the variance",
        ),
        (
            _RATIO**2 * _INPUTS,
            "the ratio of the variances is 1 + fan_out / fan_in, and the 1 is missing",
        ),
        (
            (2 * _RATIO**2 - 1) * _INPUTS,
            "this is right for LeCun's 1/fan_in; He's variance is 2/fan_in",
        ),
        (
            _INPUTS / (_RATIO**2 - 1),
            "the fans have changed places: 64 is the number of inputs, fan_in",
        ),
        (
            (_RATIO**2 / 2 - 1) * _INPUTS,
            "this takes 1/(fan_in + fan_out) for Glorot's variance; it is "
            "2/(fan_in + fan_out), one over the mean of both fans",
        ),
    ),
    remedy="set √(2/64) equal to 3 · √(2/(64 + units)) and solve for units",
)


# s01.2: the density that a picture should show


def _density(numbers: Any, edges: Any) -> np.ndarray:
    return np.histogram(numbers, edges)[0] / (np.size(numbers) * np.diff(edges))


def _half_open(numbers: Any, edges: Any) -> np.ndarray:
    """Return the density without what lies exactly on the last edge."""
    return _density(np.where(numbers == edges[-1], np.inf, numbers), edges)


def _numbers(seed: int, count: int, std: float, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(seed).normal(0.1, std, size=count).astype(dtype)


_UNEQUAL = np.array([-4.0, -2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 4.0])

_HEIGHTS = FunctionTask(
    name="s01.2",
    section="What is wrong with the picture",
    title="from counts to a density",
    hints=(
        "A density times the width of its bin is a share of all numbers. Divide the "
        "counts by two things.",
        "np.histogram(numbers, edges)[0] counts, np.diff(edges) has the widths. "
        "density=True will not do: it forgets the numbers outside the edges.",
    ),
    reference=_density,
    cases=(
        Case("bins of different widths", (_numbers(0, 600, 0.8), _UNEQUAL)),
        Case(
            "a close-up that misses many numbers",
            (_numbers(1, 900, 1.0), np.linspace(-0.5, 0.5, 11)),
        ),
        Case("a single bin", (np.array([1.0, 2.0, 7.0]), np.array([0.0, 4.0]))),
        Case(
            "a number on the last edge",
            (np.array([0.0, 0.5, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])),
        ),
        Case(
            "float32 numbers",
            (_numbers(2, 300, 0.2, "float32"), np.array([-0.3, 0.0, 0.1])),
        ),
    ),
    mistakes=(
        (
            lambda numbers, edges: np.histogram(numbers, edges)[0],
            "these are counts: divide them by the number of values and the bin widths",
        ),
        (
            lambda numbers, edges: np.histogram(numbers, edges)[0] / np.size(numbers),
            "these are the bins' shares: divide each by the width of its bin as well",
        ),
        (
            lambda numbers, edges: _density(numbers, edges) * np.size(numbers),
            "these are counts per width: divide by the number of values as well",
        ),
        (
            lambda numbers, edges: np.histogram(numbers, edges, density=True)[0],
            "you divide by the numbers inside the edges only: those outside belong to "
            "the distribution too, so divide by all",
        ),
        (
            lambda numbers, edges: (
                np.histogram(numbers, edges)[0]
                / np.size(numbers)
                / (edges[1] - edges[0])
            ),
            "you take the width of the first bin for all: each bin has its own, see "
            "np.diff(edges)",
        ),
        (
            lambda numbers, edges: (
                np.histogram(numbers, edges)[0]
                / np.size(numbers)
                / ((edges[-1] - edges[0]) / (len(edges) - 1))
            ),
            "you take the mean width for all bins: each bin has its own, see "
            "np.diff(edges)",
        ),
        (
            _half_open,
            "a number on the very last edge is lost: as in numpy it belongs to the "
            "last bin",
        ),
    ),
)


# s01.3: from the numbers back to the rule

_WITHIN = 0.05


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    taps = math.prod(shape[:-2])
    return taps * shape[-2], taps * shape[-1]


def _stds(fan_in: int, fan_out: int) -> dict[str, float]:
    return {
        "LeCun": math.sqrt(1 / fan_in),
        "Glorot": math.sqrt(2 / (fan_in + fan_out)),
        "He": math.sqrt(2 / fan_in),
    }


def _authors(
    kernel: Any,
    fans: Callable[[Any], tuple[int, int]] = _fans,
    stds: Callable[[int, int], dict[str, float]] = _stds,
    measure: Callable[[Any], Any] = np.std,
) -> set[str]:
    found = measure(kernel)
    rules = stds(*fans(kernel.shape))
    return {name for name, std in rules.items() if abs(found / std - 1) < _WITHIN}


def _nearest(kernel: Any) -> set[str]:
    if not kernel.any():
        return set()
    rules = _stds(*_fans(kernel.shape))
    return {min(rules, key=lambda name: abs(np.std(kernel) - rules[name]))}


def _drawn(
    scheme: str, shape: tuple[int, ...], mean: float = 0, dtype: str = "float64"
) -> tuple[np.ndarray]:
    """Return a kernel in a tuple, as the arguments of a case."""
    kind = "dense" if len(shape) == 2 else "conv"
    rng = np.random.default_rng(7)
    kernel = schemes.get(scheme).sample(shape, rng, kind=kind)
    return (np.asarray(kernel + mean, dtype=dtype),)


_WHOSE = FunctionTask(
    name="s01.3",
    section="The std against fan_in",
    title="whose kernel is it?",
    hints=(
        "The last two axes are inputs and units; axes before them are taps, and every "
        "tap counts in both fans. Compute the three stds, then compare.",
        "fan_in = taps * shape[-2], fan_out = taps * shape[-1]. Keep every name whose "
        "abs(kernel.std() / std - 1) is below 0.05: there may be two, or none.",
    ),
    reference=_authors,
    cases=(
        Case("a layer that widens", _drawn("glorot_normal", (100, 400))),
        Case("a uniform kernel", _drawn("he_uniform", (300, 200))),
        Case("a square kernel", _drawn("lecun_normal", (256, 256))),
        Case("a layer that narrows a lot", _drawn("he_normal", (2000, 20))),
        Case("a layer of one unit", _drawn("glorot_uniform", (9000, 1))),
        Case("a convolution", _drawn("he_normal", (3, 3, 16, 64))),
        Case(
            "a convolution in float32",
            _drawn("glorot_uniform", (5, 5, 8, 32), dtype="float32"),
        ),
        Case("weights about 0.05", _drawn("lecun_uniform", (200, 300), mean=0.05)),
        Case("a kernel of zeros", (np.zeros((30, 40)),)),
    ),
    mistakes=(
        (
            lambda kernel: _authors(kernel, fans=lambda shape: _fans(shape)[::-1]),
            "fan_out where LeCun and He use fan_in: the inputs are the axis before the "
            "last",
        ),
        (
            lambda kernel: _authors(kernel, fans=lambda shape: shape[-2:]),
            "dense kernels are right, but in a convolution every tap counts: multiply "
            "both fans by the taps",
        ),
        (
            lambda kernel: _authors(
                kernel,
                stds=lambda fan_in, fan_out: {
                    **_stds(fan_in, fan_out),
                    "He": math.sqrt(1 / fan_in),
                },
            ),
            "the ReLU's ½ is missing: He's variance is 2/fan_in, LeCun's is 1/fan_in",
        ),
        (
            lambda kernel: _authors(
                kernel,
                stds=lambda fan_in, fan_out: {
                    **_stds(fan_in, fan_out),
                    "Glorot": math.sqrt(1 / (fan_in + fan_out)),
                },
            ),
            "Glorot divides by the mean of both fans, you by their sum: his variance "
            "is 2/(fan_in + fan_out)",
        ),
        (
            lambda kernel: _authors(
                kernel, measure=lambda numbers: np.sqrt(np.mean(numbers**2))
            ),
            "you compare the rms: a kernel whose mean is not zero has a smaller std, "
            "and the std is asked for",
        ),
        (
            _nearest,
            "you give the nearest rule only: on some shapes two rules agree, so keep "
            "each one within 5 %",
        ),
        (
            lambda kernel: set(),
            "no rule ever fits: compare std with std, the square root of each rule's "
            "variance with kernel.std()",
        ),
    ),
)


# s01.4: same std, other luck


def _kurtosis_of_cut_normal(cut: float = 2.0) -> float:
    """Return E z⁴ / (E z²)² of a normal whose tails are cut off at ``cut`` sigma."""
    edge = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    edge /= math.erf(cut / math.sqrt(2)) / 2  # per kept side
    square = 1 - cut * edge
    return (3 * square - cut**3 * edge) / square**2


_NORMAL, _UNIFORM = 3.0, 9 / 5  # kurtosis, E w⁴ / (E w²)²
# The std of n numbers scatters by √((kurtosis − 1) / 4n) of itself.
_LUCK = math.sqrt((_NORMAL - 1) / (_UNIFORM - 1))

_SCATTER = ValueTask(
    name="s01.4",
    section="Try it",
    title="same std, other luck",
    hints=(
        "Draw an array of shape (4000, 16, 16), so that axes 1 and 2 are one kernel. "
        "You need the std of each kernel, then the std of these 4000 stds.",
        "rng.normal(0, 0.25, size) and rng.uniform(-limit, limit, size) with limit = "
        "0.25 * np.sqrt(3) have the same std. Divide scatter by scatter.",
    ),
    expected=_LUCK,
    rtol=0.08,  # five standard errors with 4000 kernels, 1.6 % of the ratio
    mistakes=(
        (
            _LUCK**2,
            "this is the ratio of the variances of the two scatters; the std is the "
            "square root",
        ),
        (1 / _LUCK, "this is uniform over normal; the question is the other way round"),
        (1 / _LUCK**2, "this is uniform over normal, and of the variances"),
        (
            1,
            "both scatter alike, so both kernels come from the same distribution; draw "
            "one with rng.normal and the other with rng.uniform",
        ),
        (
            math.sqrt((_kurtosis_of_cut_normal() - 1) / (_UNIFORM - 1)),
            "this is the normal whose tails are cut off, as in Keras and in he_normal; "
            "take a plain one, rng.normal",
        ),
        (
            _LUCK * math.sqrt(3),
            "the std was taken for the limit of the uniform numbers: the limit is √3 "
            "times as large, or the two do not have the same std",
        ),
    ),
    remedy=(
        "take the std of each of 4000 kernels, then the std over these 4000 numbers, "
        "for both distributions, and divide"
    ),
)


# s01.5: eight layers, one wish, several slips

SLIPS = ("right", "fan_out", "taps", "half", "limit", "tails", "variance")
"""What a kernel of `suspects` can be, in the words of the answer."""

_SHAPES = {
    "conv_1": (3, 3, 16, 32),
    "conv_2": (3, 3, 32, 64),
    "dense_1": (1024, 256),
    "dense_2": (256, 160),
    "dense_3": (160, 400),
    "dense_4": (400, 100),
    "dense_5": (100, 50),
    "dense_6": (50, 200),
}
_TRUTH = {
    "conv_1": "taps",
    "conv_2": "right",
    "dense_1": "tails",
    "dense_2": "limit",
    "dense_3": "fan_out",
    "dense_4": "half",
    "dense_5": "variance",
    "dense_6": "right",
}


def _std_with(slip: str, shape: tuple[int, ...]) -> float:
    """Return the std of a kernel of that shape that was meant to be He's."""
    fan_in, fan_out = _fans(shape)
    right = math.sqrt(2 / fan_in)
    return {
        "right": right,
        "fan_out": math.sqrt(2 / fan_out),
        "taps": math.sqrt(2 / shape[-2]),
        "half": math.sqrt(1 / fan_in),
        "limit": right / math.sqrt(3),
        "tails": schemes.truncated_normal(right).std((1, 1)),
        "variance": 2 / fan_in,
    }[slip]


def suspects() -> dict[str, np.ndarray]:
    """Return the kernels of eight layers that were all meant to be He's, by layer.

    Several have a slip in them; `SLIPS` has the words for it.
    """
    rng = np.random.default_rng(11)
    kernels = {}
    for layer, shape in _SHAPES.items():
        slip = _TRUTH[layer]
        std = _std_with(slip, shape)
        if slip == "limit":
            rule = schemes.random_uniform(std * math.sqrt(3))
        else:
            kept = schemes.truncated_normal(1.0).std((1, 1))
            rule = schemes.truncated_normal(std / kept)
        kernels[layer] = rule.sample((math.prod(shape), 1), rng).reshape(shape)
    return kernels


def _read_findings(answer: Any) -> dict[str, str]:
    if not isinstance(answer, Mapping):
        raise AnswerError(f"a dict is asked for, this is {describe(answer)}")
    if lost := [layer for layer in _SHAPES if layer not in answer]:
        raise AnswerError(f"the dict lacks {', '.join(lost)}")
    for layer in _SHAPES:
        if answer[layer] not in SLIPS:
            raise AnswerError(
                f"{layer} is {describe(answer[layer])}; the words are "
                f"{', '.join(SLIPS)}"
            )
    return {layer: answer[layer] for layer in _SHAPES}


def _wrong_layers(findings: dict[str, str]) -> list[str]:
    return [layer for layer in _SHAPES if findings[layer] != _TRUTH[layer]]


def _first_wrong(findings: dict[str, str]) -> str:
    wrong = _wrong_layers(findings)
    layer = wrong[0]
    claimed = _std_with(findings[layer], _SHAPES[layer])
    return (
        f"{len(wrong)} of {len(_SHAPES)} layers are not explained yet. {layer} is "
        f'called "{findings[layer]}", which would give a std of {claimed:.3g}; its '
        f"kernel has {suspects()[layer].std():.3g}"
    )


_DETECTIVE = MeasuredTask(
    name="s01.5",
    section="The same from Keras",
    title="find the slips",
    hints=(
        "For each layer compute the std that each word would give, and compare with "
        "kernel.std(). The right word is within 2 %, the next one is 8 % off or more.",
        "With he = np.sqrt(2 / fan_in): fan_out and taps change the number under the "
        "root, half makes he / √2, limit he / √3, tails 0.8796 he, variance he². Take "
        "the one nearest to kernel.std().",
    ),
    measure=_read_findings,
    diagnoses=(
        (
            lambda findings: set(findings.values()) == {"right"},
            "not all of them are right: compare each kernel's std with √(2 / fan_in)",
        ),
        (
            lambda findings: findings["conv_1"] == "right",
            "conv_1 looks right only while its taps are not counted: fan_in is 3 · 3 · "
            "16",
        ),
        (
            lambda findings: findings["conv_2"] != "right",
            "conv_2 is right: its fan_in is 3 · 3 · 32, for every tap counts",
        ),
        (
            lambda findings: findings["dense_2"] == "tails",
            "dense_2 has no tails, but for another reason: look at its largest weight "
            "over its std, which is √3 for uniform numbers",
        ),
        (lambda findings: bool(_wrong_layers(findings)), _first_wrong),
    ),
)

TASKS: tuple[Task, ...] = (_WIDEN, _HEIGHTS, _WHOSE, _SCATTER, _DETECTIVE)
