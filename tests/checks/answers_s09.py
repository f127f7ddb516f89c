"""Right and wrong answers to the exercises on batch normalization."""

from __future__ import annotations

import math

import numpy as np


def by_counting(start=1.0, share=0.99**2):
    """Step the moving variance until it is near enough."""
    moving, steps = start, 0
    while moving < 4 * share:
        moving, steps = moving + 0.01 * (4 - moving), steps + 1
    return steps


def by_matrix(z, gradient, gamma, epsilon):
    """Multiply by each unit's matrix of derivatives."""
    z = np.asarray(z, dtype=float)
    columns = []
    for unit in range(z.shape[1]):
        n = len(z)
        std = math.sqrt(z[:, unit].var() + epsilon)
        x = (z[:, unit] - z[:, unit].mean()) / std
        jacobian = (np.eye(n) - 1 / n - np.outer(x, x) / n) * gamma[unit] / std
        columns.append(jacobian @ gradient[:, unit])
    return np.stack(columns, axis=1)


def slipped(slip):
    def back(z, gradient, gamma, epsilon):
        n = len(z)
        std = (z.var(0) + (0 if slip == "epsilon" else epsilon)) ** 0.5
        std = np.where(std > 0, std, 1e-6)
        x = (z - z.mean(0)) / std
        mean, along = gradient.sum(0) / n, (gradient * x).sum(0) / n
        if slip in ("constants", "mean"):
            mean = 0
        if slip in ("constants", "std"):
            along = 0
        if slip == "sums":
            mean, along = n * mean, n * along
        scale = {"gamma": 1.0, "variance": gamma / std}.get(slip, gamma)
        if slip == "axis":
            mean = gradient.mean()
        return scale / std * (gradient - mean - x * along)

    return back


def simulated(c=3.0, rate=0.1, decay=0.01, steps=3000, dimension=60, seed=4):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=dimension)
    turned = []
    for _ in range(steps):
        across = rng.normal(size=dimension)
        across -= across @ w / (w @ w) * w
        g = c * across / np.sqrt(across @ across) / np.sqrt(w @ w)
        new = (1 - rate * decay) * w - rate * g
        gap = new / np.sqrt(new @ new) - w / np.sqrt(w @ w)
        turned.append(2 * math.asin(np.sqrt(gap @ gap) / 2))
        w = new
    return np.mean(turned[-1000:])


RIGHT = {
    "s09.1": [by_counting(), 362.0],
    "s09.2": [by_matrix, slipped("none")],
    "s09.3": [simulated(), simulated(c=20.0, seed=9), math.sqrt(0.002)],
    "s09.4": [(1.0, 1.0), [3.0, 3.6]],
}

WRONG = {
    "s09.1": [
        (by_counting(share=0.99), "this is for a variance within 1 %"),
        (by_counting(start=0.0), "Keras's moving variance begins at 1"),
        (361, "round up"),
        (100, "the time constant"),
        (459, "1 % of what was missing at the start"),
        (10, "solve 4 − 3 · 0.99^k"),
    ],
    "s09.2": [
        (slipped("constants"), "mean and std are treated as constants"),
        (slipped("mean"), "the part through the mean is missing"),
        (slipped("std"), "the part through the std is missing"),
        (slipped("variance"), "you divide by the variance"),
        (slipped("sums"), "you subtract sums"),
        (slipped("gamma"), "gamma is missing"),
        (slipped("epsilon"), "for a large epsilon: the values are wrong"),
        (slipped("axis"), "for 8 samples, 4 units: the values are wrong"),
        (lambda z, g, gamma, epsilon: g[0], "for 8 samples, 4 units: an array of"),
    ],
    "s09.3": [
        (0.002, "this is the square of the angle"),
        (2.56, "this is in degrees"),
        (math.sqrt(0.001), "the 2 is missing"),
        (math.atan(0.3), "this is the very first step"),
        (math.cos(0.0447), "this is the cosine"),
        (0.5, "average the angle"),
    ],
    "s09.4": [
        ((1.0, 0.0), "the gradient grows by a factor of up to"),
        ((7.0, 0.0), "gamma alone changes nothing"),
        ((1.0, 2.0), "the stack is nearly linear"),
        ((0.02, 0.02), "the layer switches itself off"),
        ((1.0, -9.0), "the ReLU is on in 0.0 % of all cases only"),
        ((1.0, -2.5), "next to nothing passes"),
        ((-1.0, 1.0), "take a positive one"),
        (1.0, "2 results are asked for (gamma, beta)"),
    ],
}
