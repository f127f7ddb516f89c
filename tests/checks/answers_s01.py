"""Right and wrong answers to the exercises on what initialization is."""

from __future__ import annotations

import numpy as np

from initlab import schemes
from initlab.checks import s01


def density_by_loops(numbers, edges):
    heights = []
    for place in range(len(edges) - 1):
        low, high = edges[place], edges[place + 1]
        last = place == len(edges) - 2
        inside = [v for v in numbers if low <= v < high or (last and v == high)]
        heights.append(len(inside) / len(numbers) / (high - low))
    return heights


def density_by_ranks(numbers, edges):
    ordered = np.sort(numbers)
    below = np.searchsorted(ordered, edges, side="left")
    below[-1] = np.searchsorted(ordered, edges[-1], side="right")
    return np.diff(below) / np.diff(edges) / len(ordered)


def changed_density(change):
    def density(numbers, edges):
        counts, _ = np.histogram(numbers, edges)
        widths = np.diff(edges)
        if change == "counts":
            return counts
        if change == "shares":
            return counts / len(numbers)
        if change == "per width":
            return counts / widths
        if change == "inside":
            return counts / counts.sum() / widths
        if change == "first":
            return counts / len(numbers) / widths[0]
        if change == "mean":
            return counts / len(numbers) / widths.mean()
        if change == "open":
            below = [(numbers < edge).sum() for edge in edges]
            return np.diff(below) / len(numbers) / widths
        if change == "heights of 1":
            return counts / counts.max()
        return [*(counts / len(numbers) / widths), 0]

    return density


def authors_by_schemes(kernel):
    matrix = kernel.reshape(-1, kernel.shape[-1])
    fan_in = len(matrix)
    fan_out = kernel.size // kernel.shape[-2]
    names = {"LeCun": "lecun_normal", "Glorot": "glorot_uniform", "He": "he_uniform"}
    return [
        name
        for name, scheme in names.items()
        if np.isclose(matrix.std(), schemes.get(scheme).std((fan_in, fan_out)), 0.05)
    ]


def changed_authors(change):
    def authors(kernel):
        taps = 1 if change == "taps" else int(np.prod(kernel.shape[:-2]))
        fan_in, fan_out = taps * kernel.shape[-2], taps * kernel.shape[-1]
        if change == "turned":
            fan_in, fan_out = fan_out, fan_in
        variances = {
            "LeCun": 1 / fan_in,
            "Glorot": (1 if change == "sum" else 2) / (fan_in + fan_out),
            "He": (1 if change == "half" else 2) / fan_in,
        }
        root = 1.0 if change == "no root" else 0.5
        rules = {name: variance**root for name, variance in variances.items()}
        found = {
            "rms": np.sqrt((kernel**2).mean()),
            "variance": kernel.var(),
            "limit": np.abs(kernel).max(),
        }.get(change, kernel.std())
        if change == "nearest" and kernel.any():
            return {min(rules, key=lambda name: abs(rules[name] - found))}
        if change == "name":
            return "He"
        return {name for name, std in rules.items() if abs(found / std - 1) < 0.05}

    return authors


def luck(first, second, reduce=np.std, seed=5):
    rng = np.random.default_rng(seed)
    return reduce(first(rng).std(axis=(1, 2))) / reduce(second(rng).std(axis=(1, 2)))


def normal(rng):
    return 0.25 * rng.standard_normal((4000, 16, 16))


def uniform(rng):
    return np.sqrt(3) / 4 * (2 * rng.random((4000, 16, 16)) - 1)


def too_narrow(rng):
    return rng.uniform(-0.25, 0.25, (4000, 16, 16))


def cut(rng):
    rule = schemes.get("lecun_normal")
    return np.stack([rule.sample((16, 16), rng) for _ in range(4000)])


def findings(**changed):
    return {**s01._TRUTH, **changed}


RIGHT = {
    "s01.1": [512, 512.0, np.int64(8 * 64)],
    "s01.2": [density_by_loops, density_by_ranks],
    "s01.3": [authors_by_schemes, changed_authors("nothing")],
    "s01.4": [luck(normal, uniform), luck(normal, uniform, seed=6), 1.58],
    "s01.5": [findings()],
}

WRONG = {
    "s01.1": [
        (128, "square root"),
        (576, "the 1 is missing"),
        (1088, "LeCun's"),
        (8, "changed places"),
        (224, "mean of both fans"),
        (100, "solve for units"),
    ],
    "s01.2": [
        (changed_density("counts"), "these are counts:"),
        (changed_density("shares"), "shares"),
        (changed_density("per width"), "counts per width"),
        (changed_density("inside"), "inside the edges only"),
        (changed_density("first"), "first bin"),
        (changed_density("mean"), "mean width"),
        (changed_density("open"), "very last edge"),
        (changed_density("heights of 1"), "bins of different widths"),
        (changed_density("one more"), "shape"),
    ],
    "s01.3": [
        (changed_authors("turned"), "fan_out where"),
        (changed_authors("taps"), "every tap counts"),
        (changed_authors("half"), "½ is missing"),
        (changed_authors("sum"), "their sum"),
        (changed_authors("rms"), "rms"),
        (changed_authors("nearest"), "nearest rule only"),
        (changed_authors("no root"), "square root of each"),
        (changed_authors("variance"), "square root of each"),
        (changed_authors("limit"), "a layer that widens"),
        (changed_authors("name"), "a set of names"),
    ],
    "s01.4": [
        (luck(normal, uniform, np.var), "variances of the two scatters"),
        (luck(uniform, normal), "other way round"),
        (luck(uniform, normal, np.var), "uniform over normal, and of the variances"),
        (luck(normal, normal, seed=8), "same distribution"),
        (luck(cut, uniform), "tails are cut off"),
        (luck(normal, too_narrow), "taken for the limit"),
        (0.044, "std over these 4000 numbers"),
    ],
    "s01.5": [
        (dict.fromkeys(s01._TRUTH, "right"), "not all of them"),
        (findings(conv_1="right", conv_2="variance"), "taps are not counted"),
        (findings(conv_2="variance"), "conv_2 is right"),
        (findings(dense_2="tails"), "largest weight"),
        (findings(dense_3="half"), 'dense_3 is called "half"'),
        (findings(dense_5="fan_out", dense_6="half"), "2 of 8 layers"),
        (findings(dense_1="Glorot"), "the words are"),
        ({"conv_1": "taps"}, "lacks"),
    ],
}
