"""Right and wrong answers to the exercises on the uses of zero."""

from __future__ import annotations

import numpy as np

from initlab.checks import q4


def losses(**changes):
    """The five losses, measured on labels with exactly these shares."""
    labels = np.array([1, 0, 0, 0, 0])
    targets = np.array([1.0, 5.0])

    def cross(p):
        return np.mean(-np.log(np.where(labels == 1, p, 1 - p)))

    right = {
        "10 classes": -np.log(0.1),
        "2 classes": cross(0.5),
        "2 classes, bias": cross(0.2),
        "regression": np.mean(targets**2),
        "regression, bias": np.mean((targets - 3) ** 2),
    }
    return {**right, **{key.replace("_", " "): v for key, v in changes.items()}}


def by_pinv(x, y, start):
    inverse = np.linalg.pinv(x)
    return inverse @ y + start - inverse @ (x @ start)


def by_descent(x, y, start):
    rate = 1 / np.linalg.norm(x, 2) ** 2
    w = start
    for _ in range(3000):
        w = w + rate * x.T @ (y - x @ w)
    return w


def doubling(seed, extra=1.0):
    """Where the error on fresh samples is 1 + extra times that of zero."""
    rng = np.random.default_rng(seed)
    errors = []
    for x, y, fresh, fresh_y in q4.problems():
        ends = (by_pinv(x, y, std * rng.normal(size=50)) for std in (0, 0.4))
        errors.append([np.mean((fresh @ w - fresh_y) ** 2) for w in ends])
    zero, random = np.mean(errors, axis=0)
    return 0.4 * np.sqrt(extra * zero / (random - zero))


def mirrored(change=None):
    """Pairs of units with equal incoming and opposite outgoing weights."""

    def branch(n, m, rng):
        if change == "seed":
            rng = np.random.default_rng(1)
        w1 = np.repeat(rng.normal(size=(n, m // 2)), 2, axis=1)
        w2 = np.repeat(rng.normal(size=(m // 2, n)), 2, axis=0)
        std1, std2 = np.sqrt(2 / n), np.sqrt(2 / m)
        if change == "crelu":
            w1[:, 1::2] *= -1
        if change != "same sign":
            w2[1::2] *= -1
        if change == "one kind":
            w1 = np.repeat(w1[:, :1], m, axis=1)
            w1 /= w1.std()
        if change == "plain":
            w1, w2 = rng.normal(size=(n, m)), rng.normal(size=(m, n))
        if change == "zero kernel":
            w2 = np.zeros((m, n))
        if change == "copies":
            w1 = np.repeat(w1[:, ::2], 2, axis=1)
            w1[:, 2:4] = w1[:, :2]
            w2[2:4] = w2[:2]
        if change == "variance":
            std1, std2 = std1**2, std2**2
        if change == "lecun":
            std1, std2 = std1 / np.sqrt(2), std2 / np.sqrt(2)
        if change == "glorot":
            std2 = np.sqrt(2 / (n + m))
        if change == "fan_out":
            std1, std2 = std2, std1
        return std1 * w1, std2 * w2

    return branch


def in_fours(n, m, rng):
    """Groups of four whose outgoing weights sum to zero, from a uniform."""
    kernel = rng.uniform(-1, 1, size=(n, m // 2)) * np.sqrt(6 / n)
    w1 = np.concatenate([kernel, kernel[:, ::-1]], axis=1)
    rows = rng.uniform(-1, 1, size=(m // 2, n)) * np.sqrt(6 / m)
    return w1, np.concatenate([rows, -rows[::-1]])


def in_two_sizes(n, m, rng):
    """Two copies of a unit, and two of the same with twice the incoming weights."""
    kernel = rng.normal(size=(n, m // 4)) / np.sqrt(n)
    rows = rng.normal(size=(m // 4, n)) / np.sqrt(m)
    w1 = np.hstack([kernel, kernel, 2 * kernel, 2 * kernel])
    return w1, np.vstack([2 * rows, 2 * rows, -rows, -rows])


RIGHT = {
    "q4.1": [losses(), {k: round(v, 4) for k, v in losses().items()}],
    "q4.2": [by_pinv, by_descent],
    "q4.3": [doubling(0), doubling(1), 0.3],
    "q4.4": [mirrored(), in_fours],
}

WRONG = {
    "q4.1": [
        (losses(**{"10_classes": 1.0}), "'10 classes', 1: the cross-entropy takes"),
        (losses(**{"2_classes": 0.5004}), "sigmoid(0) is ½ for every sample"),
        (losses(**{"2_classes,_bias": 0.6931}), "sigmoid(bias) is 0.2"),
        (losses(**{"2_classes,_bias": 0.7219}), "the entropy in bits"),
        (losses(regression=4.0), "variance plus squared mean"),
        (losses(regression=6.5), "the mean squared error has no ½"),
        (losses(**{"regression,_bias": 2.0}), "this is the std"),
        (losses(**{"regression,_bias": 3.0}), "not the loss of that constant"),
        ({"regression": 13}, "the dict lacks '10 classes'"),
    ],
    "q4.2": [
        (lambda x, y, start: np.linalg.pinv(x) @ y, "where a start at zero ends"),
        (
            lambda x, y, start: start + np.linalg.pinv(x) @ y,
            "fits y on top of the start",
        ),
        (
            lambda x, y, start: np.linalg.pinv(x) @ (y + x @ start),
            "the wrong part of the start",
        ),
        (lambda x, y, start: 2 * start - by_pinv(x, y, start), "has the wrong sign"),
        (
            lambda x, y, start: start - np.linalg.pinv(x) @ x @ start,
            "what remains of the start",
        ),
        (
            lambda x, y, start: start - x.T @ (x @ start - y) / len(y),
            "one step of descent",
        ),
        (
            lambda x, y, start: by_pinv(x, y, start) if len(y) > 1 else start,
            "for a single sample",
        ),
        (
            lambda x, y, start: np.linalg.solve(x.T @ x, x.T @ y),
            "raises LinAlgError for a feature that is always 0",
        ),
    ],
    "q4.3": [
        (0.09, "the variance of the start"),
        (doubling(2, extra=3), "here the rms has doubled"),
        (0.2, "He's std"),
        (0.1414, "LeCun's std"),
        (0.3 * np.sqrt(50), "the length of the whole start"),
        (doubling(2, extra=2), "here the error has tripled"),
        (0.01, "that of a start at zero"),
    ],
    "q4.4": [
        (mirrored("zero kernel"), "4000 weights are 0"),
        (mirrored("crelu"), "the branch is linear and not silent"),
        (mirrored("plain"), "the branch is not silent"),
        (mirrored("same sign"), "the branch is not silent"),
        (mirrored("copies"), "only 49 different units"),
        (in_two_sizes, "some units remain copies after the first step"),
        (mirrored("seed"), "as one shared seed does"),
        (mirrored("one kind"), "only 1 different units"),
        (mirrored("variance"), "the std of w1 is not He's: this is the variance"),
        (mirrored("lecun"), "the ReLU's ½ is missing"),
        (mirrored("glorot"), "the std of w2 is not He's: Glorot's"),
        (mirrored("fan_out"), "fan_out where He uses fan_in"),
        (lambda n, m, rng: mirrored()(n, m, rng)[::-1], "w1: an array of shape"),
    ],
}
