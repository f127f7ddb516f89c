"""Right and wrong answers to the exercises on what goes wrong."""

from __future__ import annotations

import numpy as np

from initlab.checks import q2


def rate(change=None):
    """The largest stable rate, from the eigenvalues of the Hessian."""

    def critical(x):
        if change == "covariance":
            x = x - x.mean(axis=0)
        hessian = 2 * x.T.astype(float) @ x / len(x)
        if change == "features":
            hessian = 2 * x.T @ x / x.shape[1]
        if change == "sum":
            hessian = hessian * len(x)
        if change == "no 2":
            hessian = hessian / 2
        curvature = np.linalg.eigvalsh(hessian)
        largest = curvature[-1]
        if change == "root":
            largest = 2 * np.sqrt(largest * len(x) / 2) / len(x)
        if change == "smallest":
            largest = curvature[-min(x.shape)]
        if change == "trace":
            largest = np.trace(hessian)
        if change == "diagonal":
            largest = hessian.diagonal().max()
        if change == "one step":
            return 1 / largest
        return 2 / (largest + 1e-300)

    return critical


def rate_by_power_iteration(x):
    direction = np.arange(1.0, x.shape[1] + 1)
    for _ in range(3000):
        direction = x.T @ (x @ direction)
        size = np.linalg.norm(direction)
        direction = direction / size
    return len(x) / size


def counts(alive_before, alive_after, relu=True):
    """How many units of each hidden layer are the first and then the second."""
    x, before, after = q2.bent_down()
    found = []
    flags = []
    for w1, b1, w2, b2, *_ in (before, after):
        z1 = np.einsum("si,kij->ksj", x, w1) + b1
        z2 = (z1 * (z1 > 0) if relu else z1) @ w2 + b2
        flags.append([z.max(axis=1) > 0 for z in (z1, z2)])
    for old, new in zip(*flags, strict=True):
        right_before = True if alive_before is None else old == alive_before
        right_after = True if alive_after is None else new == alive_after
        found.append(int(np.sum(right_before & right_after & (old == old))))
    return found


def repair(center=np.mean, scaled=1.0, sign=-1, power=1.0, growth=1.0):
    """Centre each unit and give it a spread of one, layer by layer."""

    def start(kernels, x):
        scales, biases = np.ones(len(kernels)), np.zeros(kernels.shape[:2])
        h = x
        for layer, kernel in enumerate(kernels):
            z = h @ kernel
            middle = center(z, axis=0)
            if scaled:
                goal = scaled * growth**layer
                spread = np.sqrt(np.mean((z - middle) ** 2)) / goal
                scales[layer] = spread**-power
            biases[layer] = sign * scales[layer] * middle
            h = np.maximum(scales[layer] * z + biases[layer], 0)
        return scales, biases

    return start


def constant(bias, scale=1.0):
    return lambda kernels, x: (
        np.full(len(kernels), scale),
        np.full(kernels.shape[:2], float(bias)),
    )


RIGHT = {
    "q2.1": [[52, 70], (np.int64(52), 70.0)],
    "q2.2": [rate(), rate_by_power_iteration],
    "q2.3": [counts(False, True), tuple(np.array(counts(False, True)))],
    "q2.4": [repair(), repair(np.median), repair(scaled=1.2)],
}

WRONG = {
    "q2.1": [
        ((26, 35), "where the second moment leaves the range"),
        ((43, 96), "the ReLU's ½ is missing"),
        ((51, 69), "the last layers within the range"),
        ((70, 52), "the two are exchanged"),
        ((26, 188), "take logarithms of the limits"),
        (52, "2 results are asked for"),
    ],
    "q2.2": [
        (rate("no 2"), "brings a factor 2"),
        (rate("one step"), "this is 1/λ"),
        (rate("sum"), "for the summed loss"),
        (rate("features"), "divides by the number of features"),
        (rate("root"), "has to be squared"),
        (rate("trace"), "the sum of all curvatures"),
        (rate("diagonal"), "the largest entry of the diagonal"),
        (rate("smallest"), "the smallest curvature"),
        (lambda x: 0.5, "for 50 samples of 4 features: your function gives 0.5"),
        (
            lambda x: rate()(x) if len(x) > 1 else 0.0,
            "for a single sample: your function gives 0 instead",
        ),
    ],
    "q2.3": [
        ((0, 0), "count, do not conclude"),
        (counts(True, False), "these units died in training"),
        (counts(False, None), "all that are dead before"),
        (counts(None, False), "all that are dead after"),
        (counts(False, True, relu=False), "what comes out of the ReLU"),
        (counts(False, True)[::-1], "the two layers are exchanged"),
        ((1, 2), "count units that are dead before and not after"),
    ],
    "q2.4": [
        (constant(0), "% of the units are dead on fresh inputs"),
        (constant(-2), "nearly every unit is dead"),
        (repair(sign=1), "are dead"),
        (repair(scaled=0), "set each scale from the spread of its own layer"),
        (repair(growth=0.8), "hands on less than He's 2/n counts on"),
        (repair(growth=1.3), "by the std and not by its square"),
        (repair(power=2), "set each scale from the spread of its own layer"),
        (
            repair(lambda z, axis: np.quantile(z, 0.15, axis=axis)),
            "make the layer nearly linear",
        ),
        (repair(lambda z, axis: np.quantile(z, 0.85, axis=axis)), "push too far down"),
        (
            lambda kernels, x: (np.ones(30), np.zeros(64)),
            "biases: an array of shape (30, 64) is asked for",
        ),
    ],
}
