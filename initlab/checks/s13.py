"""The exercises on debugging a start.

First two cures for rare classes that are a disease together, then a census of units,
then six patients who come as arrays, and last a repair that has to work on networks
that the student does not see. `Network`, `examine`, `patient`, `wreck` and `train` are
for the notebook too; each task stands after what grades it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
    agree,
    call,
    describe,
    is_blank,
)

TITLE = "s13 · Debugging a start"


# s13.1: two cures that are a disease together

SHARES = (0.90, 0.09, 0.01)


def start_losses(
    bias: Sequence[float] | None = None, weights: Sequence[float] | None = None
) -> dict[str, float]:
    """Return the loss of a network that gives its biases and nothing else.

    Args:
        bias: of the three classes, ln π_k by default.
        weights: of the three classes in the loss, 1/(C π_k) by default.

    Returns:
        The loss with bias zero and with ``bias``, each plain and weighted.
    """
    shares = np.array(SHARES)
    bias = np.log(shares) if bias is None else np.asarray(bias)
    weights = 1 / (len(shares) * shares) if weights is None else np.asarray(weights)
    found = {}
    for name, logits in (("zero", np.zeros(len(shares))), ("prior", bias)):
        losses = np.log(np.exp(logits).sum()) - logits
        found[name] = float(shares @ losses)
        found[f"weighted {name}"] = float(shares @ (weights * losses))
    return found


_RARE = np.array(SHARES)
_STARTS = start_losses()
STARTS = tuple(_STARTS)
"""The names of the four losses of the first task."""
_MEANT = {
    "zero": "equal logits give each class the same probability, whatever the shares",
    "prior": "the softmax of ln π_k is π_k: average −ln π_k over the labels, of which "
    "a share π_k is of class k",
    "weighted zero": "every sample loses the same here, and the weights have mean 1 "
    "over the samples",
    "weighted prior": "a sample of class k loses −ln π_k, counts 1/(3 π_k) times, and "
    "a share π_k is of its kind: what is left of π_k · 1/(3 π_k)?",
}


def _first_wrong(answer: Any) -> str:
    for name, right in _STARTS.items():
        if not agree(answer[name], right, 1e-3):
            return f"“{name}” is {describe(answer[name])}: {_MEANT[name]}"
    return ""


_CURES = ValueTask(
    name="s13.1",
    section="The output bias, where classes are rare",
    title="two cures, one disease",
    hints=(
        "With logits b_k the probabilities are the softmax of b. For b_k = ln π_k they "
        "are the shares themselves. What does a sample of class k lose?",
        "The weighted mean is the sum over classes of π_k · w_k · (−ln p_k). With the "
        "weights 1/(3 π_k) each class counts a third.",
    ),
    expected=_STARTS,
    rtol=1e-3,
    mistakes=(
        (
            {name: value / math.log(2) for name, value in _STARTS.items()},
            "these are bits, logarithms to base 2; Keras's loss takes the natural one",
        ),
        (
            start_losses(bias=np.log(_RARE / (1 - _RARE))),
            "ln(π/(1−π)) is the bias of one sigmoid; a softmax takes ln π_k",
        ),
        (
            start_losses(bias=-np.log(_RARE)),
            "the sign of the bias is turned: it makes the rare class the likely one",
        ),
        (
            start_losses(bias=_RARE),
            "the shares themselves stand as logits here; their logarithms are the bias",
        ),
        (
            start_losses(weights=1 / _RARE),
            "these weights are 1/π_k, without the 1/3: over the samples their mean is "
            "3, and so is the loss three times too large",
        ),
        (
            start_losses(weights=np.ones(3)),
            "the weighted losses are as the plain ones: give each sample's loss the "
            "weight 1/(3 π_k) of its class",
        ),
        (
            start_losses(weights=_RARE),
            "these weights are the shares, which drown a rare class further; balanced "
            "weights are 1/(3 π_k)",
        ),
    ),
    remedy=_first_wrong,
)


# s13.2: a census of units

_SAME = 1e-6  # correlations this near to 1 are rounding


def _twins(h: Any, alive: Any, signed: bool = False) -> np.ndarray:
    h = np.asarray(h, dtype=float)
    centred = h - h.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    unit = centred / np.where(length > 0, length, 1)
    likeness = unit.T @ unit
    likeness = likeness if signed else np.abs(likeness)
    alike = (likeness > 1 - _SAME) & alive & np.asarray(alive)[:, None]
    np.fill_diagonal(alike, False)
    return alike


def _census(h: Any, slopes: Any, steepest: float) -> tuple[np.ndarray, ...]:
    """Return which units are dead, saturated, and twins, each of shape (units,)."""
    dead = (slopes == 0).all(axis=0)
    saturated = ((slopes < steepest / 20).mean(axis=0) >= 0.9) & ~dead
    return dead, saturated, _twins(h, ~dead).any(axis=0)


def _census_but(
    h: Any,
    slopes: Any,
    steepest: float,
    *,
    dead: Callable[..., Any] | None = None,
    saturated: Callable[..., Any] | None = None,
    twins: Callable[..., Any] | None = None,
) -> tuple[np.ndarray, ...]:
    """Return the census with one of its three rules replaced."""
    found = list(_census(h, slopes, steepest))
    if dead:
        found[0] = dead(h, slopes)
        found[1] = ((slopes < steepest / 20).mean(axis=0) >= 0.9) & ~found[0]
        found[2] = _twins(h, ~found[0]).any(axis=0)
    if saturated:
        found[1] = saturated(slopes, steepest, found[0])
    if twins:
        found[2] = twins(h, ~found[0])
    return tuple(found)


def _equal_columns(h: Any, alive: Any) -> np.ndarray:
    h = np.asarray(h, dtype=float)
    equal = (h[:, :, None] == h[:, None]).all(axis=0) & alive & alive[:, None]
    np.fill_diagonal(equal, False)
    return equal.any(axis=0)


def _proportional(h: Any, alive: Any) -> np.ndarray:
    h = np.asarray(h, dtype=float)
    unit = h / np.maximum(np.sqrt((h**2).sum(axis=0)), 1e-300)
    alike = (np.abs(unit.T @ unit) > 1 - _SAME) & alive & alive[:, None]
    np.fill_diagonal(alike, False)
    return alike.any(axis=0)


def _layer(kind: str, units: int, seed: int, dtype: str = "float64") -> tuple[Any, ...]:
    """Return outputs and slopes of a layer with some sick units, and its steepest."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(200, units))
    if units >= 9:
        z[:, 2] = z[:, 0]  # the very same
        z[:, 4] = (-1 if kind != "relu" else 3) * z[:, 1]  # the same to the next layer
        z[:, 5] = -40 - rng.random(200)  # no slope at all, in ReLU and in tanh
        z[:, 6] = -30 - rng.random(200)
        z[:, 7] = rng.choice([-6, 6], 200) + rng.normal(scale=0.2, size=200)
        z[:24, 7] = 0.3  # steep for 12 samples of 100, and so not saturated
        z[:, 8] = rng.choice([-7, 7], 200) + rng.normal(scale=0.2, size=200)
        z[:14, 8] = 0.2
    if units >= 12:
        z[:, 9] = 3.2 * rng.choice([-1, 1], 200)  # flat for tanh, not for a sigmoid
        z[:, 10] = -np.abs(z[:, 10])
        z[0, 10] = 1.0  # alive for one sample in a ReLU
        z[:, 11] = z[:, 3] + 0.05 * rng.normal(size=200)  # alike, but not the same
    z = z.astype(dtype)
    if kind == "relu":
        return np.maximum(z, 0), (z > 0).astype(dtype), 1.0
    if kind == "tanh":
        h = np.tanh(z)
        return h, 1 - h**2, 1.0
    h = 1 / (1 + np.exp(-z))
    return h, h * (1 - h), 0.25


