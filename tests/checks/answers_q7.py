"""Right and wrong answers to the exercises on the theory of He initialization."""

from __future__ import annotations

import math

import numpy as np


def std_by_quadrature(shape, low, high):
    """Average the squared slope over a fine grid, count fan_in as size over fan_out."""
    middle = (np.arange(20_000) + 0.5) / 20_000
    slopes = low + (high - low) * middle
    fan_in = np.prod(shape) / shape[-1]
    return np.sqrt(1 / (0.5 + 0.5 * np.mean(slopes**2)) / fan_in)


def std_for(change):
    def function(shape, low, high):
        mean, spread = (low + high) / 2, (high - low) / math.sqrt(12)
        *places, n_in, n_out = shape
        area = math.prod(places)
        square = {
            "mean": mean**2,
            "variance of a": spread**2,
            "ends": (low**2 + high**2) / 2,
            "relu": 0,
            "no square": mean,
        }.get(change, mean**2 + spread**2)
        fan = {
            "fan_out": area * n_out,
            "no area": n_in,
            "first": shape[0],
            "average": area * (n_in + n_out) / 2,
            "sum": area * (n_in + n_out),
        }.get(change, area * n_in)
        variance = 2 / (1 + square) / fan
        if change == "variance":
            return variance
        if change == "no half":
            variance /= 2
        if change == "limit":
            variance *= 3
        std = math.sqrt(variance)
        return np.full(shape, std) if change == "kernel" else std

    return function


def measured_factor(networks):
    """Convolve by loops over positions, with each kernel transposed on the way back."""
    found = []
    for seed in range(networks):
        rng = np.random.default_rng([5, seed])
        h, passed = rng.standard_normal((4, 64, 64)), []
        for _ in range(5):
            kernel = rng.standard_normal((256, 64)) / math.sqrt(128)
            ring = np.concatenate([h, h[:, :4]], axis=1)
            z = np.stack(
                [
                    ring[:, first : first + 4].reshape(4, 256) @ kernel
                    for first in range(0, h.shape[1], 2)
                ],
                axis=1,
            )
            h = z * (z > 0)
            passed.append((kernel, z > 0))
        gradient = rng.standard_normal(h.shape)
        before = np.mean(gradient**2)
        for kernel, on in passed[::-1]:
            parts = ((gradient * on) @ kernel.T).reshape(4, on.shape[1], 4, 64)
            gradient = np.zeros((4, 2 * on.shape[1], 64))
            for place in range(on.shape[1]):
                for tap in range(4):
                    seen = (2 * place + tap) % gradient.shape[1]
                    gradient[:, seen] += parts[:, place, tap]
        found.append(np.mean(gradient**2) / before)
    return np.mean(found)


RIGHT = {
    "q7.1": [0.5, np.float32(0.4999)],
    "q7.2": [std_for(None), std_by_quadrature],
    "q7.3": [measured_factor(40), 1 / 32, np.float64(0.033)],
    "q7.4": [(1.95, 0.7), [2, 0.65], (np.float64(1.9), 0.8)],
}

WRONG = {
    "q7.1": [
        (0.25, "this is a²"),
        (-0.5, "a slope that is not negative"),
        (0.7071, "fan_out where He uses fan_in"),
        (0.6030, "Glorot's mean of the fans"),
        (1.6, "solve it for the slope a"),
        (1.2649, "this is the gain"),
        (0.7623, "a root too many"),
        (0.1, "compare the variance limit² / 3"),
        (float("nan"), "not every number in this one is finite"),
    ],
    "q7.2": [
        (std_for("mean"), "the square of the mean slope"),
        (std_for("variance of a"), "the variance of the slope where"),
        (std_for("ends"), "the two ends only"),
        (std_for("variance"), "this is the variance; the standard deviation"),
        (std_for("no half"), "the ½ is missing"),
        (std_for("limit"), "limit of the uniform distribution"),
        (std_for("fan_out"), "fan_out where He uses fan_in"),
        (std_for("no area"), "the positions of the convolution are missing"),
        (std_for("first"), "is not its fan_in"),
        (std_for("average"), "Glorot's mean of the fans"),
        (std_for("relu"), "the slopes below zero are not used"),
        (std_for("sum"), "for a dense kernel, slopes 0 to 0 (ReLU): your function"),
        (std_for("no square"), "for a dense kernel, slopes 1/8 to 1/3"),
        (std_for("kernel"), "a number is asked for, this is an array of shape (300"),
    ],
    "q7.3": [
        (1.02, "this is what equal fans promise"),
        (0.177, "the factor on the rms"),
        (32, "take the inverse"),
        (0.5, "this is one layer's factor"),
        (0.00098, "each layer counts twice"),
        (0.1, "averaged over 100 networks (within 12 % counts as right)"),
    ],
    "q7.4": [
        ((2, 0), "without a bias the inputs drown"),
        ((2.81, 0), "no factor alone holds both"),
        ((2.4, 0.3), "so a factor of 2.4, more than 2, lets it grow"),
        ((2, 1), "the bias adds 1² in each layer"),
        ((2, 0.1), "the floor that the bias sets is too low"),
        ((math.sqrt(2), 0.7), "if yours is a std, square it"),
        ((2, 0.4), "go on with a larger bias or factor"),
        ((2, -1), "neither a variance nor a std is negative"),
        (2, "2 results are asked for (factor, bias_std)"),
    ],
}
