"""Right and wrong answers to the exercises on zero and constant initialization."""

from __future__ import annotations

import math

import numpy as np

from initlab import schemes
from initlab.checks import s03

ALL_NAMES = set(s03.NAMES)


def gradients_by_loops(x, y, w1, b1, w2, b2):
    parts = [np.zeros(p.shape) for p in (w1, b1, w2, b2)]
    for xi, yi in zip(x, y, strict=True):
        h = np.tanh(xi @ w1 + b1)
        error = 2 * (h @ w2 + b2 - yi) / y.size
        back = (w2 @ error) / np.cosh(xi @ w1 + b1) ** 2
        for part, slope in zip(
            parts, (np.outer(xi, back), back, np.outer(h, error), error), strict=True
        ):
            part += slope
    return parts


def mutated_gradients(change):
    def gradients(x, y, w1, b1, w2, b2):
        z = x @ w1 + b1
        h = np.tanh(z)
        out = 2 * (h @ w2 + b2 - y) / y.size
        if change == "no 2":
            out = out / 2
        if change == "sum":
            out = out * y.size
        if change == "examples":
            out = out * y.shape[1]
        if change == "sign":
            out = -out
        slope = {"no slope": 1, "at h": 1 - np.tanh(h) ** 2, "of z": 1 - z**2}
        hid = out @ w2.T * slope.get(change, 1 - h**2)
        result = x.T @ hid, hid.sum(0), h.T @ out, out.sum(0)
        if change == "order":
            return result[2], result[3], result[0], result[1]
        if change == "transposed":
            return result[0].T, *result[1:]
        if change == "three":
            return result[:3]
        if change == "mean":
            return result[0], hid.mean(0), result[2], out.mean(0)
        return result

    return gradients


def experiment(**changed):
    report = {case: set(names) for case, names in s03._EXPERIMENT.items()}
    for key, names in changed.items():
        report[{"on": ("relu", 0.1), "off": ("relu", -0.1)}[key]] = names
    return report


def collapse_in_numpy(w1, b1, w2):
    kinds, kind = np.unique(np.vstack([w1, b1]), axis=1, return_inverse=True)
    merged = np.zeros((kinds.shape[1], w2.shape[1]))
    np.add.at(merged, kind.ravel(), w2)
    return [kinds[:-1], kinds[-1], merged]


def collapse_with(key, merge):
    """Collapse units with the same key, merging their outgoing rows by a function."""

    def collapse(w1, b1, w2):
        groups: dict = {}
        for unit in range(len(b1)):
            groups.setdefault(key(w1, b1, unit), []).append(unit)
        first = [units[0] for units in groups.values()]
        rows = [merge(w2[units]) for units in groups.values()]
        return w1[:, first], b1[first], np.array(rows)

    return collapse


def whole(w1, b1, unit):
    return (*w1[:, unit], b1[unit])


def only_neighbours(w1, b1, w2):
    starts = [
        unit
        for unit in range(len(b1))
        if unit == 0 or whole(w1, b1, unit) != whole(w1, b1, unit - 1)
    ]
    return w1[:, starts], b1[starts], np.add.reduceat(w2, starts, axis=0)


class Model:
    """What the check needs of a Keras model, without Keras."""

    def __init__(self, *kernels):
        self.kernels = kernels

    def get_weights(self):
        biases = [np.zeros(kernel.shape[-1]) for kernel in self.kernels]
        pairs = zip(self.kernels, biases, strict=True)
        return [array for pair in pairs for array in pair]


def model_of(scheme, seed=0, shapes=s03._SHAPES):
    rng = np.random.default_rng(seed)
    return Model(*(schemes.get(scheme).sample(shape, rng) for shape in shapes))


def scaled(factor):
    return Model(*(factor(k) for k in model_of("he_normal").kernels))


def replaced(place, kernel):
    kernels = list(model_of("he_normal").kernels)
    kernels[place] = kernel
    return Model(*kernels)


def measured_steps(std):
    rng = np.random.default_rng(11)
    w1, w2 = std * rng.standard_normal((4, 8)), std * rng.standard_normal((8, 1))
    losses, _ = s03.train(w1, np.zeros(8), w2, np.zeros(1), steps=400)
    return np.argmax(losses < losses[0] / 2)


def start(**parts):
    shapes = s03._START
    return tuple(np.asarray(parts.get(n, np.zeros(shapes[n]))) for n in s03.NAMES)