_COUNT = FunctionTask(
    name="s13.2",
    section="Patient G",
    title="a census of units",
    hints=(
        "Dead and saturated come from the slopes, column by column: all of them zero, "
        "or at least 90 % of them below steepest / 20. Twins come from the outputs: "
        "what does a kernel behind them do with a·h + c?",
        "np.corrcoef(h.T) has ±1 for twins. Take the absolute value, set the diagonal "
        "to 0, and leave out rows and columns of dead units, which have no variance.",
    ),
    reference=_census,
    parts=("dead", "saturated", "twins"),
    cases=(
        Case("twelve ReLU units", _layer("relu", 12, 1)),
        Case("twelve tanh units", _layer("tanh", 12, 2)),
        Case("twelve sigmoid units", _layer("sigmoid", 12, 3)),
        Case("nine tanh units in float32", _layer("tanh", 9, 4, "float32")),
        Case("nine ReLU units in float32", _layer("relu", 9, 5, "float32")),
        Case("a single unit", _layer("tanh", 1, 6)),
    ),
    mistakes=(
        (
            partial(_census_but, dead=lambda h, s: (np.asarray(h) == 0).all(axis=0)),
            "a unit that always says −1 is as dead as one that always says 0: look at "
            "the slopes, not at the outputs",
        ),
        (
            partial(_census_but, dead=lambda h, s: (s == 0).any(axis=0)),
            "a ReLU is off for half of the samples and well: dead means without slope "
            "for all of them",
        ),
        (
            partial(
                _census_but,
                saturated=lambda s, top, dead: (s < top / 20).mean(axis=0) >= 0.9,
            ),
            "dead units are counted among the saturated too: each unit has one name, "
            "take the dead ones out",
        ),
        (
            partial(
                _census_but,
                saturated=lambda s, top, dead: (
                    ((s < 1 / 20).mean(axis=0) >= 0.9) & ~dead
                ),
            ),
            "the limit is a twentieth of the steepest slope, which is ¼ for a sigmoid: "
            "use the third argument",
        ),
        (
            partial(
                _census_but,
                saturated=lambda s, top, dead: (s.mean(axis=0) < top / 20) & ~dead,
            ),
            "this takes the mean slope, which a few steep samples decide: count the "
            "samples whose slope is below the limit",
        ),
        (
            partial(
                _census_but,
                saturated=lambda s, top, dead: (s < top / 20).all(axis=0) & ~dead,
            ),
            "saturated means flat for at least 90 % of the samples, not for all",
        ),
        (
            partial(_census_but, twins=_equal_columns),
            "this finds equal outputs only: a unit that says 3·h or −h says nothing "
            "new to the next layer either",
        ),
        (
            partial(
                _census_but,
                twins=lambda h, alive: _twins(h, alive, signed=True).any(axis=0),
            ),
            "a unit with the opposite sign is a twin too: the next kernel takes it "
            "with the opposite weight",
        ),
        (
            partial(_census_but, twins=_proportional),
            "1 − h is a twin of h as well, for the next layer has a bias: compare what "
            "is left after the mean is taken off",
        ),
        (
            partial(
                _census_but,
                twins=lambda h, alive: np.triu(_twins(h, alive)).any(axis=0),
            ),
            "only the second of each pair is marked: mark both",
        ),
    ),
)


