"""The exercises on zero and constant initialization.

The network of all tasks has one hidden layer: ``h = tanh(x @ w1 + b1)``, output
``h @ w2 + b2``, loss the mean of the squared residual over examples and outputs.
`examples` and `train` are for the notebook too; each task stands after what grades it.
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
    Unanswered,
    ValueTask,
    agree,
    call,
    describe,
    is_blank,
    misfit,
    name_std,
    twins,
)

TITLE = "s03 · Zero and constant initialization"

NAMES = ("w1", "b1", "w2", "b2")

Parameters = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def examples() -> tuple[np.ndarray, np.ndarray]:
    """Return inputs of shape (64, 4) and targets (64, 1) of mean 0 and variance 1.

    The target is a smooth function of the inputs with one product in it, so that a
    network of one unit cannot follow it and one of several units can.
    """
    rng = np.random.default_rng(3)
    x = rng.standard_normal((64, 4))
    y = np.tanh(x @ rng.standard_normal((4, 1))) + 0.5 * x[:, :1] * x[:, 1:2]
    return x, (y - y.mean()) / y.std()


def train(
    w1: np.ndarray,
    b1: np.ndarray,
    w2: np.ndarray,
    b2: np.ndarray,
    steps: int,
    lr: float = 0.05,
) -> tuple[np.ndarray, Parameters]:
    """Train the tanh network on `examples` by plain gradient descent.

    Returns:
        The loss before each step, shape (steps,), and the parameters after the last.
    """
    x, y = examples()
    parameters = (w1, b1, w2, b2)
    losses = np.empty(steps)
    for step in range(steps):
        w1, b1, w2, b2 = parameters
        losses[step] = np.mean((_forward(x, *parameters) - y) ** 2)
        slopes = _gradients(x, y, *parameters)
        parameters = tuple(p - lr * g for p, g in zip(parameters, slopes, strict=True))
    return losses, parameters


def _forward(x: Any, w1: Any, b1: Any, w2: Any, b2: Any) -> np.ndarray:
    return np.tanh(x @ w1 + b1) @ w2 + b2


# s03.1: how many numbers move

_COUNT = ValueTask(
    name="s03.1",
    section="Why nothing moves",
    title="count what moves",
    hints=(
        "Write down the gradient of each of the four parameters. Each kernel's is a "
        "product: which of its factors is zero at the start?",
        "tanh(0) = 0 makes the gradient of w2 zero, w2 = 0 makes those of w1 and b1 "
        "zero. Only one parameter's gradient has no such factor: how many numbers "
        "does it hold?",
    ),
    expected=2,
    mistakes=(
        (
            0,
            "that all gradients are zero is often said, but the output bias sees the "
            "residual itself; count its numbers",
        ),
        (1, "the right parameter, but it has one number for each output; count them"),
        (
            26,
            "this is every number there is; look for the zero factor in the gradient "
            "of each kernel",
        ),
        (
            6,
            "this counts both biases, but the gradient of b1 comes back through w2, "
            "and that is zero; leave b1 out",
        ),
        (
            10,
            "this counts the whole output layer, but the gradient of w2 is hidden "
            "activity times residual, and tanh(0) = 0; leave w2 out",
        ),
        (
            24,
            "this counts the numbers that stay where they are; take the others",
        ),
    ),
    remedy="go through w1 (12 numbers), b1 (4), w2 (8) and b2 (2) one by one",
)


# s03.2: the gradients by hand


def _gradients(
    x: Any,
    y: Any,
    w1: Any,
    b1: Any,
    w2: Any,
    b2: Any,
    slope: Callable[[Any, Any], Any] = lambda z, h: 1 - h**2,
) -> Parameters:
    z = x @ w1 + b1
    h = np.tanh(z)
    at_output = 2 * (h @ w2 + b2 - y) / y.size
    at_hidden = at_output @ w2.T * slope(z, h)
    return (
        x.T @ at_hidden,
        at_hidden.sum(axis=0),
        h.T @ at_output,
        at_output.sum(axis=0),
    )


def _scaled(factor: Callable[[Any], float]) -> Callable[..., Parameters]:
    """Return gradients that are too large by a factor of the targets ``y``."""
    return lambda x, y, *rest: tuple(factor(y) * g for g in _gradients(x, y, *rest))


def _with_slope(slope: Callable[[Any, Any], Any]) -> Callable[..., Parameters]:
    return lambda *arguments: _gradients(*arguments, slope=slope)


def _network(seed: int, examples: int, width: int, outputs: int, dtype: str) -> tuple:
    """Return (x, y, w1, b1, w2, b2) of random numbers, with 3 inputs."""
    rng = np.random.default_rng(seed)
    shapes = ((examples, 3), (examples, outputs))
    shapes += ((3, width), (width,), (width, outputs), (outputs,))
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)


_GRADIENTS = FunctionTask(
    name="s03.2",
    section="Why nothing moves",
    title="write the gradients",
    hints=(
        "Go backwards: the gradient at the output is 2 * residual / residual.size; "
        "w2 gets h.T @ that, b2 gets its sum over the examples.",
        "At the hidden layer it is (gradient at the output @ w2.T) * (1 - h**2). Then "
        "w1 gets x.T @ that, and b1 its sum over the examples.",
    ),
    reference=_gradients,
    cases=(
        Case("6 examples, 4 units, 2 outputs", _network(0, 6, 4, 2, "float64")),
        Case("a network of width 1", _network(1, 6, 1, 2, "float64")),
        Case("a single example", _network(2, 1, 3, 2, "float64")),
        Case("float32 numbers", _network(3, 5, 4, 2, "float32")),
        Case(
            "a network of zeros",
            tuple(
                array * (place < 2)
                for place, array in enumerate(_network(4, 6, 4, 2, "float64"))
            ),
        ),
    ),
    parts=("dw1", "db1", "dw2", "db2"),
    rtol=1e-4,
    mistakes=(
        (
            _scaled(lambda y: 0.5),
            "every gradient is half of what it should be: the derivative of a square "
            "brings a factor 2",
        ),
        (
            _scaled(lambda y: y.size),
            "these are the gradients of the summed loss: divide by the number of "
            "residuals, for the loss is their mean",
        ),
        (
            _scaled(lambda y: y.shape[1]),
            "the loss is the mean over examples and outputs: divide by both numbers, "
            "not by the examples alone",
        ),
        (
            _scaled(lambda y: -1),
            "every gradient has the wrong sign: the residual is output minus target",
        ),
        (
            _with_slope(lambda z, h: 1),
            "the slope of tanh is missing on the way back: multiply by 1 - h**2",
        ),
        (
            _with_slope(lambda z, h: 1 - np.tanh(h) ** 2),
            "the slope of tanh is taken at h: it belongs at the pre-activation, where "
            "it is 1 - h**2",
        ),
        (
            _with_slope(lambda z, h: 1 - z**2),
            "the slope of tanh is 1 - h**2 with h = tanh(z), not 1 - z**2",
        ),
        (
            lambda *arguments: tuple(
                _gradients(*arguments)[place] for place in (2, 3, 0, 1)
            ),
            "the gradients are right, their order is not: return dw1, db1, dw2, db2",
        ),
    ),
)


# s03.3: predict what moves


def _moves(value: float, slope: float) -> tuple[set[str], set[str]]:
    if value == 0:
        return {"b2"}, {"b2"}
    ever = set(NAMES) if slope != 0 else {"w2", "b2"}
    return {"w2", "b2"}, ever


_MOVES = FunctionTask(
    name="s03.3",
    section="Why nothing moves",
    title="predict what moves",
    hints=(
        "In the first step w2 is zero, so nothing comes back to w1 and b1. Whether w2 "
        "moves depends on the hidden activity, which is f(0).",
        "w1 and b1 wait for w2. Once w2 has left zero, what reaches them is multiplied "
        "by f'(0). If w2 never leaves zero, they wait for ever.",
    ),
    reference=_moves,
    cases=tuple(
        Case(f"f(0) = {value:.3g}, f'(0) = {slope:.3g}", (value, slope))
        for value, slope in (
            (0.0, 1.0),
            (0.0, 0.0),
            (0.5, 0.25),
            (1.0, 0.0),
            (1.0, 1.0),
            (-1.0, 0.5),
            (1e-6, 1.0),
            (np.float32(math.log(2)), np.float32(0.5)),
        )
    ),
    parts=("first", "ever"),
    mistakes=(
        (
            lambda value, slope: (set(NAMES), set(NAMES)) if value else ({"b2"},) * 2,
            "in the first step w2 is still zero, so nothing comes back to w1 and b1: "
            "they move from the second step on",
        ),
        (
            lambda value, slope: ({"w2", "b2"}, set(NAMES)) if value else ({"b2"},) * 2,
            "the slope is not used: with f'(0) = 0, as for the cosine, nothing ever "
            "comes back through the hidden layer",
        ),
        (
            lambda value, slope: (
                _moves(value, slope)[0],
                set(NAMES) if slope else _moves(value, slope)[0],
            ),
            "a slope alone moves nothing: with f(0) = 0 the kernel w2 stays zero, and "
            "what comes back to w1 is multiplied by it",
        ),
        (
            lambda value, slope: tuple(
                names - {"b2"} for names in _moves(value, slope)
            ),
            "b2 is forgotten: the output bias sees the residual itself and always "
            "moves",
        ),
        (
            lambda value, slope: _moves(max(value, 0), slope),
            "a negative f(0) counts as well: ask whether it differs from zero",
        ),
        (
            lambda value, slope: (_moves(value, slope)[0],) * 2,
            "what the first step does is not all: once w2 has moved, something comes "
            "back to w1 and b1",
        ),
    ),
)


# s03.4: an experiment in Keras

CASES = (
    ("tanh", 0.0),
    ("relu", 0.0),
    ("sigmoid", 0.0),
    ("relu", 0.1),
    ("relu", -0.1),
)
"""The networks of the experiment: hidden activation and its constant start bias."""

_ONLY_B2 = {"b2"}
_EXPERIMENT = {
    ("tanh", 0.0): _ONLY_B2,
    ("relu", 0.0): _ONLY_B2,
    ("sigmoid", 0.0): set(NAMES),
    ("relu", 0.1): set(NAMES),
    ("relu", -0.1): _ONLY_B2,
}


def _first_wrong(report: dict) -> str:
    case = next(key for key in CASES if set(report[key]) != _EXPERIMENT[key])
    return (
        f"for {describe(case)} you report {describe(set(report[case]))}, training "
        f"moves {describe(_EXPERIMENT[case])}; compare the weights from before and "
        "after fit, array by array"
    )


def _every_entry(names: set[str]) -> dict:
    return dict.fromkeys(CASES, names)


_REPORT = ValueTask(
    name="s03.4",
    section="The slide's experiment",
    title="watch Keras move",
    hints=(
        "model.get_weights() gives [w1, b1, w2, b2] as copies. Take them before and "
        "after model.fit and compare with np.array_equal.",
        'Dense(8, activation=activation, kernel_initializer="zeros", bias_initializer='
        "keras.initializers.Constant(bias)), then Dense(1, "
        'kernel_initializer="zeros"). Train for several epochs: w1 needs w2 to have '
        "moved.",
    ),
    expected=_EXPERIMENT,
    mistakes=(
        (
            _every_entry(set()),
            "not even b2 has moved: the two copies come from the same moment, or fit "
            "was not called; take one before it and one after it",
        ),
        (
            _every_entry(set(NAMES)),
            "everything moves everywhere: the kernels do not start at zero; set "
            'kernel_initializer="zeros" in both layers',
        ),
        (
            {**_EXPERIMENT, ("relu", 0.1): _ONLY_B2},
            "a ReLU with bias 0.1 behaves here as with bias 0: the bias does not "
            "arrive; pass bias_initializer=keras.initializers.Constant(bias)",
        ),
        (
            {**_EXPERIMENT, ("relu", -0.1): set(NAMES)},
            "a ReLU whose bias is negative and whose kernel is zero is off for every "
            "input; check the sign of the bias",
        ),
        (
            {
                key: {"w2", "b2"} if names == set(NAMES) else names
                for key, names in _EXPERIMENT.items()
            },
            "you stopped after one step: w1 and b1 move from the second step on; "
            "train for several epochs",
        ),
    ),
    remedy=_first_wrong,
)


# s03.5: the network that a network of copies is


def _groups(
    w1: Any, b1: Any, known: Callable[[list, tuple], int | None]
) -> list[list[int]]:
    """Return the units in groups of copies; ``known`` finds the group of a unit."""
    keys: list[tuple] = []
    groups: list[list[int]] = []
    for unit in range(w1.shape[1]):
        key = (*w1[:, unit].tolist(), b1[unit].item())
        place = known(keys, key)
        if place is None:
            keys.append(key)
            groups.append([unit])
        else:
            groups[place].append(unit)
    return groups


def _anywhere(keys: list[tuple], key: tuple) -> int | None:
    return keys.index(key) if key in keys else None


def _neighbours(keys: list[tuple], key: tuple) -> int | None:
    return len(keys) - 1 if keys and keys[-1] == key else None


def _without_bias(keys: list[tuple], key: tuple) -> int | None:
    return _anywhere([known[:-1] for known in keys], key[:-1])


def _collapse(
    w1: Any,
    b1: Any,
    w2: Any,
    known: Callable[[list, tuple], int | None] = _anywhere,
    merge: Callable[[Any], Any] = lambda rows: rows.sum(axis=0),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    groups = _groups(w1, b1, known)
    first = [group[0] for group in groups]
    return w1[:, first], b1[first], np.stack([merge(w2[group]) for group in groups])


def _same_network(result: Any, expected: tuple, arguments: tuple) -> bool:
    """Tell whether ``result`` has as many units and the same outputs."""
    shapes = [part.shape for part in expected]
    if not isinstance(result, list | tuple) or len(result) != 3:
        return False
    if [np.shape(part) for part in result] != shapes:
        return False
    x = np.random.default_rng(0).standard_normal((32, shapes[0][0]))
    outputs = (_forward(x, *map(np.asarray, net), 0) for net in (result, expected))
    return agree(*outputs, 1e-4)


def _copies(
    place: Sequence[int], bias: Sequence[float], dtype: str = "float64"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a network whose units with the same ``place`` have the same kernel."""
    rng = np.random.default_rng(5)
    kernels = rng.standard_normal((3, max(place) + 1))[:, list(place)]
    outgoing = rng.uniform(0.5, 1.5, size=(len(place), 2))
    return (
        kernels.astype(dtype),
        np.array(bias, dtype=dtype),
        outgoing.astype(dtype),
    )


