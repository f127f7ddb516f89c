"""Right and wrong answers to the exercises on choosing an initializer."""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, stats


def by_bisection():
    """Find the ends of q9.1 by trying."""

    def change(c):
        return 20 * math.log10(c / 2)

    return [
        optimize.brentq(lambda c, end=end: change(c) - end, 0.5, 8) for end in (-1, 1)
    ]


def by_roots(kept, networks, level):
    """Solve the quadratic equation of Wilson's interval."""
    n, share = float(networks), float(kept) / float(networks)
    z2 = float(stats.chi2.ppf(float(level), 1))
    ends = np.roots([1 + z2 / n, -(2 * share + z2 / n), share**2])
    return tuple(sorted(np.clip(ends.real, 0, 1)))


def slipped(slip):
    def share(kept, networks, level):
        z = stats.norm.ppf(level if slip == "one side" else (1 + level) / 2)
        n, p = networks, kept / networks
        if slip == "wald":
            return p - z * (p * (1 - p) / n) ** 0.5, p + z * (p * (1 - p) / n) ** 0.5
        inner = p * (1 - p) / n + (0 if slip == "inner" else z * z / (4 * n * n))
        half = z * (inner if slip == "no root" else inner**0.5)
        low = (p + z * z / (2 * n) - half) / (1 + z * z / n)
        high = (p + z * z / (2 * n) + half) / (1 + z * z / n)
        if slip == "counts":
            return n * low, n * high
        if slip == "only 20":
            return (low, high) if n == 20 else (low / 2, high)
        return low, high

    return share


RIGHT = {
    "q9.1": [by_bisection(), (1.7825, 2.244)],
    "q9.2": [by_roots, slipped("none")],
    "q9.3": [64, np.int64(64), 64.0],
    "q9.4": [(2.0, 0.11), [0.5, -0.21]],
}

WRONG = {
    "q9.1": [
        ((2 * 10**-0.025, 2 * 10**0.025), "this lets the second moment change by ten"),
        ((10**-0.05, 10**0.05), "the ReLU's ½ is missing"),
        ((1.7825**0.5, 2.244**0.5), "this is the standard deviation times √n"),
        ((2.244, 1.7825), "the smaller one first"),
        ((2 * 10**-0.4, 2 * 10**0.4), "this is right for five layers"),
        ((0.2, 20), "this is a decade in one layer"),
        ((1, 3), "solve (c/2)^(depth/2)"),
        (1.78, "2 results are asked for"),
    ],
    "q9.2": [
        (slipped("wald"), "for 20 of 20 it has no width at all"),
        (slipped("one side"), "leaves the whole error on one side"),
        (slipped("inner"), "z²/4n² is missing under the root"),
        (slipped("no root"), "the root is missing"),
        (slipped("counts"), "these are numbers of networks"),
        (slipped("only 20"), "for 59 of 100 at 90 %: the values of low are wrong"),
        (lambda kept, networks, level: kept / networks, "2 results are asked for"),
    ],
    "q9.3": [
        (8, "hardly one network in ten"),
        (16, "about a quarter"),
        (32, "about seven of ten"),
        (128, "a narrower one is enough"),
        (256, "far more than is needed"),
        (50, "answer with one of the widths"),
    ],
    "q9.4": [
        ((1.0, 1.0), "a whole branch is too much in forty"),
        ((2.0, 40**-0.5), "gradient's rms changes by more than half a decade"),
        ((1.0, 0.01), "nothing is lost because the blocks do nothing"),
        ((1.0, 0.1), "the branches may weigh more"),
        ((-1.0, 0.1), "a variance is positive"),
        (0.1, "2 results are asked for"),
    ],
}
