"""Right and wrong answers to the exercises on the Fashion-MNIST case study."""

from __future__ import annotations

import math

import numpy as np

from initlab import interval
from initlab.checks import q8

MOMENT = 0.286**2 + 0.353**2


def by_interval(a, b, level):
    found = interval(np.subtract(a, b, dtype=float), level)
    return [found.mean, found.low, found.high]


def slipped(change):
    def function(a, b, level):
        from scipy import stats

        a, b = (np.array(each, dtype=float) for each in (a, b))
        n, d = len(a), a - b
        s, root, t = d.std(ddof=1), math.sqrt(n), stats.t.isf((1 - level) / 2, n - 1)
        mean = d.mean()
        if change == "sign":
            mean = -mean
        if change == "no root":
            root = 1
        if change == "n":
            root = n
        if change == "ddof":
            s = d.std()
        if change == "variance":
            s = s * s
        if change == "unpaired":
            s = math.sqrt(a.var(ddof=1) + b.var(ddof=1))
            t = stats.t.isf((1 - level) / 2, 2 * (n - 1))
        if change == "summed":
            s = math.sqrt(a.var(ddof=1) + b.var(ddof=1))
        if change == "normal":
            t = stats.norm.isf((1 - level) / 2)
        if change == "one side":
            t = stats.t.isf(1 - level, n - 1)
        if change == "freedom":
            t = stats.t.isf((1 - level) / 2, n)
        if change == "always 95":
            t = stats.t.isf(0.025, n - 1)
        half = t * s / root
        if change == "half":
            return mean, half
        return mean, mean - half, mean + half

    return function


def normal_kernel(std=0.2, seed=7):
    return std * np.random.default_rng(seed).standard_normal((32, 10))


def report(function):
    pairs = {pair: [q8.recorded(name) for name in pair] for pair in q8.PAIRS}
    return {pair: function(a, b) for pair, (a, b) in pairs.items()}


def by_correlation(a, b):
    covariance = np.cov(a, b)
    total = np.trace(covariance)
    return total / (total - 2 * covariance[0, 1])


def two_rows(std):
    return np.repeat(normal_kernel(std)[:16], 2, axis=0)


RIGHT = {
    "q8.1": [101.8, np.float32(np.sqrt(784 * 64 * MOMENT))],
    "q8.2": [by_interval, slipped("")],
    "q8.3": [report(by_correlation)],
    "q8.4": [
        (0.01, normal_kernel()),
        [np.float64(0.5), normal_kernel(0.5, seed=3).tolist()],
        (1, normal_kernel(0.3, seed=4)),
    ],
}

WRONG = {
    "q8.1": [
        (np.sqrt(784 * 64) * 0.353, "you used the variance of the pixels"),
        (np.sqrt(784 * 64) * 0.286, "you used the squared mean"),
        (np.sqrt(784 * 128 * MOMENT), "the ReLU's ½ is missing"),
        (np.sqrt(784 * 32 * MOMENT), "not half of the rms"),
        (784 * 64 * MOMENT, "its square root"),
        (np.sqrt(784 * MOMENT), "before the hidden ReLU"),
        (2.0, "multiply the pixels' second moment"),
        (np.ones(10), "a number is asked for"),
    ],
    "q8.2": [
        (slipped("sign"), "the sign is turned round"),
        (slipped("no root"), "the square root of n is missing"),
        (slipped("n"), "not by n"),
        (slipped("ddof"), "set ddof=1"),
        (slipped("variance"), "this is the variance"),
        (slipped("unpaired"), "two independent samples"),
        (slipped("summed"), "the variances of both starts are added"),
        (slipped("normal"), "quantile of the normal"),
        (slipped("one side"), "both sides share"),
        (slipped("freedom"), "n - 1 degrees of freedom"),
        (slipped("always 95"), "for five seeds at 99.5 %"),
        (slipped("half"), "3 results are asked for"),
    ],
    "q8.3": [
        (report(lambda a, b: by_correlation(a, b) ** 0.5), "seeds go with its square"),
        (report(lambda a, b: 1 / by_correlation(a, b)), "upside down"),
        (report(lambda a, b: np.corrcoef(a, b)[1, 0]), "this is the correlation"),
        (report(lambda a, b: by_correlation(a, b) / 2), "this is half of it"),
        (report(lambda a, b: a.var() / (a - b).var()), "only one of the two"),
        (report(lambda a, b: 1.0), "the sum of the variances of the two starts"),
        ({q8.PAIRS[0]: 14.6}, "lacks"),
    ],
    "q8.4": [
        ((0.0, normal_kernel()), "at a bias of 0 or below"),
        ((-0.1, normal_kernel()), "at a bias of 0 or below"),
        ((0.1, np.zeros((32, 10))), "w2 is zero"),
        ((0.1, two_rows(0.2)), "some rows of w2 are equal"),
        ((0.1, normal_kernel(1e-9)), "the rows of w2 are too alike"),
        ((10.0, normal_kernel()), "all units differ, but"),
        ((0.1, normal_kernel().T), "one row per unit"),
        ((np.full(32, 0.1), normal_kernel()), "one number for all units"),
        ((0.1, normal_kernel(np.inf)), "finite"),
    ],
}