# The networks of s13.3 and s13.4: eight ReLU layers of width 24, three classes.

DEPTH = 8
WIDTH = 24


class Network(NamedTuple):
    """A data set and a ReLU network for it, all in arrays.

    Attributes:
        x: inputs, (samples, columns).
        y: labels, one-hot, (samples, classes).
        kernels: eight of the hidden layers and the output's, each (n_in, n_out).
        biases: as many, each (n_out,).
    """

    x: np.ndarray
    y: np.ndarray
    kernels: list[np.ndarray]
    biases: list[np.ndarray]


def healthy(seed: int) -> Network:
    """Return a network drawn by He, with LeCun's output and biases of zero."""
    rng = np.random.default_rng([13, seed])
    x = rng.normal(size=(96, 4))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    score = x[:, 0] * x[:, 1] + x[:, 2] + x[:, 3]
    labels = np.searchsorted(np.quantile(score, [1 / 3, 2 / 3]), score)
    widths = (4, *[WIDTH] * DEPTH, 3)
    kernels = [
        rng.normal(scale=math.sqrt((1 if place == DEPTH else 2) / n_in), size=(n_in, n))
        for place, (n_in, n) in enumerate(zip(widths, widths[1:], strict=False))
    ]
    biases = [np.zeros(kernel.shape[1]) for kernel in kernels]
    return Network(x, np.eye(3)[labels], kernels, biases)


