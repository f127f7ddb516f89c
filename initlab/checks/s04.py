"""The exercises on random initialization with one fixed std.

First what a start costs on noise, then the widths that one std can serve, a wrong
gradient that homogeneity finds, and the right std of a black box from two looks at it.
`gradients` and `box` are for the notebook too; each task stands after what grades it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from initlab import schemes
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
)

TITLE = "s04 · Random initialization"


# s04.1: what a start costs on noise

_SHAPES = ((5, 10), (10, 1))
_RULES = ("random_normal", "glorot_normal", "he_normal")


def _charges(kept: float = 0.5, rules: tuple[str, ...] = _RULES) -> tuple:
    """Return E out² of the slide's network; its ReLU layer keeps the share `kept`."""
    stds = [[schemes.get(rule).std(shape) for shape in _SHAPES] for rule in rules]
    return tuple(
        kept * _SHAPES[0][0] * first**2 * _SHAPES[1][0] * second**2
        for first, second in stds
    )


_CHARGE = ValueTask(
    name="s04.1",
    section="The slide's experiment",
    title="what noise charges",
    hints=(
        "A target that is independent of the output and has mean 0 gives E(output − "
        "y)² = E output² + E y². The dead network pays the second term alone.",
        "Go through the layers with second moments: 5 · std² into the ReLU, half of it "
        "out, then 10 · std². Glorot's variance is 2/15 in one kernel and 2/11 in the "
        "other.",
    ),
    expected=_charges(),
    rtol=0.01,
    mistakes=(
        (
            _charges(1.0),
            "the ReLU's ½ is missing: it cuts off half of the second moment",
        ),
        (
            _charges(0.25),
            "the ½ is taken twice; only the hidden layer has a ReLU, the output is "
            "linear",
        ),
        (
            tuple(math.sqrt(charge) for charge in _charges()),
            "this is the rms of the output; the loss is made of squares, so leave the "
            "root out",
        ),
        (
            _charges(0.5 - 1 / (2 * math.pi)),
            "this hands on the variance of the ReLU's outputs; the next layer gets "
            "their second moment, the squared mean included",
        ),
        (
            tuple(1 + charge for charge in _charges()),
            "these are the first losses; take away the dead network's, which is 1",
        ),
        (
            _charges(rules=("random_normal", "lecun_normal", "he_normal")),
            "the second number uses LeCun's 1/fan_in; Glorot's variance is 2/(fan_in "
            "+ fan_out)",
        ),
    ),
    remedy="multiply the second moments: 5 · std² · ½ · 10 · std² with each rule's std",
)


# s04.2: the widths that one std can serve


def _served(
    std: float,
    depth: int,
    factor: float,
    leak: float,
    gain: float = 2.0,
    power: float = 2.0,
) -> tuple[float, float]:
    """Return the ends of the tolerated widths, not yet whole."""
    exact = gain / ((1 + float(leak) ** 2) * float(std) ** 2)
    return exact * factor ** (-power / depth), exact * factor ** (power / depth)


def _whole(ends: tuple[float, float]) -> tuple[int, int]:
    return math.ceil(ends[0]), math.floor(ends[1])


def _widths(std: float, depth: int, factor: float, leak: float) -> tuple[int, int]:
    return _whole(_served(std, depth, factor, leak))