def in_lists(value, slope):
    first = ["b2"] + ["w2"] * bool(value)
    return [first, [*first, "w1", "b1"] if value and slope else first]


def drops_the_unit(x, y, w1, b1, w2, b2):
    return tuple(np.squeeze(part) for part in s03._gradients(x, y, w1, b1, w2, b2))


def theory():
    x, y = s03.examples()
    slope = np.linalg.norm(2 * x.T @ y / 64)
    return math.log(10) / math.log1p(0.05 * slope)


def one_number_per_unit():
    kernel = np.zeros((4, 8))
    kernel[[0, 1, 2, 3, 0, 1, 2], range(7)] = [1, 1, 1, 1, -1, -1, -1]
    return list(start(w1=kernel))


SEVEN = np.append(np.linspace(-1, 0.8, 7), 0)

RIGHT = {
    "s03.1": [2, np.int64(2)],
    "s03.2": [mutated_gradients(None), gradients_by_loops],
    "s03.3": [s03._moves, in_lists],
    "s03.4": [experiment(), {case: sorted(n) for case, n in experiment().items()}],
    "s03.5": [collapse_with(whole, lambda rows: rows.sum(0)), collapse_in_numpy],
    "s03.6": [
        lambda: model_of("he_normal"),
        lambda: model_of("he_uniform"),
        model_of("he_normal"),
    ],
    "s03.7": [(measured_steps(1e-9) - measured_steps(1e-3)) / 6, theory()],
    "s03.8": [start(b1=SEVEN), start(w2=SEVEN[:, None]), one_number_per_unit()],
}