def examine(network: Network) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    """Return what a network computes for its samples, in both directions.

    Returns:
        The pre-activations of all nine layers, each (samples, units); the gradients
        of each sample's loss in them, of the same shapes; and the mean loss.
    """
    x, y, kernels, biases = network
    pre = [x @ kernels[0] + biases[0]]
    for kernel, bias in zip(kernels[1:], biases[1:], strict=True):
        pre.append(np.maximum(pre[-1], 0) @ kernel + bias)
    logits = pre[-1] - pre[-1].max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    gradients = [np.exp(log_p) - y]
    for kernel, z in zip(kernels[:0:-1], pre[-2::-1], strict=True):
        gradients.insert(0, (gradients[0] @ kernel.T) * (z > 0))
    return pre, gradients, float(-np.mean((y * log_p).sum(axis=1)))


def train(network: Network, lr: float = 0.1, steps: int = 200) -> np.ndarray:
    """Return the loss before each step of plain gradient descent, (steps,).

    The whole data set is one batch. Where training blows up, losses are not finite.
    """
    x, y, kernels, biases = network
    kernels, biases, losses = list(kernels), list(biases), np.full(steps, np.nan)
    with np.errstate(all="ignore"):
        for step in range(steps):
            pre, gradients, losses[step] = examine(Network(x, y, kernels, biases))
            if not np.isfinite(losses[step]):
                break
            signals = [x, *(np.maximum(z, 0) for z in pre[:-1])]
            for layer, (h, g) in enumerate(zip(signals, gradients, strict=True)):
                kernels[layer] = kernels[layer] - lr * h.T @ g / len(x)
                biases[layer] = biases[layer] - lr * g.mean(axis=0)
    return losses


def rms(array: Any) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(array))))


def _receives(network: Network, layer: int) -> float:
    """Return the rms of what a layer receives, layers counted from 0."""
    pre = examine(network)[0]
    return rms(np.maximum(pre[layer - 1], 0)) if layer else rms(network.x)


def _weak_column(network: Network, column: int, factor: float = 1e-3) -> Network:
    x = network.x.copy()
    x[:, column] *= factor
    return network._replace(x=x * rms(network.x) / rms(x))


def _two_wrongs(network: Network, layer: int, factor: float = 0.03) -> Network:
    kernels = list(network.kernels)
    kernels[layer] = kernels[layer] * factor
    kernels[layer + 1] = kernels[layer + 1] / factor
    return network._replace(kernels=kernels)


def _dead_layer(network: Network, layer: int, shift: float) -> Network:
    """Shift a layer down by so many rms, and enlarge the next kernel to match."""
    expected = _receives(network, layer + 1)
    biases, kernels = list(network.biases), list(network.kernels)
    biases[layer] = biases[layer] - shift * rms(examine(network)[0][layer])
    found = _receives(network._replace(biases=biases), layer + 1)
    kernels[layer + 1] = kernels[layer + 1] * expected / found
    return network._replace(kernels=kernels, biases=biases)