_SERVED = FunctionTask(
    name="s04.2",
    section="How many layers a wrong scale survives",
    title="the widths that one std serves",
    hints=(
        "A leaky layer keeps (1 + leak²)/2 of the second moment. So the rms is "
        "multiplied by std · √(n (1 + leak²)/2) in each layer: solve for n.",
        "After all layers the rms may be off by the factor, so per layer by "
        "factor ** (1 / depth), and n, which stands under the root, by its square. "
        "Round the lower end up and the upper end down.",
    ),
    reference=_widths,
    cases=(
        Case("std 0.052, ten ReLU layers", (0.052, 10, 10.0, 0.0)),
        Case("std 0.06, two ReLU layers", (0.06, 2, 10.0, 0.0)),
        Case("std 0.03, fifty layers, leak 0.2", (0.03, 50, 10.0, 0.2)),
        Case("linear layers (leak 1)", (0.11, 12, 5.0, 1.0)),
        Case("absolute values (leak −1)", (0.12, 7, 4.0, -1.0)),
        Case("a single layer", (0.9, 1, 3.0, 0.0)),
        Case("two hundred layers", (0.2, 200, 10.0, 0.01)),
        Case("float32 numbers", (np.float32(0.07), 6, np.float32(2.0), 0.5)),
    ),
    parts=("smallest", "largest"),
    rtol=1e-9,
    mistakes=(
        (
            lambda *a: _whole(_served(*a, gain=1.0)),
            "the ReLU's ½ is missing: without a leak the exact width is 2/std²",
        ),
        (
            lambda *a: _whole(_served(*a, power=1.0)),
            "a square is missing: the rms goes with the root of the width, so a factor "
            "of the rms is its square in the width",
        ),
        (
            lambda *a: _whole(_served(*a, power=0.5)),
            "the root goes the wrong way: the rms goes with the root of the width, so "
            "its factor is to be squared for the width",
        ),
        (
            lambda std, depth, factor, leak: _widths(std, 1, factor, leak),
            "this is the window of one layer; the factor is shared among all layers, "
            "so take its depth-th root",
        ),
        (
            lambda std, depth, factor, leak: _widths(std, depth, factor, 0.0),
            "the leak is not used: a leaky layer keeps (1 + leak²)/2 of the second "
            "moment",
        ),
        (
            lambda std, depth, factor, leak: _widths(
                std, depth, factor, math.copysign(math.sqrt(abs(leak)), leak)
            ),
            "the leak is not squared: it multiplies z, so its square multiplies z²",
        ),
        (
            lambda std, *a: _widths(math.sqrt(std), *a),
            "std is used as if it were the variance: square it",
        ),
        (
            lambda *a: tuple(round(end) for end in _served(*a)),
            "the ends are rounded to the nearest width, which may lie just outside: "
            "round the smaller up and the larger down",
        ),
        (
            lambda *a: (math.floor(_served(*a)[0]), math.ceil(_served(*a)[1])),
            "both ends lie just outside: round the smaller up and the larger down",
        ),
        (
            lambda *a: tuple(int(end) for end in _served(*a)),
            "int() rounds both ends down, so the smaller width lies just outside: "
            "round that one up",
        ),
        (_served, "a width is a whole number: round the smaller up, the larger down"),
        (
            lambda *a: _widths(*a)[::-1],
            "the two are turned round: the smaller width comes first",
        ),
    ),
)


# s04.3: a gradient that is wrong

_WRONG_LAYER = 7


def _true_gradients() -> tuple[list[np.ndarray], list[np.ndarray], float]:
    rng = np.random.default_rng(4)
    widths = [30] * 11 + [1]
    shapes = list(zip(widths[:-1], widths[1:], strict=True))
    kernels = [rng.normal(size=shape) * math.sqrt(2 / shape[0]) for shape in shapes]
    signals = [rng.normal(size=(64, 30))]
    for kernel in kernels[:-1]:
        signals.append(np.maximum(signals[-1] @ kernel, 0))
    output = signals[-1] @ kernels[-1]
    delta = 2 * (output - rng.normal(size=output.shape)) / len(output)
    shared = float(np.sum(output * delta))
    found: list[np.ndarray] = []
    for kernel, signal in zip(reversed(kernels), reversed(signals), strict=True):
        found.insert(0, signal.T @ delta)
        delta = (delta @ kernel.T) * (signal > 0)
    return kernels, found, shared


def gradients() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the kernels of a ReLU network and what is said to be their gradients.

    Ten hidden layers of 30 units without biases, a linear output, the mean squared
    error; in one layer the gradient is wrong.

    Returns:
        Two lists of eleven arrays, ten of shape (30, 30) and one of (30, 1).
    """
    kernels, found, _ = _true_gradients()
    found[_WRONG_LAYER - 1] = found[_WRONG_LAYER - 1].T.copy()
    return kernels, found


def _gradient_task() -> ValueTask:
    kernels, found = gradients()
    sums = [float(np.sum(w * g)) for w, g in zip(kernels, found, strict=True)]
    shared = _true_gradients()[2]
    return ValueTask(
        name="s04.3",
        section="The map",
        title="find the wrong gradient",
        hints=(
            "Multiply one kernel by 1 + t, and the output is multiplied by 1 + t, "
            "whichever kernel it was. So the loss changes alike: what is its slope in "
            "t, in terms of that kernel and its gradient?",
            "The slope is np.sum(kernel * gradient), and it must be one number for all "
            "eleven kernels. Print the eleven sums.",
        ),
        expected=(_WRONG_LAYER, shared),
        rtol=1e-3,
        mistakes=(
            (
                (_WRONG_LAYER - 1, shared),
                "the place is counted from 0; layers count from 1",
            ),
            (
                (_WRONG_LAYER, sums[_WRONG_LAYER - 1]),
                "the layer is right, but the number is its own; the one that the ten "
                "others share is asked for",
            ),
            (
                (_WRONG_LAYER, shared / 900),
                "the number is a mean of 900 products; the kernels differ in size, so "
                "only their sum is shared by all",
            ),
            (
                (_WRONG_LAYER, -shared),
                "the layer is right, but the sign of the number is turned round: this "
                "is the slope of the descent; take kernel times gradient as they are",
            ),
            (
                (11, shared),
                "the last kernel is smaller than the others, not wrong: its sum agrees "
                "with theirs",
            ),
        ),
        remedy=(
            "compute np.sum(kernel * gradient) for each of the eleven kernels; ten "
            "sums agree"
        ),
    )


# s04.4: the right std of a black box

LOOKS = 2
_BOXES = 6


def box(seed: int) -> Callable[[float], float]:
    """Return a function of the std: the rms that a hidden network ends with.

    A stack of leaky ReLU layers, from 3 to 30 of them, from 10 to 300 units wide. Its
    inputs have rms 1, and only the std of its kernels can be changed from outside. It
    computes in float32, so an rms above about 1e19 or below 1e-22 is inf or 0.
    """
    rng = np.random.default_rng([4, seed])
    layers = int(rng.integers(3, 31))
    widths = rng.integers(10, 301, size=layers + 1)
    leak = rng.uniform(0.01, 0.5)
    kernels = [
        rng.standard_normal((n, m), dtype=np.float32)
        for n, m in zip(widths[:-1], widths[1:], strict=True)
    ]
    inputs = rng.standard_normal((10, widths[0]))
    inputs /= math.sqrt(np.mean(inputs**2))

    def run(std: float) -> float:
        h = inputs.astype(np.float32)
        with np.errstate(all="ignore"):
            for kernel in kernels:
                z = h @ (np.float32(std) * kernel)
                h = np.maximum(z, np.float32(leak) * z)
            return float(np.sqrt(np.mean(h * h)))

    return run


def _watched(seed: int, find: Any) -> dict[str, Any]:
    """Run the student's function on one box; note what it asked and what comes out."""
    run, asked = box(seed), []

    def looked(std: float) -> float:
        rms = run(std)
        asked.append((float(std), rms))
        return rms

    answer = call(find, (looked,), f"box {seed}")
    if is_blank(answer):
        raise Unanswered
    if wrong := misfit(answer, 0.0):
        raise AnswerError(f"for box {seed}: {wrong}{_lost(asked)}")
    return {"seed": seed, "asked": asked, "std": float(answer), "end": run(answer)}