_COLLAPSE = FunctionTask(
    name="s03.5",
    section="The other disease: all alike",
    title="collapse the copies",
    hints=(
        "Two units with the same column of w1 and the same entry of b1 have the same "
        "activity h. What do two equal terms h*a + h*b add up to?",
        "np.unique(np.vstack([w1, b1]), axis=1, return_inverse=True) gives the "
        "different units and which one each old unit is. Add up the rows of w2 that "
        "belong to the same one.",
    ),
    reference=_collapse,
    cases=(
        Case("six copies of one unit", _copies([0] * 6, [0.3] * 6)),
        Case("a network of width 1", _copies([0], [0.3])),
        Case("copies that are no neighbours", _copies([0, 1, 0, 2, 1], [0.1] * 5)),
        Case("equal kernels, different biases", _copies([0, 0, 0], [0.1, 0.2, 0.1])),
        Case("units that all differ", _copies([0, 1, 2], [0.1, 0.1, 0.1])),
        Case("float32 numbers", _copies([1, 0, 1], [0.1] * 3, "float32")),
    ),
    same=_same_network,
    parts=("w1", "b1", "w2"),
    mistakes=(
        (
            lambda w1, b1, w2: (w1, b1, w2),
            "nothing is merged: the copies are all still there",
        ),
        (
            lambda w1, b1, w2: _collapse(w1, b1, w2, merge=lambda rows: rows[0]),
            "the merged unit keeps the outgoing weights of one copy: it has to do the "
            "work of all, so add them up",
        ),
        (
            lambda w1, b1, w2: _collapse(w1, b1, w2, merge=lambda rows: rows.mean(0)),
            "the merged unit has the mean of the outgoing weights: the copies' "
            "contributions add up, so take the sum",
        ),
        (
            lambda w1, b1, w2: _collapse(w1, b1, w2, known=_without_bias),
            "units with equal kernels and different biases are merged: they are no "
            "copies, compare the bias as well",
        ),
        (
            lambda w1, b1, w2: _collapse(w1, b1, w2, known=_neighbours),
            "only neighbours are merged: compare each unit with all others",
        ),
    ),
)