WRONG = {
    "s03.1": [
        (0, "all gradients are zero is often said"),
        (1, "one number for each output"),
        (26, "every number there is"),
        (6, "both biases"),
        (10, "the whole output layer"),
        (24, "that stay where they are"),
        (13, "one by one"),
    ],
    "s03.2": [
        (mutated_gradients("no 2"), "half of what it should be"),
        (mutated_gradients("sum"), "gradients of the summed loss"),
        (mutated_gradients("examples"), "not by the examples alone"),
        (mutated_gradients("sign"), "the wrong sign"),
        (mutated_gradients("no slope"), "the slope of tanh is missing"),
        (mutated_gradients("at h"), "the slope of tanh is taken at h"),
        (mutated_gradients("of z"), "not 1 - z**2"),
        (mutated_gradients("order"), "their order is not"),
        (
            mutated_gradients("transposed"),
            "units, 2 outputs: dw1: an array of shape (3, 4) is asked for",
        ),
        (mutated_gradients("three"), "4 results are asked for (dw1, db1, dw2, db2)"),
        (mutated_gradients("mean"), "2 outputs: the values of db1 and db2 are wrong"),
        (drops_the_unit, "for a network of width 1: dw1"),
    ],
    "s03.3": [
        (
            lambda v, s: (ALL_NAMES, ALL_NAMES if s else {"w2", "b2"}),
            "for f(0) = 0, f'(0) = 1: the values of first and ever are wrong",
        ),
        (
            lambda v, s: (ALL_NAMES if v else {"b2"},) * 2,
            "w2 is still zero, so nothing comes back",
        ),
        (
            lambda v, s: ({"w2", "b2"} if v else {"b2"}, ALL_NAMES if v else {"b2"}),
            "the slope is not used",
        ),
        (
            lambda v, s: (
                {"w2", "b2"} if v else {"b2"},
                ALL_NAMES if s else {"w2", "b2"} if v else {"b2"},
            ),
            "a slope alone moves nothing",
        ),
        (
            lambda v, s: (
                {"w2"} if v else set(),
                (ALL_NAMES - {"b2"} if s else {"w2"}) if v else set(),
            ),
            "b2 is forgotten",
        ),
        (
            lambda v, s: s03._moves(v if v > 0 else 0, s),
            "a negative f(0) counts as well",
        ),
        (
            lambda v, s: ({"w2", "b2"} if v else {"b2"},) * 2,
            "what the first step does is not all",
        ),
        (
            lambda v, s: s03._moves(v if abs(v) > 1e-3 else 0, s),
            "for f(0) = 1e-06, f'(0) = 1",
        ),
        (lambda v, s: {"b2"}, "2 results are asked for (first, ever)"),
    ],
    "s03.4": [
        (dict.fromkeys(s03.CASES, set()), "not even b2 has moved"),
        (dict.fromkeys(s03.CASES, ALL_NAMES), "the kernels do not start at zero"),
        (experiment(on={"b2"}), "the bias does not arrive"),
        (experiment(off=ALL_NAMES), "check the sign of the bias"),
        (
            {
                case: {"w2", "b2"} if len(names) > 1 else names
                for case, names in experiment().items()
            },
            "you stopped after one step",
        ),
        (
            experiment(on={"w1", "w2"}),
            "for ('relu', 0.1) you report {'w1', 'w2'}, training moves {'b1', 'b2', ",
        ),
        ({("tanh", 0.0): {"b2"}}, "the dict lacks ('relu', 0), ('sigmoid', 0)"),
        ({"b2"}, "a dict is asked for, this is {'b2'}"),
    ],
    "s03.5": [
        (lambda w1, b1, w2: (w1, b1, w2), "nothing is merged"),
        (collapse_with(whole, lambda rows: rows[0]), "keeps the outgoing weights of"),
        (collapse_with(whole, lambda rows: rows.mean(0)), "has the mean of"),
        (
            collapse_with(lambda w1, b1, unit: (*w1[:, unit],), lambda r: r.sum(0)),
            "different biases are merged",
        ),
        (only_neighbours, "only neighbours are merged"),
        (
            collapse_with(whole, lambda rows: -rows.sum(0)),
            "for six copies of one unit: the values of w2 are wrong",
        ),
        (
            lambda w1, b1, w2: (w1[:, 0], b1[:1], w2[:1]),
            "w1: an array of shape (3, 1) is asked for, this is an array of shape (3,)",
        ),
        (lambda w1, b1, w2: w1, "3 results are asked for (w1, b1, w2)"),
    ],
    "s03.6": [
        (scaled(lambda k: 0 * k), "all kernels are zero"),
        (scaled(lambda k: 0 * k + 0.1), "all units have the same kernel"),
        (replaced(2, model_of("he_normal").kernels[1]), "layers 2 and 3 start with"),
        (scaled(lambda k: k * np.sqrt(2 / k.shape[0])), "this is the variance"),
        (scaled(lambda k: k * np.sqrt(3)), "limit of the uniform distribution"),
        (model_of("lecun_normal"), "the ReLU's ½ is missing"),
        (model_of("glorot_uniform"), "Glorot's 2/(fan_in + fan_out)"),
        (
            scaled(lambda k: k * np.sqrt(k.shape[0] / k.shape[1])),
            "fan_out where He uses fan_in",
        ),
        (scaled(lambda k: 0.8796 * k), "cutting off the tails"),
        (scaled(lambda k: 5 * k), "layer 1's kernel is not right: 0.88"),
        (replaced(2, np.eye(160)), "layer 3's kernel is not right: the ReLU's ½"),
        (replaced(3, np.zeros((160, 1))), "the kernel of the output layer is zero"),
        (Model(), "no weights yet"),
        (model_of("he_normal", shapes=[(64, 160)]), "the kernels' shapes are [(64, 1"),
        (lambda: "a model", "build() returns 'a model'"),
        ("a model", "the function itself is asked for"),
    ],
    "s03.7": [
        (176.6, "over all six powers of ten"),
        (12.8, "per factor e"),
        (0.034, "powers of ten per step"),
        (-29.5, "the sign is turned round"),
        (0, "std does not arrive"),
        (15.3, "a learning rate twice as large"),
        (264, "take the first step at which"),
    ],
    "s03.8": [
        (start(), "only b2 will ever move"),
        (start(b1=SEVEN + 2), "8 numbers differ from zero, at most 7 are allowed"),
        (start(b1=[0, 0.1, 0.2, 0.2, 0, 0, 0, 0]), "units 2 and 3 start as copies"),
        (start(b2=[1.0]), "units 0 and 1 start as copies"),
        (start(b1=40 * SEVEN), "the loss is"),
        (start(w2=1e4 * SEVEN[:, None]), "and not below 0.1"),
        (start(b1=np.zeros(7)), "b1: an array of shape (8,) is asked for"),
        (start(b1=np.full(8, np.nan)), "not every number in this one is finite"),
        (start()[:3], "4 results are asked for (w1, b1, w2, b2)"),
        (start, "this is the function start"),
    ],
}
