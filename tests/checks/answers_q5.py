"""Right and wrong answers to the exercises on random distributions."""

from __future__ import annotations

import math

import numpy as np
from scipy import integrate, stats


def by_quadrature(std, cut):
    """Find the std of a cut normal by integrating its density."""
    density = stats.norm.pdf
    area = integrate.quad(density, -float(cut), float(cut))[0]
    square = integrate.quad(lambda w: w * w * density(w), -float(cut), float(cut))[0]
    return float(std) / math.sqrt(square / area)


def slipped(slip):
    def asked(std, cut):
        kept = stats.norm.cdf(cut) if slip == "one side" else stats.chi2.cdf(cut**2, 1)
        if slip == "share":
            kept = 1.0
        left = 1 - 2 * cut * stats.norm.pdf(cut) / kept
        if slip == "after":
            return std * left**0.5
        if slip == "no root":
            return std / left
        if slip == "only large":
            return std / left**0.5 if cut >= 1 else std
        return std / left**0.5

    return asked


def binarized(seed, scale=np.mean, start=2.0, n=160):
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(n, 12))
    begin = (h**2).mean()
    for _ in range(10):
        w = rng.normal(scale=(start / n) ** 0.5, size=(n, n))
        h = scale(np.abs(w)) * np.where(w > 0, 1, -1) @ np.clip(h, 0, None)
    return (h**2).mean() / begin


def root_of_mean(**options):
    return np.mean([binarized(seed, **options) for seed in range(60)]) ** 0.5


def rms(values):
    return np.sqrt(np.mean(values**2))


def coins(share=1 / 8, variance=2.0, seed=None, values=1):
    """Draw zeros and coins, with whatever is asked for."""

    def draw(rng, shape):
        rng = rng if seed is None else np.random.default_rng(seed)
        v = math.sqrt(variance / (shape[0] * share))
        coin = rng.choice((-v, v), size=shape)
        if values > 1:
            coin = coin * rng.choice((0.9, 1.1), size=shape)
        return np.where(rng.random(shape) < share, coin, 0)

    return draw


def eight_each(rng, shape):
    """Give every unit exactly eight inputs, with random signs."""
    order = rng.random(shape).argsort(axis=0)
    return np.where(order < 8, 0.5 * rng.choice((-1, 1), size=shape), 0)


def balanced(rng, shape):
    order = rng.random(shape).argsort(axis=0)
    return np.where(order < 4, 0.5, np.where(order < 8, -0.5, 0))


RIGHT = {
    "q5.1": [0.48990, math.sqrt(6) * 0.2],
    "q5.2": [by_quadrature, slipped("none")],
    "q5.3": [root_of_mean(), (2 / math.pi) ** 5],
    "q5.4": [eight_each, coins(share=0.13)],
}

WRONG = {
    "q5.1": [
        (math.sqrt(0.12), "this is the limit of a uniform"),
        (0.2, "this is He's std itself"),
        (0.24, "the root is missing"),
        (math.sqrt(6) * 0.04, "takes the variance for the standard deviation"),
        (0.2 / math.sqrt(6), "turned round"),
        (math.sqrt(6) * 0.1, "fan_out where He uses fan_in"),
        (math.sqrt(12 / 250), "Glorot's 2/(fan_in + fan_out)"),
        (5, "the variance of the triangle is a²/6"),
    ],
    "q5.2": [
        (slipped("after"), "this is the std after the cut"),
        (slipped("no root"), "the root is missing"),
        (lambda std, cut: std / 0.8796256610342398, "right for a cut at 2 only"),
        (lambda std, cut: std, "nothing is corrected"),
        (slipped("share"), "divide by their share"),
        (slipped("one side"), "both sides are cut"),
        (slipped("only large"), "for std 0.05, cut at 0.5"),
        (lambda std, cut: (std, cut), "a number is asked for"),
    ],
    "q5.3": [
        ((2 / math.pi) ** 10, "this is the factor of the second moment"),
        (math.sqrt(2 / math.pi), "the factor of a single layer"),
        (root_of_mean(scale=rms), "nothing was lost"),
        ((math.pi / 2) ** 5, "turned round"),
        (root_of_mean(start=1.0), "the ReLU's ½ is missing"),
        (0.5, "divide the mean square behind ten layers"),
    ],
    "q5.4": [
        (coins(seed=3), "one shared seed"),
        (lambda rng, shape: np.zeros(shape) * rng.random(), "two draws are equal"),
        (coins(share=0.5), "at least 85 % are asked for"),
        (coins(values=2), "three are allowed"),
        (balanced, "the signs add up to zero"),
        (coins(variance=2 / 8), "the zeros make the variance smaller"),
        (coins(variance=1.0), "the ReLU's ½ is missing"),
        (coins(variance=16), "the variance of a weight, zeros included, is 1"),
        (coins(share=1 / 40), "the rms changes by a factor of up to"),
        (lambda rng, shape: 3.0, "an array of shape (64, 64) is asked for, this is 3"),
        (0.5, "the function itself is asked for"),
    ],
}