# s03.6: the cure, and a trap

_SHAPES = [(64, 160), (160, 160), (160, 160), (160, 1)]
_STD_TOLERANCE = 0.04  # more than five standard errors of a std from 64 * 160 numbers


def _kernels(answer: Any) -> list[np.ndarray]:
    """Return the kernels of the model that ``answer`` is, or that it builds."""
    model = answer if hasattr(answer, "get_weights") else call(answer, ())
    if is_blank(model):
        raise Unanswered
    if not hasattr(model, "get_weights"):
        raise AnswerError(f"build() returns {describe(model)}; return the model")
    kernels = [weight for weight in model.get_weights() if np.ndim(weight) == 2]
    if not kernels:
        raise AnswerError(
            "the model has no weights yet: begin it with keras.Input(shape=(64,))"
        )
    shapes = [kernel.shape for kernel in kernels]
    if shapes != _SHAPES:
        raise AnswerError(
            f"the kernels' shapes are {describe(shapes)}, asked for are "
            f"{describe(_SHAPES)}"
        )
    return kernels


def _units(kernel: np.ndarray) -> int:
    return len(np.unique(kernel, axis=1).T)


def _twin_message(kernels: list[np.ndarray]) -> str:
    first, second = twins(kernels)
    return (
        f"layers {first + 1} and {second + 1} start with the same numbers: one "
        "initializer instance or one seed is shared, and Keras draws the same numbers "
        'from it each time; give each layer an instance of its own, or the name "he_'
        'normal"'
    )


