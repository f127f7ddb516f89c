"""The exercises on what goes wrong: out of range, unstable, dead, and repaired.

First the depth at which a computer's numbers end, then the rate at which a step becomes
too long, then dead units that come back, and a repair of thirty layers. `bent_down`,
`draw` and `condition` are for the notebook too; each task stands after what grades it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from initlab.checks.core import (
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    ValueTask,
    answered,
)

TITLE = "q2 · What goes wrong"


# q2.1: where the numbers of a computer end

_WIDTH = 64
_LARGE, _SMALL = 1.0, 0.05


def _last_layers(factor: Callable[[float], float], more: int = 1) -> tuple[int, int]:
    """Return the first layers out of range if each multiplies by ``factor(std)``."""
    top, bottom = np.finfo("float32").max, np.finfo("float32").tiny
    return (
        math.floor(math.log(top) / math.log(factor(_LARGE))) + more,
        math.floor(math.log(bottom) / math.log(factor(_SMALL))) + more,
    )


def _rms_factor(std: float) -> float:
    return std * math.sqrt(_WIDTH / 2)


_RANGE = ValueTask(
    name="q2.1",
    section="One formula, seven ways to break it",
    title="leave the range of float32",
    hints=(
        "A ReLU layer multiplies the rms by std · √(n/2). After l layers it is the "
        "l-th power of that, for the input has rms 1.",
        "At std 1 the factor is √32 = 5.66: look for the first l with 5.66^l > 3.4e38. "
        "At std 0.05 it is 0.283: the first l with 0.283^l < 1.18e-38.",
    ),
    expected=_last_layers(_rms_factor),
    mistakes=(
        (
            _last_layers(lambda std: _rms_factor(std) ** 2),
            "this is where the second moment leaves the range; the rms is its square "
            "root and lasts twice as long",
        ),
        (
            _last_layers(lambda std: std * math.sqrt(_WIDTH)),
            "the ReLU's ½ is missing: each layer multiplies the second moment by "
            "n · std² / 2",
        ),
        (
            _last_layers(lambda std: std * _WIDTH / 2),
            "the square root is missing: the variance of a sum grows with n, its rms "
            "with √n",
        ),
        (
            _last_layers(_rms_factor, more=0),
            "these are the last layers within the range; the first ones outside are "
            "asked for",
        ),
        (
            _last_layers(_rms_factor)[::-1],
            "the two are exchanged: std 1 first, then std 0.05",
        ),
    ),
    remedy="the factor of one layer is std · √(64/2); take logarithms of the limits",
)


# q2.2: the rate at which a step becomes too long


def _critical_rate(x: Any) -> float:
    return len(x) / np.linalg.norm(np.asarray(x, dtype=float), 2) ** 2


def _centred(x: Any) -> Any:
    return x - x.mean(axis=0)


def _table(seed: int, samples: int, features: int, mean: float = 0.0) -> Any:
    rng = np.random.default_rng(seed)
    return mean + rng.standard_normal((samples, features))


_RATE = FunctionTask(
    name="q2.2",
    section="Unstable: a step too long",
    title="the largest stable rate",
    hints=(
        "One step multiplies the error along an eigenvector of the Hessian by 1 − rate "
        "· λ. The loss is a mean of squares: its Hessian is 2 x.T @ x / samples.",
        "The bound is 2/λ with the largest λ. np.linalg.eigvalsh(2 * x.T @ x / len(x)) "
        "gives them all, in rising order.",
    ),
    reference=_critical_rate,
    cases=(
        Case("50 samples of 4 features", (_table(0, 50, 4),)),
        Case("features of mean 3", (_table(1, 40, 5, mean=3.0),)),
        Case("more features than samples", (_table(2, 6, 20),)),
        Case("a single feature", (_table(3, 30, 1, mean=1.0),)),
        Case("a single sample", (_table(4, 1, 7),)),
        Case("features of different size", (_table(5, 30, 3) * [0.1, 1, 10],)),
        Case("float32 numbers", (_table(6, 20, 3, 0.5).astype("float32"),)),
    ),
    rtol=1e-3,
    mistakes=(
        (
            lambda x: 2 * _critical_rate(x),
            "the derivative of a square brings a factor 2: the Hessian of the mean "
            "square is 2 x.T @ x / samples",
        ),
        (
            lambda x: _critical_rate(x) / 2,
            "this is 1/λ, where an error is gone in one step; it grows beyond 2/λ only",
        ),
        (
            lambda x: _critical_rate(x) / len(x),
            "this is the rate for the summed loss: the loss is a mean, divide the "
            "Hessian by the number of samples",
        ),
        (
            lambda x: _critical_rate(x) * x.shape[1] / len(x),
            "this divides by the number of features: the loss is a mean over samples",
        ),
        (
            lambda x: len(x) / np.linalg.norm(x, 2),
            "the largest singular value of x has to be squared: λ belongs to x.T @ x",
        ),
        (
            lambda x: len(x) / np.sum(x**2),
            "this takes the trace, the sum of all curvatures; the largest one alone "
            "decides",
        ),
        (
            lambda x: len(x) / np.max(np.sum(x**2, axis=0)),
            "this takes the largest entry of the diagonal; the largest eigenvalue is "
            "larger if features go together",
        ),
        (
            lambda x: len(x) / max(np.linalg.norm(_centred(x), 2) ** 2, 1e-30),
            "this takes the variance of the features: their mean bends the loss as "
            "well, use x.T @ x and not the covariance",
        ),
        (
            lambda x: len(x) / np.linalg.svd(x, compute_uv=False)[-1] ** 2,
            "this takes the smallest curvature; the steepest direction diverges first",
        ),
    ),
)


# q2.3: dead units that come back

Weights = tuple[np.ndarray, ...]


def bent_down(networks: int = 40) -> tuple[np.ndarray, Weights, Weights]:
    """Train ReLU networks whose hidden biases begin at −1.5.

    Each has 4 inputs, two hidden layers of 16 units and one output. Plain gradient
    descent goes 100 steps of rate 0.1 on all 40 samples.

    Returns:
        The inputs (40, 4), and the weights (w1, b1, w2, b2, w3, b3) before and after.
        The networks are the first axis of each; biases are (networks, 1, units).
    """
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 4))
    y = np.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:3]
    y = (y - y.mean()) / y.std()
    weights = []
    for n_in, n_out, bias in ((4, 16, -1.5), (16, 16, -1.5), (16, 1, 0.0)):
        kernel = rng.standard_normal((networks, n_in, n_out)) * math.sqrt(2 / n_in)
        weights += [kernel, np.full((networks, 1, n_out), bias)]
    before = tuple(weights)
    for _ in range(100):
        slopes = _slopes(x, y, *weights)
        weights = [w - 0.1 * slope for w, slope in zip(weights, slopes, strict=True)]
    return x, before, tuple(weights)


def _slopes(x: Any, y: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any):
    h1 = np.maximum(x @ w1 + b1, 0)
    h2 = np.maximum(h1 @ w2 + b2, 0)
    d3 = 2 * (h2 @ w3 + b3 - y) / len(y)
    d2 = d3 @ w3.swapaxes(1, 2) * (h2 > 0)
    d1 = d2 @ w2.swapaxes(1, 2) * (h1 > 0)
    pairs = ((x[None], d1), (h1, d2), (h2, d3))
    return [
        slope
        for signal, delta in pairs
        for slope in (signal.swapaxes(1, 2) @ delta, delta.sum(axis=1, keepdims=True))
    ]


def _dead(x: Any, weights: Weights, relu: bool = True, rule: Any = np.all) -> list:
    """Return which units are off for all samples, by layer, (networks, units) each."""
    w1, b1, w2, b2, *_ = weights
    z1 = x @ w1 + b1
    z2 = (np.maximum(z1, 0) if relu else z1) @ w2 + b2
    return [rule(z <= 0, axis=1) for z in (z1, z2)]


def _counts(flags: Any) -> tuple[int, int]:
    return tuple(int(np.sum(flag)) for flag in flags)


def _revived() -> ValueTask:
    x, before, after = bent_down()

    def back(**how: Any) -> tuple[int, int]:
        pairs = zip(_dead(x, before, **how), _dead(x, after, **how), strict=True)
        return _counts([old & ~new for old, new in pairs])

    old, new = _dead(x, before), _dead(x, after)
    killed = _counts([b & ~a for a, b in zip(old, new, strict=True)])
    fewer = tuple(a - b for a, b in zip(_counts(old), _counts(new), strict=True))
    return ValueTask(
        name="q2.3",
        section="Flat, off, dead: three different things",
        title="back from the dead",
        hints=(
            "Compute z of both hidden layers, with the weights before and again with "
            "those after. A unit is dead if its z is not positive for any sample.",
            "dead = (z <= 0).all(axis=1) has the shape (networks, 16). Count dead "
            "before & ~dead after. The second layer's input is relu of the first z.",
        ),
        expected=back(),
        mistakes=(
            (
                (0, 0),
                "a dead unit gets no gradient, yet some come back: its input may "
                "change under it; count, do not conclude",
            ),
            (
                killed,
                "these units died in training: before and after are exchanged",
            ),
            (
                fewer,
                "this is the difference of two counts, in which units that die hide "
                "those that come back; compare unit by unit",
            ),
            (_counts(old), "these are all that are dead before training"),
            (_counts(new), "these are all that are dead after training"),
            (
                back(relu=False),
                "the second layer gets the first one's pre-activations: it reads what "
                "comes out of the ReLU",
            ),
            (
                back(rule=np.any),
                "this counts units that are off for some sample, as healthy ones are; "
                "dead means off for all of them",
            ),
            (back()[::-1], "the two layers are exchanged: return the first one first"),
        ),
        remedy="count units that are dead before and not after, in each hidden layer",
    )


# q2.4: thirty layers without a dead unit

DEPTH, WIDTH = 30, 64
MOST_DEAD, LARGEST_CHANGE = 0.01, 5.0
_SEEDS = 4

Start = tuple[np.ndarray, np.ndarray]


def draw(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return kernels (30, 64, 64) and two sets of 200 inputs (200, 64).

    The kernels are He's, each layer's multiplied by a factor between 1/3 and 3.
    """
    rng = np.random.default_rng([2, seed])
    kernels = rng.standard_normal((DEPTH, WIDTH, WIDTH)) * math.sqrt(2 / WIDTH)
    kernels *= 3.0 ** rng.uniform(-1, 1, size=(DEPTH, 1, 1))
    return kernels, *rng.standard_normal((2, 200, WIDTH))


