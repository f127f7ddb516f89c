"""Right and wrong answers to the exercises on what lies beyond one formula."""

from __future__ import annotations

import math

import numpy as np

from initlab import activations


def by_sampling():
    z = np.random.default_rng(1).normal(size=4_000_000)
    f = np.where(z > 0, z, 0.2 * z)
    return np.mean(np.where(z > 0, 1, 0.2) ** 2) / f.var()


def unit_by_unit(h, kernel, beta):
    columns, biases = [], []
    for unit in range(kernel.shape[1]):
        z = h.astype(float) @ kernel[:, unit].astype(float)
        scale = 1.0 if np.ptp(z) < 1e-9 else np.sqrt(np.mean((z - z.mean()) ** 2))
        columns.append(kernel[:, unit] / scale)
        biases.append(beta - z.mean() / scale)
    return [np.stack(columns, axis=1), np.array(biases)]


def slipped(slip, exact=False):
    def see(h, kernel, beta):
        z = np.maximum(h @ kernel, 0) if slip == "after" else h @ kernel
        mean, std = z.mean(0), z.std(0)
        if slip == "layer":
            mean, std = z.mean() * np.ones_like(mean), z.std() * np.ones_like(std)
        if slip == "variance":
            std = std**2
        if slip == "ddof":
            std = z.std(0, ddof=1) if len(z) > 1 else std
        if slip != "nan":
            least = 0 if exact else 1e-9 * np.abs(z).max(0)
            std = np.where(std > least, std, 1)
        bias = {
            "unscaled": beta - mean,
            "no beta": -mean / std,
            "sign": beta + mean / std,
            "minus beta": -beta - mean / std,
        }.get(slip, beta - mean / std)
        return kernel / std, bias

    return see


def pre_norm(seed, std=0.03125**0.5, blocks=100):
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(64, 40))
    begin = (h**2).mean()
    for _ in range(blocks):
        unit = h * np.sqrt(64) / np.linalg.norm(h, axis=0)
        h += rng.normal(scale=std, size=(64, 64)) @ (unit * (unit > 0))
    return (h**2).mean() / begin


def normal(function):
    """Give ``function`` mean 0 and variance 1 under the standard normal."""
    z, weights = np.polynomial.hermite_e.hermegauss(150)
    weights = weights / weights.sum()
    mean = weights @ function(z)
    std = math.sqrt(weights @ (function(z) - mean) ** 2)
    return lambda z: (function(z) - mean) / std


def silu(z):
    return z / (1 + np.exp(-z))


def relu(z):
    return (np.maximum(z, 0) - 1 / math.sqrt(2 * math.pi)) / math.sqrt(
        0.5 - 0.5 / math.pi
    )


RIGHT = {
    "s14.1": [by_sampling(), 0.52 / (0.52 - 0.32 / math.pi)],
    "s14.2": [unit_by_unit, slipped("none")],
    "s14.3": [np.mean([pre_norm(seed) for seed in range(20)]), 101],
    "s14.4": [normal(silu), lambda z: -np.sqrt(0.77) * z + np.sqrt(0.115) * (z**2 - 1)],
}

WRONG = {
    "s14.1": [
        (math.pi / (math.pi - 1), "this is the ReLU's factor"),
        (1, "this takes E f² where Var f belongs"),
        (math.sqrt(1.2436), "this is the factor of the rms"),
        (1 / 1.2436, "turned round"),
        (0.52 / (0.52 - 0.5 / math.pi), "the mean of f is too large"),
        (0.5 / (0.5 - 0.32 / math.pi), "the leak is in the mean only"),
        (1.2436**30, "the factor of thirty layers"),
        (2, "divide E f'² by Var f"),
    ],
    "s14.2": [
        (slipped("variance"), "you divide by the variance"),
        (slipped("unscaled"), "takes off the mean from before the scaling"),
        (slipped("layer"), "one scale and one mean for the whole layer"),
        (slipped("after"), "you measure after the ReLU"),
        (slipped("no beta"), "beta is not used"),
        (slipped("minus beta"), "beta has the wrong sign"),
        (slipped("sign"), "the mean is added and not taken off"),
        (slipped("unscaled", exact=True), "takes off the mean from before"),
        (slipped("after", exact=True), "you measure after the ReLU"),
        (slipped("none", exact=True), "constant up to rounding is blown up"),
        (slipped("nan"), "for a unit whose kernel is zero: "),
        (slipped("ddof"), "for 40 samples, 6 inputs, 5 units: the values of kernel"),
        (lambda h, kernel, beta: kernel, "2 results are asked for (kernel, bias)"),
    ],
    "s14.3": [
        (math.sqrt(101), "this is the factor of the rms"),
        (np.mean([pre_norm(s, std=1 / 8) for s in range(20)]), "the ReLU's ½"),
        (1.0, "the trunk itself was normalized"),
        (math.e, "this is what 1/√L on each branch gives"),
        (1 / 101, "turned round"),
        (2.0**100, "the branch was not normalized"),
        (400, "divide the mean square"),
    ],
    "s14.4": [
        (activations.get("selu").f, "only 2.9 % of the variance are bent"),
        (activations.get("relu").f, "the mean is 0.399 and not 0"),
        (np.sin, "the variance is 0.432 and not 1"),
        (relu, "corners and jumps cost most"),
        (normal(lambda z: np.tanh(2.8 * z)), "your bend is odd, as that of tanh"),
        (np.sign, "your bend is odd"),
        (lambda z: 0 * z, "the function is constant"),
        (lambda z: z[:5], "is asked for, this is an array of shape (5,)"),
        (lambda z: 1 / (z - z), "not every number in this one is finite"),
        (lambda z: "bent", "is asked for, this is 'bent'"),
    ],
}