def _wrong_std(kernels: list[np.ndarray]) -> tuple[int, np.ndarray] | None:
    """Return the first hidden layer whose std is not He's, from 1, and its kernel."""
    for layer, kernel in enumerate(kernels[:-1], start=1):
        right = math.sqrt(2 / kernel.shape[0])
        if not agree(kernel.std(), right, _STD_TOLERANCE):
            return layer, kernel
    return None


def _std_message(kernels: list[np.ndarray]) -> str:
    layer, kernel = _wrong_std(kernels)
    named = name_std(kernel.std(), kernel.shape, "he_normal", _STD_TOLERANCE)
    return f"the std of layer {layer}'s kernel is not right: {named}"


_BUILD = MeasuredTask(
    name="s03.6",
    section="What it costs",
    title="cure it, without twins",
    hints=(
        "The chapter on signals found the std at which ReLU layers neither shrink nor "
        "blow up the signal: √(2 / fan_in). Keras knows it under a name.",
        'kernel_initializer="he_normal", as a text, in every layer: each layer then '
        "makes an initializer of its own. Look at np.array_equal of two kernels.",
    ),
    measure=_kernels,
    diagnoses=(
        (
            lambda kernels: not any(kernel.any() for kernel in kernels),
            "all kernels are zero: this is the illness; draw random numbers",
        ),
        (
            lambda kernels: any(_units(kernel) == 1 for kernel in kernels[:-1]),
            "in one layer all units have the same kernel and stay copies of each "
            "other; draw random numbers in every hidden layer",
        ),
        (lambda kernels: twins(kernels) is not None, _twin_message),
        (lambda kernels: _wrong_std(kernels) is not None, _std_message),
        (
            lambda kernels: not kernels[-1].any(),
            "the kernel of the output layer is zero: for the first step that cuts all "
            "others off; draw it as well",
        ),
    ),
)


