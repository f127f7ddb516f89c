"""Right and wrong answers to the exercises on practical tips."""

from __future__ import annotations

import math

import numpy as np


def by_columns(w, b):
    """Shift the bias of each unit by its own weights, one after the other."""
    bias = [2 * (b[unit] - sum(w[:, unit])) for unit in range(w.shape[1])]
    return [w + w + w + w, np.array(bias, dtype=float)]


def simulated(ours=8, theirs=3, seeds=5):
    rng = np.random.default_rng(7)
    best = [
        rng.normal(scale=seeds**-0.5, size=(rates, 40_000)).min(axis=0).mean()
        for rates in (theirs, ours)
    ]
    return best[0] - best[1]


def table(run, seeds, rates=range(4)):
    """Return losses (starts, rates, seeds); ``seeds`` is a function of the start."""
    return np.array([[[run(s, r, k) for k in seeds(s)] for r in rates] for s in (0, 1)])


def by_means(run):
    losses = table(run, lambda start: (3, 14, 15, 92, 65, 35, 89))
    return losses.mean(axis=2).min(axis=1).argmin()


def in_two_rounds(run):
    first = table(run, lambda start: range(3)).mean(axis=2)
    rates = first.argmin(axis=1)
    means = [np.mean([run(s, rates[s], 10 + k) for k in range(16)]) for s in (0, 1)]
    return 0 if means[0] < means[1] else 1


def own_seeds(run):
    losses = table(run, lambda start: range(50 * start, 50 * start + 7))
    return int(losses.mean(axis=2).min(axis=1).argmin())


def one_rate(run):
    losses = table(run, lambda start: range(28), rates=(1,))
    return int(losses.mean(axis=2)[:, 0].argmin())


def one_seed(run):
    return int(table(run, lambda start: (0,))[..., 0].min(axis=1).argmin())


def the_luckiest(run):
    return int(table(run, lambda start: range(7)).min(axis=(1, 2)).argmin())


def too_many(run):
    return int(table(run, lambda start: range(8)).mean(axis=2).min(axis=1).argmin())


RIGHT = {
    "s12.1": [32, np.int64(32)],
    "s12.2": [by_columns, lambda w, b: (4 * w, 2 * b - np.ones(len(w)) @ (2 * w))],
    "s12.3": [simulated(), 0.2582],
    "s12.4": [by_means, in_two_rounds],
}

WRONG = {
    "s12.1": [
        (16, "half of all experiments miss it"),
        (25, "1.645 is for one side"),
        (63, "two groups without pairs"),
        (6, "the square is missing"),
        (31, "round up"),
        (5, "one experiment of five"),
        (100, "solve 0.05 ="),
    ],
    "s12.2": [
        (lambda w, b: (2 * w, 2 * b), "this is right for the first layer"),
        (lambda w, b: (2 * w, 2 * b - 2 * w.sum(0)), "the kernel needs the factor 4"),
        (lambda w, b: (4 * w, 2 * b), "the −1 of tanh = 2s − 1 is forgotten"),
        (lambda w, b: (4 * w, 2 * b + 2 * w.sum(0)), "taken off the bias, not added"),
        (lambda w, b: (4 * w, 2 * b - w.sum(0)), "half of the shift is missing"),
        (lambda w, b: (4 * w, b - 2 * w.sum(0)), "the bias is not doubled"),
        (
            lambda w, b: (4 * w, 2 * b - 2 * w.sum(axis=1)),
            "your function raises ValueError",
        ),
        (lambda w, b: 4 * w, "2 results are asked for (kernel, bias)"),
    ],
    "s12.3": [
        (math.sqrt(5) * 0.2582, "this is for one seed per rate"),
        (0.2582 / math.sqrt(5), "a fifth of the variance"),
        (-0.2582, "the sign is turned round"),
        (1.4236 / math.sqrt(5), "the best of three is lucky as well"),
        (0, "what is reported is the best of them"),
        (2, "simulate it"),
    ],
    "s12.4": [
        (own_seeds, "the two starts see different seeds"),
        (one_rate, "one learning rate for each start"),
        (one_seed, "one seed cannot tell"),
        (the_luckiest, "compare means over the same seeds"),
        (too_many, "the budget of 56 runs is used up"),
        (lambda run: run(0, 4, 0), "start is 0 or 1 and rate 0 to 3, got 0 and 4"),
        (lambda run: "the first", "decide returns 'the first'"),
        (1, "the function itself is asked for"),
    ],
}