def _lost(asked: list[tuple[float, float]]) -> str:
    out = [std for std, rms in asked if not 0 < rms < math.inf]
    if not out:
        return ""
    return f"; at std {out[0]:.3g} its rms leaves the range of float32: look nearer by"


def _look(find: Any) -> dict[str, Any]:
    """Return the first box that goes wrong, or else the last."""
    for seed in range(_BOXES):
        found = _watched(seed, find)
        if len(found["asked"]) > LOOKS or not agree(found["end"], 1.0, 0.01):
            break
    return found


def _off(found: dict[str, Any]) -> bool:
    return not agree(found["end"], 1.0, 0.01)


def _from(found: dict[str, Any], formula: Callable[..., float]) -> bool:
    """Tell whether the std is what ``formula(std, rms, layers)`` makes of a look."""
    if not _off(found) or len(found["asked"]) < 1:
        return False
    layers = int(np.random.default_rng([4, found["seed"]]).integers(3, 31))
    return any(
        0 < rms < math.inf and agree(found["std"], formula(std, rms, layers), 1e-3)
        for std, rms in found["asked"]
    )


def _end_message(found: dict[str, Any]) -> str:
    return (
        f"for box {found['seed']} you return {found['std']:.3g}, and the rms ends at "
        f"{found['end']:.3g} instead of 1{_lost(found['asked'])}"
    )


_CALIBRATE = MeasuredTask(
    name="s04.4",
    section="The map",
    title="a black box, two looks",
    hints=(
        "Kernels of c times the std end in an rms of c^L times the size. So the "
        "logarithm of the rms is a straight line against that of the std; its slope is "
        "the number of layers.",
        "Look at 0.1 and at 0.2: layers = log2(run(0.2) / run(0.1)). From the rms r at "
        "0.1 the right std is 0.1 · r ** (−1 / layers).",
    ),
    measure=_look,
    diagnoses=(
        (
            lambda found: len(found["asked"]) > LOOKS,
            lambda found: (
                f"box {found['seed']} was looked into {len(found['asked'])} times, "
                f"{LOOKS} are allowed: the rms is a power of the std, and two points "
                "determine it"
            ),
        ),
        (
            lambda found: _off(found) and not found["asked"],
            lambda found: (
                f"the box was not looked into, and {found['std']:.3g} is wrong for box "
                f"{found['seed']}: call run with a std and use the rms that it returns"
            ),
        ),
        (
            lambda found: _from(found, lambda std, rms, layers: std / rms),
            "the std is divided by the rms as if there were one layer; each of L "
            "layers has its share: divide by the L-th root",
        ),
        (
            lambda found: _from(
                found, lambda std, rms, layers: std / rms ** (0.5 / layers)
            ),
            "the std is corrected by half of what is needed: run returns an rms, not a "
            "second moment, so leave the second root out",
        ),
        (
            lambda found: _from(
                found, lambda std, rms, layers: std * rms ** (1 / layers)
            ),
            "the correction goes the wrong way: an rms above 1 asks for a smaller std",
        ),
        (_off, _end_message),
    ),
)


TASKS: tuple[Task, ...] = (_CHARGE, _SERVED, _gradient_task(), _CALIBRATE)
