"""Right and wrong answers to the exercises on random initialization."""

from __future__ import annotations

import math

import numpy as np

from initlab.checks import s04


def simulated(networks=40_000):
    """The charges, measured on networks of which each sees one input of its own."""
    rng = np.random.default_rng(1)
    found = []
    for first, second in (
        (0.05, 0.05),
        (math.sqrt(2 / 15), math.sqrt(2 / 11)),
        (math.sqrt(2 / 5), math.sqrt(2 / 10)),
    ):
        x = rng.normal(size=(networks, 5))
        x *= np.sqrt(5 / (x**2).sum(axis=1, keepdims=True))  # less luck, same mean
        z = rng.normal(size=(networks, 10)) * first * math.sqrt(5)
        # Given the hidden layer, the output is normal: its mean square is known.
        found.append(10 * second**2 * np.mean(np.maximum(z, 0) ** 2))
    return found


def tolerated(change=None):
    """The window of widths, by trying one width after the other."""

    def served(std, depth, factor, leak):
        if change == "leak":
            leak = 0.0
        if change == "no square":
            leak = math.copysign(math.sqrt(abs(leak)), leak)
        if change == "one layer":
            depth = 1
        kept = (1 + leak**2) / (1 if change == "half" else 2)
        sizes = np.arange(1, 400_000)
        spread = std if change == "std" else float(std) ** 2
        layer = sizes * spread * kept
        decades = depth * np.log10(layer)
        if change != "second moment":
            decades = decades / 2
        inside = sizes[np.abs(decades) <= math.log10(factor)]
        ends = int(inside[0]), int(inside[-1])
        if change == "turned":
            ends = ends[::-1]
        if change == "outside":
            ends = max(ends[0] - 1, 0), ends[1] + 1
        return ends

    return served


def by_logarithms(std, depth, factor, leak):
    middle = math.log(2 / (1 + leak**2)) - 2 * math.log(std)
    half = 2 * math.log(factor) / depth
    return [math.floor(math.exp(middle - half)) + 1, int(math.exp(middle + half))]


def rounded(how):
    def served(std, depth, factor, leak):
        middle = 2 / (1 + leak**2) / float(std) ** 2
        ends = middle / factor ** (2 / depth), middle * factor ** (2 / depth)
        return tuple(how(end) for end in ends)

    return served


def wide(std, depth, factor, leak):
    return by_logarithms(std, depth, math.sqrt(factor), leak)


KERNELS, GRADIENTS = s04.gradients()
SUMS = [np.vdot(w, g) for w, g in zip(KERNELS, GRADIENTS, strict=True)]


def from_two_points(at=(0.08, 0.3), change=None):
    """A straight line through two looks, in logarithms."""

    def find(run):
        asked = [run(std) for std in at]
        slope, height = np.polyfit(np.log10(at), np.log10(asked), deg=1)
        if change == "one layer":
            return at[0] / asked[0]
        if change == "moment":
            slope = 2 * slope
            return at[0] * asked[0] ** (-1 / slope)
        if change == "direction":
            return at[0] * asked[0] ** (1 / slope)
        if change == "straight":
            return at[0] + (1 - asked[0]) * (at[1] - at[0]) / (asked[1] - asked[0])
        return 10 ** (-height / slope)

    return find


def whole_layers(run):
    low, high = run(0.05), run(0.1)
    layers = round(math.log2(high / low))
    return 0.05 / low ** (1 / layers)


def bisect(run):
    low, high = 0.01, 1.0
    for _ in range(40):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if run(middle) > 1 else (middle, high)
    return low


RIGHT = {
    "s04.1": [
        simulated(),
        (0.0001563, 20 / 33, np.float32(2)),
    ],
    "s04.2": [tolerated(), by_logarithms],
    "s04.3": [(7, SUMS[0]), [np.int64(7), float(np.mean(SUMS[:6]))]],
    "s04.4": [from_two_points(), whole_layers, from_two_points((0.15, 0.07))],
}

WRONG = {
    "s04.1": [
        ((0.0003125, 1.2121, 4), "the ReLU's ½ is missing"),
        ((7.8125e-5, 0.30303, 1), "the output is linear"),
        ((0.0125, 0.7785, 1.41421), "this is the rms of the output"),
        ((0.0001065, 0.41315, 1.3634), "the squared mean included"),
        ((1.00016, 1.606, 3), "take away the dead network's"),
        ((0.00015625, 0.5, 2), "the second number uses LeCun's"),
        ((0, 0.6, 1), "multiply the second moments"),
    ],
    "s04.2": [
        (tolerated("half"), "the ReLU's ½ is missing"),
        (tolerated("second moment"), "a square is missing"),
        (tolerated("one layer"), "the window of one layer"),
        (tolerated("leak"), "the leak is not used"),
        (tolerated("no square"), "the leak is not squared"),
        (tolerated("std"), "as if it were the variance"),
        (tolerated("turned"), "the two are turned round"),
        (tolerated("outside"), "both ends lie just outside"),
        (rounded(round), "may lie just outside"),
        (rounded(int), "int() rounds both ends down"),
        (rounded(float), "a width is a whole number"),
        (wide, "a square is missing"),
        (
            lambda std, depth, factor, leak: by_logarithms(std, depth, factor**2, leak),
            "the values of smallest and largest are wrong",
        ),
        (
            lambda *a: by_logarithms(*a) if a[1] > 1 else (0, 22),
            "for a single layer: the values of smallest are wrong",
        ),
    ],
    "s04.3": [
        ((6, SUMS[0]), "counted from 0"),
        ((7, SUMS[6]), "the number is its own"),
        ((7, SUMS[0] / 900), "a mean of 900 products"),
        ((7, -SUMS[0]), "the sign of the number is turned round"),
        ((11, SUMS[0]), "smaller than the others, not wrong"),
        ((3, 1.0), "for each of the eleven kernels"),
    ],
    "s04.4": [
        (bisect, "was looked into 40 times, 2 are allowed"),
        (lambda run: math.sqrt(2 / 100), "the box was not looked into"),
        (from_two_points(change="one layer"), "as if there were one layer"),
        (from_two_points(change="moment"), "leave the second root out"),
        (from_two_points(change="direction"), "the correction goes the wrong way"),
        (from_two_points(change="straight"), "and the rms ends at"),
        (from_two_points((1e-4, 2e-4)), "leaves the range of float32"),
        (lambda run: run(0.1) > 0, "for box 0"),
    ],
}