# s03.7: how small is small


def _steps_per_decade(lr: float = 0.05) -> float:
    """Return the steps in which a tiny start grows by a factor of ten.

    Near zero tanh is the identity, and each step multiplies the growing direction by
    1 + lr |c| with c the gradient of the loss with respect to the product w1 w2.
    """
    x, y = examples()
    growth = 1 + lr * np.linalg.norm(2 * x.T @ y / len(x))
    return math.log(10) / math.log(growth)


def _small_task() -> ValueTask:
    right = _steps_per_decade()
    return ValueTask(
        name="s03.7",
        section="What it costs",
        title="measure how small is small",
        hints=(
            "steps_to_half(std) is the first place where losses < losses[0] / 2: "
            "np.argmax of that condition. Use the same directions for every std.",
            "(steps_to_half(1e-9) - steps_to_half(1e-3)) / 6, for from 1e-3 to 1e-9 "
            "there are six powers of ten.",
        ),
        expected=right,
        rtol=0.05,
        mistakes=(
            (
                6 * right,
                "this is the difference over all six powers of ten; divide by 6",
            ),
            (
                right / math.log(10),
                "this is per factor e, the question is per factor ten; multiply by "
                "ln 10",
            ),
            (1 / right, "this is powers of ten per step; take its inverse"),
            (
                -right,
                "the sign is turned round: the smaller start needs more steps, so "
                "subtract the other way round",
            ),
            (
                0,
                "the two starts take the same time here, so std does not arrive in "
                "the kernels; multiply both of them by it",
            ),
            (
                _steps_per_decade(lr=0.1),
                "this belongs to a learning rate twice as large; leave lr as it is",
            ),
        ),
        remedy=(
            "take the first step at which the loss is below half of its start, for "
            "std 1e-3 and 1e-9, and divide the difference by the six powers of ten"
        ),
    )


