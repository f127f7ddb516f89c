"""Right and wrong answers to the exercises on signal propagation."""

from __future__ import annotations

import math

import numpy as np

from initlab import signals
from initlab.checks import s02

IN, OUT = np.array(s02.WIDTHS[:-1]), np.array(s02.WIDTHS[1:])


def factors_by_loops(widths, stds):
    signal = gradient = 1.0
    for place, std in enumerate(stds):
        signal *= math.sqrt(widths[place] / 2) * std
        gradient *= math.sqrt(widths[place + 1] / 2) * std
    return [signal, gradient]


def factors_by_ratio(widths, stds):
    logs = [math.log(n * s * s / 2) for n, s in zip(widths[:-1], stds, strict=True)]
    signal = math.exp(sum(logs) / 2)
    return np.float64(signal), signal * (widths[-1] / widths[0]) ** 0.5


def changed_factors(change):
    def factors(widths, stds):
        ways = []
        for way, fans in (("forward", widths[:-1]), ("back", widths[1:])):
            if change == "turned":
                fans = widths[1:] if way == "forward" else widths[:-1]
            if change == "one fan":
                fans = widths[:-1]
            factor = 1.0
            for fan, std in zip(fans, stds, strict=True):
                half = 2
                if change == "no half" or (change == "no half back" and way == "back"):
                    half = 1
                gain = fan * (std if change == "std" else std**2) / half
                factor = gain if change == "last" else factor * gain
            ways.append(factor if change == "moments" else math.sqrt(factor))
        if change == "three":
            return *ways, 1.0
        return ways[::-1] if change == "order" else ways

    return factors


def luck(activation=np.abs, seeds=1000, start=0):
    """Return the logarithm of the factor on the second moment, one per network."""
    found = signals.propagate(
        "lecun_normal" if activation is np.abs else "he_normal",
        depth=8,
        width=40,
        activation=activation,
        seeds=range(start, start + seeds),
        samples=1,
    )
    return np.log(found.activation[:, -1] / found.activation[:, 0])


LUCK = luck()


def balanced():
    """Return the stds of the stack whose worst factor is the smallest."""
    ratio = np.sqrt(s02.WIDTHS[-1] / np.array(s02.WIDTHS))
    last = 1 / math.sqrt(ratio[1] * ratio[2])
    signal = np.array([1, *np.sqrt(last * ratio)[1:-1], last])
    return list(signal[1:] / signal[:-1] * np.sqrt(2 / IN))


def changed_balanced(place, factor):
    stds = balanced()
    stds[place] *= factor
    return stds


RIGHT = {
    "s02.1": [46, 46.0, np.int64(46)],
    "s02.2": [factors_by_loops, factors_by_ratio],
    "s02.3": [LUCK.var() * 5, luck(start=1000).var() * 5, 2],
    "s02.4": [1.0, 1.06, np.float32(1.1)],
    "s02.5": [balanced(), tuple(np.sqrt(2) * (IN * OUT) ** -0.25)],
}

WRONG = {
    "s02.1": [
        (23, "second moment"),
        (39, "½ is missing"),
        (45, "is the next"),
        (363, "where float64 ends"),
        (20, "n σ²"),
        (10, "first whole L"),
    ],
    "s02.2": [
        (changed_factors("no half"), "on both ways"),
        (changed_factors("no half back"), "on the way back the ½"),
        (changed_factors("moments"), "second moments"),
        (changed_factors("turned"), "changed places"),
        (changed_factors("order"), "changed places"),
        (changed_factors("one fan"), "fan_out where"),
        (changed_factors("std"), "square them"),
        (changed_factors("last"), "last layer alone"),
        (changed_factors("three"), "2 results"),
    ],
    "s02.3": [
        (luck("relu").var() * 5, "ReLU's constant"),
        ((LUCK / math.log(10)).var() * 5, "in decades"),
        ((LUCK / 2).var() * 5, "variance of ln rms"),
        (LUCK.var() * 40, "constant times the depth"),
        (LUCK.var() / 8, "what one layer adds"),
        (LUCK.std() * 5, "the standard deviation of the logarithm"),
        (100.0, "times width over depth"),
    ],
    "s02.4": [
        (0.4, "the steepest slope"),
        (0.472, "pre-activations of rms 1"),
        (10.6, "this is the gain"),
        (0.14, "too small"),
        (1.5, "too large"),
        (-1.0, "above 0"),
    ],
    "s02.5": [
        (list(np.sqrt(2 / IN)), "He's 2/fan_in"),
        (list(np.sqrt(2 / OUT)), "2/fan_out keeps"),
        (list(np.sqrt(4 / (IN + OUT))), "arithmetic"),
        (list(np.sqrt(2 / (IN + OUT))), "without the ReLU's ½"),
        (list((IN * OUT) ** -0.25), "multiply the variances by 2"),
        (list(2 / np.sqrt(IN * OUT)), "these are variances"),
        (changed_balanced(1, 2.0), "the signal has rms"),
        (changed_balanced(3, 0.3), "rms"),
        ([0.1, 0.1, 0.1, 0], "above 0"),
        ([0.1, 0.1, 0.1], "4 results"),
    ],
}