def _twin_layer(network: Network, layer: int, originals: int = 3) -> Network:
    """Make a layer of multiples of a few units, its outputs as large as before."""
    kernels = list(network.kernels)
    kernel = kernels[layer]
    factors = np.linspace(0.5, 1.5, WIDTH)
    copies = kernel[:, np.arange(WIDTH) % originals] * factors
    expected = _receives(network, layer + 1)
    kernels[layer] = copies
    found = _receives(network._replace(kernels=kernels), layer + 1)
    kernels[layer] = copies * expected / found
    return network._replace(kernels=kernels)


def _last_times(network: Network, factor: float) -> Network:
    *kernels, last = network.kernels
    return network._replace(kernels=[*kernels, factor * last])


# s13.3: six patients

ILLNESSES = (
    "healthy",
    "loud output",
    "weak layer",
    "wrong gain",
    "two wrongs",
    "dead units",
    "twins",
    "weak column",
)

_WARD: dict[str, tuple[str, int, Callable[[Network], Network]]] = {
    "P": ("loud output", 21, partial(_last_times, factor=8)),
    "Q": ("healthy", 35, partial(_last_times, factor=0)),
    "R": ("weak column", 36, partial(_weak_column, column=2)),
    "S": ("two wrongs", 24, partial(_two_wrongs, layer=3)),
    "T": ("twins", 25, partial(_twin_layer, layer=5)),
    "U": ("dead units", 30, partial(_dead_layer, layer=4, shift=2.5)),
}
PATIENTS = tuple(_WARD)


def patient(name: str) -> Network:
    """Return one of the six patients, ``"P"`` to ``"U"``."""
    _, seed, harm = _WARD[name]
    return harm(healthy(seed))


def _signs(network: Network) -> dict[str, float]:
    """Return the numbers that speak for or against each illness."""
    pre, _, loss = examine(network)
    sizes = [rms(z) for z in pre]
    outputs = [np.maximum(z, 0) for z in pre[:-1]]
    kernels = network.kernels[:-1]
    asked = [rms(k) / math.sqrt(2 / len(k)) for k in kernels]
    columns = network.x.std(axis=0)
    return {
        "loss": loss,
        "logits": sizes[-1],
        "last": sizes[-2] / max(sizes[0], 1e-300),
        "weakest": min(asked),
        "strongest": max(asked),
        "dead": max(float(np.mean(h.max(axis=0) == 0)) for h in outputs),
        "twins": max(
            float(_twins(h, h.max(axis=0) > 0).any(0).mean()) for h in outputs
        ),
        "columns": float(columns.min() / columns.max()),
        "moved": rms(network.kernels[-1]),
    }


_OBJECTIONS: dict[str, Callable[[dict[str, float]], str]] = {
    "loud output": lambda s: (
        f"its logits have an rms of {s['logits']:.1f}, which is not loud"
    ),
    "weak layer": lambda s: (
        "the signal of one weak layer stays small in all layers behind it; here the "
        f"last hidden layer has {s['last']:.1f} times the first one's"
    ),
    "wrong gain": lambda s: (
        "a wrong gain is one factor in all kernels; its hidden ones have "
        f"{s['weakest']:.2f} to {s['strongest']:.2f} times He's std"
    ),
    "two wrongs": lambda s: (
        "two wrongs are a kernel too small before one too large; its hidden ones have "
        f"{s['weakest']:.2f} to {s['strongest']:.2f} times He's std"
    ),
    "dead units": lambda s: (
        f"at most {s['dead']:.0%} of the units of a layer are off for all samples, "
        "which eight healthy layers show as well"
    ),
    "twins": lambda s: (
        f"at most {s['twins']:.0%} of the units of a layer are multiples of another"
    ),
    "weak column": lambda s: (
        f"the smallest std of a column is {s['columns']:.1f} times the largest"
    ),
}

_MISSED = {
    "loud output": "its loss at the start is far above ln 3: look at what is too large",
    "weak column": "signal and gradient are fine in every layer; look before them, at "
    "the data",
    "two wrongs": "one layer's gradient does not fit its neighbours'; which kernels "
    "have a std of their own?",
    "twins": "no size is out of line; ask how many different things the units of a "
    "layer say",
    "dead units": "a signal reaches the end, but count the units that are off for all "
    "samples",
}