# s03.8: wake it with seven numbers

WIDTH = 8
STEPS = 2000
GOAL = 0.1
_START = {"w1": (4, WIDTH), "b1": (WIDTH,), "w2": (WIDTH, 1), "b2": (1,)}


def _copied_units(parameters: Parameters) -> tuple[int, int] | None:
    w1, b1, w2, _ = parameters
    return twins(list(np.vstack([w1, b1, w2.T]).T))


def _read_start(answer: Any) -> Parameters:
    asked = tuple(np.zeros(_START[name]) for name in NAMES)
    if wrong := misfit(answer, asked, NAMES):
        raise AnswerError(wrong)
    return tuple(np.asarray(part, dtype=float) for part in answer)


def _numbers(parameters: Parameters) -> int:
    return sum(np.count_nonzero(array) for array in parameters)


def _copies_message(parameters: Parameters) -> str:
    first, second = _copied_units(parameters)
    return (
        f"units {first} and {second} start as copies (the same column of w1, entry of "
        "b1 and row of w2) and stay copies; make them differ in one number"
    )


def _final_loss(parameters: Parameters) -> float:
    with np.errstate(all="ignore"):
        return float(train(*parameters, STEPS)[0][-1])


_WAKE = MeasuredTask(
    name="s03.8",
    section="A nudge in the last bit",
    title="wake it with seven numbers",
    hints=(
        "Two units that start alike stay alike. Of eight units one may start at zero "
        "altogether, the other seven need a number each: where does a number wake its "
        "unit?",
        "Seven different numbers in b1 or in w2 are enough: through w2 the first step "
        "moves w1, through b1 it moves w2. Keep them below about 1, tanh is flat "
        "further out.",
    ),
    measure=_read_start,
    diagnoses=(
        (
            lambda start: _numbers(start) == 0,
            "nothing differs from zero: only b2 will ever move; set a number for each "
            "unit but one",
        ),
        (
            lambda start: _numbers(start) >= WIDTH,
            lambda start: (
                f"{_numbers(start)} numbers differ from zero, at most {WIDTH - 1} are "
                "allowed: which unit needs none?"
            ),
        ),
        (lambda start: _copied_units(start) is not None, _copies_message),
        (
            lambda start: not _final_loss(start) < GOAL,
            lambda start: (
                f"all units differ, but after {STEPS} steps the loss is "
                f"{_final_loss(start):.2f} and not below {GOAL}: large numbers put "
                "tanh where it is flat; try smaller ones, or another place"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (
    _COUNT,
    _GRADIENTS,
    _MOVES,
    _REPORT,
    _COLLAPSE,
    _BUILD,
    _small_task(),
    _WAKE,
)
