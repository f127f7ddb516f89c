"""Right and wrong answers to the exercises on Glorot initialization."""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from initlab.checks import s05

NODES, WEIGHTS = hermegauss(24)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def coefficients(f):
    """b and c of f(z) = z + b z² + c z³ + …, from a polynomial fit."""
    z = np.linspace(-0.2, 0.2, 41)
    fit = np.polynomial.polynomial.polyfit(z, f(z), deg=7)
    return fit[2], fit[3]


def on_paper(change=None):
    def rate(f):
        b, c = coefficients(f)
        if change == "odd part":
            b = 0.0
        mixed = c if change == "mixed term" else 2 * c
        moment = 1 if change == "fourth moment" else 3
        r = -moment * (b**2 + mixed)
        if change == "variance":
            r = r + b**2
        if change == "gradient":
            r = -(4 * b**2 + 6 * c)
        if change == "inverse":
            return 1 / r if abs(r) > 1e-3 else 0.0
        return {"sign": -r, "rms": r / 2}.get(change, r)

    return rate


def by_quadrature(f):
    q = 5e-4
    return (1 - WEIGHTS @ f(np.sqrt(q) * NODES) ** 2 / q) / q


def undivided(f):
    q = 1e-3
    return q - WEIGHTS @ f(np.sqrt(q) * NODES) ** 2


def divided_once(f):
    return undivided(f) / 1e-3


def not_for_the_identity(f):
    rate = by_quadrature(f)
    return rate if abs(rate) > 1e-6 else 1.0


KERNELS, BIASES = s05.backward()


def rms(values):
    return float(np.linalg.norm(values) / math.sqrt(values.size))


KERNEL, BIAS = (rms(v[0]) / rms(v[-1]) for v in (KERNELS, BIASES))


def fitted():
    """n σ² from a straight line through all eleven layers."""
    sizes = [math.log(rms(b)) for b in reversed(BIASES)]
    return math.exp(2 * np.polyfit(np.arange(11), sizes, deg=1)[0])


def held(q, first=None):
    gain = math.sqrt(q / (WEIGHTS @ np.tanh(math.sqrt(q) * NODES) ** 2))
    return [math.sqrt(q) if first is None else first] + [gain] * 49


def step_by_step(lowest=0.32):
    """Gain 1 where the signal allows it, and what holds it where it does not."""
    gains = [0.45]
    while len(gains) < 50:
        q = s05.through(gains)[0][-1] ** 2
        kept = WEIGHTS @ np.tanh(math.sqrt(q) * NODES) ** 2
        gains.append(max(1.0, lowest / math.sqrt(kept)))
    return np.array(gains)


RIGHT = {
    "s05.1": [[120, 600, 360], (np.int64(120), 600.0, 3 * 120)],
    "s05.2": [on_paper(), by_quadrature],
    "s05.3": [(KERNEL, BIAS, BIAS**0.2), (1.0, BIAS, fitted())],
    "s05.4": [held(0.1), held(0.12), step_by_step()],
}

WRONG = {
    "s05.1": [
        ((120, 120, 360), "the second takes 1/√n for a std"),
        ((120, 600, 120), "the third halves He's variance"),
        ((120, 600, 840), "the third halves LeCun's std"),
        ((0, 240, 120), "not their sum"),
        ((240, 720, 480), "take away the 120 inputs"),
        ((120, 2040, 360), "the limits of both"),
        ((60, 40, 30), "set the two variances equal"),
    ],
    "s05.2": [
        (on_paper("odd part"), "only the odd part of f is used"),
        (on_paper("mixed term"), "a factor 2 is missing"),
        (on_paper("fourth moment"), "the mean of u⁴ is 3"),
        (on_paper("variance"), "this follows the variance of f(z)"),
        (on_paper("gradient"), "the rate at which the gradient fades"),
        (on_paper("inverse"), "this is 1/r"),
        (on_paper("sign"), "the sign is turned round"),
        (on_paper("rms"), "this is the rate of the rms"),
        (undivided, "divide what a layer loses by q²"),
        (divided_once, "divide what a layer loses by q²"),
        (not_for_the_identity, "for the identity: your function gives 1 instead of 0"),
    ],
    "s05.3": [
        ((1 / KERNEL, 1 / BIAS, 0.45), "layer 11 over layer 1"),
        ((1 / KERNEL, 1 / BIAS, 1 / 0.45), "everything is turned round"),
        ((KERNEL, BIAS, BIAS**0.1), "the factor on the rms"),
        ((KERNEL, BIAS, BIAS ** (2 / 11)), "takes eleven steps"),
        ((KERNEL, BIAS, BIAS**2), "one layer's is its tenth root"),
        ((KERNEL, BIAS, 1.0), "comes from the kernels"),
        ((KERNEL**2, BIAS**2, 0.45), "ratios of second moments"),
        ((1.0, 1.0, 1.0), "share the biases' ratio"),
    ],
    "s05.4": [
        ([1.0] * 50, "gain 1 in all layers is Glorot's"),
        ([5 / 3] * 50, "5/3 is a common gain for tanh"),
        ([gain**2 for gain in held(0.1)], "these are squares of gains"),
        (held(0.1, first=1.0), "begin lower"),
        (held(0.3), "hold the signal at a smaller rms"),
        (held(0.05), "the rms is 0.22 in layer 1, below 0.3"),
        ([1.09] * 50, "the rms is 1.09 in layer 1, above 1"),
        ([0.5] + [1.0] * 49, "below 0.3: the gains up to there are too small"),
        ([1.0] * 49, "50 results are asked for"),
        ([0.0] * 50, "all gains must be above 0"),
    ],
}