def _ward_round(answer: Any) -> str | None:
    """Return what speaks against the first wrong one of six diagnoses."""
    if not isinstance(answer, Mapping):
        raise AnswerError(f"a dict is asked for, this is {describe(answer)}")
    if set(answer) != set(PATIENTS):
        raise AnswerError(f"the dict's keys are the patients, {', '.join(PATIENTS)}")
    for name, (truth, _, _) in _WARD.items():
        claim = answer[name]
        if claim not in ILLNESSES:
            raise AnswerError(
                f"{describe(claim)} is no name in s13.ILLNESSES (patient {name})"
            )
        if claim == truth:
            continue
        if claim == "healthy":
            return f"patient {name} is ill: {_MISSED[truth]}"
        signs = _signs(patient(name))
        if truth == "healthy" and signs["moved"] == 0:
            return (
                f"patient {name}, “{claim}”: only the last kernel is zero, so the "
                "gradients before it are too, for one step; is that an illness?"
            )
        return f"patient {name}, “{claim}”: {_OBJECTIONS[claim](signs)}"
    return None


_ROUND = MeasuredTask(
    name="s13.3",
    section="Four shapes",
    title="six patients",
    hints=(
        "Print for each patient the loss, and by layer the rms of z, the rms of the "
        "gradient, the kernel's std over He's. Then the std of each column of x. What "
        "is not explained by a size?",
        "Then count: in each hidden layer the units that are off for all samples, and "
        "those that are twins (your census does both). A healthy stack of eight layers "
        "has a few dead units; more than half is an illness.",
    ),
    measure=_ward_round,
    diagnoses=((bool, lambda message: message),),
)


# s13.4: a repair for networks that one has not seen

GOAL = 0.05
_UNSEEN = (106, 111, 114)


def wreck(seed: int) -> Network:
    """Return a network with three illnesses, in places that depend on the seed.

    A layer with too small a kernel before one with too large a kernel, a layer of
    which most units are dead, and columns of the input in different units.
    """
    rng = np.random.default_rng([31, seed])
    first, second = rng.permutation([1, 5]) + rng.integers(2, size=2)
    network = _two_wrongs(healthy(seed), int(first))
    network = _dead_layer(network, int(second), shift=2.0)
    network = _weak_column(network, int(rng.integers(4)))
    return network._replace(x=network.x + rng.normal(size=4) * network.x.std(axis=0))


def _line(old: np.ndarray, new: np.ndarray) -> bool:
    """Tell whether ``new`` is ``old`` times a number that is not zero."""
    old, new = old.ravel(), new.ravel()
    factor = float(old @ new / (old @ old))
    return factor != 0 and bool(np.allclose(new, factor * old, atol=1e-6 * rms(new)))


def _check_rules(old: Network, new: Any) -> Network:
    """Return the repaired network; an `AnswerError` says what is not allowed."""
    if not isinstance(new, tuple) or len(new) != 4:
        raise AnswerError(
            "your function has to return a Network: "
            f"network._replace(…) makes one; this is {describe(new)}"
        )
    x, y, kernels, biases = new
    try:
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        kernels = [np.asarray(kernel, dtype=float) for kernel in kernels]
        biases = [np.asarray(bias, dtype=float) for bias in biases]
    except (TypeError, ValueError):
        raise AnswerError("a Network of arrays of numbers is asked for") from None
    new = Network(x, y, kernels, biases)
    shapes = [[a.shape for a in (n.x, n.y, *n.kernels, *n.biases)] for n in (old, new)]
    if shapes[0] != shapes[1]:
        raise AnswerError("the shape of x, y, a kernel or a bias has changed")
    arrays = (x, y, *kernels, *biases)
    if not all(np.isfinite(array).all() for array in arrays):
        raise AnswerError("not every number of the repaired network is finite")
    if not np.array_equal(old.y, y):
        raise AnswerError("the labels have changed; they are not yours to repair")
    if not all(map(_line, old.kernels, kernels)):
        raise AnswerError(
            "a kernel is not the old one times a number: scale it, do not draw it anew"
        )
    centred = [n.x - n.x.mean(axis=0) for n in (old, new)]
    if not all(map(_line, centred[0].T, centred[1].T)):
        raise AnswerError(
            "a column of x is not the old one shifted and scaled; that would be other "
            "data"
        )
    return new


