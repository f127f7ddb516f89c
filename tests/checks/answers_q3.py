"""Right and wrong answers to the exercises on the variance of the weights."""

from __future__ import annotations

import numpy as np
from scipy import integrate, stats

from initlab import theory
from initlab.checks import q3

u = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)


def handed_on(change=None):
    """The mean of f² over equally likely values of z."""

    def next_variance(f, q, n, std):
        root = q if change == "no root" else np.sqrt(q)
        signal = root * u if change == "no activation" else f(root * u)
        moment = np.mean(signal**2)
        if change == "variance":
            moment = np.var(signal)
        if change == "mean":
            moment = np.mean(signal) ** 2
        factor = std if change == "std" else std**2
        if change != "one input":
            factor = factor * n
        result = factor * moment
        if change == "half":
            result = result / 2
        return np.sqrt(result) if change == "rms" else result

    return next_variance


def by_integral(f, q, n, std):
    def density(z):
        return f(np.sqrt(q) * z) ** 2 * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

    return n * std**2 * integrate.quad(density, -8, 8)[0]


def by_samples(f, q, n, std):
    z = np.random.default_rng(1).normal(scale=np.sqrt(q), size=1_000_000)
    return n * std**2 * np.mean(f(z) ** 2)


def factors():
    """The measured factor by a fit to logarithms, the computed one by samples."""
    z = q3.softplus_layers()
    varying = ((z - z.mean(axis=2, keepdims=True)) ** 2).mean(axis=(1, 2, 3))
    slope = np.polyfit(np.arange(9), np.log(varying[1:]), deg=1)[0]
    q = 1.0
    for _ in range(20):
        q = theory.variance_map("softplus", q, sigma_w=1.0)
    return np.exp(slope), theory.chi_1("softplus", q, sigma_w=1.0)


MEASURED, COMPUTED = factors()
Z = q3.softplus_layers()


def per_layer(sizes):
    return (sizes[9] / sizes[1]) ** 0.125


def blind(change=None):
    """Weights whose sum is zero for each unit."""

    def draw(rng, units, n):
        rng = np.random.default_rng(0) if change == "seed" else rng
        shape = (1, n) if change == "twins" else (units, n)
        weights = rng.normal(size=shape) * np.ones((units, 1))
        if change == "uneven":
            weights = weights * np.linspace(0.2, 1.6, n)
        if change not in ("plain", "column"):
            weights = weights - weights.mean(axis=1, keepdims=True)
        if change == "column":
            weights = weights - weights.mean(axis=0)
        if change == "nearly":
            weights = weights + 0.001
        if change == "small":
            return weights / np.sqrt(n)
        weights /= weights.std()
        return weights / n if change == "std" else weights / np.sqrt(n)

    return draw


def uniform(rng, units, n):
    return rng.uniform(-1, 1, size=(units, n)) / np.sqrt(n)


def by_projection(rng, units, n):
    basis = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0][:, 1:]
    return rng.uniform(-1, 1, (units, n - 1)) @ basis.T * np.sqrt(3 / (n - 1))


def in_pairs(rng, units, n):
    half = rng.normal(size=(units, n // 2)) / np.sqrt(n)
    return np.hstack([half, -half])


def staircase(rng, units, n):
    """One random number for each unit, on a fixed pattern of signs."""
    signs = np.where(np.arange(n) % 2, 1, -1)
    return rng.normal(size=(units, 1)) * signs / np.sqrt(n)


def with_a_pattern(rng, units, n):
    """Random weights on top of a pattern that all units share."""
    signs = np.where(np.arange(n) % 2, 1, -1)
    return 0.8 * blind()(rng, units, n) + 0.6 * signs / np.sqrt(n)


RIGHT = {
    "q3.1": [
        [0.06186, 0.12372, 0.0002426],
        np.sqrt(np.array([3, 12, 3 / 255**2]) / 784).tolist(),
    ],
    "q3.2": [handed_on(), by_integral, by_samples],
    "q3.3": [(MEASURED, COMPUTED), [np.float32(MEASURED), COMPUTED]],
    "q3.4": [blind(), by_projection, in_pairs],
}

WRONG = {
    "q3.1": [
        ((0.1237, 0.1237, 0.000485), "the variance of the pixels"),
        ((0.003827, 0.015306, 5.885e-8), "these are variances"),
        ((0.10714, 0.21429, 0.00042017), "the limits of a uniform distribution"),
        ((0.08748, 0.17496, 0.00034307), "the 2 of He's rule"),
        ((1 / 28, 1 / 28, 1 / 28), "for inputs of second moment 1"),
        ((1 / 14, 0.12372, 1 / 28 / 127.5), "the square of the mean"),
        ((3 / 28, 12 / 28, 3 / 28 / 255**2), "a root is missing"),
        ((0.06, 0.12, 0.0002), "compute E[x²] of each range"),
    ],
    "q3.2": [
        (handed_on("variance"), "this is Var[f(z)]"),
        (handed_on("mean"), "square first, then take the mean"),
        (handed_on("no root"), "z = √q · u, the square root is missing"),
        (handed_on("std"), "as if it were the variance"),
        (handed_on("one input"), "one input's share"),
        (handed_on("rms"), "the standard deviation of the next z"),
        (handed_on("no activation"), "the next layer reads f(z)"),
        (handed_on("half"), "divide by nothing"),
        (
            lambda f, q, n, std: handed_on()(f, q, n, std) if q else 0.0,
            "for sigmoid, q = 0: your function gives 0 instead of 1.25",
        ),
    ],
    "q3.3": [
        ((MEASURED**0.5, COMPUTED**0.5), "the factors on the standard deviation"),
        ((MEASURED, 0.25), "the square of the mean slope, which is that at z = 0"),
        ((per_layer((Z**2).mean(axis=(1, 2, 3))), COMPUTED), "which the layers keep"),
        ((MEASURED**8, COMPUTED), "take its eighth root"),
        ((MEASURED, 0.5), "the mean slope; a variance"),
        ((MEASURED**0.5, COMPUTED), "the first number is the factor on the standard"),
        (
            (per_layer(Z.var(axis=3).mean(axis=(1, 2))), COMPUTED),
            "which the layers keep",
        ),
        ((0.4, 0.4), "take the variance over axis 2"),
    ],
    "q3.4": [
        (blind("plain"), "make the weights of each unit sum to zero"),
        (blind("column"), "make the weights of each unit sum to zero"),
        (blind("nearly"), "to the last digits"),
        (blind("small"), "multiply by √(n / (n − 1))"),
        (blind("std"), "have the std 1/n"),
        (uniform, "draw from a range that is √3 wider"),
        (blind("seed"), "one shared seed"),
        (blind("twins"), "copies of each other"),
        (blind("uneven"), "all places must have the same std"),
        (lambda rng, units, n: 3 * blind()(rng, units, n), "where it is to be 1"),
        (with_a_pattern, "a mean over the units that is not zero"),
        (staircase, "at random apart from their sum"),
        (lambda rng, units, n: np.zeros((n, units)), "array of shape (3000, 10)"),
    ],
}
