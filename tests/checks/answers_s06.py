"""Right and wrong answers to the exercises on He initialization."""

from __future__ import annotations

import math

import numpy as np


def starved_by_networks(widths):
    """Measure the ratio in a He and a Glorot network of the same draws."""
    rng = np.random.default_rng(0)
    pairs = list(zip(widths[:-1], widths[1:], strict=True))
    draws = [np.abs(rng.standard_normal(pair)) for pair in pairs]  # every unit is on
    he = [d * math.sqrt(2 / d.shape[0]) for d in draws]
    glorot = [d * math.sqrt(2 / sum(d.shape)) for d in draws]
    x = np.abs(rng.standard_normal((1, widths[0])))
    pairs = zip(slopes(glorot, x), slopes(he, x), strict=True)
    return np.array([rms(g) / rms(h) for g, h in pairs])


def rms(array):
    return math.sqrt(np.mean(array**2))


def slopes(kernels, x):
    """Return every kernel's gradient of the sum of the outputs."""
    signals = [x]
    for kernel in kernels:
        signals.append(np.maximum(signals[-1] @ kernel, 0))
    gradient, found = np.ones_like(signals[-1]), []
    for kernel, signal in zip(kernels[::-1], signals[-2::-1], strict=True):
        found.append(signal.T @ gradient)
        gradient = gradient @ kernel.T
    return found[::-1]


def starved(change):
    def function(widths):
        shares = [
            math.sqrt(a / (a + b)) for a, b in zip(widths, widths[1:], strict=False)
        ]
        if change == "fan_out":
            shares = [
                math.sqrt(b / (a + b)) for a, b in zip(widths, widths[1:], strict=False)
            ]
        if change == "square":
            shares = [1 / math.sqrt(2)] * len(shares)
        if change == "variance":
            shares = [share**2 for share in shares]
        if change == "no half":
            shares = [share * math.sqrt(2) for share in shares]
        if change == "inverse":
            shares = [1 / share for share in shares]
        found = []
        for place, _ in enumerate(shares):
            below, above = shares[:place], shares[place + 1 :]
            factors = {"below": below, "above": above}.get(change, below + above)
            if change == "own":
                factors = shares
            found.append(math.prod(factors))
        if change == "signal":
            found = [math.prod(shares), *found]
        return sum(found) / len(found) if change == "mean" else found

    return function


def never_switch(seeds):
    """Count by signs instead of shares."""
    found = []
    for seed in seeds:
        rng = np.random.default_rng([7, seed])
        h = rng.standard_normal((100, 100))
        for _ in range(30):
            z = h @ (rng.standard_normal((100, 100)) * math.sqrt(0.02))
            h = z * (z > 0)
        found.append(np.all(z > 0, axis=0).sum() + np.all(z <= 0, axis=0).sum())
    return float(np.mean(found)) / 100


EXACT = 2**11.5

RIGHT = {
    "s06.1": [0.0790569, math.sqrt(1.6 / 256), np.float32(0.07906)],
    "s06.2": [starved(None), starved_by_networks],
    "s06.3": [never_switch(range(20)), 0.68, 0.73],
    "s06.4": [(EXACT / 4, 0.008), [EXACT / 2, 0.005], (np.float64(700), 0.01)],
}

WRONG = {
    "s06.1": [
        (0.00625, "this is the variance"),
        (0.13693, "limit of the uniform distribution"),
        (0.088388, "He's std without dropout"),
        (0.098821, "so the weights have to be smaller"),
        (0.070711, "and not by its square"),
        (0.055902, "the ReLU's ½ is missing"),
        (0.111803, "fan_out where He uses fan_in"),
        (0.091287, "the mean of the fans"),
        (0.064550, "Glorot's 2/(fan_in + fan_out)"),
        (0.05, "choose n_in · std² as the inverse of it"),
    ],
    "s06.2": [
        (starved("own"), "own factor does not enter its gradient"),
        (starved("variance"), "these are ratios of variances"),
        (starved("fan_out"), "this compares with 2/fan_out"),
        (starved("square"), "for layers of equal width"),
        (starved("no half"), "a factor ½ is missing"),
        (starved("inverse"), "this is He over Glorot"),
        (starved("below"), "only the signal's loss"),
        (starved("above"), "only the gradient's loss"),
        (starved("signal"), "an array of shape (3,) is asked for"),
        (starved("mean"), "for widths 32, 32, 32, 32: an array of shape (3,)"),
    ],
    "s06.3": [
        (0.0025, "take the thirtieth"),
        (0.36, "count both"),
        (0.5, "half of the entries of z are positive"),
        (0.31, "that do switch"),
        (69, "from 0 to 1"),
        (0.9, "look at the signs of the last pre-activations (within 10 % counts"),
    ],
    "s06.4": [
        ((1, 0.003), "at least one network stalls, its loss is 1.00"),
        ((1, 100), "a large rate does not stand in for the multiplier"),
        ((EXACT**2, 0.003), "the square root is missing"),
        ((2**22, 0.003), "the square root is missing"),
        ((1 / EXACT, 0.003), "take its inverse"),
        ((EXACT, 0.03), "lower the learning rate, or the multiplier"),
        ((EXACT, 0.003), "the worst of 3 networks ends at 0.21"),
        ((700, 0), "a learning rate is positive"),
        (700, "2 results are asked for (multiplier, lr)"),
    ],
}