def condition(kernels: Any, x: Any, scales: Any, biases: Any) -> dict[str, float]:
    """Return the vital signs of the layers h = relu(scale · h @ kernel + bias).

    Args:
        kernels: of shape (layers, n, n).
        x: inputs (samples, n).
        scales: one number for each kernel, (layers,).
        biases: one for each unit, (layers, n).

    Returns:
        ``dead``, the share of dead units; ``lowest`` and ``highest``, the rms of h in
        the layer where it is smallest and largest, over that of layer 1; ``off_least``
        and ``off_most``, the share of flat slopes in the layers with fewest and most.
    """
    dead, off, rms = [], [], []
    h = np.asarray(x, dtype=float)
    with np.errstate(all="ignore"):  # a signal may overflow, and is graded for it
        for kernel, scale, bias in zip(kernels, scales, biases, strict=True):
            z = scale * (h @ kernel) + bias
            h = np.maximum(z, 0)
            dead.append(np.mean((z <= 0).all(axis=0)))
            off.append(np.mean(z <= 0))
            rms.append(np.sqrt(np.mean(h**2)))
        change = np.array(rms) / rms[0] if rms[0] > 0 else np.zeros(len(rms))
    return {
        "dead": float(np.mean(dead)),
        "lowest": float(np.min(change)),
        "highest": float(np.max(change)),
        "off_least": float(np.min(off)),
        "off_most": float(np.max(off)),
    }