@np.errstate(all="ignore")  # a repair may scale beyond all bounds
def _repaired(answer: Any) -> dict[str, float] | None:
    """Return the worst loss of three repaired networks and what is left in them."""
    ends, signs = [], []
    blank = 0
    for place, seed in enumerate(_UNSEEN, 1):
        old = wreck(seed)
        new = call(answer, (old,), f"unseen network {place}")
        if is_blank(new):
            blank += 1
            continue
        new = _check_rules(old, new)
        ends.append(train(new)[-1])
        signs.append(
            _signs(new)
            | {
                "mean": float(np.max(np.abs(new.x.mean(axis=0)) / new.x.std(axis=0))),
            }
        )
    if blank:
        if blank == len(_UNSEEN):
            raise Unanswered
        raise AnswerError("for some networks your function returns nothing")
    return {
        "end": float(np.max(ends)),
        "dead": max(s["dead"] for s in signs),
        "columns": min(s["columns"] for s in signs),
        "mean": max(s["mean"] for s in signs),
        "weakest": min(s["weakest"] for s in signs),
        "strongest": max(s["strongest"] for s in signs),
    }


def _fails(found: dict[str, float]) -> bool:
    return not found["end"] < GOAL  # a loss that is not finite fails too


_REPAIR = MeasuredTask(
    name="s13.4",
    section="In which order to look",
    title="repair what you have not seen",
    hints=(
        "Three illnesses, three lines: the columns of x each get mean 0 and std 1, the "
        "biases 0. What std does each kernel ask for, and what has it got?",
        "kernel * sqrt(2 / len(kernel)) / kernel.std() has He's std wherever it was "
        "before. The last one has no ReLU behind it and takes 1 for the 2.",
    ),
    measure=_repaired,
    diagnoses=(
        (
            lambda found: _fails(found) and found["columns"] < 0.1,
            lambda found: (
                "the columns of x are still in different units: one has "
                f"{found['columns']:.2g} times the std of another"
            ),
        ),
        (
            lambda found: _fails(found) and found["dead"] > 0.5,
            lambda found: (
                f"in one layer {found['dead']:.0%} of the units are still off for all "
                "samples: what holds them down?"
            ),
        ),
        (
            lambda found: _fails(found) and found["strongest"] > 10 * found["weakest"],
            lambda found: (
                f"the hidden kernels have {found['weakest']:.2g} to "
                f"{found['strongest']:.2g} times He's std: the signal is right behind "
                "such a pair, the gradient between is not"
            ),
        ),
        (
            lambda found: _fails(found) and found["weakest"] < 0.8,
            lambda found: (
                f"a hidden kernel has {found['weakest']:.2g} times He's std, and eight "
                "such layers leave little of signal and gradient: Var = 2/n_in"
            ),
        ),
        (
            lambda found: _fails(found) and found["strongest"] > 1.25,
            lambda found: (
                f"a hidden kernel has {found['strongest']:.2g} times He's std, and "
                "eight such layers explode: Var = 2/n_in"
            ),
        ),
        (
            lambda found: _fails(found) and found["mean"] > 0.5,
            lambda found: (
                f"a column's mean is still {found['mean']:.1f} of its std, so all "
                "samples look alike from the first layer on: take the means off"
            ),
        ),
        (
            _fails,
            lambda found: (
                f"the worst of {len(_UNSEEN)} networks ends at {found['end']:.2f}, and "
                f"not below {GOAL:g}: examine a repaired one as you did the patients"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (_CURES, _COUNT, _ROUND, _REPAIR)