def _asked(start: Any, kernels: Any, x: Any) -> Start:
    asked = (np.zeros(DEPTH), np.zeros((DEPTH, WIDTH)))
    return answered(start, (kernels, x), asked, ("scales", "biases"))


def _worst(start: Any) -> dict[str, float]:
    """Return the worst of each vital sign over four draws, on inputs not seen."""
    found: dict[str, list[float]] = {}
    for seed in range(_SEEDS):
        kernels, x, fresh = draw(1000 + seed)
        signs = condition(kernels, fresh, *_asked(start, kernels, x))
        for name, value in signs.items():
            found.setdefault(name, []).append(value)
    low = ("lowest", "off_least")
    return {n: min(v) if n in low else max(v) for n, v in found.items()}


_REPAIR = MeasuredTask(
    name="q2.4",
    section="Try it",
    title="repair thirty layers",
    hints=(
        "A unit dies because its z has the same sign for nearly all inputs: its mean "
        "over the inputs is far larger than its spread. A bias can take the mean away.",
        "Go layer by layer: z = h @ kernel, middle = z.mean(axis=0), scale = 1 / "
        "sqrt(mean of (z − middle)²), bias = −scale · middle; then h = relu(scale · z "
        "+ bias) is what the next layer reads.",
    ),
    measure=_worst,
    diagnoses=(
        (
            lambda s: s["dead"] > 0.9,
            "nearly every unit is dead: look at the sign of the biases and at what the "
            "next layer is computed from",
        ),
        (
            lambda s: s["dead"] > MOST_DEAD,
            lambda s: (
                f"{100 * s['dead']:.0f} % of the units are dead on fresh inputs: "
                "shift each unit by its own mean over the inputs, layer by layer, each "
                "computed from the repaired one before"
            ),
        ),
        (
            lambda s: s["off_least"] < 0.3,
            lambda s: (
                f"in one layer only {100 * s['off_least']:.0f} % of the slopes are "
                "flat: the biases make the layer nearly linear, make them smaller"
            ),
        ),
        (
            lambda s: s["off_most"] > 0.7,
            lambda s: (
                f"in one layer {100 * s['off_most']:.0f} % of the slopes are flat: "
                "the biases push too far down"
            ),
        ),
        (
            lambda s: not s["lowest"] >= 1 / LARGEST_CHANGE,
            lambda s: (
                f"no unit is dead, but in one layer the rms is {s['lowest']:.1e} times "
                "the first one's: set each scale from the spread of its own layer; a "
                "centred unit hands on less than He's 2/n counts on"
            ),
        ),
        (
            lambda s: not s["highest"] <= LARGEST_CHANGE,
            lambda s: (
                f"no unit is dead, but in one layer the rms is {s['highest']:.1e} "
                "times the first one's: set each scale from the spread of its own "
                "layer, dividing by the std and not by its square"
            ),
        ),
    ),
)


TASKS: tuple[Task, ...] = (_RANGE, _RATE, _revived(), _REPAIR)
